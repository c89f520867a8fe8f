"""Training on real ranks: equal to Hugging Face's Trainer, to itself however it is split, and after a kill."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from sft_ranks import STUDENT, examples, train

from capgap_ray.core.budget import batches
from capgap_ray.core.masking import prepare
from capgap_ray.settings import Sft
from capgap_ray.stages.sft_data import rendering

BASE: dict[str, Any] = {
    "learning_rate": 1e-3,
    "epochs": 1,
    "batch": "2x1",
    "workers": 2,
    "cutoff_tokens": 512,
    "precision": "float32",
}
DECAYED = {"weight_decay": 0.01, "warmup_ratio": 0.1}
CHEAP = {"checkpoints": {"at": [2]}, "validation": {"share": 0.1, "every": 4}}
RESUMED = {**BASE, **CHEAP, "epochs": 2}
FULL_DISK: dict[str, dict[str, Any]] = {
    "full disk, state": {"room": (6, 1000)},
    "full disk, export": {"room": (6, 1000), "save_every": 1000},
    "room again": {},
}
"""Runs of one training, one after the other; the first has saved the state of update 5."""
LARGE: dict[str, dict[str, Any]] = {
    "large": {**BASE, **DECAYED, "batch": "1x2"},
    "large lora": {**BASE, "method": "lora", "learning_rate": 1e-2, "batch": "1x2"},
}
"""Trained as a model that fits no bucket: layer by layer, and every micro-step's gradients reduced at once; and as if
each worker had a machine of its own: over Gloo rather than shared memory."""
HALF: dict[str, dict[str, Any]] = {
    "half": {**BASE, **DECAYED, "precision": "bfloat16", "batch": "1x2", "gradient_checkpointing": True},
    "half lora": {**BASE, "method": "lora", "learning_rate": 1e-2, "precision": "bfloat16"},
}
"""The same in bfloat16 and as DeepSpeed is configured on GPUs."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Name -> (store, result) of many trainings on two workers."""
    recipes: dict[str, dict[str, Any]] = {
        "full": {**BASE, **DECAYED},
        "lora": {**BASE, "method": "lora", "learning_rate": 1e-2},
        "split": {**BASE, "cutoff_tokens": 300},
        "checkpointed": {**BASE, **DECAYED, "gradient_checkpointing": True},
        "undisturbed": RESUMED,
        "packed": {**BASE, "packing": "neat", "batch": "1x1", "cutoff_tokens": 800, "loss": "reference"},
        "diverged": {**BASE, "learning_rate": 1e25, "schedule": "constant", "clip": 1e30},
        "nothing learnt": {**BASE, "learning_rate": 1e-12},
        "adapter of nothing": {**BASE, "method": "lora", "learning_rate": 1e-45},
    }
    stores = {name: tmp_path_factory.mktemp("two") for name in (*LARGE, *recipes)}
    jobs: list[dict[str, Any]] = [
        {"store": str(stores[name]), "sft": sft, "bucket": 3000, "apart": True} for name, sft in LARGE.items()
    ]
    jobs += [{"store": str(stores[name]), "sft": sft, "save_every": 3} for name, sft in recipes.items()]
    for name, changes in FULL_DISK.items():
        stores[name] = stores.get("full disk, state") or tmp_path_factory.mktemp("two")
        jobs.append({"store": str(stores[name]), "sft": BASE, "save_every": 5, **changes})
    for name, sft in HALF.items():  # after the others: DeepSpeed's way to multiply, once taken, stays
        stores[name] = tmp_path_factory.mktemp("two")
        jobs.append({"store": str(stores[name]), "sft": sft, "bucket": 3000, "gpu": True})
    return {name: (stores[name], result) for name, result in zip(stores, train(2, jobs), strict=True)}


def weights(store: Path, attempt: str = "one") -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(store / "train/cell/attempts" / attempt / "model.safetensors")
    return found


# --- against Hugging Face's Trainer ---------------------------------------------------------------------


