"""BBH answers: option letters, booleans, brackets, word lists, short texts. Where a text states one, and equality.

In doubt nothing is found, and nothing is equal. Everything runs in time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

from capgap_ray.core import maths
from capgap_ray.core.extraction import (
    HEDGED,
    NEAR_END,
    ON_THE_WAY,
    PREMISE,
    SEVERAL,
    claim_of,
    first_sentence,
    labelled_value,
    last_box,
    last_sentence,
    last_statement,
    own_text,
    placeholder,
    settled,
    stated_line,
)
from capgap_ray.core.number_extraction import number_answer, without_breakdown
from capgap_ray.core.number_words import NUMBER_WORDS, in_figures

AnswerKind = Literal["option", "boolean", "brackets", "words", "text", "maths", "number"]
"""`option`: a letter such as `(B)`. `boolean`: one of two words such as `yes`. `brackets`: a sequence of
brackets. `words`: words in order. `maths`: an answer in LaTeX or plain maths. `number`: the result of a word
problem. `text`: anything else, plain numbers included."""

LONGEST_ANSWER = 2_000
"""Characters. A longer line is not an answer but a run-on text: nothing is extracted from it."""

BOOLEANS = frozenset(("true", "false", "yes", "no", "valid", "invalid"))

_BOOLEAN = r"(?:yes|no|true|false|valid|invalid)"
_JUDGED = (
    r"\b(?:whole thing|argument|reasoning|inference|statement|sentence|expression|claim|conclusion|deduction|result"
    r"|value|output|it)\b"
)
_ADVERBS = r"(?:(?:therefore|thus|indeed|also|deductively|logically|factually) )*"
_VERDICTS = tuple(
    (re.compile(pattern, re.IGNORECASE), concluded)
    for pattern, concluded in (
        (rf"^(?:deductively )?(?P<word>{_BOOLEAN})(?=[,.;:\n]|\s[-–—(]|$)", False),
        (rf"(?:=|→|⇒|, so|: )[\s\"'(]*(?P<word>{_BOOLEAN})[\s\"')]*$", False),
        (rf"^(?P<no>not )?{_ADVERBS}(?P<word>plausible|implausible|valid)$", False),
        (
            rf"{_JUDGED}[^.!?]*?(?:'s|\b(?:is|evaluates to|equals|simplifies to|becomes))[ :]+{_ADVERBS}(?P<no>not )?"
            rf"{_ADVERBS}(?P<word>valid|invalid|true|false|plausible|implausible)(?:[,.:; ].*)?$",
            False,
        ),
        (
            r"\b(?:people|person|one|i|they) (?:would|to) (?:say|answer|reply)(?: that)?"
            rf"[ :\"'“]+(?P<word>{_BOOLEAN})\b",
            False,
        ),
        (rf"\bi(?:['’]d| would|['’]ll) (?:go with|pick|choose)[ :\"'“]+(?P<word>{_BOOLEAN})\b", False),
        (rf"{_JUDGED} (?P<word>valid|invalid)$", False),
        (rf"\bmakes? (?:the )?(?:whole |entire )?{_JUDGED} (?P<word>true|false)$", False),
        (rf"\banswer (?:this|the) question with [\"'“]?(?P<word>{_BOOLEAN})$", False),
        (rf"\byou end up with (?P<word>{_BOOLEAN})$", False),
        (
            r"\b(?:you|we|i)(?:'re| are| do| did| will|'ll)?(?P<no> not|n['’]t)?(?: (?:would|end up|be|indeed|also))*"
            r" (?:return(?:ed)?|back|at)\b[^.,]*?\b(?:start|starting point|origin)\b[^,]*$",
            True,
        ),
        (r"^[A-Z]\w+ (?P<no>(?:does not|doesn['’]t) )?tells? the truth$", True),
    )
)
"""What a last sentence says of what is judged, and whether it must be a conclusion. Without a word it means yes."""
_VERDICT_LABEL = re.compile(r"#* ?(?:final )?(?:verdict|conclusion|judge?ment): ?", re.IGNORECASE)
_OPPOSITE = {"valid": "invalid", "invalid": "valid", "plausible": "no", "implausible": "yes", "yes": "No"}
_WORD = {"plausible": "yes", "implausible": "no"}
_ASKED = re.compile(rf"\?[*_\s]+({_BOOLEAN})\b[*_.!]*[ \t]*$", re.IGNORECASE | re.MULTILINE)
"""A question that the text asks and answers on one line."""
_TAKEN_BACK = re.compile(r"\b(?:wait|actually|however|on second thought|hmm)\b|\?", re.IGNORECASE)

_NAMED_OPTION = re.compile(
    r"\(([A-Z])\)|\b(?:[Oo]ption|[Ss]tatement|[Ss]entence|[Cc]hoice|[Aa]nswer) ([A-Z])\b"
    r"|\*\*([A-Z])(?:\*\*|[).:]|\W*$)|(?<![\w'(])([B-HJ-Z])(?=[.!*]*$)"
    r"|^([A-HJ-Z])(?= is the\b|, which is the\b)|(?<=: )([A-Z])$"
)
_BOLD_LETTER = re.compile(r"\*\*(?:[Oo]ption )?\(?([A-Z])[).:]{0,2}(?:\*\*|(?= ))")
_EXAMINED = re.compile(
    r"\b[A-HJ-Z]\)?[*:]* (?:says|states|claims|means|describes"
    r"|is (?!the\b|correct|right|true|best|sarcastic|consistent)|has(?! the (?:correct|right)\b)"
    r"|was|would|goes|starts|follows)\b"
    r"|^(?i:option|sentence|statement) \(?[A-Z]\)?: |^\([A-Z]\)[:.]? [\"“A-Z0-9]"
    r"|\b(?i:turn\w* to|consider\w*|look\w*|examin\w+|check\w*|analy[sz]\w+|start\w*|evaluat\w+|is true, but)\b"
)
"""A sentence that examines an option, or says something of it on the way."""
_DISMISSED = re.compile(
    r"^(?:is|was|would be|seems)\b.*\b(?:not|wrong|incorrect|false|impossible)\b"
    r"|\b(?:wrong|incorrect|except|(?:all|anything|everything) but|other than|no (?:such )?(?:irony|sarcasm|humou?r)"
    r"|eliminate\w*|exclude\w*|ruled out|rejected|discarded)\b|\?$",
    re.IGNORECASE,
)
_SETTLED = re.compile(
    r"(\b(?:is|be|choose|pick|is in) (?:option )?\([A-Z]\)|\([A-Z]\) is the (?:\w+ )?(?:answer|option|choice|one))"
    r"(?:\s*:| [-–—]) .*"
)
"""A settled option with a reason after it: "the sarcastic one is (B): nobody likes rain"."""
_ASIDE = re.compile(
    r"(?:,? (?:while|whereas|because|since)|, as|[,.] not)\b(?!.*\([A-Z]\)\W*$).*|;(?!.*\([A-Z]\)\W*$).*", re.IGNORECASE
)
_ENDS_WITH = re.compile(
    r"(?:^|[,—–-]\s*(?:(?:so|thus|hence|therefore|i\.e\.)[,:]?)?|→|=>?|:|\bso:?"
    r"|\b(?:corresponds? to|go with))\s*"
    r"(?:(?:option|statement|sentence|choice|answer) )?\(?[A-Z]\)?$",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    r"(?<!whether )(?<!if )\(([A-Z])\) (?:states|says) (?:exactly|precisely) (?:that|this)(?=\.|$)"
    r"|(?<!whether )(?<!if )\(([A-Z])\)(?:,? [\"“][^\"”\n]{1,80}[\"”],?)? "
    r"(?:is (?:correct|(?:the )?(?:correct|right) (?:answer|option|choice))|(?:has to|must) be (?:right|correct))"
    r"(?=[.,;]|$)",
    re.M,
)
"""An option called the right one, whatever is said of the others after it."""
_CHOSEN = re.compile(
    r"(?<!whether )(?<!if )(?:\b[Tt]he (?:correct|right|best|sarcastic|humorous|funny) "
    r"(?:sentence|statement|edit|option|one|recommendation|choice|match) is"
    r"(?: the (?:first|second|third|last)(?: one)?,)?"
    r"|\bI(?:'d| would| will|'ll)? (?:pick|choose|select|go with|recommend|suggest))[:\s>*]{1,8}\(?([A-Z])\)"
    r"|\bi (?:pick|choose|select|go with) \(([a-z])\)|\bis option \(?([A-Za-z])\)(?=[,.:;]|$)"
    r"|\(([A-Z])\),? has the (?:correct|right) (?:\w+ )?order\b"
    r"|\b(?:falls (?:under|into)|belongs to) (?:the )?(?:category |option |type )?\(([A-Z])\)"
    r"|\b[Tt]he (?:match|best fit) is \(([A-Z])\)"
    r"|\b[Oo]nly (?:option |sentence |statement |choice )?\(?([A-Z])\b\)?[^.;]{0,120} "
    r"(?:respects|follows|satisfies|fits|works|matches|obeys)\b"
    r"|^(?:The )?[Aa]nswer \(([A-Z])\)[:.]|\AIt(?:['’]s| is) \(([A-Z])\)\. ",
    re.MULTILINE,
)
_SUITS = re.compile(
    r"(?<!whether )(?<!if )\(([A-Z])\)\*{0,2}(?: [a-z']+){0,4} is (?:the )?(?:humorous|sarcastic)"
    r"(?: (?:one|edit|statement))?(?=[.,;:])"
    r"|^Option \(?([A-Z])\)?: [^.\n]{0,80} is the (?:funny|humorous|sarcastic|correct|right) one\b",
    re.MULTILINE,
)
_OTHERS = re.compile(
    r"(?:everything else|(?:all )?(?:the )?(?:others|(?:other|remaining) (?:options|choices|ones|edits)))\b"
    r"|none of \([A-Z]\)"
    r"|(?:i also considered|it(?:['’]s| is) not|it isn['’]t"
    r"|(?:option |statement |sentence )?\([A-Z]\) (?:isn['’]t|is not)) ?"
    r"(?:\([A-Z]\)|[.,])",
    re.IGNORECASE,
)
"""A sentence about what is not the answer, after the answer."""
_REJECTED_AFTER = re.compile(r",? so (?:option )?\(?[A-Z]\)? is (?:incorrect|wrong|not (?:correct|right))\b.*$")
_LETTER_LINE = re.compile(r"(?:\*\*)?([A-Z])(?:[.)](?:\*\*)?|\*\*[.)]) \w[^.?!:]{0,80}\.?")
"""A line that is an option and no more: `B. a red ball`, `**A)** six pistols`."""
_LISTED_OPTION = re.compile(r"^[ \t]*(?:[-*•] )?\(?([A-Z])[).] (\S[^\n]{0,200}?)[ \t]*$", re.MULTILINE)
_INLINE_OPTION = re.compile(r"\(([A-Z])\) ([^()\n,;.?]{1,80}?)(?=,? (?:and |or )?\([A-Z]\)|[,;.?])")
_OPTION_LINE = re.compile(r"\W*[A-Z][).:]\s")
_HEADED = re.compile(
    r"(?:\()?([A-HJ-Z])\)?\n\s*\n(?=[A-Z(])"
    r"|(\([A-Z]\)) [^\n()]{1,80}\n[ \t]*\n(?=[A-Z])|Option ([A-Z])\. (?=[\"“A-Z])"
    r"|\*\*(?:Option )?(?:(\([A-Z]\))[^*\n]{0,80}|([A-Z])[.):]?)\*\*\.?\n|(\([A-Z]\))\n"
)
"""A text that starts with the option and explains it then."""
_GOES_ON = re.compile(
    r"\b(?:so|therefore|thus|hence|answer|actually|wait|but|however|option|or|either)\b", re.IGNORECASE
)
"""What may settle on another option than a text starts with."""
_TICKED = re.compile(
    r"^[\s>*-]*(?:(?P<box>\[[ xX✓✔]\]|[☑☐✅❌✓✔✗✘])[\s*]*)?(?P<what>\(?[A-Z]\)[^\n]{0,200}?|[A-Za-z]{2,7})"
    r"(?:[:\s–—-]+(?P<mark>[✅❌✓✔✗✘]|yes|no|true|false|correct|incorrect|wrong|right))?[\s*.]*$",
    re.IGNORECASE,
)
"""A line of a list of options that are ticked or crossed out."""
_POINTED = re.compile(r"^\W*\(?([A-Z])[).][^\n]*(?:←|<-+) *(?:correct|answer|this|right)\b")
_TICKS = frozenset(("[x]", "[✓]", "[✔]", "☑", "✅", "✓", "✔", "yes", "true", "correct", "right"))
_MARKED = re.compile(r"\*\*([^*\n]{1,80})\*\*|(?<![\w])['\"“‘]([^'\"“”’\n]{1,80})['\"”’](?![\w])")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_COMPLEMENT = re.compile(
    r"^[^\n]*\b(?:(?:is|are) (?!(?:that|because|to)\b)(?:(?:dancing|playing|partnered|left) with )?|from |between )"
    r"(?:the )?(.{1,60})$"
)
_PAIRS = re.compile(r"\w[–-][A-Z]\w*, [A-Z]\w*[–-]")
"""Who has what after a step: "Fred–Lola, Eve–Ophelia"."""
_SUPERLATIVE = re.compile(
    r"(?:we can conclude that )?(.*\b(?:is|are|was|were|finish\w*|c[ao]mes?|ranks?|placed?|ends? up) (?:in )?"
    r"(?:the )?(?:\w+est|first|second|third|last|\w+most|most \w+|least \w+)"
    r"\b.{0,40})$",
    re.IGNORECASE,
)
"""An option that is a whole sentence: "the apples are the cheapest"."""

_SORTED = re.compile(
    r"\b(?:sorted|alphabetical(?:ly)?|final|correct(?= order))(?: (?:list|words|order|sequence|version|result))*"
    r"(?: (?:of (?:the )?words))?(?: (?:is|are|gives?|we get|becomes))?[*_]{0,3}:",
    re.IGNORECASE,
)
_TO_SORT = re.compile(r"\bsort (?:the|these|all)\b[^\n.]*$", re.IGNORECASE)
"""The task said again."""
_CHAIN = re.compile(
    r"\b(?:is|are|get|gives|so|thus|order|result|words|list)(?: now)?[:*\s]+[*`\"“]*"
    r"([a-z][a-z'-]*(?:(?:\s?[,<→]\s?| -> )[a-z][a-z'-]*){2,}"
    r"|(?:(?<=: )|(?<=\*\*)|(?<=[\"“])|(?<=list is )|(?<=order is )|(?<=words are ))"
    r"[a-z][a-z'-]*(?: [a-z][a-z'-]*)+)[*`\"”]*$",
    re.IGNORECASE,
)
_QUOTED_WORDS = re.compile(r"\b(?:list|words|order) (?:is|are):? ((?:[\"“][\w'-]+[\"”](?:, | and |, and )?){2,})\W*$")
_ENTRY = re.compile(r"\s*(?:(?:[0-9]{1,3}[.)]|[-*•])\s+)?[*`'\"]*([\w'-]{1,60})[*`'\",]*\s*")
_LIST_MARKS = re.compile(
    r"(?:^|(?<=\s))(?:\(?[0-9]{1,3}[.)]|\(?[a-z]\)|[-*•])\s+|[/]\s|[\[\]\"]|(?<!\w)'|'(?!\w)|\s?(?:->|→|<|>|≤|\|)\s?"
)

_BRACKET_RUN = re.compile(r"[\[\](){}<>\s,\\*_`$\"']*")
_CLOSERS = r"([\])}>](?:[\s,]*[\])}>])*)"
_CLOSING = re.compile(
    r"\b(?:clos\w+|remaining (?:brackets|parentheses|symbols|part)|missing|complet\w+|needed|left to add"
    r"|rest of the \w+)\b[^\n]{0,60}?(?:\b(?:is|are|be|with|by|:)):?"
    rf"[*_`$\"'\s]+{_CLOSERS}[*_`$\"'.\s]*$"
    rf"|\b(?:need|add|append|write|single|just|only) {_CLOSERS} (?:to )?(?:complet|clos|finish|end)\w*",
    re.IGNORECASE,
)
_QUOTED_RUN = re.compile(rf"(?:`|\"|\*\*){_CLOSERS}(?:`|\"|\*\*)")
_BRACKET_NAMES = {
    "\\rangle": ">", "\\langle": "<", "\\gt": ">", "\\lt": "<", "&gt;": ">", "&lt;": "<", "⟩": ">", "⟨": "<",
    "\\rbrack": "]", "\\lbrack": "[", "\\rbrace": "}", "\\lbrace": "{", "\\rparen": ")", "\\lparen": "(",
}  # fmt: skip
_BRACKET_NAME = re.compile("|".join(map(re.escape, sorted(_BRACKET_NAMES, key=len, reverse=True))))
_BRACKET_LEAD = re.compile(r"^(?:the )?(?:final |correct )?(?:answer|sequence)(?:\s+is\s*:?|\s*:)\s*", re.IGNORECASE)
_BRACKET_WRAPPER = re.compile(r"\\(?:boxed|fbox|text[a-z]{0,6}|mathrm|mathtt)\s?\{|\\verb\|")

_LATEX_TEXT = re.compile(r"\\(?:text[a-z]{0,6}|mbox|mathrm|mathbf|boxed|fbox)\s?\{([^{}]*)\}")
_SUBJECT = re.compile(
    r"^(?:(?:the|this) (?:argument|statement|sentence|expression|answer|conclusion|claim) "
    r"(?:is|evaluates to) )?(?:deductively )?",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"^(?:(?:so|thus|therefore|hence),? )?(?:(?:there (?:are|is)|(?:you|i|we) have) (?=\w))?(?:a total of )?",
    re.IGNORECASE,
)
_SPACE = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
_MARKUP = _SPACE + "*_`$\"'“”‘’"
_OPTION_HEDGE = re.compile(
    r"^(?:and|not|but)\b|\b(?:or|nor|either|neither|maybe|perhaps|possibly|both)\b", re.IGNORECASE
)
"""A hedge after an option's letter, where the option's own text may follow."""
_TITLES = re.compile(r"[A-Z][a-z]+ or [A-Z][a-z]+")
"""In an option's own text: `(D) Modifiers or Adjectives`."""
_OWN_VERDICT = re.compile(
    r",| \([^()]*\)$|\s+is (?:the )?(?:most )?(?:correct|right|best|answer|option|choice|sarcastic)\b"
)
_WITH_NOUN = re.compile(r"^(?i:option|choice|answer|sentence|statement)\s+\(?([A-Za-z])\b\)?")
_LETTER = re.compile(r"\(?([A-Z])\)?")
_LETTER_LAST = re.compile(r"([^()\n]{1,200}?)\s*\(([A-Z])\)")
"""An option's text and then its letter: "Facts (F)"."""


