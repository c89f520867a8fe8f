"""All verdicts on one set of results, as one JSON document: `records.Findings`.

The schema is `capgap-ray/findings`, version 1: the fields of `records.Findings` and of the records it holds, whose
docstrings give meaning and unit. Differences, intervals and accuracies are shares (0.05 = 5 points); a p value is
two-sided; null is "not known". The version rises when a field is renamed, removed or given another meaning; new
fields do not raise it. Where to look:

    efficacy[]        task, student, teacher, recipe, status improved | harmed | undetermined, comparison
    advantages[]      task, student, weaker, stronger, better (a teacher or null), comparison of weaker minus stronger;
                      task "all": mean over tasks; student "all": mean over students as well
    capacity_gap[]    task, status pattern | none | undetermined, intervals of small end and contrast
    chance_patterns[] rule, observed, expected
    random_effects[]  the same differences with tasks as drawn
    arms[]            every arm alone: n, unscored, accuracy and its bounds
    proxies[]         how well each number known before training foretold the gains
    leads[]           which teacher each such number prefers for a student, with values, standard errors and whether
                      its interval excludes the others
    quantity[]        what of a teacher's lead is left with equal rows, updates, tokens or items (quality), and the rest
    comparison        n, delta, ci_low, ci_high (95 %), p, p_adjusted, level, mde (at 5 %), mde_adjusted (corrected)

The family. Every claim of the document (a gain or harm, a better teacher, a pattern) belongs to one family, whose
chance of holding any false claim is at most 5 %: weighted Holm, half of the error rate on what is pooled over tasks,
half on single tasks, where both exist. A claim also needs a 95 % interval without zero. Exempt are the parts that
claim nothing: rules by name, patterns by chance, proxies and their leads, selection, random effects.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any, Literal

import numpy as np

from capgap_ray.core import capacity_gap, unclaimed
from capgap_ray.core.arms import (
    UNTOUCHED,
    Arm,
    Contrast,
    Part,
    Refusal,
    Runs,
    check_comparable,
    estimate,
    item_means,
    name,
    random_effects,
    shared_by_tasks,
)
from capgap_ray.core.lineup import Lineup
from capgap_ray.core.proxies import Cell, Parts, judge_proxies, leads, value_of
from capgap_ray.core.recommendation import SIGNIFICANCE, recommend, shows_difference, thresholds
from capgap_ray.core.statistics import rejection_levels, weighted_holm
from capgap_ray.records import (
    ArmAccuracy,
    Comparison,
    Confound,
    Efficacy,
    Equal,
    Findings,
    GainParts,
    QuantityQuality,
    RandomEffects,
    Selection,
    TeacherAdvantage,
)

SCHEMA, VERSION = "capgap-ray/findings", 1
ALL = "all"
"""The task of what is pooled over tasks, and the student of what is pooled over students."""
Confounded = Callable[[Arm, Arm], tuple[Confound, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Results, whatever they came from."""

    arms: tuple[Arm, ...]
    rows: int
    sizes: Mapping[str, float | None]
    """Model -> billions of parameters."""
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A comparison of two distilled arms by name, right minus left; keys are (student, teacher, recipe)."""

    name: str
    left: tuple[str, str, str]
    right: tuple[str, str, str]
    confounds: tuple[Confound, ...] = ()
    only_pooled: bool = False
    """Ask only once, over all tasks together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levelled:
    """Two teachers' arms twice, (left, right): on all their rows, and with a quantity made equal; keys as above."""

    equal: Equal
    natural: tuple[tuple[str, str, str], tuple[str, str, str]]
    level: tuple[tuple[str, str, str], tuple[str, str, str]]


@dataclass(slots=True, kw_only=True)
class _Look:
    """One member of the family."""

    p: float
    pooled: bool
    p_adjusted: float = 1.0
    level: float = 0.05
    share: float = 0.05
    """Of the error rate, before any other claim is shown: what a plan can count on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A comparison and who it is about."""

    look: _Look
    task: str
    student: str
    teachers: tuple[str, str]
    """(teacher, empty) of a gain, (weaker, stronger) of a comparison of teachers."""
    recipe: str
    found: Contrast
    parts: tuple[Part, ...]
    confounds: tuple[Confound, ...]


