"""Spelt numbers in figures."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.core.number_words import NUMBER_WORDS, in_figures, signed

_ONES = list(NUMBER_WORDS)[:20]
_TENS = ["", "", *list(NUMBER_WORDS)[20:]]


def spelt(number: int, joint: str) -> str:
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            between = joint if size == 100 else " "
            return f"{spelt(number // size, joint)} {name}" + (between + spelt(rest, joint) if rest else "")
    raise AssertionError


@given(st.integers(20, 10**12 - 1), st.sampled_from([" ", " and "]))
def test_a_spelt_number_of_several_words_is_read(number: int, joint: str) -> None:
    words = spelt(number, joint)
    assert in_figures(f"in all {words} of them") == (
        f"in all {number} of them" if " " in words or "-" in words else f"in all {words} of them"
    )


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("one half", "1/2"),
        ("two-thirds of it", "2/3 of it"),
        ("a third", "1/3"),
        ("two and a half hours", "2.5 hours"),
        ("one hundred and three quarters", "100.75"),
        ("two and two thirds", "8/3"),
        ("3 quarters", "3/4"),
        ("twelve hundred", "1200"),
    ],
)
def test_fractions(text: str, figures: str) -> None:
    assert in_figures(text) == figures


@pytest.mark.parametrize(
    "text",
    ["three", "three four", "two and three", "twenty and five", "hundred", "five million two million", "12 quarters",
     "three and four thirds", "one second", "someone halves", "twenty-first"],
)  # fmt: skip
def test_what_is_no_number_stays(text: str) -> None:
    assert in_figures(text) == text


@pytest.mark.parametrize(
    ("text", "figures"),
    [("minus fifty", "-50"), ("Negative five apples", "-5 apples"), ("minus $5", "-$5"), ("5 minus 3", "5 minus 3"),
     ("negative numbers", "negative numbers")],
)  # fmt: skip
def test_signs(text: str, figures: str) -> None:
    assert signed(text) == figures


@pytest.mark.parametrize("piece", ["two and ", "one hundred ", "two-", "a half ", "two and two thirds and "])
def test_time_is_bounded_on_a_long_run(piece: str) -> None:
    start = time.perf_counter()
    in_figures(piece * 500)
    assert time.perf_counter() - start < 1
