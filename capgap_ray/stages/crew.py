"""Training workers that stay: one TorchTrainer that trains one job after another.

Starting a TorchTrainer costs half a minute of processor time, nearly all of it imports in its workers. Tune uses a
trial's process again for the next trial, so that process keeps a crew, and hands its next job to workers that stand.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import ray
import ray.train
from ray._private.state import state
from ray._raylet import ActorID
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.torch.config import _TorchBackend
from ray.util.placement_group import PlacementGroup, PlacementGroupID, remove_placement_group

from capgap_ray.settings import Resources
from capgap_ray.stages.desks import Desk, Job, here
from capgap_ray.stages.sft_engine import ENVIRONMENT_CPU, ENVIRONMENT_GPU

Work = Callable[[Job], Any]
"""Runs on every worker for every job; rank 0's return value is the job's outcome."""


_TIMEOUT_S = 2 * 3600
"""After which a collective has failed. While rank 0 writes, reads again and uploads the export of a large student, the
others wait in one; a worker that died is noticed by Ray, and at once."""

_GOING_S = 20.0
"""In which workers without a job have gone."""


class TrainingError(RuntimeError):
    """A job that cannot be trained; the message is the workers' own."""


class Crew:
    """A group of workers of one shape. Not thread-safe: one job at a time."""

    def __init__(self, workers: int, resources: Resources, work: Work) -> None:
        self.shape = (workers, resources.min_workers, resources.worker_cpus, resources.worker_gpus)
        self._resources, self._work = resources, work
        self._desk = here(Desk).remote()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(workers,), daemon=True)
        self._thread.start()

    @property
    def stands(self) -> bool:
        return self._thread.is_alive()

    def train(self, job: Job) -> Any:
        """Rank 0's outcome. Raises TrainingError where the workers refused the job, and what Ray Train raised where
        they could not be started or died too often."""
        index = ray.get(self._desk.add.remote(job))
        outcome = self._desk.outcome.remote(index)
        while not ray.wait([outcome], timeout=1.0)[0]:
            _remove_groups_of_the_dead()  # again and again: a controller may outlive its trial by some seconds
            if not self.stands:
                raise self._error or TrainingError("the training workers ended without a result")
        found, refused = ray.get(outcome)
        if refused is not None:
            raise TrainingError(refused)
        return found

    def close(self) -> None:
        """Let the workers go; returns when they have. Those that are still at a job are ended."""
        ray.get(self._desk.close.remote())
        self._thread.join(timeout=_GOING_S)
        if self.stands:
            for worker in ray.get(self._desk.workers.remote()):
                ray.kill(worker)
            self._thread.join(timeout=120)  # others are started in their place, and find the desk closed
        ray.kill(self._desk)

    def _run(self, workers: int) -> None:
        resources = self._resources
        on_gpu = resources.worker_gpus > 0
        try:
            with tempfile.TemporaryDirectory() as scratch:
                TorchTrainer(
                    _loop,
                    train_loop_config={"desk": self._desk, "work": self._work},
                    torch_config=_OwnAddress(backend="nccl" if on_gpu else "gloo", timeout_s=_TIMEOUT_S),
                    scaling_config=ray.train.ScalingConfig(
                        num_workers=(resources.min_workers, workers) if resources.min_workers else workers,
                        use_gpu=on_gpu,
                        resources_per_worker={
                            "CPU": resources.worker_cpus,
                            **({"GPU": resources.worker_gpus} if on_gpu else {}),
                        },
                    ),
                    run_config=ray.train.RunConfig(
                        name="crew",
                        storage_path=scratch,  # checkpoints and states are ours: Ray keeps only its bookkeeping here
                        failure_config=ray.train.FailureConfig(max_failures=3, controller_failure_limit=3),
                        worker_runtime_env={"env_vars": ENVIRONMENT_GPU if on_gpu else ENVIRONMENT_CPU},
                    ),
                ).fit()
        except BaseException as error:  # noqa: BLE001 (raised again by `train`, in the thread that waits)
            self._error = error