def reference(sft: Sft, folder: Path) -> list[float]:
    """Losses of the same training by Hugging Face's Trainer: one process, padded batches of the whole update."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    rows = prepare(examples(48), tokenizer, rendering(sft)).rows
    samples = sft.batch.per_device * sft.batch.accumulation * sft.workers
    order = [rows[index] for update in batches(len(rows), samples, sft.epochs, sft.seed) for index in update]
    data = [
        {
            "input_ids": list(row.input_ids),
            "labels": [-100] * row.supervised_from + list(row.input_ids[row.supervised_from :]),
        }
        for row in order
    ]

    def padded(batch: list[dict[str, list[int]]]) -> dict[str, Any]:
        longest = max(len(each["input_ids"]) for each in batch)
        columns = {"input_ids": 0, "labels": -100}
        made = {
            name: torch.tensor([each[name] + [filler] * (longest - len(each[name])) for each in batch])
            for name, filler in columns.items()
        }
        mask = torch.tensor([[1] * len(each["input_ids"]) + [0] * (longest - len(each["input_ids"])) for each in batch])
        return {**made, "attention_mask": mask}

    class InOrder(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(data)

    model = AutoModelForCausalLM.from_pretrained(STUDENT, dtype=torch.float32)
    if sft.method == "lora":
        from peft import LoraConfig, get_peft_model

        set_seed(sft.seed)
        config = LoraConfig(
            r=sft.lora.rank, lora_alpha=sft.lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, config)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=samples,
        learning_rate=sft.learning_rate,
        weight_decay=sft.weight_decay,
        warmup_steps=int(sft.warmup_ratio * len(batches(len(rows), samples, sft.epochs, sft.seed))),
        lr_scheduler_type=sft.schedule,
        num_train_epochs=1,  # the data already holds all epochs
        max_grad_norm=sft.clip,
        optim="adamw_torch",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=sft.seed,
    )
    trainer = InOrder(model=model, args=arguments, train_dataset=data, data_collator=padded)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_every_loss_is_hugging_faces(two: dict[str, Any], method: str, tmp_path: Path) -> None:
    recipe = {"full": {**BASE, **DECAYED}, "lora": {**BASE, "method": "lora", "learning_rate": 1e-2}}[method]
    theirs = reference(Sft.model_validate(recipe), tmp_path)
    ours = two[method][1]["losses"]
    assert len(ours) == len(theirs) == 12
    assert ours == pytest.approx(theirs, rel=1e-3, abs=2e-4), "they print four decimals"
    assert max(abs(a - b) for a, b in itertools.pairwise(ours)) > 0.5, "the comparison can fail"


# --- against itself ---------------------------------------------------------------------------------------


def test_batch_accumulation_and_workers_can_be_traded(two: dict[str, Any], tmp_path: Path) -> None:
    """(4, 1, 1) = (1, 4, 1) = (2, 1, 2), with a cut-off at which (1, 4, 1) really takes several micro-steps."""
    splits = ("4x1", "1x4")
    jobs = [
        {"store": str(tmp_path / split), "sft": {**BASE, "cutoff_tokens": 300, "batch": split, "workers": 1}}
        for split in splits
    ]
    store, expected = two["split"]
    for split, result in zip(splits, train(1, jobs), strict=True):
        assert result["losses"] == pytest.approx(expected["losses"], rel=2e-4)
        same_weights(weights(tmp_path / split), weights(store))


def same_weights(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Equal but for the rounding of bfloat16, in which they are exported."""
    import torch

    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor.float(), other[name].float(), rtol=2**-6, atol=2e-3), name


def test_gradient_checkpointing_changes_nothing(two: dict[str, Any]) -> None:
    assert two["checkpointed"][1]["losses"] == pytest.approx(two["full"][1]["losses"], rel=1e-6)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_large_model_learns_the_same(two: dict[str, Any], method: str) -> None:
    name = {"full": "large", "lora": "large lora"}[method]
    assert two[name][1]["losses"] == pytest.approx(two[method][1]["losses"], rel=2e-4)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_in_bfloat16_as_on_gpus_it_learns_the_same(two: dict[str, Any], method: str) -> None:
    """Half the bytes of weights and gradients, fp32 masters; what a GPU computes otherwise is not tested here."""
    result, whole = two["half" if method == "full" else "half lora"][1], two[method][1]
    assert result["losses"] == pytest.approx(whole["losses"], rel=0.05)
    assert result["losses"] != whole["losses"]
    for what, share in (("parameters", 0.5), ("gradients", 0.5), ("optimizer", 1)):
        assert result["state_bytes"][what] == share * whole["state_bytes"][what]


