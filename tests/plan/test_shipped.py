"""The experiments that ship: each expands without network, GPU or weights, with the papers' hyper-parameters."""

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from capgap_ray.catalog.models import EMBEDDED, MODELS
from capgap_ray.experiment import Experiment, Point, load
from capgap_ray.forecast import forecast
from capgap_ray.plan import Plan, plan, resolve_models

FOLDER = Path(__file__).parents[2] / "jobs" / "experiments"
README = (FOLDER.parents[1] / "README.md").read_text()
TABLE_1 = {  # capacity-gap paper, Table 1; the ancestor's MATH_short_CoT.yaml and MATH_long_CoT.yaml
    "method": "full",
    "learning_rate": 1e-5,
    "schedule": "cosine",
    "warmup_ratio": 0.0,
    "epochs": 2,
    "batch": "2x1",
    "workers": 4,
    "cutoff_tokens": 8192,
    "packing": "none",
    "precision": "bfloat16",
    "weight_decay": 0.0,
    "clip": 1.0,
    "seed": 42,
}
TABLE_2 = {**TABLE_1, "method": "lora", "learning_rate": 1e-4, "warmup_ratio": 0.03, "batch": "1x1"}
ANCESTOR_MIX = {**TABLE_1, "batch": "5x4", "cutoff_tokens": 4096, "packing": "neat"}  # MATH_mix.yaml
STUDENTS = ["qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-3b", "qwen2.5-7b"]
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def shipped(name: str) -> Experiment:
    return load(str(FOLDER / f"{name}.yaml"))[0]


