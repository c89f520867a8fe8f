"""Connecting to Ray, and what of Ray's noise to hide."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from capgap_ray.experiment import Resources

_QUIET = {
    "RAY_DEDUP_LOGS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
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
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    environment = {"env_vars": {name: os.environ[name] for name in _QUIET}}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment)
    else:
        _own_token()
        ray.init(
            address="local",
            num_cpus=int(demand(resources, workers)) + 2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=environment,
            _temp_dir=str(Path(tempfile.gettempdir()) / f"capgap-{os.getuid()}"),
        )
    try:
        yield
    finally:
        ray.shutdown()


def _own_token() -> None:
    """A token for the local cluster that only this user can read; Ray's own would be world-readable."""
    if "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ["RAY_AUTH_MODE"] = "token"


def fits_both(resources: Resources, workers: int) -> bool:
    """Whether the cluster can hold the engines while it trains; if not, engines are closed in between."""
    total = ray.cluster_resources()
    gpus = resources.engines * resources.engine_gpus + resources.trials * workers * resources.worker_gpus
    return total.get("CPU", 0) >= demand(resources, workers) and total.get("GPU", 0) >= gpus
