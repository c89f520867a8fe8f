"""The filter: what each rule keeps, and that the counts always balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.contamination import ContaminationIndex
from capgap_ray.core.filtering import Filtered, Keep, Rules, filter_rationales
from capgap_ray.records import Example, FilterReport, Outcome, Rationale

OUTCOMES = get_args(Outcome)
QUESTIONS = {item: f"what is {item}" for item in "abcdefz"}


def rationale(
    teacher: str, item: str, outcome: Outcome, sample: int = 0, task: str = "dyck", **other: Any
) -> Rationale:
    fields: dict[str, Any] = {"text": f"{teacher} {item} {sample}", "answer": None, "tokens": 3, **other}
    return Rationale(example_id=item, task=task, teacher=teacher, sample=sample, outcome=outcome, **fields)


SMALL = [
    rationale("small", "a", "right"),
    rationale("small", "b", "wrong"),
    rationale("small", "c", "truncated"),
]
LARGE = [
    rationale("large", "a", "right"),
    rationale("large", "b", "right"),
    rationale("large", "c", "unparsable"),
]
BOTH = {"small": SMALL, "large": LARGE}


def run(by_teacher: Mapping[str, Sequence[Rationale]], **rules: Any) -> Filtered:
    return filter_rationales({"dyck": by_teacher}, Rules(**rules), questions=QUESTIONS)


def items(filtered: Filtered, teacher: str) -> str:
    return "".join(row.example_id for row in filtered.kept[teacher])


def report(filtered: Filtered, teacher: str) -> FilterReport:
    return next(each for each in filtered.reports if each.teacher == teacher)


def test_own_correct_is_the_default_rule() -> None:
    done = run(BOTH)
    assert (items(done, "small"), items(done, "large")) == ("a", "ab")
    large = report(done, "large")
    assert (large.task, large.seen, large.kept, large.dropped) == ("dyck", 3, 2, {"unparsable": 1})
    assert report(done, "small").dropped == {"truncated": 1, "wrong": 1}


def test_items_that_another_task_tests_never_train() -> None:
    done = filter_rationales({"dyck": BOTH}, Rules(keep="union"), questions=QUESTIONS, left_out={"b", "c"})
    assert (items(done, "small"), items(done, "large")) == ("a", "a")
    assert report(done, "large").dropped == {"test item": 1, "unparsable": 1}
    for teacher in BOTH:
        made = report(done, teacher)
        assert made.seen == made.kept + sum(made.dropped.values())


def test_the_intersection_takes_the_stronger_teachers_extra_item() -> None:
    done = run(BOTH, keep="intersection")
    assert (items(done, "small"), items(done, "large")) == ("a", "a")
    assert report(done, "large").dropped == {"unparsable": 1, "other teacher": 1}
    again = {"small": [*SMALL, rationale("small", "b", "right", sample=1)], "large": LARGE}
    assert items(run(again, keep="intersection"), "large") == "ab", "any right sample of the other teacher counts"


def test_the_union_borrows_what_only_another_teacher_solved() -> None:
    huge = [rationale("huge", item, "right", sample) for item in "bd" for sample in (0, 1)]
    done = run({**BOTH, "huge": huge}, keep="union")
    assert [(row.teacher, row.example_id, row.sample) for row in done.kept["small"]] == [
        ("small", "a", 0),
        *(("huge", item, sample) for item in "bd" for sample in (0, 1)),
    ]
    small = report(done, "small")
    assert (small.seen, small.kept, small.borrowed, small.dropped) == (7, 5, 4, {"truncated": 1, "wrong": 1})
    assert {row.teacher for row in done.kept["large"]} == {"large", "huge"}


def test_the_majority_decides_without_the_gold() -> None:
    def votes(item: str, answers: str) -> list[Rationale]:
        outcomes: list[Outcome] = ["wrong" if answer == "1" else "right" for answer in answers]
        return [
            rationale("t", item, "unparsable" if a == "-" else outcome, k, answer=None if a == "-" else a)
            for k, (a, outcome) in enumerate(zip(answers, outcomes, strict=True))
        ]

    done = run({"t": [*votes("a", "112"), *votes("b", "12-"), *votes("c", "---")]}, keep="majority")
    assert [(row.example_id, row.answer) for row in done.kept["t"]] == [("a", "1"), ("a", "1")]
    assert report(done, "t").dropped == {"against majority": 1, "no majority": 2, "unparsable": 4}
    same = filter_rationales(
        {"dyck": {"t": votes("a", "12")}}, Rules(keep="majority"), questions=QUESTIONS, same=lambda *_: True
    )
    assert len(same.kept["t"]) == 2


def test_finished_keeps_wrong_ones() -> None:
    assert items(run(BOTH, keep="finished"), "small") == "ab"


def test_length_and_difficulty() -> None:
    lengths = [rationale("t", item, "right", tokens=n) for item, n in zip("abc", (1, 5, 9), strict=True)]
    done = run({"t": lengths}, tokens=(2, 8))
    assert (items(done, "t"), report(done, "t").dropped) == ("b", {"too long": 1, "too short": 1})
    tries = [
        rationale("t", item, "right" if k < right else "wrong", k)
        for item, right in (("a", 4), ("b", 2), ("c", 1))
        for k in range(4)
    ]
    done = run({"t": tries}, pass_rate=(0.5, 0.75))
    assert (items(done, "t"), report(done, "t").dropped) == ("bb", {"too easy": 4, "too hard": 1, "wrong": 5})


def test_a_smaller_draw_of_samples_lies_in_a_larger_one() -> None:
    rows = [rationale("t", item, "right", k) for item in "abc" for k in range(5)]
    draws = [run({"t": rows}, samples=k, seed=1).kept["t"] for k in (1, 2, 4)]
    assert [len(draw) for draw in draws] == [3, 6, 12]
    assert {id(row) for row in draws[0]} < {id(row) for row in draws[1]} < {id(row) for row in draws[2]}
    assert run({"t": rows}, samples=1, seed=2).kept["t"] != draws[0]


def test_sizes_match() -> None:
    pools = {
        "small": [rationale("small", item, "right") for item in "abc"],
        "large": [rationale("large", item, "right") for item in "bcdef"],
    }
    smallest = run(pools, size="smallest")
    assert (len(smallest.kept["small"]), len(smallest.kept["large"])) == (3, 3)
    matched = run(pools, size="intersection")
    assert (len(matched.kept["small"]), len(matched.kept["large"])) == (2, 2)
    assert report(matched, "large").dropped == {"not drawn": 3}
    two, four = (run(pools, size=size).kept["large"] for size in (2, 4))
    assert (len(two), len(four)) == (2, 4)
    assert {row.example_id for row in two} < {row.example_id for row in four}


def test_duplicates() -> None:
    long = "first we sort the brackets then we close each open one from the inside to the outside and we are done "
    rows = [
        rationale("t", "a", "right", 0, text="So  the answer\nis 4"),
        rationale("t", "a", "right", 1, text="so the ANSWER is 4"),
        rationale("t", "b", "right", 0, text="so the answer is 4"),  # to another question
        rationale("t", "c", "right", 0, text=long * 2),
        rationale("t", "c", "right", 1, text=long * 2 + "now"),
    ]
    exact, near = run({"t": rows}, duplicates="exact"), run({"t": rows}, duplicates="near")
    assert (items(exact, "t"), report(exact, "t").dropped) == ("abcc", {"duplicate": 1})
    assert (items(near, "t"), report(near, "t").dropped) == ("abc", {"duplicate": 1, "near duplicate": 1})


def test_contaminated_items_go_and_pairs_are_listed() -> None:
    test = Example(id="z", task="other", split="test", question="Sort b c a please now", target="x")
    rows = [
        rationale("t", "a", "right", text="sort B, C, A: please now"),
        rationale("t", "b", "right", text="sort b c"),
        rationale("t", "c", "right", text="nothing"),
    ]
    index = ContaminationIndex([test], 2, 0.8)
    done = filter_rationales({"dyck": {"t": rows}}, Rules(), questions=QUESTIONS, tests=index)
    assert items(done, "t") == "bc"
    assert report(done, "t").dropped == {"contaminated": 1}
    assert [(m.train_id, m.test_id, m.test_task, m.overlap, m.dropped) for m in done.contaminated] == [
        ("a", "z", "other", 1.0, True),
        ("b", "z", "other", 0.4, False),
    ]


def test_a_teacher_without_rationales_gives_nothing_and_restricts_the_others() -> None:
    pools: dict[str, list[Rationale]] = {"small": [], "large": LARGE}
    done = run(pools)
    assert (done.kept["small"], report(done, "small").seen, items(done, "large")) == ([], 0, "ab")
    assert items(run(pools, keep="intersection"), "large") == ""


@pytest.mark.parametrize(
    ("traces", "message"),
    [
        ({"dyck": {"small": LARGE}}, "of large on dyck stands under small on dyck"),
        ({"dyck": {"small": [SMALL[0], SMALL[0]]}}, "item 'a', sample 0 occurs twice"),
        ({"date": {"small": SMALL}}, "on dyck stands under small on date"),
        ({"dyck": {"small": SMALL}, "date": {}}, "task date: give every teacher an entry"),
    ],
)
def test_errors_name_what_is_wrong(traces: dict[str, dict[str, list[Rationale]]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filter_rationales(traces, Rules(), questions=QUESTIONS)


ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.sampled_from(OUTCOMES), st.sampled_from("12")),
    max_size=15,
    unique_by=lambda row: (row[0], row[1]),
)


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(st.sampled_from(["small", "large", "huge"]), ROWS, min_size=1),
    st.sampled_from(get_args(Keep)),
    st.sampled_from([None, 1, 4, "smallest", "intersection"]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, (0.5, 1.0)]),
)
def test_counts_balance_and_order_is_kept(
    rows: dict[str, list[tuple[str, int, Outcome, str]]], keep: Keep, size: Any, samples: Any, pass_rate: Any
) -> None:
    pools = {t: [rationale(t, item, o, k, answer=a) for item, k, o, a in r] for t, r in rows.items()}
    done = run(pools, keep=keep, size=size, samples=samples, pass_rate=pass_rate)
    for teacher, pool in pools.items():
        kept, counts = done.kept[teacher], report(done, teacher)
        assert counts.seen == len(pool) + counts.borrowed == counts.kept + sum(counts.dropped.values())
        assert counts.kept == len(kept)
        own = [row for row in kept if row.teacher == teacher]
        assert own == [row for row in pool if row in own]
        if keep in ("own", "intersection", "union"):
            assert all(row.outcome == "right" for row in kept)
        assert keep == "union" or own == kept
        if isinstance(size, int):
            assert len(kept) <= size
