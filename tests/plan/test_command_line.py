"""Bad input: exit status 2, one line, within three seconds, before Ray, with the store untouched."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from capgap_ray import flow
from capgap_ray.catalog.models import EMBEDDED
from capgap_ray.flow import open_run
from capgap_ray.stages import engine

ROOT = Path(__file__).parents[2]


def grid(*arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "jobs/grid.py", "--store", str(store), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def processor_seconds() -> float:
    """Of all finished child processes: unlike wall time it does not grow when the machine is busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sft.lerning_rate=1", "sft.lerning_rate: unknown field; did you mean 'learning_rate'?"),
        ("tasks=[tiny/nope]", "tasks: task 'tiny/nope' is unknown"),
        ("students=[nobody]", "students: model 'nobody' is unknown"),
        ("mixtures={m: {nobody: 1.0}}", "mixtures.m: unknown teacher 'nobody'"),
        ("students=[tiny-teacher-large]", "is not smaller than teacher"),
        ("axes={sft.nope: [1]}", "axes: 'sft.nope' names no field"),
        ("mixtures={m: {small: 0.5, large: 0.6}}", "sum to 1"),
        ("resources.engine_gpus=3", "resources.engine_gpus: 3 GPUs cannot share the 2 attention heads of model 'tiny-"),
        (
            "resources.parallel={tiny-judge: {tensor: 3}}",
            "tiny-judge.tensor: 3 GPUs cannot share the 4 attention heads of model 'tiny-judge'; set 2",
        ),
        ("engine.max_model_len=9999", "engine.max_model_len: 9999 is more than the 2048 positions of model 'tiny-"),
        ("axes={judge.model: [a, b]}", "axes: 'judge.model' would change what is measured"),
        (f"axes={{sft.seed: {list(range(9999))}}}", "axes: 59,994 cells are more than max_cells (10,000)"),
    ],
)
def test_refusals(tmp_path: Path, override: str, message: str) -> None:
    (tmp_path / "kept").write_text("")
    before = processor_seconds()
    done = grid("--set", override, "--set", "comparisons=[]", store=tmp_path)
    assert processor_seconds() - before < 3
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_gpu_build_of_vllm_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "version", lambda name: "0.29.0")
    with pytest.raises(SystemExit) as ended:
        open_run("", [str(ROOT / "jobs/experiments/tiny.yaml"), "--store", str(tmp_path)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: resources.engine_gpus: 0")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


GEMMA_3: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "sliding_window": 1024},
}
"""Of google/gemma-3-4b-it, as published: which layers have the window is left to transformers."""


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="2"):
        open_run("", [str(ROOT / "jobs/experiments/tiny.yaml"), "--set", "comparisons=[]", *arguments])
    return capsys.readouterr().err


