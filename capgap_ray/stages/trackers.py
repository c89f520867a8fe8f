"""Losses to MLflow and Weights & Biases, by Ray's own set-up functions, from the first worker of each training.

Not by Ray's Tune callbacks: those see what a trial reports, and our trials only drive workers. Each training is one run
with its recipe as parameters. Where it goes is each tool's own business, told by the environment of the workers:
MLFLOW_TRACKING_URI (MLflow 3 takes a folder, `file:...`, only with MLFLOW_ALLOW_FILE_STORE=true) and
MLFLOW_EXPERIMENT_NAME; WANDB_API_KEY (or `wandb login`), WANDB_MODE and WANDB_PROJECT_NAME.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

PROJECT = "capgap-ray"
"""MLflow experiment and Weights & Biases project where the environment names none."""


class Tracker(Protocol):
    """One training's run at one tool."""

    def log(self, values: Mapping[str, float], update: int) -> None: ...

    def end(self) -> None: ...


def missing(trackers: Sequence[str]) -> str | None:
    """What to say of a tracker whose package is not installed here; None where all are."""
    for name in trackers:
        if find_spec(name) is None:
            return f"resources.trackers: {name} is not installed; pip install {name} on every node, or remove it"
    return None


def start(trackers: Sequence[str], run: str, identity: str, recipe: Mapping[str, Any]) -> list[Tracker]:
    """Begin a run named `run` at each; `identity`, the same after a restart, tells it from others of that name.

    Raises ValueError that names the tracker where it cannot be begun.
    """
    begun: list[Tracker] = []
    for name in trackers:
        try:
            begun.append(_START[name](run, identity, recipe))
        except Exception as error:
            for each in begun:
                each.end()
            raise ValueError(
                f"resources.trackers: {name} cannot begin a run ({' '.join(str(error).split())})"
            ) from error
    return begun


class _Mlflow:
    def __init__(self, run: str, identity: str, recipe: Mapping[str, Any]) -> None:
        from ray.air.integrations.mlflow import setup_mlflow

        self._mlflow = setup_mlflow(
            dict(recipe),
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
            experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
            run_name=run,
            tags={"capgap.attempt": identity},
            create_experiment_if_not_exists=True,
        )

    def log(self, values: Mapping[str, float], update: int) -> None:
        try:
            self._mlflow.log_metrics(dict(values), step=update)
        except self._mlflow.exceptions.MlflowException as error:  # the losses are in the store, too: training goes on
            logging.getLogger(__name__).warning("MLflow did not take the losses of update %d: %s", update, error)

    def end(self) -> None:
        self._mlflow.end_run()


class _Wandb:
    def __init__(self, run: str, identity: str, recipe: Mapping[str, Any]) -> None:
        from ray.air.integrations.wandb import setup_wandb

        self._run = setup_wandb(
            dict(recipe),
            trial_id=identity,
            trial_name=run,
            project=os.environ.get("WANDB_PROJECT_NAME", PROJECT),
        )

    def log(self, values: Mapping[str, float], update: int) -> None:
        self._run.log(dict(values), step=update)

    def end(self) -> None:
        self._run.finish()


_START: dict[str, Callable[[str, str, Mapping[str, Any]], Tracker]] = {"mlflow": _Mlflow, "wandb": _Wandb}
