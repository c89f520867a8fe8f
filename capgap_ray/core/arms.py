"""Arms: what one student, untouched or distilled, scored on one task; and differences between arms.

Every difference is a weighted sum of arms that answered the same items. Items are drawn from a task, so all that an
item yields (samples, training runs, other arms) is one cluster. Training runs (seeds) are drawn, too: where some
student has several, the variance between runs is added to every interval, estimated over all arms of like kind,
since two or three runs of one arm say little. Tasks are fixed here; `random_effects` treats them as drawn.

Variance of a sum over arms a with weights w: items, sum of squares of per-item sums over n (n - 1), of which one
share is noise within an item that runs show anyway; runs, sum of w^2 s^2 / runs with s^2 the variance between run
means. An interval's half is the root of the sum over sources of t^2 x variance, each t with its source's degrees of
freedom (Cochran 1964, "Approximate significance levels of the Behrens-Fisher test", Biometrics 20, 191-195), and never
less than the items alone give. Satterthwaite's one t of joint degrees of freedom is too narrow with two runs: where
their variance comes out small by luck, it takes that for certainty (at p = 0.001, ten false claims for one).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from capgap_ray.core.statistics import (
    mcnemar_exact,
    mean_interval,
    minimum_detectable_difference,
    paired_permutation,
)

Array = Any
UNTOUCHED = ""
"""The teacher of a student before distillation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """One student's scores on one task: of single items, or only their mean."""

    task: str
    student: str
    teacher: str
    """UNTOUCHED for the student before distillation."""
    recipe: str
    scores: Array
    """(items, runs), shares; NaN is unscored. Without items (1, runs): accuracies."""
    runs: tuple[str, ...]
    """Labels of the training seeds."""
    items: Array | None
    """Codes of the items, ascending; None where only accuracies are known."""
    n: int
    """Items, scored or not."""
    grain: float = 1.0
    """Smallest step of a run's item score: 1 / samples."""
    shares: Mapping[str, float] | None = None
    """right, wrong, unparsable, truncated: shares of all outputs by the rules; None where not known."""
    tokens: float | None = None
    """Mean length of an output."""
    protocol: Mapping[str, Any] | None = None
    """What has to be equal before scores are compared: column -> codes per item, in the order of `items`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What is trained: student, teacher, recipe."""
        return self.student, self.teacher, self.recipe

    @property
    def accuracy(self) -> float | None:
        """Mean over scored items; None where there is none."""
        means = item_means(self)
        known = means[~np.isnan(means)]
        return float(known.mean()) if len(known) else None

    @property
    def scored_runs(self) -> int:
        """Runs with a score on some item."""
        return int((~np.isnan(self.scores)).any(axis=0).sum())

    @property
    def unscored(self) -> int:
        """Items without any score."""
        return int(np.isnan(item_means(self)).sum()) if self.items is not None else 0


Part = Sequence[tuple[Arm, float]]
"""The arms of one task with their weights."""


class Sources(NamedTuple):
    """Where the variance of an estimate comes from; every part is (variance, degrees of freedom)."""

    items: tuple[float, float]
    """All that items explain."""
    parts: tuple[tuple[float, float], ...] = ()
    """With several training runs: items without the noise within an item, then runs, which show that noise, too."""

    @property
    def error(self) -> float:
        """Standard error."""
        return math.sqrt(max(self.items[0], sum(variance for variance, _ in self.parts)))

    def half(self, alpha: float) -> float:
        """Return half of the interval that misses with chance `alpha`."""

        def single(part: tuple[float, float]) -> float:
            return math.sqrt(part[0]) * _t_quantile(alpha, part[1])

        return max(single(self.items), math.hypot(*map(single, self.parts)))

    def p(self, value: float) -> float:
        """Return the two-sided p value of `value`: the chance at which its interval just reaches 0."""
        from scipy.optimize import brentq

        if self.error == 0:
            return float(value == 0)
        if not self.parts:
            return _t_test(value / self.error, self.items[1])
        floor = -100.0  # of the exponent; no p value below it matters
        if self.half(10**floor) < abs(value):
            return 0.0
        exponent = brentq(lambda u: self.half(10**u) - abs(value), floor, 0.0, xtol=1e-6)
        return float(10**exponent)

    def df(self, alpha: float) -> float:
        """Return the degrees of freedom of the one t quantile that gives `half`; infinite for a normal one."""
        from scipy.optimize import brentq

        if not self.parts or self.error == 0:
            return self.items[1]
        quantile = self.half(alpha) / self.error
        if quantile <= _t_quantile(alpha, 10_000):
            return math.inf
        return float(brentq(lambda df: _t_quantile(alpha, df) - quantile, 0.5, 10_000))


