"""Mistakes are named with their field and their mend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.catalog.models import EMBEDDED
from capgap_ray.experiment import Experiment, load
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import resolve_models
from capgap_ray.settings import Batch

Make = Callable[..., Experiment]

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"taks": []}, r"taks: unknown field; did you mean 'tasks'\?"),
    ({"sft": {"lerning_rate": 1}}, r"sft\.lerning_rate: unknown field; did you mean 'learning_rate'\?"),
    ({"sft": {"learning_rate": -1}}, r"sft\.learning_rate: .*greater than 0.*-1"),
    ({"sft": {"batch": "2by1"}}, r"sft\.batch: '2by1' is not <per-device batch>x<accumulation>"),
    ({"sft": {"batch": "0x1"}}, r"sft\.batch\.per_device"),
    ({"judge": None}, "judge: is missing"),
    ({"tasks": []}, r"tasks: give at least one \(got \[\]\)"),
    ({"sft": {"lr": 1}}, r"sft\.lr: unknown field; did you mean 'learning_rate'\?"),
    ({"learning_rate": 1}, r"learning_rate: unknown field; did you mean sft\.learning_rate\?"),
    (
        {"engine": {"temperature": 1}},
        r"engine\.temperature: unknown field; did you mean sampling\.temperature or rationales\.temperature\?",
    ),
    ({"sft": {"num_train_epochs": 1}}, r"sft\.num_train_epochs: unknown field; did you mean sft\.epochs\?"),
    ({"engine": {"tensor_parallel_size": 2}}, r"tensor_parallel_size: unknown field; did you mean resources\.parallel"),
    ({"sft": "table3"}, r"sft\.preset: 'table3' is unknown; known: table1"),
    ({"sft": {"checkpoints": {"every": 1, "at": [1]}}}, r"sft\.checkpoints: give either every \(a number\)"),
    ({"filter": {"size": 1.5}}, r"^filter\.size: write a number above 0, smallest or intersection, not 1\.5$"),
    ({"filter": {"pass_rate": [20, 80]}}, r"filter\.pass_rate: write shares of 0 to 1, not \[20\.0, 80\.0\]"),
    (
        {"axes": {"filter.pass_rate": [None, [0.2, 0.8]]}},
        r"filter\.pass_rate: \[0\.2, 0\.8\] keeps nothing of teacher .*, who writes 1 of an item; raise",
    ),
    ({"axes": {"filter.keep": ["own", "majority"]}}, r"filter\.keep: majority needs rationales\.samples of at least 3"),
    (
        {"published": {"small": "short"}, "axes": {"filter.keep": ["own", "intersection"]}},
        r"published: the sets are filtered by their authors; use filter\.keep: own",
    ),
    ({"sft": {"epochs": True}}, r"^sft\.epochs: write a number, not true \(or yes, or on\)$"),
    ({"sft": {"preset": ["table1"]}}, r"sft\.preset: \['table1'\] is unknown; known: table1"),
    ({"sft": {"seed": -1}}, r"sft\.seed: .*greater than or equal to 0 \(got -1\)"),
    ({"sft": {"seed": 2**32}}, r"sft\.seed: .*less than 4294967296"),
    ({"sampling": {"stop": [""]}}, r"sampling\.stop\.0: String should have at least 1 character"),
    ({"tasks": [1]}, r"^tasks\.0: Input should be a valid string \(got 1\)$"),
    (
        {"students": ["Qwen/Qwen2.5-0.5B-Instruct"]},
        r"^students\.0: describe it under models, such as NAME: \{source: Qwen/Qwen2\.5-0\.5B-Instruct\}, and",
    ),
    (
        {"mixtures": {"a": {"small": 1.0}, "b": {"small": 1.0}}},
        r"mixtures\.b: has the shares of a, and so the same data; remove one of them",
    ),
    ({"resources": {"trackers": ["wandb", "wandb"]}}, r"resources\.trackers: 'wandb' occurs twice"),
    ({"axes": {}, "points": [{"mixture": "mix"}, {"mixture": "mix"}]}, r"^points: 'mixture mix' occurs twice$"),
    (
        {
            "comparisons": [
                {
                    "name": "c",
                    "left": {"mixture": "small", "batch": "2x1"},
                    "right": {"mixture": "mix", "batch": "2x1"},
                    "match": ["updates", "updates"],
                }
            ]
        },
        r"comparisons\.c\.match: 'updates' occurs twice",
    ),
    ({"filter": {"size": "big"}}, r"filter\.size: write a number above 0, smallest or intersection, not 'big'$"),
    ({"models": {"mine": {"source": "a/b", "parameters": "7B"}}}, r"mine\.parameters: write a whole number in figures"),
    ({"selection": {"gap_points": 200}}, r"selection\.gap_points: .*100 \(got 200\)"),
    (
        {"resources": {"parallel": {"tiny-teacher": {"tensor": 2}}}},
        r"resources\.parallel: 'tiny-teacher' is none of the models \(tiny-student-0\.15m, .*, tiny-judge\)",
    ),
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
    ({"axes": {"judge.model": ["x"]}}, r"axes: 'judge\.model' would change what is measured"),
    ({"test_only": ["tiny/word_sort"]}, r"test_only: 'tiny/word_sort' is not among tasks; did you mean"),
    ({"test_only": ["tiny/word_sorting", "tiny/dyck_languages"]}, r"test_only: holds all tasks"),
    ({"axes": {"prompt.shots": [0, 3]}}, r"axes: 'prompt\.shots' would change what is measured"),
    ({"axes": {"sampling.max_tokens": [1]}}, r"axes: 'sampling\.max_tokens' would change what is measured"),
    ({"axes": {"resources.trials": [1]}}, r"axes: 'resources\.trials' says where things run"),
    ({"axes": {"sft": [1]}}, r"axes: 'sft' is no axis"),
    ({"axes": {"split.seed": []}}, r"axes: 'split\.seed' has no values"),
    ({"axes": {"split.seed": [0, 1]}, "split": {"train": 60, "test": 20, "repeats": 2}}, r"split\.seed and split\.rep"),
    ({"axes": {"mixture": ["mx"]}}, r"axes\.mixture: unknown mixture 'mx'; did you mean 'mix'\?"),
    ({"axes": {"student": ["nobody"]}}, r"axes\.student: unknown student 'nobody'"),
    ({"axes": {"teacher": ["smal"]}}, r"axes\.teacher: unknown teacher 'smal'; did you mean 'small'\?"),
    ({"axes": {"teacher": ["small"], "mixture": ["mix"]}}, r"name teacher or mixture, not both"),
    ({"axes": {"sft.seed": list(range(2000))}}, r"axes: 12,000 cells are more than max_cells \(10,000\)"),
    ({"axes": {}, "max_cells": 5}, r"axes: 6 cells are more than max_cells \(5\)"),
    ({"axes": {"sft.epochs": [1, "1"]}}, r"axes\.sft\.epochs: '1' occurs twice"),
    (
        {"axes": {"sft.learning_rate": ["1e-3", 0.001]}},
        r"axes: 'student .*, mixture large, sft\.learning_rate 1e-3' and '.* 0\.001' are one cell; remove one of them$",
    ),
    ({"axes": {}, "points": [{}]}, r"points: number 1 is empty"),
    ({"axes": {}, "points": [{"sft.batch": "2x1"}, {"sft.batch": "2x1"}]}, r"points: .* occurs twice"),
    ({"points": [{"sft.batch": "2x1"}]}, r"points: 'sft\.batch' of number 1 is also in axes"),
    ({"axes": {}, "points": [{"sft.bath": "2x1"}]}, r"'sft\.bath' names no field; did you mean 'batch'\?"),
    ({"axes": {}, "points": [{"split.seed": 1}]}, r"points: split\.seed is an axis of its own"),
    ({"axes": {"sft.batch": []}}, r"axes: 'sft\.batch' has no values"),
    ({"axes": {"sft.epochs": [0]}}, r"axes\.sft\.epochs: .*greater than 0"),
    ({"axes": {"sft.batch": ["2x1", "2x1"]}}, r"axes\.sft\.batch: '2x1' occurs twice"),
    (
        {
            "comparisons": [
                {"name": "c", "left": {"mixture": "mix", "batch": "9x9"}, "right": {"mixture": "mix", "batch": "2x1"}}
            ]
        },
        r"comparisons\.c\.left: .*mixture mix.* is not in the grid, whose sft\.batch is 2x1, 5x4; name a cell that is",
    ),
    (
        {"comparisons": [{"name": "c", "left": {"mixture": "mix"}, "right": {"mixture": "mix", "batch": "2x1"}}]},
        r"comparisons\.c\.left: mixture mix is several cells; name sft\.batch too",
    ),
    (
        {
            "comparisons": [
                {"name": "c", "left": {"mixture": "mix", "batch": "2x1"}, "right": {"mixture": "mix", "batch": "2x1"}}
            ]
        },
        r"comparisons\.c: both arms are the same cell",
    ),
    (
        {"comparisons": [{"name": "c", "left": {}, "right": {"mixture": "mix"}}]},
        r"comparisons\.0\.left: name the arm's cell",
    ),
    ({"comparisons": [{"name": "c", "left": {"mixtur": "mix"}, "right": {"mixture": "mix"}}]}, r"'mixtur' is no axis"),
    ({"comparisons": [{"name": "c", "left": {"split.seed": 1}, "right": {"mixture": "mix"}}]}, r"different splits"),
    (
        {"comparisons": [{"name": "c", "left": {"mixture": "small"}, "right": {"mixture": "mix"}, "match": "rows"}]},
        r"match",
    ),
    (
        {
            "comparisons": [
                {"name": "c", "left": {"mixture": "mix"}, "right": {"mixture": "small"}, "treatment": ["judge.model"]}
            ]
        },
        r"treatment: 'judge\.model' would change what is measured",
    ),
    (
        {
            "comparisons": [
                {"name": "c", "left": {"mixture": "small", "batch": "2x1"}, "right": {"mixture": "mix", "batch": "2x1"}}
            ]
            * 2
        },
        r"comparisons: 'c' occurs twice",
    ),
    ({"name": "../x"}, r"name: take letters, digits, dot, dash and underscore only, .* \(got '\.\./x'\)"),
    ({"tasks": "tiny/dyck_languages"}, r"tasks: write a list, such as \[a, b\] \(got 'tiny/dyck_languages'\)"),
    ({"teachers": ["a"]}, r"teachers: write a mapping, such as \{name: value\}"),
    (
        {"judge": "tiny-judge"},
        r"judge: write a mapping of its fields \(model, prompt, when, audit\) \(got ",
    ),
    ({"sft": {"batch": 4}}, r"sft\.batch: 4 is not <per-device batch>x<accumulation>"),
    ({"sft": {"learning_rate": float("inf")}}, r"sft\.learning_rate: .*finite"),
    ({"models": {"mine": {"sorce": "x"}}}, r"models\.mine\.sorce: unknown field; did you mean 'source'\?"),
    ({"sft": {"validation": {"shar": 0.1, "every": 1}}}, r"validation\.shar: unknown field; did you mean 'share'\?"),
    ({"filter": {"decontaminate": {"ngrm": 3}}}, r"decontaminate\.ngrm: unknown field; did you mean 'ngram'\?"),
    ({"resources": {"parallel": {"x": {"tensr": 2}}}}, r"parallel\.x\.tensr: unknown field; did you mean 'tensor'\?"),
    ({"comparisons": [{"nam": "c"}]}, r"comparisons\.0\.nam: unknown field; did you mean 'name'\?"),
    ({"resources": {"accelerator": "h100"}}, r"resources\.accelerator: 'h100' is unknown; known: H100-80GB$"),
    ({"resources": {"accelerator": "rtx4090"}}, r"resources\.accelerator: 'rtx4090' is unknown; known: RTX-4090$"),
    (
        {"resources": {"accelerator": "T4", "engine_gpus": 1}},
        r"engine\.dtype: bfloat16 .* resources\.accelerator T4 .*; set engine\.dtype: float16$",
    ),
    (
        {"resources": {"accelerator": "V100-32GB", "engine_gpus": 1, "worker_gpus": 1}, "engine": {"dtype": "float16"}},
        r"sft\.precision: bfloat16 .* V100-32GB .*; set sft\.precision: float32$",
    ),
    ({"resources": {"engine_gpus": 0.5}}, r"resources\.engine_gpus: 0\.5 is no whole number"),
    ({"resources": {"worker_gpus": 1.5}}, r"resources\.worker_gpus: 1\.5 is no whole number"),
    ({"resources": {"worker_gpus": 2}}, r"resources\.worker_gpus: 2: a training worker computes on one GPU"),
    (
        {"resources": {"min_workers": 3}},
        r"resources\.min_workers: 3 is more than sft\.workers \(2\); set it to 2 or less, or remove it$",
    ),
    (
        {"resources": {"min_workers": 3}, "axes": {"sft.workers": [4, 1]}},
        r"resources\.min_workers: 3 is more than sft\.workers \(1\)",
    ),
    ({"sft": {"lora": {"rank": 64}}}, r"sft\.lora: is used with sft\.method: lora"),
    ({"axes": {"sft.lora.rank": [8, 64]}}, r"sft\.lora: is used with sft\.method: lora"),
    ({"sampling": {"max_tokens": 4096}}, r"sampling: max_tokens 4096 leaves no room .* engine\.max_model_len \(4096\)"),
    (
        {"rationales": {"per_teacher": {"large": {"max_tokens": 9000}}}},
        r"rationales of teacher large: max_tokens 9000 leaves no room",
    ),
    (
        {"sampling": {"retry_truncated": 1500}, "rationales": {"per_teacher": {"large": {"max_tokens": 2000}}}},
        r"rationales of teacher large: retry_truncated 1500 is not more than max_tokens \(2000\); give it there, too",
    ),
    (
        {"sampling": {"retry_truncated": 1024}},
        r"sampling\.retry_truncated: 1024 is not more than max_tokens \(1024\)",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_mistakes_are_named(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message) as error:
        make(**changes)
    assert "\n" not in str(error.value)


def test_a_password_in_an_address_is_not_repeated(make: Make) -> None:
    models = {"big": {"endpoint": "https://me:secret@host/v1", "model": "m", "parameters": 1}}
    with pytest.raises(ExperimentError, match=r"models\.big\.endpoint: write a URL such as") as error:
        make(models=models)
    assert "secret" not in str(error.value)


def test_lora_settings_are_for_the_cells_that_have_adapters(make: Make) -> None:
    assert make(sft={"lora": {"rank": 64}}, axes={"sft.method": ["full", "lora"]}).grid()[0].sft.lora.rank == 64


def test_an_api_has_a_context_of_its_own(make: Make) -> None:
    models = {"big": {"endpoint": "https://host/v1", "model": "m", "parameters": 10**9}}
    teachers = {"small": "tiny-teacher-small", "large": "big"}
    rationales = {"per_teacher": {"large": {"max_tokens": 9000}}}
    assert make(models=models, teachers=teachers, rationales=rationales).rationales.of("large").max_tokens == 9000


def test_every_mistake_is_told_at_once(make: Make) -> None:
    with pytest.raises(ExperimentError, match=r"split\.train.*; sft\.epochs"):
        make(sft={"epochs": 0}, split={"train": 0, "test": 1})


def test_the_grid_is_the_full_product(make: Make) -> None:
    grid = make(axes={"sft.batch": ["2x1", "5x4"], "sft.seed": [1, 2, 3]}).grid()
    assert [(p.student, p.mixture, str(p.sft.batch), p.sft.seed) for p in grid] == [
        (student, mixture, batch, seed)
        for student in ("tiny-student-0.15m", "tiny-student-0.5m")
        for mixture in ("large", "mix", "small")  # as the fixture writes them
        for batch in ("2x1", "5x4")
        for seed in (1, 2, 3)
    ]
    assert {point.sft.workers for point in grid} == {2}


def test_parts_of_the_batch_are_axes_too(make: Make) -> None:
    grid = make(axes={"sft.batch.per_device": [1, 2], "sft.batch.accumulation": [4]}).grid()
    assert [str(point.sft.batch) for point in grid[:2]] == ["1x4", "2x4"]


def test_listed_points_replace_the_product(make: Make) -> None:
    points = [
        {"mixture": "small", "sft.batch": "2x1"},
        {"mixture": "mix", "sft.batch": "5x4", "sft.cutoff_tokens": 4096},
        {"student": "tiny-student-0.5m", "teacher": "large"},
    ]
    grid = make(axes={"sft.seed": [1, 2]}, points=points).grid()
    assert len(grid) == 2 * 2 + 2 * 2 + 2
    assert {(p.mixture, str(p.sft.batch), p.sft.cutoff_tokens) for p in grid} == {
        ("small", "2x1", 8192),
        ("mix", "5x4", 4096),
        ("large", "2x1", 8192),
    }


def test_data_students_and_filters_are_axes(make: Make) -> None:
    axes = {"student": ["tiny-student-0.5m"], "teacher": ["small", "large"], "filter.keep": ["own", "intersection"]}
    grid = make(axes=axes, mixtures={"mix": {"small": 0.8, "large": 0.2}}).grid()
    assert [(p.student, p.mixture, p.filter.keep) for p in grid] == [
        ("tiny-student-0.5m", mixture, keep) for mixture in ("small", "large") for keep in ("own", "intersection")
    ]


def test_splits_are_an_axis_of_whole_experiments(make: Make) -> None:
    experiment = make(axes={"split.seed": [3, 5], "sft.batch": ["2x1"]})
    assert [each.split.seed for each in experiment.over_splits()] == [3, 5]
    assert all(each.grid() == experiment.grid() and "split.seed" not in each.axes for each in experiment.over_splits())


def test_a_comparison_pairs_cells_that_agree_in_all_else(make: Make) -> None:
    experiment = make(
        axes={"sft.batch": ["2x1", "5x4"], "sft.learning_rate": [1e-5, 1e-4]},
        comparisons=[
            {"name": "c", "left": {"mixture": "small", "batch": "2x1"}, "right": {"mixture": "mix", "batch": "5x4"}}
        ],
    )
    grid = experiment.grid()
    pairs = [(grid[left], grid[right]) for left, right in experiment.pairs(experiment.comparisons[0], grid)]
    assert len(pairs) == 2 * 2
    for left, right in pairs:
        assert (left.student, left.sft.learning_rate) == (right.student, right.sft.learning_rate)
        assert (left.mixture, str(left.sft.batch), right.mixture, str(right.sft.batch)) == (
            "small",
            "2x1",
            "mix",
            "5x4",
        )


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
    for nameless in ("=3", "sft..epochs=3", "sft.=3"):
        with pytest.raises(ExperimentError, match="write FIELD=VALUE"):
            load(path, [nameless])


def test_overrides_reach_axes_and_names_that_hold_dots(tmp_path: Path, make: Make) -> None:
    make()
    path = str(tmp_path / "experiment.yaml")
    overrides = ["axes.sft.seed=[1, 2]", "axes.sft.batch=[2x1]", "resources.parallel.tiny-student-0.5m.tensor=2"]
    experiment, _ = load(path, [*overrides, "mixtures.mix.small=0.7", "mixtures.mix.large=0.3"])
    assert experiment.axes == {"sft.batch": ("2x1",), "sft.seed": (1, 2)}
    assert experiment.resources.parallel["tiny-student-0.5m"].tensor == 2
    assert experiment.mixtures["mix"] == {"small": 0.7, "large": 0.3}


def test_a_teachers_own_settings_change_what_they_name(make: Make) -> None:
    rationales = {"samples": 4, "temperature": 0.7, "per_teacher": {"large": {"max_tokens": 2048}}}
    own = make(rationales=rationales).rationales.of("large")
    assert (own.samples, own.temperature, own.max_tokens) == (4, 0.7, 2048)


def test_the_revision_of_a_model_of_the_catalogue(make: Make) -> None:
    """As the plan's note on revisions asks for."""
    models = {"qwen2.5-7b": {"revision": "abc"}}
    found = resolve_models(make(models=models, teachers={"small": "tiny-teacher-small", "large": "qwen2.5-7b"}))
    assert found["qwen2.5-7b"].identity == "Qwen/Qwen2.5-7B-Instruct@abc"
    with pytest.raises(ExperimentError, match=r"models\.qwen2\.5-7c: is not in the catalogue; .* 'qwen2\.5-7b'"):
        resolve_models(make(models={"qwen2.5-7c": {"revision": "abc"}}))


