"""Layers for training in float32 on a CPU, where they take less time than PyTorch's and transformers' own.

PyTorch multiplies float32 matrices with MKL, which takes its AVX2 kernels on processors that are not Intel's. oneDNN's
follow the instruction set: twice as fast on an AMD EPYC that computes 512 bits at once, and no faster on one that takes
two steps for them (Zen 4), where an update took a sixth longer. Normalisation and rotary positions are a dozen small
operations each, and twice as many in the backward pass; with a gradient of their own they are a third of that.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROWS = 64
"""Inputs should have a multiple of so many rows: oneDNN makes a kernel for every shape and keeps 1,024 of them."""


ZEN_5 = 26
"""AMD's number of the first family of processors whose units are 512 bits wide."""


def onednn_gains(processor: str) -> bool:
    """Whether oneDNN multiplies faster than MKL on a processor, as Linux describes it in /proc/cpuinfo.

    By its kind and not by a trial, or a resumed training could multiply in another order than the one it goes on from.
    """
    family = re.search(r"^cpu family\s*: (\d+)$", processor, re.MULTILINE)
    return "AuthenticAMD" in processor and "avx512f" in processor and family is not None and int(family[1]) >= ZEN_5


def this_processor() -> str:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return ""


def through_onednn(model: torch.nn.Module) -> bool:
    """Let all linear layers of `model` compute by oneDNN; returns whether this PyTorch has it."""
    if not torch.backends.mkldnn.is_available():
        return False
    for each in model.modules():
        if type(each) is torch.nn.Linear:
            each.forward = functools.partial(_linear, each)
    return True


def with_own_gradients(model: torch.nn.Module) -> None:
    """Let the norms and the rotary positions of `model` compute by the functions below, where theirs are Qwen2's.

    Most architectures of transformers have a copy of it; others (Gemma, say, adds 1 to the weight) stay as they are.
    """
    from transformers.models.qwen2 import modeling_qwen2 as known

    for each in model.modules():
        forward = getattr(type(each), "forward", None)
        if not isinstance(forward, types.FunctionType):
            continue
        names = forward.__globals__
        if _same(forward, known.Qwen2RMSNorm.forward):
            each.forward = functools.partial(_norm, each)
        elif "apply_rotary_pos_emb" in forward.__code__.co_names and all(
            _same(names[name], getattr(known, name)) for name in ("apply_rotary_pos_emb", "rotate_half")
        ):
            names = {**names, "apply_rotary_pos_emb": _rotary}
            own = types.FunctionType(forward.__code__, names, None, forward.__defaults__, forward.__closure__)
            each.forward = types.MethodType(own, each)


KEPT = "kept_tokens"
"""Argument of a model's forward pass: the positions [kept] whose logits it gives, where `keep_early` changed it."""


def keep_early(model: torch.nn.Module) -> bool:
    """Let the last layer of `model` compute what follows its attention for the kept tokens only, which are all that the
    head sees; returns whether it is a layer of Qwen2's kind, as most are. Of a tiny model's layers it is every second.
    """
    from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

    layers = [each for each in model.modules() if type(each).__name__.endswith("DecoderLayer")]
    known = inspect.unwrap(Qwen2DecoderLayer.forward)
    if not layers or not _same(inspect.unwrap(type(layers[-1]).forward), known):
        return False
    layers[-1].forward = functools.partial(_last_layer, layers[-1])
    return True


def _last_layer(layer: Any, hidden_states: torch.Tensor, **options: Any) -> torch.Tensor:
    """hidden_states [1, tokens, width] -> [1, kept, width]."""
    attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **options)
    kept: torch.Tensor = (hidden_states + attended)[:, options[KEPT]]
    return kept + layer.mlp(layer.post_attention_layernorm(kept))


def _same(function: Any, known: Callable[..., Any]) -> bool:
    """Whether a function does what another does, by its code."""

    def code(of: Any) -> Any:
        constants = [each for each in of.__code__.co_consts if not isinstance(each, str)]  # strings: its docstring
        return of.__code__.co_code, of.__code__.co_names, constants

    return isinstance(function, types.FunctionType) and code(function) == code(known)


def _linear(layer: torch.nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = _Linear.apply(rows, layer.weight, layer.bias)
    return made


def _times(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """rows [..., in] by weight [out, in]."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):  # type: ignore[misc]
    """The op that torch.compile uses has no gradient of its own."""

    @staticmethod
    def forward(context: Any, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        context.save_for_backward(rows, weight)
        return _times(rows, weight, bias)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (of_output,) = gradients
        rows, weight = context.saved_tensors
        flat = of_output.flatten(0, -2)
        for_rows, for_weight, for_bias = context.needs_input_grad
        return (
            _times(of_output, weight.t()) if for_rows else None,
            _times(flat.t(), rows.flatten(0, -2).t()) if for_weight else None,
            flat.sum(0) if for_bias else None,
        )


def _norm(layer: Any, rows: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = _Norm.apply(rows, layer.weight, layer.variance_epsilon)
    return made


class _Norm(torch.autograd.Function):  # type: ignore[misc]
    """rows [..., width] by the root of their mean square, by weight [width]."""

    @staticmethod
    def forward(context: Any, rows: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        scale = rows.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        normal = rows * scale
        context.save_for_backward(normal, scale, weight)
        return normal * weight

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (of_output,) = gradients
        normal, scale, weight = context.saved_tensors
        for_rows = of_output * weight
        along = (for_rows * normal).mean(-1, keepdim=True)
        return (
            for_rows.addcmul_(normal, along, value=-1).mul_(scale),
            (of_output * normal).flatten(0, -2).sum(0) if context.needs_input_grad[1] else None,
            None,
        )


def _rotary(
    queries: torch.Tensor, keys: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """In place of transformers' `apply_rotary_pos_emb`, and of its shapes."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return _Rotary.apply(queries, cos, sin), _Rotary.apply(keys, cos, sin)


class _Rotary(torch.autograd.Function):  # type: ignore[misc]
    """Its gradient is turned back by the same angles."""

    @staticmethod
    def forward(context: Any, rows: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(cos, sin)
        return _turned(rows, cos, sin, 1)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (of_output,) = gradients
        cos, sin = context.saved_tensors
        return _turned(of_output, cos, sin, -1), None, None


def _turned(rows: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: int) -> torch.Tensor:
    """Pairs of the lower and the upper half of the last axis, turned; `cos` and `sin` have both halves alike."""
    lower, upper = rows.chunk(2, -1)
    half = lower.shape[-1]
    made = rows * cos
    made[..., :half].addcmul_(upper, sin[..., :half], value=-sign)
    made[..., half:].addcmul_(lower, sin[..., half:], value=sign)
    return made
