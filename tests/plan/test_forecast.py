"""The plan told beforehand: nothing but the experiment is needed, and what exists counts."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.core.arms import UNTOUCHED, Arm
from capgap_ray.core.findings import Declared, Table, find
from capgap_ray.experiment import Experiment, load
from capgap_ray.forecast import Forecast, Gpus, forecast, lines, misfits
from capgap_ray.plan import Plan, plan, resolve_models
from capgap_ray.rows import to_row
from capgap_ray.scored_arms import _levelled, claims, key_of

FOLDER = Path(__file__).parents[2] / "jobs" / "experiments"
Make = Callable[..., Experiment]


def nothing(step: Step) -> Mapping[str, Any] | None:
    return None


def planned(experiment: Experiment) -> Plan:
    return plan(experiment, resolve_models(experiment))


def told(experiment: Experiment, **options: Any) -> Forecast:
    return forecast([planned(experiment)], nothing, selected=False, **options)


def stage(found: Forecast, name: str) -> Any:
    return next(each for each in found.stages if each.stage == name)


GPU = {"accelerator": "A100-80GB", "worker_gpus": 1, "engine_gpus": 1}


def test_counts_follow_from_the_experiment(make: Make) -> None:
    found = told(make(resources=GPU))
    assert (found.cells, found.splits, found.existing_steps) == (12, 1, 0)
    assert found.unique_steps == sum(each.steps for each in found.stages)
    # 2 tasks x 4 models x (20 measured + 20 tested) + 2 teachers x 2 tasks x 40 rest + 12 cells x 2 tasks x 20
    answers = 2 * 4 * 40 + 2 * 2 * 40 + 12 * 2 * 20
    complete = stage(found, "complete")
    assert complete.output_tokens == answers * 300
    assert complete.output_tokens_at_most == answers * 1024
    assert 0 < complete.device_hours < complete.device_hours_at_most
    # 120 training items, 75 % right: 90 rows, 2 epochs, 4 and 40 samples per update
    updates = {(each.samples_per_update, each.updates, each.updates_at_most) for each in found.arms}
    assert updates == {(4, 46, 60), (40, 6, 6)}
    assert stage(found, "train").updates == 6 * 46 + 6 * 6
    # 2 students read 2 teachers' traces of 2 tasks: 75 % of 60, each 250 tokens of prompt and 300 of answer
    read = stage(found, "surprisal")
    assert (read.prompt_tokens, read.output_tokens) == (8 * 45 * 550, 0)
    assert read.device_hours == pytest.approx(0.75 * 550 / (250 + 1024) * read.device_hours_at_most)
    assert found.device_hours == pytest.approx(sum(each.device_hours or 0 for each in found.stages))


def test_at_most_holds_where_every_rationale_is_right_and_as_long_as_its_budget(make: Make) -> None:
    found = told(make(resources=GPU, axes={"sft.batch": ["1x1"]}))
    train, judge = stage(found, "train"), stage(found, "judge")
    longest = 250 + 1024
    assert train.device_hours_at_most == pytest.approx(train.device_hours * longest / 550 / 0.75)
    # All answers are judged, and not half of them.
    assert judge.output_tokens_at_most == judge.steps * 20 * 5
    assert judge.device_hours_at_most == pytest.approx(2 * judge.device_hours)
    cut = stage(told(make(resources=GPU, sft={"cutoff_tokens": 600})), "train")
    assert cut.device_hours_at_most < 600 / 550 / 0.75 * cut.device_hours * 1.001
    again = told(make(resources=GPU, axes={"sft.batch": ["1x1"]}, sampling={"retry_truncated": 2048}))
    assert stage(again, "complete").output_tokens_at_most == 3 * stage(found, "complete").output_tokens_at_most


@pytest.mark.parametrize(
    ("changes", "rows", "rows_at_most"),
    [
        ({}, 90, 120),
        ({"rationales": {"samples": 4}, "sampling": {"temperature": 1.0}}, 360, 480),
        ({"rationales": {"samples": 4, "temperature": 1.0}, "filter": {"samples": 2}}, 240, 240),
        ({"filter": {"keep": "finished"}}, 120, 120),
        ({"filter": {"size": 10}}, 20, 20),
        ({"mixing": {"total": 50}}, 50, 50),
        ({"tasks": ["tiny/dyck_languages", "tiny/word_sorting"], "test_only": ["tiny/word_sorting"]}, 45, 60),
        (
            {
                "test_only": ["tiny/word_sorting"],
                "development": {"items": 10},
                "search": {"trials": 1, "searcher": "random"},
            },
            38,
            50,
        ),
    ],
)
def test_rows_follow_from_samples_filter_and_mixing(
    make: Make, changes: dict[str, Any], rows: int, rows_at_most: int
) -> None:
    recipe = {"sft": {"batch": "1x1", "epochs": 1, "workers": 1}, "mixtures": {"small": {"small": 1.0}}, "axes": {}}
    found = told(make(**recipe, **changes))
    assert {(each.updates, each.updates_at_most) for each in found.arms} == {(rows, rows_at_most)}


def test_development_items_are_answered_too(make: Make) -> None:
    settings = {"development": {"items": 10}, "search": {"trials": 1, "searcher": "random"}}
    plain, found = told(make()), told(make(**settings))
    # 2 students and 12 cells answer 10 items of 2 tasks; 2 teachers write 10 rationales less for each.
    more = (2 + 12) * 10 * 2 - 2 * 10 * 2
    assert stage(found, "complete").output_tokens == stage(plain, "complete").output_tokens + more * 300


def test_an_engine_of_32_bits_takes_twice_the_memory(make: Make) -> None:
    half, whole = (told(make(resources=GPU, engine={"dtype": dtype})).fits[0] for dtype in ("bfloat16", "float32"))
    assert whole.gigabytes == pytest.approx(2 * half.gigabytes, rel=1e-4)


def test_what_exists_costs_nothing_more(make: Make) -> None:
    made = planned(make(resources=GPU))
    rest = forecast([made], nothing, selected=True)
    trained = {
        **{"rows": 50, "rows_held_out": 0, "rows_dropped": 3, "rows_cut": 0, "slots": 50, "updates": 26, "epochs": 2.0},
        **{"warmup_updates": 0, "supervised_tokens": 9000, "template_hash": "t"},
    }
    summaries: dict[str, dict[str, Any]] = {
        **{step.key: {"mixture": {"rows": 50}} for step in made.mixtures.values()},
        made.cells[0].train.key: trained,
        made.predictions[made.cells[0].train.key, made.tasks[0]].complete.key: {},
    }
    found = forecast([made], lambda step: summaries.get(step.key), selected=True)
    assert found.existing_steps == 5
    assert (stage(found, "train").exist, found.arms[0].trained, found.arms[1].trained) == (1, True, False)
    assert found.arms[0].updates == 26
    assert found.arms[1].updates == 2 * 2  # 50 rows, 40 samples per update
    assert stage(rest, "complete").output_tokens - stage(found, "complete").output_tokens == 20 * 300
    assert stage(found, "train").updates < stage(rest, "train").updates


def test_measured_lengths_stand_in_place_of_the_assumed_ones(make: Make) -> None:
    made = planned(make(resources=GPU))
    small, large = (made.experiment.teachers[role] for role in ("small", "large"))
    lengths = {small: 100, large: 700} | dict.fromkeys(made.experiment.students, 40)
    summaries = {
        scored.complete.key: {"rows": 20, "tokens": 20 * lengths[model]} for (model, _), scored in made.measured.items()
    }
    found = forecast([made], lambda step: summaries.get(step.key), selected=True)
    complete, train = stage(found, "complete"), stage(found, "train")
    shares = [made.mixtures[cell.mixture].params["mixture"] for cell in made.cells]
    written = [each.get("small", 0) * 100 + each.get("large", 0) * 700 for each in shares]  # and so its student writes
    assert complete.output_tokens == 2 * 20 * (100 + 700 + 2 * 40 + sum(written)) + 2 * 40 * (100 + 700)
    assert train.training_tokens == pytest.approx(sum(2 * 90 * (250 + each) for each in written))
    assert (complete.measured, train.measured, stage(found, "judge").measured) == (1.0, 1.0, 0.0)
    (line,) = (each for each in lines(found) if "complete" in each)
    assert " measured output tokens" in line
    unmeasured = stage(told(make(resources=GPU)), "complete").output_tokens_at_most
    assert complete.output_tokens_at_most == unmeasured - 2 * 4 * 20 * 1024


def test_lengths_under_another_budget_are_not_taken_for_measured(make: Make) -> None:
    made = planned(make(rationales={"max_tokens": 2048}))
    summaries = {scored.complete.key: {"rows": 20, "tokens": 20 * 700} for scored in made.measured.values()}
    found = forecast([made], lambda step: summaries.get(step.key), selected=True)
    assert 0 < stage(found, "complete").measured < 1  # the models' own test answers
    assert stage(found, "train").measured == 0
    assert any(" partly measured output tokens" in line for line in lines(found))


def test_a_difference_in_form_between_training_and_evaluation_is_said(make: Make) -> None:
    sized = {"size": "smallest"}
    assert told(make(filter=sized)).notes == ()
    (plain,) = told(make(prompt={"chat": "plain"}, filter=sized)).notes
    assert plain.startswith("prompt.chat: plain asks without a chat template")
    found = told(make(axes={"sft.batch": ["2x1"], "sft.system": ["evaluation", "ancestor"]}, filter=sized))
    (ancestor,) = found.notes
    assert ancestor.startswith("sft.system: ancestor trains with another system message")
    assert f"note        {ancestor}" in lines(found)


def test_a_model_that_may_change_on_the_hub_is_named(make: Make) -> None:
    pinned = {"source": "org/other", "parameters": 10**9, "revision": "0123456"}
    models = {"big": {"source": "org/name", "parameters": 10**9}, "other": pinned}
    note, _ = told(make(models=models, teachers={"small": "big", "large": "other"})).notes
    assert note.endswith("`--set models.big.revision=COMMIT`")
    assert note.startswith("big: no revision is named, so the Hub's main branch is taken")


def test_without_an_accelerator_hours_are_not_known(make: Make) -> None:
    found = told(make())
    assert found.device_hours is None
    assert stage(found, "train").device_hours is None
    assert found.fits == ()
    assert any("hours       not known" in line for line in lines(found))


def test_the_ancestors_mixture_is_found_confounded_in_all_three_ways() -> None:
    experiment = load(str(FOLDER / "math_short_long.yaml"))[0]
    found = told(experiment)
    natural = [lint for lint in found.lints if lint.comparison == "mix against short, as in the ancestor work"]
    assert [lint.student for lint in natural] == ["qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-3b", "qwen2.5-7b"]
    for lint in natural:
        fields = {confound.field for confound in lint.confounds}
        assert {"samples_per_update", "updates"} <= fields  # batch x accumulation
        assert "packing" in fields
        assert {"cutoff_tokens", "overlength"} <= fields
    matched = [lint for lint in found.lints if lint.comparison.endswith(("equal epochs", "equal updates"))]
    assert len(matched) == 2 * 2 * 4
    assert all(lint.confounds == () for lint in matched)


@pytest.mark.parametrize(
    "match", ["epochs", "updates", "tokens", "examples"], ids=["epochs", "updates", "tokens", "examples"]
)
def test_every_match_makes_a_fair_arm(make: Make, match: str) -> None:
    arms = {"left": {"mixture": "small", "batch": "2x1"}, "right": {"mixture": "mix", "batch": "5x4"}}
    found = told(make(comparisons=[{"name": "c", **arms, "match": match}]))
    natural, matched = found.lints[::2], found.lints[1::2]
    assert {lint.comparison for lint in natural} == {"c"}
    assert all({"updates", "samples_per_update"} <= {c.field for c in lint.confounds} for lint in natural)
    assert {lint.comparison for lint in matched} == {f"c, equal {match}"}
    assert all(lint.confounds == () for lint in matched)


def test_a_declared_treatment_is_no_confound_and_what_follows_from_it_is(make: Make) -> None:
    def found(treatment: list[str], axes: dict[str, Any], **sides: Any) -> set[str]:
        comparison = {"name": "c", "treatment": treatment, **sides}
        (lint, *_) = told(make(axes=axes, comparisons=[comparison])).lints
        return {confound.field for confound in lint.confounds}

    rates = {"sft.learning_rate": [1e-5, 1e-4]}
    sides = {
        "left": {"mixture": "mix", "sft.learning_rate": 1e-5},
        "right": {"mixture": "mix", "sft.learning_rate": 1e-4},
    }
    assert found(["sft.learning_rate"], rates, **sides) == set()
    assert found(["mixture"], rates, **sides) == {"learning_rate", "lr_integral"}
    batches = {"left": {"mixture": "mix", "batch": "2x1"}, "right": {"mixture": "mix", "batch": "5x4"}}
    assert found(["sft.batch"], {"sft.batch": ["2x1", "5x4"]}, **batches) == {"updates", "lr_integral"}


def test_models_that_do_not_fit_are_named_with_the_mend() -> None:
    experiment = load(
        str(FOLDER / "bbh_small_large.yaml"), ["resources.engine_gpus=1", "resources.accelerator=A100-40GB"]
    )[0]
    fits = {fit.what.split(" (")[0]: fit for fit in told(experiment).fits}
    assert not fits["engine qwen2.5-72b"].fits
    assert fits["engine qwen2.5-72b"].mend == "needs resources.parallel: {qwen2.5-72b: {tensor: 8}}"
    assert fits["engine qwen2.5-7b"].fits
    assert fits["training qwen2.5-3b"].mend == "needs sft.batch: 1x2"
    assert fits["training qwen2.5-7b"].mend == "needs sft.batch: 1x2, sft.workers: 8"
    assert fits["training qwen2.5-0.5b"].mend == ""
    halved = load(str(FOLDER / "bbh_small_large.yaml"), ["resources.engine_memory_share=0.5"])[0]
    available = {fit.what.split(" ")[0]: fit.available for fit in told(halved).fits}
    assert available == {"engine": 40, "training": 72}, "the share is the engines' own"


def test_a_teacher_that_trains_nobody_is_told(make: Make) -> None:
    teachers = {"small": "tiny-teacher-small", "large": "tiny-teacher-large", "long": "tiny-teacher-long"}

    def notes(**changes: Any) -> list[str]:
        return [each for each in told(make(teachers=teachers, **changes)).notes if "is in no mixture" in each]

    (note,) = notes()
    assert note.startswith("teacher long is in no mixture of the grid: its rationales are written and train nobody;")
    assert not notes(filter={"keep": "intersection"}), "by what it solved the others' are chosen"
    assert not notes(axes={"teacher": ["small", "large", "long"]})


def test_memory_counts_the_vocabulary_that_a_student_has(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--org--mine" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    models = {"mine": {"source": "org/mine", "revision": "abc", "parameters": 10**5}}
    sft = {"cutoff_tokens": 2000, "gradient_checkpointing": True}  # 2 rows a step

    def gigabytes(student: str) -> float:
        found = told(make(resources=GPU, students=[student], models=models, sft=sft, axes={}))
        return next(fit.gigabytes for fit in found.fits if fit.what.startswith("training"))

    # Each token's loss takes 12 bytes a word, and its layers next to nothing.
    assumed = gigabytes("mine")
    assert assumed == pytest.approx(4000 * 12 * 152_000 / 1e9, rel=0.01)
    (snapshot / "config.json").write_text(json.dumps({"text_config": {"vocab_size": 262_208}}))
    assert gigabytes("mine") / assumed == pytest.approx(262_208 / 152_000, rel=0.01)
    assert gigabytes("tiny-student-0.15m") < 0.2, "1,024 words"


def test_what_fits_on_all_workers_may_not_on_the_fewest() -> None:
    def of_7b(*changes: str) -> list[tuple[float, bool, str]]:
        named = ["resources.accelerator=A100-80GB", 'sft.batch="1x2"', *changes]
        experiment = load(str(FOLDER / "bbh_small_large.yaml"), named)[0]
        fits = [each for each in told(experiment).fits if each.what.startswith("training qwen2.5-7b")]
        return [(each.devices, each.fits, each.mend) for each in fits]

    assert of_7b("sft.workers=8") == [(8, True, "")]
    assert of_7b("sft.workers=8", "resources.min_workers=1") == [
        (8, True, ""),
        (1, False, "needs resources.min_workers: 3"),
    ]
    assert of_7b("sft.workers=8", "resources.min_workers=8") == [(8, True, "")]


@pytest.mark.parametrize(
    ("sft", "gpu", "mend"),
    [
        ({"gradient_checkpointing": False}, "A100-40GB", "needs sft.gradient_checkpointing: true"),
        (
            {"gradient_checkpointing": False, "batch": "4x2"},
            "L4",
            "needs sft.gradient_checkpointing: true, sft.batch: 1x8",
        ),
        (
            {"batch": "1x1", "workers": 1, "cutoff_tokens": 16384, "precision": "float32"},
            "V100-32GB",
            "needs sft.cutoff_tokens: 8192",
        ),
        # The loss of 8,192 tokens alone is 12 bytes x 152,000 words x 8,192 = 14.9 GB: no number of workers helps.
        (
            {"batch": "1x1", "workers": 1, "precision": "float32"},
            "T4",
            "needs sft.cutoff_tokens: 4096, sft.workers: 4",
        ),
    ],
)
def test_what_makes_a_training_fit_changes_as_little_as_can_be(sft: dict[str, Any], gpu: str, mend: str) -> None:
    changes = [f"sft.{name}={json.dumps(value)}" for name, value in sft.items()]
    changes += [f"resources.accelerator={gpu}", "engine.dtype=float16"]
    experiment = load(str(FOLDER / "bbh_small_large.yaml"), changes)[0]
    (fit,) = (each for each in told(experiment).fits if each.what.startswith("training qwen2.5-0.5b"))
    assert (fit.fits, fit.mend) == (False, mend)


def test_power_per_task_and_pooled_and_the_cheapest_design(make: Make) -> None:
    found = told(make(axes={"sft.seed": [1, 2, 3]}), wanted_points=40.0)
    assert [(d.task, d.items, d.seeds) for d in found.detectable] == [
        ("tiny/dyck_languages", 20, 3),
        ("tiny/word_sorting", 20, 3),
        ("all", 40, 3),
    ]
    one, _, pooled = (each.points for each in found.detectable)
    assert one is not None and pooled is not None and pooled < one
    corrected = [each.points_corrected for each in found.detectable]
    assert corrected[0] is not None and corrected[2] is not None and one < corrected[0] and pooled < corrected[2]
    text = [line for line in lines(found) if line.startswith("detectable")]
    assert text[0].startswith("detectable  each of 2 tasks: 20 items, 1 sample, 3 seeds: "), "said once"
    assert text[0].endswith(" claims [tiny/dyck_languages, tiny/word_sorting]")
    assert text[1].endswith(
        f"{pooled:.1f} points or more as the only question, {corrected[2]:.1f} among all {found.claims} claims"
    )
    assert found.wanted.design is not None and found.wanted.detectable is not None and found.wanted.detectable <= 40
    assert told(make(), wanted_points=1.0).wanted.design is None


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_family_is_counted_as_the_findings_count_it(path: Path) -> None:
    made = planned(load(str(path), [])[0])
    groups = {key_of(cell): cell for cell in made.cells}
    untouched = [(model.name, UNTOUCHED, "") for model in made.students()]
    scores = np.eye(12)[:, :1]
    arms = [
        Arm(
            task=task,
            student=key[0],
            teacher=key[1],
            recipe=key[2],
            scores=scores,
            runs=("0",),
            items=np.arange(12),
            n=12,
        )
        for task in made.tasks
        for key in [*untouched, *groups]
    ]
    table = Table(arms=tuple(arms), rows=0, sizes={m.name: m.parameters / 1e9 for m in made.students()})
    declared = {
        (pair.name, key_of(pair.left), key_of(pair.right)): Declared(
            name=pair.name, left=key_of(pair.left), right=key_of(pair.right)
        )
        for pair in made.pairs
    }
    levelled = _levelled(made, [*groups.values()])
    found = find(table, declared=[*declared.values()], levelled=levelled, exchanges=1)
    assert f"claims in one family: {sum(claims(made))};" in "".join(found.notes)


def test_the_budget_is_set_beside_the_cost() -> None:
    experiment = load(str(FOLDER / "bbh_small_large.yaml"), ["budget={gpu_hours: 0.5}"])[0]
    found = told(experiment)
    assert found.budget_hours == 0.5
    assert any("MORE THAN the budget of 0.5" in line for line in lines(found))


def test_how_many_gpus_are_needed_and_used() -> None:
    found = told(load(str(FOLDER / "bbh_small_large.yaml"))[0])
    assert found.gpus == Gpus(least=4, why="engine qwen2.5-72b", most=16)
    own = told(load(str(FOLDER / "own_task.yaml"), ["sft.workers=2", "resources.trials=2"])[0])
    assert own.gpus == Gpus(least=2, why="training", most=5)
    assert told(load(str(FOLDER / "own_task.yaml"), ["sft.workers=2", "resources.min_workers=1"])[0]).gpus == Gpus(
        least=1, why="engine my-student", most=3
    )
    assert told(load(str(FOLDER / "tiny.yaml"))[0]).gpus is None


def test_what_an_api_is_asked_is_told_apart(make: Make) -> None:
    api = {"endpoint": "https://host/v1", "model": "m", "parameters": 10**9, "requests_per_minute": 60}
    models = {"big": api}
    found = told(make(models=models, teachers={"small": "tiny-teacher-small", "large": "big"}))
    (asked,) = found.asked
    # 2 tasks x (20 measured + 40 others that train + 20 tested)
    assert (asked.model, asked.requests, asked.output_tokens) == ("big", 160, 160 * 300)
    assert asked.hours == pytest.approx(160 / 60 / 60)
    assert sum(line.startswith("endpoint    big: 160 requests; ") for line in lines(found)) == 1


def test_teachers_that_get_no_verdict_for_their_yield_are_told_of_before_training(make: Make) -> None:
    experiment = make(axes={"sft.batch": ["2x1"]}, students=["tiny-student-0.5m"])
    (note,) = [each for each in told(experiment).notes if "filter.size: [null, smallest]" in each]
    made = planned(experiment)
    rows = {name: 40 if name == "small" else 100 for name in made.mixtures}

    def mixed(step: Step) -> Mapping[str, Any] | None:
        names = [name for name, each in made.mixtures.items() if each.key == step.key]
        return {"mixture": {"rows": rows[names[0]]}} if names else None

    found = forecast([made], mixed, selected=False)
    assert {(lint.comparison, lint.left, lint.right) for lint in found.lints} == {
        ("teachers under one recipe", "large / 2x1", "small / 2x1"),
        ("teachers under one recipe", "mix / 2x1", "small / 2x1"),
    }
    assert all("fewer updates" in lint.confounds[0].note for lint in found.lints)
    assert note in found.notes
    rows["small"] = 90
    even = forecast([made], mixed, selected=False)
    assert not even.lints
    assert note not in even.notes
    assert note not in told(make(filter={"size": "smallest"})).notes


def test_what_is_compared_is_told_in_words(make: Make) -> None:
    found = told(make())
    assert found.compared.startswith("each arm with its untouched student; large, mix, small with each other")
    assert found.compared.endswith("the recipes of a mixture with each other")
    assert any(line.startswith(f"compares    {found.compared}: ") for line in lines(found))


def test_a_run_says_first_what_does_not_fit() -> None:
    experiment = load(str(FOLDER / "bbh_small_large.yaml"), ["resources.accelerator=A100-40GB"])[0]
    said = misfits(planned(experiment))
    assert any("training qwen2.5-7b" in line and "DOES NOT FIT, needs sft.batch: 1x2" in line for line in said)
    assert not misfits(planned(load(str(FOLDER / "bbh_small_large.yaml"))[0]))


def test_it_is_json_whole(make: Make) -> None:
    found = told(make(resources=GPU))
    row = json.loads(json.dumps(to_row(found), allow_nan=False))
    assert row["cells"] == 12
    assert len(row["arms"]) == 12


def test_thousands_of_cells_are_planned_in_seconds(make: Make) -> None:
    """The benchmark measures 10,000; a quadratic step anywhere would already be seen here."""
    import time

    experiment = make(axes={"sft.seed": list(range(400))})
    begun = time.process_time()
    made = planned(experiment)
    assert len(made.cells) == 2400
    assert len(made.steps()) > 2400 * 7
    assert time.process_time() - begun < 5
    assert len(list(lines(forecast([made], nothing, selected=False)))) < 200
