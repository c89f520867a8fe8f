"""One line that says how far a long stage is, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_EVERY_S = 0.5


def seconds_left(done: float, total: float, elapsed: float) -> float | None:
    """At the pace so far; None where nothing is done yet."""
    return None if done <= 0 else elapsed * max(0.0, total - done) / done


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Use as a context and call with what is newly done. Says nothing where `stream` is no terminal."""

    def __init__(
        self,
        what: str,
        total: float,
        unit: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stream`: standard error, unless given."""
        self._what, self._total, self._unit, self._clock = what, total, unit, clock
        self._stream = sys.stderr if stream is None else stream
        self._speaks = self._stream.isatty()
        self._done = 0.0
        self._begun = clock()
        self._said = float("-inf")

    def __enter__(self) -> Progress:
        return self

    def __call__(self, more: float) -> None:
        self._done += more
        now = self._clock()
        if self._speaks and now - self._said >= _EVERY_S:
            self._said = now
            left = seconds_left(self._done, self._total, now - self._begun)
            rest = "" if left is None else f", {duration(left)} left"
            self._stream.write(f"\r\x1b[K  {self._what}: {self._done:.0f} of {self._total:.0f} {self._unit}{rest}")
            self._stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._speaks:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