def size_in(model: str) -> float | None:
    """Return the size that a model's name states, in billions: 0.5 of `Qwen2.5-0.5B-Instruct`; None without one."""
    found = re.findall(r"(?<![\d.x])(\d+(?:\.\d+)?)\s*([bm])(?![a-z0-9])", model.lower())
    if len(found) != 1:
        return None
    number, unit = found[0]
    return float(number) / (1 if unit == "b" else 1000)


def find(
    table: Table,
    *,
    rule: str | None = None,
    weaker: str | None = None,
    teacher_sizes: Mapping[str, float] | None = None,
    selection: Sequence[Selection] = (),
    threshold_points: float = 30.0,
    proxies: Mapping[str, Parts] | None = None,
    confounded: Confounded = lambda left, right: (),
    declared: Sequence[Declared] = (),
    levelled: Sequence[Levelled] = (),
    exchanges: int = capacity_gap.EXCHANGES,
) -> Findings:
    """Return all that the results say, and what they cannot say.

    `weaker` names the weaker teacher where neither sizes nor names tell; `teacher_sizes` gives sizes of teachers that
    are not measured. `confounded` returns differences beyond the teacher, with which no verdict is drawn; `declared`
    are further comparisons of the family; `levelled` arms part quantity from quality; `exchanges` is how often teachers
    are exchanged to count patterns by chance. Raises ValueError where nothing can be said at all, or for an unknown
    `rule` or `weaker`.
    """
    return _Finder(table, weaker, teacher_sizes or {}, confounded).find(
        rule, selection, threshold_points, dict(proxies or {}), declared, levelled, exchanges
    )