def find(text: str, kind: AnswerKind) -> str | None:
    """Return the last answer that a text without thinking states, else what its end concludes, or None.

    An option's text becomes its letter where the text lists the options itself.
    """
    answer = _checked(_marked(text, kind, lambda end: _concluded(end, kind)), kind)
    if kind != "option" or (answer and _option_letter(_plain(answer, kind), ())):
        return answer
    listed = _listed_options(text)
    letter = (_option_letter(_plain(answer, kind), listed) if answer else None) or _last_named(text, listed)
    return f"({letter})" if letter else answer


def _listed_options(text: str) -> list[str]:
    """Return the texts of the options that a text lists: in lines, or "(A) Karl, (B) Lola and (C) Jamie"."""
    for pattern in (_LISTED_OPTION, _INLINE_OPTION):
        listed = dict(pattern.findall(text))
        if len(listed) > 1 and [*listed] == [chr(ord("A") + place) for place in range(len(listed))]:
            return [re.split(r": | [–—-] ", each)[0] for each in listed.values()]
    return []


def _last_named(text: str, options: Sequence[str]) -> str | None:
    """Return the letter of the one option whose text a finished last sentence names, and does not deny or doubt."""
    tail = own_text(text)
    found = last_sentence(tail) if options else None
    if found is None or not re.search(r"[.!*)]$", tail):
        return None
    sentence = _INLINE_OPTION.sub("", found[0])
    named = [
        (place, match)
        for place, option in enumerate(options)
        if (match := re.search(rf"(?<!\w){re.escape(option.strip())}(?!\w)", sentence, re.IGNORECASE))
    ]
    if len(named) != 1:
        return None
    (place, match), *_ = named
    rest = f"{sentence[: match.start()]} {sentence[match.end() :]}"
    doubtful = any(pattern.search(rest) for pattern in (SEVERAL, HEDGED, PREMISE, _EXAMINED, _DISMISSED))
    return None if doubtful else chr(ord("A") + place)


