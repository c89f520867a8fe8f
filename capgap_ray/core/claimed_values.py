"""The value that the closing sentences of a text settle on, where nothing marks it as the answer.

A solution in prose ends in its claim ("so it takes four beakers") and often goes on: with a check, a remark, another
form of the value, what else would be the case. Read is the last claim before all that. A plan, a step, an equation that
is still to be solved and a hedge give nothing, and neither does a text that breaks off.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from capgap_ray.core.extraction import (
    AIM,
    EQUATION,
    FIRST,
    GIVEN,
    HEDGED,
    INEXACT,
    IS,
    NEAR_END,
    NEXT_STEP,
    NUMBER,
    ON_THE_WAY,
    PLAN,
    SENTENCES,
    SO_SOLVED,
    SUMS_UP,
    bare_of_commands,
    breaks_off,
    claim_of,
    ends_in_maths,
    last_sentence,
    own_text,
    refuses,
    sentences,
    still_open,
)
from capgap_ray.core.maths import rational
from capgap_ray.core.number_words import NUMBER_WORDS, in_figures
from capgap_ray.core.remarks import ASIDE, BESIDE, CHECK, LEAVES, TO_THE_READER

Read = Callable[[str], str | None]
"""What finds the one value of a claim."""

_LAST = 20
"""Sentences at the end that are looked at."""
_TAIL = 4_000
"""Characters at the end that they and their calculations are looked for in."""

# --- sentences -------------------------------------------------------------------------------------------------------

_DISPLAY = re.compile(r"\s*(?:(?<!\\)\\\[|\$\$)\s*(.+?)\s*(?:\\\]|\$\$)[ \t]*([.,]?)(\n\s*(?=[A-Z*#>]))?", re.DOTALL)
_ROWS = re.compile(r"\\begin\{(align|gather|equation)\*?\}(.{1,2000}?)\\end\{\1\*?\}", re.DOTALL)
_INLINE = re.compile(r"\\\((.+?)\\\)", re.DOTALL)
_LED_TO = re.compile(
    r"(\b(?:is|are|equals?|get|obtain|gives?|be|have|that|thus|hence|namely))\s*\n+[\s>]*(?=[$0-9\\(*-])"
)
_MATHS_WITHIN = re.compile(r"(?<=[^\s$])\$ *\n+(?=[a-z])")
"""The end of a display that its sentence goes on after."""
_INTRODUCED = re.compile(r":[*_]*\n\s*(?![-*•|#]|[0-9]+[.)] )")
_MARKS = re.compile(r"^[\s>#*_•]*(?:- )?|\*\*|__|[*_]+$")
_BOLD = re.compile(r"\*\*([^*]+)(?:\*\*|$)|\\(?:mathbf|textbf|boldsymbol)\s?\{([^{}]*)")
_HEADING = re.compile(r"\W*[0-9]+[.)](?: |$)|.*:\s*$")
_VALUE = re.compile(
    rf"[0-9]|\$[^$]+\$|\b(?:{'|'.join(NUMBER_WORDS.keys() - {'one'})}|(?:is|are|has|have|only|just|exactly) one)\b",
    re.IGNORECASE,
)

# --- what a sentence does --------------------------------------------------------------------------------------------

_PLANS = re.compile(
    r"\W*(?:now|next|then|let|step|case|suppose|assume|consider|(?:so |therefore |hence |thus )?,?(?:we|i|you) "
    r"(?:still )?(?:need|must|want|have to|should|will|can now)|to (?:find|get|solve|compute|calculate)"
    r"|second|third|for (?:each|every)|given|recall|initially|originally|multiply|divide|add|subtract|put|factor"
    r"|expand|take|dividing|multiplying|adding|subtracting|squaring)\b"
    r"(?!.* (?:gives|get|is|makes|leaves|yields|equals|bringing|leaving|giving|making) )",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"\W*(?:find|determine|compute|calculate|evaluate|prove|show) "
    r"(?:the|all|how|what|which|that|if|whether)\b(?!.*= ?-?[0-9]+$)",
    re.IGNORECASE,
)
"""The task said again, or a step."""
_DRAWN = re.compile(
    r"\W*(?:so|thus|hence|therefore|consequently|altogether|in total|(?:the )?(?:final|total|overall)|conclusion"
    r"|in summary|we conclude|it follows that|result|in other words"
    r"|i can (?:therefore |thus |now )?(?:say|confirm|conclude)"
    r"|to (?:sum|summari[sz]e|conclude)|(?:putting|combining|comparing|collecting)[^,.=:]{1,60},"
    r"|(?:counting(?! from)|adding|summing|multiplying|subtracting|dividing)[^,.=:]{0,40}"
    r"(?::|, (?=\$)|,? (?:(?:we|i|you) (?:have|get|find|see)|gives?|yields?)))(?!\w)",
    re.IGNORECASE,
)
"""How a sentence begins that is drawn from what stands before it."""
_ANNOUNCED = re.compile(
    r"\b(?:we|i)(?:['’]ll| will|(?: can)? (?:still )?(?:need|have|(?:start|begin)(?! at\b)|want|solve))\b"
    r"|(?:^|[.!:] )\W*first\b|\bremains to\b",
    re.IGNORECASE,
)
"""What is said to come, by the sentences before."""
_BUT_IS = re.compile(
    r"\W*(?:hmm, )?(?:but|or) (?:is|are|was|does|do|did|what|should|isn['’]t|doesn['’]t)\b", re.IGNORECASE
)
"""How a question begins that doubts what was said."""
_WAITS = re.compile(r"\W*(?:(?:but|no|oh|hmm),? )?(?:wait|hold on|oops)\b", re.IGNORECASE)
"""How a sentence begins that takes back what was said."""
_PUT_BACK = re.compile(r"\W*(?:now,? )?(?:substituting|plugging) [a-z ]{0,40}back\b", re.IGNORECASE)
"""How a check begins, or the step that finds the other unknown."""
_LOOKS_AGAIN = re.compile(
    r"\b(?:wait|hold on|oops|hmm|actually|mistake|redo|recompute|but (?:that|this)|not right|wrong|incorrect)\b", re.I
)

# --- what a claim says -----------------------------------------------------------------------------------------------

_IN_PARENTHESES = re.compile(r"(?<=\w) \([^()]*\)(?=\W*$)")
_FOLLOWS = re.compile(
    r"(?<=[\w$)}%])(?:,?(?: -| —| –)? (?:instead of|rather than|regardless of|because|as opposed to)\b.*"
    r"| \((?:check|since|because|as|which|we|where)\b[^()]*\)|,? (?:i\.e\.|that is,|or,? equivalently)(?!.*[($])\W.*"
    r"|,? and (?:since|because|as|it(?:['’]s| is)|there (?:is|are|will be))\b.*"
    r"|,? (?:and|while|whereas|with) (?:the|its|his|her) (?:smaller|larger|other|remaining|rest|others?|second|first)\b"
    r".*)$",
    re.IGNORECASE,
)
"""What follows the value of a sentence for certain."""
_TAILS = re.compile(
    r"(?:,|;| [—–-]|:)? \(?(?:when|where|if|because|since|as|so that|with|and (?:my|this|that|it|we|i|the|not|you)"
    r"|not|but|although|though|while|whereas|which|who|whose|regardless|in whatever|until|before|after"
    r"|for (?:those|an?|the|all|every|each|\$)|to (?:travel|drive|walk|run|type|read|empty|build|paint"
    r"|fill|cover|buy|make|pay|reach|finish|get|complete|arrive)|each of"
    r"|one for|in (?:total|all)|altogether|overall|at (?:the|this)|is the|on the|now|currently|given|using"
    r"|with|coming|taken|attained|reached|achieved)\b.*$"
    r"|: (?:[^:]*,){2}.*$| in base [0-9]+$| as an? [a-z ]+$| \([^()]*\)$|, (?:or|i\.e\.)\b.*$|,? being\b.*$",
    re.IGNORECASE,
)
"""What may follow it."""
_TO_BE_SOLVED = re.compile(
    r"\b[a-zA-Z]\s*[-+*/]\s*[0-9a-zA-Z]+\s*="
    r"|[0-9]\s?[a-zA-Z](?:\^\{?[0-9]\}?)?\s*(?:[-+][^=<>]*)?=(?!.*[0-9]\s*[-+*/×·]\s*[0-9].*=)|[<>]|\\[lg]e(?![a-z])"
)
_DENIES = re.compile(r"\b(?:not|never)\b|n['’]t\b", re.IGNORECASE)
_TRIED = re.compile(
    r"\b(?:tr(?:y|ied)|tested|satisf(?:y|ies)|except|so far"
    r"|factori[sz]ation(?! of \$?[0-9]+\$? is)|for (?:all|every|each) \$?[a-z]\b)",
    re.IGNORECASE,
)
"""Words of a claim that is about something else than the value sought."""
_GOES_ON = re.compile(
    r"^(?:each|factor|write|express|expand)\b"
    r"|\b(?:given(?! expression| number| by)|then|if|none|now|(?<!has )(?<!have )to be|(?:we|i)(?:['’]ll| will)"
    r"|going to|let['’]?s|until|still (?:to be|unknown|open)|(?:problem|question) (?:says|states|gives)|yet|so far"
    r"|in turn|continu\w+|remain(?:s|ing) to|try\w*|again|before|except|should)\b",
    re.IGNORECASE,
)
"""Words of a sentence after which a text would go on."""
_THEY_NEED = re.compile(
    r"\b(?:he|she|they|you|[A-Z][a-z]+(?: [A-Z][a-z.]+)?) (?:still )?(?:needs?|should|must|ha(?:s|ve) to)"
    r"(?=(?: [a-z]+)? \\?[$€£]?[0-9])"
)
"""What somebody needs is no plan of the text."""
_EACH_GETS = re.compile(
    r"^each (?:of (?:the|them) )?(?:\w+ )?(?=(?:gets?|has|have|pays?|receives?|costs?|weighs?|needs?|earns?)\b)", re.I
)
"""What each has may be what is asked for, where it is set in bold."""
_ABOUT_SO_MUCH = re.compile(r"\b(?:approximately|about|around|roughly) (?=[\\$]*[0-9])", re.IGNORECASE)
"""What makes a number inexact, unless the text has calculated it."""
_ABOUT = re.compile(r"(?:so |or |that(?:['’]s| is) )?(?:about|around|roughly|approximately)\b", re.IGNORECASE)
_LABEL = re.compile(r"^[A-Za-z][\w ]{0,30}: ")
_CALCULATES = re.compile(
    r"=\s?[-$(\\]*(?:[0-9]|[dt]?frac|sqrt)|[0-9)$}°]\s?(?:[-+*/×÷·−]|\\times|\\cdot)\s?[-$(\\]*[0-9]"
    r"|\b(?:plus|minus|divid\w+|multipl\w+|adding|subtracting|counting)\b",
    re.IGNORECASE,
)
_RESULT = re.compile(
    r"(?:=|→|⇒|≡|\\equiv)\s*(?:\\?\$)?\s*([^=$;:→⇒\n]+?)"
    r"(?=\$|\n|\. |\\(?:text|mathrm|quad|pmod|bmod)\b|\\[,;]|[=;:→⇒]|,? (?:and|so|which|then)\b|\s[a-z]{2,}|\s\(|\.?$)"
)
_COUNTED_FIRST = re.compile(r"([0-9][0-9,]*) [a-z]+(?: [a-z]+)? (?:has|have|are|were|is)\b", re.IGNORECASE)
"""A sentence that begins with a count: "24 small cubes have"."""
_WORKED_ON = re.compile(
    r"([0-9][0-9.,]*) ?[-+*/×÷·] ?\$?([0-9][0-9.,]*) ?= ?\$?([0-9][0-9.,]*)(?: [a-z]+){0,3}$", re.IGNORECASE
)
"""A last calculation: what it is made of, and its result."""
_UNITS = re.compile(r" [A-Za-z²³]+\.?$")
_CLOCK = re.compile(r"\b([0-9]{1,2}:[0-9]{2})(?: ?[ap]\.?m\b\.?)?")
_ADDED = re.compile(
    r"\b(?:add(?:s|ed|ing)?|plus|subtract(?:s|ed|ing)?|minus)\b"
    r"|\b(?:minutes?|hours?) (?:more|later|earlier|after|before)\b",
    re.IGNORECASE,
)
_CLAUSES = re.compile(
    r", (?:(?:and|so|which|but) )?|; |: | [–—] "
    r"| and (?=(?:the|his|her|their|she|he|it|they|in|at|[0-9]+ [a-z]+ (?:is|are)) )"
)

# --- where a text ends -----------------------------------------------------------------------------------------------

_ENDS = re.compile(
    r"(?:[^\s.!][.!]+|\*\*|(?<!\\)[)\]}✓✔>|])[\s*_)>\"”’]{0,12}$|^\*\*[^*]+:\*\* \S"
    r"|=[^=]*[-+*/×·][^=]*= ?-?[0-9]+$|(?:= ?|^)(?:\\?\$?[0-9](?:[0-9.,]*[0-9])?|\$[^$]+\$)(?: [a-z]+){1,3}$"
)
"""A last line that is whole: closed by a stop or by markup, a label's value, or a calculation."""
_ASKS_ON = re.compile(
    r"(?:\A|\n)\W*(?:question|problem|q)\b[^\n]*:|\b(?:try|tell me|your turn|give it)\b", re.IGNORECASE
)
"""A text that ends in a question or a task of its own."""
_WHEN = re.compile(r",? (?:when|while|after|before|once|by the time|if)\b[^0-9,]*$")


