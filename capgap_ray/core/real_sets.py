"""Are two sets of real numbers the same? Unions, meets and differences of intervals and points.

All ends of both sets cut the line into points and the gaps between them, and each set either holds such a piece whole
or not at all; so two sets are the same where they hold the same pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

from capgap_ray.core.expressions import Item, Node
from capgap_ray.core.values import infinity_sign, order

MOST_ENDS = 24
"""Of both sets together; more are not looked at."""


class _Unknown(ValueError):
    """Not a set of reals whose ends can be put in order."""


def same_points(left: Node, right: Node) -> bool | None:
    """Return whether two sets hold the same reals; None: one is no such set, or their ends cannot be compared."""
    try:
        ends = _in_order([*_ends(left), *_ends(right)])
        return all(_holds(left, piece, ends) == _holds(right, piece, ends) for piece in range(2 * len(ends) + 1))
    except _Unknown:
        return None


def _ends(node: Node) -> Iterator[Node]:
    """Yield the finite ends of a set's intervals, and its single points."""
    kind = node[0]
    if kind == "group" and len(node[3]) == 2 and node[1] in "([" and node[2] in ")]":
        yield from (_bare(item) for item in node[3] if not infinity_sign(item.value))
    elif kind == "set":
        yield from (_bare(item) for item in node[1])
    elif kind == "union":
        for part in node[1]:
            yield from _ends(part)
    elif kind in ("minus", "cap"):
        yield from _ends(node[1])
        yield from _ends(node[2])
    elif node != ("sym", "set of R"):
        raise _Unknown


def _bare(item: Item) -> Node:
    if item.label or item.unit:
        raise _Unknown
    return item.value


def _in_order(ends: list[Node]) -> list[list[Node]]:
    """Return the ends from low to high, equal ones together."""
    if len(ends) > MOST_ENDS:
        raise _Unknown
    found: list[list[Node]] = []
    for end in ends:
        for index, (alike, *_) in enumerate(found):
            sign = order(end, alike)
            if sign is None:
                raise _Unknown
            if sign == 0:
                found[index].append(end)
                break
            if sign < 0:
                found.insert(index, [end])
                break
        else:
            if order(end, end) is None:
                raise _Unknown
            found.append([end])
    return found


def _holds(node: Node, piece: int, ends: list[list[Node]]) -> bool:
    """Return whether a set holds a piece of the line: the end of index i is piece 2i + 1, between them are gaps."""
    kind = node[0]
    if kind == "group":
        low, high = (_piece(item.value, ends) for item in node[3])
        within = low < piece < high
        return within or (low <= high and ((piece == low and node[1] == "[") or (piece == high and node[2] == "]")))
    if kind == "set":
        return any(piece == _piece(item.value, ends) for item in node[1])
    if kind == "union":
        return any(_holds(part, piece, ends) for part in node[1])
    if kind == "minus":
        return _holds(node[1], piece, ends) and not _holds(node[2], piece, ends)
    if kind == "cap":
        return _holds(node[1], piece, ends) and _holds(node[2], piece, ends)
    return True  # the real line


def _piece(end: Node, ends: list[list[Node]]) -> int:
    if sign := infinity_sign(end):
        return -1 if sign < 0 else 2 * len(ends) + 1
    return next(2 * index + 1 for index, alike in enumerate(ends) if end in alike)
