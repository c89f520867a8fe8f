"""Score answers or whole outputs from the command line: JSON lines in, JSON lines out.

    python -m capgap_ray.score --kind math|gsm8k|bbh < rows.jsonl

A row is {"gold", "answer"}, {"gold", "text"} (a whole output) or {"text"} (extraction only), each with an
optional "task" (a BBH subtask's name) and "choices" (option texts). For each, in order and at once, a line
{"equal": true|false|null, "answer": extracted or null, "how": which rule decided} is written. A row that
cannot be used gives equal null and says why.
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from capgap_ray.core.answers import (
    AnswerKind,
    Prover,
    canonical,
    compare,
    extract,
    extract_any,
    kind_of,
    kind_of_task,
    read,
    stated_gold,
)
from capgap_ray.core.maths import readings
from capgap_ray.core.verdict import Verdict

LONGEST_LINE = 2 * 2**20
"""Bytes of one input line: twice what a model writes at most, and any text of it is read in half of 4 seconds."""


def score(row: Any, kind: str, prove: Prover) -> dict[str, Any]:
    """Return the output for one row; raises ValueError that says what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError("a line must be a JSON object")
    gold, task = row.get("gold"), row.get("task") or ""
    choices = row.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices) or len(choices) > 26:
        raise ValueError("'choices' must be a list of at most 26 texts")
    if not isinstance(task, str):
        raise ValueError("'task' must be a text")
    target = None if gold is None else _text(gold, "gold")
    if "answer" not in row and "text" not in row:
        raise ValueError("neither 'answer' nor 'text' is given")
    if "answer" in row and target is None:
        raise ValueError("'answer' without 'gold'")
    answer_kind = _kind(kind, target, choices, task)
    if target is not None and answer_kind in ("maths", "number"):
        target = stated_gold(target)
    if "answer" in row:
        answer = None if row["answer"] is None else _text(row["answer"], "answer")
        if answer is None:
            return _line(Verdict(False, "no answer"), None)
        assert target is not None and answer_kind is not None
        return _line(compare(answer, target, answer_kind, choices, prove), answer)
    text = _text(row["text"], "text")
    if answer_kind is None:
        answer, answer_kind = extract_any(text) or (None, "text")
    else:
        answer = extract(text, answer_kind) if target is None else read(text, target, answer_kind)
    if answer is not None:
        answer = canonical(answer, answer_kind, choices)
    if target is None:
        return _line(Verdict(None, "extracted" if answer is not None else "no answer found"), answer)
    if answer is None:
        return _line(Verdict(False, "no answer found"), None)
    return _line(compare(answer, target, answer_kind, choices, prove), answer)


def _kind(kind: str, target: str | None, choices: list[str], task: str) -> AnswerKind | None:
    """Return how the row's answers are read; None where nothing tells."""
    if kind == "math":
        return "maths"
    if kind == "gsm8k":
        return "number"
    named = kind_of_task(task)
    if target is None:
        return named or ("option" if choices or task else None)
    return named or kind_of(target, choices)


def _text(value: Any, field: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0], field)
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError(f"{field!r} must be a text or a number, not {type(value).__name__}")


def _line(verdict: Verdict, answer: str | None) -> dict[str, Any]:
    return {"equal": verdict.equal, "answer": answer, "how": verdict.how}


def _scored(line: bytes, kind: str, prove: Prover) -> dict[str, Any]:
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError(f"the line is over {LONGEST_LINE:,} bytes; send only the end of its text")
        row = json.loads(line.decode("utf-8", "surrogatepass"))
        return score(row, kind, prove)
    except (ValueError, RecursionError) as error:
        return {"equal": None, "answer": None, "how": f"bad input: {error}"}


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that are not blank, without a mark of UTF-8 before the first.

    Of a line over the limit only the start is kept, and it is answered before the rest is read.
    """
    mark = codecs.BOM_UTF8
    while line := stream.readline(LONGEST_LINE + 1):
        if line.strip() or len(line) > LONGEST_LINE:
            yield line.removeprefix(mark)
        mark = b""
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE + 1)


def _replies(stream: BinaryIO, kind: str, prove: Prover) -> Iterator[dict[str, Any]]:
    read_since = 0
    for line in _lines(stream):
        yield _scored(line, kind, prove)
        read_since += len(line)
        if read_since > LONGEST_LINE:  # what is remembered of long maths takes 80 times its room
            readings.cache_clear()
            read_since = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", required=True, choices=("math", "gsm8k", "bbh"))
    kind = parser.parse_args().kind
    sys.set_int_max_str_digits(20_000)
    from capgap_ray.equivalence import MathVerify

    prove = MathVerify()
    try:
        for reply in _replies(sys.stdin.buffer, kind, prove):
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush is quiet
    finally:
        prove.close()


if __name__ == "__main__":
    main()
