"""From scores to verdicts, on made-up scores with a known truth."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest

from capgap_ray.analysis import engine_notes, left_out, results, selection
from capgap_ray.artifacts.step import Step
from capgap_ray.core.proxies import PREFERENCE
from capgap_ray.experiment import Experiment
from capgap_ray.plan import Plan, plan, resolve_models
from capgap_ray.records import (
    Estimated,
    Example,
    FilterReport,
    Message,
    MixtureReport,
    Score,
    TraceSummary,
    TrainingExample,
)
from capgap_ray.results import Results
from capgap_ray.rows import to_row

Make = Callable[..., Experiment]
DECLARED = {
    "name": "as before",
    "left": {"mixture": "large", "batch": "2x1"},
    "right": {"mixture": "mix", "batch": "5x4"},
}


MATCHED = {
    "name": "large against small",
    "left": {"mixture": "small", "batch": "2x1"},
    "right": {"mixture": "large", "batch": "2x1"},
    "treatment": ["mixture"],
}


def truth(label: str) -> float:
    """Accuracy of whatever a step's label names."""
    if "teacher" in label:
        return 0.95
    if "-large-" in label:
        return 0.85
    return 0.5 if any(f"-{mixture}-" in label for mixture in ("small", "mix")) else 0.2


def scores(step: Step) -> list[Score]:
    """The same items in every arm; one judge verdict in fifty is unreadable."""
    complete = step.inputs[1] if step.stage == "score" else step.inputs[0].inputs[1]
    task = complete.inputs[0].params["task"]
    rng = Random(step.key)
    made = []
    for index in range(complete.params["start"], complete.params["stop"]):
        right = rng.random() < truth(complete.label)
        unreadable = step.stage == "judge" and not right and index % 50 == 0
        made.append(
            Score(
                example_id=f"{task}-{complete.params['part']}-{index}",
                task=task,
                model=complete.label,
                target="x",
                text="x",
                answer="x",
                finish_reason="stop",
                completion_tokens=10,
                outcome="right" if right else "wrong",
                strict=float(right),
                flexible=float(right),
                judged=None if step.stage == "score" or unreadable else float(right),
                judge_verdict=None,
                stop_reason="\n\nQ:" if index % 4 == 0 else None,
            )
        )
    return made


def summary(step: Step) -> Mapping[str, Any]:
    if step.stage == "mix":
        report = MixtureReport(
            mixture=step.label,
            shares=dict(step.params["mixture"]),
            rows_by_teacher={},
            rows_by_task={},
            kept_by_teacher={},
            rows=100,
            seed=1,
        )
        filters = {
            str(number): to_row(_filter_report(role, task))
            for number, (role, task, _) in enumerate(step.params["slices"])
        }
        return {"mixture": to_row(report), "filters": filters}
    if step.stage == "surprisal":
        return {"read": to_row(_trace_summary(step.params["teacher"]))}
    batch = step.params["sft"]["batch"]
    updates = 100 // (2 * batch["per_device"] * batch["accumulation"]) + 1
    return {
        "rows": 100,
        "rows_dropped": 0,
        "rows_cut": 0,
        "updates": updates,
        "slots": 100,
        "epochs": 2.0,
        "rows_held_out": 0,
        "warmup_updates": 0,
        "supervised_tokens": 5000,
        "template_hash": "t",
        "losses": [1.0] * updates,
        "seconds": 2.0,
    }


def _filter_report(role: str, task: str) -> FilterReport:
    return FilterReport(
        teacher=role,
        task=task,
        seen=60,
        kept=50,
        dropped={"wrong": 10},
    )


def _trace_summary(role: str) -> TraceSummary:
    """The large teacher's traces are ranked better and less likely: only their ratio speaks for it."""
    loss, rank = (2.0, 8.0) if role == "large" else (1.0, 6.0)
    found = {"loss": loss, "surprisal": loss, "rank": rank, "ratio": rank / loss}
    errors = {name: Estimated(value=value, error=0.1) for name, value in found.items()}
    return TraceSummary(kept=50, drawn=50, read=49, **errors)


