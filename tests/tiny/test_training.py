"""The training loop: supervision, batches, Muon, resumption, and that an export is the trained network."""

import dataclasses
from pathlib import Path
from random import Random
from typing import Any

import pytest

from capgap_ray.tiny.documents import IM_END, Stream, reasoning_document
from capgap_ray.tiny.family import FAMILY, Member
from capgap_ray.tiny.making import MODELS
from capgap_ray.tiny.procedural import TASKS, generate, shots, task_items

TINY = dataclasses.replace(
    FAMILY["tiny-student-0.15m"], updates=4, short_updates=3, decay_from=2, tokens_per_update=1408, layers=1
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODELS / TINY.name)


def test_reasoning_is_supervised_and_questions_are_not() -> None:
    task = TASKS[0]
    worked, item = shots(task), generate(task, 1, seed=9)[0]
    document = reasoning_document(task, worked, item, "long", supervise_shots=True, blank_line=False)
    texts = [document.text[a:b] for a, b in document.spans]
    assert texts == [shot.short_cot for shot in worked] + [item.long_cot + IM_END]


def test_stream_never_holds_a_held_out_question() -> None:
    held_out = frozenset(item.question for task in TASKS for item in task_items(task))
    stream = Stream(dict.fromkeys(TASKS, 1.0), "short", held_out, {task: shots(task) for task in TASKS})
    rng = Random(0)
    for _ in range(300):
        text = stream.document(rng, 3).text
        asked = [part.split("\nA: Let's")[0] for part in text.split("Q: ")[1:]]
        assert not held_out & set(asked)


def test_batches_hold_whole_chats_and_are_reproducible(tokenizer: Any) -> None:
    import torch

    from capgap_ray.tiny.training import Batches

    batches = Batches(TINY, tokenizer)
    for update in (0, 3):
        groups = batches.make(update)
        for group, again in zip(groups, batches.make(update), strict=True):
            assert torch.equal(group.ids, again.ids) and torch.equal(group.supervised, again.supervised)
            assert group.ids.shape == group.supervised.shape
            for ids, supervised in zip(group.ids, group.supervised, strict=True):
                chat, _, padding = tokenizer.decode(ids).partition("<|endoftext|>")
                assert chat.startswith("<|im_start|>system\n") and chat.endswith("<|im_end|>\n")
                assert not padding.replace("<|endoftext|>", "") and supervised.any()
        assert sum(int((group.ids != tokenizer.pad_token_id).sum()) for group in groups) >= TINY.tokens_per_update


def test_muon_is_that_of_torch() -> None:
    import torch

    from capgap_ray.tiny.muon import MOMENTUM, Muon

    torch.manual_seed(0)
    for shape in ((8, 16), (16, 8)):
        theirs = torch.nn.Parameter(torch.randn(*shape))
        ours = torch.nn.Parameter(theirs.detach().clone())
        reference = torch.optim.Muon(
            [theirs], lr=0.01, weight_decay=0.01, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
        )
        optimizer = Muon([ours], lr=0.01, weight_decay=0.01)
        for _ in range(5):
            theirs.grad = torch.randn(*shape)
            ours.grad = theirs.grad.clone()
            reference.step()
            optimizer.step()
        assert torch.allclose(ours, theirs, atol=1e-3)  # bfloat16 there


def test_a_killed_run_continues_exactly(tokenizer: Any, tmp_path: Path) -> None:
    import torch

    from capgap_ray.tiny.training import train

    whole = train(TINY, tokenizer, tmp_path / "whole")
    train(TINY, tokenizer, tmp_path / "parts", until=2)
    resumed = train(TINY, tokenizer, tmp_path / "parts")
    assert resumed.update == whole.update == 4
    for name, tensor in whole.model.state_dict().items():
        assert torch.allclose(tensor, resumed.model.state_dict()[name], atol=1e-5), name


def test_export_is_the_trained_network(tokenizer: Any, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from capgap_ray.tiny.training import export, train

    state = train(TINY, tokenizer, tmp_path, until=2)
    export(state, tokenizer, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    ids = torch.randint(3, 700, (1, 20))
    with torch.no_grad():
        ours = state.model(ids) @ state.model.embed_tokens.weight.T
        theirs = loaded(ids).logits
    assert torch.allclose(ours, theirs, atol=0.05)


def test_a_member_that_continues_another_needs_its_state(tokenizer: Any, tmp_path: Path) -> None:
    from capgap_ray.tiny.training import train

    member: Member = FAMILY["tiny-teacher-long"]
    with pytest.raises(ValueError, match=f"starts from {member.starts_from}, which has no state"):
        train(member, tokenizer, tmp_path)
