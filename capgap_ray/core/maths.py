"""Is a maths answer the gold answer? The rules, from the cheapest on; when in doubt, not equal.

1. The same text after normalising, or two plain numbers: decided at once, tens of thousands a second.
2. Both sides are read (`expressions`) into lists of members with units and labels, members are paired by
   form (tuples in order, sets and bare lists in any order, intervals, matrices, equations), and values
   are compared exactly (`values`).
3. What the reader does not know (sums, integrals, limits) is left to Math-Verify, see `equivalence`.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from capgap_ray.core import words
from capgap_ray.core.expressions import Item, Node, Reader
from capgap_ray.core.notation import CURRENCY, LONGEST_MATHS, OPTION_LABEL, THOUSANDS, Unreadable
from capgap_ray.core.real_sets import same_points
from capgap_ray.core.values import TooLarge, exact, free_names, infinity_sign, ratio_is_constant, same_value
from capgap_ray.core.verdict import Verdict

_NUMBER = re.compile(
    r"([+-]?)(?:([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]*)?|(\.[0-9]+))"
    r"|([+-]?)(?:\\[dtc]?frac\{(-?[0-9]+)\}\{([0-9]+)\}|([0-9]+)/([0-9]+))"
)
_WRAPPERS = (
    ("$$", "$$"),
    ("$", "$"),
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("**", "**"),
    ("*", "*"),
    ("`", "`"),
    ('"', '"'),
    ("“", "”"),
)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{")
_SQUEEZE = re.compile(r"\s+(?![0-9A-Za-z])|(?<![0-9A-Za-z},])\s+|(?<=,)\s+(?![0-9]{3}(?![0-9]))")
"""White space without a meaning; in `100, 200` it has one."""
_SYNONYMS = re.compile(r"\\[dtc]frac(?![a-z])|\\(?:left|right|displaystyle|quad)(?![a-zA-Z])|\\[!,;:]")
_GROUPED = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")
_FOR_ALL = re.compile(
    r"[\s,$]*(?:\\quad\s*)?(?:\\forall\b|(?:\\text\s?\{\s*)?\(?(?:for|where) "
    r"(?:all|any|every|each|some|integers?)\b"
    r"|(?:\\text\s?\{\s*|\()(?:for|where)\s*\}?\s*[a-z]\s*\\in\b|,\s*\(?[a-z]\s*\\in\s*\\mathbb)[^=<>]{0,60}$",
    re.IGNORECASE,
)
"""A quantifier after a function: `f(x) = 2x \\text{ for all } x`."""
_DERIVATIVE = re.compile(r"\\[dtc]?frac\s*\{\s*d\s*[a-z]?\s*\}\s*\{\s*d\s*[a-z]\s*\}|\bd[a-z]\s*/\s*d[a-z]\b")
_DOUBTS = re.compile(r"\?|\\approx|≈|~=|\bapprox|\babout\b|\bnot\b", re.IGNORECASE)
_ROUNDED_TOO = re.compile(r"(.+?)\$?\s*(?:\\approx|≈)\s*\$?-?[0-9][0-9,]*\.?[0-9]*\$?( ?[a-z ]*)", re.DOTALL)
_LEAD = re.compile(
    r"^(?:\\text\{)?\s*(?:(?:so|thus|hence|therefore),?\s+)?(?:(?:the|my|our)\s+)?(?:(?:final|correct|right|best)\s+)?"
    r"(?:answer|result|solution|option|choice|total|sum|value)"
    r"(?:\s+is\s*:?|\s*[:=])\s*\}?\s*",
    re.IGNORECASE,
)


_OF_INTEGERS = re.compile(
    r"(?:[\s,$(]|\\q?quad|\\[,;: ]|\\text\s?\{[ a-z,]*\}|\\text\s?\{|\b(?:where|with|for|any|all|some|an|every)\b)*"
    r"(?:([a-zA-Z])\s*(?:\\in|∈)\s*(?:\\math(?:bb|bf)\s*\{?Z\}?|ℤ|Z)|integers?\s*\}?\s*([a-zA-Z])"
    r"|([a-zA-Z])\s*(?:\\text\s?\{)?\s*is an(?:y)? integer)\s*[)}$]*$"
)
"""Which letter of a family of solutions stands for any integer."""
_QUANTITY_IN_TEXT = re.compile(r"\\text\s?\{\s*(-?[0-9][0-9.,/]* [a-z ]+|[A-Z](?:, ?[A-Z])+)\}")
"""A number and its unit, or several letters, set as text."""
_OF_EMPTY = re.compile(r"\\?\{\s*(?:∅|\\(?:emptyset|varnothing)(?![a-z]))\s*\\?\}")
"""A set that is not empty: the empty set is in it."""
_LONGEST_FAMILY = 300
"""Characters of one that is looked at."""
_TOO_LARGE = "unparsable: too large to compute"


def compare(gold: str, answer: str) -> Verdict:
    """Return whether an answer is the gold answer. Takes milliseconds at most, whatever the texts are."""
    quick = _quick(gold, answer)
    return quick if quick is not None else _careful(gold, answer)


def _quick(gold: str, answer: str) -> Verdict | None:
    if len(answer) > LONGEST_MATHS:
        return Verdict(None, f"unparsable: longer than {LONGEST_MATHS} characters")
    gold_form, gold_number = _gold_forms(gold)
    answer_form = normal_form(answer)
    if not gold_form or not answer_form:
        return Verdict(False, "empty answer" if gold_form else "empty gold")
    if gold_form == answer_form:
        return Verdict(True, "same text")
    if gold_number is not None:
        number = plain_number(answer_form)
        if number is not None:
            return Verdict(gold_number == number, "plain numbers")
    return None


@functools.lru_cache(maxsize=8192)
def _gold_forms(gold: str) -> tuple[str, Fraction | None]:
    form = normal_form(gold)
    return form, plain_number(form)


def plain_number(text: str) -> Fraction | None:
    """Return the value of an integer, a decimal or a fraction of integers, else None."""
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 600:
        return None
    if match[6] or match[8]:
        bottom = int(match[7] or match[9])
        if not bottom:
            return None
        value = Fraction(int(match[6] or match[8]), bottom)
        return -value if match[5] == "-" else value
    if match[4]:
        value = Fraction(match[4])
    else:
        value = Fraction((match[2].replace(",", "") if "," in match[2] else match[2]) + (match[3] or "").rstrip("."))
    return -value if match[1] == "-" else value


def normal_form(text: str) -> str:
    """Return the text without wrappers, markup and spacing; texts with one form have one meaning."""
    text = unwrapped(text)
    if text.isalnum():
        return text
    if "\\" in text or "{,}" in text:
        text = THOUSANDS.sub("", text)
        text = _SYNONYMS.sub(lambda match: "\\frac" if match[0].endswith("frac") else " ", text)
        text = text.replace("{,}", ",")
    text = text.replace("{:}", ":").replace("−", "-").replace("\\%", "%").replace("\\ ", " ").replace("$", " ")
    if " " in text or "\n" in text or "\t" in text:
        text = _SQUEEZE.sub("", text).strip()
    return text.rstrip(".") if not text.endswith("..") else text


def without_lead(text: str) -> str:
    """Return the answer without "The answer is" before it."""
    return _LEAD.sub("", unwrapped(text), count=1)


def unwrapped(text: str) -> str:
    """Return the text without surrounding spaces, delimiters, markdown, boxes and a closing full stop."""
    text = text.strip()
    if text.isalnum():
        return text
    for _ in range(6):
        before = text
        if text.endswith((".", ",", ";")) and not text.endswith(".."):
            text = text[:-1].rstrip()
            if text.endswith("\\") and not text.endswith("\\\\"):
                text = text[:-1].rstrip()  # it was the space `\;` or `\,`
        for opened, closed in _WRAPPERS:
            if len(text) > len(opened) + len(closed) and text.startswith(opened) and text.endswith(closed):
                inside = text[len(opened) : -len(closed)]
                if opened not in inside and not inside.endswith("\\"):
                    text = inside.strip()
        if text.startswith("\\") and (box := _BOX.match(text)) and text.endswith("}"):
            text = _unbraced(text, box.end())
        if text == before:
            break
    return text


def _unbraced(text: str, start: int) -> str:
    """Return what a command's braces hold, if they close at the end of the text."""
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if not depth:
                return text[start : match.start()].strip() if match.end() == len(text) else text
    return text


