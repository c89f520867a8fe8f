"""The grid: every unique training step is one Ray Tune trial. A trial only drives; its workers hold the resources."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray.tune
from ray.tune.progress_reporter import TrialProgressCallback

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.experiment import Resources
from capgap_ray.stages.train import build_checkpoint

_TRIAL = {"CPU": 0.01}
"""Tune refuses 0; more could starve the trial's own workers on a small cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A checkpoint to make."""

    step: Step
    source: str
    """The student's folder or Hub id."""


class GridError(RuntimeError):
    """Trials failed; the message names each cell and why. The others' checkpoints are in the store."""


def run_grid(store: Store, trainings: Sequence[Training], resources: Resources, done: Callable[[str], None]) -> None:
    """Train every step that has no checkpoint yet. `done` is told each finished trial's label.

    Raises GridError after all trials have ended if any of them failed.
    """
    todo = {each.step.key: each for each in trainings if not store.built(each.step)}
    if not todo:
        return

    def trial(config: dict[str, Any]) -> None:
        training = todo[config["key"]]
        build_checkpoint(store, training.step, training.source, resources)

    def name(trial: Any) -> str:
        return str(todo[trial.config["key"]].step.label)

    with tempfile.TemporaryDirectory() as scratch:
        results = ray.tune.Tuner(
            ray.tune.with_resources(trial, _TRIAL),
            param_space={"key": ray.tune.grid_search(sorted(todo, key=lambda key: todo[key].step.label))},
            tune_config=ray.tune.TuneConfig(
                max_concurrent_trials=resources.trials,
                trial_name_creator=name,
                trial_dirname_creator=name,
                reuse_actors=True,
            ),
            run_config=ray.tune.RunConfig(
                name="grid", storage_path=scratch, verbose=0, callbacks=[_Progress(done, name)]
            ),
        ).fit()
    failed = [f"{todo[each.config['key']].step.label}: {_last_line(each.error)}" for each in results if each.error]
    if failed:
        raise GridError(f"{len(failed)} of {len(todo)} trials failed\n" + "\n".join(failed))


class _Progress(TrialProgressCallback):  # type: ignore[misc]
    """Tells the driver which trial ended, in the place of Tune's own callback, which prints.

    Tune writes its callbacks into its own state, from which we never restore: so this one leaves itself out.
    """

    def __init__(self, done: Callable[[str], None], name: Callable[[Any], str]) -> None:
        super().__init__()
        self._done, self._name = done, name

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        pass

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._done(self._name(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._done(f"{self._name(trial)}: FAILED")


def _last_line(error: Any) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else repr(error)
