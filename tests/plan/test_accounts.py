"""Accuracy on the way and the ledger, from a plan whose steps have made-up results."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from capgap_ray.accounts import all_engines_devices, device_hours, exports, ledger, progress
from capgap_ray.artifacts.step import Step, unique
from capgap_ray.experiment import Experiment
from capgap_ray.plan import Plan, plan, resolve_models
from capgap_ray.records import Score
from capgap_ray.settings import Resources
from tests.core.test_ledger import accuracy

Make = Callable[..., Experiment]


@pytest.fixture
def planned(make: Make) -> Plan:
    experiment = make(students=["tiny-student-0.5m"], sft={"workers": 2, "checkpoints": {"at": [5, 10, 500]}})
    return plan(experiment, resolve_models(experiment))


def summary(step: Step) -> Mapping[str, Any]:
    large = step.params["sft"]["batch"]["per_device"] == 5
    updates = 12 if large else 120
    return {
        "updates": updates,
        "epochs": 2.0,
        "rows": 240,
        "checkpoints": {str(u): f"{step.address}/attempts/a/update-{u:06d}" for u in (5, 10, 500) if u < updates},
    }


def scores(step: Step) -> list[Score]:
    """The share of right answers grows with the update."""
    params = step.inputs[1].params
    right = params.get("update", 0 if params["model"] else 20)
    return [
        Score(
            **{"example_id": str(item), "task": step.inputs[0].params["task"], "model": "m", "target": "x"},
            **{"text": "x", "answer": "x", "finish_reason": "stop", "completion_tokens": 10, "strict": 0.0},
            **{"flexible": 0.0, "judged": None, "judge_verdict": None},
            outcome="right" if item < right else "wrong",
        )
        for item in range(params["start"], params["stop"])
    ]


def test_exports_are_scored_like_the_final_one_and_are_steps_of_their_own(planned: Plan) -> None:
    found = list(exports(planned, summary))
    assert {update for _, update, _, _ in found} == {5, 10}
    assert len(found) == 6 * 2
    keys = {step.key for step in planned.steps()}
    for cell, update, folder, scored in found:
        assert folder.startswith(cell.train.address) and folder.endswith(f"{update:06d}")
        for task, each in scored.items():
            final = planned.predictions[cell.train.key, task].complete
            assert {**each.complete.params, "update": None} == {**final.params, "update": None}
            assert each.complete.inputs == final.inputs
            assert each.complete.key not in keys and each.score.key not in keys


def test_progress_goes_from_the_untouched_student_to_the_end(planned: Plan) -> None:
    points = [point for point in progress([planned], summary, scores) if point.arm == "mix / 5x4"]
    (pooled,) = [[p for p in points if p.task == "all"]]
    assert [(p.update, p.right, p.n) for p in pooled] == [(0, 0, 40), (5, 10, 40), (10, 20, 40), (12, 40, 40)]
    assert [p.samples for p in pooled] == [0, 200, 400, 480]
    assert {p.updates for p in pooled} == {12}
    assert {p.task for p in points} == {"all", *planned.tasks}


def test_without_exports_there_is_no_progress(make: Make) -> None:
    experiment = make()
    made = plan(experiment, resolve_models(experiment))
    assert progress([made], lambda step: {**summary(step), "checkpoints": {}}, scores) == ()


def test_device_hours_count_what_is_held() -> None:
    train = Step("train", 1, {"sft": {"workers": 4}})
    on_gpu = Resources(engine_gpus=2, worker_gpus=1, engine_cpus=8, worker_cpus=8)
    assert device_hours(train, 3600, on_gpu) == 4
    assert device_hours(Step("complete", 1, {}), 1800, on_gpu) == 1
    assert device_hours(Step("mix", 1, {}), 3600, on_gpu) == 0
    own = {"large@1": 8.0}
    assert device_hours(Step("complete", 1, {"model": "large@1"}), 1800, on_gpu, own) == 4
    assert device_hours(Step("complete", 1, {"model": "small@1"}), 1800, on_gpu, own) == 1
    assert device_hours(Step("judge", 1, {"judge": "large@1"}), 1800, on_gpu, own) == 4
    tuned = Step("train", 1, {"student": "large@1"})
    assert device_hours(Step("complete", 1, {"model": None}, (train, tuned)), 1800, on_gpu, own) == 4
    assert device_hours(train, 3600, Resources(worker_cpus=0.5)) == 2


def test_the_ledger_adds_up(planned: Plan) -> None:
    rows = [
        *(
            accuracy("baseline", "tiny-student-0.5m", task, 20, 2, 10.0, student="tiny-student-0.5m")
            for task in planned.tasks
        ),
        *(
            accuracy("distilled", f"tiny-student-0.5m / {c.arm}", task, 20, 12, 10.0, student="tiny-student-0.5m")
            for c in planned.cells
            for task in planned.tasks
        ),
    ]
    found = ledger([planned], lambda step: 36.0, scores, rows)
    steps = unique(planned.steps())
    assert found.device == "CPU"
    assert found.device_hours["train"] == pytest.approx(6 * 2 * 0.01)
    assert found.device_hours["complete"] == pytest.approx(0.01 * sum(step.stage == "complete" for step in steps))
    assert [each.teacher for each in found.teachers] == ["large", "small"]
    # 60 training items of 2 tasks; items below 0 are right for untouched models: none
    assert {(each.rationales, each.right, each.tokens_wrong) for each in found.teachers} == {(120, 0, 1200)}
    assert len(found.students) == 6
    for each in found.students:
        assert each.gain_points == pytest.approx(50)
        assert each.device_hours_per_point == pytest.approx(0.02 / 50)


def test_a_budget_counts_the_gpus_of_the_largest_layout() -> None:
    resources = Resources(engines=3, engine_gpus=1, parallel={"big": {"tensor": 4, "pipeline": 2}})
    assert all_engines_devices(resources) == 3.0
    assert all_engines_devices(resources, [8, 2]) == 24.0
    assert all_engines_devices(Resources(engines=2, engine_cpus=0.9)) == 1.8
