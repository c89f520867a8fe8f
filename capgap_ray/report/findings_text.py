"""Findings in plain text, for a terminal: the recommendation first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from capgap_ray.core.recommendation import quantity_in_words
from capgap_ray.records import (
    ArmAccuracy,
    ChancePatterns,
    Comparison,
    Efficacy,
    Findings,
    RandomEffects,
    TeacherAdvantage,
)
from capgap_ray.report import formats

MOST_LINES = 40
"""Rows per table; the rest is counted and stands in the JSON form."""


def findings_text(found: Findings) -> str:
    """Return the findings as text of at most 120 columns where names allow it; names cannot steer the terminal."""
    parts = [_recommendations(found)]
    if found.efficacy:
        parts.append(_efficacy(found.efficacy))
    if found.advantages:
        parts.append(_advantages(found.advantages))
    if found.capacity_gap:
        parts.append(_capacity_gap(found))
    if found.random_effects:
        parts.append(_random_effects(found.random_effects))
    if found.quantity:
        parts.append(_quantity(found))
    if found.selection:
        parts.append(_selection(found))
    if found.proxies:
        parts.append(_proxies(found))
    if found.leads:
        parts.append(_leads(found))
    if found.rules:
        lines = [f"{each.task}: {'yes' if each.holds else 'no'}" for each in found.rules]
        first = found.rules[0]
        parts.append(_section(f"Rule {first.rule} ({first.formula}); it ignores noise", lines))
    if found.declared:
        lines = [f"{each.name} on {each.task}  {_numbers(each)}" for each in found.declared]
        parts.append(_section("Recipes and declared pairs (points)", lines))
    if not found.efficacy:
        parts.append(_arms(found.arms))
    if found.refused:
        parts.append(_section("Not compared", found.refused, most=12))
    parts.append(_section("Read with this", found.notes))
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str], most: int = MOST_LINES) -> str:
    every = list(lines)
    shown = [f"  {formats.printable(line)}" for line in every[:most]]
    if len(every) > most:
        shown.append(f"  ... and {len(every) - most} more: see --json")
    return "\n".join([formats.printable(title), *shown])


def _recommendations(found: Findings) -> str:
    lines = []
    for each in found.recommendations:
        lines.append(each.sentence)
        lines += [f"  because {reason}" for reason in each.reasons]
        lines += [f"  surer with {more}" for more in each.surer]
    what = (
        f"{found.rows:,} rows, {len(found.tasks)} tasks, {len(found.students)} students, {len(found.teachers)} teachers"
    )
    return _section(f"Recommendation ({what})", lines)


def _efficacy(efficacy: Sequence[Efficacy]) -> str:
    return _section(
        "Against the untouched student (points; degradations first)",
        (
            f"{each.status:<12} {each.task}: {each.student} from {_arm(each.teacher, each.recipe)}  "
            f"{_numbers(each.comparison)}"
            for each in sorted(efficacy, key=lambda e: e.task != "all")
        ),
    )


def _advantages(advantages: Sequence[TeacherAdvantage]) -> str:
    return _section(
        "Weaker minus stronger teacher (points)",
        (
            f"{f'{each.better} better' if each.better else 'undetermined':<16} {each.task}: {each.student}, "
            f"{each.weaker} minus {each.stronger}{f' ({each.recipe})' if each.recipe else ''}  "
            f"{_numbers(each.comparison)}"
            for each in sorted(advantages, key=lambda a: a.task != "all")
        ),
    )


def _quantity(found: Findings) -> str:
    return _section(
        "Quantity against quality of a teacher's rationales (points)", map(quantity_in_words, found.quantity)
    )


def _numbers(c: Comparison) -> str:
    if c.delta is None or c.ci_low is None or c.ci_high is None:
        return "no item has a score on both sides"
    text = f"{_points(c.delta)} [{_points(c.ci_low)}, {_points(c.ci_high)}] p {_p(c.p)} adjusted {_p(c.p_adjusted)}"
    text += f", n {c.n}" + (f", {c.unscored} unscored" if c.unscored else "")
    if c.confounds:
        text += "; confounded: " + "; ".join(confound.note for confound in c.confounds)
    elif c.p_adjusted is None or c.p_adjusted >= 0.05:
        size = "none" if c.mde_adjusted is None else f"{100 * c.mde_adjusted:.1f}"
        text += f"; smallest detectable difference {size}"
    return text


def _capacity_gap(found: Findings) -> str:
    lines = []
    for each in found.capacity_gap:
        lines.append(f"{each.status:<12} {each.task}: {'; '.join(each.reasons)}")
    lines += [_chance(each) for each in found.chance_patterns if each.rule in ("intervals", "G1", "G5")]
    return _section("Capacity gap", lines)


def _chance(each: ChancePatterns) -> str:
    return (
        f"patterns by {each.rule}, {each.weaker} against {each.stronger}: {each.observed} of {each.tasks} tasks, "
        f"{each.expected:.1f} ({each.low} to {each.high}) expected by chance under equal teachers"
    )


def _random_effects(effects: Sequence[RandomEffects]) -> str:
    return _section(
        "Over tasks like these (tasks as a random effect; points)",
        (
            f"{each.student}: {each.right} minus {each.left}  mean {_points(each.mean)} ± "
            f"{100 * each.standard_error:.1f} over {each.tasks} tasks; random effects {_points(each.estimate)} "
            f"[{_points(each.ci_low)}, {_points(each.ci_high)}]"
            for each in effects
            if each.kind == "teacher"
        ),
    )


def _selection(found: Findings) -> str:
    lines = []
    for each in found.selection:
        interval = "" if each.ci_low is None or each.ci_high is None else f" [{each.ci_low:.1f}, {each.ci_high:.1f}]"
        lines.append(f"{'in ' if each.selected else 'out'} {each.task}: gap {each.gap_points:.1f}{interval} points")
    lines += [
        f"threshold {each.threshold_points:g}: {each.selected} tasks ({each.surely_selected} surely in, "
        f"{each.surely_dropped} surely out)"
        for each in found.thresholds
        if 15 <= each.threshold_points <= 45
    ]
    return _section("Task selection by the few-shot gap", lines)


def _proxies(found: Findings) -> str:
    return _section(
        "Proxies known before training, against the measured gains",
        (
            f"{each.proxy} ({each.prefers} preferred): rank correlation {_or_unknown(each.rank_correlation)} over "
            f"{each.cells} cells, regret {_in_points(each.regret)} points over {each.choices} choices "
            f"(at random {_in_points(each.regret_of_chance)})"
            for each in found.proxies
        ),
    )


def _leads(found: Findings) -> str:
    return _section(
        "Known before training, of every student's teachers (± standard error)",
        (
            f"{each.student}, {each.proxy} ({each.prefers} preferred): "
            + ", ".join(
                f"{teacher} {value.value:.3g}" + (f" ± {value.error:.2g}" if value.error else "")
                for teacher, value in each.values.items()
            )
            + f"; {each.leader or 'a tie'}{'' if each.sure or each.leader is None else ', within noise'}"
            for each in found.leads
        ),
    )


def _arms(arms: Sequence[ArmAccuracy]) -> str:
    return _section(
        "Each arm alone",
        (
            f"{each.task}: {each.student} {_arm(each.teacher, each.recipe) or 'untouched'}  "
            f"{'no score' if each.accuracy is None else f'{100 * each.accuracy:.1f} %'} of {each.n} items"
            + (f", {each.unscored} unscored ({100 * each.low:.1f} to {100 * each.high:.1f})" if each.unscored else "")
            for each in arms
        ),
    )


def _arm(teacher: str, recipe: str) -> str:
    return f"{teacher} / {recipe}" if recipe else teacher


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _p(p: float | None) -> str:
    return "unknown" if p is None else f"{p:.2g}"


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.2f}"


def _in_points(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.1f}"