class _Finder:
    """Collects the family; lives for one call of `find`."""

    def __init__(
        self, table: Table, weaker: str | None, teacher_sizes: Mapping[str, float], confounded: Confounded
    ) -> None:
        self.lineup = Lineup(table.arms, table.sizes, weaker, teacher_sizes)
        self.confounded = confounded
        self.runs = Runs(table.arms)
        self.family: list[_Look] = []
        self.refused, self.notes = list(table.refused), list(table.notes)
        self.table = table

    def find(
        self,
        rule: str | None,
        selection: Sequence[Selection],
        threshold_points: float,
        proxies: dict[str, Parts],
        declared: Sequence[Declared],
        levelled: Sequence[Levelled],
        exchanges: int,
    ) -> Findings:
        readings, unread = unclaimed.read_rule(self.lineup, rule) if rule else ((), [])
        self.refused += unread
        gains = self._gains()
        duels = self._duels()
        advantages = self._advantages()
        others = [(each, asked) for each in declared or self._recipes() for asked in self._declared(each)]
        gaps = [(gap, self._look(gap.p, gap.task == ALL)) for gap in self._gaps(duels)]
        parted = [made for each in levelled if (made := self._parted(each)) is not None]
        self._correct()
        efficacy = tuple(sorted(map(self._efficacy, gains), key=_degradations_first))
        told = tuple(map(self._advantage, advantages))
        verdicts = tuple(capacity_gap.verdict(gap, look.p_adjusted, look.share) for gap, look in gaps)
        chosen = tuple(selection) or unclaimed.selection(self.lineup, self.runs, threshold_points)
        if chosen and not selection:
            self.notes.append(
                "task selection: measured on the items of these results; to choose tasks, measure it on training items"
            )
        measured = unclaimed.few_shot_gaps(self.lineup) | proxies
        values = {name: {cell: value_of(of_cell) for cell, of_cell in each.items()} for name, each in measured.items()}
        judged = judge_proxies(values, _mean_gains(efficacy))
        known = leads(measured)
        comparisons = tuple(self._comparison(asked, "declared", each) for each, asked in others)
        quantity = tuple(make() for make in parted)
        self.notes += unclaimed.caveats(self.lineup, len(self.family), len(advantages), len(verdicts))
        return Findings(
            schema=SCHEMA,
            version=VERSION,
            level="items" if any(a.items is not None for a in self.lineup.arms.values()) else "aggregated",
            rows=self.table.rows,
            tasks=self.lineup.tasks,
            students=self.lineup.students,
            teachers=self.lineup.teachers,
            recipes=self.lineup.recipes,
            recommendations=recommend(
                tuple(self.lineup.students),
                efficacy,
                told,
                verdicts,
                comparisons,
                self._tokens(),
                chosen,
                judged,
                unclaimed.few_shot_leads(self.lineup, self.runs),
                known,
                quantity,
            ),
            efficacy=efficacy,
            advantages=told,
            capacity_gap=verdicts,
            chance_patterns=tuple(
                row for group in _by_pair(duels).values() for row in capacity_gap.by_chance(group, self.runs, exchanges)
            ),
            random_effects=tuple(self._random_effects(gains, advantages)),
            selection=chosen,
            thresholds=thresholds(chosen),
            proxies=judged,
            rules=readings,
            refused=tuple(dict.fromkeys(self.refused)),
            notes=tuple(dict.fromkeys(self.notes)),
            declared=comparisons,
            arms=tuple(map(_accuracy, self.lineup.arms.values())),
            leads=known,
            quantity=quantity,
        )

    # --- what is asked -----------------------------------------------------------------------------

    def _gains(self) -> list[_Asked]:
        asked = []
        for student, teacher, recipe in self.lineup.trained():
            parts = []
            for task in self.lineup.tasks:
                arm = self.lineup.arms.get((task, student, teacher, recipe))
                if arm is None:
                    continue
                base = self.lineup.untouched(task, student, recipe)
                if base is None:
                    self.refused.append(f"efficacy of {name(arm)}: {self.lineup.no_baseline(task, student, recipe)}")
                    continue
                parts += self._fair("efficacy", [(arm, 1.0), (base, -1.0)])
            asked += self._ask(parts, student, (teacher, UNTOUCHED), recipe)
        return asked

    def _advantages(self) -> list[_Asked]:
        asked = []
        for recipe in self.lineup.recipes:
            for pair in combinations(self.lineup.teachers, 2):
                weak, strong = self.lineup.order(*pair)[:2]
                for student in self.lineup.students:
                    parts = []
                    for task in self.lineup.tasks:
                        both = self.lineup.both(task, student, weak, strong, recipe)
                        if both is not None:
                            parts += self._fair("comparison of teachers", [(both[0], 1.0), (both[1], -1.0)])
                    asked += self._ask(parts, student, (weak, strong), recipe)
                asked += self._over_students(weak, strong, recipe)
        return asked

    def _over_students(self, weak: str, strong: str, recipe: str) -> list[_Asked]:
        """The advantage over all students together, each of equal weight, pooled over tasks."""
        trained = [
            s
            for s in self.lineup.students
            if any((task, s, t, recipe) in self.lineup.arms for task in self.lineup.tasks for t in (weak, strong))
        ]
        parts: list[Part] = []
        for task in self.lineup.tasks:
            pairs = [both for s in trained if (both := self.lineup.both(task, s, weak, strong, recipe)) is not None]
            if len(trained) < 2 or len(pairs) < len(trained):
                continue
            weight = 1 / len(pairs)
            part = [(arm, sign * weight) for both in pairs for arm, sign in zip(both, (1, -1), strict=True)]
            parts += self._fair("comparison of teachers", part)
        found = estimate(parts, self.runs) if parts else None
        return [] if found is None else [self._asked(ALL, ALL, (weak, strong), recipe, found, parts)]

    def _ask(self, parts: list[Part], student: str, teachers: tuple[str, str], recipe: str) -> list[_Asked]:
        """Each task, and all of them together where there are several."""
        asked = []
        known = []
        for part in parts:
            found = estimate([part], self.runs)
            if found is None:
                arm = part[0][0]
                self.refused.append(
                    f"{name(arm)}: no item has a score on both sides, and nothing is averaged over nothing"
                )
                continue
            known.append(part)
            asked.append(self._asked(part[0][0].task, student, teachers, recipe, found, [part]))
        if len(known) > 1 and (found := estimate(known, self.runs)) is not None:
            asked.append(self._asked(ALL, student, teachers, recipe, found, known))
        return asked

    def _asked(
        self,
        task: str,
        student: str,
        teachers: tuple[str, str],
        recipe: str,
        found: Contrast,
        parts: Sequence[Part],
    ) -> _Asked:
        arms = [arm for arm, _ in parts[0]]
        pairs = zip(arms[::2], arms[1::2], strict=True)  # several where students are pooled
        return _Asked(
            look=self._look(found.p, task == ALL),
            task=task,
            student=student,
            teachers=teachers,
            recipe=recipe,
            found=found,
            parts=tuple(parts),
            confounds=tuple(dict.fromkeys(each for right, left in pairs for each in self.confounded(left, right))),
        )

    def _duels(self) -> list[capacity_gap.Duel]:
        sized = capacity_gap.sizes_of(self.lineup.students)
        made = []
        for recipe in self.lineup.recipes:
            for pair in combinations(self.lineup.teachers, 2):
                weak, strong, ordered = self.lineup.order(*pair)
                students = [
                    s for s in sized if any(self.lineup.both(t, s, weak, strong, recipe) for t in self.lineup.tasks)
                ]
                if len({sized[s] for s in students}) < 2:
                    continue
                for task in self.lineup.tasks:
                    arms = [self.lineup.both(task, s, weak, strong, recipe) for s in students]
                    if any(both is None for both in arms):
                        missing = students[arms.index(None)]
                        self.refused.append(
                            f"capacity gap on {task}: {missing} was not distilled from both {weak} and {strong} there"
                        )
                        continue
                    try:
                        check_comparable([arm for both in arms if both for arm in both])
                    except Refusal as refusal:
                        self.refused.append(f"capacity gap on {task}: {refusal}")
                        continue
                    if any(arm.accuracy is None for both in arms if both for arm in both):
                        continue
                    made.append(
                        capacity_gap.Duel(
                            task=task,
                            recipe=recipe,
                            weaker=weak,
                            stronger=strong,
                            ordered=ordered,
                            sizes=tuple(sized[s] for s in students),
                            students=tuple(students),
                            arms=tuple(both for both in arms if both),
                        )
                    )
        return made

    def _gaps(self, duels: Sequence[capacity_gap.Duel]) -> list[capacity_gap.Gap]:
        made = []
        for group in _by_pair(duels).values():
            confounded = [d for d in group if any(self.confounded(s, w) for w, s in d.arms)]
            fair = [d for d in group if d not in confounded]
            for duel in confounded:
                self.refused.append(
                    f"capacity gap on {duel.task}: {duel.weaker} and {duel.stronger} differ in more than the teacher"
                )
            pooled = [(ALL, fair)] if len(fair) > 1 else []
            for task, each in [*((duel.task, [duel]) for duel in fair), *pooled]:
                gap = capacity_gap.measure(task, each, self.runs)
                if gap is None:
                    self.refused.append(f"capacity gap on {task}: no item has a score in all four arms")
                else:
                    made.append(gap)
        return made

    def _look(self, p: float, pooled: bool) -> _Look:
        look = _Look(p=p, pooled=pooled)
        self.family.append(look)
        return look

    def _correct(self) -> None:
        count = {pooled: sum(look.pooled is pooled for look in self.family) for pooled in (True, False)}
        halves = 2 if all(count.values()) else 1
        weights = [1 / halves / count[look.pooled] for look in self.family]
        ps = [look.p for look in self.family]
        levels = rejection_levels(ps, weights)
        for look, p, level, weight in zip(self.family, weighted_holm(ps, weights), levels, weights, strict=True):
            look.p_adjusted, look.level, look.share = p, level, SIGNIFICANCE * weight

    def _recipes(self) -> list[Declared]:
        """Every two recipes of one student with one teacher, over all tasks together: the recipe is what differs."""
        return [
            Declared(
                name=f"{student} / {_label(teacher, right)} against {_label(teacher, left)}",
                left=(student, teacher, left),
                right=(student, teacher, right),
                only_pooled=True,
            )
            for student in self.lineup.students
            for teacher in self.lineup.teachers
            for left, right in combinations(self.lineup.recipes, 2)
        ]

    def _declared(self, each: Declared) -> list[_Asked]:
        parts = []
        for task in self.lineup.tasks:
            left, right = (self.lineup.arms.get((task, *key)) for key in (each.left, each.right))
            if left is not None and right is not None:
                parts += self._fair(each.name, [(right, 1.0), (left, -1.0)])
        student, teacher, recipe = each.right
        teachers = (teacher, each.left[1])
        if each.only_pooled:
            found = estimate(parts, self.runs) if parts else None
            task = ALL if len(parts) > 1 else parts[0][0][0].task if parts else ""
            return [] if found is None else [self._asked(task, student, teachers, recipe, found, parts)]
        asked = self._ask(parts, student, teachers, recipe)
        return [dataclasses.replace(one, confounds=tuple(each.confounds)) for one in asked]

    def _parted(self, each: Levelled) -> Callable[[], QuantityQuality] | None:
        """What makes the record once the family is corrected; None where there is nothing to say."""
        (_, left, recipe), (student, right, right_recipe) = each.natural
        what = f"quantity against quality of {_label(right, right_recipe)} and {_label(left, recipe)}, {student}"
        fours = []
        for task in self.lineup.tasks:
            four = [self.lineup.arms.get((task, *key)) for key in (*each.natural, *each.level)]
            known = [arm for arm in four if arm is not None]
            if len(known) == 4 and self._fair(what, [(arm, 0.0) for arm in known]):
                fours.append(known)
        if not fours:
            return None
        if confounds := self.confounded(fours[0][2], fours[0][3]):
            notes = "; ".join(confound.note for confound in confounds)
            self.refused.append(f"{what}: the arms of equal {each.equal} differ in more than the teacher: {notes}")
            return None
        # All four in each, some with no weight: on the items that all have answered.
        lead, quality, quantity = (
            estimate([_weighted(four, weights) for four in fours], self.runs)
            for weights in ((-1, 1, 0, 0), (0, 0, -1, 1), (-1, 1, 1, -1))
        )
        if lead is None or quality is None or quantity is None:
            self.refused.append(f"{what}: no item has a score in all arms")
            return None
        looks = self._look(quality.p, True), self._look(quantity.p, True)

        def make() -> QuantityQuality:
            names: tuple[Literal["quality", "quantity"], ...] = "quality", "quantity"
            return QuantityQuality(
                student=student,
                left=_label(left, recipe),
                right=_label(right, right_recipe),
                equal=each.equal,
                tasks=len(fours),
                n=quantity.n,
                lead=lead.value,
                lead_low=lead.low,
                lead_high=lead.high,
                quality=quality.value,
                quality_low=quality.low,
                quality_high=quality.high,
                quality_p=looks[0].p_adjusted,
                quantity=quantity.value,
                quantity_low=quantity.low,
                quantity_high=quantity.high,
                quantity_p=looks[1].p_adjusted,
                shown=tuple(
                    name
                    for name, found, look in zip(names, (quality, quantity), looks, strict=True)
                    if look.p_adjusted < SIGNIFICANCE and not found.low <= 0 <= found.high
                ),
            )

        return make

    # --- arms --------------------------------------------------------------------------------------

    def _fair(self, what: str, part: Part) -> list[Part]:
        """The part in a list, or none and a refusal."""
        try:
            check_comparable([arm for arm, _ in part])
        except Refusal as refusal:
            self.refused.append(f"{what}: {refusal}")
            return []
        return [part]

    # --- records -----------------------------------------------------------------------------------

    def _comparison(
        self, asked: _Asked, kind: Literal["gain", "teacher", "declared"], declared: Declared | None = None
    ) -> Comparison:
        right, left = (_label(teacher, asked.recipe) for teacher in asked.teachers)
        if declared is not None:
            right, left = (_label(*key[1:]) for key in (declared.right, declared.left))
        found = asked.found
        accuracies = _sides(asked.parts)
        return Comparison(
            name=declared.name if declared else f"{asked.student} / {right} against {left}",
            kind=kind,
            task=asked.task,
            student=asked.student,
            left=left,
            right=right,
            n=found.n,
            unscored=found.unscored,
            left_acc=accuracies[0],
            right_acc=accuracies[1],
            delta=found.value,
            ci_low=found.low,
            ci_high=found.high,
            p=found.p,
            p_adjusted=asked.look.p_adjusted,
            test=found.test,
            mde=found.detectable(),
            confounds=asked.confounds,
            level=asked.look.level,
            mde_adjusted=found.detectable(asked.look.share),
            runs=found.runs,
            bound_low=found.bounds[0],
            bound_high=found.bounds[1],
        )

    def _efficacy(self, asked: _Asked) -> Efficacy:
        comparison = self._comparison(asked, "gain")
        shown = shows_difference(comparison)
        status: Literal["improved", "harmed", "undetermined"] = "undetermined"
        if shown:
            status = "improved" if asked.found.value > 0 else "harmed"
        return Efficacy(
            task=asked.task,
            student=asked.student,
            teacher=asked.teachers[0],
            recipe=asked.recipe,
            status=status,
            comparison=comparison,
            parts=_mean_parts([gain_parts(part[1][0], part[0][0]) for part in asked.parts]),
        )

    def _advantage(self, asked: _Asked) -> TeacherAdvantage:
        comparison = self._comparison(asked, "teacher")
        weak, strong = asked.teachers
        better = None
        if shows_difference(comparison):
            better = weak if asked.found.value > 0 else strong
        return TeacherAdvantage(
            task=asked.task,
            student=asked.student,
            size=self.lineup.students.get(asked.student),
            recipe=asked.recipe,
            weaker=weak,
            stronger=strong,
            ordered=self.lineup.order(weak, strong)[2],
            better=better,
            comparison=comparison,
        )

    def _random_effects(self, gains: Iterable[_Asked], advantages: Iterable[_Asked]) -> Iterable[RandomEffects]:
        for kind, group in (("gain", gains), ("teacher", advantages)):
            single: dict[tuple[str, tuple[str, str], str], list[Contrast]] = {}
            pooled: dict[tuple[str, tuple[str, str], str], Contrast] = {}
            for asked in group:
                key = asked.student, asked.teachers, asked.recipe
                if asked.task == ALL:
                    pooled[key] = asked.found
                else:
                    single.setdefault(key, []).append(asked.found)
            for key, each in single.items():
                if len(each) > 2:  # two tasks say next to nothing about the variance between tasks
                    student, (right, left), recipe = key
                    yield RandomEffects(
                        kind=kind,  # type: ignore[arg-type]
                        student=student,
                        left=_label(left, recipe),
                        right=_label(right, recipe),
                        tasks=len(each),
                        **random_effects(
                            [found.value for found in each],
                            [found.error for found in each],
                            shared_by_tasks(each, pooled[key]),
                        ),
                    )

    def _tokens(self) -> dict[tuple[str, str, str], float]:
        """(student, teacher, recipe) -> mean tokens of an answer, over tasks."""
        by_key: dict[tuple[str, str, str], list[float]] = {}
        for arm in self.lineup.arms.values():
            if arm.tokens is not None:
                by_key.setdefault(arm.key, []).append(arm.tokens)
        return {key: fmean(values) for key, values in by_key.items()}


