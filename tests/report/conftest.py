"""A small, realistic `Results`: 2 students, 2 teachers, 3 mixtures, 2 batches, 3 tasks (2 selected)."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from capgap_ray.core.findings import find
from capgap_ray.records import (
    Accuracy,
    Comparison,
    Confound,
    CorrectedAccuracy,
    Disagreement,
    Estimate,
    Example,
    FilterReport,
    JudgeAudit,
    JudgeErrors,
    KSamples,
    MixtureReport,
    RecipeCard,
    Score,
    Selection,
    StudentCost,
    TeacherCost,
    Verdict,
    content_id,
)
from capgap_ray.report import page
from capgap_ray.report.bundle import results_of
from capgap_ray.report.items import Arm, TaskSource
from capgap_ray.results import Checkpoint, Ledger, ProgressPoint, Results, TaskProtocol
from capgap_ray.results_file import read

STUDENTS = {"tiny-student-0.5m": 480_000, "tiny-student-2m": 2_100_000}
TEACHERS = {"tiny-teacher-small": 6_000_000, "tiny-teacher-large": 24_000_000}
MIXTURES = {
    "small": {"tiny-teacher-small": 1.0},
    "large": {"tiny-teacher-large": 1.0},
    "mix": {"tiny-teacher-small": 0.8, "tiny-teacher-large": 0.2},
}
BATCHES = {"2x1": 120, "5x4": 12}
"""Label -> optimizer updates."""
TASKS = ("boxes", "dates", "words")
SELECTED = ("boxes", "dates")
CHANCE = {"boxes": 1 / 3, "dates": 1 / 6}
"""`words` has free answers."""
AT_K = KSamples(
    samples=2,
    avg=Estimate(value=0.9, standard_error=0.03, items=39, unscored=1),
    passes={
        "1": Estimate(value=0.9, standard_error=0.03, items=39, unscored=1),
        "2": Estimate(value=0.95, standard_error=None, items=1, unscored=39),
    },
    maj=None,
)
AUDIT = JudgeAudit(
    judge="tiny-judge",
    prompt="capgap",
    seed=3,
    errors=(
        JudgeErrors(kind="corrupted", n=40, errors=2, unparsable=1, rate=0.05, low=0.006, high=0.169),
        JudgeErrors(kind="empty", n=0, errors=0, unparsable=5, rate=None, low=None, high=None),
    ),
    corrected=(
        CorrectedAccuracy(
            task="boxes",
            arm="tiny-student-2m",
            n=80,
            accepted_by_rules=20,
            asked=50,
            judged=0.35,
            corrected=0.31,
            low=0.2,
            high=0.42,
            note="",
        ),
        CorrectedAccuracy(
            task="dates",
            arm="tiny-student-2m",
            n=80,
            accepted_by_rules=20,
            asked=50,
            judged=0.35,
            corrected=None,
            low=None,
            high=None,
            note="not identifiable",
        ),
    ),
    disagreements=(
        Disagreement(
            task="boxes",
            arm="tiny-student-2m",
            example_id="e1",
            target="(B)",
            answer="<b>(A)</b>",
            rules="wrong",
            judge="yes",
        ),
    ),
)
YAML = "name: demo\ntasks: [boxes, dates, words]\nsft: {learning_rate: 1.0e-3}  # <- a & b\n"


@pytest.fixture(scope="session")
def results() -> Results:
    """The whole experiment."""
    return Results(
        experiment="demo",
        command="python jobs/grid.py --experiment demo",
        made_at="2025-01-02T03:04:05Z",
        versions={"ray": "2.60.0", "torch": "2.13.0"},
        experiment_yaml=YAML,
        selection=tuple(
            Selection(
                task=task,
                n=80,
                teacher_acc=0.9,
                student_acc=student,
                gap_points=100 * (0.9 - student),
                threshold_points=30.0,
                selected=task in SELECTED,
            )
            for task, student in zip(TASKS, cycle((0.2, 0.35, 0.8)), strict=False)
        ),
        accuracies=tuple(_accuracies(random.Random(1))),
        filters=tuple(
            FilterReport(
                teacher=teacher,
                task=task,
                seen=120,
                kept=100 + i,
                dropped={"wrong": 12 - i, "unparsable": 3, "truncated": 5},
            )
            for i, teacher in enumerate(TEACHERS)
            for task in SELECTED
        ),
        mixtures=tuple(
            MixtureReport(
                mixture=name,
                shares=shares,
                rows_by_teacher={teacher: round(200 * share) for teacher, share in shares.items()},
                rows_by_task={task: 100 for task in SELECTED},
                kept_by_teacher={teacher: 200 + 2 * i for i, teacher in enumerate(shares)},
                rows=200,
                seed=7,
            )
            for name, shares in MIXTURES.items()
        ),
        checkpoints=tuple(
            _checkpoint(student, mixture, batch) for student in STUDENTS for mixture in MIXTURES for batch in BATCHES
        ),
        comparisons=tuple(_comparisons(random.Random(2))),
        verdicts=tuple(_verdicts()),
        protocols=tuple(
            TaskProtocol(
                task=task, prompt="version v4, shots 3", stop=("\n\nQ:",), max_tokens=128, chance=CHANCE.get(task)
            )
            for task in TASKS
        ),
        judge_audit=AUDIT,
        stage_seconds={"generate": 61.25, "train": 3725.0, "judge": 0.4},
        progress=tuple(_progress()),
        ledger=Ledger(
            device="CPU",
            device_hours={"generate": 0.017, "train": 1.03},
            teachers=tuple(
                TeacherCost(
                    teacher=teacher,
                    rationales=240,
                    right=200,
                    tokens=9_600,
                    tokens_wrong=900,
                    tokens_unparsable=200,
                    tokens_cut=600,
                    tokens_duplicate=0,
                    device_hours=0.008,
                    tokens_per_right=48.0,
                    device_seconds_per_right=0.144,
                )
                for teacher in TEACHERS
            ),
            students=tuple(
                StudentCost(
                    student=student,
                    arm="mix / 2x1",
                    device_hours=0.1,
                    gain_points=26.2,
                    device_hours_per_point=0.0038,
                    mean_tokens=41.4,
                    untouched_mean_tokens=None,
                )
                for student in STUDENTS
            ),
        ),
    )


def _progress() -> Iterator[ProgressPoint]:
    for student in STUDENTS:
        for i, mixture in enumerate(MIXTURES):
            for batch, updates in BATCHES.items():
                for task in (*SELECTED, "all"):
                    for part in (0, 1, 2):
                        yield ProgressPoint(
                            student=student,
                            mixture=mixture,
                            batch=batch,
                            arm=f"{mixture} / {batch}",
                            task=task,
                            update=updates * part // 2,
                            updates=updates,
                            samples=120 * part,
                            n=160 if task == "all" else 80,
                            right=(20 + 4 * i * part + 8 * part) * (2 if task == "all" else 1),
                        )


@pytest.fixture(scope="session")
def html(results: Results) -> str:
    """The page of the whole experiment, drawn once."""
    return page.render(results)


@pytest.fixture
def empty(results: Results) -> Results:
    """An experiment of which nothing is done."""
    return dataclasses.replace(
        results,
        versions={},
        selection=(),
        accuracies=(),
        filters=(),
        mixtures=(),
        checkpoints=(),
        comparisons=(),
        verdicts=(),
        protocols=(),
        judge_audit=None,
        stage_seconds={},
        progress=(),
        ledger=None,
    )


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Results made elsewhere, findings alone: 3 students, 2 teachers, 2 tasks; on `dates` distillation harms."""
    dice, lines = random.Random(5), ["task,student,teacher,item,correct,size,outcome,tokens"]
    for task, gain in (("boxes", 0.3), ("dates", -0.3)):
        for student, size in (("s-0.5b", 0.5), ("s-1.5b", 1.5), ("s-7b", 7.0)):
            for teacher in ("", "t-14b", "t-72b"):
                for item in range(60):
                    right = dice.random() < 0.45 + (gain if teacher else 0)
                    outcome = "right" if right else "wrong"
                    lines.append(f"{task},{student},{teacher},{item},{int(right)},{size},{outcome},40")
    path = tmp_path_factory.mktemp("elsewhere") / "answers.csv"
    path.write_text("\n".join(lines) + "\n")
    return results_of(
        find(read(str(path))), experiment="answers.csv", command="python jobs/report.py", made_at="", versions={}
    )


