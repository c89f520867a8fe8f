"""Examples as tensors: the places of a batch, and which of them make an update. No DeepSpeed, no ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capgap_ray.catalog.models import TRAINED_BY, untrainable, weight_files
from capgap_ray.core.budget import batches, hold_out, pack
from capgap_ray.core.masking import Rendering, TokenizedExample, prepare
from capgap_ray.records import TrainingExample
from capgap_ray.settings import Sft
from capgap_ray.stages.turns import end_of_turn
from capgap_ray.stages.weights import check_shards


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long to train where another arm says it; None: `epochs` of all rows."""

    updates: int | None = None
    tokens: int | None = None
    """Supervised tokens, to the nearest update."""


def rendering(sft: Sft) -> Rendering:
    """How the recipe renders examples."""
    return Rendering(
        cutoff=sft.cutoff_tokens,
        overlength=sft.overlength,
        system=sft.system,
        loss_on_final_newline=sft.loss_on_final_newline,
    )


def load_tokenizer(folder: str, template: str | None = None) -> Any:
    """The student's tokenizer, with the chat template in place of its own if one is given.

    Its end token is the one with which the template ends a turn: that of a base model, or of Gemma, is another.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if template is not None:
        tokenizer.chat_template = template
    ends = end_of_turn(tokenizer) if tokenizer.chat_template else None
    if ends is not None and ends != tokenizer.eos_token:
        tokenizer.eos_token = ends
    return tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One place of a batch: an example, or several that are packed."""

    rows: tuple[TokenizedExample, ...]
    ids: Any
    """int64 [tokens]."""
    positions: Any
    """int64 [tokens]."""
    spans: tuple[int, ...]
    """Lengths of the parts that attention stays inside."""
    targets: Any
    """int64 [supervised]: indexes into `ids` of the tokens that carry loss."""

    @property
    def supervised(self) -> int:
        return len(self.targets)

    @property
    def tokens(self) -> int:
        return len(self.ids)


def slots_of(rows: Sequence[TokenizedExample], sft: Sft) -> list[Slot]:
    lengths = [len(row.input_ids) for row in rows]
    packs = pack(lengths, sft.cutoff_tokens) if sft.packing != "none" else [[index] for index in range(len(rows))]
    return [slot_of([rows[index] for index in members], sft.packing) for members in packs]


def slot_of(rows: list[TokenizedExample], packing: str) -> Slot:
    import torch

    lengths = [len(row.input_ids) for row in rows]
    starts = [sum(lengths[:index]) for index in range(len(rows))]
    tokens = sum(lengths)
    return Slot(
        rows=tuple(rows),
        ids=torch.tensor([token for row in rows for token in row.input_ids]),
        positions=torch.arange(tokens),  # packed or not: LLaMA-Factory lets them run on through a pack
        spans=(tokens,) if packing == "joined" else tuple(lengths),
        targets=torch.cat(
            [
                torch.arange(start + row.supervised_from, start + len(row.input_ids))
                for start, row in zip(starts, rows, strict=True)
            ]
        ),
    )


def updates_of(slots: Sequence[Slot], sft: Sft, length: Length) -> list[list[int]]:
    """Slot indexes of every update. Raises ValueError where one update takes more slots than there are."""
    samples = sft.batch.per_device * sft.batch.accumulation * sft.workers
    if samples > len(slots):
        kind = "rows" if sft.packing == "none" else "packs"
        raise ValueError(
            f"sft.batch: {sft.batch} on {sft.workers} workers takes {samples} {kind} per update, and there are only "
            f"{len(slots)}; make it smaller, or the mixture larger"
        )
    if length.updates is None and length.tokens is None:
        return batches(len(slots), samples, sft.epochs, sft.seed)
    epochs = 1
    while True:
        made = batches(len(slots), samples, epochs, sft.seed)
        if length.updates is not None and len(made) >= length.updates:
            return made[: length.updates]
        if length.tokens is not None:
            held = 0
            for count, update in enumerate(made):
                tokens = sum(slots[index].supervised for index in update)
                if held + tokens >= length.tokens:
                    nearer = held + tokens - length.tokens <= length.tokens - held
                    return made[: max(1, count + nearer)]
                held += tokens
        epochs *= 2


def check(
    folder: str,
    source: str,
    examples: Sequence[TrainingExample],
    sft: Sft,
    length: Length,
    template: str | None = None,
) -> None:
    """Everything that can be known of a student and its data before a worker starts.

    `folder` holds what `source`, its name for people, stands for; `template` is its chat template in place of its own.
    Renders, tokenises, masks and reads back every row. Raises ValueError that names the student, the field or the row.
    """
    from transformers import AutoConfig

    if not weight_files(Path(folder)):
        raise ValueError(f"student {source}: the folder has no *.safetensors (pickles are never read); convert it")
    try:
        check_shards(folder)
    except ValueError as error:
        raise ValueError(f"student {source}: {error}") from None
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()
    tokenizer = load_tokenizer(folder, template)
    if not tokenizer.chat_template:
        raise ValueError(f"student {source}: its tokenizer has no chat template; name one for it in chat_templates")
    if end_of_turn(tokenizer) is None:
        raise ValueError(
            f"student {source}: its chat template ends no assistant's turn with a token that its tokenizer has; "
            "choose one of the model's family in chat_templates"
        )
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"student {source}: its tokenizer has {len(tokenizer)} tokens and its embedding only {config.vocab_size} "
            "rows; use the tokenizer that belongs to the weights"
        )
    known = {name: getattr(config, name) for name in TRAINED_BY if hasattr(config, name)}
    if (why := untrainable(source, known, sft.cutoff_tokens)) is not None:
        raise ValueError(why)
    slots = slots_of(prepare(examples, tokenizer, rendering(sft)).rows, sft)
    training, _ = hold_out(len(slots), sft.validation.share if sft.validation else 0.0, sft.seed)
    updates_of([slots[index] for index in training], sft, length)
