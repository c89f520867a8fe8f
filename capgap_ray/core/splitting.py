"""Which items train and which test."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from random import Random


def part_sizes(items: int, train: int | None, test: int | None) -> tuple[int, int]:
    """Return (train, test) with what is None filled in: test is ceil(0.4 items), the paper's 3:2; train is the rest.

    Raises ValueError if a part is empty or both together are more than there is.
    """
    test = math.ceil(0.4 * items) if test is None else test
    train = items - test if train is None else train
    if train < 1 or test < 1 or train + test > items:
        raise ValueError(f"split: train {train} + test {test} cannot be cut from {items} items")
    return train, test


def fold_sizes(items: int, folds: int) -> list[int]:
    """Test items per fold, as equal as can be, larger ones first. Raises ValueError if a fold would be empty."""
    if not 2 <= folds <= items:
        raise ValueError(f"split.crossfit: {folds} folds of {items} items; give 2 to {items}")
    return [items // folds + (fold < items % folds) for fold in range(folds)]


def bare(question: str, template: str) -> str:
    """The item's own text in a question that the Jinja template made: without the template's head and tail, and with
    single spaces. Two tasks can ask for the same problem in other words."""
    head, tail = [*re.split(r"\{[{%].*[}%]\}", template, maxsplit=1, flags=re.DOTALL), ""][:2]
    return _spaced(question).removeprefix(_spaced(head)).removesuffix(_spaced(tail)).strip()


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _groups(questions: Sequence[str]) -> list[list[int]]:
    """Positions of equal texts (white space aside) together, in order of first occurrence."""
    groups: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault(_spaced(question), []).append(index)
    return list(groups.values())


def split(questions: Sequence[str], train: int, test: int, seed: int) -> tuple[list[int], list[int]]:
    """Return (train, test) positions into `questions`, disjoint, each in a seeded random order.

    Items with equal text stay on one side: a duplicated input never straddles the split.
    The test part is drawn first, so it stays the same when only `train` grows.
    Raises ValueError if there are fewer items than `train + test`.
    """
    order = _groups(questions)
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


def crossfit(questions: Sequence[str], folds: int, seed: int) -> list[tuple[list[int], list[int]]]:
    """Return (train, test) positions per fold: every item is tested once and trains in all other folds.

    Items with equal text share a fold. Raises ValueError if the folds cannot have their `fold_sizes`.
    """
    sizes = fold_sizes(len(questions), folds)
    order = _groups(questions)
    Random(f"crossfit/{seed}").shuffle(order)
    tests: list[list[int]] = [[] for _ in sizes]
    for group in sorted(order, key=len, reverse=True):  # duplicates first, while every fold has room for them
        room = [size - len(test) for size, test in zip(sizes, tests, strict=True)]
        fold = room.index(max(room))
        if len(group) > room[fold]:
            raise ValueError(f"split.crossfit: {len(group)} equal questions do not fit into one of {folds} folds")
        tests[fold].extend(group)
    fold_of = {index: fold for fold, test in enumerate(tests) for index in test}
    shuffled = [index for group in order for index in group]
    return [([index for index in shuffled if fold_of[index] != fold], test) for fold, test in enumerate(tests)]
