"""Chance levels, and cells that are below them."""

from __future__ import annotations

import json

import benchmark_data
import pytest

from capgap_ray.core.chance import below_chance, chance_level
from capgap_ray.records import Accuracy, Estimate, Example, KSamples


def example(target: str, choices: int = 0, question: str = "q") -> Example:
    options = tuple(f"option {index}" for index in range(choices))
    return Example(id="i", task="t", split="test", question=question, target=target, choices=options)


def listing(*options: str) -> str:
    """A question as BIG-Bench Hard prints it."""
    return "Which? Options: see below.\nOptions:\n" + "\n".join(options)


@pytest.mark.parametrize(
    ("examples", "chance"),
    [
        ([example("(B)", 4)], 0.25),
        ([example("(B)", 4), example("(A)", 2)], 0.375),
        ([example("True"), example("False")], 0.5),
        ([example("no")], 0.5),
        ([example("invalid")], 0.5),
        ([example("42")], None),
        ([example("(B)", 4), example("Monsters, Inc")], None),
        ([example("(B)", question=listing("(A) x", "(B) y (C) z", "(C) w", "(D) v"))], 0.25),
        ([example("Monsters, Inc", question=listing("(A) Monsters", "(B) Inc"))], 0.5),
        ([example("(B)", 5, question=listing("(A) x", "(B) y"))], 0.2),
        ([example("invalid", question=listing("- valid ", "- invalid"))], 0.5),
        ([example("42", question=listing("- 41", "- 42"))], None),
        ([example("42", question="(A) is there.\n(B) is not.")], None),
    ],
)
def test_chance_level(examples: list[Example], chance: float | None) -> None:
    assert chance_level(examples) == chance


def test_published_bbh_rows_have_a_chance_level_and_a_score_below_it_is_warned_of() -> None:
    """Their options stand in the question alone; three golds are an option's words and no letter."""
    found = {}
    for file in sorted((benchmark_data.folder() / "bbh").glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        found[file.stem] = chance_level([example(row["target"], question=row["input"]) for row in rows])
    free_text = {"dyck_languages", "multistep_arithmetic_two", "object_counting", "word_sorting"}
    assert {task for task, level in found.items() if level is None} == free_text
    assert found["movie_recommendation"] == pytest.approx((231 / 4 + 19 / 5) / 250)
    assert found["ruin_names"] == pytest.approx((247 / 4 + 1 / 3 + 1 / 11 + 1 / 7) / 250)
    assert found["temporal_sequences"] == 0.25
    told = {task: below_chance(accuracy(0, 250, level)) for task, level in found.items()}
    assert told == {task: task not in free_text for task in found}


def test_no_items_have_no_chance_level() -> None:
    with pytest.raises(ValueError, match="no chance level"):
        chance_level([])


def accuracy(right: int, n: int, chance: float | None, standard_error: float | None = 0.0, k: int = 1) -> Accuracy:
    avg = Estimate(value=right / n, standard_error=standard_error, items=n // k, unscored=0)
    return Accuracy(
        task="t",
        part="test",
        role="baseline",
        arm="a",
        student=None,
        mixture=None,
        batch=None,
        parameters=1,
        n=n,
        right=right,
        wrong=n - right,
        unparsable=0,
        truncated=0,
        unjudged=0,
        strict=0.0,
        flexible=right / n,
        judged=None,
        standard_error=standard_error,
        mean_tokens=1.0,
        stop_hits={},
        chance=chance,
        at_k=KSamples(samples=k, avg=avg, passes={}, maj=None) if k > 1 else None,
    )


@pytest.mark.parametrize(
    ("cell", "below"),
    [
        (accuracy(38, 250, 0.25), True),  # Temporal Sequences, 1.5B, Table 9 of the paper: 15.2 with four options
        (accuracy(39, 250, 0.2), True),  # Tracking (5), 1.5B: 15.6 with five
        (accuracy(55, 250, 0.25), False),
        (accuracy(62, 250, 0.25), False),
        (accuracy(200, 250, 0.25), False),
        (accuracy(0, 250, None), False),
        (accuracy(0, 5, 0.25), False),
        (accuracy(38, 250, 0.25, standard_error=0.02, k=2), True),
        (accuracy(38, 250, 0.25, standard_error=0.07, k=2), False),
        (accuracy(0, 2, 0.25, standard_error=None, k=2), False),
    ],
)
def test_below_chance(cell: Accuracy, below: bool) -> None:
    assert below_chance(cell) is below