def guess(text: str) -> tuple[str, AnswerKind] | None:
    """Return the answer of a text without thinking and its kind, where no task tells the kind."""
    for read in (_marked, _concluded):
        for kind in _GUESSES:
            answer = _checked(read(text, kind), kind)
            if answer is None or (kind == "option" and not _option_letter(_plain(answer, kind), ())):
                continue
            if kind == "brackets" and not re.search(r"[\])}>]", answer):
                continue
            if kind == "words" and (HEDGED.search(answer) or not re.fullmatch(r"[a-z'-]+(?:[\s,]+[a-z'-]+)+", answer)):
                continue
            return answer, kind
    return None


_GUESSES: tuple[AnswerKind, ...] = ("option", "boolean", "brackets", "text", "words")


def _marked(text: str, kind: AnswerKind, conclude: Callable[[str], str | None] = lambda _: None) -> str | None:
    stated = last_statement(text, lambda after: _statement(after, kind))
    return settled(text, stated, _last_box(text, kind), conclude)


def _checked(answer: str | None, kind: AnswerKind) -> str | None:
    if not answer or len(answer) > LONGEST_ANSWER or (kind in ("option", "text") and placeholder(answer)):
        return None
    return answer if _certain(answer, kind) else None


def _statement(after: str, kind: AnswerKind) -> str | None:
    """Return the answer at the start of what follows a statement's "is", up to the end of its sentence."""
    if kind == "words":
        return _word_lines(after)
    if kind == "brackets" and (run := _BRACKET_RUN.match(after)) and (brackets := _bare(run[0], kind)):
        return brackets
    line = stated_line(after)
    sentence, sign = first_sentence(re.sub(r"^[-–—•] ", "", line.lstrip(_MARKUP + ":")))
    if kind == "boolean":
        sentence = re.sub(r" \([^()]*\)$", "", sentence)
    if kind == "option" and (
        reply := re.fullmatch(
            r"\**(?:yes|no)\**(?: ?(?:→|->|=>)|,|:) ?\**(\([A-Z]\))(?: (?:yes|no))?\**", sentence, re.I
        )
    ):
        return reply[1]
    answer = _bare(sentence, kind)
    # A run-on line is returned, for `find` to refuse: no earlier statement counts then.
    return answer if sign != "?" and (len(answer) > LONGEST_ANSWER or _certain(answer, kind)) else None


