"""One rank's training loop, from the examples to the export. It does not need Ray to run."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.core.budget import hold_out, learning_rate_at
from capgap_ray.core.masking import prepare
from capgap_ray.records import TrainingExample
from capgap_ray.settings import Sft
from capgap_ray.stages.sft_data import Length, Slot, load_tokenizer, rendering, slots_of, updates_of
from capgap_ray.stages.sft_engine import Trainer
from capgap_ray.stages.sft_export import CANARY, check_canary, export_full, export_lora
from capgap_ray.stages.sft_state import Facts, States

_REDUCE_EVERY = 10
"""Updates between two sums of the losses over workers: each costs a collective."""


class NotFiniteError(ArithmeticError):
    """A loss or gradient that is not a finite number; the message says where its batch is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run leaves things in the store."""

    store: Store
    address: str
    """Of the step: states go here, shared by all attempts at it."""
    attempt: str
    """Folder of exports, TensorBoard's events and a batch that failed."""
    save_every: int
    """Updates between two states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What rank 0 tells on the way."""

    update: int
    """1-based, of `updates`."""
    updates: int
    loss: float
    losses: tuple[float, ...]
    """Of the updates since the last telling, this one's at the end."""
    learning_rate: float
    validation: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training did, for the recipe card."""

    rows: int
    """Trained on: neither dropped nor held out."""
    rows_dropped: int
    rows_cut: int
    rows_held_out: int
    slots: int
    """Places in batches that the rows take: as many as rows, or packs."""
    updates: int
    epochs: float
    warmup_updates: int
    supervised_tokens: int
    """Over all updates."""
    template_hash: str
    losses: tuple[float, ...]
    """Per update."""
    validation_losses: dict[str, float]
    """Update -> mean loss over the supervised tokens of the held-out rows."""
    checkpoints: dict[str, str]
    """Update -> folder in the store of an export on the way."""
    canary: tuple[float, ...]
    """Mean log-probability per token of each `sft_export.CANARY`, as the export, or its adapter, computes it."""
    resumed_from: int
    """Updates that an earlier, interrupted run had done."""
    state_bytes: dict[str, int]
    """Of parameters, gradients and optimizer on rank 0."""
    seconds: float
    """Of all updates together."""


def run(
    source: str,
    examples: Sequence[TrainingExample],
    sft: Sft,
    place: Place,
    length: Length | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    template: str | None = None,
) -> Trained:
    """Fine-tune the student in the folder `source` on `examples` and write it into the store (rank 0 writes).

    `template`: chat template in place of its tokenizer's own; the export has it, too.
    Called on every rank, inside a torch.distributed process group; of `sft.workers` ranks, or of fewer, which then
    do the same updates. Goes on from the newest state of an interrupted run. Raises ValueError on rows that cannot
    be trained on and on an export that equals the untouched student or is not the trained one, and NotFiniteError.
    """
    import torch
    import torch.distributed as dist

    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(sft.seed)
    tokenizer = load_tokenizer(source, template)
    data = prepare(examples, tokenizer, rendering(sft))
    slots = slots_of(data.rows, sft)
    training, held_out = hold_out(len(slots), sft.validation.share if sft.validation else 0.0, sft.seed)
    validation = [slots[index] for index in held_out]
    slots = [slots[index] for index in training]
    updates = updates_of(slots, sft, length or Length())

    # The first pass through the engine has to be a training step: DeepSpeed plans by it, and after a forward pass
    # alone it would gather every weight twice in each step for ever.
    trainer = Trainer(source, sft, slots)
    canary_ids = [tokenizer.encode(text, add_special_tokens=False) for text in CANARY]
    states = States(place.store, place.address, place.attempt)
    found = states.latest()
    progress = Facts(updates=0, workers=world, losses=(), validation={}, checkpoints={})
    if found is not None:
        folder, progress = found
        trainer.restore(states.read(folder, progress.workers, trainer.sizes(), rank, world), progress.updates)
    first = progress.updates
    losses = list(progress.losses)
    local: list[float] = []
    validation_losses, checkpoints = dict(progress.validation), dict(progress.checkpoints)
    warmup = int(sft.warmup_ratio * len(updates))
    ready = time.monotonic()

    for number in range(first, len(updates)):
        rate = learning_rate_at(number, len(updates), sft.learning_rate, warmup, sft.schedule)
        part = trainer.update(updates[number], number, rate)
        if part is None:
            raise NotFiniteError(_failed(place, number + 1, [slots[index] for index in updates[number]], tokenizer))
        local.append(part)
        done = number + 1
        last = done == len(updates)
        measure = sft.validation is not None and (last or done % sft.validation.every == 0)
        save = not last and done % place.save_every == 0
        if measure:
            validation_losses[str(done)] = trainer.mean_loss(validation)
        if measure or save or last or done % _REDUCE_EVERY == 0:
            losses.extend(trainer.summed(local))
            if rank == 0:
                tell(
                    Progress(
                        update=done,
                        updates=len(updates),
                        loss=losses[-1],
                        losses=tuple(losses[-len(local) :]),
                        learning_rate=rate,
                        validation=validation_losses.get(str(done)),
                    )
                )
            local.clear()
        if sft.checkpoints is not None and not last and sft.checkpoints.wanted(done):
            folder = f"{place.attempt}/update-{done:06d}"
            _export(trainer, source, tokenizer, place.store, folder, canary_ids)
            checkpoints[str(done)] = folder
        if save:
            facts = Facts(
                updates=done,
                workers=world,
                losses=tuple(losses),
                validation=validation_losses,
                checkpoints=checkpoints,
            )
            fragments = trainer.fragments()
            together(lambda: states.write(fragments, rank, facts.updates))  # noqa: B023 (called at once)
            together(lambda: states.name_latest(facts) if rank == 0 else None)  # noqa: B023
    ended = time.monotonic()
    canary = _export(trainer, source, tokenizer, place.store, place.attempt, canary_ids)
    used = [index for update in updates for index in update]
    state_bytes = trainer.state_bytes()
    trainer.release()  # where all went well, only: whatever is raised ends the process, and other ranks may wait for it
    return Trained(
        rows=sum(len(slot.rows) for slot in slots),
        rows_dropped=data.dropped,
        rows_cut=data.cut,
        rows_held_out=sum(len(slot.rows) for slot in validation),
        slots=len(slots),
        updates=len(updates),
        epochs=len(used) / len(slots),
        warmup_updates=warmup,
        supervised_tokens=sum(slots[index].supervised for index in used),
        template_hash=data.template_hash,
        losses=tuple(losses),
        validation_losses=validation_losses,
        checkpoints=checkpoints,
        canary=canary,
        resumed_from=first,
        state_bytes=state_bytes,
        seconds=ended - ready,
    )


def _failed(place: Place, update: int, slots: Sequence[Slot], tokenizer: Any) -> str:
    """Save the batch of an update whose loss or gradient is not finite; return what to say of it."""
    name = f"{place.attempt}/not-finite-update-{update:06d}.json"
    rows = [
        {
            "example_id": row.example_id,
            "supervised_from": row.supervised_from,
            "input_ids": row.input_ids,
            "text": tokenizer.decode(list(row.input_ids)),
        }
        for slot in slots
        for row in slot.rows
    ]
    import torch.distributed as dist

    batch = json.dumps({"update": update, "rows": rows}, indent=1).encode()
    together(lambda: place.store.write_bytes(name, batch) if dist.get_rank() == 0 else None)
    return (
        f"loss or gradient of update {update} is not finite; its batch of {len(rows)} rows is in the store as {name}; "
        "lower sft.learning_rate, or look at these rows"
    )


def together(work: Callable[[], None]) -> None:
    """Collective. What may fail on one rank: all then raise a ValueError of its words, and none waits for ever."""
    import torch
    import torch.distributed as dist

    message, failure = b"", None
    try:
        work()
    except ValueError as error:
        message, failure = str(error).encode()[:1000] or b"?", error
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    mine = torch.zeros(1000, dtype=torch.uint8, device=device)
    mine[: len(message)] = torch.tensor(list(message), dtype=torch.uint8, device=device)
    everybodys = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everybodys, mine)
    for each in everybodys:
        if each.any():
            raise ValueError(bytes(each.tolist()).rstrip(b"\0").decode(errors="replace")) from failure


@contextmanager
def _all_cores(on_gpu: bool) -> Iterator[None]:
    """Where workers have GPUs, compute on all of the node's cores: Ray gives a worker as many threads as CPUs, one by
    default, on which a large export takes minutes to merge and check, and all GPUs wait for it."""
    import torch

    threads = torch.get_num_threads()
    if on_gpu:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _export(
    trainer: Trainer, source: str, tokenizer: Any, store: Store, folder: str, canary_ids: Sequence[Sequence[int]]
) -> tuple[float, ...]:
    """Gather the weights on rank 0, write them, load them again and compare. Returns the canary: on rank 0 that of the
    export or its adapter, elsewhere training's. Collective.

    For LoRA the weights are merged, and the adapter lies beside them.
    """
    from safetensors import SafetensorError

    canary = trainer.log_probabilities(canary_ids)
    state = trainer.weights()

    def write_and_check() -> None:
        nonlocal canary
        with tempfile.TemporaryDirectory() as scratch, _all_cores(trainer.device.type == "cuda"):
            write = export_lora if trainer.sft.method == "lora" else export_full
            try:
                write(trainer.engine.module, state, source, tokenizer, scratch)
            except (OSError, SafetensorError) as error:
                raise StoreError(
                    f"the export into {folder} could not be written to {scratch} ({error}); the newest training state "
                    "and earlier checkpoints stay valid: make room and run the same command to go on"
                ) from error
            canary = check_canary(canary, canary_ids, scratch, source, trainer.sft)
            for file in sorted(Path(scratch).rglob("*")):
                if file.is_file():
                    store.write_bytes(f"{folder}/{os.path.relpath(file, scratch)}", file.read_bytes())

    together(write_and_check if trainer.rank == 0 else lambda: None)
    return canary
