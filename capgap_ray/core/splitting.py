"""Which items train and which test."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def split(questions: Sequence[str], train: int, test: int, seed: int) -> tuple[list[int], list[int]]:
    """Return (train, test) positions into `questions`, disjoint, each in a seeded random order.

    Items with equal text stay on one side: a duplicated input never straddles the split.
    The test part is drawn first, so it stays the same when only `train` grows.
    Raises ValueError if there are fewer items than `train + test`.
    """
    groups: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault(" ".join(question.split()), []).append(index)
    order = list(groups.values())
    Random(f"split/{seed}").shuffle(order)
    parts: tuple[list[int], list[int]] = ([], [])
    for group in order:
        chosen = 1 if len(parts[1]) + len(group) <= test else 0
        parts[chosen].extend(group)
    if len(parts[0]) < train or len(parts[1]) < test:
        raise ValueError(
            f"split: train {train} + test {test} needs {train + test} items, the task has {len(questions)}"
        )
    return parts[0][:train], parts[1]