@dataclass(frozen=True, slots=True)
class _Sentence:
    bold: str
    """The one value that it sets in bold, if there is one."""
    bare: str
    """Without markup, and without what certainly follows its value."""
    claim: str
    """Without its lead: "so", "this means that"."""
    concluded: bool
    drawn: bool
    aside: bool
    beside: bool
    """An aside by its words, not for want of a value."""
    planned: bool


def claimed_value(text: str, read: Read) -> str | None:
    """Return what `read` finds in the claim that a text closes with: over checks, remarks and other asides, the last
    sentence that is drawn as a conclusion or says again what was calculated; else the last that says what is the value.

    `read` is given a claim without its lead, then without what may follow its value.
    """
    tail = own_text(text)
    if refuses(tail):
        return None
    lines = _lines(tail)
    texts = list(chain.from_iterable(lines))
    last = _last_claim(texts, read) if _finished(tail) else None
    claim = _sentence(texts[last[0]]) if last else None
    firm = claim is not None and (claim.drawn or claim.bold)
    begin = _concluded_from(lines, last[0]) if last and firm else 0
    for at in range(max(1, begin, len(texts) - _LAST), len(texts)):
        if not LEAVES.match(texts[at]) or any(SO_SOLVED.search(t) or _LOOKS_AGAIN.search(t) for t in texts[at:]):
            continue
        if at == len(texts) - 1 and _PUT_BACK.match(texts[at]) and not _finished(tail):
            continue  # the next step, cut off
        if (found := _last_claim(texts[:at], read, checked=not texts[at].startswith(("**", "#")))) is not None:
            return found[1]
    if not firm and _finished(tail):
        last = _last_claim(texts, read, stated=True) or last
        if last and (further := _WORKED_ON.search(texts[-1].strip(" .!*"))):
            # What is drawn from a result on the way is no remark, be it said as one: "at that speed it would take".
            return further[3] if rational(last[1]) in map(rational, further.groups()[:2]) else last[1]
    return last[1] if last else None


