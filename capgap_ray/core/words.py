"""Is an answer that is words, an option, a time of day or a date the gold answer of a maths problem?"""

from __future__ import annotations

import re

from capgap_ray.core.number_words import NUMBER_WORDS
from capgap_ray.core.verdict import Verdict

_WORDS_ONLY = re.compile(r"\(?[A-Za-z][A-Za-z'’\- ]*\)?")
_TEXT_WRAPPER = re.compile(r"\\(?:text[a-z]{0,10}|mbox|mathrm|mathbf|operatorname)\s?\{([^{}]*)\}")
_PREDICATE = re.compile(r"^(?:the|this|it)(?: [a-z]+)? is (?=an? )", re.IGNORECASE)
_OPTION_GIVEN = re.compile(
    r"(?:(?i:option|choice) )?"
    r"(?:\(([A-Za-z])\)\.?:?(?:\s+(?![-+](?![0-9.\\$])|[*/=^<>!_]|\\(?:c?dot|times|div|c[au]p)(?![a-z])).*)?"
    r"|([A-Za-z])(?:[.:)](?:\s.*)?)?)",
    re.DOTALL,
)
"""An option's letter, and what stands behind it where that cannot make it a variable: `(C) 12`, `C: twelve`."""
_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905
_CLOCK = re.compile(r"([0-9]{1,2}) ?: ?([0-9]{2}) ?(?:([ap])\.? ?m\.?)?", re.IGNORECASE)
_DATE = re.compile(
    rf"(?P<month>{'|'.join(_MONTHS)}) (?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>[0-9]{{4}}))?"
    rf"|(?P<day_first>[0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month_last>{'|'.join(_MONTHS)})",
    re.IGNORECASE,
)


def decide(gold: str, answer: str) -> Verdict | None:
    """Return whether the answer is the gold answer where that is words, an option, a time or a date, else None."""
    verdict = _words(gold, answer)
    return _time(gold, answer) if verdict is None else verdict


def _words(gold: str, answer: str) -> Verdict | None:
    """Decide answers that are words (`\\text{Evelyn}`) or an option (`\\text{(C)}`)."""
    gold_words, answer_words = _plain_words(gold), _plain_words(answer)
    if not gold_words:
        return None
    if option := re.fullmatch(r"\(([A-Z])\)" if "\\text" not in gold else r"\(?([A-Z])\)?", gold_words):
        given = _OPTION_GIVEN.fullmatch(answer_words)
        several = re.search(r"\([A-Z]\).*\([A-Z]\)|\b(?:or|and|not)\b", answer_words)
        primed = re.search(r"[A-Za-z)](?:'|\\prime)", answer)
        same = bool(given and (given[1] or given[2]).upper() == option[1] and not several and not primed)
        return Verdict(same, "option letter")
    if not _WORDS_ONLY.fullmatch(gold_words) or not re.search(r"[A-Za-z]{2}", gold_words):
        return None
    if (
        "\\text" not in gold
        and "\\mbox" not in gold
        and len(gold_words) < 4
        and gold_words.lower() not in ("yes", "no")
    ):
        return None
    if gold_words.lower() in NUMBER_WORDS or not _WORDS_ONLY.fullmatch(answer_words):
        return None
    return Verdict(folded(gold_words) == folded(_PREDICATE.sub("", answer_words)), "words")


def _time(gold: str, answer: str) -> Verdict | None:
    """Decide answers that are a time of day (`3:30\\text{ p.m.}`) or a date."""
    if (day := _date(gold)) is not None:
        return Verdict(day == _date(answer), "date")
    expected, given = (
        _CLOCK.fullmatch(_plain_words(side.replace("{:}", ":").replace("\\!", ""))) for side in (gold, answer)
    )
    if expected is None or given is None:
        return None
    same = (int(expected[1]), expected[2]) == (int(given[1]), given[2])
    return Verdict(same and (expected[3] or "").lower() == (given[3] or "").lower(), "time of day")


def _date(text: str) -> tuple[str, int, str | None] | None:
    match = _DATE.fullmatch(_plain_words(text))
    if match is None:
        return None
    return (match["month"] or match["month_last"]).lower(), int(match["day"] or match["day_first"]), match["year"]


def _plain_words(text: str) -> str:
    if "\\" in text:
        text = _TEXT_WRAPPER.sub(r" \1 ", text).strip()
    return " ".join(text.strip(" *_`'\"$.").split())


def folded(words: str) -> str:
    """Return words in one case, without an article or preposition before them."""
    return re.sub(r"^(?:the|an?|on) ", "", " ".join(words.casefold().replace("-", " ").split()))
