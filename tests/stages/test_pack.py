"""Units: what one engine call generates, and the seed of each completion."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.stages.engine import Decoding
from capgap_ray.stages.inference import UNIT_ROWS, Slice, pack, request_seed

DECODING = Decoding(temperature=0.0, top_p=1.0, max_tokens=8, stop=(), seed=0)


def slice_of(source: str, start: int, size: int) -> Slice:
    return Slice(
        address=f"complete/{source}-{start}",
        shard="rows/0.parquet",
        source=source,
        model=source,
        requests="r",
        start=start,
        stop=start + size,
        decoding=DECODING,
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, UNIT_ROWS)), max_size=30))
def test_units_hold_every_slice_once_one_model_each(wanted: list[tuple[str, int]]) -> None:
    slices = [slice_of(source, index * 1000, size) for index, (source, size) in enumerate(wanted)]
    units = pack(slices)
    assert [each for unit in units for each in unit] == slices
    for unit in units:
        assert len({each.source for each in unit}) == 1
        assert sum(each.rows for each in unit) <= UNIT_ROWS


def test_slices_of_one_model_share_a_call() -> None:
    units = pack([slice_of("a", 0, 100), slice_of("a", 1000, 100), slice_of("b", 0, 100)])
    assert [len(unit) for unit in units] == [2, 1]


def test_samples_count_as_rows() -> None:
    five = dataclasses.replace(DECODING, temperature=1.0, samples=5)
    slices = [dataclasses.replace(slice_of("a", start, 60), decoding=five) for start in (0, 60, 120)]
    assert slices[0].rows == 300
    assert [len(unit) for unit in pack(slices)] == [1, 1, 1]


def test_a_seed_depends_on_run_item_and_sample_only() -> None:
    sampled = dataclasses.replace(DECODING, temperature=0.7, samples=3)
    seeds = [request_seed(sampled, item, sample) for item in ("x", "y") for sample in range(3)]
    assert len(set(seeds)) == 6
    assert all(seed is not None and 0 <= seed < 1 << 31 for seed in seeds)
    assert seeds == [request_seed(sampled, item, sample) for item in ("x", "y") for sample in range(3)]
    assert request_seed(dataclasses.replace(sampled, seed=1), "x", 0) != seeds[0]
    assert request_seed(DECODING, "x", 0) is None
