"""BBH answers: option letters, booleans, brackets, word lists, short texts. Where a text states one, and equality.

In doubt nothing is found, and nothing is equal. Everything runs in time linear in the text.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

from capgap_ray.core import maths
from capgap_ray.core.claims import claimed_option
from capgap_ray.core.extraction import (
    CONCLUSION,
    HEDGED,
    PREMISE,
    REFUSED,
    SEVERAL,
    claim_of,
    first_sentence,
    labelled_value,
    last_box,
    last_sentence,
    last_statement,
    own_text,
    placeholder,
    refuses,
    settled,
    stated_line,
)
from capgap_ray.core.number_extraction import number_answer, without_breakdown
from capgap_ray.core.number_words import NUMBER_WORDS, in_figures
from capgap_ray.core.verdicts import claimed_verdict

AnswerKind = Literal["option", "boolean", "brackets", "words", "text", "maths", "number"]
"""`option`: a letter such as `(B)`. `boolean`: one of two words such as `yes`. `brackets`: a sequence of
brackets. `words`: words in order. `maths`: an answer in LaTeX or plain maths. `number`: the result of a word
problem. `text`: anything else, plain numbers included."""

LONGEST_ANSWER = 2_000
"""Characters. A longer line is not an answer but a run-on text: nothing is extracted from it."""

PLAUSIBLE = {"plausible": "yes", "implausible": "no", "not plausible": "no"}
BOOLEANS = frozenset(("true", "false", "yes", "no", "valid", "invalid"))

_TAKEN_BACK = re.compile(r"\b(?:wait|actually|however|on second thought|hmm)\b|\?", re.IGNORECASE)

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
_LISTED_OPTION = re.compile(r"^[ \t]*(?:[-*•|] *)*\(?([A-Z])[).][ |*]+(\S[^\n]{0,200}?)[ \t]*$", re.MULTILINE)
_INLINE_OPTION = re.compile(r"\(([A-Z])\) ([^()\n,;.?]{1,80}?)(?=,? (?:and |or )?\([A-Z]\)|[:,;.?\n])")
_MARKED = re.compile(r"\*\*([^*\n]{1,80})\*\*|(?<![\w])['\"“‘]([^'\"“”’\n]{1,80})['\"”’](?![\w])")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_HEADING_LINE = re.compile(r"^\*\*[^*\n]{1,80}\*\*[ :]*\n\s*(?=[-*|] )", re.MULTILINE)
"""Of a list or a table."""
_BOLD_LINE = re.compile(r"^\*\*\(([A-Z])\)(?: [^*\n]{1,200})?\*\*[ .!]*$", re.MULTILINE)
_SO = re.compile(r"(?:so|thus|hence|therefore),? (?:it is )?\(?([A-R])\)?\.?")
_BOOLEAN_FIRST = re.compile(rf"\s*\*\*({'|'.join(BOOLEANS)})[.,!]?\*\*", re.IGNORECASE)
_BOOLEAN_LINE = re.compile(r"(yes|no),? (?:you|he|she|they|it|this|we)\b(?!.*\b(?:yes|no|not)\b)", re.IGNORECASE)
_EVALUATED = re.compile(
    r"(?:(?:not |\( ?)*(?:True|False)(?: ?\))*(?: (?:and|or) )?){1,8} (?:is|evaluates to|gives) (True|False)\W*"
)
_CONCLUDED = re.compile(r"(?:^|[.!] |\n)\W*(?:so|thus|hence|therefore|in conclusion)\b", re.IGNORECASE)
_NOT_SAID = re.compile(
    r"\b(?:if|unless|whether|were|either|maybe|perhaps|might|could|probably|unsure)\b"
    r"|(?:\b(?:not|never)|n['’]t)\W*$|\b(?:first|next|step|then|let)\b",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(rf"\b(?:{'|'.join(BOOLEANS)}|so|thus|hence|therefore|answer|conclusion)\b", re.IGNORECASE)
_COMPLEMENT = re.compile(
    r"^[^\n]*\b(?:(?:is|are) (?!(?:that|because|to)\b)(?:(?:dancing|partnered|left) with |playing (?:with )?)?"
    r"|from |between |^it['’]s |\b(?:has|gets|holds|ends up with) )"
    r"(?:(?-i:the) )?(.{1,60})$"
)
_CUT_STEP = re.compile(r"\n[ \t]*(?:step )?[0-9]{1,2}[.):] [^\n]*[a-z]\Z", re.IGNORECASE)
"""The last of numbered steps, without a stop."""
_PAIRS = re.compile(r"\w[–-][A-Z]\w*, [A-Z]\w*[–-]")
"""Who has what after a step: "Fred–Lola, Eve–Ophelia"."""
_TIME = r"[0-9]{1,2}(?::[0-9]{2})? ?[ap]m"
_TIMES = re.compile(rf"(?:between )?{_TIME} (?:to|and|until) {_TIME}")
_BETWEEN = re.compile(rf"(?:between|from) (?:the hours of )?({_TIME}) (?:and|to|until) ({_TIME})")
_ON_A_DAY = r"[0-9]{2}/[0-9]{2}/[0-9]{4}"
_WITH_FIGURES = re.compile(rf"{_TIMES.pattern}|{_ON_A_DAY}")
"""Labels that have figures and are no numbers."""
_ASKS_TIMES = re.compile(r"\bwhat times? (?:could|can|might|did)\b[^.?\n]*\?\W*\Z", re.IGNORECASE)
_VISITED = re.compile(
    r"\b(?:must|could|can) (?:only )?have (?:gone|been)\b[^.]*? (?:(?:between|from) the hours of |from )?"
    rf"\**({_TIMES.pattern})\**"
    r"|^the only (?:gap|time|slot|window|period|interval)\b[^.]*\bcould (?:only )?have [^.]* is (?:from )?"
    rf"\**(?P<gap>{_TIMES.pattern})\**",
    re.IGNORECASE,
)
_SHAPES = "circle|heptagon|hexagon|kite|line|octagon|pentagon|rectangle|sector|triangle|square"
_SHAPE = re.compile(
    rf"(?!.*\b(?:not|or|if)\b).* (?:is|draws|forms|makes) an? \**({_SHAPES})\**",
    re.IGNORECASE,
)
_ERRORS = "named entities|numerical values|modifiers or adjectives|negation or antonyms|facts|dropped content"
_ERROR_IS = re.compile(
    r"(?:(?:that|this|it|the error) is (?:(?:an?|the) )?(?:error (?:of|in) )?"
    r"|(?:that|this|it|the translation) (?:contains|has) an error (?:of|in|pertaining to|relating to|concerning) "
    rf"|\**(?:error type|type of error|error):\**\s*)\**({_ERRORS})\**(?: (?:error|type|category))?",
    re.IGNORECASE,
)
_LABEL_ALONE = re.compile(rf"(?<=[.!])\n[ \t]*\n\**({_ERRORS}|{_SHAPES})\.?\**\Z", re.IGNORECASE)
"""A task's label that is all of the last paragraph."""
_REMINDER = re.compile(r"remember that\b", re.IGNORECASE)
_TRUE_ONE = re.compile(
    r"^the (?:(?:true|correct|right) (?:statement|option|one)|(?:statement|option|one) that is (?:true|correct|right)) "
    r"is:? (?:that )?(?=\w)"
)
_HUE = re.compile(r"(?:the [a-z ]{1,40} is|colou?r:) \**([a-z]+)\**(?: in colou?r)?", re.IGNORECASE)
_COLORS = frozenset(
    (
        *("red", "orange", "yellow", "green", "blue", "brown", "magenta", "fuchsia", "mauve", "teal", "turquoise"),
        *("burgundy", "silver", "gold", "black", "white", "grey", "gray", "purple", "pink"),
    )
)
_THIS_IS = re.compile(
    r"(?:, and (?:this|that|it) is |^(?:(?:So|Thus|Hence|Therefore),? )?[Tt]he [a-z]+est [a-z]+ is )"
    r"([A-Z][a-z]+)(?:,? (?:with|at) [0-9]+ ?[a-z]+| \([0-9]+ ?[a-z]+(?: old)?\))?$"
)
"""Whom a number belongs to: "the tallest is 70 cm, and this is Gwen", "the tallest penguin is Gwen, with 70 cm"."""
_DID_NOT = re.compile(
    r"\b(?:did|does|do|has|have)(?: not|n['’]t) (?:take|swap|trade|move|change|switch|get)\w*\b(?=[^,]{0,120}, so\b)",
    re.IGNORECASE,
)
"""What somebody did not do, before the conclusion: no hedge."""
_OTHERS = re.compile(
    r"(?<=[.!*])\s+the (?:other|remaining)(?: [a-z]+)? (?:titles|movies|films|options)\b[^\n]*\Z", re.I
)
"""What is said of the other options, last."""
_RECOMMENDED = re.compile(
    r"\bI(?:['’]d| would|['’]ll| will)?(?: therefore| thus| then)? (?:recommend|pick|choose|go with|suggest|select) "
    r"\*{1,2}([^*\n]{1,60})\*{1,2}"
)
_PICKED = re.compile(
    r"(?:I(?:['’]d| would|['’]ll| will)?|we) (?:pick|choose|go with|select|recommend) (?:the )?(?P<picked>.{1,60})"
    r"|(?!.*\b(?:not|if|or)\b)[A-Z][^.,]{1,80} would (?:like|enjoy|love|prefer) (?P<liked>[A-Z].{1,60}?) the most"
    r"|(?:[Oo]f the two [a-z]+, )?the (?:one|phrase|sentence|option) with the (?:correct|right) (?:adjective )?order "
    r"is:? [\"“](?P<ordered>[^\"“”]{1,100})[\"”]"
)
_DATED = re.compile(
    rf"(?:(?:the )?date(?: is|:)? )?({_ON_A_DAY})(?:,? \(?(?:an? )?(?:mon|tues|wednes|thurs|fri|satur|sun)day\)?)?",
    re.IGNORECASE,
)
_DATE = re.compile(
    rf"(?:^|\b(?:on|is|was|be|written(?: as)?) (?:the )?|['’]s "
    rf"|\bdate (?:yesterday|today|tomorrow) )\**({_ON_A_DAY})\**"
    r"(?: in (?:the )?MM/DD/YYYY(?: format)?)?$"
)
_ANSWERS = re.compile(
    r"(?:the|its|his|her|their) (?:[a-z-]+ ){0,3}(?:match|shape|figure|option|choice|movie|film|recommendation|colou?r"
    r"|date|penguin|animal|person|name|object|item|book|bird|fruit|vehicle|golfer|pronoun|one|(?-i:(?:[a-z]+-)?[a-z]+est)|last)"
    r"(?: (?:(?:that is )?most similar to|that (?:is|was|has)|of|on|in|to|for|among) [a-z ,]{1,60})? "
    r"(?:is|would be) (?!the (?:\w+est|\w+most|first|second|third|fourth|fifth|last)\b)"
    r"(?:an? |(?-i:the) )?(\**[\w:/-]+(?: [\w:/-]+){0,3}\**)",
    re.IGNORECASE,
)
"""A last line that says no more than what is asked for: "The shape is a triangle"."""
_IS_RANKED = re.compile(
    r"(?:the )?[\w ]{1,40} (?:is|are|was|were) (?:the )?(?:(?:second|third|fourth|fifth)[ -])?"
    r"(?:(?-i:[a-z]+est)|first|last|most \w+|least \w+"
    r"|(?:second|third|fourth|fifth|sixth)(?: from the (?:left|right))?)",
    re.IGNORECASE,
)
"""An option that is a whole sentence and nothing more."""
_RANKED = re.compile(
    r"the (?:pronoun|most similar \w+"
    r"|(?:(?:second|third|fourth|fifth)[ -])?(?:(?-i:[a-z]+est)|last|most \w+|least \w+)) ",
    re.IGNORECASE,
)
"""How a last sentence begins that answers, though others stand before it in its line."""
_SUPERLATIVE = re.compile(
    r"(?:we can conclude that )?(.*\b(?:is|are|was|were|finish\w*|c[ao]mes?|ranks?|placed?|ends? up) (?:in )?"
    r"(?:the )?(?:(?-i:[a-z]+est)|first|second|third|last|(?-i:[a-z]+most)|most \w+|least \w+)"
    r"\b.{0,40})$",
    re.IGNORECASE,
)
"""An option that is a whole sentence: "the apples are the cheapest"."""

