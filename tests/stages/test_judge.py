"""What the judge is asked, once each, and what its replies make of the scores. No Ray, no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.records import Completion, Example, Request, Score
from capgap_ray.rows import from_row, to_row
from capgap_ray.stages.judge import commit_judged, judge_slices
from capgap_ray.stages.slices import Slice

EXAMPLES = Step(stage="examples", version=1, params={}, label="items")


def judge_step(label: str, judge: str = "judge@1") -> Step:
    score = Step(stage="score", version=1, params={"arm": label}, inputs=(EXAMPLES,), label=label)
    params = {"judge": judge, "when": "rejected", "system": "", "user_template": "{gold}|{answer}", "max_tokens": 20}
    params["engine"] = {}
    return Step(stage="judge", version=1, params=params, inputs=(score,), label=label)


def score_of(item: str, answer: str, outcome: str) -> Score:
    return Score(
        example_id=item,
        task="t",
        model="m",
        target="5",
        text=f"the answer is {answer}",
        answer=answer or None,
        finish_reason="length" if outcome == "truncated" else "stop",
        completion_tokens=3,
        outcome=outcome,  # type: ignore[arg-type]
        strict=0.0,
        flexible=float(outcome == "right"),
        judged=None,
        judge_verdict=None,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    items = [Example(id=item, task="t", split="test", question=f"q{item}", target="5") for item in "abcd"]
    store.build_rows(EXAMPLES, lambda: ([to_row(item) for item in items], {}))
    return store


def scored(store: Store, step: Step, *scores: Score) -> Step:
    store.build_rows(step.inputs[0], lambda: ([to_row(score) for score in scores], {}))
    return step


def answer(store: Store, slices: list[Slice], reply: Callable[[str], str]) -> int:
    """Stand in for the engine; returns how many questions it was asked."""
    for each in slices:
        requests = [from_row(Request, row) for row in store.read_rows(each.requests)][each.start : each.stop]
        rows = [
            Completion(
                example_id=request.example_id,
                task=request.task,
                model=each.model,
                sample=0,
                seed=None,
                text=reply(request.messages[-1].content),
                finish_reason="stop",
                stop_reason=None,
                prompt_tokens=1,
                completion_tokens=1,
            )
            for request in requests
        ]
        store.write_rows(f"{each.address}/{each.shard}", [to_row(row) for row in rows])
    return sum(each.stop - each.start for each in slices)


def judged(store: Store, step: Step) -> list[float | None]:
    return [from_row(Score, row).judged for row in store.rows(step)]


def test_equal_questions_are_asked_once_across_steps_and_samples(store: Store) -> None:
    first = scored(store, judge_step("one"), score_of("a", "five", "wrong"), score_of("a", "five", "wrong"))
    second = scored(store, judge_step("two"), score_of("b", "five", "wrong"), score_of("c", "6", "wrong"))
    slices = judge_slices(store, [first, second], "judge@1")
    assert answer(store, slices, lambda text: "True" if "five" in text else "False") == 2
    for step in (first, second):
        commit_judged(store, step)
    assert judged(store, first) == [1.0, 1.0]
    assert judged(store, second) == [1.0, 0.0]
    record = store.record(first)
    assert record is not None
    assert (record.summary["asked"], record.summary["distinct"], record.summary["unreadable"]) == (2, 1, 0)


def test_nothing_to_judge_needs_no_model(store: Store) -> None:
    step = scored(store, judge_step("one"), score_of("a", "5", "right"), score_of("b", "", "truncated"))
    assert judge_slices(store, [step], "judge@1") == []
    commit_judged(store, step)
    assert judged(store, step) == [1.0, 0.0]


def test_an_unreadable_verdict_is_unscored_and_counted(store: Store) -> None:
    step = scored(store, judge_step("one"), score_of("a", "7", "wrong"), score_of("b", "5", "right"))
    answer(store, judge_slices(store, [step], "judge@1"), lambda _: "True or False")
    commit_judged(store, step)
    assert judged(store, step) == [None, 1.0]
    record = store.record(step)
    assert record is not None
    assert record.summary["unreadable"] == 1


def test_another_judge_is_another_question(store: Store) -> None:
    steps = [
        scored(store, judge_step(judge, judge), score_of("a", "five", "wrong")) for judge in ("judge@1", "judge@2")
    ]
    assert len(judge_slices(store, steps, "x")) == 2


def test_an_interruption_between_commits_loses_no_verdict(store: Store) -> None:
    first = scored(store, judge_step("one"), score_of("a", "five", "wrong"))
    second = scored(store, judge_step("two"), score_of("b", "five", "wrong"), score_of("c", "6", "wrong"))
    answer(store, judge_slices(store, [first, second], "x"), lambda _: "False")
    commit_judged(store, first)
    again = judge_slices(store, [second], "x")
    missing = [each for each in again if not store.exists(f"{each.address}/{each.shard}")]
    assert answer(store, missing, lambda _: "True") == 2, "the shard of the one question left is not the shard of both"
    commit_judged(store, second)
    assert judged(store, second) == [1.0, 1.0]


@pytest.mark.parametrize(("lost", "refused"), [(1, False), (2, True)])
def test_a_judge_that_fails_on_more_than_max_error_share_ends_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, lost: int, refused: bool
) -> None:
    """Or only what the rules accept would count, and every accuracy would look near 100 %."""
    from capgap_ray.experiment import load
    from capgap_ray.plan import Scored
    from capgap_ray.stages.session import Session
    from capgap_ray.stages.slices import InferenceError, Landed, Receipt

    step = scored(store, judge_step("one"), *(score_of(item, f"answer {item}", "wrong") for item in "abcd"))
    experiment, _ = load("jobs/experiments/tiny.yaml", ["max_error_share=0.3"])
    session = Session(experiment, store, lambda line: None)

    def run(slices: list[Slice]) -> list[Landed]:
        answer(store, slices, lambda text: "True")
        receipt = Receipt(
            rows=4 - lost,
            tokens=1,
            prompt_tokens=1,
            truncated=0,
            quarantined={"engine error": lost},
            example="answer a: 400",
            engines=("scripted",),
            reused=0,
        )
        return [Landed(slices=slices, receipts=[receipt], seconds=1.0)]

    monkeypatch.setattr(session, "_run_slices", run)
    wanted = [Scored(complete=EXAMPLES, score=step.inputs[0], judge=step)]
    if refused:
        with pytest.raises(InferenceError, match=r"judge: 2 of 4 rows are quarantined .*max_error_share 0.3.*400"):
            session.judge(wanted, [], "judge@1")
    else:
        session.judge(wanted, [], "judge@1")
    assert store.built(step) is not refused
