"""Statistics of paired scores: tests, intervals, multiplicity and power; `core/arms.py` puts them together.

Both sides of a comparison answered the same items, so that only discordant items, on which one side is
right and the other wrong, carry information. With about 100 items per task an unpaired or unadjusted
analysis finds patterns in noise.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided exact p value of McNemar's test; 1.0 where no item is discordant.

    `gained` items are wrong on the left and right on the right, `lost` the other way round. It is the
    exact binomial test that half of the discordant items are gained (McNemar 1947), twice scipy's lower tail.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def paired_permutation(differences: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Return the two-sided p value that item differences are as likely positive as negative, each with its weight.

    Every item's sign is flipped: all 2^n ways up to 13 items that differ (scipy), 19,999 seeded draws above. Items
    of one size of difference are drawn together, as a binomial count, so that any number of items is fast. Below 1 %
    the draws are tilted towards the sum that was found, and weighted back (importance sampling; Siegmund 1976, Ann.
    Stat. 4, 673-684): plain ones know no p value below 1/20,000, which the correction for many looks never lets pass.
    """
    import numpy as np
    from scipy.stats import permutation_test

    values = np.asarray(differences, float) * (1.0 if weights is None else np.asarray(weights, float))
    values = values[values != 0]
    if len(values) <= 13:
        if len(values) < 2:
            return 1.0
        found = permutation_test((values,), np.sum, permutation_type="samples", vectorized=True, rng=0)
        return float(found.pvalue)
    values = values / np.abs(values).max()
    sizes, counts = np.unique(np.round(np.abs(values), 12), return_counts=True)
    if len(sizes) == 1:
        return mcnemar_exact(int((values > 0).sum()), int((values < 0).sum()))
    if len(sizes) > 400:  # all different, as with unequal weights: a normal sum
        from scipy.stats import norm

        return float(2 * norm.sf(abs(values.sum()) / math.sqrt((values**2).sum())))
    draws, least = 19_999, abs(values.sum()) - 1e-9

    def sums(tilt: float) -> Any:
        plus = np.random.default_rng(0).binomial(counts, 1 / (1 + np.exp(-2 * tilt * sizes)), (draws, len(counts)))
        return (2 * plus - counts) @ sizes

    plain = (int((np.abs(sums(0.0)) >= least).sum()) + 1) / (draws + 1)
    return plain if plain > 0.01 else _tilted_tail(sizes, counts, least, sums)


def _tilted_tail(sizes: Any, counts: Any, least: float, sums: Callable[[float], Any]) -> float:
    """Twice the chance that the sum of `counts` random signs of each size, the largest 1, is at least `least`.

    `sums` draws them with odds exp(2 x tilt x size) of a plus.
    """
    import numpy as np
    from scipy.optimize import brentq

    largest = float(counts @ sizes)
    if least >= largest - 2e-9:  # all of one sign
        return float(2.0 ** (1 - int(counts.sum())))
    tilt = brentq(lambda t: counts @ (sizes * np.tanh(t * sizes)) - least, 0.0, 1e9)
    drawn = sums(tilt)
    log_cosh = float(counts @ (np.logaddexp(tilt * sizes, -tilt * sizes) - math.log(2)))
    weights = np.exp(log_cosh - tilt * drawn[drawn >= least])
    return min(1.0, 2 * float(weights.sum()) / len(drawn))


def mean_interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of the mean of item differences that lie within [-1, 1].

    For 0/1 scores it is Bonett and Price's adjusted Wald interval (2012, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data", J. Educ. Behav. Stat. 37, 479-488): two items, of
    difference 1 and -1, are added. Recommended by Fagerland, Lydersen and Laake (2014, Stat. Med. 33, 2850-2875) for
    its coverage at small n; it has a width even where no item differs. Raises ValueError where there is no item.
    """
    from scipy.stats import norm

    if not differences:
        raise ValueError("no interval of the mean of nothing")
    padded = [*differences, 1.0, -1.0]
    half = float(norm.ppf(0.5 + level / 2)) * statistics.pstdev(padded) / math.sqrt(len(padded))
    middle = statistics.fmean(padded)
    return max(-1.0, middle - half), min(1.0, middle + half)


def weighted_holm(ps: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return adjusted p values of one family whose members carry unequal shares of the error rate (Holm 1979, s. 4).

    The chance of any false claim stays below the level, however the tests depend on one another. Equal weights give
    Holm's method. No library at hand has it. Raises ValueError where a weight is not positive.
    """
    if any(weight <= 0 for weight in weights):
        raise ValueError("weights of a family must be positive")
    order = sorted(range(len(ps)), key=lambda i: ps[i] / weights[i])
    left, highest, adjusted = sum(weights), 0.0, [0.0] * len(ps)
    for i in order:
        highest = max(highest, min(1.0, ps[i] * left / weights[i]))
        adjusted[i] = highest
        left -= weights[i]
    return adjusted


