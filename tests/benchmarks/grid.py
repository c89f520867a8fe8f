"""The grid: overhead over bare training, planning of 10,000 cells, and 48 trials with failures and a killed driver.

    python tests/benchmarks/grid.py [--quick] [--only overhead|planning|trials]

- overhead: wall time of the training stage of a 12-cell grid, Ray's own start excluded, against the sum of the bare
  training times of its cells: from the first to the last update, as the trainer measures them, without process start,
  imports, loading and export. One trial at a time, so that every bare time is that of a training with all cores.
- planning: processor time and memory of planning 10,000 cells as `--dry-run` does it, process start included.
- trials: 48 trainings in one run. Three of them fail once (committing their checkpoint raises), and the driver is
  killed when half are done; the same command goes on. All 48 checkpoints must be there, and none be made twice.

Ends with one line of JSON. `--quick` runs shrunken versions, for which the goals are not measured.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from capgap_ray.artifacts.store import RECORD

ROOT = Path(__file__).parents[2]
OVERHEAD_GOAL, SECONDS_GOAL, GIGABYTES_GOAL, TRIALS = 1.5, 5.0, 1.0, 48
FAIL = "CAPGAP_BENCHMARK_FAIL"
"""Environment variable: a folder in which injected failures leave their marks."""


def experiment(**changes: Any) -> dict[str, Any]:
    tree = yaml.safe_load((ROOT / "jobs/experiments/tiny.yaml").read_text())
    return {**tree, "comparisons": [], "tasks": ["tiny/dyck_languages"], **changes}


def run(job: str, tree: dict[str, Any], folder: Path, **environment: str) -> subprocess.Popen[str]:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    command = [sys.executable, str(ROOT / job), str(path), "--store", str(folder / "store")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)


def checkpoints(folder: Path) -> dict[str, dict[str, Any]]:
    """Label -> record of every training in the store."""
    files = (folder / "store" / "train").glob(f"*/{RECORD}")
    return {record["label"]: record for record in (json.loads(file.read_text()) for file in files)}


# --- overhead ------------------------------------------------------------------------------------------------


def overhead(quick: bool) -> dict[str, Any]:
    changes: dict[str, Any] = {"split": {"train": 60, "test": 20}, "selection": {"items": 20, "gap_points": -100}}
    changes |= {"axes": {"sft.batch": ["2x1"]}}
    tree = experiment(**(changes if quick else {}))
    tree["resources"] = {**tree["resources"], "trials": 1}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        generated = run("jobs/generate.py", tree, folder)  # rationales are not what is measured
        generated.communicate()
        job = run("jobs/train.py", tree, folder)
        assert job.stdout is not None
        begun: float | None = None
        wall = None
        for line in job.stdout:
            if line.startswith("ray "):
                begun = time.monotonic()
            if line.startswith("train "):
                assert begun is not None
                wall = time.monotonic() - begun
        if job.wait() or wall is None:
            raise SystemExit(f"the job failed with status {job.returncode}")
        bare = sum(record["summary"]["seconds"] for record in checkpoints(folder).values())
        row = {"cells": len(checkpoints(folder)), "wall_s": round(wall, 1), "bare_s": round(bare, 1)}
    print(json.dumps({"part": "overhead", **row}), flush=True)
    return {"grid's wall time over the sum of bare training times": (wall / bare, OVERHEAD_GOAL)}


# --- planning --------------------------------------------------------------------------------------------------

_PLAN = """
import resource, sys, time
from capgap_ray.flow import open_run, show_plan
show_plan(open_run("", sys.argv[1:]))
used = resource.getrusage(resource.RUSAGE_SELF)
print("used", used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)
"""


def planning(quick: bool) -> dict[str, Any]:
    seeds = 10 if quick else 833
    whole = yaml.safe_load((ROOT / "jobs/experiments/tiny.yaml").read_text())
    whole |= {"axes": {"sft.batch": ["2x1", "5x4"], "sft.seed": list(range(seeds))}, "comparisons": []}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "experiment.yaml"
        path.write_text(yaml.safe_dump(whole, sort_keys=False))
        command = [sys.executable, "-c", _PLAN, str(path), "--dry-run", "--store", f"{place}/store"]
        begun = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        wall = time.monotonic() - begun
    _, seconds, gigabytes = done.stdout.splitlines()[-1].split(" ")
    row = {"cells": 12 * seeds, "processor_s": round(float(seconds), 2), "wall_s": round(wall, 2)}
    print(json.dumps({"part": "planning", **row, "peak_gb": round(float(gigabytes), 3)}), flush=True)
    return {
        "planning 10,000 cells, processor seconds": (float(seconds), SECONDS_GOAL),
        "planning 10,000 cells, GB": (float(gigabytes), GIGABYTES_GOAL),
    }


# --- trials ------------------------------------------------------------------------------------------------------

_SITE = """
import os, pathlib
from capgap_ray.artifacts import store as module
_commit = module.Store.commit
def commit(self, step, *arguments, **named):
    mark = pathlib.Path(os.environ["{variable}"]) / step.key
    if step.stage == "train":
        with open(mark.with_suffix(".commits"), "a") as log:
            log.write("x")
        if len(list(mark.parent.glob("*.failed"))) < 3:
            mark.with_suffix(".failed").write_text("")
            raise OSError("injected by the benchmark")
    return _commit(self, step, *arguments, **named)
