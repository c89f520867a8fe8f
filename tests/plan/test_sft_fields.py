"""Presets of fine-tuning and its fields."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.artifacts.store import Store
from capgap_ray.core.budget import count_updates
from capgap_ray.experiment import Experiment, load
from capgap_ray.flow import Built, _landed
from capgap_ray.mistakes import ExperimentError
from capgap_ray.plan import Cell, Plan, Scored, plan, resolve_models
from capgap_ray.settings import SFT_PRESETS, Sft

Make = Callable[..., Experiment]


def preset(name: str, **changes: Any) -> Sft:
    return Sft.model_validate({"preset": name, **changes})


def test_the_papers_tables_and_the_ancestors_mix_arm() -> None:
    one, two, mix = (preset(name) for name in SFT_PRESETS)
    assert (one.method, one.learning_rate, one.epochs, str(one.batch), one.cutoff_tokens) == (
        "full",
        1e-5,
        2,
        "2x1",
        8192,
    )
    assert (two.method, two.learning_rate, str(two.batch), two.warmup_ratio) == ("lora", 1e-4, "1x1", 0.03)
    assert (two.lora.rank, two.lora.alpha, two.lora.dropout) == (8, 16, 0)
    assert (str(mix.batch), mix.cutoff_tokens, mix.packing, mix.system) == ("5x4", 4096, "neat", "ancestor")
    assert {each.workers for each in (one, two, mix)} == {4}, "four GPUs"
    assert {each.schedule for each in (one, two, mix)} == {"cosine"}
    # Update counts of the ancestor's single-teacher arms: 1334 at 8 rows per update.
    samples = one.batch.per_device * one.batch.accumulation * one.workers
    assert count_updates(5329, samples, one.epochs) == 1334


def test_a_preset_is_a_word_or_a_start(make: Make) -> None:
    assert make(sft="table1").sft == preset("table1") == Sft.model_validate("table1")
    changed = make(sft={"preset": "table1", "workers": 2, "epochs": 3}).sft
    assert (changed.workers, changed.epochs, changed.learning_rate) == (2, 3, 1e-5)
    assert "preset" not in changed.model_dump(), "what it says is part of the identity, not its name"


def test_a_preset_can_be_overridden_on_the_command_line(make: Make, tmp_path: Any) -> None:
    import yaml

    make()  # writes the file
    path = tmp_path / "experiment.yaml"
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**tree, "sft": "table2"}))
    sft = load(str(path), ["sft.lora.rank=4", "sft.workers=1"])[0].sft
    assert (sft.method, sft.lora.rank, sft.lora.alpha, sft.workers) == ("lora", 4, 16, 1)


@pytest.mark.parametrize(
    ("sft", "message"),
    [
        ("table3", r"sft.preset: 'table3' is unknown; known: table1, table2, ancestor_mix"),
        ({"method": "qlora"}, r"sft\.method"),
        ({"lora": {"rang": 4}}, r"sft\.lora\.rang: unknown field; did you mean 'rank'\?"),
        ({"checkpoints": {}}, r"sft\.checkpoints: give either every"),
        ({"checkpoints": {"every": 5, "at": [1]}}, r"sft\.checkpoints: give either every"),
        ({"validation": {"share": 1.0, "every": 5}}, r"sft\.validation\.share"),
        ({"packing": "off"}, r"sft\.packing"),
    ],
)
def test_mistakes_are_named(make: Make, sft: Any, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        make(sft=sft)


def test_methods_are_axes_of_the_grid(make: Make) -> None:
    grid = make(axes={"sft.method": ["full", "lora"], "sft.lora.rank": [8]}).grid()
    assert {point.sft.method for point in grid} == {"full", "lora"}
    names = {point.sft.method_name() for point in grid}
    assert names == {"full", "lora, rank 8, alpha 16, dropout 0"}


def test_how_lora_is_served_is_part_of_what_its_rows_are_and_of_no_other(make: Make) -> None:
    axes = {"sft.method": ["full", "lora"]}
    adapters, merged = (
        plan(experiment, resolve_models(experiment))
        for experiment in (make(axes=axes), make(axes=axes, engine={"lora": "merged"}))
    )
    assert adapters.cells == merged.cells
    for made, served in ((adapters, True), (merged, None)):
        for cell in made.cells:
            for task in made.tasks:
                steps = [made.predictions[cell.train.key, task], made.predictions[cell.train.key, task].after(3)]
                wanted = served if cell.sft.method == "lora" else None
                assert [each.complete.params.get("adapter") for each in steps] == [wanted] * 2
                assert steps[0].complete.inputs[1] == cell.train
    assert adapters.baselines == merged.baselines
    same = {cell.sft.method for cell in made.cells if predicted(adapters, cell) == predicted(merged, cell)}
    assert same == {"full"}


def predicted(made: Plan, cell: Cell) -> list[Scored]:
    return [made.predictions[cell.train.key, task] for task in made.tasks]


def test_a_rank_that_no_engine_serves_is_named(make: Make) -> None:
    sft = {"method": "lora", "lora": {"rank": 513}}
    wide = make(sft=sft)
    with pytest.raises(ExperimentError, match=r"sft\.lora\.rank: 513 is more than the 512 .* set engine\.lora: merged"):
        plan(wide, resolve_models(wide))
    merged = make(sft=sft, engine={"lora": "merged"})
    assert plan(merged, resolve_models(merged)).cells


def test_what_lands_of_a_lora_cell_is_its_adapter_on_the_student(make: Make, tmp_path: Path) -> None:
    experiment = make(axes={"sft.method": ["full", "lora"]}, sft={"checkpoints": {"at": [2]}})
    made = plan(experiment, resolve_models(experiment))
    store = Store(str(tmp_path / "store"))
    ready = _landed(store, Built(plans=(made,), chosen=((),)))
    for cell in made.cells:
        attempt = store.new_attempt(cell.train)
        store.write_bytes(f"{attempt}/update-000002/model.safetensors", b"weights")
        store.commit(cell.train, attempt, {"checkpoints": {"2": f"{attempt}/update-000002"}}, 0.0)
        places = [f"{store.root}/{attempt}", f"{store.root}/{attempt}/update-000002"]  # the end is waited for most
        if cell.sft.method == "lora":
            places = [f"{cell.student.source}::{place}/adapter" for place in places]
        found = [source for group in ready(cell) for _, source in group]
        assert found == [place for place in places for _ in made.tasks]


def test_checkpoints_are_every_k_or_a_list() -> None:
    every = Sft.model_validate({"checkpoints": {"every": 5}}).checkpoints
    listed = Sft.model_validate({"checkpoints": {"at": [2, 7]}}).checkpoints
    assert every is not None
    assert listed is not None
    assert [update for update in range(1, 12) if every.wanted(update)] == [5, 10]
    assert [update for update in range(1, 12) if listed.wanted(update)] == [2, 7]
