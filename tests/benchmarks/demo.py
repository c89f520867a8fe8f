"""How long the embedded experiment takes and how much memory its process tree holds, stage by stage.

    python tests/benchmarks/demo.py [--quick]

Runs `python jobs/grid.py` on a store of its own and samples the proportional set size (shared pages counted once)
of the driver and all its descendants. Writes one line of JSON per stage and ends with the goals. `--quick` runs a
shrunken experiment, for which the goals are not measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
QUICK = ["tasks=[tiny/dyck_languages]", "split={train: 60, test: 20}", "selection={items: 20, gap_points: -100}"]
STAGES = ("ray", "examples", "measure", "generate", "untouched", "mixtures", "train", "evaluate", "judge")
SECONDS_GOAL, GIGABYTES_GOAL, AGAIN_GOAL = 600, 10, 20


def tree_bytes(root: psutil.Process) -> int:
    """Memory of a process and its descendants, those that were started in sessions of their own included."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended while we looked
    return total


class Memory(threading.Thread):
    """Samples the tree once a second; `peak` is what was seen since `reset`."""

    def __init__(self, root: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._root = root
        self.peak = 0
        self.highest = 0

    def run(self) -> None:
        while self._root.is_running():
            try:
                now = tree_bytes(self._root)
            except psutil.NoSuchProcess:
                return
            self.peak, self.highest = max(self.peak, now), max(self.highest, now)
            time.sleep(1.0)

    def reset(self) -> int:
        peak, self.peak = self.peak, 0
        return peak


def measure(command: list[str]) -> tuple[float, float]:
    """Run the job; print a line per stage. Returns (seconds, peak gigabytes)."""
    begun = last = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ}) as job:
        memory = Memory(psutil.Process(job.pid))
        memory.start()
        assert job.stdout is not None
        for line in job.stdout:
            stage = line.split(" ")[0]
            if stage not in STAGES:
                continue
            now = time.monotonic()
            row: dict[str, Any] = {"stage": stage, "seconds": round(now - last, 1)}
            print(json.dumps({**row, "peak_gb": round(memory.reset() / 1e9, 2), "line": line.strip()}), flush=True)
            last = now
    if job.returncode:
        raise SystemExit(f"the job failed with status {job.returncode}")
    return time.monotonic() - begun, memory.highest / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "jobs/grid.py", "--store", store]
        for override in QUICK if quick else ():
            command += ["--set", override]
        seconds, gigabytes = measure(command)
        again, _ = measure(command)
    goals = {
        "wall time of the experiment, s": (round(seconds, 1), SECONDS_GOAL),
        "peak memory of the process tree, GB": (round(gigabytes, 2), GIGABYTES_GOAL),
        "second run, s": (round(again, 1), AGAIN_GOAL),
    }
    rows = {
        name: {"value": None if quick else value, "goal": goal, "met": not quick and value <= goal}
        for name, (value, goal) in goals.items()
    }
    print(json.dumps({"name": "demo", "cores": os.cpu_count(), "goals": rows}))


if __name__ == "__main__":
    main()
