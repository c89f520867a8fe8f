"""Budget: rows, batch size, accumulation and epochs become optimizer updates and learning rates.

The number of updates is what the paper's appendix B is about: at equal epochs a ten times larger batch
makes ten times fewer updates, which can look like a worse data mixture.
"""

from __future__ import annotations

import bisect
import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
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


@functools.lru_cache(maxsize=4096)
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
    """Return [worker][micro-step] -> row indexes, at most `per_device` each: the usual round-robin split.

    All workers have the same number of micro-steps, because ZeRO-3 gathers parameters collectively; in
    the last one rows are spread evenly, so that lists may differ by one row and may be empty. The trainer
    must still run an empty micro-step (with zero loss), and divide by the update's tokens over all
    workers, not by the worker's own. Raises ValueError for workers or per_device below 1.
    """
    _require(workers=workers, per_device=per_device)
    width = workers * per_device
    steps = [update[start : start + width] for start in range(0, len(update), width)]
    return [[step[worker::workers] for step in steps] for worker in range(workers)]


def balance_update(
    update: list[int], lengths: Sequence[int], workers: int, per_device: int, cutoff: int
) -> list[list[list[int]]]:
    """Return [worker][micro-step] -> row indexes, so that all workers have about as many tokens to compute.

    For a loss that weights all tokens of an update alike, which worker and micro-step a row is in changes nothing
    but the time. Rows go, longest first, to the worker with the fewest tokens; then each worker's
    rows are laid into as few micro-steps as hold no more than `per_device` rows of `cutoff` tokens would: the memory
    that the batch size asks for anyway. `lengths`: tokens of every row, none above `cutoff`. All workers have
    the same number of micro-steps, some possibly empty. Raises ValueError for counts below 1.
    """
    _require(workers=workers, per_device=per_device, cutoff=cutoff)
    shares: list[list[int]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for row in sorted(update, key=lambda row: -lengths[row]):
        worker = min(range(workers), key=loads.__getitem__)
        shares[worker].append(row)
        loads[worker] += lengths[row]
    split = [_micro_steps(share, lengths, per_device * cutoff) for share in shares]
    most = max(map(len, split))
    return [[*steps, *([] for _ in range(most - len(steps)))] for steps in split]


def _micro_steps(rows: list[int], lengths: Sequence[int], limit: int) -> list[list[int]]:
    steps: list[list[int]] = []
    held = limit
    for row in rows:
        if held + lengths[row] > limit:
            steps.append([])
            held = 0
        steps[-1].append(row)
        held += lengths[row]
    return steps


def hold_out(rows: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return (training, validation) row indexes: ceil(share x rows) seeded ones are held out, none for a share of 0.

    Raises ValueError if nothing is left to train on.
    """
    held = math.ceil(share * rows)
    if held >= rows:
        raise ValueError(f"validation.share: {share:g} holds out {held} of {rows} rows and leaves none to train on")
    chosen = set(random.Random(seed).sample(range(rows), held))
    return [row for row in range(rows) if row not in chosen], sorted(chosen)


def pack(lengths: Sequence[int], cutoff: int) -> list[list[int]]:
    """Return packs of row indexes with at most `cutoff` tokens each, as LLaMA-Factory's greedy knapsack makes them.

    Again and again a pack takes the longest row that still fits (`data/processor/processor_utils.py`). Theirs works
    within map batches of at most 1,000 rows, this on all rows at once. Raises ValueError if a row is longer than the
    cut-off.
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])  # shortest first, equal ones in order
    keys = [lengths[row] for row in order]
    if keys and keys[-1] > cutoff:
        raise ValueError(f"row {order[-1]} has {keys[-1]} tokens and fits in no pack of {cutoff}")
    packs = []
    while order:
        left, members = cutoff, []
        while at := bisect.bisect_right(keys, left):
            members.append(order.pop(at - 1))
            left -= keys.pop(at - 1)
        packs.append(members)
    return packs


@dataclass(frozen=True, slots=True, kw_only=True)
class StateBytes:
    """What ZeRO-3 keeps on every worker between micro-steps, in bytes; activations and gathered layers come on top."""

    parameters: int
    gradients: int
    optimizer: int
    """fp32 master weights and AdamW's two moments."""

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.optimizer


def zero3_bytes(parameters: int, trainable: int, workers: int, bits: Literal[16, 32]) -> StateBytes:
    """Bytes per worker of a model's partitioned state; `bits` is the width of the weights that compute.

    Gradients are kept in the width of the weights, masters and moments (of trainable weights only) in fp32; DeepSpeed
    keeps masters beside fp32 weights, too. Padding of each tensor to a multiple of `workers` is not counted.
    """
    _require(parameters=parameters, workers=workers)
    width = bits // 8
    return StateBytes(
        parameters=width * parameters // workers,
        gradients=width * trainable // workers,
        optimizer=12 * trainable // workers,
    )


def _require(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
