"""The ancestor's second step with a real judge: asked once, its verdicts kept, its files written."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_judge_is_asked_once_and_its_files_are_the_ancestors(tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    docs = [("p0", 27.0, "so \\boxed{27}"), ("p1", "5", "so \\boxed{5}"), ("p2", "6", "none")]
    docs.append(("p3", "7", f"so \\boxed{{{'8 + ' * 2000}}}"))  # longer than the judge's context
    rows = [{"doc": {"problem": p, "answer": gold}, "resps": [[text]]} for p, gold, text in docs]
    (samples / "samples_AMC_1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "jobs/parity.py", "--samples", str(samples), "--tasks", "AMC", "--judge", "tiny-judge"]
    command += ["--store", str(tmp_path / "store"), "--max-model-len", "1024"]
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "judge       2 rejected answers" in done.stdout
        assert "judge       1 of them got no reply and no verdict; raise --max-model-len 1024" in done.stdout
    (reply,) = (tmp_path / "store" / "ask").rglob("replies.parquet")
    assert reply.stat().st_size
    asked, unasked = json.loads((samples / "problematic_instances_AMC.json").read_text())
    assert asked["llm_check_result_reason"].startswith("LLM check result: ")
    assert unasked["llm_check_result"] is None
    assert json.loads((samples / "summary_results_AMC.json").read_text())["exact_match_accuracy"] == 1 / 4


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "jobs/parity.py",
        "--samples",
        str(tmp_path / "no"),
        "--tasks",
        "A",
        "--judge",
        "tiny-judge",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--samples" in done.stderr
