"""Development items: who may use them, which items they are, and what a plan is after a search."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.choice import Log, chosen, expected, given_up, groups, searched
from capgap_ray.experiment import Experiment
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Plan, plan, resolve_models

Make = Callable[..., Experiment]
SEARCH = {"searcher": "random", "trials": 2}
SFT = {"workers": 2, "checkpoints": {"every": 5}}


def planned(make: Make, **changes: Any) -> Plan:
    changes = {"development": {"items": 10}, "search": SEARCH, **changes}
    experiment = make(**changes)
    return plan(experiment, resolve_models(experiment))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"development": None}, "search: needs development.items"),
        ({"search": None}, "development: serves search and development.early_stop"),
        ({"development": {"items": 0}}, "development.items: Input should be greater than 0"),
        (
            {"development": {"items": 41}},
            r"development.items: 41 with selection.items \(20\) are more",
        ),
        ({"split": {"repeats": 2, "train": 60, "test": 20}}, "development: takes one split"),
        ({"split": {"train": 60, "test": 20}, "axes": {"split.seed": [1, 2]}}, "development: takes one split"),
        ({"search": {"searcher": "genetic", "trials": 2}}, "search.searcher: Input should be 'optuna' or 'random'"),
        ({"search": {"searcher": "random", "trials": 2, "keep": 3}}, r"keep: 3 is more than trials \(2\)"),
        (
            {"search": {"searcher": "random", "trials": 2, "scheduler": "asha"}},
            "search.scheduler: asha looks",
        ),
        ({"development": {"items": 10, "early_stop": {}}}, "development.early_stop looks at exports"),
        ({"development": {"items": 10, "early_stop": {"alpha": 1}}}, "development.early_stop.alpha"),
        (
            {"comparisons": [{"name": "a", "left": {"mixture": "small"}, "right": {"mixture": "mix"}}]},
            "comparisons: their arms are not known before a search",
        ),
        ({"published": {"small": "small"}}, "development: published sets may hold its items"),
        ({"axes": {"development.items": [5, 10]}}, "'development.items' is no axis"),
    ],
)
def test_mistakes_are_named(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make(**{"development": {"items": 10}, "search": SEARCH, **changes})


def test_more_development_items_than_training_items_are_refused_before_anything_starts(make: Make) -> None:
    with pytest.raises(ExperimentError, match=r"development.items: 1000000 are all \d+ training items"):
        planned(make, development={"items": 10**6}, split={"test": 20})


def test_development_items_are_the_last_training_items_and_nothing_else_reads_them(make: Make) -> None:
    made = planned(make)
    for (_, task), scored in made.developed.items():
        params = scored.complete.params
        assert (params["part"], params["start"], params["stop"]) == ("train", 50, 60)
        assert made.sizes(task)[0] == 60
    slices = [scored.complete.params for many in made.rationales.values() for scored in many]
    assert max(params["stop"] for params in slices) == 50
    assert all(mixture.params["development"] == 10 for mixture in made.mixtures.values())
    assert len(made.developed) == len(made.tasks) * (2 + len(made.cells))


def test_without_development_items_no_identity_changes(make: Make) -> None:
    plain = planned(make, development=None, search=None)
    assert not plain.developed
    assert all("development" not in mixture.params for mixture in plain.mixtures.values())


def entries(store: Store, made: Plan, outcome: Callable[[int], tuple[str, float]]) -> None:
    for student, mixture in groups(made):
        log = Log(store, made.search(student, mixture))
        for number, cell in enumerate(made.candidates(student, mixture)):
            log.note(cell.train.key, *outcome(number))


def test_the_best_trained_cell_of_each_student_and_mixture_goes_on(make: Make, tmp_path: Path) -> None:
    store, made = Store(str(tmp_path)), planned(make)
    entries(store, made, lambda number: [("trained", 0.4), ("stopped", 0.9)][number])
    kept = chosen(store, made)
    assert [str(cell.sft.batch) for cell in kept.cells] == ["2x1"] * 6
    assert {key for key, _ in kept.predictions} == {cell.train.key for cell in kept.cells}
    told = searched(store, made, *groups(made)[0])
    assert (told.cells, told.tried, told.trained, told.stopped, told.items) == (2, 2, 1, 1, 20)
    assert (told.kept, told.development) == ((f"{told.mixture} / 2x1",), (0.4,))


def test_of_equal_cells_the_grids_first_is_taken(make: Make, tmp_path: Path) -> None:
    store, made = Store(str(tmp_path)), planned(make)
    entries(store, made, lambda number: ("trained", 0.5))
    assert {str(cell.sft.batch) for cell in chosen(store, made).cells} == {"2x1"}


def test_before_a_search_as_many_cells_as_it_tries_are_expected(make: Make, tmp_path: Path) -> None:
    made = planned(make, search={"searcher": "random", "trials": 1})
    assert len(made.cells) == 12
    assert len(expected(Store(str(tmp_path)), made).cells) == 6


def test_a_search_over_other_cells_or_settings_is_another_one(make: Make) -> None:
    def key(**changes: Any) -> str:
        return planned(make, **changes).search("tiny-student-0.15m", "small").key

    assert key() == key()
    assert len({key(), key(search={**SEARCH, "seed": 1}), key(axes={"sft.batch": ["2x1"]})}) == 3


def test_a_cell_that_was_given_up_is_told_of_and_is_no_result(make: Make, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made = planned(make, search=None, sft=SFT, development={"items": 10, "early_stop": {}})
    gone = random.Random(0).choice(made.cells)
    facts = {"update": 5, "updates": 10, "items": 20, "look": 1, "alpha": 0.025}
    points = {"difference_points": -60.0, "low_points": -90.0, "high_points": -20.0}
    stop: Step = made.stop(gone)
    store.commit(stop, store.new_attempt(stop), {**facts, **points}, 0.0)
    (told,) = given_up(store, made)
    assert (told.student, told.arm, told.update) == (gone.student.name, gone.arm, 5)
    kept = chosen(store, made)
    assert len(kept.cells) == len(made.cells) - 1
    assert gone.train.key not in {cell.train.key for cell in kept.cells}
    other = planned(make, search=None, sft=SFT, development={"items": 10, "early_stop": {"alpha": 0.1}})
    assert given_up(store, other) == (), "another rule has to see for itself"
