"""What designs detect: monotone in everything that costs, and in line with the field's rules of thumb."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.design import Design, cheapest, detectable


def points(items: int, samples: int = 1, seeds: int = 1, **assumed: float) -> float:
    found = detectable(Design(items=items, samples=samples, seeds=seeds), **assumed)
    assert found is not None
    return 100 * found


def test_a_hundred_items_cannot_show_five_points() -> None:
    # field notes: 5 points take about 470 to 1,100 paired items (15 to 35 % discordant)
    assert points(100) > 10
    assert points(470, discordant=0.15) == pytest.approx(5, abs=0.3)
    assert points(1100, discordant=0.35) == pytest.approx(5, abs=0.3)


def test_too_few_items_show_nothing() -> None:
    assert detectable(Design(items=5)) is None


@given(st.integers(30, 2000), st.integers(1, 8), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_more_of_anything_detects_less_or_the_same(items: int, samples: int, seeds: int) -> None:
    base = points(items, samples, seeds)
    assert points(items * 2, samples, seeds) < base
    if samples * seeds > 1:
        assert points(items, samples + 1, seeds) < base
        assert points(items, samples, seeds + 1) < base


def test_resampling_the_same_items_has_a_floor() -> None:
    assert points(100, 10_000, 10) == pytest.approx(280 * (0.25 * 0.5 / 100) ** 0.5, rel=0.01)
    assert points(100, 10_000, 10, persistent=1.0) == pytest.approx(points(100, 2, 1, persistent=1.0))
    with pytest.raises(ValueError, match="persistent must be a share"):
        detectable(Design(items=10, samples=2), persistent=2.0)


def test_the_cheapest_design_detects_what_is_wanted_and_no_cheaper_one_does() -> None:
    def cost(design: Design) -> float:
        return design.seeds * (1000 + design.items * design.samples)

    found = cheapest(0.05, 2000, cost)
    assert found is not None
    design, smallest = found
    assert smallest <= 0.05
    assert detectable(design) == smallest
    fewer = Design(items=design.items // 2, samples=design.samples, seeds=design.seeds)
    assert (detectable(fewer) or 1) > 0.05
    assert cheapest(0.001, 100, cost) is None


def test_dear_training_buys_items_and_dear_answers_buy_seeds() -> None:
    trained = cheapest(0.06, 400, lambda d: 1e6 * d.seeds + d.items * d.samples * d.seeds)
    answered = cheapest(0.06, 400, lambda d: d.seeds + 1e6 * d.items * d.samples)
    assert trained is not None and answered is not None
    assert trained[0].seeds == 1 < answered[0].seeds
