"""What a person does to a run: Ctrl-C, and again. Kills at every stage: tests/benchmarks/faults.py."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.ray.shrunken import ROOT, command


def hears_interrupts() -> None:
    """A shell's background jobs, and what they start, have the signal switched off."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_twice_it_ends_soon_and_leaves_no_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path, "generate"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_interrupts,
    ) as job:
        assert job.stdout is not None
        lines = []
        for line in job.stdout:
            lines.append(line)
            if line.startswith("ray "):
                break
        time.sleep(2)
        family = psutil.Process(job.pid).children(recursive=True)
        assert family
        begun = time.monotonic()
        for _ in range(2):
            job.send_signal(signal.SIGINT)
            time.sleep(0.3)
        output, errors = job.communicate(timeout=60)
    assert time.monotonic() - begun < 30
    assert job.returncode in (130, 1, -signal.SIGINT), (lines, output, errors)
    if job.returncode == 130:
        assert output.splitlines()[-1] == "interrupted; what was committed stays, run the same command to go on"
        assert "Traceback" not in errors
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == [], [process.cmdline() for process in alive]
    assert all(path.read_bytes().endswith(b"}") for path in tmp_path.rglob("record.json"))
