"""Budget: rows, batch size, accumulation and epochs become optimizer updates and learning rates.

The number of updates is what the paper's appendix B is about: at equal epochs a ten times larger batch
makes ten times fewer updates, which can look like a worse data mixture.
"""

from __future__ import annotations

import math
import random
from typing import Literal

Schedule = Literal["cosine", "linear", "constant"]


def learning_rate_at(update: int, total: int, peak: float, warmup: int, schedule: Schedule) -> float:
    """Return the learning rate of the 0-based `update` of `total`, with Hugging Face's formulas.

    Linear warm-up over `warmup` updates (the first of which has rate 0), then half a cosine or a line
    towards 0 at `total`, or `peak` throughout (`transformers.optimization.get_*_schedule_with_warmup`).
    """
    if update < warmup:
        return peak * update / max(1, warmup)
    done = (update - warmup) / max(1, total - warmup)
    if schedule == "cosine":
        return peak * max(0.0, 0.5 * (1 + math.cos(math.pi * done)))
    if schedule == "linear":
        return peak * max(0.0, 1 - done)
    if schedule == "constant":
        return peak
    raise ValueError(f"schedule must be cosine, linear or constant, got {schedule!r}")


def lr_integral(total: int, peak: float, warmup: int, schedule: Schedule) -> float:
    """Return the sum of the learning rate over all `total` updates."""
    return math.fsum(learning_rate_at(update, total, peak, warmup, schedule) for update in range(total))


def count_updates(rows: int, samples_per_update: int, epochs: int) -> int:
    """Return the number of optimizer updates: every epoch ends with an update of what is left."""
    _require(rows=rows, samples_per_update=samples_per_update, epochs=epochs)
    return epochs * math.ceil(rows / samples_per_update)


def batches(rows: int, samples_per_update: int, epochs: int, seed: int) -> list[list[int]]:
    """Return the row indexes of every update: per epoch one seeded permutation, cut into updates.

    The last update of an epoch may be smaller. It is never padded by repeating rows, as Hugging Face's
    and so the ancestor's sampler does: every row counts exactly once per epoch. Raises ValueError for
    arguments below 1.
    """
    _require(rows=rows, samples_per_update=samples_per_update, epochs=epochs)
    order = random.Random(seed)
    updates = []
    for _ in range(epochs):
        epoch = list(range(rows))
        order.shuffle(epoch)
        updates += [epoch[start : start + samples_per_update] for start in range(0, rows, samples_per_update)]
    return updates


def split_update(update: list[int], workers: int, per_device: int) -> list[list[list[int]]]:
    """Return [worker][micro-step] -> row indexes, at most `per_device` each.

    All workers have the same number of micro-steps, because ZeRO-3 gathers parameters collectively; in
    the last one rows are spread evenly, so that lists may differ by one row and may be empty. The trainer
    must still run an empty micro-step (with zero loss), and divide by the update's tokens over all
    workers, not by the worker's own. Raises ValueError for workers or per_device below 1.
    """
    _require(workers=workers, per_device=per_device)
    width = workers * per_device
    steps = [update[start : start + width] for start in range(0, len(update), width)]
    return [[step[worker::workers] for step in steps] for worker in range(workers)]


def _require(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
