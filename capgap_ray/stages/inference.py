"""Requests -> completions, streamed by Ray Data through a pool of standing vLLM engines.

A unit is what one engine call generates: slices of one or several steps for one model. Ray Data runs one task
per unit; the task reads its prompts from the store, has the desk find an engine (one that holds the model
already, if it can), and writes each slice's rows as a shard, those without a completion as a quarantine table,
and last a receipt that counts both. A restart finds the receipts and does only the rest.

What dies is done again: an engine process that is killed comes back, and its unit with it. A unit that kills its
engine again and again is halved until the row that does it is alone, and quarantined.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import RECORD, Store
from capgap_ray.experiment import Engine as EngineSettings
from capgap_ray.experiment import Resources
from capgap_ray.records import Completion, Quarantined, QuarantineReason, Request, content_id, from_row, to_row
from capgap_ray.stages import metrics
from capgap_ray.stages.endpoint import EndpointClient, EndpointError, is_endpoint
from capgap_ray.stages.engine import ENVIRONMENT, Ask, Canary, Decoding, Engine, EngineError, Output, Refusal
from capgap_ray.stages.weights import AdapterError

UNIT_ROWS = 512
"""Rows of one engine call: enough to fill an engine's batch several times over."""
_DEATHS = 2
"""Engine processes that may die of one unit before it is halved."""
_DEATHS_AT_START = 3
"""Engine processes that may die before they generate anything."""
_TRANSIENT: tuple[QuarantineReason, ...] = ("engine error", "unavailable", "bad answer")
"""What another run may not meet: shards with such rows are done again until their step is committed."""
_LOG_LINES = 20


class InferenceError(RuntimeError):
    """Inference that cannot go on; the message is for people."""


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
    trained_by: str | None = None
    """Address of the step that trained the model and may have stored a canary; None for untouched models."""

    @property
    def rows(self) -> int:
        """Completions, if none is quarantined."""
        return (self.stop - self.start) * self.decoding.samples

    def beside(self, ending: str) -> str:
        """A file that belongs to the shard, relative to the store."""
        return f"{self.address}/{self.shard.removesuffix('.parquet')}{ending}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one slice came to. Its file is written last and says that the shard is whole."""

    rows: int
    tokens: int
    prompt_tokens: int
    truncated: int
    quarantined: dict[str, int]
    """Reason -> rows."""
    example: str
    """One quarantined row in words; empty where there is none."""
    engine: str
    """Fingerprint of the engine that made the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """Slices whose shards are written."""

    slices: Sequence[Slice]
    receipts: Sequence[Receipt]
    seconds: float
    """Of their engine call, waiting left out; 0 for what an earlier run wrote."""


# --- engines ---------------------------------------------------------------------------------------------


class EnginePool:
    """Standing engine actors. Use as a context: they are stopped, and their devices freed, at the end."""

    def __init__(self, settings: EngineSettings, resources: Resources, actor: Any = None) -> None:
        """`actor`: a class to start in place of the vLLM engine; tests and benchmarks give a scripted one."""
        name = f"desk-{secrets.token_hex(8)}"  # engines find it by name: they come back without what they were given
        self.desk = _Desk.options(name=name).remote(resources.engine_timeout_s)  # type: ignore[attr-defined]
        self._actors = [
            _start_engine(actor or _EngineActor, name, index, settings, resources) for index in range(resources.engines)
        ]
        for index, engine in enumerate(self._actors):
            self.desk.seat.remote(index, engine)
        self.replicas = resources.engines

    def close(self) -> None:
        for actor in (*self._actors, self.desk):
            ray.kill(actor)


def _start_engine(kind: Any, desk: str, index: int, settings: EngineSettings, resources: Resources) -> Any:
    threads = max(1, int(resources.engine_cpus))
    options = {
        "num_cpus": resources.engine_cpus,
        "num_gpus": resources.engine_gpus,
        "name": f"engine-{index}-{desk}",
        "max_restarts": -1,
        "max_task_retries": 0,  # the desk decides
        "runtime_env": {"env_vars": {**ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}},
    }
    return kind.options(**options).remote(desk, index, settings.dtype, settings.max_model_len)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where an engine process runs and what it prints into."""

    node: str
    pid: int
    logs: tuple[str, ...]


