"""A function on untrusted text in a process of its own that can be killed, under limits of time and memory.

Time limits by signal work on a main thread only, and not while sympy is inside one long operation. Here
questions go over pipes as JSON lines to a helper process; a worker forked from it answers them under an
address-space limit, and is killed and forked anew (milliseconds) where it does not answer in time. So this
works in threads and in Ray actors alike. Source of the recipe: NeMo Gym PR 1354; math-verify issue 65.

Time is what the worker computes or sleeps; what it waits for a core that others have does not count, or a busy machine
would leave undecided what an idle one decides. With a core of its own both are the time by the clock.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
"""Importing sympy on a busy machine."""
_GRACE_SECONDS = 1.0
"""The helper itself is killed where it has not answered this long after the last moment of its worker."""
_STARVED = 4
"""A worker ends after so many times its limit by the clock, however little it was let compute."""
_LOOK_SECONDS = 0.05
"""Between two looks at a worker that computes."""
_WORKER_BYTES = 300 * 2**20
"""Address space that a worker may take beyond what the helper has mapped."""
_QUESTIONS_PER_WORKER = 300
_ENDED = b"[null, "
"""How the reply of a worker begins that is no more."""


class Killable:
    """Asks a helper process; from any thread. The process starts with the first question.

    `command`: a module whose `main` calls `serve`, and its arguments. `seconds`: the worker's limit for one question.
    """

    def __init__(self, *command: str, seconds: float) -> None:
        self._command = [sys.executable, "-m", *command, str(seconds)]
        self._seconds = seconds
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None

    def ask(self, *question: Any) -> tuple[Any, str | None]:
        """Return (answer, None), or (None, why there is none); raises RuntimeError if the helper cannot start."""
        with self._lock:
            if self._helper is None or self._helper.poll() is not None:
                self._start()
            assert self._helper is not None and self._helper.stdin is not None
            try:
                self._helper.stdin.write(json.dumps(question).encode() + b"\n")
                self._helper.stdin.flush()
            except BrokenPipeError:
                self._stop()
                return None, "the helper process ended"
            wait = _STARVED * self._seconds + _GRACE_SECONDS
            reply = self._reply(wait)
            if reply is None:
                self._stop()
                return None, f"no reply within {wait} s"
        answer, problem = reply
        return answer, problem

    def close(self) -> None:
        """End the helper process."""
        with self._lock:
            self._stop()

    @property
    def helper(self) -> subprocess.Popen[bytes] | None:
        """The helper process, while there is one."""
        return self._helper

    def _start(self) -> None:
        self._helper = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._reply(START_SECONDS) is None:
            self._stop()
            raise RuntimeError(f"a helper process did not start: try `python -m {' '.join(self._command[2:])}`")

    def _reply(self, seconds: float) -> Any:
        assert self._helper is not None and self._helper.stdout is not None
        ready, _, _ = select.select([self._helper.stdout], [], [], seconds)
        line = self._helper.stdout.readline() if ready else b""
        return json.loads(line) if line else None

    def _stop(self) -> None:
        if self._helper is None:
            return
        if self._helper.poll() is None:
            os.killpg(self._helper.pid, signal.SIGKILL)
        for pipe in (self._helper.stdin, self._helper.stdout):
            if pipe is not None:
                pipe.close()
        self._helper.wait()
        self._helper = None


# The helper process


def serve(answer: Callable[..., Any], seconds: float) -> None:
    """Answer the questions on standard input; everything slow must be imported before."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what `answer` prints is no reply
    replies.write(b"[true]\n")
    replies.flush()
    worker = _Worker(answer)
    try:
        for line in sys.stdin.buffer:
            reply = worker.ask(line, seconds)
            if reply is None or reply.startswith(_ENDED) or worker.questions >= _QUESTIONS_PER_WORKER:
                worker.kill()
                worker = _Worker(answer)
            replies.write(reply or _ENDED + b'"over the limit of time or memory"]\n')
            replies.flush()
    finally:
        worker.kill()


class _Worker:
    """A forked process that answers; the helper's side of it."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self.questions = 0
        self._pid = os.fork()
        if not self._pid:
            try:
                os.close(self._requests)
                os.close(self._replies)
                _work(answer, requests, replies)
            finally:  # a failed question ends the worker; the helper reports it and forks another
                if error := sys.exc_info()[1]:
                    os.write(replies, _ENDED + json.dumps(f"{type(error).__name__}: {error}"[:300]).encode() + b"]\n")
                os._exit(0)
        os.close(requests)
        os.close(replies)

    def ask(self, line: bytes, seconds: float) -> bytes | None:
        """Return the reply, or None where the worker ended or is over its time."""
        self.questions += 1
        began = looked = time.monotonic()
        _, computed = self._state()
        spent = 0.0
        try:
            os.write(self._requests, line)
        except BrokenPipeError:
            return None
        reply = b""
        while not reply.endswith(b"\n"):
            while not select.select([self._replies], [], [], _LOOK_SECONDS)[0]:
                if spent >= seconds or looked - began >= _STARVED * seconds:
                    return None
                passed, before = time.monotonic() - looked, computed
                looked += passed
                asleep, computed = self._state()
                spent += passed if asleep else min(computed - before, passed)
            part = os.read(self._replies, 65_536)
            if not part:
                return None
            reply += part
        return reply

    def _state(self) -> tuple[bool, float]:
        """Whether the worker sleeps, rather than computes or waits to, and the seconds it has computed; elsewhere than
        on Linux that is not known, and it is taken to sleep."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return True, 0.0
        return fields[0] == "S", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._requests)
        os.close(self._replies)


def _work(answer: Callable[..., Any], requests: int, replies: int) -> None:
    """The worker: one question at a time until its pipe closes."""
    sizes = Path("/proc/self/statm")
    pages = int(sizes.read_text().split()[0]) if sizes.exists() else 0  # elsewhere than on Linux no limit is set
    limit = pages * os.sysconf("SC_PAGE_SIZE") + _WORKER_BYTES
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(requests, "rb") as source:
        for line in source:
            os.write(replies, json.dumps([answer(*json.loads(line)), None]).encode() + b"\n")