_SORTED = re.compile(
    r"\b(?:sorted|alphabetical(?:ly)?|final|corrected|correct(?= order))(?: (?:list|words|order|sequence|version|result"
    r"|alphabetically|as))*,?"
    r"(?: (?:of )?(?:the )?(?:words|list))?(?: (?:is|are|reads?|gives?|we get|becomes))?[*_]{0,3}:",
    re.IGNORECASE,
)
_TO_SORT = re.compile(r"\bsort (?:the|these|all)\b[^\n.]*$", re.IGNORECASE)
"""The task said again."""
_CHAIN = re.compile(
    r"\b(?:is|are|get|gives|so|thus|order|result|words|list)(?: now)?[:*\s]+[*`\"“]*"
    r"([a-z][a-z'-]*(?:(?:\s?[,<→]\s?| -> )[a-z][a-z'-]*){2,}"
    r"|(?:(?<=: )|(?<=\*\*)|(?<=[\"“])|(?<=list is )|(?<=order is )|(?<=words are ))"
    r"(?!in (?:\w+ )?order\b)[a-z][a-z'-]*(?: [a-z][a-z'-]*)+)[*`\"”]*$",
    re.IGNORECASE,
)
_QUOTED_WORDS = re.compile(r"\b(?:list|words|order) (?:is|are):? ((?:[\"“][\w'-]+[\"”](?:, | and |, and )?){2,})\W*$")
_ENTRY = re.compile(r"\s*(?:(?:[0-9]{1,3}[.)]|[-*•])\s+)?[*`'\"]*([\w'-]{1,60})[*`'\",]*\s*")
_WORD_LIST = re.compile(
    r"(?:^[ \t]*(?:[0-9]{1,3}[.)]|[-*•])[ \t]+[*`]*[\w'-]{1,60}[*`]*[ \t]*\n){3,}(?=\s*[^\n]*\Z)", re.MULTILINE
)
"""A list of words that at most one line follows."""
_LIST_MARKS = re.compile(
    r"(?:^|(?<=\s))(?:\(?[0-9]{1,3}[.)]|\(?[a-z]\)|[-*•])\s+|[/]\s|[\[\]\"]|(?<!\w)'|'(?!\w)|\s?(?:->|→|<|>|≤|\|)\s?"
)