def _concluded_from(lines: Sequence[Sequence[str]], sentence: int) -> int:
    """Return the number of the sentence from which a text has left its checks: the first in the line of that one,
    or 0 where that line is a check itself.
    """
    starts = list(accumulate(map(len, lines), initial=0))
    line = bisect_right(starts, sentence) - 1
    return 0 if any(map(LEAVES.match, lines[line][: sentence - starts[line]])) else starts[line]


def emphasised_value(tail: str, read: Read) -> str | None:
    """Return what `read` finds in the last conclusion that is set in bold, if nothing is concluded or bold after it."""
    texts = list(chain.from_iterable(_lines(tail))) if _finished(tail) else []
    for at in range(len(texts) - 1, max(-1, len(texts) - _LAST), -1):
        sentence = _sentence(texts[at])
        several = re.search(r"(?:[a-z]+ ){3}", sentence.bold) and len(NUMBER.findall(sentence.bold)) > 1
        if sentence.drawn and sentence.bold and not (several or sentence.aside or sentence.planned):
            return None if at == len(texts) - 1 else _claimed(sentence, texts[:at], read, None, False)
        concluded = (sentence.drawn or sentence.concluded) and not sentence.aside
        if concluded or sentence.bold or _LOOKS_AGAIN.search(texts[at]):
            return None
    return None


