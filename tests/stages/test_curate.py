"""A mixture from the store: ready-made rationales go in as they are, under their role."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.tasks import find_task
from capgap_ray.core.answers import same_answer
from capgap_ray.records import Example, Message, Score, TrainingExample
from capgap_ray.rows import from_row, to_row
from capgap_ray.stages.curate import MixtureError, build_mixture, kept_pools


def published_mixture(store: Store, rows: Sequence[TrainingExample]) -> Step:
    """A mixture of a ready-made set of these rows alone."""
    published = Step(stage="published", version=1, params={"set": "short"}, label="short")
    store.build_rows(published, lambda: ([to_row(row) for row in rows], {}))
    params = {
        "mixture": {"short": 1.0},
        "slices": [],
        "published": ["short"],
        "filter": {"decontaminate": None},
        "mixing": {"by": "rows", "total": None},
        "seed": 0,
    }
    return Step(stage="mix", version=1, params=params, inputs=(published,), label="short")


def test_an_empty_mixture_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    step = published_mixture(store, [])
    with pytest.raises(MixtureError, match="mixture short: no rows of teacher short passed the filter"):
        build_mixture(store, step)
    assert not store.built(step)


def test_a_mixture_of_a_published_set(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    rows = [
        TrainingExample(
            example_id=f"i{i}",
            task="math-train",
            teacher="Qwen/Qwen2.5-32B-Instruct",
            messages=(Message(role="user", content=f"p{i}"),),
            completion=f"so \\boxed{{{i}}}",
        )
        for i in range(5)
    ]
    step = published_mixture(store, rows)
    build_mixture(store, step)
    mixed = [from_row(TrainingExample, row) for row in store.rows(step)]
    assert {row.teacher for row in mixed} == {"short"}
    assert sorted(row.completion for row in mixed) == [row.completion for row in rows]
    record = store.record(step)
    assert record is not None
    assert record.summary["mixture"]["kept_by_teacher"] == {"short": 5}


def test_an_item_left_out_does_not_train(tmp_path: Path) -> None:
    """Neither a teacher's rationale of it nor a ready-made one; the filter's report counts the former."""
    store = Store(str(tmp_path))
    items = [
        Example(id=f"i{i}", task="tiny/dyck_languages", split="train", question=f"q{i}", target="x") for i in range(3)
    ]
    examples = Step(stage="examples", version=1, params={}, label="e")
    store.build_rows(examples, lambda: ([to_row(item) for item in items], {}))
    scored = Step(stage="score", version=1, params={}, inputs=(examples,), label="s")
    store.build_rows(scored, lambda: ([to_row(right(item)) for item in items], {}))
    published = Step(stage="published", version=1, params={"set": "short"}, label="short")
    message = (Message(role="user", content="p"),)
    ready = [
        TrainingExample(example_id=name, task="math-train", teacher="t", messages=message, completion=name)
        for name in ("a", "b")
    ]
    store.build_rows(published, lambda: ([to_row(row) for row in ready], {}))
    step = Step(
        stage="mix",
        version=1,
        params={
            "mixture": {"large": 0.6, "short": 0.4},
            "slices": [["large", "tiny/dyck_languages", 1]],
            "published": ["short"],
            "left_out": ["b", "i1"],
            "filter": {"decontaminate": None},
            "mixing": {"by": "rows", "total": None},
            "seed": 0,
        },
        inputs=(examples, scored, published),
        label="both",
    )
    pools, _ = kept_pools(store, step, ["large", "short"])
    assert {role: [row.example_id for row in rows] for role, rows in pools.rows.items()} == {
        "large": ["i0", "i2"],
        "short": ["a"],
    }
    (report,) = pools.filtered.reports
    assert (report.seen, report.kept, report.dropped) == (3, 2, {"test item": 1})


def right(item: Example) -> Score:
    return Score(
        example_id=item.id,
        task=item.task,
        model="m",
        target=item.target,
        text="so x",
        answer="x",
        finish_reason="stop",
        completion_tokens=2,
        outcome="right",
        strict=1.0,
        flexible=1.0,
        judged=None,
        judge_verdict=None,
    )


@pytest.mark.parametrize(
    ("task", "target", "one", "other", "same"),
    [
        ("math500", "\\frac{1}{2}", "\\frac12", "0.5", True),
        ("math500", "\\frac{1}{2}", "\\frac12", "2", False),
        ("bbh/snarks", "(A)", "(B)", "B", True),
    ],
)
def test_a_majority_is_of_equal_answers(task: str, target: str, one: str, other: str, same: bool) -> None:
    assert same_answer(one, other, target, (), find_task(task).family) is same
