"""Several samples per item: avg@k, unbiased pass@k and maj@k, each with its standard error.

An item is the unit: samples of one item are not independent, so every metric is first a value per item and
then a mean over items, and its standard error is that of the item values, sd / sqrt(items) (clustered by
item; Miller 2024, "Adding Error Bars to Evals", arXiv 2411.00640, section 2.2). It is None for one item.

An unscored sample (score None: the judge's verdict could not be read) is neither right nor wrong:
- avg@k: the item's value is the mean over its scored samples; an item without any is unscored;
- pass@k: an item with fewer than k scored samples is unscored, for it has no unbiased estimate;
- maj@k: an unscored sample votes like any other; an item is unscored if the vote falls on an answer of which
  no sample is scored.
A sample without an answer (unparsable, cut off) has the score 0 and no vote. Unscored items are left out of
the mean and counted. A metric without a scored item is a ValueError, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

from capgap_ray.records import Estimate, KSamples

Same = Callable[[str, str, str], bool]
"""(item, one answer, another) -> whether these extracted answers to the item mean the same."""


class Sample(NamedTuple):
    """One of an item's samples."""

    answer: str | None
    """As extracted; None where none was found."""
    score: float | None
    """0 or 1; None is unscored."""


def unbiased_pass_at_k(n: int, right: int, k: int) -> float:
    """Return the chance that at least one of k samples is right, from `right` of n (Chen et al. 2021, eq. 1).

    It is 1 - C(n - right, k) / C(n, k), the mean over all k-subsets. Raises ValueError unless 1 <= k <= n
    and 0 <= right <= n.
    """
    if not 1 <= k <= n or not 0 <= right <= n:
        raise ValueError(f"pass@{k} of {right} right among {n} samples is not defined")
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def avg_at_k(items: Mapping[str, Sequence[Sample]]) -> Estimate:
    """Return the mean score of a sample. Raises ValueError where nothing is scored."""
    return _estimate("avg@k", [fmean(scores) if (scores := _scores(samples)) else None for samples in items.values()])


def pass_at_k(items: Mapping[str, Sequence[Sample]], k: int) -> Estimate:
    """Return the unbiased pass@k. Raises ValueError where no item has k scored samples."""
    values = []
    for samples in items.values():
        scores = _scores(samples)
        values.append(unbiased_pass_at_k(len(scores), sum(s == 1 for s in scores), k) if len(scores) >= k else None)
    return _estimate(f"pass@{k}", values)


def maj_at_k(items: Mapping[str, Sequence[Sample]], same: Same) -> Estimate:
    """Return the mean score of the answer that most samples give; tied answers share the credit.

    An item none of whose samples has an answer is wrong. Raises ValueError where nothing is scored.
    """
    return _estimate("maj@k", [_majority(item, samples, same) for item, samples in items.items()])


def k_samples(items: Mapping[str, Sequence[Sample]], same: Same) -> KSamples:
    """Return all three, pass@k for k = 1, 2, 4, ... and all samples. None: no item has a score.

    Raises ValueError, naming the item, unless every item has the same number of samples, at least one.
    """
    counts = {item: len(samples) for item, samples in items.items()}
    if not counts or min(counts.values()) < 1:
        raise ValueError("there is no sample to score")
    k = max(counts.values())
    for item, count in counts.items():
        if count != k:
            raise ValueError(f"item {item} has {count} samples, others have {k}")
    most = max(len(_scores(samples)) for samples in items.values())
    votes = any(_majority(item, samples, same) is not None for item, samples in items.items())
    ks = [*dict.fromkeys([*(2**i for i in range(k.bit_length())), k])]
    return KSamples(
        samples=k,
        avg=avg_at_k(items) if most else None,
        passes={str(each): pass_at_k(items, each) for each in ks if each <= most},
        maj=maj_at_k(items, same) if votes else None,
    )


def _scores(samples: Sequence[Sample]) -> list[float]:
    return [sample.score for sample in samples if sample.score is not None]


def _majority(item: str, samples: Sequence[Sample], same: Same) -> float | None:
    """Return the score of the majority answer; None where a winner is unscored."""
    groups: list[tuple[str, list[Sample]]] = []
    # What scored right means the gold answer, also where a proof or a judge said so and `same` could not.
    right = {sample.answer for sample in samples if sample.score == 1}
    for sample in samples:
        if sample.answer is None:
            continue
        # Equivalence need not be transitive; an answer joins the first group whose first answer it equals.
        for first, members in groups:
            both_right = first in right and sample.answer in right
            if both_right or first == sample.answer or same(item, first, sample.answer):
                members.append(sample)
                break
        else:
            groups.append((sample.answer, [sample]))
    if not groups:
        return 0.0
    most = max(len(members) for _, members in groups)
    winners = [_scores(members) for _, members in groups if len(members) == most]
    return fmean(fmean(scores) for scores in winners) if all(winners) else None


def _estimate(metric: str, values: Sequence[float | None]) -> Estimate:
    known = [value for value in values if value is not None]
    if not known:
        raise ValueError(f"{metric}: none of {len(values)} items has a score, and nothing is averaged over nothing")
    return Estimate(
        value=fmean(known),
        standard_error=stdev(known) / math.sqrt(len(known)) if len(known) > 1 else None,
        items=len(known),
        unscored=len(values) - len(known),
    )
