"""Which traces a student reads: drawn the same for all, the teacher's own, as the mixture's filter keeps them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.core.masking import Rendering
from capgap_ray.records import Message, TraceSummary, TrainingExample
from capgap_ray.rows import from_row, to_row
from capgap_ray.stages.surprisal import commit_surprisal, draw, draw_all


def traces(items: Sequence[str], teacher: str = "short") -> list[TrainingExample]:
    return [
        TrainingExample(
            example_id=item,
            task="math-train",
            teacher=teacher,
            messages=(Message(role="user", content=item),),
            completion=f"{teacher} {index}",
        )
        for index, item in enumerate(items)
    ]


ITEMS = st.lists(st.sampled_from([f"i{n}" for n in range(30)]), max_size=60)


@given(ITEMS, st.integers(0, 40), st.integers(0, 5))
def test_fewer_are_among_more_and_keep_their_order(items: list[str], most: int, seed: int) -> None:
    rows = traces(items)
    some = draw(rows, most, seed)
    assert len(some) == min(most, len(rows))
    more = draw(rows, most + 5, seed)
    assert [row for row in more if row in some] == some
    assert [row for row in rows if row in some] == some


def test_two_teachers_are_read_on_the_same_items() -> None:
    items = [f"i{n}" for n in range(200)]
    first, second = draw(traces(items), 40, 0), draw(traces(items[::-1], "long"), 40, 0)
    assert {row.example_id for row in first} == {row.example_id for row in second}
    assert {row.example_id for row in draw(traces(items), 40, 1)} != {row.example_id for row in first}


def test_samples_of_one_item_do_not_come_together() -> None:
    some = draw(traces([f"i{n}" for n in range(50) for _ in range(4)]), 50, 0)
    assert len({row.example_id for row in some}) > 25


def reading(store: Store, rows: Sequence[TrainingExample], student: str, most: int = 3) -> Step:
    published = Step(stage="published", version=1, params={"set": "short"}, label="short")
    store.build_rows(published, lambda: ([to_row(row) for row in rows], {}))
    params: dict[str, Any] = {
        "student": student,
        "teacher": "short",
        "traces": most,
        "seed": 0,
        "rendering": {
            "cutoff_tokens": 64,
            "overlength": "cut",
            "system": "ancestor",
            "loss_on_final_newline": True,
        },
        "chat_template": "{{ messages }}",
        "slices": [],
        "published": ["short"],
        "filter": {"decontaminate": None},
    }
    return Step(stage="surprisal", version=1, params=params, inputs=(published,), label=f"{student}-short")


def test_every_student_reads_the_same_traces_as_it_is_trained(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    steps = [reading(store, traces([f"i{n}" for n in range(8)], "Qwen/Q"), name) for name in ("a", "b")]
    made = draw_all(
        store, [(step, f"/models/{step.params['student']}", step.params["student"], None) for step in steps]
    )
    rows = []
    for step, found in made.items():
        assert (found.kept, found.drawn) == (8, 3)
        (only,) = found.slices
        assert (only.source, only.start, only.stop, only.rows) == (f"/models/{step.params['student']}", 0, 3, 3)
        assert only.decoding.reading == Rendering(
            cutoff=64, overlength="cut", system="ancestor", loss_on_final_newline=True
        )
        assert only.decoding.template == "{{ messages }}"
        rows.append([from_row(TrainingExample, row) for row in store.read_rows(only.requests)])
    assert rows[0] == rows[1]
    assert {row.teacher for row in rows[0]} == {"short"}, "the role, whoever wrote them"


def test_a_teacher_of_whom_nothing_is_kept_has_an_empty_result(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    step = reading(store, [], "a")
    found = draw_all(store, [(step, "/models/a", "a", None)])[step]
    assert (found.slices, found.kept) == ((), 0)
    commit_surprisal(store, step, found, [], 0.0)
    record = store.record(step)
    assert record is not None
    assert store.rows(step) == []
    summary = from_row(TraceSummary, record.summary["read"])
    assert (summary.kept, summary.read, summary.ratio) == (0, 0, None)