def rejection_levels(ps: Sequence[float], weights: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Return, per test, the p value at or below which `weighted_holm` calls it significant, given all others' p."""
    order = sorted(range(len(ps)), key=lambda i: ps[i] / weights[i])
    levels = []
    for i in range(len(ps)):
        left = sum(weights)
        for j in order:
            if j == i:
                continue
            if ps[j] > alpha * weights[j] / left:
                break
            left -= weights[j]
        levels.append(min(alpha, alpha * weights[i] / left))
    return levels


def minimum_detectable_difference(
    n: int, discordant: float, power: float = 0.8, alpha: float = 0.05, slope: float = 0.0
) -> float | None:
    """Return the smallest true difference, in shares, that the exact test on n items finds with `power`.

    `discordant` is the expected share of discordant items without a difference, and `slope` how much of a difference
    adds to it; where the difference itself is larger than the share, so is the share. The power is the exact
    unconditional one: McNemar's rejection region for every number of discordant items, weighted by that number's
    binomial probability. None if no difference reaches the power (n below 6 at the 5 % level). Raises ValueError for a
    share outside [0, 1].
    """
    from scipy.optimize import brentq

    if not 0 <= discordant <= 1:
        raise ValueError(f"discordant must be a share between 0 and 1, got {discordant}")
    if n < 1 or _power(n, 1.0, 1.0, alpha) < power:
        return None
    return float(
        brentq(lambda d: _power(n, min(1.0, max(discordant + slope * d, d)), d, alpha) - power, 1e-9, 1.0, xtol=1e-5)
    )


def _power(n: int, discordant: float, difference: float, alpha: float) -> float:
    """Return the power of the two-sided exact test, given true shares of n items."""
    import numpy as np
    from scipy.special import bdtr

    spread = 9 * math.sqrt(n * discordant * (1 - discordant)) + 1  # the rest has probability below 1e-16
    low, high = max(0, int(n * discordant - spread)), min(n, int(n * discordant + spread) + 1)
    m = np.arange(low, high + 1)
    k = _rejected_up_to(n, alpha)[low : high + 1]
    gained = (discordant + difference) / (2 * discordant)
    # The outer tails of both sides, by the binomial distribution function; a k of -1 rejects nothing.
    inner = np.maximum(k, 0)
    rejected = bdtr(inner, m, gained) + bdtr(inner, m, 1 - gained)
    chance = np.diff(bdtr(m, n, discordant), prepend=bdtr(low - 1, n, discordant) if low else 0.0)
    return float(np.sum(chance * np.where(k < 0, 0.0, rejected)))


@functools.lru_cache(maxsize=64)
def _rejected_up_to(n: int, alpha: float) -> Any:
    """For 0 to n discordant items m, the largest k with P(X <= k) <= alpha / 2 for a fair coin; -1 where none."""
    import numpy as np
    from scipy.stats import binom

    m = np.arange(n + 1)
    k = binom.ppf(alpha / 2, m, 0.5)
    return np.where(binom.cdf(k, m, 0.5) > alpha / 2, k - 1, k)


def binomial_standard_error(k: int, n: int) -> float:
    """Return sqrt(p (1 - p) / n) for p = k / n, in shares.

    It is 0 at k = 0 and k = n, which is no certainty: compare with intervals. Raises ValueError for n
    below 1 or k outside [0, n].
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"no standard error of {k} right of {n} items")
    return math.sqrt(k / n * (1 - k / n) / n)
