"""How many engines there should be: decided from how many there are, what they do and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One engine as the policy sees it."""

    number: int
    idle_s: float | None
    """How long it has had nothing to do, in seconds; None for one that works, or comes back after a death."""
    starting_s: float | None = None
    """How long it has been asked for without being placed; None for one that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Engines of one kind, which can stand in for each other."""

    replicas: Sequence[Replica]
    waiting: int
    """Calls without an engine."""
    least: int
    """Engines that are kept though idle."""
    most: int


def to_start(group: Group) -> int:
    """Engines to add: one for each call that no engine is free or on its way for, up to the most."""
    free = sum(each.idle_s is not None or each.starting_s is not None for each in group.replicas)
    return max(0, min(group.waiting - free, group.most - len(group.replicas)))


def to_stop(groups: Sequence[Group], idle_s: float, room_s: float) -> list[int]:
    """Numbers of the engines to let go.

    Those idle for `idle_s`, and those on their way that nothing waits for, as long as the least are left. Where calls
    wait and their engine has had no room for `room_s`, every idle engine of a kind that nothing waits for goes, the
    least included: what is kept must not keep others from ever starting.
    """
    crowded = any(_has_no_room(group, room_s) for group in groups)
    gone = []
    for group in groups:
        if group.waiting:
            continue
        spare = len(group.replicas) - group.least
        # The newest first: the oldest holds weights for longest.
        for each in sorted(group.replicas, key=lambda each: -each.number):
            unneeded = each.starting_s is not None or (each.idle_s is not None and each.idle_s >= idle_s)
            if (crowded and each.idle_s is not None) or (unneeded and spare > 0):
                gone.append(each.number)
                spare -= 1
    return gone


def _has_no_room(group: Group, room_s: float) -> bool:
    """Whether calls wait for a kind of engine of which none is placed."""
    starting = [each.starting_s for each in group.replicas if each.starting_s is not None]
    return bool(group.waiting and starting) and len(starting) == len(group.replicas) and max(starting) >= room_s
