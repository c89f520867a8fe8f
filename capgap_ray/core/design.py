"""What a design can detect, before anything has run, and the cheapest one that detects a wanted difference.

A design is a number of items, of samples per item and of training runs (seeds) per arm. Two arms' difference per item
has the variance `DISCORDANT` where each is sampled once: the share of items on which exactly one is right. Of this
variance the share `PERSISTENT` belongs to the items and stays however often one samples or trains; the rest shrinks
with samples x seeds. Both are assumptions until a pilot has measured them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from capgap_ray.core.statistics import minimum_detectable_difference

DISCORDANT = 0.25
PERSISTENT = 0.5
_SAMPLES = (1, 2, 4, 8, 16)
_SEEDS = (1, 2, 3, 5, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How much is measured per arm."""

    items: int
    samples: int = 1
    seeds: int = 1


def detectable(
    design: Design, discordant: float = DISCORDANT, persistent: float = PERSISTENT, level: float = 0.05
) -> float | None:
    """Return the smallest true paired difference, in shares, found with 80 % power at the level.

    Exact McNemar power for one answer per item and arm; else that of a z test on item means. None where no difference
    is found. Raises ValueError for shares outside [0, 1].
    """
    from scipy.stats import norm

    if not 0 <= persistent <= 1:
        raise ValueError(f"persistent must be a share between 0 and 1, got {persistent}")
    if design.samples * design.seeds == 1:
        return minimum_detectable_difference(design.items, discordant, alpha=level)
    variance = discordant * (persistent + (1 - persistent) / (design.samples * design.seeds))
    found = float(norm.ppf(1 - level / 2) + norm.ppf(0.8)) * math.sqrt(variance / design.items)
    return found if found <= 1 else None


def cheapest(
    wanted: float,
    items: int,
    cost: Callable[[Design], float],
    discordant: float = DISCORDANT,
    level: float = 0.05,
) -> tuple[Design, float] | None:
    """Return the design of least cost with at most `items` items that detects `wanted` (in shares) at the level, and
    what it detects; None where none does."""
    found = [
        (cost(design), design, smallest)
        for design in _designs(items)
        if (smallest := detectable(design, discordant, level=level)) is not None and smallest <= wanted
    ]
    if not found:
        return None
    _, design, smallest = min(found, key=lambda each: each[0])
    return design, smallest


def _designs(items: int) -> Iterator[Design]:
    for count in _steps(items):
        for samples in _SAMPLES:
            for seeds in _SEEDS:
                yield Design(items=count, samples=samples, seeds=seeds)


def _steps(items: int) -> Sequence[int]:
    return sorted({max(1, round(items * share / 20)) for share in range(1, 21)})
