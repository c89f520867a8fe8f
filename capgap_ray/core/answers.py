"""Answers: a model's text becomes an extracted answer, and that is compared with the gold answer.

The rule of thumb is: when in doubt, not equal. A false "right" enters the training data through the
filter and the result through the score; a false "wrong" can still be settled by the judge.

Everything runs in time linear in the text, and model text is only ever compared, never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from capgap_ray.records import FinishReason, Outcome

AnswerKind = Literal["option", "boolean", "brackets", "words", "text"]
"""`option`: a letter such as `(B)`. `boolean`: one of two words such as `yes`. `brackets`: a sequence of
brackets. `words`: words in order. `text`: anything else, numbers included."""

LONGEST_ANSWER = 2_000
"""Characters. A longer line is not an answer but a run-on text: nothing is extracted from it."""

_BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"valid", "invalid"})
_ALL_BOOLEANS = set().union(*_BOOLEANS)
_STATEMENT = re.compile(
    r"\bthe (?:final |correct |right )?answer is\b|^[*_#> ]{0,6}(?:final )?answer[*_ ]{0,3}:",
    re.IGNORECASE | re.MULTILINE,
)
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_SPACE = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
_MARKUP = _SPACE + "*_`$\"'“”‘’"
_SENTENCE_END = re.compile(r"[.!?;][*_`$\"']{0,4}(?:\s|$)")
_BRACKET_RUN = re.compile(r"[\[\](){}<>\s,\\*_`$\"']*")
_HEDGE = re.compile(r"\b(?:or|and|not|nor|either|neither|maybe|perhaps|possibly|both|but)\b", re.IGNORECASE)


def kind_of(target: str, choices: Sequence[str]) -> AnswerKind:
    """Return how answers with this gold target are read; `choices` are the option texts, or empty."""
    target = target.strip()
    if re.fullmatch(r"\([A-Z]\)", target) or (choices and re.fullmatch(r"[A-Z]", target)):
        return "option"
    if target.casefold() in _ALL_BOOLEANS:
        return "boolean"
    if re.fullmatch(r"[\[\](){}<>\s]+", target):
        return "brackets"
    words = target.split()
    if len(words) > 1 and all(re.fullmatch(r"[a-z][a-z'’.-]*", word) for word in words):
        return "words"
    return "text"


def extract(text: str, kind: AnswerKind) -> str | None:
    """Return the last answer that the text states, without markup, or None.

    Read are "the answer is X", a line "Answer: X", and a complete, non-empty `\\boxed{X}`; X ends with
    its sentence or line. For options a last line that is only "(B)" counts too. Thinking is skipped: only
    what follows the last `</think>` counts, and nothing does while a `<think>` is still open.
    """
    _, closed, rest = text.rpartition("</think>")
    text = rest if closed else text
    if "<think>" in text:
        return None
    found = [_last_statement(text, kind), _last_box(text, kind)]
    for _, answer in sorted((f for f in found if f is not None), reverse=True):
        if answer:
            return answer if len(answer) <= LONGEST_ANSWER else None
    if kind == "option":
        last_line = text.rstrip().rpartition("\n")[2][: LONGEST_ANSWER + 1].strip(_MARKUP + ".")
        if re.fullmatch(r"\([A-Z]\)", last_line):
            return last_line
    return None


def equal(answer: str, target: str, kind: AnswerKind, choices: Sequence[str]) -> bool:
    """Return whether an extracted answer is the gold target.

    Options: the letter with or without parentheses, alone or followed by words that name no second
    answer, or the text of that choice. Booleans: the same word; `yes` is not `True`. Brackets: equal
    without spaces. Words: the same words in the same order. Text: equal without case, spaces and markup,
    plain numbers by value. Hedges ("(A) or (B)") and empty answers are never equal.
    """
    if len(answer) > LONGEST_ANSWER:
        return False
    answer, target = _bare(answer, kind), _bare(target, kind)
    if not answer or not target:
        return False
    if kind == "option":
        return _option_letter(answer, choices) == target.strip("()").upper()
    if kind == "boolean":
        return _boolean(answer) == target.casefold()
    if kind == "brackets":
        # Commas are what some models put between brackets; any other character is left to differ.
        return re.sub(r"[\s,\\]", "", answer) == re.sub(r"\s", "", target)
    if kind == "words":
        return re.split(r"[\s,]+", answer.casefold()) == re.split(r"[\s,]+", target.casefold())
    return _text_form(answer) == _text_form(target)


def outcome(text: str, finish_reason: FinishReason, target: str, choices: Sequence[str]) -> tuple[str | None, Outcome]:
    """Return (extracted answer, outcome) of one completion.

    A text cut at the token limit is `truncated` and has no answer, whatever it said on the way.
    """
    if finish_reason == "length":
        return None, "truncated"
    kind = kind_of(target, choices)
    answer = extract(text, kind)
    if answer is None:
        return None, "unparsable"
    return answer, "right" if equal(answer, target, kind, choices) else "wrong"


def _last_statement(text: str, kind: AnswerKind) -> tuple[int, str] | None:
    match = None
    for match in _STATEMENT.finditer(text):  # noqa: B007  the last match is what the loop is for
        pass
    if match is None:
        return None
    # One character more than an answer may have, so that `extract` can tell a run-on line.
    window = text[match.end() : match.end() + 2 * LONGEST_ANSWER].lstrip(_MARKUP + ":")
    return match.start(), _stated(window.partition("\n")[0], kind)


def _stated(line: str, kind: AnswerKind) -> str:
    """Return the answer at the start of a line, up to the end of its sentence."""
    if kind == "brackets":
        run = _BRACKET_RUN.match(line)
        if run and (brackets := _bare(run[0], kind)):
            return brackets
    end = _SENTENCE_END.search(line)
    return _bare(line[: end.start()] if end else line, kind)


def _last_box(text: str, kind: AnswerKind) -> tuple[int, str] | None:
    """Return the position and content of the last complete box; an unfinished later one is ignored."""
    if "\\boxed" not in text and "\\fbox" not in text:
        return None
    if kind == "brackets":
        return _last_bracket_box(text)
    closers: list[int] = []
    spans = [match.span() for match in _BRACES.finditer(text, 0, text.rfind("}") + 1)]
    for start, end in reversed(spans):
        token = text[start]
        if token == "}":
            closers.append(start)
        elif token == "{" and closers:
            closers.pop()
        elif token == "\\" and end - start > 2 and closers:
            content = text[end : min(closers.pop(), end + LONGEST_ANSWER + 1)]
            if answer := _bare(content, kind):
                return start, answer
    return None


def _last_bracket_box(text: str) -> tuple[int, str] | None:
    """Return the last box of brackets. Its braces need not balance: `\\boxed{] \\}}` and `\\boxed{] }}`."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    opened = re.match(r"\\(?:boxed|fbox)\s{0,4}\{((?:\\text\w{0,2}\s?\{)?)", text[start : start + 30])
    if opened is None:
        return None
    inside = text[start + opened.end() : start + opened.end() + 2 * LONGEST_ANSWER].partition("\n")[0]
    run = _BRACKET_RUN.match(inside)
    content = re.sub(r"(?:\s|\$|\*|\\[\])]$)*$", "", run[0][: LONGEST_ANSWER + 1] if run else "")
    wrapper = "}}" if opened[1] else "}"
    if not content.endswith(wrapper):
        return None
    return start, _bare(content.removesuffix(wrapper), "brackets")


def _bare(answer: str, kind: AnswerKind) -> str:
    """Return the answer without surrounding markup, a LaTeX text wrapper, and trailing full stops."""
    answer = answer.strip(_MARKUP)
    if kind == "brackets":
        return answer.replace("\\", "").strip(_MARKUP + ",.")
    if wrapped := re.fullmatch(r"\\(?:text|textbf|mathrm|mathbf|boxed|fbox)\s?\{([^{}]*)\}\.?", answer):
        answer = wrapped[1].strip(_MARKUP)
    return answer.rstrip(_MARKUP + ".")


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _option_letter(answer: str, choices: Sequence[str]) -> str | None:
    """Return the one letter that the answer names; None where it names none, several or a wrong text."""
    texts = [_folded(choice.strip().removesuffix(".")) for choice in choices]

    def letter_of(text: str) -> str | None:
        text = _folded(text)
        return chr(ord("A") + texts.index(text)) if texts.count(text) == 1 else None

    answer = re.sub(r"^(?:option|choice|answer)\s+(?=\(?[A-Z]\b)", "", answer, flags=re.IGNORECASE)
    if alone := re.fullmatch(r"\(?([A-Za-z])\)?", answer):
        return alone[1].upper()
    stated = re.match(r"(?:\(([A-Za-z])\)|([A-Z])[):.])[\s:,.–—-]*", answer)
    if stated is None:
        return letter_of(answer)
    letter, rest = (stated[1] or stated[2]).upper(), answer[stated.end() :].strip(_MARKUP)
    if _folded(rest) in texts:
        return letter if letter_of(rest) == letter else None
    hedged = _HEDGE.search(rest) or re.search(r"\([A-Za-z]\)|\b[B-HJ-Z]\b|^\W*[A-Za-z]\W*$", rest)
    return None if hedged else letter


def _boolean(answer: str) -> str | None:
    """Return the boolean that the answer starts with, unless what follows hedges or names another."""
    head, _, rest = answer.casefold().partition(",")
    if " because " in head:
        head, _, rest = head.partition(" because ")
    if head.strip(_MARKUP) not in _ALL_BOOLEANS or _HEDGE.search(rest):
        return None
    return None if _ALL_BOOLEANS & set(re.findall(r"\w+", rest)) else head.strip(_MARKUP)


def _text_form(answer: str) -> str | Decimal:
    """Return the value of a plain number, else the text without case and repeated spaces."""
    number = answer.replace("−", "-").replace("\\,", "").replace("{,}", ",")
    if re.fullmatch(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?", number):
        return Decimal(number.replace(",", ""))
    return _folded(answer)
