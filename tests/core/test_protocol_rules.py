"""The named rules on the paper's printed tables: every cell of the E and G tables of the protocol check."""

from __future__ import annotations

import pytest

from capgap_ray.core.protocol_rules import CAPACITY_GAP, EFFICACY, Distilled, effective, has_pattern
from tests.core.paper_tables import SIZES, TABLE_7, TABLE_8, TABLE_9, TEST_ITEMS, WHOLE_TASK_ITEMS

FF, LD3, LD5, LD7, PENGUINS, RCO = (
    "Formal Fallacies",
    "Logical Deduction (3)",
    "Logical Deduction (5)",
    "Logical Deduction (7)",
    "Penguins in a Table",
    "Reasoning about Colored Objects",
)
INEFFECTIVE = {"SL": {FF, LD5, LD7, PENGUINS}, "ShL": {FF, LD3, LD5, LD7, PENGUINS}}
TABLES = {"SL": TABLE_7, "ShL": TABLE_8}

WRONG = {
    "E0": ({FF, LD5, LD7, PENGUINS}, {FF, LD3, LD5, LD7, PENGUINS}),
    "E1": ({FF, LD5, LD7}, {LD3, LD5, LD7, PENGUINS}),
    "E2": ({FF, LD5, LD7}, {LD3, LD5, LD7, PENGUINS}),
    "E3": ({RCO}, {LD3, LD5, RCO}),
    "E4": ({LD5, RCO}, {LD3, LD5}),
    "E5": ({LD5}, {LD3, LD5}),
    "E6": (set(), {LD3, LD5}),
    "E7": (set(), {LD3, LD5}),
    "E8": ({RCO}, {LD3}),
    "E9": ({RCO}, {RCO}),
}

PATTERNS = {
    "Date Understanding": ("-------", "-------"),
    "Dyck Languages": ("YYYYYYY", "-------"),
    LD3: ("YY-YYYY", "YY-Y--Y"),
    RCO: ("Y-YYYYY", "-------"),
    "Ruin Names": ("Y-YYYYY", "------Y"),
    "Salient Translation Error Detection": ("----YY-", "-------"),
    "Temporal Sequences": ("YYYYYYY", "YYYYYYY"),
    "Tracking Shuffled Objects (3)": ("YYYYYYY", "------Y"),
    "Tracking Shuffled Objects (5)": ("Y-YYYYY", "-------"),
    "Tracking Shuffled Objects (7)": ("-------", "--Y-YY-"),
    "Word Sorting": ("--YYYYY", "-------"),
    FF: ("-------", "YY-YYYY"),
    PENGUINS: ("------Y", "-------"),
    LD5: ("------Y", "--Y----"),
    LD7: ("Y---Y-Y", "----YY-"),
}
"""G1 to G7 as printed in the protocol check, small-large and short-long."""

CLAIMED = {
    "SL": {*PATTERNS} - {"Date Understanding", "Dyck Languages", "Tracking Shuffled Objects (7)", LD7},
    "ShL": {"Temporal Sequences", "Tracking Shuffled Objects (7)", FF, PENGUINS},
}
RIGHT_OF_30 = {"G1": 20, "G2": 18, "G3": 21, "G4": 22, "G5": 23, "G6": 24, "G7": 21}


def task_of(setting: str, task: str) -> Distilled:
    weak, strong = TABLES[setting][task]
    students, teachers = TABLE_9[task]
    return Distilled(
        baseline=students,
        distilled=list(zip(weak, strong, strict=True)),
        gap=sum(teachers) / 4 - sum(students) / 4,
        baseline_items=WHOLE_TASK_ITEMS[task],
        distilled_items=TEST_ITEMS[task],
    )


def advantages(setting: str, task: str) -> list[float]:
    weak, strong = TABLES[setting][task]
    return [w - s for w, s in zip(weak, strong, strict=True)]