class Contrast(NamedTuple):
    """A weighted sum of arms, estimated."""

    value: float
    low: float
    high: float
    p: float
    n: int
    unscored: int
    test: str
    error: float
    """Standard error."""
    sources: Sources
    discordant: float | None
    """Share of discordant items where the test is McNemar's; else None."""
    slope: float
    """How much of a difference adds to the share of discordant items, as one side moves while the other stays."""
    per_item: float
    """Variance that a share of discordant items of 1 would add: 1 / n for one task; 0 where not known."""
    runs: int
    bounds: tuple[float, float]
    """The value if every unscored item went one way or the other."""

    def detectable(self, alpha: float = 0.05, power: float = 0.8) -> float | None:
        """Return the smallest true value found with `power` by a test at level `alpha`; None: no share is."""
        if self.discordant is not None:
            without = max(0.0, self.discordant - self.slope * abs(self.value))
            return minimum_detectable_difference(self.n, without, power, alpha, self.slope)
        effect = detectable_effect(self.sources.df(alpha), power, alpha)
        size = effect * self.error
        # The error is that of the measured value; a difference d adds slope x d - d^2 per item to the variance.
        k, value = effect**2 * self.per_item, abs(self.value)
        rest = effect**2 * self.error**2 - k * (self.slope - value) * value
        if rest > 0:
            size = max(size, (k * self.slope + math.sqrt((k * self.slope) ** 2 + 4 * (1 + k) * rest)) / (2 * (1 + k)))
        return size if size <= 1 else None


def detectable_effect(df: float, power: float, alpha: float) -> float:
    """Return the true effect, in standard errors, that a two-sided t test finds with `power` (noncentral t)."""
    from scipy.optimize import brentq
    from scipy.special import ndtri
    from scipy.stats import nct

    critical = _t_quantile(alpha, df)
    if df > 1000:
        return critical + float(ndtri(power))
    return float(brentq(lambda effect: nct.sf(critical, df, effect) - power, 0.0, 2 * critical + 3, xtol=1e-4))


class Refusal(ValueError):
    """Arms that cannot be compared, in words."""


def check_comparable(arms: Sequence[Arm]) -> None:
    """Raise Refusal, naming the arms and the mend, unless all answered the same items in the same way."""
    first = arms[0]
    for other in arms[1:]:
        if (first.items is None) != (other.items is None):
            raise Refusal(f"{name(first)} and {name(other)}: one has items, the other only an accuracy")
        if first.items is None or other.items is None:
            if first.n != other.n:
                raise Refusal(
                    f"{name(first)} has {first.n} items and {name(other)} {other.n}, so they are not the same items; "
                    "score both on the same ones"
                )
            continue
        if not np.array_equal(first.items, other.items):
            common = len(np.intersect1d(first.items, other.items))
            if not common:
                raise Refusal(f"{name(first)} and {name(other)} have no common item; score both on the same items")
            raise Refusal(
                f"{name(first)} has {len(first.items)} items and {name(other)} {len(other.items)}, of which {common} "
                "are common; score both on the same items, and leave `correct` empty where a score is missing"
            )
        for column in {*(first.protocol or ()), *(other.protocol or ())}:
            left, right = (arm.protocol.get(column) if arm.protocol else None for arm in (first, other))
            if left is None or right is None or not np.array_equal(left, right):
                raise Refusal(f"{name(first)} and {name(other)} were measured with another {column}; use one for both")


