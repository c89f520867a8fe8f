"""One `train` step: checked, given to a crew of workers that run `sft_worker`, and what is kept of it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.train

from capgap_ray.artifacts.fetch import let_go
from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreUnavailable
from capgap_ray.records import TrainingExample
from capgap_ray.rows import from_row, to_row
from capgap_ray.settings import Resources, Sft
from capgap_ray.stages.crew import Crew
from capgap_ray.stages.sft_data import Length, check
from capgap_ray.stages.sft_state import States
from capgap_ray.stages.sft_worker import Place, Progress, run, together
from capgap_ray.stages.trackers import Tracker, start
from capgap_ray.stages.weights import local_folder

PROGRESS = "progress.json"
"""Beside a step's record: the newest `Progress` of a training that runs or ran, and its attempt."""


def compiler_note(worker_gpus: float) -> str | None:
    """One line where DeepSpeed would want a C++ compiler and finds none; None otherwise."""
    if worker_gpus or os.environ.get("CXX") or any(map(shutil.which, ("c++", "g++", "clang++"))):
        return None
    return "no C++ compiler here, none is needed: workers use Gloo in place of DeepSpeed's shared-memory op"


def build_checkpoint(store: Store, step: Step, source: str, resources: Resources, crew: Callable[[int], Crew]) -> None:
    """Train the student at `source` as the step says, unless its checkpoint exists. `crew`: so many workers.

    Goes on from the newest state that an interrupted attempt has left in the store. Raises ValueError on a student
    or data that cannot be trained on before any worker is started, then what `Crew.train` does.
    """
    if store.built(step):
        return
    begun = time.monotonic()
    sft = Sft.model_validate(step.params["sft"])
    template = step.params.get("chat_template")
    let_go()
    check(local_folder(source), source, _examples(store, step), sft, _length(store, step), template)
    attempt = store.new_attempt(step)
    job = {
        "root": store.root,
        "step": step,
        "source": source,
        "attempt": attempt,
        "save_every": resources.save_every,
        "trackers": resources.trackers,
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
    let_go()
    store, step = Store(job["root"]), job["step"]
    place = Place(store=store, address=step.address, attempt=job["attempt"], save_every=job["save_every"])
    sft = Sft.model_validate(step.params["sft"])
    first = ray.train.get_context().get_world_rank() == 0
    trackers: list[Tracker] = []

    def begin() -> None:
        recipe = {**sft.model_dump(mode="json"), "student": step.params["student"]}
        trackers.extend(start(job["trackers"], step.label, place.attempt.rpartition("/")[2], recipe))

    if job["trackers"]:
        together(begin if first else lambda: None)
    with tempfile.TemporaryDirectory() as scratch:
        tell = _teller(place, scratch, trackers) if first else lambda progress: None
        source, template = local_folder(job["source"]), step.params.get("chat_template")
        try:
            trained = run(source, _examples(store, step), sft, place, _length(store, step), tell, template)
        finally:
            for each in trackers:
                each.end()
        for file in Path(scratch).iterdir():
            store.write_bytes(f"{place.attempt}/tensorboard/{file.name}", file.read_bytes())
    return to_row(trained)


def _teller(place: Place, scratch: str, trackers: Sequence[Tracker]) -> Callable[[Progress], None]:
    """Tells whoever watches the store, the trackers, and TensorBoard's events, which are kept at the end."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(scratch)

    def tell(progress: Progress) -> None:
        told = {**asdict(progress), "attempt": place.attempt}
        # On a full disk this line is missed, not the training: its next state or export says so on all workers.
        with suppress(StoreUnavailable):
            place.store.write_bytes(f"{place.address}/{PROGRESS}", json.dumps(told).encode())
        first = progress.update - len(progress.losses) + 1
        for update, loss in enumerate(progress.losses, start=first):
            last = update == progress.update
            values = {"loss": loss}
            if last:
                values["learning_rate"] = progress.learning_rate
            if last and progress.validation is not None:
                values["validation_loss"] = progress.validation
            for name, value in values.items():
                writer.add_scalar(name, value, update)
            for each in trackers:
                each.log(values, update)
        writer.flush()

    return tell
