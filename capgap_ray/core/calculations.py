"""The calculation that a text ends in, where no word says that it is the answer: `Average speed = 220/4 = 55 km/h`.

It counts where its two last sides are equal, so that it is no fragment, and where it draws on what was worked out
before it, so that it is no step beside others. The same holds for a last line that leads to the last such result.
"""

from __future__ import annotations

import re

from capgap_ray.core.extraction import SENTENCES, breaks_off
from capgap_ray.core.maths import compare, rational

_TAIL = 2_000
"""Characters at the end in which earlier results are looked for."""
_GOES_ON = re.compile(r"\n\s*(?=[=≈])")
_EQUALS = re.compile(r"\s*(?:=|→|⇒|->|=>)\s*|(?<=[0-9)]) (?:gives(?: us)?|makes|equals) (?=[-$]{0,2}[0-9])")
_ABOUT = re.compile(r"\s*≈[^=≈\n]*$")
_FIGURES = re.compile(r"(?<![\w.])\\?\$?(-?[0-9][0-9,]*(?:\.[0-9]+)?)(?![\w.]*[0-9])")
_RESULT = re.compile(r"\$?\\?\$?(-?[0-9][0-9,]*(?:\.[0-9]+)?)(?![\w^(*/+-]| [-+*/×·÷(])")
_VALUE = re.compile(r"\$?\\?\$?(-?[0-9][0-9,.]*(?:/[0-9]+)?)%?\$?(?: ?[a-zA-Z/²³°]+){0,3}")
_WORD = re.compile(r"[a-zA-Z]{2,}")
_PRICE = re.compile(r"\\?\$[0-9][0-9.,]*(?![\w(^])")
_ITEM = re.compile(r"\s*(?:[-•*] |[0-9]+[.)] )")
_COUNTED_ITEM = re.compile(r"^\s*(?:[-•*] |[0-9]+[.)] )[^:\n]{1,80}(?::| \(|: \() ?([0-9]{1,9})\)?$", re.MULTILINE)
"""An item of a list of counts: "- three goats: 3", "- leek (2)"."""
_STEP = re.compile(
    r"^\W*(?!now,? let['’]?s add (?:up )?(?:these|them|(?:all )?the (?:numbers|counts|amounts|quantities))\b)"
    r"(?:let|step|case|check|first|next|now|then|if|for)\b"
    r"|[?≠<>]|\b[0-9]*[a-z]\s*[-+*/]",
    re.IGNORECASE,
)
"""A line that is a step, or in which something is still to be solved."""
_SAYS_WHAT = re.compile(r"(?:so )?the [a-z ]{3,40} (?:is|are|=) ", re.IGNORECASE)
_BEGINS = re.compile(
    r"\b(?:(?<!the )first|start|begin|try|to (?:find|determine|solve|maximi[sz]e|minimi[sz]e))\b", re.IGNORECASE
)
"""What the line before a step says."""


def final_result(tail: str) -> str | None:
    """Return the value of the calculation that a text's last line is, or of the result that the line leads to."""
    plain = _ABOUT.sub("", _GOES_ON.sub(" ", tail[-_TAIL:].replace("**", "").replace("−", "-")))
    plain, stopped = plain.rstrip(" .\n"), plain.rstrip().endswith(".")
    *before, last = SENTENCES.split(plain)
    if breaks_off(last) or _PRICE.sub("", last).count("$") % 2:
        return None
    if _ITEM.match(plain.rpartition("\n")[2]) or _STEP.search(last) or (before and _BEGINS.search(before[-1])):
        return None
    *sides, last = _EQUALS.split(last)
    value = _VALUE.fullmatch(last)
    if not sides or value is None:
        return None
    results = [result for sentence in before for result in _EQUALS.split(sentence)[1:]]
    earlier = [rational(result[1]) for each in results if (result := _RESULT.match(each))]
    earlier += map(rational, _COUNTED_ITEM.findall(plain))
    left = _figures_only(sides[-1])
    if left is None:
        named = re.search("[0-9]", sides[-1]) is None
        return value[1] if named and earlier and rational(value[1]) == earlier[-1] else None
    if compare(left, value[1]).equal is not True:
        return None
    if not stopped and set(_WORD.findall(value[0])) - set(_WORD.findall(plain[: -len(value[0])])):
        return None  # a unit that is cut
    drawn_on = {rational(number) for number in _FIGURES.findall(" ".join(sides))}
    whole = not earlier and len(before) < 2 and (len(sides) > 2 or stopped or (not before and _SAYS_WHAT.match(plain)))
    return value[1] if whole or drawn_on & set(earlier) else None


def _figures_only(side: str) -> str | None:
    """Return a calculation without its label and units, or None where the side is none."""
    calculation = re.sub(r"\\?\$|[a-zA-Z]{2,}|(?<=[0-9]) [a-zA-Z]\b|,(?=[0-9]{3})", "", side.rpartition(":")[2]).strip()
    return calculation if re.search(r"[0-9)]\s*[-+*/×·÷^(]\s*[(0-9]", calculation) else None