def _last_box(text: str, kind: AnswerKind) -> tuple[int, str] | None:
    """Return the position and content of the last complete box."""
    if kind != "brackets":
        box = last_box(text, joined=False)
        return (box[1], _bare(box[2], kind)) if box else None
    # The braces of a box of brackets need not balance: `\\boxed{] \\}}` and `\\boxed{] }}`.
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    opened = re.match(r"\\(?:boxed|fbox)\s{0,4}\{((?:\\text\w{0,2}\s?\{)?)", text[start : start + 30])
    if start < 0 or opened is None:
        return None
    inside = text[start + opened.end() : start + opened.end() + 2 * LONGEST_ANSWER].partition("\n")[0]
    inside = re.sub(r"\\(?:[;,:!]|q?quad(?![a-z]))", " ", inside)
    run = _BRACKET_RUN.match(inside)
    content = re.sub(r"(?:\s|\$|\*|\\[\])]$)*$", "", run[0][: LONGEST_ANSWER + 1] if run else "")
    wrapper = "}}" if opened[1] else "}"
    return (start, _bare(content.removesuffix(wrapper), "brackets")) if content.endswith(wrapper) else None


def _concluded(text: str, kind: AnswerKind) -> str | None:
    """Return what the end of a text concludes: one option, one boolean, sorted words, closing brackets, a number."""
    text = text[-2 * LONGEST_ANSWER :]
    tail = own_text(text)
    lines = _lines(tail)
    if kind in ("option", "boolean") and (ticked := _ticked(_lines(text))):
        return ticked
    if not lines:
        return None
    if kind == "words":
        return _sorted(tail)
    if kind == "brackets":
        return _closers(lines)
    if kind == "boolean":
        return _verdict(tail, lines)
    tail = without_breakdown(tail) if kind == "text" else tail
    found = last_sentence(tail)
    if found is None:
        return None
    sentence, followed = found
    if kind == "option":
        if _OTHERS.match(sentence) and sentence in tail and (before := tail[: tail.rfind(sentence)].rstrip()):
            return _concluded(before, kind)
        return _option(tail, lines, sentence, followed)
    named = _complement(tail, sentence, followed)
    if named and not re.search(r"[0-9]|, .* and ", named):
        return named
    if re.search(rf"[0-9]|\b(?:{'|'.join(NUMBER_WORDS)})\b", sentence, re.IGNORECASE):
        return number_answer(tail)
    return None


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip(_MARKUP)]


