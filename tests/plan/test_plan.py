"""The plan as data: what is shared, what a change rebuilds, what is never built."""

from collections import Counter
from collections.abc import Callable

import pytest

from capgap_ray.experiment import Experiment, ExperimentError
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
            r"students: model 'x': folder '/nowhere' does not exist",
        ),
        ({"models": {"x": {"source": "org/x"}}, "students": ["x"]}, r"model 'x': give `parameters`"),
    ],
)
def test_mistakes_are_named(make: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        planned(make(**changes))


def test_a_larger_student_can_be_allowed(make: Make) -> None:
    assert planned(make(students=["tiny-teacher-long"], allow_larger_student=True)).cells