@pytest.fixture
def tasks() -> tuple[TaskSource, ...]:
    """80 test items of both selected tasks, answered by every model and checkpoint."""
    return tuple(source(task, items=80) for task in SELECTED)


@pytest.fixture(scope="session")
def make_source() -> Callable[..., TaskSource]:
    """`source` as a fixture."""
    return source


def source(task: str, items: int, extra: str = "") -> TaskSource:
    """Items with made-up answers that depend on nothing but their names; `extra` stands in every text."""
    examples = [
        Example(
            id=content_id(task, str(i)),
            task=task,
            split="test" if i < items else "train",
            question=f"A ball starts in box {i % 3 + 1}.\nAnn swaps boxes 1 and 2.\nWhere is it?{extra}",
            target="(B)",
        )
        for i in range(items + 5)
    ]
    named = [(Arm(name, "teacher", None, None, None), 0.9) for name in TEACHERS]
    named += [(Arm(name, "baseline", name, None, None), 0.25) for name in STUDENTS]
    named += [
        (Arm(f"{student} / {mixture} / {batch}", "distilled", student, mixture, batch), 0.6)
        for student in STUDENTS
        for mixture in MIXTURES
        for batch in BATCHES
    ]
    arms = [(arm, lambda a=arm, s=share: _scores(examples[:items], a.label, s, extra)) for arm, share in named]
    return TaskSource(task, lambda: examples, arms)


