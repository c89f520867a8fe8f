"""`Results`: what an experiment came to, as one JSON document, and the records that only it holds.

The analysis makes it and the report shows it; the core knows the records inside it, and not the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from capgap_ray.records import (
    Accuracy,
    Comparison,
    FilterReport,
    Findings,
    JudgeAudit,
    MixtureReport,
    RecipeCard,
    Selection,
    StudentCost,
    TeacherCost,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained student."""

    student: str
    mixture: str
    path: str
    """Folder of safetensors in Hugging Face layout, relative to its artifact."""
    recipe: RecipeCard
    losses: tuple[float, ...]
    """Training loss after each update, mean over supervised tokens."""
    seconds: float
    arm: str = ""
    """What differs from other cells of the student, e.g. `mix / 5x4`; empty in results made before it was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProtocol:
    """How a task was asked: what a reader has to know before comparing its scores with others'."""

    task: str
    prompt: str
    """Version, form and shots, in words."""
    stop: tuple[str, ...]
    """Stop strings beside the end token."""
    max_tokens: int
    chance: float | None
    """Expected accuracy of guessing (`core/chance.py`), in shares; None for free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressPoint:
    """One arm on the test items after so many updates, by the rules."""

    student: str
    mixture: str
    batch: str
    arm: str
    task: str
    """A task's name, or `all`."""
    update: int
    """0: the untouched student."""
    updates: int
    """Of the whole training."""
    samples: int
    """Training rows seen until then."""
    n: int
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the results cost to make, whenever they were made."""

    device: Literal["GPU", "CPU"]
    """What device-hours count."""
    device_hours: dict[str, float]
    """By stage, summed over steps."""
    teachers: tuple[TeacherCost, ...]
    students: tuple[StudentCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """How the reported cells of one student and mixture were chosen, on development items and never on test items."""

    student: str
    mixture: str
    searcher: str
    scheduler: str
    cells: int
    """That could have been tried."""
    tried: int
    trained: int
    """To their end; only these can be chosen."""
    stopped: int
    failed: int
    items: int
    """Development items, all tasks."""
    kept: tuple[str, ...]
    """Arms that went on to the test items, best first."""
    development: tuple[float, ...]
    """Their accuracy on the development items: the best of many, hence too good; the test items tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A cell that was stopped on the way, for being surely worse than the untouched student. It is no result."""

    student: str
    arm: str
    update: int
    updates: int
    items: int
    """Development items."""
    difference_points: float
    """From the untouched student, after `update` of `updates`."""
    low_points: float
    high_points: float
    """Bounds that hold at every look, each with chance 1 - alpha."""
    look: int
    alpha: float
    """Of this look, the experiment's alpha being shared among all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All that the report shows, as one JSON document."""

    experiment: str
    command: str
    made_at: str
    """ISO 8601, UTC."""
    versions: dict[str, str]
    experiment_yaml: str
    selection: tuple[Selection, ...]
    accuracies: tuple[Accuracy, ...]
    filters: tuple[FilterReport, ...]
    mixtures: tuple[MixtureReport, ...]
    checkpoints: tuple[Checkpoint, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    protocols: tuple[TaskProtocol, ...]
    judge_audit: JudgeAudit | None
    """None where the judge was not audited."""
    stage_seconds: dict[str, float]
    """Work time of every stage, summed over steps (overlapping steps count each)."""
    findings: Findings | None = None
    """What follows from all scores together; None in results made before it existed."""
    progress: tuple[ProgressPoint, ...] = ()
    """Accuracy on the way; empty unless `sft.checkpoints` asks for it."""
    ledger: Ledger | None = None
    """None in results made before it existed."""
    searches: tuple[Searched, ...] = ()
    """Empty without `search`."""
    given_up: tuple[GivenUp, ...] = ()
    """Empty without `development.early_stop`."""
