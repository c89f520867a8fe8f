"""Do two expression trees have the same value? Exact fractions where possible, else many digits.

Rational expressions are evaluated with `Fraction`, so equality is exact (with variables: at several
random rational points, the Schwartz-Zippel test). With roots, logarithms or pi both sides are evaluated
with mpmath at a precision that grows with the size of what was written, so that `\\sqrt2 + 10^{-200}` is
not `\\sqrt2`. Everything is bounded: what is too large to compute is `None`, never a guess.
"""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped]

from capgap_ray.core.expressions import Node

_LARGEST_BITS = 30_000
_BITS_PER_VALUE = 2_000_000
_LARGEST_FACTORIAL = 2_500
_MOST_DIGITS = 1_200
_INTEGER_NAMES = frozenset("nmkNMKijdpqrst")


class TooLarge(ValueError):
    """A value that would take too long or too much memory to compute."""


class _Contexts(threading.local):
    """mpmath's precision is a property of its context, so each thread has its own."""

    def __init__(self) -> None:
        self.mp = mpmath.MPContext()


_LOCAL = _Contexts()


def same_value(left: Node, right: Node) -> bool | None:
    """Return whether the expressions are equal for all values of their variables; None: not decidable here."""
    if left == right:
        return True
    traits: set[str] = set()
    names: set[str] = set()
    _survey(left, names, traits)
    _survey(right, names, traits)
    size = _size(left) + _size(right)
    digits = int(2 * size + 100)
    if "inexact" in traits and digits > _MOST_DIGITS:
        return None
    if "pm" in traits:
        return None
    coarse = digits if traits >= {"step", "inexact"} else 40
    integers = "factorial" in traits or ("step" in traits and names <= _INTEGER_NAMES)
    agreed = 0
    for point in _points(sorted(names), integers):
        try:
            first, second = Evaluation(point, coarse).value(left), Evaluation(point, coarse).value(right)
            if not _close(first, second, coarse, 0.0):
                return False
            if not (isinstance(first, Fraction) and isinstance(second, Fraction)):
                first, second = Evaluation(point, digits).value(left), Evaluation(point, digits).value(right)
                if not _close(first, second, digits, size):
                    return False
        except TooLarge:
            return None
        except (ZeroDivisionError, ValueError):
            continue
        agreed += 1
        if agreed == (1 if not names else 10 if integers else 4):
            return True
    return None


def order(left: Node, right: Node) -> int | None:
    """Return the sign of left - right for real numbers without variables; None: not decidable here."""
    try:
        same = same_value(left, right)
        if same is None or free_names(left) or free_names(right):
            return None
        difference = Evaluation({}, 60).value(("add", left, ("neg", right)))
    except (ValueError, ZeroDivisionError):
        return None
    if same or difference.imag != 0:
        return 0 if same else None
    return 1 if difference.real > 0 else -1


def ratio_is_constant(left: Node, right: Node) -> Fraction | None:
    """Return c where left = c * right as rational expressions in the same variables, else None."""
    names: set[str] = set()
    _survey(left, names, set())
    other: set[str] = set()
    _survey(right, other, set())
    if names != other or not names:
        return None
    found: Fraction | None = None
    agreed = 0
    for point in _points(sorted(names), False):
        try:
            first, second = Evaluation(point, 40).value(left), Evaluation(point, 40).value(right)
        except (ValueError, ZeroDivisionError):
            continue
        if not isinstance(first, Fraction) or not isinstance(second, Fraction) or not second or not first:
            return None
        if found is not None and first / second != found:
            return None
        found = first / second
        agreed += 1
        if agreed == 4:
            return found
    return None


def exact(node: Node) -> Fraction | None:
    """Return the rational value of an expression without variables, or None."""
    try:
        value = Evaluation({}, 15).value(node)
    except (ValueError, ZeroDivisionError, KeyError):
        return None
    return value if isinstance(value, Fraction) else None


def infinity_sign(node: Node) -> int:
    """Return 1 for infinity, -1 for minus infinity, 0 for anything else."""
    if node == ("const", "oo"):
        return 1
    return -infinity_sign(node[1]) if node[0] == "neg" else 0


def free_names(node: Node) -> set[str]:
    """Return the names of the variables of an expression."""
    names: set[str] = set()
    _survey(node, names, set())
    return names


