"""One `train` step: a TorchTrainer whose workers run `sft_worker`, and what is kept of it."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.experiment import Resources, Sft
from capgap_ray.records import TrainingExample, from_row, to_row
from capgap_ray.stages.sft_worker import ENVIRONMENT_CPU, Recipe, run
from capgap_ray.stages.weights import local_folder


def recipe_of(sft: Sft) -> Recipe:
    """The flat form that the per-rank loop takes."""
    fields = sft.model_dump()
    batch = fields.pop("batch")
    return Recipe(**fields, per_device=batch["per_device"], accumulation=batch["accumulation"])


def build_checkpoint(store: Store, step: Step, source: str, resources: Resources) -> None:
    """Train the student at `source` as the step says, unless its checkpoint exists.

    Raises what the workers raised, or Ray's ControllerError where they could not be started.
    """
    if store.built(step):
        return
    begun = time.monotonic()
    sft = Sft.model_validate(step.params["sft"])
    attempt = store.new_attempt(step)
    on_gpu = resources.worker_gpus > 0
    with tempfile.TemporaryDirectory() as scratch:
        result = TorchTrainer(
            _loop,
            train_loop_config={"root": store.root, "step": step, "source": source, "attempt": attempt},
            torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=sft.workers,
                use_gpu=on_gpu,
                resources_per_worker={
                    "CPU": resources.worker_cpus,
                    **({"GPU": resources.worker_gpus} if on_gpu else {}),
                },
            ),
            run_config=ray.train.RunConfig(
                name=step.key,
                storage_path=scratch,  # checkpoints are ours: Ray keeps only its bookkeeping here
                failure_config=ray.train.FailureConfig(max_failures=1, controller_failure_limit=3),
                worker_runtime_env={"env_vars": {} if on_gpu else ENVIRONMENT_CPU},
            ),
        ).fit()
    trained = result.return_value
    store.commit(step, attempt, trained, time.monotonic() - begun)


def _loop(config: dict[str, Any]) -> dict[str, Any]:
    """Runs on every worker; returns rank 0's facts of the run."""
    store, step = Store(config["root"]), config["step"]
    examples = [from_row(TrainingExample, row) for row in store.rows(step.inputs[0])]
    recipe = recipe_of(Sft.model_validate(step.params["sft"]))
    with tempfile.TemporaryDirectory() as scratch:
        export_to = os.path.join(scratch, "export")
        trained = run(local_folder(config["source"]), examples, recipe, export_to)
        if ray.train.get_context().get_world_rank() == 0:
            for file in sorted(Path(export_to).iterdir()):
                store.write_bytes(f"{config['attempt']}/{file.name}", file.read_bytes())
    return to_row(trained)
