"""What the desk makes of a call that fails, with toy engines and without Ray's processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, OwnerDiedError, RayTaskError

from capgap_ray.settings import Resources
from capgap_ray.stages import engine_desk, inference
from capgap_ray.stages.engine import Decoding
from capgap_ray.stages.engine_actor import Whereabouts
from capgap_ray.stages.engine_desk import Answer, Call, EngineDesk, _Attempt, _Seat

DECODING = Decoding(temperature=0.0, top_p=1.0, max_tokens=8, stop=(), seed=0)
Script = Callable[[], BaseException | None]


def attempt(source: str, number: int = 1, joins: bool = False, decoding: Decoding = DECODING) -> _Attempt:
    wanted = Call(source=source, decoding=decoding, canaries={}, joins=joins)
    return _Attempt(number=number, call=wanted, asks="asks", joins=joins)


class Reference:
    def __init__(self, error: BaseException | None) -> None:
        self._error = error

    def future(self) -> Future[str]:
        made: Future[str] = Future()
        made.set_exception(self._error) if self._error else made.set_result("toy")
        return made


class Toy:
    """An engine whose calls end as the script says."""

    def __init__(self, script: Script) -> None:
        self.ready = SimpleNamespace(remote=lambda: Reference(None))
        remote = SimpleNamespace(remote=lambda *_: ("outputs", Reference(script())))
        self.complete = SimpleNamespace(options=lambda **_: remote)


def raised(cause: Exception) -> BaseException:
    """As Ray raises what a call of a living process raised."""
    error: BaseException = RayTaskError("complete", "", cause).as_instanceof_cause()
    return error


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(engine_desk.ray, "kill", lambda actor, **_: found.append(actor))
    return found


def asked(script: Script, times: int, **resources: Any) -> list[Answer]:
    """Answers to so many calls of one engine that has worked before."""

    async def ask() -> list[Answer]:
        start: Any = SimpleNamespace(resources=Resources(**resources))
        desk = EngineDesk(start, idle_s=60, room_s=60)
        seat = _Seat(actor=Toy(script), layout=None, group=None, since=0.0, state="busy", worked=True)
        made = [await desk._call(seat, attempt("m")) for _ in range(times)]
        await desk.close()
        return made

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (TimeoutError("RPC call to execute_model timed out."), "TimeoutError: RPC call"),
        (ActorDiedError(), "ActorDiedError: The actor died"),
    ],
)
def test_an_engine_whose_own_worker_hangs_or_dies_is_replaced(cause: Exception, said: str, killed: list[Any]) -> None:
    """vLLM tells so in its process, which lives on and would be broken for whoever is next."""
    (answer,) = asked(lambda: raised(cause), 1)
    assert answer.failed is None
    assert answer.died is not None
    assert said in answer.died
    assert len(killed) == 1


def test_an_engine_is_kept_when_the_asks_went_with_their_node(killed: list[Any]) -> None:
    """Ray raises it in the engine's process, which has not begun: seen with two nodes, of which one is removed."""
    (answer,) = asked(lambda: raised(OwnerDiedError("00" * 28, "", "")), 1)
    assert answer.failed == "m: who asked is gone"
    assert killed == []


