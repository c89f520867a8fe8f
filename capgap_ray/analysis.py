"""Scores -> comparisons -> verdicts. Pure: how steps are read is an argument.

The findings are those of `core/findings.py`, the same as for results made elsewhere; where items have several samples,
comparisons are of item means, and avg@k, pass@k and maj@k stand beside the accuracies.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from capgap_ray.artifacts.step import Step, canonical_json
from capgap_ray.catalog.models import MOVING
from capgap_ray.catalog.tasks import find_task, read_yaml
from capgap_ray.core.answers import same_answer
from capgap_ray.core.budget import lr_integral
from capgap_ray.core.findings import ALL
from capgap_ray.core.judge_audit import audit
from capgap_ray.core.judging import parse_verdict
from capgap_ray.core.passk import Sample, avg_at_k, k_samples
from capgap_ray.core.recommendation import verdicts
from capgap_ray.core.splitting import bare
from capgap_ray.core.statistics import binomial_standard_error
from capgap_ray.experiment import Experiment
from capgap_ray.plan import Cell, Plan
from capgap_ray.records import (
    Accuracy,
    Comparison,
    Example,
    FilterReport,
    Findings,
    JudgeAudit,
    JudgeProbe,
    KSamples,
    MixtureReport,
    RecipeCard,
    Score,
    Selection,
    TrainingExample,
    content_id,
)
from capgap_ray.results import Checkpoint, Results, TaskProtocol
from capgap_ray.rows import from_row
from capgap_ray.scored_arms import findings, selected

ReadScores = Callable[[Step], Sequence[Score]]
ReadSummary = Callable[[Step], Mapping[str, Any]]


def selection(plan: Plan, scores: ReadScores) -> tuple[Selection, ...]:
    """Which tasks go on: the gap rule on the measured training items (never on test items)."""
    return selected(plan, scores)


def left_out(plan: Plan, rows: Callable[[Step], Iterable[Mapping[str, Any]]]) -> dict[str, tuple[str, ...]]:
    """Task, or `published/<set>` -> ids of those training items whose problem is a test item of any task.

    Tasks can share problems (MATH and MATH-500) and ask for them in other words. `rows` of what is not built: none.
    """
    items = [
        (each, bare(each.question, template))
        for task, step in plan.examples.items()
        for template in [_template(task)]
        for each in (from_row(Example, row) for row in rows(step))
    ]
    tests = {problem for each, problem in items if each.split == "test"}
    found: dict[str, list[str]] = {}
    for each, problem in items:
        if each.split == "train" and problem in tests:
            found.setdefault(each.task, []).append(each.id)
    for role, step in plan.published.items():
        for row in (from_row(TrainingExample, row) for row in rows(step)):
            if bare(row.messages[-1].content, "") in tests:
                found.setdefault(f"published/{plan.experiment.published[role]}", []).append(row.example_id)
    return {source: tuple(ids) for source, ids in found.items()}


def _template(task: str) -> str:
    """The Jinja text that makes the task's questions; empty where a function or a field's name does."""
    declared = read_yaml(find_task(task).yaml)[0].get("doc_to_text")
    return declared if isinstance(declared, str) else ""


def results(
    plan: Plan,
    scores: ReadScores,
    summary: ReadSummary,
    *,
    chosen: tuple[Selection, ...],
    seconds: Mapping[str, float],
    versions: Mapping[str, str],
    command: str,
    made_at: str,
    experiment_yaml: str,
    chance: Mapping[str, float | None] = MappingProxyType({}),
    choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
    judge_audit: JudgeAudit | None = None,
) -> Results:
    """Everything the report shows, from a plan whose steps are all built.

    `chance` is the chance level of tasks (`core.chance.chance_level` of their items); None or absent: not known.
    `choices` are the option texts of items by id; absent: the item has none.
    """
    cards = {cell.train.key: recipe_card(plan.experiment, cell, summary(cell.train)) for cell in plan.cells}
    mixed = {name: summary(step) for name, step in plan.mixtures.items()}
    kept = {name: [from_row(FilterReport, row) for row in each["filters"].values()] for name, each in mixed.items()}
    filters = _filters(plan, kept)
    found = findings(plan, scores, cards, chosen, kept, summary)
    compared = comparisons(found)
    return Results(
        experiment=plan.experiment.name,
        command=command,
        made_at=made_at,
        versions=dict(versions),
        experiment_yaml=experiment_yaml,
        selection=chosen,
        accuracies=tuple(_accuracies(plan, scores, chance, choices)),
        filters=filters,
        mixtures=tuple(from_row(MixtureReport, each["mixture"]) for each in mixed.values()),
        checkpoints=tuple(_checkpoint(cell, cards[cell.train.key], summary(cell.train)) for cell in plan.cells),
        comparisons=tuple(compared),
        verdicts=verdicts(compared, filters, plan.experiment.students, _by_size(plan)),
        protocols=tuple(_protocol(plan.experiment, task, chance.get(task)) for task in plan.experiment.task_names()),
        judge_audit=judge_audit,
        stage_seconds=dict(seconds),
        findings=found,
    )


def _filters(plan: Plan, kept: Mapping[str, Sequence[FilterReport]]) -> tuple[FilterReport, ...]:
    """What every filter of the grid kept, once; where it is not the experiment's own, its arm follows the teacher."""
    found: dict[tuple[str, str], FilterReport] = {}
    for name, reports in kept.items():
        mixture = max((m for m in plan.experiment.shares() if f"{name} ".startswith(f"{m} ")), key=len)
        for report in reports:
            teacher = report.teacher + name.removeprefix(mixture)
            found.setdefault((teacher, report.task), dataclasses.replace(report, teacher=teacher))
    return tuple(found.values())


