"""The only file that knows DeepSpeed: one rank's training loop. It does not need Ray to run.

Batches hold examples and no padding: the examples of a micro-batch are laid end to end, positions restart at
each, and attention stays inside each. (On a CPU the end is filled up to a multiple of 64 tokens, of no weight.)
Every token's weight in the loss is fixed before the rows of an update are laid on workers and micro-steps, so
batch x accumulation x workers can be traded freely, and rows go where they balance the work.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.core.budget import balance_update, hold_out, learning_rate_at, split_update
from capgap_ray.core.masking import TokenizedExample, prepare
from capgap_ray.experiment import Sft
from capgap_ray.records import TrainingExample
from capgap_ray.stages.sft_data import Length, Slot, load_tokenizer, rendering, slot_of, slots_of, updates_of
from capgap_ray.stages.sft_export import CANARY, check_canary, export_full, export_lora
from capgap_ray.stages.sft_state import Facts, Fragments, States

ENVIRONMENT_CPU = {
    "DS_ACCELERATOR": "cpu",
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled; otherwise importing DeepSpeed's Muon loads all of inductor
}
"""Must be set before torch and deepspeed are imported."""
ENVIRONMENT_GPU = {
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",  # no two micro-batches have one size, which leaves gaps otherwise
}
"""The same on GPUs."""

_WITHIN_EXAMPLES = "within_examples"
_REDUCE_EVERY = 10
"""Updates between two sums of the losses over workers: each costs a collective."""
_BUCKET = 50_000_000
"""Elements of the buffers in which DeepSpeed gathers weights and reduces gradients. What fits one is gathered at once
and reduced once an update: for a tiny model the hooks and collectives of every layer cost more than the computing."""


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
    """Mean log-probability per token of each `sft_export.CANARY` at the end of training."""
    resumed_from: int
    """Updates that an earlier, interrupted run had done."""
    state_bytes: dict[str, int]
    """Of parameters, gradients and optimizer on rank 0."""
    seconds_to_first_update: float
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
    begun = time.monotonic()
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
    trainer = _Trainer(source, sft, slots)
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

    def reduced() -> None:
        """Sum the ranks' parts of the latest losses."""
        summed = torch.tensor(local, dtype=torch.float64, device=trainer.device)
        dist.all_reduce(summed)
        losses.extend(summed.tolist())

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
            reduced()
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
        state_bytes=trainer.state_bytes(),
        seconds_to_first_update=ready - begun,
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
    """Collective. What may fail on one rank: all ranks then raise its ValueError, and none waits for ever."""
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
    if failure is not None:
        raise failure
    for each in everybodys:
        if each.any():
            raise ValueError(bytes(each.tolist()).rstrip(b"\0").decode(errors="replace"))


