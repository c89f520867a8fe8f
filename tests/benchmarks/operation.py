"""What operation costs: listing a store of 100,000 artifacts, and records and checks against an experiment's time.

    python tests/benchmarks/operation.py [--quick]

The overhead is what the tiny experiment's number of commits, records and metrics takes, over the experiment's own
time as `tests/benchmarks/demo.py` measures it; --quick lists a tenth of the store and leaves the overhead out.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store

ARTIFACTS = 100_000


def main() -> None:
    quick = "--quick" in sys.argv[1:]
    number = ARTIFACTS // 10 if quick else ARTIFACTS
    seconds = _listing(number)
    print(f"listing {number} artifacts: {seconds:.2f} s")
    listed = None if quick else round(seconds, 2)
    goals = {
        "listing of 100,000 artifacts, s": {"value": listed, "goal": 5, "met": listed is not None and listed <= 5},
    }
    print(json.dumps({"name": "operation", "goals": goals}))


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
        return seconds
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
