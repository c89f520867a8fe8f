"""Connecting to Ray, and what of Ray's noise to hide."""

from __future__ import annotations

import logging
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayActorError

from capgap_ray.artifacts.store import Store
from capgap_ray.settings import Resources
from capgap_ray.stages import SETTINGS
from capgap_ray.stages.joined import Watch, may_grow

_LOCAL = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # nobody takes this machine back; saves a process per trial
    "RAY_prestart_worker_first_driver": "0",  # those have no runtime environment, so nothing of ours would run in them
    # A raylet looks for its object store before that is up, and would look again after 1 s. In all 10 s, as by default.
    "RAY_raylet_client_connect_timeout_milliseconds": "50",
    "RAY_raylet_client_num_connect_attempts": "200",
    # Workers beyond the number of CPUs are ended when idle, after 1 s; the next unit's then starts with 1 s of imports.
    "RAY_idle_worker_killing_time_threshold_ms": "30000",
    "RAY_worker_maximum_startup_concurrency": "8",  # or Ray warns of the many small processes of two trials
}


def demand(resources: Resources, workers: int) -> float:
    """CPUs that engines, as many as there may be, and training ask for when both are up."""
    engines = resources.engines * resources.engine_cpus
    return engines + resources.trials * workers * resources.worker_cpus


def _joins() -> bool:
    return bool(os.environ.get("RAY_ADDRESS"))


def _say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def cluster(
    resources: Resources, workers: int, store: Store | None = None, say: Callable[[str], None] = _say
) -> Iterator[dict[str, float]]:
    """Join the cluster that RAY_ADDRESS names (as `ray job submit` sets it), or start one in this process. Yields the
    CPUs and GPUs that others hold, such as the submitted job itself.

    Raises ResourcesError where nothing answers at RAY_ADDRESS or no node of the cluster that is joined can ever hold an
    engine or a worker, StoreError where one of its nodes does not see the store, and LostError where a local one does
    not come up, and in place of Ray's errors of actors and objects that are lost. `say` is told, in lines for people,
    what is waited for there.

    A local one is given as many logical CPUs as engines and training ask for together: on two cores they take
    turns, and the waiting ones cost nothing.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    environment: dict[str, dict[str, str]] = {"env_vars": {name: os.environ[name] for name in SETTINGS}}
    joins = _joins()
    if joins:
        _refuse_unanswered(os.environ["RAY_ADDRESS"])
        ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment)
    else:
        os.environ.update(_LOCAL)
        _start_here(
            num_cpus=int(demand(resources, workers)) + 2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=environment,
            _temp_dir=str(Path(tempfile.gettempdir()) / f"capgap-{os.getuid()}"),
        )
    try:
        _refuse_unsatisfiable(resources)
        total, free = ray.cluster_resources(), ray.available_resources()
        with Watch(store, say) if joins and store is not None else nullcontext():
            yield {name: total.get(name, 0.0) - free.get(name, 0.0) for name in ("CPU", "GPU")}
    except (ObjectLostError, RayActorError) as error:
        lost = " ".join(str(error).split())[:300]
        raise LostError(
            f"the cluster lost a process of this run; the same command goes on from what was committed: {lost}"
        ) from error
    finally:
        if not joins and (node := ray._private.worker._global_node) is not None:
            # The autoscaler's monitor, of no use here, is deaf once the GCS is gone, and `shutdown` waits 1 s for it.
            node.kill_monitor(check_alive=False)
        ray.shutdown()


def _refuse_unanswered(address: str) -> None:
    """Raise ResourcesError where no cluster is: Ray would try for a quarter of an hour."""
    where = re.fullmatch(r"\[?([^/]+?)\]?:(\d+)", address)
    if where is None:
        return  # `auto`, or a scheme of Ray's own
    try:
        socket.create_connection((where[1], int(where[2])), timeout=30).close()
    except OSError as error:
        raise ResourcesError(
            f"RAY_ADDRESS: no cluster answers at {address} ({error}); start it, or unset RAY_ADDRESS to run on this "
            "machine alone"
        ) from None


def _start_here(**settings: Any) -> None:
    """Start Ray on this machine. Raises LostError where it does not come up in the 30 s that Ray gives itself."""
    try:
        ray.init(address="local", **settings)
    except Exception as error:  # Ray has no narrower one for it
        if "timed out during startup" not in str(error):
            raise
        raise LostError(
            "Ray did not come up on this machine within 30 s: something else may take all of its processors or memory; "
            "run the same command again when it is done"
        ) from error


class LostError(RuntimeError):
    """A process or object of the run went with its node, and nothing takes its place; the message is one line."""


class ResourcesError(ValueError):
    """A request that no node of the cluster can ever hold; the message names the field and what there is."""


def unsatisfiable(resources: Resources, nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Why a request can never be met, or None. `nodes`: what each node that is there or may come holds.

    An engine and a training worker are each placed on one node, of `parallel` those with stages of layers GPU by GPU;
    how many run at a time is Ray's to queue.
    """
    spread = [float(each.tensor if each.pipeline == 1 else 1) for each in resources.parallel.values()]
    for what, cpus, gpus in (
        ("engine", resources.engine_cpus, max([resources.engine_gpus, *spread])),
        ("worker", resources.worker_cpus, resources.worker_gpus),
    ):
        if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            best = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
            return (
                f"resources.{what}_cpus {cpus:g} with resources.{what}_gpus {gpus:g}: no node that is or may "
                f"come has both (largest: {best.get('CPU', 0):g} CPUs, {best.get('GPU', 0):g} GPUs); ask for less, or "
                "add a node type to the cluster"
            )
    return None


