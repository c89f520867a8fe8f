"""Units: what one engine call generates, and the seed of each completion."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.core.masking import Rendering
from capgap_ray.settings import Resources
from capgap_ray.stages.engine import Decoding, Layout
from capgap_ray.stages.inference import UNIT_ROWS, pack, request_seed, unit_rows
from capgap_ray.stages.slices import Slice

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


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "a::x", "a::y", "b::x"]), st.booleans(), st.integers(1, UNIT_ROWS)),
        max_size=30,
    )
)
def test_units_hold_every_slice_once_and_what_one_call_can_serve(wanted: list[tuple[str, bool, int]]) -> None:
    longer = dataclasses.replace(DECODING, max_tokens=9)
    slices = [
        dataclasses.replace(slice_of(source, index * 1000, size), decoding=longer if other else DECODING)
        for index, (source, other, size) in enumerate(wanted)
    ]
    units = pack(slices)
    packed = [each for unit in units for each in unit]
    assert sorted(packed, key=slices.index) == slices
    for unit in units:
        assert len({(each.base, each.adapter is None, each.decoding) for each in unit}) == 1
        assert sum(each.rows for each in unit) <= UNIT_ROWS
    for source in {each.source for each in slices}:
        mine = [each for each in packed if (each.source, each.decoding) == (source, DECODING)]
        assert mine == [each for each in slices if each in mine], "in their order"


def test_slices_of_one_model_share_a_call() -> None:
    units = pack([slice_of("a", 0, 100), slice_of("a", 1000, 100), slice_of("b", 0, 100)])
    assert [len(unit) for unit in units] == [2, 1]


def test_adapters_on_one_model_share_calls_whatever_lies_between_them() -> None:
    longer = dataclasses.replace(DECODING, max_tokens=9)
    slices = [
        dataclasses.replace(slice_of(f"{base}{adapter}", start, 100), decoding=decoding)
        for adapter in ("::one", "::two", "::three", "")
        for base in ("a", "b")
        for start, decoding in ((0, DECODING), (1000, longer))
    ]
    units = pack(slices)
    assert [[each.source for each in unit] for unit in units] == [
        *([["a::one", "a::two", "a::three"]] * 2),
        *([["b::one", "b::two", "b::three"]] * 2),
        *([["a"]] * 2),
        *([["b"]] * 2),
    ]


def test_calls_to_gpus_are_larger_where_there_are_rows_enough() -> None:
    assert unit_rows(rows=100_000, budget=2048, engines=4) == 8 * UNIT_ROWS
    assert unit_rows(rows=100_000, budget=1 << 14, engines=4) == 2 * UNIT_ROWS, "what may be lost is bounded in tokens"
    assert unit_rows(rows=6000, budget=2048, engines=2) == 1500, "two for each engine"
    assert unit_rows(rows=600, budget=1 << 15, engines=8) == UNIT_ROWS, "and never smaller than on a CPU"
    slices = [slice_of("a", start, 500) for start in range(0, 10_000, 500)]

    def calls(slices: list[Slice], **resources: float) -> int:
        return len(pack(slices, Resources.model_validate(resources)))

    assert (calls(slices, engine_gpus=0), calls(slices, engine_gpus=1)) == (20, 3)
    assert calls(slices, engine_gpus=1, engines=4) == 10
    spread = [dataclasses.replace(each, layout=Layout(tensor=4, pipeline=1)) for each in slices]
    assert calls(spread, engine_gpus=0) == 3
    read = [
        dataclasses.replace(each, decoding=dataclasses.replace(DECODING, reading=Rendering(cutoff=9)))
        for each in slices
    ]
    api = [dataclasses.replace(each, source='endpoint:{"url": "http://api/v1"}') for each in slices]
    assert (calls(read, engine_gpus=1), calls(api, engine_gpus=1)) == (20, 20)


def test_an_endpoint_has_no_adapter() -> None:
    endpoint = 'endpoint:{"url": "http://[::1]:8000/v1"}'
    assert (slice_of(endpoint, 0, 1).base, slice_of(endpoint, 0, 1).adapter) == (endpoint, None)


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
