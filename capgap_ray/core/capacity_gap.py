"""The capacity gap: is the weaker teacher ahead for small students, and does its lead shrink or reverse with size?

A pattern is called only where two intervals exclude zero: that of the advantage at the small end, and that of the
contrast, advantage for the smallest student minus advantage for the largest one. Reading curves by eye instead finds
"patterns" in noise; how many is computed here by exchanging the two teachers' results at random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from capgap_ray.core.arms import Arm, Contrast, Runs, estimate, item_means
from capgap_ray.core.protocol_rules import CAPACITY_GAP, has_pattern
from capgap_ray.records import CapacityGap, ChancePatterns

NEGLIGIBLE = 0.05
"""An advantage at the small end below this is called none: 5 points."""
EXCHANGES = 10_000
Array = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two teachers under one recipe on one task: their students by ascending size."""

    task: str
    recipe: str
    weaker: str
    stronger: str
    ordered: bool
    sizes: tuple[float, ...]
    students: tuple[str, ...]
    arms: tuple[tuple[Arm, Arm], ...]
    """(from the weaker, from the stronger) by size."""

    def swapped(self) -> Duel:
        """Return the same with the teachers' roles exchanged."""
        return Duel(
            task=self.task,
            recipe=self.recipe,
            weaker=self.stronger,
            stronger=self.weaker,
            ordered=self.ordered,
            sizes=self.sizes,
            students=self.students,
            arms=tuple((strong, weak) for weak, strong in self.arms),
        )

    def advantages(self) -> Array:
        """Return weak minus strong by size, in shares; NaN where a side has no score."""

        def accuracy(arm: Arm) -> float:
            return math.nan if arm.accuracy is None else arm.accuracy

        return np.array([accuracy(weak) - accuracy(strong) for weak, strong in self.arms])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Both parts of a capacity-gap question, estimated; `verdict` adds what the correction leaves of it."""

    task: str
    duels: tuple[Duel, ...]
    small: Contrast
    contrast: Contrast

    @property
    def p(self) -> float:
        """Both parts must be shown, so the larger p counts."""
        return max(self.small.p, self.contrast.p)

    def detectable(self, alpha: float) -> float:
        """Return the smallest lead at the small end, gone at the large one, that both parts find."""
        found = [part.detectable(alpha) for part in (self.small, self.contrast)]
        return 1.0 if None in found else max(each for each in found if each is not None)


def measure(task: str, duels: Sequence[Duel], runs: Runs) -> Gap | None:
    """Estimate both parts over the duels' tasks (several: pooled). None where no item has all scores.

    Raises `arms.Refusal` where the four arms did not answer the same items. Where it is not known which teacher is
    the weaker, the one ahead at the small end takes that role, which a two-sided p allows for.
    """

    def ends(each: Sequence[Duel]) -> tuple[Contrast | None, Contrast | None]:
        small = [[(d.arms[0][0], 1.0), (d.arms[0][1], -1.0)] for d in each]
        large = [[(d.arms[-1][0], -1.0), (d.arms[-1][1], 1.0)] for d in each]
        return estimate(small, runs), estimate([a + b for a, b in zip(small, large, strict=True)], runs)

    small, contrast = ends(duels)
    if small is not None and small.value < 0 and not duels[0].ordered:
        duels = [duel.swapped() for duel in duels]
        small, contrast = ends(duels)
    if small is None or contrast is None:
        return None
    return Gap(task=task, duels=tuple(duels), small=small, contrast=contrast)


def verdict(gap: Gap, p_adjusted: float | None, level: float) -> CapacityGap:
    """Return the verdict; `p_adjusted` and `level`, its share of the error rate, come from the correction."""
    small, contrast, duel = gap.small, gap.contrast, gap.duels[0]
    lead = f"{duel.weaker} against {duel.stronger} for {duel.students[0]}: {_interval(small)}"
    change = f"that lead minus the one for {duel.students[-1]}: {_interval(contrast)}"
    shown = small.low > 0 and contrast.low > 0 and p_adjusted is not None and p_adjusted < 0.05
    status = "pattern" if shown else "none" if small.high < NEGLIGIBLE else "undetermined"
    reasons = [lead, change]
    if not duel.ordered:
        reasons.append(f"it is not known which teacher is the weaker; {duel.weaker} is taken for it, being ahead")
    if status == "none":
        reasons.append(f"a lead of {100 * NEGLIGIBLE:.0f} points or more at the small end is excluded")
    elif status == "undetermined":
        missing = [
            words
            for part, words in ((small, "a lead at the small end"), (contrast, "a shrinking of it"))
            if part.low <= 0
        ]
        reasons.append(
            f"not shown: {' and '.join(missing)}" if missing else "not significant after the correction for all looks"
        )
        size = gap.detectable(level)
        reasons.append(
            f"a lead of {100 * size:.0f} points that is gone at the large end would show"
            if size < 1
            else "these are too few items or training runs to show even the largest lead"
        )
    advantages = np.mean([each.advantages() for each in gap.duels], axis=0)
    return CapacityGap(
        task=gap.task,
        recipe=duel.recipe,
        weaker=duel.weaker,
        stronger=duel.stronger,
        ordered=duel.ordered,
        smallest=duel.students[0],
        largest=duel.students[-1],
        advantages={s: float(a) for s, a in zip(duel.students, advantages, strict=True) if not math.isnan(a)},
        status=status,  # type: ignore[arg-type]
        small_low=small.low,
        small_high=small.high,
        contrast=contrast.value,
        contrast_low=contrast.low,
        contrast_high=contrast.high,
        p=gap.p,
        p_adjusted=p_adjusted,
        mde=gap.detectable(0.05),
        mde_adjusted=gap.detectable(level),
        reasons=tuple(reasons),
    )


def _interval(part: Contrast) -> str:
    return f"{100 * part.value:+.1f} points (95 % interval {100 * part.low:+.1f} to {100 * part.high:+.1f})"


# --- patterns by chance ----------------------------------------------------------------------------


def by_chance(duels: Sequence[Duel], runs: Runs, draws: int = EXCHANGES, seed: int = 0) -> list[ChancePatterns]:
    """Return, per rule, how many of the duels' tasks show a pattern and how many would with equal teachers.

    One training run: the teachers' answers to an item are exchanged at random; several: whole runs are. Accuracies
    without items are drawn anew around the mean of the two (binomial). Duels share students, teachers and recipe.
    """
    rng = np.random.default_rng(seed)
    observed = np.array([duel.advantages() for duel in duels])
    exchanged = np.stack([_exchanged(duel, draws, rng) for duel in duels], axis=1)  # (draws, tasks, sizes)
    halves = np.array([[_half(pair, runs) for pair in duel.arms] for duel in duels])
    first, sizes = duels[0], duels[0].sizes

    def row(rule: str, here: Array, drawn: Array) -> ChancePatterns:
        counts = drawn.sum(axis=1)
        return ChancePatterns(
            rule=rule,
            weaker=first.weaker,
            stronger=first.stronger,
            recipe=first.recipe,
            tasks=len(duels),
            observed=int(here.sum()),
            expected=float(counts.mean()),
            low=int(np.percentile(counts, 5, method="inverted_cdf")),
            high=int(np.percentile(counts, 95, method="inverted_cdf")),
            p=float((counts >= here.sum()).mean()),
        )

    made = [row("intervals", _by_intervals(observed, halves), _by_intervals(exchanged, halves))]
    for rule in CAPACITY_GAP:
        made.append(row(rule, has_pattern(rule, 100 * observed, sizes), has_pattern(rule, 100 * exchanged, sizes)))
    return made


def _by_intervals(advantages: Array, halves: Array) -> Array:
    small, contrast = advantages[..., 0], advantages[..., 0] - advantages[..., -1]
    return (small > halves[:, 0]) & (contrast > np.hypot(halves[:, 0], halves[:, -1]))


def _half(pair: tuple[Arm, Arm], runs: Runs) -> float:
    """Half of the 95 % interval of one advantage."""
    found = estimate([[(pair[0], 1.0), (pair[1], -1.0)]], runs)
    return math.inf if found is None else found.sources.half(0.05)


def _exchanged(duel: Duel, draws: int, rng: Any) -> Array:
    """Advantages, (draws, sizes), as if the two teachers were equal."""
    return np.stack([_exchanged_pair(weak, strong, draws, rng) for weak, strong in duel.arms], axis=1)


def _exchanged_pair(weak: Arm, strong: Arm, draws: int, rng: Any) -> Array:
    if min(weak.scored_runs, strong.scored_runs) > 1:
        first, second = (np.nanmean(arm.scores[:, ~np.isnan(arm.scores).all(axis=0)], axis=0) for arm in (weak, strong))
        order = rng.permuted(np.tile(np.concatenate([first, second]), (draws, 1)), axis=1)
        k = len(first)
        return order[:, :k].mean(axis=1) - order[:, k:].mean(axis=1)
    if weak.items is None:
        share = float(np.mean([weak.accuracy, strong.accuracy]))
        return (rng.binomial(weak.n, share, draws) - rng.binomial(strong.n, share, draws)) / weak.n
    difference = item_means(weak) - item_means(strong)
    difference = difference[~np.isnan(difference)]
    sizes, counts = np.unique(np.abs(difference[difference != 0]), return_counts=True)
    return (2 * rng.binomial(counts, 0.5, size=(draws, len(counts))) - counts) @ sizes / max(1, len(difference))


def sizes_of(students: Mapping[str, float | None]) -> dict[str, float]:
    """Return the students of known size, ascending."""
    return dict(sorted(((s, size) for s, size in students.items() if size is not None), key=lambda pair: pair[1]))
