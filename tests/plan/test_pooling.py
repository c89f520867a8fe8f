"""Several splits read as one: which steps stand for which, and what analysis sees through the view."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.plan import plan, resolve_models
from capgap_ray.pooling import Pool, pool, pooled_selection
from capgap_ray.records import Selection

Make = Callable[..., Any]

FOLDS = 3


def pooled(make: Make, drop: dict[int, str] | None = None) -> Pool:
    """Three folds; `drop` maps a fold to the task that it does not select."""
    experiment = make(split={"crossfit": FOLDS}, selection={"items": 50})
    models = resolve_models(experiment)
    plans = [
        plan(single, models, [task for task in experiment.task_names() if task != (drop or {}).get(fold)])
        for fold, single in enumerate(experiment.over_splits())
    ]
    return pool(experiment, plans)


def test_one_plan_is_its_own_view(make: Make) -> None:
    experiment = make()
    made = plan(experiment, resolve_models(experiment))
    single = pool(experiment, [made])
    for step in made.steps():
        if step.stage in ("judge", "train", "mix", "audit"):
            assert single.steps(step) == [step]


def test_every_fold_stands_behind_the_view(make: Make) -> None:
    joined = pooled(make)
    view = joined.view
    for scored in (*view.baselines.values(), *view.predictions.values()):
        steps = joined.steps(scored.last)
        assert len({step.key for step in steps}) == FOLDS
    for cell in view.cells:
        assert len({step.key for step in joined.steps(cell.train)}) == FOLDS
    read = joined.rows(lambda step: [step.key])
    assert len(read(view.cells[0].train)) == FOLDS


def test_a_task_counts_where_it_was_selected(make: Make) -> None:
    experiment = make()
    dropped = experiment.task_names()[0]
    joined = pooled(make, {0: dropped})
    assert joined.view.tasks == experiment.task_names(), "the view has what any fold selected"
    name = experiment.students[0]
    assert len(joined.steps(joined.view.baselines[name, dropped].last)) == FOLDS - 1
    assert len(joined.steps(joined.view.baselines[name, experiment.task_names()[1]].last)) == FOLDS
    first = joined.first(lambda step: step)
    built = {step.key for each in joined.plans for step in each.steps()}
    shown: list[Step] = [first(cell.train) for cell in joined.view.cells]
    assert {step.key for step in shown} <= built, "nothing is read that no fold has built"


def test_selection_is_averaged_over_splits() -> None:
    one = Selection(
        task="t", n=50, teacher_acc=0.8, student_acc=0.4, gap_points=40.0, threshold_points=30.0, selected=True
    )
    two = replace(one, teacher_acc=0.6, gap_points=20.0, selected=False)
    (both,) = pooled_selection([[one], [two]])
    assert both.n == 100
    assert both.gap_points == pytest.approx(30.0)
    assert both.selected, "one split's selection is enough"
