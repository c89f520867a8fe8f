"""Engines that come with the work and go with it, on a Ray that is told of GPUs; the engines are scripted."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray

from capgap_ray.artifacts.store import Store
from capgap_ray.settings import Engine, Resources
from capgap_ray.stages import engine_pool
from capgap_ray.stages.engine import Layout
from capgap_ray.stages.engine_pool import EnginePool
from capgap_ray.stages.inference import UNIT_ROWS, run_slices
from capgap_ray.stages.slices import Slice
from tests.ray.conftest import DECODING, request, slices
from tests.ray.scripted import ScriptedEngine

TWO = Layout(tensor=2, pipeline=1)
Start = Callable[..., EnginePool]


@pytest.fixture(scope="module")
def ray_with_two_gpus() -> Iterator[None]:
    ray.init(address="local", num_cpus=6, num_gpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def start(ray_with_two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(engine_pool, "_IDLE_S", 2.0)
    monkeypatch.setattr(engine_pool, "_ROOM_S", 2.0)
    pools = []

    def make(**resources: Any) -> EnginePool:
        pools.append(EnginePool(Engine(), Resources(engine_timeout_s=60, **resources), ScriptedEngine))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def wanted(store: Store, step: str, units: int, layout: Layout | None = None) -> list[Slice]:
    rows = [request(f"{step}{n}", f"say {n}") for n in range(units * UNIT_ROWS)]
    paused = dataclasses.replace(DECODING, stop=("PAUSE",))
    made = slices(store, rows, step, UNIT_ROWS, paused)
    return [dataclasses.replace(each, address=f"complete/{step}", layout=layout) for each in made]


def wait_for(pool: EnginePool, layouts: list[Layout | None]) -> None:
    for _ in range(100):
        if pool.layouts() == layouts:
            return
        time.sleep(0.2)
    raise AssertionError(f"engines {pool.layouts()}, not {layouts}")


def test_engines_come_while_work_waits_and_go_when_idle(store: Store, start: Start) -> None:
    pool = start(engines=2, min_engines=1)
    most = 0
    for _ in run_slices(store, pool, wanted(store, "a", 16)):
        most = max(most, len(pool.layouts()))
    assert most == 2
    wait_for(pool, [None])
    assert len(list(run_slices(store, pool, wanted(store, "b", 1)))) == 1


def test_an_engine_of_two_gpus_gets_those_of_idle_ones_and_gives_them_back(store: Store, start: Start) -> None:
    pool = start(engines=2, engine_gpus=1)
    wait_for(pool, [None, None])
    for _ in run_slices(store, pool, wanted(store, "large", 2, TWO)):
        assert TWO in pool.layouts()
    (table,) = [each for each in ray.util.placement_group_table().values() if each["state"] == "CREATED"]
    assert sorted(tuple(sorted(each.items())) for each in table["bundles"].values()) == [
        (("CPU", 1.0), ("GPU", 1.0)),
        (("GPU", 1.0),),
    ]
    assert len(list(run_slices(store, pool, wanted(store, "small", 2)))) == 2
    for _ in range(100):
        if TWO not in pool.layouts():
            break
        time.sleep(0.2)
    assert TWO not in pool.layouts()
