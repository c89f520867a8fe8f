"""The grid: every unique training step is one Ray Tune trial. A trial only drives; its workers hold the resources."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import ray
import ray.tune
from ray.tune.execution import class_cache
from ray.tune.progress_reporter import TrialProgressCallback

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.settings import Resources
from capgap_ray.stages.crew import Crew, TrainingError
from capgap_ray.stages.desks import Tally, here
from capgap_ray.stages.search import ACCURACY, SHARE, Candidates, Hopeless, Picker, Watched, follow, scheduler
from capgap_ray.stages.train import build_checkpoint, train_job

_TRIAL = {"CPU": 0.01}
"""Tune refuses 0; more could starve the trial's own workers on a small cluster."""
_RETRIES = 3
"""Of a trial that died, with its node or alone, or failed in an unexpected way; beside the restarts of its workers."""
_LOG_LINES = 6
"""Of a failed trial that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A checkpoint to make."""

    step: Step
    source: str
    """The student's folder or Hub id."""
    watched: Watched | None = None
    """How it is looked at on the way; None for a training that always goes to its end."""

    def given_up(self, store: Store) -> bool:
        return self.watched is not None and self.watched.stop is not None and store.built(self.watched.stop)


Outcome = Literal["trained", "failed", "not trained", "stopped"]
"""How a trial ended. `not trained`: refused, or not begun in time; `stopped`: given up for what was seen on the way."""


class Watch(Protocol):
    """Is told of trials, in the driver's main thread."""

    def began(self, step: Step) -> None: ...

    def ended(self, step: Step, outcome: Outcome, accuracy: float | None) -> None:
        """`accuracy`: on development items, the last that was reported; None where none was."""

    def broken(self) -> bool:
        """Whether nothing can go on, so that no trial need wait."""


def run_grid(
    store: Store,
    trainings: Sequence[Training],
    resources: Resources,
    watch: Watch,
    until: float | None = None,
) -> dict[str, str]:
    """Train every step that has no checkpoint yet, those that another one is matched to before it.

    `watch` is told of each trial. No training is begun after `until`, in seconds since 1970. Returns, for every step
    that has no checkpoint at the end, its key and why, with the last lines of its trial's log.
    """
    waiting = {each.step.key: each for each in trainings if not store.built(each.step) and not each.given_up(store)}
    why: dict[str, str] = {}
    while ready := [each for each in waiting.values() if all(store.built(step) for step in _trained_first(each))]:
        why |= _run_trials(store, ready, resources, watch, until)
        for each in ready:
            del waiting[each.step.key]
    for key, each in waiting.items():
        missing = next(step for step in _trained_first(each) if not store.built(step))
        why[key] = f"{missing.label}, to which it is matched, is not trained"
    return why


def run_search(
    store: Store,
    trainings: Sequence[Training],
    candidates: Candidates,
    resources: Resources,
    watch: Watch,
    until: float | None = None,
) -> dict[str, str]:
    """Train some of the watched steps, as the search proposes them, and give up those that its scheduler ends.

    As `run_grid`, for the trials that failed.
    """
    return _run_trials(store, trainings, resources, watch, until, candidates)


def _trained_first(training: Training) -> list[Step]:
    return [step for step in training.step.inputs if step.stage == "train"]


