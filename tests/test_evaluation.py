"""Scoring any model: what is refused before anything starts. `tests/ray/test_evaluate_job.py` runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from capgap_ray.evaluation import _labels, _models, evaluate
from capgap_ray.stages.weights import split_source

MODELS = Path(__file__).parents[1] / "capgap_ray" / "tiny" / "models"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model", "nobody", "--tasks", "tiny/dyck_languages"],
            "'nobody' is no known model, no folder and no Hub id",
        ),
        (["--model", "tiny-judge", "--tasks", "tiny/dyck"], "task 'tiny/dyck' is unknown"),
        (["--model", "tiny-judge", "--tasks", "tiny/dyck_languages:0"], "samples per item must be at least 1"),
        (["--model", "tiny-judge", "--tasks", "tiny/dyck_languages:4"], "needs --set sampling.temperature above 0"),
        (["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--limit", "0"], "--limit: must be at least 1"),
        (["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--set", "sampling.tempera=1"], "temperature"),
        (["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--adapter", "/nowhere"], "adapter_config.json"),
        (
            ["--model", "tiny-judge", "--tasks", "x", "--adapter", "/nowhere", "--set", "engine.lora=merged"],
            "engine.lora: merged is for experiments",
        ),
        (
            ["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--set", "resources.parallel={x: {tensor: 2}}"],
            "resources.parallel: 'x' is none of the models: tiny-judge",
        ),
        (
            ["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--set", "data={tiny/word: items.jsonl}"],
            "data: 'tiny/word' is none of the tasks: tiny/dyck_languages",
        ),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate([*arguments, "--store", str(tmp_path / "store")])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "store").exists()


def test_a_hub_that_is_not_there_is_one_line_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = ["--model", "tiny-judge", "--tasks", "math500", "--store", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as ended:
        evaluate(arguments)
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.endswith("give local files with data: {math500: PATH}")


def test_a_yaml_that_will_not_do_is_one_line_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "1", "a": "2"}')
    (tmp_path / "t.yaml").write_text("task: t\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\nfoo: 1\n")
    data = f"data={{{tmp_path / 't.yaml'}: {tmp_path / 'rows.jsonl'}}}"
    arguments = ["--model", "tiny-judge", "--tasks", str(tmp_path / "t.yaml"), "--store", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as ended:
        evaluate([*arguments, "--set", data])
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert "unexpected keyword argument 'foo'" in said


def test_an_adapter_of_another_base_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from safetensors.torch import save_file

    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": "elsewhere"}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    save_file({name: torch.zeros(4, 999)}, adapter / "adapter_model.safetensors")
    with pytest.raises(SystemExit):
        evaluate(["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--adapter", str(adapter)])
    assert "does not fit base" in capsys.readouterr().err


def test_adapters_of_one_store_are_told_apart(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for number, name in enumerate(("small-1", "mix-2")):
        folder = tmp_path / name / "attempts" / "adapter"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4 + number}))
        save_file({}, folder / "adapter_model.safetensors")
    one, other = (str(tmp_path / name / "attempts" / "adapter") for name in ("small-1", "mix-2"))
    sources, identities, labels = zip(*_models("tiny-judge", "tiny-judge", None, [one, other, one]), strict=True)
    assert labels == ("tiny-judge+small-1/attempts/adapter", "tiny-judge+mix-2/attempts/adapter")
    assert [split_source(source) for source in sources] == [(str(MODELS / "tiny-judge"), each) for each in (one, other)]
    assert len(set(identities)) == 2
    assert [label for _, _, label in _models("tiny-judge", "tiny-judge", None, [one])] == ["tiny-judge+adapter"]
    assert [label for _, _, label in _models("tiny-judge", "tiny-judge", None, [])] == ["tiny-judge"]


def test_models_whose_names_end_alike_are_called_by_all_of_them() -> None:
    assert [*_labels(["a/final", "b/final", "c/other"]).values()] == ["a/final", "b/final", "other"]
    assert _labels(["a/final", "a/final"]) == {"a/final": "final"}


def test_a_damaged_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(MODELS / "tiny-student-0.15m", folder)
    (folder / "model.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(SystemExit):
        evaluate(["--model", str(folder), "--tasks", "tiny/dyck_languages", "--store", str(tmp_path / "store")])
    assert "is not a safetensors file" in capsys.readouterr().err
