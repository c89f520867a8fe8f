"""Records survive the way to plain rows and back, and damaged rows are named."""

import dataclasses
from typing import Any

import pytest

from capgap_ray.records import Comparison, Confound, Example, Message
from capgap_ray.results import Results
from capgap_ray.rows import from_row, to_row

EXAMPLE = Example(
    id="1",
    task="t",
    split="test",
    question="q",
    target="(A)",
    choices=("x", "y"),
    train_messages=(Message(role="user", content="hello"),),
)


def test_round_trip_of_nested_records() -> None:
    assert from_row(Example, to_row(EXAMPLE)) == EXAMPLE


def test_none_survives() -> None:
    fields: dict[str, Any] = {field.name: None for field in dataclasses.fields(Comparison)}
    confound = Confound(field="updates", left="10", right="1", note="10.0x fewer updates")
    fields |= {"name": "n", "kind": "gain", "task": "t", "student": "s", "left": "l", "right": "r"}
    fields |= {"n": 0, "unscored": 3, "test": "exact McNemar", "confounds": (confound,), "runs": 1}
    comparison = Comparison(**fields)
    assert from_row(Comparison, to_row(comparison)) == comparison


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 1}, r"Example\.id: 1 is not a str"),
        ({"split": "dev"}, r"Example\.split: 'dev' is not a"),
        ({"choices": "xy"}, r"Example\.choices"),
        ({"extra": 1}, "Example: unknown field 'extra'"),
        ({"train_messages": [{"role": "root", "content": ""}]}, r"Message\.role: 'root'"),
    ],
)
def test_wrong_rows_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_row(Example, {**to_row(EXAMPLE), **change})


def test_missing_fields_are_named() -> None:
    row = to_row(EXAMPLE)
    del row["target"]
    with pytest.raises(ValueError, match="Example: field 'target' is missing"):
        from_row(Example, row)


def test_booleans_are_not_numbers() -> None:
    with pytest.raises(ValueError, match="Results"):
        from_row(Results, {})
