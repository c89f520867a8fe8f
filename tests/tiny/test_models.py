"""The committed checkpoints: size, format, and that their parameters are what the family says."""

import json

import pytest

from capgap_ray.tiny.family import FAMILY, HEAD_DIM
from capgap_ray.tiny.making import MODELS


def test_models_folder_is_small_and_without_pickles() -> None:
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert {path.suffix for path in files} <= {".json", ".jinja", ".safetensors", ".md"}
    assert {path.name for path in MODELS.iterdir() if path.is_dir()} == {m.name for m in FAMILY.values() if m.committed}


@pytest.mark.parametrize("name", [m.name for m in FAMILY.values() if m.committed])
def test_checkpoint(name: str) -> None:
    from safetensors import safe_open

    member, folder = FAMILY[name], MODELS / name
    config = json.loads((folder / "config.json").read_text())
    assert (
        config["architectures"] == ["Qwen2ForCausalLM"]
        and config["model_type"] == "qwen2"
        and config["tie_word_embeddings"]
    )
    assert config["hidden_size"] // config["num_attention_heads"] == HEAD_DIM
    assert (config["hidden_size"], config["num_hidden_layers"]) == (member.hidden, member.layers)
    assert config["intermediate_size"] == member.intermediate
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        slices = [file.get_slice(key) for key in file.keys()]  # noqa: SIM118
        assert {piece.get_dtype() for piece in slices} == {"BF16"}
    made = json.loads((folder / "training.json").read_text())
    assert 0 < made["updates"] <= member.updates


def test_one_tokenizer_for_all() -> None:
    assert len({(MODELS / name / "tokenizer.json").read_bytes() for name in FAMILY if FAMILY[name].committed}) == 1
    assert len({(MODELS / name / "chat_template.jinja").read_bytes() for name in FAMILY if FAMILY[name].committed}) == 1