_BRACKET_RUN = re.compile(r"[\[\](){}<>\s,\\*_`$\"']*")
_CLOSERS = r"([\])}>](?:[\s,]*[\])}>])*)"
_CLOSING = re.compile(
    r"\b(?:clos\w+|remaining (?:brackets|parentheses|symbols|part|sequence|closers)|missing|complet\w+|needed"
    r"|left to add|(?:appended|added)"
    r"|rest of the \w+)\b[^\n]{0,60}?(?:\b(?:is|are|be|with|by|:))(?: therefore| thus| then)?:?"
    rf"[*_`$\"'\s]+{_CLOSERS}[*_`$\"'.\s]*$"
    rf"|\b(?:need|have|remains?)(?: \w+){{0,2}} to close\b[^\n]{{0,80}}:[*_`$\"'\s]+{_CLOSERS}[*_`$\"'.\s]*$"
    rf"|\b(?:need|add|append|write|single|just|only)(?: an?)? {_CLOSERS} (?:to |at )?(?:the )?"
    r"(?:complet|clos|finish|end)\w*",
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
_SUMS_UP = re.compile(rf"(?:{CONCLUSION.pattern}|(?:you|i|we) have\b|.*\bin (?:total|all)\b)", re.IGNORECASE)
"""How the sentence of a count begins, or what it holds."""
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
_NO_OPTION = re.compile(r"\(?[S-Z]\)?\W*")
"""A letter that stands for one: no task has so many options."""
_LETTER = re.compile(r"\(?([A-Z])\)?")
_OF_A_KIND = re.compile(
    r"another |(?:exactly )?one of (?:the|these) (?:\w+ )?(?:options|choices|answers)\b"
    r"|(?:given |written )?(?:in|as) the (?:following )?form"
)
"""How a statement goes on that says what kind of answer there is, or in what form."""
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
    letter = (_option_letter(_plain(answer, kind), listed) if answer else None) or claimed_option(text, listed)
    return f"({letter})" if letter else answer


def _listed_options(text: str) -> list[str]:
    """Return the texts of the options that a text lists: in lines, or "(A) Karl, (B) Lola and (C) Jamie"."""
    for pattern in (_LISTED_OPTION, _INLINE_OPTION):
        listed = dict(pattern.findall(text))
        if len(listed) > 1 and [*listed] == [chr(ord("A") + place) for place in range(len(listed))]:
            return [re.split(r": | [–—|-] ", each)[0].strip(_MARKUP + ".") for each in listed.values()]
    return []


def guess(text: str) -> tuple[str, AnswerKind] | None:
    """Return the answer of a text without thinking and its kind, where no task tells the kind."""
    argued = _ARGUMENT.search(own_text(text)) or re.search(r"^\W*P1\b", text[-2 * LONGEST_ANSWER :], re.MULTILINE)
    for read in (_marked, _concluded):
        for kind in ("boolean", *_GUESSES) if argued else _GUESSES:
            answer = _checked(read(text, kind), kind)
            if answer is None or (kind == "option" and not _option_letter(_plain(answer, kind), ())):
                continue
            if kind == "brackets" and (not re.search(r"[\])}>]", answer) or re.fullmatch(r"\(\s*\)|\[\s*\]", answer)):
                continue
            if kind == "words" and (HEDGED.search(answer) or not re.fullmatch(r"[a-z'-]+(?:[\s,]+[a-z'-]+)+", answer)):
                continue
            return answer, kind
    return None


_ARGUMENT = re.compile(r"\bis \W*(?:therefore |thus |hence )?(?:deductively )?\W*(?:in)?valid\W*\Z", re.IGNORECASE)
"""How a text ends that judges an argument, be one of its premises lettered as an option is."""
_GUESSES: tuple[AnswerKind, ...] = ("option", "boolean", "brackets", "text", "words")


def _marked(text: str, kind: AnswerKind, conclude: Callable[[str], str | None] = lambda _: None) -> str | None:
    stated = last_statement(text, lambda after: _statement(after, kind))
    return settled(text, stated, _last_box(text, kind), conclude)


def _checked(answer: str | None, kind: AnswerKind) -> str | None:
    if not answer or len(answer) > LONGEST_ANSWER or (kind in ("option", "text") and placeholder(answer)):
        return None
    if kind == "option" and _NO_OPTION.fullmatch(answer):
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
    if kind == "text":
        sentence = sentence.replace("**", "")
    if kind == "option" and (
        reply := re.fullmatch(
            r"\**(?:yes|no)\**(?: ?(?:→|->|=>)|,|:) ?\**(\([A-Z]\))(?: (?:yes|no))?\**", sentence, re.I
        )
    ):
        return reply[1]
    if kind == "text" and (result := re.search(r"[0-9] = \**(-?[0-9][0-9.,]*)\**$", sentence)):
        return result[1]
    answer = _bare(sentence.removeprefix("equal to "), kind)
    if _OF_A_KIND.match(answer):
        return None
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
    if kind == "option" and (own := _own_line(tail)):
        return f"({own})"
    if kind == "option" and (letter := claimed_option(text, _listed_options(text))):
        return f"({letter})"
    if not lines:
        return None
    if kind == "words":
        return _sorted(tail)
    if kind == "brackets":
        return _closers(lines)
    if kind == "boolean":
        if (head := _BOOLEAN_FIRST.match(text)) and not _CONCLUDED.search(tail):
            return head[1]
        line = _BOOLEAN_LINE.match(lines[-1]) or _EVALUATED.fullmatch(lines[-1])
        return claimed_verdict(text) or (line[1] if line else None) or _only_bold_boolean(tail)
    tail = without_breakdown(tail) if kind == "text" else tail
    if len(recommended := _RECOMMENDED.findall(tail)) == 1:
        return str(recommended[0])
    if others := _OTHERS.search(tail):
        tail = tail[: others.start()]
        lines = _lines(tail)
    found = last_sentence(tail)
    if found is None or REFUSED.search(found[0]):
        return None
    if alone := _bold_end(lines):
        return alone
    sentence, followed = found
    earlier = re.split(r"[.!]\s+|\n", tail[: tail.rfind(sentence)].rstrip(" .\n"))[-1]
    if _SUMS_UP.match(earlier) and _IS_RANKED.fullmatch(ranked := sentence.strip(" .!*")):
        return ranked
    if this := _THIS_IS.search(sentence.strip(" .")):
        return this[1]
    if kind == "option":
        return None if re.search(r"\([A-Z]\)", sentence) else _complement(tail, sentence, followed)
    if shape := _SHAPE.fullmatch(claim_of(sentence.strip(" .!"))[0]):
        return shape[1]
    said = re.search(rf"[0-9]|\b(?:{'|'.join(NUMBER_WORDS)})\b", sentence, re.IGNORECASE)
    if said and not _WITH_FIGURES.search(sentence) and (number := number_answer(tail)):
        return number
    before = (tail.rpartition("\n\n")[0] if said else tail[: tail.rfind(sentence)]).rstrip()
    if _REMINDER.match(sentence):
        return number_answer(before)
    if before and _SUMS_UP.match(re.split(r"[.!]\s+|\n", before)[-1]):
        return _concluded(before, kind)  # what follows is a remark or a check
    named = _complement(tail, sentence, followed)
    return None if named and re.search(r"[0-9]|, .* and ", named) and not _WITH_FIGURES.fullmatch(named) else named


def _bold_end(lines: Sequence[str]) -> str | None:
    """Return what is all of the last line, in bold, where the line before leads to it."""
    alone = _BOLD.fullmatch(lines[-1].strip(" ."))
    led = len(lines) > 1 and lines[-2].rstrip("*_` ").endswith(":")
    return str(alone[1]).strip(_MARKUP + ".") if alone and led else None


def _own_line(tail: str) -> str | None:
    """Return the letter of a last line that is all bold, `**(C) Dan was fourth**`, and of which there is but one, be it
    that one line follows that names no option; or of a last line that is no more than `so F`.
    """
    letters, lines = _BOLD_LINE.findall(tail), _lines(tail)[-2:]
    if lines and (short := _SO.fullmatch(lines[-1])):
        return str(short[1])
    if lines and lines[-1] == "A" and "(A)" in tail:  # of a text that names no option it may be a word
        return "A"
    if len(letters) != 1 or not any(map(_BOLD_LINE.match, lines)):
        return None
    return str(letters[0]) if _BOLD_LINE.match(lines[-1]) or not re.search(r"\b[A-Z]\b", lines[-1]) else None


def _only_bold_boolean(tail: str) -> str | None:
    """Return the boolean that ends a line in bold, if a finished text has no other one in bold and at most a paragraph
    after it, which concludes nothing.
    """
    marked = [each.strip(" .!") for each in _BOLD.findall(tail) if each.strip(" .!").casefold() in BOOLEANS]
    if len(marked) != 1 or refuses(tail) or not re.search(r"[.!)*\]]$", tail):
        return None
    before, _, after = tail.partition(f"**{marked[0]}")
    ends, rest = re.match(r"[.!]?\*\*[.!]?(?:\n|$)", after), after.partition("\n")[2].strip()
    if ends is None or "\n" in rest or _CONCLUDES.search(rest):
        return None
    return None if _NOT_SAID.search(before.rpartition("\n")[2]) else marked[0]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip(_MARKUP)]


