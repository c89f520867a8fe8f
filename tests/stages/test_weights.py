"""Folders stay folders; Hub sources become the cached snapshot of their revision."""

import ctypes
import mmap
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from capgap_ray.artifacts.store import StoreError
from capgap_ray.catalog.models import EMBEDDED, ModelSpec, known_config, known_configs, positions_of, resolve, too_long
from capgap_ray.stages import weights
from capgap_ray.stages.weights import AdapterError, check_adapter, local_folder, read_ahead, shape_difference


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert local_folder(str(tmp_path)) == str(tmp_path)


def test_a_folder_that_another_node_has_is_not_looked_up_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    shutil.copytree(EMBEDDED / "tiny-student-0.15m", tmp_path / "models" / "mine@home")
    monkeypatch.chdir(tmp_path)
    model = resolve("mine", ModelSpec(source="models/mine@home"))
    monkeypatch.chdir("/")  # a worker
    assert local_folder(model.source) == str(tmp_path / "models" / "mine@home")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the Hub was asked"))
    monkeypatch.setattr("platform.node", lambda: "gpu-2")
    shutil.rmtree(tmp_path / "models")
    why = f"node gpu-2 has no folder {model.source}; every node .* a file system that all nodes share, .* of the Hub"
    with pytest.raises(StoreError, match=why):
        local_folder(model.source)


def share_in_memory(file: Path) -> float:
    """Of the file, in the system's cache."""
    with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(len(mapped)), pages)
        del start
    assert not failed
    return sum(page & 1 for page in pages) / len(pages)


def test_what_is_read_ahead_is_in_memory_to_the_last_page(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(5_000_000, np.float32)}, file)
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if share_in_memory(file) > 0.5:
        pytest.skip("this file system keeps its files in memory")
    read_ahead(str(tmp_path))
    assert share_in_memory(file) == 1


def test_a_model_that_cannot_be_read_ahead_is_left_to_who_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_ahead(str(tmp_path / "gone"))
    save_file({"a": np.zeros(5, np.float32)}, tmp_path / "model.safetensors")
    tried: list[int] = []

    def refuse(_nowhere: int, _file: int, at: int, _most: int) -> int:
        tried.append(at)
        raise OSError("Socket operation on non-socket")  # of systems that send files to sockets only

    monkeypatch.setattr(os, "sendfile", refuse)
    read_ahead(str(tmp_path))
    assert tried == [0]


def test_a_revision_is_the_snapshot_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--org--name" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = resolve("mine", ModelSpec(source="org/name", revision=revision, parameters=7))
    assert model.identity == f"org/name@{revision}"
    assert Path(local_folder(model.source)) == snapshot


def test_the_context_of_a_model_is_known_from_its_folder_or_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    import huggingface_hub.constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--org--name" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    found = []
    for config in (
        {"max_position_embeddings": 512, "rope_theta": 10000.0},
        {"text_config": {"max_position_embeddings": 512, "rope_parameters": {"rope_type": "default"}}},
        {"max_position_embeddings": 512, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"max_position_embeddings": 512, "rope_parameters": {"rope_type": "yarn", "factor": 2.0}},
        {},
    ):
        (snapshot / "config.json").write_text(json.dumps(config))
        assert known_config(str(snapshot)) == known_config(f"org/name@{revision}") == config
        found.append(positions_of(config))
    assert found == [512, 512, None, None, None]
    (snapshot / "config.json").write_text("{")
    assert known_config(f"org/name@{revision}") is None
    (snapshot / "config.json").write_text('{"max_position_embeddings": 512}')
    configs = known_configs({"endless": "org/other@main", "mine": f"org/name@{revision}"})
    assert [*configs] == ["mine"]
    assert too_long(512, configs) is None
    assert too_long(513, configs) == (
        "engine.max_model_len: 513 is more than the 512 positions of model 'mine'; set it to 512 or less"
    )


