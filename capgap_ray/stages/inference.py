"""Requests -> completions, streamed by Ray Data through a pool of standing vLLM engines.

A unit is what one engine call generates: slices of one or several steps for one model. Ray Data runs one task
per unit; the task reads its prompts from the store, asks the pool for an engine (one that holds the model
already, if it can), and writes each slice's rows as a shard. A restart finds the shards and does only the rest.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import ray

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.experiment import Engine as EngineSettings
from capgap_ray.experiment import Resources
from capgap_ray.records import Completion, Request, content_id, from_row, to_row
from capgap_ray.stages.engine import ENVIRONMENT, Ask, Decoding, Engine

UNIT_ROWS = 512
"""Rows of one engine call: enough to fill an engine's batch several times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that one step wants from a model."""

    address: str
    """The step that the rows belong to."""
    shard: str
    """Where they are written, relative to the step's address."""
    source: str
    """Folder or Hub id of the model."""
    model: str
    """The model's name in the rows."""
    requests: str
    """Table of `Request` rows, relative to the store."""
    start: int
    stop: int
    """Requests, not completions: each is answered `decoding.samples` times."""
    decoding: Decoding

    @property
    def rows(self) -> int:
        """Completions."""
        return (self.stop - self.start) * self.decoding.samples


class EnginePool:
    """Standing engine actors. Use as a context: they are stopped, and their devices freed, at the end."""

    def __init__(self, settings: EngineSettings, resources: Resources) -> None:
        self._actors = [_start_engine(settings, resources, index) for index in range(resources.engines)]
        self.desk = _Desk.options(name=None).remote(self._actors)  # type: ignore[attr-defined]
        self.replicas = resources.engines

    def close(self) -> None:
        for actor in (*self._actors, self.desk):
            ray.kill(actor)


def _start_engine(settings: EngineSettings, resources: Resources, index: int) -> Any:
    threads = max(1, int(resources.engine_cpus))
    options = {
        "num_cpus": resources.engine_cpus,
        "num_gpus": resources.engine_gpus,
        "max_restarts": -1,
        "max_task_retries": 2,
        "runtime_env": {"env_vars": {**ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}},
    }
    return _EngineActor.options(**options).remote(settings.dtype, settings.max_model_len)  # type: ignore[attr-defined]


@ray.remote
class _EngineActor:
    def __init__(self, dtype: str, max_model_len: int) -> None:
        import vllm  # noqa: F401  (its seconds of import pass while the driver prepares prompts)

        self._engine = Engine(dtype, max_model_len)

    def complete(self, source: str, asks: Sequence[Ask], decoding: Decoding) -> Any:
        return self._engine.complete(source, asks, decoding)


@ray.remote(num_cpus=0)
class _Desk:
    """Hands out idle engines, one unit at a time each, preferring one that holds the wanted model."""

    def __init__(self, engines: Sequence[Any]) -> None:
        self._engines = list(engines)
        self._idle = set(range(len(engines)))
        self._holds: dict[int, str] = {}
        self._changed = asyncio.Condition()

    async def acquire(self, source: str) -> tuple[int, Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._idle))
            index = min(self._idle, key=lambda each: (self._holds.get(each) != source, each))
            self._idle.remove(index)
            self._holds[index] = source
            return index, self._engines[index]

    async def release(self, index: int) -> None:
        async with self._changed:
            self._idle.add(index)
            self._changed.notify()


def pack(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Group slices into units: one model and decoding each, at most `UNIT_ROWS` rows (or one longer slice)."""
    units: list[list[Slice]] = []
    rows = 0
    for each in slices:
        last = units[-1][-1] if units else None
        same = last is not None and (last.source, last.decoding) == (each.source, each.decoding)
        if not same or rows + each.rows > UNIT_ROWS:
            units.append([])
            rows = 0
        units[-1].append(each)
        rows += each.rows
    return units


def run_slices(store: Store, pool: EnginePool, slices: Sequence[Slice]) -> Iterator[tuple[list[Slice], float]]:
    """Generate every slice whose shard is missing; yield each unit's slices, and the seconds of its engine call,
    when their shards are written. Slices that an earlier run wrote come first, at no cost."""
    todo = [each for each in slices if not store.exists(f"{each.address}/{each.shard}")]
    done = [each for each in slices if each not in set(todo)]
    if done:
        yield done, 0.0
    units = pack(todo)
    if not units:
        return
    rows = [
        {"index": index, "unit": json.dumps([dataclasses.asdict(each) for each in unit])}
        for index, unit in enumerate(units)
    ]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _run_unit(store, pool.desk),
        num_cpus=0.01,
        # One unit at work and one at the desk for each engine.
        compute=ray.data.TaskPoolStrategy(size=min(2 * pool.replicas, len(rows))),
    )
    for row in dataset.iter_rows():
        yield units[row["index"]], row["seconds"]


def _run_unit(store: Store, desk: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def run(row: dict[str, Any]) -> dict[str, Any]:
        unit = [from_row(Slice, each) for each in json.loads(row["unit"])]
        tables: dict[str, list[Request]] = {}
        for each in unit:
            if each.requests not in tables:
                tables[each.requests] = [from_row(Request, item) for item in store.read_rows(each.requests)]
        wanted = [
            (request, sample, request_seed(each.decoding, request.example_id, sample))
            for each in unit
            for request in tables[each.requests][each.start : each.stop]
            for sample in range(each.decoding.samples)
        ]
        asks = [Ask(chat=request.messages, seed=seed) for request, _, seed in wanted]
        index, engine = ray.get(desk.acquire.remote(unit[0].source))
        begun = time.monotonic()
        try:
            outputs = ray.get(engine.complete.remote(unit[0].source, asks, unit[0].decoding))
        finally:
            ray.get(desk.release.remote(index))
        answered = iter(list(zip(wanted, outputs, strict=True)))
        for each in unit:
            rows = [
                Completion(
                    example_id=request.example_id,
                    task=request.task,
                    model=each.model,
                    sample=sample,
                    seed=seed,
                    text=output.text,
                    finish_reason=output.finish_reason,
                    stop_reason=output.stop_reason,
                    prompt_tokens=output.prompt_tokens,
                    completion_tokens=output.completion_tokens,
                )
                for (request, sample, seed), output in islice(answered, each.rows)
            ]
            store.write_rows(f"{each.address}/{each.shard}", [to_row(completion) for completion in rows])
        return {"index": row["index"], "seconds": time.monotonic() - begun}

    return run


def request_seed(decoding: Decoding, example_id: str, sample: int) -> int | None:
    """The seed of one completion, whatever it shares its engine call with; None for greedy decoding."""
    if decoding.temperature == 0:
        return None
    return int(content_id(str(decoding.seed), example_id, str(sample)), 16) % (1 << 31)


def commit_completions(store: Store, step: Step, shards: Sequence[str], seconds: float) -> None:
    """Make the shards the step's result."""
    rows = [row for shard in shards for row in store.read_rows(f"{step.address}/{shard}")]
    summary = {
        "rows": len(rows),
        "tokens": sum(row["completion_tokens"] for row in rows),
        "truncated": sum(row["finish_reason"] == "length" for row in rows),
    }
    store.commit(step, f"{step.address}/rows", summary, seconds, tables=shards)