def _complement(tail: str, sentence: str, followed: bool) -> str | None:
    """Return the words that a finished last sentence sets apart, or that a conclusion says something is."""
    claim, concluded = claim_of(sentence.strip(" .!"))
    claim = _TRUE_ONE.sub("", claim)
    if shape := _SHAPE.fullmatch(claim):
        return shape[1]
    if concluded and (answered := re.match(r"(yes|no),", claim, re.IGNORECASE)):
        return answered[1]
    if picked := re.fullmatch(
        r"(?:so )?(.{1,60}?) is (?:my|our) (?:final )?(?:pick|choice|answer)", claim, re.IGNORECASE
    ):
        return picked[1].strip(_MARKUP)
    if _TIMES.fullmatch(claim) and _ASKS_TIMES.search(tail[: tail.rfind(sentence)]):
        return claim
    if error := _ERROR_IS.fullmatch(claim) or _LABEL_ALONE.search(tail):
        return error[1]
    if visited := _VISITED.search(claim):
        return re.sub(r"^between (?=.* to )", "", visited[1] or visited["gap"])
    if picked := _PICKED.fullmatch(claim.replace("*", "")):
        return str(picked["picked"] or picked["liked"] or picked["ordered"]).strip(_MARKUP)
    if (concluded or re.search(r"\b(?:date|format|mm)\b", claim, re.IGNORECASE)) and (date := _DATE.search(claim)):
        return date[1]
    hue = _HUE.fullmatch(claim.rpartition(", and ")[2]) if tail.endswith(sentence) else None
    if hue and (hue[1].lower() in _COLORS or re.search(r"\bcolou?r\b", tail)):
        return hue[1]
    last = tail.endswith(f"\n{sentence}") or (
        tail.endswith(sentence) and ("\n" not in tail or (_RANKED.match(claim) and sentence.endswith((".", "**"))))
    )
    asks = re.sub(
        r"^considering .*, (?=the (?:film|movie)\b)", "", re.split(r", (?:which|with) ", claim)[0], flags=re.IGNORECASE
    )
    if last and (asked := _ANSWERS.fullmatch(asks)) and not HEDGED.search(claim):
        return asked[1].strip(_MARKUP)
    label = labelled_value(tail, sentence)
    named = label is not None and re.match(r"[A-Z0-9]", label)
    if not (followed or named or re.search(r"[.!*`'\")]$", tail)) or HEDGED.search(_DID_NOT.sub("", sentence)):
        return None
    if PREMISE.search(claim) or _EXAMINED.search(claim) or _CUT_STEP.search(tail):
        return None
    marked = ["".join(found) for found in _MARKED.findall(claim)] if concluded or "**" in claim else []
    if len(marked) != 1 and (concluded or label):
        plain = claim.replace("*", "")
        said = _SUPERLATIVE.match(plain) or _COMPLEMENT.match(plain)
        marked = [label or (said[1] if said else "or")]
    if len(marked) != 1:
        marked = _BOLD.findall(_HEADING_LINE.sub("", tail))
    if len(marked) != 1 or marked[0].rstrip().endswith((":", "?")) or SEVERAL.search(marked[0]):
        return None
    if _PAIRS.search(marked[0]):
        return None
    if date := _DATE.search(marked[0].rstrip(".")):
        return date[1]
    return re.sub(r"\*?\s\((?:19|20)[0-9]{2}\)$", "", str(marked[0]).strip(_MARKUP + "."))


