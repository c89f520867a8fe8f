"""python jobs/report.py --results: what it prints, its exit status, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "jobs" / "report.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tasks, two sizes, two teachers; the small teacher is better for the small student."""
    rng = np.random.default_rng(0)
    lines = ["task,student,teacher,item,correct,recipe"]
    for task in ("dyck", "date"):
        difficulty = rng.uniform(-0.2, 0.2, 150)
        for student, lead in (("0.5B", 0.25), ("7B", 0.0)):
            for teacher, p in (("", 0.3), ("small", 0.5 + lead), ("large", 0.5)):
                right = rng.random(150) < p + difficulty
                lines += [f"{task},{student},{teacher},{i},{int(r)}," for i, r in enumerate(right)]
    path = tmp_path_factory.mktemp("results") / "r.csv"
    path.write_text("\n".join(lines))
    return str(path)


def test_text_starts_with_the_recommendation(results: str) -> None:
    done = report("--results", results, "--rule", "G1")
    assert done.returncode == 0
    assert done.stdout.startswith("Recommendation (1,800 rows")
    assert "Distil 0.5B from small." in done.stdout
    assert "expected by chance under equal teachers" in done.stdout
    assert "Rule G1 (a(smallest) > 0 and a(largest) < a(smallest)); it ignores noise" in done.stdout


def test_json_is_versioned(results: str) -> None:
    found = json.loads(report("--results", results, "--json").stdout)
    assert (found["schema"], found["version"]) == ("capgap-ray/findings", 1)
    pooled = next(a for a in found["advantages"] if (a["task"], a["student"]) == ("all", "0.5B"))
    assert pooled["better"] == "small"
    assert pooled["comparison"]["ci_low"] > 0
    assert next(g for g in found["capacity_gap"] if g["task"] == "all")["status"] == "pattern"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task,student,teacher,item\n", "column 'correct' is missing"),
        ("task,student,teacher,item,correct\na,s,,1,1\na,s,x,2,1\n", "have no common item"),
    ],
)
def test_nothing_to_say_is_exit_status_2(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    done = report("--results", str(tmp_path / "r.csv"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_an_unknown_rule_is_named(results: str) -> None:
    done = report("--results", results, "--rule", "Z1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "rule 'Z1' is unknown; known: E0" in done.stderr


def test_heavy_packages_stay_out(results: str) -> None:
    code = (
        f"import sys; sys.argv = ['report.py', '--results', {results!r}]; sys.path[:0] = [{str(ROOT / 'jobs')!r}];"
        "import report; report.main(); sys.exit(bool({'ray', 'torch', 'vllm', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True).returncode == 0


def test_a_page_is_written_where_asked(results: str, tmp_path: Path) -> None:
    done = report("--results", results, "--page", str(tmp_path / "page"))
    assert done.returncode == 0 and done.stderr == f"page: {tmp_path / 'page' / 'index.html'}\n"
    assert "Distil 0.5B from small." in (tmp_path / "page" / "index.html").read_text()
    (tmp_path / "file").touch()
    done = report("--results", results, "--page", str(tmp_path / "file"))
    assert done.returncode == 2 and "give another folder" in done.stderr


def test_a_page_of_an_arm_that_is_always_right(tmp_path: Path) -> None:
    rows = [f"t,0.5B,{teacher},{i},{int(i < 40 or teacher != '')}" for teacher in ("", "x") for i in range(50)]
    (tmp_path / "r.csv").write_text("\n".join(["task,student,teacher,item,correct", *rows]))
    assert report("--results", str(tmp_path / "r.csv"), "--page", str(tmp_path / "page")).returncode == 0


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07 \x1b[2J0.5B"
    rows = [f"t,{name},{teacher},{i},1" for teacher in ("", "x") for i in range(9)]
    (tmp_path / "r.csv").write_text("\n".join(["task,student,teacher,item,correct", *rows]))
    done = report("--results", str(tmp_path / "r.csv"))
    assert done.returncode == 0 and "0.5B" in done.stdout
    (tmp_path / "r.csv").write_text("\n".join(["task,student,teacher,item,correct", *rows, *rows]))
    refused = report("--results", str(tmp_path / "r.csv"))
    assert refused.returncode == 2
    assert "\x1b" not in done.stdout + refused.stderr and "\x07" not in done.stdout + refused.stderr
