"""Axes of the grid: which dotted fields may vary between cells, and which cells they span.

A field that changes what is measured (the judge, the test prompt, sampling, ...) is no axis: cells that were
measured differently cannot be compared, whatever their recipes are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MEASURED_WITH = ("judge", "prompt", "sampling", "engine", "parity", "tasks", "data", "selection")
"""Heads of the fields that say how and on what models are measured."""
RUNS_ON = ("resources", "budget")
WHOLE = ("student", "mixture", "teacher")
"""Axes that are no dotted field: names out of `students`, `mixtures` and `teachers`."""
OPEN = ("sft", "filter")
"""Sections whose every field may be an axis; and of `split` the seed."""


def check_axis(axis: str, where: str = "axes") -> None:
    """Raise ValueError, naming the axis, unless cells that differ in it can be compared."""
    head, _, rest = axis.partition(".")
    if axis in WHOLE or axis == "split.seed" or (head in OPEN and rest):
        return
    if head in MEASURED_WITH:
        raise ValueError(
            f"{where}: {axis!r} would change what is measured, so its cells could not be compared; "
            f"make it an experiment of its own"
        )
    if head in RUNS_ON:
        raise ValueError(f"{where}: {axis!r} says where things run and changes no result; set it once")
    known = f"{', '.join(WHOLE)}, split.seed, or a field of {' or '.join(OPEN)} such as sft.batch"
    raise ValueError(f"{where}: {axis!r} is no axis; axes are {known}")


def expand(
    points: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Sequence[Any]],
    implied: Mapping[str, Sequence[Any]],
    max_cells: int,
) -> list[dict[str, Any]]:
    """Return the cells, each as axis -> value: every listed point (one empty one if none) times the axes' product.

    `implied` axes come first, for those points that do not name them; the last axis varies fastest. Raises
    ValueError on an axis without values or with one twice, on an empty or repeated point, on a field that is both
    an axis and part of a point, and on more than `max_cells` cells.
    """
    for axis, values in axes.items():
        if not values:
            raise ValueError(f"axes: {axis!r} has no values")
        refuse_duplicates(f"axes.{axis}", [str(value) for value in values])
    for number, point in enumerate(points, 1):
        if not point:
            raise ValueError(f"points: number {number} is empty; name at least one axis, such as {{sft.batch: 2x1}}")
        if both := next((axis for axis in point if axis in axes), None):
            raise ValueError(f"points: {both!r} of number {number} is also in axes; name it in one of them")
    refuse_duplicates("points", [", ".join(sorted(f"{axis} {value}" for axis, value in p.items())) for p in points])
    bases: Sequence[Mapping[str, Any]] = points or [{}]
    spans = [{axis: v for axis, v in {**implied, **axes}.items() if axis not in base} for base in bases]
    cells = sum(math.prod(len(values) for values in span.values()) for span in spans)
    if cells > max_cells:
        raise ValueError(f"axes: {cells:,} cells are more than max_cells ({max_cells:,}); raise it, or cut an axis")
    return [
        {**base, **dict(zip(span, values, strict=True))}
        for base, span in zip(bases, spans, strict=True)
        for values in itertools.product(*span.values())
    ]


def refuse_duplicates(field: str, values: Iterable[str]) -> None:
    """Raise ValueError, naming the field, if a value occurs twice."""
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{field}: {value!r} occurs twice")
        seen.add(value)
