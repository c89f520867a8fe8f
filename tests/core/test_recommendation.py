"""Verdicts: what it takes to get one, and that confounded comparisons never give one."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from capgap_ray.core.recommendation import recommend, select_tasks, shows_difference, thresholds, verdicts
from capgap_ray.records import (
    Comparison,
    Confound,
    Efficacy,
    Estimated,
    FilterReport,
    GainParts,
    ProxyLead,
    ProxyQuality,
    TeacherAdvantage,
    Verdict,
)

TENFOLD = Confound(field="updates", left="1334", right="134", note="10.0x fewer updates")
PACKING = Confound(field="packing", left="False", right="True", note="other packing (False against True)")


def comparison(
    right: str,
    delta: float | None,
    half: float = 0.05,
    p: float | None = 0.001,
    left: str = "untouched",
    **other: Any,
) -> Comparison:
    values: dict[str, Any] = {
        "name": f"{right} v {left}",
        "kind": "gain" if left == "untouched" else "teacher",
        "task": "dyck",
        "student": "s",
        "left": left,
        "right": right,
        "n": 120 if delta is not None else 0,
        "unscored": 0,
        "left_acc": 0.4,
        "right_acc": 0.4 + (delta or 0),
        "delta": delta,
        "ci_low": None if delta is None else delta - half,
        "ci_high": None if delta is None else delta + half,
        "p": p,
        "p_adjusted": p,
        "test": "exact McNemar",
        "mde": 0.12,
        "confounds": (),
    }
    return Comparison(**(values | other))


def verdict(*comparisons: Comparison) -> Verdict:
    (only,) = verdicts(comparisons, [], ["s"], None)
    return only


def test_the_best_arm_improves() -> None:
    found = verdict(comparison("small / 2x1", 0.1), comparison("mix / 5x4", 0.2))
    assert (found.helps, found.best_mixture) == ("improved", "mix")
    assert found.reasons[0] == (
        "mix / 5x4 against the untouched student: +20.0 points "
        "(95 % interval +15.0 to +25.0, adjusted p 0.001, 120 items)"
    )


def test_harm_needs_every_mixture_below_zero() -> None:
    found = verdict(comparison("small / 2x1", -0.2), comparison("mix / 5x4", -0.1))
    assert (found.helps, found.best_mixture) == ("harmed", "mix")
    assert "even the best mixture is below the untouched student" in found.reasons
    assert verdict(comparison("small", -0.2), comparison("mix", -0.01)).helps == "undetermined"


@pytest.mark.parametrize(
    "gain",
    [
        comparison("mix", 0.04),  # interval holds 0
        comparison("mix", 0.2, p=0.06),  # not significant after adjustment
        comparison("mix", 0.2, p=None),
        comparison("mix", -0.04),
        comparison("mix", -0.2, p=0.06),
        comparison("mix", 0.0),
    ],
)
def test_undetermined_names_the_smallest_detectable_difference(gain: Comparison) -> None:
    found = verdict(gain)
    assert (found.helps, found.best_mixture) == ("undetermined", "mix")
    assert "the smallest detectable difference of these 120 items is 12 points" in found.reasons[0]
    assert not shows_difference(gain)


def test_too_few_items_are_said_to_be_too_few() -> None:
    assert "5 items are too few to show any" in verdict(comparison("mix", 0.1, half=0.5, n=5, mde=None)).reasons[0]


def test_nothing_scored_is_not_a_zero() -> None:
    found = verdict(comparison("mix", None, p=None, unscored=7))
    assert (found.helps, found.best_mixture) == ("undetermined", None)
    assert found.reasons[0] == "mix against the untouched student: no item has a score on both sides (7 unscored)"


@pytest.mark.parametrize("delta", [0.9, -0.9])
def test_a_confounded_gain_never_yields_a_verdict(delta: float) -> None:
    found = verdict(comparison("mix / 5x4", delta, confounds=(TENFOLD,)))
    assert (found.helps, found.best_mixture) == ("undetermined", None)
    assert "is confounded: 10.0x fewer updates" in found.reasons[0]


def test_a_confounded_best_arm_leaves_the_verdict_to_the_others() -> None:
    found = verdict(comparison("mix", 0.9, confounds=(TENFOLD,)), comparison("small", 0.2))
    assert (found.helps, found.best_mixture) == ("improved", "small")
    assert any("mix against the untouched student is confounded" in reason for reason in found.reasons)


def test_no_gain_comparison_at_all() -> None:
    found = verdict(comparison("large", 0.2, left="small"))
    assert found.helps == "undetermined"
    assert found.reasons[0] == "no mixture was compared with the untouched student"


@pytest.mark.parametrize(("delta", "winner"), [(0.2, "large"), (-0.2, "small")])
def test_the_better_teacher_is_recommended(delta: float, winner: str) -> None:
    teachers = comparison("large / 2x1", delta, left="small / 2x1")
    gains = comparison("large / 2x1", 0.1), comparison("small / 2x1", 0.1)
    assert verdict(*gains, teachers).teacher_to_use == winner


@pytest.mark.parametrize("own", [comparison("large / 2x1", 0.04), comparison("large / 1x8", 0.2), None])
def test_a_teacher_that_is_ahead_but_not_shown_to_help_is_not_recommended(own: Comparison | None) -> None:
    duel = comparison("large / 2x1", 0.2, left="small / 2x1")
    found = verdict(comparison("mix / 2x1", 0.3), duel, *([own] if own else []))
    assert (found.helps, found.teacher_to_use) == ("improved", None)
    assert "large is ahead of another, but is not shown to help this student" in found.reasons


def test_no_teacher_is_recommended_where_none_is_shown_to_help() -> None:
    found = verdict(comparison("large", 0.04), comparison("large", 0.2, left="small"))
    assert (found.helps, found.teacher_to_use) == ("undetermined", None)
    assert "no teacher is recommended: none is shown to help this student" in found.reasons


def test_teachers_that_cannot_be_told_apart() -> None:
    found = verdict(comparison("large", 0.1), comparison("large", 0.01, left="small"))
    assert found.teacher_to_use is None
    assert "the teachers cannot be told apart" in found.reasons
    assert any("smallest detectable difference of these 120 items is 12 points" in reason for reason in found.reasons)


def test_a_confounded_teacher_comparison_never_yields_a_teacher() -> None:
    mixed = comparison("mix / 5x4", -0.5, left="large / 2x1", confounds=(TENFOLD, PACKING))
    found = verdict(comparison("mix", 0.1), mixed)
    assert found.teacher_to_use is None
    assert (
        "mix / 5x4 against large / 2x1 is confounded: 10.0x fewer updates; "
        "other packing (False against True). No verdict is drawn from it"
    ) in found.reasons


def test_one_unbeaten_teacher_of_three() -> None:
    rows = [
        comparison("large", 0.2, left="small"),
        comparison("mix", 0.2, left="large"),
        comparison("mix", 0.3, left="small"),
    ]
    for order in itertools.permutations([*rows, comparison("mix", 0.1)]):
        assert verdict(*order).teacher_to_use == "mix"


def test_two_unbeaten_teachers_and_contradictions_give_none() -> None:
    two = verdict(
        comparison("large", 0.2), comparison("large", 0.2, left="small"), comparison("mix", 0.2, left="small")
    )
    assert two.teacher_to_use is None
    assert "large and mix each beat another, but not one another" in two.reasons
    turned = verdict(
        comparison("large / 1x1", 0.2),
        comparison("large / 1x1", 0.2, left="small / 1x1"),
        comparison("large / 8x1", -0.2, left="small / 8x1"),
    )
    assert turned.teacher_to_use is None
    assert "the comparisons contradict each other, so no teacher is recommended" in turned.reasons


def test_no_teacher_is_recommended_to_a_student_that_distillation_harms() -> None:
    found = verdict(comparison("large", -0.3), comparison("large", 0.2, left="small"))
    assert (found.helps, found.teacher_to_use) == ("harmed", None)


def test_declared_comparisons_add_reasons_only() -> None:
    found = verdict(comparison("mix / 8x1", 0.5, left="mix / 1x1", kind="declared"))
    assert (found.helps, found.teacher_to_use) == ("undetermined", None)
    assert any(reason.startswith("mix / 8x1 against mix / 1x1: +50.0 points") for reason in found.reasons)


def test_one_verdict_per_task_and_student() -> None:
    rows = [comparison("mix", 0.2, task=task, student=student) for task in ("dyck", "all") for student in ("s", "t")]
    found = verdicts(rows, [], ["t", "s", "absent"], None)
    assert [(v.task, v.student) for v in found] == [
        (task, student) for task in ("dyck", "all") for student in ("t", "s", "absent")
    ]
    assert [v.helps for v in found] == ["improved", "improved", "undetermined"] * 2
    assert verdicts([], [], ["s"], None) == ()


@pytest.mark.parametrize(
    ("harmed", "ending"),
    [
        ([], "no arm is shown to be better or worse."),
        (["long"], "no arm is shown to be better; long is shown to be worse."),
        (["long", "short"], "no arm is shown to be better; long and short are shown to be worse."),
    ],
)
def test_an_open_question_names_the_arms_that_are_worse(harmed: list[str], ending: str) -> None:
    efficacy = [
        Efficacy(
            task="dyck",
            student="s",
            teacher=teacher,
            recipe="",
            status="harmed" if teacher in harmed else "undetermined",
            comparison=comparison(teacher, -0.2 if teacher in harmed else -0.08, p=0.2),
            parts=None,
        )
        for teacher in ("mix", "long", "short")
    ]
    (found,) = recommend(("s",), efficacy, (), (), (), {}, (), ())
    assert found.sentence == f"Whether to distil s is open: against the untouched student {ending}"


def efficacy(teacher: str, delta: float, status: str, recipe: str = "", task: str = "dyck", **other: Any) -> Efficacy:
    label = f"{teacher} / {recipe}" if recipe else teacher
    return Efficacy(
        task=task,
        student="s",
        teacher=teacher,
        recipe=recipe,
        status=status,  # type: ignore[arg-type]
        comparison=comparison(label, delta, task=task, **other),
        parts=None,
    )


def advantage(delta: float, better: str | None, recipe: str = "", **other: Any) -> TeacherAdvantage:
    end = f" / {recipe}" if recipe else ""
    return TeacherAdvantage(
        task="dyck",
        student="s",
        size=None,
        recipe=recipe,
        weaker="small",
        stronger="large",
        ordered=True,
        better=better,
        comparison=comparison(f"small{end}", delta, left=f"large{end}", mde_adjusted=0.2, level=0.02, **other),
    )


def test_an_arm_that_is_shown_to_help_counts_beside_a_larger_gain_that_is_not_shown() -> None:
    gains = [efficacy("small", 0.12, "undetermined", p=0.07), efficacy("large", 0.11, "improved")]
    (found,) = recommend(("s",), gains, [advantage(0.01, None)], (), (), {}, (), ())
    assert (found.distil, found.sentence) == ("yes", "Distil s from large.")
    assert found.reasons[0].startswith("large against the untouched student: +11.0 points")
    told = verdict(*(each.comparison for each in gains))
    assert (told.helps, told.best_mixture) == ("improved", "large")


def test_a_teacher_is_chosen_under_the_recipe_that_is_advised() -> None:
    gains = [
        efficacy(teacher, delta, "improved", recipe)
        for teacher, recipe, delta in (
            ("small", "2x1", 0.25),
            ("large", "2x1", 0.12),
            ("small", "5x4", 0.34),
            ("large", "5x4", 0.36),
        )
    ]
    elsewhere = advantage(0.13, "small", "2x1")
    (turned,) = recommend(("s",), gains, [elsewhere, advantage(-0.06, "large", "5x4")], (), (), {}, (), ())
    assert turned.sentence == "Distil s from large, with recipe 5x4."
    (open_,) = recommend(("s",), gains, [elsewhere, advantage(-0.02, None, "5x4")], (), (), {}, (), ())
    assert open_.sentence == "Distil s from any of the teachers compared, with recipe 5x4."


def test_a_recipe_that_is_not_shown_to_be_better_is_said_not_to_be() -> None:
    gains = [efficacy("large", delta, "improved", recipe) for recipe, delta in (("2x1", 0.12), ("5x4", 0.3))]

    def told(setting: Comparison) -> tuple[str, bool]:
        (found,) = recommend(("s",), gains, [], (), [setting], {}, (), ())
        words = "recipe 5x4 has the largest gain, but is not shown to be better than 2x1"
        return found.sentence, words in found.reasons

    sentence = "Distil s from large, with recipe 5x4."
    assert told(comparison("large / 5x4", 0.18, left="large / 2x1", kind="declared")) == (sentence, False)
    assert told(comparison("large / 2x1", -0.18, left="large / 5x4", kind="declared")) == (sentence, False)
    assert told(comparison("large / 5x4", 0.18, p=0.3, left="large / 2x1", kind="declared")) == (sentence, True)
    confounded = comparison("large / 5x4", 0.18, left="large / 2x1", kind="declared", confounds=(TENFOLD,))
    assert told(confounded) == (sentence, True)


def test_parts_of_a_gain_leave_nothing_out() -> None:
    """They are by the rules, and a judge may accept what the rules do not."""
    parts = GainParts(
        unparsable_before=0.1,
        unparsable_after=0.0,
        truncated_before=0.0,
        truncated_after=0.0,
        right_when_read_before=0.4,
        right_when_read_after=0.42,
        format=0.04,
        truncation=0.0,
        reasoning=0.02,
    )
    words = "of the change, +4.0 points are answers that can be read, +0.0 answers no longer cut off, "
    words += "+2.0 better reasoning"
    for gain, rest in ((0.06, ""), (0.2, "; +14.0 are none of these by the rules: the judge's, or unscored items'")):
        arm = dataclasses.replace(efficacy("small", gain, "improved"), parts=parts)
        (found,) = recommend(("s",), [arm], [], (), (), {}, (), ())
        assert words + rest in found.reasons


@pytest.mark.parametrize(("low", "undone"), [(-0.1, True), (0.05, False)])
def test_unscored_items_that_could_undo_a_gain_are_told_beside_it(low: float, undone: bool) -> None:
    gain = efficacy("small", 0.2, "improved", unscored=40, bound_low=low, bound_high=0.3)
    (found,) = recommend(("s",), [gain], [], (), (), {}, (), ())
    assert found.distil == "yes"
    words = "; but the 40 unscored items could make it anything from -10.0 to +30.0"
    assert found.reasons[0].endswith(words) is undone
    assert ("scores of the 40 unscored items, which could undo what is shown" in found.surer) is undone


def test_more_items_are_not_asked_for_what_is_shown_or_confounded() -> None:
    gains = [efficacy("small", 0.2, "improved"), efficacy("large", 0.2, "improved")]
    duels = [advantage(0.2, None, confounds=(TENFOLD,)), advantage(0.1, "small"), advantage(-0.1, "large")]
    (found,) = recommend(("s",), gains, duels, (), (), {}, (), ())
    assert found.teacher is None
    assert not any("items" in each for each in found.surer)


def test_teachers_apart_by_their_yield_alone_are_told_how_to_be_compared() -> None:
    """The question of an experiment with two teachers, which no number of items or seeds would answer."""
    gains = [efficacy("small", 0.2, "improved"), efficacy("large", 0.2, "improved")]
    slower = Confound(field="lr_integral", left="0.1", right="0.2", note="2.0x lower summed learning rate")
    (found,) = recommend(("s",), gains, [advantage(0.2, None, confounds=(TENFOLD, slower))], (), (), {}, (), ())
    assert any("set `filter.size: smallest`" in each and "`match: updates`" in each for each in found.surer)
    (packed,) = recommend(("s",), gains, [advantage(0.2, None, confounds=(TENFOLD, PACKING))], (), (), {}, (), ())
    assert not any("filter.size" in each for each in packed.surer)


def test_an_arm_that_lacks_a_task_is_named_and_not_ranked_by_its_other_tasks() -> None:
    gains = [
        *(efficacy("small", 0.3, "improved", task=task) for task in ("all", "A", "B")),
        efficacy("large", 0.4, "improved", task="A"),
    ]
    (found,) = recommend(("s",), gains, [], (), (), {}, (), ())
    assert found.sentence == "Distil s from small, the only teacher that was tried on all of these tasks."
    assert any(
        each.startswith("not among these, for want of B: on A, large against the untouched student: +40.0 points")
        for each in found.reasons
    )
    assert "large: score it on B, too" in found.surer
    gains += [efficacy("small", 0.3, "improved", task="C"), efficacy("large", 0.4, "improved", task="B")]
    gains += [efficacy("large", 0.4, "improved", task="all")]
    (found,) = recommend(("s",), gains, [], (), (), {}, (), ())
    assert found.sentence == "Distil s from small, the only teacher that was tried on all of these tasks."


def report(teacher: str, kept: int, task: str = "dyck") -> FilterReport:
    return FilterReport(
        teacher=teacher,
        task=task,
        seen=100,
        kept=kept,
        dropped={"wrong": 100 - kept},
    )


def test_data_ratio_per_task_and_pooled() -> None:
    rows = [comparison("mix", 0.2), comparison("mix", 0.2, task="all")]
    filters = [report("L", 92), report("S", 47), report("L", 50, "date"), report("S", 53, "date")]
    dyck, pooled = verdicts(rows, filters, ["s"], ("L", "S"))
    assert dyck.data_ratio == 92 / 47
    assert "L yields 1.96 times the training rows of S (92 against 47), which reaches the 1.3" in dyck.reasons[-1]
    assert pooled.data_ratio == 1.42
    assert verdicts(rows, filters, ["s"], None)[0].data_ratio is None
    assert verdicts(rows, filters, ["s"], ("L", "other"))[0].data_ratio is None
    reverse = verdicts(rows, filters, ["s"], ("S", "L"))[0]
    assert "which is below the 1.3" in reverse.reasons[-1]
    nothing = verdicts(rows, [report("L", 9), report("S", 0)], ["s"], ("L", "S"))[0]
    assert nothing.data_ratio is None
    assert nothing.reasons[-1] == "no data ratio: no row of S passed the filter, 9 of L did"


def test_selection_by_the_in_context_gap() -> None:
    teachers = {"dyck": {"a": 0.8, "b": 0.6}, "date": {"a": 0.9, "b": 0.9}, "exact": {"a": 0.9}}
    students = {"dyck": {"s": 0.3, "t": 0.3}, "date": {"s": 0.7, "t": 0.8}, "exact": {"s": 0.6}}
    dyck, date, exact = select_tasks(teachers, students, 150, 30)
    assert (dyck.task, dyck.n, dyck.selected, dyck.threshold_points) == ("dyck", 150, True, 30)
    assert (dyck.teacher_acc, dyck.student_acc, dyck.gap_points) == pytest.approx((0.7, 0.3, 40))
    assert (date.selected, exact.selected) == (False, False)
    assert exact.gap_points == 30
    per_task = select_tasks(teachers, students, {"dyck": 1, "date": 2, "exact": 3}, 30)
    assert [s.n for s in per_task] == [1, 2, 3]


def test_selection_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="task dyck has no accuracies of students"):
        select_tasks({"dyck": {"a": 1.0}}, {}, 1, 30)
    with pytest.raises(ValueError, match="task dyck has no accuracies of teachers"):
        select_tasks({"dyck": {}}, {"dyck": {"s": 1.0}}, 1, 30)


def test_thresholds_count_what_is_sure() -> None:
    chosen = select_tasks({"a": {"t": 0.9}, "b": {"t": 0.8}}, {"a": {"s": 0.5}, "b": {"s": 0.49}}, 100, 30.0)
    wide = [dataclasses.replace(each, ci_low=each.gap_points - 8, ci_high=each.gap_points + 8) for each in chosen]
    at = {point.threshold_points: point for point in thresholds(wide)}
    assert (at[30.0].selected, at[30.0].surely_selected, at[30.0].surely_dropped) == (2, 1, 0)
    assert (at[45.0].selected, at[45.0].surely_dropped) == (0, 1)
    assert thresholds([]) == ()


def lead(proxy: str, leader: str | None, *, sure: bool, student: str = "s") -> ProxyLead:
    values = {"small": Estimated(value=1.25, error=0.05), "large": Estimated(value=1.5, error=0.0)}
    return ProxyLead(student=student, proxy=proxy, prefers="lower", tasks=2, values=values, leader=leader, sure=sure)


def quality(proxy: str, correlation: float, p: float) -> ProxyQuality:
    return ProxyQuality(
        proxy=proxy,
        prefers="lower",
        cells=9,
        rank_correlation=correlation,
        p=p,
        choices=3,
        regret=0.01,
        regret_of_chance=0.05,
    )


def before(known: list[ProxyLead], measured: list[ProxyQuality] | None = None, gap: float = 50.0) -> tuple[str, str]:
    """The advice to a student that was never trained: its sentence, and its reasons in one text."""
    chosen = select_tasks({"a": {"t": 0.4 + gap / 100}}, {"a": {"s": 0.4}}, 100, 30.0)
    (found,) = recommend(("s",), (), (), (), (), {}, chosen, measured or [], (), known)
    assert (found.distil, found.teacher) == ("undetermined", None), "no proxy is a verdict"
    assert found.surer
    return found.sentence, "\n".join(found.reasons)


def test_before_training_the_published_proxy_names_a_first_teacher() -> None:
    known = [lead("rank-surprisal ratio", "small", sure=True), lead("yield", "large", sure=True)]
    sentence, reasons = before([*known, lead("yield", "small", sure=True, student="another")])
    assert sentence == (
        "Whether to distil s is not known; the few-shot gap suggests to try; "
        "the rank-surprisal ratio suggests to begin with small."
    )
    assert "arXiv 2601.14249" in reasons
    assert "which need not hold for these tasks" in reasons
    assert (
        "rank-surprisal ratio (± standard error; lower is preferred): small 1.25 ± 0.05, large 1.5: small\n" in reasons
    )
    assert reasons.endswith("large 1.5: large"), "every proxy of this student, whatever it prefers, and of no other"


def test_before_training_noise_names_none() -> None:
    sentence, reasons = before([lead("rank-surprisal ratio", "small", sure=False)], gap=10.0)
    assert sentence == "Whether to distil s is not known; the rank-surprisal ratio does not tell the teachers apart."
    assert "small, within noise" in reasons
    assert before([])[0] == "Whether to distil s is not known; the few-shot gap suggests to try."


def test_a_proxy_that_has_proven_itself_here_goes_before_the_published_one() -> None:
    known = [lead("rank-surprisal ratio", "small", sure=True), lead("student loss", "large", sure=True)]
    sentence, reasons = before(known, [quality("student loss", 0.8, 0.01), quality("rank-surprisal ratio", 0.9, 0.2)])
    assert "the student loss suggests to begin with large" in sentence
    assert "the student loss foretold the gains so far best" in reasons
    sentence, _ = before(known, [quality("student loss", -0.8, 0.01)])
    assert "the rank-surprisal ratio suggests to begin with small" in sentence, "surely wrong is not proven"
