"""What a task declares about itself: pure data that the catalogue reads from the task's YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Family = Literal["bbh", "gsm8k", "maths", "other"]
"""Which rules read an answer of the task."""

GoldForm = Literal["text", "latex", "boxed", "gsm8k"]
"""`text`: any text. `latex`: an answer in LaTeX. `boxed`: a solution whose last box is the answer. `gsm8k`: a
solution that ends in `#### n`."""


class TaskError(ValueError):
    """A task or its data that cannot be used; one line that names the task or the file and row, and the mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One task: where its YAML lies, where its items come from and what they must look like."""

    name: str
    """As written in an experiment, such as `bbh/snarks`."""
    yaml: Path
    """The task in lm-eval's format: prompt, shots, filters and metric."""
    family: Family = "other"
    hub: str | None = None
    """Hub data set; None where the YAML makes its rows itself."""
    revision: str | None = None
    """Commit of the Hub data set; None takes the newest, and the report can then not name what was measured."""
    subset: str | None = None
    files: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Split and the files or patterns that the YAML itself names for it, where these are no data set of the Hub."""
    split: str = "test"
    """Split of the items that are measured."""
    train_split: str | None = None
    """Split of the task's own training items, if it has any."""
    fields: tuple[str, ...] = ()
    """Fields that every row must have, in the Hub's names; empty where the YAML's functions hide them."""
    gold: str | None = None
    """The field with the gold answer; its content is checked."""
    gold_form: GoldForm = "text"
    rows: int | None = None
    """Items of `split` as published; None where it is not known before they are read."""
    train_rows: int | None = None
    shots: int = 0
    """Few-shot examples of the task's own prompt."""
    stop: tuple[str, ...] = ()
    """The stop strings that lm-eval ships with the task; used under `parity: lm-eval` only."""
    file: str | None = None
    """A person's own items, where the task is one file of them, as `find_task` was asked for it."""