def test_a_model_that_is_unknown_is_told_with_the_nearest(make: Make) -> None:
    with pytest.raises(ExperimentError, match=r"'tiny-student-0\.5' is unknown; .* did you mean 'tiny-student-0\.5m'"):
        resolve_models(make(students=["tiny-student-0.5"]))


def test_a_folder_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"cannot be read \(Is a directory\); give a YAML file"):
        load(str(tmp_path))


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
    with pytest.raises(ExperimentError, match=r"bad\.yaml: line 2: key 'name' is written twice"):
        load(str(path))


def test_merge_keys_bring_in_what_is_not_written_twice(tmp_path: Path, make: Make) -> None:
    make()
    path = tmp_path / "experiment.yaml"
    text = path.read_text()
    assert "\nsft:\n  workers: 2\n" in text
    path.write_text(text.replace("\nsft:\n", "\nsft:\n  <<: {workers: 7, epochs: 3}\n"))
    sft = load(str(path))[0].sft
    assert (sft.workers, sft.epochs) == (2, 3)
    path.write_text(text.replace("\nsft:\n", "\nsft:\n  workers: 3\n"))
    with pytest.raises(ExperimentError, match=r"key 'workers' is written twice"):
        load(str(path))


def test_two_teachers_that_would_write_the_same_are_refused(make: Make) -> None:
    teachers = {"small": "tiny-teacher-small", "large": "mine"}
    models = {"mine": {"source": str(EMBEDDED / "tiny-teacher-small")}}
    with pytest.raises(ExperimentError, match=r"teachers\.(small|large): .* would write the same rationales as"):
        resolve_models(make(teachers=teachers, models=models))
    resolve_models(make(teachers=teachers, models=models, rationales={"per_teacher": {"large": {"max_tokens": 99}}}))
    resolve_models(make(teachers=teachers, models=models, published={"large": "long"}))


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
