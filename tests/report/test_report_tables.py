"""Tables as text, their CSV and the terminal's verdicts."""

from __future__ import annotations

import csv
import dataclasses
import io
import math

import numpy as np
import pytest

from capgap_ray.core.findings import Table, find
from capgap_ray.records import Confound, QuantityQuality
from capgap_ray.report import findings, formats, tables
from capgap_ray.report.bundle import results_of
from capgap_ray.report.findings_text import findings_text
from capgap_ray.report.page import render
from capgap_ray.results import Results
from tests.core.simulated import arm


def _column(table: tables.Table, name: str) -> list[str]:
    return [row[table.header.index(name)] for row in table.rows]


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "—"), (0.0, "<0.001"), (0.00099, "<0.001"), (0.0012, "0.0012"), (0.0312, "0.031"), (0.5, "0.50")],
)
def test_p_values(p: float | None, text: str) -> None:
    assert formats.p_value(p) == text


def test_points_and_signs() -> None:
    assert formats.points(0.12345) == "12.3"
    assert [formats.signed(x) for x in (0.1, -0.1, 0.0, -0.0001, 0.0001, None)] == (
        ["+10.0", "-10.0", "0.0", "0.0", "0.0", "—"]
    )
    assert formats.change(None, None, None) == "—"
    assert formats.change(0.1, None, None) == "+10.0 [—, —]"
    assert [formats.size(n) for n in (480_000, 500_000_000, 72_000_000_000, 12)] == ["480k", "0.5B", "72B", "12"]
    assert [formats.duration(s) for s in (0.4, 61.25, 3725.0)] == ["0.4 s", "1 min 01 s", "1 h 02 min"]


def test_wilson_interval() -> None:
    # Textbook value: 10 of 100.
    assert findings.wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    low, high = findings.wilson(0, 80)
    assert low == 0.0 and 0.04 < high < 0.05
    for n in range(1, 300):
        assert (findings.wilson(0, n)[0], findings.wilson(n, n)[1]) == (0.0, 1.0)


def test_pooling_sums_right_and_n_over_selected_tasks(results: Results) -> None:
    arm = "tiny-student-2m / mix / 5x4"
    parts = [a for a in results.accuracies if a.arm == arm]
    assert findings.pooled_tasks(results) == ("boxes", "dates")
    (pooled,) = [a for a in findings.pooled_accuracies(results)[0] if a.arm == arm]
    assert (pooled.n, pooled.right, pooled.setting) == (160, sum(a.right for a in parts), "5x4")
    teacher = next(a for a in findings.pooled_accuracies(results)[0] if a.role == "teacher")
    assert teacher.n == 160, "words is not selected, and training items are not test items"


def test_many_answers_to_one_item_are_not_many_items(results: Results) -> None:
    arm = "tiny-student-2m / mix / 5x4"

    def interval(k: int, spread: float) -> tuple[float, float]:
        """k answers an item; the standard error of their mean is `spread` times that of so many items."""
        rows = [
            dataclasses.replace(
                a,
                n=a.n * k,
                right=a.right * k,
                standard_error=spread * math.sqrt(a.right / a.n * (1 - a.right / a.n) / a.n),
            )
            for a in results.accuracies
            if a.arm == arm
        ]
        (pooled,) = findings.pooled_accuracies(dataclasses.replace(results, accuracies=tuple(rows)))[0]
        return pooled.low, pooled.high

    one = interval(1, 1.0)
    assert interval(8, 1.0) == pytest.approx(one), "eight times the same answer"
    low, high = interval(8, 1 / math.sqrt(8))
    assert one[0] < low < high < one[1], "eight answers as different as those to eight items"


