"""A small experiment as a tree, to be changed and loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from capgap_ray.experiment import Experiment, load

TREE: dict[str, Any] = {
    "name": "small",
    "tasks": ["tiny/dyck_languages", "tiny/word_sorting"],
    "students": ["tiny-student-0.15m", "tiny-student-0.5m"],
    "teachers": {"small": "tiny-teacher-small", "large": "tiny-teacher-large"},
    "mixtures": {"small": {"small": 1.0}, "large": {"large": 1.0}, "mix": {"small": 0.8, "large": 0.2}},
    "split": {"train": 60, "test": 20},
    "selection": {"items": 20},
    "sft": {"workers": 2},
    "axes": {"sft.batch": ["2x1", "5x4"]},
    "judge": {"model": "tiny-judge", "prompt": "tiny"},
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Experiment]:
    """Load TREE with top-level changes (None removes a key)."""

    def loaded(**changes: Any) -> Experiment:
        tree = {key: value for key, value in {**TREE, **changes}.items() if value is not None}
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump(tree))
        return load(str(path))[0]

    return loaded
