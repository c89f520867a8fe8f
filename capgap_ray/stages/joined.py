"""What a cluster that is joined may lack: nodes that are to come, room, and disks that all nodes share.

A cluster of this process' own is one machine, which holds what it is asked for.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from capgap_ray.artifacts.store import Store, StoreError

_REPORT_S = 30.0
"""Ray's monitor first tells of itself up to 20 s after the head has started."""
_LOOK_S = 5.0
_ANSWER_S = 60.0
"""Within which a small task on a node answers; one that does not is asked again later."""
_SIGHT_S = 5.0
"""A network file system may show a new file late."""
_PATIENCE_S = 60.0
"""After so long, and then again and again, it is said what is waited for."""

Bundle = tuple[tuple[str, float], ...]
"""Resources that are asked for on one node, sorted by name."""


# --- an autoscaler ---------------------------------------------------------------------------------------


def may_grow() -> bool:
    """Whether nodes may still come to the cluster. Where Ray does not tell in time, they may."""
    from ray.autoscaler.v2.utils import is_autoscaler_v2

    if is_autoscaler_v2(gcs_client=ray._private.worker.global_worker.gcs_client):
        return True
    deadline = time.monotonic() + _REPORT_S
    while True:
        told = autoscales(ray.experimental.internal_kv._internal_kv_get("__autoscaling_status"))
        if told is not None:
            return told
        if time.monotonic() > deadline:
            return True
        time.sleep(1.0)


def autoscales(status: bytes | None) -> bool | None:
    """From what Ray's monitor writes, whether it has kinds of nodes to bring; None where it has not told yet.

    A monitor without an autoscaler's configuration makes a kind of its own for each node, named after it.
    """
    report = json.loads(status).get("autoscaler_report") if status else None
    kinds = [*(report["active_nodes"] or ()), *(report["idle_nodes"] or ())] if report else []
    return any(not re.fullmatch("node_[0-9a-f]{56}", kind) for kind in kinds) if kinds else None


# --- what is waited for ----------------------------------------------------------------------------------


class Patience:
    """Which requests wait for longer than that, to be told of once in every such time."""

    def __init__(self) -> None:
        self._since: dict[Bundle, float] = {}
        self._told = -_PATIENCE_S

    def look(self, now: float, pending: Mapping[Bundle, int]) -> dict[Bundle, float]:
        """Request -> seconds that it has waited, of those to tell of now. `pending`: how many there are of each."""
        self._since = {each: self._since.get(each, now) for each in pending}
        late = {each: now - since for each, since in self._since.items() if now - since >= _PATIENCE_S}
        if not late or now - self._told < _PATIENCE_S:
            return {}
        self._told = now
        return late


def waiting_line(late: Mapping[Bundle, float], pending: Mapping[Bundle, int], free: Mapping[str, float]) -> str:
    wanted = "; ".join(f"{pending[each]} x {_in_words(each)} for {since:.0f} s" for each, since in late.items())
    left = ", ".join(f"{free.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
    return f"waiting     the cluster has no room yet for {wanted}; free on all its nodes together: {left}"


def _in_words(bundle: Bundle) -> str:
    return "(" + ", ".join(f"{amount:g} {name}" for name, amount in bundle) + ")"


def _pending() -> dict[Bundle, int]:
    """What tasks, actors and placement groups of the whole cluster ask for and have not got."""
    from ray.autoscaler.v2.sdk import get_cluster_resource_state

    state: Any = get_cluster_resource_state(ray._private.worker.global_worker.gcs_client)
    found: dict[Bundle, int] = {}
    gangs = [each for gang in state.pending_gang_resource_requests for each in gang.requests]
    for request, count in [(each.request, each.count) for each in state.pending_resource_requests] + [
        (each, 1) for each in gangs
    ]:
        bundle = tuple(sorted((name, amount) for name, amount in request.resources_bundle.items() if name.isalpha()))
        if bundle:  # one inside a placement group has other names
            found[bundle] = found.get(bundle, 0) + count
    return found


# --- what every node needs -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a process of a node has."""

    address: str
    store: bool
    """Whether it sees a file that the driver has written into the store."""
    token: bool
    """Whether huggingface_hub finds a token there."""


def unshared(root: str, seen: Iterable[Sight]) -> str | None:
    """One line where nodes do not see the store; None where all do."""
    blind = [each.address for each in seen if not each.store]
    if not blind:
        return None
    return (
        f"--store: {root!r} is a disk of the driver's node, which node {', '.join(blind)} does not see; give a store "
        "that every node can reach: a shared folder, or s3://bucket/folder"
    )


def without_token(seen: Iterable[Sight]) -> str | None:
    """One line where the driver has a Hub token and nodes have none; None where all have one."""
    lacking = [each.address for each in seen if not each.token]
    if not lacking or not _has_token():
        return None
    return (
        f"note        HF_TOKEN is set for the driver and not on node {', '.join(lacking)}, which cannot fetch gated or "
        """private models; ray job submit --runtime-env-json '{"env_vars": {"HF_TOKEN": "..."}}' sets it (and Ray """
        "shows it), or the nodes' own environment"
    )


def _has_token() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def _sight(root: str, name: str) -> Sight:
    store, deadline = Store(root), time.monotonic() + _SIGHT_S
    while not (sees := store.exists(name)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return Sight(address=ray.util.get_node_ip_address(), store=sees, token=_has_token())


def _look_from(nodes: Sequence[str], store: Store, ended: threading.Event) -> dict[str, Sight]:
    """Node -> what it has, of those that answer in time and before the event."""
    with store.probe() as name:
        asked: dict[Any, str] = {}
        for node in nodes:
            place = NodeAffinitySchedulingStrategy(node, soft=False)
            task = ray.remote(_sight).options(num_cpus=0, scheduling_strategy=place, max_retries=0)
            asked[task.remote(store.root, name)] = node
        found: dict[str, Sight] = {}
        left, deadline = list(asked), time.monotonic() + _ANSWER_S
        while left and not ended.is_set() and time.monotonic() < deadline:
            done, left = ray.wait(left, timeout=1.0)
            for each in done:
                try:
                    found[asked[each]] = ray.get(each)
                except RayTaskError:
                    raise
                except RayError:  # the node has gone again
                    continue
        return found


class Watch:
    """Use as a context while the run has joined a cluster. Entering it raises StoreError where a node of the cluster
    does not see the store; of nodes that come later, and of what is waited for, it says so."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store, self._say = store, say
        # On the driver's own node there is nothing to look for but the token.
        self._looked = set() if _has_token() else {ray.get_runtime_context().get_node_id()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        if (why := self._new_nodes()) is not None:
            raise StoreError(why)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _new_nodes(self) -> str | None:
        """Look from the nodes that have come and that work runs on; `unshared` of them."""
        up = {node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")}
        if not (new := up - self._looked):
            return None
        seen = _look_from(sorted(new), self._store, self._ended)
        self._looked |= seen.keys()
        if (note := without_token(seen.values())) is not None:
            self._say(note)
        return unshared(self._store.root, seen.values())

    def _run(self) -> None:
        patience = Patience()
        with suppress(RayError, OSError):  # the run itself meets it, and tells of it
            while not self._ended.wait(_LOOK_S):
                if (why := self._new_nodes()) is not None:
                    self._say(f"error: {why}")
                pending = _pending()
                if late := patience.look(time.monotonic(), pending):
                    self._say(waiting_line(late, pending, ray.available_resources()))