def test_quantity_against_quality_in_the_table_the_page_and_the_text(elsewhere: Results) -> None:
    parted = QuantityQuality(
        student="s-0.5b",
        left="t-14b",
        right="t-72b",
        equal="rows",
        tasks=2,
        n=120,
        lead=0.12,
        lead_low=0.06,
        lead_high=0.18,
        quality=0.02,
        quality_low=-0.05,
        quality_high=0.09,
        quality_p=0.8,
        quantity=0.1,
        quantity_low=0.03,
        quantity_high=0.17,
        quantity_p=0.004,
        shown=("quantity",),
    )
    assert elsewhere.findings is not None
    found = dataclasses.replace(elsewhere.findings, quantity=(parted,))
    table = tables.quantity(found)
    assert _column(table, "quality") == ["+2.0"]
    assert _column(table, "quantity p") == ["0.0040"]
    assert _column(table, "shown") == ["quantity"]
    assert "with equal rows +2.0 (95 % interval -5.0 to +9.0), which is quality" in findings_text(found)
    assert "Quantity against quality" in render(dataclasses.replace(elsewhere, findings=found))
    assert "Quantity against quality" not in render(elsewhere)


def test_an_arm_without_all_tasks_is_not_pooled(results: Results) -> None:
    arm = "tiny-student-2m / mix / 5x4"
    kept = tuple(a for a in results.accuracies if (a.arm, a.task) != (arm, "dates"))
    pooled, missing = findings.pooled_accuracies(dataclasses.replace(results, accuracies=kept))
    assert missing == (arm,)
    assert arm not in {a.arm for a in pooled}


def test_control_arms_of_one_batch_keep_their_own_checkpoint(results: Results) -> None:
    name = "tiny-student-2m / mix / 5x4"
    checkpoint = next(c for c in results.checkpoints if f"{c.student} / {findings.arm_of(c)}" == name)
    recipe = dataclasses.replace(checkpoint.recipe, updates=120)
    control = dataclasses.replace(checkpoint, arm="mix / 5x4 / equal updates", recipe=recipe)
    scores = [dataclasses.replace(a, arm=f"{name} / equal updates") for a in results.accuracies if a.arm == name]
    both = dataclasses.replace(
        results, checkpoints=(*results.checkpoints, control), accuracies=(*results.accuracies, *scores)
    )
    updates = {arm.arm: c.recipe.updates for arm, c in findings.trained_arms(both)}
    assert len(updates) == 13
    assert (updates[name], updates[f"{name} / equal updates"]) == (12, 120)
    twice = dataclasses.replace(results, checkpoints=(*results.checkpoints, checkpoint))
    assert name not in {arm.arm for arm, _ in findings.trained_arms(twice)}, "two of one name cannot be told apart"


def test_best_gain_is_the_largest_clean_one_of_the_best_mixture(results: Results) -> None:
    verdict = next(v for v in results.verdicts if v.task == "all")
    best = findings.best_gain(results, verdict)
    assert best is not None and best.delta is not None
    found = [c for c in results.comparisons if c.kind == "gain" and c.task == "all"]
    mine = [c for c in found if c.student == verdict.student and " / mix / " in c.right]
    assert best.delta == max(c.delta for c in mine if c.delta is not None)
    unfair = next(c for c in results.comparisons if c.confounds).confounds
    spoiled = tuple(dataclasses.replace(c, confounds=unfair) if c == best else c for c in results.comparisons)
    assert findings.best_gain(dataclasses.replace(results, comparisons=spoiled), verdict) != best


def test_the_gain_behind_an_improvement_is_one_that_is_shown(results: Results) -> None:
    verdict = next(v for v in results.verdicts if v.task == "all" and v.helps == "improved")
    best = findings.best_gain(results, verdict)
    assert best is not None and best.delta is not None
    larger = dataclasses.replace(
        best, right=f"{verdict.best_mixture} / other", delta=best.delta + 0.01, p_adjusted=0.07
    )
    both = dataclasses.replace(results, comparisons=(*results.comparisons, larger))
    assert findings.best_gain(both, verdict) == best
    assert findings.best_gain(both, dataclasses.replace(verdict, helps="undetermined")) == larger


def test_the_head_of_the_page_shows_the_gain_that_the_advice_rests_on() -> None:
    """20 won and 8 lost of 100 is more than 11 won and none lost, and is not shown."""
    right = np.arange(100)
    arms = [
        arm("t", "1B", teacher, scores)
        for teacher, scores in {
            "": right < 40,
            "small": ((right >= 8) & (right < 60)),
            "large": right < 51,
        }.items()
    ]
    found = find(Table(arms=tuple(arms), rows=0, sizes={}), exchanges=20)
    (head,) = findings.advice(results_of(found, experiment="e", command="c", made_at="now", versions={}))
    assert (head.status, head.arm, head.sentence) == ("improved", "large", "Distil 1B from large.")