def _careful(gold: str, answer: str) -> Verdict:
    gold, answer = _families(unwrapped(gold), unwrapped(without_lead(answer)))
    answer = unwrapped(_FOR_ALL.sub("", answer).lstrip().removeprefix("="))
    if (verdict := words.decide(gold, answer)) is not None:
        return verdict
    if (label := OPTION_LABEL.match(answer)) and normal_form(answer[label.end() :]) == normal_form(gold):
        return Verdict(True, "same text")
    answer = _QUANTITY_IN_TEXT.sub(r"\1", answer)
    if bool(_OF_EMPTY.fullmatch(gold)) != bool(_OF_EMPTY.fullmatch(answer)):
        return Verdict(False, "different value")
    if bool(_DERIVATIVE.search(gold)) != bool(_DERIVATIVE.search(answer)):
        return Verdict(False, "derivative")
    if _DOUBTS.search(answer) and not _DOUBTS.search(gold):
        # `1/3 \approx 0.333` states the exact value first.
        exact = _ROUNDED_TOO.fullmatch(answer) if len(answer) <= 200 else None
        if exact and not _DOUBTS.search(exact[1]) and _careful(gold, exact[1].lstrip("$") + exact[2]).equal:
            return Verdict(True, "same value")
        return Verdict(False, "hedged")
    gold_readings = readings(gold)
    answer_readings = readings(answer)
    if isinstance(gold_readings, str) or isinstance(answer_readings, str):
        reason = gold_readings if isinstance(gold_readings, str) else answer_readings
        return Verdict(None, f"unparsable: {reason}")
    decided: bool | None = False
    for expected in gold_readings:
        for given in answer_readings:
            try:
                same = _same_lists(expected, given)
            except (TooLarge, RecursionError):
                same = None
            if same:
                return Verdict(True, "same value")
            decided = None if same is None else decided
    return Verdict(decided, "different value" if decided is False else _TOO_LARGE)


