"""The desk of the engines: who has one, how many there are, and what becomes of a call whose engine dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import ray
from ray.exceptions import OwnerDiedError, RayActorError, RayTaskError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from capgap_ray.artifacts.fetch import let_go
from capgap_ray.core.replicas import Group, Replica, to_start, to_stop
from capgap_ray.stages import metrics
from capgap_ray.stages.endpoint import EndpointClient, EndpointError, is_endpoint
from capgap_ray.stages.engine import Canaries, Decoding, EngineError, Layout, Refusal, Stage
from capgap_ray.stages.engine_actor import Start, Whereabouts
from capgap_ray.stages.weights import AdapterError, read_ahead, takes_time

_DEATHS = 2
"""Engine processes that may die of one unit before it is halved."""
_DEATHS_AT_START = 3
"""Engine processes that may die before they generate anything."""
_DEATHS_IN_A_ROW, _DEATHS_OF_EACH = 20, 4
"""Engine processes that may die with no call answered between, at all and of each engine: 20 die of one row that is the
first of its unit, and a few of each may go with their nodes. More have something in common that is no row's."""
_LOG_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the desk says of a call: outputs, or an engine that died, or an end of the run, which may come with the
    outputs that there are; the rest of these are refusals."""

    outputs: Sequence[Any] = ()
    """One reference to the list of outputs."""
    engine: str = ""
    seconds: float = 0.0
    died: str | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What an engine is to do, all but the asks."""

    source: str
    """Of the model, adapters left out."""
    decoding: Decoding
    canaries: Canaries
    layout: Layout | None = None
    joins: bool = False
    """Whether an engine may be at its rows while it still is at those of an equal call: there are no adapters, and
    nothing is read."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Seat:
    """One engine as the desk knows it."""

    actor: Any
    layout: Layout | None
    group: PlacementGroup | None
    since: float
    """When it was asked for, became idle, was taken or died."""
    state: Literal["starting", "idle", "busy", "away"] = "starting"
    """`away`: its process died and another one is on its way."""
    lost: bool = False
    """Away for longer than the time-out."""
    where: Whereabouts | None = None
    holds: str = ""
    """Source of the model that it was last asked for, adapters left out."""
    next: str = ""
    """Of the call that waits for it, as far as can be foreseen."""
    given: _Attempt | None = None
    """The last."""
    beat: float = 0.0
    stage: Stage = "loading"
    """As the last beat told."""
    worked: bool = False
    """It has loaded a model once and got on."""
    deaths_at_start: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class _Attempt:
    """One of having an engine answer a call."""

    number: int
    call: Call
    asks: Any
    """A reference to the list of them."""
    joins: bool = False
    seat: _Seat | None = None
    """The engine that is at its rows already, while it waits for the one before it to end."""

    def follows(self, other: _Attempt | None) -> bool:
        """Whether an engine can be at its rows and at those of the other."""
        return other is not None and self.joins and other.joins and self.call == other.call


class EngineDesk:
    """Finds an idle engine for each call, preferring one that holds the wanted model, and minds the call. While a call
    waits, its model is fetched to the node of the engine that it will probably get. An engine whose rows run out may
    have those of a call that waits, which then is its next.

    The call is the desk's own: a caller that dies leaves no engine taken. Engines are the desk's, too: it starts more
    while calls wait, and lets go of idle ones.
    """

    def __init__(self, start: Start, idle_s: float, room_s: float) -> None:
        self._start, self._resources = start, start.resources
        self._timeout_s = start.resources.engine_timeout_s
        self._idle_s, self._room_s = idle_s, room_s
        self._seats: dict[int, _Seat] = {}
        self._opened = asyncio.Event()
        """Engines and callers may be quicker than who opens the desk."""
        self._waiting: list[_Attempt] = []
        """Those without an engine, in order."""
        self._attempts = count(1)
        self._numbers = count()
        self._deaths = 0
        """Of engine processes since the last call that was answered."""
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
            waiting=sum(each.call.layout == layout for each in self._waiting),
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

    async def complete(self, call: Call, asks: Sequence[Any]) -> Answer:
        """Generate; `asks` is one reference to the list of them."""
        if is_endpoint(call.source):
            return await self._ask_endpoint(call.source, asks, call.decoding)
        await self._opened.wait()
        died = ""
        for _ in range(_DEATHS):
            # What an engine died of may have been in the other call.
            attempt = _Attempt(number=next(self._attempts), call=call, asks=asks[0], joins=call.joins and not died)
            seat = await self._take(attempt)
            if seat is None:
                return Answer(failed=f"{call.source}: its engine did not come back for {self._timeout_s:g} s: {died}")
            answer = await self._call(seat, attempt)
            if answer.died is None:
                return answer
            died = answer.died
        return Answer(died=died)

    async def following(self, index: int) -> tuple[int, Sequence[Any]] | None:
        """The number of an attempt that the engine can be at beside its own, and one reference to the asks."""
        seat = self._seats.get(index)
        if seat is None or seat.state != "busy":
            return None
        for each in self._waiting:
            if each.seat is None and each.follows(seat.given):
                each.seat = seat
                return each.number, [each.asks]
        return None

    async def _take(self, attempt: _Attempt) -> _Seat | None:
        """An engine, now busy; None where all that there are died and none comes back in time."""
        source, layout = attempt.call.source, attempt.call.layout

        def found() -> list[_Seat]:
            if attempt.seat and (attempt.seat.state == "away" or attempt.seat not in self._seats.values()):
                attempt.seat = None  # what it had of the rows is lost
            if attempt.seat:
                return [attempt.seat] if attempt.seat.state == "idle" else []
            seats = [seat for seat in self._seats.values() if seat.layout == layout]
            begun = [each.seat for each in self._waiting]
            idle = [seat for seat in seats if seat.state == "idle" and seat not in begun]
            return idle or (seats if all(seat.lost for seat in seats) else [])

        self._waiting.append(attempt)
        try:
            for _ in range(to_start(self._replicas(layout))):
                self._add(layout)
            async with self._changed:
                foreseen = False
                while not found():
                    foreseen = foreseen or self._foresee(source, layout)
                    await self._changed.wait()
                seat = min(found(), key=lambda each: each.holds != source)
                if seat.lost:
                    return None
                if seat.holds not in ("", source):
                    metrics.add("capgap_swaps", 1)
                seat.state, seat.since = "busy", time.monotonic()
                seat.holds, seat.next, seat.given, seat.stage = source, "", attempt, "loading"
                self._changed.notify_all()  # who waits may foresee when it is free again
                return seat
        finally:
            self._waiting.remove(attempt)

    def _foresee(self, source: str, layout: Layout | None) -> bool:
        """Have the model of a call that waits fetched, if an engine can be expected for it: of those that are busy and
        that no other call expects, the one that has been so for longest."""
        busy = [seat for seat in self._seats.values() if seat.state == "busy" and seat.layout == layout]
        seat = min((each for each in busy if not each.next), key=lambda each: each.since, default=None)
        if seat is None:
            return False
        seat.next = source
        if seat.where and seat.holds != source and takes_time(source):
            strategy = NodeAffinitySchedulingStrategy(seat.where.node, soft=False)
            _fetch_ahead.options(scheduling_strategy=strategy).remote(source)
        return True

    async def _call(self, seat: _Seat, attempt: _Attempt) -> Answer:
        """One answer. The engine is idle again or, where its process has ended, away until the next one answers."""
        begun = seat.beat = time.monotonic()
        process = seat.where  # the next one may have told of itself before this one's end is known
        source, decoding, canaries = attempt.call.source, attempt.call.decoding, attempt.call.canaries
        complete = seat.actor.complete.options(num_returns=2)
        made = complete.remote(source, attempt.asks, decoding, canaries, attempt.number, attempt.joins)
        try:
            fingerprint = await self._minded(seat, made[1])
        # First of all: it also has the class of what was raised there, and vLLM raises time-outs and deaths of workers.
        except RayTaskError as error:
            if isinstance(error.cause, (EngineError, AdapterError)):
                await self._offer(seat)
                return Answer(failed=str(error.cause))
            if isinstance(error.cause, OwnerDiedError):  # the caller, and the asks with it, went with their node
                await self._offer(seat)
                return Answer(failed=f"{source}: who asked is gone")  # and hears nothing; Ray has another one ask again
            self._end(seat, process)  # its state is not known any more
            reason = f"the engine failed ({type(error.cause).__name__}: {_end_of(str(error.cause))})"
            return await self._died(seat, source, reason)
        except TimeoutError:
            said = f"its engine has not answered for {self._timeout_s:g} s (resources.engine_timeout_s)"
            if seat.stage == "loading":
                said += ", within which a model has to be loaded"
            if seat.stage == "fetching":
                said = (
                    f"no byte of it has arrived on its engine's node for {self._timeout_s:g} s "
                    "(resources.engine_timeout_s); see to the network, or give a folder that every node has"
                )
            tail = await self._log_tail(seat)
            self._end(seat, process)
            return Answer(failed=f"{source}: {said}.{tail}")
        except RayActorError as error:
            self._mind_return(seat)
            return await self._died(seat, source, f"the engine's process died ({_end_of(str(error))})")
        self._deaths = 0
        await self._offer(seat)
        return Answer(outputs=[made[0]], engine=fingerprint, seconds=time.monotonic() - begun)

    async def _died(self, seat: _Seat, source: str, reason: str) -> Answer:
        if not seat.worked:
            seat.deaths_at_start += 1
            if seat.deaths_at_start >= _DEATHS_AT_START:
                tail = await self._log_tail(seat)
                return Answer(failed=f"{source}: its engine dies before it generates: {reason}.{tail}")
        self._deaths += 1
        if self._deaths >= _DEATHS_IN_A_ROW + _DEATHS_OF_EACH * self._resources.engines:
            tail = await self._log_tail(seat)
            said = f"{self._deaths} engine processes died in a row, whatever they were asked; the last one"
            return Answer(failed=f"{source}: {said}: {reason}.{tail}")
        return Answer(died=reason)

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

    async def _ask_endpoint(self, source: str, asks: Sequence[Any], decoding: Decoding) -> Answer:
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
        return Answer(outputs=[made], engine=self._endpoints[source].fingerprint, seconds=spent, failed=failed)


def _end_of(text: str, most: int = 300) -> str:
    """On one line. Ray's errors begin with rulers and identities, and end with what happened."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"…{line[-most:]}"


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _fetch_ahead(source: str) -> None:
    read_ahead(source)
    let_go()


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _last_lines(logs: Sequence[str]) -> str:
    found: list[str] = []
    for log in logs:
        if Path(log).is_file():
            found += Path(log).read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(found)
