"""The whole flow with the real engines, shrunken: one task, one teacher, one student, two cells; and its resume."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ray.shrunken import EPOCHS, ROOT, command
from tests.watching import Watched

ALONE = ["resources.engines=1", "resources.trials=1"]


def run(store: Path, job: str = "grid", overrides: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(store, job, overrides), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def answer(store: Path) -> dict[str, Any]:
    """The results less what may differ between two runs: times, and the share of the machine."""
    results: dict[str, Any] = json.loads((store / "reports" / "tiny" / "results.json").read_text())
    for field in ("made_at", "command", "stage_seconds", "ledger"):
        del results[field]
    results["experiment_yaml"] = yaml.safe_load(results["experiment_yaml"])
    del results["experiment_yaml"]["resources"]
    for checkpoint in results["checkpoints"]:
        del checkpoint["seconds"]
    return results


@pytest.fixture
def undisturbed(watched: Watched) -> tuple[Path, str]:
    return watched.store, watched.output


def test_it_ends_with_verdicts_and_a_report(undisturbed: tuple[Path, str]) -> None:
    output = undisturbed[1]
    stages = (
        "ray",
        "examples",
        "measure",
        "selection",
        "generate",
        "untouched",
        "mixtures",
        "train",
        "evaluate",
        "judge",
    )
    for stage in stages:
        assert f"\n{stage}" in f"\n{output}".replace("\n  ", "\n"), stage
    assert len(output.splitlines()) < 40, "progress lines, not Ray's noise"
    assert "steps were scored while the grid trained" in output, "exports on the way land before their cells end"
    page = Path(output.split("report: ")[1].strip())
    assert page.is_file()
    assert "<html" in page.read_text()


def test_its_numbers_balance(undisturbed: tuple[Path, str]) -> None:
    results = answer(undisturbed[0])
    assert len(results["checkpoints"]) == 2
    assert {row["role"] for row in results["accuracies"]} == {"teacher", "baseline", "distilled"}
    for row in results["accuracies"]:
        assert row["n"] == row["right"] + row["wrong"] + row["unparsable"] + row["truncated"] == 30
    for report in results["filters"]:
        assert report["seen"] == 100 == report["kept"] + sum(report["dropped"].values())
    small, large = sorted((c["recipe"] for c in results["checkpoints"]), key=lambda card: card["samples_per_update"])
    assert (small["samples_per_update"], large["samples_per_update"]) == (4, 40)
    assert small["updates"] == EPOCHS * -(-small["rows"] // 4)
    assert small["supervised_tokens"] == large["supervised_tokens"] > 0


def test_training_learns_and_exports_what_it_learnt(undisturbed: tuple[Path, str]) -> None:
    import torch
    from safetensors.torch import load_file

    store, _ = undisturbed
    for checkpoint in answer(store)["checkpoints"]:
        losses = checkpoint["losses"]
        assert len(losses) == checkpoint["recipe"]["updates"]
        one_epoch = len(losses) // EPOCHS
        assert sum(losses[-one_epoch:]) < sum(losses[:one_epoch])
        folder = next((store / checkpoint["path"] / "attempts").iterdir())
        assert not list(folder.glob("*.bin"))
        assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
        trained = load_file(folder / "model.safetensors")
        before = load_file(ROOT / "capgap_ray/tiny/models/tiny-student-0.15m/model.safetensors")
        assert trained.keys() == before.keys()
        assert {tensor.dtype for tensor in trained.values()} == {torch.bfloat16}
        assert any(not torch.equal(trained[name], before[name]) for name in before)


def test_a_second_time_no_stage_runs(undisturbed: tuple[Path, str]) -> None:
    store, _ = undisturbed
    first = answer(store)
    begun = time.monotonic()
    output = run(store).stdout
    assert time.monotonic() - begun < 20
    assert "ray " not in output
    assert "trial " not in output
    assert answer(store) == first


def test_the_report_alone_says_the_same(undisturbed: tuple[Path, str]) -> None:
    store, _ = undisturbed
    first = answer(store)
    run(store, "report")
    assert answer(store) == first


def test_before_training_the_report_says_what_is_known(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    """As after jobs/generate.py: the same store without what was trained, and what came after."""
    kept = ("examples", "complete", "score", "mix", "surprisal")
    for name in kept:
        shutil.copytree(undisturbed[0] / name, tmp_path / name, ignore=shutil.ignore_patterns("*-test-*"))
    output = run(tmp_path, "report").stdout
    assert "Whether to distil tiny-student-0.15m is not known" in output
    found = answer(tmp_path)
    assert not found["checkpoints"]
    assert {row["part"] for row in found["accuracies"]} == {"train"}
    assert [row["kept"] for row in found["filters"]] == [row["kept"] for row in answer(undisturbed[0])["filters"]]
    (record,) = (tmp_path / "surprisal").glob("*/record.json")
    read = json.loads(record.read_text())["summary"]["read"]
    assert (read["drawn"], read["read"]) == (20, 20)
    assert read["ratio"]["value"] == pytest.approx(read["rank"]["value"] / read["surprisal"]["value"])
    many = max(answer(undisturbed[0])["checkpoints"], key=lambda each: each["recipe"]["samples_per_update"])
    assert read["loss"]["value"] == pytest.approx(many["losses"][0], rel=0.3), "the loss that training begins with"


def test_killed_at_every_stage_it_goes_on_to_the_same_answer(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    """SIGKILL of the driver in generation, in training and in evaluation; that engines and trials have company in the
    undisturbed run changes no number either."""
    kept: Sequence[Path] = []
    for line, seconds in (("selection", 0.3), ("mixtures", 6.0), ("train ", 0.3)):
        _kill_after(command(tmp_path, overrides=ALONE), line, seconds)
        records = sorted(tmp_path.rglob("record.json"))
        assert set(kept) <= set(records), "what was committed stays"
        kept = records
    times = {path: path.stat().st_mtime_ns for path in kept}
    run(tmp_path, overrides=ALONE)
    assert {path: path.stat().st_mtime_ns for path in kept} == times, "nothing that was committed is built again"
    assert answer(tmp_path) == answer(undisturbed[0])


def _kill_after(arguments: list[str], line: str, seconds: float) -> None:
    """Start the job, wait for a progress line and some seconds more, and kill its driver."""
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        assert job.stdout is not None
        seen = []
        for text in job.stdout:
            seen.append(text)
            if text.strip().startswith(line.strip()):
                break
        else:
            raise AssertionError(f"no line {line!r} in {seen}")
        time.sleep(seconds)
        assert job.poll() is None, "too late to kill it"
        os.kill(job.pid, signal.SIGKILL)
