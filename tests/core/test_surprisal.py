"""Loss, surprisal, rank and their ratio against numbers worked out by hand, and what must hold whatever the traces."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.core.proxies import PREFERENCE
from capgap_ray.core.surprisal import RANK_CLIP, proxies_of, ratio_of_means, summarise, trace_reading
from capgap_ray.records import Message, TraceReading, TraceSummary, TrainingExample
from capgap_ray.rows import from_row, to_row


def trace(item: str = "i") -> TrainingExample:
    return TrainingExample(
        example_id=item, task="t", teacher="small", messages=(Message(role="user", content="q"),), completion="a"
    )


def test_a_trace_by_hand() -> None:
    """Three tokens of its own at probabilities 1/2, 1/4 and 1/8, the end of turn at 1."""
    found = trace_reading(trace(), [-math.log(2), -math.log(4), -math.log(8), 0.0], [1, 3, 5000, 1], 3)
    assert (found.example_id, found.task, found.teacher) == ("i", "t", "small")
    assert (found.tokens, found.supervised) == (3, 4)
    assert found.loss == pytest.approx(6 * math.log(2) / 4)
    assert found.surprisal == pytest.approx(2 * math.log(2))
    assert found.rank == pytest.approx((1 + 3 + RANK_CLIP) / 3)


@pytest.mark.parametrize(("logprobs", "ranks", "tokens"), [([], [], 0), ([-1.0], [1, 2], 1), ([-1.0], [1], 2)])
def test_numbers_that_do_not_match_are_refused(logprobs: list[float], ranks: list[int], tokens: int) -> None:
    with pytest.raises(ValueError, match="example i: "):
        trace_reading(trace(), logprobs, ranks, tokens)


def reading(item: str, supervised: int, loss: float, surprisal: float, rank: float) -> TraceReading:
    return TraceReading(
        example_id=item,
        task="t",
        teacher="small",
        tokens=supervised - 1,
        supervised=supervised,
        loss=loss,
        surprisal=surprisal,
        rank=rank,
    )


def test_a_long_trace_is_much_of_the_loss_and_one_of_two_in_the_surprisal() -> None:
    found = summarise([reading("a", 10, 1.0, 1.0, 2.0), reading("b", 90, 3.0, 3.0, 4.0)], kept=7, drawn=3)
    assert (found.kept, found.drawn, found.read) == (7, 3, 2)
    values = {name: each.value for name, each in proxies_of(found).items()}
    assert values == {
        "student loss": pytest.approx((10 + 270) / 100),
        "trace surprisal": pytest.approx(2.0),
        "trace rank": pytest.approx(3.0),
        "rank-surprisal ratio": pytest.approx(1.5),
    }
    assert set(values) < set(PREFERENCE)
    assert found.surprisal is not None
    assert found.surprisal.error == pytest.approx(1.0), "sd over root n"
    assert from_row(TraceSummary, to_row(found)) == found


def test_nothing_read_is_not_known_and_one_item_has_no_error() -> None:
    nothing = summarise([], kept=0, drawn=0)
    assert proxies_of(nothing) == {}
    one = summarise([reading("a", 10, 1.0, 1.0, 2.0)] * 2, kept=2, drawn=2)
    assert one.ratio is not None
    assert (one.ratio.value, one.ratio.error) == (2.0, None)


def test_the_error_of_a_ratio_is_cochrans() -> None:
    above, below = [3.0, 5.0, 7.0, 4.0], [1.0, 2.0, 3.0, 2.0]
    ratio = sum(above) / sum(below)
    rest = [a - ratio * b for a, b in zip(above, below, strict=True)]
    by_hand = math.sqrt(sum(each**2 for each in rest) / 3 / 4) / (sum(below) / 4)
    found = ratio_of_means(above, below, ["a", "b", "c", "d"])
    assert found is not None
    assert (found.value, found.error) == (pytest.approx(ratio), pytest.approx(by_hand))


def test_intervals_of_a_ratio_cover_and_samples_of_one_item_are_one() -> None:
    import numpy as np

    rng = np.random.default_rng(7)
    covered = {"items": 0, "rows": 0}
    above_the_line = 3 * 0.5**1.3 * math.gamma(5.3) / math.gamma(4.0) + 0.4  # E[3 g^1.3] of a gamma(4, 0.5), and 0.4
    for _ in range(400):
        level = rng.gamma(4.0, 0.5, 60)  # of an item, shared by its four traces
        below = np.repeat(level, 4) + rng.gamma(2.0, 0.1, 240)
        above = 3 * np.repeat(level, 4) ** 1.3 + rng.gamma(2.0, 0.2, 240)
        truth = above_the_line / (4.0 * 0.5 + 0.2)
        for name, items in (("items", np.repeat(np.arange(60), 4)), ("rows", np.arange(240))):
            found = ratio_of_means(above.tolist(), below.tolist(), [str(each) for each in items])
            assert found is not None
            assert found.error is not None
            covered[name] += abs(found.value - truth) < 1.96 * found.error
    assert covered["items"] / 400 == pytest.approx(0.945, abs=0.03)
    assert covered["rows"] / 400 < 0.8, "as if the four were four items"


ROWS = st.lists(
    st.tuples(
        st.sampled_from("abcde"), st.integers(2, 400), st.floats(0.001, 20), st.floats(0.001, 20), st.floats(1, 100)
    ),
    min_size=1,
    max_size=12,
)


@given(ROWS, st.integers(1, 3))
def test_order_and_repetition_change_no_value(rows: list[tuple[str, int, float, float, float]], times: int) -> None:
    once = summarise([reading(*row) for row in rows], kept=1, drawn=1)
    again = summarise([reading(*row) for row in reversed(rows)] * times, kept=1, drawn=1)
    for name, each in proxies_of(once).items():
        assert proxies_of(again)[name].value == pytest.approx(each.value)
    low, high = min(row[3] for row in rows), max(row[3] for row in rows)
    assert once.surprisal is not None
    assert low - 1e-9 <= once.surprisal.value <= high + 1e-9
