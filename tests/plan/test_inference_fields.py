"""What an experiment says about generation, endpoints and filters, and what the plan makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.catalog.models import EMBEDDED, Endpoint
from capgap_ray.experiment import Experiment
from capgap_ray.flow import open_run
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import plan, resolve_models

Make = Callable[..., Experiment]
API = {
    "endpoint": "https://host.example/v1",
    "model": "big",
    "parameters": 10_000_000,
    "key_env": "CAPGAP_TEST_KEY",
    "revision": "2026-01",
}


def test_teachers_with_settings_of_their_own_generate_every_training_item(make: Make) -> None:
    plain, sampled = make(), make(rationales={"per_teacher": {"large": {"samples": 4, "temperature": 0.7}}})
    plans = [plan(each, resolve_models(each)) for each in (plain, sampled)]
    task = plain.task_names()[0]
    for made in plans:
        starts = [each.complete.params["start"] for each in made.rationales["small", task]]
        assert starts == [0, 20], "measured items first, and for free"
    (whole,) = plans[1].rationales["large", task]
    assert (whole.complete.params["start"], whole.complete.params["stop"]) == (0, 60)
    sampling = whole.complete.params["sampling"]
    assert (sampling["samples"], sampling["temperature"], sampling["text_needed"]) == (4, 0.7, True)
    measured = plans[1].measured["tiny-teacher-large", task]
    assert measured.complete.params["sampling"]["temperature"] == 0
    assert plans[0].measured["tiny-teacher-large", task].complete == measured.complete
    for step in (plans[1].baselines["tiny-teacher-large", task], plans[1].measured["tiny-student-0.5m", task]):
        assert step.complete.params["sampling"]["text_needed"] is False


def test_settings_equal_to_the_experiments_share_the_measured_items(make: Make) -> None:
    same = make(rationales={"max_tokens": 1024, "temperature": 0.0})
    made = plan(same, resolve_models(same))
    assert all(len(slices) == 2 for slices in made.rationales.values())


def test_what_enters_no_identity(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAP_TEST_KEY", "secret")

    def keys(endpoint: dict[str, Any], **changes: Any) -> set[str]:
        experiment = make(
            models={"api": {**API, **endpoint}}, teachers={"small": "tiny-teacher-small", "large": "api"}, **changes
        )
        return {step.key for step in plan(experiment, resolve_models(experiment)).steps()}

    before = keys({})
    assert before == keys({"endpoint": "http://127.0.0.1:8000/v1", "concurrency": 3, "key_env": None})
    spread = {"engine_timeout_s": 5, "min_engines": 1, "engines": 3, "parallel": {"tiny-judge": {"tensor": 2}}}
    assert before == keys({}, max_error_share=0.5, resources={**spread, "engine_memory_share": 0.5})
    assert before != keys({"revision": "2026-02"})
    assert before != keys({"model": "bigger"})


def test_the_key_is_in_no_source_and_must_be_set_where_something_is_built(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teachers, short = {"small": "tiny-teacher-small", "large": "api"}, {"cutoff_tokens": 1024}
    experiment = make(models={"api": API}, teachers=teachers, engine={"max_model_len": 2048}, sft=short)
    arguments = [str(tmp_path / "experiment.yaml"), "--store", str(tmp_path / "store"), "--dry-run"]
    monkeypatch.delenv("CAPGAP_TEST_KEY", raising=False)
    with pytest.raises(SystemExit, match="2"):
        open_run("", arguments)
    assert "models.api.key_env: environment variable CAPGAP_TEST_KEY is not set" in capsys.readouterr().err
    assert open_run("", arguments, builds=False).models["api"].name == "api"
    monkeypatch.setenv("CAPGAP_TEST_KEY", "secret")
    assert open_run("", arguments).models["api"].name == "api"
    model = resolve_models(experiment)["api"]
    assert "secret" not in repr(model)
    assert Endpoint.from_source(model.source).key_env == "CAPGAP_TEST_KEY"
    assert not model.has_weights


def test_stop_strings_of_rationales_hold_under_parity_too(make: Make) -> None:
    stop = ["\n\nQ:"]  # as by default without parity
    experiment = make(parity="lm-eval", rationales={"stop": stop})
    made = plan(experiment, resolve_models(experiment))
    task = experiment.task_names()[0]
    (whole,) = made.rationales["large", task]
    assert whole.complete.params["sampling"]["stop"] == tuple(stop)
    assert made.measured["tiny-teacher-large", task].complete.params["sampling"]["stop"] == experiment.stop(task)
    assert experiment.stop(task) != tuple(stop)


def test_decontamination_reads_every_tasks_items(make: Make) -> None:
    experiment = make(filter={"decontaminate": {"ngram": 8}})
    task = experiment.task_names()[0]
    made = plan(experiment, resolve_models(experiment), [task])
    for step in made.mixtures.values():
        assert step.params["tests"] == 2
        assert list(step.inputs[-2:]) == list(made.examples.values())
        assert step.params["filter"]["decontaminate"] == {"ngram": 8, "overlap": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rationales": {"samples": 0}}, "rationales.samples"),
        ({"rationales": {"samples": 2}}, "rationales.samples: 2 of teacher (small|large) need a temperature above 0"),
        ({"rationales": {"per_teacher": {"nobody": {}}}}, "rationales.per_teacher: unknown teacher 'nobody'"),
        ({"filter": {"keep": "majority"}}, "filter.keep: majority needs rationales.samples of at least 3"),
        ({"filter": {"tokens": [9, 3]}}, r"tokens: write \[lowest, highest\], not \[9, 3\]"),
        ({"filter": {"size": 0}}, "filter.size: write a number above 0, smallest or intersection, not 0"),
        ({"filter": {"size": "largest"}}, "filter.size"),
        ({"mixing": {"by": "characters"}}, "mixing.by"),
        ({"max_error_share": 1.0}, "max_error_share"),
        ({"resources": {"engines": 2, "min_engines": 3}}, r"min_engines: 3 is more than engines \(2\)"),
        ({"resources": {"parallel": {"nobody": {"tensor": 2}}}}, "resources.parallel: 'nobody' is none of the models"),
        ({"resources": {"parallel": {"tiny-judge": {"tensor": 0}}}}, "resources.parallel.tiny-judge.tensor"),
        ({"models": {"x": {}}}, "models.x: give either source"),
        ({"models": {"x": {"source": "a", "endpoint": "http://b/v1"}}}, "models.x: give either source"),
        ({"models": {"x": {"source": "a", "key_env": "B"}}}, "models.x.key_env: belongs to an endpoint"),
        ({"models": {"x": {"endpoint": "http://b/v1", "parameters": 3}}}, "models.x.model: is missing"),
        ({"models": {"x": {"endpoint": "http://b/v1", "model": "b"}}}, "models.x.parameters: is missing"),
        ({"models": {"x": {"endpoint": "ftp://b", "model": "b", "parameters": 3}}}, "models.x.endpoint"),
    ],
)
def test_mistakes_are_named(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("teacher", "judge"),
    [
        (API, API),
        (API, {**API, "revision": "2026-02"}),
        (API, {**API, "revision": None, "endpoint": API["endpoint"] + "/", "key_env": None}),
        ({"source": str(EMBEDDED / "tiny-judge")}, {"source": str(EMBEDDED / "tiny-judge"), "revision": "mine"}),
        ({"source": str(EMBEDDED / "tiny-judge"), "revision": "a"}, {"source": "COPY", "revision": "b"}),
    ],
)
def test_a_judge_that_is_a_teacher_by_another_name_is_refused(
    make: Make, tmp_path: Path, teacher: dict[str, Any], judge: dict[str, Any]
) -> None:
    shutil.copytree(EMBEDDED / "tiny-judge", tmp_path / "copy")
    judge = {name: str(tmp_path / "copy") if value == "COPY" else value for name, value in judge.items()}
    experiment = make(
        models={"one": teacher, "other": judge},
        teachers={"small": "tiny-teacher-small", "large": "one"},
        judge={"model": "other", "prompt": "tiny"},
    )
    with pytest.raises(ExperimentError, match=r"judge\.model: 'other' has the weights of 'one', which is under test"):
        resolve_models(experiment)


@pytest.mark.parametrize("change", [{"endpoint": "https://other.example/v1"}, {"model": "bigger"}])
def test_another_model_behind_an_endpoint_may_judge(make: Make, change: dict[str, Any]) -> None:
    experiment = make(
        models={"one": API, "other": {**API, **change}},
        teachers={"small": "tiny-teacher-small", "large": "one"},
        judge={"model": "other", "prompt": "tiny"},
    )
    assert resolve_models(experiment)["other"].name == "other"


def test_a_student_behind_an_endpoint_cannot_be_trained(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAP_TEST_KEY", "secret")
    experiment = make(models={"api": {**API, "parameters": 5}}, students=["api"])
    with pytest.raises(ExperimentError, match="students: 'api' is an endpoint, whose weights cannot be trained"):
        resolve_models(experiment)