def test_differences_read_right_against_left_like_the_pair() -> None:
    packing = Confound(field="packing", left="False", right="True", note="other packing (False against True)")
    assert findings.difference(packing) == "other packing (True against False)"


def test_none_is_a_dash_and_degradations_come_first(results: Results) -> None:
    table = tables.comparisons(results)
    changes = _column(table, "change")
    assert changes[-1] == "—"
    numbers = [float(change) for change in changes[:-1]]
    assert numbers == sorted(numbers) and numbers[0] < 0
    last = dict(zip(table.header, table.rows[-1], strict=True))
    assert {last[name] for name in ("left accuracy", "right accuracy", "p", "adjusted p", "detectable alone")} == {"—"}
    assert last["n"] == "0"
    judged = _column(tables.accuracies(results, "test"), "judged")
    assert "—" in judged and "0.0" not in judged


def test_scores_stand_side_by_side_with_parse_rate_and_chance(results: Results) -> None:
    table = tables.accuracies(results, "test")
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert table.header[4:7] == ("strict", "flexible", "judged")
    assert (row["right"], row["n"], row["flexible"]) == ("72", "80", "90.0")
    # 72 right and 5 wrong of 80: 96.25 % parsed, 93.5 % of those right.
    assert (row["parsed"], row["right when parsed"], row["chance"]) == ("96.2", "93.5", "33.3")
    assert (row["truncated (%)"], row["ended by stop string"]) == ("1.2", '"\\n\\nQ:" 7')
    for accuracy in results.accuracies:
        read, right = findings.parsed(accuracy)
        assert read is not None
        assert right is not None
        assert read * right == pytest.approx(accuracy.flexible)
    nothing = dataclasses.replace(results.accuracies[0], right=0, wrong=0, unparsable=80, truncated=0)
    assert findings.parsed(nothing) == (0.0, None)


def test_a_cell_below_chance_is_told(results: Results) -> None:
    assert not findings.below_chance(results)
    base = next(a for a in results.accuracies if (a.task, a.part, a.role) == ("boxes", "test", "baseline"))
    low = dataclasses.replace(base, right=12, flexible=0.15, wrong=20, unparsable=40, truncated=8)
    high = dataclasses.replace(low, right=25, flexible=25 / 80)
    free = dataclasses.replace(low, chance=None)
    changed = dataclasses.replace(results, accuracies=(low, high, free))
    (sentence,) = findings.below_chance(changed)
    assert sentence == (
        f"{base.arm} on boxes (test): 15.0 % is below chance (33.3 %); an answer was read from 40.0 % of the outputs, "
        "right in 37.5 % of those, and 10.0 % were cut off."
    )
    twin = dataclasses.replace(changed, accuracies=(low, dataclasses.replace(low, arm="twin")))
    assert findings.below_chance(twin) == (sentence.replace(" on boxes", ", twin on boxes"),), "said once"
    flat = " ".join(tables.verdict_text(changed).split())
    assert f"Warning: {base.arm} on boxes (test): 15.0 % is below chance" in flat


def test_stop_lists_and_samples_are_stated(results: Results) -> None:
    assert set(_column(tables.protocols(results), "stop strings")) == {'"\\n\\nQ:"'}
    assert _column(tables.protocols(results), "chance") == ["33.3", "16.7", "—"]
    none = dataclasses.replace(results.protocols[0], stop=())
    assert _column(tables.protocols(dataclasses.replace(results, protocols=(none,))), "stop strings") == ["none"]
    table = tables.samples(results)
    first = [row[3:] for row in table.rows[:4]]
    assert first == [
        ("avg@2", "90.0", "3.0", "39", "1"),
        ("pass@1", "90.0", "3.0", "39", "1"),
        ("pass@2", "95.0", "—", "1", "39"),
        ("maj@2", "—", "—", "—", "—"),
    ]


