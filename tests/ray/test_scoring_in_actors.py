"""Answers are compared in actors of every kind, where time limits by signal do not work."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psutil
import ray

from capgap_ray.core.answers import compare
from capgap_ray.equivalence import MathVerify

HOSTILE = ("9^{9^{9^{9}}}", "(10^{9})!", "{" * 10_000, "9" * 1_000_000, "5\ud800", "\x00")


@ray.remote(num_cpus=0)
class Comparer:
    """Compares; its calls run off the main thread where `max_concurrency` is above 1, or where it is `Async`."""

    def __init__(self) -> None:
        self._prove = MathVerify()

    def compare(self, gold: str, answer: str, bypass: bool = False) -> tuple[bool | None, float, float]:
        """Return (equal, seconds, bytes of this process and its children). `bypass`: ask Math-Verify whatever it is."""
        begun = time.monotonic()
        verdict = self._prove(gold, answer) if bypass else compare(answer, gold, "maths", (), self._prove)
        me = psutil.Process()
        size = sum(each.memory_info().rss for each in [me, *me.children(recursive=True)])
        return verdict.equal, time.monotonic() - begun, size


@ray.remote(num_cpus=0)
class Async:
    def __init__(self) -> None:
        self._prove = MathVerify()

    async def compare(self, gold: str, answer: str) -> bool | None:
        return (await asyncio.to_thread(compare, answer, gold, "maths", (), self._prove)).equal


def test_hostile_answers_neither_hold_nor_end_an_actor(local_ray: None) -> None:
    threaded: Any = Comparer.options(max_concurrency=2).remote()  # type: ignore[attr-defined]
    integral = ("\\frac{1}{3}", "\\int_0^1 x^2 dx")  # Math-Verify decides it
    assert ray.get(threaded.compare.remote(*integral))[0] is True
    calls = [threaded.compare.remote("5", answer) for answer in HOSTILE]
    calls.append(threaded.compare.remote("5", "9^{9^{9^{9}}}", True))
    for equal, seconds, size in ray.get(calls):
        assert equal is not True
        assert seconds < 4
        assert size < 500e6
    assert ray.get(threaded.compare.remote(*integral))[0] is True


def test_an_async_actor_compares(local_ray: None) -> None:
    actor: Any = Async.remote()  # type: ignore[attr-defined]
    found = ray.get([actor.compare.remote("\\frac{1}{3}", "\\int_0^1 x^2 dx"), actor.compare.remote("5", "(10^9)!")])
    assert found[0] is True
    assert found[1] is not True
