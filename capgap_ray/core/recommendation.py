"""Recommendation: comparisons become answers, each with its reasons in words.

Does distillation help this student, and which teacher should it learn from? A verdict needs a paired
difference whose 95 % interval excludes zero and whose p value, adjusted over all comparisons of its kind,
is below 0.05. A confounded comparison yields none, whatever its size; and where no difference is shown,
the reason says how large a difference could have gone unseen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from capgap_ray.core.proxies import BEST_PUBLISHED
from capgap_ray.records import (
    CapacityGap,
    Comparison,
    Efficacy,
    FilterReport,
    ProxyLead,
    ProxyQuality,
    QuantityQuality,
    Recommendation,
    Selection,
    TeacherAdvantage,
    ThresholdPoint,
    Verdict,
)

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
    arm: of those shown to improve, or else of all, the one with the largest gain; if even that one is below zero,
    distillation harms. The teacher to use is the mixture that beats another in an unconfounded `teacher` comparison
    and is beaten by none; None if there is not exactly one, or if its own gain is not shown. `declared` comparisons
    add reasons only.
    """
    found = []
    for task in dict.fromkeys(comparison.task for comparison in comparisons):
        ratio, ratio_reason = _data_ratio(filters, task, larger_teacher)
        for student in students:
            here = [c for c in comparisons if (c.task, c.student) == (task, student)]
            of_kind = {kind: [c for c in here if c.kind == kind] for kind in ("gain", "teacher", "declared")}
            helps, best, reasons = _efficacy(of_kind["gain"])
            teacher, teacher_reasons = _teacher_to_use(of_kind["teacher"], of_kind["gain"], helps, best)
            reasons += teacher_reasons + [_in_words(c) for c in of_kind["declared"]]
            found.append(
                Verdict(
                    task=task,
                    student=student,
                    helps=helps,
                    best_mixture=_mixture(best.right) if best else None,
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
) -> tuple[Literal["improved", "harmed", "undetermined"], Comparison | None, list[str]]:
    reasons = [_in_words(c) for c in gains if c.confounds or not c.n]
    usable = [c for c in gains if not c.confounds and c.delta is not None]
    if not usable:
        return "undetermined", None, reasons or ["no mixture was compared with the untouched student"]
    helping = [c for c in usable if shows_difference(c) and (c.delta or 0.0) > 0]
    best = max(helping or usable, key=lambda c: c.delta or 0.0)
    reasons = [_in_words(best), *reasons]
    if not shows_difference(best):
        return "undetermined", best, reasons
    if (best.delta or 0.0) > 0:
        return "improved", best, reasons
    return "harmed", best, [*reasons, "even the best mixture is below the untouched student"]


def _teacher_to_use(
    comparisons: Sequence[Comparison], gains: Sequence[Comparison], helps: str, best: Comparison | None
) -> tuple[str | None, list[str]]:
    """To be ahead of another teacher is not to help: the gain has to be shown, with the recipe of the best arm."""
    reasons = [_in_words(c) for c in comparisons]
    if not comparisons:
        return None, ["no two mixtures were compared with all else equal"]
    if helps == "harmed":
        return None, [*reasons, "no teacher is recommended: distillation harms this student"]
    if helps == "undetermined" or best is None:
        return None, [*reasons, "no teacher is recommended: none is shown to help this student"]
    decided = [c for c in comparisons if shows_difference(c)]
    if not decided:
        return None, [*reasons, "the teachers cannot be told apart"]
    better = {_mixture(c.right if (c.delta or 0.0) > 0 else c.left) for c in decided}
    worse = {_mixture(c.left if (c.delta or 0.0) > 0 else c.right) for c in decided}
    unbeaten = sorted(better - worse)
    if len(unbeaten) == 1:
        shown = {c.right for c in gains if shows_difference(c) and (c.delta or 0.0) > 0}
        if unbeaten[0] + best.right.removeprefix(_mixture(best.right)) in shown:
            return unbeaten[0], reasons
        return None, [*reasons, f"{unbeaten[0]} is ahead of another, but is not shown to help this student"]
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
        return f"{measured}{_hidden(c)}"
    if c.mde is None:
        return f"{measured}; no difference is shown; {c.n} items are too few to show any"
    return (
        f"{measured}; no difference is shown; the smallest detectable difference of these {c.n} "
        f"items is {100 * c.mde:.0f} points{_corrected(c)}"
    )


def quantity_in_words(each: QuantityQuality) -> str:
    def part(share: float, low: float, high: float) -> str:
        return f"{_points(share)} (95 % interval {_points(low)} to {_points(high)})"

    shown = " and ".join(each.shown)
    return (
        f"{_arm(each.right)} against {_arm(each.left)}: {_points(each.lead)} points on all rows; "
        f"with equal {each.equal} {part(each.quality, each.quality_low, each.quality_high)}, which is quality; "
        f"the rest, {part(each.quantity, each.quantity_low, each.quantity_high)}, is quantity; "
        + (f"{shown} {'are' if len(each.shown) > 1 else 'is'} shown" if shown else "neither is shown")
    )


def _hidden(c: Comparison) -> str:
    """What is shown of the scored items alone: said where the unscored ones could undo it."""
    if not c.unscored or c.bound_low is None or c.bound_high is None or not c.bound_low <= 0 <= c.bound_high:
        return ""
    return (
        f"; but the {c.unscored} unscored items could make it anything from {_points(c.bound_low)} to "
        f"{_points(c.bound_high)}"
    )


def _corrected(c: Comparison) -> str:
    if c.level is None:
        return ""
    size = "none of them" if c.mde_adjusted is None else f"{100 * c.mde_adjusted:.0f}"
    return f" ({size} after the correction for all looks)"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _mixture(arm: str) -> str:
    """Return the mixture of an arm: `mix` of `mix / 5x4`."""
    return arm.partition(" / ")[0]


def _arm(arm: str) -> str:
    return "the untouched student" if arm == "untouched" else arm


# --- in plain words --------------------------------------------------------------------------------


def thresholds(selection: Sequence[Selection]) -> tuple[ThresholdPoint, ...]:
    """Return how many tasks each threshold of the gap selects: every 5 points, and the one in use."""
    if not selection:
        return ()
    points = sorted({*range(0, 65, 5), *(each.threshold_points for each in selection)})
    return tuple(
        ThresholdPoint(
            threshold_points=float(point),
            selected=sum(each.gap_points > point for each in selection),
            surely_selected=sum(each.ci_low is not None and each.ci_low > point for each in selection),
            surely_dropped=sum(each.ci_high is not None and each.ci_high < point for each in selection),
        )
        for point in points
    )


def recommend(
    students: Sequence[str],
    efficacy: Sequence[Efficacy],
    advantages: Sequence[TeacherAdvantage],
    gaps: Sequence[CapacityGap],
    declared: Sequence[Comparison],
    tokens: Mapping[tuple[str, str, str], float],
    selection: Sequence[Selection],
    proxies: Sequence[ProxyQuality],
    leads: Sequence[str] = (),
    known: Sequence[ProxyLead] = (),
    parted: Sequence[QuantityQuality] = (),
) -> tuple[Recommendation, ...]:
    """Return, per student, whether to distil, from whom and how, with reasons and what would make it surer.

    It rests on what is pooled over tasks, or on the one task there is. `tokens` maps (student, teacher, recipe), the
    teacher empty for the untouched student, to the mean length of an answer. `leads` are words on the teachers' own
    accuracies and `known` what proxies say, which a student that was never trained is advised by; `parted` says what of
    a teacher's lead is quality.
    """
    made = []
    for student in students:
        mine, partial = _on_the_same_tasks([e for e in efficacy if e.student == student])
        several = any(e.task == "all" for e in mine)
        gains = [e for e in mine if e.task == "all" or not several]
        duels = [a for a in advantages if a.student == student]
        duels = [a for a in duels if a.task == "all"] or (duels if len({a.task for a in duels}) == 1 else [])
        if not any(not e.comparison.confounds for e in gains):
            own = [lead for lead in known if lead.student == student]
            made.append(_untried(student, duels, selection, proxies, leads, own))
            continue
        settings = [c for c in declared if c.student == student and (c.task == "all" or not several)]
        own_parts = [quantity_in_words(each) for each in parted if each.student == student]
        shared = [
            f"over all students: {_in_words(a.comparison)}" for a in advantages if a.student == "all" and a.better
        ]
        more = [*shared, *own_parts]
        made.append(_recommendation(student, gains, partial, duels, efficacy, gaps, settings, tokens, more))
    return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Partial:
    """An arm that was measured on some of the tasks only: its mean is not one of the same things."""

    teacher: str
    arm: str
    gain: Comparison
    """Over the tasks that it has."""
    has: tuple[str, ...]
    lacks: tuple[str, ...]


def _on_the_same_tasks(mine: Sequence[Efficacy]) -> tuple[list[Efficacy], list[_Partial]]:
    """One student's arms on the widest set of tasks that some arm has, and those that lack one of them."""
    tasks: dict[tuple[str, str], dict[str, None]] = {}
    for each in mine:
        if each.task != "all":
            tasks.setdefault((each.teacher, each.recipe), {})[each.task] = None
    widest = max(tasks.values(), key=len, default={})
    short = {arm: has for arm, has in tasks.items() if not widest.keys() <= has.keys()}
    partial = []
    for arm, has in short.items():
        own = [e for e in mine if (e.teacher, e.recipe) == arm]
        gain = next((e for e in own if e.task == "all"), own[0]).comparison
        lacks = tuple(task for task in widest if task not in has)
        partial.append(_Partial(teacher=arm[0], arm=gain.right, gain=gain, has=tuple(has), lacks=lacks))
    return [e for e in mine if (e.teacher, e.recipe) not in short], partial


def _recommendation(
    student: str,
    gains: Sequence[Efficacy],
    partial: Sequence[_Partial],
    duels: Sequence[TeacherAdvantage],
    efficacy: Sequence[Efficacy],
    gaps: Sequence[CapacityGap],
    settings: Sequence[Comparison],
    tokens: Mapping[tuple[str, str, str], float],
    more: Sequence[str],
) -> Recommendation:
    """`more`: reasons that concern its teachers, beside its own comparisons."""
    fair = [e for e in gains if not e.comparison.confounds]
    improved = [e for e in fair if e.status == "improved"]
    best = max(improved or fair, key=lambda e: e.comparison.delta or 0.0)
    distil: Literal["yes", "no", "undetermined"] = (
        "yes" if best.status == "improved" else "no" if best.status == "harmed" else "undetermined"
    )
    recipes = {e.recipe for e in fair}
    recipe = best.recipe if distil == "yes" and len(recipes) > 1 else None
    alike = [e for e in fair if recipe in (None, e.recipe)]
    duels = [each for each in duels if recipe in (None, each.recipe)]
    # To be no worse, as far as is shown, than a teacher that helps is not to help.
    helping = list(dict.fromkeys(e.teacher for e in alike if e.status == "improved"))
    unsure = list(dict.fromkeys(e.teacher for e in alike if e.teacher not in helping)) if distil == "yes" else []
    teacher, choice = _teacher(best, fair, duels, unsure, distil == "yes") if distil != "no" else (None, [])
    tried = {e.teacher for e in fair}
    alone = len(tried) == 1 and not tried.issuperset(each.teacher for each in partial)
    if alone:
        choice = ["only one teacher was tried on all of these tasks", *(_in_words(each.comparison) for each in duels)]
    left_out = [
        f"not among these, for want of {' and '.join(each.lacks)}: on {' and '.join(each.has)}, {_in_words(each.gain)}"
        for each in partial
    ]
    reasons = [_in_words(best.comparison), *choice, *left_out, *more, *map(_in_words, settings)]
    reasons += [
        f"{e.task}: {e.teacher or 'distillation'} harms this student ({_points(e.comparison.delta or 0.0)} points)"
        for e in efficacy
        if e.student == student and e.status == "harmed" and e is not best
    ]
    reasons += _of_the_change(best)
    reasons += _recipe_reasons(best, fair, settings) if recipe else []
    reasons += [
        f"capacity gap ({g.task}): {g.weaker} is ahead of {g.stronger} for {g.smallest}, and its lead shrinks with size"
        for g in gaps
        if g.status == "pattern" and g.smallest == student
    ]
    reasons += _serving(student, best, tokens)
    if distil == "yes":
        how = teacher or ("any of the teachers compared" if len(helping) > 1 and not unsure else " or ".join(helping))
        sentence = f"Distil {student} from {how}" + (f", with recipe {recipe}" if recipe else "")
        sentence += ", the only teacher that was tried on all of these tasks" if alone else ""
    elif distil == "no":
        sentence = f"Do not distil {student}: even the best arm is worse than the untouched student"
    else:
        sentence = f"Whether to distil {student} is open: against the untouched student no arm is shown to be better"
        if worse := [_arm(e.comparison.right) for e in fair if e.status == "harmed"]:
            sentence += f"; {' and '.join(worse)} {'are' if len(worse) > 1 else 'is'} shown to be worse"
        else:
            sentence += " or worse"
    return Recommendation(
        student=student,
        distil=distil,
        teacher=teacher if distil == "yes" else None,
        recipe=recipe,
        sentence=sentence + ".",
        reasons=tuple(reasons),
        surer=tuple(_surer(best, partial, duels, distil, teacher)),
    )


def _untried(
    student: str,
    duels: Sequence[TeacherAdvantage],
    selection: Sequence[Selection],
    proxies: Sequence[ProxyQuality],
    leads: Sequence[str],
    known: Sequence[ProxyLead],
) -> Recommendation:
    """Before training, or without a baseline: what few-shot accuracies and proxies suggest, with its uncertainty."""
    reasons = ["no fair comparison with the untouched student exists, so whether distillation helps is not known"]
    wide = [each for each in selection if each.selected]
    if selection:
        sure = sum(each.ci_low is not None and each.ci_low > each.threshold_points for each in selection)
        reasons.append(
            f"the teachers' few-shot lead exceeds {selection[0].threshold_points:g} points on {len(wide)} of "
            f"{len(selection)} tasks ({sure} with the whole interval above): a cheap hint, not a promise, of a gain"
        )
    reasons += [
        f"so far, {each.proxy} has rank correlation {each.rank_correlation:+.2f} with the gains of {each.cells} cells"
        for each in proxies
        if each.rank_correlation is not None
    ]
    reasons += [_in_words(each.comparison) for each in duels] or list(leads)
    trusted, why = _trusted(proxies)
    lead = next((each for each in known if each.proxy == trusted), None)
    if lead is not None:
        reasons.append(why)
    reasons += _preferences(known)
    hints = ["the few-shot gap suggests to try"] if wide else []
    if lead is not None:
        hints.append(
            f"the {trusted} suggests to begin with {lead.leader}"
            if lead.sure
            else f"the {trusted} does not tell the teachers apart"
        )
    return Recommendation(
        student=student,
        distil="undetermined",
        teacher=None,
        recipe=None,
        sentence="; ".join([f"Whether to distil {student} is not known", *hints]) + ".",
        reasons=tuple(reasons),
        surer=("measure the untouched student on the same items, and one distilled student per teacher",),
    )


def _trusted(proxies: Sequence[ProxyQuality]) -> tuple[str, str]:
    """The proxy to choose a first teacher by, and why: the one that foretold gains best here, else in publications."""
    proven = [q for q in proxies if q.rank_correlation is not None and q.p is not None and q.p < SIGNIFICANCE]
    best = max(proven, key=lambda q: q.rank_correlation or 0.0, default=None)
    if best is not None and (best.rank_correlation or 0.0) > 0:
        return best.proxy, f"the {best.proxy} foretold the gains so far best: it speaks for the first teacher to try"
    return BEST_PUBLISHED, (
        f"no proxy has proven itself here; of the {BEST_PUBLISHED} a rank correlation of 0.86 with students' scores is "
        "published (arXiv 2601.14249: 11 teachers, 5 students, mathematics), which need not hold for these tasks"
    )


def _preferences(known: Sequence[ProxyLead]) -> list[str]:
    """Every proxy's teachers in words."""
    said = []
    for lead in known:
        values = ", ".join(
            f"{teacher} {each.value:.3g}" + (f" ± {each.error:.2g}" if each.error else "")
            for teacher, each in lead.values.items()
        )
        verdict = "a tie" if lead.leader is None else f"{lead.leader}{'' if lead.sure else ', within noise'}"
        said.append(f"{lead.proxy} (± standard error; {lead.prefers} is preferred): {values}: {verdict}")
    return said


def _teacher(
    best: Efficacy, fair: Sequence[Efficacy], duels: Sequence[TeacherAdvantage], unsure: Sequence[str], helped: bool
) -> tuple[str | None, list[str]]:
    """The only or best teacher, which is to be recommended only if it `helped`.

    `unsure`: teachers that are not shown to help where another one is; none of them is recommended.
    """
    if len({e.teacher for e in fair}) == 1:
        return best.teacher, ["only one teacher was tried"]
    reasons = [_in_words(each.comparison) for each in duels]
    reasons += [f"{teacher} is not shown to help this student" for teacher in unsure]
    better = {each.better for each in duels if each.better is not None}
    beaten = {each.stronger if each.better == each.weaker else each.weaker for each in duels if each.better is not None}
    unbeaten = sorted(better - beaten)
    if len(unbeaten) == 1 and unbeaten[0] not in unsure:
        return unbeaten[0], reasons
    advice = "" if unsure or not helped else ": take the one that is cheaper to run and to serve"
    return None, [*reasons, f"the teachers cannot be told apart{advice}"]


def _of_the_change(best: Efficacy) -> list[str]:
    """Its parts by the rules, and what is left of the gain as it was scored."""
    parts, gain = best.parts, best.comparison.delta
    if parts is None or parts.reasoning is None or gain is None:
        return []
    told = (
        f"of the change, {_points(parts.format)} points are answers that can be read, "
        f"{_points(parts.truncation)} answers no longer cut off, {_points(parts.reasoning)} better reasoning"
    )
    rest = gain - parts.format - parts.truncation - parts.reasoning
    if abs(rest) > 5e-4:
        told += f"; {_points(rest)} are none of these by the rules: the judge's, or unscored items'"
    return [told]


def _recipe_reasons(best: Efficacy, fair: Sequence[Efficacy], settings: Sequence[Comparison]) -> list[str]:
    """The advised recipe is that of the best arm, which need not be shown to be better than the teacher's others."""
    winner = best.comparison.right
    pairs = [(c.right, c.left) if (c.delta or 0.0) > 0 else (c.left, c.right) for c in settings if shows_difference(c)]
    beaten = {loser for ahead, loser in pairs if ahead == winner}
    open_ = [
        e.recipe
        for e in fair
        if e.teacher == best.teacher and e.recipe != best.recipe and e.comparison.right not in beaten
    ]
    if not open_:
        return []
    return [f"recipe {best.recipe} has the largest gain, but is not shown to be better than {' or '.join(open_)}"]


def _serving(student: str, best: Efficacy, tokens: Mapping[tuple[str, str, str], float]) -> list[str]:
    after = tokens.get((student, best.teacher, best.recipe))
    before = next((value for (who, teacher, _), value in tokens.items() if (who, teacher) == (student, "")), None)
    if after is None:
        return []
    against = f" against {before:.0f} of the untouched student" if before is not None else ""
    others = [
        f"{teacher or 'untouched'}{f' / {recipe}' if recipe else ''} {value:.0f}"
        for (who, teacher, recipe), value in tokens.items()
        if who == student and teacher and (teacher, recipe) != (best.teacher, best.recipe)
    ]
    others_text = f"; other arms: {', '.join(others)}" if others else ""
    return [f"serving: {after:.0f} tokens per answer{against}{others_text}"]


def _surer(
    best: Efficacy, partial: Sequence[_Partial], duels: Sequence[TeacherAdvantage], distil: str, teacher: str | None
) -> list[str]:
    made = [f"{each.arm}: score it on {' and '.join(each.lacks)}, too" for each in partial]
    if distil == "undetermined":
        made.append(_items_needed(best.comparison))
    elif _hidden(best.comparison):
        made.append(f"scores of the {best.comparison.unscored} unscored items, which could undo what is shown")
    if teacher is None and distil != "no":
        # What is shown needs no more items, and what is confounded is not mended by them.
        unclear = [each.comparison for each in duels if each.better is None]
        made += [_items_needed(each) for each in unclear if not each.confounds]
        if uneven := [each for each in unclear if _of_yield_alone(each)]:
            pairs = ", ".join(f"{_arm(each.right)} against {_arm(each.left)}" for each in uneven)
            made.append(
                f"{pairs}: as many updates for both, which differ by what the teachers yield alone; set "
                "`filter.size: smallest` (or the axis `[null, smallest]`, for both answers), or declare it with "
                "`match: updates`"
            )
    if best.comparison.runs < 3:
        made.append(
            f"{best.comparison.runs} training run(s) per arm: 3 seeds or more would show how training itself varies"
        )
    return made


def _of_yield_alone(c: Comparison) -> bool:
    """Whether the arms differ beyond the treatment in the length of training only."""
    fields = {each.field for each in c.confounds}
    return "updates" in fields and fields <= {"updates", "warmup_updates", "lr_integral"}


def _items_needed(c: Comparison) -> str:
    """How many items would have shown the measured difference, if it is the true one."""
    pair = f"{_arm(c.right)} against {_arm(c.left)}"
    if c.delta is None or c.mde_adjusted is None:
        return f"{pair}: {c.n} items are too few to show any difference"
    needed = math.inf if c.delta == 0 else c.n * (c.mde_adjusted / abs(c.delta)) ** 2
    if needed > 100 * c.n:
        return (
            f"{pair}: no number of items that is worth its cost would show a difference as small as {_points(c.delta)}"
        )
    seeds = "" if c.runs == 1 else f" (or more than {c.runs} training seeds)"
    return f"{pair}: about {needed:,.0f} items in place of {c.n} would show {_points(c.delta)} points, if true{seeds}"
