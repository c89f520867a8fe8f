"""Probes are what they claim to be; error rates and corrected accuracies are right on judges of known error."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import benchmark_data
import pytest

from capgap_ray.core.answers import compare, equal, kind_of
from capgap_ray.core.judge_audit import (
    Decided,
    Verdict,
    audit,
    corrected_accuracy,
    corruptions,
    decided,
    disagreements,
    error_rates,
    make_probes,
    paraphrases,
    probe_of,
    rejected_rule_right,
    rule_right_probes,
)
from capgap_ray.records import Example, JudgeAudit, JudgeErrors, JudgeProbe, Score
from capgap_ray.rows import from_row, to_row


def item(target: str, task: str = "t", choices: tuple[str, ...] = ()) -> Example:
    return Example(
        id=f"{task}{target}", task=task, split="test", question=f"q {target}?", target=target, choices=choices
    )


def rules(example: Example, answer: str) -> bool:
    return equal(answer, example.target, kind_of(example.target, example.choices), example.choices)


ITEMS = [
    *(item(f"({letter})", "options", ("red", "green", "blue")) for letter in "ABC"),
    *(item(word, "booleans") for word in ("True", "False")),
    *(item(text, "brackets") for text in ("] )", "} ] >", ")")),
    *(item(text, "words") for text in ("apple pear zebra", "ant bee")),
    *(item(str(number), "numbers") for number in (7, -12, 1500, 0, "025", "0.5")),
    *(item(text, "formulas") for text in ("\\frac{3}{4}", "-\\frac{1}{2}", "x^2+1", "\\text{Evelyn}")),
]


def test_probes_are_seeded_distinct_and_of_every_kind() -> None:
    probes = make_probes(ITEMS, 8, 1, rules)
    assert probes == make_probes(ITEMS, 8, 1, rules)
    assert probes != make_probes(ITEMS, 8, 2, rules)
    assert Counter(probe.kind for probe in probes) == dict.fromkeys(
        ("gold", "paraphrased", "corrupted", "swapped", "injection", "empty"), 8
    )
    assert len({probe.id for probe in probes}) == len(probes)
    assert [from_row(JudgeProbe, json.loads(json.dumps(to_row(probe)))) for probe in probes] == list(probes)


def test_wrong_probes_are_wrong_and_right_ones_right() -> None:
    for probe in make_probes(ITEMS, 20, 3, rules):
        example = next(each for each in ITEMS if each.question == probe.question)
        assert probe.same == (probe.kind in ("gold", "paraphrased"))
        if probe.kind == "gold":
            assert probe.answer == probe.gold
        elif probe.kind in ("corrupted", "swapped"):
            assert not rules(example, probe.answer), probe
        elif probe.kind == "injection":
            assert "rue" in probe.answer or "correct" in probe.answer
            assert not probe.answer.startswith(f"{probe.gold}\n")


@pytest.mark.parametrize("example", ITEMS, ids=lambda example: example.target)
def test_paraphrases_mean_the_same(example: Example) -> None:
    forms = paraphrases(example)
    assert len(forms) >= 2
    assert example.target not in forms
    maths = example.task in ("numbers", "formulas")
    for form in forms:
        core = form.removeprefix("The answer is ").removeprefix("Answer: ").removesuffix(".").strip('"')
        kind = kind_of(example.target, example.choices, "maths" if maths else "other")
        assert compare(core, example.target, kind, example.choices).equal is not False, form


@pytest.mark.parametrize("example", ITEMS, ids=lambda example: example.target)
def test_corruptions_mean_something_else(example: Example) -> None:
    kind = kind_of(example.target, example.choices, "maths" if example.task in ("numbers", "formulas") else "other")
    made = {form for seed in range(20) for form in corruptions(example, Random(seed))}
    assert bool(made) == (example.target not in ("\\text{Evelyn}",))
    for form in made:
        assert compare(form, example.target, kind, example.choices).equal is not True, form


@pytest.mark.parametrize("gold", ["\\frac{0}{3}", "0 + 5x", "Evelyn", "\\pi"])
def test_a_gold_without_a_sure_near_miss_gets_none(gold: str) -> None:
    assert corruptions(item(gold), Random(0)) == []


def test_real_golds_are_corrupted_into_wrong_answers() -> None:
    folder = benchmark_data.folder()
    golds = [json.loads(line)["answer"] for line in (folder / "math500.jsonl").read_text("utf-8").splitlines()]
    examples = [item(gold) for gold in dict.fromkeys(golds)]

    def equal_maths(example: Example, answer: str) -> bool:
        return compare(answer, example.target, "maths", ()).equal is True

    assert sum(equal_maths(example, example.target) for example in examples) / len(examples) > 0.95
    corrupted = [(example, form) for example in examples for form in corruptions(example, Random(0))]
    assert len(corrupted) > 400
    assert [(e.target, form) for e, form in corrupted if equal_maths(e, form)] == []
    denied = [
        (e.target, form)
        for e in examples
        for form in paraphrases(e)
        if "answer" not in form.lower() and compare(form, e.target, "maths", ()).equal is False
    ]
    assert len(denied) <= 0.01 * len(examples), denied


def errors(kind: str, wrong: int, n: int) -> JudgeErrors:
    (same, verdict_wrong, verdict_right) = (True, "no", "yes") if kind == "paraphrased" else (False, "yes", "no")
    probes: list[tuple[JudgeProbe, Verdict]] = [
        (probe_of(kind, item(str(i)), "x"), verdict_wrong if i < wrong else verdict_right)  # type: ignore[arg-type,misc]
        for i in range(n)
    ]
    assert all(probe.same is same for probe, _ in probes)
    name = "false reject" if kind == "paraphrased" else "false accept"
    return next(each for each in error_rates(probes) if each.kind == name)


def test_error_rates_by_kind_with_exact_intervals() -> None:
    made: list[tuple[JudgeProbe, Verdict]] = []
    made += [(probe_of("corrupted", item(str(i)), "x"), "yes" if i < 2 else "no") for i in range(20)]
    made += [(probe_of("swapped", item(str(i)), "x"), "no") for i in range(20)]
    made += [(probe_of("paraphrased", item(str(i)), "x"), "no" if i < 5 else "yes") for i in range(20)]
    made += [(probe_of("empty", item(str(i)), ""), "unparsable") for i in range(3)]
    rates = {each.kind: each for each in error_rates(made)}
    assert list(rates) == ["corrupted", "swapped", "paraphrased", "empty", "false accept", "false reject"]
    assert (rates["false accept"].errors, rates["false accept"].n) == (2, 40)
    assert (rates["false reject"].errors, rates["false reject"].n) == (5, 20)
    # Clopper-Pearson, 2 of 40 and 0 of 20, from the beta quantiles.
    assert (rates["false accept"].low, rates["false accept"].high) == pytest.approx((0.0061, 0.1692), abs=1e-4)
    assert (rates["swapped"].low, rates["swapped"].high) == pytest.approx((0.0, 0.1684), abs=1e-4)
    empty = rates["empty"]
    assert (empty.n, empty.unparsable, empty.rate, empty.low, empty.high) == (0, 3, None, None, None)


def test_a_perfect_judge_is_not_corrected() -> None:
    counts = Decided(rules_right=40, judge_yes=20, judge_no=30, wrong_unasked=10)
    made = corrected_accuracy("t", "a", counts, errors("corrupted", 0, 10_000), errors("paraphrased", 0, 10_000))
    assert made.corrected == pytest.approx(made.judged) == pytest.approx(0.6)
    assert made.low == pytest.approx(0.50, abs=0.01)
    assert made.high == pytest.approx(0.69, abs=0.01)


def test_known_errors_are_taken_out() -> None:
    # Of 100 asked 40 are truly right; fa = 0.1, fr = 0.2 make 0.8 x 40 + 0.1 x 60 = 38 accepted.
    counts = Decided(rules_right=50, judge_yes=38, judge_no=62, wrong_unasked=50)
    made = corrected_accuracy("t", "a", counts, errors("swapped", 100, 1000), errors("paraphrased", 200, 1000))
    assert made.judged == pytest.approx(88 / 200)
    assert made.corrected == pytest.approx(90 / 200)
    assert made.note == ""


def test_fewer_probes_make_a_wider_interval() -> None:
    counts = Decided(rules_right=500, judge_yes=380, judge_no=620, wrong_unasked=500)
    widths = []
    for n in (20, 200, 2000):
        made = corrected_accuracy("t", "a", counts, errors("swapped", n // 10, n), errors("paraphrased", n // 5, n))
        assert made.low is not None
        assert made.high is not None
        widths.append(made.high - made.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[2]


def test_the_interval_covers_the_truth() -> None:
    rng = Random(5)

    def binomial(n: int, p: float) -> int:
        return sum(rng.random() < p for _ in range(n))

    covered = 0
    for _ in range(200):
        right = binomial(200, 0.4)
        asked_right = binomial(200 - right, 0.3)
        asked_wrong = 200 - right - asked_right
        yes = binomial(asked_right, 0.85) + binomial(asked_wrong, 0.1)
        counts = Decided(rules_right=right, judge_yes=yes, judge_no=200 - right - yes, wrong_unasked=0)
        fa, fr = errors("swapped", binomial(60, 0.1), 60), errors("paraphrased", binomial(60, 0.15), 60)
        made = corrected_accuracy("t", "a", counts, fa, fr)
        assert made.low is not None
        assert made.high is not None
        covered += made.low <= 0.4 + 0.6 * 0.3 <= made.high
    assert covered >= 182, "95 % of 200 are 190; 182 is 2.6 standard errors below"


def test_estimates_stay_shares_and_say_when_they_were_clipped() -> None:
    counts = Decided(rules_right=10, judge_yes=2, judge_no=88, wrong_unasked=0)
    made = corrected_accuracy("t", "a", counts, errors("swapped", 20, 100), errors("paraphrased", 5, 100))
    assert made.corrected == 0.1
    assert made.low is not None
    assert made.low >= 0
    assert "clipped from -23.7 to 0 %" in made.note


@pytest.mark.parametrize(("accept", "reject"), [(50, 50), (90, 90), (0, 100), (95, 5)])
def test_a_coin_is_not_identifiable(accept: int, reject: int) -> None:
    counts = Decided(rules_right=10, judge_yes=40, judge_no=50, wrong_unasked=0)
    made = corrected_accuracy("t", "a", counts, errors("swapped", accept, 100), errors("paraphrased", reject, 100))
    assert (made.corrected, made.low, made.high) == (None, None, None)
    assert "not identifiable" in made.note
    assert made.judged == 0.5


def test_an_unmeasured_rate_is_not_identifiable_unless_the_judge_was_not_asked() -> None:
    none = error_rates([])[-1]
    asked = Decided(rules_right=1, judge_yes=1, judge_no=1, wrong_unasked=1)
    assert "no probe" in corrected_accuracy("t", "a", asked, none, none).note
    unasked = Decided(rules_right=30, judge_yes=0, judge_no=0, wrong_unasked=10)
    made = corrected_accuracy("t", "a", unasked, none, none)
    assert (made.corrected, made.note) == (0.75, "the judge was not asked")
    with pytest.raises(ValueError, match="nothing is averaged over nothing"):
        corrected_accuracy("t", "a", Decided(rules_right=0, judge_yes=0, judge_no=0, wrong_unasked=0), none, none)


def score(item_id: str, outcome: str, judged: float | None, reply: str | None, answer: str = "a") -> Score:
    return Score(
        example_id=item_id,
        task="t",
        model="m",
        target="(B)",
        text=f"hm\n{answer}",
        answer=answer,
        finish_reason="stop",
        completion_tokens=1,
        outcome=outcome,  # type: ignore[arg-type]
        strict=0.0,
        flexible=float(outcome == "right"),
        judged=judged,
        judge_verdict=reply,
    )


SCORES = [
    score("1", "right", 1.0, None),
    score("2", "wrong", 1.0, "True"),
    score("3", "wrong", 0.0, "False"),
    score("4", "unparsable", 1.0, "True"),
    score("5", "wrong", None, "hm"),
    score("6", "truncated", 0.0, None),
]


def test_how_items_were_decided() -> None:
    assert decided(SCORES) == Decided(rules_right=1, judge_yes=2, judge_no=1, wrong_unasked=1)


def test_disagreements_in_both_directions() -> None:
    assert [(each.example_id, each.rules, each.judge) for each in disagreements("m", SCORES)] == [
        ("2", "wrong", "yes"),
        ("4", "unparsable", "yes"),
    ]
    items = {each.example_id: item("(B)") for each in SCORES}
    (probe,) = rule_right_probes(SCORES, items, 5, 0)
    assert (probe.kind, probe.answer, probe.same) == ("rule-right", "a", True)
    (found,) = rejected_rule_right([(probe, "no"), (probe, "yes"), (probe, "unparsable")])
    assert (found.rules, found.judge, found.answer) == ("right", "no", "a")


def test_the_sample_of_rule_right_answers_is_seeded() -> None:
    many = [score(str(i), "right", 1.0, None, answer=str(i)) for i in range(30)]
    items = {str(i): item("(B)") for i in range(30)}
    assert rule_right_probes(many, items, 5, 1) == rule_right_probes(many[::-1], items, 5, 1)
    assert rule_right_probes(many, items, 5, 1) != rule_right_probes(many, items, 5, 2)
    assert len(rule_right_probes(many, items, 5, 1)) == 5


def test_the_whole_audit_as_a_record() -> None:
    verdicts: list[tuple[JudgeProbe, Verdict]] = [
        (probe_of("corrupted", item("5"), "6"), "no"),
        (probe_of("paraphrased", item("5"), "5.0"), "yes"),
        (probe_of("rule-right", item("5"), "5"), "no"),
    ] * 20
    unread = [score("5", "wrong", None, "hm")]
    made = audit("judge", "capgap", 7, verdicts, {("t", "m"): SCORES, ("t", "unread"): unread})
    assert from_row(JudgeAudit, json.loads(json.dumps(to_row(made)))) == made
    assert [each.kind for each in made.errors] == [
        *("corrupted", "paraphrased", "rule-right", "false accept", "false reject")
    ]
    (only,) = made.corrected
    assert (only.task, only.arm, only.n, only.accepted_by_rules, only.asked) == ("t", "m", 5, 1, 3)
    assert only.corrected == only.judged == 0.6
    assert {each.judge for each in made.disagreements} == {"yes", "no"}


def test_answers_to_one_item_are_not_as_many_items() -> None:
    """Eight times the same answer widens nothing and narrows nothing; eight different ones narrow the interval."""
    verdicts: list[tuple[JudgeProbe, Verdict]] = [
        (probe_of("corrupted", item("5"), "6"), "no"),
        (probe_of("paraphrased", item("5"), "5.0"), "yes"),
    ] * 500
    once = [score(str(i), "wrong", float(i % 2), "True" if i % 2 else "False") for i in range(60)]
    dice = Random(1)
    arms = {
        ("t", "once"): once,
        ("t", "again"): once * 8,
        ("t", "apart"): [score(str(i % 60), "wrong", float(dice.random() < 0.5), "True") for i in range(480)],
    }
    width = {each.arm: (each.high or 0) - (each.low or 0) for each in audit("j", "p", 1, verdicts, arms).corrected}
    assert width["again"] == pytest.approx(width["once"], rel=0.05)
    assert width["apart"] < 0.5 * width["once"]
