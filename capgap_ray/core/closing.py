"""The closing sentences of a text, as `claims` and `verdicts` read them: from the last to the first.

A sentence that says nothing of the answer (a remark, a check, what the answer is not) is passed over, the first that
claims one decides, and one that doubts, asks or reconsiders ends the search: in doubt nothing is claimed. Everything
runs in time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from capgap_ray.core.extraction import last_sentence, own_text

_WINDOW = 4_000
"""Characters from the end of the text that are read."""

_MARKS = {**dict.fromkeys("✓✔✅☑", " [yes] "), **dict.fromkeys("✗✘❌☒", " [no] ")}
_TICKS = re.compile(r"\[[xX]\](?= )|[✓✔✅☑✗✘❌☒]")
_BOX = re.compile(r"\[ \](?= )")
_ABBREVIATED = re.compile(r"\b(?:i\.e|e\.g|vs|mr|mrs|ms|dr|st|cf|approx)\.$", re.IGNORECASE)
_BREAK = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"”')\]])\s+(?![a-z])")

LETTER = re.compile(r"\(([A-R])\)")
"""An option, in the one form that `claims` gives all of them."""
_ITEM = re.compile(r"(?:\[(?:yes|no)\]|[0-9]{1,2}[.)]|(?:[Oo]ption|[Ss]tatement|[Ss]entence) |\W)*\(([A-Z])\)")
_CONCLUSION = re.compile(r"(?<=[.!]) (?:so|thus|hence|therefore)\b[^.!?]*\([A-Z]\)[^.!?]*[.!]?$", re.IGNORECASE)
"""The last sentence of the last item, where it concludes from all of them."""
_OFFER = re.compile(
    r"(?:^|(?<=[.!?\n] ))(?:do you want|would you like|shall i|should i|want me to|is there anything"
    r"|does (?:this|that) make sense"
    r"|let me know|feel free)\b",
    re.IGNORECASE | re.MULTILINE,
)
_RECONSIDERED = re.compile(
    r"^\W*(?:but )?(?:wait|hmm+|hold on|actually|on second thought|oops|or)\b|^\W*(?:however|but"
    r"|on the other hand)\b.*\b(?:might|may|equally|argue|possible|others)\b|\b(?:i misread|let me start over)\b",
    re.IGNORECASE,
)
Unit = tuple[Literal["item", "line", "sentence"], str]
"""An item of a list of options, a sentence that is a line of its own, or one among others."""
STOP = "?"
"""What is claimed by a text that claims two things."""


def closing(text: str, form: Callable[[str], str]) -> tuple[list[Unit], bool] | None:
    """Return the units of a text's end, in order, and whether its last sentence is finished.

    None where the text breaks off or ends in a question. An offer to the reader and what follows it are left out.
    """
    text = _BOX.sub("[no]", _TICKS.sub(lambda mark: _MARKS.get(mark[0], "[yes]"), text[-_WINDOW:]))
    tail = own_text(text)
    if "[yes]" in text and "[yes]" not in tail:
        tail = text.strip()  # the section cut off is that of the options, ticked and crossed out
    if (offer := _OFFER.search(tail)) and offer.start():
        tail = tail[: offer.start()].rstrip()
    if tail.endswith(":"):
        return None
    end = last_sentence(tail.replace("[no]", "no.").replace("[yes]", "yes."))
    if (end is None and not re.search(r"[.!\]]\W*$", tail)) or re.search(r"\n\W*[0-9]+[.)]?$", tail):
        return None
    units = list(_units(form(tail)))
    finished = (end is not None and end[1]) or re.search(r"[.!)\"”`*|\]]$", tail) is not None
    return (units, finished or units[-1][0] == "item") if units else None


def ends_search(sentence: str) -> bool:
    """Return whether a sentence asks what is then not answered, or reconsiders."""
    asks = sentence.endswith("?") and "|" not in sentence
    asks = asks and not re.search(r"\b(?:why|how|you|your|which|what|who)\b", sentence, re.IGNORECASE)
    return asks or _RECONSIDERED.search(sentence) is not None


def without_markup(text: str) -> str:
    return re.sub(r"[*`]+", "", text)


def _units(text: str) -> Iterator[Unit]:
    """Yield the items of lists of options, and the sentences of other lines, in order."""
    lines: list[str] = []
    for line in text.splitlines():
        line = re.sub(r"\s*\|\s*", " | ", line).strip(" |>#")
        if not re.search(r"\w", line):
            continue
        letters = LETTER.findall(line)
        if (
            len(letters) > 2
            and "".join(letters) == "ABCDEFGHIJKLMNOPQR"[: len(letters)]
            and not re.search(r"\. ", line)
        ):
            first, *items = re.split(r"(?=\([A-Z]\))", line)
            lines += [part for part in (first, *items) if re.search(r"\w", part)]
        elif lines and re.match(r"[a-z]", line) and not re.search(r"[.!?:|]$", lines[-1]):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    listed = [found[1] if (found := _ITEM.match(line)) else "" for line in lines]
    bare = [re.fullmatch(r"\W*\([A-Z]\)\W*", line) is not None for line in lines]
    for place, line in enumerate(lines):
        # Letters of one list rise: "(D) red." is followed by "(A) may be, but it is clearly (C)." as by any sentence.
        near = [
            listed[other]
            for other in (place - 1, place + 1)
            if 0 <= other < len(lines) and not bare[other] and (listed[other] > listed[place]) == (other > place)
        ]
        goes_on = (
            bare[place]
            and place > 0
            and listed[place - 1] == chr(ord(listed[place]) - 1)
            and listed[place] not in LETTER.findall(lines[place - 1])
        )
        if bare[place] and not goes_on:
            near = []
        item = any(each and each != listed[place] for each in near) or re.search(r"\[yes\]|←", line)
        if listed[place] and (item or goes_on):
            concluded = _CONCLUSION.search(line) if place == len(lines) - 1 else None
            yield "item", line[: concluded.start()] if concluded else line
            if concluded:
                yield "sentence", concluded[0].strip()
        elif lines[place - 1 : place] and listed[place] and lines[place - 1].endswith(":"):
            yield "line", f"{lines[place - 1]} {line}"
        else:
            whole = ""
            for part in _BREAK.split(line):
                whole = f"{whole} {part}".strip()
                if not _ABBREVIATED.search(whole):
                    if re.search(r"\w", whole):
                        yield ("line" if whole == line.strip() else "sentence"), whole
                    whole = ""
            if whole:
                yield "sentence", whole