def name(arm: Arm) -> str:
    """Return the arm in words: `dyck: 0.5B from large (mix)`."""
    recipe = f" ({arm.recipe})" if arm.recipe else ""
    return f"{arm.task}: {arm.student} {f'from {arm.teacher}' if arm.teacher else 'untouched'}{recipe}"


def item_means(arm: Arm) -> Array:
    """Return each item's mean over the runs that have a score, (items,); NaN where none has."""
    if arm.scores.shape[1] == 1:
        return arm.scores[:, 0]
    known = ~np.isnan(arm.scores)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, arm.scores, 0).sum(axis=1) / np.maximum(count, 1), np.nan)


# --- training runs ---------------------------------------------------------------------------------


class Spread(NamedTuple):
    """Variance between the run means of one arm."""

    raw: float
    """As observed."""
    noise: float
    """The part of it that differences within items explain, which is there without any difference between runs."""
    df: float


class Runs:
    """How much training runs differ, from all arms that have several.

    Two or three runs of one arm say little, so all arms of a student give one estimate, and half of what is used is
    that of all students together: students may differ in it, but one student's estimate has few degrees of freedom.
    Untouched students are apart: their runs train nothing.
    """

    def __init__(self, arms: Sequence[Arm]) -> None:
        self._several = [_scored(arm) for arm in arms if arm.scored_runs > 1]
        self._means = {id(arm): _run_means(arm) for arm in self._several}
        self._known: dict[tuple[str | None, bool, frozenset[str] | None], Spread | None] = {}

    def spread(self, student: str | None, untouched: bool, tasks: frozenset[str] | None) -> Spread | None:
        """Of one task's scores, or with `tasks` of means over those, which one run may move together.

        For one student, or with None for several together. None: no arm has several runs.
        """
        key = (student, untouched, tasks)
        if key not in self._known:
            like = [a for a in self._several if (a.teacher == UNTOUCHED) == untouched]
            groups = [[a for a in like if a.student == student], like]
            own, every = (self._of(group) if tasks is None else self._of_means(group, tasks) for group in groups)
            self._known[key] = every if own is None or every is None else _halfway(own, every)
        return self._known[key]

    def _of(self, arms: Sequence[Arm]) -> Spread | None:
        return _pool([_spread(*self._means[id(arm)]) for arm in arms])

    def _of_means(self, arms: Sequence[Arm], tasks: frozenset[str]) -> Spread | None:
        by_key: dict[tuple[str, str, str], list[Arm]] = {}
        for arm in arms:
            if arm.task in tasks:
                by_key.setdefault(arm.key, []).append(arm)
        spreads = []
        for group in by_key.values():
            if len({arm.runs for arm in group}) == 1:
                means = np.mean([self._means[id(arm)][0] for arm in group], axis=0)
                noise = sum(self._means[id(arm)][1] for arm in group) / len(group) ** 2
                spreads.append(_spread(means, noise))
            elif (each := self._of(group)) is not None:  # other seeds in every task: other runs
                spreads.append(Spread(each.raw / len(group), each.noise / len(group), each.df))
        return _pool(spreads)


def _scored(arm: Arm) -> Arm:
    """The arm without runs that have no score."""
    scored = ~np.isnan(arm.scores).all(axis=0)
    if scored.all():
        return arm
    runs = tuple(run for run, has in zip(arm.runs, scored, strict=True) if has)
    return dataclasses.replace(arm, scores=arm.scores[:, scored], runs=runs)


