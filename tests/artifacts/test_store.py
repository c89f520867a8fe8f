"""An artifact exists if and only if its record exists, whatever was interrupted."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreError, StoreUnavailable, _sealed

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
        store.read_rows(str(table.relative_to(tmp_path / "store")))
    with pytest.raises(StoreError, match=r"rows\.parquet is not what was committed.*delete the folder score/label"):
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


# --- what a disk and its owner can do to it ---------------------------------------------------------------


def path_of(store: Store, name: str) -> Path:
    return next(Path(store.root).rglob(name))


@pytest.mark.parametrize("keep", [0, 1, 40, -1])
def test_a_record_that_is_cut_off_counts_as_absent(store: Store, keep: int) -> None:
    store.build_rows(STEP, lambda: (ROWS, {"by": "first"}))
    record = path_of(store, "record.json")
    record.write_bytes(record.read_bytes()[:keep])
    assert store.record(STEP) is None
    assert not store.built(STEP)
    assert store.build_rows(STEP, lambda: (ROWS, {"by": "second"})).summary["by"] == "second"
    assert store.rows(STEP) == ROWS


@pytest.mark.parametrize(
    "change", [{"key": "0" * 16}, {"format": 7}, {"tables": None, "key": None}], ids=["other step", "newer", "older"]
)
def test_a_record_of_another_version_is_named_with_its_mend(store: Store, change: dict[str, object]) -> None:
    store.build_rows(STEP, lambda: (ROWS, {}))
    record = path_of(store, "record.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    with pytest.raises(StoreError, match=r"record\.json is no record of this version .* delete the folder score/label"):
        store.record(STEP)


@pytest.mark.parametrize("text", ["null", "[]", "12", '"x"', "{}"])
def test_json_that_is_no_record_is_named(store: Store, text: str) -> None:
    store.build_rows(STEP, lambda: (ROWS, {}))
    path_of(store, "record.json").write_text(text)
    with pytest.raises(StoreError, match="is no record"):
        store.rows(STEP)


def test_a_record_cannot_point_out_of_the_store(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret.parquet").write_bytes(b"")
    record = store.build_rows(STEP, lambda: (ROWS, {}))
    hostile = dataclasses.replace(record, tables=["../../../secret.parquet"])
    path_of(store, "record.json").write_bytes(_sealed(hostile))
    with pytest.raises(StoreError, match="leaves the store"):
        store.rows(STEP)


# --- what a hand can do to it: every change is found at the next read, named, and refused -----------------------


CHANGED = r"is not what was committed: .* delete the folder score/label"


def test_a_table_edited_by_hand_is_refused(store: Store) -> None:
    store.build_rows(STEP, lambda: (ROWS, {}))
    table = path_of(store, "rows.parquet")
    store.write_rows(str(table.relative_to(store.root)), [{**ROWS[0], "value": 1.0}, ROWS[1]])  # a whole, good table
    with pytest.raises(StoreError, match=r"rows\.parquet " + CHANGED):
        Store(store.root).rows(STEP)
    table.unlink()
    with pytest.raises(StoreError, match=r"rows\.parquet " + CHANGED):
        store.rows(STEP)


def test_a_record_edited_by_hand_is_refused(store: Store) -> None:
    store.build_rows(STEP, lambda: (ROWS, {"right": 41}))
    record = path_of(store, "record.json")
    record.write_bytes(record.read_bytes().replace(b'"right": 41', b'"right": 99'))
    with pytest.raises(StoreError, match=r"record\.json " + CHANGED):
        store.record(STEP)


def test_a_checkpoint_edited_by_hand_is_refused(store: Store) -> None:
    attempt = store.new_attempt(STEP)
    store.write_bytes(f"{attempt}/model.safetensors", b"w" * 1000)
    store.write_bytes(f"{attempt}/config.json", b"{}")
    store.commit(STEP, attempt, {}, 1.0)
    assert store.folder(STEP) == attempt
    weights = path_of(store, "model.safetensors")
    for edited in (b"w" * 999 + b"v", b"w" * 10):
        weights.write_bytes(edited)
        for reader in (store, Store(store.root)):
            with pytest.raises(StoreError, match=r"model\.safetensors " + CHANGED):
                reader.folder(STEP)
    weights.write_bytes(b"w" * 1000)
    os.utime(weights, ns=(0, 0))  # contents decide, not times
    assert store.folder(STEP) == attempt
    weights.unlink()
    with pytest.raises(StoreError, match=r"model\.safetensors " + CHANGED):
        store.folder(STEP)


def test_a_checkpoint_is_read_once_to_be_checked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = store.new_attempt(STEP)
    store.write_bytes(f"{attempt}/model.safetensors", b"w" * 1000)
    store.commit(STEP, attempt, {}, 1.0)
    reader, read = Store(store.root), []
    digest = reader._digest
    monkeypatch.setattr(reader, "_digest", lambda path: read.append(path) or digest(path))
    for _ in range(3):
        reader.folder(STEP)
    assert read == [f"{attempt}/model.safetensors"]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_whatever_lies_in_a_records_place_no_other_error_is_raised(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.write_bytes(f"{STEP.address}/record.json", data)
        try:
            assert store.record(STEP) is None
        except StoreError as error:
            assert "\n" not in str(error)


@settings(deadline=None)
@given(st.data())
def test_a_flipped_byte_in_a_table_is_never_read_as_another_row(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        rows = [{"id": str(number), "text": f"text {number * 7919}"} for number in range(50)]
        store.build_rows(STEP, lambda: (rows, {}))
        table = path_of(store, "rows.parquet")
        whole = bytearray(table.read_bytes())
        place = data.draw(st.integers(4, 400))  # pages come first, then the footer, which has no checksum
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
        table.write_bytes(bytes(whole))
        try:
            found = store.rows(STEP)
        except StoreError as error:
            assert "rows.parquet" in str(error)
        else:
            assert found == rows  # the bit was in a header's unused field


def run_limited(store: Store, code: str) -> subprocess.CompletedProcess[str]:
    """Run code that uses `store` and `STEP` where no file may grow beyond 64 kB, as on a full disk."""
    program = (
        "import resource; from capgap_ray.artifacts.step import Step; from capgap_ray.artifacts.store import *\n"
        f"store, STEP = Store({store.root!r}), Step('score', 1, {{'a': 1}}, (), {STEP.label!r})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n" + code
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_done(store: Store) -> None:
    store.write_bytes("before/file", b"kept")
    done = run_limited(
        store,
        "import os\n"
        "try: store.build_rows(STEP, lambda: ([{'blob': os.urandom(200_000)}], {}))\n"
        "except StoreUnavailable as error: print(error)\n",
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written ([Errno 27] File too large)" in done.stdout
    assert "run the same command to go on" in done.stdout
    assert done.stdout.count("\n") == 1
    assert [path.name for path in Path(store.root).rglob("*") if path.is_file()] == ["file"]
    store.build_rows(STEP, lambda: (ROWS, {}))  # there is room again
    assert store.rows(STEP) == ROWS


def mounted(folder: Path, options: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    if not mounted(folder, "size=256k"):
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_and_is_cleared(small_disk: Path) -> None:
    store = Store(str(small_disk / "store"))
    store.build_rows(Step("score", 1, {"a": 0}), lambda: (ROWS, {}))
    blob = os.urandom(400_000)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            store.build_rows(STEP, lambda: ([{"blob": blob}], {}))
    assert not list(small_disk.rglob("*.tmp"))
    assert store.rows(Step("score", 1, {"a": 0})) == ROWS
    store.build_rows(STEP, lambda: (ROWS, {}))
    assert store.rows(STEP) == ROWS


def test_a_store_that_became_read_only(small_disk: Path) -> None:
    store = Store(str(small_disk / "store"))
    built = Step("score", 1, {"a": 0})
    store.build_rows(built, lambda: (ROWS, {}))
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    with pytest.raises(StoreUnavailable, match="Read-only file system"):
        store.build_rows(STEP, lambda: (ROWS, {}))
    with pytest.raises(StoreError, match="give another with --store"):
        store.check_writable()
    assert store.rows(built) == ROWS, "what is there can be read"
    assert not store.built(STEP)


@pytest.mark.parametrize(
    "path", ["a\\..\\b", "a\x00b", "a\nb", "a/\ud800", "a/\x7f/b", "..", "../../etc/passwd", "a/.."]
)
def test_odd_names_are_refused(store: Store, path: str) -> None:
    for use in (
        store.read_bytes,
        store.exists,
        store.remove,
        store.local_path,
        lambda name: store.write_bytes(name, b""),
    ):
        with pytest.raises(StoreError, match="leaves the store"):
            use(path)


@settings(deadline=None)
@given(st.text(), st.text())
def test_no_label_or_stage_of_a_step_leaves_the_store(stage: str, label: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "a" / "store"
        with suppress(StoreError):
            Store(str(root)).build_rows(Step(stage, 1, {}, (), label), lambda: (ROWS, {}))
        outside = [path for path in Path(folder).rglob("*") if path.is_file() and not path.is_relative_to(root)]
        assert outside == []


def test_a_clock_set_back_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.build_rows(STEP, lambda: (ROWS, {"by": "first"}))
    for now in (0.0, 1e12):
        monkeypatch.setattr("time.time", lambda now=now: now)
        assert store.build_rows(STEP, lambda: (ROWS, {"by": "later"})).summary["by"] == "first"
    for path in Path(store.root).rglob("*"):
        os.utime(path, (0, 0))
    assert store.rows(STEP) == ROWS
    assert store.listing() == {STEP.address: "built"}


def test_a_store_can_be_moved(store: Store, tmp_path: Path) -> None:
    store.build_rows(STEP, lambda: (ROWS, {}))
    Path(store.root).rename(tmp_path / "elsewhere")
    assert Store(str(tmp_path / "elsewhere")).rows(STEP) == ROWS


def test_the_listing_tells_built_from_failed_from_begun(store: Store) -> None:
    begun, failed = (Step("train", 1, {"name": name}, (), name) for name in ("begun", "failed"))
    assert store.listing() == {}
    store.build_rows(STEP, lambda: (ROWS, {}))
    store.write_rows(f"{store.new_attempt(begun)}/rows.parquet", ROWS)
    store.note_failure(failed, "out of memory")
    store.write_bytes("reports/tiny/index.html", b"")
    store.write_bytes("train/stray", b"")
    assert store.listing() == {STEP.address: "built", begun.address: "begun", failed.address: "failed"}
    store.write_rows(f"{store.new_attempt(failed)}/rows.parquet", ROWS)
    assert store.listing()[failed.address] == "begun", "a new attempt takes the failure back"


def test_credentials_do_not_belong_into_an_address() -> None:
    with pytest.raises(StoreError, match="AWS_SECRET_ACCESS_KEY") as caught:
        Store("s3://key:planted-secret@bucket/store")
    assert "planted-secret" not in str(caught.value)
