"""Numbers known before training that claim to say which teacher will help most, held against the measured gains.

Published advice conflicts (data yield, the few-shot gap, short traces, how likely the student finds the trace), so
each is judged on the cells at hand: its rank correlation with the gains, and the regret of choosing by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Literal

from capgap_ray.records import ProxyQuality

Cell = tuple[str, str, str]
"""(task, student, teacher)."""
PREFERENCE: Mapping[str, Literal["higher", "lower"]] = {
    "few-shot gap": "higher",
    "yield": "higher",
    "mean trace length": "lower",
    "student loss": "lower",
    "trace rank": "lower",
    "trace surprisal": "lower",
}
"""Which way each proxy prefers teachers. Few-shot gap: teacher minus student accuracy. Yield: training rows kept.
Mean trace length: tokens. Student loss, rank and surprisal of the traces under the untouched student: hooks, for
whoever computes them; nothing here does."""


def judge_proxies(proxies: Mapping[str, Mapping[Cell, float]], gains: Mapping[Cell, float]) -> tuple[ProxyQuality, ...]:
    """Return the quality of each proxy on the cells that have both; gains in shares.

    Raises ValueError for a proxy that PREFERENCE does not know.
    """
    return tuple(_judge(name, values, gains) for name, values in proxies.items())


def _judge(name: str, values: Mapping[Cell, float], gains: Mapping[Cell, float]) -> ProxyQuality:
    if name not in PREFERENCE:
        raise ValueError(f"proxy {name!r} is unknown; known: {', '.join(PREFERENCE)}")
    turn = 1 if PREFERENCE[name] == "higher" else -1
    signed = {cell: turn * value for cell, value in values.items() if cell in gains}
    choices: dict[tuple[str, str], list[Cell]] = {}
    for cell in signed:
        choices.setdefault(cell[:2], []).append(cell)
    real = [cells for cells in choices.values() if len(cells) > 1]
    correlation, p = _spearman([signed[cell] for cell in signed], [gains[cell] for cell in signed])
    return ProxyQuality(
        proxy=name,
        prefers=PREFERENCE[name],
        cells=len(signed),
        rank_correlation=correlation,
        p=p,
        choices=len(real),
        regret=fmean(_regret(cells, signed, gains) for cells in real) if real else None,
        regret_of_chance=(
            fmean(max(gains[c] for c in cells) - fmean(gains[c] for c in cells) for cells in real) if real else None
        ),
    )


def _regret(cells: list[Cell], signed: Mapping[Cell, float], gains: Mapping[Cell, float]) -> float:
    """What is lost by the proxy's choice; a tie is decided at random, so it costs the mean."""
    best = max(signed[cell] for cell in cells)
    return max(gains[cell] for cell in cells) - fmean(gains[cell] for cell in cells if signed[cell] == best)


def _spearman(proxy: list[float], gain: list[float]) -> tuple[float | None, float | None]:
    if len(proxy) < 3 or len(set(proxy)) < 2 or len(set(gain)) < 2:
        return None, None
    import numpy as np
    from scipy.stats import rankdata

    first, second = (rankdata(values) for values in (proxy, gain))
    first, second = ((ranks - ranks.mean()) / np.linalg.norm(ranks - ranks.mean()) for ranks in (first, second))
    correlation = float(first @ second)
    drawn = np.random.default_rng(0).permuted(np.tile(second, (1999, 1)), axis=1) @ first
    return correlation, float((np.abs(drawn) >= abs(correlation) - 1e-12).sum() + 1) / 2000