def _ticked(lines: Sequence[str]) -> str | None:
    """Return the one option or boolean that the last lines tick, where they cross the others out or leave them."""
    ticked, crossed = [], 0
    for line in reversed(lines[-20:]):
        match = _TICKED.match(line)
        mark = match and (match["box"] or match["mark"])
        if not match or not mark:
            break
        if mark.lower() in _TICKS:
            ticked.append(match["what"])
        else:
            crossed += 1
    if len(ticked) != 1 or not crossed:
        pointed = {letter for line in lines[-20:] for letter in _POINTED.findall(line)}
        return f"({pointed.pop()})" if len(pointed) == 1 else None
    letter = re.match(r"\(?([A-Z])\)", ticked[0])
    return f"({letter[1]})" if letter else ticked[0]


def _verdict(tail: str, lines: Sequence[str]) -> str | None:
    """Return the boolean that a line of its own, a short text's first word or the last sentence gives."""
    last = lines[-1].lstrip("> ").replace("**- ", "**").strip(_MARKUP + ".!=")
    if (word := re.split(r"[.!] ", last)[-1].strip(_MARKUP)).casefold() in BOOLEANS:
        return word
    if asked := {word.casefold() for word in _ASKED.findall(tail)}:
        return asked.pop() if len(asked) == 1 else None
    if len(lines) > 1 and all(re.match(r"\s*[-•*] ", line) for line in lines[-2:]):
        return None  # options
    if bold := re.fullmatch(rf"[>\s]*[-•*] \*\*({_BOOLEAN})\*\*\W*", lines[-1], re.IGNORECASE):
        return bold[1]
    first = _VERDICT_LABEL.sub("", re.sub(r"[*_`]", "", tail).strip(" -\n"), count=1)
    if (found := last_sentence(tail)) is None:
        plain = ""
    elif (word := (labelled_value(tail, found[0]) or "").strip(_MARKUP + ".!")).casefold() in BOOLEANS:
        return word
    else:
        plain = re.sub(r"[*_`]|(?<=\w),? (?:because|since)\b[^,]*$", "", found[0]).strip(_MARKUP + ".!")
    plain = re.sub(r"\bwhen asked (?:whether|if)\b[^,]*, (?=[^,]*$)", "", plain)
    claim, concluded = claim_of(re.sub(r" (?:to the question (?:of )?|when asked )(?:whether|if)\b.*", "", plain))
    claim = re.sub(r"^either way, ", "", claim, flags=re.IGNORECASE)
    concluded = (
        concluded
        or tail.rstrip(" .*").endswith(f"\n\n{plain}")
        or (tail.endswith(".") and re.match(r"(?:you|we|i) do(?:es)? not return\b", claim, re.IGNORECASE) is not None)
        or re.search(r"\bquestion asks\b", tail[-NEAR_END:]) is not None
    )
    for said, verdicts in ((claim, _VERDICTS), (plain, _VERDICTS), (first, _VERDICTS[:1])):
        if _TAKEN_BACK.search(said) or (len(verdicts) > 1 and _DOUBT.search(said)):
            continue
        for pattern, needs_conclusion in verdicts:
            match = pattern.search(said)
            if match is None or (needs_conclusion and not concluded):
                continue
            groups = match.groupdict()
            word = groups.get("word") or "Yes"
            others = {other.casefold() for other in re.findall(r"\b(?:yes|no)\b(?! [a-z])", said, re.IGNORECASE)}
            headed = said == first and tail.startswith("**")
            if word.casefold() in ("yes", "no") and others - {word.casefold()} and not headed:
                continue
            if groups.get("no"):
                return _OPPOSITE.get(word.casefold())
            return _WORD.get(word.casefold(), word)
    return None


_DOUBT = re.compile(
    r"\b(?:if|whether|maybe|perhaps|might|could|unless|unknown|unsure|unclear|unable|cannot|can['’]t|none|first|second|next|step)\b",
    re.IGNORECASE,
)


