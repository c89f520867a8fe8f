"""Bounds that hold at every look: false alarms under continuous looks, power, and their form."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.core.anytime import bounds, level

DIFFERENCES = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60)


def first_alarm(weights: tuple[float, float, float], items: int, alpha: float, seed: int) -> int | None:
    """The first look, one after every item, at which the upper bound is below 0."""
    random = Random(seed)
    seen: list[float] = []
    for look in range(1, items + 1):
        seen += random.choices([-1.0, 0.0, 1.0], weights)
        if bounds(seen, alpha).high < 0:
            return look
    return None


@pytest.mark.parametrize("weights", [(0.5, 0.0, 0.5), (0.1, 0.8, 0.1), (0.02, 0.96, 0.02)])
def test_looking_after_every_item_gives_no_more_false_alarms_than_alpha(weights: tuple[float, float, float]) -> None:
    """At a true difference of 0, the worst that is not below 0; within three standard errors of 200 runs."""
    alarms = sum(first_alarm(weights, 40, 0.1, seed) is not None for seed in range(200))
    assert alarms / 200 <= 0.1 + 3 * (0.1 * 0.9 / 200) ** 0.5


def test_a_cell_that_is_clearly_worse_is_found() -> None:
    found = [first_alarm((0.4, 0.55, 0.05), 120, 0.05, seed) for seed in range(40)]
    assert sum(each is not None for each in found) >= 36


@given(DIFFERENCES)
def test_the_bounds_hold_the_mean_and_mirror_each_other(values: list[float]) -> None:
    found = bounds(values, 0.05)
    assert -1 <= found.low <= found.mean <= found.high <= 1
    mirrored = bounds([-value for value in values], 0.05)
    assert mirrored.low == pytest.approx(-found.high, abs=1e-5)
    assert mirrored.high == pytest.approx(-found.low, abs=1e-5)


@given(DIFFERENCES, st.randoms())
def test_order_does_not_matter(values: list[float], random: Random) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    assert bounds(shuffled, 0.05) == bounds(values, 0.05)


@given(DIFFERENCES)
def test_less_alpha_is_wider(values: list[float]) -> None:
    narrow, wide = bounds(values, 0.2), bounds(values, 0.01)
    assert wide.low <= narrow.low
    assert wide.high >= narrow.high


def test_the_levels_of_all_looks_together_are_alpha() -> None:
    assert sum(level(0.05, look) for look in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    assert sum(level(0.05, look) for look in range(1, 10_000)) < 0.05


@pytest.mark.parametrize("values", [[], [1.5], [0.0, -2.0]])
def test_what_is_no_paired_difference_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"differences"):
        bounds(values, 0.05)
