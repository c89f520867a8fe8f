"""Looking at trainings on development items: searches over the grid's cells, and cells that are given up.

The objective is accuracy on development items, each task of equal weight, by the rules; never the loss and never a
test item. A trial trains, and reports each export and the end when the standing engines have scored it (`landing.py`);
Tune's searcher and scheduler do the rest. Nothing of Tune's is ever restored: what was tried is read from the store.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.core.anytime import bounds, level
from capgap_ray.plan import Scored
from capgap_ray.records import Score
from capgap_ray.rows import from_row
from capgap_ray.settings import EarlyStop, Search
from capgap_ray.stages.landing import exports_so_far
from capgap_ray.stages.train import PROGRESS

ACCURACY, SHARE = "accuracy", "percent"
"""What a trial reports: of the development items, and of its own updates."""
_EVERY_S = 1.0
_ASKS = 32
"""Proposals of cells that were tried already after which chance decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How a training is looked at."""

    end: tuple[Scored, ...]
    """Its end on the development items, one per task."""
    untouched: tuple[Step, ...]
    """The untouched student's scores of the same."""
    early_stop: EarlyStop | None
    stop: Step | None
    """Built where the training is given up; None without `early_stop`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One export, scored on the development items."""

    update: int
    updates: int
    accuracy: float
    differences: tuple[float, ...]
    """Item by item, from the untouched student: -1, 0 or 1."""


def looks(store: Store, train: Step, watched: Watched, after: int = 0) -> Iterator[Look]:
    """The exports of a training that runs, later than the update `after`, in order, less those not scored by now.

    Where trainings are faster than the engines, not every export is looked at.
    """
    try:
        updates = json.loads(store.read_bytes(f"{train.address}/{PROGRESS}"))["updates"]
    except (FileNotFoundError, json.JSONDecodeError):
        return
    for update in sorted(int(each) for each in exports_so_far(store, train) if int(each) > after):
        found = _look(store, [each.after(update).score for each in watched.end], watched, update, updates)
        if found is not None:
            yield found


def end(store: Store, train: Step, watched: Watched) -> Look | None:
    """The trained cell, or None where it is not trained or not scored yet."""
    record = store.record(train)
    if record is None:
        return None
    updates = record.summary["updates"]
    return _look(store, [each.score for each in watched.end], watched, updates, updates)


def _look(store: Store, steps: Sequence[Step], watched: Watched, update: int, updates: int) -> Look | None:
    if not all(store.built(step) for step in steps):
        return None
    shares, differences = [], []
    for step, before in zip(steps, watched.untouched, strict=True):
        now, then = _right(store, step), _right(store, before)
        if not now:
            raise ValueError(f"{step.label}: none of the development items was answered")
        shares.append(sum(now.values()) / len(now))
        differences += [now[item] - then[item] for item in sorted(now.keys() & then.keys())]
    return Look(
        update=update, updates=updates, accuracy=sum(shares) / len(shares), differences=tuple(map(float, differences))
    )


def _right(store: Store, step: Step) -> dict[str, int]:
    scores = (from_row(Score, row) for row in store.rows(step))
    return {score.example_id: int(score.outcome == "right") for score in scores}


def hopeless(seen: Sequence[Look], rule: EarlyStop) -> dict[str, Any] | None:
    """What the last look says, if by it the training is to be given up; in points, for the store and the report."""
    judged = [look for look in seen if look.update >= rule.after * look.updates]
    if not judged or judged[-1] != seen[-1] or not seen[-1].differences:
        return None
    alpha = level(rule.alpha, len(judged))
    found = bounds(seen[-1].differences, alpha)
    if found.high >= -rule.margin_points / 100:
        return None
    return {
        "update": seen[-1].update,
        "updates": seen[-1].updates,
        "items": len(seen[-1].differences),
        "difference_points": 100 * found.mean,
        "low_points": 100 * found.low,
        "high_points": 100 * found.high,
        "look": len(judged),
        "alpha": alpha,
    }


class Hopeless(Exception):
    """A training that its early stop ended; what it saw is committed."""


