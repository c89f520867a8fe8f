"""What operation costs: listing a store of 100,000 artifacts; records, states, checks and metrics in an experiment.

    python tests/benchmarks/operation.py [--quick] [--only listing|overhead]

- listing: seconds in a process that has not seen the store before.
- overhead: the tiny experiment is run, with every call timed in every process (`noting.py`) that reads or writes a
  record, checks what was committed, saves or names a training state, compares a canary, counts for Prometheus or tells
  progress. Their seconds are summed over all processes, though many pass side by side, and divided by the wall time.
  The first probe of an engine's process is left out: it is its first pass, and waits for what any first pass does.

Ends with one line of JSON. `--quick` lists a tenth of the store and runs a shrunken experiment, for which the goals
are not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import noting

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store

ROOT = Path(__file__).parents[2]
ARTIFACTS = 100_000
QUICK = ["tasks=[tiny/dyck_languages]", "split={train: 60, test: 20}", "selection={items: 20, gap_points: -100}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["listing", "overhead"])
    arguments = parser.parse_args()
    found: dict[str, float] = {}
    if arguments.only != "overhead":
        number = ARTIFACTS // 10 if arguments.quick else ARTIFACTS
        found["listing of 100,000 artifacts, s"] = _listing(number)
    if arguments.only != "listing":
        found["overhead, share of the experiment's wall time"] = _overhead(QUICK if arguments.quick else ())
    goals = {}
    for name, goal in (("listing of 100,000 artifacts, s", 5), ("overhead, share of the experiment's wall time", 0.03)):
        value = None if arguments.quick or name not in found else round(found[name], 4)
        goals[name] = {"value": value, "goal": goal, "met": value is not None and value <= goal}
    print(json.dumps({"name": "operation", "cores": os.cpu_count(), "goals": goals}))


def _overhead(overrides: Sequence[str]) -> float:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        notes = noting.watch(folder, ROOT)
        command = [sys.executable, "jobs/grid.py", "--store", str(folder / "store")]
        command += [word for override in overrides for word in ("--set", override)]
        begun = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - begun
        seconds: Counter[str] = Counter()
        calls: Counter[str] = Counter()
        probed: set[int] = set()
        for each in noting.read(notes):
            if each.get("timed") == "_compare_with_former" and each["pid"] not in probed:
                probed.add(each["pid"])
            elif "timed" in each:
                seconds[each["timed"]] += each["s"]
                calls[each["timed"]] += 1
    for name, total in seconds.most_common():
        print(json.dumps({"call": name, "calls": calls[name], "seconds": round(total, 3)}))
    share = seconds.total() / wall
    print(json.dumps({"wall_s": round(wall, 1), "overhead_s": round(seconds.total(), 2), "share": round(share, 4)}))
    return float(share)


def _listing(number: int) -> float:
    """Seconds, in a process that has not seen the store before."""
    folder = Path(tempfile.mkdtemp(prefix="capgap-listing-"))
    try:
        store = Store(str(folder))
        step = Step("score", 1, {"number": 0}, (), "one")
        store.build_rows(step, lambda: ([{"id": "1"}], {}))
        record = (folder / step.address / "record.json").read_bytes()
        stages = ("complete", "score", "judge", "train")
        for index in range(number):
            artifact = folder / stages[index % 4] / f"step-{index:016x}"
            artifact.mkdir(parents=True)
            (artifact / "attempts").mkdir()
            if index % 100:
                (artifact / "record.json").write_bytes(record)
        begun = time.perf_counter()
        found = Store(str(folder)).listing()
        seconds = time.perf_counter() - begun
        assert len(found) == number + 1
        assert sum(state == "begun" for state in found.values()) == number // 100
        print(json.dumps({"artifacts": number, "seconds": round(seconds, 2)}))
        return seconds
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
