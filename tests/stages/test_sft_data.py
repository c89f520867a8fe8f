"""Students and data that cannot be trained on are named before any worker starts; a full disk costs no state."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sft_ranks import STUDENT, examples

from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.catalog.chat_templates import read_template
from capgap_ray.catalog.models import untrainable
from capgap_ray.settings import Sft
from capgap_ray.stages.sft_data import Length, check, load_tokenizer, slots_of, updates_of
from capgap_ray.stages.sft_state import Facts, States
from capgap_ray.stages.train import compiler_note

SFT = Sft.model_validate({"cutoff_tokens": 1024})


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _no_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _of_another_family(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(read_template("llama3"))


def _small_embedding(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 1000}))


def _cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def _cut_in_the_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def _sliding_everywhere(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    names = ("layer_types", "use_sliding_window", "max_window_layers")
    plain = {name: value for name, value in config.items() if name not in names}
    mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 64}
    (folder / "config.json").write_text(json.dumps({**plain, **mistral}))


def _sliding(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_types": ["full_attention", "sliding_attention"]}))


def _of_experts(kind: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        names = ("layer_types", "use_sliding_window", "max_window_layers", "sliding_window")
        plain = {name: value for name, value in config.items() if name not in names}
        (folder / "config.json").write_text(json.dumps({**plain, "model_type": kind}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_sliding, r"student mine: its attention is not plain \(sliding_attention\)"),
        (_sliding_everywhere, r"student mine: its attention is not plain \(sliding_attention\)"),
        (_of_experts("mixtral"), "student mine: it is a mixture of experts, which is not trained here"),
        (_of_experts("qwen3_moe"), "student mine: it is a mixture of experts"),
        (_of_experts("deepseek_v3"), "student mine: it is a mixture of experts"),
        (_cut_off, r"student mine: model\.safetensors has [\d,]+ bytes, its header says [\d,]+; fetch it again"),
        (_cut_in_the_header, r"student mine: model\.safetensors is no whole safetensors file; fetch it again"),
        (_no_weights, r"student mine: the folder has no \*\.safetensors"),
        (_no_template, "student mine: its tokenizer has no chat template; name one for it in chat_templates"),
        (_of_another_family, "student mine: its chat template ends no assistant's turn with a token"),
        (_small_embedding, "student mine: its tokenizer has 1024 tokens and its embedding only 1000 rows"),
    ],
)
def test_a_student_that_cannot_be_trained_is_named(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    shutil.copytree(STUDENT, folder)
    check(str(folder), "mine", examples(8), SFT, Length())
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        check(str(folder), "mine", examples(8), SFT, Length())


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 6}, "(sliding_attention)"),
        ({"model_type": "gemma2", "attn_logit_softcapping": 50.0}, "(soft-capped logits)"),
        ({"model_type": "mistral", "sliding_window": 4096}, "(sliding_attention)"),
        ({"model_type": "qwen3_5", "text_config": {"layer_types": ["linear_attention"]}}, "(linear_attention)"),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True}, "(sliding_attention)"),
        ({"model_type": "mixtral", "num_local_experts": 8, "sliding_window": None}, "mixture of experts"),
        ({"model_type": "qwen3_moe", "num_experts": 128}, "mixture of experts"),
        ({"model_type": "llama", "max_position_embeddings": 1023}, "1024 is more than the 1023 positions"),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "qwen2", "sliding_window": 131072, "use_sliding_window": False}, None),
        ({"model_type": "qwen2", "sliding_window": 131072}, None),
        ({"model_type": "granitemoehybrid", "num_local_experts": 0, "layer_types": ["full_attention"]}, None),
    ],
)
def test_what_a_configuration_tells_as_it_is_published(config: dict[str, object], why: str | None) -> None:
    said = untrainable("mine", config, 1024)
    assert said is None if why is None else why in str(said)


@pytest.mark.parametrize(
    ("sft", "rows", "message"),
    [
        ({"cutoff_tokens": 4096}, 8, r"sft\.cutoff_tokens: 4096 is more than the 2048 positions of student mine"),
        ({}, 0, "the mixture has no rows"),
        ({"batch": "5x4", "workers": 2}, 39, r"sft\.batch: 5x4 on 2 workers takes 40 rows per update, .* only 39"),
        ({"batch": "5x1", "packing": "neat"}, 8, r"takes 5 packs per update, and there are only [12];"),
        ({"validation": {"share": 0.9, "every": 1}}, 8, r"validation\.share: 0\.9 holds out 8 of 8 rows"),
        ({"cutoff_tokens": 30}, 8, "8 of 8 are longer than 30 tokens"),
    ],
)
def test_data_that_cannot_be_trained_on_are_named(sft: dict[str, object], rows: int, message: str) -> None:
    recipe = Sft.model_validate({"cutoff_tokens": 1024, **sft})
    with pytest.raises(ValueError, match=message):
        check(STUDENT, "mine", examples(rows), recipe, Length())


def test_a_student_without_a_chat_template_is_given_one(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    shutil.copytree(STUDENT, folder)
    _no_template(folder)
    check(str(folder), "mine", examples(8), SFT, Length(), read_template("chatml"))
    given = load_tokenizer(str(folder), read_template("chatml"))
    chat = [{"role": "user", "content": "Q"}]
    assert given.apply_chat_template(chat, tokenize=False) == "<|im_start|>user\nQ<|im_end|>\n"
    assert given.eos_token == "<|im_end|>"
    ended = load_tokenizer(STUDENT, "{% for m in messages %}{{ m['content'] + '<|endoftext|>' }}{% endfor %}")
    assert ended.eos_token == "<|endoftext|>", "that of the template, not the student's own"


def test_an_arm_can_be_as_long_as_another() -> None:
    from transformers import AutoTokenizer

    from capgap_ray.core.masking import prepare
    from capgap_ray.stages.sft_data import rendering

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    slots = slots_of(prepare(examples(20), tokenizer, rendering(SFT)).rows, SFT)
    assert len(updates_of(slots, SFT, Length())) == 20
    for wanted in (3, 10, 37):
        assert len(updates_of(slots, SFT, Length(updates=wanted))) == wanted
    supervised = [slot.supervised for slot in slots]
    for tokens in (1, 1000, 5000):
        made = updates_of(slots, SFT, Length(tokens=tokens))
        held = [sum(supervised[index] for index in update) for update in made]
        assert sum(held) >= tokens or tokens - sum(held) <= max(supervised) * 2, "to the nearest update"
        assert len(made) == 1 or sum(held[:-1]) < tokens


def test_without_a_compiler_one_line_says_that_none_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiler_note(0) == (
        "no C++ compiler here, none is needed: workers use Gloo in place of DeepSpeed's shared-memory op"
    )
    assert compiler_note(1) is None, "on a GPU there is no such op"
    (tmp_path / "g++").touch(mode=0o755)
    assert compiler_note(0) is None


class FullStore(Store):
    """A store whose disk is full from the second state on."""

    def write_bytes(self, relative: str, data: bytes) -> None:
        if "00000008" in relative:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write_bytes(relative, data)


def test_a_full_disk_leaves_the_state_before_valid(tmp_path: Path) -> None:
    import torch

    def facts(updates: int) -> Facts:
        return Facts(updates=updates, workers=1, losses=(1.5,) * updates, validation={"2": 1.0}, checkpoints={})

    states = States(FullStore(str(tmp_path)), "train/cell", "train/cell/attempts/one")
    assert states.latest() is None
    fragments = {"w/weight": torch.arange(5.0)}
    states.write(fragments, 0, 4)
    assert states.latest() is None, "a state that nobody has named is none"
    states.name_latest(facts(4))
    with pytest.raises(StoreError, match=r"state of update 8 could not be saved .* state of update 4 stays valid"):
        states.write(fragments, 0, 8)
    found = states.latest()
    assert found is not None
    folder, kept = found
    assert kept == facts(4)
    assert torch.equal(states.read(folder, 1, {"w/weight": 5}, 0, 1)["w/weight"], fragments["w/weight"])
    states.clear()
    assert states.latest() is None


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2), (4, 3), (2, 5)])
def test_a_state_is_read_by_another_number_of_workers(before: int, after: int, tmp_path: Path) -> None:
    import torch

    def partitions(workers: int) -> list[torch.Tensor]:
        size = -(-7 // workers)
        whole = torch.nn.functional.pad(torch.arange(1.0, 8.0), (0, size * workers - 7))
        return list(whole.split(size))

    states = States(Store(str(tmp_path)), "train/cell", "train/cell/attempts/one")
    for rank, part in enumerate(partitions(before)):
        states.write({"w/weight": part}, rank, 4)
    states.name_latest(Facts(updates=4, workers=before, losses=(), validation={}, checkpoints={}))
    found = states.latest()
    assert found is not None
    for rank, part in enumerate(partitions(after)):
        read = states.read(found[0], before, {"w/weight": 7}, rank, after)["w/weight"]
        assert torch.equal(read, part)