def _whereabouts() -> Whereabouts:
    """Of the calling process, a Ray worker whose output goes into files."""
    logs = tuple(path for path in (os.path.realpath(f"/proc/self/fd/{number}") for number in (1, 2)))
    return Whereabouts(node=ray.get_runtime_context().get_node_id(), pid=os.getpid(), logs=logs)


@ray.remote
class _EngineActor:
    def __init__(self, desk: str, index: int, dtype: str, max_model_len: int) -> None:
        pulse = Pulse(desk, index)
        import vllm  # noqa: F401  (its seconds of import pass while the driver prepares prompts)

        self._engine = Engine(dtype, max_model_len, pulse)

    def ready(self) -> None:
        """Answers once the process has started."""

    def complete(
        self, source: str, asks: Sequence[Ask], decoding: Decoding, canary: Canary | None
    ) -> tuple[list[Output | Refusal], str]:
        outputs = self._engine.complete(source, asks, decoding, canary)
        return outputs, self._engine.fingerprint


class Pulse:
    """Tells the desk that the engine's process has started and, at most once a second, that it has got on."""

    def __init__(self, desk: str, index: int) -> None:
        self._desk, self._index = ray.get_actor(desk), index
        self._last = 0.0
        self._desk.here.remote(index, _whereabouts())

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last > 1.0:
            self._last = now
            self._desk.beat.remote(self._index)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the desk says of a call: outputs, or an engine that died, or an end of the run."""

    outputs: Sequence[Any] = ()
    """One reference to the list of outputs."""
    engine: str = ""
    seconds: float = 0.0
    died: str | None = None
    failed: str | None = None


@ray.remote(num_cpus=0)
class _Desk:
    """Finds an idle engine for each call, preferring one that holds the wanted model, and minds the call.

    The call is the desk's own: a caller that dies leaves no engine taken.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._engines: dict[int, Any] = {}
        self._where: dict[int, Whereabouts] = {}
        self._idle: set[int] = set()
        self._holds: dict[int, str] = {}
        self._beats: dict[int, float] = {}
        self._working: set[int] = set()
        """Engines that have loaded a model once and got on."""
        self._deaths_at_start: Counter[int] = Counter()
        self._endpoints: dict[str, Any] = {}
        self._changed = asyncio.Condition()

    async def seat(self, index: int, engine: Any) -> None:
        async with self._changed:
            self._engines[index] = engine
            self._offer(index)

    async def here(self, index: int, where: Whereabouts) -> None:
        """An engine process has started. Those that the cluster has no room for yet are offered no work."""
        async with self._changed:
            self._where[index] = where
            self._beats[index] = time.monotonic()
            self._offer(index)
            self._changed.notify_all()

    async def beat(self, index: int) -> None:
        self._beats[index] = time.monotonic()
        self._working.add(index)

    async def pids(self) -> list[int]:
        """Of the engine processes, as last heard of."""
        return [where.pid for where in self._where.values()]

    def _offer(self, index: int) -> None:
        if index in self._engines and index in self._where and index not in self._holds:
            self._holds[index] = ""
            self._idle.add(index)
            self._changed.notify_all()

    async def complete(self, source: str, asks: Sequence[Any], decoding: Decoding, canary: Canary | None) -> _Answer:
        """Generate; `asks` is one reference to the list of them."""
        if is_endpoint(source):
            return await self._ask_endpoint(source, asks, decoding)
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._idle))
            index = min(self._idle, key=lambda each: (self._holds[each] != source, each))
            self._idle.remove(index)
            if self._holds[index] not in ("", source):
                metrics.add("capgap_swaps", 1)
            self._holds[index] = source
        try:
            return await self._call(index, source, asks[0], decoding, canary)
        finally:
            async with self._changed:
                self._idle.add(index)
                self._changed.notify_all()

    async def _call(self, index: int, source: str, asks: Any, decoding: Decoding, canary: Canary | None) -> _Answer:
        reason = ""
        for _ in range(_DEATHS):
            begun = self._beats[index] = time.monotonic()
            made = self._engines[index].complete.options(num_returns=2).remote(source, asks, decoding, canary)
            try:
                fingerprint = await self._minded(index, made[1])
            except TimeoutError:
                tail = await self._log_tail(index)
                ray.kill(self._engines[index], no_restart=False)
                return _Answer(failed=f"{source}: its engine has not answered for {self._timeout_s:g} s.{tail}")
            except RayActorError as error:
                reason = f"the engine's process died ({' '.join(str(error).split())[:300]})"
                if index not in self._working:
                    self._deaths_at_start[index] += 1
                    if self._deaths_at_start[index] >= _DEATHS_AT_START:
                        tail = await self._log_tail(index)
                        return _Answer(failed=f"{source}: its engine dies before it generates: {reason}.{tail}")
            except RayTaskError as error:
                if isinstance(error.cause, (EngineError, AdapterError)):
                    return _Answer(failed=str(error.cause))
                # Its state is not known any more.
                reason = f"the engine failed ({type(error.cause).__name__}: {' '.join(str(error.cause).split())[:300]})"
                ray.kill(self._engines[index], no_restart=False)
            else:
                return _Answer(outputs=[made[0]], engine=fingerprint, seconds=time.monotonic() - begun)
            # Calls to an actor that is on its way back fail at once, and would count as deaths.
            if not await self._back(index):
                return _Answer(failed=f"{source}: its engine did not come back for {self._timeout_s:g} s: {reason}")
        return _Answer(died=reason)

    async def _back(self, index: int) -> bool:
        """Wait until the engine's next process answers; False if it does not in time."""
        end = time.monotonic() + self._timeout_s
        while (left := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(asyncio.wrap_future(self._engines[index].ready.remote().future()), timeout=left)
            except RayActorError:
                await asyncio.sleep(0.2)
            except TimeoutError:
                break
            else:
                return True
        return False

    async def _minded(self, index: int, reference: Any) -> str:
        """Wait for a call as long as its engine gets on. Raises TimeoutError when it does not."""
        waiting = asyncio.wrap_future(reference.future())
        while True:
            done, _ = await asyncio.wait([waiting], timeout=min(5.0, self._timeout_s / 4))
            if done:
                return str(await waiting)
            if time.monotonic() - self._beats[index] > self._timeout_s:
                raise TimeoutError

    async def _log_tail(self, index: int) -> str:
        """The last lines of an engine's output, read on its node; the engine itself need not answer."""
        where = self._where.get(index)
        if where is None:
            return ""
        strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(where.node, soft=False)
        read = _last_lines.options(scheduling_strategy=strategy).remote(where.logs)
        try:
            lines = await asyncio.wait_for(asyncio.wrap_future(read.future()), timeout=30)
        except (TimeoutError, ray.exceptions.RayError):
            return " Its node does not answer either."
        return f" Its last lines:\n{lines}" if lines else " It printed nothing."

    async def _ask_endpoint(self, source: str, asks: Sequence[Any], decoding: Decoding) -> _Answer:
        if source not in self._endpoints:
            self._endpoints[source] = EndpointClient(source)
        begun = time.monotonic()
        try:
            outputs = await self._endpoints[source].complete(await asks[0], decoding)
        except EndpointError as error:
            return _Answer(failed=str(error))
        made = await asyncio.to_thread(ray.put, outputs)
        return _Answer(outputs=[made], engine=self._endpoints[source].fingerprint, seconds=time.monotonic() - begun)


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _last_lines(logs: Sequence[str]) -> str:
    found: list[str] = []
    for log in logs:
        if Path(log).is_file():
            found += Path(log).read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(found)


# --- units -----------------------------------------------------------------------------------------------


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


def run_slices(store: Store, pool: EnginePool, slices: Sequence[Slice]) -> Iterator[Landed]:
    """Generate every slice that has no receipt; yield slices when their shards are written. What an earlier run
    wrote comes first, unless a row failed there for a reason that may be gone.

    Raises InferenceError where no row can be done: an engine that does not start or does not answer, an endpoint that
    refuses the key.
    """
    todo: list[Slice] = []
    done: list[tuple[Slice, Receipt]] = []
    for each in slices:
        receipt = _receipt(store, each)
        if receipt is None or any(reason in receipt.quarantined for reason in _TRANSIENT):
            todo.append(each)
        else:
            done.append((each, receipt))
    if done:
        yield Landed(slices=[each for each, _ in done], receipts=[receipt for _, receipt in done], seconds=0.0)
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
    dataset.set_name("completions")
    for row in dataset.iter_rows():
        if row["failed"]:
            raise InferenceError(row["failed"])
        receipts = [from_row(Receipt, each) for each in json.loads(row["receipts"])]
        yield Landed(slices=units[row["index"]], receipts=receipts, seconds=row["seconds"])


def _receipt(store: Store, each: Slice) -> Receipt | None:
    path = each.beside(".json")
    return from_row(Receipt, json.loads(store.read_bytes(path))) if store.exists(path) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One completion that a slice asks for."""

    request: Request
    sample: int
    seed: int | None


def _run_unit(store: Store, desk: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def run(row: dict[str, Any]) -> dict[str, Any]:
        unit = [from_row(Slice, each) for each in json.loads(row["unit"])]
        source, decoding = unit[0].source, unit[0].decoding
        wanted: list[_Wanted | Quarantined] = [one for each in unit for one in _wanted(store, each)]
        asks = [Ask(chat=one.request.messages, seed=one.seed) for one in wanted if isinstance(one, _Wanted)]
        try:
            outputs, engine, seconds = _complete(desk, source, asks, decoding, _canary(store, unit[0]))
        except InferenceError as error:
            return {"index": row["index"], "seconds": 0.0, "receipts": "[]", "failed": str(error)}
        answered = iter(outputs)
        ended = iter([(one, next(answered) if isinstance(one, _Wanted) else None) for one in wanted])
        receipts = [_write(store, each, list(islice(ended, each.rows)), engine) for each in unit]
        return {
            "index": row["index"],
            "seconds": seconds,
            "receipts": json.dumps([to_row(receipt) for receipt in receipts]),
            "failed": "",
        }

    return run


def _wanted(store: Store, each: Slice) -> Iterator[_Wanted | Quarantined]:
    for item in store.read_rows(each.requests, each.start, each.stop):
        for sample in range(each.decoding.samples):
            try:
                request = from_row(Request, item)
            except ValueError as error:
                yield Quarantined(
                    example_id=str(item.get("example_id")),
                    task=str(item.get("task")),
                    model=each.model,
                    sample=sample,
                    reason="malformed",
                    detail=str(error)[:300],
                )
            else:
                seed = request_seed(each.decoding, request.example_id, sample)
                yield _Wanted(request=request, sample=sample, seed=seed)


def _canary(store: Store, each: Slice) -> Canary | None:
    if each.trained_by is None:
        return None
    return Canary.of(json.loads(store.read_bytes(f"{each.trained_by}/{RECORD}"))["summary"])


def _complete(
    desk: Any, source: str, asks: Sequence[Ask], decoding: Decoding, canary: Canary | None
) -> tuple[list[Output | Refusal], str, float]:
    """Outputs, the engine's fingerprint and seconds. A row that kills its engine whenever it is asked is a Refusal."""
    if not asks:
        return [], "", 0.0
    answer: _Answer = ray.get(desk.complete.remote(source, [ray.put(asks)], decoding, canary))
    if answer.failed is not None:
        raise InferenceError(answer.failed)
    if answer.died is None:
        return list(ray.get(answer.outputs[0])), answer.engine, answer.seconds
    if len(asks) == 1:
        return [Refusal(reason="engine error", detail=answer.died)], "", 0.0
    half = len(asks) // 2
    left = _complete(desk, source, asks[:half], decoding, canary)
    right = _complete(desk, source, asks[half:], decoding, canary)
    return left[0] + right[0], left[1] or right[1], left[2] + right[2]


def _write(
    store: Store, each: Slice, ended: Sequence[tuple[_Wanted | Quarantined, Output | Refusal | None]], engine: str
) -> Receipt:
    """Write the slice's shard and quarantine table, and its receipt last."""
    completions: list[Completion] = []
    quarantined: list[Quarantined] = []
    for one, output in ended:
        if isinstance(one, Quarantined):
            quarantined.append(one)
            continue
        who: dict[str, Any] = {"example_id": one.request.example_id, "task": one.request.task, "model": each.model}
        if isinstance(output, Output):
            completions.append(Completion(**who, sample=one.sample, seed=one.seed, **dataclasses.asdict(output)))
        else:
            assert output is not None
            quarantined.append(Quarantined(**who, sample=one.sample, reason=output.reason, detail=output.detail))
    receipt = Receipt(
        rows=len(completions),
        tokens=sum(row.completion_tokens for row in completions),
        prompt_tokens=sum(row.prompt_tokens for row in completions),
        truncated=sum(row.finish_reason == "length" for row in completions),
        quarantined=dict(Counter(row.reason for row in quarantined)),
        example=f"{quarantined[0].example_id}: {quarantined[0].detail}" if quarantined else "",
        engine=engine,
    )
    if quarantined:
        store.write_rows(each.beside(".quarantine.parquet"), [to_row(row) for row in quarantined])
    store.write_rows(f"{each.address}/{each.shard}", [to_row(row) for row in completions])
    store.write_bytes(each.beside(".json"), json.dumps(to_row(receipt)).encode())
    return receipt


def request_seed(decoding: Decoding, example_id: str, sample: int) -> int | None:
    """The seed of one completion, whatever it shares its engine call with; None for greedy decoding."""
    if decoding.temperature == 0:
        return None
    return int(content_id(str(decoding.seed), example_id, str(sample)), 16) % (1 << 31)


# --- committing ------------------------------------------------------------------------------------------


def commit_completions(
    store: Store, step: Step, landed: Sequence[tuple[Slice, Receipt]], seconds: float, max_error_share: float
) -> None:
    """Make the slices, in order, the step's result. Raises InferenceError if too many of their rows are quarantined."""
    receipts = [receipt for _, receipt in landed]
    reasons: Counter[str] = Counter()
    for receipt in receipts:
        reasons.update(receipt.quarantined)
    tables = [each.beside(".quarantine.parquet") for each, receipt in landed if receipt.quarantined]
    lost, rows = reasons.total(), sum(receipt.rows for receipt in receipts)
    if lost > max_error_share * (lost + rows):
        first = next(receipt.example for receipt in receipts if receipt.quarantined)
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise InferenceError(
            f"{step.label}: {lost} of {lost + rows} rows are quarantined ({counted}), more than max_error_share "
            f"{max_error_share:g}; first {first}. All in {store.local_path(tables[0])}"
        )
    summary = {
        "rows": rows,
        "tokens": sum(receipt.tokens for receipt in receipts),
        "prompt_tokens": sum(receipt.prompt_tokens for receipt in receipts),
        "truncated": sum(receipt.truncated for receipt in receipts),
        "quarantined": dict(sorted(reasons.items())),
        "quarantine_tables": [table.removeprefix(f"{step.address}/") for table in tables],
        "engines": sorted({receipt.engine for receipt in receipts} - {""}),
    }
    shards = [f"{step.address}/{each.shard}" for each, _ in landed]
    store.commit(step, f"{step.address}/rows", summary, seconds, tables=shards)
