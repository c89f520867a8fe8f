"""One `train` step: checked, given to a crew of workers that run `sft_worker`, and what is kept of it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.train

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.experiment import Resources, Sft
from capgap_ray.records import TrainingExample, from_row, to_row
from capgap_ray.stages.crew import Crew
from capgap_ray.stages.sft_data import Length, check
from capgap_ray.stages.sft_state import States
from capgap_ray.stages.sft_worker import Place, Progress, run
from capgap_ray.stages.weights import local_folder

PROGRESS = "progress.json"
"""Beside a step's record: the newest `Progress` of a training that runs or ran."""


def build_checkpoint(store: Store, step: Step, source: str, resources: Resources, crew: Callable[[int], Crew]) -> None:
    """Train the student at `source` as the step says, unless its checkpoint exists. `crew`: so many workers.

    Goes on from the newest state that an interrupted attempt has left in the store. Raises ValueError on a student
    or data that cannot be trained on before any worker is started, then what `Crew.train` does.
    """
    if store.built(step):
        return
    begun = time.monotonic()
    sft = Sft.model_validate(step.params["sft"])
    check(local_folder(source), source, _examples(store, step), sft, _length(store, step))
    attempt = store.new_attempt(step)
    job = {
        "root": store.root,
        "step": step,
        "source": source,
        "attempt": attempt,
        "save_every": resources.save_every,
    }
    trained = crew(sft.workers).train(job)
    store.commit(step, attempt, trained, time.monotonic() - begun)
    States(store, step.address, attempt).clear()


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


def train_job(job: dict[str, Any]) -> dict[str, Any]:
    """Runs on every worker; returns rank 0's facts of the run."""
    store, step = Store(job["root"]), job["step"]
    place = Place(store=store, address=step.address, attempt=job["attempt"], save_every=job["save_every"])
    with tempfile.TemporaryDirectory() as scratch:
        tell = _teller(place, scratch) if ray.train.get_context().get_world_rank() == 0 else lambda progress: None
        sft = Sft.model_validate(step.params["sft"])
        source = local_folder(job["source"])
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
