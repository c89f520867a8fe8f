"""A mixture from the store: ready-made rationales go in as they are, under their role."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.records import Message, TrainingExample, from_row, to_row
from capgap_ray.stages.curate import MixtureError, build_mixture


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
