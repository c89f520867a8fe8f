"""Losses on the way: to a terminal, to TensorBoard, to MLflow and Weights & Biases by Ray's own set-up functions.

Neither package is a dependency; toys stand for them. How the real ones answer was tried by hand: see `trackers.py`.
"""

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.stages import trackers, train
from capgap_ray.stages.loss_line import LossLine
from capgap_ray.stages.sft_worker import Place, Progress


def step(name: str) -> Step:
    return Step(stage="train", version=1, params={"name": name}, label=name)


def told(update: int, losses: tuple[float, ...], validation: float | None = None) -> Progress:
    return Progress(
        update=update, updates=20, loss=losses[-1], losses=losses, learning_rate=1e-3, validation=validation
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Kept:
    def __init__(self) -> None:
        self.values: dict[int, Mapping[str, float]] = {}

    def log(self, values: Mapping[str, float], update: int) -> None:
        self.values[update] = values

    def end(self) -> None:
        pass


def test_every_loss_is_told_and_a_full_disk_costs_the_line_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, kept = Store(str(tmp_path / "store")), Kept()
    place = Place(store=store, address="train/a", attempt="train/a/attempts/x", save_every=10)
    tell = train._teller(place, str(tmp_path), [kept])
    tell(told(10, tuple(float(each) for each in range(1, 11)), validation=2.5))

    def full(path: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_put", full)
    tell(told(20, (0.5,) * 10))
    assert list(kept.values) == list(range(1, 21))
    assert [kept.values[update]["loss"] for update in (1, 9, 10, 20)] == [1, 9, 10, 0.5]
    assert kept.values[10] == {"loss": 10, "learning_rate": 1e-3, "validation_loss": 2.5}
    assert json.loads((tmp_path / "store/train/a/progress.json").read_text())["update"] == 10
    assert list(tmp_path.glob("events.*"))


def test_the_loss_line_shows_what_runs_now_and_only_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    steps = [step("old"), step("one"), step("two"), step("ended")]

    def tell(which: Step, update: int) -> None:
        store.write_bytes(
            f"{which.address}/progress.json", json.dumps({"update": update, "updates": 20, "loss": 1.23456}).encode()
        )

    tell(steps[0], 5)
    monkeypatch.setattr("capgap_ray.stages.loss_line._EVERY_S", 0.01)
    screen = Terminal()
    with LossLine(store, steps, screen) as line:
        tell(steps[1], 7)
        tell(steps[3], 20)
        assert line.text() == "one: update 7 of 20, loss 1.235"
        while "one" not in screen.getvalue():
            pass
    assert "old" not in screen.getvalue(), "an interrupted run's line is not this one's"
    assert screen.getvalue().endswith("\r\x1b[K")
    pipe = io.StringIO()
    with LossLine(store, steps, pipe):
        tell(steps[1], 8)
    assert pipe.getvalue() == ""


def test_a_tracker_that_is_not_installed_is_named_with_the_mend() -> None:
    assert trackers.missing([]) is None
    if "mlflow" not in sys.modules and trackers.find_spec("mlflow") is None:
        assert trackers.missing(["mlflow"]) == (
            "resources.trackers: mlflow is not installed; pip install mlflow on every node, or remove it"
        )


def test_a_run_is_begun_at_each_and_ended_where_one_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def mlflow(recipe: dict[str, Any], **options: Any) -> Any:
        calls.append((recipe, options["run_name"], options["experiment_name"]))
        return SimpleNamespace(
            log_metrics=lambda values, step: calls.append((values, step)), end_run=lambda: calls.append("ended")
        )

    def wandb(recipe: dict[str, Any], **options: Any) -> Any:
        raise RuntimeError("no API key\nconfigured")

    monkeypatch.setattr("ray.air.integrations.mlflow.setup_mlflow", mlflow)
    monkeypatch.setattr("ray.air.integrations.wandb.setup_wandb", wandb)
    (run,) = trackers.start(["mlflow"], "student-mix", "abc", {"epochs": 2})
    run.log({"loss": 1.0}, 3)
    assert calls == [({"epochs": 2}, "student-mix", "capgap-ray"), ({"loss": 1.0}, 3)]
    with pytest.raises(ValueError, match="wandb cannot begin a run \\(no API key configured\\)"):
        trackers.start(["mlflow", "wandb"], "student-mix", "abc", {})
    assert calls[-1] == "ended", "none is left open"
