from __future__ import annotations

import pytest


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (64,), (1, 130), (2, 3, 5)])
def test_outputs_and_gradients_are_those_of_pytorch(shape: tuple[int, ...], bias: bool) -> None:
    import torch

    from capgap_ray.stages.sft_linear import through_onednn

    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 40, bias=bias)
    rows = torch.randn(*shape, 24, requires_grad=True)
    of_output = torch.randn(*shape, 40)

    def results() -> list[torch.Tensor]:
        layer.zero_grad()
        rows.grad = None
        output = layer(rows)
        output.backward(of_output)
        assert rows.grad is not None
        return [output, rows.grad, *(each.grad for each in layer.parameters() if each.grad is not None)]

    usual = results()
    assert through_onednn(layer), "PyTorch's CPU builds have oneDNN"
    ours = results()
    assert len(ours) == len(usual) == 3 + bias
    for mine, theirs in zip(ours, usual, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_a_frozen_layer_passes_gradients_on() -> None:
    import torch

    from capgap_ray.stages.sft_linear import through_onednn

    layer = torch.nn.Linear(8, 8).requires_grad_(False)
    through_onednn(layer)
    rows = torch.randn(3, 8, requires_grad=True)
    layer(rows).sum().backward()
    torch.testing.assert_close(rows.grad, layer.weight.sum(0).expand(3, 8))
    assert layer.weight.grad is None
