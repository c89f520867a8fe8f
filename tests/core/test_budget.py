"""Learning-rate schedules against Hugging Face's numbers; updates that use every row exactly once."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.budget import (
    Schedule,
    balance_update,
    batches,
    count_updates,
    hold_out,
    learning_rate_at,
    lr_integral,
    pack,
    split_update,
    zero3_bytes,
)

# get_{cosine,linear}_schedule_with_warmup(optimizer, 2, 10) at base rate 10, scheduler.get_last_lr().
COSINE = [0.0, 5.0, 10.0, 9.619397662556434, 8.535533905932738, 6.913417161825449, 5.0, 3.0865828381745515]
LINEAR = [0.0, 5.0, 10.0, 8.75, 7.5, 6.25, 5.0, 3.75, 2.5, 1.25]


@pytest.mark.parametrize(
    ("schedule", "rates"), [("cosine", COSINE), ("linear", LINEAR), ("constant", [0.0, 5.0] + [10.0] * 8)]
)
def test_schedules_are_hugging_faces(schedule: Schedule, rates: list[float]) -> None:
    ours = [learning_rate_at(update, 10, 10.0, 2, schedule) for update in range(len(rates))]
    assert ours == pytest.approx(rates, abs=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_without_warmup_the_rate_falls_from_the_peak_to_nearly_zero(schedule: Schedule) -> None:
    rates = [learning_rate_at(update, 100, 1e-5, 0, schedule) for update in range(100)]
    assert rates[0] == 1e-5
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert 0 < rates[-1] < 2e-7
    assert learning_rate_at(100, 100, 1e-5, 0, schedule) == 0


def test_lr_integral_of_known_schedules() -> None:
    assert lr_integral(10, 1.0, 0, "constant") == 10
    assert lr_integral(10, 1.0, 0, "linear") == pytest.approx(5.5)
    assert lr_integral(10, 1.0, 0, "cosine") == pytest.approx(5.5)
    assert lr_integral(0, 1.0, 0, "cosine") == 0


def test_unknown_schedule_is_named() -> None:
    with pytest.raises(ValueError, match="got 'step'"):
        learning_rate_at(0, 1, 1.0, 0, "step")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "samples", "epochs", "updates"),
    [(5329, 8, 2, 1334), (4493, 8, 2, 1124), (5329, 80, 2, 134), (1, 8, 3, 3), (8, 8, 1, 1), (9, 8, 1, 2)],
)
def test_update_counts_of_the_ancestor(rows: int, samples: int, epochs: int, updates: int) -> None:
    assert count_updates(rows, samples, epochs) == updates
    assert len(batches(rows, samples, epochs, seed=0)) == updates


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 3), st.integers(0, 5))
def test_every_epoch_uses_every_row_once(rows: int, samples: int, epochs: int, seed: int) -> None:
    updates = batches(rows, samples, epochs, seed)
    per_epoch = len(updates) // epochs
    for epoch in range(epochs):
        part = updates[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(itertools.chain(*part)) == list(range(rows))
        assert all(len(update) == samples for update in part[:-1])
    assert updates == batches(rows, samples, epochs, seed)


def test_seed_and_epoch_change_the_order() -> None:
    assert batches(50, 50, 1, seed=0) != batches(50, 50, 1, seed=1)
    first, second = batches(50, 50, 2, seed=0)
    assert first != second
    assert batches(6, 4, 1, seed=0) == [[4, 2, 1, 0], [5, 3]]


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 50), st.integers(1, 5), st.integers(1, 6))
def test_workers_share_an_update_evenly(rows: int, workers: int, per_device: int) -> None:
    parts = split_update(list(range(rows)), workers, per_device)
    assert len(parts) == workers
    assert len({len(steps) for steps in parts}) == 1
    assert len(parts[0]) == -(-rows // (workers * per_device))
    seen = Counter(row for steps in parts for micro in steps for row in micro)
    assert seen == Counter(range(rows))
    for step in zip(*parts, strict=True):
        sizes = [len(micro) for micro in step]
        assert max(sizes) <= per_device
        assert max(sizes) - min(sizes) <= 1


def test_the_last_micro_step_may_be_empty_for_some_workers() -> None:
    assert split_update([7, 8, 9, 10, 11], workers=2, per_device=2) == [[[7, 9], [11]], [[8, 10], []]]


@pytest.mark.parametrize(("rows", "samples", "epochs"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_counts_below_one_are_refused(rows: int, samples: int, epochs: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        batches(rows, samples, epochs, seed=0)
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        count_updates(rows, samples, epochs)


def test_split_needs_workers() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        split_update([1], workers=0, per_device=1)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 6))
def test_balancing_places_every_row_once_within_the_memory_of_a_batch(
    lengths: list[int], workers: int, per_device: int
) -> None:
    update = list(range(len(lengths)))
    parts = balance_update(update, lengths, workers, per_device, cutoff=50)
    assert len(parts) == workers
    assert len({len(steps) for steps in parts}) == 1, "ZeRO-3 gathers collectively"
    assert sorted(row for steps in parts for step in steps for row in step) == update
    assert all(sum(lengths[row] for row in step) <= per_device * 50 for steps in parts for step in steps)
    usual = split_update(update, workers, per_device)
    assert len(parts[0]) <= len(usual[0]), "never more micro-steps than the batch setting says"


def test_balancing_evens_out_uneven_rows_and_merges_short_micro_steps() -> None:
    lengths = [400, 390, 20, 10]
    assert balance_update([0, 1, 2, 3], lengths, workers=2, per_device=2, cutoff=400) == [[[0, 3]], [[1, 2]]]
    # One long row beside three short ones, though a batch has two.
    assert balance_update([0, 1, 2, 3], [400, 90, 80, 70], workers=2, per_device=2, cutoff=400) == [[[0]], [[1, 2, 3]]]
    # 5x4 on one worker: four micro-steps of five rows, but all twenty hold no more than five full ones.
    assert len(balance_update(list(range(20)), [100] * 20, 1, 5, cutoff=400)[0]) == 1
    assert len(balance_update(list(range(20)), [400] * 20, 1, 5, cutoff=400)[0]) == 4


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 30), max_size=40))
def test_packs_hold_every_row_once_up_to_the_cutoff(lengths: list[int]) -> None:
    packs = pack(lengths, 30)
    assert sorted(row for members in packs for row in members) == list(range(len(lengths)))
    assert all(members and sum(lengths[row] for row in members) <= 30 for members in packs)


def test_packs_are_the_greedy_knapsacks_of_llama_factory() -> None:
    # greedy_knapsack([7, 5, 6, 3, 2, 4], 10) of LLaMA-Factory 0.9.5 gives [[7, 3], [6, 4], [5, 2]].
    lengths = [7, 5, 6, 3, 2, 4]
    assert [[lengths[row] for row in members] for members in pack(lengths, 10)] == [[7, 3], [6, 4], [5, 2]]
    with pytest.raises(ValueError, match="row 1 has 11 tokens and fits in no pack of 10"):
        pack([3, 11], 10)


def test_held_out_rows_are_seeded_and_rounded_up() -> None:
    training, held = hold_out(5383, 0.01, seed=42)
    assert (len(training), len(held)) == (5329, 54), "the ancestor's numbers"
    assert sorted(training + held) == list(range(5383))
    assert hold_out(100, 0.1, seed=1) != hold_out(100, 0.1, seed=2)
    assert hold_out(5, 0.0, seed=0) == ([0, 1, 2, 3, 4], [])
    with pytest.raises(ValueError, match=r"validation.share: 0.9 holds out 1 of 1 rows"):
        hold_out(1, 0.9, seed=0)


def test_state_falls_with_the_workers() -> None:
    one = zero3_bytes(parameters=1000, trainable=1000, workers=1, bits=16)
    assert (one.parameters, one.gradients, one.optimizer, one.total) == (2000, 2000, 12000, 16000)
    assert zero3_bytes(parameters=1000, trainable=1000, workers=4, bits=16).total == 4000
    lora = zero3_bytes(parameters=1010, trainable=10, workers=1, bits=16)
    assert (lora.parameters, lora.gradients, lora.optimizer) == (2020, 20, 120)
