"""The only file that knows DeepSpeed: a student that one rank trains with the others, its weights partitioned.

Batches hold examples and no padding: the examples of a micro-batch are laid end to end, positions restart at
each, and attention stays inside each. (For oneDNN the end is filled up to a multiple of 64 tokens, of no weight.)
Every token's weight in the loss is fixed before the rows of an update are laid on workers and micro-steps, so
batch x accumulation x workers can be traded freely, and rows go where they balance the work.
"""

from __future__ import annotations

import functools
import gc
import itertools
import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from capgap_ray.core.budget import balance_update, split_update
from capgap_ray.core.masking import TokenizedExample
from capgap_ray.settings import Sft
from capgap_ray.stages.heap import keep_freed_memory
from capgap_ray.stages.sft_data import Slot, slot_of
from capgap_ray.stages.sft_state import Fragments

ENVIRONMENT_CPU = {
    "DS_ACCELERATOR": "cpu",
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled; otherwise importing DeepSpeed's Muon loads all of inductor
    "CUDA_VISIBLE_DEVICES": "",  # Ray leaves those of a process without GPUs as they are: all of the node
}
"""Must be set before torch and deepspeed are imported."""
ENVIRONMENT_GPU = {
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",  # no two micro-batches have one size, which leaves gaps otherwise
}
"""The same on GPUs."""

_WITHIN_EXAMPLES = "within_examples"
_BUCKET = 50_000_000
"""Elements of the buffers in which DeepSpeed gathers weights and reduces gradients. What fits one is gathered at once
and reduced once an update: for a tiny model the hooks and collectives of every layer cost more than the computing."""


@dataclass(slots=True)
class Trainer:
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
    kept_as: str = field(init=False)
    """Argument of the model's forward pass that says whose logits it gives."""

    def __post_init__(self) -> None:
        import torch.distributed as dist

        self.world, self.rank = dist.get_world_size(), dist.get_rank()
        self.lengths = [slot.tokens for slot in self.slots]
        self.engine, self.rows_of, self.kept_as = _engine(self.source, self.sft, self.world)
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
        losses = []
        with self.engine.coalesce_grad_reduction() if self.reduced_once else nullcontext():
            for step, members in enumerate(mine):
                if not self.reduced_once:
                    self.engine.set_gradient_accumulation_boundary(step == len(mine) - 1)
                # ZeRO-3 gathers collectively: a rank with nothing to do computes something of weight zero.
                chosen = [self.slots[index] for index in members or update[:1]]
                loss = self._loss(chosen, [weights[index] for index in members] or [0.0])
                losses.append(loss.detach())  # not its value yet, for which a GPU's next work would wait
                # DeepSpeed averages over ranks; the weights already share out all ranks' tokens.
                self.engine.backward(loss * self.world, scale_wrt_gas=False)
        self.engine.step()
        return sum((each.item() for each in losses), 0.0) if self.engine.was_step_applied() else None

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
        fill = torch.zeros(-sum(spans) % self.rows_of, dtype=torch.long)  # of no example
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
            example_bounds=self._bounds(spans),
            **{self.kept_as: keep},
            use_cache=False,
        ).logits.squeeze(0)[: len(supervised)]
        return logits, ids[supervised]

    def _bounds(self, spans: Sequence[int]) -> Any:
        """Where examples start and end, for `_attend_within_examples`: once for all layers, which would wait for it."""
        import torch

        if not attends_at_once(self.device, self.sft.precision):
            return None
        return torch.tensor([0, *itertools.accumulate(spans)], dtype=torch.int32, device=self.device)

    def summed(self, values: Sequence[float]) -> list[float]:
        """Each value's sum over ranks; collective."""
        import deepspeed.comm
        import torch

        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        deepspeed.comm.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def mean_loss(self, slots: Sequence[Slot]) -> float:
        """Mean loss over all supervised tokens of the slots; collective."""
        import torch

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
        return self.summed([float(total)])[0] / sum(slot.supervised for slot in slots)

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

    def weights(self) -> dict[str, Any]:
        """All weights, gathered on rank 0. Collective."""
        state: dict[str, Any] = self.engine._zero3_consolidated_16bit_state_dict() or {}
        # One rank on a CPU gathers views of a buffer that has all its weights, which safetensors does not write.
        return {
            name: each.clone() if each.untyped_storage().nbytes() > each.nbytes else each
            for name, each in state.items()
        }

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

    def release(self) -> None:
        """Give back the memory of weights, gradients and optimizer; the trainer is of no use then.

        DeepSpeed keeps every engine of a process: in the stack of its hooks, in a method's cache and in patched methods
        of modules. So what they hold is emptied.
        """
        from deepspeed.runtime.zero import parameter_offload

        engine, zero = self.engine, self.engine.optimizer
        engine.destroy()
        zero.optimizer.state.clear()
        weights = list(engine.module.parameters())
        for each in (*weights, *(each.ds_tensor for each in weights), *zero.fp32_partitioned_groups_flat):
            each.grad = None
            each.data = each.new_empty(0)
        vars(zero).clear()  # its buffers of weights and gradients
        parameter_offload.FWD_MODULE_STACK.clear()