def _run_means(arm: Arm) -> tuple[Array, float]:
    """Each run's mean over items, and how much of their variance the items' own noise explains."""
    if arm.items is None:
        return arm.scores[0], 0.0
    complete = arm.scores[~np.isnan(arm.scores).any(axis=1)]
    if len(complete) < 2:
        return np.nanmean(arm.scores, axis=0), 0.0
    means = complete.mean(axis=0)
    residual = complete - means - complete.mean(axis=1, keepdims=True) + complete.mean()
    items, runs = complete.shape
    return means, float((residual**2).sum() / ((items - 1) * (runs - 1)) / items)


def _spread(means: Array, noise: float) -> Spread:
    return Spread(float(np.var(means, ddof=1)), noise, len(means) - 1)


def _halfway(own: Spread, every: Spread) -> Spread:
    """The mean of two estimates, the first of which is part of the second, with the degrees of freedom that it has."""
    raw, noise = ((first + second) / 2 for first, second in zip(own[:2], every[:2], strict=True))
    return Spread(raw, noise, 4 / (1 / own.df + 3 / every.df))


def _pool(spreads: Sequence[Spread]) -> Spread | None:
    """Mean, weighted by degrees of freedom."""
    df = sum(each.df for each in spreads)
    if not df:
        return None
    raw, noise = (sum(each[i] * each.df for each in spreads) / df for i in (0, 1))
    return Spread(raw, noise, df)


# --- estimation ------------------------------------------------------------------------------------


def estimate(parts: Sequence[Part], runs: Runs, level: float = 0.95) -> Contrast | None:
    """Return the mean over tasks of weighted sums of arms; None where no item has a score in every arm.

    One task, one run, one 0/1 score and two arms: exact McNemar and Bonett-Price interval. Several runs: t test on
    items and runs. Else: paired permutation of items. Accuracies without items: normal, unpaired, with Agresti and
    Caffo's added successes. Raises Refusal where the arms of a task differ in their items or protocol.
    """
    for part in parts:
        check_comparable([arm for arm, _ in part])
    if any(arm.items is None for part in parts for arm, _ in part):
        return _of_accuracies(parts, runs, level)
    sums = [sum(weight * item_means(arm) for arm, weight in part) for part in parts]
    known = [each[~np.isnan(each)] for each in sums]
    if any(not len(each) for each in known):
        return None
    count = len(parts)
    n, value = sum(map(len, known)), float(np.mean([each.mean() for each in known]))
    shared: dict[str, Any] = {
        "n": n,
        "unscored": sum(map(len, sums)) - n,
        "runs": _trainings(parts),
        "bounds": _bounds(parts),
    }
    between = _between_runs(parts, runs)
    grain = min(arm.grain / max(1, arm.scored_runs) for part in parts for arm, _ in part)
    if count == 1 and between is None and len(parts[0]) == 2 and grain == 1 and {*np.unique(known[0])} <= {-1, 0, 1}:
        return _mcnemar(known[0], value, parts[0], sums[0], level, shared)
    each_task = [(_variance(each) / count**2, len(each) - 1) for each in known]
    # Bonett and Price's two added items, shared among the tasks.
    variance = sum(part for part, _ in each_task)
    variance += 2 * grain**2 * float(np.mean([1 / (len(each) + 2) ** 2 for each in known])) / count**2
    # Satterthwaite: a task of few items carries much of the variance and knows little about it.
    unsure = sum(part**2 / df for part, df in each_task if df)
    sources = _sources((variance, max(1.0, min(n - count, variance**2 / unsure) if unsure else n - count)), between)
    if between is None and len(parts[0]) == 2:
        test = "paired permutation"
        weights = np.concatenate([np.full(len(each), 1 / (count * len(each))) for each in known])
        p = paired_permutation(np.concatenate(known), weights)
    else:
        test = "t over items" if between is None else "t over items and training runs"
        p = sources.p(value)
    half, most = sources.half(1 - level), _largest(parts)
    slope = per_item = 0.0
    if len(parts[0]) == 2 and grain == 1:
        slopes = [_slope(part, each, float(np.nanmean(np.abs(each)))) for part, each in zip(parts, sums, strict=True)]
        slope, per_item = float(np.mean(slopes)), sum(1 / len(each) for each in known) / count**2
    return Contrast(
        value=value,
        low=max(-most, value - half),
        high=min(most, value + half),
        p=p,
        test=test,
        error=sources.error,
        sources=sources,
        discordant=None,
        slope=slope,
        per_item=per_item,
        **shared,
    )


