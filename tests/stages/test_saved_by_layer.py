"""The plan's formula for activations, beside what PyTorch keeps on our training's path."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from capgap_ray.core.cost import saved_by_layer
from capgap_ray.stages.sft_engine import _WITHIN_EXAMPLES, _attend_within_examples


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize(("width", "heads", "kv_heads", "inner"), [(224, 14, 2, 1216), (256, 4, 2, 700)])
def test_a_layer_keeps_what_pytorch_keeps(
    width: int, heads: int, kv_heads: int, inner: int, bits: Literal[16, 32]
) -> None:
    import torch
    from transformers import AttentionInterface, Qwen2Config, Qwen2ForCausalLM

    AttentionInterface.register(_WITHIN_EXAMPLES, _attend_within_examples)
    spans = [40, 88]

    def kept(layers: int) -> int:
        """Bytes of the storages that a forward pass leaves for the backward pass, weights left out."""
        config = Qwen2Config(
            hidden_size=width,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            intermediate_size=inner,
            num_hidden_layers=layers,
            vocab_size=64,
            dtype=torch.bfloat16 if bits == 16 else torch.float32,
        )
        model = Qwen2ForCausalLM._from_config(config, attn_implementation=_WITHIN_EXAMPLES).train()
        own = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}
        found: dict[int, Any] = {}  # holding the storages, so that no address is given twice

        def pack(tensor: Any) -> Any:
            if tensor.untyped_storage().data_ptr() not in own:
                found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(
                input_ids=torch.zeros(1, sum(spans), dtype=torch.long),
                position_ids=torch.cat([torch.arange(each) for each in spans])[None],
                example_lengths=spans,
                use_cache=False,
            )
        return sum(each.nbytes() for each in found.values())

    measured = (kept(3) - kept(1)) / 2 / sum(spans)
    least = saved_by_layer(width, width * kv_heads // heads, inner, bits)
    assert measured == least + 2 * 4 + 4 * heads  # and one number per norm and head, in float32