def _option(tail: str, lines: Sequence[str], sentence: str, followed: bool) -> str | None:
    """Return the option that the last sentence settles on, by its letter or else by its text."""
    last = sentence.strip(_MARKUP)
    head = _HEADED.match(tail)
    explained = head and (
        len(re.findall(r"\([A-Z]\)", tail)) <= 1
        or _OTHERS.match(tail[head.end() :].lstrip())
        or (head[0].endswith("\n") and not _GOES_ON.search(tail, head.end()))
    )
    if re.search(r"\b(?:wonder|whether)\b", last) and not explained:
        return None
    right = _called_right(tail, lines)
    if len(right) == 1:
        return f"({right.pop()})"
    if bold := re.fullmatch(r"\*{2,3}Option \(?([A-Z])\)?[.:] [^*]*\*{2,3}\.?", lines[-1].strip()):
        return f"({bold[1]})"
    alone = _LETTER_LINE.fullmatch(lines[-1])
    if alone and not any(_OPTION_LINE.match(line) for line in lines[:-1]):
        return f"({alone[1]})"
    if head and head[0].startswith("**") and not _GOES_ON.search(tail, head.end()):
        return str(next(filter(None, head.groups())))
    if head and explained:
        return str(next(filter(None, head.groups())))
    if re.fullmatch(r"\(?[A-Z]\)?\.?", last) and (
        len(last) > 2 or lines[-1].startswith("**") or len(tail) < 8 or re.search(r"\n\s*\n[B-HJ-Z]$", tail)
    ):
        return last.rstrip(".")
    named = {"".join(found) for found in _NAMED_OPTION.findall(tail.replace("**", ""))}
    if len(named) == 1 and re.match(
        r"(?:this|that|it) is the (?:right|correct|best) (?:one|option|order|answer)\b", last, re.I
    ):
        return f"({named.pop()})"
    label = labelled_value(tail, sentence) or ""
    if (called := re.match(r"\(([A-Z])\) ", label)) and re.match(r"\W*(?:correct|right|best)\b", sentence, re.I):
        return f"({called[1]})"
    complete = followed or re.search(r"[.!*)\]`$]$", tail) is not None
    settled_on = _REJECTED_AFTER.sub("", last)
    settled_on = re.sub(r"\$\(?([A-H])\)?\$|\[([A-Z])\](?=\W*$)", r"(\1\2)", settled_on)
    claim, concluded = claim_of(settled_on.rstrip(".*_! "))
    claim = re.sub(r"\bthe (?:first|second|third|last)(?: one)?, (?=\([A-Z]\))", "", _BOLD_LETTER.sub(r"(\1) ", claim))
    if HEDGED.search(claim) and (settled_then := re.search(r".*, (?:but|yet) (.*\([A-Z]\).*)", claim)):
        claim = settled_then[1]
    claim = _ASIDE.sub("", _SETTLED.sub(r"\1", claim)).strip(_MARKUP)
    claim = re.sub(r"(?<=\boption) \([a-r]\)", lambda named: named[0].upper(), claim)
    letters = {"".join(found) for found in _NAMED_OPTION.findall(claim)}
    if not letters:
        return _complement(tail, sentence, followed)
    listed = (
        len(lines) > 1
        and (_OPTION_LINE.match(lines[-2]) or re.match(r"\W*(?:options|choices)\b.*:$", lines[-2], re.IGNORECASE))
        and _OPTION_LINE.match(lines[-1])
    )
    clause = re.split(", which | → ", claim)[-1]
    if len(letters) > 1 or listed or _TAKEN_BACK.search(claim) or SEVERAL.search(_TITLES.sub("", clause)):
        return None
    own_line = lines[-1].strip(_MARKUP + ">") == last and _OPTION_LINE.match(f"{claim} ")
    settling = own_line or concluded or "**" in last
    steps = None if own_line else (ON_THE_WAY if settling else PREMISE).search(clause)
    on_the_way = steps or HEDGED.search(clause) or _DISMISSED.search(clause)
    ends = _ENDS_WITH.search(claim)
    arrow = re.match("→|=>|⇒", claim)
    if ends and ends.start() == 0 and not (concluded or own_line or arrow or re.search(r"[.!*]$", tail)):
        return None  # "Option (K)", cut off
    examined = _EXAMINED.search(claim)
    if not on_the_way and (ends or ((complete or own_line) and (concluded or own_line or not examined))):
        letter = letters.pop()
        return None if re.search(rf"\b{letter}\)? (?:is not|isn['’]t)\b", last) else f"({letter})"
    return None


def _called_right(tail: str, lines: Sequence[str]) -> set[str]:
    """Return the letters that a text calls right, chooses or finds fitting, in sentences that do not hedge."""
    found = set()
    for pattern, text in ((_RIGHT, "\n".join(lines[-2:]).replace("**", "")), (_CHOSEN, tail), (_SUITS, tail)):
        for match in pattern.finditer(text):
            if not HEDGED.search(re.split(r"[.!?]\s|\n|, so ", text[: match.start()])[-1]):
                found.add(next(filter(None, match.groups())).upper())
    return found


def _complement(tail: str, sentence: str, followed: bool) -> str | None:
    """Return the words that a finished last sentence sets apart, or that a conclusion says something is."""
    claim, concluded = claim_of(sentence.strip(" .!"))
    if concluded and (answered := re.match(r"(yes|no),", claim, re.IGNORECASE)):
        return answered[1]
    if picked := re.fullmatch(
        r"(?:so )?(.{1,60}?) is (?:my|our) (?:final )?(?:pick|choice|answer)", claim, re.IGNORECASE
    ):
        return picked[1].strip(_MARKUP)
    label = labelled_value(tail, sentence)
    named = label is not None and re.match(r"[A-Z0-9]", label)
    if not (followed or named or re.search(r"[.!*`'\")]$", tail)) or HEDGED.search(sentence):
        return None
    if PREMISE.search(claim) or _EXAMINED.search(claim):
        return None
    marked = ["".join(found) for found in _MARKED.findall(claim)] if concluded or "**" in claim else []
    if len(marked) != 1 and (concluded or label):
        plain = claim.replace("*", "")
        said = _SUPERLATIVE.match(plain) or _COMPLEMENT.match(plain)
        marked = [label or (said[1] if said else "or")]
    if len(marked) != 1:
        marked = _BOLD.findall(tail)
    if len(marked) != 1 or marked[0].rstrip().endswith((":", "?")) or SEVERAL.search(marked[0]):
        return None
    if _PAIRS.search(marked[0]):
        return None
    return str(marked[0]).strip(_MARKUP + ".")


def _sorted(tail: str) -> str | None:
    """Return the words after "sorted list:" or the like, or that the text ends with: a list, a chain, lines."""
    tail = re.sub(r"\n\s*\nNote:[^\n]*\Z", "", tail)
    if found := [match for match in _SORTED.finditer(tail) if not _TO_SORT.search(tail[: match.end()])]:
        return _word_lines(tail[found[-1].end() :])
    if listed := re.search(r"\[(?:['\"][^'\",\n]{1,60}['\"],?\s*){2,}\]\W*$", tail):
        words = re.findall(r"['\"]([^'\",]+)['\"]", listed[0])
        return _in_order(words)
    commas = re.sub(r"(, [\w'-]+),? and (?=[\w'-]+$)", r"\1, ", tail.strip(_MARKUP + "."))
    if chain := _CHAIN.search(commas):
        words = re.findall(r"[a-z'-]+", chain[1], re.IGNORECASE)
        return _in_order(words)
    if quoted := _QUOTED_WORDS.search(tail):
        words = re.findall(r"[\w'-]+(?=[\"”])", quoted[1])
        return _in_order(words)
    lines = tail.splitlines()
    if bold := re.search(r"\*\*([a-z][a-z'-]*(?:,? [a-z][a-z'-]*)+)\*\*\.?$", lines[-1].strip(), re.IGNORECASE):
        return _in_order(re.findall(r"[a-z'-]+", bold[1], re.IGNORECASE))
    words = []
    for line in reversed(lines):
        entry = re.fullmatch(r"\s*(?:[0-9]{1,3}[.)]|[-*•])\s+[*`]*([\w'-]{1,60})[*`]*\s*", line)
        if entry is None:
            break
        words.insert(0, entry[1])
    if len(words) < 2:
        words = re.split(r"\s*[,\n]\s*", tail.strip(_MARKUP + ".[]"))
        words = [word.strip(_MARKUP) for word in words]
    if len(words) < 2 and (words := lines[-1].strip(_MARKUP).split()) != sorted(words):
        return None  # a line of words that are not sorted is a sentence
    if not all(re.fullmatch(r"[a-z][a-z'-]*", word, re.IGNORECASE) for word in words):
        words = re.findall(r"[a-z'-]+", lines[-1].strip(_MARKUP + "."))
        words = words if len(words) > 2 and words == sorted(words) == lines[-1].strip(_MARKUP + ".").split() else []
    plain = len(words) > 1 and all(re.fullmatch(r"[a-z][a-z'-]*", word, re.IGNORECASE) for word in words)
    return " ".join(words) if plain else None


