"""The ancestor repository's published distillation sets: ready-made rationales for problems of MATH's training split.

Every set was filtered by its authors to problems that both teachers of a pair solved (cross-teacher filtering), and
which problems of a mix take the long or large rationale is not documented.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from capgap_ray.core.task_spec import TaskError, TaskSpec
from capgap_ray.records import Message, TrainingExample, content_id
from capgap_ray.tasks.files import digests, tables
from capgap_ray.tasks.hub import unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """One data set of the `UWNSL` organisation on the Hub; fields `problem` and `solution`."""

    hub: str
    teacher: str
    """Model whose rationales these are; of a mix the two, the rarer one first."""
    rows: int | None
    """None: the card only gives a rounded number."""


PUBLISHED = {
    "short": PublishedSet(hub="UWNSL/MATH_training_split_short_cot", teacher="Qwen/Qwen2.5-32B-Instruct", rows=5383),
    "long": PublishedSet(hub="UWNSL/MATH_training_split_long_cot", teacher="Qwen/QwQ-32B-Preview", rows=5383),
    "small": PublishedSet(
        hub="UWNSL/MATH_training_split_distill_small_teacher", teacher="Qwen/Qwen2.5-3B-Instruct", rows=4539
    ),
    "large": PublishedSet(
        hub="UWNSL/MATH_training_split_distill_large_teacher", teacher="Qwen/Qwen2.5-72B-Instruct", rows=4539
    ),
    "mix-long": PublishedSet(
        hub="UWNSL/Mix-Long_long_0.2_short_0.8", teacher="Qwen/QwQ-32B-Preview+Qwen/Qwen2.5-32B-Instruct", rows=None
    ),
    "mix-large": PublishedSet(
        hub="UWNSL/Mix-Large_large_0.2_small_0.8",
        teacher="Qwen/Qwen2.5-72B-Instruct+Qwen/Qwen2.5-3B-Instruct",
        rows=None,
    ),
}


def published_rationales(name: str, data: str | None = None) -> list[TrainingExample]:
    """The rows of one set, in its order: the bare problem as user message, the solution as completion.

    `data`: a local file or folder or a URI of object storage; None for the Hub. `example_id` is the problem's content
    id, so the same problem has one id in all six sets. Raises TaskError on an unknown name, rows that will not do, or
    a Hub that cannot be reached.
    """
    if name not in PUBLISHED:
        raise TaskError(f"published set {name!r} is unknown; known: {', '.join(PUBLISHED)}")
    published = PUBLISHED[name]
    rows = _from_hub(name) if data is None else _from_files(name, data)
    return [
        TrainingExample(
            example_id=content_id("math-train", problem),
            task="math-train",
            teacher=published.teacher,
            messages=(Message(role="user", content=problem),),
            completion=solution,
        )
        for problem, solution in rows
    ]


def published_source(name: str, data: str | None) -> object:
    """What identifies a set's content: the digests of local files, which are read and checked, or the Hub's name.

    Raises TaskError on files that will not do.
    """
    return [PUBLISHED[name].hub, None] if data is None else digests(tables(published_spec(name), data))


def published_spec(name: str) -> TaskSpec:
    """The set as if it were a task, under its name in an experiment's `data`."""
    return TaskSpec(
        name=f"published/{name}",
        yaml=Path(),
        hub=PUBLISHED[name].hub,
        split="train",
        fields=("problem", "solution"),
        gold="solution",
        gold_form="text",
    )


def _from_files(name: str, data: str) -> list[tuple[str, str]]:
    return [(row["problem"], row["solution"]) for row in tables(published_spec(name), data)["train"].rows]


def _from_hub(name: str) -> list[tuple[str, str]]:
    from datasets import load_dataset

    try:
        rows = load_dataset(PUBLISHED[name].hub, split="train")
    except (OSError, ValueError) as error:
        raise unreachable(published_spec(name), error) from None
    return list(zip(rows["problem"], rows["solution"], strict=True))