def _largest(parts: Sequence[Part]) -> float:
    """The largest value that there can be, of accuracies between 0 and 1: 1 of a difference of two."""
    return sum(abs(weight) for part in parts for _, weight in part) / (2 * len(parts))


def _trainings(parts: Sequence[Part]) -> int:
    """Runs of the arm that has the fewest; the untouched ones train nothing, and count where there is no other."""
    arms = [arm for part in parts for arm, _ in part]
    return min(arm.scored_runs for arm in [a for a in arms if a.teacher != UNTOUCHED] or arms)


def _slope(part: Part, sums: Array, discordant: float) -> float:
    """|1 - 2 x accuracy| where the two sides err apart; 1, all of a difference, where they err on the same items."""
    middle = float(np.mean([item_means(arm)[~np.isnan(sums)].mean() for arm, _ in part]))
    apart = 2 * middle * (1 - middle)
    alike = max(0.0, 1 - discordant / apart) if apart > 0 else 0.0
    return alike + (1 - alike) * abs(1 - 2 * middle)


def _mcnemar(z: Array, value: float, part: Part, sums: Array, level: float, shared: Mapping[str, Any]) -> Contrast:
    gained, lost, n = int((z > 0).sum()), int((z < 0).sum()), len(z)
    sources = Sources((_variance(z) + 2 / (n + 2) ** 2, max(1, n - 1)))
    low, high = mean_interval([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost), level)
    return Contrast(
        value=value,
        low=low,
        high=high,
        p=mcnemar_exact(gained, lost),
        test="exact McNemar",
        error=sources.error,
        sources=sources,
        discordant=(gained + lost) / n,
        slope=_slope(part, sums, (gained + lost) / n),
        per_item=1 / n,
        **shared,
    )


def _of_accuracies(parts: Sequence[Part], runs: Runs, level: float) -> Contrast:
    """Unpaired: which items are right is not known. All runs of an arm are taken to share their items."""
    value = variance = 0.0
    count, n = len(parts), 0
    for part in parts:
        for arm, weight in part:
            accuracy = float(arm.scores.mean())
            value += weight * accuracy / count
            share = (accuracy * arm.n + 1) / (arm.n + 2)
            variance += (weight / count) ** 2 * share * (1 - share) / (arm.n + 2)
        n += part[0][0].n
    sources = _sources((variance, math.inf), _between_runs(parts, runs))
    half, most = sources.half(1 - level), _largest(parts)
    return Contrast(
        value=value,
        low=max(-most, value - half),
        high=min(most, value + half),
        p=sources.p(value),
        n=n,
        unscored=0,
        test="unpaired, from accuracies",
        error=sources.error,
        sources=sources,
        discordant=None,
        slope=0.0,
        per_item=0.0,
        runs=_trainings(parts),
        bounds=(value, value),
    )


def _sources(items: tuple[float, float], between: Mapping[Spread, float] | None) -> Sources:
    if between is None:
        return Sources(items)
    noise = sum(share * spread.noise for spread, share in between.items())
    persistent = (max(0.0, items[0] - noise), items[1])
    return Sources(items, (persistent, *((share * spread.raw, spread.df) for spread, share in between.items())))


