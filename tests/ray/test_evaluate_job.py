"""`jobs/evaluate.py --model`, with a real engine: accuracies, lm-eval's sample logs, and nothing done twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def evaluate(*arguments: str) -> str:
    command = [sys.executable, "jobs/evaluate.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_model_is_scored_and_its_samples_logged(tmp_path: Path) -> None:
    arguments = [
        *("--model", "tiny-teacher-small", "tiny-student-0.15m", "--tasks", "tiny/dyck_languages:2,tiny/word_sorting"),
        *("--limit", "20", "--store", str(tmp_path / "store"), "--set", "engine.dtype=float32"),
        *("--set", "sampling.max_tokens=128", "--set", "sampling.temperature=0.5", "--set", "resources.engines=1"),
    ]
    first = evaluate(*arguments).splitlines()
    accuracies = [line for line in first if line.startswith("accuracy")]
    assert len(accuracies) == 4
    assert sum("of 40" in line for line in accuracies) == 2
    assert sum("2 per item: avg" in line for line in first) == 2

    begun = time.monotonic()
    logs = tmp_path / "logs"
    again = evaluate(*arguments, "--log-samples", str(logs)).splitlines()
    assert time.monotonic() - begun < 60, "no engine is started"
    assert [line for line in again if line.startswith("accuracy")] == accuracies
    files = sorted(file.relative_to(logs) for file in logs.rglob("*.jsonl"))
    assert len(files) == 4
    (file,) = (logs / "tiny-teacher-small").glob("samples_tiny_dyck_languages_*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == list(range(20))
    assert {len(row["resps"][0]) for row in rows} == {2}
    for row in rows:
        assert {"doc", "target", "arguments", "filtered_resps", "filter", "doc_hash", "prompt_hash"} < set(row)
        assert all(name in row for name in row["metrics"])
        assert row["arguments"]["gen_args_0"]["arg_1"]["until"] == ["\n\nQ:"]
