"""Train a member of the tiny family from scratch on CPU: the transformer, the batches, the resumable loop.

Muon turns the matrices, AdamW the rest. Batch u is a pure
function of (member, seed, u), so a killed run continues from its last saved state with the same data.
"""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from capgap_ray.tiny.documents import PAD, Stream
from capgap_ray.tiny.family import HEAD_DIM, MAX_POSITIONS, Member
from capgap_ray.tiny.muon import Muon
from capgap_ray.tiny.procedural import TASKS, shots, task_items

ROPE_BASE, EPSILON = 10000.0, 1e-6
WARMUP = 50
SAVE_EVERY_SECONDS = 60.0
GROUPS = 4
"""Parts of a batch, chats of like length in each: padding stays small."""
COPYING = 0.1
"""Share of copying chats among short ones, after the first updates, which hold nothing else."""


class Block(nn.Module):  # type: ignore[misc]
    """One pre-norm Qwen2 layer; parameter names are Hugging Face's."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        width = member.hidden
        self.input_layernorm = nn.RMSNorm(width, eps=EPSILON)
        self.self_attn = nn.ModuleDict({f"{n}_proj": nn.Linear(width, width, bias=n != "o") for n in "qkvo"})
        self.post_attention_layernorm = nn.RMSNorm(width, eps=EPSILON)
        self.mlp = nn.ModuleDict(
            {
                "gate_proj": nn.Linear(width, member.intermediate, bias=False),
                "up_proj": nn.Linear(width, member.intermediate, bias=False),
                "down_proj": nn.Linear(member.intermediate, width, bias=False),
            }
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x: (chats, tokens, hidden); cos, sin: (tokens, HEAD_DIM)."""
        rows, tokens, width = x.shape
        normed = self.input_layernorm(x)
        q, k, v = (self.self_attn[f"{n}_proj"](normed).view(rows, tokens, -1, HEAD_DIM).transpose(1, 2) for n in "qkv")
        mixed = F.scaled_dot_product_attention(_rotate(q, cos, sin), _rotate(k, cos, sin), v, is_causal=True)
        x = x + self.self_attn["o_proj"](mixed.transpose(1, 2).reshape(rows, tokens, width))
        normed = self.post_attention_layernorm(x)
        gated = F.silu(self.mlp["gate_proj"](normed)) * self.mlp["up_proj"](normed)
        out: Tensor = x + self.mlp["down_proj"](gated)
        return out


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