def test_the_judges_audit_in_tables(results: Results) -> None:
    assert tables.judge_errors(results).rows == (
        ("corrupted", "40", "2", "5.0", "0.6", "16.9", "1"),
        ("empty", "0", "0", "—", "—", "—", "5"),
    )
    corrected = tables.judge_corrected(results)
    assert _column(corrected, "as judged") == ["35.0", "35.0"]
    assert _column(corrected, "corrected") == ["31.0", "—"]
    assert _column(corrected, "note") == ["—", "not identifiable"]
    assert tables.disagreements(results).rows == (
        ("boxes", "tiny-student-2m", "e1", "(B)", "<b>(A)</b>", "wrong", "yes"),
    )


def test_yield_tells_whether_counts_add_up(results: Results) -> None:
    assert set(_column(tables.yields(results), "balanced")) == {"yes"}
    wrong = dataclasses.replace(results.filters[0], dropped={}, seen=0)
    table = tables.yields(dataclasses.replace(results, filters=(wrong,)))
    assert (_column(table, "balanced"), _column(table, "kept %")) == (["no"], ["—"])


def test_recipes_split_into_what_differs_and_what_does_not(results: Results) -> None:
    varying, same = tables.split_constant(tables.recipes(results), keep=8)
    assert varying.header[:4] == ("student", "mixture", "batch", "updates")
    assert ("schedule", "cosine") in same.rows
    assert not set(varying.header) & {name for name, _ in same.rows}
    assert len(varying.header) + len(same.rows) == len(tables.recipes(results).header)


def test_csv_reads_back_and_holds_no_formula() -> None:
    cells = ("=1+1", "+cmd|' /C calc'!A0", "-x", "@sum", "\t=1", " =1", "-3.5", "+12.3", "1e-05", 'a,b\n"c"')
    text = tables.as_csv(tables.Table(tuple(f"h{i}" for i in range(len(cells))), (cells,)))
    _, row = csv.reader(io.StringIO(text))
    assert row[:6] == [f"'{cell}" for cell in cells[:6]]
    assert row[6:] == list(cells[6:])


def test_verdict_text(results: Results) -> None:
    text = tables.verdict_text(results)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert text.isascii() or set(text) - set(map(chr, range(128))) == {"—"}
    flat = " ".join(text.split())
    assert "mix / 5x4 against large / 2x1 is confounded: 10.0x fewer updates (12 against 120)" in flat
    pooled = next(line for line in lines if line.startswith("  tiny-student-0.5m"))
    assert "improved" in pooled and pooled.endswith("tiny-teacher-small")
    start = lines[1].index("verdict")
    assert pooled[start:].startswith("improved"), "columns are aligned"


def test_verdict_text_keeps_its_width_with_long_and_hostile_names(results: Results) -> None:
    verdict = dataclasses.replace(
        results.verdicts[0], student="s" * 90, teacher_to_use="t" * 90, task="all\x1b[31m\n" * 9
    )
    pooled = dataclasses.replace(verdict, task="all", student="evil\x1b[2J\r\nname" + "y" * 80)
    text = tables.verdict_text(dataclasses.replace(results, verdicts=(verdict, pooled), experiment="e\n" * 90))
    assert max(map(len, text.splitlines())) <= 100
    assert all(c.isprintable() or c == "\n" for c in text)


def test_empty_results_have_headers_and_say_so(empty: Results) -> None:
    for table in tables.everything(empty).values():
        assert table.header and table.rows == ()
        assert tables.as_csv(table).count("\n") == 1
    assert "No pooled verdict" in tables.verdict_text(empty)
    assert "nothing is averaged over nothing" in findings.answer(empty)
    assert findings.headline(empty) == "No answer yet"


def test_the_terminal_says_what_the_findings_recommend(elsewhere: Results) -> None:
    text = tables.verdict_text(elsewhere)
    assert elsewhere.findings is not None
    assert all(each.sentence in " ".join(text.split()) for each in elsewhere.findings.recommendations)
    assert max(map(len, text.splitlines())) <= 100 and "No pooled verdict" not in text
