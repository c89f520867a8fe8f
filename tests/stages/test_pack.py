"""Units: what one engine call generates."""

from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.stages.engine import Decoding
from capgap_ray.stages.inference import UNIT_ROWS, Slice, pack

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
        assert sum(each.stop - each.start for each in unit) <= UNIT_ROWS


def test_slices_of_one_model_share_a_call() -> None:
    units = pack([slice_of("a", 0, 100), slice_of("a", 1000, 100), slice_of("b", 0, 100)])
    assert [len(unit) for unit in units] == [2, 1]
