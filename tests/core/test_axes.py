"""Axes and listed points become cells; what may not vary is refused by name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.core.axes import check_axis, expand, refuse_duplicates

AXES = st.dictionaries(
    st.sampled_from(["sft.batch", "sft.seed", "sft.epochs", "mixture"]),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
    max_size=4,
)


@given(AXES)
def test_the_product_is_whole_and_without_repeats(axes: dict[str, list[int]]) -> None:
    cells = expand((), axes, {}, 10_000)
    assert len(cells) == math.prod(len(values) for values in axes.values())
    assert len({str(sorted(cell.items())) for cell in cells}) == len(cells)
    assert all(cell[axis] in values for cell in cells for axis, values in axes.items())


def test_the_last_axis_varies_fastest_and_implied_ones_come_first() -> None:
    cells = expand((), {"a": [1, 2], "b": [3, 4]}, {"student": ["s", "t"]}, 100)
    assert [tuple(cell.values()) for cell in cells[:5]] == [
        ("s", 1, 3),
        ("s", 1, 4),
        ("s", 2, 3),
        ("s", 2, 4),
        ("t", 1, 3),
    ]


def test_a_point_takes_the_place_of_implied_axes_that_it_names() -> None:
    cells = expand([{"student": "s"}, {"b": 1}], {"a": [1, 2]}, {"student": ["s", "t"]}, 100)
    assert len(cells) == 2 + 2 * 2


def test_the_limit_is_known_before_anything_is_expanded() -> None:
    axes = {f"sft.{letter}": list(range(10)) for letter in "abcdefghijklmnop"}
    with pytest.raises(ValueError, match=r"10,000,000,000,000,000 cells are more than max_cells \(10,000\)"):
        expand((), axes, {}, 10_000)


@pytest.mark.parametrize(
    "axis", ["student", "mixture", "teacher", "split.seed", "sft.batch", "sft.lora.rank", "filter.keep", "filter.size"]
)
def test_what_may_vary(axis: str) -> None:
    check_axis(axis)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("judge.model", "would change what is measured"),
        ("judge", "would change what is measured"),
        ("prompt.shots", "would change what is measured"),
        ("sampling.temperature", "would change what is measured"),
        ("engine.dtype", "would change what is measured"),
        ("tasks", "would change what is measured"),
        ("selection.gap_points", "would change what is measured"),
        ("resources.engines", "says where things run"),
        ("budget.gpu_hours", "says where things run"),
        ("split.test", "is no axis"),
        ("sft", "is no axis"),
        ("sft.", "is no axis"),
        ("nonsense", "is no axis"),
        ("", "is no axis"),
    ],
)
def test_what_may_not(axis: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"axes: '{axis}' {message}"):
        check_axis(axis)


def test_duplicates_are_found_in_long_lists_at_once() -> None:
    many = [str(number) for number in range(200_000)]
    refuse_duplicates("x", many)
    with pytest.raises(ValueError, match="x: '7' occurs twice"):
        refuse_duplicates("x", [*many, "7"])
