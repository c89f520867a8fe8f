"""What is done, begun and failed, from the store alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from capgap_ray.artifacts.step import unique
from capgap_ray.flow import Run, open_run
from capgap_ray.status import lines, status

ROOT = Path(__file__).parents[2]
EXPERIMENT = str(ROOT / "jobs/experiments/tiny.yaml")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return open_run("test", [EXPERIMENT, "--store", str(tmp_path / "store"), "--dry-run"])


def test_nothing_is_done_in_an_empty_store(run: Run) -> None:
    told = status(run)
    assert [each.stage for each in told.stages][:3] == ["examples", "complete", "score"]
    assert all((each.built, each.begun, each.failed) == (0, 0, 0) for each in told.stages)
    assert lines(told)[-1] == f"not done: {sum(each.steps for each in told.stages)} steps to build"
    assert not Path(run.store.root).exists(), "looking writes nothing"


def test_each_state_is_told_with_what_is_known(run: Run) -> None:
    steps = unique(step for made in run.plans for step in made.steps())
    examples = next(step for step in steps if step.stage == "examples")
    complete = next(step for step in steps if step.stage == "complete")
    training, failed, *_ = (step for step in steps if step.stage == "train")
    store = run.store
    store.build_rows(examples, lambda: ([{"id": "1"}], {}))
    store.write_bytes(f"{complete.address}/rows/000000000-000000512.parquet", b"")
    store.write_bytes(f"{complete.address}/rows/000000000-000000512.json", b"{}")
    told_by_worker = {"update": 30, "updates": 120, "loss": 1.5, "learning_rate": 0.1}
    store.write_bytes(f"{training.address}/progress.json", json.dumps(told_by_worker).encode())
    store.note_failure(failed, "RuntimeError:\n  out of memory")
    told = status(run)
    by_stage = {each.stage: (each.built, each.begun, each.failed) for each in told.stages}
    assert by_stage["examples"] == (1, 0, 0)
    assert by_stage["complete"] == (0, 1, 0)
    assert by_stage["train"] == (0, 1, 1)
    assert {each.address: (each.state, each.detail) for each in told.unfinished} == {
        complete.address: ("begun", "1 shards written"),
        training.address: ("begun", "update 30 of 120, loss 1.5"),
        failed.address: ("failed", "RuntimeError: out of memory"),
    }
    text = lines(told)
    assert text[-1].endswith("1 of them failed")
    assert f"failed      {failed.address}: RuntimeError: out of memory" in text


def test_all_built_is_done(run: Run) -> None:
    for step in unique(step for made in run.plans for step in made.steps() if step.stage != "score"):
        run.store.commit(step, run.store.new_attempt(step), {}, 1.0)
    told = status(run)
    assert not told.selected
    assert lines(told)[-1].startswith("not done: ")


def test_a_progress_file_cut_off_is_no_error(run: Run) -> None:
    steps = unique(step for made in run.plans for step in made.steps())
    training = next(step for step in steps if step.stage == "train")
    for data in (b"", b'{"upd', b"\xff", b"3"):
        run.store.write_bytes(f"{training.address}/progress.json", data)
        assert status(run).unfinished[0].state == "begun"


def test_the_job_needs_no_ray_and_writes_nothing(tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['jobs/status.py', {EXPERIMENT!r}, '--store', {str(tmp_path / 'store')!r}]\n"
        "runpy.run_path('jobs/status.py', run_name='__main__')\n"
        "assert not {'ray', 'torch', 'vllm', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "experiment  tiny: 0 of " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_experiment_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "jobs/status.py", EXPERIMENT, "--set", "sft.epoch=3", "--store", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