# --- pieces ----------------------------------------------------------------------------------------


def gain_parts(before: Arm, after: Arm) -> GainParts | None:
    """Return where the change of accuracy by the rules comes from; None where outcomes are not known."""
    if before.shares is None or after.shares is None:
        return None
    read = [1 - arm["unparsable"] - arm["truncated"] for arm in (before.shares, after.shares)]
    right = [
        arm["right"] / share if share > 1e-12 else None
        for arm, share in zip((before.shares, after.shares), read, strict=True)
    ]
    known = [each for each in right if each is not None]
    factor = fmean(known) if known else 0.0
    return GainParts(
        unparsable_before=before.shares["unparsable"],
        unparsable_after=after.shares["unparsable"],
        truncated_before=before.shares["truncated"],
        truncated_after=after.shares["truncated"],
        right_when_read_before=right[0],
        right_when_read_after=right[1],
        format=(before.shares["unparsable"] - after.shares["unparsable"]) * factor,
        truncation=(before.shares["truncated"] - after.shares["truncated"]) * factor,
        reasoning=None if right[0] is None or right[1] is None else (right[1] - right[0]) * fmean(read),
    )


def _mean_parts(parts: Sequence[GainParts | None]) -> GainParts | None:
    """The mean over tasks; None where a task's is not known, and per field likewise."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    values: dict[str, Any] = {}
    for field in GainParts.__dataclass_fields__:
        each = [getattr(part, field) for part in known]
        values[field] = None if None in each else fmean(each)
    return GainParts(**values)


def _accuracy(arm: Arm) -> ArmAccuracy:
    unscored, accuracy = arm.unscored, arm.accuracy
    scored = (arm.n - unscored) * (accuracy or 0.0)
    return ArmAccuracy(
        task=arm.task,
        student=arm.student,
        teacher=arm.teacher,
        recipe=arm.recipe,
        n=arm.n,
        unscored=unscored,
        runs=arm.scored_runs,
        accuracy=accuracy,
        low=scored / arm.n,
        high=(scored + unscored) / arm.n,
        tokens=arm.tokens,
    )


def nothing_compared(found: Findings) -> str | None:
    """Return why nothing could be compared, or None if something was."""
    if found.efficacy or found.advantages or found.selection or found.rules or found.declared:
        return None
    reasons = found.refused[:3] or found.notes[-1:]
    more = f" (and {len(found.refused) - 3} more)" if len(found.refused) > 3 else ""
    return f"nothing can be compared: {'; '.join(reasons)}{more}"


def _weighted(arms: Sequence[Arm], weights: Sequence[float]) -> Part:
    """The weighted sum; of an arm that is there twice, once with both weights."""
    whole = {arm.key: (arm, 0.0) for arm in arms}
    for arm, weight in zip(arms, weights, strict=True):
        whole[arm.key] = arm, whole[arm.key][1] + weight
    return list(whole.values())


def _mean_gains(efficacy: Sequence[Efficacy]) -> dict[Cell, float]:
    """Gain per task, student and teacher, the mean over recipes."""
    by_cell: dict[Cell, list[float]] = {}
    for each in efficacy:
        if each.task != ALL and each.comparison.delta is not None:
            by_cell.setdefault((each.task, each.student, each.teacher), []).append(each.comparison.delta)
    return {cell: fmean(values) for cell, values in by_cell.items()}


def _sides(parts: Sequence[Part]) -> tuple[float, float]:
    """Accuracies of the left (negative weights) and the right side, on the items that every arm has a score for."""
    left = right = 0.0
    for part in parts:
        known = ~np.isnan(sum(weight * item_means(arm) for arm, weight in part))
        for arm, weight in part:
            share = float(item_means(arm)[known].mean()) if arm.items is not None else float(arm.scores.mean())
            if weight > 0:
                right += weight * share / len(parts)
            else:
                left -= weight * share / len(parts)
    return left, right


def _label(teacher: str, recipe: str) -> str:
    if teacher == UNTOUCHED:
        return "untouched"
    return f"{teacher} / {recipe}" if recipe else teacher


def _by_pair(duels: Iterable[capacity_gap.Duel]) -> dict[tuple[str, str, str], list[capacity_gap.Duel]]:
    groups: dict[tuple[str, str, str], list[capacity_gap.Duel]] = {}
    for duel in duels:
        groups.setdefault((duel.weaker, duel.stronger, duel.recipe), []).append(duel)
    return groups


def _degradations_first(each: Efficacy) -> tuple[int, float]:
    order = {"harmed": 0, "undetermined": 1, "improved": 2}
    return order[each.status], each.comparison.delta or 0.0