def planned(name: str, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(FOLDER.parents[1])
    experiment = shipped(name)
    return plan(experiment, resolve_models(experiment))


def differs(point: Point, table: dict[str, Any]) -> list[str]:
    return [field for field, value in table.items() if str(getattr(point.sft, field)) != str(value)]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_expands_without_network_or_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(name, monkeypatch)
    assert made.cells
    assert made.experiment.name == name.replace("_", "-") or name == "own_task"
    if name != "own_task":
        assert all(model in MODELS for model in made.models)
    assert len({(cell.student.name, cell.arm) for cell in made.cells}) == len(made.cells)
    for cell in made.cells:
        assert all((cell.student.name, task) in made.baselines for task in made.tasks)


def test_the_readmes_own_experiment_loads_fits_and_compares_the_teachers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a newcomer copies, on the GPU that it names."""
    tree = yaml.safe_load((FOLDER / "tiny.yaml").read_text())
    tree |= yaml.safe_load(README.split("## Your own models and tasks")[1].split("```yaml\n")[1].split("```")[0])
    tree["models"]["mine"]["source"] = str(EMBEDDED / "tiny-student-0.5m")
    monkeypatch.chdir(tmp_path)
    Path("my_items.jsonl").write_text("".join(f'{{"question": "{n} + 1", "answer": "{n + 1}"}}\n' for n in range(9)))
    Path("mine.yaml").write_text(yaml.safe_dump(tree))
    experiment = load("mine.yaml")[0]
    told = forecast([plan(experiment, resolve_models(experiment))], lambda step: None, selected=False)
    assert told.fits
    assert all(fit.fits for fit in told.fits), told.fits
    assert not told.lints
    assert experiment.axes == {"filter.size": (None, "smallest")}


@pytest.mark.parametrize(
    ("start", "cells"),
    [
        ("axes: {sft.batch", 2 * 3 * 8),
        ("points:", 2 * (2 * 2 + 2 * 2)),  # each pair of cells with a control arm of equal epochs and one of updates
        ("development:", 2 * 3),
    ],
)
def test_the_readmes_grids_are_ones(start: str, cells: int, tmp_path: Path) -> None:
    """In the place of what the experiment has that they are put into."""
    blocks = [each.split("```")[0] for each in README.split("```yaml\n")[1:]]
    (block,) = (each for each in blocks if each.startswith(start))
    tree = yaml.safe_load((FOLDER / "tiny.yaml").read_text())
    if start == "development:":
        tree["axes"] = {}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(tree | {"comparisons": []} | yaml.safe_load(block)))
    experiment = load(str(tmp_path / "own.yaml"))[0]
    assert len(plan(experiment, resolve_models(experiment)).cells) == cells


def test_the_readmes_fields_are_fields() -> None:
    """Of the code in its sentences all that sets a field, but for values that are a letter in a number's place."""
    checked = set()
    for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", README, flags=re.S)):
        name, colon, value = " ".join(span.split()).partition(": ")
        first, *path = name.split(".")
        if not colon or first not in Experiment.model_fields or re.fullmatch("[a-zA-Z]", value):
            continue
        several = first == "filter" and value.startswith("[")  # an axis
        for each in yaml.safe_load(value) if several else [yaml.safe_load(value)]:
            tree = functools.reduce(lambda below, key: {key: below}, reversed(path), each)
            TypeAdapter(Experiment.model_fields[first].annotation).validate_python(tree)
        checked.add(name)
    assert {"rationales", "models", "filter.size", "resources.grows_to", "split.train_from"} <= checked


def test_all_the_named_ones_are_there() -> None:
    assert {
        *("tiny", "bbh_small_large", "bbh_short_long", "bbh_gemma", "bbh_cross_filtered", "math_short_long"),
        *("math_small_large", "mix_batch_alignment", "own_task"),
    } <= set(SHIPPED)


@pytest.mark.parametrize(
    ("name", "teachers"),
    [
        ("bbh_small_large", ["qwen2.5-14b", "qwen2.5-72b"]),
        ("bbh_short_long", ["qwen2.5-32b", "qwq-32b-preview"]),
        ("bbh_gemma", ["gemma-2-9b", "gemma-2-27b"]),
        ("bbh_cross_filtered", ["qwen2.5-14b", "qwen2.5-72b"]),
    ],
)
def test_the_papers_revised_protocol(name: str, teachers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(name, monkeypatch)
    experiment = made.experiment
    assert list(experiment.teachers.values()) == teachers
    assert list(experiment.students) == STUDENTS
    assert not experiment.allow_larger_student  # pitfall 3
    assert experiment.selection.gap_points == 30
    assert experiment.sampling.temperature == 0
    assert len(experiment.task_names()) == 27
    sizes = {made.sizes(task) for task in made.tasks}
    assert (150, 100) in sizes
    assert made.sizes("bbh/penguins_in_a_table") == (87, 59)
    assert all(experiment.shots(task) == 3 for task in experiment.task_names())
    assert all(differs(point, TABLE_1) == [] for point in experiment.grid())
    own = {point.filter.keep for point in experiment.grid()}
    assert own == ({"own", "intersection"} if name == "bbh_cross_filtered" else {"own"})  # pitfall 2


@pytest.mark.parametrize(
    ("name", "singles", "teachers"),
    [
        ("math_short_long", ["short", "long"], ["qwen2.5-32b", "qwq-32b-preview"]),
        ("math_small_large", ["small", "large"], ["qwen2.5-3b", "qwen2.5-72b"]),
    ],
)
def test_the_ancestors_settings(
    name: str, singles: list[str], teachers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned(name, monkeypatch)
    experiment = made.experiment
    assert list(experiment.teachers.values()) == teachers
    assert list(experiment.students) == [*STUDENTS, "qwen2.5-14b", "qwen2.5-32b"]
    assert sum(made.sizes(task)[0] for task in made.tasks) == 7500
    assert sum(made.sizes(task)[1] for task in made.trained) == 5000
    others = {task: made.sizes(task) for task in made.tasks if task not in made.trained}
    assert others == {"gsm8k": (0, 1319), "amc23": (0, 40), "aime24": (0, 30)}  # Table 4
    assert experiment.mixtures["mix"] == {singles[0]: 0.8, singles[1]: 0.2}
    for point in experiment.grid():
        large = point.student in ("qwen2.5-14b", "qwen2.5-32b")
        table = ANCESTOR_MIX if point.mixture == "mix" else TABLE_2 if large else TABLE_1
        assert differs(point, table) == [], (point.student, point.mixture)
        assert (point.sft.lora.rank, point.sft.lora.alpha, point.sft.lora.dropout) == (8, 16, 0)
        # LLaMA-Factory drops rows that are too long for a pack, and cuts them otherwise.
        assert point.sft.overlength == ("drop" if point.mixture == "mix" else "cut")
        assert (point.sft.loss, point.sft.system, point.sft.loss_on_final_newline) == ("reference", "ancestor", True)
    # The matched controls: the single teacher's data under the mixture's whole recipe.
    for single in singles:
        controls = [c for c in made.cells if c.matched and c.mixture == single and c.student.name == "qwen2.5-3b"]
        assert [c.matched[0] for c in controls if c.matched] == ["epochs", "updates"]
        assert all(str(c.sft.batch) == "5x4" and c.sft.packing == "neat" for c in controls)


def test_appendix_b(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned("mix_batch_alignment", monkeypatch)
    assert [model.name for model in made.students()] == ["qwen2.5-7b"]
    assert made.sizes("math500") == (0, 500)
    assert "math500" not in made.trained
    per_update = {cell.arm: cell.sft.batch.per_device * cell.sft.batch.accumulation * 4 for cell in made.cells}
    assert per_update == {
        f"{mixture} / {batch}": samples
        for mixture in ("small", "large", "mix")
        for batch, samples in (("2x1", 8), ("5x4", 80))
    }
    for point in made.experiment.grid():
        table = TABLE_1 if str(point.sft.batch) == "2x1" else {**TABLE_1, "batch": "5x4"}
        assert differs(point, table) == []
        assert point.sft.checkpoints is not None
    # "large at 5x4" is the control of "mix at 5x4" and is no training of its own.
    control = next(
        pair for pair in made.pairs if pair.name == "mix against large, as in the ancestor work, equal epochs"
    )
    assert (control.left.arm, control.right.arm) == ("large / 5x4", "mix / 5x4")