module.Store.commit = commit
"""


def trials(quick: bool) -> dict[str, Any]:
    wanted = 6 if quick else TRIALS
    tree = experiment(
        students=["tiny-student-0.15m"],
        mixtures={"small": {"small": 1.0}, "large": {"large": 1.0}},
        split={"train": 60, "test": 20},
        selection={"items": 20, "gap_points": -100},
        axes={"sft.seed": list(range(wanted // 2))},
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        marks, site = folder / "marks", folder / "site"
        marks.mkdir()
        site.mkdir()
        (site / "sitecustomize.py").write_text(_SITE.format(variable=FAIL))
        environment = {FAIL: str(marks), "PYTHONPATH": f"{site}:{ROOT}"}
        run("jobs/generate.py", tree, folder).communicate()
        job = run("jobs/train.py", tree, folder, **environment)
        while job.poll() is None and len(checkpoints(folder)) < wanted // 2:
            time.sleep(0.5)
        before = {label: record["attempt"] for label, record in checkpoints(folder).items()}
        killed = job.poll() is None
        if killed:
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        again = run("jobs/train.py", tree, folder, **environment)
        out, _ = again.communicate()
        after = checkpoints(folder)
        kept = all(after[label]["attempt"] == attempt for label, attempt in before.items())
        failures = len(list(marks.glob("*.failed")))
        told = sum(line.startswith("  trial") for line in out.splitlines())
        row = {
            "checkpoints": len(after),
            "killed_at": len(before) if killed else None,
            "injected_failures": failures,
            "trained_after_the_kill": told,
            "none_done_twice": kept and told <= wanted - len(before),
            "status": again.returncode,
        }
    print(json.dumps({"part": "trials", **row}), flush=True)
    whole = killed and failures == 3 and row["none_done_twice"] and again.returncode == 0
    return {f"{TRIALS} trials whole after three failures and a kill": (len(after) if whole else 0, TRIALS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["overhead", "planning", "trials"])
    arguments = parser.parse_args()
    parts = {"planning": planning, "overhead": overhead, "trials": trials}
    goals: dict[str, Any] = {}
    for name, part in parts.items():
        if arguments.only in (None, name):
            for goal, (value, limit) in part(arguments.quick).items():
                met = value >= limit if goal.startswith(str(TRIALS)) else value <= limit
                shown = None if arguments.quick else round(value, 2)
                goals[goal] = {"value": shown, "goal": limit, "met": bool(met) and not arguments.quick}
    print(json.dumps({"name": "grid", "cores": os.cpu_count(), "goals": goals}))


if __name__ == "__main__":
    main()
