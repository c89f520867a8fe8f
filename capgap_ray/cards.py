"""What leaves the store: every checkpoint's recipe and model card, written beside it, and its upload on request."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from capgap_ray.analysis import recipe_card
from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.catalog.licenses import MODEL_LICENSES, data_license
from capgap_ray.experiment import Experiment
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Cell, Plan
from capgap_ray.records import RecipeCard
from capgap_ray.report.model_card import model_card
from capgap_ray.results import Results
from capgap_ray.scored_arms import arm_label, key_of
from capgap_ray.stages.publish import CARD, PushError, check_push, push
from capgap_ray.stages.weights import hub_id

RECIPE = "recipe.json"
"""The recipe card, beside the weights."""


def check_upload(experiment: Experiment, plans: Sequence[Plan]) -> None:
    """Raise ExperimentError if `push_to_hub` cannot be done: a name that the Hub would refuse, or no valid token."""
    if experiment.push_to_hub is not None:
        try:
            check_push([name for _, name in _repositories(experiment.push_to_hub, plans)])
        except PushError as error:
            raise ExperimentError(f"push_to_hub: {error}") from None


def write_recipe(store: Store, experiment: Experiment, cell: Cell) -> RecipeCard:
    """Write a cell's recipe card beside its weights, and return it. Raises StoreError on a cell that is not trained."""
    record = store.record(cell.train)
    if record is None:
        raise StoreError(f"{cell.train.address} is not built yet; run jobs/train.py")
    recipe = recipe_card(experiment, cell, record.summary)
    path = f"{cell.train.address}/{record.attempt}/{RECIPE}"
    store.write_bytes(path, json.dumps(dataclasses.asdict(recipe), indent=1).encode())
    return recipe


def publish(store: Store, plans: Sequence[Plan], results: Results, say: Callable[[str], None]) -> bool:
    """Write the card and the recipe of every checkpoint of the results beside it, and upload it where
    `push_to_hub` says so. Returns whether all that was asked for was done."""
    experiment = plans[0].experiment
    checkpoints = {(each.student, each.arm): each for each in results.checkpoints}
    alike = Counter(key_of(cell) for made in plans for cell in made.cells)
    done = True
    for cell, repository in _repositories(experiment.push_to_hub, plans):
        recipe = write_recipe(store, experiment, cell)  # of this very split; that in the results is of the first
        checkpoint = dataclasses.replace(checkpoints[cell.student.name, cell.arm], recipe=recipe)
        folder = store.folder(cell.train)
        card = model_card(
            results,
            checkpoint,
            arm_label(key_of(cell)),
            trainings=alike[key_of(cell)],
            base_model=hub_id(cell.student.source) or cell.student.name,
            base_license=_license(experiment, cell.student.name),
            teachers=experiment.teachers,
            data_licenses={task: known for task in plans[0].tasks if (known := data_license(task)) is not None},
        )
        store.write_bytes(f"{folder}/{CARD}", card.encode())
        if experiment.push_to_hub is not None:
            try:
                say(f"uploaded: {push(store, folder, repository)}")
            except PushError as error:
                done = False
                say(f"NOT UPLOADED to {repository}: {error}; run the same command to try again")
    return done


def _repositories(name: str | None, plans: Sequence[Plan]) -> Iterator[tuple[Cell, str]]:
    """Every checkpoint with its repository: `name` itself where there is one checkpoint, else one name for each."""
    many = sum(len(made.cells) for made in plans) > 1
    for number, made in enumerate(plans, start=1):
        split = [f"split {number}"] if len(plans) > 1 else []
        for cell in made.cells:
            own = re.sub(r"[^A-Za-z0-9.]+", "-", " ".join([cell.student.name, cell.arm, *split]))
            yield cell, f"{name}-{own}" if many else str(name)


def _license(experiment: Experiment, model: str) -> str | None:
    own = experiment.models.get(model)
    if own is None or (own.of_catalogue and own.license is None):
        return MODEL_LICENSES.get(model)
    return own.license
