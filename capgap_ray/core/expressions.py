"""Maths as written -> a tree: a reader for LaTeX, Unicode and plain-text answers that knows its limits.

Nothing is evaluated here. Text that the reader does not wholly understand raises `Unreadable`; what it
returns is exact (decimals are fractions) and bounded (length, depth). Time is linear in the text.

A tree is a `Node`, a tuple whose first part is its kind:

    ("num", Fraction) ("sym", name) ("const", "pi"|"e"|"i"|"oo") ("neg", a) ("add", a, b) ("pm", a, b)
    ("mul", a, b) ("div", a, b) ("pow", a, b) ("fn", name, a) ("log", base or None, a) ("app", name, args)
    ("text", words) ("based", digits, base) ("rel", (operator, ...), (operand, ...))
    ("group", open, close, items) ("set", items) ("union", parts) ("minus", a, b) ("cap", a, b)
    ("matrix", kind, rows) ("where", items): a set given by its condition
    ("both", items): bounds joined by "and"
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from capgap_ray.core.notation import (
    AND,
    CURRENCY,
    FONTS,
    FUNCTIONS,
    GREEK,
    NO_UNIT,
    UNIT_OF,
    Token,
    Unreadable,
    prepared,
    tokens,
)
from capgap_ray.core.number_words import NUMBER_WORDS

Node: TypeAlias = tuple[Any, ...]

DEEPEST = 40
"""Nested brackets, fractions, roots and exponents."""
LONGEST_NUMBER = 600
"""Digits of one literal."""


class Item(NamedTuple):
    """One member of a list: its value, the unit it was written with and its label (`x` in `x = 5`)."""

    value: Node
    unit: str = ""
    label: str = ""


_RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "\\le": "<=", "\\leq": "<=",
    "\\leqslant": "<=", "\\ge": ">=", "\\geq": ">=", "\\geqslant": ">=", "\\lt": "<", "\\gt": ">", "\\ne": "!=",
    "\\neq": "!=", "\\in": "in", "\\equiv": "equiv",
}  # fmt: skip
_SEPARATORS = (",", ";", AND)
_SET_OPERATORS = {"\\cup": "union", "\\setminus": "minus", "\\backslash": "minus", "\\cap": "cap"}
_OPEN = {"(": "(", "[": "[", "\\langle": "<", "\\lparen": "(", "\\lbrack": "["}
_CLOSE = {")": ")", "]": "]", "\\rangle": ">", "\\rparen": ")", "\\rbrack": "]"}
_PRIMARY_COMMANDS = frozenset(
    [
        "\\frac",
        "\\dfrac",
        "\\tfrac",
        "\\cfrac",
        "\\sqrt",
        "\\pi",
        "\\infty",
        "\\binom",
        "\\dbinom",
        "\\tbinom",
        "\\lfloor",
    ]
    + [
        "\\lceil",
        "\\langle",
        "\\lvert",
        "\\vert",
        "\\{",
        "\\lbrace",
        "\\emptyset",
        "\\varnothing",
        "\\overline",
        "\\angle",
    ]
    + ["\\lparen", "\\lbrack", "\\exp", "\\triangle"]
    + ["\\" + name for name in FUNCTIONS | GREEK | FONTS]
)


class Reader:
    """A recursive-descent reader over the tokens of one answer."""

    def __init__(self, text: str, thousands: bool = True) -> None:
        self._tokens = tokens(prepared(text), thousands)
        self._at = 0
        self._depth = 0
        self._in_bars = 0
        self._in_function = 0

    def read(self) -> list[Item]:
        """Return the members of the answer: one, or several where it is a list without brackets."""
        items = self._list(())
        if self._at < len(self._tokens):
            raise Unreadable(f"unexpected {self._tokens[self._at].text!r}")
        return items

    def _peek(self, ahead: int = 0) -> str:
        index = self._at + ahead
        return self._tokens[index].text if index < len(self._tokens) else ""

    def _kind(self, ahead: int = 0) -> str:
        index = self._at + ahead
        return self._tokens[index].kind if index < len(self._tokens) else "end"

    def _next(self) -> Token:
        if self._at >= len(self._tokens):
            raise Unreadable("unfinished")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, text: str) -> bool:
        if self._peek() == text and self._kind() in ("op", "cmd"):
            self._at += 1
            return True
        return False

    def _expect(self, *texts: str) -> None:
        if not any(self._take(text) for text in texts):
            raise Unreadable(f"expected {texts[0]!r}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable("too deep")

    # Lists, relations, units

    def _list(self, closers: tuple[str, ...]) -> list[Item]:
        self._enter()
        items: list[Item] = []
        while True:
            joined = False
            while self._peek() in _SEPARATORS and self._kind() == "op":
                joined = self._next().text == AND
            if self._kind() == "end" or self._peek() in closers:
                break
            item = self._item()
            if joined and items and _is_bound(items[-1]) and _is_bound(item):
                before = items[-1].value
                items[-1] = Item(("both", (*(before[1] if before[0] == "both" else items[-1:]), item)))
            else:
                items.append(item)
            if not (self._peek() in _SEPARATORS or self._kind() == "end" or self._peek() in closers):
                raise Unreadable(f"unexpected {self._peek()!r}")
        self._depth -= 1
        if not items:
            raise Unreadable("empty")
        return items

    def _item(self) -> Item:
        unit = ""
        if self._peek() in ("$", "\\$", "€", "£") and self._kind() in ("op", "cmd"):
            unit = CURRENCY[self._next().text[-1]]
        elif (
            self._kind() == "text" and UNIT_OF.get(self._peek().lower()) in CURRENCY.values() and self._kind(1) == "num"
        ):
            unit = UNIT_OF[self._next().text.lower()]  # USD 18
        if self._kind() == "text":
            words = self._words()
            if self._peek() in ("=", ":"):
                self._at += 1
                inner = self._item()
                if set(words.lower().split()) & NO_UNIT:
                    raise Unreadable("hedged")
                return Item(inner.value, inner.unit, inner.label or "text")
            if self._kind() == "end" or self._peek() in (*_SEPARATORS, ")", "]", "}", "\\}"):
                if letter := re.fullmatch(r"\(?([A-Za-z])\)?", words):
                    return Item(("sym", letter[1]))
                number, _, rest = words.lower().partition(" ")
                if number not in NUMBER_WORDS or (rest and not set(rest.split()) <= UNIT_OF.keys()):
                    return Item(("text", words))
                return Item(("num", Fraction(NUMBER_WORDS[number])), unit_name(rest.split()))
            raise Unreadable("words before maths")
        operands, operators = [self._union()], []
        while self._kind() in ("op", "cmd") and self._peek() in _RELATIONS:
            operators.append(_RELATIONS[self._next().text])
            if not unit and self._peek() in ("$", "\\$"):
                self._at += 1
                unit = "dollar"
            operands.append(self._union())
        trailing = self._unit()
        if unit and trailing.startswith("per "):
            trailing = f"{unit} {trailing}"
        elif unit and trailing and unit != trailing:
            raise Unreadable("two units")
        unit = trailing or unit
        if not operators:
            return Item(operands[0], unit)
        return _relation(operators, operands, unit)

    def _words(self) -> str:
        words = [self._next().text]
        while self._kind() == "text" or (self._kind() == "sym" and self._tokens[self._at].spaced):
            words.append(self._next().text)
        return " ".join(words)

    def _unit(self) -> str:
        """Return the unit that stands after a value, in one spelling: `cm^2` for `square centimetres`."""
        if self._kind() not in ("text", "cmd", "op"):
            return ""
        if self._peek() in ("%", "\\%"):
            self._at += 1
            self._text_percent()
            return "percent"
        if self._peek() == "\\degree":
            self._at += 1
            if self._kind() == "text" and self._peek() in ("C", "F", "c", "f"):
                return "degree " + self._next().text.upper()
            if self._kind() == "sym" and self._peek() in ("C", "F"):
                return "degree " + self._next().text
            return "degree"
        if self._kind() != "text" and not (self._peek() == "/" and self._kind(1) == "text"):
            return ""
        parts: list[str] = []
        while True:
            if self._kind() == "text":
                parts += re.findall(r"[A-Za-z]+|\^?[0-9]+|[/%°]|\S", self._next().text)
            elif self._peek() == "/" and (self._kind(1) == "text" or self._peek(1) in ("h", "s", "m", "g", "l")):
                self._at += 1
                parts.append("/")
                if self._kind() == "sym":
                    parts.append(self._next().text)
            elif self._peek() == "^":
                self._at += 1
                power = self._argument()
                if power[0] != "num" or power[1] not in (2, 3):
                    raise Unreadable("power of a unit")
                parts.append(f"^{power[1]}")
            else:
                break
        return unit_name(parts)

    def _text_percent(self) -> None:
        if self._kind() == "text" and self._peek().lower() == "percent":
            self._at += 1

    # Sets and sums

    def _union(self) -> Node:
        parts = [self._sum()]
        while self._peek() in _SET_OPERATORS and self._kind() == "cmd":
            operator = _SET_OPERATORS[self._next().text]
            parts.append(self._sum())
            if operator != "union":
                right = parts.pop()
                parts.append((operator, parts.pop(), right))
        return parts[0] if len(parts) == 1 else ("union", tuple(parts))

    def _sum(self) -> Node:
        self._enter()
        left = self._signed()
        while self._peek() in ("+", "-", "\\pm", "\\mp") and self._kind() in ("op", "cmd"):
            operator = self._next().text
            right = self._term()
            if operator == "+":
                left = ("add", left, right)
            elif operator == "-":
                left = ("add", left, ("neg", right))
            else:
                left = ("pm", left, right if operator == "\\pm" else ("neg", right))
        self._depth -= 1
        return left

    def _signed(self) -> Node:
        if self._take("-"):
            return ("neg", self._term())
        if self._take("+"):
            if self._peek() == "-" and self._peek(1) in ("/",):
                raise Unreadable("sign")
            return self._term()
        if self._take("\\pm"):
            return ("pm", ("num", Fraction(0)), self._term())
        if self._take("\\mp"):
            return ("pm", ("num", Fraction(0)), ("neg", self._term()))
        return self._term()

    def _term(self) -> Node:
        left = self._factor()
        while True:
            text, kind = self._peek(), self._kind()
            if kind in ("op", "cmd") and text in ("*", "\\cdot", "\\times", "\\ast"):
                self._at += 1
                left = ("mul", left, self._factor())
            elif kind in ("op", "cmd") and text in ("/", "\\div") and self._kind(1) != "text":
                self._at += 1
                left = ("div", left, self._factor())
            elif kind == "sym" and text == "x" and self._peek(1) == "10" and self._peek(2) in ("^", "**"):
                self._at += 1  # 3.2 x 10^5
                left = ("mul", left, self._factor())
            elif self._starts_factor():
                before = self._tokens[self._at - 1].text
                if kind in ("num", "rep") and before != ")" and not (before == "!" == self._peek(1)):
                    left = self._mixed(left)
                else:
                    left = ("mul", left, self._factor())
            else:
                return left

    def _starts_factor(self) -> bool:
        kind, text = self._kind(), self._peek()
        if kind == "sym" or kind in ("num", "rep"):
            return True
        if kind == "begin":
            return text.startswith("\\begin")
        if kind == "cmd":
            return text in _PRIMARY_COMMANDS and not (text in ("\\vert",) and self._in_bars)
        if kind == "op" and text == "|":
            return not self._in_bars
        return kind == "op" and text in "({[" and text != ""

    def _mixed(self, left: Node) -> Node:
        """Read `1 4/5` as nine fifths; two numbers side by side mean nothing else that is certain."""
        whole = self._tokens[self._at - 1]
        top = self._next().text
        if (
            left[0] == "num" and whole.kind == "num" and left[1].denominator == 1 and top.isdigit()
            and self._peek() == "/" and self._kind(1) == "num" and self._peek(1).isdigit() and "." not in whole.text
        ):  # fmt: skip
            self._at += 1
            bottom = self._next().text
            if 0 < int(top) < int(bottom):
                return ("num", left[1] + Fraction(int(top), int(bottom)))
        raise Unreadable("two numbers side by side")

    def _factor(self) -> Node:
        if self._peek() in ("-", "+") and self._kind() == "op":
            sign = self._next().text
            inner = self._factor()
            return ("neg", inner) if sign == "-" else inner
        self._enter()
        base = self._primary()
        base = self._postfix(base)
        self._depth -= 1
        return base

    def _postfix(self, base: Node) -> Node:
        while True:
            text, kind = self._peek(), self._kind()
            if kind == "op" and text in ("^", "**"):
                self._at += 1
                base = ("pow", base, self._exponent())
                if self._peek() in ("^", "**"):
                    base = ("pow", base[1], ("pow", base[2], self._after_caret()))
            elif kind == "op" and text == "!":
                self._at += 1
                if self._peek() == "!":
                    raise Unreadable("double factorial")
                base = ("fn", "factorial", base)
            elif kind == "cmd" and text == "\\degree" and self._in_function:
                self._at += 1
                base = ("mul", base, ("div", ("const", "pi"), ("num", Fraction(180))))
            elif kind == "op" and text == "'":
                raise Unreadable("prime")
            else:
                return base

    def _after_caret(self) -> Node:
        self._at += 1
        return self._exponent()

    def _exponent(self) -> Node:
        """Read what stands after a caret; a number without braces is read whole (`x^10`, `10^-5`)."""
        if self._take("-"):
            return ("neg", self._exponent())
        if self._kind() == "num":
            return _number(self._next().text)
        if self._take("("):
            inner = self._sum()
            self._expect(")")
            return inner
        return self._argument()

    def _argument(self) -> Node:
        """Read one LaTeX argument: a braced expression or a single token, a digit of a number included."""
        if self._take("{"):
            self._enter()
            inner = self._sum()
            self._expect("}")
            self._depth -= 1
            return inner
        token = self._next()
        if token.kind == "num":
            if len(token.text) > 1 and token.text.isdigit():
                self._at -= 1
                self._tokens[self._at] = Token("num", token.text[1:], False)
                return _number(token.text[0])
            return _number(token.text)
        self._at -= 1
        return self._primary()

    # Primaries

    def _primary(self) -> Node:
        token = self._next()
        text = token.text
        if token.kind == "num":
            return self._numeral(token)
        if token.kind == "rep":
            return ("num", _repeating(text))
        if token.kind == "sym":
            return self._symbol(text)
        if token.kind == "begin":
            return self._matrix(text)
        if text in _OPEN:
            inside = self._group(_OPEN[text])
            if inside[0] == "num" and inside[1].denominator == 1 and self._peek() == "_":
                self._at += 1
                return ("based", str(inside[1]), self._base())
            return inside
        if text == "{":
            items = self._list(("}",))
            self._expect("}")
            if len(items) > 1 or items[0].unit:
                return ("set", tuple(items))
            if self._peek() == "_" and self._tokens[self._at - 2].kind == "num" and items[0].value[0] == "num":
                return self._numeral(self._tokens[self._at - 2])
            return _bare(items[0])
        if text in ("\\{", "\\lbrace"):
            return self._set()
        if text in ("|", "\\vert", "\\lvert"):
            self._in_bars += 1
            inner = self._sum()
            self._in_bars -= 1
            self._expect("|", "\\vert", "\\rvert")
            return ("fn", "abs", inner)
        if token.kind == "cmd":
            return self._command(text)
        raise Unreadable(f"unexpected {text!r}")

    def _numeral(self, token: Token) -> Node:
        if self._peek() == "_":
            self._at += 1
            return ("based", token.text.replace(",", ""), self._base())
        if self._kind() == "text" and self._peek().lower() == "base" and self._kind(1) == "num":
            self._at += 1
            return ("based", token.text.replace(",", ""), int(self._next().text))
        if self._peek() == "(" and self._peek(1).lower() == "base" and self._kind(2) == "num":
            self._at += 2
            base = int(self._next().text)
            self._expect(")")
            return ("based", token.text.replace(",", ""), base)
        value = _number(token.text)
        if self._kind() == "text" and not self._tokens[self._at].spaced and self._peek() in ("st", "nd", "rd", "th"):
            self._at += 1
        elif self._peek() == "^" and self._peek(1) == "{" and self._peek(2) in ("st", "nd", "rd", "th"):
            self._at += 3
            self._expect("}")
        elif self._kind() == "sym" and self._peek() + self._peek(1) in ("st", "nd", "rd", "th"):
            if not self._tokens[self._at].spaced and self._kind(2) in ("end", "op"):
                self._at += 2
        elif (
            token.text.isdigit()
            and self._peek() in ("\\frac", "\\dfrac", "\\tfrac", "\\cfrac")
            and self._kind() == "cmd"
        ):
            start = self._at
            part = self._primary()
            top, bottom = part[1], part[2]
            if top[0] == bottom[0] == "num" and top[1].denominator == bottom[1].denominator == 1:
                if not 0 < top[1] < bottom[1] or not value[1]:
                    raise Unreadable("a number beside an improper fraction")
                return ("num", value[1] + top[1] / bottom[1])
            self._at = start
        return value

    def _base(self) -> int:
        braced = self._take("{")
        token = self._next()
        if token.kind == "text":
            base = NUMBER_WORDS.get(token.text.lower(), 0)
        elif token.kind == "num" and token.text.isdigit() and len(token.text) <= 2:
            base = int(token.text)
        else:
            base = 0
        if braced:
            self._expect("}")
        if not 2 <= base <= 36:
            raise Unreadable("a number with an index")
        return base

    def _symbol(self, name: str) -> Node:
        if self._peek() == "_" and self._kind() == "op":
            self._at += 1
            name += "_" + self._index()
            return ("sym", name)
        if name in ("e", "i"):
            return ("const", name)
        name = name.removeprefix("var")
        if name == "C" and self._peek() == "(" and self._kind() == "op":
            group = self._group_after("(")
            if group[0] == "group" and group[2] == ")" and len(group[3]) == 2:
                return ("binom", *(_bare(item) for item in group[3]))
            return ("mul", ("sym", name), group)
        if name in ("f", "g", "h") and self._peek() == "(" and self._kind() == "op":
            self._at += 1
            items = self._list((")",))
            self._expect(")")
            return ("app", name, tuple(_bare(item) for item in items))
        return ("sym", name)

    def _index(self) -> str:
        if not self._take("{"):
            return self._next().text
        parts = []
        while self._peek() != "}":
            parts.append(self._next().text)
        self._expect("}")
        return "".join(parts).replace("\\", "")

    def _group(self, opened: str) -> Node:
        in_bars, self._in_bars = self._in_bars, 0
        items = self._bracketed((")", "]", "\\rangle", "\\rparen", "\\rbrack"))
        self._in_bars = in_bars
        closed = _CLOSE.get(self._next().text)
        if closed is None:
            raise Unreadable("bracket")
        if len(items) == 1 and opened == "(" and closed == ")":
            item = items[0]
            if item.unit or item.label:
                return ("group", "(", ")", tuple(items))
            return item.value
        if opened == closed == "[" or (opened == "[" and closed == "]"):
            rows = [item.value for item in items]
            if len(rows) == 1 and rows[0][0] == "matrix":
                return rows[0]  # an array in brackets of its own
            if all(row[0] == "group" and row[1] == "[" and row[2] == "]" for row in rows):
                return ("matrix", "matrix", tuple(tuple(row[3]) for row in rows))
        if len(items) == 1 and opened != "[":
            raise Unreadable("bracket")
        return ("group", opened, closed, tuple(items))

    def _bracketed(self, closers: tuple[str, ...]) -> list[Item]:
        """Read what brackets hold; the commas of `(100,200)` part members, whatever they do elsewhere."""
        start = self._at
        items = self._list(closers)
        if len(items) == 1 and any(
            token.kind == "num" and "," in token.text for token in self._tokens[start : self._at]
        ):
            raise Unreadable("one number, or several, in brackets")
        return items

    def _group_after(self, opened: str) -> Node:
        self._expect(opened)
        return self._group(opened)

    def _set(self) -> Node:
        start = self._at
        if self._kind() == "sym":
            self._at += 1
            if self._peek() == "\\in":
                self._at += 1
                if self._kind() == "sym":
                    self._at += 1
            if self._peek() in ("|", "\\mid", ":", "\\vert") and self._kind() in ("op", "cmd"):
                self._at += 1
                items = self._list(("\\}", "\\rbrace"))
                self._expect("\\}", "\\rbrace")
                return ("where", tuple(items))
            self._at = start
        if self._take("\\}"):
            return ("set", ())
        items = self._bracketed(("\\}", "\\rbrace"))
        self._expect("\\}", "\\rbrace")
        return ("set", tuple(items))

    def _command(self, text: str) -> Node:
        name = text[1:]
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            top = self._argument()
            return ("div", top, self._argument())
        if name == "sqrt":
            return self._root()
        if name in ("binom", "dbinom", "tbinom"):
            top = self._argument()
            return ("binom", top, self._argument())
        if name == "pi":
            return ("const", "pi")
        if name == "infty":
            return ("const", "oo")
        if name in ("emptyset", "varnothing"):
            return ("set", ())
        if name in GREEK:
            return self._symbol(name)
        if name in ("lfloor", "lceil"):
            inner = self._sum()
            self._expect("\\r" + name[1:])
            return ("fn", "floor" if name == "lfloor" else "ceil", inner)
        if name in FUNCTIONS:
            return self._function(name)
        if name in ("angle", "triangle", "overline"):
            return self._figure(name)
        if name in FONTS:
            return self._argument()
        raise Unreadable(f"unknown command {text!r}")

    def _figure(self, name: str) -> Node:
        """Read a name such as `\\angle ABC`; it only serves as a label."""
        letters = ""
        braced = name == "overline" and self._take("{")
        while self._kind() == "sym":
            letters += self._next().text
            if self._peek() == "_":
                self._at += 1
                letters += self._index()
        if braced:
            self._expect("}")
        if not letters:
            raise Unreadable(name)
        return ("sym", f"{name} {letters}")

    def _root(self) -> Node:
        index: Node = ("num", Fraction(2))
        if self._take("["):
            index = self._sum()
            self._expect("]")
        if self._kind() == "num":
            radicand = _number(self._next().text)  # in TeX `\sqrt51` is √5 and a 1; nobody means it
        elif self._take("("):
            radicand = self._group("(")
        elif self._kind() == "sym":
            radicand = self._symbol(self._next().text)
        else:
            radicand = self._argument()
        return ("pow", radicand, ("div", ("num", Fraction(1)), index))

    def _function(self, name: str) -> Node:
        if name == "exp":
            return ("pow", ("const", "e"), self._function_argument())
        if name == "cbrt":
            return ("pow", self._function_argument(), ("div", ("num", Fraction(1)), ("num", Fraction(3))))
        base: Node | None = None
        power: Node | None = None
        if self._peek() == "_" and name == "log":
            self._at += 1
            base = self._argument()
        if self._peek() == "^":
            self._at += 1
            power = self._exponent()
            if self._peek() == "_" and name == "log":
                raise Unreadable("logarithm")
        name = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name)
        if power == ("neg", ("num", Fraction(1))):
            if name not in ("sin", "cos", "tan"):
                raise Unreadable("inverse")
            name, power = "arc" + name, None
        argument = self._function_argument()
        if name == "ln":
            node: Node = ("log", ("const", "e"), argument)
        elif name == "lg":
            node = ("log", ("num", Fraction(10)), argument)
        elif name == "log":
            node = ("log", base, argument)
        else:
            node = ("fn", name, argument)
        return node if power is None else ("pow", node, power)

    def _function_argument(self) -> Node:
        """Read `(x+1)`, or the product after a function without brackets (`\\sin 2x`)."""
        self._enter()
        self._in_function += 1
        if self._peek() in ("(", "{") and self._kind() == "op":
            argument = self._primary()
            if argument[0] in ("group", "set"):
                raise Unreadable("function of several arguments")
            while self._peek() == "\\degree":
                argument = self._postfix(argument)
        else:
            sign = self._take("-")
            argument = self._factor()
            while (
                self._starts_factor()
                and self._kind() in ("sym", "cmd", "op")
                and self._peek()[1:] not in FUNCTIONS - {"sqrt"}
            ):
                if self._peek() in ("(", "[", "{", "|"):
                    break
                argument = ("mul", argument, self._factor())
            if self._peek() == "/" and self._kind(1) in ("num",):
                self._at += 1
                argument = ("div", argument, self._factor())
            argument = ("neg", argument) if sign else argument
        self._in_function -= 1
        self._depth -= 1
        return argument

    def _matrix(self, begin: str) -> Node:
        name = begin[begin.index("{") + 1 : -1].rstrip("*")
        if not begin.startswith("\\begin") or name not in (
            "pmatrix",
            "bmatrix",
            "matrix",
            "array",
            "smallmatrix",
            "vmatrix",
            "Bmatrix",
        ):
            raise Unreadable(begin)
        if name == "array" and self._take("{"):
            while not self._take("}"):
                self._next()
        self._enter()
        rows: list[list[Item]] = [[]]
        while self._kind() != "begin":
            rows[-1].append(self._item())
            if self._take("&"):
                continue
            if self._take("\\\\"):
                if self._kind() != "begin":
                    rows.append([])
            elif self._kind() != "begin":
                raise Unreadable("matrix")
        end = self._next().text
        if not end.startswith("\\end") or len({len(row) for row in rows}) != 1 or not rows[0]:
            raise Unreadable("matrix")
        self._depth -= 1
        return ("matrix", "determinant" if name == "vmatrix" else "matrix", tuple(tuple(row) for row in rows))


def unit_name(parts: list[str]) -> str:
    """Return one spelling for a unit given as words, raising Unreadable for words that are no unit."""
    words = [part.lower() for part in parts if part not in (".", ",", "(", ")")]
    if not words:
        return ""
    if len(words) > 8 or any(word in NO_UNIT for word in words):
        raise Unreadable("not a unit")
    if any(not re.fullmatch(r"[a-z]+|\^[23]|/|[23]", word) for word in words):
        raise Unreadable("not a unit")
    if words[0] == "base":
        raise Unreadable("base")
    if set(words) <= {"square", "sq", "squared", "cubic", "cu", "cubed"} or re.search(
        "square root|cubed? root", " ".join(words)
    ):
        raise Unreadable("not a unit")
    named: list[str] = []
    power = ""
    for word in words:
        if word in ("square", "sq", "squared", "^2", "2"):
            power = "^2"
        elif word in ("cubic", "cu", "cubed", "^3", "3"):
            power = "^3"
        elif word in ("/", "per", "a", "an"):
            named.append("per")
        elif word in ("the", "of", "each") or (word == "in" and named):
            continue
        else:
            named.append(UNIT_OF.get(word, word.removesuffix("s") if len(word) > 3 else word))
    return " ".join(named) + power


def _is_bound(item: Item) -> bool:
    kind: str = item.value[0]
    return kind == "both" or (kind == "rel" and bool(item.value[1] != ("=",)))


def _relation(operators: list[str], operands: list[Node], unit: str) -> Item:
    label = _label(operands[0])
    if operators[0] == "=" and label and len(operands) == 2:
        return Item(operands[1], unit, label)
    if operators == ["in"] and label.startswith("(") and operands[1][0] == "set":
        return Item(operands[1], unit)  # (a, n) \\in \\{(6, 3), (9, 5)\\}
    if operators == ["="] and (label := _label(operands[1])) and operands[0][0] in ("num", "neg"):
        return Item(operands[0], unit, label)
    return Item(("rel", tuple(operators), tuple(operands)), unit)


_INVERSES = tuple(("pow", ("sym", name), ("neg", ("num", Fraction(1)))) for name in "fgh")


def _label(node: Node) -> str:
    """Return the name that a node is as the left side of an assignment, or an empty string."""
    if node[0] == "sym" and not str(node[1]).startswith("set of"):
        return str(node[1])
    if node[0] == "app" and all(
        (part[1] if part[0] == "neg" else part)[0] in ("sym", "num", "const") for part in node[2]
    ):
        return f"{node[1]}({','.join(str(part[1]) for part in node[2])})"
    if node[0] == "group" and all(item.value[0] == "sym" and not item.unit for item in node[3]):
        return f"({','.join(str(item.value[1]) for item in node[3])})"  # (x, y) = (1, 2)
    if node[0] == "mul":  # p(x), N(n), AB
        parts: list[Node] = []
        while node[0] == "mul":
            parts.insert(0, node[2])
            node = node[1]
        parts.insert(0, node)
        if len(parts) == 2 and parts[0] in _INVERSES and parts[1][0] == "sym":
            return f"{parts[0][1][1]}^-1({parts[1][1]})"
        if all(part[0] == "sym" for part in parts):
            return "*".join(str(part[1]) for part in parts)
    return ""


def _bare(item: Item) -> Node:
    if item.label or item.unit:
        return ("group", "{", "}", (item,))
    return item.value


def _number(text: str) -> Node:
    text = text.replace(",", "")
    if len(text) > LONGEST_NUMBER:
        raise Unreadable("a number too long")
    return ("num", Fraction(text))


def _repeating(text: str) -> Fraction:
    """Return the value of `0.1\\overline{6}`, `0.1(6)` or `0.1666...`; raises Unreadable where dots define none."""
    if len(text) > LONGEST_NUMBER:
        raise Unreadable("a number too long")
    marked = re.fullmatch(r"([0-9]*)\.([0-9]*)(?:\\[a-z]+\s*\{?\s*([0-9]+)\s*\}?|\(([0-9]+)\))", text)
    if marked:
        whole, fixed, block = marked[1], marked[2], marked[3] or marked[4]
    else:
        whole, _, digits = text.partition(".")
        digits = re.match(r"[0-9]+", digits)[0]  # type: ignore[index]  # the token has at least one digit
        found = re.fullmatch(r"([0-9]*?)([0-9])\2{2,}", digits) or re.fullmatch(
            r"([0-9]{0,4}?)([0-9]{2,10}?)\2+", digits
        )
        if found is None:
            raise Unreadable("dots that define no number")
        fixed, block = found[1], found[2]
    shift = 10 ** len(fixed)
    return Fraction(int((whole + fixed) or "0"), shift) + Fraction(int(block), (10 ** len(block) - 1) * shift)