def _refuse_unsatisfiable(resources: Resources) -> None:
    """Raise ResourcesError instead of waiting for ever. Of a cluster that is joined and whose autoscaler does not tell
    its kinds of nodes, Ray alone knows what may come, and nothing is refused."""
    config = ray._private.state.state.get_cluster_config()
    kinds = [] if config is None else config.node_group_configs
    nodes: list[Mapping[str, float]] = [dict(kind.resources) for kind in kinds]
    nodes += [node["Resources"] for node in ray.nodes() if node["Alive"]]
    why = unsatisfiable(resources, nodes)
    if why is not None and (kinds or not _joins() or not may_grow()):
        raise ResourcesError(why)


def refuse_training(resources: Resources, workers: int) -> None:
    """Raise ResourcesError where a cluster to which no node comes can never hold the workers of one training: Ray Train
    would wait for an hour, and again."""
    why = untrainable(resources, workers, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    if why is not None and not (_joins() and may_grow()):
        raise ResourcesError(why)


def untrainable(resources: Resources, workers: int, nodes: Sequence[Mapping[str, float]]) -> str | None:
    """Why these nodes can never hold the workers of one training, or None."""
    if not resources.worker_gpus:
        return None
    gpus = [node.get("GPU", 0) for node in nodes]
    room = int(sum(each // resources.worker_gpus for each in gpus))
    if room >= resources.least_workers(workers):
        return None
    return (
        f"sft.workers {workers} with resources.worker_gpus {resources.worker_gpus:g}: there are {sum(gpus):g} GPUs; "
        f"set resources.min_workers to {room}, which does the same updates with fewer workers, or lower sft.workers"
    )


def fits_both(resources: Resources, workers: int, taken: Mapping[str, float]) -> bool:
    """Whether the cluster, with the nodes that come to one that is joined, can hold the engines that stand while it
    trains; if not, they are closed in between. `taken`: what others hold, as `cluster` yields it."""
    up, grown = ray.cluster_resources(), resources.grows_to if _joins() else None
    most = {"CPU": grown.cpus, "GPU": grown.gpus} if grown else {}
    total = {name: max(up.get(name, 0.0), most.get(name, 0.0)) - taken.get(name, 0.0) for name in ("CPU", "GPU")}
    standing = resources.model_copy(update={"engines": resources.kept_engines})
    gpus = standing.engines * standing.engine_gpus + standing.trials * workers * standing.worker_gpus
    # More CPUs: trials and the tasks that hand rows to engines only drive, with a hundredth each.
    return bool(total["CPU"] > demand(standing, workers) and total["GPU"] >= gpus)
