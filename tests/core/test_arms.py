"""Differences between arms: what is a cluster, what is refused, and that intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from capgap_ray.core.arms import Arm, Refusal, Runs, detectable_effect, estimate, random_effects, shared_by_tasks
from capgap_ray.core.statistics import mcnemar_exact, mean_interval, minimum_detectable_difference
from tests.core.simulated import arm

NAN = math.nan


def test_one_task_one_run_is_mcnemar() -> None:
    left, right = arm("t", "s", "", [0, 0, 1, 1, NAN, 0]), arm("t", "s", "x", [1, 1, 0, 1, 1, NAN])
    found = estimate([[(right, 1.0), (left, -1.0)]], Runs([]))
    assert found is not None
    assert (found.n, found.unscored, found.value, found.test) == (4, 2, 0.25, "exact McNemar")
    assert found.p == mcnemar_exact(2, 1)
    assert (found.low, found.high) == mean_interval([1, 1, -1, 0])
    assert found.bounds == pytest.approx((1 / 6, 3 / 6)), "unscored items, either way"
    many = estimate(
        [[(arm("t", "s", "x", [1, 1, 1, 1, 0] * 20), 1.0), (arm("t", "s", "", [0, 1] * 50), -1.0)]], Runs([])
    )
    assert many is not None
    assert many.discordant is not None
    apart = 2 * 0.65 * 0.35  # the share of discordant items of arms that err apart
    slope = abs(1 - 2 * 0.65) if many.discordant >= apart else math.nan
    without = many.discordant - slope * 0.3
    assert many.detectable(0.01) == pytest.approx(minimum_detectable_difference(100, without, 0.8, 0.01, slope))


def test_nothing_is_averaged_over_nothing() -> None:
    left, right = arm("t", "s", "", [NAN, 0]), arm("t", "s", "x", [1, NAN])
    assert estimate([[(right, 1.0), (left, -1.0)]], Runs([])) is None


def test_tasks_weigh_alike_whatever_their_items() -> None:
    big = [(arm("a", "s", "x", [1] * 90 + [0] * 10), 1.0), (arm("a", "s", "", [0] * 100), -1.0)]
    small = [(arm("b", "s", "x", [1] * 5 + [0] * 5), 1.0), (arm("b", "s", "", [0] * 10), -1.0)]
    found = estimate([big, small], Runs([]))
    assert found is not None
    assert found.value == pytest.approx((0.9 + 0.5) / 2)
    assert found.n == 110


def test_a_task_of_few_items_keeps_its_few_degrees_of_freedom() -> None:
    rng = np.random.default_rng(1)
    parts = [
        [(arm(task, "s", teacher, rng.random(items) < 0.5), sign) for teacher, sign in (("x", 1.0), ("", -1.0))]
        for task, items in (("few", 8), ("many", 2000))
    ]
    found = estimate(parts, Runs([]))
    assert found is not None
    assert found.sources.items[1] < 12, "the small task has nearly all of the variance, and 7 degrees of freedom"


def test_answers_to_one_item_are_one_cluster() -> None:
    """Five samples that agree carry the information of one."""
    rng = np.random.default_rng(0)
    left, right = rng.random(60) < 0.4, rng.random(60) < 0.6
    once = estimate([[(arm("t", "s", "x", right), 1.0), (arm("t", "s", "", left), -1.0)]], Runs([]))
    five = [
        arm("t", "s", name, np.tile(v[:, None], 5).mean(axis=1), grain=0.2) for name, v in (("x", right), ("", left))
    ]
    again = estimate([[(five[0], 1.0), (five[1], -1.0)]], Runs([]))
    assert once is not None
    assert again is not None
    assert again.value == once.value
    assert again.error == pytest.approx(once.error, rel=0.1)
    assert again.p == pytest.approx(once.p, rel=0.2)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([0, 1, 2, 9], r"x has 4 items and t: s untouched 4, of which 3 are common; score both on the same items"),
        ([6, 7, 8, 9], "have no common item"),
        ([0, 1, 2], "has 3 items and"),
    ],
)
def test_other_items_are_refused(items: list[int], message: str) -> None:
    left, right = arm("t", "s", "", [0, 1, 0, 1]), arm("t", "s", "x", [1] * len(items), items=items)
    with pytest.raises(Refusal, match=message):
        estimate([[(right, 1.0), (left, -1.0)]], Runs([]))


def test_another_prompt_or_engine_is_refused() -> None:
    left = arm("t", "s", "", [0, 1], protocol={"prompt": np.array([1, 2])})
    for protocol in ({"prompt": np.array([1, 3])}, None):
        with pytest.raises(Refusal, match="measured with another prompt; use one for both"):
            estimate([[(arm("t", "s", "x", [1, 1], protocol=protocol), 1.0), (left, -1.0)]], Runs([]))


@pytest.mark.parametrize(("runs", "between"), [(2, 0.06), (3, 0.0), (3, 0.06), (5, 0.1)])
def test_intervals_over_runs_cover(runs: int, between: float) -> None:
    """The truth is what another run would score, not what these runs did."""
    rng = np.random.default_rng(runs)
    covered = []
    for _ in range(300):
        difficulty = rng.uniform(0.2, 0.8, 100)
        arms = [
            arm("t", "s", name, (rng.random((runs, 100)) < difficulty + rng.normal(0, between, (runs, 1))).T)
            for name in ("x", "y")
        ]
        found = estimate([[(arms[0], 1.0), (arms[1], -1.0)]], Runs(arms))
        assert found is not None
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) >= 0.92


@pytest.mark.parametrize("runs", [(2, 2), (1, 3), (2, 4)])
def test_few_runs_are_not_taken_for_certainty(runs: tuple[int, int]) -> None:
    """Far out as well, where corrected tests decide: two runs that agree by luck prove nothing."""
    rng = np.random.default_rng(4)
    ps = []
    for _ in range(1000):
        difficulty = rng.uniform(0.2, 0.8, 300)
        arms = [
            arm("t", "s", name, (rng.random((count, 300)) < difficulty + rng.normal(0, 0.08, (count, 1))).T)
            for name, count in zip("xy", runs, strict=True)
        ]
        found = estimate([[(arms[0], 1.0), (arms[1], -1.0)]], Runs(arms))
        assert found is not None
        ps.append(found.p)
    assert sum(p <= 0.005 for p in ps) <= 12  # expected at most 5; 13 or more has probability 0.2 %
    assert sum(p <= 0.05 for p in ps) <= 71  # at most 50; 0.1 %


def test_runs_that_do_not_differ_beyond_their_items_cost_little() -> None:
    rng = np.random.default_rng(3)
    single, several = [], []
    for _ in range(40):
        arms = [arm("t", "s", name, (rng.random((3, 200)) < 0.5).T) for name in ("x", "y")]
        part = [(arms[0], 1.0), (arms[1], -1.0)]
        for known, errors in ((Runs([]), single), (Runs(arms), several)):
            found = estimate([part], known)
            assert found is not None
            errors.append(found.error)
    assert np.mean(several) < 1.3 * np.mean(single)


def test_accuracies_are_compared_unpaired() -> None:
    def cell(teacher: str, accuracy: float, n: int = 100) -> object:
        made = arm("t", "s", teacher, [[accuracy]])
        return type(made)(**{**{f: getattr(made, f) for f in made.__dataclass_fields__}, "items": None, "n": n})

    found = estimate([[(cell("x", 0.6), 1.0), (cell("", 0.4), -1.0)]], Runs([]))  # type: ignore[list-item]
    assert found is not None
    # Agresti and Caffo: 61 / 102 and 41 / 102.
    error = math.sqrt(2 * (61 / 102) * (41 / 102) / 102)
    assert (found.value, found.error, found.n) == (pytest.approx(0.2), pytest.approx(error), 100)
    with pytest.raises(Refusal, match="has 100 items and t: s untouched 250"):
        estimate([[(cell("x", 0.6), 1.0), (cell("", 0.4, 250), -1.0)]], Runs([]))  # type: ignore[list-item]


@pytest.mark.parametrize("df", [4, 12, 60])
def test_detectable_effects_are_found_with_the_stated_power(df: int) -> None:
    from scipy.stats import t

    effect = detectable_effect(df, 0.8, 0.01)
    rng = np.random.default_rng(0)
    drawn = (rng.normal(effect, 1, 20_000)) / np.sqrt(rng.chisquare(df, 20_000) / df)
    assert (np.abs(drawn) > t.isf(0.005, df)).mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_the_detectable_size_holds_for_arms_that_err_on_the_same_items(tasks: int, alike: float) -> None:
    """Where two arms agree by nature, a difference is nearly all of what is discordant."""
    rng = np.random.default_rng(6)

    def parts(difference: float) -> list[list[tuple[Arm, float]]]:
        made = []
        for task in range(tasks):
            common = rng.random(150)
            scores = [
                np.where(rng.random(150) < alike, common, rng.random(150)) < 0.5 + each for each in (difference, 0.0)
            ]
            pair = zip(scores, "xy", (1.0, -1.0), strict=True)
            made.append([(arm(f"t{task}", "s", name, score), sign) for score, name, sign in pair])
        return made

    stated = [one.detectable() for _ in range(40) if (one := estimate(parts(0.0), Runs([]))) is not None]
    size = float(np.median([each for each in stated if each is not None]))
    found = [one.p < 0.05 for _ in range(200) if (one := estimate(parts(size), Runs([]))) is not None]
    assert 0.7 <= np.mean(found) <= 0.9  # 0.8 within three and a half binomial standard errors


def test_random_effects_over_tasks() -> None:
    alike = random_effects([0.1, 0.1, 0.1], [0.05, 0.05, 0.05])
    assert alike["estimate"] == pytest.approx(0.1)
    assert alike["between_tasks"] == 0
    # Tasks alike by luck are no certainty: 1.96 x 0.05 / sqrt(3).
    assert alike["ci_high"] - alike["estimate"] == pytest.approx(0.0566, abs=1e-4)
    wide = random_effects([-0.3, 0.1, 0.5], [0.02, 0.02, 0.02])
    # Between-task standard error 0.4 / sqrt(3), t quantile of two degrees of freedom 4.3027.
    assert wide["standard_error"] == pytest.approx(0.4 / math.sqrt(3))
    assert wide["ci_high"] - wide["estimate"] == pytest.approx(4.3027 * 0.4 / math.sqrt(3), rel=0.01)
    assert wide["between_tasks"] == pytest.approx(0.4, rel=0.02)


def test_random_effects_cover() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        errors = rng.uniform(0.03, 0.07, 8)
        found = random_effects(rng.normal(0.1, 0.05, 8) + rng.normal(0, errors), errors)
        covered += found["ci_low"] <= 0.1 <= found["ci_high"]
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_random_effects_cover_where_a_run_moves_all_tasks_together() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        moved = rng.normal(0, 0.06, (2, 3))
        arms = {
            (task, teacher): arm(f"t{task}", "s", teacher, (rng.random((3, 80)) < 0.5 + moved[side][:, None]).T)
            for task in range(4)
            for side, teacher in enumerate("xy")
        }
        parts = [[(arms[task, "x"], 1.0), (arms[task, "y"], -1.0)] for task in range(4)]
        runs = Runs([*arms.values()])
        single = [estimate([part], runs) for part in parts]
        pooled = estimate(parts, runs)
        assert pooled is not None
        each = [one for one in single if one is not None]
        found = random_effects([one.value for one in each], [one.error for one in each], shared_by_tasks(each, pooled))
        covered += found["ci_low"] <= 0 <= found["ci_high"]
    assert covered / 200 >= 0.9  # three binomial standard errors below 0.95; 0.74 where the runs are taken as apart
