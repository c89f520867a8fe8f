"""The store on object storage is the store on a disk; what fails there is tried again or told in one line."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.artifacts import fetch as fetching
from capgap_ray.artifacts.fetch import fetch, is_remote, let_go
from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreError, StoreUnavailable
from tests.artifacts.conftest import Storage

ROWS = [{"id": str(number), "text": f"é\u2028 {number}"} for number in range(700)]


def step(name: str) -> Step:
    return Step("score", 1, {"name": name}, (), name)


@pytest.fixture
def store(storage: Storage, request: pytest.FixtureRequest) -> Store:
    return Store(storage.uri(request.node.name.replace("[", "-").rstrip("]")))


def test_it_keeps_what_a_disk_keeps(store: Store) -> None:
    one, two, three = step("one"), step("two"), step("three")
    store.check_writable()
    store.build_rows(one, lambda: (ROWS, {"right": 1}))
    assert store.built(one)
    assert not store.built(two)
    assert store.rows(one) == ROWS
    assert store.read_rows(f"{store.folder(one)}/rows.parquet", 510, 520) == ROWS[510:520]
    store.write_rows(f"{store.new_attempt(two)}/rows.parquet", ROWS)
    store.note_failure(three, "no")
    assert store.listing() == {one.address: "built", two.address: "begun", three.address: "failed"}
    late = store.new_attempt(one)
    store.write_rows(f"{late}/rows.parquet", [])
    assert store.commit(one, late, {"right": 2}, 1.0).summary == {"rows": 700, "right": 1}, "the first commit stays"
    store.remove(two.address)
    assert two.address not in store.listing()
    with pytest.raises(StoreError, match="is not built"):
        store.rows(two)


def test_it_is_the_same_store_in_another_process(store: Store) -> None:
    store.build_rows(step("one"), lambda: (ROWS, {}))
    again, (root,) = store.__reduce__()
    assert again(root).rows(step("one")) == ROWS


def test_every_request_of_a_commit_may_fail(storage: Storage, store: Store) -> None:
    """One request after the other fails once for as long as the client tries by itself, which is three times."""
    begun = len(storage.seen)
    store.build_rows(step("healthy"), lambda: (ROWS, {}))
    requests = len(storage.seen) - begun
    assert requests > 3
    for number in range(requests):
        name, failure = f"fails-{number}", ("500", "503")[number % 2]
        storage.fail(lambda count, _, first=number, failure=failure: failure if first <= count < first + 4 else None)
        store.build_rows(step(name), lambda: (ROWS, {}))
        storage.fail(lambda count, method: None)
        assert store.rows(step(name)) == ROWS, number


def test_a_storage_that_hangs_once_is_asked_again(storage: Storage, store: Store) -> None:
    storage.fail(lambda count, method: "hang" if count == 3 else None)
    store.build_rows(step("one"), lambda: (ROWS, {}))
    assert store.rows(step("one")) == ROWS


@pytest.mark.parametrize(("failure", "word"), [("503", "SLOW_DOWN"), ("403", "ACCESS_DENIED")])
def test_what_stays_broken_is_one_line_and_no_result(storage: Storage, store: Store, failure: str, word: str) -> None:
    storage.fail(lambda count, method: failure if method in ("PUT", "POST") else None)
    with pytest.raises(StoreUnavailable, match=r"cannot be written .*run the same command to go on") as caught:
        store.build_rows(step("one"), lambda: (ROWS, {}))
    message = str(caught.value)
    assert word in message
    assert "\n" not in message
    assert "planted-secret" not in message
    with pytest.raises(StoreError, match="give another with --store"):
        store.check_writable()
    storage.fail(lambda count, method: None)
    assert not store.built(step("one"))
    store.build_rows(step("one"), lambda: (ROWS, {}))
    assert store.rows(step("one")) == ROWS


def test_damage_there_is_damage_here(store: Store) -> None:
    store.build_rows(step("one"), lambda: (ROWS, {}))
    table = f"{store.folder(step('one'))}/rows.parquet"
    store.write_bytes(table, store.read_bytes(table)[:-20])
    with pytest.raises(StoreError, match=r"rows\.parquet: not a readable table"):
        store.read_rows(table)
    with pytest.raises(StoreError, match=r"rows\.parquet is not what was committed"):
        store.rows(step("one"))
    with pytest.raises(StoreError, match=r"rows\.parquet is not what was committed"):
        store.folder(step("one"))
    record = f"{step('one').address}/record.json"
    store.write_bytes(record, store.read_bytes(record)[:-20])
    assert not store.built(step("one"))
    store.build_rows(step("one"), lambda: (ROWS, {}))
    assert store.rows(step("one")) == ROWS
    other = f"{store.folder(step('one'))}/rows.parquet"
    store.write_rows(other, ROWS[:1])  # whole and good, but another one
    with pytest.raises(StoreError, match=r"rows\.parquet is not what was committed"):
        store.rows(step("one"))


WRITER = """
import json, sys
from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
store, who = Store(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(12):
    step = Step("score", 1, {"name": number}, (), str(number))
    rows = [{"by": who, "row": row} for row in range(40)]
    for start in (0, 20):  # a shard that both name alike
        store.write_rows(f"{step.address}/rows/{start}.parquet", rows[start : start + 20])
    record = store.build_rows(step, lambda: (rows, {"by": who}))
    found = store.rows(step)
    assert [row["row"] for row in found] == list(range(40)), number
    assert {row["by"] for row in found} == {store.record(step).summary["by"]}, number
    print(json.dumps([number, record.summary["by"]]), flush=True)
"""


@pytest.mark.parametrize("place", ["disk", "object storage"])
def test_two_jobs_on_one_store(storage: Storage, tmp_path: Path, place: str) -> None:
    """The same steps at the same time: every table is whole and one writer's, and on a disk both see one winner."""
    root = str(tmp_path) if place == "disk" else storage.uri("two-jobs")
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, root, who],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        for who in ("first", "second")
    ]
    for job in jobs:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
    outputs = [job.communicate("go\n", timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    winners = [json.loads(line) for output, _ in outputs for line in output.splitlines()]
    assert len(winners) == 24
    if place == "disk":
        assert len({tuple(each) for each in winners}) == 12
    store = Store(root)
    for number in range(12):
        address = Step("score", 1, {"name": number}, (), str(number)).address
        for start in (0, 20):
            rows = store.read_rows(f"{address}/rows/{start}.parquet")
            assert [row["row"] for row in rows] == list(range(start, start + 20))
            assert len({row["by"] for row in rows}) == 1
    assert not [path for path in tmp_path.rglob("*.tmp")]


# --- models ------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_checkpoint_is_fetched_once(storage: Storage, store: Store, cache: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": os.urandom(1 << 20), "adapter/adapter_config.json": b"{}"}
    for name, data in {**files, "code.py": b"no", "weights.bin": b"no"}.items():
        store.write_bytes(f"train/cell/attempts/a/{name}", data)
    place = store.local_path("train/cell/attempts/a")
    assert is_remote(place)
    patterns = ("*.json", "*.safetensors")
    folder = Path(fetch(place, patterns))
    assert {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == files
    begun = len(storage.seen)
    assert fetch(place, patterns) == str(folder)
    assert not [request for request in storage.seen[begun:] if request.startswith("GET") and "safetensors" in request]
    store.write_bytes("train/cell/attempts/a/config.json", b'{"other": 1}')
    other = Path(fetch(place, patterns))
    assert other != folder
    assert (other / "config.json").read_bytes() == b'{"other": 1}'
    assert not list(cache.rglob("*.tmp"))


def test_processes_that_want_a_checkpoint_at_a_time_share_one_fetch(
    storage: Storage, store: Store, cache: Path
) -> None:
    store.write_bytes("model/model.safetensors", os.urandom(1 << 16))
    place = store.local_path("model")
    asked: list[float] = []

    def slow(count: int, method: str) -> None:
        if method == "GET" and storage.seen[-1].endswith("/model.safetensors"):
            asked.append(time.monotonic())
            time.sleep(2)  # until all of them have begun

    storage.fail(slow)
    code = "import sys; from capgap_ray.artifacts.fetch import fetch; print(fetch(sys.argv[1]))"
    environment = {**os.environ, "TMPDIR": str(cache)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code, place], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate(timeout=60)[0] for process in processes}
    assert len(asked) == 1
    assert said == {f"{fetch(place)}\n"}
    assert not list(cache.rglob("*.tmp"))


def test_a_fetch_that_was_killed_is_done_again_by_who_waits_for_it(storage: Storage, store: Store, cache: Path) -> None:
    store.write_bytes("model/model.safetensors", os.urandom(1 << 16))
    place = store.local_path("model")
    begun = threading.Event()

    def hangs(count: int, method: str) -> None:
        if method == "GET" and storage.seen[-1].endswith("/model.safetensors") and not begun.is_set():
            begun.set()
            time.sleep(8)

    storage.fail(hangs)
    code = "import sys; from capgap_ray.artifacts.fetch import fetch; fetch(sys.argv[1])"
    first = subprocess.Popen([sys.executable, "-c", code, place], env={**os.environ, "TMPDIR": str(cache)})
    assert begun.wait(60)
    threading.Timer(1.0, first.kill).start()
    assert len(list(Path(fetch(place)).iterdir())) == 1
    assert first.wait(0.0) == -signal.SIGKILL


def test_a_fetch_that_breaks_leaves_nothing_to_mistake_for_a_model(storage: Storage, store: Store, cache: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        store.write_bytes(f"model/{name}", b"{}")
    place = store.local_path("model")
    storage.fail(lambda count, method: "403" if method == "GET" and "safetensors" in storage.seen[-1] else None)
    with pytest.raises(StoreUnavailable):
        fetch(place)
    assert [path.name for path in cache.rglob("*") if path.is_file()] == []
    storage.fail(lambda count, method: None)
    assert len(list(Path(fetch(place)).iterdir())) == 2


def test_the_copy_that_was_used_longest_ago_makes_room(
    store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free(folder: Path) -> int:
        return 3_500_000 - sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    def got(name: str) -> Path:
        return Path(fetch(store.local_path(name)))

    monkeypatch.setattr(fetching, "_free", free)
    monkeypatch.setattr(fetching, "_RESERVE_BYTES", 400_000)
    for name in "abcdef":
        store.write_bytes(f"{name}/model.safetensors", os.urandom(1_000_000))
    store.write_bytes("large/model.safetensors", bytes(4_000_000))
    a, b, c = map(got, "abc")
    left_over = a.with_name(f"{a.name}.0.tmp")
    left_over.mkdir()
    with pytest.raises(StoreError, match=r"do not fit node .* set TMPDIR"):
        got("large")
    assert a.is_dir() and b.is_dir() and c.is_dir(), "this process uses them"
    assert not left_over.exists(), "of a process that was killed"
    let_go()
    assert got("a") == a
    let_go()
    assert got("d").is_dir()
    assert (a.is_dir(), b.is_dir(), c.is_dir()) == (True, False, True)

    other = os.open(c, os.O_RDONLY)  # as another process holds it
    fcntl.flock(other, fcntl.LOCK_SH)
    got("a")
    let_go([str(a)])
    assert got("e").is_dir()
    assert (a.is_dir(), c.is_dir()) == (True, True)
    os.close(other)
    let_go()
    got("f")
    assert not c.is_dir()
    assert not list(cache.rglob("*.tmp"))


def test_no_model_there(store: Store, cache: Path) -> None:
    with pytest.raises(StoreError, match="no files there"):
        fetch(store.local_path("nothing"))


def test_a_cache_of_somebody_else_is_refused(store: Store, cache: Path) -> None:
    store.write_bytes("model/config.json", b"{}")
    (cache / f"capgap-models-{os.getuid()}").mkdir(mode=0o777)
    (cache / f"capgap-models-{os.getuid()}").chmod(0o777)
    with pytest.raises(StoreError, match="another user"):
        fetch(store.local_path("model"))


def test_what_is_no_object_storage() -> None:
    remote: dict[str, Any] = {"s3://b/x": True, "gs://b/x": True, "/models/x": False, "org/name@main": False}
    assert {place: is_remote(place) for place in remote} == remote
    assert not is_remote("https://api.example.com/v1")