def value_of_end(tail: str, read: Read) -> str | None:
    """Return the value of the last clause of a finished calculation that is no step, nothing given and no plan."""
    found = last_sentence(tail)
    if found is None or not re.search(r"[.!*)]$", tail) or _ASKS_ON.search(tail[-NEAR_END:]):
        return None
    if FIRST.match(found[0]) or ASIDE.match(found[0]):
        return None
    sentence = re.sub(r"\s\([^()]*\)$", "", found[0].strip(" .!*_"))
    claim, _ = claim_of(_WHEN.sub("", sentence))
    on_the_way = (INEXACT, ON_THE_WAY, GIVEN, PLAN, AIM, _GOES_ON)
    if any(pattern.search(claim) for pattern in on_the_way) or still_open(tail, found[0]):
        return None
    if re.search(r"\b(?:we|i)(?:['’]ll| will)\b", tail[: tail.rfind(found[0])][-NEAR_END:], re.IGNORECASE):
        return None
    if EQUATION.search(claim) or not _CALCULATES.search(tail):
        return None
    clauses = [clause for clause in _CLAUSES.split(claim) if NUMBER.search(in_figures(clause))]
    return read(clauses[-1]) if clauses else None


def concludes(tail: str) -> bool:
    """Return whether the last sentence of a text is drawn as a conclusion, or is nothing but a value."""
    found = last_sentence(tail)
    if found is None or _is_aside(found[0]):
        return False
    if _within_remark(tail, found[0]) and not SO_SOLVED.search(found[0]):
        return False
    claim, concluded = claim_of(found[0].strip(" .!*_"))
    alone = re.search(r"[a-zA-Z]{2}", re.sub(r"\\[a-zA-Z]+", "", claim)) is None
    if _ABOUT_SO_MUCH.search(found[0].removesuffix(claim)):
        return False  # what is known of something else but roughly: "a stick is about 113 g, so buy two"
    return alone or (concluded and _VALUE.search(claim) is not None) or SUMS_UP.search(found[0]) is not None


