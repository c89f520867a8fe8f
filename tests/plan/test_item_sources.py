"""Where the report reads items: a task's arms in order, each call reading anew."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from capgap_ray.artifacts.step import Step
from capgap_ray.experiment import Experiment
from capgap_ray.flow import Built, item_sources
from capgap_ray.plan import plan, resolve_models
from capgap_ray.records import Example, Score, content_id
from capgap_ray.report.items import collect
from capgap_ray.rows import to_row


def _rows(step: Step) -> list[dict[str, Any]]:
    if step.stage == "examples":
        task = step.params["task"]
        return [
            to_row(Example(id=content_id(task, str(i)), task=task, split="test", question=f"q{i}", target="1"))
            for i in range(3)
        ]
    assert step.stage == "judge"
    score, task = step.inputs[0], step.inputs[0].inputs[0].params["task"]
    right = float("-mix-" in score.label)
    return [
        to_row(
            Score(
                example_id=content_id(task, str(i)),
                task=task,
                model=score.label,
                target="1",
                text=score.label,
                answer="1",
                finish_reason="stop",
                completion_tokens=1,
                outcome="right" if right else "wrong",
                strict=right,
                flexible=right,
                judged=right,
                judge_verdict=None,
            )
        )
        for i in range(3)
    ]


def test_every_arm_of_every_task_is_read(make: Callable[..., Experiment]) -> None:
    experiment = make()
    made = plan(experiment, resolve_models(experiment))
    run: Any = SimpleNamespace(experiment=experiment, store=SimpleNamespace(rows=_rows))
    sources = item_sources(run, Built(plans=(made,), chosen=()))
    assert [source.task for source in sources] == list(made.tasks)
    roles = [arm.role for arm, _ in sources[0].arms]
    assert roles == ["teacher"] * 2 + ["baseline"] * 2 + ["distilled"] * len(made.cells)
    arm, read = sources[0].arms[-1]
    last = made.cells[-1]
    assert (arm.student, f"{arm.mixture} / {arm.setting}") == (last.student.name, last.arm)
    assert [score.text for score in read()] == [score.text for score in read()], "each call reads anew"
    found = collect(sources, lambda rows: None)
    assert found.predictions == 2 * 3 * (4 + len(made.cells))
    gained = {flips.arm.mixture for flips in found.flips if flips.counts["gained"] == 3}
    assert gained == {"mix"}
