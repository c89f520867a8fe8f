from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (64,), (1, 130), (2, 3, 5)])
def test_outputs_and_gradients_are_those_of_pytorch(shape: tuple[int, ...], bias: bool) -> None:
    import torch

    from capgap_ray.stages.sft_layers import through_onednn

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


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "gains"),
    [
        ("AuthenticAMD", 26, "avx2 avx512f avx512_bf16", True),
        ("AuthenticAMD", 25, "avx2 avx512f avx512_bf16", False),  # Zen 4: in two steps of 256 bits
        ("AuthenticAMD", 26, "avx2", False),  # a virtual machine may hide it
        ("GenuineIntel", 6, "avx2 avx512f", False),  # MKL takes it itself
    ],
)
def test_onednn_multiplies_where_it_alone_computes_512_bits_at_once(
    vendor: str, family: int, flags: str, gains: bool
) -> None:
    from capgap_ray.stages.sft_layers import onednn_gains

    processor = f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: 17\nflags\t\t: {flags}\n"
    assert onednn_gains(processor) is gains


def test_a_frozen_layer_passes_gradients_on() -> None:
    import torch

    from capgap_ray.stages.sft_layers import through_onednn

    layer = torch.nn.Linear(8, 8).requires_grad_(False)
    through_onednn(layer)
    rows = torch.randn(3, 8, requires_grad=True)
    layer(rows).sum().backward()
    torch.testing.assert_close(rows.grad, layer.weight.sum(0).expand(3, 8))
    assert layer.weight.grad is None


SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 50,
    "pad_token_id": 0,
}


def made(architecture: str) -> Any:
    """A model of random weights, with norms that do something."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{architecture}Config")(**SHAPE)
    model = getattr(transformers, f"{architecture}ForCausalLM")._from_config(config, attn_implementation="sdpa")
    for name, each in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(each, 1, 0.3)
    return model


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("architecture", ["Qwen2", "Llama", "Qwen3"])
def test_norms_and_rotary_positions_give_transformers_outputs_and_gradients(architecture: str, frozen: bool) -> None:
    import torch

    from capgap_ray.stages.sft_layers import with_own_gradients

    model = made(architecture)
    for name, each in model.named_parameters():
        if frozen and "norm" in name:
            each.requires_grad_(False)
    ids = torch.randint(50, (2, 9))

    def results() -> dict[str, torch.Tensor]:
        model.zero_grad()
        found = model(input_ids=ids, labels=ids)
        found.loss.backward()
        gradients = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
        return {"logits": found.logits, **gradients}

    usual = results()
    with_own_gradients(model)
    changed = [each for each in model.modules() if "forward" in vars(each)]
    norms, attentions = 5 + 4 * (architecture == "Qwen3"), 2
    assert len(changed) == norms + attentions
    ours = results()
    assert ours.keys() == usual.keys()
    for name, theirs in usual.items():
        torch.testing.assert_close(ours[name], theirs, rtol=1e-4, atol=1e-5)


def test_other_norms_and_positions_stay_as_they_are() -> None:
    from capgap_ray.stages.sft_layers import with_own_gradients

    # Gemma adds 1 to the weight of its norm, and Cohere turns neighbours; Gemma's rotary positions are Qwen2's.
    gemma, cohere = made("Gemma"), made("Cohere")
    for model in (gemma, cohere):
        with_own_gradients(model)
    assert {type(each).__name__ for each in gemma.modules() if "forward" in vars(each)} == {"GemmaAttention"}
    assert not any("forward" in vars(each) for each in cohere.modules())


@pytest.mark.parametrize("architecture", ["Qwen2", "Llama", "Qwen3"])
def test_a_last_layer_that_keeps_some_tokens_gives_their_logits_and_all_gradients(architecture: str) -> None:
    import torch

    from capgap_ray.stages.sft_layers import KEPT, keep_early

    model = made(architecture)
    ids, keep = torch.randint(50, (1, 9)), torch.tensor([3, 4, 8, 0])

    def results(**kept: torch.Tensor) -> dict[str, torch.Tensor]:
        model.zero_grad()
        logits = model(input_ids=ids, use_cache=False, **kept).logits
        logits.square().sum().backward()
        return {"logits": logits, **{name: each.grad for name, each in model.named_parameters()}}

    usual = results(logits_to_keep=keep)
    assert keep_early(model)
    ours = results(**{KEPT: keep})
    assert ours["logits"].shape[1] == len(keep)
    for name, theirs in usual.items():
        torch.testing.assert_close(ours[name], theirs, rtol=1e-4, atol=1e-5)


def test_a_last_layer_of_another_kind_stays_as_it_is() -> None:
    from capgap_ray.stages.sft_layers import keep_early

    cohere = made("Cohere")  # its attention and its MLP stand side by side
    assert not keep_early(cohere)
    assert not any("forward" in vars(each) for each in cohere.modules())
