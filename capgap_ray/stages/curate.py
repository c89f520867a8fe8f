"""Rationales -> filter -> mixture. Small, pure work over the store, done in the driver."""

from __future__ import annotations

from typing import Any

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.core.filtering import filter_rationales
from capgap_ray.core.mixing import mix, mixture_report
from capgap_ray.records import Example, FilterReport, Rationale, Score, TrainingExample, from_row, to_row


def build_mixture(store: Store, step: Step) -> None:
    """Build a `mix` step: filter every teacher's rationales, task by task, and mix what is kept."""
    store.build_rows(step, lambda: _mixture(store, step))


def _mixture(store: Store, step: Step) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    inputs = iter(step.inputs)
    rationales: dict[str, dict[str, list[Rationale]]] = {}
    """task -> teacher role -> rationales"""
    examples: dict[str, Example] = {}
    for role, task, slices in step.params["slices"]:
        examples.update({row["id"]: from_row(Example, row) for row in store.rows(next(inputs))})
        scores = [from_row(Score, row) for _ in range(slices) for row in store.rows(next(inputs))]
        rationales.setdefault(task, {})[role] = [_rationale(score, role) for score in scores]

    shares = dict(step.params["mixture"])
    pools: dict[str, list[TrainingExample]] = {role: [] for role in shares}
    reports: list[FilterReport] = []
    for by_teacher in rationales.values():
        for role in shares:
            kept, report = filter_rationales(by_teacher, role, across_teachers=step.params["across_teachers"])
            pools[role] += [_training_example(each, examples[each.example_id]) for each in kept]
            reports.append(report)
    seed = int(step.params["seed"])
    rows = mix(pools, shares, seed=seed)
    composition = mixture_report(step.label, pools, shares, rows, seed=seed)
    return [to_row(row) for row in rows], {
        "mixture": to_row(composition),
        "filters": {str(index): to_row(each) for index, each in enumerate(reports)},
    }


def _rationale(score: Score, role: str) -> Rationale:
    return Rationale(
        example_id=score.example_id,
        task=score.task,
        teacher=role,
        sample=0,
        text=score.text,
        answer=score.answer,
        outcome=score.outcome,
        tokens=score.completion_tokens,
    )


def _training_example(rationale: Rationale, example: Example) -> TrainingExample:
    return TrainingExample(
        example_id=example.id,
        task=example.task,
        teacher=rationale.teacher,
        messages=example.train_messages,
        completion=rationale.text,
    )
