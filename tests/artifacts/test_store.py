"""An artifact exists if and only if its record exists, whatever was interrupted."""

import json
import os
from pathlib import Path

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreError

STEP = Step("score", 1, {"a": 1}, (), "label with spaces/../and slashes")
ROWS = [
    {"id": "1", "text": "é\u2028\x00", "value": None, "turns": [{"role": "user"}]},
    {"id": "2", "text": "", "value": 0.5, "turns": []},
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_rows_survive_exactly(store: Store) -> None:
    record = store.build_rows(STEP, lambda: (ROWS, {"right": 1}))
    assert store.rows(STEP) == ROWS
    assert record.summary == {"rows": 2, "right": 1}
    assert store.built(STEP)


def test_empty_tables_are_results_too(store: Store) -> None:
    store.build_rows(STEP, lambda: ([], {}))
    assert store.rows(STEP) == []


def test_a_built_step_is_not_built_again(store: Store) -> None:
    store.build_rows(STEP, lambda: (ROWS, {}))

    def fail() -> None:
        raise AssertionError("built twice")

    store.build_rows(STEP, fail)  # type: ignore[arg-type]


def test_without_a_record_nothing_exists(store: Store) -> None:
    attempt = store.new_attempt(STEP)
    store.write_rows(f"{attempt}/rows.parquet", ROWS)
    assert not store.built(STEP)
    assert store.record(STEP) is None
    with pytest.raises(StoreError, match="is not built"):
        store.rows(STEP)


def test_the_first_commit_wins(store: Store) -> None:
    first, second = store.new_attempt(STEP), store.new_attempt(STEP)
    assert first != second
    store.commit(STEP, first, {"by": "first"}, 1.0)
    late = store.commit(STEP, second, {"by": "second"}, 1.0)
    assert late.summary == {"by": "first"}
    assert store.folder(STEP) == first


def test_a_half_written_file_is_not_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.build_rows(STEP, lambda: (ROWS, {}))
    monkeypatch.undo()
    assert not store.built(STEP)
    store.build_rows(STEP, lambda: (ROWS, {}))
    assert store.rows(STEP) == ROWS


def test_a_damaged_table_is_named(store: Store, tmp_path: Path) -> None:
    store.build_rows(STEP, lambda: (ROWS, {}))
    table = next((tmp_path / "store").rglob("rows.parquet"))
    table.write_bytes(table.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"rows\.parquet: not a readable table"):
        store.rows(STEP)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a//b", "", "./a"])
def test_nothing_leaves_the_store(store: Store, path: str) -> None:
    with pytest.raises(StoreError, match="leaves the store"):
        store.write_bytes(path, b"")


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(str(tmp_path / "file" / "store")).check_writable()


def test_the_record_says_how_it_came_to_be(store: Store, tmp_path: Path) -> None:
    store.build_rows(STEP, lambda: (ROWS, {}))
    record = json.loads(next((tmp_path / "store").rglob("record.json")).read_text())
    assert record["identity"] == {"stage": "score", "version": 1, "params": {"a": 1}, "inputs": []}
    assert str(tmp_path) not in json.dumps(record)  # the store can be moved


def test_a_part_of_a_table_is_read_alone(store: Store) -> None:
    rows = [{"n": number} for number in range(1300)]  # several row groups
    store.write_rows("t/rows.parquet", rows)
    for start, stop in ((0, 10), (500, 530), (511, 1025), (1290, None), (0, None), (1200, 5000), (7, 7), (2000, 2001)):
        assert store.read_rows("t/rows.parquet", start, stop) == rows[start:stop], (start, stop)
