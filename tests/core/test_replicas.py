"""Engines come while work waits and go when idle; none keeps another kind from starting."""

from __future__ import annotations

import pytest

from capgap_ray.core.replicas import Group, Replica, to_start, to_stop

IDLE_S, ROOM_S = 60, 20


def busy(number: int) -> Replica:
    return Replica(number=number, idle_s=None)


def idle(number: int, seconds: float) -> Replica:
    return Replica(number=number, idle_s=seconds)


def starting(number: int, seconds: float) -> Replica:
    return Replica(number=number, idle_s=None, starting_s=seconds)


def group(*replicas: Replica, waiting: int = 0, least: int = 1, most: int = 4) -> Group:
    return Group(replicas=replicas, waiting=waiting, least=least, most=most)


@pytest.mark.parametrize(
    ("made", "more"),
    [
        (group(waiting=1), 1),
        (group(waiting=9), 4),
        (group(waiting=0), 0),
        (group(busy(0), waiting=2), 2),
        (group(busy(0), starting(1, 3), waiting=2), 1),
        (group(busy(0), idle(1, 0), waiting=1), 0),
        (group(*map(busy, range(4)), waiting=5), 0),
        (group(waiting=3, most=1, least=0), 1),
    ],
)
def test_one_for_each_call_that_waits(made: Group, more: int) -> None:
    assert to_start(made) == more


@pytest.mark.parametrize(
    ("made", "gone"),
    [
        (group(idle(0, 99)), []),
        (group(idle(0, 99), least=0), [0]),
        (group(idle(0, 99), idle(1, 99), busy(2)), [1, 0]),
        (group(idle(0, 99), idle(1, 99)), [1]),
        (group(idle(0, 30), idle(1, 30)), []),
        (group(busy(0), busy(1), least=0), []),
        (group(busy(0), starting(1, 5)), [1]),
        (group(starting(0, 999)), []),
        (group(busy(0), starting(1, 999), waiting=1), []),
        (group(busy(0), idle(1, 99), waiting=1), []),
    ],
)
def test_the_idle_go_down_to_the_least(made: Group, gone: list[int]) -> None:
    assert to_stop([made], IDLE_S, ROOM_S) == gone


def test_a_kind_without_room_gets_that_of_the_idle() -> None:
    kept = group(idle(0, 1), idle(1, 1), least=2)
    assert to_stop([kept, group(starting(2, 5), waiting=1, least=0)], IDLE_S, ROOM_S) == []
    assert to_stop([kept, group(starting(2, 25), waiting=1, least=0)], IDLE_S, ROOM_S) == [1, 0]
    assert to_stop([kept, group(busy(3), starting(2, 25), waiting=1, least=0)], IDLE_S, ROOM_S) == []
    both = group(busy(0), idle(1, 1), waiting=1, least=2)
    assert to_stop([both, group(starting(2, 25), waiting=1, least=0)], IDLE_S, ROOM_S) == []