def test_bytes_that_arrive_are_told_of_and_a_download_that_stands_still_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    told: list[int] = []
    blob = tmp_path / "models--org--name" / "blobs" / "ab.incomplete"
    blob.parent.mkdir(parents=True)

    def arrives(name: str, revision: str | None, allow_patterns: list[str], ignore_patterns: str) -> str:
        with blob.open("wb") as file:
            for _ in range(3):
                before = len(told)
                file.write(bytes(1 << 20))
                file.flush()
                wait_until(lambda: len(told) > before)  # noqa: B023
        before = len(told)
        time.sleep(0.3)
        assert len(told) == before, "nothing has arrived"
        with blob.open("r+b") as file:  # as one that was given its whole length before
            file.truncate(1 << 23)
            wait_until(lambda: len(told) > before)
            before = len(told)
            file.seek(1 << 22)
            file.write(bytes(1 << 20))
            file.flush()
            wait_until(lambda: len(told) > before)
        return str(blob.parent)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", arrives)
    monkeypatch.setattr(weights, "_LOOK_SECONDS", 0.02)
    assert local_folder("org/name@main", lambda: told.append(1)) == str(blob.parent)


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_one_name_for_the_content_of_two_folders_does_not_make_them_one_model(tmp_path: Path) -> None:
    weights = np.zeros(1 << 20, np.float32)
    places = [tmp_path / run / "final" for run in ("first", "copy", "second", "longer")]
    for place, last in zip(places, (0, 0, 1, 0), strict=True):
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
        weights[-1] = last
        save_file({"w": weights if place != places[3] else weights[:-1]}, place / "model.safetensors")
    first, copy, second, longer = (
        resolve("m", ModelSpec(source=str(place), revision="v1")).identity for place in places
    )
    assert first == copy
    assert len({first, second, longer}) == 3
    assert resolve("m", ModelSpec(source=str(places[0]), revision="v2")).identity != first


def test_the_second_copy_in_a_mistral_folder_is_neither_counted_nor_read(tmp_path: Path) -> None:
    from capgap_ray.stages.weights import check_shards, tensor_shapes

    (tmp_path / "config.json").write_text("{}")
    save_file({"w": np.zeros((2, 3))}, tmp_path / "model-00001-of-00001.safetensors")
    (tmp_path / "consolidated.safetensors").write_bytes(b"cut off")
    assert resolve("m", ModelSpec(source=str(tmp_path))).parameters == 6
    assert tensor_shapes(str(tmp_path)) == {"w": [2, 3]}
    check_shards(str(tmp_path))


def test_a_checkpoint_fits_the_engine_of_its_student(tmp_path: Path) -> None:
    import json
    import shutil

    from capgap_ray.catalog.models import EMBEDDED
    from capgap_ray.stages.engine import _architecture

    student = EMBEDDED / "tiny-student-0.15m"
    copy = tmp_path / "checkpoint"
    shutil.copytree(student, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "dtype": "float32", "transformers_version": "x"}))
    assert _architecture(str(copy)) == _architecture(str(student))
    assert _architecture(str(student)) != _architecture(str(EMBEDDED / "tiny-student-0.5m"))


HUB_CONFIG = {  # as transformers 4 wrote it
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 128,
    "max_position_embeddings": 512,
    "max_window_layers": 2,
    "model_type": "qwen2",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 512,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 512,
}


def test_a_hub_model_and_its_export_share_an_engine_however_they_are_written(tmp_path: Path) -> None:
    import json
    import shutil

    from transformers import AutoConfig, AutoTokenizer

    from capgap_ray.catalog.models import EMBEDDED
    from capgap_ray.stages.engine import _architecture

    def hub(name: str, **changes: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(EMBEDDED / "tiny-student-0.15m", folder)
        (folder / "config.json").write_text(json.dumps(HUB_CONFIG | changes))
        words = json.loads((folder / "tokenizer.json").read_text())
        words["model"]["merges"] = [" ".join(pair) for pair in words["model"]["merges"]]
        words["truncation"] = {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0}
        (folder / "tokenizer.json").write_text(json.dumps(words))
        return folder

    first, export = hub("hub"), tmp_path / "export"
    AutoTokenizer.from_pretrained(first).save_pretrained(export)
    AutoConfig.from_pretrained(first, pad_token_id=3, use_cache=False).save_pretrained(export)
    written = json.loads((export / "config.json").read_text())
    assert "rope_theta" not in written, "another spelling"
    assert _architecture(str(first)) == _architecture(str(export))
    others = [
        {"rope_theta": 10000.0},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}},
        {"rms_norm_eps": 1e-05},
        {"tie_word_embeddings": False},
        {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 64},
        {"num_key_value_heads": 4},
    ]
    found = {_architecture(str(hub(str(number), **each))) for number, each in enumerate(others)}
    assert len(found | {_architecture(str(first))}) == len(others) + 1
    words = json.loads((export / "tokenizer.json").read_text())
    words["model"]["merges"].pop()
    (export / "tokenizer.json").write_text(json.dumps(words))
    assert _architecture(str(first)) != _architecture(str(export)), "another tokenizer"


