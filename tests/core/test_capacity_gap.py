"""Patterns by chance: exchanging equal teachers gives what enumeration gives, and exchanges respect the design."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from capgap_ray.core.arms import Runs
from capgap_ray.core.capacity_gap import Duel, by_chance, measure
from tests.core.simulated import arm


def duel(task: str, pairs: list[tuple[object, object]], *, ordered: bool = True) -> Duel:
    students = tuple(f"s{i}" for i in range(len(pairs)))
    return Duel(
        task=task,
        recipe="",
        weaker="weak",
        stronger="strong",
        ordered=ordered,
        sizes=tuple(float(2**i) for i in range(len(pairs))),
        students=students,
        arms=tuple(
            (arm(task, s, "weak", weak), arm(task, s, "strong", strong))
            for s, (weak, strong) in zip(students, pairs, strict=True)
        ),
    )


def test_expected_patterns_are_those_of_all_exchanges() -> None:
    """Three discordant items at the small end, two at the large one: 32 ways, counted here."""
    one = duel("t", [([1, 1, 0, 0, 1], [0, 0, 1, 0, 1]), ([1, 0, 0, 0, 1], [0, 1, 0, 0, 1])])
    found = {row.rule: row for row in by_chance([one], Runs([]))}
    ways = 0
    for small in itertools.product((1, -1), repeat=3):
        for large in itertools.product((1, -1), repeat=2):
            ways += sum(small) > 0 and sum(large) < sum(small)
    assert found["G1"].expected == pytest.approx(ways / 32, abs=0.02)
    assert found["G1"].observed == 1
    assert found["G1"].p == pytest.approx(ways / 32, abs=0.02)


def test_an_accuracy_of_zero_is_an_accuracy() -> None:
    found = duel("t", [([0, 0], [0, 1]), ([1, 1], [0, 0])])
    assert found.advantages().tolist() == [-0.5, 1.0]


def test_whole_runs_are_exchanged_where_there_are_several() -> None:
    """All runs of a teacher agree, so only 2 of 6 exchanges separate them again."""
    weak, strong = np.ones((10, 2)), np.zeros((10, 2))
    flat = np.full((10, 2), 0.5)
    found = {row.rule: row for row in by_chance([duel("t", [(weak, strong), (flat, flat)])], Runs([]))}
    assert found["G7"].expected == pytest.approx(1 / 6, abs=0.02)


def test_the_teacher_ahead_is_taken_for_the_weaker_where_nothing_tells() -> None:
    rng = np.random.default_rng(0)
    low, high = rng.random(200) < 0.3, rng.random(200) < 0.7
    same = rng.random(200) < 0.5
    unknown = measure("t", [duel("t", [(low, high), (same, same)], ordered=False)], Runs([]))
    known = measure("t", [duel("t", [(low, high), (same, same)])], Runs([]))
    assert unknown is not None
    assert known is not None
    assert (unknown.duels[0].weaker, unknown.small.value > 0) == ("strong", True)
    assert (known.duels[0].weaker, known.small.value < 0) == ("weak", True)
    assert unknown.p == known.p, "a two-sided p allows for the choice"