def _points(names: list[str], integers: bool) -> list[Mapping[str, Fraction]]:
    """Return where to compare: fixed for each name, of both signs, or small whole numbers."""
    if not names:
        return [{}]
    points: list[Mapping[str, Fraction]] = []
    for index in range(60 if integers and len(names) > 1 else 14):
        point = {}
        for position, name in enumerate(names):
            fixed = integers and len(names) == 1
            seed = zlib.crc32(f"{name}/{0 if fixed else index}".encode("utf-8", "replace"))
            if fixed:
                point[name] = Fraction(2 + seed % 7 + index)
            elif integers:
                point[name] = Fraction(1 + seed % (8 + index // 4))
            else:
                # All positive, then of either sign: names that always agree would make |a + b| of |a| + |b|.
                mixed = (position >> index // 2) + index if index < 3 else seed >> 26
                sign = -1 if index and mixed % 2 else 1
                point[name] = sign * Fraction(1009 + seed % 8999, 997 + (seed >> 13) % 1999)
        points.append(point)
    return points


def _survey(node: Node, names: set[str], traits: set[str]) -> None:
    kind = node[0]
    if kind == "sym":
        names.add(node[1])
    elif kind == "const":
        traits.add("inexact")
    elif kind in ("fn", "binom"):
        if kind == "binom" or node[1] == "factorial":
            traits.add("factorial")
        elif node[1] in ("floor", "ceil"):
            traits.add("step")
        elif node[1] != "abs":
            traits.add("inexact")
    elif kind in ("log", "app"):
        traits.add("inexact")
        if kind == "log" and node[1] is None:
            names.add("base of the logarithm")
    elif kind == "pow":
        if not _whole(node[2]):
            traits.add("inexact")
            if exact(node[1]) == -1:
                traits.add("step")
    elif kind == "pm":
        traits.add("pm")
    for part in node[1:]:
        if isinstance(part, tuple) and part and isinstance(part[0], str):
            _survey(part, names, traits)
        elif isinstance(part, tuple):
            for each in part:
                if isinstance(each, tuple) and each and isinstance(each[0], str):
                    _survey(each, names, traits)


def _whole(node: Node) -> bool:
    return (node[0] == "num" and node[1].denominator == 1) or (node[0] == "neg" and _whole(node[1]))


def _size(node: Node) -> float:
    """Return about how many digits it takes to tell this expression from another."""
    kind = node[0]
    if kind == "num":
        return len(str(node[1].numerator)) + len(str(node[1].denominator))
    if kind == "pow":
        power = exact(node[2])
        grown = min(float(min(abs(power), Fraction(10**6))), 1e6) if power is not None else 1.0
        return _size(node[1]) * max(1.0, grown) + _size(node[2])
    if kind == "fn" and node[1] == "factorial":
        return 2.0 + _size(node[2]) * 2
    return 1.0 + sum(_size(part) for part in node[1:] if isinstance(part, tuple) and part and isinstance(part[0], str))


def _close(first: Any, second: Any, digits: int, size: float) -> bool:
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return first == second
    mp = _LOCAL.mp
    mp.dps = digits + 15
    first, second = _inexact(first), _inexact(second)
    if not (mp.isfinite(first) and mp.isfinite(second)):
        raise ValueError("not finite")
    floor = mp.mpf(10) ** (-int(size)) if size else mp.mpf(1)
    scale = max(abs(first), abs(second), floor)
    return bool(abs(first - second) <= scale * mp.mpf(10) ** (-(digits - 25)))


def _inexact(value: Any) -> Any:
    mp = _LOCAL.mp
    return mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


class Evaluation:
    """The value of a tree at one point: a `Fraction` where that is exact, else an mpmath number."""

    def __init__(self, point: Mapping[str, Fraction], digits: int) -> None:
        self._point = point
        self._mp = _LOCAL.mp
        self._mp.dps = digits + 15
        self._spent = 0

    def value(self, node: Node) -> Any:
        """Return the value; raises TooLarge, ZeroDivisionError or ValueError."""
        kind = node[0]
        if kind == "num":
            return self._checked(node[1])
        if kind == "sym":
            return self._point[node[1]] if node[1] in self._point else self._unknown()
        if kind == "const":
            return self._constant(node[1])
        if kind == "neg":
            return -self.value(node[1])
        if kind in ("add", "mul", "div"):
            return self._arithmetic(kind, self.value(node[1]), self.value(node[2]))
        if kind == "pow":
            return self._power(self.value(node[1]), self.value(node[2]))
        if kind == "fn":
            return self._function(node[1], self.value(node[2]))
        if kind == "binom":
            return self._binomial(self.value(node[1]), self.value(node[2]))
        if kind == "log":
            base = node[1]
            argument = self._moderate(self.value(node[2]), 10**9, True)
            if argument == 0:
                raise ValueError("logarithm of 0")
            below = self._point["base of the logarithm"] if base is None else self.value(base)
            return self._mp.ln(argument) / self._mp.ln(self._moderate(below, 10**9, True))
        if kind == "app":
            total = self._mp.mpf(zlib.crc32(node[1].encode()) % 97) / 7
            for index, part in enumerate(node[2]):
                total += self._mp.sin(self._moderate(self.value(part), 10**9) * (index + 3) / 7)
            return self._mp.exp(total / 9)
        raise ValueError(f"no value: {kind}")

    def _unknown(self) -> Any:
        raise ValueError("a variable without a value")

    def _constant(self, name: str) -> Any:
        if name == "pi":
            return +self._mp.pi
        if name == "e":
            return +self._mp.e
        if name == "i":
            return self._mp.mpc(0, 1)
        raise ValueError(name)

    def _checked(self, value: Fraction) -> Fraction:
        bits = value.numerator.bit_length() + value.denominator.bit_length()
        self._spent += bits
        if bits > _LARGEST_BITS or self._spent > _BITS_PER_VALUE:
            raise TooLarge("digits")
        return value

    def _arithmetic(self, kind: str, left: Any, right: Any) -> Any:
        if not (isinstance(left, Fraction) and isinstance(right, Fraction)):
            left, right = _inexact(left), _inexact(right)
        if kind == "add":
            result = left + right
        elif kind == "mul":
            result = left * right
        else:
            if right == 0:
                raise ZeroDivisionError
            result = left / right
        return self._checked(result) if isinstance(result, Fraction) else result

    def _power(self, base: Any, power: Any) -> Any:
        if isinstance(base, Fraction) and isinstance(power, Fraction):
            if power.denominator == 1:
                bits = max(base.numerator.bit_length(), base.denominator.bit_length())
                if abs(power) * max(bits - 1, 1) > _LARGEST_BITS and abs(base) not in (0, 1):
                    raise TooLarge("power")
                if base == 0 and power <= 0:
                    raise ZeroDivisionError
                if abs(base) == 1:
                    return base if power.numerator % 2 else Fraction(1)
                return self._checked(base ** int(power))
            if power.denominator > 100:
                return self._inexact_power(base, power)
            root = _exact_root(base, power.denominator)
            if root is not None:
                return self._power(root, Fraction(power.numerator))
            if base < 0 and power.denominator % 2:
                # Real odd roots, as in school: the cube root of -8 is -2.
                sign = -1 if power.numerator % 2 else 1
                return sign * self._inexact_power(-base, power)
        return self._inexact_power(base, power)

    def _inexact_power(self, base: Any, power: Any) -> Any:
        base, power = _inexact(base), _inexact(power)
        if base == 0:
            raise ZeroDivisionError
        if abs(power) > 10_000 or abs(self._mp.log(abs(base))) * abs(power) > 10_000:
            raise TooLarge("power")
        return base**power

    def _moderate(self, value: Any, limit: int, small: bool = False) -> Any:
        if abs(value) > limit and not (small and isinstance(value, Fraction)):
            raise TooLarge("argument")
        return _inexact(value)

    def _function(self, name: str, value: Any) -> Any:
        if name == "abs":
            return abs(value)
        if name in ("floor", "ceil"):
            if not isinstance(value, Fraction):
                if value.imag != 0 or abs(value) > 10**9:
                    raise TooLarge("floor")
                near = self._mp.nint(value.real)
                distance = abs(value.real - near)
                if distance < self._mp.mpf(10) ** (25 - self._mp.dps):
                    return Fraction(int(near))  # the base-2 logarithm of 8
                if distance < self._mp.mpf(10) ** -20:
                    raise ValueError("too near to a whole number")
                return Fraction(int(self._mp.floor(value.real) if name == "floor" else self._mp.ceil(value.real)))
            return Fraction(math.floor(value) if name == "floor" else math.ceil(value))
        if name == "factorial":
            if not isinstance(value, Fraction) or value.denominator != 1 or value < 0:
                raise ValueError("factorial")
            if value > _LARGEST_FACTORIAL:
                raise TooLarge("factorial")
            return self._checked(Fraction(math.factorial(int(value))))
        value = self._moderate(value, 10**9)
        if name in ("sinh", "cosh", "tanh"):
            value = self._moderate(value, 1000)
        functions = {
            "sin": self._mp.sin, "cos": self._mp.cos, "tan": self._mp.tan, "cot": self._mp.cot, "sec": self._mp.sec,
            "csc": self._mp.csc, "arcsin": self._mp.asin, "arccos": self._mp.acos, "arctan": self._mp.atan,
            "sinh": self._mp.sinh, "cosh": self._mp.cosh, "tanh": self._mp.tanh,
        }  # fmt: skip
        return functions[name](value)

    def _binomial(self, top: Any, bottom: Any) -> Any:
        if not all(isinstance(value, Fraction) and value.denominator == 1 and value >= 0 for value in (top, bottom)):
            raise ValueError("binomial")
        if top > _LARGEST_FACTORIAL:
            raise TooLarge("binomial")
        return self._checked(Fraction(math.comb(int(top), int(bottom)))) if bottom <= top else Fraction(0)


def _exact_root(base: Fraction, index: int) -> Fraction | None:
    """Return the exact root of a fraction, or None."""
    if base < 0:
        if index % 2 == 0:
            return None
        root = _exact_root(-base, index)
        return None if root is None else -root
    parts = []
    for part in (base.numerator, base.denominator):
        root_part = math.isqrt(part) if index == 2 else _whole_root(part, index)
        if root_part**index != part:
            return None
        parts.append(root_part)
    return Fraction(parts[0], parts[1])


def _whole_root(number: int, index: int) -> int:
    low, high = 0, 1 << (number.bit_length() // index + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**index <= number:
            low = middle
        else:
            high = middle - 1
    return low
