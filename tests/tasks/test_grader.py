"""A task's own Python metric runs in a process that is killed where it hangs, and says what went wrong."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from capgap_ray.catalog.tasks import find_task
from capgap_ray.core.task_spec import TaskError
from capgap_ray.tasks import Task
from capgap_ray.tasks.files import tables
from capgap_ray.tasks.grader import GRADER_SECONDS

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


LINE = '{"question": "q%d", "gold": "a"}'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A task of seven items with a metric in code."""
    folder = tmp_path_factory.mktemp("task")
    (folder / "code.py").write_text(CODE)
    (folder / "own.yaml").write_text(TASK)
    (folder / "items.jsonl").write_text("\n".join(LINE % number for number in range(7)))
    spec = find_task(str(folder / "own.yaml"))
    return Task(spec, found=tables(spec, str(folder / "items.jsonl")))


def test_answers_that_hang_eat_or_raise_score_0(own: Task, caplog: pytest.LogCaptureFixture) -> None:
    answers = ["a", "hang", "b", "eat", "raise", "a\x00", "a"]
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert own.strict(own._ids, answers) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert time.monotonic() - begun < GRADER_SECONDS + 30  # 30: importing lm-eval on a busy machine
    assert "failed on 3 of 7 answers, last with KeyError: 'raise'" in caplog.text


def test_a_metric_that_always_fails_is_an_error(own: Task) -> None:
    with pytest.raises(TaskError, match=r"failed on 2 of 2 answers, last with KeyError: 'raise'"):
        own.strict(own._ids[:2], ["raise"] * 2)


def test_the_sample_log_is_bounded_too(own: Task) -> None:
    requests = own.requests(own.every()[:3], 0)
    long = "b" * 100_000  # more than one read of a pipe
    lines = own.sample_log(requests, [["a", "b"], ["hang"], [long]], {})
    assert [(line["metrics"], line.get("right"), line["filtered_resps"]) for line in lines] == [
        (["right", "other"], 1.0, ["a"]),
        ([], None, [""]),
        (["right", "other"], 0.0, [long]),
    ]


def test_code_that_cannot_be_imported_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import no_such_package\n")
    (tmp_path / "own.yaml").write_text(TASK)
    with pytest.raises(TaskError, match=r"own\.yaml cannot be imported: No module named 'no_such_package'") as error:
        Task(find_task(str(tmp_path / "own.yaml")))
    assert "\n" not in str(error.value)


PATTERN = """
task: own
dataset_path: own/items
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{gold}}"
filter_list: [{name: x, filter: [{function: regex, regex_pattern: 'is:? *(.+?) *$'}, {function: take_first}]}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


def test_a_pattern_that_takes_quadratic_time_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "own.yaml").write_text(PATTERN)
    (tmp_path / "items.jsonl").write_text("\n".join(LINE % number for number in range(3)))
    spec = find_task(str(tmp_path / "own.yaml"))
    task = Task(spec, found=tables(spec, str(tmp_path / "items.jsonl")))
    slow, long = "is a" + " " * 200_000 + "b", "word " * 10_000 + "is a"
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert task.strict(task._ids, ["is a", slow, long]) == [1.0, 0.0, 1.0]
    assert time.monotonic() - begun < GRADER_SECONDS + 30
    assert "failed on 1 of 2 answers, last with over the limit of time" in caplog.text
