"""The desk between a trial and its workers, and what is told of a failed trial; no Ray runs."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import StoreUnavailable
from capgap_ray.stages import crew
from capgap_ray.stages.desks import Desk
from capgap_ray.stages.grid import Training, _order, _trained_first, last_lines


def run(work: Awaitable[Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, timeout=10))  # type: ignore[arg-type]


def test_jobs_are_handed_out_in_order_and_outcomes_back() -> None:
    async def story() -> list[Any]:
        desk = Desk()
        seen = []

        async def worker() -> None:
            index = await desk.first_open()
            while (job := await desk.job(index)) is not None:
                seen.append(job["n"])
                await desk.finish(index, 10 * job["n"], None)
                index += 1

        async def trial(n: int) -> Any:
            return await desk.outcome(await desk.add({"n": n}))

        standing = asyncio.create_task(worker())
        outcomes = [await trial(1), await trial(2), await trial(3)]
        await desk.close()
        await standing
        return [seen, outcomes]

    assert run(story()) == [[1, 2, 3], [(10, None), (20, None), (30, None)]]


def test_workers_that_start_again_take_up_the_job_that_is_open() -> None:
    async def story() -> tuple[int, Any]:
        desk = Desk()
        await desk.add({"n": 1})
        await desk.add({"n": 2})
        await desk.finish(0, "done", None)
        index = await desk.first_open()  # after a crash in the middle of the second job
        return index, await desk.job(index)

    assert run(story()) == (1, {"n": 2})


def test_a_refusal_is_an_outcome_too() -> None:
    async def story() -> Any:
        desk = Desk()
        await desk.add({})
        await desk.finish(0, None, "row 3 has no supervised token")
        return await desk.outcome(0)

    assert run(story()) == (None, "row 3 has no supervised token")


class Called:
    """The desk as Ray hands it out, with calls that are made at once."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._desk, name)
        return type("Method", (), {"remote": lambda _, *values: run(method(*values))})()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Callable[[Desk, int, Callable[[Any], Any]], None]:
    """Runs a worker's loop, of two workers, over the desk's jobs."""

    def made(desk: Desk, rank: int, work: Callable[[Any], Any]) -> None:
        context = SimpleNamespace(get_world_rank=lambda: rank, get_world_size=lambda: 2)
        monkeypatch.setattr(crew.ray, "get", lambda made: made)
        monkeypatch.setattr(crew.ray, "get_runtime_context", lambda: SimpleNamespace(current_actor=None))
        monkeypatch.setattr(crew.ray.train, "get_context", lambda: context)
        crew._loop({"desk": Called(desk), "work": work})

    return made


def raising(error: Exception) -> Callable[[Any], Any]:
    def work(job: Any) -> Any:
        raise error

    return work


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_without_memory_refuses_the_job_whatever_its_rank(rank: int, loop: Any) -> None:
    import torch

    desk = Desk()
    run(desk.add({"n": 1}))
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nAllocated by torch: 9 GiB")
    with pytest.raises(torch.OutOfMemoryError):  # the group ends with it: the other ranks may wait for this one
        loop(desk, rank, raising(full))
    found, refused = run(desk.outcome(0))
    assert found is None
    assert "lower sft.batch.per_device" in refused
    assert "Tried to allocate 3 GiB" in refused
    assert "Allocated by torch" not in refused


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("error", [StoreUnavailable("rows cannot be read"), ValueError("cut off"), OSError()])
def test_what_one_worker_alone_meets_starts_them_all_again(error: Exception, rank: int, loop: Any) -> None:
    desk = Desk(agree_s=0.1)
    run(desk.add({"n": 1}))
    with pytest.raises(type(error)):
        loop(desk, rank, raising(error))
    assert run(desk.first_open()) == 0


def test_what_all_workers_meet_is_a_refusal() -> None:
    async def story() -> Any:
        desk = Desk()
        await desk.add({"n": 1})
        voted = await asyncio.gather(desk.refuse(0, 1, 2, "its words"), desk.refuse(0, 0, 2, "the first one's words"))
        return voted, await desk.outcome(0), await desk.first_open()

    assert run(story()) == ([True, True], (None, "the first one's words"), 1)


def test_workers_that_start_again_agree_anew() -> None:
    async def story() -> Any:
        desk = Desk(agree_s=0.1)
        await desk.add({"n": 1})
        dead = asyncio.create_task(desk.refuse(0, 1, 2, "of a worker that was ended meanwhile"))
        await asyncio.sleep(0)
        await desk.first_open()
        return await desk.refuse(0, 0, 2, "of one that came after it"), await dead

    assert run(story()) == (False, False)


def test_a_closed_desk_gives_out_no_job_that_is_open() -> None:
    async def story() -> Any:
        desk = Desk()
        await desk.add({"n": 1})
        await desk.close()
        return await desk.job(0)

    assert run(story()) is None


def test_closing_sends_waiting_workers_home() -> None:
    async def story() -> Any:
        desk = Desk()
        waiting = asyncio.create_task(desk.job(0))
        await asyncio.sleep(0)
        await desk.close()
        return await waiting

    assert run(story()) is None


def test_the_last_lines_of_a_trace_are_told_without_rulers() -> None:
    trace = 'Traceback:\n  File "a.py", line 1\n    f(x)\n    ~^^^\n\n  File "b.py", line 2\nValueError: no rows\n'
    assert last_lines(trace, 2) == 'File "b.py", line 2\nValueError: no rows'
    assert last_lines(ValueError()) == "ValueError()"


def test_matched_arms_wait_and_crews_of_one_size_come_together() -> None:
    mix = Step("mix", 1, {})
    other = Step("train", 1, {"sft": {"workers": 2}}, (mix,), "b")
    control = Step("train", 1, {"sft": {"workers": 1}, "match": "updates"}, (mix, other), "a")
    assert _trained_first(Training(step=other, source="s")) == []
    assert _trained_first(Training(step=control, source="s")) == [other]
    wide = Training(step=Step("train", 1, {"sft": {"workers": 4}}, (mix,), "0"), source="s")
    trainings = [wide, Training(step=other, source="s"), Training(step=control, source="s")]
    assert [each.step.label for each in sorted(trainings, key=_order)] == ["a", "b", "0"]
