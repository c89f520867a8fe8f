"""An experiment's scores as the arms that `core.findings` reads: the same way as results made elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations, product
from statistics import fmean
from typing import Any

import numpy as np

from capgap_ray.artifacts.step import Step, canonical_json
from capgap_ray.core.arms import UNTOUCHED, Arm, Runs
from capgap_ray.core.confounds import find_confounds, treated_fields
from capgap_ray.core.findings import Declared, Levelled, Table, find
from capgap_ray.core.proxies import TeacherPart
from capgap_ray.core.surprisal import proxies_of, ratio_of_means
from capgap_ray.core.unclaimed import gap_selection
from capgap_ray.plan import Cell, Plan
from capgap_ray.records import (
    Confound,
    Equal,
    Estimated,
    FilterReport,
    Findings,
    RecipeCard,
    Score,
    Selection,
    TraceSummary,
)
from capgap_ray.rows import from_row

ReadScores = Callable[[Step], Sequence[Score]]
ReadSummary = Callable[[Step], Mapping[str, Any]]
Key = tuple[str, str, str]


def key_of(cell: Cell) -> Key:
    """Student, mixture, and the rest of the arm: its recipe without the training seed, which is a run of it."""
    return cell.student.name, cell.mixture, cell.recipe


def arm_label(key: Key) -> str:
    """As comparisons name the arm: `mix / 5x4`."""
    return " / ".join(key[1:])


def findings(
    plan: Plan,
    scores: ReadScores,
    cards: Mapping[str, RecipeCard],
    chosen: Sequence[Selection],
    filters: Mapping[str, Sequence[FilterReport]],
    summary: ReadSummary,
) -> Findings:
    """All findings of a plan whose steps are built; `cards` maps keys of train steps to recipes, `filters` mixtures to
    what was kept for them. Before training (`Plan.before_training`) the arms are the untouched students on the
    measured training items.
    """
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
            arms=tuple(_arms(plan, scores, groups) if plan.baselines else _measured_arms(plan, scores)),
            rows=sum(len(scores(scored.last)) for scored in (*plan.baselines.values(), *plan.predictions.values())),
            sizes={model.name: model.parameters / 1e9 for model in plan.students()},
            notes=(
                *(() if plan.baselines else ("before training: accuracies are those of the measured training items",)),
                *_unread(plan, summary),
            ),
        ),
        teacher_sizes=_teacher_sizes(plan),
        selection=chosen,
        proxies=_proxies(plan, scores, filters, summary),
        confounded=confounded,
        declared=list(once.values()),
        levelled=_levelled(plan, [cells[0] for cells in groups.values()]),
    )


def _levelled(plan: Plan, cells: Sequence[Cell]) -> list[Levelled]:
    """Every two mixtures under one recipe with arms of equal quantity: by `filter.size`, or by `match`.

    `cells`: one of each arm.
    """

    def roles(cell: Cell) -> str:
        return canonical_json(plan.mixtures[cell.mixture].params["mixture"])

    def recipe(cell: Cell) -> tuple[str, str, str]:
        sft, kept = cell.sft.model_dump(mode="json", exclude={"seed"}), cell.filter.model_dump(exclude={"size"})
        return cell.student.name, canonical_json(sft), canonical_json(kept)

    # An arm that is matched to another in epochs is that arm's recipe on other rows, all of them.
    own = [cell for cell in cells if cell.matched is None or cell.matched[0] == "epochs"]
    natural = {(recipe(cell), roles(cell)): cell for cell in own if cell.filter.size is None}
    sized = {(recipe(cell), cell.filter.size, roles(cell)): cell for cell in own if cell.filter.size is not None}
    made = []

    def add(equal: Equal, left: Cell | None, right: Cell | None, level: tuple[Cell, Cell]) -> None:
        if left is not None and right is not None:
            pairs = [(key_of(first), key_of(second)) for first, second in ((left, right), level)]
            made.append(Levelled(equal=equal, natural=pairs[0], level=pairs[1]))

    for (of, size, first), (other, second_size, second) in combinations(sized, 2):
        if (of, size) == (other, second_size):
            level = sized[of, size, first], sized[of, size, second]
            add("rows", natural.get((of, first)), natural.get((of, second)), level)
    for pair in plan.pairs:
        kind = pair.left.matched[0] if pair.left.matched else None
        if kind is not None and kind != "epochs":
            left, right = (natural.get((recipe(cell), roles(cell))) for cell in (pair.left, pair.right))
            add(kind, left, right, (pair.left, pair.right))
    return list(dict.fromkeys(made))


def claims(plan: Plan) -> tuple[int, int]:
    """How many claims the findings will make, if all cells are trained: (pooled over tasks, on single tasks).

    All share one error rate (`core/findings.py`), so that this is known before anything runs.
    """
    cells = {key_of(cell): cell for cell in plan.cells}
    students = {model.name: model.parameters for model in plan.students()}
    tasks = len(plan.tasks)
    over_tasks = int(tasks > 1)
    of_each = over_tasks, tasks  # what is asked of each task, and of all together where there are several
    asked = [of_each] * len(cells)
    recipes = dict.fromkeys(recipe for _, _, recipe in cells)
    mixtures = dict.fromkeys(mixture for _, mixture, _ in cells)
    for recipe in recipes:
        for pair in combinations(mixtures, 2):
            have = {s: [(s, mixture, recipe) in cells for mixture in pair] for s in students}
            both = [s for s, each in have.items() if all(each)]
            asked += [of_each] * len(both)
            if len(both) > 1 and len(both) == sum(any(each) for each in have.values()):
                asked.append((1, 0))  # over all students together
            if len({students[s] for s in both}) > 1:
                asked.append(of_each)  # the capacity gap
    declared = {(pair.name, key_of(pair.left), key_of(pair.right)) for pair in plan.pairs}
    if declared:
        asked += [of_each] * len(declared)
    else:
        alone = (1, 0) if over_tasks else (0, 1)
        for student, mixture in product(students, mixtures):
            known = sum((student, mixture, recipe) in cells for recipe in recipes)
            asked += [alone] * math.comb(known, 2)
    asked += [(2, 0)] * len(_levelled(plan, [*cells.values()]))
    return sum(pooled for pooled, _ in asked), sum(single for _, single in asked)


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


def _measured_arms(plan: Plan, scores: ReadScores) -> Iterable[Arm]:
    for task in plan.trained:
        measured = {model.name: scores(plan.measured[model.name, task].score) for model in plan.students()}
        items = _items(measured.values())
        for name, found in measured.items():
            yield _arm(task, (name, UNTOUCHED, ""), {"": found}, items, judged=False)


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
        grain=1 / max(1, *map(len, answers.values())),
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


def _unread(plan: Plan, summary: ReadSummary) -> Iterator[str]:
    """Where a student could not read all that was drawn for it, so that its proxies are of the other traces."""
    for step, (student, _, role, _) in {step: who for who, step in plan.surprisals.items()}.items():
        found = from_row(TraceSummary, summary(step)["read"])
        if found.read < found.drawn:
            yield (
                f"{step.label}: {student} read {found.read} of {found.drawn} traces of {role}; the others are longer "
                "than sft.cutoff_tokens or engine.max_model_len, or cannot be rendered (see its quarantine table)"
            )


def _proxies(
    plan: Plan, scores: ReadScores, filters: Mapping[str, Sequence[FilterReport]], summary: ReadSummary
) -> dict[str, dict[Key, list[TeacherPart]]]:
    """What was known before training: proxy -> (task, student, mixture) -> its teachers' parts."""
    kept = {(name, each.teacher, each.task): each.kept for name, reports in filters.items() for each in reports}

    @cache
    def right(name: str, task: str) -> Estimated:
        found = scores(plan.measured[name, task].score)
        share = sum(score.outcome == "right" for score in found) / len(found)
        return Estimated(value=share, error=math.sqrt(share * (1 - share) / len(found)))

    @cache
    def length(role: str, task: str) -> Estimated | None:
        if role in plan.published:
            return None  # nobody has counted the tokens of ready-made ones
        traces = [s for scored in plan.rationales[role, task] for s in scores(scored.score) if s.outcome == "right"]
        tokens = [float(score.completion_tokens) for score in traces]
        return ratio_of_means(tokens, [1.0] * len(tokens), [score.example_id for score in traces])

    def known(task: str, student: str, mixture: str, role: str) -> Iterator[tuple[str, str, Estimated]]:
        """(proxy, what was measured, the number)."""
        teacher = right(plan.experiment.teachers[role], task)
        lead = teacher.value - right(student, task).value  # whose own error is in every teacher's, and tells none apart
        yield "few-shot gap", role, Estimated(value=lead, error=teacher.error)
        if (mixture, role, task) in kept:
            yield "yield", role, Estimated(value=kept[mixture, role, task], error=0.0)
        if (tokens := length(role, task)) is not None:
            yield "mean trace length", role, tokens
        if (step := plan.surprisals.get((student, mixture, role, task))) is not None:
            for proxy, found in proxies_of(from_row(TraceSummary, summary(step)["read"])).items():
                yield proxy, step.key, found

    made: dict[str, dict[Key, list[TeacherPart]]] = {}
    for task in plan.trained:
        for student in plan.students():
            for mixture, step in plan.mixtures.items():
                parts: dict[str, list[TeacherPart]] = {}
                for role, share in step.params["mixture"].items():
                    for proxy, source, found in known(task, student.name, mixture, role):
                        parts.setdefault(proxy, []).append(TeacherPart(share=share, source=source, measured=found))
                for proxy, of_cell in parts.items():
                    if len(of_cell) == len(step.params["mixture"]):
                        made.setdefault(proxy, {})[task, student.name, mixture] = of_cell
    return made
