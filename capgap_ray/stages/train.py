"""One `train` step: a TorchTrainer whose workers run `sft_worker`, and what is kept of it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchConfig, TorchTrainer

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.core.budget import hold_out
from capgap_ray.core.masking import prepare
from capgap_ray.experiment import Resources, Sft
from capgap_ray.records import TrainingExample, from_row, to_row
from capgap_ray.stages.sft_data import Length, rendering, slots_of, updates_of
from capgap_ray.stages.sft_state import States
from capgap_ray.stages.sft_worker import ENVIRONMENT_CPU, Place, Progress, run
from capgap_ray.stages.weights import local_folder

PROGRESS = "progress.json"
"""Beside a step's record: the newest `Progress` of a training that runs or ran."""


def build_checkpoint(store: Store, step: Step, source: str, resources: Resources) -> None:
    """Train the student at `source` as the step says, unless its checkpoint exists.

    Goes on from the newest state that an interrupted attempt has left in the store. Raises ValueError on a student
    or data that cannot be trained on before any worker is started, then what the workers raise, or Ray's
    ControllerError where they could not be started.
    """
    if store.built(step):
        return
    begun = time.monotonic()
    sft = Sft.model_validate(step.params["sft"])
    check(store, step, source)
    attempt = store.new_attempt(step)
    on_gpu = resources.worker_gpus > 0
    with tempfile.TemporaryDirectory() as scratch:
        result = TorchTrainer(
            _loop,
            train_loop_config={
                "root": store.root,
                "step": step,
                "source": source,
                "attempt": attempt,
                "save_every": resources.save_every,
            },
            torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=(resources.min_workers, sft.workers) if resources.min_workers else sft.workers,
                use_gpu=on_gpu,
                resources_per_worker={
                    "CPU": resources.worker_cpus,
                    **({"GPU": resources.worker_gpus} if on_gpu else {}),
                },
            ),
            run_config=ray.train.RunConfig(
                name=step.key,
                storage_path=scratch,  # checkpoints and states are ours: Ray keeps only its bookkeeping here
                failure_config=ray.train.FailureConfig(max_failures=3, controller_failure_limit=3),
                worker_runtime_env={"env_vars": {} if on_gpu else ENVIRONMENT_CPU},
            ),
        ).fit()
    store.commit(step, attempt, result.return_value, time.monotonic() - begun)
    States(store, step.address, attempt).clear()


def check(store: Store, step: Step, source: str) -> None:
    """Everything that can be known of student and data before a worker starts.

    Renders, tokenises, masks and reads back every row. Raises ValueError that names the student or the row.
    """
    from transformers import AutoConfig, AutoTokenizer

    sft = Sft.model_validate(step.params["sft"])
    folder = local_folder(source)
    if not list(Path(folder).glob("*.safetensors")):
        raise ValueError(f"student {source}: the folder has no *.safetensors (pickles are never read); convert it")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise ValueError(f"student {source}: its tokenizer has no chat template; add chat_template.jinja to the folder")
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"student {source}: its tokenizer has {len(tokenizer)} tokens and its embedding only {config.vocab_size} "
            "rows; use the tokenizer that belongs to the weights"
        )
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and sft.cutoff_tokens > positions:
        raise ValueError(
            f"sft.cutoff_tokens: {sft.cutoff_tokens} is more than the {positions} positions of student {source}; "
            f"set it to {positions} or less"
        )
    slots = slots_of(prepare(_examples(store, step), tokenizer, rendering(sft)).rows, sft)
    training, _ = hold_out(len(slots), sft.validation.share if sft.validation else 0.0, sft.seed)
    updates_of([slots[index] for index in training], sft, _length(store, step))


def _examples(store: Store, step: Step) -> list[TrainingExample]:
    return [from_row(TrainingExample, row) for row in store.rows(step.inputs[0])]


def _length(store: Store, step: Step) -> Length:
    """As long as the arm that the step is matched to, its second input, or as its own epochs say."""
    match = step.params.get("match")
    if match is None:
        return Length()
    other = store.record(step.inputs[1])
    if other is None:
        raise ValueError(f"{step.label}: {step.inputs[1].label}, whose {match} it is to match, is not trained yet")
    if match == "updates":
        return Length(updates=other.summary["updates"])
    return Length(tokens=other.summary["supervised_tokens"])


def _loop(config: dict[str, Any]) -> dict[str, Any]:
    """Runs on every worker; returns rank 0's facts of the run."""
    store, step = Store(config["root"]), config["step"]
    place = Place(store=store, address=step.address, attempt=config["attempt"], save_every=config["save_every"])
    with tempfile.TemporaryDirectory() as scratch:
        tell = _teller(place, scratch) if ray.train.get_context().get_world_rank() == 0 else lambda progress: None
        sft = Sft.model_validate(step.params["sft"])
        source = local_folder(config["source"])
        trained = run(source, _examples(store, step), sft, place, _length(store, step), tell)
        for file in Path(scratch).iterdir():
            store.write_bytes(f"{place.attempt}/tensorboard/{file.name}", file.read_bytes())
    return to_row(trained)


def _teller(place: Place, scratch: str) -> Callable[[Progress], None]:
    """Writes progress for whoever watches the store, and TensorBoard's events, which are kept at the end."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(scratch)

    def tell(progress: Progress) -> None:
        place.store.write_bytes(f"{place.address}/{PROGRESS}", json.dumps(asdict(progress)).encode())
        writer.add_scalar("loss", progress.loss, progress.update)
        writer.add_scalar("learning rate", progress.learning_rate, progress.update)
        if progress.validation is not None:
            writer.add_scalar("validation loss", progress.validation, progress.update)
        writer.flush()

    return tell
