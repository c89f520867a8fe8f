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
