"""What reads untrusted text has limits of its own: the host never runs out of memory by an answer, and waits for none.

The time is what is spent on the answer, which a machine that is busy with something else must not change.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from capgap_ray.killable import Killable

HOG = """
import sys
from capgap_ray.killable import serve
serve(lambda size: len(bytearray(size)), float(sys.argv[1]))
"""


def test_a_question_that_takes_too_much_memory_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hog.py").write_text(HOG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    hog = Killable("hog", seconds=20.0)
    try:
        assert hog.ask(1000) == (1000, None)
        answer, problem = hog.ask(4 * 2**30)
        assert answer is None
        assert problem is not None
        assert "MemoryError" in problem
        assert hog.ask(2000) == (2000, None), "the next question has a worker of its own"
    finally:
        hog.close()


SLOW = """
import os, signal, sys, time
from capgap_ray.killable import serve

def answer(how, seconds):
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "pinned":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if how == "asleep":
        time.sleep(seconds)
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return how

serve(answer, float(sys.argv[1]))
"""
LIMIT = 1.0


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Killable]:
    (tmp_path / "slow.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = Killable("slow", seconds=getattr(request, "param", LIMIT))
    assert process.ask("ready", 0) == ("ready", None)
    yield process
    process.close()


@pytest.mark.parametrize("how", ["computing", "asleep"])
def test_a_question_that_takes_too_long_is_not_answered(slow: Killable, how: str) -> None:
    begun = time.monotonic()
    answer, problem = slow.ask(how, 60)
    assert answer is None
    assert problem == "over the limit of time or memory"
    assert time.monotonic() - begun >= LIMIT
    assert how == "computing" or time.monotonic() - begun < 5 * LIMIT, "a busy machine is no reason to sleep"
    assert slow.ask("ready", 0) == ("ready", None)


def test_the_time_that_a_worker_is_held_up_does_not_count(slow: Killable) -> None:
    assert slow.helper is not None
    (worker,) = psutil.Process(slow.helper.pid).children()
    go_on = threading.Timer(2 * LIMIT, worker.send_signal, [signal.SIGCONT])
    begun = time.monotonic()
    go_on.start()
    assert slow.ask("stopped", 0.1) == ("stopped", None)
    assert time.monotonic() - begun > 1.9 * LIMIT
    go_on.join()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processes that are bound to a core")
def test_the_time_that_others_have_the_core_does_not_count(slow: Killable) -> None:
    core = min(os.sched_getaffinity(0))
    burn = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    with ExitStack() as others:
        for _ in range(2):
            other = others.enter_context(subprocess.Popen([sys.executable, "-c", burn]))
            others.callback(other.kill)
        while psutil.Process(other.pid).cpu_times().user < 0.1:  # until they burn
            time.sleep(0.05)
        begun = time.monotonic()
        assert slow.ask("pinned", 0.7 * LIMIT) == ("pinned", None)
        assert time.monotonic() - begun > LIMIT, "or the core was not taken"


@pytest.mark.parametrize("slow", [0.2], indirect=True)
def test_a_worker_that_is_held_up_for_good_ends(slow: Killable) -> None:
    assert slow.ask("stopped", 0) == (None, "over the limit of time or memory")
    assert slow.ask("ready", 0) == ("ready", None)