def _in_order(words: list[str]) -> str | None:
    return " ".join(words) if words == sorted(words) else None


def _word_lines(after: str) -> str | None:
    """Return the words of the first line, or of the numbered, bulleted or bare lines that follow an empty one."""
    first, _, rest = after.lstrip(" \t*_:`$").partition("\n")
    if first.strip(_MARKUP):
        sentence, sign = first_sentence(first)
        return _bare(sentence, "words") if sign != "?" and sentence[-1:] != "," else None
    words: list[str] = []
    for line in rest.splitlines():
        if not line.strip(_MARKUP):
            if words:
                break
        elif entry := _ENTRY.fullmatch(line):
            words.append(entry[1])
        elif words:
            break
        else:
            return _bare(first_sentence(line)[0], "words")
    return " ".join(words) or None


def _closers(lines: Sequence[str]) -> str | None:
    """Return the brackets that the last line sets apart or consists of, or that a line near the end says to add."""
    for index in range(len(lines) - 1, max(-1, len(lines) - 8), -1):
        line, before = lines[index][-400:].strip(), lines[index - 1][-400:].rstrip(_MARKUP) if index else ""
        if before.endswith(":") and _BRACKET_RUN.fullmatch(line):
            line = f"{before} {line}"
        if closing := _CLOSING.search(line):
            return closing[1] or closing[2]
        if index < len(lines) - 1:
            continue
        runs, said = _QUOTED_RUN.findall(line), re.split(r"\. ", line)[-1]
        if len(runs) == 1 and not re.search(r"\b(?:stack|input|first|next|step)\b", said, re.IGNORECASE):
            return str(runs[0])
        if re.fullmatch(_CLOSERS, line):
            return line
    return None


def equal(answer: str, target: str, kind: AnswerKind, choices: Sequence[str]) -> bool:
    """Return whether an extracted answer is the gold target.

    Options: the letter with or without parentheses, alone or followed by words that name no second
    answer, or the text of that choice; the gold target may be a letter or a choice's text, too. Booleans: the
    same word; `yes` is not `True`. Brackets: equal without spaces. Words: the same words in the same order.
    Text: equal without case, spaces and markup, plain numbers by value. Hedges ("(A) or (B)") and empty
    answers are never equal.
    """
    if len(answer) > LONGEST_ANSWER:
        return False
    gold = option_of(target, choices) if kind == "option" else None
    answer, target = _plain(answer, kind), _bare(target, kind)
    if not answer or not target:
        return False
    if kind == "option":
        letter = _option_letter(answer, choices)
        if letter or _LETTER.fullmatch(target):
            return letter is not None and letter == (gold or _option_letter(target, choices))
        return _text_form(answer) == _text_form(target)  # no more: `(A) 4` is not the option `4`
    if kind == "boolean":
        return _boolean(answer) == target.casefold()
    if kind == "brackets":
        # Commas are what some models put between brackets; any other character is left to differ.
        return re.sub(r"[\s,\\]", "", answer) == re.sub(r"\s", "", target)
    if kind == "words":
        if "," in answer and " and " not in f" {target} ":
            answer = re.sub(r",?\s+and\s+(?=\S+$)", ", ", answer)
        if (led := _SORTED.search(answer[:80])) is not None:
            answer = answer[led.end() :]
        answer = re.sub(r"^\(([^()]*)\)$", r"\1", re.sub(r"\*+|`", "", answer).strip())
        answer = _LIST_MARKS.sub(" ", answer).strip()
        answer, target = (side.casefold().replace("’", "'") for side in (answer, target))
        return re.split(r"[\s,;]+", answer) == re.split(r"[\s,]+", target)
    if _text_form(answer) == _text_form(target):
        return True
    if maths.plain_number(target) is None:
        return False
    answer = in_figures(re.sub(r"\s\([a-z -]+\)$", "", _COUNTED.sub("", answer)))  # a total of 6 (six)
    word, _, rest = answer.partition(" ")
    if word.casefold() in NUMBER_WORDS and rest:
        figure = str(NUMBER_WORDS[word.casefold()])
        answer = figure if rest == f"({figure})" else f"{figure} {rest}"  # fifteen fruits
    return maths.compare(target, answer).equal is True


def _certain(answer: str, kind: AnswerKind) -> bool:
    """Return whether an extracted text names an answer of its kind, and is no hedge."""
    if kind == "boolean":
        return _boolean(_plain(answer, kind)) is not None
    if kind == "brackets":
        return re.fullmatch(r"[\[\](){}<>\s,\\]*[\])}>][\[\](){}<>\s,\\]*", _plain(answer, kind)) is not None
    if kind == "words":
        return re.search(r"\w", _plain(answer, kind)) is not None
    if kind == "option" and _option_letter(_plain(answer, kind), ()) is None:
        return re.search(r"\w", answer) is not None and not (
            SEVERAL.search(answer) or HEDGED.search(answer) or re.search(r"\([A-Z]\)", answer)
        )
    if kind == "text":
        return re.search(r"\w|[^\x00-\x7f]", answer) is not None and not (
            HEDGED.search(answer) or re.search(r"\([A-Z]\)", answer)
        )
    return True


