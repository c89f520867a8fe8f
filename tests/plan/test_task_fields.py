"""Tasks, data, splits and prompts of an experiment: what is refused, and what of them enters an identity."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import benchmark_data
import pytest

from capgap_ray.catalog.tasks import BBH
from capgap_ray.experiment import Experiment
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Plan, plan, resolve_models
from capgap_ray.settings import Split

Make = Callable[..., Experiment]


def planned(experiment: Experiment) -> Plan:
    return plan(experiment, resolve_models(experiment))


def write(path: Path, items: int, **more: Any) -> str:
    rows = [{"question": f"What is {number}?", "answer": number, **more} for number in range(items)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


# --- tasks -----------------------------------------------------------------------------------------------


def test_a_group_stands_for_its_tasks(make: Make) -> None:
    experiment = make(tasks=["bbh", "tiny/dyck_languages"], selection={"items": 20})
    assert experiment.task_names() == (*(f"bbh/{name}" for name in BBH), "tiny/dyck_languages")


def test_samples_per_item(make: Make) -> None:
    experiment = make(tasks=["math:4", "tiny/word_sorting"], sampling={"temperature": 0.7})
    assert [experiment.samples(task) for task in ("math/algebra", "math/precalc", "tiny/word_sorting")] == [4, 4, 1]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"tasks": ["bbh/snarks:0"]}, "tasks: 'bbh/snarks:0': samples per item must be at least 1"),
    ({"tasks": ["bbh/snarks:2"]}, "tasks: bbh/snarks:2 needs sampling.temperature above 0"),
    ({"tasks": ["bbh", "bbh/snarks"]}, "tasks: 'bbh/snarks' occurs twice"),
    ({"data": {"bbh": "x"}}, "data: 'bbh' is no task of this experiment"),
    ({"data": {"tiny/dyck_language": "x"}}, "data: .*did you mean 'tiny/dyck_languages'"),
    ({"parity": "lm-evel"}, "parity: .*'lm-eval'"),
    ({"parity": "lm-eval", "sampling": {"stop": ["x"]}}, "sampling.stop: parity: lm-eval uses each task's own"),
    ({"prompt": {"chat": "turns"}}, "prompt.chat"),
    ({"prompt": {"version": "v5"}}, "prompt.version"),
    ({"split": {"fold": 1}}, "split.fold: belongs to crossfit"),
    ({"split": {"crossfit": 5, "fold": 5}}, "split.fold: 5 is not one of 0 to 4"),
    ({"split": {"crossfit": 5, "train": 10}}, "split.crossfit: cuts every item into folds"),
    ({"split": {"crossfit": 1}}, "split.crossfit: .*greater than or equal to 2"),
    ({"split": {"repeats": 0}}, "split.repeats"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_mistakes_are_named(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message) as error:
        make(**changes)
    assert "\n" not in str(error.value)


UNPLANNABLE: list[tuple[dict[str, Any], str]] = [
    ({"tasks": ["bbh/snark"]}, r"tasks: task 'bbh/snark' is unknown \(nearest: bbh/snarks"),
    ({"tasks": ["math500"], "data": {"math500": "/no/such"}}, "tasks: task math500: data file '/no/such' does not"),
    ({"tasks": ["math500"], "split": {"train_from": "train"}}, "task math500 has no training split"),
    ({"tasks": ["amc23"], "split": {"train": 30, "test": 20}, "selection": {"items": 5}}, "amc23: .*from 40 items"),
    ({"tasks": ["lm-eval/minerva_math_algebra"], "split": {}}, "set split.train and test"),
    ({"tasks": ["amc23"], "split": {"crossfit": 50, "fold": 0}}, "50 folds of 40 items"),
    ({"split": {"repeats": 3}}, "split: stands for 3 splits"),
    ({"prompt": {"shots": 99}}, r"task tiny/dyck_languages: prompt.shots is 99, and it has 3 few-shot examples; set"),
    ({"split": {"crossfit": 4}}, "split: stands for 4 splits"),
]


@pytest.mark.parametrize(("changes", "message"), UNPLANNABLE, ids=[message[:40] for _, message in UNPLANNABLE])
def test_what_cannot_be_planned_is_refused(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        planned(make(**changes))


# --- sizes -----------------------------------------------------------------------------------------------


def test_the_default_split_is_the_papers(make: Make) -> None:
    made = planned(make(tasks=["bbh/snarks", "bbh/navigate", "bbh/penguins_in_a_table"], split={}))
    assert [made.sizes(task) for task in made.tasks] == [(106, 72), (150, 100), (87, 59)]
    # 20 measured items and the rest, all test items, of every task
    stops = {step.params["stop"] for step in made.steps() if step.stage == "complete"}
    assert stops == {20, 106, 150, 87, 72, 100, 59}


def test_selection_measures_no_more_than_there_is(make: Make) -> None:
    made = planned(make(tasks=["amc23"], split={}, selection={"items": 100}))
    assert made.sizes("amc23") == (24, 16)
    assert {scored.complete.params["stop"] for scored in made.measured.values()} == {24}
    assert all(len(slices) == 1 for slices in made.rationales.values())


def test_training_items_from_the_training_split(make: Make) -> None:
    made = planned(make(tasks=["gsm8k"], split={"train_from": "train"}))
    assert made.sizes("gsm8k") == (7473, 1319)


def test_an_own_file_is_counted(make: Make, tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", 50)
    with pytest.raises(
        ExperimentError, match=r"prompt.shots is 3, and it has 0 few-shot examples; set prompt.shots: 0"
    ):
        planned(make(tasks=[path], split={}, prompt={"shots": 3}))
    assert planned(make(tasks=[path], split={})).sizes("own.jsonl") == (30, 20)
    (tmp_path / "own.jsonl").write_text('{"question": "q"}')
    with pytest.raises(ExperimentError, match=r"own.jsonl: row 1: field 'answer' is missing"):
        planned(make(tasks=[path], split={}))


def test_one_experiment_per_split(make: Make) -> None:
    repeats = make(split={"seed": 7, "repeats": 3}).over_splits()
    assert [each.split.seed for each in repeats] == [7, 8, 9]
    folds = make(split={"crossfit": 4}).over_splits()
    assert [planned(each).sizes("tiny/dyck_languages") for each in folds] == [(750, 250)] * 4
    keys = {planned(each).examples["tiny/dyck_languages"].key for each in [*repeats, *folds]}
    assert len(keys) == 7
    assert Split().singles() == [Split()]


# --- identity ----------------------------------------------------------------------------------------------


def examples_key(experiment: Experiment, task: str) -> str:
    return planned(experiment).examples[task].key


def test_what_a_file_holds_is_identity_and_where_it_lies_is_not(make: Make, tmp_path: Path) -> None:
    row = {"problem": "p", "answer": "1"}
    keys = []
    for number, rows in enumerate(([row] * 50, [row] * 50, [row] * 51)):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        split = {"train": 25, "test": 20}
        keys.append(examples_key(make(tasks=["math500"], data={"math500": str(path)}, split=split), "math500"))
    assert keys[0] == keys[1] != keys[2]


def test_what_the_data_files_of_a_yaml_hold_is_identity(make: Make, tmp_path: Path) -> None:
    path, rows = tmp_path / "t.yaml", tmp_path / "rows.jsonl"
    path.write_text(
        "task: t\ntest_split: test\ndataset_path: json\ndoc_to_text: q\ndoc_to_target: a\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path}/rows*.jsonl}}}}\n"
    )
    keys = []
    for answer in ("1", "2", "1"):
        rows.write_text(json.dumps({"q": "q", "a": answer}))
        keys.append(examples_key(make(tasks=[str(path)], split={"train": 25, "test": 20}), str(path)))
    assert keys[0] == keys[2] != keys[1]
    rows.unlink()
    with pytest.raises(ExperimentError, match=r"rows\*.jsonl' of t.yaml does not exist"):
        examples_key(make(tasks=[str(path)], split={"train": 25, "test": 20}), str(path))


def test_an_own_file_is_its_name_and_what_it_holds(make: Make, tmp_path: Path) -> None:
    def keys(folder: str, name: str, items: int) -> set[str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        path = write(tmp_path / folder / name, items)
        return {step.key for step in planned(make(tasks=[path], test_only=[], split={})).steps()}

    first = keys("a", "own.jsonl", 50)
    assert keys("b", "own.jsonl", 50) == first
    edited, renamed = keys("a", "own.jsonl", 51), keys("a", "other.jsonl", 50)
    assert len(edited) == len(renamed) == len(first)
    assert not first & edited
    assert not first & renamed


def test_two_own_files_of_one_name_are_told_apart_by_data_only(make: Make, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    one, other = write(tmp_path / "a" / "own.jsonl", 50), write(tmp_path / "b" / "own.jsonl", 40)
    with pytest.raises(ValueError, match=r"tasks: '.*/a/own.jsonl' and '.*/b/own.jsonl' are both called 'own.jsonl'"):
        make(tasks=[one, other], split={})
    made = planned(make(tasks=[one, "b.jsonl"], data={"b.jsonl": other}, test_only=[one], split={}))
    assert (made.sizes("own.jsonl"), made.sizes("b.jsonl")) == ((0, 50), (24, 16))


@pytest.mark.parametrize("change", [{"shots": 2}, {"version": "v3"}, {"chat": "multi_turn"}, {"chat": "plain"}])
def test_the_prompt_is_identity(make: Make, change: dict[str, Any]) -> None:
    task = "bbh/snarks"
    assert examples_key(make(tasks=[task], split={}), task) != examples_key(
        make(tasks=[task], split={}, prompt=change), task
    )


def test_the_tasks_own_number_of_shots_is_that_number(make: Make) -> None:
    task = "bbh/snarks"
    assert examples_key(make(tasks=[task], split={}), task) == examples_key(
        make(tasks=[task], split={}, prompt={"shots": 3}), task
    )


def test_the_shipped_stop_list_is_used_under_parity_only(make: Make) -> None:
    ours, theirs = (planned(make(tasks=["bbh/snarks"], split={}, parity=each)) for each in (None, "lm-eval"))
    for made, stop in ((ours, {"\n\nQ:"}), (theirs, {"</s>", "Q", "\n\n"})):
        lists = [set(step.params["sampling"]["stop"]) for step in made.steps() if step.stage == "complete"]
        assert lists
        assert all(each == stop for each in lists)
    assert not {"Q", "\n\n"} & set(ours.experiment.stop("bbh/snarks"))
    assert theirs.experiment.stop("bbh/snarks") == ("</s>", "Q", "\n\n")


# --- speed -------------------------------------------------------------------------------------------------


def test_all_of_bbh_is_planned_in_seconds_without_lm_eval(make: Make, tmp_path: Path) -> None:
    make(tasks=["bbh", "math500", "olympiadbench"], split={}, data=_everything())
    code = (
        "import sys, time; begun = time.monotonic()\n"
        "from capgap_ray.experiment import load; from capgap_ray.plan import plan, resolve_models\n"
        f"experiment, _ = load({str(tmp_path / 'experiment.yaml')!r})\n"
        "plan(experiment, resolve_models(experiment))\n"
        "assert not {'lm_eval', 'datasets', 'torch', 'ray'} & set(sys.modules)\n"
        "print(time.monotonic() - begun)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 15  # 3 s is the goal on an idle machine; this is no benchmark


def _everything() -> dict[str, str]:
    folder = benchmark_data.folder()
    return {"bbh": str(folder / "bbh")} | {name: str(folder / f"{name}.jsonl") for name in ("math500", "olympiadbench")}
