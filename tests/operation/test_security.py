"""One real run, watched: what listens, what is counted, and where a planted secret turns up; and hostile input."""

from __future__ import annotations

import io
import re
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.experiment import load
from capgap_ray.mistakes import ExperimentError
from capgap_ray.records import Completion, Example, Score
from capgap_ray.results_file import read as read_results
from capgap_ray.rows import from_row
from capgap_ray.score import main as score_main
from tests.watching import SECRET, Watched

ROOT = Path(__file__).parents[2]
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def test_nothing_listens_beyond_this_machine(watched: Watched) -> None:
    assert len(watched.listened) > 5, "Ray's processes were seen"
    beyond = {place: who for place, who in watched.listened.items() if place.split()[0] not in LOOPBACK}
    assert beyond == {}


def test_a_planted_secret_is_nowhere(watched: Watched) -> None:
    assert SECRET not in watched.output
    assert SECRET not in watched.metrics
    files = [path for folder in (watched.store, watched.logs) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [str(path) for path in files if SECRET.encode() in path.read_bytes()] == []


def test_what_is_counted_is_served(watched: Watched) -> None:
    for name in ("ray_capgap_completions_total", "ray_capgap_completion_tokens_total"):
        found = re.findall(rf'^{name}{{.*model="([^"]+)".*}} ([0-9.]+)$', watched.metrics, re.MULTILINE)
        assert {model for model, _ in found} >= {"tiny-teacher-small", "tiny-student-0.15m"}, "models, not steps"
        assert all(float(value) > 0 for _, value in found)


def test_no_progress_line_where_nobody_watches(watched: Watched) -> None:
    assert "\r" not in watched.output
    assert "\x1b" not in watched.output


# --- hostile input ------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
TINY: dict[str, Any] = yaml.safe_load((ROOT / "jobs/experiments/tiny.yaml").read_text())


def _one_line_or_fine(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "experiment.yaml"
        path.write_bytes(text)
        try:
            load(str(path), [])
        except ExperimentError as error:
            assert str(error)
        assert [each.name for each in Path(folder).iterdir()] == ["experiment.yaml"]


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(TINY)), VALUES)
def test_whatever_a_field_holds_the_loader_answers_in_its_own_words(field: str, value: Any) -> None:
    try:
        text = yaml.safe_dump({**TINY, field: value}, allow_unicode=True).encode()
    except (yaml.YAMLError, UnicodeEncodeError):
        return
    _one_line_or_fine(text)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_the_file_holds_the_loader_answers_in_its_own_words(text: bytes) -> None:
    _one_line_or_fine(text)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "name: !!python/name:os.system",
        "a: &a [*a]",
        "name: {{}}",
        "\t- x",
        "- 1\n- 2",
        "null",
    ],
)
def test_yaml_that_wants_more_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yaml").write_text(text)
    with pytest.raises(ExperimentError):
        load("experiment.yaml", [])
    assert [each.name for each in tmp_path.iterdir()] == ["experiment.yaml"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "", "a\x00", "é", "\u202ename", "a b", "-\n"])
def test_names_that_would_leave_the_store_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({**TINY, "name": name}))
    with pytest.raises(ExperimentError, match="name"):
        load(str(path), [])


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([Completion, Example, Score]), st.dictionaries(st.text(max_size=12), VALUES, max_size=6))
def test_the_record_decoder_refuses_in_its_own_words(kind: type, row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_row(kind, row)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([".csv", ".jsonl", ".parquet"]), st.binary(max_size=200))
def test_the_results_loader_refuses_in_its_own_words(ending: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"results{ending}"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"."):
            read_results(str(path))
        assert len(list(Path(folder).iterdir())) == 1


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=120) | st.dictionaries(st.sampled_from(["gold", "text", "answer"]), VALUES).map(repr))
def test_the_scorers_command_line_shows_no_traceback(line: bytes | str) -> None:
    data = line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        patch.setattr(sys, "argv", ["score", "--kind", "math"])
        try:
            score_main()
        except SystemExit as end:
            assert end.code in (0, 1, 2)
    assert "Traceback" not in errors.getvalue()