def comparisons(found: Findings) -> tuple[Comparison, ...]:
    """The family's comparisons of single students, by kind, student, arms and task."""
    every = [
        *(each.comparison for each in found.efficacy),
        *(each.comparison for each in found.advantages if each.student != ALL),
        *found.declared,
    ]
    kinds = ("gain", "teacher", "declared")
    tasks = {task: i for i, task in enumerate((*found.tasks, ALL))}
    students = {student: i for i, student in enumerate(found.students)}
    return tuple(
        sorted(every, key=lambda c: (kinds.index(c.kind), students[c.student], c.left, c.right, tasks[c.task]))
    )


def form_notes(plan: Plan) -> tuple[str, ...]:
    """A warning where students are trained in another form than they are asked in: a gain or loss may be its own."""
    notes = []
    if plan.cells and plan.experiment.prompt.chat == "plain":
        notes.append(
            "prompt.chat: plain asks without a chat template, and training renders every row with one; part of any "
            "change may be that of the form"
        )
    if any(cell.sft.system == "ancestor" for cell in plan.cells):
        notes.append(
            "sft.system: ancestor trains with another system message than evaluation asks with; part of any change may "
            "be that of the form"
        )
    return tuple(notes)


def revision_notes(plan: Plan) -> tuple[str, ...]:
    """A warning where the Hub says what a model is, and may say something else tomorrow."""
    moving = [name for name, model in plan.models.items() if model.source.endswith(MOVING)]
    if not moving:
        return ()
    return (
        f"{', '.join(moving)}: no revision is named, so the Hub's main branch is taken; should it change, results in "
        "the store are taken for those of the new weights. Name each one's to repeat this exactly, such as "
        f"`--set models.{moving[0]}.revision=COMMIT`",
    )


def engine_notes(plans: Iterable[Plan], summary: Callable[[Step], Mapping[str, Any]]) -> tuple[str, ...]:
    """A warning for each student and task whose answers, before and after, come from engines of more than one
    fingerprint (version, precision, batch, hardware). They are compared all the same: the settings that a person
    chooses are equal, and are part of every identity."""
    used: dict[tuple[str, str], dict[str, None]] = {}
    for made in plans:
        for task in made.tasks if made.baselines else ():
            steps = [(student.name, made.baselines[student.name, task]) for student in made.students()]
            steps += [(cell.student.name, made.predictions[cell.train.key, task]) for cell in made.cells]
            for student, scored in steps:
                used.setdefault((student, task), {}).update(dict.fromkeys(summary(scored.complete)["engines"]))
    return tuple(
        f"{student} on {task}: answers come from {len(engines)} kinds of engine ({'; '.join(engines)}); what they "
        "differ by may be theirs"
        for (student, task), engines in used.items()
        if len(engines) > 1
    )


