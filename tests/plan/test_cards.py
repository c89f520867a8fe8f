"""Every checkpoint has its card and recipe beside it; it is uploaded where the experiment says so, and only there."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capgap_ray import cards
from capgap_ray.analysis import results
from capgap_ray.artifacts.store import Store, StoreError
from capgap_ray.catalog.models import EMBEDDED
from capgap_ray.experiment import Experiment
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Plan, plan, resolve_models
from capgap_ray.stages.publish import PushError
from tests.plan.test_analysis import scores, summary

Make = Callable[..., Experiment]
OWN = {
    "mine": {"source": "capgap_ray/tiny/models/tiny-student-0.15m", "license": "cc-by-4.0"},
    "tiny-student-0.5m": {"revision": "first"},  # of the catalogue, and its licence with it
}


def trained(make: Make, store: Store, **changes: Any) -> Plan:
    """A plan whose checkpoints are in the store."""
    experiment = make(tasks=["tiny/dyck_languages", "tiny/word_sorting"], **changes)
    made = plan(experiment, resolve_models(experiment))
    for cell in made.cells:
        attempt = store.new_attempt(cell.train)
        store.write_bytes(f"{attempt}/model.safetensors", b"weights")
        store.commit(cell.train, attempt, summary(cell.train), 1.0)
    return made


def built(make: Make, store: Store, **changes: Any) -> tuple[Plan, list[str]]:
    """Such a plan, and the lines that publishing it said."""
    made = trained(make, store, **changes)
    said: list[str] = []
    answer = results(
        made,
        scores,
        summary,
        chosen=(),
        seconds={},
        versions={"capgap-ray": "0"},
        command="",
        made_at="",
        experiment_yaml="",
        chance={},
    )
    said.append(f"done {cards.publish(store, [made], answer, said.append)}")
    return made, said


def test_card_and_recipe_lie_beside_every_checkpoint(make: Make, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made, said = built(make, store, models=OWN, students=["mine", "tiny-student-0.5m"])
    assert said == ["done True"], "nothing is uploaded unless it is asked for"
    licences = {"mine": "cc-by-4.0", "tiny-student-0.5m": "apache-2.0"}
    for cell in made.cells:
        folder = tmp_path / store.folder(cell.train)
        card = (folder / "README.md").read_text()
        assert f'license: "{licences[cell.student.name]}"' in card
        assert "data of tiny/word_sorting: apache-2.0" in card
        assert "| all |" in card, "scores before and after"
        assert "teacher *large*: tiny-teacher-large" in card
        recipe = json.loads((folder / "recipe.json").read_text())
        assert (recipe["mixture"], recipe["updates"]) == (cell.mixture, summary(cell.train)["updates"])


def test_a_folder_of_the_hubs_cache_is_the_hubs_model(make: Make, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--mine" / "snapshots" / "abc"
    shutil.copytree(EMBEDDED / "tiny-student-0.15m", snapshot)
    store = Store(str(tmp_path / "store"))
    models = {"mine": {"source": str(snapshot)}, "other": OWN["mine"]}
    made, _ = built(make, store, models=models, students=["mine", "other"])
    for cell in made.cells:
        card = (tmp_path / "store" / store.folder(cell.train) / "README.md").read_text()
        assert f'base_model: "{"org/mine" if cell.student.name == "mine" else "other"}"' in card


def test_seeds_of_one_arm_share_its_scores(make: Make, tmp_path: Path) -> None:
    """Comparisons are of all seeds together; every seed's checkpoint has them, and says so."""
    store = Store(str(tmp_path))
    made, _ = built(make, store, axes={"sft.batch": ["2x1"], "sft.seed": [1, 2]}, comparisons=[])
    assert len({cell.arm for cell in made.cells}) == 2 * len(made.mixtures)
    for cell in made.cells:
        card = (tmp_path / store.folder(cell.train) / "README.md").read_text()
        assert f"# {cell.student.name} / {cell.arm}" in card
        assert "| all |" in card
        assert "Of 2 trainings that differ in nothing but seed or split, of which this is one." in card


def test_training_alone_leaves_the_recipe(make: Make, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made = trained(make, store)
    for cell in made.cells:
        card = cards.write_recipe(store, made.experiment, cell)
        written = json.loads((tmp_path / store.folder(cell.train) / "recipe.json").read_text())
        assert written == json.loads(json.dumps(dataclasses.asdict(card)))
        assert (written["mixture"], written["updates"]) == (cell.mixture, summary(cell.train)["updates"])
    other = make(name="other", tasks=["tiny/dyck_languages"])
    with pytest.raises(StoreError, match=r"is not built yet; run jobs/train\.py"):
        cards.write_recipe(store, other, plan(other, resolve_models(other)).cells[0])


def test_uploads_have_a_repository_each_and_a_failure_is_said(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: dict[str, str] = {}

    def push(store: Store, folder: str, repository: str) -> str:
        if repository.endswith("mix-5x4"):
            raise PushError("429 Too Many Requests")
        pushed[repository] = folder
        return f"https://hub/{repository}"

    monkeypatch.setattr(cards, "push", push)
    store = Store(str(tmp_path))
    made, said = built(make, store, students=["tiny-student-0.15m"], push_to_hub="org/study")
    by_name = {f"org/study-tiny-student-0.15m-{cell.mixture}-{cell.sft.batch}": cell for cell in made.cells}
    assert len(by_name) == 6
    assert {name: store.folder(by_name[name].train) for name in pushed} == pushed
    assert len(pushed) == 5
    assert any(
        "NOT UPLOADED to org/study-tiny-student-0.15m-mix-5x4: 429 Too Many Requests; run the same" in each
        for each in said
    )
    assert said[-1] == "done False"
    alone, _ = built(
        make,
        Store(str(tmp_path / "one")),
        students=["tiny-student-0.15m"],
        mixtures={"large": {"large": 1.0}},
        axes={},
        push_to_hub="org/study",
    )
    assert pushed["org/study"].startswith(f"train/{alone.cells[0].train.label}"), "one checkpoint takes the name itself"


def test_it_is_no_part_of_any_identity_and_refused_beforehand(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, named = make(), make(push_to_hub="org/study", resources={"trackers": ["mlflow"]})
    models = resolve_models(plain)
    assert [s.key for s in plan(plain, models).steps()] == [s.key for s in plan(named, models).steps()]
    with pytest.raises(ExperimentError, match="push_to_hub"):
        make(push_to_hub="no-organisation")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(ExperimentError, match="push_to_hub: there is no token; set HF_TOKEN"):
        cards.check_upload(named, [plan(named, models)])
    cards.check_upload(plain, [plan(plain, models)])
