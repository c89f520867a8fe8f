"""Costs and memory: the formulas at values that can be checked by hand."""

import pytest

from capgap_ray.core.cost import (
    ASSUMED,
    checkpoint_bytes,
    engine_memory,
    generation_hours,
    saved_by_layer,
    training_flops,
    training_hours,
    training_memory,
)

BILLION = 10**9


@pytest.mark.parametrize(
    ("lora", "recompute", "per_weight_and_token"),
    [(False, False, 6), (False, True, 8), (True, False, 4), (True, True, 6)],
)
def test_training_operations(lora: bool, recompute: bool, per_weight_and_token: int) -> None:
    assert training_flops(7 * BILLION, 1e6, lora=lora, recompute=recompute) == per_weight_and_token * 7e15


def test_hours() -> None:
    # 3.6e18 operations at 40 % of 250 teraflops take ten hours.
    assert training_hours(3.6e18, 250) == pytest.approx(10)
    # 10 % of the peak on new tokens: 2 x 7e9 x 1e6 / 31.2e12 s = 449 s.
    assert 3600 * generation_hours(7 * BILLION, 0, 1e6, 312) == pytest.approx(448.7, abs=0.1)
    assert generation_hours(7 * BILLION, 1e6, 0, 312) < generation_hours(7 * BILLION, 0, 1e6, 312)


def test_zero3_state_falls_as_one_over_workers_and_working_memory_does_not() -> None:
    def of(workers: int, **other: bool) -> tuple[int, int]:
        settings = {"lora": False, "recompute": True, **other}
        memory = training_memory(7 * BILLION, workers=workers, bits=16, tokens=8192, **settings)
        return memory.state, memory.working

    assert of(1)[0] == 16 * 7 * BILLION  # 2 weights + 2 gradients + 12 fp32 master and moments
    assert of(4)[0] == pytest.approx(of(1)[0] / 4)
    assert of(4)[1] == of(1)[1]
    assert of(1, recompute=False)[1] > 3 * of(1)[1]
    assert of(1, lora=True)[0] < 2.1 * 7 * BILLION


# Of Qwen2.5: weights, layers, width, width of keys, inner width.
QWEN = [
    (494_032_768, 24, 896, 128, 4864),
    (1_543_714_304, 28, 1536, 256, 8960),
    (3_085_938_688, 36, 2048, 256, 11008),
    (7_615_616_512, 28, 3584, 512, 18944),
    (14_770_033_664, 48, 5120, 1024, 13824),
    (32_763_876_352, 64, 5120, 1024, 27648),
    (72_706_203_648, 80, 8192, 1024, 29568),
]


@pytest.mark.parametrize(("parameters", "layers", "width", "key_value", "inner"), QWEN)
def test_activations_are_not_guessed_too_low(
    parameters: int, layers: int, width: int, key_value: int, inner: int
) -> None:
    def working(tokens: int) -> int:
        return training_memory(parameters, workers=1, lora=False, bits=16, tokens=tokens, recompute=False).working

    guessed = (working(10_000) - working(0)) / 10_000 - 12 * ASSUMED.vocabulary
    assert 1 < guessed / (layers * saved_by_layer(width, key_value, inner, 16)) < 1.41


def test_what_is_known_to_fit_fits() -> None:
    # The ancestor trained 7B in full on four A100-80GB, and 32B there with LoRA only.
    def gigabytes(parameters: int, lora: bool, tokens: int) -> float:
        return training_memory(parameters, workers=4, lora=lora, bits=16, tokens=tokens, recompute=True).total / 1e9

    assert gigabytes(7_615_616_512, False, 2 * 8192) < 80
    assert gigabytes(32_763_876_352, True, 8192) < 80
    assert gigabytes(32_763_876_352, False, 8192) > 80
    assert engine_memory(72_706_203_648, 1).total > 80e9 > engine_memory(72_706_203_648, 4).total


def test_disk_and_words() -> None:
    assert checkpoint_bytes(7 * BILLION, 3) == 42 * BILLION
    assert any(f"{ASSUMED.output_tokens} output tokens" in line for line in ASSUMED.words())
