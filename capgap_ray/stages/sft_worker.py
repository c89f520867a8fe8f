"""The only file that knows DeepSpeed: one rank's training loop. It does not need Ray to run.

Batches hold examples and no padding: the examples of a micro-batch are laid end to end, positions restart at
each, and attention stays inside each. The loss of an update is the mean over all its supervised tokens, on
whatever worker and micro-step they are, so batch x accumulation x workers can be traded freely.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capgap_ray.core.budget import Schedule, batches, learning_rate_at, split_update
from capgap_ray.core.masking import (
    OverlengthPolicy,
    TokenizedExample,
    apply_overlength,
    template_hash,
    tokenize_example,
)
from capgap_ray.records import TrainingExample

ENVIRONMENT_CPU = {
    "DS_ACCELERATOR": "cpu",
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled; otherwise importing DeepSpeed's Muon loads all of inductor
}
"""Must be set before torch and deepspeed are imported."""

_WITHIN_EXAMPLES = "within_examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train; the fields of `experiment.Sft`, flat."""

    learning_rate: float
    schedule: Schedule
    warmup_ratio: float
    weight_decay: float
    clip: float
    epochs: int
    per_device: int
    accumulation: int
    workers: int
    cutoff_tokens: int
    overlength: OverlengthPolicy
    precision: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training did, for the recipe card."""

    rows: int
    rows_dropped: int
    rows_cut: int
    updates: int
    warmup_updates: int
    supervised_tokens: int
    """Over all epochs."""
    template_hash: str
    losses: tuple[float, ...]
    """Per update."""


def run(source: str, examples: Sequence[TrainingExample], recipe: Recipe, export_to: str) -> Trained:
    """Fine-tune the student in the folder `source` on `examples` and write it to `export_to` (rank 0 writes).

    Called on every rank, inside a torch.distributed process group of `recipe.workers` ranks. Raises
    ValueError on rows that cannot be trained on and on an export that equals the untouched student.
    """
    import torch
    import torch.distributed as dist
    from transformers import AutoTokenizer

    torch.manual_seed(recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenized = [tokenize_example(example, tokenizer) for example in examples]
    rows, dropped, cut = apply_overlength(tokenized, recipe.cutoff_tokens, recipe.overlength)
    if not rows:
        raise ValueError(
            f"no rows to train on: {dropped} of {len(tokenized)} are longer than {recipe.cutoff_tokens} tokens"
        )

    engine = _engine(source, recipe)
    updates = batches(len(rows), recipe.per_device * recipe.accumulation * recipe.workers, recipe.epochs, recipe.seed)
    warmup = int(recipe.warmup_ratio * len(updates))
    losses = []
    for number, update in enumerate(updates):
        rate = learning_rate_at(number, len(updates), recipe.learning_rate, warmup, recipe.schedule)
        for group in engine.optimizer.param_groups:
            group["lr"] = rate
        losses.append(_update(engine, rows, update, recipe, dist.get_rank()))
    summed = torch.tensor(losses, dtype=torch.float64, device=engine.device)
    dist.all_reduce(summed)
    _export(engine, source, tokenizer, export_to)
    return Trained(
        rows=len(rows),
        rows_dropped=dropped,
        rows_cut=cut,
        updates=len(updates),
        warmup_updates=warmup,
        supervised_tokens=recipe.epochs * sum(row.supervised for row in rows),
        template_hash=template_hash(tokenizer),
        losses=tuple(summed.tolist()),
    )


def _engine(source: str, recipe: Recipe) -> Any:
    import deepspeed
    import torch
    import torch.distributed as dist
    from transformers import AttentionInterface, AutoModelForCausalLM
    from transformers.integrations import HfDeepSpeedConfig

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    if not torch.cuda.is_available():
        # The shared-memory collective is compiled on first use (46 s) and has no fallback of its own.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend=dist.get_backend())  # adopts the standing process group
    settings = {
        "train_micro_batch_size_per_gpu": recipe.per_device,
        "gradient_accumulation_steps": recipe.accumulation,
        "train_batch_size": recipe.per_device * recipe.accumulation * recipe.workers,
        "gradient_clipping": recipe.clip,
        "bf16": {"enabled": recipe.precision == "bfloat16"},
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": 3,
            "overlap_comm": False,
            "contiguous_gradients": True,
            "reduce_bucket_size": 50_000_000,
            "stage3_prefetch_bucket_size": 50_000_000,
            "stage3_param_persistence_threshold": 0,  # kept ones are gathered one by one after every update
            "stage3_gather_16bit_weights_on_model_save": True,
        },
    }
    keep_alive = HfDeepSpeedConfig(settings)  # partitions weights at load while it exists
    dtype = torch.bfloat16 if recipe.precision == "bfloat16" else torch.float32
    AttentionInterface.register(_WITHIN_EXAMPLES, _attend_within_examples)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=dtype, attn_implementation=_WITHIN_EXAMPLES, use_safetensors=True, trust_remote_code=False
    )
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings)
    del keep_alive
    return engine


def _update(engine: Any, rows: Sequence[TokenizedExample], update: list[int], recipe: Recipe, rank: int) -> float:
    """One optimizer update. Returns this rank's part of the mean loss over the update's supervised tokens."""
    tokens = sum(rows[index].supervised for index in update)
    steps = split_update(update, recipe.workers, recipe.per_device)[rank]
    loss_here = 0.0
    for number in range(recipe.accumulation):
        # The last update of an epoch may have fewer micro-steps; DeepSpeed still counts to `accumulation`,
        # and ZeRO-3 gathers collectively, so every rank runs an empty one with zero loss.
        members = [rows[index] for index in steps[number]] if number < len(steps) else []
        loss = _loss_sum(engine, members, rows[update[0]]) / tokens
        loss_here += float(loss.detach())
        # DeepSpeed averages over ranks; the loss is already divided by all ranks' tokens.
        engine.backward(loss * recipe.workers, scale_wrt_gas=False)
        engine.step()
    return loss_here


def _loss_sum(engine: Any, members: Sequence[TokenizedExample], stand_in: TokenizedExample) -> Any:
    """Summed cross-entropy of the micro-batch; 0 with a graph where it is empty."""
    import torch

    batch = members or [stand_in]
    lengths = [len(row.input_ids) for row in batch]
    ids = torch.tensor([token for row in batch for token in row.input_ids], device=engine.device)
    positions = torch.cat([torch.arange(length, device=engine.device) for length in lengths])
    starts = [sum(lengths[:index]) for index in range(len(batch))]
    supervised = torch.tensor(
        [
            start + offset
            for start, row in zip(starts, batch, strict=True)
            for offset in range(row.supervised_from, len(row.input_ids))
        ],
        device=engine.device,
    )
    # Only positions whose next token is supervised go through the output layer.
    logits = engine(
        input_ids=ids[None],
        position_ids=positions[None],
        example_lengths=lengths,
        logits_to_keep=supervised - 1,
        use_cache=False,
    ).logits[0]
    loss = torch.nn.functional.cross_entropy(logits.float(), ids[supervised], reduction="sum")
    return loss if members else loss * 0.0


def _attend_within_examples(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, example_lengths: list[int], **options: Any
) -> tuple[Any, None]:
    """Causal attention inside each of the examples laid end to end; a transformers attention function.

    Shapes: query [1, heads, tokens, dim], key and value [1, kv heads, tokens, dim]; returns [1, tokens, heads, dim].
    No mask and no padding: one exact call per example.
    """
    import torch

    assert attention_mask is None and options.get("sliding_window") is None
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            *triple, is_causal=True, scale=options["scaling"], enable_gqa=query.shape[1] != key.shape[1]
        )
        for triple in zip(
            query.split(example_lengths, 2), key.split(example_lengths, 2), value.split(example_lengths, 2), strict=True
        )
    ]
    return torch.cat(parts, 2).transpose(1, 2), None


def _export(engine: Any, source: str, tokenizer: Any, export_to: str) -> None:
    """Gather 16-bit weights and write safetensors in Hugging Face layout. Refuses an unchanged student."""
    import torch
    import torch.distributed as dist

    state = engine._zero3_consolidated_16bit_state_dict()
    if dist.get_rank() == 0:
        tied = set(getattr(engine.module, "all_tied_weights_keys", {}))  # a tied head is written once
        state = {name: tensor.to(torch.bfloat16) for name, tensor in state.items() if name not in tied}
        if _equals_source(state, source):
            raise ValueError(f"the trained weights equal those of {source}: nothing was learnt or nothing was gathered")
        os.makedirs(export_to, exist_ok=True)
        engine.module.save_pretrained(export_to, state_dict=state)
        config = Path(export_to) / "config.json"  # says the dtype of training, not that of the weights just written
        config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "bfloat16"}, indent=2))
        tokenizer.save_pretrained(export_to)
    dist.barrier()


def _equals_source(state: dict[str, Any], source: str) -> bool:
    """Whether every tensor equals the student's own, as stored."""
    import torch
    from safetensors import safe_open

    names = (
        [name for name in sorted(os.listdir(source)) if name.endswith(".safetensors")] if os.path.isdir(source) else []
    )
    for name in names:
        with safe_open(os.path.join(source, name), framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (a safetensors handle is no mapping)
                if key in state and not torch.equal(file.get_tensor(key).to(torch.bfloat16), state[key].cpu()):
                    return False
    return bool(names)