# --- the engine ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Trainer:
    """A DeepSpeed engine with its slots."""

    source: str
    sft: Sft
    slots: Sequence[Slot]
    lengths: list[int] = field(init=False)
    engine: Any = field(init=False)
    device: Any = field(init=False)
    world: int = field(init=False)
    rank: int = field(init=False)
    reduced_once: bool = field(init=False)
    """Whether each rank keeps its gradients whole until the end of an update, rather than of a micro-step."""
    rows_of: int = field(init=False)
    """Tokens of a micro-batch are filled up to a multiple of this."""

    def __post_init__(self) -> None:
        import torch.distributed as dist

        self.world, self.rank = dist.get_world_size(), dist.get_rank()
        self.lengths = [slot.tokens for slot in self.slots]
        self.engine, self.rows_of = _engine(self.source, self.sft, self.world)
        self.device = self.engine.device
        self.reduced_once = sum(each.ds_numel for _, each in self._trainable()) <= _BUCKET

    def update(self, update: list[int], number: int, rate: float) -> float | None:
        """One optimizer update. Returns this rank's part of the loss, None where anything is not finite.

        None on one rank is None on all: it rests on the norm of the gradient, which they share.
        """
        import torch

        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        if self.sft.lora.dropout and self.sft.method == "lora":
            torch.manual_seed(hash((self.sft.seed, number, self.rank)))  # of integers: the same everywhere
        weights = self._weights(update)
        steps = balance_update(update, self.lengths, self.world, self.sft.batch.per_device, self.sft.cutoff_tokens)
        mine = steps[self.rank]
        loss_here = 0.0
        with self.engine.coalesce_grad_reduction() if self.reduced_once else nullcontext():
            for step, members in enumerate(mine):
                if not self.reduced_once:
                    self.engine.set_gradient_accumulation_boundary(step == len(mine) - 1)
                # ZeRO-3 gathers collectively: a rank with nothing to do computes something of weight zero.
                chosen = [self.slots[index] for index in members or update[:1]]
                loss = self._loss(chosen, [weights[index] for index in members] or [0.0])
                loss_here += loss.item()
                # DeepSpeed averages over ranks; the weights already share out all ranks' tokens.
                self.engine.backward(loss * self.world, scale_wrt_gas=False)
        self.engine.step()
        return loss_here if self.engine.was_step_applied() else None

    def _weights(self, update: list[int]) -> dict[int, float]:
        """Slot -> weight of each of its supervised tokens in the update's loss."""
        if self.sft.loss == "tokens":
            tokens = sum(self.slots[index].supervised for index in update)
            return dict.fromkeys(update, 1 / tokens)
        # As if the recipe's workers each had their share, whatever workers there are and wherever rows are computed.
        shares = split_update(update, self.sft.workers, self.sft.batch.per_device)
        own = [[index for step in steps for index in step] for steps in shares]
        own = [share for share in own if share]
        return {
            index: 1 / (len(own) * sum(self.slots[each].supervised for each in share))
            for share in own
            for index in share
        }

    def _loss(self, chosen: Sequence[Slot], weights: Sequence[float]) -> Any:
        """Weighted sum of the micro-batch's cross-entropies."""
        import torch

        logits, targets = self._logits(chosen)
        if len(set(weights)) == 1:
            return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum") * weights[0]
        losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        counts = torch.tensor([slot.supervised for slot in chosen], device=self.device)
        return losses @ torch.tensor(weights, device=self.device).repeat_interleave(counts)

    def _logits(self, chosen: Sequence[Slot]) -> tuple[Any, Any]:
        """Logits [supervised, vocabulary] and target ids [supervised]; the output layer sees nothing else."""
        import torch

        spans = [length for slot in chosen for length in slot.spans]
        fill = torch.zeros(-sum(spans) % self.rows_of, dtype=torch.long)
        spans[-1] += len(fill)  # after its last token: nothing in the loss sees them
        ids = torch.cat([*(slot.ids for slot in chosen), fill]).to(self.device)
        at, offset = [], 0
        for slot in chosen:
            at.append(slot.targets + offset)
            offset += slot.tokens
        supervised = torch.cat(at).to(self.device)
        keep = torch.nn.functional.pad(supervised - 1, (0, -len(supervised) % self.rows_of))
        logits = self.engine(
            input_ids=ids[None],
            position_ids=torch.cat([*(slot.positions for slot in chosen), fill])[None].to(self.device),
            example_lengths=spans,
            logits_to_keep=keep,
            use_cache=False,
        ).logits[0, : len(supervised)]
        return logits, ids[supervised]

    def mean_loss(self, slots: Sequence[Slot]) -> float:
        """Mean loss over all supervised tokens of the slots; collective."""
        import torch
        import torch.distributed as dist

        lengths = [slot.tokens for slot in slots]
        steps = balance_update(
            list(range(len(slots))), lengths, self.world, self.sft.batch.per_device, self.sft.cutoff_tokens
        )
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        self.engine.eval()
        with torch.no_grad():
            for members in steps[self.rank]:
                chosen = [slots[index] for index in members] or [slots[0]]
                total += self._loss(chosen, [float(bool(members))] * len(chosen))
        self.engine.train()
        dist.all_reduce(total)
        return float(total) / sum(slot.supervised for slot in slots)

    def log_probabilities(self, texts: Sequence[Sequence[int]]) -> tuple[float, ...]:
        """Mean log-probability per token of each text, given as ids; collective, the same on every rank."""
        import torch

        row = [
            TokenizedExample(example_id="", input_ids=tuple(ids), supervised_from=1, supervised=len(ids) - 1)
            for ids in texts
        ]
        self.engine.eval()
        with torch.no_grad():
            logits, targets = self._logits([slot_of([each], "none") for each in row])
            losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        self.engine.train()
        return tuple(-float(part.mean()) for part in losses.split([each.supervised for each in row]))

    # --- state ---------------------------------------------------------------------------------------

    def _trainable(self) -> list[tuple[str, Any]]:
        return [(name, each) for name, each in self.engine.module.named_parameters() if each.requires_grad]

    def _moments(self, flat: Any) -> dict[str, Any]:
        """AdamW's state of one of DeepSpeed's flat partitions, as it is before the first update where there is none."""
        import torch

        state: dict[str, Any] = self.engine.optimizer.optimizer.state[flat]
        if not state:
            state.update(
                step=torch.zeros((), dtype=torch.float32, device=flat.device),
                exp_avg=torch.zeros_like(flat),
                exp_avg_sq=torch.zeros_like(flat),
            )
        return state

    def sizes(self) -> dict[str, int]:
        """Elements of every whole tensor of the state."""
        return {
            f"{name}/{kind}": each.ds_numel
            for name, each in self._trainable()
            for kind in ("weight", "exp_avg", "exp_avg_sq")
        }

    def fragments(self) -> Fragments:
        """This rank's part of the state."""
        from deepspeed.utils import safe_get_local_fp32_param, safe_get_local_optimizer_state

        made: Fragments = {}
        for name, each in self._trainable():
            made[f"{name}/weight"] = safe_get_local_fp32_param(each).cpu()
            for kind in ("exp_avg", "exp_avg_sq"):
                made[f"{name}/{kind}"] = safe_get_local_optimizer_state(each, kind).cpu()
        return made

    def restore(self, fragments: Fragments, updates: int) -> None:
        """Put a saved state in the place of the present one."""
        from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

        zero = self.engine.optimizer
        for flat in zero.fp32_partitioned_groups_flat:
            self._moments(flat)["step"].fill_(updates)
        for name, each in self._trainable():
            safe_set_local_fp32_param(each, fragments[f"{name}/weight"])
            for kind in ("exp_avg", "exp_avg_sq"):
                safe_set_local_optimizer_state(each, fragments[f"{name}/{kind}"], kind)
        for group in range(len(zero.fp32_partitioned_groups_flat)):
            zero._reassign_or_swap_out_partitioned_parameters(group)  # masters -> the weights that compute

    def state_bytes(self) -> dict[str, int]:
        """Bytes of this rank's partitions, as they lie in memory."""
        zero = self.engine.optimizer
        flats = zero.fp32_partitioned_groups_flat
        moments = sum(self._moments(flat)[kind].nbytes for flat in flats for kind in ("exp_avg", "exp_avg_sq"))
        return {
            "parameters": sum(each.ds_tensor.nbytes for each in self.engine.module.parameters()),
            "gradients": zero.grad_partitions_flat_buffer.nbytes,
            "optimizer": sum(flat.nbytes for flat in flats) + moments,
        }


