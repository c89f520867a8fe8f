"""What training does otherwise where there are GPUs, as far as a machine without one can tell."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from capgap_ray.artifacts.store import Store
from capgap_ray.settings import Sft
from capgap_ray.stages import sft_engine, sft_state, sft_worker
from capgap_ray.stages.sft_engine import _attend_within_examples

SPANS = [5, 1, 8]


def rows(device: str, dtype: Any, heads: int = 4, kv_heads: int = 2, width: int = 16) -> Iterator[Any]:
    """Queries, keys and values as a layer makes them: [1, heads, tokens, width], not contiguous."""
    import torch

    for count in (heads, kv_heads, kv_heads):
        made = torch.randn(1, sum(SPANS), count, width, dtype=dtype, device=device, requires_grad=True)
        yield made.transpose(1, 2)


def bounds(device: str) -> Any:
    import torch

    return torch.tensor([0, *itertools.accumulate(SPANS)], dtype=torch.int32, device=device)


def documented(query: Any, key: Any, value: Any, *places: Any, **options: Any) -> Any:
    """`torch.nn.attention.varlen.varlen_attn` as PyTorch documents it, of what is used of it."""
    import torch

    starts, other_starts, longest, other_longest = places
    assert starts is other_starts
    assert starts.dtype == torch.int32
    assert longest == other_longest == max(SPANS)
    assert options["window_size"] == (-1, 0), "causal"
    assert options["enable_gqa"] == (query.size(1) != key.size(1))
    made = torch.empty_like(query)
    for start, stop in itertools.pairwise(starts.tolist()):
        for head in range(query.size(1)):
            of = head * key.size(1) // query.size(1)
            scores = query[start:stop, head] @ key[start:stop, of].T * options["scale"]
            hidden = torch.ones(stop - start, stop - start, dtype=torch.bool).triu(1)
            made[start:stop, head] = scores.masked_fill(hidden, -math.inf).softmax(-1) @ value[start:stop, of]
    return made


@pytest.mark.parametrize("kv_heads", [2, 4])
def test_one_call_for_all_examples_is_what_one_for_each_is(kv_heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch.nn.attention import varlen

    monkeypatch.setattr(varlen, "varlen_attn", documented)
    torch.manual_seed(0)
    made = [each.detach() for each in rows("cpu", torch.float32, kv_heads=kv_heads)]
    one_each, _ = _attend_within_examples(None, *made, None, example_lengths=SPANS, scaling=0.3)
    at_once, _ = _attend_within_examples(
        None, *made, None, example_lengths=SPANS, example_bounds=bounds("cpu"), scaling=0.3
    )
    assert one_each.shape == at_once.shape == (1, sum(SPANS), 4, 16)
    assert torch.allclose(one_each, at_once, atol=1e-5)


def test_on_a_gpu_pytorchs_own_kernel_takes_what_a_layer_gives_and_gives_gradients() -> None:
    """Tensors without data, of their shapes and types, pass PyTorch's own registration of the operator."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    called: list[str] = []

    class Listening(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(str(function))
            return function(*args, **(kwargs or {}))

    with Listening():
        made = list(rows("meta", torch.bfloat16))
        found, _ = _attend_within_examples(
            None, *made, None, example_lengths=SPANS, example_bounds=bounds("meta"), scaling=0.25
        )
        assert (found.shape, found.dtype, found.device.type) == ((1, sum(SPANS), 4, 16), torch.bfloat16, "meta")
        gradients = torch.autograd.grad(found.float().sum(), made)
    assert [each.shape for each in gradients] == [each.shape for each in made]
    assert called.count("torch_attn._varlen_attn.default") == 1, "one call, however many examples"
    assert not any("scaled_dot_product" in each for each in called)


@pytest.mark.parametrize(
    ("device", "precision", "capability", "at_once"),
    [
        ("cuda", "bfloat16", (9, 0), True),
        ("cuda", "bfloat16", (8, 0), True),
        ("cuda", "bfloat16", (7, 0), False),
        ("cuda", "float32", (9, 0), False),
        ("cpu", "bfloat16", (9, 0), False),
    ],
)
def test_which_gpus_attend_at_once(
    device: str, precision: str, capability: tuple[int, int], at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda of: capability)
    assert sft_engine.attends_at_once(torch.device(device), precision) is at_once


def test_the_next_layer_is_gathered_whole_while_one_computes() -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=64, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128, num_hidden_layers=2
    )
    model = Qwen2ForCausalLM._from_config(config)
    layer = model.model.layers[0]
    assert sft_engine._largest(model, {type(layer)}) == sum(each.numel() for each in layer.parameters())