@pytest.fixture
def planned(make: Make) -> Plan:
    experiment = make(split={"train": 200, "test": 200}, selection={"items": 100}, comparisons=[DECLARED])
    return plan(experiment, resolve_models(experiment))


def answered(
    made: Plan,
    read: Callable[[Step], list[Score]],
    chance: Mapping[str, float | None] | None = None,
    choices: Mapping[str, tuple[str, ...]] | None = None,
    read_summary: Callable[[Step], Mapping[str, Any]] = summary,
) -> Results:
    """The results of a plan whose scores `read` tells."""
    return results(
        made,
        read,
        read_summary,
        chosen=selection(made, read),
        chance=chance or {},
        choices=choices or {},
        judge_audit=None,
        seconds={},
        versions={},
        command="c",
        made_at="now",
        experiment_yaml="y",
    )


@pytest.fixture
def answer(planned: Plan) -> Results:
    return answered(planned, scores, chance=dict.fromkeys(planned.experiment.tasks, 0.25))


def test_selection_reads_the_measured_training_items(planned: Plan) -> None:
    for each in selection(planned, scores):
        assert each.n == 100
        assert each.selected
        assert 60 < each.gap_points < 90


def test_every_cell_is_compared_with_its_own_baseline(answer: Results, planned: Plan) -> None:
    gains = [each for each in answer.comparisons if each.kind == "gain"]
    assert len(gains) == len(planned.cells) * (len(planned.tasks) + 1)
    assert {each.left for each in gains} == {"untouched"}
    pooled = [each for each in gains if each.task == "all"]
    for each in pooled:
        assert each.n + each.unscored == 2 * 200
        assert each.unscored > 0, "an unreadable verdict is unscored, not wrong"
        assert each.ci_low is not None
        assert each.ci_low > 0


def test_teachers_are_compared_under_one_recipe_only(answer: Results) -> None:
    for each in answer.comparisons:
        if each.kind == "teacher":
            assert each.left.split(" / ")[1] == each.right.split(" / ")[1]
            assert not each.confounds


def test_the_declared_comparison_is_found_confounded(answer: Results) -> None:
    declared = [each for each in answer.comparisons if each.kind == "declared"]
    assert {each.student for each in declared} == {"tiny-student-0.15m", "tiny-student-0.5m"}
    for each in declared:
        fields = {confound.field for confound in each.confounds}
        assert {"updates", "samples_per_update"} <= fields
        assert any("fewer updates" in confound.note for confound in each.confounds)


def test_the_verdict_is_the_planted_truth(answer: Results) -> None:
    for verdict in answer.verdicts:
        if verdict.task == "all":
            assert verdict.helps == "improved"
            assert verdict.best_mixture == "large"
            assert verdict.teacher_to_use == "large"
            assert verdict.data_ratio == 1.0


def test_every_filter_of_the_grid_has_its_own_yield(make: Make) -> None:
    """The last one does not stand for all: what an intersection keeps is equal for all teachers."""
    experiment = make(
        split={"train": 60, "test": 60},
        selection={"items": 40},
        axes={"sft.batch": ["2x1"], "filter.keep": ["own", "intersection"]},
    )
    made = plan(experiment, resolve_models(experiment))

    def kept(step: Step) -> Mapping[str, Any]:
        found = summary(step)
        if step.stage != "mix":
            return found
        keep = {"small": 40, "large": 60}
        of = {
            number: {**report, "kept": 30 if step.label.endswith(" intersection") else keep[report["teacher"]]}
            for number, report in found["filters"].items()
        }
        return {**found, "filters": of}

    answer = answered(made, scores, read_summary=kept)
    assert {(each.teacher, each.kept) for each in answer.filters} == {
        ("small", 40),
        ("large", 60),
        ("small intersection", 30),
        ("large intersection", 30),
    }
    assert {each.data_ratio for each in answer.verdicts} == {1.5}