def follow(
    store: Store,
    train: Step,
    watched: Watched,
    running: Callable[[], bool],
    report: Callable[[dict[str, float]], None],
    check: Callable[[], None],
) -> None:
    """Report every look at a training that runs until its end is scored. `check` may raise to end the waiting.

    Raises Hopeless where the training is hopeless.
    """
    seen: list[Look] = []
    while True:
        still = running()
        for look in looks(store, train, watched, seen[-1].update if seen else 0):
            seen.append(look)
            report({ACCURACY: look.accuracy, SHARE: 100 * look.update / look.updates})
            found = hopeless(seen, watched.early_stop) if watched.early_stop else None
            if found is not None and still:
                assert watched.stop
                store.commit(watched.stop, store.new_attempt(watched.stop), found, 0.0)
                raise Hopeless
        if not still:
            last = end(store, train, watched)
            if last is not None:
                report({ACCURACY: last.accuracy, SHARE: 100.0})
                return
        check()
        time.sleep(_EVERY_S)


# --- Tune's parts ----------------------------------------------------------------------------------------


def scheduler(settings: Search) -> TrialScheduler:
    if settings.scheduler == "none":
        return FIFOScheduler()
    return AsyncHyperBandScheduler(
        time_attr=SHARE,
        grace_period=100 * settings.grace,
        reduction_factor=settings.reduction,
        max_t=101,  # what is reported at 100 is the end
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The cells of one search."""

    settings: Search
    axes: Mapping[str, Mapping[str, str]]
    """Train step's key -> axis -> value in words."""
    begun: Sequence[str]
    """Keys of what an earlier run began: they come first."""
    known: Mapping[str, float]
    """Key -> accuracy of what an earlier run ended."""


class Picker(Searcher):  # type: ignore[misc]
    """Gives Tune cell after cell, none twice: as Optuna proposes them, or by chance."""

    def __init__(self, candidates: Candidates) -> None:
        super().__init__(metric=ACCURACY, mode="max")
        self._axes = {key: dict(values) for key, values in candidates.axes.items()}
        self._first = list(candidates.begun)
        self._tried = set(candidates.known)
        self._most = min(candidates.settings.trials, len(self._axes))
        self._key_of = {tuple(sorted(values.items())): key for key, values in self._axes.items()}
        self._order = sorted(self._axes)
        random.Random(f"search/{candidates.settings.seed}").shuffle(self._order)
        self._values = dict(candidates.known)
        self._inner = _optuna(candidates) if candidates.settings.searcher == "optuna" else None
        self._asked: dict[str, str] = {}
        """Key -> the name under which Optuna knows it."""
        self._of_trial: dict[str, str] = {}
        self._asks = 0
        for key, value in candidates.known.items():
            if self._inner is not None:
                self._inner.add_evaluated_point(self._axes[key], value)

    def suggest(self, trial_id: str) -> Any:
        if len(self._tried) >= self._most:
            return Searcher.FINISHED
        key = self._first.pop(0) if self._first else self._next()
        self._tried.add(key)
        self._of_trial[trial_id] = key
        return {"key": key}

    def _next(self) -> str:
        for _ in range(_ASKS):
            if self._inner is None:
                break
            self._asks += 1
            name = f"ask-{self._asks}"
            key = self._key_of.get(tuple(sorted(self._inner.suggest(name).items())))
            if key is not None and key not in self._tried:
                self._asked[key] = name
                return key
            known = self._values.get(key) if key is not None else None
            self._inner.on_trial_complete(name, None if known is None else {ACCURACY: known})
        return next(key for key in self._order if key not in self._tried)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        key = self._of_trial[trial_id]
        value = (result or {}).get(ACCURACY)
        if value is not None:
            self._values[key] = value
        if self._inner is None:
            return
        if key in self._asked:
            self._inner.on_trial_complete(self._asked[key], result if value is not None else None, error)
        elif value is not None:
            self._inner.add_evaluated_point(self._axes[key], value)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what was tried lies in the store."""

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("Tune's state is never restored")


def _optuna(candidates: Candidates) -> Any:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    names = next(iter(candidates.axes.values()))
    space = {
        name: optuna.distributions.CategoricalDistribution(
            tuple(dict.fromkeys(values[name] for values in candidates.axes.values()))
        )
        for name in names
    }
    return OptunaSearch(space, metric=ACCURACY, mode="max", seed=candidates.settings.seed)
