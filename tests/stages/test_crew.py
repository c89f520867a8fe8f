"""The desk between a trial and its workers, and what is told of a failed trial; no Ray runs."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from capgap_ray.artifacts.step import Step
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


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_without_memory_refuses_the_job_whatever_its_rank(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Called:
        """The desk as Ray hands it out, with calls that are made at once."""

        def __init__(self, desk: Desk) -> None:
            self._desk = desk

        def __getattr__(self, name: str) -> Any:
            method = getattr(self._desk, name)
            return type("Method", (), {"remote": lambda _, *values: run(method(*values))})()

    monkeypatch.setattr(crew.ray, "get", lambda made: made)
    monkeypatch.setattr(
        crew.ray.train, "get_context", lambda: type("Context", (), {"get_world_rank": lambda self: rank})()
    )
    desk = Desk()
    run(desk.add({"n": 1}))

    def work(job: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nAllocated by torch: 9 GiB")

    with pytest.raises(torch.OutOfMemoryError):  # the group ends with it: the other ranks may wait for this one
        crew._loop({"desk": Called(desk), "work": work})
    found, refused = run(desk.outcome(0))
    assert found is None
    assert "lower sft.batch.per_device" in refused
    assert "Tried to allocate 3 GiB" in refused
    assert "Allocated by torch" not in refused


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