def _run_trials(
    store: Store,
    trainings: Sequence[Training],
    resources: Resources,
    watch: Watch,
    until: float | None,
    candidates: Candidates | None = None,
) -> dict[str, str]:
    todo = {each.step.key: each for each in trainings}
    ended_well: set[str] = set()
    begun: set[str] = set()
    # What is given up takes its workers with it, so its process is not used again.
    gives_up = any(each.watched and each.watched.stop for each in trainings) or (
        candidates is not None and candidates.settings.scheduler != "none"
    )
    trials = len(todo) if candidates is None else min(len(todo), candidates.settings.trials - len(candidates.known))
    tally = here(Tally).remote(trials)

    def trial(config: dict[str, Any]) -> None:
        training = todo[config["key"]]
        ray.get(tally.begin.remote())
        if until is not None and time.time() > until:
            ray.get(tally.refuse.remote(training.step.key, "the budget was used up before it began"))
            return

        def build() -> None:
            build_checkpoint(store, training.step, training.source, resources, lambda n: _crew(n, resources))

        try:
            if training.watched is None:
                build()
            else:
                _follow(store, training.step, training.watched, build)
        except (ValueError, TrainingError) as error:  # would be refused again
            _dismiss()
            ray.get(tally.refuse.remote(training.step.key, str(error)))
        except (Hopeless, SystemExit):  # the latter is how Tune ends a trial
            return  # with the process go its workers
        except BaseException:
            _dismiss()
            raise
        if gives_up or ray.get(tally.none_left.remote()):
            _dismiss()

    def name(trial: Any) -> str:
        return str(todo[trial.config["key"]].step.label)

    def began(trial: Any) -> None:
        if trial.config["key"] not in begun:
            begun.add(trial.config["key"])
            watch.began(todo[trial.config["key"]].step)

    def ended(trial: Any, failed: bool) -> None:
        key, told = trial.config["key"], trial.last_result or {}
        outcome: Outcome = "trained"
        if failed:
            outcome = "failed"
        elif key in ray.get(tally.refused.remote()):
            outcome = "not trained"
        elif not store.built(todo[key].step) or told.get(SHARE, 100) < 100:  # the end is not what was seen last
            outcome = "stopped"
        if not failed:
            ended_well.add(key)
        watch.ended(todo[key].step, outcome, told.get(ACCURACY))

    # Tune would hand the driver's storage keys to its trials by a runtime environment, which Ray logs in clear. Nodes
    # have them from their own environment, or from the job's.
    class_cache.ENV_VARS_TO_PROPAGATE -= {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told below, once and short
    with tempfile.TemporaryDirectory() as scratch:
        results = ray.tune.Tuner(
            ray.tune.with_resources(trial, _TRIAL),
            param_space={"key": ray.tune.grid_search(sorted(todo, key=lambda key: _order(todo[key])))}
            if candidates is None
            else {},
            tune_config=ray.tune.TuneConfig(
                max_concurrent_trials=resources.trials,
                trial_name_creator=name,
                trial_dirname_creator=lambda trial: trial.config["key"],
                reuse_actors=not gives_up,
                **({} if candidates is None else _searching(candidates, trials)),
            ),
            run_config=ray.tune.RunConfig(
                name="grid",
                storage_path=scratch,
                verbose=0,
                failure_config=ray.tune.FailureConfig(max_failures=_RETRIES),
                callbacks=[_Progress(began, ended)],
                stop=_When(watch.broken),
            ),
        ).fit()
    errors = {each.config["key"]: last_lines(each.error) for each in results if each.error}
    errors |= ray.get(tally.refused.remote())
    missing = [key for key, each in todo.items() if not store.built(each.step)]
    if watch.broken():
        return {}
    due = missing if candidates is None else begun & set(missing)
    if any(key not in errors and key not in ended_well for key in due) or not (begun or errors):
        raise KeyboardInterrupt  # which Tune takes for itself, stops its trials, and returns
    return {key: errors[key] for key in missing if key in errors}


def _searching(candidates: Candidates, trials: int) -> dict[str, Any]:
    return {
        "metric": ACCURACY,
        "mode": "max",
        "search_alg": Picker(candidates),
        "scheduler": scheduler(candidates.settings),
        "num_samples": trials,
    }


def _follow(store: Store, step: Step, watched: Watched, build: Callable[[], None]) -> None:
    """Build in a thread beside, and report every look. Raises what building raises, and what `follow` does."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            build()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def check() -> None:
        if raised:
            raise raised[0]

    follow(store, step, watched, thread.is_alive, lambda told: ray.tune.report(told), check)


def _order(training: Training) -> tuple[int, str]:
    """Trainings of one number of workers come together, so that crews stay."""
    return training.step.params["sft"]["workers"], training.step.label


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


class _When(ray.tune.Stopper):  # type: ignore[misc]
    """Ends all trials when it is told to; leaves itself out of Tune's state, as `_Progress` does."""

    def __init__(self, ends: Callable[[], bool]) -> None:
        self._ends = ends

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __deepcopy__(self, memo: Any) -> _When:
        return self

    def __call__(self, trial_id: str, result: Any) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._ends()


class _Progress(TrialProgressCallback):  # type: ignore[misc]
    """Tells the driver which trial began and ended, in the place of Tune's own callback, which prints.

    Tune writes its callbacks into its own state, from which we never restore: so this one leaves itself out.
    """

    def __init__(self, began: Callable[[Any], None], ended: Callable[[Any, bool], None]) -> None:
        super().__init__()
        self._began, self._ended = began, ended

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._began(trial)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        pass

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._ended(trial, False)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._ended(trial, True)


def last_lines(error: Any, most: int = _LOG_LINES) -> str:
    """The last lines of an error's text, without the rulers and blank lines in between."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^~-=")]
    return "\n".join(lines[-most:]) or repr(error)
