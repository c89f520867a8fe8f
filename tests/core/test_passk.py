"""avg@k, pass@k and maj@k against brute force, and what unscored samples do to them."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.passk import Sample, avg_at_k, k_samples, maj_at_k, pass_at_k, unbiased_pass_at_k

RIGHT, WRONG, UNSCORED, NONE = Sample("5", 1.0), Sample("6", 0.0), Sample("x", None), Sample(None, 0.0)


def never(item: str, left: str, right: str) -> bool:
    return False


def numerically(item: str, left: str, right: str) -> bool:
    return float(left) == float(right)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(scores: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(scores)))
    brute = fmean(any(subset) for subset in combinations(scores, k))
    assert unbiased_pass_at_k(len(scores), sum(scores), k) == pytest.approx(brute)


@pytest.mark.parametrize(("n", "right", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1), (0, 0, 0)])
def test_pass_at_k_outside_its_definition(n: int, right: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k}"):
        unbiased_pass_at_k(n, right, k)


ITEMS = st.lists(
    st.lists(st.sampled_from("0123"), min_size=4, max_size=4).map(
        lambda row: [Sample(a, float(a == "0")) for a in row]
    ),
    min_size=2,
    max_size=6,
).map(lambda rows: {str(index): row for index, row in enumerate(rows)})


@settings(deadline=None)
@given(ITEMS)
def test_all_metrics_against_brute_force(items: dict[str, list[Sample]]) -> None:
    def votes(row: list[Sample]) -> float:
        counts = Counter(sample.answer for sample in row)
        top = [answer for answer, count in counts.items() if count == max(counts.values())]
        return float("0" in top) / len(top)

    made = k_samples(items, never)
    means = {
        "avg": [fmean(sample.score or 0.0 for sample in row) for row in items.values()],
        "2": [fmean(any(s.score for s in pair) for pair in combinations(row, 2)) for row in items.values()],
        "maj": [votes(row) for row in items.values()],
    }
    for name, estimate in (("avg", made.avg), ("2", made.passes["2"]), ("maj", made.maj)):
        assert estimate is not None
        n, mean = len(items), fmean(means[name])
        spread = math.sqrt(sum((value - mean) ** 2 for value in means[name]) / (n - 1))
        assert estimate.value == pytest.approx(mean)
        assert estimate.standard_error == pytest.approx(spread / math.sqrt(n))
        assert (estimate.items, estimate.unscored) == (n, 0)
    assert list(made.passes) == ["1", "2", "4"]
    assert made.passes["1"].value == pytest.approx(made.avg.value if made.avg else None)


@given(ITEMS)
def test_copying_samples_makes_nothing_more_certain(items: dict[str, list[Sample]]) -> None:
    doubled = {item: row + row for item, row in items.items()}
    assert avg_at_k(doubled).standard_error == pytest.approx(avg_at_k(items).standard_error)


def test_unscored_samples_are_never_wrong_ones() -> None:
    items = {"a": [RIGHT, UNSCORED], "b": [UNSCORED, UNSCORED], "c": [RIGHT, WRONG]}
    avg = avg_at_k(items)
    assert (avg.value, avg.items, avg.unscored) == (0.75, 2, 1)
    assert (pass_at_k(items, 1).value, pass_at_k(items, 1).unscored) == (0.75, 1)
    assert (pass_at_k(items, 2).value, pass_at_k(items, 2).items, pass_at_k(items, 2).unscored) == (1.0, 1, 2)


@pytest.mark.parametrize(
    ("samples", "value"),
    [
        ([RIGHT, RIGHT, WRONG], 1.0),
        ([RIGHT, WRONG, WRONG], 0.0),
        ([RIGHT, WRONG], 0.5),
        ([RIGHT, WRONG, Sample("7", 0.0)], 1 / 3),
        ([NONE, NONE, RIGHT], 1.0),
        ([NONE, NONE], 0.0),
        ([UNSCORED, UNSCORED, RIGHT], None),
        ([UNSCORED, RIGHT], None),
        ([UNSCORED, RIGHT, RIGHT], 1.0),
        ([Sample("x", None), Sample("x", 1.0)], 1.0),
        ([Sample("5", 1.0), Sample("5.0", 1.0), WRONG], 1.0),
        ([Sample("1/2", 1.0), Sample("x/2x", 1.0), Sample("half", 1.0), WRONG, WRONG], 1.0),
        ([Sample("1/2", 1.0), Sample("half", 1.0), Sample("half", None), WRONG, WRONG], 1.0),
    ],
)
def test_majority(samples: list[Sample], value: float | None) -> None:
    if value is None:
        with pytest.raises(ValueError, match="nothing is averaged over nothing"):
            maj_at_k({"a": samples}, never)
        return
    same = numerically if any(sample.answer == "5.0" for sample in samples) else never
    assert maj_at_k({"a": samples}, same).value == pytest.approx(value)
    assert maj_at_k({"a": samples}, same).standard_error is None, "one item has no spread"


def test_nothing_is_an_error_not_zero() -> None:
    for items in ({}, {"a": [UNSCORED]}):
        with pytest.raises(ValueError, match="none of"):
            avg_at_k(items)
    with pytest.raises(ValueError, match="no sample"):
        k_samples({}, never)
    with pytest.raises(ValueError, match="no sample"):
        k_samples({"a": []}, never)
    with pytest.raises(ValueError, match="item b has 1 samples, others have 2"):
        k_samples({"a": [RIGHT, RIGHT], "b": [WRONG]}, never)
    unscored = k_samples({"a": [UNSCORED, UNSCORED]}, never)
    assert (unscored.avg, unscored.passes, unscored.maj) == (None, {}, None)