def test_a_time_out_names_its_field(killed: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> str:
        raise TimeoutError

    monkeypatch.setattr(EngineDesk, "_minded", never)
    (answer,) = asked(lambda: None, 1, engine_timeout_s=7)
    assert answer.failed is not None
    assert (
        "has not answered for 7 s (resources.engine_timeout_s), within which a model has to be loaded" in answer.failed
    )


def test_engines_that_die_whatever_they_are_asked_end_the_run(killed: list[Any]) -> None:
    """Each row alone would take 1,023 processes a unit, each with a model to load."""
    answers = asked(lambda: raised(RuntimeError("CUDA error: an illegal memory access")), 32, engines=3)
    assert [each.failed is None for each in answers] == [True] * 31 + [False]
    assert "32 engine processes died in a row" in str(answers[-1].failed)
    assert "illegal memory access" in str(answers[-1].failed)
    calls = iter(range(200))
    mostly = asked(lambda: None if next(calls) % 20 == 19 else raised(RuntimeError("row")), 200)
    assert [each.failed for each in mostly] == [None] * 200, "one row, first in its unit, takes twenty"


def test_a_model_that_waits_is_fetched_to_the_engine_that_is_free_first(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[tuple[str, str]] = []

    def on(scheduling_strategy: Any) -> Any:
        return SimpleNamespace(remote=lambda source: fetched.append((source, scheduling_strategy.node_id[0])))

    monkeypatch.setattr(engine_desk, "_fetch_ahead", SimpleNamespace(options=on))

    async def wait() -> list[tuple[str, str]]:
        start: Any = SimpleNamespace(resources=Resources(engines=3))
        desk = EngineDesk(start, idle_s=60, room_s=60)
        for number, (holds, since) in enumerate([("a", 2.0), ("b", 1.0), ("c", 3.0)]):
            where = Whereabouts(node=28 * f"{holds}0", pid=number, logs=())
            desk._seats[number] = _Seat(
                actor=Toy(lambda: None), layout=None, group=None, since=since, state="busy", holds=holds, where=where
            )
        taken = []

        async def take(source: str) -> None:
            seat = await desk._take(attempt(source))
            assert seat is not None
            assert seat.where is not None
            taken.append((source, seat.where.node[0]))

        waiting = [asyncio.create_task(take(source)) for source in ("d", "a", "e", "f")]
        await asyncio.sleep(0)
        for number in (1, 0, 2, 1):
            await desk._offer(desk._seats[number])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return taken

    taken = asyncio.run(wait())
    assert fetched == [("d", "b"), ("e", "c"), ("f", "b")], (
        "`a` waits for the engine that holds it, `f` for a second turn"
    )
    assert taken == [("d", "b"), ("a", "a"), ("e", "c"), ("f", "b")]


def test_an_engine_is_at_the_call_that_follows_while_its_own_runs_out() -> None:
    """Only if one model, one decoding and neither has adapters; and that call then waits for no other engine."""

    async def wait() -> list[tuple[int, int]]:
        start: Any = SimpleNamespace(resources=Resources(engines=2))
        desk = EngineDesk(start, idle_s=60, room_s=60)
        for number, source in enumerate("ab"):
            desk._seats[number] = _Seat(
                actor=Toy(lambda: None), layout=None, group=None, since=float(number), state="busy", holds=source
            )
            desk._seats[number].given = attempt(source, joins=True)
        others = [attempt("a", number=2), attempt("a", number=3, joins=True, decoding=replace(DECODING, seed=1))]
        others += [
            attempt("c", number=4, joins=True),
            attempt("a", number=5, joins=True),
            attempt("a", number=6, joins=True),
        ]
        taken: list[tuple[int, int]] = []

        async def take(each: _Attempt) -> None:
            seat = await desk._take(each)
            taken.append((each.number, next(n for n, known in desk._seats.items() if known is seat)))

        waiting = [asyncio.create_task(take(each)) for each in others]
        await asyncio.sleep(0)
        assert await desk.following(0) == (5, ["asks"])
        assert await desk.following(1) is None
        for number in (1, 0):
            await desk._offer(desk._seats[number])
            for _ in range(3):
                await asyncio.sleep(0)
        assert await desk.following(0) == (6, ["asks"])
        desk._seats[0].state = "away"  # what it had of the rows is lost, and another engine may take the call
        for _ in range(4):
            await desk._offer(desk._seats[1])
            for _ in range(3):
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return taken

    taken = asyncio.run(wait())
    assert dict(taken)[5] == 0
    assert dict(taken)[6] == 1
    assert {number for number, _ in taken} == {2, 3, 4, 5, 6}


def test_an_answer_that_went_with_its_node_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Answer(outputs=["lost"], engine="e"), Answer(outputs=["kept"], engine="e", seconds=2.0)]

    def get(what: Any) -> Any:
        if what == "lost":
            raise inference.ObjectLostError("00" * 28, "", "")
        return ["text"] if what == "kept" else what

    monkeypatch.setattr(inference, "ray", SimpleNamespace(put=lambda asks: asks, get=get))
    desk = SimpleNamespace(complete=SimpleNamespace(remote=lambda *_: answers.pop(0)))
    assert inference._complete(desk, Call(source="m", decoding=DECODING, canaries={}), ["ask"]) == (["text"], "e", 2.0)