def _sorted(tail: str) -> str | None:
    """Return the words after "sorted list:" or the like, or that the text ends with: a list, a chain, lines."""
    if (found := last_sentence(tail)) and found[1] and found[0] in tail:
        tail = tail[: tail.rfind(found[0]) + len(found[0])]  # without a check or an offer
    if leads := [match for match in _SORTED.finditer(tail) if not _TO_SORT.search(tail[: match.end()])]:
        return _word_lines(tail[leads[-1].end() :])
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
    if re.fullmatch(r"[a-z'-]+(?:, [a-z'-]+)+[.*]*", last := lines[-1].strip(_MARKUP), re.IGNORECASE):
        return _in_order(re.findall(r"[a-z'-]+", last, re.IGNORECASE))
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
    if len(words) > 1 and all(re.fullmatch(r"[a-z][a-z'-]*", word, re.IGNORECASE) for word in words):
        return " ".join(words)
    lists = deque(_WORD_LIST.finditer(tail), maxlen=1)
    return _in_order([_ENTRY.sub(r"\1", line) for line in lists[0][0].splitlines()]) if lists else None


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
        if before.endswith((":", " is", " are")) and _BRACKET_RUN.fullmatch(line):
            line = f"{before} {line}"
        if closing := _CLOSING.search(line):
            return str(next(filter(None, closing.groups())))
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
        answer, target = (PLAUSIBLE.get(each.casefold(), each) for each in (answer, target))
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
    if re.fullmatch(_ON_A_DAY, target) and (dated := _DATED.fullmatch(answer)):
        return dated[1] == target
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
    return _BETWEEN.sub(r"\1 to \2", " ".join(text.casefold().split()))


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
    answer = re.sub(r"^([A-Z])\*\*(?=\s)", r"(\1)", answer)  # **A** Forrest Gump
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
    if not word.startswith("not "):
        word = PLAUSIBLE.get(word, word)
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
