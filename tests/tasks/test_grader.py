"""A task's own Python metric runs in a process that is killed where it hangs, and says what went wrong."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from capgap_ray.catalog.tasks import find_task
from capgap_ray.core.task_spec import TaskError
from capgap_ray.tasks import Task
from capgap_ray.tasks.files import tables
from capgap_ray.tasks.grader import GRADER_SECONDS, graded

pytest.importorskip("lm_eval")

CODE = """
def metric(doc, results):
    print("no reply")
    if results[0] == "hang":
        while True:
            pass
    if results[0] == "eat":
        return {"right": len("x" * 10**10)}
    if results[0] == "raise":
        raise KeyError(results[0])
    return {"right": results[0] == doc["gold"], "other": 7}
"""


TASK = """
task: own
dataset_path: own/items
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{gold}}"
process_results: !function code.metric
metric_list: [{metric: right, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture(scope="module")
def yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    (folder / "code.py").write_text(CODE)
    (folder / "own.yaml").write_text("task: own\nprocess_results: !function code.metric\n")
    return folder / "own.yaml"


def test_answers_that_hang_eat_or_raise_score_0(yaml: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers = ["a", "hang", "b", "eat", "raise", "a\x00", "a"]
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert graded(yaml, [{"gold": "a"}] * 7, answers) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert time.monotonic() - begun < GRADER_SECONDS + 30  # 30: importing lm-eval on a busy machine
    assert "failed on 3 of 7 answers, last with KeyError: 'raise'" in caplog.text


def test_a_metric_that_always_fails_is_an_error(yaml: Path) -> None:
    with pytest.raises(RuntimeError, match=r"failed on 2 of 2 answers, last with KeyError: 'raise'"):
        graded(yaml, [{"gold": "a"}] * 2, ["raise"] * 2)


def test_code_that_cannot_be_imported_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import no_such_package\n")
    (tmp_path / "own.yaml").write_text(TASK)
    with pytest.raises(TaskError, match=r"own\.yaml cannot be imported: No module named 'no_such_package'") as error:
        Task(find_task(str(tmp_path / "own.yaml")))
    assert "\n" not in str(error.value)


def test_strict_of_a_persons_own_metric_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "own.yaml").write_text(TASK)
    items = [{"question": "q1", "gold": "a"}, {"question": "q2", "gold": "b"}]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    spec = find_task(str(tmp_path / "own.yaml"))
    task = Task(spec, found=tables(spec, str(tmp_path / "items.jsonl")))
    assert task.strict(task._ids, ["a", "hang"]) == [1.0, 0.0]