def _between_runs(parts: Sequence[Part], runs: Runs) -> dict[Spread, float] | None:
    """How often each known variance between runs enters; None: none is known."""
    tasks = frozenset(part[0][0].task for part in parts) if len(parts) > 1 else None
    weights: dict[tuple[str, str, str], float] = {}
    first: dict[tuple[str, str, str], Arm] = {}
    for part in parts:
        for arm, weight in part:
            weights[arm.key] = weights.get(arm.key, 0.0) + weight / len(parts)
            first.setdefault(arm.key, arm)
    one_student = len({arm.student for arm in first.values()}) == 1
    by_source: dict[Spread, float] = {}
    for key, weight in weights.items():
        arm = first[key]
        spread = runs.spread(arm.student if one_student else None, arm.teacher == UNTOUCHED, tasks)
        if spread is not None:
            by_source[spread] = by_source.get(spread, 0.0) + weight**2 / max(1, arm.scored_runs)
    return by_source or None


def _bounds(parts: Sequence[Part]) -> tuple[float, float]:
    low = high = 0.0
    for part in parts:
        for arm, weight in part:
            means = item_means(arm)
            worst, best = (np.where(np.isnan(means), fill, means).mean() for fill in (0.0, 1.0))
            low += min(weight * worst, weight * best) / len(parts)
            high += max(weight * worst, weight * best) / len(parts)
    return float(low), float(high)


def _variance(z: Array) -> float:
    """Of the mean of item values; unbiased, 0 for one item."""
    return float(z.var(ddof=1) / len(z)) if len(z) > 1 else 0.0


def _t_test(ratio: float, df: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(ratio)))


def _t_quantile(alpha: float, df: float) -> float:
    """Two-sided; scipy's special function, since its distribution object is a hundred times slower."""
    from scipy.special import stdtrit

    return -float(stdtrit(df, alpha / 2))


def shared_by_tasks(single: Sequence[Contrast], pooled: Contrast) -> tuple[float, float]:
    """Return (variance, degrees of freedom) of what training runs do to all tasks together.

    It is what the runs' mean over tasks varies by, beyond what runs that move each task by itself would give; the
    number of tasks does not lessen it. (0, infinite) with one run per arm.
    """
    if not pooled.sources.parts:
        return 0.0, math.inf
    runs = [each.error**2 - each.sources.items[0] for each in (pooled, *single)]
    shared = runs[0] - sum(runs[1:]) / len(single) ** 2
    if shared <= 0:
        return 0.0, math.inf
    return shared, min(df for _, df in pooled.sources.parts[1:])


def random_effects(
    values: Sequence[float], errors: Sequence[float], shared: tuple[float, float] = (0.0, math.inf)
) -> dict[str, float]:
    """Return plain mean and error, random-effects estimate, its interval and spread, over at least two tasks.

    Between-task variance by Paule and Mandel, interval by Hartung, Knapp, Sidik and Jonkman with t quantiles, both
    from statsmodels; but never narrower than the errors give, as it is where tasks come out alike by luck (Knapp and
    Hartung 2003, Stat. Med. 22, 2693-2710). `shared` is `shared_by_tasks`, which widens the interval.
    """
    from statsmodels.stats.meta_analysis import combine_effects

    effect, error = np.asarray(values, float), np.asarray(errors, float)
    with np.errstate(divide="ignore"):  # of a ratio that is not used, where all effects are equal
        found = combine_effects(effect, error**2, method_re="iterated", use_t=True)
    between = _t_quantile(0.05, len(effect) - 1) * math.sqrt(float(found.var_hksj_re))
    between = max(between, _t_quantile(0.05, math.inf) * float(found.sd_eff_w_re))
    half = math.hypot(between, _t_quantile(0.05, shared[1]) * math.sqrt(shared[0]))
    return {
        "mean": float(effect.mean()),
        "standard_error": float(effect.std(ddof=1) / math.sqrt(len(effect))),
        "estimate": float(found.mean_effect_re),
        "ci_low": float(found.mean_effect_re) - half,
        "ci_high": float(found.mean_effect_re) + half,
        "between_tasks": math.sqrt(max(0.0, float(found.tau2))),
    }