def _scores(examples: list[Example], label: str, share: float, extra: str) -> list[Score]:
    dice = random.Random(label)
    scores = []
    for example in examples:
        right = dice.random() < share
        answer = "(B)" if right else dice.choice(["(A)", "(C)", None])
        unreadable = answer is None and dice.random() < 0.2
        scores.append(
            Score(
                example_id=example.id,
                task=example.task,
                model=label,
                target=example.target,
                text="The ball starts there. " * dice.choice([2, 6, 90]) + extra + f"\nSo the answer is {answer}.",
                answer=answer,
                finish_reason="stop",
                completion_tokens=30,
                outcome="right" if right else "unparsable" if answer is None else "wrong",
                strict=float(right),
                flexible=float(right),
                judged=None if unreadable else float(right),
                judge_verdict=None if right else "FALSE" + extra,
            )
        )
    return scores


def _accuracies(dice: random.Random) -> list[Accuracy]:
    rows = []
    for task in TASKS:
        for teacher, parameters in TEACHERS.items():
            rows += [_accuracy(task, part, "teacher", teacher, parameters, 0.9) for part in ("train", "test")]
        for student, parameters in STUDENTS.items():
            rows += [_accuracy(task, part, "baseline", student, parameters, 0.25) for part in ("train", "test")]
    for task in SELECTED:
        for student, parameters in STUDENTS.items():
            for mixture in MIXTURES:
                for batch in BATCHES:
                    arm = f"{student} / {mixture} / {batch}"
                    row = _accuracy(task, "test", "distilled", arm, parameters, dice.uniform(0.3, 0.7))
                    rows.append(dataclasses.replace(row, student=student, mixture=mixture, batch=batch))
    return rows


def _accuracy(task: str, part: str, role: str, arm: str, parameters: int, share: float) -> Accuracy:
    n = 80
    right = round(n * share)
    return Accuracy(
        task=task,
        part=part,  # type: ignore[arg-type]
        role=role,  # type: ignore[arg-type]
        arm=arm,
        student=arm if role == "baseline" else None,
        mixture=None,
        batch=None,
        parameters=parameters,
        n=n,
        right=right,
        wrong=n - right - 3,
        unparsable=2,
        truncated=1,
        unjudged=1,
        strict=(right - 1) / n,
        flexible=right / n,
        judged=None if role == "teacher" else (right + 1) / (n - 1),
        standard_error=math.sqrt(share * (1 - share) / n),
        mean_tokens=41.37,
        stop_hits={"\n\nQ:": 7},
        chance=CHANCE.get(task),
        at_k=AT_K if role == "teacher" else None,
    )