def _engine(source: str, sft: Sft, world: int) -> tuple[Any, int]:
    """The DeepSpeed engine, and the multiple of tokens that its layers like."""
    import deepspeed
    import torch
    import torch.distributed as dist
    from transformers import AttentionInterface, AutoModelForCausalLM
    from transformers.integrations import HfDeepSpeedConfig

    from capgap_ray.stages.sft_linear import ROWS, through_onednn

    _freeze_modules()
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        _keep_freed_memory()
        # The shared-memory collective is compiled on first use (46 s) and has no fallback of its own.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        os.environ["LOCAL_SIZE"] = "1"  # or DeepSpeed starts `numactl` in every update to count devices
    deepspeed.utils.nvtx.enable_nvtx = False  # a profiler's marks, thousands per update
    deepspeed.init_distributed(dist_backend=dist.get_backend())  # adopts the standing process group
    if not on_gpu:
        _through_shared_memory(deepspeed.comm.comm.cdb)
    settings = _settings(sft, world, on_gpu)
    keep_alive = HfDeepSpeedConfig(settings)  # partitions weights at load while it exists
    dtype = torch.bfloat16 if sft.precision == "bfloat16" else torch.float32
    AttentionInterface.register(_WITHIN_EXAMPLES, _attend_within_examples)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=dtype, attn_implementation=_WITHIN_EXAMPLES, use_safetensors=True, trust_remote_code=False
    )
    if sft.method == "lora":
        model = _with_adapters(model, sft)
        # Or the first layer's hook fires before its gradients are there: its inputs would need none.
        model.enable_input_require_grads()
    by_onednn = not on_gpu and sft.precision == "float32" and through_onednn(model)
    if sft.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    # What is gathered at once rather than tensor by tensor: whole layers, or all of a model that fits a bucket. (Its
    # hook runs before its gradients are there, which is too early for all but `reduced_once`.)
    leaves = {type(each) for each in model.modules() if type(each).__name__.endswith("DecoderLayer")}
    # Those of an adapter are not partitioned yet.
    elements = sum(getattr(each, "ds_numel", each.numel()) for each in model.parameters())
    if elements <= _BUCKET and not sft.gradient_checkpointing:
        leaves = {type(model)}
    if leaves:
        deepspeed.utils.set_z3_leaf_modules(model, sorted(leaves, key=str))
    model.train()
    engine, *_ = deepspeed.initialize(model=model, optimizer=_optimizer(model, sft), config=settings)
    del keep_alive
    return engine, ROWS if by_onednn else 1