GAINS = {
    "Date Understanding": (33.3, (20.0, 8, 0.60), (17.5, 8, 0.53)),
    "Dyck Languages": (44.3, (16.2, 8, 0.37), (13.4, 8, 0.30)),
    FF: (30.7, (2.0, 5, 0.07), (-4.6, 0, -0.15)),
    LD3: (34.6, (14.0, 8, 0.40), (14.5, 8, 0.42)),
    LD5: (47.6, (8.5, 7, 0.18), (10.4, 8, 0.22)),
    LD7: (48.3, (5.7, 6, 0.12), (6.2, 6, 0.13)),
    PENGUINS: (31.2, (-1.0, 4, -0.03), (0.9, 5, 0.03)),
    RCO: (36.0, (7.4, 6, 0.21), (9.9, 7, 0.28)),
    "Ruin Names": (43.0, (28.2, 8, 0.66), (25.8, 8, 0.60)),
    "Salient Translation Error Detection": (31.5, (14.1, 8, 0.45), (18.2, 8, 0.58)),
    "Temporal Sequences": (57.2, (49.8, 8, 0.87), (45.3, 8, 0.79)),
    "Tracking Shuffled Objects (3)": (39.7, (37.7, 8, 0.95), (40.6, 8, 1.02)),
    "Tracking Shuffled Objects (5)": (58.7, (55.3, 8, 0.94), (57.7, 8, 0.98)),
    "Tracking Shuffled Objects (7)": (63.8, (52.0, 8, 0.81), (58.0, 8, 0.91)),
    "Word Sorting": (52.4, (16.3, 8, 0.31), (19.8, 8, 0.38)),
}
"""In-context gap; mean gain in points, cells above the baseline, share of the gap closed; small-large, short-long."""


@pytest.mark.parametrize("setting", ["SL", "ShL"])
@pytest.mark.parametrize("task", GAINS)
def test_every_cell_of_the_efficacy_table(task: str, setting: str) -> None:
    read, gap = task_of(setting, task), GAINS[task][0]
    gain, up, closed = GAINS[task][1 + (setting == "ShL")]
    gains = [d - b for b, of_teachers in zip(read.baseline, read.distilled, strict=True) for d in of_teachers]
    assert read.gap == pytest.approx(gap, abs=0.0501)
    assert sum(gains) / 8 == pytest.approx(gain, abs=0.0501)
    assert sum(each > 0 for each in gains) == up
    assert read.gap is not None
    assert sum(gains) / 8 / read.gap == pytest.approx(closed, abs=0.00501)


@pytest.mark.parametrize("rule", EFFICACY)
@pytest.mark.parametrize("setting", ["SL", "ShL"])
def test_efficacy_rules_are_wrong_where_the_check_says(rule: str, setting: str) -> None:
    wrong = {
        task for task in TABLES[setting] if effective(rule, task_of(setting, task)) is (task in INEFFECTIVE[setting])
    }
    assert wrong == WRONG[rule][setting == "ShL"]


@pytest.mark.parametrize("setting", ["SL", "ShL"])
@pytest.mark.parametrize("task", PATTERNS)
def test_every_cell_of_the_capacity_gap_table(task: str, setting: str) -> None:
    row = "".join("-Y"[has_pattern(rule, advantages(setting, task), SIZES)] for rule in CAPACITY_GAP)
    assert row == PATTERNS[task][setting == "ShL"]


@pytest.mark.parametrize("rule", CAPACITY_GAP)
def test_agreement_with_the_claims(rule: str) -> None:
    right = sum(
        has_pattern(rule, advantages(setting, task), SIZES) is (task in CLAIMED[setting])
        for setting in TABLES
        for task in PATTERNS
    )
    assert right == RIGHT_OF_30[rule]


def test_rules_take_other_numbers_of_sizes_and_many_draws() -> None:
    assert has_pattern("G3", [5, -9, 1], [1, 2, 4]) is True, "the middle size of three is neither small nor large"
    assert has_pattern("G1", [[5, 1], [-1, 2]], [1, 2]).tolist() == [True, False]
    with pytest.raises(ValueError, match="at least two sizes"):
        has_pattern("G7", [5], [1])


def test_bad_input_is_named() -> None:
    bare = Distilled(baseline=[10.0], distilled=[[20.0, 30.0]])
    for rule, message in (("E6", "in-context gap"), ("E7", "number of items"), ("X1", "'X1' is unknown; known: E0")):
        with pytest.raises(ValueError, match=message):
            effective(rule, bare)
    with pytest.raises(ValueError, match="known: E0, E1"):
        has_pattern("G9", [1, 2], [1, 2])


@pytest.mark.parametrize("gap", [0.0, -10.0])
def test_there_is_no_gap_to_close_where_teachers_are_not_ahead(gap: float) -> None:
    """A loss over a negative gap is a positive share."""
    task = Distilled(baseline=[50.0], distilled=[(45.0, 45.0)], gap=gap, baseline_items=100, distilled_items=100)
    with pytest.raises(ValueError, match="no gap to close"):
        effective("E6", task)
