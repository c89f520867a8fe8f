"""The whole flow, shrunken: one task, one teacher, one student, two cells."""

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
EPOCHS = 4
SHRUNKEN = [
    "tasks=[tiny/dyck_languages]",
    "students=[tiny-student-0.15m]",
    "teachers={small: tiny-teacher-small}",
    "mixtures={small: {small: 1.0}}",
    "comparisons=[]",
    "split={train: 100, test: 30}",
    "selection={items: 30, gap_points: -100}",
    f"sft.epochs={EPOCHS}",
    "sft.checkpoints={at: [5]}",
    "proxies.traces=20",
]


def command(store: Path, job: str = "grid", overrides: Sequence[str] = ()) -> list[str]:
    words = [word for override in (*SHRUNKEN, *overrides) for word in ("--set", override)]
    return [sys.executable, f"jobs/{job}.py", "--store", str(store), *words]
