"""Requests -> completions, streamed by Ray Data through a pool of vLLM engines that grows and shrinks with the work.

A unit is what one engine call generates: slices of one or several steps for one model, or for LoRA adapters on one
model. Ray Data runs one task per unit, or threads of the driver do where there are few. It reads its prompts from the
store, and of its rows what other steps have; has the desk find an engine for the rest (one that holds the model
already, if it can); and writes each slice's rows as a shard, those without a completion as a quarantine table, and last
a receipt that counts both. A restart finds the receipts and does only the rest; of a shard in which rows failed for a
reason that may be gone, it asks these.

What dies is done again: an engine process that is killed comes back, and its unit goes to whichever is free. A
unit that kills its engine again and again is halved until the row that does it is alone, and quarantined.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import os
import platform
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeGuard

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import RECORD, Store
from capgap_ray.core.replicas import Group, Replica, to_start, to_stop
from capgap_ray.records import (
    Completion,
    Quarantined,
    QuarantineReason,
    Request,
    TraceReading,
    TrainingExample,
    content_id,
    from_row,
    to_row,
)
from capgap_ray.settings import Engine as EngineSettings
from capgap_ray.settings import Resources
from capgap_ray.stages import metrics
from capgap_ray.stages.desks import here
from capgap_ray.stages.endpoint import EndpointClient, EndpointError, endpoint_key, is_endpoint
from capgap_ray.stages.engine import (
    ENVIRONMENT,
    ENVIRONMENT_CPU,
    NEEDS_GPU,
    Ask,
    Canaries,
    Canary,
    Decoding,
    Engine,
    EngineError,
    Layout,
    Output,
    Refusal,
    Stage,
    built_for_gpus,
)
from capgap_ray.stages.known_rows import find_rows, note_rows, row_id, rows_of_shard
from capgap_ray.stages.weights import AdapterError, split_source

UNIT_ROWS = 512
"""Rows of one engine call: enough to fill an engine's batch several times over."""
_DEATHS = 2
"""Engine processes that may die of one unit before it is halved."""
_DEATHS_AT_START = 3
"""Engine processes that may die before they generate anything."""
_TRANSIENT: tuple[QuarantineReason, ...] = ("engine error", "unavailable", "bad answer")
"""What another run may not meet: shards with such rows are done again until their step is committed."""
_LOG_LINES = 20
_IDLE_S = 60.0
"""After so long without work an engine beyond those that are kept is let go."""
_ROOM_S = 20.0
"""An engine that was asked for and is not placed after so long has no room."""

_Row = dict[str, Any]
"""A unit, or what it came to, as Ray Data carries it."""
_Run = Callable[[_Row], _Row]


class InferenceError(RuntimeError):
    """Inference that cannot go on; the message is for people."""


