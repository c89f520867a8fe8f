"""Recommendation: comparisons become answers, each with its reasons in words.

Does distillation help this student, and which teacher should it learn from? A verdict needs a paired
difference whose 95 % interval excludes zero and whose p value, adjusted over all comparisons of its kind,
is below 0.05. A confounded comparison yields none, whatever its size; and where no difference is shown,
the reason says how large a difference could have gone unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from capgap_ray.records import Comparison, FilterReport, Selection, Verdict

SIGNIFICANCE = 0.05
DATA_RATIO_GUIDELINE = 1.3
"""The paper's reference point: teachers that yielded at least about 1.3 times the training rows of another
gave better students; below 1.1 no advantage was seen."""


def select_tasks(
    teacher_acc: Mapping[str, Mapping[str, float]],
    student_acc: Mapping[str, Mapping[str, float]],
    n: int | Mapping[str, int],
    threshold_points: float,
) -> tuple[Selection, ...]:
    """Return, per task in input order, whether it passes the in-context gap rule (paper, section 3.1).

    Accuracies map task -> model -> share, few-shot, on training items; `n` is the number of items, one
    for all tasks or per task. A task is selected if the mean over the teachers is more than
    `threshold_points` points above the mean over the untouched students. Raises ValueError naming a task
    that only one side has or that has no model.
    """
    if odd := sorted(set(teacher_acc) ^ set(student_acc)):
        missing = "students" if odd[0] in teacher_acc else "teachers"
        raise ValueError(f"task {odd[0]} has no accuracies of {missing}")
    selections = []
    for task, of_teachers in teacher_acc.items():
        of_students = student_acc[task]
        if not of_teachers or not of_students:
            raise ValueError(f"task {task} has no accuracies of {'students' if of_teachers else 'teachers'}")
        teacher = sum(of_teachers.values()) / len(of_teachers)
        student = sum(of_students.values()) / len(of_students)
        gap = round(100 * (teacher - student), 9)  # 0.9 - 0.6 is 30 points, not 30.000000000000004
        selections.append(
            Selection(
                task=task,
                n=n if isinstance(n, int) else n[task],
                teacher_acc=teacher,
                student_acc=student,
                gap_points=gap,
                threshold_points=threshold_points,
                selected=gap > threshold_points,
            )
        )
    return tuple(selections)


def verdicts(
    comparisons: Sequence[Comparison],
    filters: Sequence[FilterReport],
    students: Sequence[str],
    larger_teacher: tuple[str, str] | None,
) -> tuple[Verdict, ...]:
    """Return one verdict per (task, student): tasks in order of appearance, `all` included.

    `comparisons` carry adjusted p values (`statistics.adjust`). `larger_teacher` is (larger, smaller), as
    the filter reports name them; None where no such pair exists. `helps` follows the best unconfounded
    arm, the one with the largest gain: if even that one is below zero, distillation harms. The teacher to
    use is the mixture that beats another in an unconfounded `teacher` comparison and is beaten by none;
    None if there is not exactly one, or if distillation harms. `declared` comparisons add reasons only.
    """
    found = []
    for task in dict.fromkeys(comparison.task for comparison in comparisons):
        ratio, ratio_reason = _data_ratio(filters, task, larger_teacher)
        for student in students:
            here = [c for c in comparisons if (c.task, c.student) == (task, student)]
            of_kind = {kind: [c for c in here if c.kind == kind] for kind in ("gain", "teacher", "declared")}
            helps, best, reasons = _efficacy(of_kind["gain"])
            teacher, teacher_reasons = _teacher_to_use(of_kind["teacher"], helps)
            reasons += teacher_reasons + [_in_words(c) for c in of_kind["declared"]]
            found.append(
                Verdict(
                    task=task,
                    student=student,
                    helps=helps,
                    best_mixture=best,
                    teacher_to_use=teacher,
                    data_ratio=ratio,
                    reasons=(*reasons, *ratio_reason),
                )
            )
    return tuple(found)


def shows_difference(comparison: Comparison) -> bool:
    """Return whether the comparison supports a verdict: unconfounded, interval without 0, p adjusted."""
    low, high, p = comparison.ci_low, comparison.ci_high, comparison.p_adjusted
    if comparison.confounds or low is None or high is None or p is None:
        return False
    return (low > 0 or high < 0) and p < SIGNIFICANCE


def _efficacy(
    gains: Sequence[Comparison],
) -> tuple[Literal["improved", "harmed", "undetermined"], str | None, list[str]]:
    reasons = [_in_words(c) for c in gains if c.confounds or not c.n]
    usable = [c for c in gains if not c.confounds and c.delta is not None]
    if not usable:
        return "undetermined", None, reasons or ["no mixture was compared with the untouched student"]
    best = max(usable, key=lambda c: c.delta or 0.0)
    reasons = [_in_words(best), *reasons]
    if not shows_difference(best):
        return "undetermined", _mixture(best.right), reasons
    if (best.delta or 0.0) > 0:
        return "improved", _mixture(best.right), reasons
    return "harmed", _mixture(best.right), [*reasons, "even the best mixture is below the untouched student"]


def _teacher_to_use(comparisons: Sequence[Comparison], helps: str) -> tuple[str | None, list[str]]:
    reasons = [_in_words(c) for c in comparisons]
    if not comparisons:
        return None, ["no two mixtures were compared with all else equal"]
    if helps == "harmed":
        return None, [*reasons, "no teacher is recommended: distillation harms this student"]
    decided = [c for c in comparisons if shows_difference(c)]
    if not decided:
        return None, [*reasons, "the teachers cannot be told apart"]
    better = {_mixture(c.right if (c.delta or 0.0) > 0 else c.left) for c in decided}
    worse = {_mixture(c.left if (c.delta or 0.0) > 0 else c.right) for c in decided}
    unbeaten = sorted(better - worse)
    if len(unbeaten) == 1:
        return unbeaten[0], reasons
    if not unbeaten:
        return None, [*reasons, "the comparisons contradict each other, so no teacher is recommended"]
    return None, [*reasons, f"{' and '.join(unbeaten)} each beat another, but not one another"]


def _data_ratio(
    filters: Sequence[FilterReport], task: str, larger_teacher: tuple[str, str] | None
) -> tuple[float | None, tuple[str, ...]]:
    """Return rows kept of the larger teacher over rows kept of the smaller, over all tasks for `all`."""
    if larger_teacher is None:
        return None, ()
    kept: dict[str, int] = {}
    for report in filters:
        if task in ("all", report.task):
            kept[report.teacher] = kept.get(report.teacher, 0) + report.kept
    larger, smaller = larger_teacher
    if larger not in kept or smaller not in kept:
        return None, ()
    if kept[smaller] == 0:
        return None, (f"no data ratio: no row of {smaller} passed the filter, {kept[larger]} of {larger} did",)
    ratio = kept[larger] / kept[smaller]
    side = "reaches" if ratio >= DATA_RATIO_GUIDELINE else "is below"
    return ratio, (
        f"{larger} yields {ratio:.2f} times the training rows of {smaller} ({kept[larger]} against "
        f"{kept[smaller]}), which {side} the {DATA_RATIO_GUIDELINE} from which the paper's guideline "
        "expects the larger teacher to be better",
    )


def _in_words(c: Comparison) -> str:
    pair = f"{_arm(c.right)} against {_arm(c.left)}"
    if c.confounds:
        notes = "; ".join(confound.note for confound in c.confounds)
        return f"{pair} is confounded: {notes}. No verdict is drawn from it"
    if c.delta is None or c.ci_low is None or c.ci_high is None:
        return f"{pair}: no item has a score on both sides ({c.unscored} unscored)"
    measured = f"{pair}: {_points(c.delta)} points (95 % interval {_points(c.ci_low)} to {_points(c.ci_high)}"
    measured += f", adjusted p {'unknown' if c.p_adjusted is None else format(c.p_adjusted, '.2g')}"
    measured += f", {c.n} items" + (f", {c.unscored} unscored" if c.unscored else "") + ")"
    if shows_difference(c):
        return measured
    if c.mde is None:
        return f"{measured}; no difference is shown; {c.n} items are too few to show any"
    return (
        f"{measured}; no difference is shown; the smallest difference these {c.n} items could have shown "
        f"is {100 * c.mde:.0f} points"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _mixture(arm: str) -> str:
    """Return the mixture of an arm: `mix` of `mix / 5x4`."""
    return arm.partition(" / ")[0]


def _arm(arm: str) -> str:
    return "the untouched student" if arm == "untouched" else arm