def _checkpoint(student: str, mixture: str, batch: str) -> Checkpoint:
    per_device, accumulation = map(int, batch.split("x"))
    updates = BATCHES[batch]
    recipe = RecipeCard(
        student=student,
        mixture=mixture,
        method="full",
        rows=200,
        epochs=2.0,
        workers=1,
        per_device_batch_size=per_device,
        gradient_accumulation_steps=accumulation,
        updates=updates,
        samples_per_update=per_device * accumulation,
        supervised_tokens=16_400,
        supervised_tokens_per_update=16_400 / updates,
        learning_rate=1e-3,
        lr_integral=updates * 5e-4,
        schedule="cosine",
        warmup_updates=1,
        packing=False,
        overlength="drop",
        cutoff_tokens=512,
        rows_dropped=0,
        rows_cut=0,
        template_hash="a1b2c3d4",
        prompt_hash="e5f60718",
        token_budget=128,
        engine="vllm 0.29.0 cpu",
        seed=7,
    )
    losses = tuple(0.4 + 2.5 * math.exp(-4 * (i + 1) / updates) for i in range(updates))
    return Checkpoint(student=student, mixture=mixture, path="model", recipe=recipe, losses=losses, seconds=12.5)


def _comparisons(dice: random.Random) -> list[Comparison]:
    rows = []
    for student in STUDENTS:
        for mixture in MIXTURES:
            for batch in BATCHES:
                for task in (*SELECTED, "all"):
                    arm = f"{student} / {mixture} / {batch}"
                    rows.append(comparison("gain", task, student, student, arm, dice.uniform(-0.1, 0.4)))
        rows.append(
            comparison("teacher", "all", student, f"{student} / small / 2x1", f"{student} / large / 2x1", 0.021)
        )
        unfair = comparison("declared", "all", student, f"{student} / large / 2x1", f"{student} / mix / 5x4", -0.084)
        updates = Confound(field="updates", left="120", right="12", note="10.0x fewer updates")
        rows.append(dataclasses.replace(unfair, confounds=(updates,)))
    nothing = comparison("teacher", "words", "tiny-student-2m", "small / 2x1", "mix / 2x1", 0.0)
    unknown = dict.fromkeys(("left_acc", "right_acc", "delta", "ci_low", "ci_high", "p", "p_adjusted", "mde"))
    return [*rows, dataclasses.replace(nothing, n=0, unscored=80, **unknown)]  # type: ignore[arg-type]


def comparison(kind: str, task: str, student: str, left: str, right: str, delta: float) -> Comparison:
    """A clean comparison with an interval of 8 points either side."""
    return Comparison(
        name=f"{right} vs {left}",
        kind=kind,  # type: ignore[arg-type]
        task=task,
        student=student,
        left=left,
        right=right,
        n=160 if task == "all" else 80,
        unscored=1,
        left_acc=0.25,
        right_acc=0.25 + delta,
        delta=delta,
        ci_low=delta - 0.08,
        ci_high=delta + 0.08,
        p=0.0312 if delta < 0.1 else 0.00002,
        p_adjusted=0.25 if delta < 0.1 else 0.0004,
        test="McNemar exact",
        mde=0.11,
        confounds=(),
    )


def _verdicts() -> list[Verdict]:
    rows = []
    for task in (*SELECTED, "all"):
        for student in STUDENTS:
            helped = student == next(iter(STUDENTS))
            rows.append(
                Verdict(
                    task=task,
                    student=student,
                    helps="improved" if helped else "undetermined",
                    best_mixture="mix",
                    teacher_to_use="tiny-teacher-small" if helped else None,
                    data_ratio=1.01,
                    reasons=("mix gains most", "the teachers cannot be told apart"),
                )
            )
    return rows
