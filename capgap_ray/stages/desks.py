"""The small actors between a driver, its trials and their workers.

A file of their own, without torch and Ray Train: each actor is a process that holds whatever its file imports.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

Job = dict[str, Any]


def here(kind: Any, **options: Any) -> Any:
    """The class as an actor on the caller's own node: no other node's end takes it, and it keeps none from going.

    Nor is it inside a trial's placement group, which has room for the trial only.
    """
    place = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(num_cpus=0, scheduling_strategy=place, **options)


class Desk:
    """The actor that hands jobs to the workers, in order, and outcomes back."""

    def __init__(self, agree_s: float = 60.0) -> None:
        """`agree_s`: after so long a worker that refuses a job is alone with that."""
        self._agree_s = agree_s
        self._jobs: list[Job] = []
        self._outcomes: dict[int, tuple[Any, str | None]] = {}
        self._refusing: dict[int, str] = {}
        """Rank -> why, of the workers that refuse the job that is open."""
        self._workers: list[Any] = []
        self._closed = False
        self._changed = asyncio.Condition()

    async def add(self, job: Job) -> int:
        async with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
        return len(self._jobs) - 1

    async def first_open(self, worker: Any = None) -> int:
        """The job to go on with: workers that were started, for the first time or again, ask for it."""
        self._workers.append(worker)
        self._refusing = {}
        return len(self._outcomes)

    async def workers(self) -> list[Any]:
        """All that were ever started."""
        return self._workers

    async def job(self, index: int) -> Job | None:
        """The job, as soon as there is one; None when there will be none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or index < len(self._jobs))
        return None if self._closed else self._jobs[index]

    async def finish(self, index: int, found: Any, refused: str | None) -> None:
        async with self._changed:
            self._outcomes[index] = (found, refused)
            self._changed.notify_all()

    async def refuse(self, index: int, rank: int, ranks: int, why: str) -> bool:
        """Whether all workers refuse the job, which is then its outcome; False after a while where some do not."""
        refusing = self._refusing
        refusing[rank] = why
        async with self._changed:
            self._changed.notify_all()
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: len(refusing) == ranks), self._agree_s)
            except TimeoutError:
                return False
            self._refusing = {}
            self._outcomes[index] = (None, refusing[0])
            self._changed.notify_all()
        return True

    async def outcome(self, index: int) -> tuple[Any, str | None]:
        async with self._changed:
            await self._changed.wait_for(lambda: index in self._outcomes)
        return self._outcomes[index]

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


class Tally:
    """How many trials have not begun yet, and which were refused."""

    def __init__(self, trials: int) -> None:
        self._left = trials
        self._refused: dict[str, str] = {}

    def refuse(self, key: str, why: str) -> None:
        self._refused[key] = why

    def refused(self) -> dict[str, str]:
        return self._refused

    def begin(self) -> None:
        self._left -= 1

    def none_left(self) -> bool:
        return self._left <= 0
