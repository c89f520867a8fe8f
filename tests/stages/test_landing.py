"""What has landed of a training that runs, and the thread that has it scored; no Ray runs."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.models import MODELS, resolve
from capgap_ray.plan import Cell, Scored
from capgap_ray.settings import Filter, Sft
from capgap_ray.stages.landing import Landing, exports_so_far

STEP = Step("train", 1, {"sft": {"checkpoints": {"every": 2}}}, (), "cell")
ATTEMPT = f"{STEP.address}/attempts/one"


def cell(name: str) -> Cell:
    student = resolve("tiny-student-0.15m", MODELS["tiny-student-0.15m"])
    return Cell(student=student, mixture="m", sft=Sft(), train=Step("train", 1, {"n": name}), filter=Filter())


def scored(name: str) -> Scored:
    step = Step("complete", 1, {"n": name})
    return Scored(complete=step, score=Step("score", 1, {}, (step,)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def export(store: Store, update: int, attempt: str = ATTEMPT) -> str:
    folder = f"{attempt}/update-{update:06d}"
    store.write_bytes(f"{folder}/config.json", b"{}")
    return folder


def tell(store: Store, update: int, attempt: str = ATTEMPT) -> None:
    told = {"update": update, "updates": 9, "loss": 1.0, "attempt": attempt}
    store.write_bytes(f"{STEP.address}/progress.json", json.dumps(told).encode())


def test_an_export_is_whole_once_a_later_update_is_told(store: Store) -> None:
    assert exports_so_far(store, STEP) == {}
    folder = export(store, 2)
    tell(store, 2)
    assert exports_so_far(store, STEP) == {}, "it may still be written"
    tell(store, 3)
    assert exports_so_far(store, STEP) == {"2": folder}


def test_another_attempts_progress_says_nothing_of_this_one(store: Store) -> None:
    tell(store, 8)
    export(store, 2, f"{STEP.address}/attempts/two")
    assert exports_so_far(store, STEP) == {}


def test_exports_before_the_state_that_training_went_on_from_count(store: Store) -> None:
    facts = {"updates": 4, "workers": 1, "losses": [], "validation": {}, "checkpoints": {"2": "old"}, "folder": "s"}
    store.write_bytes(f"{STEP.address}/state/latest.json", json.dumps(facts).encode())
    tell(store, 5)
    four = export(store, 4)
    assert exports_so_far(store, STEP) == {"2": "old", "4": four}


def test_each_landed_step_is_given_once_and_before_the_training_ends() -> None:
    one, two = cell("one"), cell("two")
    given: list[Any] = []
    both = threading.Event()

    def score(wanted: Any) -> None:
        given.extend(wanted)
        if len(given) == 3:
            both.set()

    ready = {one.train.key: [[(scored("a"), "x")], [(scored("b"), "y")]], two.train.key: [[(scored("c"), "z")]]}
    with Landing(lambda cell: ready[cell.train.key], score) as landing:
        landing.began(one)
        landing.ended(one, True)
        landing.began(two)
        assert both.wait(10)
    assert sorted(source for _, source in given) == ["x", "y", "z"]
    assert landing.scored == 3


def test_a_cell_that_failed_is_not_scored() -> None:
    given: list[Any] = []
    with Landing(lambda cell: [[(scored("a"), "x")]], given.extend) as landing:
        landing.ended(cell("one"), False)
    assert given == []


def test_what_goes_wrong_is_raised_when_the_training_has_ended() -> None:
    def score(wanted: Any) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Landing(lambda cell: [[(scored("a"), "x")]], score) as landing:
        landing.began(cell("one"))
        landing._thread.join(10)


def test_what_trainings_wait_for_never_queues_behind_the_rest() -> None:
    """Two cells that export faster than the engine scores: each turn takes the newest of both."""
    cells = [cell("one"), cell("two")]
    newest = 5
    turns: list[list[str]] = []
    enough = threading.Event()

    def ready(cell: Cell) -> list[Any]:
        name = cell.train.params["n"]
        return [[(scored(f"{name} {update}"), f"{name} {update}")] for update in (newest, *range(newest))]

    def score(wanted: Any) -> None:
        nonlocal newest
        turns.append([source for _, source in wanted])
        newest += 5
        if len(turns) == 3:
            enough.set()

    with Landing(ready, score, at_once=1) as landing:
        for each in cells:
            landing.began(each)
        assert enough.wait(10)
    both = [turn for turn in turns if len(turn) == 2][:2]
    assert both, "one group of each running cell, though one is asked for at once"
    for turn in both:
        assert len({source.split()[1] for source in turn}) == 1 and int(turn[0].split()[1]) % 5 == 0
