"""Proxies: rank correlation and regret against cases worked out by hand."""

import pytest

from capgap_ray.core.proxies import judge_proxies

GAINS = {("t", "s", "a"): 0.1, ("t", "s", "b"): 0.3, ("u", "s", "a"): 0.2, ("u", "s", "b"): 0.15}


def test_a_perfect_proxy_has_no_regret() -> None:
    (found,) = judge_proxies({"yield": {cell: 100 * gain for cell, gain in GAINS.items()}}, GAINS)
    assert (found.cells, found.choices) == (4, 2)
    assert found.rank_correlation == pytest.approx(1.0)
    assert found.regret == 0
    assert found.regret_of_chance == pytest.approx((0.1 + 0.025) / 2)
    assert found.p is not None
    assert found.p > 0.05, "four cells show little"


def test_where_lower_is_better_the_sign_turns() -> None:
    values = {cell: -gain for cell, gain in GAINS.items()}
    (found,) = judge_proxies({"mean trace length": values}, GAINS)
    assert (found.prefers, found.rank_correlation, found.regret) == ("lower", pytest.approx(1.0), 0)
    (wrong,) = judge_proxies({"student loss": {cell: gain for cell, gain in GAINS.items()}}, GAINS)
    assert wrong.regret == pytest.approx((0.2 + 0.05) / 2)


def test_ties_are_decided_at_random() -> None:
    (found,) = judge_proxies({"yield": dict.fromkeys(GAINS, 5.0)}, GAINS)
    assert found.rank_correlation is None
    assert found.regret == found.regret_of_chance


def test_before_any_gain_nothing_is_known() -> None:
    (found,) = judge_proxies({"few-shot gap": {("t", "s", "a"): 0.4}}, {})
    assert (found.cells, found.rank_correlation, found.regret) == (0, None, None)


def test_unknown_proxies_are_named() -> None:
    with pytest.raises(ValueError, match="proxy 'luck' is unknown; known: few-shot gap"):
        judge_proxies({"luck": {}}, {})
