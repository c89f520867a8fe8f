"""The grid: every unique training step is one Ray Tune trial. A trial only drives; its workers hold the resources."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.tune
from ray.tune.progress_reporter import TrialProgressCallback

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.experiment import Resources
from capgap_ray.stages.crew import Crew, TrainingError
from capgap_ray.stages.train import build_checkpoint, train_job

_TRIAL = {"CPU": 0.01}
"""Tune refuses 0; more could starve the trial's own workers on a small cluster."""
_RETRIES = 1
"""Of a trial that failed, beside the restarts of its workers from their newest state."""
_LOG_LINES = 6
"""Of a failed trial that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A checkpoint to make."""

    step: Step
    source: str
    """The student's folder or Hub id."""


def run_grid(
    store: Store,
    trainings: Sequence[Training],
    resources: Resources,
    done: Callable[[str], None],
    until: float | None = None,
) -> dict[str, str]:
    """Train every step that has no checkpoint yet, those that another one is matched to before it.

    `done` is told each finished trial's label. No training is begun after `until`, in seconds since 1970. Returns, for
    every step that has no checkpoint at the end, its key and why, with the last lines of its trial's log.
    """
    waiting = {each.step.key: each for each in trainings if not store.built(each.step)}
    why: dict[str, str] = {}
    while ready := [each for each in waiting.values() if all(store.built(step) for step in _trained_first(each))]:
        why |= _run_trials(store, ready, resources, done, until)
        for each in ready:
            del waiting[each.step.key]
    for key, each in waiting.items():
        missing = next(step for step in _trained_first(each) if not store.built(step))
        why[key] = f"{missing.label}, to which it is matched, is not trained"
    return why


def _trained_first(training: Training) -> list[Step]:
    return [step for step in training.step.inputs if step.stage == "train"]


def _run_trials(
    store: Store, trainings: Sequence[Training], resources: Resources, done: Callable[[str], None], until: float | None
) -> dict[str, str]:
    todo = {each.step.key: each for each in trainings}
    # Not inside a trial's placement group, which has room for the trial only.
    tally = ray.remote(_Tally).options(num_cpus=0, scheduling_strategy="DEFAULT").remote(len(todo))

    def trial(config: dict[str, Any]) -> None:
        training = todo[config["key"]]
        ray.get(tally.begin.remote())
        if until is not None and time.time() > until:
            ray.get(tally.refuse.remote(training.step.key, "the budget was used up before it began"))
            return
        try:
            build_checkpoint(store, training.step, training.source, resources, lambda n: _crew(n, resources))
        except (ValueError, TrainingError) as error:  # would be refused again
            _dismiss()
            ray.get(tally.refuse.remote(training.step.key, str(error)))
        except BaseException:
            _dismiss()
            raise
        if ray.get(tally.none_left.remote()):
            _dismiss()

    def name(trial: Any) -> str:
        return str(todo[trial.config["key"]].step.label)

    def tell(trial: Any, failed: bool) -> None:
        refused = trial.config["key"] in ray.get(tally.refused.remote())
        done(name(trial) + (": FAILED" if failed else ": not trained" if refused else ""))

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told below, once and short
    with tempfile.TemporaryDirectory() as scratch:
        results = ray.tune.Tuner(
            ray.tune.with_resources(trial, _TRIAL),
            param_space={"key": ray.tune.grid_search(sorted(todo, key=lambda key: _order(todo[key])))},
            tune_config=ray.tune.TuneConfig(
                max_concurrent_trials=resources.trials,
                trial_name_creator=name,
                trial_dirname_creator=lambda trial: trial.config["key"],
                reuse_actors=True,
            ),
            run_config=ray.tune.RunConfig(
                name="grid",
                storage_path=scratch,
                verbose=0,
                failure_config=ray.tune.FailureConfig(max_failures=_RETRIES),
                callbacks=[_Progress(tell)],
            ),
        ).fit()
    errors = {each.config["key"]: last_lines(each.error) for each in results if each.error}
    errors |= ray.get(tally.refused.remote())
    missing = [key for key, each in todo.items() if not store.built(each.step)]
    if any(key not in errors for key in missing):
        raise KeyboardInterrupt  # which Tune takes for itself, stops its trials, and returns
    return {key: errors[key] for key in missing}


def _order(training: Training) -> tuple[int, str]:
    """Trainings of one number of workers come together, so that crews stay."""
    return training.step.params["sft"]["workers"], training.step.label


class _Tally:
    """How many trials have not begun yet, and which were refused."""

    def __init__(self, trials: int) -> None:
        self._left = trials
        self._refused: dict[str, str] = {}

    def refuse(self, key: str, why: str) -> None:
        self._refused[key] = why

    def refused(self) -> dict[str, str]:
        return self._refused

    def begin(self) -> None:
        self._left -= 1

    def none_left(self) -> bool:
        return self._left <= 0


_standing: list[Crew] = []
"""In a trial's process: the crew that its last trial left, if any. Tune uses the process for the next trial."""


def _crew(workers: int, resources: Resources) -> Crew:
    if _standing and (not _standing[0].stands or _standing[0].shape[0] != workers):
        _dismiss()
    if not _standing:
        _standing.append(Crew(workers, resources, train_job))
    return _standing[0]


def _dismiss() -> None:
    while _standing:
        _standing.pop().close()


class _Progress(TrialProgressCallback):  # type: ignore[misc]
    """Tells the driver which trial ended, in the place of Tune's own callback, which prints.

    Tune writes its callbacks into its own state, from which we never restore: so this one leaves itself out.
    """

    def __init__(self, tell: Callable[[Any, bool], None]) -> None:
        super().__init__()
        self._tell = tell

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        pass

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._tell(trial, False)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._tell(trial, True)


def last_lines(error: Any, most: int = _LOG_LINES) -> str:
    """The last lines of an error's text, without the rulers and blank lines in between."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^~-=")]
    return "\n".join(lines[-most:]) or repr(error)