def _through_shared_memory(backend: Any) -> None:
    """Let ZeRO-3's collectives go through shared memory, where all ranks are on one machine."""
    import torch.distributed as dist
    from deepspeed.comm.torch import Noop

    from capgap_ray.stages.sft_shared import share

    shared = share()
    if shared is None:
        return
    by_gloo = functools.partial(type(backend).all_reduce, backend)

    def all_gather(output_tensor: Any, input_tensor: Any, **_: Any) -> Any:
        shared.all_gather(output_tensor, input_tensor)
        return Noop()  # all is there: nothing to wait for

    def reduce_scatter(output: Any, whole: Any, **_: Any) -> Any:
        shared.reduce_scatter(output, whole)
        return Noop()

    def all_reduce(tensor: Any, op: Any, group: Any, async_op: bool) -> Any:
        if backend._reduce_op(op) != dist.ReduceOp.SUM or dist.get_world_size(group) != dist.get_world_size():
            return by_gloo(tensor, op, group, async_op)
        shared.all_reduce(tensor)
        return Noop()

    backend.all_gather_function = all_gather
    backend.reduce_scatter_function = reduce_scatter
    backend.all_reduce = all_reduce


def _settings(sft: Sft, world: int, on_gpu: bool) -> dict[str, Any]:
    """DeepSpeed's configuration."""
    return {
        # Micro-steps are ours: see `_Trainer.update`.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "train_batch_size": world,
        "gradient_clipping": sft.clip,
        "bf16": {"enabled": sft.precision == "bfloat16"},
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": on_gpu,  # what is gathered next comes while this layer computes
            "contiguous_gradients": on_gpu,  # against gaps in its memory; one more copy of all gradients
            "reduce_bucket_size": _BUCKET,
            "stage3_prefetch_bucket_size": _BUCKET,
            "memory_efficient_linear": on_gpu,  # of Python, for its backward pass, too
            "stage3_param_persistence_threshold": 0,  # kept ones are gathered one by one after every update
            "stage3_gather_16bit_weights_on_model_save": True,
        },
    }


@functools.cache
def _freeze_modules() -> None:
    """Once: DeepSpeed collects garbage at its start, and a crew between jobs, half a second each with all modules."""
    gc.freeze()


