"""The plain-reading rules of the paper's two words, "effective" and "capacity-gap pattern", by name, for parity.

They read accuracies alone and ignore noise: with two teachers equal in truth, G1 finds a pattern in about 37 % of
tasks of 100 items. No verdict of ours rests on them; ours need intervals (`core/capacity_gap.py`).

The paper gives no formula. These are its readings as checked against its tables: E5 to E9 and the margins of G5 and
G6 were fitted there, the others have no free number. All accuracies are in points (0 to 100), sizes ascend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GAP_CLOSED = 0.2
"""E6: between 0.179 and 0.206 all tasks of the paper's small-large setting come out as claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilled:
    """One task of one pair of teachers, as the E rules read it; arrays of points, (sizes,) or (sizes, teachers)."""

    baseline: Sequence[float]
    """Untouched students, by size."""
    distilled: Sequence[Sequence[float]]
    """By size, one accuracy per teacher."""
    gap: float | None = None
    """In-context gap, mean of the teachers minus mean of the students (E6)."""
    baseline_items: int | None = None
    distilled_items: int | None = None
    """Items behind each accuracy (E7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule by name."""

    name: str
    formula: str
    holds: Callable[..., Any]
    """E rules: Distilled -> bool. G rules: (advantages, sizes) -> bool, or an array over leading axes."""


def _gains(task: Distilled) -> Any:
    """Distilled minus baseline, (sizes, teachers); rounded, because 0.9 - 0.6 is no more than 0.3."""
    import numpy as np

    return np.round(np.asarray(task.distilled, float) - np.asarray(task.baseline, float)[:, None], 9)


def _gap_closed(task: Distilled) -> bool:
    if task.gap is None:
        raise ValueError("E6: needs the in-context gap of the task, that is few-shot accuracies of its teachers")
    if task.gap <= 0:
        raise ValueError("E6: the teachers are not ahead of the students, so there is no gap to close")
    return bool(_gains(task).mean() / task.gap > GAP_CLOSED)


def _strength(task: Distilled) -> bool:
    """Mean gain over its binomial standard error; each baseline enters once per teacher."""
    import numpy as np

    if not task.baseline_items or not task.distilled_items:
        raise ValueError("E7: needs the number of items behind each accuracy")
    after, before = np.asarray(task.distilled, float) / 100, np.asarray(task.baseline, float) / 100
    teachers = after.shape[1]
    variance = (after * (1 - after)).sum() / task.distilled_items
    variance += teachers**2 * (before * (1 - before)).sum() / task.baseline_items
    if variance == 0:
        return bool(_gains(task).mean() > 0)
    return bool(_gains(task).mean() / 100 / (math.sqrt(variance) / after.size) > 3.8)


EFFICACY: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(name="E0", formula="always", holds=lambda t: True),
        Rule(name="E1", formula="mean gain > 0", holds=lambda t: bool(_gains(t).mean() > 0)),
        Rule(
            name="E2",
            formula="more than half of the cells above the baseline",
            holds=lambda t: bool((_gains(t) > 0).mean() > 0.5),
        ),
        Rule(name="E3", formula="every cell above the baseline", holds=lambda t: bool((_gains(t) > 0).all())),
        Rule(
            name="E4",
            formula="mean gain over the teachers > 0 at every size",
            holds=lambda t: bool((_gains(t).mean(axis=1) > 0).all()),
        ),
        Rule(
            name="E5",
            formula="no cell more than 3 points below the baseline",
            holds=lambda t: bool((_gains(t) >= -3).all()),
        ),
        Rule(name="E6", formula=f"mean gain closes more than {GAP_CLOSED} of the in-context gap", holds=_gap_closed),
        Rule(name="E7", formula="mean gain > 3.8 binomial standard errors", holds=_strength),
        Rule(
            name="E8",
            formula="gain with the better teacher of each size, mean over sizes, > 12",
            holds=lambda t: bool(_gains(t).max(axis=1).mean() > 12),
        ),
        Rule(
            name="E9",
            formula="mean gain with the worse teacher > 12.9",
            holds=lambda t: bool(_gains(t).mean(axis=0).min() > 12.9),
        ),
    )
}
"""Effective, by name."""


def ends(sizes: int) -> int:
    """How many sizes at either end "small" and "large" mean: half of them, the middle one of an odd number left out.

    With the paper's four it is two each. Raises ValueError below two sizes.
    """
    if sizes < 2:
        raise ValueError("a capacity-gap rule needs students of at least two sizes")
    return sizes // 2


def _means(a: Any) -> tuple[Any, Any]:
    k = ends(a.shape[-1])
    return a[..., :k].mean(axis=-1), a[..., -k:].mean(axis=-1)


def _best_small(a: Any) -> Any:
    return a[..., : ends(a.shape[-1])].max(axis=-1)


def _slope(a: Any, sizes: Sequence[float]) -> Any:
    import numpy as np

    x = np.log(np.asarray(sizes, float))
    return (a * (x - x.mean())).sum(axis=-1)


CAPACITY_GAP: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            name="G1",
            formula="a(smallest) > 0 and a(largest) < a(smallest)",
            holds=lambda a, s: (a[..., 0] > 0) & (a[..., -1] < a[..., 0]),
        ),
        Rule(
            name="G2",
            formula="a(smallest) > 0 and a(largest) <= 0",
            holds=lambda a, s: (a[..., 0] > 0) & (a[..., -1] <= 0),
        ),
        Rule(
            name="G3",
            formula="mean a(small half) > 0 and mean a(large half) < mean a(small half)",
            holds=lambda a, s: (_means(a)[0] > 0) & (_means(a)[1] < _means(a)[0]),
        ),
        Rule(
            name="G4",
            formula="a(smallest) > 0 and a falls with log size (least squares)",
            holds=lambda a, s: (a[..., 0] > 0) & (_slope(a, s) < -1e-9),
        ),
        Rule(
            name="G5",
            formula="best a(small half) > 1 point and a(largest) <= it",
            holds=lambda a, s: (_best_small(a) > 1) & (a[..., -1] <= _best_small(a)),
        ),
        Rule(
            name="G6",
            formula="best a(small half) > 1 point and mean a(large half) <= half of it",
            holds=lambda a, s: (_best_small(a) > 1) & (_means(a)[1] <= _best_small(a) / 2),
        ),
        Rule(name="G7", formula="a(smallest) > 0", holds=lambda a, s: a[..., 0] > 0),
    )
}
"""Capacity-gap pattern, by name; a(size) is the weaker teacher's students minus the stronger one's, in points."""


def effective(name: str, task: Distilled) -> bool:
    """Return whether distillation is effective by a named rule. Raises ValueError on an unknown name or input."""
    return bool(_rule(EFFICACY, name).holds(task))


def has_pattern(name: str, advantages: Any, sizes: Sequence[float]) -> Any:
    """Return whether advantages by size, (..., sizes) in points, show the pattern by a named rule.

    A bool for one task, an array for leading axes. Raises ValueError on an unknown name or fewer than two sizes.
    """
    import numpy as np

    rule, a = _rule(CAPACITY_GAP, name), np.round(np.asarray(advantages, float), 9)
    ends(a.shape[-1])
    found = rule.holds(a, sizes)
    return bool(found) if a.ndim == 1 else found


def _rule(rules: Mapping[str, Rule], name: str) -> Rule:
    if name not in rules:
        raise ValueError(f"rule {name!r} is unknown; known: {', '.join([*EFFICACY, *CAPACITY_GAP])}")
    return rules[name]
