"""Device-hours on a clock that the test turns."""

import pytest

from capgap_ray.core.metering import BudgetError, Meter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_held_counts_and_nothing_else() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    clock.now = 7200
    meter.hold("engines", 4)
    clock.now += 1800
    assert meter.hours == 2
    meter.hold("training", 2)
    clock.now += 1800
    assert meter.hours == 2 + 2 + 1
    meter.release("engines")
    meter.release("never held")
    clock.now += 3600
    assert meter.hours == 5 + 2
    assert meter.seconds_left() is None
    meter.check("anything")


def test_holding_again_replaces() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    meter.hold("training", 8)
    clock.now = 3600
    meter.hold("training", 1)
    clock.now = 7200
    assert meter.hours == 9


def test_time_left_depends_on_what_is_held() -> None:
    clock = Clock()
    meter = Meter(10.0, clock)
    assert meter.seconds_left(5) == 7200
    meter.hold("engines", 5)
    assert meter.seconds_left(5) == 3600
    clock.now = 3600
    assert meter.seconds_left() == 3600
    clock.now = 7200
    assert meter.seconds_left(1) == 0
    with pytest.raises(BudgetError, match=r"10\.00 of 10 device-hours are used up before the end of: judge"):
        meter.check("judge")
