"""Statistics against published values, exact enumeration and seeded simulation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.statistics import (
    binomial_standard_error,
    mcnemar_exact,
    mean_interval,
    minimum_detectable_difference,
    paired_permutation,
    rejection_levels,
    weighted_holm,
)


def paired_interval(gained: int, lost: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of 0/1 scores."""
    return mean_interval([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost), level)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 0.0625),
        (6, 0, 0.03125),
        (0, 6, 0.03125),
        (1, 9, 22 / 1024),
        (10, 10, 1.0),
        (12, 2, 2 * (1 + 14 + 91) / 2**14),
        (59, 6, 2 * sum(math.comb(65, k) for k in range(7)) / 2**65),
    ],
)
def test_mcnemar_known_values(gained: int, lost: int, p: float) -> None:
    assert mcnemar_exact(gained, lost) == pytest.approx(p, rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_probability(gained: int, lost: int) -> None:
    assert mcnemar_exact(gained, lost) == pytest.approx(mcnemar_exact(lost, gained))
    assert 0 < mcnemar_exact(gained, lost) <= 1


def test_paired_interval_known_values() -> None:
    # By hand: 2/23 and 8/23, difference -0.26087, standard error sqrt((10/23 - 0.06805) / 23) = 0.12627.
    assert paired_interval(1, 7, 21) == pytest.approx((-0.50836, -0.01338), abs=2e-5)
    low, high = paired_interval(0, 0, 100)
    assert (low, high) == pytest.approx((-0.02717, 0.02717), abs=1e-5)
    assert paired_interval(3, 3, 50, level=0.99)[1] > paired_interval(3, 3, 50)[1]
    assert paired_interval(1, 0, 1)[1] <= 1.0


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.data())
def test_paired_interval_is_antisymmetric_bounded_and_never_empty(n: int, data: st.DataObject) -> None:
    gained = data.draw(st.integers(0, n))
    lost = data.draw(st.integers(0, n - gained))
    low, high = paired_interval(gained, lost, n)
    assert -1 <= low < high <= 1
    assert (-high, -low) == pytest.approx(paired_interval(lost, gained, n))


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        mean_interval([])


def test_permutation_of_few_items_is_exact() -> None:
    assert paired_permutation([0.5] * 6) == pytest.approx(2 / 64)
    assert paired_permutation([0.25, -0.25]) == 1.0
    assert paired_permutation([0.0, 0.0]) == 1.0
    assert paired_permutation([0.0, 0.5, 0.0]) == 1.0, "one item that differs: either sign is as extreme"
    assert paired_permutation([0.2] * 40) < 0.001


def test_permutation_of_many_items() -> None:
    rng = np.random.default_rng(0)
    differences = rng.choice([-1, -0.5, 0, 0.5, 1], size=300, p=[0.1, 0.2, 0.3, 0.2, 0.2])
    found = paired_permutation(differences.tolist())
    signs = rng.choice([-1, 1], size=(4000, 300))
    assert found == pytest.approx((abs(signs @ differences) >= abs(differences.sum())).mean(), abs=0.02)
    binary = [1.0] * 30 + [-1.0] * 14 + [0.0] * 56
    assert paired_permutation(binary) == mcnemar_exact(30, 14), "one size of difference: the exact binomial"
    smooth = rng.normal(0.1, 1, 800)
    assert paired_permutation(smooth.tolist()) == pytest.approx(
        (abs(rng.choice([-1, 1], size=(4000, 800)) @ smooth) >= abs(smooth.sum())).mean(), abs=0.02
    )


@pytest.mark.parametrize(("n", "lost"), [(60, 8), (100, 25), (300, 20), (40, 0)])
def test_permutation_knows_small_p_values(n: int, lost: int) -> None:
    """Exact, by adding one item after the other; plain draws end at 1 / 20,000."""
    halves = [(-1 if i < lost else 1) * (1 + i % 2) for i in range(n)]
    chances = {0: 1.0}
    for each in halves:
        longer: dict[int, float] = {}
        for total, chance in chances.items():
            for sign in (-1, 1):
                longer[total + sign * each] = longer.get(total + sign * each, 0.0) + chance / 2
        chances = longer
    exact = sum(chance for total, chance in chances.items() if abs(total) >= sum(halves))
    assert exact < 1 / 20_000
    assert paired_permutation([each / 2 for each in halves]) == pytest.approx(exact, rel=0.05)
    assert paired_permutation(halves, [1e-7] * n) == pytest.approx(exact, rel=0.05)


def test_permutation_weighs_items() -> None:
    few, many = [1.0] * 8 + [-1.0] * 2, [-1.0] * 40 + [1.0] * 40
    assert paired_permutation(few + many, [0.5 / 10] * 10 + [0.5 / 80] * 80) < 0.15
    assert paired_permutation(few + many) > 0.5