def test_killed_it_goes_on_to_the_same_losses_and_weights(two: dict[str, Any], tmp_path: Path) -> None:
    """SIGKILL of one of two ranks; again later; the third attempt ends. One rank alone agrees but for rounding.

    An adapter's training with dropout is killed in tests/ray/test_train.py.
    """
    import torch

    store, expected = two["undisturbed"]
    job = {"store": str(tmp_path), "sft": RESUMED, "save_every": 3}
    assert train(2, [{**job, "attempt": "first", "die_at": 8}]) == []
    state = json.loads((tmp_path / "train/cell/state/latest.json").read_text())
    assert (state["updates"], len(state["losses"])) == (6, 6)
    assert [each.name for each in (tmp_path / "train/cell/state").iterdir() if each.is_dir()] == ["first-00000006"]
    assert train(2, [{**job, "attempt": "second", "die_at": 13}]) == []
    (result,) = train(2, [{**job, "attempt": "third"}])
    assert result["resumed_from"] == 12
    for field in ("losses", "validation_losses", "canary", "updates", "rows", "supervised_tokens"):
        assert result[field] == expected[field], field
    assert result["checkpoints"] == {"2": "train/cell/attempts/first/update-000002"}
    assert (tmp_path / "train/cell/attempts/first/update-000002/model.safetensors").is_file()
    ours, theirs = weights(tmp_path, "third"), weights(store)
    assert all(torch.equal(ours[each], theirs[each]) for each in theirs)
    (fewer,) = train(1, [{**job, "attempt": "fewer"}])
    assert fewer["resumed_from"] > 12
    assert fewer["losses"] == pytest.approx(expected["losses"], rel=1e-3)
    same_weights(weights(tmp_path, "fewer"), theirs)


# --- what it refuses and what it writes ---------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_it_and_its_batch_is_saved(two: dict[str, Any]) -> None:
    store, result = two["diverged"]
    assert "NotFiniteError" in result["error"]
    (saved,) = (store / "train/cell/attempts/one").glob("not-finite-update-*.json")
    batch = json.loads(saved.read_text())
    assert len(batch["rows"]) == 4
    assert f"update {batch['update']} is not finite" in result["error"]
    assert batch["rows"][0]["text"].startswith("<|im_start|>system")


def test_an_export_that_changes_nothing_is_refused(two: dict[str, Any]) -> None:
    assert "the trained weights equal those of" in two["nothing learnt"][1]["error"]
    assert "the adapter changes nothing of" in two["adapter of nothing"][1]["error"]
    for name in ("nothing learnt", "adapter of nothing"):
        assert not list(two[name][0].glob("train/cell/attempts/**/*.safetensors"))


def test_a_full_disk_costs_no_state_and_is_said(two: dict[str, Any]) -> None:
    store, ended = two["room again"]
    assert "state of update 10 could not be saved" in two["full disk, state"][1]["error"]
    assert "state of update 5 stays valid: make room and run the same" in two["full disk, state"][1]["error"]
    assert "the export into train/cell/attempts/one could not be written" in two["full disk, export"][1]["error"]
    assert "earlier checkpoints stay valid: make room and run the same" in two["full disk, export"][1]["error"]
    assert (ended["resumed_from"], ended["updates"], len(ended["losses"])) == (5, 12, 12)
    assert weights(store)


def test_exports_are_loaded_by_transformers_and_say_what_training_said(two: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from capgap_ray.stages.sft_export import CANARY, TOLERANCE, log_probabilities

    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in CANARY]
    untouched = AutoModelForCausalLM.from_pretrained(STUDENT, dtype="float32")
    before = log_probabilities(untouched, ids)
    for name in ("full", "lora"):
        store, result = two[name]
        folder = store / "train/cell/attempts/one"
        models = {folder: AutoModelForCausalLM.from_pretrained(folder, dtype="float32")}
        if name == "lora":
            from peft import PeftModel

            assert {each.name for each in (folder / "adapter").iterdir()} >= {
                "adapter_config.json",
                "adapter_model.safetensors",
                "canary.json",
                "chat_template.jinja",
            }
            assert not list(folder.rglob("*.bin"))
            fresh = AutoModelForCausalLM.from_pretrained(STUDENT, dtype="float32")
            models[folder / "adapter"] = PeftModel.from_pretrained(fresh, str(folder / "adapter"))
        for place, model in models.items():
            after = log_probabilities(model, ids)
            stored = json.loads((place / "canary.json").read_text())["canary"]
            assert after == pytest.approx(stored, abs=1e-4), "of the same rounded weights"
            assert max(abs(a - b) for a, b in zip(after, before, strict=True)) > 2 * TOLERANCE["float32"]
        assert result["canary"] == stored, "of what is served"


