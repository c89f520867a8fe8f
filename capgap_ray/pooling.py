"""Several splits of one experiment, read as one: `split.repeats` and `split.crossfit`.

Every split is a plan of its own, with its own selection on its own training items. Their test items are pooled:
under crossfit every item is tested once, in the fold that did not train on it; under repeats an item that several
splits test counts once, with the mean of its scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

from capgap_ray.artifacts.step import Step
from capgap_ray.experiment import Experiment
from capgap_ray.plan import Plan, plan
from capgap_ray.records import Selection

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The plans of all splits, and one plan through which analysis sees them."""

    plans: tuple[Plan, ...]
    """In the order of `Experiment.over_splits`, each with the tasks that it selected."""
    view: Plan
    """The first split's, with every task that any split selected. Not all of its steps are built: read through
    `reading`."""
    _stands_for: dict[str, list[Step]]
    """Key of a step of the view -> the steps of the splits that it stands for."""

    def steps(self, step: Step) -> list[Step]:
        """The splits' steps that a step of the view stands for."""
        return self._stands_for[step.key]

    def rows(self, read: Callable[[Step], Sequence[T]]) -> Callable[[Step], list[T]]:
        """A reader of the view's tables: the rows of all splits."""
        return lambda step: [row for each in self.steps(step) for row in read(each)]

    def first(self, read: Callable[[Step], T]) -> Callable[[Step], T]:
        """A reader of what is shown of one split only: the first that has it."""
        return lambda step: read(self.steps(step)[0])


def pool(experiment: Experiment, plans: Sequence[Plan]) -> Pool:
    """Join the plans of `experiment.over_splits()`; one plan is its own view."""
    tasks = tuple(task for task in experiment.task_names() if any(task in each.tasks for each in plans))
    first = plans[0]
    if first.tasks != tasks:
        kept, trained = {(cell.student.name, cell.arm) for cell in first.cells}, bool(first.baselines)
        first = plan(first.experiment, first.models, tasks, first.left_out)
        first = first.without({(cell.student.name, cell.arm) for cell in first.cells} - kept)
        first = first if trained else first.before_training()
    view = dataclasses.replace(first, experiment=experiment)
    found: dict[str, list[Step]] = {}
    for each in plans:
        pairs = [(step, each.examples[task]) for task, step in view.examples.items()]
        pairs += [(scored.score, each.measured[name].score) for name, scored in view.measured.items()]
        pairs += [(step, each.mixtures[name]) for name, step in view.mixtures.items()]
        pairs += [(step, each.surprisals[who]) for who, step in view.surprisals.items() if who in each.surprisals]
        pairs += [
            (scored.last, each.baselines[who].last) for who, scored in view.baselines.items() if who in each.baselines
        ]
        for mine, theirs in zip(view.cells, each.cells, strict=True):
            pairs.append((mine.train, theirs.train))
            for task in each.tasks:
                pairs.append(
                    (view.predictions[mine.train.key, task].last, each.predictions[theirs.train.key, task].last)
                )
        for role, slices in view.rationales.items():
            pairs += [(a.score, b.score) for a, b in zip(slices, each.rationales.get(role, ()), strict=False)]
        pairs += [(view.audit, each.audit)] if view.audit and each.audit else []
        for mine_step, theirs_step in dict.fromkeys(pairs):  # measured items are the first rationales, too
            found.setdefault(mine_step.key, []).append(theirs_step)
    return Pool(plans=tuple(plans), view=view, _stands_for=found)


def pooled_selection(by_split: Sequence[Sequence[Selection]]) -> tuple[Selection, ...]:
    """One row per task: items summed, accuracies averaged over splits; selected if any split selected it.

    The interval of the gap is that of the one split there is; over several, which share items, none is given.
    """
    return tuple(
        same[0]
        if len(same) == 1
        else Selection(
            task=same[0].task,
            n=sum(each.n for each in same),
            teacher_acc=fmean(each.teacher_acc for each in same),
            student_acc=fmean(each.student_acc for each in same),
            gap_points=fmean(each.gap_points for each in same),
            threshold_points=same[0].threshold_points,
            selected=any(each.selected for each in same),
        )
        for same in zip(*by_split, strict=True)
    )
