"""Equality of sets of reals."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from capgap_ray.core.expressions import Item, Node, Reader
from capgap_ray.core.real_sets import MOST_ENDS, same_points


def read(text: str) -> Node:
    (item,) = Reader(text).read()
    return item.value


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (r"(1,2)\cup[2,3)", r"(1,2)\cup(1,3)", True),
        (r"(1,2)\cup(2,3)", r"(1,3)\setminus\{2\}", True),
        (r"(1,2)\cup(2,3)", r"(1,3)\setminus\{5/2\}", False),
        (r"(-\infty,3)\cap(1,\infty)", r"(1,2)\cup[2,3)", True),
        (r"\mathbb{R}\setminus[2,3]", r"(-\infty,2)\cup(3,\infty)", True),
        (r"\mathbb{R}\setminus[2,3)", r"(-\infty,2)\cup(3,\infty)", False),
        (r"(0,\sqrt{8})\setminus\{1\}", r"(0,1)\cup(1,2\sqrt{2})", True),
        (r"(0,\sqrt{8})\setminus\{1\}", r"(0,1)\cup(1,2.828)", False),
        (r"\{1,2\}\cup\{3\}", r"\{1,2,3,4\}\setminus\{4\}", True),
        (r"[3,1]\cup\{2\}", r"\{2\}\cup\{2\}", True),
        (r"(0,a)\cup(a,1)", r"(0,1)\setminus\{a\}", None),
        (r"(0,1)\cup(1,i)", r"(0,1)\cup(1,2)", None),
        (r"(1,2,3)\cup\{4\}", r"\{4\}\cup(1,2,3)", None),
    ],
)
def test_same_points(left: str, right: str, same: bool | None) -> None:
    assert same_points(read(left), read(right)) is same


_NUMBER = st.integers(-3, 3).map(lambda value: ("num", Fraction(value)))
_PIECE = st.one_of(
    st.builds(
        lambda ends, low, high: ("group", low, high, tuple(Item(end) for end in ends)),
        st.tuples(_NUMBER, _NUMBER), st.sampled_from("(["), st.sampled_from(")]"),
    ),
    st.lists(_NUMBER, max_size=3).map(lambda values: ("set", tuple(Item(value) for value in values))),
)  # fmt: skip
_SET = st.recursive(
    _PIECE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: ("union", tuple(parts))),
        st.tuples(st.sampled_from(["minus", "cap"]), inner, inner),
    ),
    max_leaves=5,
)


def holds(node: Node, point: Fraction) -> bool:
    if node[0] == "group":
        low, high = (item.value[1] for item in node[3])
        return low < point < high or (
            low <= high and ((point == low and node[1] == "[") or (point == high and node[2] == "]"))
        )
    if node[0] == "set":
        return any(item.value[1] == point for item in node[1])
    if node[0] == "union":
        return any(holds(part, point) for part in node[1])
    if node[0] == "minus":
        return holds(node[1], point) and not holds(node[2], point)
    return holds(node[1], point) and holds(node[2], point)


def ends(node: Node) -> int:
    if node[0] in ("group", "set"):
        return len(node[-1])
    return sum(map(ends, node[1] if node[0] == "union" else node[1:]))


@given(_SET, _SET)
def test_sets_are_the_same_where_all_points_are(left: Node, right: Node) -> None:
    assume(ends(left) + ends(right) <= MOST_ENDS)
    points = [Fraction(half, 2) for half in range(-8, 9)]  # ends are whole
    assert same_points(left, right) is all(holds(left, point) == holds(right, point) for point in points)