def digresses(tail: str) -> bool:
    """Return whether the last sentence of a text is a remark on the answer, or belongs to one."""
    found = last_sentence(tail)
    return found is not None and (_is_aside(found[0]) or _within_remark(tail, found[0]))


def _is_aside(sentence: str) -> bool:
    return ASIDE.match(_IN_PARENTHESES.sub("", sentence)) is not None


def _within_remark(tail: str, sentence: str) -> bool:
    """Return whether a sentence before it in its paragraph leaves the answer."""
    before = tail[: tail.rfind(sentence)] if sentence in tail else ""
    return any(map(LEAVES.match, SENTENCES.split(before.rpartition("\n\n")[2])[:-1]))


def computed(value: str, text: str) -> bool:
    """Return whether a text has a value as the result of a calculation."""
    results = _RESULT.findall(re.sub(r"(?<=[0-9]),(?=[0-9]{3})|\*\*", "", text[-_TAIL:]))
    known = rational(value)
    if known is not None:
        return any(rational(_UNITS.sub("", result)) == known for result in results)
    return any(_squeezed(value) == _squeezed(result) for result in results)


def _squeezed(maths: str) -> str:
    return re.sub(r"\s|\\[,;!]|\.$", "", maths).replace("dfrac", "frac").replace("tfrac", "frac")


def _finished(tail: str) -> bool:
    line = tail.rpartition("\n")[2]
    if breaks_off(tail):
        return False
    return _ENDS.search(line) is not None or TO_THE_READER.search(line.rstrip("*_")) is not None or ends_in_maths(line)


def _lines(tail: str) -> list[list[str]]:
    """Return the sentences of the lines of a text's end, displays within the sentence that they belong to."""
    flat = _DISPLAY.sub(_inline, _INLINE.sub(r"$\1$", _ROWS.sub(_in_one_row, tail[-_TAIL:])))
    flat = _INTRODUCED.sub(": ", _LED_TO.sub(r"\1 ", flat))
    flat = _MATHS_WITHIN.sub("$ ", flat)
    lines = [line.strip() for line in flat.splitlines() if re.search(r"\w", line)]
    return [sentences(line) for line in lines]