def _keep_freed_memory() -> None:
    """Where the C library is glibc: let `malloc` keep what is freed.

    By default it gives larger blocks back to the system, and every tensor of the next update is then paid for again
    with the faults of its pages: 5 to 9 % of the time of a tiny model.
    """
    trim_threshold, mmap_threshold = -1, -3  # numbers of malloc.h
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(trim_threshold, 1 << 30)  # bytes at the heap's end
        mallopt(mmap_threshold, 32 << 20)  # bytes of a block; the most that glibc takes


def _with_adapters(model: Any, sft: Sft) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(sft.seed)
    config = LoraConfig(
        r=sft.lora.rank,
        lora_alpha=sft.lora.alpha,
        lora_dropout=sft.lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    # Adapters in the width of the model: DeepSpeed keeps their fp32 masters.
    return get_peft_model(model, config, autocast_adapter_dtype=False)


def _optimizer(model: Any, sft: Sft) -> Any:
    """AdamW with Hugging Face's defaults; no weight decay on biases and norms."""
    import torch

    parameters = [each for each in model.parameters() if each.requires_grad]
    if not sft.weight_decay:
        return torch.optim.AdamW(parameters, lr=sft.learning_rate, weight_decay=0.0, fused=True)
    matrices = [each for each in parameters if len(each.ds_shape if hasattr(each, "ds_shape") else each.shape) > 1]
    chosen = {id(each) for each in matrices}
    groups = [
        {"params": matrices, "weight_decay": sft.weight_decay},
        {"params": [each for each in parameters if id(each) not in chosen], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=sft.learning_rate, fused=True)


def _attend_within_examples(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, example_lengths: list[int], **options: Any
) -> tuple[Any, None]:
    """Causal attention inside each of the examples laid end to end; a transformers attention function.

    Shapes: query [1, heads, tokens, dim], key and value [1, kv heads, tokens, dim]; returns [1, tokens, heads, dim].
    No mask and no padding: FlashAttention 2 over ragged lengths where it is installed, else one exact call per example.
    """
    import torch

    assert attention_mask is None and options.get("sliding_window") is None
    if query.is_cuda and query.dtype == torch.bfloat16 and (flash := _flash_attention()) is not None:
        bounds = torch.tensor([0, *example_lengths], device=query.device).cumsum(0, dtype=torch.int32)
        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        longest = max(example_lengths)
        out = flash(q, k, v, bounds, bounds, longest, longest, softmax_scale=options["scaling"], causal=True)
        return out[None], None
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            *triple, is_causal=True, scale=options["scaling"], enable_gqa=query.shape[1] != key.shape[1]
        )
        for triple in zip(
            query.split(example_lengths, 2), key.split(example_lengths, 2), value.split(example_lengths, 2), strict=True
        )
    ]
    return torch.cat(parts, 2).transpose(1, 2), None


def _flash_attention() -> Callable[..., Any] | None:
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return None
    return flash_attn_varlen_func  # type: ignore[no-any-return]


# --- export -------------------------------------------------------------------------------------------


def _export(
    trainer: _Trainer, source: str, tokenizer: Any, store: Store, folder: str, canary_ids: Sequence[Sequence[int]]
) -> tuple[float, ...]:
    """Gather the weights on rank 0, write them, load them again and compare. Returns the canary. Collective.

    For LoRA the weights are merged, and the adapter lies beside them.
    """
    from safetensors import SafetensorError

    canary = trainer.log_probabilities(canary_ids)
    state = trainer.engine._zero3_consolidated_16bit_state_dict()

    def write_and_check() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            write = export_lora if trainer.sft.method == "lora" else export_full
            try:
                write(trainer.engine.module, state, source, tokenizer, scratch)
            except (OSError, SafetensorError) as error:
                raise StoreError(
                    f"the export into {folder} could not be written to {scratch} ({error}); the newest training state "
                    "and earlier checkpoints stay valid: make room and run the same command to go on"
                ) from error
            check_canary(canary, canary_ids, scratch, source, trainer.sft)
            for file in sorted(Path(scratch).rglob("*")):
                if file.is_file():
                    store.write_bytes(f"{folder}/{os.path.relpath(file, scratch)}", file.read_bytes())

    together(write_and_check if trainer.rank == 0 else lambda: None)
    return canary