def _remove_groups_of_the_dead() -> None:
    """Free what the workers of trials that died hold, or wait for: a new crew would wait for it.

    A placement group goes with its creator only when the creator's job has ended, too. Ray Train's own cleaner learns
    of a controller's death from the dashboard, which a local cluster does without, and of no group whose workers have
    not started.
    """
    mine = ray.get_runtime_context().get_job_id()
    for found in state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(found)
        by_actor = not ActorID(group.creator_actor_id).is_nil()  # a driver's groups, Tune's, count as a dead actor's
        ours = by_actor and group.creator_job_id.hex() == mine and not group.is_detached
        if ours and group.creator_actor_dead and group.state != PlacementGroupTableData.REMOVED:
            remove_placement_group(PlacementGroup(PlacementGroupID(group.placement_group_id)))


class _OwnAddress(TorchConfig):  # type: ignore[misc]
    """Process groups that listen at the node's address in the cluster, not on all of its interfaces."""

    @property
    def backend_cls(self) -> type:
        return _OwnAddressBackend


class _OwnAddressBackend(_TorchBackend):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        worker_group.execute(_listen_at_own_address)
        super().on_start(worker_group, backend_config)


def _listen_at_own_address() -> None:
    """On a worker, before its process group is made: torch's store would listen on every interface."""
    from torch.distributed import TCPStore

    # Not `from torch.distributed import rendezvous`: that is a function of the same name.
    rendezvous: Any = importlib.import_module("torch.distributed.rendezvous")

    def create(hostname: str, port: int, rank: int, world_size: int, timeout: Any, use_libuv: bool = True) -> TCPStore:
        settings = {"world_size": world_size, "timeout": timeout, "use_libuv": use_libuv, "multi_tenant": True}
        if rank > 0:
            return TCPStore(hostname, port, is_master=False, **settings)
        family = socket.AF_INET6 if ":" in hostname else socket.AF_INET
        listener = socket.create_server((hostname, port), family=family)
        return TCPStore(hostname, port, is_master=True, master_listen_fd=listener.detach(), **settings)

    rendezvous._create_c10d_store = create
    if ray.util.get_node_ip_address() == "127.0.0.1":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # or Gloo takes the address that the host's name has


_OUT_OF_MEMORY = (
    "a training worker ran out of GPU memory: lower sft.batch.per_device and raise sft.batch.accumulation by as much, "
    "lower sft.cutoff_tokens, or take more sft.workers"
)


def _loop(config: dict[str, Any]) -> None:
    """Runs on every worker: job after job. A job that is refused ends the crew, whose state may be spoilt.

    What is raised out of here has Ray Train start all workers again, which go on from the job's newest state.
    """
    import torch

    desk, work = config["desk"], config["work"]
    context = ray.train.get_context()
    rank, ranks = context.get_world_rank(), context.get_world_size()
    index = ray.get(desk.first_open.remote(ray.get_runtime_context().current_actor))
    while (job := ray.get(desk.job.remote(index))) is not None:
        try:
            found = work(job)
        except OSError:  # of this worker alone, and maybe not again: StoreUnavailable, which is a ValueError, too
            raise
        except (ValueError, ArithmeticError) as error:
            # Of all workers alike it would come again. Where it is of one, the others wait for it in a collective.
            if ray.get(desk.refuse.remote(index, rank, ranks, str(error))):
                return
            raise
        except torch.OutOfMemoryError as error:  # would come again; the other ranks may be waiting for this one
            ray.get(desk.finish.remote(index, None, f"{_OUT_OF_MEMORY} ({str(error).splitlines()[0]})"))
            raise
        if rank == 0:
            ray.get(desk.finish.remote(index, found, None))
        index += 1
        _free()


def _free() -> None:
    """What is left of the last job, before the next one: it is held by cycles."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