def canonical(answer: str, kind: AnswerKind, choices: Sequence[str] = ()) -> str:
    """Return an extracted answer in the form that gold answers of its kind have, where it is certain."""
    if kind == "option" and (letter := _option_letter(_plain(answer, kind), choices)):
        return f"({letter})"
    if kind == "boolean" and (word := _boolean(_plain(answer, kind))):
        return next((found for found in re.findall(r"\w+", answer) if found.casefold() == word), answer)
    if kind == "brackets":
        run = re.sub(r"[\s,\\]", "", _plain(answer, kind))
        return " ".join(run) if re.fullmatch(r"[\[\](){}<>]+", run) else answer
    if kind == "words":
        if "," in answer:
            answer = re.sub(r",?\s+and\s+(?=\S+$)", ", ", answer)
        return " ".join(word for word in re.split(r"[\s,]+", _plain(answer, kind)) if word)
    if kind == "text" and (value := maths.rational(answer)) is not None and value.denominator == 1:
        return str(value.numerator)
    return answer


def _bare(answer: str, kind: AnswerKind) -> str:
    """Return the answer without surrounding markup, a LaTeX text wrapper, and trailing full stops."""
    answer = answer.strip(_MARKUP)
    if kind == "brackets":
        return answer.replace("\\", "").strip(_MARKUP + ",.")
    if wrapped := re.fullmatch(r"\\(?:text|textbf|mathrm|mathbf|boxed|fbox)\s?\{([^{}]*)\}\.?", answer):
        answer = wrapped[1].strip(_MARKUP)
    return answer.rstrip(_MARKUP + ".")


def _plain(answer: str, kind: AnswerKind) -> str:
    """Return a whole answer as plain text: no lead ("the answer is"), no box, no LaTeX around or in it."""
    if kind == "brackets":
        answer = _BRACKET_LEAD.sub("", answer.strip(_MARKUP)).strip(_MARKUP)
        while wrapped := _BRACKET_WRAPPER.match(answer):
            inside = answer[wrapped.end() :].rstrip(_MARKUP + ".")
            if not inside.endswith("|" if wrapped[0].endswith("|") else "}"):
                break
            answer = inside[:-1].strip(_MARKUP)
        answer = re.sub(r"\\(?:left|right)(?![a-z])", "", answer)
        return _bare(_BRACKET_NAME.sub(lambda match: _BRACKET_NAMES[match[0]], answer), kind)
    answer = maths.unwrapped(maths.without_lead(answer))
    if "\\" in answer:
        answer = " ".join(_LATEX_TEXT.sub(r" \1 ", answer.replace("\\ ", " ")).split())
    return _bare(answer.lstrip("= "), kind)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def option_of(target: str, choices: Sequence[str]) -> str | None:
    """Return the letter of the option that a gold answer is, by its letter or by its text among the choices.

    None for another gold, and where the letter of one option is the text of another.
    """
    letter = _LETTER.fullmatch(target.strip())
    by_text = _with_text(_plain(target, "option"), _texts(choices)) if choices else None
    if letter and by_text not in (None, letter[1]):
        return None
    return letter[1] if letter else by_text


def _texts(choices: Sequence[str]) -> list[str]:
    return [_folded(_plain(choice, "option")) for choice in choices]


def _with_text(text: str, texts: Sequence[str]) -> str | None:
    """Return the letter of the one option with this text."""
    text = _folded(text)
    return chr(ord("A") + texts.index(text)) if texts.count(text) == 1 else None


def _option_letter(answer: str, choices: Sequence[str]) -> str | None:
    """Return the one letter that the answer names; None where it names none, several or a wrong text."""
    texts = _texts(choices)

    def letter_of(text: str) -> str | None:
        return _with_text(text, texts)

    whole = letter_of(answer)
    answer = _WITH_NOUN.sub(r"(\1)", answer.replace("**", ""))
    if alone := re.fullmatch(r"[(\[{<]?\s?([A-Za-z])\s?[)\]}>]?,?", answer):
        # "Statement B" may be an option's letter, or the text of another option.
        return alone[1].upper() if whole in (None, alone[1].upper()) else None
    stated = re.match(
        r"(?:\(?([A-Za-z])\)|([A-Z])(?:[:.]|\s[-–—](?=\s))|([A-HJ-Z])(?=, | is\b| \())[\s:,.–—-]*", answer
    )
    if stated is None:
        named = _LETTER_LAST.fullmatch(answer)
        if named and not (SEVERAL.search(named[1]) or HEDGED.search(named[1]) or _DISMISSED.search(named[1])):
            return named[2] if letter_of(named[1]) in (None, named[2]) else None
        return letter_of(answer)
    letter, rest = (stated[1] or stated[2] or stated[3]).upper(), answer[stated.end() :].strip(_MARKUP)
    if not _TAKEN_BACK.search(rest):
        rest = re.split(r"(?:^|\s+)(?:because|since)\s", rest, maxsplit=1)[0]
    if _folded(rest) in texts:
        return letter if letter_of(rest) == letter else None
    if rest.startswith("?") or _DISMISSED.search(rest) or (stated[3] and not _OWN_VERDICT.match(f"{answer[1:]}")):
        return None
    hedged = _OPTION_HEDGE.search(_TITLES.sub("", rest)) or re.search(
        r"\([A-Za-z]\)|\b[B-HJ-Z]\b|^\W*[A-Za-z]\W*$", rest
    )
    return None if hedged else letter


def _boolean(answer: str) -> str | None:
    """Return the boolean that the answer starts with, unless what follows hedges or names another."""
    answer = _SUBJECT.sub("", answer.casefold().removeprefix("- "), count=1)
    if not _TAKEN_BACK.search(answer):
        answer = re.split(r",?\s+(?:because|since)\s", answer, maxsplit=1)[0]
    if answer.strip(_MARKUP + ".") in ("not valid", "not deductively valid"):
        return "invalid"
    head, _, rest = re.sub(r"\s+[-–—]+\s+|;|(?<=\w)\s+\(|(?<=\w)\.\s+", ", ", answer, count=1).partition(",")
    word = head.strip(_MARKUP + "!()")
    if word not in BOOLEANS:
        return None
    doubts = {match.casefold() for match in SEVERAL.findall(rest)}
    if word in ("no", "false", "invalid") and not re.search(r"\b(?:sure|certain|clear)\b", rest):
        doubts -= {"not"}
    return None if doubts or BOOLEANS & set(re.findall(r"\w+", rest)) else word


def _text_form(answer: str) -> str | Decimal:
    """Return the value of a plain number, else the text without case and repeated spaces."""
    number = answer.replace("−", "-").replace("\\,", "").replace("{,}", ",")
    if re.fullmatch(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?", number):
        return Decimal(number.replace(",", ""))
    return _folded(answer)
