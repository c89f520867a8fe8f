"""Math-Verify in a process that can be killed (`killable`): for maths that our own rules cannot read."""

from __future__ import annotations

import sys
from typing import Any

from capgap_ray.core.verdict import Verdict
from capgap_ray.killable import Killable, serve

WORKER_SECONDS = 2.5
"""For one pair. Math-Verify's own limits stay off: it takes what is slow for unequal, on a busy machine anything."""
UNPARSABLE = "unparsable: Math-Verify could not decide"


class MathVerify(Killable):
    """Decides pairs; call it from any thread. The helper process starts with the first pair."""

    def __init__(self) -> None:
        super().__init__("capgap_ray.equivalence", seconds=WORKER_SECONDS)

    def __call__(self, gold: str, answer: str) -> Verdict:
        """Return Math-Verify's verdict; equal is None, with a reason, where there is none in time."""
        equal, problem = self.ask(gold, answer)
        if isinstance(equal, bool):
            return Verdict(equal, "Math-Verify")
        return Verdict(None, equal or f"unparsable: Math-Verify: {problem}")


# The helper process


def _decide(gold: str, answer: str) -> bool | str:
    """Return whether Math-Verify holds the pair for equal; nothing here limits its time."""
    from math_verify import LatexExtractionConfig, parse, verify  # type: ignore[import-untyped]

    # LaTeX only: the plain-expression extractor would hand the text to sympy's parse_expr.
    config = [LatexExtractionConfig()]
    try:
        read = [parse(f"${text}$", config, "no_fallback", parsing_timeout=None) for text in (gold, answer)]
        if not all(read):
            return UNPARSABLE
        # `verify` compares closed forms by evaluating their difference, with small values chopped to 0.
        if not verify(read[0], read[1], float_rounding=30, numeric_precision=60, timeout_seconds=None):
            return False
        return True if _not_chopped(read[0][0], read[1][0]) else UNPARSABLE
    except (MemoryError, RecursionError):
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


if __name__ == "__main__":
    _decide("1", "2")  # builds the parser's tables, which every worker then shares
    serve(_decide, float(sys.argv[1]))
