"""Mistakes are named with their field and their mend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.experiment import Batch, Experiment, ExperimentError, load

Make = Callable[..., Experiment]

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"taks": []}, r"taks: unknown field; did you mean 'tasks'\?"),
    ({"sft": {"lerning_rate": 1}}, r"sft\.lerning_rate: unknown field; did you mean 'learning_rate'\?"),
    ({"sft": {"learning_rate": -1}}, r"sft\.learning_rate: .*greater than 0.*-1"),
    ({"sft": {"batch": "2by1"}}, r"sft\.batch: '2by1' is not <per-device batch>x<accumulation>"),
    ({"sft": {"batch": "0x1"}}, r"sft\.batch\.per_device"),
    ({"judge": None}, "judge: is missing"),
    ({"tasks": []}, "tasks"),
    ({"tasks": ["tiny/dyck_languages"] * 2}, "tasks: 'tiny/dyck_languages' occurs twice"),
    (
        {"mixtures": {"mix": {"small": 0.8, "large": 0.3}}},
        r"mixtures\.mix: shares must be positive and sum to 1, not 1\.1",
    ),
    ({"mixtures": {"mix": {"small": 1.2, "large": -0.2}}}, r"mixtures\.mix: shares must be positive"),
    ({"mixtures": {"mix": {"smal": 1.0}}}, r"mixtures\.mix: unknown teacher 'smal'; did you mean 'small'\?"),
    ({"selection": {"items": 61}}, r"selection\.items: 61 is more than split\.train \(60\)"),
    ({"judge": {"model": "tiny-teacher-small"}}, r"judge\.model: 'tiny-teacher-small' is also under test"),
    ({"axes": {"sft.lerning_rate": [1]}}, r"axes: 'sft\.lerning_rate' names no field; did you mean 'learning_rate'\?"),
    ({"axes": {"sft.batch.size": [1]}}, r"axes: 'sft\.batch\.size' names no field"),
    ({"axes": {"judge.model": ["x"]}}, r"axes: 'judge\.model' is not a field of sft"),
    ({"axes": {"sft.batch": []}}, r"axes: 'sft\.batch' has no values"),
    ({"axes": {"sft.epochs": [0]}}, r"axes\.epochs"),
    ({"axes": {"sft.batch": ["2x1", "2x1"]}}, r"axes\.sft\.batch: '2x1' occurs twice"),
    (
        {
            "comparisons": [
                {"name": "c", "left": {"mixture": "mix", "batch": "9x9"}, "right": {"mixture": "mix", "batch": "2x1"}}
            ]
        },
        r"comparisons\.c\.left: mix at 9x9 is not in the grid",
    ),
    ({"name": "../x"}, "name"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_mistakes_are_named(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message) as error:
        make(**changes)
    assert "\n" not in str(error.value)


def test_every_mistake_is_told_at_once(make: Make) -> None:
    with pytest.raises(ExperimentError, match=r"split\.train.*; sft\.epochs"):
        make(sft={"epochs": 0}, split={"train": 0, "test": 1})


def test_the_grid_is_the_full_product(make: Make) -> None:
    grid = make(axes={"sft.batch": ["2x1", "5x4"], "sft.seed": [1, 2, 3]}).grid()
    assert [(str(sft.batch), sft.seed) for sft in grid] == [(b, s) for b in ("2x1", "5x4") for s in (1, 2, 3)]
    assert {sft.workers for sft in grid} == {2}


def test_parts_of_the_batch_are_axes_too(make: Make) -> None:
    grid = make(axes={"sft.batch.per_device": [1, 2], "sft.batch.accumulation": [4]}).grid()
    assert [str(sft.batch) for sft in grid] == ["1x4", "2x4"]


def test_overrides_are_yaml_and_reach_nested_fields(tmp_path: Path, make: Make) -> None:
    make()
    path = str(tmp_path / "experiment.yaml")
    experiment, text = load(path, ["sft.batch=3x2", "axes={}", "split.test=7"])
    assert str(experiment.sft.batch) == "3x2"
    assert experiment.split.test == 7
    assert "3x2" in text
    with pytest.raises(ExperimentError, match="write FIELD=VALUE"):
        load(path, ["sft.batch"])
    with pytest.raises(ExperimentError, match=r"sft\.bath: unknown field"):
        load(path, ["sft.bath=1"])
    with pytest.raises(ExperimentError, match="has no fields"):
        load(path, ["name.x=1"])


def test_scientific_notation_is_a_number_with_and_without_a_dot(make: Make) -> None:
    # PyYAML reads 1e-5 as text; the typed field does not.
    assert make(sft={"learning_rate": "1e-5"}).sft.learning_rate == 1e-5


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c",
        "- 1",
        "",
        "name: \xff".encode("latin-1").decode("latin-1"),
        "a: &x [*x]",
        "!!python/object:os.system {}",
    ],
)
def test_what_is_no_experiment_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ExperimentError) as error:
        load(str(path))
    assert "\n" not in str(error.value)


def test_a_key_written_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: a\nname: b\n")
    with pytest.raises(ExperimentError, match="'name' is written twice"):
        load(str(path))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_batch_shorthand_round_trips(per_device: int, accumulation: int) -> None:
    batch = Batch(per_device=per_device, accumulation=accumulation)
    assert Batch.model_validate(str(batch)) == batch


@given(st.text(max_size=60))
def test_any_text_loads_or_is_refused(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        with pytest.raises(ExperimentError):
            load(file.name)
