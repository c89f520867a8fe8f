"""Which cells go on to the test items: what a search has tried and chosen, and what was given up. From the store alone.

Tune's own state is never read again: a search writes down each trial when it begins and when it ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.plan import Cell, Plan
from capgap_ray.results import GivenUp, Searched


class Log:
    """The trials of one search: train step's key -> {"outcome", "accuracy"}, both None while it runs."""

    def __init__(self, store: Store, search: Step) -> None:
        self._store, self._folder = store, f"{search.address}/trials"

    def entries(self) -> dict[str, dict[str, Any]]:
        return {
            name.removesuffix(".json"): json.loads(self._store.read_bytes(f"{self._folder}/{name}"))
            for name in sorted(self._store.files(self._folder))
            if name.endswith(".json")
        }

    def note(self, key: str, outcome: str | None = None, accuracy: float | None = None) -> None:
        told = {"outcome": outcome, "accuracy": accuracy}
        self._store.write_bytes(f"{self._folder}/{key}.json", json.dumps(told).encode())


def groups(made: Plan) -> list[tuple[str, str]]:
    """(student, mixture) of every search, in the grid's order."""
    return list(dict.fromkeys((cell.student.name, cell.mixture) for cell in made.cells))


def best(made: Plan, student: str, mixture: str, entries: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    """The cells that go on, best first; of equal ones that which the grid has first."""
    settings = made.experiment.search
    assert settings
    trained = [
        cell
        for cell in made.candidates(student, mixture)
        if entries.get(cell.train.key, {}).get("outcome") == "trained"
    ]
    return sorted(trained, key=lambda cell: -entries[cell.train.key]["accuracy"])[: settings.keep]


def searched(store: Store, made: Plan, student: str, mixture: str) -> Searched:
    """Raises StoreError where nothing was tried yet."""
    experiment = made.experiment
    assert experiment.search and experiment.development
    search = made.search(student, mixture)
    entries = Log(store, search).entries()
    if not entries:
        raise StoreError(f"{search.address} is not built yet; run jobs/grid.py")
    kept = best(made, student, mixture, entries)
    outcomes = [entry["outcome"] for entry in entries.values()]
    return Searched(
        student=student,
        mixture=mixture,
        searcher=experiment.search.searcher,
        scheduler=experiment.search.scheduler,
        cells=len(made.candidates(student, mixture)),
        tried=len(outcomes),
        trained=outcomes.count("trained"),
        stopped=outcomes.count("stopped"),
        failed=outcomes.count("failed") + outcomes.count("not trained"),
        items=experiment.development.items * len(made.trained),
        kept=tuple(cell.arm for cell in kept),
        development=tuple(entries[cell.train.key]["accuracy"] for cell in kept),
    )


def chosen(store: Store, made: Plan) -> Plan:
    """The plan with the cells that go on to the test items only; itself where all do."""
    if made.experiment.development is None:
        return made
    if made.experiment.search:
        kept = {
            cell.train.key
            for student, mixture in groups(made)
            for cell in best(made, student, mixture, Log(store, made.search(student, mixture)).entries())
        }
    else:
        gone = {(each.student, each.arm) for each in given_up(store, made)}
        kept = {cell.train.key for cell in made.cells if (cell.student.name, cell.arm) not in gone}
    return made.without({(cell.student.name, cell.arm) for cell in made.cells if cell.train.key not in kept})


def expected(store: Store, made: Plan) -> Plan:
    """The plan as far as it is known: what was chosen, or before that as many cells as a search will try."""
    settings = made.experiment.search
    if settings is None or all(store.built(made.search(*group)) for group in groups(made)):
        return chosen(store, made)
    kept = {cell.train.key for group in groups(made) for cell in made.candidates(*group)[: settings.trials]}
    return made.without({(cell.student.name, cell.arm) for cell in made.cells if cell.train.key not in kept})


def given_up(store: Store, made: Plan) -> tuple[GivenUp, ...]:
    """The cells that `development.early_stop` ended."""
    development = made.experiment.development
    if development is None or development.early_stop is None:
        return ()
    found = ((cell, store.record(made.stop(cell))) for cell in made.cells)
    return tuple(
        GivenUp(student=cell.student.name, arm=cell.arm, **record.summary)
        for cell, record in found
        if record is not None and not store.built(cell.train)
    )