def test_the_first_tensor_that_differs_is_named() -> None:
    base = {"a": [2, 3], "b": [4], "lm_head.weight": [9, 2]}
    assert shape_difference(base, base) is None
    assert shape_difference({"a": [2, 3], "b": [4]}, base) is None, "a tied head need not be written"
    assert shape_difference({**base, "b": [5]}, base) == "b has shape [5] in place of [4]"
    assert shape_difference({"b": [4]}, base) == "a has shape none in place of [2, 3]"
    assert shape_difference({**base, "c": [1]}, base) == "c has shape [1] in place of none"
    head = {**base, "lm_head.weight": [8, 2]}
    assert shape_difference(head, base) == "lm_head.weight has shape [8, 2] in place of [9, 2]"


@pytest.mark.parametrize(
    ("failure", "told"), [(RuntimeError("Executor failed."), "^Executor"), (ValueError("no module"), "do not fit its")]
)
def test_a_worker_that_died_in_a_swap_is_not_told_as_wrong_weights(
    tmp_path: Path, failure: Exception, told: str
) -> None:
    from unittest.mock import MagicMock

    from capgap_ray.stages.engine import Engine, EngineError, _Standing

    llm = MagicMock()
    llm.collective_rpc.side_effect = failure
    engine = Engine("float32", 64)
    engine._engines["one"] = _Standing(llm=llm, rank=0, shapes={})
    with pytest.raises(RuntimeError, match=told) as caught:
        engine._swap("one", str(tmp_path), "mine", {})
    assert isinstance(caught.value, EngineError) == isinstance(failure, ValueError), "an EngineError ends the run"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern"),
        ({"bias": "all", "modules_to_save": ["lm_head"]}, "modules_to_save, bias"),
        ({"peft_type": "IA3"}, "only plain LoRA is served; merge"),
    ],
)
def test_an_adapter_that_would_be_served_wrongly_is_refused(
    tmp_path: Path, more: dict[str, object], named: str
) -> None:
    import json

    plain = {"peft_type": "LORA", "r": 4, "bias": "none", "rank_pattern": {}, "alpha_pattern": {}}
    save_file({}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(plain))
    assert check_adapter(str(tmp_path), str(tmp_path), {}) == 4
    (tmp_path / "adapter_config.json").write_text(json.dumps(plain | more))
    with pytest.raises(AdapterError, match=named):
        check_adapter(str(tmp_path), str(tmp_path), {})


@pytest.mark.parametrize(
    ("source", "named"),
    [("/cache/models--Qwen--Qwen2.5-7B/snapshots/ab", "Qwen/Qwen2.5-7B"), ("/models/mine", "/models/mine")],
)
def test_our_own_adapters_name_their_base_as_the_hub_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, named: str
) -> None:
    from types import SimpleNamespace
    from unittest.mock import MagicMock

    import torch

    from capgap_ray.stages import sft_export

    config = SimpleNamespace(lora_alpha=1, r=1, base_model_name_or_path="elsewhere")
    monkeypatch.setattr(sft_export, "_write", lambda *_: None)
    state = {"base_model.model.q.lora_B.default.weight": torch.ones(1)}
    sft_export.export_lora(
        MagicMock(peft_config={"default": config}), state, source, MagicMock(chat_template=None), str(tmp_path)
    )
    assert config.base_model_name_or_path == named


@pytest.mark.parametrize(
    ("made_for", "base", "fits"),
    [
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct@main", False),
        ("/cache/models--Qwen--Qwen2.5-7B/snapshots/ab", "Qwen/Qwen2.5-7B-Instruct@main", False),
        ("Qwen/Qwen2.5-7B", "/cache/models--Qwen--Qwen2.5-7B-Instruct/snapshots/ab/", False),
        ("qwen/qwen2.5-7b", "Qwen/Qwen2.5-7B@main", True),
        ("/somewhere/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct@main", True),
        ("Qwen/Qwen2.5-7B", "/somewhere/else", True),
        (None, "Qwen/Qwen2.5-7B", True),
    ],
)
def test_an_adapter_says_for_which_base_it_was_made(
    tmp_path: Path, made_for: str | None, base: str, fits: bool
) -> None:
    import json

    save_file({}, tmp_path / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": made_for}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with nullcontext() if fits else pytest.raises(AdapterError, match=r"for Qwen/Qwen2.5-7B and not for \S+Instruct;"):
        check_adapter(str(tmp_path), base, None)