def test_a_student_that_training_would_refuse_is_refused_in_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not when it is to be trained, after the teachers have written for hours."""
    mine = tmp_path / "mine"
    shutil.copytree(EMBEDDED / "tiny-student-0.15m", mine)
    (mine / "config.json").write_text(json.dumps(GEMMA_3))
    own = ["--store", str(tmp_path / "store"), "--set", f"models={{mine: {{source: {mine}}}}}"]
    plain = "its attention is not plain (sliding_attention), and would be trained as if it were; choose a student"
    for dry in (["--dry-run"], []):
        assert f"error: student mine: {plain}" in refused([*own, "--set", "students=[mine]", *dry], capsys)
    # As a teacher it is asked and not trained, and an untouched student is, too.
    open_run("", [*own, "--set", "teachers.large=mine", "--set", "allow_larger_student=true", "--dry-run"])
    one_trained = ["--set", "axes={student: [tiny-student-0.5m], sft.batch: [2x1, 5x4]}"]
    open_run("", [*own, "--set", "students=[mine, tiny-student-0.5m]", *one_trained, "--dry-run"])
    long = refused(["--dry-run", "--set", "sft.cutoff_tokens=2049"], capsys)
    assert "error: sft.cutoff_tokens: 2049 is more than the 2048 positions of student tiny-student-" in long
    # Of a Hub model that is not here yet: what the Hub says.
    monkeypatch.setattr(flow, "check_models", lambda sources: {"far": GEMMA_3})
    far = "models={far: {source: org/far, parameters: 1000}}"
    assert f"student far: {plain}" in refused([own[0], own[1], "--set", far, "--set", "students=[far]"], capsys)
    assert not (tmp_path / "store" / "examples").exists()


def test_a_models_damaged_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(EMBEDDED / "tiny-student-0.15m", mine)
    (mine / "config.json").write_text('{"model_type": "qwen2", ')
    said = refused(["--set", f"models={{mine: {{source: {mine}}}}}", "--set", "students=[mine]"], capsys)
    assert said.startswith("error: students: model 'mine': ")
    assert "config.json is damaged (no JSON object); copy it again" in said


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = grid(store=tmp_path / "file" / "store")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "--store" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json"], "--json: tells the plan; give --dry-run, too"),
        (["--detect", "nan"], "--detect: give points between 0 and 100, not nan"),
        (["--detect", "0"], "--detect: give points between 0 and 100, not 0"),
        (["--store", ""], "--store: is empty"),
        (["--store", "jobs/grid.py"], "store 'jobs/grid.py' is a file; give a folder with --store"),
    ],
)
def test_arguments_that_mean_nothing(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="2"):
        open_run("", [*arguments, *(["--dry-run"] if "--json" not in arguments else [])])
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.parametrize(("job", "way"), [("evaluate", "--model ID_OR_PATH"), ("report", "--results FILE")])
def test_help_tells_every_way_to_call_a_job(job: str, way: str) -> None:
    command = [sys.executable, f"jobs/{job}.py", "--help"]
    assert way in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60).stdout


def test_tiny_models_says_what_it_needs() -> None:
    command = [sys.executable, "jobs/tiny_models.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "nothing to do; give --train NAME or --measure N" in done.stderr


def test_a_report_needs_no_hub_and_a_dry_run_of_it_writes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/report.py", "jobs/experiments/bbh_gemma.yaml", "--store", str(tmp_path / "store")]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "none")}
    done = subprocess.run(command, cwd=ROOT, env=offline, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not built yet" in done.stderr
    done = subprocess.run([*command, "--dry-run"], cwd=ROOT, env=offline, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "experiment  bbh-gemma: 8 cells" in done.stdout
    assert list((tmp_path / "store").iterdir()) == [], "but for the probe that it can be written, which is gone"


def test_a_dry_run_shows_the_plan_and_starts_nothing(tmp_path: Path) -> None:
    done = grid("--dry-run", store=tmp_path / "store")
    assert done.returncode == 0
    assert "12 cells" in done.stdout
    assert "tiny-student-0.5m / mix / 5x4: 40 samples per update" in done.stdout
    assert not (tmp_path / "store").exists()


def test_the_plan_as_json_holds_cost_lints_and_power(tmp_path: Path) -> None:
    done = grid("--dry-run", "--json", "--set", "resources.accelerator=L4", store=tmp_path / "store")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["cells"] == 12
    assert told["device_hours"] > 0
    assert all(lint["confounds"] for lint in told["lints"])
    assert told["detectable"][-1]["task"] == "all"


def test_strict_refuses_a_confounded_comparison(tmp_path: Path) -> None:
    done = grid("--strict", store=tmp_path / "store")
    assert done.returncode == 2
    assert "'mix against large, as in the ancestor work' is confounded" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()
    assert grid("--strict", "--dry-run", "--set", "comparisons=[]", store=tmp_path / "store").returncode == 0


def test_starting_needs_no_heavy_package() -> None:
    heavy = "ray torch vllm deepspeed transformers peft lm_eval datasets matplotlib scipy"
    code = f"import sys, capgap_ray.flow; print([name for name in '{heavy}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
