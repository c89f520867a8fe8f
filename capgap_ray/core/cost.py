"""What an experiment costs: floating-point operations, hours, memory and bytes, before anything has run.

Every number here is an estimate from the number of weights and tokens and from `ASSUMED`, which the plan prints. A
model of N weights takes 2N operations per token forward and 4N backward (2N with adapters, whose frozen weights need
no gradient), and 2N again where activations are recomputed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from capgap_ray.core.budget import zero3_bytes

GIGABYTE = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Where nothing has been measured yet."""

    prompt_tokens_per_shot: int = 250
    prompt_tokens: int = 250
    """Of a question with its instruction, beside the shots."""
    output_tokens: int = 300
    """Of an answer or rationale of a short-CoT model; never more than the token budget."""
    right: float = 0.75
    """Share of a teacher's rationales that are right and so train."""
    rejected: float = 0.5
    """Share of answers that the rules reject and the judge reads; its replies are `judge_tokens` long."""
    judge_tokens: int = 5
    training_utilisation: float = 0.4
    """Of the accelerator's peak, in training; the next two are for prompts and for new tokens."""
    prefill_utilisation: float = 0.4
    decode_utilisation: float = 0.1
    bytes_per_token: float = 5.0
    """Of text as stored, compressed, with its scores."""
    vocabulary: int = 152_000
    """Of a student whose config.json is not known: Qwen2.5's."""

    def words(self) -> tuple[str, ...]:
        """What the numbers rest on, a line each."""
        return (
            f"where nothing is measured: {self.prompt_tokens} prompt tokens and {self.prompt_tokens_per_shot} more per "
            f"shot, {self.output_tokens} output tokens (long CoT is many times longer: reckon with `at most`), "
            f"{100 * self.right:.0f} % of rationales right, {100 * self.rejected:.0f} % of answers judged",
            f"speed: {100 * self.training_utilisation:.0f} % of the accelerator's bfloat16 peak in training, "
            f"{100 * self.prefill_utilisation:.0f} % on prompts, {100 * self.decode_utilisation:.0f} % on new tokens; "
            "start-up and waiting are not counted",
            "operations: 2 per weight and token forward, 4 backward (LoRA 2), 2 more with gradient checkpointing",
            "at most: every answer as long as the token budget, every rationale right, every answer judged",
            f"memory: a vocabulary of {self.vocabulary:,} words where a student's config.json is not here",
            "disk: what stays; a training that runs holds its newest state besides, 12 bytes per trained weight, twice "
            "that while it writes the next",
        )


ASSUMED = Assumed()


def training_flops(parameters: int, tokens: float, *, lora: bool, recompute: bool) -> float:
    """Return the operations of training on so many tokens, prompts included."""
    return (4 if lora else 6) * parameters * tokens + (2 * parameters * tokens if recompute else 0)


def generation_hours(
    parameters: int, prompt_tokens: float, output_tokens: float, teraflops: float, assumed: Assumed = ASSUMED
) -> float:
    """Return the device-hours of generating, on devices of so many dense bfloat16 teraflops."""
    seconds = prompt_tokens / assumed.prefill_utilisation + output_tokens / assumed.decode_utilisation
    return 2 * parameters * seconds / (teraflops * 1e12) / 3600


def training_hours(flops: float, teraflops: float, assumed: Assumed = ASSUMED) -> float:
    """Return the device-hours of so many operations."""
    return flops / (teraflops * 1e12 * assumed.training_utilisation) / 3600


# --- memory ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on one device."""

    state: int
    """Weights, and in training gradients and optimizer, as ZeRO-3 divides them."""
    working: int
    """Layers gathered for the moment and activations; of an engine its KV cache at the least."""

    @property
    def total(self) -> int:
        return self.state + self.working


def saved_by_layer(width: int, key_value: int, inner: int, bits: Literal[16, 32]) -> int:
    """Return the bytes per token that one Qwen2 decoder layer keeps for its backward pass.

    `width`: of the residual stream and of all queries; `key_value`: of all keys, and of all values; `inner`: of the
    MLP. With b bytes a number, and without what is a single number for a token or head:

    - each of two RMSNorms: its input in float32 (4 width), the normalised rows that its weight multiplies and its
      output, which the linear layers after it share (2 x b width);
    - attention: queries and keys after their rotation, values (b width + 2 x b key_value), the result of scaled dot
      product attention and its copy in token order, the input of the output projection (2 x b width; one fewer on GPUs
      that attend at once). Rotation keeps only the cosines and sines, which all layers share;
    - MLP: gate, SiLU(gate), up, their product (4 x b inner).

    A layer with adapters (without dropout) keeps as much, less the normalised rows.
    """
    b = bits // 8
    return width * (2 * (4 + 2 * b) + 3 * b) + key_value * 2 * b + inner * 4 * b


def training_memory(
    parameters: int,
    *,
    workers: int,
    lora: bool,
    bits: Literal[16, 32],
    tokens: int,
    recompute: bool,
    vocabulary: int = ASSUMED.vocabulary,
) -> Memory:
    """Return the bytes per worker of a micro-batch of `tokens` tokens.

    State by the ZeRO-3 formula (`budget.zero3_bytes`). LoRA trains about 0.5 % of the weights at rank 8.

    Working: DeepSpeed gathers up to 10^9 weights at a time. The peak of the rest is where the backward pass begins: all
    that the layers saved (`saved_by_layer`), and of the loss its log-softmax, the gradient of that and the gradient of
    the logits, each in float32 over the vocabulary, if all tokens are supervised. With checkpointing a layer keeps its
    input only, and all that it saves is there again when its turn comes and the loss is done with.

    Width and layers are guessed from the number of weights, in Qwen2.5's proportions: an MLP 5.4 and keys 1/7 as wide
    as the model, which makes 18.5 width^2 weights a layer, and one layer for each 64 of width. Without checkpointing
    that gives 3 to 40 % more activations than the true shapes of its seven sizes do, and never less.
    """
    trainable = parameters // 200 if lora else parameters
    state = zero3_bytes(parameters, trainable, workers, bits).total
    width = (parameters * 64 / 18.5) ** (1 / 3)
    layer = saved_by_layer(round(width), round(width / 7), round(5.4 * width), bits)
    layers, loss = width / 64, 3 * 4 * vocabulary
    per_token = layers * width * bits / 8 + max(loss, layer) if recompute else layers * layer + loss
    gathered = min(parameters, 10**9) * bits // 8
    return Memory(state=state, working=int(gathered + tokens * per_token))


def engine_memory(parameters: int, devices: float, bytes_per_weight: int = 2) -> Memory:
    """Return the bytes per device of an engine over so many devices; a tenth of its weights' size for the cache is the
    least that still answers several requests at a time."""
    weights = int(parameters * bytes_per_weight / max(devices, 1))
    return Memory(state=weights, working=weights // 10)


# --- the ledger --------------------------------------------------------------------------------------------


def checkpoint_bytes(parameters: int, exports: int) -> int:
    """Return the bytes of so many exported checkpoints, 16 bits a weight (LoRA ones are stored merged)."""
    return 2 * parameters * exports