class Transformer(nn.Module):  # type: ignore[misc]
    """Qwen2 without a cache, for training only; embeddings are tied."""

    def __init__(self, member: Member, vocabulary: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, member.hidden)
        self.layers = nn.ModuleList(Block(member) for _ in range(member.layers))
        self.norm = nn.RMSNorm(member.hidden, eps=EPSILON)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                # Output projections start small, so that a block begins near the identity.
                small = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * member.layers) ** 0.5 if small else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (chats, tokens) -> last hidden states (chats, tokens, hidden)."""
        half = torch.arange(0, HEAD_DIM, 2, device=ids.device, dtype=torch.float32) / HEAD_DIM
        angles = torch.arange(ids.shape[1], dtype=torch.float32)[:, None] * ROPE_BASE**-half
        cos, sin = torch.cat((angles, angles), -1).cos(), torch.cat((angles, angles), -1).sin()
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.norm(x)
        return out


@dataclass(frozen=True, slots=True)
class Group:
    """Chats of like length, padded at their ends, where causal attention never looks."""

    ids: Tensor
    """(chats, tokens) int64."""
    supervised: Tensor
    """(chats, tokens) bool; true where the token is to be predicted from those before it."""


class Batches:
    """Seeded batches of one member, the next one made in the background."""

    def __init__(self, member: Member, tokenizer: Any) -> None:
        fixed = {task: shots(task) for task in TASKS}
        held_out = frozenset(item.question for task in TASKS for item in task_items(task))
        held_out |= frozenset(shot.question for worked in fixed.values() for shot in worked)
        self._stream = Stream(member.shares, member.style, held_out, fixed)
        self._member, self._tokenizer = member, tokenizer
        self._pad: int = tokenizer.convert_tokens_to_ids(PAD)

    def make(self, update: int) -> list[Group]:
        """The batch of one update, counted from 0: chats without worked examples first, sorted by length."""
        member = self._member
        rng = Random(f"{member.stream or member.name}/{member.seed}/{update}")
        short = update < member.short_updates
        copying = 1.0 if update < member.copying_updates else COPYING if short else 0.0
        chats: list[list[tuple[int, bool]]] = []
        while sum(map(len, chats)) < member.tokens_per_update:
            chats.append(self._encode(rng, 0 if short else 3, copying))
        chats.sort(key=len)
        size = -(-len(chats) // GROUPS)
        return [self._padded(chats[i : i + size]) for i in range(0, len(chats), size)]

    def _padded(self, chats: list[list[tuple[int, bool]]]) -> Group:
        width = max(map(len, chats))
        cells = [chat + [(self._pad, False)] * (width - len(chat)) for chat in chats]
        return Group(*(torch.tensor([[cell[i] for cell in row] for row in cells]) for i in range(2)))

    def _encode(self, rng: Random, most_shots: int, copying: float) -> list[tuple[int, bool]]:
        document = self._stream.document(rng, most_shots, copying)
        encoded = self._tokenizer(document.text, return_offsets_mapping=True)
        inside = [any(a <= start < b for a, b in document.spans) for start, _ in encoded["offset_mapping"]]
        return list(zip(encoded["input_ids"], inside, strict=True))

    def __call__(self, first: int, last: int) -> Iterator[list[Group]]:
        with ThreadPoolExecutor(max_workers=1) as background:
            waiting = background.submit(self.make, first)
            for update in range(first, last):
                batch = waiting.result()
                if update + 1 < last:
                    waiting = background.submit(self.make, update + 1)
                yield batch


class State:
    """Weights, optimizers and progress of one run, kept in one safetensors file of the work folder."""

    def __init__(self, member: Member, vocabulary: int, work: Path) -> None:
        torch.manual_seed(member.seed)
        self.member, self.path = member, work / f"{member.name}.safetensors"
        self.model = Transformer(member, vocabulary)
        named = dict(self.model.named_parameters())
        matrices = [p for name, p in named.items() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in named.items() if p.ndim != 2 or "embed" in name]
        self.muon = Muon(matrices, lr=member.matrix_rate, weight_decay=0.01)
        self.adam = torch.optim.AdamW(others, lr=member.rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.update, self.tokens, self.seconds, self.loss = 0, 0, 0.0, float("nan")
        if self.path.exists():
            self._load()
        elif member.starts_from is not None:
            self._start_from(work / f"{member.starts_from}.safetensors")

    def rates(self, update: int) -> None:
        """Warm-up, plateau, then a linear fall to zero."""
        left = (self.member.updates - update) / (self.member.updates - self.member.decay_from)
        share = min(1.0, (update + 1) / WARMUP, left)
        self.muon.param_groups[0]["lr"] = self.member.matrix_rate * share
        self.adam.param_groups[0]["lr"] = self.member.rate * share

    def save(self) -> None:
        """Replace the file in one rename: a kill leaves the old state or the new one."""
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for kind, optimizer in (("muon", self.muon), ("adam", self.adam)):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"{kind}/{index}/{key}": value.clone() for key, value in state.items()}
        progress = {"update": str(self.update), "tokens": str(self.tokens), "seconds": str(self.seconds)}
        progress["loss"] = str(self.loss)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        save_file(tensors, partial, metadata=progress)
        os.replace(partial, self.path)

    def _start_from(self, path: Path) -> None:
        """Take another member's weights, without its optimizers.

        Further layers of ours begin as the identity (zero output projections): the deeper network computes the same.
        """
        if not path.exists():
            raise ValueError(f"{self.member.name} starts from {path.stem}, which has no state; train that one first")
        theirs = load_file(path)
        weights = {name.removeprefix("model/"): tensor for name, tensor in theirs.items() if name.startswith("model/")}
        for name, tensor in self.model.state_dict().items():
            if name not in weights:
                silent = name.endswith(("o_proj.weight", "down_proj.weight"))
                weights[name] = torch.zeros_like(tensor) if silent else tensor
        self.model.load_state_dict(weights)

    def _load(self) -> None:
        optimizers: dict[str, dict[int, dict[str, Tensor]]] = {"muon": {}, "adam": {}}
        weights = {}
        with safe_open(self.path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                kind, rest = name.split("/", 1)
                if kind == "model":
                    weights[rest] = file.get_tensor(name)
                else:
                    index, key = rest.split("/")
                    optimizers[kind].setdefault(int(index), {})[key] = file.get_tensor(name)
            progress = file.metadata()
        self.model.load_state_dict(weights)
        for kind, optimizer in (("muon", self.muon), ("adam", self.adam)):
            full = optimizer.state_dict()
            optimizer.load_state_dict({**full, "state": optimizers[kind]})
        self.update, self.tokens = int(progress["update"]), int(progress["tokens"])
        self.seconds, self.loss = float(progress["seconds"]), float(progress["loss"])


def backward(model: Transformer, batch: list[Group]) -> float:
    """Add the gradients of one batch; its mean cross-entropy over supervised tokens, in nats."""
    count = sum(int(group.supervised[:, 1:].sum()) for group in batch)
    total = 0.0
    for group in batch:
        # Without bfloat16 in its instruction set a CPU is nine times slower in it than in float32.
        with torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported()):
            hidden = model(group.ids)
            logits = F.linear(hidden[:, :-1][group.supervised[:, 1:]], model.embed_tokens.weight)
        targets = group.ids[:, 1:][group.supervised[:, 1:]]
        loss = F.cross_entropy(logits.float(), targets, reduction="sum") / count
        loss.backward()
        total += loss.item()
    return total


def train(member: Member, tokenizer: Any, work: Path, *, until: int | None = None) -> State:
    """Train up to update `until` (default: all of the member's updates), from the saved state if there is one."""
    state = State(member, len(tokenizer), work)
    last = min(member.updates, until or member.updates)
    began, before = time.monotonic(), state.seconds
    saved = began
    for batch in Batches(member, tokenizer)(state.update, last):
        state.rates(state.update)
        loss = backward(state.model, batch)
        nn.utils.clip_grad_norm_(state.adam.param_groups[0]["params"], 1.0)
        for optimizer in (state.muon, state.adam):
            optimizer.step()
            optimizer.zero_grad()
        state.update, state.loss = state.update + 1, loss
        state.tokens += sum(group.ids.numel() for group in batch)
        state.seconds = before + time.monotonic() - began
        if state.update % 25 == 0:
            print(
                f"{member.name} update {state.update}/{member.updates} loss {state.loss:.4f} "
                f"tokens {state.tokens / 1e6:.2f}M seconds {state.seconds:.0f}",
                flush=True,
            )
        if time.monotonic() - saved > SAVE_EVERY_SECONDS:
            state.save()
            saved = time.monotonic()
    state.save()
    return state


def export(state: State, tokenizer: Any, folder: Path) -> None:
    """Write the model as bfloat16 safetensors in Hugging Face's layout of Qwen 2, tokenizer included."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    member = state.member
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=member.hidden,
        intermediate_size=member.intermediate,
        num_hidden_layers=member.layers,
        num_attention_heads=member.hidden // HEAD_DIM,
        num_key_value_heads=member.hidden // HEAD_DIM,
        max_position_embeddings=MAX_POSITIONS,
        rms_norm_eps=EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = Qwen2ForCausalLM(config)
    model.model.load_state_dict(state.model.state_dict())
    model.generation_config.update(eos_token_id=end, pad_token_id=pad, do_sample=False, max_new_tokens=512)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
