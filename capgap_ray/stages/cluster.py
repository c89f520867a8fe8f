"""Connecting to Ray, and what of Ray's noise to hide."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import ray.data

from capgap_ray.experiment import Resources
from capgap_ray.stages import SETTINGS

_LOCAL = {
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # nobody takes this machine back; saves a process per trial
    "RAY_worker_maximum_startup_concurrency": "8",  # or Ray warns of the many small processes of two trials
}


def demand(resources: Resources, workers: int) -> float:
    """CPUs that engines and training ask for when both are up."""
    engines = resources.engines * resources.engine_cpus
    return engines + resources.trials * workers * resources.worker_cpus


@contextmanager
def cluster(resources: Resources, workers: int) -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names (as `ray job submit` sets it), or start one in this process.

    A local one is given as many logical CPUs as engines and training ask for together: on two cores they take
    turns, and the waiting ones cost nothing.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    environment: dict[str, dict[str, str]] = {"env_vars": {name: os.environ[name] for name in SETTINGS}}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment)
    else:
        os.environ.update(_LOCAL)
        ray.init(
            address="local",
            num_cpus=int(demand(resources, workers)) + 2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=environment,
            _temp_dir=str(Path(tempfile.gettempdir()) / f"capgap-{os.getuid()}"),
        )
    # Ray Data logs its plans as warnings and above too; what matters comes back as exceptions.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []
    try:
        yield
    finally:
        ray.shutdown()


def fits_both(resources: Resources, workers: int) -> bool:
    """Whether the cluster can hold the engines while it trains; if not, engines are closed in between."""
    total = ray.cluster_resources()
    gpus = resources.engines * resources.engine_gpus + resources.trials * workers * resources.worker_gpus
    return bool(total.get("CPU", 0) >= demand(resources, workers) and total.get("GPU", 0) >= gpus)
