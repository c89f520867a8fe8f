"""The judge decides on what the rules reject; its verdicts complete the scores.

A question is its text and the judge that reads it. Equal questions, of whichever sample, student or step,
are asked once: the first step that needs one asks it, and the others read the verdict there.

The audit asks the same judge with the same prompt about answers whose verdict is known.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from capgap_ray.artifacts.step import Step, canonical_json
from capgap_ray.artifacts.store import Store
from capgap_ray.core.judging import JudgePrompt, judge_messages, parse_verdict
from capgap_ray.records import Completion, Example, JudgeProbe, Request, Score, content_id
from capgap_ray.rows import from_row, to_row
from capgap_ray.stages.engine import Decoding
from capgap_ray.stages.known_rows import made_by
from capgap_ray.stages.slices import Slice

_SHARDS = "rows/shards.json"
"""The files, relative to the store, that hold this step's verdicts."""


def judge_slices(store: Store, steps: Sequence[Step], source: str) -> list[Slice]:
    """Write down what the `judge` steps have to ask, and return the slices that ask it. Some steps ask nothing."""
    slices = []
    asked: dict[str, str] = {}
    for step in steps:
        questions = {each.example_id: each for _, each in _questions(store, step) if each}
        new = [each for question, each in questions.items() if question not in asked]
        if new:
            # Named by content: after an interruption other steps may be left, and with them other questions.
            name = content_id(*(each.example_id for each in new))
            requests, shard = f"{step.address}/rows/requests-{name}.parquet", f"rows/verdicts-{name}.parquet"
            store.write_rows(requests, [to_row(each) for each in new])
            slices.append(_slice(step, source, requests, len(new), shard))
            asked |= {each.example_id: f"{step.address}/{shard}" for each in new}
        shards = sorted({asked[question] for question in questions})
        store.write_bytes(f"{step.address}/{_SHARDS}", json.dumps(shards).encode())
    return slices


def _slice(step: Step, source: str, requests: str, rows: int, shard: str) -> Slice:
    return Slice(
        address=step.address,
        shard=shard,
        source=source,
        model=step.params["judge"],
        requests=requests,
        start=0,
        stop=rows,
        decoding=Decoding(temperature=0.0, top_p=1.0, max_tokens=step.params["max_tokens"], stop=(), seed=0),
        maker=made_by(step.params["judge"], step.params["engine"], "judge"),
    )


def _prompt(step: Step) -> JudgePrompt:
    return JudgePrompt(name="", system=step.params["system"], user_template=step.params["user_template"])


def _questions(store: Store, step: Step) -> list[tuple[Score, Request | None]]:
    """Every score with what the judge is asked about it, whose `example_id` is the question's; None: nothing."""
    score_step = step.inputs[0]
    examples = {row["id"]: from_row(Example, row) for row in store.rows(score_step.inputs[0])}
    prompt = _prompt(step)
    judge = (step.params["judge"], canonical_json(step.params["engine"]))
    made: list[tuple[Score, Request | None]] = []
    for score in (from_row(Score, row) for row in store.rows(score_step)):
        if not _asks(score, step):
            made.append((score, None))
            continue
        messages = judge_messages(prompt, examples[score.example_id].question, score.target, _stated(score))
        question = content_id(*judge, *(text for each in messages for text in (each.role, each.content)))
        made.append((score, Request(example_id=question, task=score.task, messages=messages)))
    return made


def _asks(score: Score, step: Step) -> bool:
    """Whether the judge is asked. A cut-off answer is never judged: it was not given."""
    outcomes = ("unparsable",) if step.params["when"] == "unparsable" else ("wrong", "unparsable")
    return score.outcome in outcomes and bool(_stated(score))


def _stated(score: Score) -> str:
    """The answer to judge: the extracted one, else the last line of the text."""
    lines = [line for line in score.text.splitlines() if line.strip()]
    return score.answer or (lines[-1] if lines else "")


def commit_judged(store: Store, step: Step) -> None:
    """Join the verdicts with the rule scores and make them the step's result."""

    def make() -> tuple[list[dict[str, object]], dict[str, object]]:
        shards = json.loads(store.read_bytes(f"{step.address}/{_SHARDS}"))
        answered = [from_row(Completion, row) for shard in shards for row in store.read_rows(shard)]
        replies = {each.example_id: each.text for each in answered}
        questions = _questions(store, step)
        judged = [_with_verdict(score, asked, replies) for score, asked in questions]
        summary: dict[str, object] = {
            "asked": sum(asked is not None for _, asked in questions),
            "distinct": len({asked.example_id for _, asked in questions if asked}),
            "unreadable": sum(score.judged is None for score in judged),
        }
        return [to_row(score) for score in judged], summary

    store.build_rows(step, make)


def _with_verdict(score: Score, asked: Request | None, replies: Mapping[str, str]) -> Score:
    """The score as judged: by the rules where the judge was not asked, unscored where it did not answer."""
    if asked is None:
        return dataclasses.replace(score, judged=score.flexible)
    reply = replies.get(asked.example_id)
    if reply is None:
        return dataclasses.replace(score, judged=None)
    value = {"yes": 1.0, "no": 0.0, "unparsable": None}[parse_verdict(reply)]
    return dataclasses.replace(score, judged=value, judge_verdict=reply)


# --- the audit ---------------------------------------------------------------------------------------

_PROBES, _PROBE_REQUESTS, _PROBE_VERDICTS = (
    f"rows/{name}.parquet" for name in ("probes", "probe-requests", "probe-verdicts")
)


def audit_slice(store: Store, step: Step, probes: Sequence[JudgeProbe], source: str) -> Slice:
    """Write down the probes and what the judge is asked about each, and return the slice that asks it."""
    requests = [
        Request(
            example_id=probe.id,
            task=probe.task,
            messages=judge_messages(_prompt(step), probe.question, probe.gold, probe.answer),
        )
        for probe in probes
    ]
    store.write_rows(f"{step.address}/{_PROBES}", [to_row(probe) for probe in probes])
    store.write_rows(f"{step.address}/{_PROBE_REQUESTS}", [to_row(request) for request in requests])
    return _slice(step, source, f"{step.address}/{_PROBE_REQUESTS}", len(probes), _PROBE_VERDICTS)


def commit_audit(store: Store, step: Step) -> None:
    """Join the probes with the judge's replies and make them the step's result: a probe's fields and `reply`."""

    def make() -> tuple[list[dict[str, object]], dict[str, object]]:
        answered = [from_row(Completion, row) for row in store.read_rows(f"{step.address}/{_PROBE_VERDICTS}")]
        replies = {each.example_id: each.text for each in answered}
        probes = store.read_rows(f"{step.address}/{_PROBES}")
        answered_probes = [{**probe, "reply": replies[probe["id"]]} for probe in probes if probe["id"] in replies]
        return answered_probes, {"unanswered": len(probes) - len(answered_probes)}

    store.build_rows(step, make)
