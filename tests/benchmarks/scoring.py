"""Pairs a second: our maths rules beside lm-eval's hendrycks_math rule and Math-Verify, in one run on one core.

    python tests/benchmarks/scoring.py [--quick]

The mix is 70 % the same after normalising, 20 % plain numbers that differ, 10 % that need symbolic work. All pairs
are made by code here. Prints one line of JSON per scorer and part, and ends with the goals.
"""

import argparse
import json
import random
import time
from collections.abc import Callable

from capgap_ray.core.maths import compare, left_to_prove
from capgap_ray.equivalence import MathVerify

MIX_GOAL, FAST_GOAL = 1_500, 20_000
Pair = tuple[str, str]


def same(draw: random.Random) -> Pair:
    """A pair that normalising makes the same text, or the same number."""
    top, bottom, number = draw.randint(1, 99), draw.randint(100, 999), draw.randint(1_000, 99_999)
    forms = (
        (f"\\frac{{{top}}}{{{bottom}}}", f"\\dfrac{{{top}}}{{{bottom}}}"),
        (f"({top}, {bottom})", f"\\left({top},{bottom}\\right)"),
        (f"{top}\\sqrt{{{bottom}}}", f"${top} \\sqrt{{{bottom}}}$"),
        (str(number), f"{number:,}"),
        (str(number), f"${number}$"),
        (f"x^{top % 7} + {bottom}", f"x^{top % 7}+{bottom}"),
        (str(number), f"{number}.0"),
    )
    return draw.choice(forms)


def different(draw: random.Random) -> Pair:
    """Two plain numbers that differ."""
    number = draw.randint(1, 99_999)
    other = number + draw.randint(1, 99)
    return str(number), draw.choice((str(other), f"{other}.5", f"{other}/{number}", f"-{number}"))


def symbolic(draw: random.Random) -> Pair:
    """A pair, half of them equal, that only algebra can decide."""
    a, b, c = draw.randint(2, 9), draw.randint(2, 9), draw.randint(2, 30)
    off = draw.randint(0, 1)
    return draw.choice(
        (
            (f"(x+{a})(x+{b})", f"x^2+{a + b}x+{a * b + off}"),
            (f"{a}\\sqrt{{{c}}}", f"\\sqrt{{{a * a * c + off}}}"),
            (f"\\frac{{{a}\\pi}}{{{b}}}", f"\\pi\\cdot\\frac{{{a + off}}}{{{b}}}"),
            (f"({a}, \\frac{{{b}}}{{{c}}})", f"({a}, \\frac{{{2 * b}}}{{{2 * c + off}}})"),
            (f"\\frac{{1}}{{\\sqrt{{{c}}}}}", f"\\frac{{\\sqrt{{{c}}}}}{{{c + off}}}"),
            (f"\\{{{a}, {b}, {c}\\}}", f"{c}, {a}, {b + off}"),
        )
    )


def ours() -> Callable[[Pair], bool]:
    prove = MathVerify()

    def decide(pair: Pair) -> bool:
        verdict = compare(*pair)
        if left_to_prove(verdict, *pair):
            verdict = prove(*pair)
        return verdict.equal is True

    return decide


def hendrycks() -> Callable[[Pair], bool]:
    from lm_eval.tasks.hendrycks_math.utils import is_equiv

    return lambda pair: bool(is_equiv(pair[1], pair[0]))


def math_verify() -> Callable[[Pair], bool]:
    from math_verify import parse, verify

    return lambda pair: bool(verify(parse(f"${pair[0].strip('$')}$"), parse(f"${pair[1].strip('$')}$")))


def rate(decide: Callable[[Pair], bool], pairs: list[Pair]) -> tuple[float, int]:
    """Return (pairs a second of processor time, pairs accepted). Math-Verify's limits need the main thread."""
    begun = time.process_time()
    accepted = sum(decide(pair) for pair in pairs)
    return len(pairs) / (time.process_time() - begun), accepted


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    draw = random.Random(1)
    scale = 1 if quick else 10

    def drawn(sames: int, differents: int, symbolics: int) -> list[Pair]:
        pairs = [same(draw) for _ in range(sames * scale)] + [different(draw) for _ in range(differents * scale)]
        pairs += [symbolic(draw) for _ in range(symbolics * scale)]
        draw.shuffle(pairs)
        return pairs

    # Each part has pairs of its own: what was read once is remembered.
    parts = {"fast path": drawn(700, 200, 0), "symbolic": drawn(0, 0, 100), "mix": drawn(700, 200, 100)}
    found: dict[tuple[str, str], float] = {}
    for name, make in (("capgap_ray", ours), ("lm-eval hendrycks_math", hendrycks), ("math-verify", math_verify)):
        decide = make()
        decide(("\\frac{1}{2}", "\\frac{2}{4}"))  # imports and tables
        for part, drawn_pairs in parts.items():
            pairs = drawn_pairs[: 1_000 if name == "math-verify" else None]
            found[name, part], accepted = rate(decide, pairs)
            row = {"scorer": name, "part": part, "pairs": len(pairs), "accepted": accepted}
            print(json.dumps({**row, "pairs_per_second": round(found[name, part])}), flush=True)
    goals = {"mix": MIX_GOAL, "fast path": FAST_GOAL}
    report = {
        f"{part}, pairs a second and core": {
            "value": round(found["capgap_ray", part]),
            "goal": goal,
            "met": found["capgap_ray", part] >= goal,
        }
        for part, goal in goals.items()
    }
    print(json.dumps({"name": "scoring", "goals": report}))


if __name__ == "__main__":
    main()
