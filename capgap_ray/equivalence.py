"""Math-Verify behind a process that can be killed: for maths that our own rules cannot read.

Math-Verify's time limits are signals, so they work on a main thread only, and not while sympy is inside
one long operation. Here it runs in a helper process of its own: pairs go over pipes as JSON lines, a
worker forked from the helper decides them under 1 s limits and an address-space limit, and is killed and
forked anew (milliseconds) where it does not answer. So this works in threads and in Ray actors alike.
Source of the recipe: math-verify 0.9.0 `utils.timeout`; NeMo Gym PR 1354; math-verify issue 65.
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
from pathlib import Path
from typing import Any

from capgap_ray.core.maths import Verdict

WORKER_SECONDS = 2.5
"""The worker is killed after this; Math-Verify's own limits inside it are 1 s for each of three calls."""
HELPER_SECONDS = 3.5
"""The helper itself is killed after this."""
START_SECONDS = 60.0
"""Importing sympy on a busy machine."""
_WORKER_BYTES = 300 * 2**20
"""Address space that a worker may take beyond what the helper has mapped."""
_PAIRS_PER_WORKER = 300
UNPARSABLE = "unparsable: Math-Verify could not decide"


class MathVerify:
    """Decides pairs; call it from any thread. The helper process starts with the first pair."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None

    def __call__(self, gold: str, answer: str) -> Verdict:
        """Return Math-Verify's verdict; equal is None, with a reason, where there is none in time."""
        with self._lock:
            if self._helper is None or self._helper.poll() is not None:
                self._start()
            assert self._helper is not None and self._helper.stdin is not None
            try:
                self._helper.stdin.write(json.dumps([gold, answer]).encode() + b"\n")
                self._helper.stdin.flush()
            except BrokenPipeError:
                self._stop()
                return Verdict(None, "unparsable: Math-Verify's process ended")
            reply = self._reply(HELPER_SECONDS)
            if reply is None:
                self._stop()
                return Verdict(None, f"unparsable: no decision within {HELPER_SECONDS} s")
        return Verdict(reply, "Math-Verify") if isinstance(reply, bool) else Verdict(None, str(reply))

    def close(self) -> None:
        """End the helper process."""
        with self._lock:
            self._stop()

    def _start(self) -> None:
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "capgap_ray.equivalence"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._reply(START_SECONDS) != "ready":
            self._stop()
            raise RuntimeError("Math-Verify's process did not start: try `python -c 'import math_verify'`")

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


def _decide(gold: str, answer: str) -> bool | str:
    """Return whether Math-Verify holds the pair for equal. Runs on the worker's main thread."""
    from math_verify import LatexExtractionConfig, parse, verify  # type: ignore[import-untyped]
    from math_verify.errors import TimeoutException  # type: ignore[import-untyped]

    # LaTeX only: the plain-expression extractor would hand the text to sympy's parse_expr.
    config = [LatexExtractionConfig()]
    try:
        read = [parse(f"${text}$", config, fallback_mode="no_fallback", parsing_timeout=1) for text in (gold, answer)]
        if not all(read):
            return UNPARSABLE
        # `verify` compares closed forms by evaluating their difference, with small values chopped to 0.
        if not verify(read[0], read[1], float_rounding=30, numeric_precision=60, timeout_seconds=1):
            return False
        return True if _not_chopped(read[0][0], read[1][0]) else UNPARSABLE
    except (TimeoutException, MemoryError, RecursionError):
        return "unparsable: over Math-Verify's limits"


def _not_chopped(one: Any, other: Any) -> bool:
    """Return whether two closed values agree in their leading digits, and not merely in being small."""
    import sympy  # type: ignore[import-untyped]

    if not (isinstance(one, sympy.Expr) and isinstance(other, sympy.Expr)):
        return True
    if one.free_symbols or other.free_symbols:
        return True
    left, right = one.evalf(50), other.evalf(50)
    return bool(left.is_number and right.is_number and abs(left - right) <= abs(left) * sympy.Float("1e-40", 50))


def _work(requests: int, replies: int) -> None:
    """The worker: one pair at a time until its pipe closes."""
    sizes = Path("/proc/self/statm")
    pages = int(sizes.read_text().split()[0]) if sizes.exists() else 0  # elsewhere than on Linux no limit is set
    limit = pages * os.sysconf("SC_PAGE_SIZE") + _WORKER_BYTES
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(requests, "rb") as source, os.fdopen(replies, "wb") as sink:
        for line in source:
            gold, answer = json.loads(line)
            sink.write(json.dumps(_decide(gold, answer)).encode() + b"\n")
            sink.flush()


class _Worker:
    """A forked process that decides pairs; the helper's side of it."""

    def __init__(self) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self.pairs = 0
        self._pid = os.fork()
        if not self._pid:
            try:
                os.close(self._requests)
                os.close(self._replies)
                _work(requests, replies)
            finally:
                os._exit(0)  # a failed pair ends the worker; the helper reports it and forks another
        os.close(requests)
        os.close(replies)

    def decide(self, line: bytes) -> bytes | None:
        """Return the reply, or None where the worker ended or is over its time."""
        self.pairs += 1
        try:
            os.write(self._requests, line)
        except BrokenPipeError:
            return None
        ready, _, _ = select.select([self._replies], [], [], WORKER_SECONDS)
        return (os.read(self._replies, 4096) or None) if ready else None

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._requests)
        os.close(self._replies)


def _serve() -> None:
    import math_verify  # noqa: F401  loaded once, before the workers are forked

    _decide("1", "2")  # builds the parser's tables, which every worker then shares
    sys.stdout.buffer.write(b'"ready"\n')
    sys.stdout.buffer.flush()
    worker = _Worker()
    try:
        for line in sys.stdin.buffer:
            reply = worker.decide(line)
            if reply is None or worker.pairs >= _PAIRS_PER_WORKER:
                worker.kill()
                worker = _Worker()
            sys.stdout.buffer.write(reply or b'"unparsable: over Math-Verify\'s limits"\n')
            sys.stdout.buffer.flush()
    finally:
        worker.kill()


if __name__ == "__main__":
    _serve()
