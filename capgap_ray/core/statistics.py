"""Statistics of paired 0/1 scores: tests, intervals, multiplicity and power.

Both sides of a comparison answered the same items, so that only discordant items, on which one side is
right and the other wrong, carry information. With about 100 items per task an unpaired or unadjusted
analysis finds patterns in noise; every comparison here therefore carries an interval, a p value adjusted
over its family, and the smallest difference that its items could have shown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from capgap_ray.records import Comparison, Confound


def mcnemar_exact(gained: int, lost: int) -> float:
    """Return the two-sided exact p value of McNemar's test; 1.0 where no item is discordant.

    `gained` items are wrong on the left and right on the right, `lost` the other way round. It is the
    exact binomial test that half of the discordant items are gained (McNemar 1947), from scipy.
    """
    from scipy.stats import binomtest

    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost, 0.5).pvalue)


def paired_interval(gained: int, lost: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of the difference (gained - lost) / n, in shares within [-1, 1].

    Bonett and Price's adjusted Wald interval (2012, "Adjusted Wald confidence interval for a difference
    of binomial proportions based on paired data", J. Educ. Behav. Stat. 37, 479-488): one item is added
    to each discordant cell. Recommended by Fagerland, Lydersen and Laake (2014, Stat. Med. 33, 2850-2875)
    for its coverage at small n; it has a width even with no discordant item. Raises ValueError unless
    0 <= gained + lost <= n and n > 0.
    """
    from scipy.stats import norm

    if n < 1 or min(gained, lost) < 0 or gained + lost > n:
        raise ValueError(f"impossible counts: {gained} gained and {lost} lost of {n} items")
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = float(norm.ppf(0.5 + level / 2)) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def holm(ps: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values, in input order (Holm 1979), from statsmodels."""
    if not ps:
        return []
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(ps), method="holm")[1]]


def minimum_detectable_difference(n: int, discordant: float, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Return the smallest true difference, in shares, that the exact test on n items finds with `power`.

    `discordant` is the expected share of discordant items; where the difference itself is larger than it,
    so is the share. The power is the exact unconditional one: McNemar's rejection region for every number
    of discordant items, weighted by that number's binomial probability. None if no difference reaches
    the power (n below 6 at the 5 % level). Raises ValueError for a share outside [0, 1].
    """
    from scipy.optimize import brentq

    if not 0 <= discordant <= 1:
        raise ValueError(f"discordant must be a share between 0 and 1, got {discordant}")
    if n < 1 or _power(n, 1.0, 1.0, alpha) < power:
        return None
    return float(brentq(lambda d: _power(n, max(discordant, d), d, alpha) - power, 1e-9, 1.0, xtol=1e-5))


def _power(n: int, discordant: float, difference: float, alpha: float) -> float:
    """Return the power of the two-sided exact test, given true shares of n items."""
    import numpy as np
    from scipy.stats import binom

    spread = 9 * math.sqrt(n * discordant * (1 - discordant)) + 1  # the rest has probability below 1e-16
    low, high = max(0, int(n * discordant - spread)), min(n, int(n * discordant + spread) + 1)
    m = np.arange(low, high + 1)
    # The largest k for which k or fewer of m is rejected: P(X <= k) <= alpha / 2 under a fair coin.
    k = binom.ppf(alpha / 2, m, 0.5)
    k = np.where(binom.cdf(k, m, 0.5) > alpha / 2, k - 1, k)
    gained = (discordant + difference) / (2 * discordant)
    rejected = binom.cdf(k, m, gained) + binom.sf(m - k - 1, m, gained)
    return float(np.sum(binom.pmf(m, n, discordant) * np.where(k < 0, 0.0, rejected)))


def binomial_standard_error(k: int, n: int) -> float:
    """Return sqrt(p (1 - p) / n) for p = k / n, in shares.

    It is 0 at k = 0 and k = n, which is no certainty: compare with intervals. Raises ValueError for n
    below 1 or k outside [0, n].
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"no standard error of {k} right of {n} items")
    return math.sqrt(k / n * (1 - k / n) / n)


def compare(
    name: str,
    kind: Literal["gain", "teacher", "declared"],
    task: str,
    student: str,
    left: str,
    right: str,
    left_scores: Mapping[str, float | None],
    right_scores: Mapping[str, float | None],
    confounds: Sequence[Confound],
) -> Comparison:
    """Return the paired comparison of two arms; scores map example ids to 0, 1, or None = unscored.

    Items that a side has no score for are left out and counted. `p_adjusted` is None until `adjust` has
    seen the whole family. Raises ValueError naming an id that only one side has, or a score other than
    0, 1 and None: a paired comparison needs the same items.
    """
    if odd := sorted(set(left_scores) ^ set(right_scores)):
        side = left if odd[0] in left_scores else right
        raise ValueError(f"{name}: item {odd[0]} is scored for {side} only ({len(odd)} such items in all)")
    for arm, scores in ((left, left_scores), (right, right_scores)):
        for item, score in scores.items():
            if score not in (0, 1, None):
                raise ValueError(f"{name}: item {item} of {arm} has score {score!r}, expected 0, 1 or None")
    pairs = [(left_scores[i], right_scores[i]) for i in left_scores]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    n = len(known)
    gained = sum(a < b for a, b in known)
    lost = sum(a > b for a, b in known)
    low, high = paired_interval(gained, lost, n) if n else (None, None)
    return Comparison(
        name=name,
        kind=kind,
        task=task,
        student=student,
        left=left,
        right=right,
        n=n,
        unscored=len(pairs) - n,
        left_acc=sum(a for a, _ in known) / n if n else None,
        right_acc=sum(b for _, b in known) / n if n else None,
        delta=(gained - lost) / n if n else None,
        ci_low=low,
        ci_high=high,
        p=mcnemar_exact(gained, lost) if n else None,
        p_adjusted=None,
        test="exact McNemar",
        mde=minimum_detectable_difference(n, (gained + lost) / n) if n else None,
        confounds=tuple(confounds),
    )


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons, in order, with Holm's p values within each kind; p None stays None.

    Give all comparisons of an experiment at once: the family is what was looked at, confounded or not.
    """
    adjusted: dict[int, float] = {}
    for kind in {comparison.kind for comparison in comparisons}:
        family = {i: c.p for i, c in enumerate(comparisons) if c.kind == kind and c.p is not None}
        adjusted |= zip(family, holm(list(family.values())), strict=True)
    return [dataclasses.replace(c, p_adjusted=adjusted.get(i)) for i, c in enumerate(comparisons)]
