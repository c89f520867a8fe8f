"""The filter: what is kept, and that the counts always balance."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.filtering import filter_rationales
from capgap_ray.records import Outcome, Rationale

OUTCOMES = get_args(Outcome)


def rationale(teacher: str, item: str, outcome: Outcome, sample: int = 0, task: str = "dyck") -> Rationale:
    return Rationale(
        example_id=item,
        task=task,
        teacher=teacher,
        sample=sample,
        text="...",
        answer=None,
        outcome=outcome,
        tokens=3,
    )


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


def test_own_correct_is_the_default_rule() -> None:
    kept, report = filter_rationales(BOTH, "large", across_teachers=False)
    assert [r.example_id for r in kept] == ["a", "b"]
    assert (report.seen, report.kept, report.dropped_by_other_teacher) == (3, 2, 0)
    assert (report.dropped_wrong, report.dropped_unparsable, report.dropped_truncated) == (0, 1, 0)
    assert (report.teacher, report.task) == ("large", "dyck")


def test_the_intersection_takes_the_stronger_teachers_extra_item() -> None:
    kept, report = filter_rationales(BOTH, "large", across_teachers=True)
    assert [r.example_id for r in kept] == ["a"]
    assert report.dropped_by_other_teacher == 1
    kept, report = filter_rationales(BOTH, "small", across_teachers=True)
    assert [r.example_id for r in kept] == ["a"]
    assert report.dropped_by_other_teacher == 0


def test_any_right_sample_of_the_other_teacher_counts() -> None:
    small = [*SMALL, rationale("small", "b", "right", sample=1)]
    kept, _ = filter_rationales({"small": small, "large": LARGE}, "large", across_teachers=True)
    assert [r.example_id for r in kept] == ["a", "b"]


def test_a_teacher_without_rationales_gives_nothing_and_restricts_the_others() -> None:
    pools = {"small": [], "large": LARGE}
    kept, report = filter_rationales(pools, "small", across_teachers=False)
    assert (kept, report.seen, report.kept, report.task) == ([], 0, 0, "dyck")
    assert filter_rationales(pools, "large", across_teachers=True)[0] == []
    assert filter_rationales({"small": []}, "small", across_teachers=True)[1].task == ""


def test_all_samples_of_one_item_are_kept() -> None:
    rows = [rationale("small", "a", "right", sample=k) for k in (2, 0, 1)]
    assert filter_rationales({"small": rows}, "small", across_teachers=True)[0] == rows


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        ({"large": LARGE}, "no entry for teacher 'small'; there are large"),
        ({"small": LARGE}, "'large' stands under 'small'"),
        ({"small": [SMALL[0], SMALL[0]]}, "item 'a', sample 0 occurs twice"),
        ({"small": [*SMALL, rationale("small", "z", "right", task="date")]}, "date, dyck"),
        ({"small": SMALL, "large": [rationale("large", "z", "right", task="date")]}, "date, dyck"),
    ],
)
def test_errors_name_what_is_wrong(pools: dict[str, list[Rationale]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filter_rationales(pools, "small", across_teachers=False)


ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.sampled_from(OUTCOMES)),
    max_size=15,
    unique_by=lambda row: (row[0], row[1]),
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from(["small", "large", "huge"]), ROWS, min_size=1), st.booleans())
def test_counts_balance_and_order_is_kept(
    rows: dict[str, list[tuple[str, int, Outcome]]], across_teachers: bool
) -> None:
    pools = {t: [rationale(t, item, outcome, sample) for item, sample, outcome in r] for t, r in rows.items()}
    for teacher, pool in pools.items():
        kept, report = filter_rationales(pools, teacher, across_teachers=across_teachers)
        drops = (
            report.dropped_wrong
            + report.dropped_unparsable
            + report.dropped_truncated
            + report.dropped_by_other_teacher
        )
        assert report.seen == len(pool) == report.kept + drops
        assert report.kept == len(kept)
        assert kept == [r for r in pool if r in kept]
        assert all(r.outcome == "right" for r in kept)
        if across_teachers:
            for other in pools.values():
                right = {r.example_id for r in other if r.outcome == "right"}
                assert {r.example_id for r in kept} <= right
        else:
            assert report.dropped_by_other_teacher == 0
            assert kept == [r for r in pool if r.outcome == "right"]