def _engine(source: str, sft: Sft, world: int) -> tuple[Any, int, str]:
    """The DeepSpeed engine, the multiple of tokens that its layers like, and `Trainer.kept_as`."""
    import deepspeed
    import torch
    import torch.distributed as dist
    from transformers import AttentionInterface, AutoModelForCausalLM
    from transformers.integrations import HfDeepSpeedConfig

    from capgap_ray.stages.sft_layers import (
        KEPT,
        ROWS,
        keep_early,
        onednn_gains,
        this_processor,
        through_onednn,
        with_own_gradients,
    )

    _freeze_modules()
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        keep_freed_memory()
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
    in_float32_on_cpu = not on_gpu and sft.precision == "float32"
    by_onednn = in_float32_on_cpu and onednn_gains(this_processor()) and through_onednn(model)
    if in_float32_on_cpu:
        with_own_gradients(model)
    early = in_float32_on_cpu and not sft.gradient_checkpointing and keep_early(model)
    if sft.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    # What is gathered at once rather than tensor by tensor: whole layers, or all of a model that fits a bucket. (Its
    # hook runs before its gradients are there, which is too early for all but `reduced_once`.)
    leaves = {type(each) for each in model.modules() if type(each).__name__.endswith("DecoderLayer")}
    if _elements(model) <= _BUCKET and not sft.gradient_checkpointing:
        leaves = {type(model)}
    if leaves:
        deepspeed.utils.set_z3_leaf_modules(model, sorted(leaves, key=str))
    zero = settings["zero_optimization"]
    if leaves and zero["overlap_comm"]:
        # Whole layers are gathered, so the next one has to fit, or most of it is gathered while nothing computes.
        zero["stage3_prefetch_bucket_size"] = max(_BUCKET, _largest(model, leaves))
    model.train()
    engine, *_ = deepspeed.initialize(model=model, optimizer=_optimizer(model, sft), config=settings)
    if not on_gpu:
        _without_idle_python(engine.optimizer)
        # Not many times an update, which is 3 % of a tiny model's; a crew collects garbage between jobs.
        gc.set_threshold(50_000, 20, 50)
    del keep_alive
    return engine, ROWS if by_onednn else 1, KEPT if early else "logits_to_keep"


def _elements(module: Any) -> int:
    """Of all its weights; those of an adapter are not partitioned yet."""
    return sum(getattr(each, "ds_numel", each.numel()) for each in module.parameters())


def _largest(model: Any, kinds: set[type]) -> int:
    """Elements of the largest module of these kinds."""
    return max(_elements(each) for each in model.modules() if type(each) in kinds)


def _through_shared_memory(backend: Any) -> None:
    """Let ZeRO-3's collectives go through shared memory, where all ranks are on one machine."""
    import torch.distributed as dist
    from deepspeed.comm.torch import Noop
    from deepspeed.runtime.comm.coalesced_collectives import reduce_scatter_coalesced as by_deepspeed
    from deepspeed.runtime.zero import stage3

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

    def reduce_scatter_coalesced(tensors: list[Any], group: Any = None) -> list[Any]:
        return shared.mean_parts(tensors) or by_deepspeed(tensors, group)

    stage3.reduce_scatter_coalesced = reduce_scatter_coalesced
    backend.all_gather_function = all_gather
    backend.reduce_scatter_function = reduce_scatter
    backend.all_reduce = all_reduce


