"""How often the findings fool their reader, and how fast they are.

    python tests/benchmarks/findings.py [--quick]

Simulated experiments with known truth (tests/core/simulated.py): the share with any false claim when the teachers are
equal, how often 95 % intervals hold the truth, how often an effect of the stated detectable size is found; and the
seconds of `jobs/report.py --results` for a small file and for a million rows. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from capgap_ray.core.findings import ALL, Findings, find  # noqa: E402
from tests.core.simulated import experiment  # noqa: E402

NULLS: dict[str, dict[str, Any]] = {
    "4 tasks of 100": {"tasks": 4, "items": 100},
    "4 tasks of 40": {"tasks": 4, "items": 40},
    "items very different": {"items": 60, "between_items": 3.0},
    "no gain either": {"items": 60, "gain": 0.0},
    "4 samples": {"items": 50, "samples": 4},
    "one in ten unscored": {"items": 80, "unscored": 0.1},
    "3 runs alike": {"items": 60, "runs": 3},
    "3 runs": {"items": 80, "runs": 3, "between_runs": 0.04},
    "2 runs, one task": {"tasks": 1, "items": 200, "runs": 2, "between_runs": 0.08},
}
POWERS: dict[str, dict[str, Any]] = {
    "3 tasks of 100": {"items": 100},
    "one task of 150": {"tasks": 1, "items": 150, "students": (0.5, 3.0)},
    "4 samples": {"items": 60, "samples": 4},
    "3 runs": {"items": 80, "runs": 3, "between_runs": 0.03},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer experiments, no million rows")
    quick = parser.parse_args().quick
    count = 30 if quick else 200
    goals: dict[str, dict[str, Any]] = {}
    false: list[bool] = []
    covered: list[bool] = []
    for name, settings in NULLS.items():
        rng = np.random.default_rng(1)
        found = [find(experiment(rng, **settings), exchanges=20) for _ in range(count)]
        here = [_any_false(each, settings.get("gain", 0.15)) for each in found]
        inside = [_holds(a.comparison.ci_low, a.comparison.ci_high) for each in found for a in each.advantages]
        inside += [_holds(each.contrast_low, each.contrast_high) for f in found for each in f.capacity_gap]
        print(
            f"equal teachers, {name}: any false claim {np.mean(here):.3f}, intervals cover {np.mean(inside):.3f}",
            flush=True,
        )
        false += here
        covered += inside
        goals[f"false claims, {name}"] = _goal(
            float(np.mean(here)), "<= 0.05", float(np.mean(here)) <= 0.05 + _noise(count)
        )
        goals[f"coverage, {name}"] = _goal(float(np.mean(inside)), "0.93 to 0.99", 0.93 <= np.mean(inside) <= 0.99)
    goals["false claims, all"] = _goal(float(np.mean(false)), "<= 0.05", float(np.mean(false)) <= 0.05)
    goals["coverage, all"] = _goal(float(np.mean(covered)), "0.94 to 0.98", 0.94 <= np.mean(covered) <= 0.98)
    for name, settings in POWERS.items():
        share, size = _power(settings, count)
        print(f"planted effect, {name}: {100 * size:.1f} points, found {share:.3f}", flush=True)
        goals[f"power, {name}"] = _goal(share, "0.7 to 0.9", 0.7 - _noise(count) <= share <= 0.9 + _noise(count))
    goals["seconds, 2,700 rows"] = _timed(3, 3, 100, goal=3.0)
    if not quick:
        goals["seconds, 1,000,000 rows"] = _timed(10, 4, 3572, goal=30.0, runs=3)
    print(json.dumps({"name": "findings", "goals": goals}))


def _goal(value: float, goal: str, met: bool) -> dict[str, Any]:
    return {"value": round(value, 4), "goal": goal, "met": bool(met)}


def _noise(count: int) -> float:
    """Two standard errors of a share of 5 %."""
    return 2 * (0.05 * 0.95 / count) ** 0.5


def _holds(low: float | None, high: float | None) -> bool:
    assert low is not None
    assert high is not None
    return low <= 0 <= high


def _any_false(found: Findings, gain: float) -> bool:
    wrong = {"harmed"} if gain else {"harmed", "improved"}
    return (
        any(each.better for each in found.advantages)
        or any(each.status == "pattern" for each in found.capacity_gap)
        or any(each.status in wrong for each in found.efficacy)
    )


def _power(settings: dict[str, Any], count: int) -> tuple[float, float]:
    """Share of experiments that find a lead of the size they state, for the smallest student over all tasks."""
    rng = np.random.default_rng(2)

    def asked(found: Findings) -> Any:
        mine = [a for a in found.advantages if a.student == "0.5B"]
        return next((a for a in mine if a.task == ALL), mine[0])

    stated = [asked(find(experiment(rng, **settings), exchanges=20)).comparison.mde_adjusted for _ in range(30)]
    size = float(np.median([each for each in stated if each is not None]))
    found = [find(experiment(rng, **settings, small_lead=size), exchanges=20) for _ in range(count)]
    return float(np.mean([asked(each).better == "weak" for each in found])), size


def _timed(tasks: int, students: int, items: int, goal: float, runs: int = 1) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(3)
    arms = [
        (f"task {t}", f"{2**s}B", teacher, run)
        for t in range(tasks)
        for s in range(students)
        for teacher in ("", "weak", "strong")
        for run in range(runs if teacher else 1)
    ]
    columns: dict[str, Any] = {
        name: np.repeat([arm[i] for arm in arms], items)
        for i, name in enumerate(("task", "student", "teacher", "seed"))
    }
    columns |= {"item": np.tile(np.arange(items), len(arms)), "correct": rng.integers(0, 2, items * len(arms))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.parquet"
        pq.write_table(pa.table(columns), path)
        started = time.perf_counter()
        command = [sys.executable, str(ROOT / "jobs" / "report.py"), "--results", str(path), "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    print(f"{len(arms) * items:,} rows: {seconds:.1f} s", flush=True)
    return _goal(seconds, f"<= {goal:g}", seconds <= goal)


if __name__ == "__main__":
    main()
