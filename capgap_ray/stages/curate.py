"""Rationales -> filter -> mixture. Small, pure work over the store, done in the driver."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.tasks import find_task
from capgap_ray.core.answers import same_answer
from capgap_ray.core.contamination import ContaminationIndex
from capgap_ray.core.filtering import Filtered, Rules, filter_rationales
from capgap_ray.core.mixing import composition, mix, mixture_report
from capgap_ray.records import Example, Rationale, Score, TrainingExample
from capgap_ray.rows import from_row, to_row


class MixtureError(RuntimeError):
    """A mixture that the kept rationales cannot give; the message is for people."""


def build_mixture(store: Store, step: Step) -> str:
    """Build a `mix` step: filter every teacher's rationales, task by task, and mix what is kept.

    Beside the rows stands `contamination.parquet`: every training item that holds a test item's words. Returns the
    composition in one line. Raises MixtureError, with what the filter dropped, if there is too little to mix.
    """
    existing = store.record(step)
    if existing is None:
        begun = time.monotonic()
        rows, summary, matches = _mixture(store, step)
        attempt = store.new_attempt(step)
        store.write_rows(f"{attempt}/rows.parquet", rows)
        store.write_rows(f"{attempt}/contamination.parquet", matches)
        existing = store.commit(
            step, attempt, {"rows": len(rows), **summary}, time.monotonic() - begun, [f"{attempt}/rows.parquet"]
        )
    return str(existing.summary["composition"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """What each teacher's rationales give, before mixing."""

    rows: Mapping[str, Sequence[TrainingExample]]
    """Role -> what trains."""
    filtered: Filtered


def kept_pools(store: Store, step: Step, roles: Collection[str]) -> tuple[Pools, Iterator[Step]]:
    """Filter the rationales that a step's inputs hold (`plan._pools`). Returns the roles' pools and the inputs left."""
    inputs = iter(step.inputs)
    traces: dict[str, dict[str, list[Rationale]]] = {}
    """task -> teacher role -> rationales"""
    examples: dict[str, Example] = {}
    for role, task, slices in step.params["slices"]:
        examples.update({row["id"]: from_row(Example, row) for row in store.rows(next(inputs))})
        scores = [from_row(Score, row) for _ in range(slices) for row in store.rows(next(inputs))]
        traces.setdefault(task, {})[role] = [_rationale(score, role) for score in scores]
    ready = {role: [from_row(TrainingExample, row) for row in store.rows(next(inputs))] for role in _published(step)}
    left_out = frozenset(step.params.get("left_out", ()))
    held_out = _development_questions(examples.values(), int(step.params.get("development", 0)))
    for of_role in traces.values():
        for role, rationales in of_role.items():
            of_role[role] = [each for each in rationales if _words(examples[each.example_id]) not in held_out]
    settings = dict(step.params["filter"])
    decontaminate = settings.pop("decontaminate")
    tests = None
    if decontaminate is not None:
        # The plan adds the items of every task of the experiment, those that selection dropped among them.
        items = [from_row(Example, row) for _ in range(step.params["tests"]) for row in store.rows(next(inputs))]
        tests = ContaminationIndex((each for each in items if each.split == "test"), **decontaminate)
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    filtered = filter_rationales(
        traces,
        Rules(**plain),
        questions={each.id: each.question for each in examples.values()},
        same=lambda item, one, other: _same(examples[item], one, other),
        tests=tests,
        left_out=left_out,
    )
    rows = {
        role: [dataclasses.replace(row, teacher=role) for row in ready[role] if row.example_id not in left_out]
        if role in ready
        else [_training_example(row, role, examples) for row in filtered.kept[role]]
        for role in roles
    }
    return Pools(rows=rows, filtered=filtered), inputs


def _mixture(store: Store, step: Step) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    shares = dict(step.params["mixture"])
    pools, inputs = kept_pools(store, step, shares)
    filtered = pools.filtered
    try:
        rows = _mixed(store, step, inputs, pools.rows)
    except ValueError as error:
        counts = "; ".join(
            f"{each.teacher} on {each.task}: kept {each.kept} of {each.seen}"
            + "".join(f", {count} {reason}" for reason, count in each.dropped.items())
            for each in filtered.reports
            if each.teacher in shares
        )
        raise MixtureError(f"mixture {step.label}: {error} ({counts})") from None
    report = mixture_report(step.label, pools.rows, shares, rows, seed=int(step.params["seed"]))
    summary = {
        "mixture": to_row(report),
        "composition": composition(report),
        "filters": {str(index): to_row(each) for index, each in enumerate(filtered.reports) if each.teacher in shares},
        "contaminated": sum(match.dropped for match in filtered.contaminated),
    }
    return [to_row(row) for row in rows], summary, [to_row(match) for match in filtered.contaminated]


def _development_questions(examples: Iterable[Example], items: int) -> set[str]:
    """Questions of the last `items` training items of each task: an item with the same one must not train."""
    of_task: dict[str, list[str]] = {}
    for each in examples:
        if each.split == "train":
            of_task.setdefault(each.task, []).append(_words(each))
    return {question for found in of_task.values() for question in found[len(found) - items :]} if items else set()


def _words(example: Example) -> str:
    return " ".join(example.question.split())


def _mixed(
    store: Store, step: Step, inputs: Iterator[Step], pools: Mapping[str, Sequence[TrainingExample]]
) -> list[TrainingExample]:
    """The rows that the shares allow, or as many as are asked for; of matched mixtures as many as the smaller has."""
    shares, seed, mixing = dict(step.params["mixture"]), int(step.params["seed"]), step.params["mixing"]
    if step.params.get("rows") == "least":
        most = len(mix(pools, shares, seed=seed, rows=mixing["total"] if mixing["by"] == "rows" else None))
        return mix(pools, shares, seed=seed, rows=min(most, len(store.rows(next(inputs)))))
    if mixing["by"] == "tokens":
        return mix(pools, shares, seed=seed, by="tokens", tokens=mixing["total"])
    return mix(pools, shares, seed=seed, rows=mixing["total"])


def _published(step: Step) -> list[str]:
    """The mixture's roles whose rationales are ready-made, filtered by their authors."""
    return list(step.params.get("published", ()))


def _same(item: Example, one: str, other: str) -> bool:
    return same_answer(one, other, item.target, item.choices, find_task(item.task).family)


def _rationale(score: Score, role: str) -> Rationale:
    return Rationale(
        example_id=score.example_id,
        task=score.task,
        teacher=role,
        sample=score.sample,
        text=score.text,
        answer=score.answer,
        outcome=score.outcome,
        tokens=score.completion_tokens,
    )


def _training_example(rationale: Rationale, role: str, examples: Mapping[str, Example]) -> TrainingExample:
    example = examples[rationale.example_id]
    return TrainingExample(
        example_id=example.id,
        task=example.task,
        teacher=role,
        messages=example.train_messages,
        completion=rationale.text,
        tokens=rationale.tokens,
        written_by=None if rationale.teacher == role else rationale.teacher,
    )