def _without_idle_python(zero: Any) -> None:
    """Take out what DeepSpeed's ZeRO-3 does in Python for each weight in each update that changes nothing.

    It walks over all modules seven times to list the same weights, makes texts that nobody prints, takes the norm of
    every gradient by itself and asks how much memory the process has: a twelfth of a tiny model's update.
    """
    import deepspeed.comm
    import torch
    from deepspeed.accelerator import get_accelerator
    from deepspeed.runtime.zero import parameter_offload, partition_parameters, partitioned_param_coordinator, stage3

    coordinator = partitioned_param_coordinator

    @functools.cache  # of this engine's modules; the last engine's goes with its function
    def whole(module: Any) -> list[Any]:
        return [each for _, each in coordinator.get_all_parameters(module, recurse=True)]

    def iter_params(module: Any, recurse: bool = False) -> Any:
        # Without `recurse` it may grow: a module can take a weight from elsewhere in its first pass.
        return whole(module) if recurse else [each for _, each in coordinator.get_all_parameters(module)]

    def norm(gradients: Sequence[Any], weights: Sequence[Any]) -> Any:
        """Of all ranks' gradients; -1 tells ZeRO-3 of one that is not finite."""
        squares = torch.stack(torch._foreach_norm(gradients, dtype=torch.float64)).square().sum()
        deepspeed.comm.all_reduce(squares, group=zero._get_param_partition_group(weights[0]))
        return torch.where(squares.isfinite(), squares.sqrt(), -1.0)

    zero.get_grad_norm_direct = norm
    coordinator.iter_params = parameter_offload.iter_params = iter_params
    for module in (partition_parameters, coordinator, stage3):
        module.print_rank_0 = lambda *_, **__: None
    partition_parameters.debug_param2name_id_shape_device = lambda _: ""
    get_accelerator().memory_stats = dict  # looked at for a GPU's allocator; on a CPU it reads /proc


def _settings(sft: Sft, world: int, on_gpu: bool) -> dict[str, Any]:
    """DeepSpeed's configuration."""
    return {
        # Micro-steps are ours: see `Trainer.update`.
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
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    example_lengths: list[int],
    example_bounds: Any = None,
    **options: Any,
) -> tuple[Any, None]:
    """Causal attention inside each of the examples laid end to end; a transformers attention function.

    Shapes: query [1, heads, tokens, dim], key and value [1, kv heads, tokens, dim]; returns [1, tokens, heads, dim].
    No mask and no padding: PyTorch's own FlashAttention over ragged lengths where `example_bounds` says where they
    start and end (int32 [examples + 1]), else one exact call per example.
    Tokens after the last example are seen by none and get zeros.
    """
    import torch

    assert attention_mask is None and options.get("sliding_window") is None
    grouped = query.shape[1] != key.shape[1]
    if example_bounds is not None and query.shape[3] % 8 == 0 and query.shape[3] <= 256:  # what its kernels take
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        bounds, longest = (example_bounds, example_bounds), (max(example_lengths),) * 2
        causal = (-1, 0)  # a window of all before and none after
        out = varlen_attn(q, k, v, *bounds, *longest, scale=options["scaling"], window_size=causal, enable_gqa=grouped)
        return out[None], None
    lengths = [*example_lengths, query.shape[2] - sum(example_lengths)]
    *examples, fill = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            *triple, is_causal=True, scale=options["scaling"], enable_gqa=grouped
        )
        for triple in examples
    ]
    return torch.cat([*parts, torch.zeros_like(fill[0])], 2).transpose(1, 2), None


def attends_at_once(device: Any, precision: str) -> bool:
    """Whether PyTorch's FlashAttention attends within all examples of a micro-batch in one call.

    Otherwise each takes a call of its own and, on an H100 or B200, half a second for every length that is new: cuDNN,
    which PyTorch takes first there, plans for one shape.
    """
    import torch

    return (
        device.type == "cuda" and precision == "bfloat16" and bool(torch.cuda.get_device_capability(device) >= (8, 0))
    )
