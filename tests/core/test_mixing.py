"""Mixtures: exact shares, every item once, nested at equal size, and the largest feasible total."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.mixing import composition, mix, mixture_report
from capgap_ray.records import TrainingExample


def row(teacher: str, item: str, completion: str = "...", tokens: int | None = None) -> TrainingExample:
    return TrainingExample(
        example_id=item, task=item[:1], teacher=teacher, messages=(), completion=completion, tokens=tokens
    )


def pool(teacher: str, items: Iterable[object]) -> list[TrainingExample]:
    return [row(teacher, f"item{item}") for item in items]


def given_by(rows: Iterable[TrainingExample], teacher: str) -> set[str]:
    return {r.example_id for r in rows if r.teacher == teacher}


SAME = {"large": pool("large", range(100)), "small": pool("small", range(100))}


def test_equal_pools_are_used_completely() -> None:
    rows = mix(SAME, {"small": 0.8, "large": 0.2}, seed=0)
    assert Counter(r.teacher for r in rows) == {"small": 80, "large": 20}
    assert len({r.example_id for r in rows}) == 100


def test_a_single_teacher_gives_all_its_rows() -> None:
    assert given_by(mix(SAME, {"large": 1.0}, seed=3), "large") == {f"item{i}" for i in range(100)}


def test_golden_order() -> None:
    pools = {"a": pool("a", range(6)), "b": pool("b", range(4, 10))}
    rows = mix(pools, {"a": 0.5, "b": 0.5}, seed=7)
    assert " ".join(r.teacher + r.example_id[4:] for r in rows) == "b4 a0 a1 b6 a2 b7 a5 b8 a3 b9"


def test_seed_and_only_the_seed_changes_the_choice() -> None:
    shares = {"small": 0.5, "large": 0.5}
    backwards = {teacher: list(reversed(rows)) for teacher, rows in reversed(SAME.items())}
    assert mix(SAME, shares, seed=1) == mix(backwards, dict(reversed(shares.items())), seed=1)
    assert mix(SAME, shares, seed=1) != mix(SAME, shares, seed=2)
    in_order = [r.example_id for r in mix(SAME, shares, seed=1)]
    assert in_order != sorted(in_order)


def test_several_samples_of_an_item_are_used_once_each() -> None:
    a = [row("a", "x", "first"), row("a", "x", "second"), row("a", "y")]
    assert sorted(r.completion for r in mix({"a": a}, {"a": 1.0}, seed=0)) == ["...", "first", "second"]
    rows = mix({"a": a, "b": [row("b", "x", "third")]}, {"a": 2 / 3, "b": 1 / 3}, seed=0)
    assert sorted(r.completion for r in rows) == ["...", "second", "third"]


@pytest.mark.parametrize(
    ("small", "large", "share", "total"),
    [
        (range(10), range(10), 0.5, 10),  # the same items: all of them, five each
        (range(10), range(10, 20), 0.5, 20),  # disjoint: nothing is lost
        (range(10), range(5), 0.5, 10),  # large solved a subset: small must leave it all five
        (range(10), range(2), 0.5, 4),  # the weaker pool limits the total
        (range(2), range(100), 0.2, 12),  # 12 x 0.2 = 2.4 -> 2 rows; 13 x 0.2 = 2.6 -> 3 would be too many
        (range(1), range(1), 1.0, 1),
    ],
)
def test_total_is_the_largest_feasible(small: range, large: range, share: float, total: int) -> None:
    pools = {"small": pool("small", small), "large": pool("large", large)}
    shares = {"small": share, "large": 1 - share} if share < 1 else {"small": 1.0}
    assert len(mix(pools, shares, seed=0)) == total


def test_thirds_round_to_whole_rows() -> None:
    pools = {name: pool(name, range(10)) for name in "abc"}
    rows = mix(pools, dict.fromkeys("abc", 1 / 3), seed=0)
    assert Counter(r.teacher for r in rows) == {"a": 4, "b": 3, "c": 3}


def test_equal_remainders_go_by_name_despite_rounded_floats() -> None:
    pools = {name: pool(name, range(10)) for name in "abc"}
    rows = mix(pools, {"a": 8 / 12, "b": 2 / 12, "c": 2 / 12}, seed=0, rows=2)
    assert Counter(r.teacher for r in rows) == {"a": 2}


@pytest.mark.parametrize(
    ("shares", "rows", "message"),
    [
        ({"small": 0.8, "large": 0.3}, None, r"sum to 1, got \{small: 0.8, large: 0.3\}"),
        ({"small": 1.0, "large": 0.0}, None, "positive.*large: 0.0"),
        ({"small": 1.5, "large": -0.5}, None, "positive.*large: -0.5"),
        ({"small": 1 - 1e-8, "large": 1e-8}, None, "positive.*large: 1e-08"),
        ({"small": float("nan"), "large": 0.5}, None, "positive"),
        ({}, None, "sum to 1"),
        ({"small": 0.5, "huge": 0.5}, None, "no rows of teacher huge passed the filter"),
        ({"small": 0.5, "empty": 0.5}, None, "no rows of teacher empty passed the filter"),
        ({"small": 0.5, "large": 0.5}, 101, r"101 rows: .*51 of large \(100 kept\), 50 of small .* is 100"),
        ({"small": 1.0}, 0, "cannot mix 0 rows"),
        ({"mislabelled": 1.0}, None, "of teacher small is in the pool of mislabelled"),
    ],
)
def test_errors_name_the_shares_the_teacher_or_the_numbers(
    shares: dict[str, float], rows: int | None, message: str
) -> None:
    pools: dict[str, list[TrainingExample]] = {**SAME, "empty": [], "mislabelled": SAME["small"]}
    with pytest.raises(ValueError, match=message):
        mix(pools, shares, seed=0, rows=rows)


def test_report_counts_what_is_there() -> None:
    pools = {
        "a": [row("a", "d1"), row("a", "d2"), row("a", "w1")],
        "b": [row("b", "w2"), row("b", "w2", "2nd")],
    }
    shares = {"a": 0.75, "b": 0.25}
    report = mixture_report("mix", pools, shares, mix(pools, shares, seed=5), seed=5)
    assert report.rows_by_teacher == {"a": 3, "b": 1}
    assert report.rows_by_task == {"d": 2, "w": 2}
    assert report.tokens_by_teacher is None
    assert report.borrowed_by_teacher == {"a": 0, "b": 0}
    assert composition(report) == "mix: 4 rows; a 75 %: 3 rows (75.00 %); b 25 %: 1 rows (25.00 %)"
    assert report.kept_by_teacher == {"a": 3, "b": 2}
    assert (report.mixture, report.shares, report.rows, report.seed) == ("mix", shares, 4, 5)


def long_pool(teacher: str, lengths: Mapping[int, int]) -> list[TrainingExample]:
    return [row(teacher, f"item{item}", tokens=tokens) for item, tokens in lengths.items()]


def tokens_of(rows: Iterable[TrainingExample], teacher: str) -> int:
    return sum(r.tokens or 0 for r in rows if r.teacher == teacher)


LENGTHS = st.dictionaries(st.integers(0, 25), st.integers(1, 30), min_size=3, max_size=20)


@settings(deadline=None, max_examples=80)
@given(LENGTHS, LENGTHS, st.integers(0, 3))
def test_shares_of_tokens_are_kept_and_nested(small: dict[int, int], large: dict[int, int], seed: int) -> None:
    pools = {"small": long_pool("small", small), "large": long_pool("large", large)}
    longest = max([*small.values(), *large.values()])
    mixtures = []
    total = min(sum(small.values()), sum(large.values())) // 2
    for k in (2, 4, 6, 8):
        try:
            rows = mix(pools, {"large": k / 10, "small": 1 - k / 10}, seed=seed, by="tokens", tokens=total)
        except ValueError:
            continue  # items that both solved leave too little
        assert len({r.example_id for r in rows}) == len(rows)
        for teacher, share in (("large", k / 10), ("small", 1 - k / 10)):
            assert share * total - longest <= tokens_of(rows, teacher) <= share * total + 1e-6
        mixtures.append(rows)
    for less, more in itertools.pairwise(mixtures):
        assert given_by(less, "large") <= given_by(more, "large")
        assert given_by(more, "small") <= given_by(less, "small")


def test_mixing_by_tokens_takes_what_there_is_and_says_what_it_took() -> None:
    pools = {"a": long_pool("a", dict.fromkeys(range(10), 10)), "b": long_pool("b", dict.fromkeys(range(10, 60), 2))}
    rows = mix(pools, {"a": 0.5, "b": 0.5}, seed=0, by="tokens")
    assert (tokens_of(rows, "a"), tokens_of(rows, "b")) == (100, 100)
    assert len(mix(pools, {"a": 1.0}, seed=0, by="tokens")) == 10
    report = mixture_report("mix", pools, {"a": 0.5, "b": 0.5}, rows, seed=0)
    assert "a 50 %: 10 rows (16.67 %), 100 tokens (50.00 %)" in composition(report)
    with pytest.raises(
        ValueError, match=r"cannot mix 500 tokens of a, b; the most that these shares allow is 200 tokens"
    ):
        mix(pools, {"a": 0.5, "b": 0.5}, seed=0, by="tokens", tokens=500)
    with pytest.raises(ValueError, match="its tokens are not known; mix by rows"):
        mix(SAME, {"small": 0.5, "large": 0.5}, seed=0, by="tokens")


ITEMS = st.frozensets(st.integers(0, 25), min_size=1, max_size=20)


@settings(deadline=None, max_examples=80)
@given(ITEMS, ITEMS, st.integers(0, 3))
def test_two_teachers_are_nested_at_equal_size(small: frozenset[int], large: frozenset[int], seed: int) -> None:
    pools = {"small": pool("small", small), "large": pool("large", large)}
    total = min(len(small), len(large))
    mixtures = [mix(pools, {"small": k / 10, "large": 1 - k / 10}, seed=seed, rows=total) for k in range(1, 10)]
    for less, more in itertools.pairwise(mixtures):
        assert given_by(less, "small") <= given_by(more, "small")
        assert given_by(more, "large") <= given_by(less, "large")


SMALL_ITEMS = st.frozensets(st.integers(0, 9), min_size=1, max_size=7)
WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def best_total_by_brute_force(pools: Mapping[str, frozenset[int]], weights: Mapping[str, int]) -> int:
    """The largest N whose counts can be matched, by augmenting paths over single rows."""
    best = 0
    for total in range(1, sum(len(p) for p in pools.values()) + 1):
        quotas = {t: w * total / sum(weights.values()) for t, w in weights.items()}
        counts = {t: int(q + 1e-9) for t, q in quotas.items()}
        for t in sorted(quotas, key=lambda t: (-round(quotas[t] - counts[t], 9), t))[: total - sum(counts.values())]:
            counts[t] += 1
        holder: dict[int, str] = {}

        def place(teacher: str, seen: set[int], holder: dict[int, str] = holder) -> bool:
            for item in pools[teacher] - seen:
                seen.add(item)
                if item not in holder or place(holder[item], seen):
                    holder[item] = teacher
                    return True
            return False

        if all(place(t, set()) for t, count in counts.items() for _ in range(count)):
            best = total
    return best


@settings(deadline=None, max_examples=80)
@given(WEIGHTS, st.lists(st.frozensets(st.integers(0, 9), min_size=1, max_size=7), min_size=3, max_size=3))
def test_totals_equal_brute_force_and_items_are_used_once(weights: list[int], sets: list[frozenset[int]]) -> None:
    names = "abc"[: len(weights)]
    by_name = dict(zip(names, weights, strict=True))
    items = dict(zip(names, sets, strict=False))
    pools = {name: pool(name, items[name]) for name in names}
    shares = {name: weight / sum(weights) for name, weight in by_name.items()}
    expected = best_total_by_brute_force(items, by_name)
    if expected == 0:
        return
    rows = mix(pools, shares, seed=0)
    assert len(rows) == expected
    assert len({r.example_id for r in rows}) == len(rows)
    for name, share in shares.items():
        count = sum(r.teacher == name for r in rows)
        assert abs(count - share * len(rows)) < 1
    assert all(r in pools[r.teacher] for r in rows)


def test_a_hundred_thousand_rows_are_mixed_in_seconds() -> None:
    pools = {"a": pool("a", range(100_000)), "b": pool("b", range(30_000, 130_000))}
    start = time.process_time()
    assert len(mix(pools, {"a": 0.7, "b": 0.3}, seed=0)) == 130_000
    assert time.process_time() - start < 10
