"""Confounds: the ancestor's comparison is caught, natural data yield is not mistaken for one."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from capgap_ray.core.budget import lr_integral
from capgap_ray.core.confounds import YIELD_TOLERANCE, find_confounds, treated_fields
from capgap_ray.records import RecipeCard


def card(
    rows: int = 5329, batch: int = 2, accumulation: int = 1, workers: int = 4, epochs: int = 2, **other: Any
) -> RecipeCard:
    samples = batch * accumulation * workers
    updates = epochs * math.ceil(rows / samples)
    rate = 1e-5
    values: dict[str, Any] = {
        "student": "qwen-3b",
        "mixture": "long",
        "method": "full",
        "rows": rows,
        "epochs": float(epochs),
        "workers": workers,
        "per_device_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "updates": updates,
        "samples_per_update": samples,
        "supervised_tokens": rows * 600 * epochs,
        "supervised_tokens_per_update": rows * 600 * epochs / updates,
        "learning_rate": rate,
        "lr_integral": lr_integral(updates, rate, 0, "cosine"),
        "schedule": "cosine",
        "warmup_updates": 0,
        "packing": False,
        "overlength": "drop",
        "cutoff_tokens": 8192,
        "rows_dropped": 0,
        "rows_cut": 0,
        "template_hash": "t",
        "prompt_hash": "p",
        "token_budget": 1024,
        "engine": "e",
        "seed": 0,
    }
    return RecipeCard(**(values | other))


def fields(left: RecipeCard, right: RecipeCard, *treatment: str) -> dict[str, str]:
    return {c.field: c.note for c in find_confounds(left, right, treatment or ("mixture",))}


def test_equal_arms_have_no_confound() -> None:
    assert find_confounds(card(), card(mixture="short")) == ()
    assert not find_confounds(card(), card(mixture="short"))


def test_the_ancestors_mixture_against_its_single_teacher() -> None:
    single = card()
    mixture = card(batch=5, accumulation=4, mixture="mix", packing=True, cutoff_tokens=4096)
    found = fields(single, mixture)
    assert found["updates"] == "10.0x fewer updates"
    assert found["samples_per_update"] == "10.0x more samples per update"
    assert found["packing"] == "other packing (False against True)"
    assert found["cutoff_tokens"] == "2.0x lower cut-off"
    assert found["lr_integral"] == "9.9x lower summed learning rate"
    assert set(found) == {"updates", "samples_per_update", "packing", "cutoff_tokens", "lr_integral"}
    assert fields(mixture, single)["updates"] == "10.0x more updates"
    updates = next(c for c in find_confounds(single, mixture) if c.field == "updates")
    assert (updates.left, updates.right) == ("1334", "134")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"learning_rate": 1e-4}, "10.0x higher learning rate"),
        ({"warmup_updates": 40}, "40 more warm-up updates"),
        ({"packing": True}, "other packing (False against True)"),
        ({"overlength": "cut"}, "other over-length policy (drop against cut)"),
        ({"cutoff_tokens": 4096}, "2.0x lower cut-off"),
        ({"rows_dropped": 12}, "12 more rows dropped"),
        ({"rows_cut": 3}, "3 more rows cut"),
        ({"template_hash": "u"}, "other chat template of training (own t against own u)"),
        ({"prompt_hash": "q"}, "other prompt of evaluation (p against q)"),
        ({"token_budget": 512}, "2.0x fewer tokens to answer"),
        ({"engine": "f"}, "other engine of evaluation (e against f)"),
        ({"method": "lora"}, "other method (full against lora)"),
        ({"schedule": "linear"}, "other learning-rate schedule (cosine against linear)"),
        ({"epochs": 4.0}, "2.0x more epochs"),
        ({"samples_per_update": 80}, "10.0x more samples per update"),
        ({"updates": 1000}, "1.3x fewer updates"),
        ({"lr_integral": 1.0}, None),
        ({"student": "qwen-7b"}, "other student (qwen-3b against qwen-7b)"),
        ({"filter": "keep intersection"}, "other filter of rationales (None against keep intersection)"),
        ({"judge": "b"}, "other judge (None against b)"),
        ({"rendering": "r"}, "other system message or final newline of training (None against r)"),
        ({"rows_held_out": 54}, "54 more rows held out"),
    ],
)
def test_every_field_is_found_alone(change: dict[str, Any], note: str | None) -> None:
    right = dataclasses.replace(card(mixture="short"), **change)
    found = fields(card(), right)
    assert list(found) == list(change)
    assert note is None or list(found.values()) == [note]
    assert find_confounds(card(), right)
    assert fields(card(), right, "mixture", *change) == {}


def test_a_chat_template_is_told_by_its_name() -> None:
    named = card(mixture="short", template_hash="u", chat_template="chatml")
    assert fields(card(), named) == {"template_hash": "other chat template of training (own t against chatml u)"}


def test_a_declared_learning_rate_declares_its_sum() -> None:
    right = card(learning_rate=2e-5, lr_integral=2 * card().lr_integral)
    assert fields(card(), right, "learning_rate") == {}
    assert set(fields(card(), right)) == {"learning_rate", "lr_integral"}
    warmed = dataclasses.replace(right, warmup_updates=100)
    assert set(fields(card(), warmed, "learning_rate")) == {"warmup_updates", "lr_integral"}


def test_a_declared_batch_size_does_not_excuse_fewer_updates() -> None:
    larger = card(batch=20)
    assert set(fields(card(), larger, "samples_per_update")) == {"updates", "lr_integral"}
    assert fields(card(), larger, "samples_per_update", "updates") == {}


def test_seeds_are_noise_and_equal_splits_of_a_batch_are_equal() -> None:
    assert fields(card(), card(seed=1)) == {}
    split = card(batch=1, accumulation=4, workers=2)
    assert fields(card(), split) == {}


def test_workers_count_only_where_the_batch_differs() -> None:
    assert fields(card(), card(workers=8))["workers"] == "2.0x more workers"
    matched = card(workers=8, updates=card().updates, lr_integral=card().lr_integral)
    assert set(fields(card(), matched)) == {"samples_per_update", "workers"}


@pytest.mark.parametrize("rows", [5329, 5300, 4493, 3600])
def test_data_yield_within_the_tolerance_is_none(rows: int) -> None:
    assert rows * YIELD_TOLERANCE > 5329
    left, right = card(rows=rows, mixture="small"), card()
    assert find_confounds(left, right) == ()
    assert find_confounds(right, left) == ()


def test_data_yield_beyond_the_tolerance_is_a_confound() -> None:
    found = fields(card(rows=47, mixture="small"), card(rows=92, mixture="large"))
    assert found["updates"] == "2.0x more updates"


def test_yield_is_no_excuse_where_the_mixture_is_not_the_treatment() -> None:
    assert set(fields(card(rows=4493), card(), "learning_rate")) == {"updates", "lr_integral"}


def test_yield_is_no_excuse_where_rows_do_not_explain_the_updates() -> None:
    assert "updates" in fields(card(), card(rows=5300, updates=1100, mixture="small"))
    assert "updates" in fields(card(), card(updates=1320, mixture="small"))


def test_warmup_as_a_share_of_naturally_different_updates_is_no_confound() -> None:
    left = card(rows=4493, warmup_updates=34, mixture="small")
    right = card(warmup_updates=40)
    assert fields(left, right) == {}
    assert set(fields(dataclasses.replace(left, warmup_updates=80), right)) == {"warmup_updates", "lr_integral"}


def test_longer_rationales_are_the_treatments_nature() -> None:
    assert find_confounds(card(), card(supervised_tokens=9, supervised_tokens_per_update=9.0)) == ()


def test_equal_updates_on_other_numbers_of_rows_is_no_confound() -> None:
    small, large = card(rows=1000, mixture="small"), card(rows=3000)
    assert {"updates"} <= set(fields(small, large))
    epochs = large.updates * small.samples_per_update / small.rows
    matched = dataclasses.replace(
        small, epochs=epochs, updates=large.updates, lr_integral=large.lr_integral, supervised_tokens=1
    )
    assert fields(matched, large) == {}
    assert set(fields(matched, large, "learning_rate")) == {"mixture", "epochs"}


def test_equal_tokens_excuse_updates_within_the_tolerance_of_data_yield() -> None:
    def of(updates: int, rows: int = 1000, **other: Any) -> RecipeCard:
        return dataclasses.replace(
            card(rows=rows, **other),
            updates=updates,
            epochs=updates * 8 / rows,
            lr_integral=lr_integral(updates, 1e-5, 0, "cosine"),
            supervised_tokens=1_000_000,
            supervised_tokens_per_update=1_000_000 / updates,
        )

    assert fields(of(250), of(300, mixture="short")) == {}
    assert set(fields(of(250), of(750, mixture="short"))) == {"updates", "lr_integral"}


def test_packs_hold_as_many_rows_as_their_nature_is() -> None:
    left = card(batch=5, accumulation=4, packing=True, samples_per_update=320, updates=34)
    right = dataclasses.replace(left, mixture="short", samples_per_update=400, updates=28)
    right = dataclasses.replace(right, lr_integral=left.lr_integral * 28 / 34)
    assert fields(left, right) == {}
    assert "samples_per_update" in fields(left, dataclasses.replace(right, packing=False))


def test_the_filter_as_treatment() -> None:
    left, right = card(rows=4493, filter="keep intersection"), card()
    assert set(fields(left, right)) == {"filter"}
    assert find_confounds(left, right, treated_fields(["filter.keep"])) == ()


@pytest.mark.parametrize(
    ("axes", "treated"),
    [
        (["mixture"], {"mixture"}),
        (["student"], {"student"}),
        (["filter.keep", "filter.size"], {"filter"}),
        (["sft.batch"], {"samples_per_update"}),
        (["sft.batch.per_device"], {"samples_per_update"}),
        (["sft.learning_rate"], {"learning_rate"}),
        (["sft.epochs"], {"epochs", "updates"}),
        (["sft.system"], {"rendering", "template_hash"}),
        (["sft.method", "sft.lora.rank"], {"method"}),
        (["sft.packing"], {"packing"}),
        (["sft.seed"], {"seed"}),
    ],
)
def test_axes_name_the_cards_fields(axes: list[str], treated: set[str]) -> None:
    assert treated_fields(axes) == treated
