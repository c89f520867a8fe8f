"""What a set of results says without a claim, and so outside the family of `findings.py`: the teachers' own leads, task
selection, the paper's rules by name, and what cannot be said."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean

from capgap_ray.core import capacity_gap
from capgap_ray.core.arms import UNTOUCHED, Arm, Part, Refusal, Runs, estimate, name
from capgap_ray.core.lineup import Lineup
from capgap_ray.core.protocol_rules import CAPACITY_GAP, EFFICACY, Distilled, effective, has_pattern
from capgap_ray.core.proxies import Cell, Parts, TeacherPart
from capgap_ray.core.recommendation import select_tasks
from capgap_ray.records import Estimated, RuleReading, Selection


def few_shot_leads(lineup: Lineup, runs: Runs) -> tuple[str, ...]:
    """Every two teachers' own accuracies in words: what a choice before training can rest on."""
    own = {(task, arm.student): arm for task in lineup.tasks for arm in lineup.few_shot(task)[0]}
    said = []
    for first, second in combinations(lineup.teachers, 2):
        pairs = [(own.get((task, first)), own.get((task, second))) for task in lineup.tasks]
        parts: list[Part] = [[(a, 1.0), (b, -1.0)] for a, b in pairs if a is not None and b is not None]
        try:
            found = estimate(parts, runs) if parts else None
        except Refusal:
            continue
        if found is not None:
            low, high = 100 * found.low, 100 * found.high
            said.append(
                f"few-shot, {first} scores {100 * found.value:+.1f} points against {second} (95 % interval "
                f"{low:+.1f} to {high:+.1f}): "
                + (
                    "where teachers differ much, start with the stronger one; a hint that only training can confirm"
                    if low > 0 or high < 0
                    else "their own accuracies give no reason to prefer either"
                )
            )
    return tuple(said)


def selection(lineup: Lineup, runs: Runs, threshold_points: float) -> tuple[Selection, ...]:
    """Which tasks pass the in-context gap rule, by the untouched models' own arms. It is of test items: say so."""
    made = []
    for task in lineup.tasks:
        of_teachers, of_students = lineup.few_shot(task)
        if of_teachers and of_students and None not in (a.accuracy for a in of_teachers + of_students):
            made.append(gap_selection(task, of_teachers, of_students, runs, threshold_points))
    return tuple(made)


def few_shot_gaps(lineup: Lineup) -> dict[str, Parts]:
    """The proxy that every set of results with teachers of its own has: their lead before training."""
    gaps: dict[Cell, list[TeacherPart]] = {}
    for task in lineup.tasks:
        of_teachers, of_students = ({a.student: a for a in each} for each in lineup.few_shot(task))
        for student, before in of_students.items():
            for teacher, arm in of_teachers.items():
                theirs, own = arm.accuracy, before.accuracy
                if theirs is not None and own is not None:
                    error = math.sqrt(theirs * (1 - theirs) / arm.n)
                    found = Estimated(value=theirs - own, error=error)
                    gaps[task, student, teacher] = [TeacherPart(share=1.0, source=teacher, measured=found)]
    return {"few-shot gap": gaps} if gaps else {}


def read_rule(lineup: Lineup, rule: str) -> tuple[tuple[RuleReading, ...], list[str]]:
    """The rule on every task, pair of teachers and recipe, and where it cannot be read. Raises ValueError on one that
    is unknown."""
    if rule not in EFFICACY and rule not in CAPACITY_GAP:
        raise ValueError(f"rule {rule!r} is unknown; known: {', '.join([*EFFICACY, *CAPACITY_GAP])}")
    formula = (EFFICACY.get(rule) or CAPACITY_GAP[rule]).formula
    sized = capacity_gap.sizes_of(lineup.students)
    made, refused = [], []
    for recipe in lineup.recipes:
        for pair in combinations(lineup.teachers, 2):
            weak, strong, _ = lineup.order(*pair)
            for task in lineup.tasks:
                arms = {s: both for s in sized if (both := lineup.both(task, s, weak, strong, recipe))}
                try:
                    holds = _holds(lineup, rule, task, arms, sized, recipe)
                except ValueError as error:
                    refused.append(f"rule {rule} on {task}: {error}")
                    continue
                made.append(
                    RuleReading(
                        rule=rule, formula=formula, task=task, weaker=weak, stronger=strong, recipe=recipe, holds=holds
                    )
                )
    return tuple(made), refused


