"""Identity: what enters a step's key and what must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.artifacts.step import Step, canonical_json, unique

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def step(**changes: object) -> Step:
    fields = {"stage": "mix", "version": 1, "params": {"seed": 1, "shares": {"a": 0.5, "b": 0.5}}, "label": "x"}
    return Step(**{**fields, **changes})  # type: ignore[arg-type]


def test_key_is_pinned() -> None:
    # A changed encoder would orphan every store in the world.
    assert step().key == "ee39a0262ae548ba"


def test_label_is_not_identity() -> None:
    assert step().key == step(label="y").key
    assert step() == step(label="y")
    assert len({step(), step(label="y")}) == 1


@pytest.mark.parametrize(
    "change", [{"stage": "train"}, {"version": 2}, {"params": {"seed": 2}}, {"inputs": (Step("a", 1, {}),)}]
)
def test_everything_else_is(change: dict[str, object]) -> None:
    assert step(**change).key != step().key


def test_order_of_parameters_does_not_matter_but_of_inputs_does() -> None:
    assert Step("a", 1, {"x": 1, "y": 2}).key == Step("a", 1, {"y": 2, "x": 1}).key
    one, two = Step("a", 1, {}), Step("b", 1, {})
    assert step(inputs=(one, two)).key != step(inputs=(two, one)).key


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), float("inf"), {1: 2}, b"bytes"])
def test_values_without_a_stable_form_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"value\.here"):
        canonical_json({"here": value})


@given(JSON)
def test_canonical_json_is_ascii_and_stable(value: object) -> None:
    text = canonical_json({"v": value})
    assert text.isascii()
    assert text == canonical_json({"v": value})


@given(st.text())
def test_addresses_are_safe_paths(label: str) -> None:
    address = step(label=label).address
    stage, _, name = address.partition("/")
    assert stage == "mix"
    assert "/" not in name
    assert ".." not in name.split("-")
    assert name.isascii()
    assert name.endswith(step().key)


def test_unique_puts_inputs_first_and_each_once() -> None:
    base = Step("a", 1, {})
    left, right = Step("b", 1, {}, (base,)), Step("c", 1, {}, (base,))
    assert unique([left, right, left]) == [base, left, right]
