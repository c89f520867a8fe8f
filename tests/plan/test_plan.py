"""The plan as data: what is shared, what a change rebuilds, what is never built."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.experiment import Experiment
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Plan, plan, resolve_models

Make = Callable[..., Experiment]


def planned(experiment: Experiment) -> Plan:
    return plan(experiment, resolve_models(experiment))


def keys(made: Plan, stage: str) -> set[str]:
    return {step.key for step in made.steps() if step.stage == stage}


def test_unique_steps_and_not_cells_are_built(make: Make) -> None:
    made = planned(make())
    assert len(made.cells) == 2 * 3 * 2
    counts = Counter(step.stage for step in made.steps())
    tasks, models, teachers = 2, 4, 2
    assert counts["examples"] == tasks
    assert counts["mix"] == 3
    assert counts["train"] == 12
    assert counts["surprisal"] == 2 * teachers * tasks, "of students; the mixture reads its teachers' own"
    # measured + rest of the rationales + baselines + distilled students
    assert counts["complete"] == tasks * (models + teachers + models + 12)


def test_inputs_come_before_what_reads_them(make: Make) -> None:
    seen = set()
    for step in planned(make()).steps():
        assert all(each.key in seen for each in step.inputs)
        seen.add(step.key)


def test_every_student_has_a_baseline_on_the_test_items(make: Make) -> None:
    made = planned(make())
    for cell in made.cells:
        for task in made.tasks:
            distilled, untouched = made.predictions[cell.train.key, task], made.baselines[cell.student.name, task]
            for name in ("part", "start", "stop", "sampling", "engine"):
                assert distilled.complete.params[name] == untouched.complete.params[name]
            assert distilled.complete.inputs[0] == untouched.complete.inputs[0]


def test_selection_and_training_never_read_test_items(make: Make) -> None:
    made = planned(make())
    before_test = [*made.measuring(), *(step for cell in made.cells for step in cell.train.inputs[0].inputs)]
    parts = {step.inputs[1].params["part"] for step in before_test if step.stage == "score"}
    assert parts == {"train"}


def test_a_name_rebuilds_nothing_and_resources_neither(make: Make) -> None:
    made = planned(make())
    other = planned(make(name="renamed", resources={"engines": 7}))
    assert [step.key for step in made.steps()] == [step.key for step in other.steps()]


def test_another_judge_retrains_nothing(make: Make) -> None:
    made, other = planned(make()), planned(make(judge={"model": "tiny-judge", "prompt": "small-model-gap"}))
    assert keys(made, "train") == keys(other, "train")
    assert keys(made, "score") == keys(other, "score")
    assert not keys(made, "judge") & keys(other, "judge")


def test_another_learning_rate_keeps_every_rationale(make: Make) -> None:
    made, other = planned(make()), planned(make(sft={"workers": 2, "learning_rate": 0.5}))
    assert keys(made, "mix") == keys(other, "mix")
    assert not keys(made, "train") & keys(other, "train")


def test_a_wider_axis_adds_cells_only(make: Make) -> None:
    made, wider = planned(make()), planned(make(axes={"sft.batch": ["2x1", "5x4", "1x1"]}))
    assert keys(made, "train") < keys(wider, "train")
    assert len(keys(wider, "train") - keys(made, "train")) == 6


def test_more_training_items_keep_the_test_items_measured(make: Make) -> None:
    assert keys(planned(make(split={"train": 61, "test": 20})), "complete")


def test_unselected_tasks_are_measured_and_nothing_more(make: Make) -> None:
    experiment = make()
    made = plan(experiment, resolve_models(experiment), ["tiny/word_sorting"])
    assert {task for _, task in made.baselines} == {"tiny/word_sorting"}
    assert {task for _, task in made.measured} == {"tiny/dyck_languages", "tiny/word_sorting"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"students": ["tiny-studnt"]}, r"students: model 'tiny-studnt' is unknown"),
        ({"teachers": {"small": "tiny-teacher-small", "large": "nobody"}}, r"teachers: model 'nobody' is unknown"),
        ({"judge": {"model": "nobody"}}, r"judge\.model: model 'nobody' is unknown"),
        ({"judge": {"model": "tiny-judge", "prompt": "nope"}}, r"judge\.prompt: 'nope' is unknown"),
        ({"tasks": ["tiny/nope"]}, r"tasks: task 'tiny/nope' is unknown"),
        (
            {"students": ["tiny-teacher-large"], "judge": {"model": "tiny-judge"}},
            r"students: tiny-teacher-large .* is not smaller than teacher",
        ),
        (
            {"models": {"x": {"source": "/nowhere"}}, "students": ["x"]},
            r"students: model 'x': source '/nowhere' is no folder here, and no Hub id \(organisation/name\); give one",
        ),
        ({"models": {"x": {"source": "org/x"}}, "students": ["x"]}, r"model 'x': give `parameters`"),
    ],
)
def test_mistakes_are_named(make: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        planned(make(**changes))


def test_a_larger_student_can_be_allowed(make: Make) -> None:
    assert planned(make(students=["tiny-teacher-long"], allow_larger_student=True)).cells


ANCESTOR = {
    "name": "as before",
    "left": {"mixture": "small", "batch": "2x1"},
    "right": {"mixture": "mix", "batch": "5x4"},
}


def with_controls(make: Make, *match: str) -> Plan:
    return planned(make(students=["tiny-student-0.5m"], comparisons=[{**ANCESTOR, "match": list(match)}]))


def test_control_arms_come_after_the_grid_and_each_has_its_pair(make: Make) -> None:
    made = with_controls(make, "epochs", "updates", "tokens", "examples")
    assert [(pair.name, pair.left.arm, pair.right.arm) for pair in made.pairs] == [
        ("as before", "small / 2x1", "mix / 5x4"),
        ("as before, equal epochs", "small / 5x4", "mix / 5x4"),
        ("as before, equal updates", "small / 5x4 / equal updates", "mix / 5x4"),
        ("as before, equal tokens", "small / 5x4 / equal tokens", "mix / 5x4"),
        ("as before, equal examples", "small / 5x4 / equal examples", "mix / 5x4 / equal examples"),
    ]
    assert len(made.cells) == 6 + 4  # equal epochs is a cell of the grid already
    assert all(cell.matched is None for cell in made.cells[:6])
    for cell in made.cells:
        assert all((cell.train.key, task) in made.predictions for task in made.tasks)


def test_equal_updates_and_tokens_read_what_the_other_arm_did(make: Make) -> None:
    made = with_controls(make, "updates", "tokens")
    other = next(cell for cell in made.cells if cell.arm == "mix / 5x4")
    for cell, kind in zip(made.cells[6:], ("updates", "tokens"), strict=True):
        assert cell.train.params["match"] == kind
        assert cell.train.inputs == (made.mixtures["small"], other.train)
        assert str(cell.sft.batch) == "5x4"
    assert "match" not in other.train.params


def test_equal_examples_limits_both_arms_to_the_fewer_rows(make: Make) -> None:
    made = with_controls(make, "examples")
    mix, small = made.cells[6:]
    for cell, own, limit in ((small, "small", "mix"), (mix, "mix", "small")):
        rows = cell.train.inputs[0]
        assert rows.params == {**made.mixtures[own].params, "rows": "least"}
        assert rows.inputs == (*made.mixtures[own].inputs, made.mixtures[limit])


def test_filters_as_an_axis_have_mixtures_of_their_own(make: Make) -> None:
    made = planned(make(axes={"filter.keep": ["own", "intersection"]}))
    assert set(made.mixtures) == {f"{name}{arm}" for name in ("small", "large", "mix") for arm in ("", " intersection")}
    assert len(keys(made, "mix")) == 6
    assert keys(planned(make(axes={})), "mix") < keys(made, "mix")


def test_a_task_that_only_tests_is_neither_selected_nor_trained_on(make: Make) -> None:
    made = planned(make(test_only=["tiny/word_sorting"]))
    assert made.tasks == ("tiny/dyck_languages", "tiny/word_sorting")
    assert made.trained == ("tiny/dyck_languages",)
    assert made.sizes("tiny/word_sorting") == (0, 1000)
    assert {task for _, task in made.measured} == {task for _, task in made.rationales} == {"tiny/dyck_languages"}
    assert {task for _, task in made.baselines} == {task for _, task in made.predictions} == set(made.tasks)
    alone = planned(make(tasks=["tiny/dyck_languages"]))
    assert keys(alone, "train") == keys(made, "train")
    experiment = make(test_only=["tiny/word_sorting"])
    chosen = plan(experiment, resolve_models(experiment), ["tiny/dyck_languages"])
    assert [step.key for step in chosen.steps()] == [step.key for step in made.steps()]


def test_failed_cells_leave_with_their_pairs(make: Make) -> None:
    made = with_controls(make, "updates")
    rest = made.without({("tiny-student-0.5m", "mix / 5x4")})
    assert [cell.arm for cell in made.cells if cell not in rest.cells] == ["mix / 5x4"]
    assert rest.pairs == []
    assert len(rest.predictions) == len(made.predictions) - len(made.tasks)
    assert made.without(set()).cells == made.cells


def test_arms_of_a_student_are_told_apart_by_what_is_not_as_the_experiment_says(make: Make) -> None:
    made = planned(
        make(
            students=["tiny-student-0.5m"],
            sft={"workers": 2, "seed": 1},
            axes={"sft.seed": [1, 2], "sft.learning_rate": [1e-5, 1e-4], "mixture": ["mix"]},
        )
    )
    assert [cell.arm for cell in made.cells] == [
        "mix / 2x1",
        "mix / 2x1 / seed 2",
        "mix / 2x1 / learning rate 0.0001",
        "mix / 2x1 / learning rate 0.0001 / seed 2",
    ]


def published_file(tmp_path: Path) -> str:
    rows = [{"problem": f"p{i}", "solution": f"so \\boxed{{{i}}}"} for i in range(3)]
    file = tmp_path / "short.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_a_published_set_stands_for_a_teachers_rationales(make: Make, tmp_path: Path) -> None:
    file = published_file(tmp_path)
    experiment = make(published={"small": "short"}, data={"published/short": file})
    made = plan(experiment, resolve_models(experiment))
    assert {role for role, _ in made.rationales} == {"large"}
    assert made.mixtures["small"].inputs == (made.published["small"],)
    assert made.published["small"] in made.mixtures["mix"].inputs
    assert made.published["small"] not in made.mixtures["large"].inputs
    again = make(published={"small": "short"}, data={"published/short": file})
    assert plan(again, resolve_models(again)).published["small"].key == made.published["small"].key
    Path(file).write_text('{"problem": "other", "solution": "\\\\boxed{1}"}\n')
    changed = plan(again, resolve_models(again))
    assert changed.published["small"].key != made.published["small"].key, (
        "content enters the identity, the place does not"
    )


def test_items_left_out_change_the_mixtures_that_would_have_held_them_and_nothing_else(
    make: Make, tmp_path: Path
) -> None:
    experiment = make(published={"small": "short"}, data={"published/short": published_file(tmp_path)})
    models = resolve_models(experiment)
    whole, task = plan(experiment, models), experiment.tasks[0]
    assert keys(plan(experiment, models, left_out={}), "mix") == keys(whole, "mix")
    less = plan(experiment, models, left_out={task: ["b", "a"], "published/short": ["c"]})
    assert {name: step.params["left_out"] for name, step in less.mixtures.items()} == {
        "small": ["c"],
        "large": ["a", "b"],
        "mix": ["a", "b", "c"],
    }
    assert not keys(less, "mix") & keys(whole, "mix")
    assert keys(less, "complete") >= {scored.complete.key for scored in whole.measured.values()}
    others = [step for (*_, role, of), step in less.surprisals.items() if (role, of) == ("large", experiment.tasks[1])]
    assert others
    assert not any("left_out" in step.params for step in others)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"published": {"smal": "short"}}, "published: unknown teacher 'smal'; did you mean 'small'"),
        ({"published": {"small": "shortest"}}, "published.small"),
        ({"published": {"small": "short"}, "filter": {"keep": "intersection"}}, "filtered by their authors"),
    ],
)
def test_a_published_set_that_cannot_be_used(make: Make, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ExperimentError, match=says):
        make(**changes)


def test_a_published_file_that_is_not_there_is_named(make: Make) -> None:
    experiment = make(published={"small": "short"}, data={"published/short": "/nowhere.jsonl"})
    with pytest.raises(ExperimentError, match=r"published: .*nowhere\.jsonl"):
        plan(experiment, resolve_models(experiment))


def test_traces_are_read_where_there_is_a_choice(make: Make) -> None:
    alone = {"teachers": {"small": "tiny-teacher-small"}, "mixtures": {"small": {"small": 1.0}}}
    assert not planned(make(**alone)).surprisals
    assert len(keys(planned(make(**alone, proxies={"traces": 5})), "surprisal")) == 2 * 2
    assert not planned(make(proxies={"traces": 0})).surprisals
    assert {step.params["traces"] for step in planned(make()).surprisals.values()} == {200}
    assert {step.params["traces"] for step in planned(make(proxies={"traces": 7})).surprisals.values()} == {7}


def test_readings_are_of_students_and_teachers_and_no_recipe(make: Make) -> None:
    made = planned(make())
    same = [
        make(sft={"workers": 2, "learning_rate": 0.5}),
        make(mixtures={"small": {"small": 1.0}, "mix": {"small": 0.5, "large": 0.5}}),
        make(axes={"sft.epochs": [1, 2, 3]}),
    ]
    for experiment in same:
        assert keys(planned(experiment), "surprisal") == keys(made, "surprisal")
    for change in ({"sft": {"workers": 2, "system": "ancestor"}}, {"proxies": {"seed": 1}}):
        assert not keys(planned(make(**change)), "surprisal") & keys(made, "surprisal")
    assert keys(planned(make(proxies={"traces": 9})), "train") == keys(made, "train"), "training knows nothing of it"


def test_each_filter_has_its_own_traces_read(make: Make) -> None:
    made = planned(make(axes={"filter.keep": ["own", "intersection"]}))
    assert len(keys(made, "surprisal")) == 2 * 2 * 2 * 2
    own, both = (
        made.surprisals["tiny-student-0.15m", name, "small", made.tasks[0]] for name in ("small", "small intersection")
    )
    assert own == made.surprisals["tiny-student-0.15m", "mix", "small", made.tasks[0]]
    assert (len(own.inputs), len(both.inputs)) == (3, 6), "the intersection needs the other teacher's rationales"


def test_a_ready_made_set_is_read_whole(make: Make, tmp_path: Path) -> None:
    rows = tmp_path / "short.jsonl"
    rows.write_text(json.dumps({"problem": "1+1", "solution": "\\boxed{2}"}) + "\n")
    made = planned(make(published={"small": "short"}, data={"published/short": str(rows)}))
    ready = {step for (_, _, role, _), step in made.surprisals.items() if role == "small"}
    assert {step.inputs for step in ready} == {(made.published["small"],)}
    assert len({step.key for step in ready}) == 2, "one per student: it is of no task"