def test_an_export_may_be_rounded_and_no_more(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from capgap_ray.stages.sft_export import CANARY, check_canary, log_probabilities

    folder = tmp_path / "export"
    shutil.copytree(STUDENT, folder)
    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in CANARY]
    own = log_probabilities(AutoModelForCausalLM.from_pretrained(STUDENT, dtype="float32"), ids)
    assert min(own) < -5, "so that 0.09 is less than rounding may do"
    sft = Sft(precision="float32")
    trained = [each + (0.09 if each < -5 else 0.0) for each in own]
    assert check_canary(trained, ids, str(folder), STUDENT, sft) == own
    for wrong in (0.3, math.nan):
        with pytest.raises(ValueError, match="export is not the model that was trained"):
            check_canary([*own[:-1], own[-1] + wrong], ids, str(folder), STUDENT, sft)


def test_packing_and_validation_are_counted(two: dict[str, Any]) -> None:
    packed = two["packed"][1]
    assert packed["rows"] == 48 > packed["slots"]
    assert packed["updates"] == math.ceil(packed["slots"] / 2) < 12
    assert packed["supervised_tokens"] == two["full"][1]["supervised_tokens"]
    validated = two["undisturbed"][1]
    assert (validated["rows"], validated["rows_held_out"]) == (43, 5)
    assert list(validated["validation_losses"]) == [str(update) for update in (4, 8, 12, 16, 20, 22)]
    assert len(validated["losses"]) == validated["updates"] == 22


def test_state_falls_with_the_number_of_workers(two: dict[str, Any], tmp_path: Path) -> None:
    (alone,) = train(
        1,
        [{"store": str(tmp_path), "sft": {**BASE, "workers": 1}, "updates": 2}],
        # No compiler and no other program either: nothing is compiled, DeepSpeed's shared-memory op least of all.
        PATH=str(tmp_path),
        CXX="",
        TORCH_EXTENSIONS_DIR=str(tmp_path / "extensions"),
    )
    assert not (tmp_path / "extensions").exists()
    for kind, held in alone["state_bytes"].items():
        assert two["full"][1]["state_bytes"][kind] == pytest.approx(held / 2, rel=0.01), kind
    assert alone["updates"] == 2


def test_a_job_leaves_no_memory_taken(tmp_path: Path) -> None:
    """Three of each method, one after the other in one worker, as a grid's are."""
    jobs: list[dict[str, Any]] = [
        {
            "store": str(tmp_path / f"{method}-{number}"),
            "sft": {**BASE, "method": method, "workers": 1, "precision": "bfloat16"},
            "updates": 2,
            "bucket": 3000,
            "gpu": True,
            "weigh": True,
        }
        for method in ("full", "lora")
        for number in range(3)
    ]
    results = train(1, jobs)
    held = sum(results[0]["state_bytes"].values())
    left = [each["live_bytes"] for each in results]
    assert held > 2_000_000
    assert max(left) - min(left) < held / 100, "what the first one leaves is the memory that is shared for collectives"


def test_another_chat_template_is_trained_on_and_exported(tmp_path: Path) -> None:
    """One whose turns end with another token than the student's own."""
    from transformers import AutoTokenizer, GenerationConfig

    template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|endoftext|>' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    job = {"sft": {**BASE, "workers": 1}, "updates": 2, "save_every": 1000}
    own, other = train(
        1, [{**job, "store": str(tmp_path / "own")}, {**job, "store": str(tmp_path / "other"), "template": template}]
    )
    assert own["template_hash"] != other["template_hash"]
    assert own["losses"] != other["losses"]
    assert own["supervised_tokens"] == other["supervised_tokens"], "the completion and one end token"
    student = AutoTokenizer.from_pretrained(STUDENT)
    for name, text, end in (("own", student.chat_template, "<|im_end|>"), ("other", template, "<|endoftext|>")):
        folder = tmp_path / name / "train/cell/attempts/one"
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert (tokenizer.chat_template, tokenizer.eos_token) == (text, end)
        ends = GenerationConfig.from_pretrained(folder).eos_token_id
        assert tokenizer.eos_token_id in (ends if isinstance(ends, list) else [ends]), "or it would never stop"
