"""How a teacher's traces look to the student before it is trained on them: surprisal, rank, loss.

Every trace is rendered as in training and read once by the untouched student, which says of each token how probable it
held it and how many tokens it held at least as probable. In nats and ranks, over a teacher's traces of a task:

    student loss           mean surprisal of all supervised tokens, the end of turn among them, each of equal weight:
                           the loss of training (`sft.loss: tokens`) before its first update
    trace surprisal        mean over traces, each of equal weight, of the mean surprisal of a trace's own tokens
    trace rank             mean over traces of the mean rank of a trace's own tokens, ranks above 100 counted as 100
    rank-surprisal ratio   trace rank / trace surprisal: low where tokens are unlikely and yet among the first that the
                           student would think of

Loss and surprisal differ in their weights: a long trace is much of the loss, and one of many in the surprisal. Rank,
surprisal and ratio are those of Yang et al. 2026 ("Which Reasoning Trajectories Teach Students to Reason Better?",
arXiv 2601.14249, and its code), who cut ranks at 100 and report a Spearman correlation of 0.86 of the ratio with the
students' scores (11 teachers, 5 students, mathematics) and that 200 traces per teacher are enough to choose one. Of
tokens that are equally probable, their code ranks all first and vLLM all last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from capgap_ray.records import Estimated, TraceReading, TraceSummary, TrainingExample

RANK_CLIP = 100
"""Larger ranks count as this one: a few tokens far down a large vocabulary would decide every mean."""


def trace_reading(trace: TrainingExample, logprobs: Sequence[float], ranks: Sequence[int], tokens: int) -> TraceReading:
    """Return what one trace came to.

    `logprobs` (natural logarithms, at most 0) and `ranks` (from 1) are those of its supervised tokens, of which the
    first `tokens` are the completion's own. Raises ValueError where there are none or numbers do not match.
    """
    if not 0 < tokens <= len(logprobs) or len(ranks) != len(logprobs):
        raise ValueError(
            f"example {trace.example_id}: {len(logprobs)} log-probabilities, {len(ranks)} ranks, {tokens} tokens"
        )
    return TraceReading(
        example_id=trace.example_id,
        task=trace.task,
        teacher=trace.teacher,
        tokens=tokens,
        supervised=len(logprobs),
        loss=-math.fsum(logprobs) / len(logprobs),
        surprisal=-math.fsum(logprobs[:tokens]) / tokens,
        rank=math.fsum(min(rank, RANK_CLIP) for rank in ranks[:tokens]) / tokens,
    )


def summarise(readings: Sequence[TraceReading], *, kept: int, drawn: int) -> TraceSummary:
    """Return a teacher's traces of one task as one student sees them; `kept` and `drawn` as in the record."""
    items = [each.example_id for each in readings]
    supervised = [float(each.supervised) for each in readings]
    surprisals, ranks = [each.surprisal for each in readings], [each.rank for each in readings]
    ones = [1.0] * len(readings)
    return TraceSummary(
        kept=kept,
        drawn=drawn,
        read=len(readings),
        loss=ratio_of_means([each.loss * each.supervised for each in readings], supervised, items),
        surprisal=ratio_of_means(surprisals, ones, items),
        rank=ratio_of_means(ranks, ones, items),
        ratio=ratio_of_means(ranks, surprisals, items),
    )


def ratio_of_means(above: Sequence[float], below: Sequence[float], items: Sequence[str]) -> Estimated | None:
    """Return mean(above) / mean(below) with its standard error over items; None where nothing is below the line.

    The error is the linearised one of a ratio (Cochran 1977, Sampling Techniques, section 6.3), all values of one item
    being one cluster. Of a single item it is not known.
    """
    sums: dict[str, tuple[float, float]] = {}
    for item, upper, lower in zip(items, above, below, strict=True):
        so_far = sums.get(item, (0.0, 0.0))
        sums[item] = so_far[0] + upper, so_far[1] + lower
    whole = math.fsum(lower for _, lower in sums.values())
    if not whole > 0:
        return None
    value, n = math.fsum(upper for upper, _ in sums.values()) / whole, len(sums)
    spread = math.fsum((upper - value * lower) ** 2 for upper, lower in sums.values())
    return Estimated(value=value, error=math.sqrt(spread * n / (n - 1)) / whole if n > 1 else None)


def proxies_of(summary: TraceSummary) -> Mapping[str, Estimated]:
    """Return the summary's numbers by the names of `proxies.PREFERENCE`; only those that are known."""
    named = {
        "student loss": summary.loss,
        "trace rank": summary.rank,
        "trace surprisal": summary.surprisal,
        "rank-surprisal ratio": summary.ratio,
    }
    return {name: found for name, found in named.items() if found is not None}
