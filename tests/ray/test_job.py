"""`ray job submit`: stopped and submitted again it goes on; what it ends with tells how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from capgap_ray import stages  # sets the token that this process and its children share
from tests.ray.shrunken import ROOT, SHRUNKEN
from tests.ray.test_autoscaling import free_ports, kill, wait_for

RAY = str(Path(sys.executable).parent / "ray")


class Head:
    """One node with a dashboard, started as `cluster.yaml` starts it."""

    def __init__(self, folder: Path) -> None:
        port, dashboard = free_ports()
        self.url = f"http://127.0.0.1:{dashboard}"
        self.environment = {**os.environ, **stages.SETTINGS, "PATH": f"{Path(RAY).parent}:{os.environ['PATH']}"}
        command = [RAY, "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=3"]
        command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--temp-dir={folder}"]
        command += ["--resources", json.dumps({"driver": 1}), "--object-store-memory=150000000"]
        with (folder / "head.log").open("wb") as log:
            self._process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def ray(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RAY, "job", *words], env=self.environment, capture_output=True, text=True, timeout=300, cwd=ROOT
        )

    def submit(
        self, store: Path, *overrides: str, wait: bool = True, name: str, job: str = "generate"
    ) -> subprocess.CompletedProcess[str]:
        """As the README says."""
        words = ["submit", "--address", self.url, "--working-dir", ".", "--submission-id", name]
        words += ["--entrypoint-num-cpus", "1", "--entrypoint-resources", '{"driver": 1}']
        words += [] if wait else ["--no-wait"]
        words += ["--", "python", f"jobs/{job}.py", "--store", str(store)]
        for override in overrides:
            words += ["--set", override]
        return self.ray(*words)

    def close(self) -> None:
        family = psutil.Process(self._process.pid).children(recursive=True)
        for process in [psutil.Process(self._process.pid), *family]:
            kill(process)
        self._process.wait()


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with tempfile.TemporaryDirectory(prefix="cg", dir="/tmp", ignore_cleanup_errors=True) as folder:  # for sockets
        made = Head(Path(folder))
        yield made
        made.close()


def test_stopped_and_submitted_again_it_goes_on(head: Head, tmp_path: Path) -> None:
    overrides = [*SHRUNKEN, "resources.engines=1"]

    def records() -> dict[Path, Any]:
        return {path: path.read_bytes() for path in tmp_path.glob("*/*/record.json")}

    wait_for(lambda: head.submit(tmp_path, *overrides, wait=False, name="first").returncode == 0, 180)
    try:
        kept = wait_for(records, 60)
    except AssertionError:
        print(head.ray("logs", "--address", head.url, "first"))
        raise
    stopped = head.ray("stop", "--address", head.url, "first")
    assert stopped.returncode == 0, stopped.stderr
    again = head.submit(tmp_path, *overrides, name="again")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "rationales  small on tiny/dyck_languages: " in again.stdout
    assert "Job 'again' succeeded" in again.stdout
    assert kept.items() <= records().items(), "what was committed is not built again"
    refused = head.submit(tmp_path, "sft.lerning_rate=1", name="refused")
    assert refused.returncode != 0
    assert "error: sft.lerning_rate: unknown field; did you mean 'learning_rate'?" in refused.stdout
    assert "exit code 2" in refused.stdout + refused.stderr


@pytest.mark.skipif("CAPGAP_DRILLS" not in os.environ, reason="takes two minutes: CAPGAP_DRILLS=1 runs it")
def test_a_job_with_a_failed_cell_lists_it_at_its_end(head: Head, tmp_path: Path) -> None:
    overrides = [*SHRUNKEN, "resources.engines=1", "resources.trials=1", "comparisons=[]", "sft.batch=2x1"]
    overrides += ["axes={sft.learning_rate: [1.0e-3, 1.0e+30]}"]
    wait_for(lambda: head.ray("list", "--address", head.url).returncode == 0, 60)
    done = head.submit(tmp_path, *overrides, name="partial", job="grid")
    assert done.returncode != 0
    (last,) = {line for line in done.stdout.splitlines() if line.startswith("PARTIAL: ")}  # Ray tells the end twice
    assert last.startswith("PARTIAL: 1 cells failed and are not in the report: ") and "1e+30" in last
    assert "is not finite" in done.stdout
    assert "exit code 1" in done.stdout + done.stderr
