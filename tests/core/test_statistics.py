"""Statistics against published values, exact enumeration and seeded simulation."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.statistics import (
    adjust,
    binomial_standard_error,
    compare,
    detectable_mean_difference,
    holm,
    mcnemar_exact,
    mean_interval,
    minimum_detectable_difference,
    paired_permutation,
)
from capgap_ray.records import Comparison, Confound


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
    assert paired_permutation([0.2] * 40) < 0.001


def test_detectable_mean_difference_shrinks_with_items_and_power() -> None:
    few, many = (detectable_mean_difference([0.4, -0.4] * n) for n in (10, 100))
    # sqrt((20 * 0.16 + 2) / 22) / sqrt(22) * (1.95996 + 0.84162)
    assert few == pytest.approx(0.29039, abs=2e-4)
    assert many < few < detectable_mean_difference([0.4, -0.4] * 10, power=0.95)


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


def test_holm_known_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_and_keeps_the_order(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(0 <= p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    ranked = [q for _, q in sorted(zip(ps, adjusted, strict=True))]
    assert ranked == sorted(ranked)


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


def against(
    left: Mapping[str, float | None], right: Mapping[str, float | None], confounds: tuple[Confound, ...] = ()
) -> Comparison:
    return compare("c", "gain", "dyck", "s", "untouched", "mix / 2x1", left, right, confounds)


def test_compare_pairs_by_item_and_counts_the_unscored() -> None:
    left = {"a": 0.0, "b": 0.0, "c": 1.0, "d": 1.0, "e": None, "f": 0.0}
    right = {"f": None, "e": 1.0, "d": 1.0, "c": 0.0, "b": 1.0, "a": 1.0}
    result = against(left, right)
    assert (result.n, result.unscored) == (4, 2)
    assert (result.left_acc, result.right_acc, result.delta) == (0.5, 0.75, 0.25)
    assert (result.ci_low, result.ci_high) == paired_interval(2, 1, 4)
    assert result.p == mcnemar_exact(2, 1)
    assert (result.p_adjusted, result.mde, result.test) == (None, None, "exact McNemar")


def test_compare_of_means_over_samples_permutes() -> None:
    left = {item: 0.25 for item in "abcdef"} | {"g": None}
    right = {item: 0.75 for item in "abcdef"} | {"g": 0.5}
    result = against(left, right)
    assert (result.n, result.unscored, result.delta) == (6, 1, 0.5)
    assert result.test == "paired permutation of item means"
    assert result.p == pytest.approx(2 / 64)
    assert result.mde == detectable_mean_difference([0.5] * 6)


def test_compare_without_scored_items_averages_nothing() -> None:
    result = against({"a": None}, {"a": 1.0})
    assert (result.n, result.unscored) == (0, 1)
    assert {result.left_acc, result.right_acc, result.delta, result.ci_low, result.ci_high} == {None}
    assert {result.p, result.mde} == {None}
    assert against({}, {}).n == 0


def test_compare_refuses_other_items_and_other_scores() -> None:
    with pytest.raises(ValueError, match=r"c: item b is scored for mix / 2x1 only \(2 such items"):
        against({"a": 1.0, "z": 0.0}, {"a": 1.0, "b": 1.0})
    with pytest.raises(ValueError, match=r"item a of untouched has score 1\.5"):
        against({"a": 1.5}, {"a": 1.0})
    with pytest.raises(ValueError, match="item a of mix / 2x1 has score nan"):
        against({"a": 1.0}, {"a": float("nan")})


def test_compare_carries_the_confounds() -> None:
    confound = Confound(field="updates", left="10", right="1", note="10.0x fewer updates")
    assert against({"a": 1.0}, {"a": 1.0}, (confound,)).confounds == (confound,)


def test_adjust_works_within_each_kind_and_keeps_the_order() -> None:
    def made(kind: str, gained: int, lost: int) -> Comparison:
        left = {f"{i}": 0.0 for i in range(gained)} | {f"-{i}": 1.0 for i in range(lost)}
        right = {item: 1 - score for item, score in left.items()}
        return compare("c", kind, "t", "s", "l", "r", left, right, ())  # type: ignore[arg-type]

    rows = [made("gain", 6, 0), made("teacher", 7, 0), made("gain", 0, 0), made("gain", 1, 9)]
    adjusted = adjust(rows)
    assert [c.p for c in adjusted] == [c.p for c in rows]
    assert adjusted[0].p_adjusted == adjusted[3].p_adjusted == pytest.approx(2 * 22 / 1024)
    assert adjusted[1].p_adjusted == rows[1].p
    assert adjusted[2].p_adjusted is None
    assert adjust([]) == []


def test_importing_the_module_does_not_import_scipy() -> None:
    code = "import sys, capgap_ray.core.statistics; sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
