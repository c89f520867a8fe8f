"""A search with the real engines, shrunken, its driver killed on the way: what is tried, chosen and told."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TRIALS = 2
SHRUNKEN = [
    "tasks=[tiny/dyck_languages]",
    "split={train: 120, test: 30}",
    "selection={items: 30, gap_points: -100}",
    "development={items: 20, early_stop: {after: 0.5}}",
    "axes={sft.batch: [2x1, 3x1], sft.learning_rate: [1.0e-3, 3.0e-3]}",
    "sft.checkpoints={every: 6}",
    f"search.trials={TRIALS}",
]


def command(store: Path) -> list[str]:
    overrides = [word for override in SHRUNKEN for word in ("--set", override)]
    return [sys.executable, "jobs/grid.py", "jobs/experiments/tiny_search.yaml", "--store", str(store), *overrides]


def trained(store: Path) -> dict[str, Any]:
    """Train step's key -> attempt."""
    records = [json.loads(path.read_text()) for path in store.glob("train/*/record.json")]
    return {record["key"]: record["attempt"] for record in records}


def test_a_search_whose_driver_is_killed_tries_nothing_twice_and_reports_the_best(tmp_path: Path) -> None:
    with subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        seen = []
        for line in job.stdout:
            seen.append(line)
            if line.startswith("  trial"):
                break
        assert "on development items" in seen[-1], seen
        os.kill(job.pid, signal.SIGKILL)
    before = trained(tmp_path)
    done = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr

    after = trained(tmp_path)
    assert before.items() <= after.items(), "what was trained is not trained again"
    entries = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("search/*/trials/*.json")}
    assert len(entries) == TRIALS, "what the killed driver tried counts"
    chosen_from = {key for key, entry in entries.items() if entry["outcome"] == "trained"}
    assert chosen_from <= set(after), "one that was stopped just as it ended is trained, and not chosen"
    assert {entry["outcome"] for entry in entries.values()} <= {"trained", "stopped"}

    results = json.loads((tmp_path / "reports/tiny-search/results.json").read_text())
    (search,) = results["searches"]
    assert (search["cells"], search["tried"]) == (4, TRIALS)
    best = max(entries[key]["accuracy"] for key in chosen_from)
    assert search["development"] == [best]
    (arm,) = {row["arm"] for row in results["accuracies"] if row["role"] == "distilled"}
    assert [arm] == [f"tiny-student-0.15m / {each}" for each in search["kept"]]
    assert len(list(tmp_path.glob("judge/*"))) == 4, "test items of two teachers, the student and its best cell only"
    page = (tmp_path / "reports/tiny-search/index.html").read_text()
    assert "How the reported cells were chosen" in page
    begun = len(list(tmp_path.rglob("record.json")))
    again = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "ray " not in again.stdout
    assert len(list(tmp_path.rglob("record.json"))) == begun