@pytest.mark.parametrize("n", [20, 59, 100])
@pytest.mark.parametrize(("up", "down"), [(0.02, 0.02), (0.1, 0.1), (0.25, 0.05), (0.4, 0.02), (0.0, 0.0)])
def test_interval_covers_at_its_level(n: int, up: float, down: float) -> None:
    draws = np.random.default_rng(0).multinomial(n, [up, down, 1 - up - down], size=4000)
    cells, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    covered = 0
    for (gained, lost), count in zip(cells.tolist(), counts.tolist(), strict=True):
        low, high = paired_interval(gained, lost, n)
        covered += count * (low <= up - down <= high)
    assert covered / 4000 >= 0.93


def test_equal_weights_are_holm() -> None:
    from statsmodels.stats.multitest import multipletests

    assert weighted_holm([0.01, 0.04, 0.03, 0.005], [1] * 4) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert weighted_holm([], []) == []
    ps = np.random.default_rng(0).uniform(size=30) ** 4
    assert weighted_holm(ps.tolist(), [2.5] * 30) == pytest.approx(multipletests(ps, method="holm")[1])


def test_a_heavier_test_gets_more_of_the_error_rate() -> None:
    # Thresholds 0.75 * 0.05 and 0.25 * 0.05; once the first is rejected the other has all of it.
    assert weighted_holm([0.03, 0.05], [0.75, 0.25]) == pytest.approx([0.04, 0.05])
    with pytest.raises(ValueError, match="positive"):
        weighted_holm([0.1], [0.0])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1, allow_subnormal=False), st.floats(0.01, 1)), min_size=1, max_size=8))
def test_levels_say_exactly_what_is_rejected(family: list[tuple[float, float]]) -> None:
    ps, weights = [p for p, _ in family], [w for _, w in family]
    adjusted, levels = weighted_holm(ps, weights), rejection_levels(ps, weights)
    for p, q, level in zip(ps, adjusted, levels, strict=True):
        assert p <= q * (1 + 1e-9) and q <= 1
        assert level <= 0.05
        if abs(p - level) > 1e-9 and abs(q - 0.05) > 1e-9:
            assert (q < 0.05) is (p < level)


def test_family_wise_errors_stay_below_the_level() -> None:
    rng = np.random.default_rng(2)
    weights = [0.25] * 2 + [0.05] * 10
    false = 0
    for _ in range(3000):
        ps = rng.uniform(size=12)
        ps[0] = 0.0  # one true difference, which passes its share on
        false += min(weighted_holm(ps.tolist(), weights)[1:]) < 0.05
    assert false / 3000 == pytest.approx(0.05, abs=0.012)


def simulated_power(n: int, discordant: float, difference: float) -> float:
    up, down = (discordant + difference) / 2, (discordant - difference) / 2
    draws = np.random.default_rng(1).multinomial(n, [up, down, 1 - up - down], size=3000)
    cells, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    with_counts = zip(cells.tolist(), counts.tolist(), strict=True)
    return sum(count for (up, down), count in with_counts if mcnemar_exact(up, down) <= 0.05) / 3000


@pytest.mark.parametrize(("n", "discordant"), [(60, 0.3), (100, 0.2), (100, 0.5), (400, 0.1)])
def test_mde_is_found_with_the_stated_power(n: int, discordant: float) -> None:
    mde = minimum_detectable_difference(n, discordant)
    assert mde is not None
    assert simulated_power(n, max(discordant, mde), mde) == pytest.approx(0.8, abs=0.03)


def test_mde_agrees_with_the_normal_approximation_at_large_n() -> None:
    # n = (1.96 sqrt(d) + 0.8416 sqrt(d - x^2))^2 / x^2 (Miettinen 1968), here x = 0.02803 for d = 0.5.
    assert minimum_detectable_difference(5000, 0.5) == pytest.approx(0.0280, abs=5e-4)
    assert minimum_detectable_difference(100_000, 0.3) == pytest.approx(0.00485, abs=1e-4)


def test_mde_at_the_edges() -> None:
    assert minimum_detectable_difference(0, 0.2) is None
    assert minimum_detectable_difference(5, 0.2) is None
    six = minimum_detectable_difference(6, 0.0)
    assert six == pytest.approx(0.8 ** (1 / 6), abs=1e-4)  # all six items must be gained
    none_discordant = minimum_detectable_difference(100, 0.0)
    assert none_discordant is not None
    assert 0.06 < none_discordant < 0.1
    with pytest.raises(ValueError, match=r"got 1\.5"):
        minimum_detectable_difference(10, 1.5)


def test_mde_shrinks_with_items_and_grows_with_discordance() -> None:
    by_n = [minimum_detectable_difference(n, 0.3) or 1 for n in (20, 60, 100, 400)]
    by_share = [minimum_detectable_difference(100, d) or 1 for d in (0.1, 0.2, 0.4, 0.8)]
    assert by_n == sorted(by_n, reverse=True)
    assert by_share == sorted(by_share)


def test_binomial_standard_error() -> None:
    assert binomial_standard_error(50, 100) == pytest.approx(0.05)
    assert binomial_standard_error(0, 10) == 0
    for k, n in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(ValueError, match=f"{k} right of {n}"):
            binomial_standard_error(k, n)


def test_importing_the_module_does_not_import_scipy() -> None:
    code = "import sys, capgap_ray.core.statistics; sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
