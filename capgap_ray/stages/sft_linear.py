"""Linear layers by oneDNN, for training in float32 on a CPU.

PyTorch multiplies float32 matrices with MKL, which takes its AVX2 kernels on processors that are not Intel's. oneDNN's
follow the instruction set: twice as fast on an AMD EPYC with AVX-512.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

ROWS = 64
"""Inputs should have a multiple of so many rows: oneDNN makes a kernel for every shape and keeps 1,024 of them."""


def through_onednn(model: torch.nn.Module) -> bool:
    """Let all linear layers of `model` compute by oneDNN; returns whether this PyTorch has it."""
    if not torch.backends.mkldnn.is_available():
        return False
    for each in model.modules():
        if type(each) is torch.nn.Linear:
            each.forward = functools.partial(_forward, each)
    return True


def _forward(layer: torch.nn.Linear, rows: torch.Tensor) -> torch.Tensor:
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