def test_an_export_is_checked_on_all_cores_where_workers_have_gpus(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray gives a worker one thread."""
    import torch

    seen: list[int] = []

    def check(canary: Any, *_: Any) -> Any:
        seen.append(torch.get_num_threads())
        return canary

    monkeypatch.setattr(sft_worker, "check_canary", check)
    monkeypatch.setattr(sft_worker, "export_full", lambda *_: None)
    monkeypatch.setattr(sft_worker, "together", lambda work: work())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for device in ("cuda", "cpu"):
            trainer: Any = SimpleNamespace(
                device=torch.device(device),
                rank=0,
                sft=Sft(),
                engine=SimpleNamespace(module=None),
                weights=dict,
                log_probabilities=lambda ids: (0.0,),
            )
            sft_worker._export(trainer, "source", None, Store(str(tmp_path)), "folder", [])
        assert seen == [3, 1]
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_rank_reads_of_a_state_only_files_that_it_has_a_part_of(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight workers' state of a large student is 12 bytes a weight; four read it once together, not each of them."""
    import torch

    whole = torch.arange(61.0)
    states = sft_state.States(Store(str(tmp_path)), "train/cell", "train/cell/attempts/one")
    for rank in range(8):
        part = torch.nn.functional.pad(whole[8 * rank : 8 * rank + 8], (0, max(0, 8 * rank + 8 - 61)))
        states.write({"w/weight": part}, rank, 1)
    opened: list[int] = []
    of_rank = sft_state.States._of_rank

    def noted(self: Any, folder: str, rank: int) -> Any:
        opened.append(rank)
        return of_rank(self, folder, rank)

    monkeypatch.setattr(sft_state.States, "_of_rank", noted)
    folder = "train/cell/state/one-00000001"
    read = [states.read(folder, 8, {"w/weight": 61}, rank, 4)["w/weight"] for rank in range(4)]
    assert torch.equal(torch.cat(read)[:61], whole)
    assert opened == list(range(8))


def test_no_losses_value_is_asked_for_before_all_work_of_an_update_is_given_out() -> None:
    """On a GPU whoever asks waits, and the GPU then waits for its next work."""
    order: list[str] = []

    class Loss:
        def __mul__(self, by: int) -> Loss:
            return self

        def detach(self) -> Loss:
            return self

        def item(self) -> float:
            order.append("value")
            return 0.25

    class Made(sft_engine.Trainer):
        def __post_init__(self) -> None:
            self.world, self.rank, self.lengths, self.reduced_once = 1, 0, [300, 300], False
            self.engine = SimpleNamespace(
                optimizer=SimpleNamespace(param_groups=[]),
                set_gradient_accumulation_boundary=lambda last: None,
                backward=lambda loss, scale_wrt_gas: order.append("backward"),
                step=lambda: order.append("step"),
                was_step_applied=lambda: True,
            )

        def _loss(self, chosen: Any, weights: Any) -> Any:
            return Loss()

    slots: list[Any] = [SimpleNamespace(supervised=10)] * 2
    trainer = Made(source="", sft=Sft(batch="1x2", cutoff_tokens=300), slots=slots)  # type: ignore[arg-type]
    assert trainer.update([0, 1], 0, 1e-5) == 0.5
    assert order == ["backward", "backward", "step", "value", "value"]
