"""What lies in the store beside the scores: accuracy on the way through training, and what everything cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from capgap_ray.artifacts.step import Step, unique
from capgap_ray.core.ledger import student_cost, teacher_cost
from capgap_ray.plan import Cell, Plan, Scored
from capgap_ray.records import Accuracy, Score
from capgap_ray.results import Ledger, ProgressPoint
from capgap_ray.settings import Resources, Sft

Summary = Callable[[Step], Mapping[str, Any]]
"""A built step's summary."""
ReadScores = Callable[[Step], Sequence[Score]]
Seconds = Callable[[Step], float]
"""Work time of a built step."""


# --- on the way ------------------------------------------------------------------------------------------


def exports(made: Plan, summary: Summary) -> Iterator[tuple[Cell, int, str, Mapping[str, Scored]]]:
    """Every export on the way of every cell: (cell, update, folder in the store, task -> its scores' steps)."""
    for cell in made.cells:
        folders: Mapping[str, str] = summary(cell.train)["checkpoints"]
        scored = made.on_the_way(cell, [int(update) for update in folders])
        for update, folder in folders.items():
            yield cell, int(update), folder, {task: scored[int(update), task] for task in made.tasks}


def progress(plans: Iterable[Plan], summary: Summary, scores: ReadScores) -> tuple[ProgressPoint, ...]:
    """Accuracy by the rules against updates, of cells with exports on the way: from the untouched student to the end.

    Splits are summed: under `repeats` an item counts once for each split that tests it.
    """
    counted: dict[tuple[str, str, str, str, str, int, int, int], list[int]] = {}

    def count(cell: Cell, update: int, task: str, step: Step) -> None:
        trained = summary(cell.train)
        places = cell.sft.batch.per_device * cell.sft.batch.accumulation * cell.sft.workers
        seen = min(update * places, round(trained["epochs"] * trained["rows"]))
        who = (cell.student.name, cell.mixture, str(cell.sft.batch), cell.arm)
        rows = scores(step)
        right = sum(score.outcome == "right" for score in rows)
        for name in (task, "all"):
            so_far = counted.setdefault((*who, name, update, trained["updates"], seen), [0, 0])
            so_far[0] += len(rows)
            so_far[1] += right

    for made in plans:
        cells = {}
        for cell, update, _, scored in exports(made, summary):
            cells[cell.train.key] = cell
            for task, each in scored.items():
                count(cell, update, task, each.score)
        for cell in cells.values():
            for task in made.tasks:
                count(cell, 0, task, made.baselines[cell.student.name, task].score)
                count(cell, summary(cell.train)["updates"], task, made.predictions[cell.train.key, task].score)
    return tuple(
        ProgressPoint(
            student=student,
            mixture=mixture,
            batch=batch,
            arm=arm,
            task=task,
            update=update,
            updates=updates,
            samples=samples,
            n=n,
            right=right,
        )
        for (student, mixture, batch, arm, task, update, updates, samples), (n, right) in sorted(
            counted.items(), key=lambda item: (item[0][0], item[0][3], item[0][4], item[0][5])
        )
    )


# --- the ledger --------------------------------------------------------------------------------------------


def ledger(
    plans: Sequence[Plan],
    seconds: Seconds,
    scores: ReadScores,
    accuracies: Sequence[Accuracy],
    tried: Iterable[Step] = (),
) -> Ledger:
    """What the results cost. Hours are work time times the devices that each stage holds, whenever it was spent.

    `tried`: trainings of a search, also of cells that were not chosen.
    """
    resources = plans[0].experiment.resources
    own = {plans[0].models[name].identity: float(each.gpus) for name, each in resources.parallel.items()}
    hours: defaultdict[str, float] = defaultdict(float)
    for step in unique([*(step for made in plans for step in made.steps()), *tried]):
        hours[step.stage] += device_hours(step, seconds(step), resources, own)
    teachers: defaultdict[str, tuple[list[Score], list[float]]] = defaultdict(lambda: ([], []))
    for made in plans:
        for (role, _), slices in made.rationales.items():
            for scored in slices:
                teachers[role][0].extend(scores(scored.score))
                teachers[role][1].append(device_hours(scored.complete, seconds(scored.complete), resources, own))
    spent: defaultdict[tuple[str, str], float] = defaultdict(float)
    for made in plans:
        for cell in made.cells:
            spent[cell.student.name, cell.arm] += device_hours(cell.train, seconds(cell.train), resources)
    return Ledger(
        device="GPU" if _on_gpu(resources) else "CPU",
        device_hours={stage: round(value, 6) for stage, value in hours.items()},
        teachers=tuple(teacher_cost(role, rows, sum(each)) for role, (rows, each) in teachers.items()),
        students=tuple(
            student_cost(student, arm, f"{student} / {arm}", accuracies, value)
            for (student, arm), value in spent.items()
        ),
    )


def device_hours(
    step: Step, seconds: float, resources: Resources, own: Mapping[str, float] = MappingProxyType({})
) -> float:
    """Hours of GPUs, or of CPUs where the experiment uses no GPU, that a step's work time held; 0 for small work.

    `own`: GPUs of an engine, by the identity of its model, of those in `resources.parallel`.
    """
    if step.stage == "train":
        devices = training_devices(Sft.model_validate(step.params["sft"]).workers, resources)
    elif step.stage in ("complete", "surprisal", "judge", "audit"):
        devices = own.get(_asked(step), engine_devices(resources))
    else:
        devices = 0.0
    return seconds * devices / 3600


def _asked(step: Step) -> str:
    """Identity of the untouched model whose engine the step uses; of a checkpoint, its student's."""
    for model in ("judge", "student"):
        if model in step.params:
            return str(step.params[model])
    return str(step.params.get("model") or (step.inputs[1].params["student"] if len(step.inputs) > 1 else ""))


def engine_devices(resources: Resources) -> float:
    """What one engine holds, of a model that has no engines of its own."""
    return resources.engine_gpus if _on_gpu(resources) else resources.engine_cpus


def all_engines_devices(resources: Resources, own: Iterable[int] = ()) -> float:
    """What all engines hold that may stand at once. `own`: GPUs of an engine of each model that has its own layout."""
    return resources.engines * max([engine_devices(resources), *map(float, own)])


def training_devices(workers: int, resources: Resources) -> float:
    """What one training holds."""
    return workers * (resources.worker_gpus if _on_gpu(resources) else resources.worker_cpus)


def _on_gpu(resources: Resources) -> bool:
    return resources.engine_gpus > 0 or resources.worker_gpus > 0 or bool(resources.parallel)
