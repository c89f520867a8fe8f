"""Scoring any model: what is refused before anything starts. `tests/ray/test_evaluate_job.py` runs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from capgap_ray.evaluation import _base, _labels, _on_base, evaluate
from capgap_ray.stages.weights import split_source
from capgap_ray.tasks.hub import HubError

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
            ["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--set", "engine.max_model_len=9999"],
            "engine.max_model_len: 9999 is more than the 2048 positions of model 'tiny-judge'; set it to 2048 or less",
        ),
        (
            ["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--set", "sampling.max_tokens=2048"],
            "sampling: max_tokens 2048 leaves no room for a prompt in engine.max_model_len (2048)",
        ),
        (
            ["--model", "tiny-judge", "--tasks", "tiny/dyck_languages", "--set", "prompt.shots=4"],
            "task tiny/dyck_languages: prompt.shots is 4, and it has 3 few-shot examples; set prompt.shots: 3",
        ),
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


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct"])
def test_the_revision_that_was_asked_for_is_scored(name: str) -> None:
    pinned, moving = ("Qwen/Qwen2.5-0.5B-Instruct@abc123", "Qwen/Qwen2.5-0.5B-Instruct@main")
    assert _base(name, "q", "abc123") == (pinned, pinned, "q")
    assert _base(name, "q", None) == (moving, moving, "q")


def test_an_adapter_on_a_hub_model_is_checked_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    from huggingface_hub.errors import OfflineModeIsEnabled
    from safetensors.numpy import save_file

    name = "model.layers.0.self_attn.q_proj"
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    save_file({f"base_model.model.{name}.lora_A.weight": np.zeros((4, 8))}, tmp_path / "adapter_model.safetensors")

    class Answer:
        def __init__(self, width: int) -> None:
            tensor = type("Tensor", (), {"shape": [8, width]})
            self.files_metadata = {"model.safetensors": type("File", (), {"tensors": {f"{name}.weight": tensor}})}

    def refused(*_: object, **__: object) -> None:
        raise OfflineModeIsEnabled

    monkeypatch.setattr("huggingface_hub.snapshot_download", refused)
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", lambda name, revision: Answer(8))
    base = ("org/name@v1", "org/name@v1", "name")
    assert [source for source, _, _ in _on_base(base, [str(tmp_path)])] == [f"org/name@v1::{tmp_path}"]
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", lambda name, revision: Answer(9))
    with pytest.raises(ValueError, match=r"of shape \[4, 8\] does not fit base org/name@v1 \(\[8, 9\]\)"):
        _on_base(base, [str(tmp_path)])
    monkeypatch.setattr("huggingface_hub.get_safetensors_metadata", refused)
    assert len(_on_base(base, [str(tmp_path)])) == 1, "left to the engine"

    def gated(sources: dict[str, str]) -> None:
        raise HubError(f"{sources} is gated")

    monkeypatch.setattr("capgap_ray.evaluation.check_models", gated)
    arguments = ["--model", "org/name", "--tasks", "tiny/dyck_languages", "--adapter", str(tmp_path)]
    with pytest.raises(SystemExit):
        evaluate(arguments)
    assert capsys.readouterr().err == "error: {'name': 'org/name@main'} is gated\n"


def test_adapters_of_one_store_are_told_apart(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for number, name in enumerate(("small-1", "mix-2")):
        folder = tmp_path / name / "attempts" / "adapter"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4 + number}))
        save_file({}, folder / "adapter_model.safetensors")
    one, other = (str(tmp_path / name / "attempts" / "adapter") for name in ("small-1", "mix-2"))
    judge = _base("tiny-judge", "tiny-judge", None)
    sources, identities, labels = zip(*_on_base(judge, [one, other, one]), strict=True)
    assert labels == ("tiny-judge+small-1/attempts/adapter", "tiny-judge+mix-2/attempts/adapter")
    assert [split_source(source) for source in sources] == [(str(MODELS / "tiny-judge"), each) for each in (one, other)]
    assert len(set(identities)) == 2
    assert [label for _, _, label in _on_base(judge, [one])] == ["tiny-judge+adapter"]
    assert [label for _, _, label in _on_base(judge, [])] == ["tiny-judge"]


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


def test_one_model_without_a_score_does_not_take_those_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from capgap_ray.artifacts.store import Store
    from capgap_ray.records import Completion, Request
    from capgap_ray.rows import from_row, to_row
    from capgap_ray.stages.slices import InferenceError, Landed, Receipt, Slice

    def run_slices(store: Store, pool: object, slices: Sequence[Slice]) -> Iterator[Landed]:
        for each in slices:
            if each.model == "tiny-student-0.15m":
                raise InferenceError("tiny-student-0.15m: its engine dies")
            lost = each.model == "tiny-judge"
            asked = [from_row(Request, row) for row in store.read_rows(each.requests, each.start, each.stop)]
            rows = [
                Completion(
                    example_id=one.example_id,
                    task=one.task,
                    model=each.model,
                    sample=0,
                    seed=None,
                    text="So the answer is a.",
                    finish_reason="stop",
                    prompt_tokens=1,
                    completion_tokens=1,
                    stop_reason=None,
                )
                for one in asked
            ]
            store.write_rows(f"{each.address}/{each.shard}", [to_row(row) for row in rows])
            quarantined = {"engine error": len(rows)} if lost else {}
            receipt = Receipt(
                rows=0 if lost else len(rows),
                tokens=1,
                prompt_tokens=1,
                truncated=0,
                quarantined=quarantined,
                example="of them",
                engines=("e",),
                reused=0,
            )
            yield Landed(slices=[each], receipts=[receipt], seconds=1.0)

    monkeypatch.setattr("capgap_ray.stages.inference.run_slices", run_slices)
    monkeypatch.setattr("capgap_ray.stages.engine_pool.EnginePool", MagicMock())
    monkeypatch.setattr("capgap_ray.stages.cluster.cluster", MagicMock())
    models = ["tiny-judge", "tiny-teacher-small", "tiny-student-0.15m"]
    with pytest.raises(SystemExit) as ended:
        evaluate(
            ["--model", *models, "--tasks", "tiny/word_sorting", "--limit", "3", "--store", str(tmp_path / "store")]
        )
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "tiny-teacher-small on tiny/word_sorting: 0.0 % of 3" in said.out
    assert "done        1 scores" in said.out
    died, lost = said.err.strip().splitlines()
    assert died == "tiny-student-0.15m: its engine dies"
    assert "tiny-judge-tiny/word_sorting: 3 of 3 rows are quarantined" in lost