def _in_one_row(match: re.Match[str]) -> str:
    return f" ${' '.join(match[2].replace('&', ' ').replace(chr(92) * 2, ' ').split())}$ "


def _inline(match: re.Match[str]) -> str:
    maths = re.sub(r"\s+", " ", match[1]).strip()
    stop = match[2] or ("." if maths.endswith(".") else "")
    return f" ${maths.rstrip(' .,')}${stop}" + ("\n" if match[3] else " ")


def _sentence(text: str) -> _Sentence:
    bare = _FOLLOWS.sub("", _MARKS.sub("", text).strip(" .!"))
    claim, concluded = claim_of(bare)
    drawn = _DRAWN.match(bare) is not None
    beside = not drawn and any(pattern.match(bare) for pattern in (LEAVES, CHECK, BESIDE, ASIDE))
    beside = beside or _ABOUT.match(bare) is not None
    aside = beside or _VALUE.search(claim) is None
    planned = _PLANS.match(claim) is not None or (_PLANS.match(bare) is not None and not concluded)
    planned = (
        FIRST.match(bare) is not None or _TASK.match(bare) is not None or (planned and "=" not in bare and not aside)
    )
    return _Sentence(_set_in_bold(text), bare, claim, concluded, drawn, aside, beside, planned)


def _set_in_bold(text: str) -> str:
    """Return the one value that a sentence sets in bold, other than the number of a heading; empty if there is none."""
    spans = [one or other for one, other in _BOLD.findall(text)]
    valued = [span for span in spans if re.search("[0-9]", span) and not _HEADING.match(span)]
    return valued[0] if len(valued) == 1 and not NEXT_STEP.match(text) else ""


def _last_claim(
    texts: Sequence[str], read: Read, checked: bool = False, stated: bool = False
) -> tuple[int, str] | None:
    """Return (index of the sentence, value).

    `checked`: a check follows. `stated`: what only says that something is its value counts as a claim, too.
    """
    passed: list[str] = []  # claims after it that were not understood
    said_again: list[str] = []  # and those that nothing else may stand over
    for at in range(len(texts) - 1, max(-1, len(texts) - _LAST), -1):
        if texts[at].startswith(("|", "<")):
            continue
        sentence, last = _sentence(texts[at]), at == len(texts) - 1
        if sentence.planned:
            return None
        if _WAITS.match(sentence.bare) and (passed or said_again):
            return None  # what is said since then counts
        if sentence.bare.endswith("?"):
            if (last or _BUT_IS.match(sentence.bare)) and not TO_THE_READER.search(sentence.bare):
                return None
            continue
        if sentence.aside:
            if last and not sentence.beside and (PLAN.match(sentence.bare) or _PLANS.match(sentence.bare)):
                return None
            continue
        if (value := _claimed(sentence, texts[:at], read, None if checked else passed, stated)) is not None:
            return (at, value) if all(_repeats(claim, value) for claim in said_again) else None
        if "=" in sentence.claim:
            return None
        if sentence.drawn:
            said_again.append(sentence.claim)
        elif not _DENIES.search(sentence.claim):
            passed.append(sentence.claim)
    return None