def judge_audit(plan: Plan, scores: ReadScores, rows: Iterable[Mapping[str, Any]]) -> JudgeAudit:
    """The judge's errors on the audit step's rows, and every arm's accuracy corrected for them."""
    verdicts = []
    for row in rows:
        probe = from_row(JudgeProbe, {name: value for name, value in row.items() if name != "reply"})
        verdicts.append((probe, parse_verdict(row["reply"])))
    arms = {(task, name): scores(scored.last) for (name, task), scored in plan.baselines.items()}
    for cell in plan.cells:
        for task in plan.tasks:
            arms[task, f"{cell.student.name} / {cell.arm}"] = scores(plan.predictions[cell.train.key, task].last)
    experiment = plan.experiment
    return audit(experiment.judge.model, experiment.judge.prompt, experiment.sampling.seed, verdicts, arms)


def _protocol(experiment: Experiment, task: str, chance: float | None) -> TaskProtocol:
    settings = experiment.prompt.model_dump(mode="json")
    return TaskProtocol(
        task=task,
        prompt=", ".join(f"{name} {value}" for name, value in settings.items()),
        stop=experiment.stop(task),
        max_tokens=experiment.sampling.max_tokens,
        chance=chance,
    )


def recipe_card(experiment: Experiment, cell: Cell, trained: Mapping[str, Any]) -> RecipeCard:
    """The cell's recipe and what training made of it (`trained`: the train step's summary)."""
    sft = cell.sft
    return RecipeCard(
        student=cell.student.name,
        mixture=cell.mixture,
        method=sft.method_name(),
        rows=trained["rows"],
        epochs=trained["epochs"],
        workers=sft.workers,
        per_device_batch_size=sft.batch.per_device,
        gradient_accumulation_steps=sft.batch.accumulation,
        updates=trained["updates"],
        samples_per_update=round(
            sft.batch.per_device * sft.batch.accumulation * sft.workers * trained["rows"] / trained["slots"]
        ),
        supervised_tokens=trained["supervised_tokens"],
        supervised_tokens_per_update=trained["supervised_tokens"] / trained["updates"],
        learning_rate=sft.learning_rate,
        lr_integral=lr_integral(trained["updates"], sft.learning_rate, trained["warmup_updates"], sft.schedule),
        schedule=sft.schedule,
        warmup_updates=trained["warmup_updates"],
        packing=sft.packing != "none",
        overlength=sft.overlength,
        cutoff_tokens=sft.cutoff_tokens,
        rows_dropped=trained["rows_dropped"],
        rows_cut=trained["rows_cut"],
        template_hash=trained["template_hash"],
        prompt_hash=content_id(canonical_json(experiment.prompt.model_dump())),
        token_budget=experiment.sampling.max_tokens,
        engine=f"vllm/{experiment.engine.dtype}/{experiment.engine.max_model_len}",
        seed=sft.seed,
        attention="pack" if sft.packing == "joined" else "example",
        loss=sft.loss,
        weight_decay=sft.weight_decay,
        clip=sft.clip,
        precision=sft.precision,
        rows_held_out=trained["rows_held_out"],
        filter=", ".join(f"{k} {v}" for k, v in cell.filter.model_dump(exclude_defaults=True).items()) or None,
        judge=f"{experiment.judge.model}, prompt {experiment.judge.prompt}, when {experiment.judge.when}",
        rendering=f"system {sft.system}, final newline {'in' if sft.loss_on_final_newline else 'out'}",
        chat_template=experiment.chat_templates.get(cell.student.name, "own").rpartition("/")[2],
    )