def _families(gold: str, answer: str) -> tuple[str, str]:
    """Return both without "k is an integer", where both say so of one letter."""
    if max(len(gold), len(answer)) > _LONGEST_FAMILY:
        return gold, answer
    said = _OF_INTEGERS.search(gold), _OF_INTEGERS.search(answer)
    letters = [next(filter(None, each.groups())) for each in said if each]
    if said[0] and said[1] and letters[0] == letters[1]:
        return gold[: said[0].start()], answer[: said[1].start()]
    return gold, answer


@functools.lru_cache(maxsize=2048)
def readings(text: str) -> tuple[tuple[Item, ...], ...] | str:
    """Return the ways to read an answer as a list of members, one as a rule, or why it cannot be read.

    Two ways: in `(1,200, 3)` the comma may group digits, in `60 m` the letter may be a unit.
    """
    ways = []
    reason = ""
    texts = [text]
    if re.fullmatch(r"-?[0-9]{1,3}(?: [0-9]{3})+", text):
        texts = [text.replace(" ", "")]
    if metres := _UNIT_LETTER.fullmatch(text):
        texts.append(rf"{metres[1]}\text{{ {metres[2]}}}{metres[3]}")
    for each, thousands in itertools.product(texts, _groupings(text)):
        try:
            ways.append(tuple(Reader(_currency(each), thousands).read()))
        except Unreadable as error:
            reason = str(error)
        except (RecursionError, ZeroDivisionError):
            reason = "too deep"
    return tuple(ways) if ways else reason


_UNIT_LETTER = re.compile(r"(.*[0-9}]) ([mgshLl])(\s?(?:[²³]|\^\{?[23]\}?)?)", re.DOTALL)


def _groupings(text: str) -> tuple[bool, ...]:
    """Return whether commas between digits group them: `1,234`; not in `27,54,108`, maybe in `(1,200, 3)`."""
    grouped = list(_GROUPED.finditer(text))
    if not grouped:
        return (True,)
    if re.search(r",(?![\s\\}]|$)", _GROUPED.sub("0", text)):
        return (False,)  # a comma without a space parts members here
    inside = any(re.search(r"[(\[{][^()\[\]{}]*$", text[: match.start()]) for match in grouped)
    return (True, False) if inside else (True,)


def _currency(text: str) -> str:
    """Return the text with maths delimiters gone and a dollar sign kept only where it means dollars."""
    if "$" in text:
        text = re.sub(r"\\\$", "\x00", text)
        if text.count("$") == 1 and re.match(r"\s*-?\s*\$\s*[0-9.]", text):
            text = text.replace("$", "\x00")
        text = text.replace("$", " ").replace("\x00", "\\$")
    text = re.sub(r"-\s*(\\\$|[€£])\s*", r"\1-", text)
    return re.sub(r"(?<!\\)\\([()\[\]])", " ", text) if "\\(" in text or "\\[" in text else text


# Lists


