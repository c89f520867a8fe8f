"""Numbers in English words -> figures: "two hundred and forty" -> 240, "two-thirds" -> 2/3, "minus fifty" -> -50."""

from __future__ import annotations

import re

NUMBER_WORDS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "  # noqa: SIM905
        "seventeen eighteen nineteen twenty".split()
    )
}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
NUMBER_WORDS |= {word: 10 * value for value, word in enumerate(_TENS, 2)}
SCALES = {"thousand": 3, "lakh": 5, "million": 6, "crore": 7, "billion": 9, "trillion": 12}
"""Powers of ten."""
_PARTS = {
    part: value
    for value, parts in {
        2: "half halves", 3: "third thirds", 4: "quarter quarters fourth fourths", 5: "fifth fifths", 6: "sixth sixths",
        7: "seventh sevenths", 8: "eighth eighths", 9: "ninth ninths", 10: "tenth tenths", 12: "twelfth twelfths",
        100: "hundredth hundredths", 1000: "thousandth thousandths",
    }.items()
    for part in parts.split()
}  # fmt: skip

_WORD = rf"(?:{'|'.join(sorted([*NUMBER_WORDS, 'hundred', *SCALES], key=len, reverse=True))})"
_RUN = rf"(?:(?:an?|[0-9]{{1,3}}) (?=(?:hundred|{'|'.join(SCALES)})\b))?{_WORD}(?:(?: |-| and ){_WORD})*"
PART = rf"(?:{'|'.join(sorted(_PARTS, key=len, reverse=True))})"
_SPELT = re.compile(
    rf"(?<![\w-])(?<![0-9][.,])(?:(?:(?P<whole>{_RUN}|[0-9]+) and )?(?P<top>an?|{_RUN}|[0-9]+)[ -](?P<part>{PART})"
    rf"|(?P<number>{_RUN}))(?![\w-])",
    re.IGNORECASE,
)
_SIGN = re.compile(r"(?:minus|negative) (?=\$?[0-9.])", re.IGNORECASE)


def in_figures(text: str) -> str:
    """Return the text with spelt numbers of two or more words, and spelt fractions, in figures.

    Single words stay, and what is no number of English ("three four"). Fractions are written `2/3`, mixed numbers `2.5`
    or `8/3`; "12 quarters" may be coins and stays.
    """
    return _SPELT.sub(_figure, text)


def signed(text: str) -> str:
    """Return an answer that begins with "minus" or "negative" and a number, spelt or not, with a minus sign."""
    match = re.match(rf"(minus|negative) (?P<number>{_RUN})(?![\w-])", text, re.IGNORECASE)
    if match and (value := _value(match["number"])) is not None:
        return f"-{value}{text[match.end() :]}"
    return _SIGN.sub("-", text, count=1) if _SIGN.match(text) else text


def _figure(match: re.Match[str]) -> str:
    if match["number"]:
        value = _value(match["number"]) if re.search(r"[ -]", match["number"]) else None
        return match[0] if value is None else str(value)
    top, bottom = _value(match["top"]), _PARTS[match["part"].lower()]
    whole = _value(match["whole"]) if match["whole"] else 0
    if top is None or whole is None or (match["whole"] and top >= bottom):
        return match[0]
    if match["top"].isdigit() and bottom == 4 and top >= bottom:
        return match[0]
    if whole and 1000 % bottom == 0:
        return f"{whole}{top / bottom}".replace("0.", ".", 1)
    return f"{whole * bottom + top}/{bottom}"


def _value(words: str) -> int | None:
    """Return the whole number that the words spell, or None."""
    if words.isdigit():
        return int(words) if len(words) <= 15 else None
    total, group, scale = 0, None, 99
    before = ""
    for word in re.split(r"[ -]", words.lower()):
        if word == "and":
            if before != "hundred" and before not in SCALES:
                return None
        elif word in ("a", "an") or word.isdigit():
            group = int(word) if word.isdigit() else 1
        elif word in SCALES:
            if group is None or SCALES[word] >= scale:
                return None
            scale = SCALES[word]
            total, group = total + group * 10**scale, None
        elif word == "hundred":
            if group is None or not 0 < group < 100:
                return None
            group *= 100
        else:
            value = NUMBER_WORDS[word]
            room = 100 if group is None or group % 100 == 0 else 10 if group % 10 == 0 and group % 100 > 10 else 0
            if not (group is None or 0 < value < room):
                return None
            group = (group or 0) + value
        before = word
    return None if before == "and" else total + (group or 0)