def test_counts_balance(answer: Results) -> None:
    for row in answer.accuracies:
        assert row.n == row.right + row.wrong + row.unparsable + row.truncated
        assert row.part == "test" or row.unjudged == 0


def test_every_cell_carries_its_chance_level_and_stop_string_hits(answer: Results) -> None:
    for row in answer.accuracies:
        assert row.chance == 0.25
        assert row.stop_hits == {"\n\nQ:": row.n // 4}
        assert row.at_k is None


def test_the_protocol_states_prompt_and_stop_list(answer: Results, planned: Plan) -> None:
    assert [each.task for each in answer.protocols] == list(planned.experiment.tasks)
    for each in answer.protocols:
        assert each.stop == planned.experiment.sampling.stop
        assert f"shots {planned.experiment.prompt.shots}" in each.prompt


def test_several_samples_per_item(planned: Plan) -> None:
    """The second sample is always wrong, so that half of avg@2 is left and pass@2 is the first sample's accuracy."""

    def twice(step: Step) -> list[Score]:
        first = scores(step)
        second = [
            dataclasses.replace(each, sample=1, answer="y", outcome="wrong", strict=0.0, flexible=0.0, judged=0.0)
            for each in first
        ]
        return [score for pair in zip(first, second, strict=True) for score in pair]

    arguments: dict[str, Any] = {
        "chosen": selection(planned, scores),
        "chance": dict.fromkeys(planned.experiment.tasks),
        "judge_audit": None,
        "seconds": {},
        "versions": {},
        "command": "c",
        "made_at": "now",
        "experiment_yaml": "y",
    }
    once, both = (results(planned, each, summary, **arguments) for each in (scores, twice))
    for single, double in zip(once.comparisons, both.comparisons, strict=True):
        assert double.delta == pytest.approx((single.delta or 0) / 2, abs=0.02), "comparisons are of item means"
    for single, double in zip(once.accuracies, both.accuracies, strict=True):
        assert double.at_k is not None
        assert double.at_k.avg is not None
        assert double.at_k.samples == 2
        score = single.judged if single.part == "test" else single.flexible
        assert double.at_k.passes["2"].value == pytest.approx(score, abs=0.02)
        assert double.at_k.avg.value == pytest.approx(double.at_k.passes["1"].value, abs=0.02)
        assert double.standard_error == pytest.approx((single.standard_error or 0) / 2, rel=0.02)


@pytest.mark.parametrize(
    ("task", "target", "choices", "answers", "right"),
    [
        ("math500", "\\frac{1}{2}", (), ["0.5", "\\frac{1}{2}", "1/2", "7", "7"], 1.0),
        ("math500", "3", (), ["3", "3", "\\frac{1}{2}", "0.5", "1/2"], 0.0),
        ("tiny/dyck_languages", "(A)", ("red", "blue"), ["A", "(A)", "(B)", "B", "blue"], 0.0),
        # No rule reads the first as the gold answer; a proof or the judge did.
        ("math500", "\\frac{1}{2}", (), ["\\sin 30^\\circ", "0.5", "7", "8", "7"], 1 / 2),
    ],
)
def test_votes_are_counted_by_the_tasks_own_equality(
    make: Make, task: str, target: str, choices: tuple[str, ...], answers: list[str], right: float
) -> None:
    """Answers that mean the same are counted together, in whatever form they are written."""
    experiment = make()
    planned = plan(experiment, resolve_models(experiment))
    wrong = {"7", "8", "(B)", "B", "blue"} | ({"\\frac{1}{2}", "0.5", "1/2"} if target == "3" else set())

    def several(step: Step) -> list[Score]:
        return [
            dataclasses.replace(
                each, task=task, target=target, answer=answer, sample=sample, flexible=value, judged=value
            )
            for each in scores(step)
            for sample, answer in enumerate(answers)
            for value in [float(answer not in wrong)]
        ]

    measured = [step for step in planned.steps() if step.stage == "score"]
    own = {each.example_id: choices for step in measured for each in scores(step)}
    found = answered(planned, several, choices=own)
    for row in found.accuracies:
        assert row.at_k is not None and row.at_k.maj is not None
        assert row.at_k.maj.value == right


def test_training_items_that_another_task_tests_are_found_in_whatever_words(make: Make, tmp_path: Path) -> None:
    problems = tmp_path / "short.jsonl"
    problems.write_text(json.dumps({"problem": "seen", "solution": "\\boxed{1}"}) + "\n")
    experiment = make(
        tasks=["math/algebra", "gsm8k"],
        test_only=["gsm8k"],
        published={"small": "short"},
        data={"published/short": str(problems)},
        prompt={"shots": 0},
    )
    planned = plan(experiment, resolve_models(experiment))
    asked = "Problem: {}\nAnswer:"
    head = "Solve the following math problem and present the final answer in the format: Final Answer: "
    head += "\\boxed{your_answer}.\n"

    def item(number: int, task: str, split: Literal["train", "test"], question: str) -> Example:
        return Example(id=str(number), task=task, split=split, question=question, target="1")

    algebra = [
        item(1, "math/algebra", "train", head + asked.format("of  gsm8k")),
        item(2, "math/algebra", "train", head + asked.format("of algebra alone")),
        item(3, "math/algebra", "train", head + asked.format("seen here")),
        item(4, "math/algebra", "test", head + asked.format("seen")),
    ]
    ready = [
        TrainingExample(
            example_id=problem,
            task="math-train",
            teacher="t",
            messages=(Message(role="user", content=problem),),
            completion="c",
        )
        for problem in ("seen", "unseen")
    ]
    tables: dict[str, Sequence[Example | TrainingExample]] = {
        planned.examples["math/algebra"].key: algebra,
        planned.examples["gsm8k"].key: [item(5, "gsm8k", "test", "of gsm8k")],
        planned.published["small"].key: ready,
    }
    found = left_out(planned, lambda step: [to_row(row) for row in tables[step.key]])
    assert found == {"math/algebra": ("1",), "published/short": ("seen",)}
    assert left_out(planned, lambda step: []) == {}, "nothing is known before the items are read"


def test_control_arms_of_two_comparisons_are_two_arms(make: Make) -> None:
    """One is trained for as many updates as mix, one for as many as large; each has its own comparison."""
    pairs = [{**DECLARED, "name": name, "right": {"mixture": name, "batch": "5x4"}} for name in ("mix", "large")]
    pairs = [{**each, "left": MATCHED["left"], "treatment": ["mixture"], "match": ["updates"]} for each in pairs]
    experiment = make(
        split={"train": 60, "test": 60},
        selection={"items": 40},
        axes={"sft.batch": ["2x1", "5x4"], "sft.seed": [1, 2]},
        comparisons=pairs,
    )
    made = plan(experiment, resolve_models(experiment))
    assert len({(cell.student.name, cell.arm) for cell in made.cells}) == len(made.cells)
    controls = {cell.train.key: cell for cell in made.cells if cell.matched}

    def marked(step: Step) -> list[Score]:
        """Of the controls only the one for large is ever right."""
        complete = step.inputs[1] if step.stage == "score" else step.inputs[0].inputs[1]
        cell = controls.get(complete.inputs[1].key) if len(complete.inputs) > 1 else None
        if cell is None or cell.matched is None:
            return scores(step)
        right = float(cell.matched[1].mixture == "large")
        return [
            dataclasses.replace(each, outcome="right" if right else "wrong", flexible=right, judged=right)
            for each in scores(step)
        ]

    answer = answered(made, marked)
    left = {c.name: c.left_acc for c in answer.comparisons if c.kind == "declared" and c.name.endswith("updates")}
    assert left == {"mix, equal updates": 0.0, "large, equal updates": 1.0}
    assert {c.runs for c in answer.comparisons if c.kind == "declared"} == {2}, "seeds are runs of each"


def test_quarantined_rows_are_unscored(planned: Plan) -> None:
    """Rows that one arm lacks are left out of its comparisons, on both sides, and counted."""

    def lacking(step: Step) -> list[Score]:
        found = scores(step)
        label = (step.inputs[1] if step.stage == "score" else step.inputs[0].inputs[1]).label
        return found[7:] if "tiny-student-0.5m-mix-5x4" in label else found

    answer = answered(planned, lacking)
    gains = {(each.student, each.right, each.task): each for each in answer.comparisons if each.kind == "gain"}
    task = planned.tasks[0]
    whole, short = (gains["tiny-student-0.5m", f"mix / {batch}", task] for batch in ("2x1", "5x4"))
    assert whole.n + whole.unscored == short.n + short.unscored == 200
    assert short.unscored >= 7
    (accuracy,) = (
        each for each in answer.accuracies if each.arm == "tiny-student-0.5m / mix / 5x4" and each.task == task
    )
    assert accuracy.n == 193


def test_an_arm_without_any_readable_verdict_is_unscored(planned: Plan) -> None:
    """A judge that never answers in its form leaves the report of everything else standing."""
    task = planned.tasks[0]

    def unread(step: Step) -> list[Score]:
        found = scores(step)
        if step.stage != "judge" or not step.label.startswith("tiny-student-0.15m") or found[0].task != task:
            return found
        return [dataclasses.replace(each, outcome="wrong", flexible=0.0, judged=None) for each in found]

    found = answered(planned, unread).findings
    assert found is not None
    assert {(e.student, e.task) for e in found.efficacy if e.task != "all"} == {
        ("tiny-student-0.15m", planned.tasks[1]),
        ("tiny-student-0.5m", planned.tasks[0]),
        ("tiny-student-0.5m", planned.tasks[1]),
    }
    assert any("no item has a score on both sides" in each for each in found.refused)


def test_the_findings_are_of_the_same_family(answer: Results, planned: Plan) -> None:
    found = answer.findings
    assert found is not None
    assert found.tasks == tuple(planned.tasks)
    assert {c.kind for c in answer.comparisons} == {"gain", "teacher", "declared"}
    told = {(c.kind, c.name, c.task, c.p_adjusted) for c in answer.comparisons}
    assert told >= {(c.kind, c.name, c.task, c.p_adjusted) for c in (e.comparison for e in found.efficacy)}
    assert {each.proxy for each in found.proxies} == set(PREFERENCE)
    assert {each.distil for each in found.recommendations} == {"yes"}
    for each in answer.selection:
        assert each.ci_low is not None
        assert each.ci_low < each.gap_points
    best = {each.student: each for each in found.recommendations}["tiny-student-0.5m"]
    assert best.teacher == "large"


def test_training_seeds_are_runs_of_one_arm(make: Make) -> None:
    experiment = make(
        split={"train": 60, "test": 60}, selection={"items": 40}, axes={"sft.batch": ["2x1"], "sft.seed": [1, 2]}
    )
    made = plan(experiment, resolve_models(experiment))
    answer = answered(made, scores)
    found = answer.findings
    assert found is not None
    assert found.recipes == ("2x1",)
    assert {c.runs for c in answer.comparisons if c.kind == "teacher"} == {2}
    assert len([e for e in found.efficacy if e.task == "all"]) == 2 * 3, "a student and a mixture, whatever the seed"
    assert any(c.test == "t over items and training runs" for c in answer.comparisons)


@pytest.mark.parametrize(
    ("changes", "equal"),
    [
        ({"axes": {"sft.batch": ["2x1"], "filter.size": [None, "smallest"]}}, "rows"),
        ({"axes": {"sft.batch": ["2x1"]}, "comparisons": [{**MATCHED, "match": ["updates"]}]}, "updates"),
        ({"axes": {"sft.batch": ["2x1"]}, "comparisons": [{**MATCHED, "match": ["tokens"]}]}, "tokens"),
        ({"axes": {"sft.batch": ["2x1"]}, "comparisons": [{**MATCHED, "match": ["examples"]}]}, "examples"),
    ],
)
def test_arms_of_equal_quantity_part_it_from_quality(make: Make, changes: dict[str, Any], equal: str) -> None:
    experiment = make(split={"train": 60, "test": 60}, selection={"items": 40}, **{"comparisons": [], **changes})
    made = plan(experiment, resolve_models(experiment))
    found = answered(made, scores).findings
    assert found is not None
    pairs = {(each.student, each.left, each.right) for each in found.quantity}
    assert {each.equal for each in found.quantity} == {equal}
    assert all(each.lead == pytest.approx(each.quality + each.quantity) for each in found.quantity)
    expected = 3 if equal == "rows" else 1  # every two of three mixtures; the one that is declared
    assert len(pairs) == len(found.quantity) == 2 * expected
    for student in experiment.students:
        assert any(
            each[0] == student and {"small", "large"} <= {each[1].split(" ")[0], each[2].split(" ")[0]}
            for each in pairs
        )


def test_answers_of_different_engines_are_compared_with_a_warning(planned: Plan) -> None:
    other = planned.cells[-1]

    def engines(step: Step) -> Mapping[str, Any]:
        return {"engines": ["vllm 2" if other.train in step.inputs and "word_sorting" in step.label else "vllm 1"]}

    assert engine_notes([planned], lambda step: {"engines": ["vllm 1"]}) == ()
    (note,) = engine_notes([planned], engines)
    assert note.startswith(f"{other.student.name} on tiny/word_sorting: answers come from 2 kinds of engine (vllm 1; ")


def test_proxies_are_judged_by_the_gains(answer: Results) -> None:
    """`large` is planted as the best teacher: what prefers it loses nothing, what prefers `small` loses its lead."""
    assert answer.findings is not None
    judged = {each.proxy: each for each in answer.findings.proxies}
    cells = 2 * 2 * 3  # tasks, students, mixtures
    assert {each.cells for each in judged.values()} == {cells}
    ratio, loss = judged["rank-surprisal ratio"], judged["student loss"]
    assert (ratio.regret, ratio.choices) == (0, 4)
    assert ratio.rank_correlation is not None
    assert ratio.rank_correlation > 0.5
    assert loss.regret == pytest.approx(0.35, abs=0.07)
    assert sum("read 49 of 50 traces" in note for note in answer.findings.notes) == 2 * 2 * 2
    leads = {(each.student, each.proxy): each for each in answer.findings.leads}
    assert len(leads) == 2 * len(PREFERENCE)
    for student in answer.findings.students:
        assert leads[student, "rank-surprisal ratio"].leader == "large"
        assert leads[student, "student loss"].leader == "small"
        assert leads[student, "yield"].leader is None, "as many rows of each"


def test_before_training_there_is_a_recommendation(planned: Plan) -> None:
    def unread(step: Step) -> list[Score]:
        complete = step.inputs[1]
        assert step.stage == "score", "no judge is asked"
        assert complete.params["part"] == "train", "no test item is looked at"
        return scores(step)

    before = planned.before_training()
    stages = {step.stage for step in before.steps()}
    assert stages == {"examples", "complete", "score", "surprisal"}
    answer = answered(before, unread)
    found = answer.findings
    assert found is not None
    assert not answer.comparisons
    assert not answer.checkpoints
    assert not found.teachers
    assert {each.part for each in answer.accuracies} == {"train"}
    assert len(answer.mixtures) == 3
    assert {each.rank_correlation for each in found.proxies} == {None}
    for each in found.recommendations:
        assert each.distil == "undetermined"
        assert "the rank-surprisal ratio suggests to begin with large" in each.sentence
    assert engine_notes([before], summary) == ()


def test_without_readings_the_rest_is_known(make: Make) -> None:
    experiment = make(proxies={"traces": 0})
    made = plan(experiment, resolve_models(experiment)).before_training()
    answer = answered(made, scores)
    assert answer.findings is not None
    assert {each.proxy for each in answer.findings.leads} == {"few-shot gap", "yield", "mean trace length"}
    assert all("suggests to begin" not in each.sentence for each in answer.findings.recommendations)
