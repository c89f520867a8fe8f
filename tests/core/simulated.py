"""Simulated experiments with known truth, as tables of arms."""

from __future__ import annotations

from typing import Any

import numpy as np

from capgap_ray.core.arms import UNTOUCHED, Arm
from capgap_ray.core.findings import Table


def arm(
    task: str,
    student: str,
    teacher: str,
    scores: Any,
    *,
    recipe: str = "",
    items: Any = None,
    **other: Any,
) -> Arm:
    """An arm from scores of (items,) or (items, runs)."""
    table = np.asarray(scores, float)
    table = table[:, None] if table.ndim == 1 else table
    return Arm(
        task=task,
        student=student,
        teacher=teacher,
        recipe=recipe,
        scores=table,
        runs=tuple(str(run) for run in range(table.shape[1])),
        items=np.arange(len(table)) if items is None else np.asarray(items),
        n=len(table),
        **other,
    )


def experiment(
    rng: np.random.Generator,
    *,
    tasks: int = 3,
    students: tuple[float, ...] = (0.5, 1.5, 3.0),
    items: int = 80,
    runs: int = 1,
    samples: int = 1,
    gain: float = 0.15,
    lead: float = 0.0,
    small_lead: float = 0.0,
    between_items: float = 0.9,
    between_runs: float = 0.0,
    unscored: float = 0.0,
) -> Table:
    """Two teachers, `weak` and `strong`.

    Every distilled student gains `gain` in truth; with `weak` it gains `lead` more, and the smallest student
    `small_lead` more still. Items differ in difficulty, by `between_items` standard deviations on the probit scale,
    which all arms share. Runs differ by `between_runs` in accuracy. All that is a share.
    """
    from scipy.special import ndtr

    arms = []
    for task in range(tasks):
        difficulty = rng.normal(0, between_items, items)
        for rank, size in enumerate(students):
            chance = 0.05 + 0.5 * ndtr(difficulty - 0.5 + 0.5 * rank)
            for teacher, more in (
                ("", 0.0),
                ("weak", gain + lead + (small_lead if rank == 0 else 0.0)),
                ("strong", gain),
            ):
                columns = []
                for _ in range(runs if teacher else 1):
                    p = chance + more + (rng.normal(0, between_runs) if teacher else 0.0)
                    columns.append((rng.random((samples, items)) < p).mean(axis=0))
                scores = np.array(columns).T
                scores[rng.random(scores.shape) < unscored] = np.nan
                arms.append(arm(f"task {task}", f"{size}B", teacher or UNTOUCHED, scores, grain=1 / samples))
    return Table(arms=tuple(arms), rows=0, sizes={f"{size}B": size for size in students})