def _same_lists(gold: tuple[Item, ...], answer: tuple[Item, ...]) -> bool | None:
    if not _units_agree(gold, answer):
        return False
    gold, answer = _expanded(_members(gold)), _expanded(_members(answer))
    if len(gold) == len(answer) == 1:
        return _same_items(gold[0], answer[0])
    if len(gold) == 1 or len(answer) == 1:
        return _list_against_one(gold, answer)
    labels = [item.label for item in gold], [item.label for item in answer]
    ordered = any(labels[0]) != any(labels[1]) and len(set(labels[0]) | set(labels[1])) > 2
    if ordered:  # `x=6, y=5` against `6, 5`: the order stands for the labels
        return (
            _all(_same_items(one, other) for one, other in zip(gold, answer, strict=True))
            if len(gold) == len(answer)
            else False
        )
    return _same_unordered(gold, answer)


def _members(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return the set for `k \\in \\{1, 2\\}`, which says which values `k` has."""
    value = items[0].value
    if (
        len(items) == 1
        and value[0] == "rel"
        and value[1] == ("in",)
        and value[2][0][0] == "sym"
        and value[2][1][0] == "set"
    ):
        return (items[0]._replace(value=value[2][1]),)
    return items


def _list_against_one(gold: tuple[Item, ...], answer: tuple[Item, ...]) -> bool | None:
    """Compare a bare list with one member: a set in any order, a tuple in the order given, a union."""
    single, several = (gold[0], answer) if len(gold) == 1 else (answer[0], gold)
    value = single.value
    if value[:2] == ("rel", ("in",)):
        value = _as_set(single) or value
    if value[0] == "set" and not single.label:
        inner = _expanded(value[1])
        return _same_unordered(inner, several)
    if value[0] == "set":
        return _same_unordered(_expanded(value[1]), tuple(item._replace(label="") for item in several))
    if value[0] == "group" and value[1] == "(" and value[2] == ")" and len(value[3]) == len(several):
        if any(item.value[0] in ("group", "rel") or infinity_sign(item.value) for item in several):
            return False
        return _all(_same_items(one, other) for one, other in zip(value[3], several, strict=True))
    if value[0] in ("union", "minus", "cap"):
        # `x < 0 or x = 1`: a value beside inequalities is a point; `x > 2, x \ne 3` leaves one out.
        without = [item for item in several if item.value[:2] == ("rel", ("!=",))]
        parts = [
            ("set", (Item(item.value),)) if item.label and item.value[0] not in _SETS else _as_set(item)
            for item in several
            if item not in without
        ]
        if None in parts:
            return False
        left_out = [described for item in without if (described := _as_set(item)) is not None]
        if len(left_out) < len(without):
            return False
        return _same_node(value, _meet([("union", tuple(parts)), *left_out] if parts else left_out))
    return False


def _expanded(items: Sequence[Item]) -> tuple[Item, ...]:
    """Return the members with `a \\pm b` written out as two, and bounds joined by "and" as the set that meets both."""
    found: list[Item] = []
    label = ""
    for item in items:
        if item.value[0] == "both":
            described = _as_set(item)
            found += item.value[1] if described is None else [Item(described)]
        elif item.value[0] != "set" and _has(item.value, "pm"):
            for sign in (1, -1):
                found.append(item._replace(value=_signed(item.value, sign)))
        else:
            found.append(item)
    if len(found) > 1 and found[0].label and not any(item.label for item in found[1:]):
        label = found[0].label  # `x = 1, 2` says x twice
        found = [item._replace(label=label) for item in found]
    if len(found) > 1 and found[0].unit != found[-1].unit and not any(item.unit for item in found[:-1]):
        found = [item._replace(unit=found[-1].unit) for item in found]
    return tuple(found)


def _has(node: Node, kind: str) -> bool:
    if node[0] == kind:
        return True
    return any(_has(part, kind) for part in _parts(node))


def _parts(node: Node) -> list[Node]:
    found: list[Node] = []
    for part in node[1:]:
        if isinstance(part, Item):
            found.append(part.value)
        elif isinstance(part, tuple) and part and isinstance(part[0], str):
            found.append(part)
        elif isinstance(part, tuple):
            for each in part:
                if isinstance(each, Item):
                    found.append(each.value)
                elif isinstance(each, tuple) and each and isinstance(each[0], str):
                    found.append(each)
                elif isinstance(each, tuple):
                    found += [cell.value for cell in each if isinstance(cell, Item)]
    return found


def _signed(node: Node, sign: int) -> Node:
    """Return the tree with every plus-minus taken as plus (1) or minus (-1), all at once."""
    if node[0] == "pm":
        right = _signed(node[2], sign)
        return ("add", _signed(node[1], sign), right if sign == 1 else ("neg", right))

    def walk(part: object) -> object:
        if isinstance(part, Item):
            return part._replace(value=_signed(part.value, sign))
        if isinstance(part, tuple) and part and isinstance(part[0], str):
            return _signed(part, sign)
        if isinstance(part, tuple):
            return tuple(walk(each) for each in part)
        return part

    return (node[0], *(walk(part) for part in node[1:]))


def _units_agree(gold: Sequence[Item], answer: Sequence[Item]) -> bool:
    """Return whether at most one side writes units, or both the same ones."""
    one, other = {item.unit for item in gold if item.unit}, {item.unit for item in answer if item.unit}
    return not one or not other or one == other or (len(one) == len(other) == 1 and _per_something(*one, *other))


def _per_something(gold: str, answer: str) -> bool:
    """Return whether two units are the same money, for a piece of something on one side only: "$5", "$5 per share"."""
    return (gold in CURRENCY.values() and answer.startswith(f"{gold} per ")) or (
        answer in CURRENCY.values() and gold.startswith(f"{answer} per ")
    )


def _same_unordered(gold: Sequence[Item], answer: Sequence[Item], within_sets: bool = False) -> bool | None:
    """Pair the members off. Alone `{1}` and 1 are the same answer; `within_sets` they are different members."""
    if len(gold) != len(answer) or len(gold) > 60:
        return False
    left = list(answer)
    doubt = False
    for item in gold:
        for index, other in enumerate(left):
            apart = within_sets and (item.value[0] == "set") != (other.value[0] == "set")
            same = False if apart else _same_items(item, other)
            doubt = doubt or same is None
            if same:
                del left[index]
                break
        else:
            return None if doubt else False
    return True


def _all(results: Iterable[bool | None]) -> bool | None:
    worst: bool | None = True
    for result in results:
        if result is False:
            return False
        worst = None if result is None else worst
    return worst


# Members


def _same_items(gold: Item, answer: Item) -> bool | None:
    if gold.unit and answer.unit and gold.unit != answer.unit and not _per_something(gold.unit, answer.unit):
        return False
    if gold.label and answer.label and not _same_name(gold.label, answer.label):
        return _swapped_equation(gold, answer)
    if gold.label and not answer.label and answer.value[0] == "rel":
        return (
            _same_node(_equation(gold), answer.value)
            if len(free_names(answer.value)) > 1
            else _interval_form(gold, answer)
        )
    if answer.label and not gold.label and gold.value[0] == "rel":
        return (
            _same_node(gold.value, _equation(answer))
            if len(free_names(gold.value)) > 1
            else _interval_form(gold, answer)
        )
    same = _same_node(gold.value, answer.value)
    if same and answer.unit == "percent" and not gold.unit:
        proportion = exact(gold.value)
        if proportion is not None and 0 < abs(proportion) < 1:
            return False  # 0.34 is not 0.34 %
    if same is not True and (gold.unit == "percent") != (answer.unit == "percent") and not (gold.unit and answer.unit):
        hundred: Node = ("num", Fraction(100))
        one = ("div", gold.value, hundred) if gold.unit else gold.value
        other = ("div", answer.value, hundred) if answer.unit else answer.value
        return _same_node(one, other) or same
    return same


def _same_name(gold: str, answer: str) -> bool:
    """Return whether two names are one: the largest `m` may be called `m_{\\max}`, and `f(x)` `y`."""
    if _EXTREME.sub("", gold) == _EXTREME.sub("", answer):
        return True
    function, other = (gold, answer) if answer == "y" else (answer, gold)
    return other == "y" and function in ("f(x)", "g(x)", "h(x)")


_EXTREME = re.compile(r"_(?:max|min)$")


def _equation(item: Item) -> Node:
    return ("rel", ("=",), (("sym", item.label), item.value))


def _swapped_equation(gold: Item, answer: Item) -> bool | None:
    """Compare `y = 2x + 3` with `x = (y - 3)/2`: the same equation in the same two or more variables."""
    if not (gold.label.isalpha() and answer.label.isalpha() and len(gold.label) == len(answer.label) == 1):
        return False
    if answer.label not in free_names(gold.value) or gold.label not in free_names(answer.value):
        return False
    return _same_node(_equation(gold), _equation(answer))


def _interval_form(gold: Item, answer: Item) -> bool | None:
    one, other = _as_set(gold), _as_set(answer)
    return _same_node(one, other) if one is not None and other is not None else False


def _as_set(item: Item) -> Node | None:
    """Return the set that an inequality in one variable, or a membership, describes."""
    value = item.value
    if value[0] in ("group", "union", "set", "minus", "cap"):
        return value
    if value[0] == "both":
        sets = [described for part in value[1] if (described := _as_set(part)) is not None]
        one_variable = len({_variable(part.value) for part in value[1]}) == 1
        return _meet(sets) if one_variable and len(sets) == len(value[1]) else None
    if value[0] == "where":
        parts = [_as_set(part) for part in value[1]]
        return parts[0] if len(parts) == 1 else None
    if value[0] != "rel":
        return None
    operators, operands = value[1], value[2]
    if operators == ("in",) and operands[0][0] == "sym":
        return operands[1] if operands[1][0] in ("group", "union", "set", "minus", "cap") else None
    infinity: Node = ("const", "oo")
    if operators == ("!=",) and operands[0][0] == "sym" and not free_names(operands[1]):
        return ("minus", _LINE, ("set", (Item(operands[1]),)))
    if len(operators) == 1 and operators[0] in ("<", ">", "<=", ">="):
        left, right = operands
        operator = operators[0]
        if right[0] == "sym" and left[0] != "sym":
            left, right = right, left
            operator = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}[operator]
        if (bound := _symmetric(left, right)) is not None:
            low, high = bound
            within: Node = (Item(low), Item(high))
            if operator in ("<", "<="):
                return ("group", "(", ")", within) if operator == "<" else ("group", "[", "]", within)
            ends = (")", "(") if operator == ">" else ("]", "[")
            below: Node = ("group", "(", ends[0], (Item(("neg", infinity)), Item(low)))
            return ("union", (below, ("group", ends[1], ")", (Item(high), Item(infinity)))))
        if left[0] != "sym" or free_names(right) - {"i"}:
            return None
        if operator.startswith("<"):
            if infinity_sign(right):
                return None
            return ("group", "(", "]" if operator == "<=" else ")", (Item(("neg", infinity)), Item(right)))
        return ("group", "[" if operator == ">=" else "(", ")", (Item(right), Item(infinity)))
    if len(operators) == 2 and operands[1][0] == "sym" and not free_names(operands[0]) | free_names(operands[2]):
        first, second = operators
        low, high = operands[0], operands[2]
        if first in (">", ">=") and second in (">", ">="):
            flip = {">": "<", ">=": "<="}
            low, high, first, second = high, low, flip[second], flip[first]
        if first in ("<", "<=") and second in ("<", "<="):
            return ("group", "[" if first == "<=" else "(", "]" if second == "<=" else ")", (Item(low), Item(high)))
    return None


def _meet(sets: Sequence[Node]) -> Node:
    return functools.reduce(lambda one, other: ("cap", one, other), sets)


def _symmetric(left: Node, right: Node) -> tuple[Node, Node] | None:
    """Return the two ends that `|x| < 3`, `|x - 1| < 3` or `x^2 < 9` sets."""
    if free_names(right) or infinity_sign(right):
        return None
    if left[0] == "pow" and left[1][0] == "sym" and left[2] == ("num", Fraction(2)):
        left, right = ("fn", "abs", left[1]), ("pow", right, ("num", Fraction(1, 2)))
    if left[:2] != ("fn", "abs"):
        return None
    inner: Node = left[2]
    middle: Node = ("num", Fraction(0))
    if inner[0] == "add" and inner[1][0] == "sym" and not free_names(inner[2]):
        inner, middle = inner[1], ("neg", inner[2])
    if inner[0] != "sym":
        return None
    return ("add", middle, ("neg", right)), ("add", middle, right)


_SETS = frozenset(("group", "union", "set", "where", "minus", "cap"))
_COMPOSED = frozenset(("union", "minus", "cap"))
_LINE: Node = ("group", "(", ")", (Item(("neg", ("const", "oo"))), Item(("const", "oo"))))


def _in_base_ten(node: Node) -> Node:
    """Return the number for one whose base is said to be ten: `413_{10}`."""
    said = node[0] == "based" and node[2] == 10 and node[1].isdecimal()
    return ("num", Fraction(int(node[1]))) if said else node


def _same_node(gold: Node, answer: Node) -> bool | None:
    gold, answer = _in_base_ten(gold), _in_base_ten(answer)
    one, other = gold[0], answer[0]
    if gold == answer:
        return True
    if one == "text" or other == "text":
        return bool(one == other) and words.folded(" ".join(gold[1].split())) == words.folded(
            " ".join(answer[1].split())
        )
    if one == "based" or other == "based":
        return bool(one == other and gold[2] == answer[2] and gold[1].lstrip("0") == answer[1].lstrip("0"))
    if one == "rel" or other == "rel":
        return _same_relation(gold, answer)
    gold, answer = _with_matrices(gold), _with_matrices(answer)
    if gold[0] != "matrix" != answer[0] and (one in _SETS or other in _SETS):
        return _same_sets(gold, answer)
    if gold[0] == "matrix" or answer[0] == "matrix":
        return _same_matrices(_as_matrix(gold, answer), _as_matrix(answer, gold))
    if infinity_sign(gold) or infinity_sign(answer):
        return infinity_sign(gold) == infinity_sign(answer) != 0
    return same_value(gold, answer)


def _same_relation(gold: Node, answer: Node) -> bool | None:
    if gold[0] != answer[0]:
        value, relation = (gold, answer) if answer[0] == "rel" else (answer, gold)
        if value[0] in _SETS:
            described = _as_set(Item(relation))
            return (
                _same_sets(gold if value is gold else described, answer if value is answer else described)
                if described
                else False
            )
        result = _chain_value(relation)
        if result is None:
            return False
        return _same_node(gold, result) if value is gold else _same_node(result, answer)
    one, other = _as_set(Item(gold)), _as_set(Item(answer))
    if one is not None and other is not None:
        return _variable(gold) == _variable(answer) and _same_sets(one, other)
    if gold[1] == answer[1]:
        same = _all(_same_node(left, right) for left, right in zip(gold[2], answer[2], strict=True))
        if same:
            return True
    if len(gold[1]) != 1 or len(answer[1]) != 1:
        return False
    operators = {"<": ">", "<=": ">="}
    (first,), (second,) = gold[1], answer[1]
    difference: Node = ("add", gold[2][0], ("neg", gold[2][1]))
    other_difference: Node = ("add", answer[2][0], ("neg", answer[2][1]))
    if first in (">", ">="):
        first = {">": "<", ">=": "<="}[first]
        difference = ("neg", difference)
    if second in (">", ">="):
        second = {">": "<", ">=": "<="}[second]
        other_difference = ("neg", other_difference)
    if first != second or first not in ("=", "!=", *operators):
        return False
    if len(free_names(difference)) < 2 and gold[2][1] != answer[2][1]:
        return False  # `2x = 5` is not the solved `x = 5/2`
    ratio = ratio_is_constant(difference, other_difference)
    return ratio is not None and (first in ("=", "!=") or ratio > 0)


def _variable(relation: Node) -> str:
    return "".join(sorted(free_names(relation)))


def _chain_value(relation: Node) -> Node | None:
    """Return the value that `2 + 3 = 5` or `x = 10/2 = 5` states, if its parts agree."""
    if set(relation[1]) != {"="}:
        return None
    operands: list[Node] = list(relation[2])
    if (
        named := operands[0][0] == "sym"
        or (operands[0][0] == "add" and _names_added(operands[0]))
        or (len(operands) > 2 and operands[0][0] in ("app", "mul") and free_names(operands[0]))
    ):
        operands = operands[1:]
    if (named or len(operands) > 1) and all(same_value(operands[-1], each) for each in operands[:-1]):
        return operands[-1]
    return None


def _names_added(node: Node) -> bool:
    """Return whether a node is `m + n` or the like: what such an equation's other side is the value of."""
    if node[0] == "neg":
        return bool(node[1][0] == "sym")
    return node[0] == "add" and all(part[0] == "sym" or _names_added(part) for part in node[1:])


def _same_sets(gold: Node, answer: Node) -> bool | None:
    gold, answer = _plain_set(gold), _plain_set(answer)
    one, other = gold[0], answer[0]
    if one == "matrix" or other == "matrix":
        return False
    if _COMPOSED & {one, other} and (same := same_points(gold, answer)) is not None:
        return same
    if one == other == "group":
        if gold[1:3] != answer[1:3] or len(gold[3]) != len(answer[3]):
            return False
        return _all(_same_items(left, right) for left, right in zip(gold[3], answer[3], strict=True))
    if one == other == "set":
        return _same_unordered(_expanded(gold[1]), _expanded(answer[1]), within_sets=True)
    if one == other == "union":
        return _same_unordered([Item(part) for part in gold[1]], [Item(part) for part in answer[1]])
    if one == other and one in ("minus", "cap"):
        return _all((_same_node(gold[1], answer[1]), _same_node(gold[2], answer[2])))
    if one == "set" and other not in _SETS and len(gold[1]) == 1:
        return _same_items(gold[1][0], Item(answer))
    if other == "set" and one not in _SETS and len(answer[1]) == 1:
        return _same_items(Item(gold), answer[1][0])
    return False


def _plain_set(node: Node) -> Node:
    if node[0] == "where":
        return _as_set(Item(node)) or node
    if node == ("sym", "set of R"):
        return _LINE
    if node[0] == "group" and len(node[3]) == 1 and node[1] == "(":
        inner = node[3][0]
        return inner.value if not inner.label else node
    if node[0] == "group" and node[1] == "<":
        return ("group", "(", ")", node[3])
    return node


def _with_matrices(node: Node) -> Node:
    """Return a matrix for a number times a matrix, else the node."""
    if node[0] == "neg" and _has(node, "matrix"):
        return _scaled(_with_matrices(node[1]), ("num", Fraction(-1)))
    if node[0] == "mul" and _has(node, "matrix"):
        left, right = _with_matrices(node[1]), _with_matrices(node[2])
        if left[0] == "matrix" and right[0] != "matrix":
            return _scaled(left, right)
        if right[0] == "matrix" and left[0] != "matrix":
            return _scaled(right, left)
    if node[0] == "pow" and node[1][0] == "matrix" and node[2] == ("sym", "T") and node[1][1] == "matrix":
        return ("matrix", "matrix", tuple(zip(*node[1][2], strict=True)))
    if node[0] == "div" and node[1][0] == "matrix" and not _has(node[2], "matrix"):
        return _scaled(node[1], ("div", ("num", Fraction(1)), node[2]))
    return node


def _scaled(matrix: Node, factor: Node) -> Node:
    if matrix[0] != "matrix" or matrix[1] == "determinant":
        return ("mul", factor, matrix)
    rows = tuple(tuple(cell._replace(value=("mul", factor, cell.value)) for cell in row) for row in matrix[2])
    return ("matrix", "matrix", rows)


def _as_matrix(node: Node, other: Node) -> Node:
    """Return a vector in brackets, `(1,2,3)`, as the column that stands on the other side."""
    vector = node[0] == "group" and len(node[3]) > 1 and node[1] + node[2] in ("()", "[]", "<>")
    if not vector or other[0] != "matrix" or any(len(row) != 1 for row in other[2]):
        return node
    return ("matrix", "matrix", tuple((item,) for item in node[3]))


def _same_matrices(gold: Node, answer: Node) -> bool | None:
    if gold[0] != answer[0] or gold[1] != answer[1]:
        return False
    if [len(row) for row in gold[2]] != [len(row) for row in answer[2]]:
        return False
    cells = [cell for row in gold[2] for cell in row], [cell for row in answer[2] for cell in row]
    return _all(_same_items(one, other) for one, other in zip(*cells, strict=True))


def rational(text: str) -> Fraction | None:
    """Return the value of an answer that is one number however it is written, else None."""
    number = plain_number(normal_form(text))
    if number is not None:
        return number
    ways = readings(unwrapped(text))
    if isinstance(ways, str) or len(ways[0]) != 1:
        return None
    try:
        return exact(ways[0][0].value)
    except TooLarge:
        return None


_PROVABLE_TOKEN = re.compile(
    r"\\(?:sum|prod|int|lim|to|infty|d?frac|tfrac|sqrt|pi|sin|cos|tan|ln|log|exp|cdot|times|left|right|limits|binom|,|;|!)(?![a-zA-Z])"
    r"|(?<![a-zA-Z])[a-zA-Z]{1,2}(?![a-zA-Z])|(?<![0-9])[0-9]{1,6}(?![0-9])|[-+*/=_^{}()\s]|-"
)
_BIG_POWER = re.compile(r"\^\s*(?:\{[^{}]*[\^!]|\{?[0-9]{3,}|[0-9a-z]\s*\^)|\}\s*\^[^{}]{0,4}\^")


def left_to_prove(verdict: Verdict, gold: str, answer: str) -> bool:
    """Return whether a pair is undecided because our reader does not know its notation, and safe to hand on."""
    return verdict.equal is None and verdict.how != _TOO_LARGE and _provable(gold) and _provable(answer)


def _provable(text: str) -> bool:
    """Return whether Math-Verify may see the text: short, of known tokens, no towers, factorials, decimals or bases.

    Decimals are kept out because Math-Verify rounds them, factorials and powers of powers because sympy
    computes them whatever they cost.
    """
    text = unwrapped(text)
    if not text or len(text) > 200 or text.count("^") > 12 or _BIG_POWER.search(text) or re.search(r"[0-9]\}?_", text):
        return False
    at = 0
    for match in _PROVABLE_TOKEN.finditer(text):
        if match.start() != at:
            return False
        at = match.end()
    return at == len(text)
