"""A search with the real engines, shrunken, its driver killed on the way: what is tried, chosen and told."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ray.shrunken import ROOT, command
from tests.watching import Watched

TRIALS = 2
SEARCH = [
    "name=search",
    "development={items: 20, early_stop: {after: 0.5}}",
    f"search={{searcher: optuna, scheduler: asha, trials: {TRIALS}}}",
    "axes={sft.batch: [2x1, 3x1], sft.learning_rate: [1.0e-3, 3.0e-3]}",
    "sft.epochs=1",
    "sft.checkpoints={every: 6}",
]


HOPELESS = [
    "name=stopped",
    "students=[tiny-student-0.5m]",  # half right untouched
    "development={items: 40, early_stop: {after: 0.5}}",
    "axes={sft.batch: [1x1], sft.learning_rate: [1.0e-4, 0.01]}",
    "sft.epochs=60",
    "sft.checkpoints={every: 20}",
]


def searching(store: Path, overrides: Sequence[str] = SEARCH) -> list[str]:
    return [*command(store), *(word for override in overrides for word in ("--set", override))]


def trained(store: Path) -> dict[str, Any]:
    """Train step's key -> attempt."""
    records = [json.loads(path.read_text()) for path in store.glob("train/*/record.json")]
    return {record["key"]: record["attempt"] for record in records}


@pytest.mark.skipif("CAPGAP_DRILLS" not in os.environ, reason="takes two minutes: CAPGAP_DRILLS=1 runs it")
def test_a_search_whose_driver_is_killed_tries_nothing_twice_and_reports_the_best(
    watched: Watched, tmp_path: Path
) -> None:
    shutil.copytree(watched.store, tmp_path, dirs_exist_ok=True)  # with the rationales that the search needs, too
    others, judged = trained(tmp_path), len(list(tmp_path.glob("judge/*")))
    with subprocess.Popen(searching(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        seen = []
        for line in job.stdout:
            seen.append(line)
            if line.startswith("  trial"):
                break
        assert "on development items" in seen[-1], seen
        os.kill(job.pid, signal.SIGKILL)
    before = trained(tmp_path)
    done = subprocess.run(searching(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr

    assert before.items() <= trained(tmp_path).items(), "what was trained is not trained again"
    after = trained(tmp_path).keys() - others.keys()
    entries = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("search/*/trials/*.json")}
    assert len(entries) == TRIALS, "what the killed driver tried counts"
    chosen_from = {key for key, entry in entries.items() if entry["outcome"] == "trained"}
    assert chosen_from <= after, "one that was stopped just as it ended is trained, and not chosen"
    assert {entry["outcome"] for entry in entries.values()} <= {"trained", "stopped"}

    results = json.loads((tmp_path / "reports/search/results.json").read_text())
    (search,) = results["searches"]
    assert (search["cells"], search["tried"]) == (4, TRIALS)
    best = max(entries[key]["accuracy"] for key in chosen_from)
    assert search["development"] == [best]
    (arm,) = {row["arm"] for row in results["accuracies"] if row["role"] == "distilled"}
    assert [arm] == [f"tiny-student-0.15m / {each}" for each in search["kept"]]
    assert len(list(tmp_path.glob("judge/*"))) == judged + 1, "of what was tried, test items for the best only"
    page = (tmp_path / "reports/search/index.html").read_text()
    assert "How the reported cells were chosen" in page
    begun = len(list(tmp_path.rglob("record.json")))
    again = subprocess.run(searching(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "ray " not in again.stdout
    assert len(list(tmp_path.rglob("record.json"))) == begun


@pytest.mark.skipif("CAPGAP_DRILLS" not in os.environ, reason="takes two minutes: CAPGAP_DRILLS=1 runs it")
def test_a_training_that_forgets_what_the_student_could_is_given_up_on_the_way(
    watched: Watched, tmp_path: Path
) -> None:
    shutil.copytree(watched.store, tmp_path, dirs_exist_ok=True)
    others = trained(tmp_path)
    done = subprocess.run(searching(tmp_path, HOPELESS), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"trial .*learning rate 0.01, .*: stopped", done.stdout), done.stdout
    assert len(trained(tmp_path).keys() - others.keys()) == 1, "the other one went to its end"
    results = json.loads((tmp_path / "reports/stopped/results.json").read_text())
    (told,) = results["given_up"]
    assert told["updates"] / 2 <= told["update"] < told["updates"]
    assert told["high_points"] < 0
    assert all("learning rate 0.01" not in row["arm"] for row in results["accuracies"]), "it is no result"