def _checkpoint(cell: Cell, card: RecipeCard, trained: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(
        student=cell.student.name,
        mixture=cell.mixture,
        path=cell.train.address,
        recipe=card,
        losses=tuple(trained["losses"]),
        seconds=float(trained["seconds"]),
        arm=cell.arm,
    )


def _by_size(plan: Plan) -> tuple[str, str] | None:
    """(role of the largest teacher, role of the smallest); None where all are of one size."""
    roles = sorted(plan.teachers().items(), key=lambda item: item[1].parameters)
    smallest, largest = roles[0], roles[-1]
    return (largest[0], smallest[0]) if largest[1].parameters > smallest[1].parameters else None


# --- accuracies ------------------------------------------------------------------------------------


def _accuracies(
    plan: Plan, scores: ReadScores, chance: Mapping[str, float | None], choices: Mapping[str, Sequence[str]]
) -> list[Accuracy]:
    made = []
    for (name, task), scored in plan.measured.items():
        who = _untouched(plan, name, task, "train")
        made.append(_accuracy(scores(scored.score), choices, chance=chance.get(task), **who))
    for (name, task), scored in plan.baselines.items():
        who = _untouched(plan, name, task, "test")
        made.append(_accuracy(scores(scored.last), choices, chance=chance.get(task), **who))
    for cell in plan.cells:
        for task in plan.tasks:
            made.append(
                _accuracy(
                    scores(plan.predictions[cell.train.key, task].last),
                    choices,
                    task=task,
                    part="test",
                    role="distilled",
                    arm=f"{cell.student.name} / {cell.arm}",
                    student=cell.student.name,
                    mixture=cell.mixture,
                    batch=str(cell.sft.batch),
                    parameters=cell.student.parameters,
                    chance=chance.get(task),
                )
            )
    return made


def _untouched(plan: Plan, name: str, task: str, part: Literal["train", "test"]) -> dict[str, Any]:
    student = name in plan.experiment.students
    return {
        "task": task,
        "part": part,
        "role": "baseline" if student else "teacher",
        "arm": name,
        "student": name if student else None,
        "mixture": None,
        "batch": None,
        "parameters": plan.models[name].parameters,
    }


def _accuracy(scores: Sequence[Score], choices: Mapping[str, Sequence[str]], **who: Any) -> Accuracy:
    n = len(scores)
    counts: dict[str, Any] = {
        outcome: sum(score.outcome == outcome for score in scores)
        for outcome in ("right", "wrong", "unparsable", "truncated")
    }
    judged = [score.judged for score in scores if score.judged is not None]
    hits = Counter(score.stop_reason for score in scores if score.stop_reason is not None)
    by_item: dict[str, list[Score]] = {}
    for score in scores:
        by_item.setdefault(score.example_id, []).append(score)
    several = len(by_item) < n
    repeated = len({(score.example_id, score.sample) for score in scores}) < n  # by another split's student
    return Accuracy(
        **who,
        **counts,
        n=n,
        unjudged=n - len(judged) if who["part"] == "test" else 0,
        strict=sum(score.strict for score in scores) / n,
        flexible=sum(score.flexible for score in scores) / n,
        judged=sum(judged) / len(judged) if judged else None,
        standard_error=_clustered(by_item) if several else binomial_standard_error(counts["right"], n),
        mean_tokens=sum(score.completion_tokens for score in scores) / n,
        stop_hits=dict(sorted(hits.items())),
        at_k=_at_k(by_item, choices, judged=who["part"] == "test") if several and not repeated else None,
    )


def _clustered(by_item: Mapping[str, Sequence[Score]]) -> float | None:
    flexible = {item: [Sample(score.answer, score.flexible) for score in each] for item, each in by_item.items()}
    return avg_at_k(flexible).standard_error


def _at_k(by_item: Mapping[str, Sequence[Score]], choices: Mapping[str, Sequence[str]], *, judged: bool) -> KSamples:
    """Training items are never judged: their metrics rest on the flexible score."""

    def same(item: str, left: str, right: str) -> bool:
        score, own = by_item[item][0], choices.get(item, ())
        return same_answer(left, right, score.target, own, find_task(score.task).family)

    k = max(map(len, by_item.values()))
    samples = {
        item: [
            *(Sample(score.answer, score.judged if judged else score.flexible) for score in each),
            *[Sample(None, None)] * (k - len(each)),  # quarantined: unscored
        ]
        for item, each in by_item.items()
    }
    return k_samples(samples, same)
