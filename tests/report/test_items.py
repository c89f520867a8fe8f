"""Predictions joined with their items: what flipped, the full table, and what fits on the page."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from capgap_ray.records import Score
from capgap_ray.report import bundle, items, tables
from capgap_ray.report.items import CHANGES, ROW, TaskSource, change, collect, means, shorten


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (0.0, 1.0, "gained"),
        (1.0, 0.0, "lost"),
        (0.5, 0.75, "gained"),
        (1.0, 1.0, "kept"),
        (0.0, 0.0, "still wrong"),
        (0.5, 0.5, "still wrong"),
        (None, 1.0, "unscored"),
        (0.0, None, "unscored"),
    ],
)
def test_what_became_of_an_item(before: float | None, after: float | None, name: str) -> None:
    assert change(before, after) == name


def test_samples_are_averaged_and_unscored_ones_left_out(tasks: tuple[TaskSource, ...]) -> None:
    first = next(iter(tasks[0].arms[0][1]()))
    scores = [dataclasses.replace(first, sample=i, judged=x) for i, x in enumerate((1.0, 0.0, None))]
    assert means(scores) == {first.example_id: 0.5}
    assert means(scores[2:]) == {first.example_id: None}


def test_every_prediction_is_in_the_full_table(tasks: tuple[TaskSource, ...]) -> None:
    found, data = bundle.item_table(tasks)
    table = pq.read_table(io.BytesIO(data))
    assert table.column_names == list(ROW)
    assert table.num_rows == found.predictions == 2 * 80 * 16
    rows = table.to_pylist()
    assert all(row["question"].startswith("A ball") and row["gold"] == "(B)" for row in rows)
    assert {row["change"] for row in rows if row["role"] != "distilled"} == {None}
    arm = next(row for row in rows if row["role"] == "distilled")
    mine = [row for row in rows if (row["task"], row["arm"]) == (arm["task"], arm["arm"])]
    (counts,) = [f.counts for f in found.flips if (f.task, f.arm.label) == (arm["task"], arm["arm"])]
    assert sum(counts.values()) == 80
    for name in CHANGES:
        assert counts[name] == sum(row["change"] == name for row in mine)
    for row in mine:
        assert row["change"] == change(row["before"], row["after"])
    baselines = {(r["task"], r["student"], r["item"]): r["judged"] for r in rows if r["role"] == "baseline"}
    assert all(row["before"] == baselines[row["task"], row["student"], row["item"]] for row in mine)


def test_an_item_without_any_answer_is_unscored(tasks: tuple[TaskSource, ...]) -> None:
    arm, read = tasks[0].arms[-1]

    def short() -> list[Score]:
        return list(read())[:-3]

    cut = TaskSource(tasks[0].task, tasks[0].examples, [*tasks[0].arms[:-1], (arm, short)])
    before = collect(tasks[:1], lambda rows: None).flips[-1].counts
    after = collect([cut], lambda rows: None).flips[-1].counts
    assert sum(after.values()) == sum(before.values()) == 80
    assert after["unscored"] > before["unscored"]


def test_the_table_of_flips_adds_up(tasks: tuple[TaskSource, ...]) -> None:
    table = tables.flips(collect(tasks, lambda rows: None))
    assert table.header[4:] == ("items", *CHANGES)
    assert len(table.rows) == 12 * 3
    pooled, *parts = table.rows[:3]
    assert pooled[3] == "all" and pooled[4] == "160"
    assert [int(x) for x in pooled[4:]] == [int(a) + int(b) for a, b in zip(parts[0][4:], parts[1][4:], strict=True)]


def _shown(found: items.Items) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(found.json)["items"]
    return shown


def test_everything_is_shown_if_it_fits(tasks: tuple[TaskSource, ...]) -> None:
    found = collect(tasks, lambda rows: None)
    assert found.complete
    assert found.tasks == (("boxes", 80, 80), ("dates", 80, 80))
    item = _shown(found)[0]
    assert len(item["by"]) == 16
    assert [json.loads(found.json)["arms"][by["a"]][1] for by in item["by"]] == (
        ["teacher"] * 2 + ["baseline"] * 2 + ["distilled"] * 12
    )


def test_what_does_not_fit_is_sampled_with_each_kind_in_turn(tasks: tuple[TaskSource, ...]) -> None:
    limit = 60_000
    found = collect(tasks, lambda rows: None, limit)
    assert not found.complete
    assert len(found.json.encode()) < limit * 1.1
    shown = {task: n for task, _, n in found.tasks}
    assert all(0 < n < 80 for n in shown.values())
    kinds = [{by["change"] for by in item["by"]} for item in _shown(found)]
    assert any("lost" in k for k in kinds) and any("gained" in k for k in kinds)
    again = collect(tasks, lambda rows: None, limit)
    assert again.json == found.json, "the same items every time"


def test_long_texts_lose_their_middle() -> None:
    assert shorten("a" * 1400) == ("a" * 1400, "", 0)
    head, tail, left_out = shorten("a" * 900 + "b" * 100 + "c" * 500)
    assert (head, tail, left_out) == ("a" * 900, "c" * 500, 100)


def test_hostile_text_cannot_leave_its_script_element(make_source: Callable[..., TaskSource]) -> None:
    hostile = "</script><script>alert(1)</script><!--\u2028\u2029\ud800"
    found = collect([make_source("boxes", 2, hostile)], lambda rows: None)
    assert "<" not in found.json and "\u2028" not in found.json
    found.json.encode()
    assert hostile in _shown(found)[0]["q"]
