"""The command and the process behind it: order, streaming, bad lines, limits, threads."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from capgap_ray.core.answers import extract
from capgap_ray.core.maths import readings
from capgap_ray.equivalence import WORKER_SECONDS, MathVerify, _decide
from capgap_ray.score import LONGEST_LINE, _replies


class Command:
    """`python -m capgap_ray.score`, fed one line at a time."""

    def __init__(self, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "capgap_ray.score", "--kind", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, row: Any) -> dict[str, Any]:
        return self.ask_line(json.dumps(row).encode())

    def ask_line(self, line: bytes) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def computed(self) -> float:
        """Seconds, with those of its helper and of workers that have ended: by the clock, where cores are idle."""
        process = psutil.Process(self.process.pid)
        return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))

    def close(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()


@pytest.fixture(scope="module")
def maths() -> Iterator[Command]:
    command = Command("math")
    yield command
    assert command.close() == 0


@pytest.fixture(scope="module")
def prover() -> Iterator[MathVerify]:
    prover = MathVerify()
    yield prover
    prover.close()


def test_rows_are_answered_one_by_one(maths: Command) -> None:
    assert maths.ask({"gold": "\\frac12", "answer": "0.5"}) == {"equal": True, "answer": "0.5", "how": "same value"}
    assert maths.ask({"gold": 27.0, "answer": "27"})["equal"] is True
    assert maths.ask({"gold": "5", "text": "So \\boxed{5}."}) == {"equal": True, "answer": "5", "how": "same text"}
    assert maths.ask({"text": "So \\boxed{5}."}) == {"equal": None, "answer": "5", "how": "extracted"}
    assert maths.ask({"gold": "5", "text": "Hm."}) == {"equal": False, "answer": None, "how": "no answer found"}
    assert maths.ask({"gold": "5", "answer": None})["equal"] is False
    assert maths.ask({"gold": "\\frac13", "answer": "\\int_0^1 x^2 dx"})["how"] == "Math-Verify"


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b'{"gold": "5"}',
        b'{"answer": "5"}',
        b'{"gold": {}, "answer": "5"}',
        b"\xff\xfe",
        b"[" * 90_000,
    ],
)
def test_bad_lines_are_answered_and_survived(maths: Command, line: bytes) -> None:
    reply = maths.ask_line(line)
    assert reply["equal"] is None
    assert reply["how"].startswith("bad input: ")
    assert maths.ask({"gold": "5", "answer": "5"})["equal"] is True


@pytest.mark.parametrize(
    "answer",
    [
        "\x00",
        "\ud800",
        "5\ud800",
        "{" * 10_000,
        "9" * 1_000_000,
        "9^9^9^9",
        "\\prod_{k=1}^{9999} \\sum_{n=1}^{9999} k^{99} n",
    ],
)
def test_hostile_rows_are_quick(maths: Command, answer: str) -> None:
    before = maths.computed()
    assert maths.ask({"gold": "5", "answer": answer})["equal"] is not True
    assert maths.computed() - before < 4
    assert maths.ask({"gold": "5", "answer": "5"})["equal"] is True


def test_bbh_and_gsm8k() -> None:
    bbh, gsm8k = Command("bbh"), Command("gsm8k")
    assert bbh.ask({"gold": "(B)", "text": "So the answer is **(B)**."})["answer"] == "(B)"
    assert bbh.ask({"gold": "(B)", "answer": "red", "choices": ["blue", "red"]})["equal"] is True
    assert bbh.ask({"gold": "A", "answer": "(A)", "task": "bbh/snarks"})["equal"] is True
    assert bbh.ask({"gold": "red", "text": "The answer is (B).", "choices": ["blue", "red"]})["equal"] is True
    assert "at most 26" in bbh.ask({"gold": "a", "answer": "a", "choices": ["a"] * 27})["how"]
    assert bbh.ask({"text": "So the answer is ] ).", "task": "dyck_languages"})["answer"] == "] )"
    assert bbh.ask({"gold": "beth kenya", "answer": "kenya beth", "task": "word_sorting"})["equal"] is False
    assert gsm8k.ask({"gold": "18", "text": "#### $18.00"})["equal"] is True
    assert gsm8k.ask({"text": "The answer is 15. Check: 15 + 5 = 20"})["answer"] == "15"
    assert (bbh.close(), gsm8k.close()) == (0, 0)


def test_a_gold_in_the_form_of_its_data_set() -> None:
    maths, gsm8k = Command("math"), Command("gsm8k")
    solution = "She sold 48/2 = <<48/2=24>>24 clips.\n#### 24"
    assert gsm8k.ask({"gold": solution, "text": "#### 24"}) == {"equal": True, "answer": "24", "how": "same text"}
    assert gsm8k.ask({"gold": "#### 4", "answer": "5"})["equal"] is False
    assert maths.ask({"gold": "Hence $x = \\boxed{\\frac12}$.", "answer": "0.5"})["equal"] is True
    assert (maths.close(), gsm8k.close()) == (0, 0)


def test_a_mark_of_utf_8_before_the_first_row() -> None:
    command = Command("math")
    assert command.ask_line(b'\xef\xbb\xbf{"gold": "5", "answer": "5"}')["equal"] is True
    assert command.ask_line(b'\xef\xbb\xbf{"gold": "5", "answer": "5"}')["equal"] is None
    assert command.close() == 0


@pytest.mark.parametrize("start", [b'{"gold": "5", "text": "', b" "])
def test_a_line_over_the_limit_is_answered_before_it_ends(maths: Command, start: bytes) -> None:
    """At once, and with little memory: what follows is only skipped."""
    assert maths.process.stdin is not None
    assert maths.process.stdout is not None
    before = maths.computed()
    maths.process.stdin.write(start + b"\\\\boxed{ " * (LONGEST_LINE // 8))
    maths.process.stdin.flush()
    assert "send only the end" in json.loads(maths.process.stdout.readline())["how"]
    for _ in range(50):
        maths.process.stdin.write(b"x" * LONGEST_LINE)
    assert maths.ask_line(b'"}\n{"gold": "5", "answer": "5"}')["equal"] is True
    assert maths.computed() - before < 4
    assert psutil.Process(maths.process.pid).memory_info().rss < 250e6


@pytest.mark.parametrize("unit", ["The cat sat on the mat. ", "\\boxed{", "The answer is 5 or 6. ", "\n", "0.", "{"])
def test_the_longest_line_is_quick(unit: str) -> None:
    """Within 2.5 seconds on a quiet core, up to 4 where others use the memory; what is not linear takes hours."""
    text = unit * ((LONGEST_LINE - 8) // len(unit)) + "\U0001f600"
    before = time.process_time()
    extract(text, "maths")
    assert time.process_time() - before < 8


def test_little_is_remembered_of_long_inputs(prover: MathVerify) -> None:
    row = {"gold": "1+1+1", "answer": "1+1+2", "note": "x" * 1_000_000}
    list(_replies(io.BytesIO(json.dumps(row).encode() + b"\n"), "math", prover))
    assert readings.cache_info().currsize > 0
    list(_replies(io.BytesIO((json.dumps(row).encode() + b"\n") * 3), "math", prover))
    assert readings.cache_info().currsize == 0


def test_a_wrong_kind_is_one_line() -> None:
    command = subprocess.run(
        [sys.executable, "-m", "capgap_ray.score", "--kind", "poem"], capture_output=True, text=True
    )
    assert command.returncode == 2
    assert "poem" in command.stderr


def test_a_closed_reader_is_no_error() -> None:
    rows = (json.dumps({"gold": "5", "answer": "5"}) + "\n") * 20_000
    command = f"printf '%s' '{rows[:90_000]}' | {sys.executable} -m capgap_ray.score --kind math | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_math_verify_works_from_threads(prover: MathVerify) -> None:
    found: list[bool | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(prover("\\frac{1}{3}", "\\int_0^1 x^2 dx").equal))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_a_stuck_pair_is_killed_and_the_next_is_answered(prover: MathVerify) -> None:
    prover("1", "1")
    assert prover.helper is not None
    helper = psutil.Process(prover.helper.pid)
    # Handed over directly: `left_to_prove` would have refused these.
    for answer in ("9^{9^{9^{9}}}", "\\binom{10^{9}}{5 \\cdot 10^{8}}"):
        before = helper.cpu_times().children_user  # of workers that have ended
        assert prover("5", answer).equal is None
        assert helper.cpu_times().children_user - before < WORKER_SECONDS + 2
    assert prover("2", "1 + 1").equal is True
    assert prover.helper.pid == helper.pid, "only the worker was killed"


def test_only_the_process_is_limited_in_time() -> None:
    """Math-Verify's own limits are signals, which raise off the main thread; a starved machine would reach them."""
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(_decide, "2", "1 + 1").result() is True


def test_the_worker_stays_small(prover: MathVerify) -> None:
    prover("5", "10^{10^{9}}")
    assert prover.helper is not None
    helper = psutil.Process(prover.helper.pid)
    assert sum(each.memory_info().rss for each in [helper, *helper.children()]) < 500e6


def test_a_killed_helper_is_replaced(prover: MathVerify) -> None:
    prover("1", "1")
    assert prover.helper is not None
    prover.helper.kill()
    prover.helper.wait()
    assert prover("\\frac{1}{3}", "\\int_0^1 x^2 dx").equal is True


def test_near_zero_values_are_not_equal(prover: MathVerify) -> None:
    assert prover("\\frac{1}{2004!}", "\\frac{1}{2006!}").equal is not True
