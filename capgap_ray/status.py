"""What of an experiment is done, begun and failed, from the store alone: no cluster, no Ray."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from capgap_ray.analysis import selection
from capgap_ray.artifacts.step import Step, unique
from capgap_ray.artifacts.store import FAILURE, State, Store
from capgap_ray.choice import expected
from capgap_ray.flow import Run, reader, with_selected
from capgap_ray.plan import Plan

_PROGRESS = "progress.json"
"""What a training tells on its way, beside its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """The steps of one stage by state; what is in none of the three has not been begun."""

    stage: str
    steps: int
    built: int
    begun: int
    """Files without a record: the step runs, or was interrupted."""
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """A step that is begun or has failed."""

    address: str
    state: State
    detail: str
    """How far it is, or why it failed; empty where nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Of a whole experiment, in the order in which its stages run."""

    experiment: str
    selected: bool
    """Whether the tasks are selected already; if not, all are counted."""
    stages: tuple[StageStatus, ...]
    unfinished: tuple[StepStatus, ...]


def status(run: Run) -> Status:
    """Of the experiment as it would go on from the store. Opens the items and the records of selection only."""
    there = run.store.listing()
    measured = all(there.get(step.address) == "built" for made in run.plans for step in made.measuring())
    plans = [_with_selected(made, run) for made in run.plans] if measured else run.plans
    steps = unique(step for made in plans for step in expected(run.store, made).steps())
    return Status(
        experiment=run.experiment.name,
        selected=measured,
        stages=tuple(count(steps, there)),
        unfinished=tuple(
            StepStatus(address=step.address, state=there[step.address], detail=_detail(run.store, step.address))
            for step in steps
            if there.get(step.address, "built") != "built"
        ),
    )


def _with_selected(made: Plan, run: Run) -> Plan:
    tasks = [each.task for each in selection(made, reader(run.store)) if each.selected]
    return with_selected(run, made, tasks) if tasks else made


def count(steps: Iterable[Step], there: Mapping[str, State]) -> list[StageStatus]:
    """Steps by stage, in the order given; `there`: address -> state of what exists."""
    of_stage: dict[str, Counter[str]] = {}
    for step in steps:
        of_stage.setdefault(step.stage, Counter())[there.get(step.address, "absent")] += 1
    return [
        StageStatus(
            stage=stage,
            steps=states.total(),
            built=states["built"],
            begun=states["begun"],
            failed=states["failed"],
        )
        for stage, states in of_stage.items()
    ]


def _detail(store: Store, address: str) -> str:
    """How far a step is or why it failed. A file that another process is about to write counts as not there."""
    found: dict[str, dict[str, object]] = {}
    for name in (FAILURE, _PROGRESS):
        try:
            value = json.loads(store.read_bytes(f"{address}/{name}"))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(value, dict):
            found[name] = value
    if FAILURE in found:
        return " ".join(str(found[FAILURE].get("reason", "")).split())
    if _PROGRESS in found:
        told = found[_PROGRESS]
        return f"update {told.get('update')} of {told.get('updates')}, loss {told.get('loss')}"
    shards = sum(name.endswith(".json") for name in store.files(f"{address}/rows"))
    return f"{shards} shards written" if shards else ""


def lines(told: Status, limit: int = 20) -> list[str]:
    """The status for people; the last line says whether the experiment is done."""
    total = sum(each.steps for each in told.stages)
    built = sum(each.built for each in told.stages)
    note = "" if told.selected else " (tasks not selected yet: all counted)"
    made = [f"experiment  {told.experiment}: {built} of {total} steps built{note}"]
    for each in told.stages:
        rest = "".join(
            f", {number} {word}" for number, word in ((each.begun, "begun"), (each.failed, "failed")) if number
        )
        made.append(f"stage       {each.stage:<9} {each.built} of {each.steps}{rest}")
    shown: Sequence[StepStatus] = sorted(told.unfinished, key=lambda step: step.state, reverse=True)
    for step in shown[:limit]:
        made.append(f"{step.state:<11} {step.address}{': ' if step.detail else ''}{step.detail}")
    if len(shown) > limit:
        made.append(f"            and {len(shown) - limit} more")
    failed = sum(each.failed for each in told.stages)
    if built == total:
        made.append("done")
    else:
        made.append(f"not done: {total - built} steps to build" + (f", {failed} of them failed" if failed else ""))
    return made
