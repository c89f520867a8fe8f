"""A cluster that is joined: what it lacks is told, not waited for."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import ray

from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.settings import Resources
from capgap_ray.stages import cluster, joined
from capgap_ray.stages.cluster import ResourcesError
from capgap_ray.stages.joined import Patience, Sight, Watch, autoscales, unshared, waiting_line

GPU, CPU = (("CPU", 1.0), ("GPU", 1.0)), (("CPU", 2.0),)


def status(active: dict[str, int], idle: dict[str, int] | None = None) -> bytes:
    return json.dumps({"monitor_pid": 1, "autoscaler_report": {"active_nodes": active, "idle_nodes": idle}}).encode()


@pytest.mark.parametrize(
    ("told", "grows"),
    [
        (status({f"node_{'1f' * 28}": 1}), False),  # as Ray 2.60 writes it after a bare `ray start --head`
        (status({}, {f"node_{'1f' * 28}": 1}), False),
        (status({"ray.head.default": 1}), True),
        (status({}, {"ray.head.default": 1}), True),
        (status({}), None),
        (b'{"monitor_pid": 1}', None),
        (None, None),
    ],
)
def test_whether_nodes_may_come(told: bytes | None, grows: bool | None) -> None:
    assert autoscales(told) is grows


@pytest.mark.parametrize(("joins", "grows", "refused"), [(True, True, 0), (True, False, 2), (False, True, 2)])
def test_a_request_that_no_node_holds_is_refused_where_none_comes(
    joins: bool, grows: bool, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_joins", lambda: joins)
    monkeypatch.setattr(cluster, "may_grow", lambda: grows)
    monkeypatch.setattr(cluster.ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}])
    monkeypatch.setattr(cluster.ray._private.state.state, "get_cluster_config", lambda: None)
    met = 0
    for ask in (
        lambda: cluster._refuse_unsatisfiable(Resources(engine_gpus=1)),
        lambda: cluster.refuse_training(Resources(worker_gpus=1), 2),
    ):
        try:
            ask()
        except ResourcesError as error:
            assert "gpus 1" in str(error)
            met += 1
    assert met == refused


def test_what_waits_is_told_after_a_minute_and_every_minute() -> None:
    patience = Patience()
    told = {now: list(patience.look(now, {GPU: 1, **({CPU: 2} if now % 40 else {})})) for now in range(0, 200, 20)}
    assert {now: late for now, late in told.items() if late} == {60: [GPU], 120: [GPU], 180: [GPU]}
    assert not patience.look(200.0, {}), "it has been placed"
    line = waiting_line({GPU: 65.2}, {GPU: 3}, {"CPU": 7.0})
    assert "3 x (1 CPU, 1 GPU) for 65 s; free on all its nodes together: 7 CPU, 0 GPU" in line


def test_nodes_that_do_not_see_the_store_are_named() -> None:
    near, far = Sight(address="10.0.0.1", store=True, token=True), Sight(address="10.0.0.2", store=False, token=True)
    assert unshared("/home/me/store", [near]) is None
    why = unshared("/home/me/store", [near, far])
    assert why is not None
    assert "'/home/me/store'" in why
    assert "node 10.0.0.2 does not see; give a store that every node can reach" in why


def test_a_node_without_the_store_is_refused_and_one_that_comes_later_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    told = threading.Event()
    blind = {"b"}
    up = ["a", "b"]

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("error"):
            told.set()

    def look(nodes: list[str], *_: Any) -> dict[str, Sight]:
        return {each: Sight(address=each, store=each not in blind, token=False) for each in nodes}

    monkeypatch.setattr(joined, "_look_from", look)
    monkeypatch.setattr(joined, "_LOOK_S", 0.05)
    monkeypatch.setattr(joined, "_pending", dict)
    monkeypatch.setattr(joined, "_has_token", lambda: True)
    monkeypatch.setattr(
        joined.ray, "nodes", lambda: [{"NodeID": n, "Alive": True, "Resources": {"CPU": 1.0}} for n in up]
    )
    with pytest.raises(StoreError, match="node b does not see"), Watch(store, say):
        pass
    assert "HF_TOKEN is set for the driver and not on node a, b" in said.pop()
    blind, up = {"c"}, ["a", "b"]
    with Watch(store, say):
        up.append("c")
        assert told.wait(10)
    assert any(line.startswith("error: --store:") and "node c" in line for line in said)


def test_a_nodes_process_looks_for_the_drivers_file(store: Store, local_ray: None) -> None:
    own = ray.get_runtime_context().get_node_id()
    seen = joined._look_from([own], store, threading.Event())
    assert (list(seen), seen[own].store) == ([own], True)
    assert list(Path(store.root).iterdir()) == []
