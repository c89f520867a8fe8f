"""The judge decides on what the rules reject; its verdicts complete the scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.core.judging import JudgePrompt, judge_messages, parse_verdict
from capgap_ray.records import Completion, Example, Request, Score, from_row, to_row
from capgap_ray.stages.engine import Decoding
from capgap_ray.stages.inference import Slice

_REQUESTS, _VERDICTS = "rows/requests.parquet", "rows/verdicts.parquet"
_DECODING = Decoding(temperature=0.0, top_p=1.0, max_tokens=20, stop=(), seed=0)
"""Twenty tokens, as the ancestor's judge has: a verdict that needs more is none."""


def judge_slices(store: Store, steps: Sequence[Step], source: str) -> list[Slice]:
    """Write down what each `judge` step has to ask, and return the slices that ask it. Some steps ask nothing."""
    slices = []
    for step in steps:
        requests = _requests(store, step)
        if requests:
            store.write_rows(f"{step.address}/{_REQUESTS}", [to_row(each) for each in requests])
            slices.append(
                Slice(
                    address=step.address,
                    shard=_VERDICTS,
                    source=source,
                    model=step.params["judge"],
                    requests=f"{step.address}/{_REQUESTS}",
                    start=0,
                    stop=len(requests),
                    decoding=_DECODING,
                )
            )
    return slices


def _requests(store: Store, step: Step) -> list[Request]:
    score_step = step.inputs[0]
    examples = {row["id"]: from_row(Example, row) for row in store.rows(score_step.inputs[0])}
    prompt = JudgePrompt(name="", system=step.params["system"], user_template=step.params["user_template"])
    requests = []
    for score in (from_row(Score, row) for row in store.rows(score_step)):
        if _asks(score, step):
            question = examples[score.example_id].question
            messages = judge_messages(prompt, question, score.target, _stated(score))
            requests.append(Request(example_id=score.example_id, task=score.task, messages=messages))
    return requests


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
        scores = [from_row(Score, row) for row in store.rows(step.inputs[0])]
        replies: dict[str, str] = {}
        if any(_asks(score, step) for score in scores):
            rows = store.read_rows(f"{step.address}/{_VERDICTS}")
            replies = {each.example_id: each.text for each in (from_row(Completion, row) for row in rows)}
        judged = [_with_verdict(score, replies.get(score.example_id)) for score in scores]
        return [to_row(score) for score in judged], {"asked": len(replies)}

    store.build_rows(step, make)


def _with_verdict(score: Score, reply: str | None) -> Score:
    if reply is None:
        return dataclasses.replace(score, judged=score.flexible)
    value = {"yes": 1.0, "no": 0.0, "unparsable": None}[parse_verdict(reply)]
    return dataclasses.replace(score, judged=value, judge_verdict=reply)
