"""Numbers known before training that claim to say which teacher will help most, held against the measured gains.

Published advice conflicts (data yield, the few-shot gap, short traces, how likely the student finds the trace), so
each is judged on the cells at hand: its rank correlation with the gains, and the regret of choosing by it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from capgap_ray.records import Estimated, ProxyLead, ProxyQuality

Cell = tuple[str, str, str]
"""(task, student, teacher)."""
PREFERENCE: Mapping[str, Literal["higher", "lower"]] = {
    "few-shot gap": "higher",
    "yield": "higher",
    "mean trace length": "lower",
    "student loss": "lower",
    "trace rank": "lower",
    "trace surprisal": "lower",
    "rank-surprisal ratio": "lower",
}
"""Which way each proxy prefers teachers. Few-shot gap: teacher minus student accuracy. Yield: training rows kept.
Mean trace length: tokens. Loss, rank and surprisal of the traces under the untouched student, and the ratio of the
last two: `core/surprisal.py`."""
BEST_PUBLISHED = "rank-surprisal ratio"
"""The proxy with the highest published correlation with the gains; see `core/surprisal.py`."""
_Z95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherPart:
    """One teacher's part in a mixture's value of a proxy."""

    share: float
    """Of the mixture; those of one mixture sum to one."""
    source: str
    """What was measured: equal for parts with one and the same measurement behind them."""
    measured: Estimated


Parts = Mapping[Cell, Sequence[TeacherPart]]
"""Of one proxy: cell -> its mixture's parts. A mixture's value is their mean by share."""


def value_of(parts: Sequence[TeacherPart]) -> float:
    """Return a mixture's value."""
    return math.fsum(part.share * part.measured.value for part in parts)


def leads(proxies: Mapping[str, Parts]) -> tuple[ProxyLead, ...]:
    """Return, per student and proxy, which teacher the proxy prefers, over the tasks on which all have a value.

    Students with fewer than two teachers have no choice, hence no lead. Differences count what two mixtures have in
    common once; measurements of two teachers are taken as independent, so that intervals are somewhat too wide
    where both wrote about the same items. Raises ValueError for a proxy that PREFERENCE does not know.
    """
    found = []
    for proxy, parts in proxies.items():
        by_student: defaultdict[str, defaultdict[str, dict[str, Sequence[TeacherPart]]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for (task, student, teacher), of_cell in parts.items():
            by_student[student][teacher][task] = of_cell
        for student, teachers in by_student.items():
            tasks = sorted(set.intersection(*(set(of_teacher) for of_teacher in teachers.values())))
            if len(teachers) > 1 and tasks:
                whole = {t: _over_tasks([of_teacher[task] for task in tasks]) for t, of_teacher in teachers.items()}
                found.append(_lead(student, proxy, len(tasks), whole))
    return tuple(sorted(found, key=lambda lead: lead.student))


def _over_tasks(cells: Sequence[Sequence[TeacherPart]]) -> list[TeacherPart]:
    """The parts of the mean over tasks; a source's measurements on two tasks are two."""
    return [
        TeacherPart(share=part.share / len(cells), source=f"{number} {part.source}", measured=part.measured)
        for number, cell in enumerate(cells)
        for part in cell
    ]


def _lead(student: str, proxy: str, tasks: int, teachers: Mapping[str, Sequence[TeacherPart]]) -> ProxyLead:
    prefers = _preference(proxy)
    turn = 1 if prefers == "higher" else -1
    values = {teacher: Estimated(value=value_of(parts), error=_error(parts)) for teacher, parts in teachers.items()}
    best = max(turn * each.value for each in values.values())
    leaders = [teacher for teacher, each in values.items() if turn * each.value == best]
    leader = leaders[0] if len(leaders) == 1 else None
    return ProxyLead(
        student=student,
        proxy=proxy,
        prefers=prefers,
        tasks=tasks,
        values=values,
        leader=leader,
        sure=leader is not None
        and all(_differs(teachers[leader], parts) for name, parts in teachers.items() if name != leader),
    )


def _differs(first: Sequence[TeacherPart], second: Sequence[TeacherPart]) -> bool:
    """Whether the 95 % interval of the difference of two values excludes zero."""
    negative = [TeacherPart(share=-part.share, source=part.source, measured=part.measured) for part in second]
    error = _error([*first, *negative])
    return error is not None and abs(value_of(first) - value_of(second)) > _Z95 * error


def _error(parts: Sequence[TeacherPart]) -> float | None:
    """The standard error of the weighted sum; None where that of a part of it is not known."""
    shares: defaultdict[str, float] = defaultdict(float)
    errors = {part.source: part.measured.error for part in parts}
    for part in parts:
        shares[part.source] += part.share
    known = [(share, errors[source]) for source, share in shares.items() if not math.isclose(share, 0, abs_tol=1e-12)]
    if any(error is None for _, error in known):
        return None
    return math.sqrt(math.fsum((share * (error or 0.0)) ** 2 for share, error in known))


def _preference(proxy: str) -> Literal["higher", "lower"]:
    if proxy not in PREFERENCE:
        raise ValueError(f"proxy {proxy!r} is unknown; known: {', '.join(PREFERENCE)}")
    return PREFERENCE[proxy]


def judge_proxies(proxies: Mapping[str, Mapping[Cell, float]], gains: Mapping[Cell, float]) -> tuple[ProxyQuality, ...]:
    """Return the quality of each proxy on the cells that have both; gains in shares.

    Raises ValueError for a proxy that PREFERENCE does not know.
    """
    return tuple(_judge(name, values, gains) for name, values in proxies.items())


def _judge(name: str, values: Mapping[Cell, float], gains: Mapping[Cell, float]) -> ProxyQuality:
    prefers = _preference(name)
    turn = 1 if prefers == "higher" else -1
    signed = {cell: turn * value for cell, value in values.items() if cell in gains}
    choices: dict[tuple[str, str], list[Cell]] = {}
    for cell in signed:
        choices.setdefault(cell[:2], []).append(cell)
    real = [cells for cells in choices.values() if len(cells) > 1]
    correlation, p = _spearman([signed[cell] for cell in signed], [gains[cell] for cell in signed])
    return ProxyQuality(
        proxy=name,
        prefers=prefers,
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
