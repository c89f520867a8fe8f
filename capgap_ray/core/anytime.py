"""Bounds on a mean that hold at every look: for stopping while data come in, without paying for looking.

Source: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B
86(1), 2024: a gambler who bets that the mean is below m has, if it is not, a capital that is a non-negative
supermartingale, and by Ville's inequality the chance that it ever reaches 1/alpha is at most alpha. The bets here are
fixed fractions, whose capitals are averaged, so that the order of the data does not matter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_FRACTIONS = tuple(2.0**-power for power in range(1, 8))
"""Of the largest bet that cannot ruin: large ones find large differences soon, small ones find small ones at all."""
_EXACT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of a mean of differences in [-1, 1]; each holds at every look with chance 1 - alpha."""

    mean: float
    low: float
    high: float


def bounds(differences: Sequence[float], alpha: float) -> Bounds:
    """Raises ValueError without data, or on a difference outside [-1, 1]."""
    if not differences:
        raise ValueError("bounds of no differences")
    if any(not -1 <= each <= 1 for each in differences):
        raise ValueError("differences must be within [-1, 1]")
    counts = Counter(float(each) for each in differences)
    mirrored = {-value: count for value, count in counts.items()}
    mean = math.fsum(differences) / len(differences)
    return Bounds(mean=mean, low=-_upper(mirrored, alpha), high=_upper(counts, alpha))


def level(alpha: float, look: int) -> float:
    """The part of alpha that the look, counted from 1, may use; all parts together are alpha, however many there are.

    For looks at different models on the same items, which are no longer one mean.
    """
    return alpha / (look * (look + 1))


def _upper(counts: Mapping[float, int], alpha: float) -> float:
    """The largest mean that is not refuted; the capital grows with the mean that is bet against."""
    low, high = -1.0, 1.0
    while high - low > _EXACT:
        middle = (low + high) / 2
        if _log_capital(counts, middle) < -math.log(alpha):
            low = middle
        else:
            high = middle
    return high


def _log_capital(counts: Mapping[float, int], mean: float) -> float:
    """Of bets that the true mean is below `mean` (under 1), on values and how often each occurred."""
    logs = [
        sum(count * math.log1p(-part * (value - mean) / (1 - mean)) for value, count in counts.items())
        for part in _FRACTIONS
    ]
    most = max(logs)
    return most + math.log(sum(math.exp(each - most) for each in logs) / len(logs))
