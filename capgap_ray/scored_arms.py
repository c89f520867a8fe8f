"""An experiment's scores as the arms that `core.findings` reads: the same way as results made elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np

from capgap_ray.artifacts.step import Step
from capgap_ray.core.arms import UNTOUCHED, Arm, Runs
from capgap_ray.core.confounds import find_confounds, treated_fields
from capgap_ray.core.findings import Declared, Table, find, gap_selection
from capgap_ray.plan import Cell, Plan
from capgap_ray.records import Confound, FilterReport, Findings, RecipeCard, Score, Selection

ReadScores = Callable[[Step], Sequence[Score]]
Key = tuple[str, str, str]


def key_of(cell: Cell) -> Key:
    """Student, mixture, and the rest of the arm: its recipe without the training seed, which is a run of it."""
    notes = [note for note in cell.notes if note != f"seed {cell.sft.seed}"]
    return cell.student.name, cell.mixture, " / ".join([str(cell.sft.batch), *notes])


def findings(
    plan: Plan,
    scores: ReadScores,
    cards: Mapping[str, RecipeCard],
    chosen: Sequence[Selection],
    filters: Iterable[FilterReport],
) -> Findings:
    """All findings of a plan whose steps are built; `cards` maps keys of train steps to recipes."""
    groups: dict[Key, list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(key_of(cell), []).append(cell)

    def confounded(left: Arm, right: Arm) -> tuple[Confound, ...]:
        if UNTOUCHED in (left.teacher, right.teacher):
            return ()
        first, second = (cards[groups[arm.key][0].train.key] for arm in (left, right))
        return find_confounds(first, second, {"mixture"})

    declared = [
        Declared(
            name=pair.name,
            left=key_of(pair.left),
            right=key_of(pair.right),
            confounds=find_confounds(
                cards[pair.left.train.key], cards[pair.right.train.key], treated_fields(pair.treatment)
            ),
        )
        for pair in plan.pairs
    ]
    once = {(each.name, each.left, each.right): each for each in declared}
    return find(
        Table(
            arms=tuple(_arms(plan, scores, groups)),
            rows=sum(len(scores(scored.last)) for scored in (*plan.baselines.values(), *plan.predictions.values())),
            sizes={model.name: model.parameters / 1e9 for model in plan.students()},
        ),
        teacher_sizes=_teacher_sizes(plan),
        selection=chosen,
        proxies=_proxies(plan, scores, list(filters)),
        confounded=confounded,
        declared=list(once.values()),
    )


def selected(plan: Plan, scores: ReadScores) -> tuple[Selection, ...]:
    """The gap rule on the measured training items, with intervals of the gap."""
    made = []
    for task in plan.experiment.trained_names():
        measured = {
            name: scores(plan.measured[name, task].score)
            for name in dict.fromkeys(model.name for model in (*plan.teachers().values(), *plan.students()))
        }
        items = _items(measured.values())
        teachers, students = (
            [
                _arm(task, (name, UNTOUCHED, ""), {"": measured[name]}, items, judged=False)
                for name in dict.fromkeys(model.name for model in models)
            ]
            for models in (plan.teachers().values(), plan.students())
        )
        threshold = plan.experiment.selection.gap_points
        made.append(gap_selection(task, teachers, students, Runs([]), threshold))
    return tuple(made)


def _arms(plan: Plan, scores: ReadScores, groups: Mapping[Key, Sequence[Cell]]) -> Iterable[Arm]:
    for task in plan.tasks:
        arms: dict[Key, dict[str, Sequence[Score]]] = {
            (model.name, UNTOUCHED, ""): {"": scores(plan.baselines[model.name, task].last)}
            for model in plan.students()
        }
        for key, cells in groups.items():
            arms[key] = {str(c.sft.seed): scores(plan.predictions[c.train.key, task].last) for c in cells}
        items = _items(run for runs in arms.values() for run in runs.values())
        for key, runs in arms.items():
            yield _arm(task, key, runs, items)


def _items(runs: Iterable[Sequence[Score]]) -> list[str]:
    """Every item that some arm has a score for: in an arm that lacks it (quarantined there), it is unscored."""
    return sorted({score.example_id for run in runs for score in run})


def _arm(task: str, key: Key, runs: Mapping[str, Sequence[Score]], items: Sequence[str], *, judged: bool = True) -> Arm:
    """One arm's scores; training items are never judged, so theirs are the rules'."""
    every = [score for scores in runs.values() for score in scores]
    place = {item: i for i, item in enumerate(items)}
    answers: dict[tuple[int, int], list[float]] = {}
    for run, scores in enumerate(runs.values()):
        for score in scores:
            value = score.judged if judged else float(score.outcome == "right")
            answers.setdefault((place[score.example_id], run), []).extend([] if value is None else [value])
    table = np.full((len(items), len(runs)), np.nan)
    for (item, run), values in answers.items():
        if values:
            table[item, run] = fmean(values)
    counts = Counter(score.outcome for score in every)
    return Arm(
        task=task,
        student=key[0],
        teacher=key[1],
        recipe=key[2],
        scores=table,
        runs=tuple(runs),
        items=np.array(items),
        n=len(items),
        grain=1 / max((len(values) for values in answers.values()), default=1),
        shares={name: counts[name] / len(every) for name in ("right", "wrong", "unparsable", "truncated")},
        tokens=fmean(score.completion_tokens for score in every),
    )


def _teacher_sizes(plan: Plan) -> dict[str, float]:
    """Mixture -> mean size of its teachers by share, in billions; nothing where all teachers are of one size."""
    teachers = plan.teachers()
    if len({model.parameters for model in teachers.values()}) < 2:
        return {}
    return {name: _mean_share(plan, name, lambda role: teachers[role].parameters / 1e9) for name in plan.mixtures}


def _mean_share(plan: Plan, mixture: str, value: Callable[[str], float]) -> float:
    shares: dict[str, float] = plan.mixtures[mixture].params["mixture"]
    return sum(share * value(role) for role, share in shares.items())


def _proxies(
    plan: Plan, scores: ReadScores, filters: Sequence[FilterReport]
) -> dict[str, dict[tuple[str, str, str], float]]:
    """What was known before training, per task, student and mixture."""
    kept = {(each.teacher, each.task): each.kept for each in filters}

    def share_right(name: str, task: str) -> float:
        measured = scores(plan.measured[name, task].score)
        return sum(score.outcome == "right" for score in measured) / len(measured)

    made: dict[str, dict[tuple[str, str, str], float]] = {"few-shot gap": {}, "yield": {}, "mean trace length": {}}
    for task in plan.trained:
        lengths = {}
        for role in plan.teachers():
            if role in plan.published:
                continue  # nobody has counted the tokens of ready-made ones
            traces = [s for scored in plan.rationales[role, task] for s in scores(scored.score) if s.outcome == "right"]
            if traces:
                lengths[role] = fmean(score.completion_tokens for score in traces)
        for student in plan.students():
            for mixture in plan.mixtures:
                cell = (task, student.name, mixture)
                accuracy = _mean_share(plan, mixture, lambda role: share_right(plan.experiment.teachers[role], task))  # noqa: B023
                made["few-shot gap"][cell] = accuracy - share_right(student.name, task)
                roles = plan.mixtures[mixture].params["mixture"]
                if all((role, task) in kept for role in roles):
                    made["yield"][cell] = _mean_share(plan, mixture, lambda role: kept[role, task])  # noqa: B023
                if all(role in lengths for role in roles):
                    made["mean trace length"][cell] = _mean_share(plan, mixture, lambda role: lengths[role])  # noqa: B023
    return made
