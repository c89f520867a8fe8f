"""How numbers and names are printed. None is an em dash everywhere, never 0."""

from __future__ import annotations

import json
import math
import re
from typing import Any

DASH = "—"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def printable(text: str) -> str:
    """Return the text in one line, every run of control characters or lone surrogates as a space."""
    return _CONTROL.sub(" ", text)


def plain(text: str, limit: int = 0) -> str:
    """Return one line without control characters or lone surrogates, for terminals and figures.

    With a `limit` above 0 the middle is cut out, because names of arms differ at either end.
    """
    line = printable(text).strip()
    if not limit or len(line) <= limit:
        return line
    tail = (limit - 1) // 2
    return line[: limit - 1 - tail] + "…" + (line[-tail:] if tail else "")


def inert_json(value: Any) -> str:
    """Return JSON that may stand in a script element: no character of it opens or closes markup or ends a line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def number(value: float | None, digits: int = 1) -> str:
    """Return a number with that many decimals; `-0.0` prints as `0.0`."""
    if value is None:
        return DASH
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def points(share: float | None) -> str:
    """Return a share (0.123) in points with one decimal (`12.3`)."""
    return number(None if share is None else 100 * share)


def signed(share: float | None) -> str:
    """Return a difference of shares in points with its sign: `+12.3`, `-4.0`, `0.0`."""
    text = points(share)
    return text if share is None or text == "0.0" or text[0] == "-" else f"+{text}"


def change(delta: float | None, low: float | None, high: float | None) -> str:
    """Return a difference with its interval in points: `+12.3 [+4.0, +20.1]`."""
    if delta is None:
        return DASH
    return f"{signed(delta)} [{signed(low)}, {signed(high)}]"


def p_value(p: float | None) -> str:
    """Return a p value with two significant digits, and `<0.001` below that."""
    if p is None:
        return DASH
    return "<0.001" if p < 0.001 else f"{p:#.2g}"


def significant(value: float | None, digits: int = 4) -> str:
    """Return a number of any size with that many significant digits, for rates and losses."""
    return DASH if value is None else f"{value:.{digits}g}"


def optional(text: str | None) -> str:
    """Return the text, or an em dash for None and for nothing."""
    return text or DASH


def yes_no(value: bool) -> str:
    """Return `yes` or `no`."""
    return "yes" if value else "no"


def size(parameters: float) -> str:
    """Return a parameter count as people say it: `470k`, `0.5B`."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit / 2:
            return f"{parameters / unit:.3g}{name}"
    return f"{parameters:.3g}"


def flops(operations: float) -> str:
    """Return a number of floating-point operations: `39 MFLOP`, `1.2 TFLOP`."""
    for unit, name in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if operations >= unit:
            return (
                f"{operations / unit:.2g} {name}FLOP"
                if operations < 100 * unit
                else f"{operations / unit:.0f} {name}FLOP"
            )
    return f"{operations:.3g} FLOP"


def duration(seconds: float) -> str:
    """Return seconds as `45 s`, `3 min 20 s` or `2 h 05 min`."""
    if not math.isfinite(seconds):
        return str(seconds)
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(n: int, noun: str) -> str:
    """Return `1 task`, `3 tasks`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
