"""The progress line: on a terminal what is left, elsewhere nothing."""

from __future__ import annotations

import io

import pytest

from capgap_ray.progress import Progress, duration, seconds_left


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_is_quiet_where_nobody_watches() -> None:
    stream = io.StringIO()
    with Progress("generate", 10, "rows", stream) as progress:
        progress(5)
    assert stream.getvalue() == ""


def test_it_says_what_is_left_and_goes() -> None:
    now = [0.0]
    stream = Terminal()
    with Progress("generate", 400, "rows", stream, clock=lambda: now[0]) as progress:
        now[0] = 60.0
        progress(100)
        now[0] = 60.1
        progress(100)  # too soon for another line
        assert stream.getvalue() == "\r\x1b[K  generate: 100 of 400 rows, 3 min left"
    assert stream.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(("done", "expected"), [(0, None), (1, 30.0), (4, 0.0), (5, 0.0)])
def test_the_pace_so_far_decides(done: float, expected: float | None) -> None:
    assert seconds_left(done, 4, 10.0 * (done or 1)) == (expected if expected is None or done != 1 else 30.0)


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(seconds) for seconds in (3.2, 99, 720, 11_100)] == ["3 s", "99 s", "12 min", "3 h 05 min"]