def _holds(
    lineup: Lineup,
    rule: str,
    task: str,
    arms: Mapping[str, tuple[Arm, Arm]],
    sized: Mapping[str, float],
    recipe: str,
) -> bool:
    """Raises ValueError where the rule cannot be read."""
    points = {s: tuple(100 * (arm.accuracy or 0.0) for arm in both) for s, both in arms.items()}
    if not arms or any(arm.accuracy is None for both in arms.values() for arm in both):
        raise ValueError("no student was distilled from both teachers")
    if rule in CAPACITY_GAP:
        return bool(has_pattern(rule, [w - s for w, s in points.values()], [sized[s] for s in arms]))
    before = {s: lineup.untouched(task, s, recipe) for s in arms}
    bases = [b for b in before.values() if b is not None and b.accuracy is not None]
    if len(bases) < len(arms):
        raise ValueError("an untouched student is missing")
    of_teachers, of_students = ([a.accuracy for a in each] for each in lineup.few_shot(task))
    gap = None
    if of_teachers and of_students and None not in of_teachers + of_students:
        gap = 100 * (fmean(of_teachers) - fmean(of_students))  # type: ignore[arg-type]
    return effective(
        rule,
        Distilled(
            baseline=[100 * (base.accuracy or 0.0) for base in bases],
            distilled=list(points.values()),
            gap=gap,
            baseline_items=bases[0].n,
            distilled_items=next(iter(arms.values()))[0].n,
        ),
    )


def gap_selection(
    task: str, teachers: Sequence[Arm], students: Sequence[Arm], runs: Runs, threshold_points: float
) -> Selection:
    """Return whether a task passes the in-context gap rule, with an interval of the gap over the same items."""
    shares: list[dict[str, float]] = [{a.student: a.accuracy or 0.0 for a in each} for each in (teachers, students)]
    (chosen,) = select_tasks({task: shares[0]}, {task: shares[1]}, teachers[0].n, threshold_points)
    part = [(a, 1 / len(teachers)) for a in teachers] + [(a, -1 / len(students)) for a in students]
    try:
        found = estimate([part], runs)
    except Refusal:  # measured on other items: the gap stands without an interval
        return chosen
    if found is None:
        return chosen
    return dataclasses.replace(chosen, ci_low=100 * found.low, ci_high=100 * found.high)


def caveats(lineup: Lineup, claims: int, advantages: int, gaps: int) -> list[str]:
    """What cannot be said, and under which assumptions the rest is. Counts are of what is found."""
    notes = []
    if claims:
        notes.append(f"claims in one family: {claims}; the chance of any false one among them is at most 5 %")
    if not lineup.teachers:
        notes.append("no distilled student: efficacy, teachers and capacity gap cannot be judged")
    elif len(lineup.teachers) == 1:
        notes.append("one teacher only: teachers cannot be compared, and there is no capacity gap to look for")
    elif not advantages:
        notes.append("no two teachers taught one student under one recipe on the same items")
    if len(lineup.teachers) > 1 and not gaps:
        sizes = {size for size in lineup.students.values() if size is not None}
        unknown = [s for s, size in lineup.students.items() if size is None]
        if unknown and len(sizes) < 2:
            notes.append(
                f"capacity gap: the size of {', '.join(unknown)} is not known; add a column `size` (billions of "
                "parameters)"
            )
        elif len(sizes) < 2:
            notes.append("capacity gap: students of one size only; it needs at least two")
    trained = [a for a in lineup.arms.values() if a.teacher != UNTOUCHED]
    notes += [
        f"{name(a)}: {a.scored_runs} of {len(a.runs)} training runs have a score"
        for a in trained
        if a.scored_runs < len(a.runs)
    ]
    if trained and all(a.scored_runs <= 1 for a in trained):
        notes.append(
            "one training run per arm: the intervals are about these trained models; how much another training "
            "seed would change them is not known"
        )
    if any(a.items is None for a in trained):
        notes.append(
            "accuracies without items: nothing is paired, so differences are tested as if the items were different "
            "ones (intervals too wide rather than too narrow), and unscored items cannot be told from wrong ones"
        )
    unscored = sum(a.unscored for a in lineup.arms.values())
    if unscored:
        notes.append(
            f"{unscored} items of an arm have no score; they are left out, not counted as wrong, and bound_low and "
            "bound_high say what could hide in them"
        )
    return notes