def _claimed(
    sentence: _Sentence, before: Sequence[str], read: Read, after: Sequence[str] | None, stated: bool
) -> str | None:
    """Return the value of a sentence, if it is one that a text may settle on.

    `after`: the claims after it, asides left out; None where a check follows.
    """
    earlier = "\n".join(before)
    text = f"{earlier}\n{sentence.bare}"
    if sentence.bold and sentence.drawn and (marked := _alone(sentence.bold, read)):
        return marked
    counted = _COUNTED_FIRST.match(in_figures(sentence.claim))
    results = _RESULT.findall(earlier) if counted else []
    if counted and results and rational(counted[1]) == rational(_UNITS.sub("", results[-1].rstrip("$"))):
        return counted[1]
    pieces = [(piece, value.rstrip(",")) for piece in _shorter(sentence.claim) if (value := read(piece)) is not None]
    if not pieces:
        return None
    value = next((value for _, value in pieces if computed(value, text)), pieces[0][1])
    piece = next(piece for piece, other in reversed(pieces) if other == value)
    ends = after is not None and all(_adds_nothing(claim, value) for claim in after)
    exactly = _ABOUT_SO_MUCH.sub("", piece) if computed(value, earlier) else piece
    if any(pattern.search(exactly) for pattern in (INEXACT, HEDGED, ON_THE_WAY)) or _TRIED.search(sentence.claim):
        return None
    says = any(pattern.search(piece) for pattern in (IS, _THEY_NEED, _LABEL))
    curve = (says or sentence.concluded) and re.search(r"\bequation\b", piece) is not None
    if piece.count("=") < 2 and _TO_BE_SOLVED.search(piece) and not curve and not _all_known(piece, earlier):
        return None
    named = re.fullmatch(r"[^=0-9]*[a-zA-Z][^=0-9]*=[^=]*", piece)  # x = 5 is no calculation
    said = _THEY_NEED.sub("", _EACH_GETS.sub("", piece) if sentence.bold else piece)
    unsure = not curve and any(pattern.search(said) for pattern in (GIVEN, _GOES_ON, PLAN, AIM))
    again = computed(value, earlier if named else text) or (not unsure and _reached(value, earlier))
    if sentence.drawn and (again or not unsure):
        return value
    if sentence.bold and ends and not unsure:
        return value
    chained = re.match(r"then\b", sentence.bare, re.IGNORECASE) and sentence.claim.count("=") > 1
    second = after == [] and (chained or (sentence.concluded and again and "=" in sentence.claim))
    if _ANNOUNCED.search(" ".join(before[-2:])) and not second:
        return None
    if (again and (ends or "=" not in sentence.claim)) or (sentence.concluded and not unsure):
        return value
    known = re.search(r"[a-zA-Z]", bare_of_commands(value)) is None
    return value if stated and ends and says and known and not unsure and _CALCULATES.search(earlier) else None


def _reached(time: str, earlier: str) -> bool:
    """Return whether a time of day is one that the text counts to from others, without it having said so before."""
    clock, times = _CLOCK.fullmatch(time), _CLOCK.findall(earlier)
    return clock is not None and bool(times) and clock[1] not in times and _ADDED.search(earlier) is not None


def _alone(bold: str, read: Read) -> str | None:
    """Return the value of a text that is no more than that, with its unit."""
    alone = re.fullmatch(r"[$\\]*-?[$\\]*[0-9][^a-zA-Z=]*(?: [a-z]+){0,3}[.!]?", bold)
    return read(bold.rstrip(".!")) if alone else None


def _adds_nothing(claim: str, value: str) -> bool:
    """Return whether a claim is no step, and its figures are this value's if there are any."""
    return not ON_THE_WAY.search(claim) and {rational(each) for each in NUMBER.findall(claim)} <= {rational(value)}


def _repeats(claim: str, value: str) -> bool:
    """Return whether the last number of a claim is this value."""
    numbers = re.findall(r"[0-9]+(?:\.[0-9]+)?", claim)
    return bool(numbers) and rational(numbers[-1]) == rational(value)


def _all_known(equation: str, earlier: str) -> bool:
    """Return whether each letter of a sum has been given a value, so that nothing is left to be solved: m + n = 197."""
    left = re.search(r"(?<![\w\\])((?:[a-zA-Z]\s*[-+]\s*)+[a-zA-Z])\s*=[^=]*$", equation)
    letters = re.findall("[a-zA-Z]", left[1]) if left else []
    return bool(letters) and all(re.search(rf"\b{each}\b\$?\s*[=|]\s*[-$\\]*[0-9f]", earlier) for each in letters)


def _shorter(claim: str) -> Iterator[str]:
    """Yield the last clause with a value, and then without what may follow the value."""
    clauses = [clause for clause in claim.split("; ") if _VALUE.search(clause)]
    seen = re.sub(r" \([^()]*$", "", clauses[-1] if clauses else claim)
    yield seen
    for _ in range(4):
        cut = _TAILS.search(seen, 1)
        while cut and not _VALUE.search(seen[: cut.start()]):
            cut = _TAILS.search(seen, cut.start() + 1)
        if cut is None:
            return
        seen = seen[: cut.start()].strip(" ,")
        yield seen