class _Interrupted(InferenceError):
    """The same for a call of which something came back."""

    def __init__(self, why: str, outputs: list[Any], engine: str) -> None:
        super().__init__(why)
        self.outputs, self.engine = outputs, engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that one step wants from a model."""

    address: str
    """The step that the rows belong to."""
    shard: str
    """Where they are written, relative to the step's address."""
    source: str
    """Folder or Hub id of the model, `::` and a folder after it for an adapter on it."""
    model: str
    """The model's name in the rows."""
    requests: str
    """Table of `Request` rows, relative to the store; of `TrainingExample` rows where they are read only
    (`decoding.reading`), each once."""
    start: int
    stop: int
    """Requests, not completions: each is answered `decoding.samples` times."""
    decoding: Decoding
    trained_by: str | None = None
    """Address of the step whose record may hold the model's canary; None: only a file beside the weights may."""
    layout: Layout | None = None
    """Of the engine that the model needs; None: any that `resources.engine_gpus` describes."""
    maker: str | None = None
    """What its rows can be shared by, from `known_rows.made_by`; None: with nobody."""

    @property
    def rows(self) -> int:
        """Completions, if none is quarantined."""
        return (self.stop - self.start) * self.decoding.samples

    @property
    def base(self) -> str:
        return split_source(self.source)[0]

    @property
    def adapter(self) -> str | None:
        return split_source(self.source)[1]

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
    engines: tuple[str, ...]
    """Fingerprints of the engines that made the rows."""
    reused: int
    """Rows that another step had, or an earlier run of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """Slices whose shards are written."""

    slices: Sequence[Slice]
    receipts: Sequence[Receipt]
    seconds: float
    """Of their engine call, waiting left out; 0 for what an earlier run wrote."""


# --- engines ---------------------------------------------------------------------------------------------


class EnginePool:
    """Engine actors, as many as the work wants and the resources allow. `close` stops them and frees their devices."""

    def __init__(self, settings: EngineSettings, resources: Resources, actor: Any = None) -> None:
        """`actor`: a class to start in place of the vLLM engine; tests and benchmarks give a scripted one."""
        name = f"desk-{secrets.token_hex(8)}"  # engines find it by name: they come back without what they were given
        start = _Start(kind=actor or _EngineActor, desk=name, settings=settings, resources=resources)
        # Beside the driver: engines go with the desk, and its node must not be one that may be taken away alone.
        self.desk = here(_Desk, name=name).remote(start, _IDLE_S, _ROOM_S)
        # Those that are always kept start beside the desk, not after it: their imports are what everybody waits for.
        self.desk.open.remote([start(index, None)[0] for index in range(resources.kept_engines)])
        self.at_once = 2 * resources.engines
        """Units: one at work and one at the desk for each engine."""
        self.callers = ThreadPoolExecutor(self.at_once)

    def connect(self, endpoints: Iterable[str]) -> None:
        """Give the desk, in memory, the keys that this process has in its environment; the desk's need not have them.

        Raises InferenceError where one is not set.
        """
        try:
            ray.get([self.desk.connect.remote(each, endpoint_key(each)) for each in endpoints])
        except EndpointError as error:
            raise InferenceError(str(error)) from error

    def layouts(self) -> list[Layout | None]:
        """Of the engines that hold their devices now."""
        return list(ray.get(self.desk.layouts.remote()))

    def close(self) -> None:
        try:
            ray.get(self.desk.close.remote())
            ray.kill(self.desk)
        finally:
            self.callers.shutdown(cancel_futures=True)  # who still waits for the desk hears of its end


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """Starts engine processes; called by the desk, whose they are."""

    kind: Any
    desk: str
    settings: EngineSettings
    resources: Resources

    def __call__(self, index: int, layout: Layout | None) -> tuple[Any, PlacementGroup | None]:
        """The engine, and the placement group that goes with it. Waits for neither."""
        threads = max(1, int(self.resources.engine_cpus))
        on_gpu = layout or self.resources.engine_gpus
        environment = {**ENVIRONMENT, **({} if on_gpu else ENVIRONMENT_CPU), "OMP_NUM_THREADS": str(threads)}
        options: dict[str, Any] = {
            "num_cpus": self.resources.engine_cpus,
            "num_gpus": 0 if layout else self.resources.engine_gpus,  # those of a layout are its workers'
            "name": f"engine-{index}-{self.desk}",
            "max_restarts": -1,
            "max_task_retries": 0,  # the desk decides
            "runtime_env": {"env_vars": environment},
        }
        group = None
        if layout:
            wanted = bundles(layout, self.resources.engine_cpus)
            group = ray.util.placement_group(wanted, strategy=placement(layout))
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        share = self.resources.engine_memory_share
        arguments = (self.desk, index, self.settings.dtype, self.settings.max_model_len, layout, share)
        return self.kind.options(**options).remote(*arguments), group


def placement(layout: Layout) -> str:
    """Ray's strategy: layers are shared within a node, and only stages of layers may lie on several.

    Of bundles that are merely packed, the autoscaler would make nodes of one GPU each, if there are such.
    """
    return "STRICT_PACK" if layout.pipeline == 1 else "PACK"


def bundles(layout: Layout, engine_cpus: float) -> list[dict[str, float]]:
    """One GPU each, as vLLM wants them; the first has the CPUs of the process that drives the others, too."""
    return [{"GPU": 1.0, "CPU": float(engine_cpus)}, *({"GPU": 1.0} for _ in range(layout.gpus - 1))]


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
    def __init__(
        self, desk: str, index: int, dtype: str, max_model_len: int, layout: Layout | None, share: float | None
    ) -> None:
        self._engine = Engine(dtype, max_model_len, Pulse(desk, index), layout, share)
        self._broken = NEEDS_GPU if built_for_gpus() and not (layout or ray.get_gpu_ids()) else ""
        if self._broken:
            return
        gc.disable()  # or it looks through the 700,000 objects of vLLM's modules, again and again: 1.2 of 5 s
        try:
            from vllm import LLM  # noqa: F401  (its seconds of import pass while the driver prepares prompts)
        except ImportError as error:  # raised here, it would have Ray start processes until the time-out
            self._broken = (
                f"vLLM cannot be imported on node {platform.node()}: {error}; all nodes need the driver's environment"
            )
        finally:
            gc.freeze()
            gc.enable()

    def ready(self) -> None:
        """Answers once the process has started."""

    def complete(
        self, source: str, asks: Sequence[Ask], decoding: Decoding, canaries: Canaries
    ) -> tuple[Sequence[Output | TraceReading | Refusal], str]:
        if self._broken:
            raise EngineError(self._broken)
        do: Any = self._engine.complete if decoding.reading is None else self._engine.read
        return do(source, asks, decoding, canaries), self._engine.fingerprint


class Pulse:
    """Tells the desk that the engine's process has started and, with what or once a second, that it has got on."""

    def __init__(self, desk: str, index: int) -> None:
        self._desk, self._index = ray.get_actor(desk), index
        self._last, self._stage = 0.0, ""
        self._desk.here.remote(index, _whereabouts())

    def __call__(self, stage: Stage) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._last > 1.0:
            self._last, self._stage = now, stage
            self._desk.beat.remote(self._index, stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the desk says of a call: outputs, or an engine that died, or an end of the run, which may come with the
    outputs that there are; the rest of these are refusals."""

    outputs: Sequence[Any] = ()
    """One reference to the list of outputs."""
    engine: str = ""
    seconds: float = 0.0
    died: str | None = None
    failed: str | None = None


@dataclass(slots=True, kw_only=True)
class _Seat:
    """One engine as the desk knows it."""

    actor: Any
    layout: Layout | None
    group: PlacementGroup | None
    since: float
    """When it was asked for, became idle or died."""
    state: Literal["starting", "idle", "busy", "away"] = "starting"
    """`away`: its process died and another one is on its way."""
    lost: bool = False
    """Away for longer than the time-out."""
    where: Whereabouts | None = None
    holds: str = ""
    """Source of the model that it was last asked for, adapters left out."""
    beat: float = 0.0
    stage: Stage = "loading"
    """As the last beat told."""
    worked: bool = False
    """It has loaded a model once and got on."""
    deaths_at_start: int = 0


class _Desk:
    """Finds an idle engine for each call, preferring one that holds the wanted model, and minds the call.

    The call is the desk's own: a caller that dies leaves no engine taken. Engines are the desk's, too: it starts more
    while calls wait, and lets go of idle ones.
    """

    def __init__(self, start: _Start, idle_s: float, room_s: float) -> None:
        self._start, self._resources = start, start.resources
        self._timeout_s = start.resources.engine_timeout_s
        self._idle_s, self._room_s = idle_s, room_s
        self._seats: dict[int, _Seat] = {}
        self._opened = asyncio.Event()
        """Engines and callers may be quicker than who opens the desk."""
        self._waiting: Counter[Layout | None] = Counter()
        """Calls without an engine, by what engine they want."""
        self._numbers = count()
        self._endpoints: dict[str, EndpointClient] = {}
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, kept: Sequence[Any]) -> None:
        """Take over the engines that are always kept, by their numbers, and mind how many there are."""
        for actor in kept:
            self._seat(next(self._numbers), actor, None, None)
        self._opened.set()
        self._run(self._mind_replicas())

    async def connect(self, source: str, key: str | None) -> None:
        """Make the client of an endpoint, before it is asked. A call's arguments are in no log and no table of Ray's,
        which an actor's own are."""
        if source not in self._endpoints:
            self._endpoints[source] = EndpointClient(source, key)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for number in list(self._seats):
            self._let_go(number)

    async def here(self, index: int, where: Whereabouts) -> None:
        """An engine process has started. Those that the cluster has no room for yet are offered no work."""
        await self._opened.wait()
        if index not in self._seats:  # let go on its way
            return
        seat = self._seats[index]
        seat.where, seat.beat = where, time.monotonic()
        if seat.state == "starting":
            await self._offer(seat)

    async def beat(self, index: int, stage: Stage) -> None:
        if index in self._seats:
            seat = self._seats[index]
            seat.beat, seat.stage = time.monotonic(), stage
            seat.worked = seat.worked or stage == "answering"

    async def pids(self) -> list[int]:
        """Of the engine processes, as last heard of."""
        return [seat.where.pid for seat in self._seats.values() if seat.where]

    async def layouts(self) -> list[Layout | None]:
        return [seat.layout for seat in self._seats.values() if seat.where]

    # --- how many --------------------------------------------------------------------------------------

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _add(self, layout: Layout | None) -> None:
        number = next(self._numbers)
        self._seat(number, *self._start(number, layout), layout)

    def _seat(self, number: int, actor: Any, group: PlacementGroup | None, layout: Layout | None) -> None:
        self._seats[number] = _Seat(actor=actor, layout=layout, group=group, since=time.monotonic())

    def _let_go(self, number: int) -> None:
        seat = self._seats.pop(number)
        ray.kill(seat.actor)
        if seat.group:
            ray.util.remove_placement_group(seat.group)

    def _replicas(self, layout: Layout | None) -> Group:
        now = time.monotonic()
        return Group(
            replicas=[
                Replica(
                    number=number,
                    idle_s=now - seat.since if seat.state == "idle" else None,
                    starting_s=now - seat.since if seat.state == "starting" else None,
                )
                for number, seat in self._seats.items()
                if seat.layout == layout
            ],
            waiting=self._waiting[layout],
            least=self._resources.kept_engines if layout is None else 0,
            most=self._resources.engines,
        )

    async def _mind_replicas(self) -> None:
        while True:
            await asyncio.sleep(min(5.0, self._idle_s / 4, self._room_s / 4))
            layouts = {seat.layout for seat in self._seats.values()}
            for number in to_stop([self._replicas(each) for each in layouts], self._idle_s, self._room_s):
                self._let_go(number)

    async def _offer(self, seat: _Seat) -> None:
        async with self._changed:
            seat.state, seat.since, seat.lost = "idle", time.monotonic(), False
            self._changed.notify_all()

    # --- calls -----------------------------------------------------------------------------------------

    async def complete(
        self,
        source: str,
        asks: Sequence[Any],
        decoding: Decoding,
        canaries: Canaries,
        layout: Layout | None = None,
    ) -> _Answer:
        """Generate; `asks` is one reference to the list of them."""
        if is_endpoint(source):
            return await self._ask_endpoint(source, asks, decoding)
        await self._opened.wait()
        died = ""
        for _ in range(_DEATHS):
            seat = await self._take(source, layout)
            if seat is None:
                return _Answer(failed=f"{source}: its engine did not come back for {self._timeout_s:g} s: {died}")
            answer = await self._call(seat, source, asks[0], decoding, canaries)
            if answer.died is None:
                return answer
            died = answer.died
        return _Answer(died=died)

    async def _take(self, source: str, layout: Layout | None) -> _Seat | None:
        """An engine, now busy; None where all that there are died and none comes back in time."""

        def found() -> list[_Seat]:
            seats = [seat for seat in self._seats.values() if seat.layout == layout]
            idle = [seat for seat in seats if seat.state == "idle"]
            return idle or (seats if all(seat.lost for seat in seats) else [])

        self._waiting[layout] += 1
        try:
            for _ in range(to_start(self._replicas(layout))):
                self._add(layout)
            async with self._changed:
                await self._changed.wait_for(lambda: bool(found()))
                seat = min(found(), key=lambda each: each.holds != source)
                if seat.lost:
                    return None
                if seat.holds not in ("", source):
                    metrics.add("capgap_swaps", 1)
                seat.state, seat.holds, seat.stage = "busy", source, "loading"
                return seat
        finally:
            self._waiting[layout] -= 1

    async def _call(self, seat: _Seat, source: str, asks: Any, decoding: Decoding, canaries: Canaries) -> _Answer:
        """One try. The engine is then idle again or, where its process has ended, away until the next one answers."""
        begun = seat.beat = time.monotonic()
        process = seat.where  # the next one may have told of itself before this one's end is known
        made = seat.actor.complete.options(num_returns=2).remote(source, asks, decoding, canaries)
        try:
            fingerprint = await self._minded(seat, made[1])
        except TimeoutError:
            said = f"its engine has not answered for {self._timeout_s:g} s"
            if seat.stage == "fetching":
                said = (
                    f"no byte of it has arrived on its engine's node for {self._timeout_s:g} s "
                    "(resources.engine_timeout_s); see to the network, or give a folder that every node has"
                )
            tail = await self._log_tail(seat)
            self._end(seat, process)
            return _Answer(failed=f"{source}: {said}.{tail}")
        except RayActorError as error:
            self._mind_return(seat)
            return await self._died(seat, source, f"the engine's process died ({_end_of(str(error))})")
        except RayTaskError as error:
            if isinstance(error.cause, (EngineError, AdapterError)):
                await self._offer(seat)
                return _Answer(failed=str(error.cause))
            self._end(seat, process)  # its state is not known any more
            reason = f"the engine failed ({type(error.cause).__name__}: {_end_of(str(error.cause))})"
            return await self._died(seat, source, reason)
        await self._offer(seat)
        return _Answer(outputs=[made[0]], engine=fingerprint, seconds=time.monotonic() - begun)

    async def _died(self, seat: _Seat, source: str, reason: str) -> _Answer:
        if not seat.worked:
            seat.deaths_at_start += 1
            if seat.deaths_at_start >= _DEATHS_AT_START:
                tail = await self._log_tail(seat)
                return _Answer(failed=f"{source}: its engine dies before it generates: {reason}.{tail}")
        return _Answer(died=reason)

    def _end(self, seat: _Seat, process: Whereabouts | None) -> None:
        ray.kill(seat.actor, no_restart=False)
        self._mind_return(seat, process)

    def _mind_return(self, seat: _Seat, killed: Whereabouts | None = None) -> None:
        seat.state, seat.since = "away", time.monotonic()
        self._run(self._return(seat, killed))

    async def _return(self, seat: _Seat, killed: Whereabouts | None) -> None:
        """Offer the engine once its next process answers. Calls to one on its way back fail at once, and would count
        as deaths. A process that was killed may answer once more."""
        while True:
            ready = asyncio.wrap_future(seat.actor.ready.remote().future())
            try:
                await asyncio.wait_for(ready, timeout=self._timeout_s)
            except RayActorError:
                await asyncio.sleep(0.2)
            except TimeoutError:
                pass
            else:
                if seat.where != killed:
                    await self._offer(seat)
                    return
                await asyncio.sleep(0.2)
            if not seat.lost and time.monotonic() - seat.since >= self._timeout_s:
                async with self._changed:
                    seat.lost = True
                    self._changed.notify_all()

    async def _minded(self, seat: _Seat, reference: Any) -> str:
        """Wait for a call as long as its engine gets on. Raises TimeoutError when it does not."""
        waiting = asyncio.wrap_future(reference.future())
        while True:
            done, _ = await asyncio.wait([waiting], timeout=min(5.0, self._timeout_s / 4))
            if done:
                return str(await waiting)
            if time.monotonic() - seat.beat > self._timeout_s:
                raise TimeoutError

    async def _log_tail(self, seat: _Seat) -> str:
        """The last lines of an engine's output, read on its node; the engine itself need not answer."""
        if seat.where is None:
            return ""
        strategy = NodeAffinitySchedulingStrategy(seat.where.node, soft=False)
        read = _last_lines.options(scheduling_strategy=strategy).remote(seat.where.logs)
        try:
            lines = await asyncio.wait_for(asyncio.wrap_future(read.future()), timeout=30)
        except (TimeoutError, ray.exceptions.RayError):
            return " Its node does not answer either."
        return f" Its last lines:\n{lines}" if lines else " It printed nothing."

    async def _ask_endpoint(self, source: str, asks: Sequence[Any], decoding: Decoding) -> _Answer:
        begun, wanted = time.monotonic(), await asks[0]
        try:
            outputs = await self._endpoints[source].complete(wanted, decoding)
            failed = None
        except EndpointError as error:
            failed = str(error)
            lost = Refusal(reason="unavailable", detail=failed)
            outputs = [error.made.get(index, lost) for index in range(len(wanted))]
        made = await asyncio.to_thread(ray.put, outputs)
        spent = time.monotonic() - begun
        return _Answer(outputs=[made], engine=self._endpoints[source].fingerprint, seconds=spent, failed=failed)


def _end_of(text: str, most: int = 300) -> str:
    """On one line. Ray's errors begin with rulers and identities, and end with what happened."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"…{line[-most:]}"


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _last_lines(logs: Sequence[str]) -> str:
    found: list[str] = []
    for log in logs:
        if Path(log).is_file():
            found += Path(log).read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(found)


# --- units -----------------------------------------------------------------------------------------------


def pack(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Group slices into units that one engine call can serve, of at most `UNIT_ROWS` rows (or one longer slice)."""
    groups: dict[tuple[Any, ...], list[Slice]] = {}
    for each in slices:
        # Rows with and without an adapter need engines of two kinds.
        served_by = each.base, each.adapter is None, each.decoding, each.layout
        groups.setdefault(served_by, []).append(each)
    units: list[list[Slice]] = []
    for group in groups.values():
        rows = UNIT_ROWS
        for each in group:
            if rows + each.rows > UNIT_ROWS:
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
    pool.connect({each.base for each in todo if is_endpoint(each.base)})
    rows = [
        {"index": index, "unit": json.dumps([dataclasses.asdict(each) for each in unit])}
        for index, unit in enumerate(units)
    ]
    run = _run_unit(store, pool.desk)
    for row in _beside(pool, run, rows) if len(rows) <= pool.at_once else _streamed(pool, run, rows):
        if row["failed"]:
            raise InferenceError(row["failed"])
        receipts = [from_row(Receipt, each) for each in json.loads(row["receipts"])]
        yield Landed(slices=units[row["index"]], receipts=receipts, seconds=row["seconds"])


def _beside(pool: EnginePool, run: _Run, rows: Sequence[_Row]) -> Iterator[_Row]:
    """In this process, where all are at work at once and nothing needs to be streamed: those that Ray Data would start
    for it share the cores with the engine that everybody waits for."""
    for each in as_completed([pool.callers.submit(run, row) for row in rows]):
        yield each.result()


def _streamed(pool: EnginePool, run: _Run, rows: Sequence[_Row]) -> Iterator[_Row]:
    from ray.data import DataContext, TaskPoolStrategy, from_items

    # Ray Data logs its plans as warnings and above too; what matters comes back as exceptions.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []
    dataset = from_items(rows, override_num_blocks=len(rows)).map(
        run, num_cpus=0.01, compute=TaskPoolStrategy(size=pool.at_once)
    )
    dataset.set_name("completions")
    yield from dataset.iter_rows()


def _receipt(store: Store, each: Slice) -> Receipt | None:
    """None where there is none, or one that another version wrote."""
    path = each.beside(".json")
    if not store.exists(path):
        return None
    try:
        return from_row(Receipt, json.loads(store.read_bytes(path)))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One completion that a slice asks for."""

    request: Request
    sample: int
    seed: int | None
    id: str | None = None
    """As in `known_rows`; None where the slice shares no rows."""
    had: tuple[Output, str] | None = None
    """What another step has, or an earlier run of this one, and the engine that made it."""


def _run_unit(store: Store, desk: Any) -> _Run:
    def run(row: _Row) -> _Row:
        unit = [from_row(Slice, each) for each in json.loads(row["unit"])]
        if unit[0].decoding.reading is not None:
            return _read_unit(store, desk, row["index"], unit)
        wanted = [(each, _wanted(store, each)) for each in unit]
        asks = [
            Ask(chat=one.request.messages, seed=one.seed, adapter=each.adapter)
            for each, rows in wanted
            for one in rows
            if _is_asked(one)
        ]
        failed = ""
        try:
            outputs, engine, seconds = _complete(_call(store, desk, unit), asks)
        except _Interrupted as error:
            outputs, engine, seconds, failed = error.outputs, error.engine, 0.0, str(error)
        except InferenceError as error:
            return _outcome(row["index"], failed=str(error))
        answered = iter(outputs)
        ended = [(each, [(one, next(answered) if _is_asked(one) else None) for one in rows]) for each, rows in wanted]
        receipts = [
            _write(store, each, rows, engine)
            for each, rows in ended
            if not failed or any(isinstance(output, Output) for _, output in rows)
        ]
        return _outcome(row["index"], seconds, receipts, failed)

    return run


def _call(store: Store, desk: Any, unit: Sequence[Slice]) -> _Call:
    return _Call(
        desk=desk,
        source=unit[0].base,
        decoding=unit[0].decoding,
        canaries=_canaries(store, unit),
        layout=unit[0].layout,
    )


def _outcome(index: int, seconds: float = 0.0, receipts: Sequence[Receipt] = (), failed: str = "") -> dict[str, Any]:
    """A unit's row as Ray Data carries it."""
    written = json.dumps([to_row(receipt) for receipt in receipts])
    return {"index": index, "seconds": seconds, "receipts": written, "failed": failed}


def _read_unit(store: Store, desk: Any, index: int, unit: Sequence[Slice]) -> dict[str, Any]:
    """The same for slices whose texts are given. Each is a call of its own: what else is in a batch moves
    log-probabilities in their last digits, and an interrupted run has other units.
    """
    call = _call(store, desk, unit)
    receipts, seconds = [], 0.0
    for each in unit:
        rows = store.read_rows(each.requests, each.start, each.stop)
        traces = [from_row(TrainingExample, row) for row in rows]
        try:
            outputs, engine, spent = _complete(call, traces)
        except InferenceError as error:
            return _outcome(index, failed=str(error))
        receipts.append(_write_readings(store, each, list(zip(traces, outputs, strict=True)), engine))
        seconds += spent
    return _outcome(index, seconds, receipts)


def _is_asked(one: _Wanted | Quarantined) -> TypeGuard[_Wanted]:
    return isinstance(one, _Wanted) and one.had is None


def _wanted(store: Store, each: Slice) -> list[_Wanted | Quarantined]:
    """The slice's rows, with what other steps have of them, or the shard itself from an earlier run."""
    rows = list(_rows(store, each))
    if each.maker is None:
        return rows
    ids = [row.id for row in rows if isinstance(row, _Wanted) and row.id]
    had = rows_of_shard(store, each.maker, each.decoding, f"{each.address}/{each.shard}", ids)
    had |= find_rows(store, each.maker, each.decoding, each.address, [key for key in ids if key not in had])
    if each.decoding.text_needed:  # where it was made, an empty text was an answer
        had = {key: found for key, found in had.items() if found[0].text.strip()}
    return [
        dataclasses.replace(row, had=had[row.id]) if isinstance(row, _Wanted) and row.id in had else row for row in rows
    ]


def _rows(store: Store, each: Slice) -> Iterator[_Wanted | Quarantined]:
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
                known = row_id(each.maker, each.decoding, request.messages, seed) if each.maker else None
                yield _Wanted(request=request, sample=sample, seed=seed, id=known)


def _canaries(store: Store, unit: Sequence[Slice]) -> Canaries:
    """Those that the records hold."""
    steps = {each.adapter: each.trained_by for each in unit if each.trained_by is not None}
    found = {
        adapter: Canary.of(json.loads(store.read_bytes(f"{step}/{RECORD}"))["summary"])
        for adapter, step in steps.items()
    }
    return {adapter: canary for adapter, canary in found.items() if canary}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """All of an engine call but the asks."""

    desk: Any
    source: str
    """Of the model, adapters left out."""
    decoding: Decoding
    canaries: Canaries
    layout: Layout | None


def _complete(call: _Call, asks: Sequence[Any]) -> tuple[list[Any], str, float]:
    """Outputs, the engine's fingerprint and seconds. A row that kills its engine whenever it is asked is a Refusal."""
    if not asks:
        return [], "", 0.0
    made = call.desk.complete.remote(call.source, [ray.put(asks)], call.decoding, call.canaries, call.layout)
    answer: _Answer = ray.get(made)
    if answer.failed is not None:
        if answer.outputs:
            raise _Interrupted(answer.failed, list(ray.get(answer.outputs[0])), answer.engine)
        raise InferenceError(answer.failed)
    if answer.died is None:
        return list(ray.get(answer.outputs[0])), answer.engine, answer.seconds
    if len(asks) == 1:
        return [Refusal(reason="engine error", detail=answer.died)], "", 0.0
    half = len(asks) // 2
    left, right = _complete(call, asks[:half]), _complete(call, asks[half:])
    return left[0] + right[0], left[1] or right[1], left[2] + right[2]


def _write(
    store: Store, each: Slice, ended: Sequence[tuple[_Wanted | Quarantined, Output | Refusal | None]], engine: str
) -> Receipt:
    """Write what has ended of the slice, as completions and quarantined rows."""
    completions: list[Completion] = []
    quarantined: list[Quarantined] = []
    noted: list[tuple[str, str, int, str]] = []
    makers: set[str] = set()
    for one, output in ended:
        if isinstance(one, Quarantined):
            quarantined.append(one)
            continue
        maker = engine
        if one.had:
            output, maker = one.had
        who: dict[str, Any] = {"example_id": one.request.example_id, "task": one.request.task, "model": each.model}
        if isinstance(output, Output):
            completions.append(Completion(**who, sample=one.sample, seed=one.seed, **dataclasses.asdict(output)))
            makers.add(maker)
            if one.id:
                noted.append((one.id, one.request.example_id, one.sample, maker))
        else:
            assert output is not None
            quarantined.append(Quarantined(**who, sample=one.sample, reason=output.reason, detail=output.detail))

    def note(shard: str) -> None:
        if each.maker:
            note_rows(store, each.maker, each.decoding, shard, noted)

    return _land(
        store,
        each,
        completions,
        quarantined,
        note,
        tokens=sum(row.completion_tokens for row in completions),
        prompt_tokens=sum(row.prompt_tokens for row in completions),
        truncated=sum(row.finish_reason == "length" for row in completions),
        engines=tuple(sorted(makers)),
        reused=sum(isinstance(one, _Wanted) and one.had is not None for one, _ in ended),
    )


def _write_readings(
    store: Store, each: Slice, ended: Sequence[tuple[TrainingExample, TraceReading | Refusal]], engine: str
) -> Receipt:
    """As `_write`, of a slice whose texts were given."""
    readings = [output for _, output in ended if isinstance(output, TraceReading)]
    quarantined = [
        Quarantined(
            example_id=trace.example_id,
            task=trace.task,
            model=each.model,
            sample=0,
            reason=output.reason,
            detail=output.detail,
        )
        for trace, output in ended
        if isinstance(output, Refusal)
    ]
    return _land(
        store,
        each,
        readings,
        quarantined,
        prompt_tokens=sum(row.supervised for row in readings),
        engines=(engine,) if readings else (),
    )


def _land(
    store: Store,
    each: Slice,
    rows: Sequence[Completion | TraceReading],
    quarantined: Sequence[Quarantined],
    note: Callable[[str], None] = lambda shard: None,
    *,
    prompt_tokens: int,
    engines: tuple[str, ...],
    tokens: int = 0,
    truncated: int = 0,
    reused: int = 0,
) -> Receipt:
    """Write the slice's quarantine table and shard, `note` the shard, and write the receipt last."""
    receipt = Receipt(
        rows=len(rows),
        tokens=tokens,
        prompt_tokens=prompt_tokens,
        truncated=truncated,
        quarantined=dict(Counter(row.reason for row in quarantined)),
        example=f"{quarantined[0].example_id}: {quarantined[0].detail}" if quarantined else "",
        engines=engines,
        reused=reused,
    )
    if quarantined:
        store.write_rows(each.beside(".quarantine.parquet"), [to_row(row) for row in quarantined])
    shard = f"{each.address}/{each.shard}"
    store.write_rows(shard, [to_row(row) for row in rows])
    note(shard)
    store.write_bytes(each.beside(".json"), json.dumps(to_row(receipt)).encode())
    return receipt


def request_seed(decoding: Decoding, example_id: str, sample: int) -> int | None:
    """The seed of one completion, whatever it shares its engine call with; None for greedy decoding."""
    if decoding.temperature == 0:
        return None
    return int(content_id(str(decoding.seed), example_id, str(sample)), 16) % (1 << 31)


# --- committing ------------------------------------------------------------------------------------------


def commit_completions(
    store: Store,
    step: Step,
    landed: Sequence[tuple[Slice, Receipt]],
    seconds: float,
    max_error_share: float,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Make the slices, in order, the step's result, with `more` in its summary. Raises what `check_quarantine` does."""
    receipts = [receipt for _, receipt in landed]
    reasons = check_quarantine(store, step.label, landed, max_error_share)
    tables = [each.beside(".quarantine.parquet") for each, receipt in landed if receipt.quarantined]
    summary = {
        "rows": sum(receipt.rows for receipt in receipts),
        "tokens": sum(receipt.tokens for receipt in receipts),
        "prompt_tokens": sum(receipt.prompt_tokens for receipt in receipts),
        "truncated": sum(receipt.truncated for receipt in receipts),
        "quarantined": dict(sorted(reasons.items())),
        "quarantine_tables": [table.removeprefix(f"{step.address}/") for table in tables],
        "engines": sorted({engine for receipt in receipts for engine in receipt.engines}),
        "reused": sum(receipt.reused for receipt in receipts),
        **more,
    }
    shards = [f"{step.address}/{each.shard}" for each, _ in landed]
    store.commit(step, f"{step.address}/rows", summary, seconds, tables=shards)


def check_quarantine(
    store: Store, what: str, landed: Sequence[tuple[Slice, Receipt]], max_error_share: float
) -> Counter[str]:
    """Reason -> quarantined rows. Raises InferenceError, which names `what`, if they are too many of all rows."""
    reasons: Counter[str] = Counter()
    for _, receipt in landed:
        reasons.update(receipt.quarantined)
    lost, rows = reasons.total(), sum(receipt.rows for _, receipt in landed)
    if lost > max_error_share * (lost + rows):
        each, receipt = next((each, receipt) for each, receipt in landed if receipt.quarantined)
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        table = store.local_path(each.beside(".quarantine.parquet"))
        raise InferenceError(
            f"{what}: {lost} of {lost + rows} rows are quarantined ({counted}), more than max_error_share "
            f"{max_error_share:g}; first {receipt.example}. All in {table}"
        )
    return reasons
