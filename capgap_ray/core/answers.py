"""Answers: a model's text becomes an extracted answer, and that is compared with the gold answer.

The rule of thumb is: when in doubt, not equal. A false "right" enters the training data through the
filter and the result through the score; a false "wrong" can still be settled by the judge.

Everything runs in time linear in the text, and model text is only ever compared, never evaluated.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

from capgap_ray.core import maths
from capgap_ray.core.extraction import (
    PREMISE,
    REASON,
    after_thinking,
    claim_of,
    labelled_value,
    last_sentence,
    line_alone,
    maths_answer,
    number_answer,
    own_part,
    unsure_before,
)
from capgap_ray.core.maths import Verdict
from capgap_ray.core.notation import NUMBER_WORDS
from capgap_ray.core.task_spec import Family
from capgap_ray.records import FinishReason, Outcome

AnswerKind = Literal["option", "boolean", "brackets", "words", "text", "maths", "number"]
"""`option`: a letter such as `(B)`. `boolean`: one of two words such as `yes`. `brackets`: a sequence of
brackets. `words`: words in order. `maths`: an answer in LaTeX or plain maths. `number`: the result of a word
problem. `text`: anything else, plain numbers included."""

Prover = Callable[[str, str], Verdict]
"""Decides (gold, answer) pairs of maths that the rules cannot read: `capgap_ray.equivalence.MathVerify`."""

LONGEST_ANSWER = 2_000
"""Characters. A longer line is not an answer but a run-on text: nothing is extracted from it."""

_BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"valid", "invalid"})
_ALL_BOOLEANS = set().union(*_BOOLEANS)
_STATEMENT = re.compile(
    r"\b(?:the|my|our|final|correct|right|best)[ *_]{1,3}(?:final |correct |right |best )?"
    r"(?:answer|option|choice|pick|(?<=final )result)"
    r"(?: (?:to (?:the|this) (?:question|problem)|here))?[*_]{0,3} (?:is|must be|should be|will be)\b"
    r"|(?:^|(?<=[.!?] ))answer is\b"
    r"|(?:^|(?<=[.!?] ))[*_#> ]{0,6}(?:the |my |our )?"
    r"(?:(?:final |correct )?(?:answer|result)|(?:correct|right|best|my) (?:option|choice|pick))"
    r"[*_ ]{0,3}(?::|[-–—](?= ))",
    re.IGNORECASE | re.MULTILINE,
)
_SORTED = re.compile(
    r"\b(?:sorted|alphabetical(?:ly)?|final)(?: (?:list|words|order|sequence|version|result))*"
    r"(?: (?:of (?:the )?words))?(?: (?:is|are|gives?|we get|becomes))?[*_]{0,3}:",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:not|none|cannot|can't|unknown|unable|unsure|unclear|maybe|perhaps|might|could|either|neither|if|whether|\w+n['’]t)\b",
    re.I,
)
_DOUBT = re.compile(
    r"\b(?:if|whether|maybe|perhaps|might|unknown|unsure|unclear|unable|cannot|can['’]t|none)\b", re.IGNORECASE
)
_VERDICT = re.compile(
    r"\b(?:argument|reasoning|inference|statement|sentence|expression|claim|conclusion|deduction|it)\b[^.!?]*?"
    r"(?:'s|\b(?:is|evaluates to|equals|simplifies to|becomes))[ :]+(?:therefore |thus |indeed |also )*(?P<not>not )?"
    r"(?:(?:therefore|thus|deductively|logically|factually) )*"
    r"(?P<word>valid|invalid|true|false|plausible|implausible)(?:[,. ].*)?$",
    re.IGNORECASE,
)
"""A last sentence that names what is judged: "the argument ... is not deductively valid"."""
_PERSON_SAYS = re.compile(
    r"\b(?:people|person|one) would (?:say|answer)\b|^(?:yes|no|true|false|valid|invalid) \(", re.IGNORECASE
)
_RETURNS = re.compile(
    r"\b(?:you|we|i)(?:'re| are| do| will|'ll)?(?P<not> not|n['’]t)?(?: (?:would|end up|be|indeed|also))*"
    r" (?:return(?:ed)?|back|at)\b[^.,]*?\b(?:start|starting point|origin)\b[^,]*$",
    re.IGNORECASE,
)
"""The verdict of `navigate` in words."""
_CHAIN = re.compile(
    r"\b(?:is|are|get|gives|so|thus|order|result|words|list)(?: now)?[:*\s]+[*`]*"
    r"([a-z][a-z'-]*(?:(?:\s?[,<→]\s?| -> )[a-z][a-z'-]*){2,}"
    r"|(?:(?<=: )|(?<=\*\*))[a-z][a-z'-]*(?: [a-z][a-z'-]*)+)[*`]*$",
    re.IGNORECASE,
)
_NEGATED = {"valid": "invalid", "plausible": "no", "implausible": "yes", "invalid": "valid"}
_CHOSEN = re.compile(
    r"\b(?:is|corresponds? to|match(?:es)?|choose|select|pick|recommend|go|be)(?: with)?:? (?:the )?"
    r"(?:option |choice |statement |sentence )?\(([A-Z])\)",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    r"\boption \(?[A-Z]\)?[*_]{0,2} (?:is|would be)(?: (?:the|therefore|thus|indeed|most|clearly)){0,2} "
    r"(?:correct|right|best|answer)\b",
    re.IGNORECASE,
)
_LETTER_IN_MATHS = re.compile(r"\$\(?([A-H])\)?\$(?= is the\b)")
_BETWEEN = re.compile(
    r"\b(?:from|between) ([0-9]{1,2}(?::[0-9]{2})?[ap]m (?:to|and) [0-9]{1,2}(?::[0-9]{2})?[ap]m)\W*$", re.IGNORECASE
)
_MOST = re.compile(
    r"^(?:the )?(?:\w+est|first|last|leftmost|rightmost|most \w+|least \w+)\b|^the (?:second|third|fourth)\b",
    re.IGNORECASE,
)
_IS_RIGHT = re.compile(
    r"(?:option )?\(([A-Z])\) is the (?:right|correct|best|only) (?:option|choice|answer);", re.IGNORECASE
)
_CLOSEST = re.compile(
    r"the [a-z ]*\b(?:most|best|closest|correct|right) "
    r"(?:[a-z]+ )?(?:similar|answer|choice|option|match|movie|film|edit) is: ([^:\n]{1,80})",
    re.IGNORECASE,
)
_TRUTH = re.compile(r"[A-Z]\w+ (?P<not>(?:does not|doesn['’]t) )?tells? the truth\W*")
_EXAMINED = re.compile(
    r"\b(?:consider\w*|look\w*|examin\w+|check\w*|analy[sz]\w+|start\w*|evaluat\w+)\b", re.IGNORECASE
)
_DESCRIBED = re.compile(
    r"[A-Z]\)?[*:]* (?:says|states|claims|means|describes"
    r"|is (?!the\b|correct|right|true|best|sarcastic|consistent)|has|was|would|goes|starts|follows)\b"
)
"""What a sentence says of an option on the way."""
_BOLD_OPTION = re.compile(r"\*\*(?:[Oo]ption )?\(?[A-Z]\b")
_SO_OPTION = re.compile(
    r"(?:[,—–-]\s*(?:(?:so|thus|hence|therefore|i\.e\.),?)?|→|=|=>|:)\s*[*_]*"
    r"(?:(?:option|statement|sentence|choice|answer) )?"
    r"(?:(\([A-Z]\))|([A-Z]))\W*$",
    re.IGNORECASE,
)
_NAMED_OPTION = re.compile(
    r"\(([A-Z])\)|\b(?:[Oo]ption|[Ss]tatement|[Ss]entence|[Cc]hoice) ([A-Z])\b|\*\*([A-Z])(?:\*\*|\W*$)"
    r"|(?<![\w'(])([B-HJ-Z])(?=[.!*]*$)|^([A-HJ-Z])(?= is the\b)"
)
_ASIDE = re.compile(r",? (?:while|whereas)\b.*", re.IGNORECASE)
_TICKED = re.compile(
    r"^[\s>*-]*(?:(?P<box>\[[ xX✓✔]\]|[☑☐✅❌✓✔✗✘])\s*)?(?P<what>\(?[A-Z]\)[^\n]{0,200}?|[A-Za-z]{2,7})"
    r"(?:[:\s–—-]+(?P<mark>[✅❌✓✔✗✘]|yes|no|true|false|correct|incorrect|wrong|right))?[\s*.]*$",
    re.IGNORECASE,
)
"""A line of a list of options that are ticked or crossed out."""
_TICKS = frozenset(("[x]", "[✓]", "[✔]", "☑", "✅", "✓", "✔", "yes", "true", "correct", "right"))
_ASKED = re.compile(r"\?[*_\s]+(yes|no|true|false|valid|invalid)\b[*_.!]*[ \t]*$", re.IGNORECASE | re.MULTILINE)
"""A question that the text asks and answers on one line."""
_COMPLEMENT = re.compile(
    r"^[^\n]*\b(?:is|are) (?!(?:that|because|to)\b)(?:(?:dancing|playing|partnered|left) with )?(?:the )?(.{1,60})$"
)
_MARKED = re.compile(r"\*\*([^*\n]{1,80})\*\*|(?<![\w])['\"“‘]([^'\"“”’\n]{1,80})['\"”’](?![\w])")
_HEADED = re.compile(r"\*\*(?:Option )?(?:(\([A-Z]\))[^*\n]{0,80}|([A-Z])[.):]?)\*\*\.?\n|(\([A-Z]\))\n")
"""A text that starts with the option and explains it then."""
_SEVERAL = re.compile(
    r"\b(?:or|not|nor|either|neither|maybe|perhaps|possibly|both)\b|\b(?:and|but) (?:option )?\(?[A-Z]\b", re.IGNORECASE
)
_OPTION_LINE = re.compile(r"\W*[A-Z][).:]\s")
_FENCE = re.compile(r"```(?:plaintext|text|python|json|bash|txt)(?=\s)")
_CLOSING = re.compile(
    r"\b(?:clos\w+|remaining (?:brackets|parentheses|symbols|part)|missing|complet\w+|needed|rest of the \w+)"
    r"\b[^\n]{0,60}?(?:\b(?:is|are|be|with|by|:)):?"
    r"[*_`$\"'\s]+([\])}>][\])}>\s,]*)[*_`$\"'.\s]*$",
    re.IGNORECASE,
)
_QUOTED_RUN = re.compile(r"`([\])}>][\])}>\s,]*)`|\"([\])}>][\])}>\s,]*)\"|\*\*([\])}>][\])}>\s,]*)\*\*")
_CLOSERS = re.compile(r"[\])}>](?:\s*[\])}>])*")
_TAKEN_BACK = re.compile(r"\b(?:wait|actually|however|on second thought|hmm)\b|\?", re.IGNORECASE)
_BRACKET_NAMES = {
    "\\rangle": ">", "\\langle": "<", "\\gt": ">", "\\lt": "<", "&gt;": ">", "&lt;": "<", "⟩": ">", "⟨": "<",
    "\\rbrack": "]", "\\lbrack": "[", "\\rbrace": "}", "\\lbrace": "{", "\\rparen": ")", "\\lparen": "(",
}  # fmt: skip
_BRACKET_NAME = re.compile("|".join(map(re.escape, sorted(_BRACKET_NAMES, key=len, reverse=True))))
_BRACKET_LEAD = re.compile(r"^(?:the )?(?:final |correct )?(?:answer|sequence)(?:\s+is\s*:?|\s*:)\s*", re.IGNORECASE)
_BRACKET_WRAPPER = re.compile(r"\\(?:boxed|fbox|text[a-z]{0,6}|mathrm|mathtt)\s?\{|\\verb\|")
_LATEX_TEXT = re.compile(r"\\(?:text[a-z]{0,6}|mbox|mathrm|mathbf|boxed|fbox)\s?\{([^{}]*)\}")
_LIST_MARKS = re.compile(
    r"(?:^|(?<=\s))(?:\(?[0-9]{1,3}[.)]|\(?[a-z]\)|[-*•])\s+|[/]\s|[\[\]\"]|(?<!\w)'|'(?!\w)|\s?(?:->|→|<|>|≤|\|)\s?"
)
_SUBJECT = re.compile(
    r"^(?:(?:the|this) (?:argument|statement|sentence|expression|answer|conclusion|claim) "
    r"(?:is|evaluates to) )?(?:deductively )?",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"^(?:(?:so|thus|therefore|hence),? )?"
    r"(?:(?:there (?:are|is)|(?:you|i|we) have) (?=\w))?(?:a total of )?",
    re.IGNORECASE,
)
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_SPACE = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
_MARKUP = _SPACE + "*_`$\"'“”‘’"
_SENTENCE_END = re.compile(r"[.!?;][*_`$\"'\\)\]]{0,4}(?:\s|$)")
_BRACKET_RUN = re.compile(r"[\[\](){}<>\s,\\*_`$\"']*")
_HEDGE = re.compile(r"\b(?:or|and|not|nor|either|neither|maybe|perhaps|possibly|both|but)\b", re.IGNORECASE)


_OPTION_HEDGE = re.compile(
    r"^(?:and|not|but)\b|\b(?:or|nor|either|neither|maybe|perhaps|possibly|both)\b", re.IGNORECASE
)
"""A hedge after an option's letter, where the option's own text may follow."""
_TITLES = re.compile(r"[A-Z][a-z]+ or [A-Z][a-z]+")
"""In an option's own text: `(D) Modifiers or Adjectives`."""
_DISMISSED = re.compile(
    r"^(?:is|was|would be|seems)\b.*\b(?:not|wrong|incorrect|false|impossible)\b"
    r"|\b(?:wrong|incorrect|except|eliminate\w*|exclude\w*|ruled out|rejected|discarded)\b|\?$",
    re.IGNORECASE,
)
_OWN_VERDICT = re.compile(r",| \([^()]*\)$|\s+is (?:the )?(?:most )?(?:correct|right|best|answer|option|choice)\b")
_LETTER_LAST = re.compile(r"([^()\n]{1,200}?)\s*\(([A-Z])\)")
"""An option's text and then its letter: "Facts (F)"."""


_KIND_OF_TASK: dict[str, AnswerKind] = {
    **dict.fromkeys(
        (
            "boolean_expressions",
            "causal_judgement",
            "formal_fallacies",
            "navigate",
            "sports_understanding",
            "web_of_lies",
        ),
        "boolean",
    ),
    "dyck_languages": "brackets",
    "word_sorting": "words",
    "object_counting": "text",
    "multistep_arithmetic_two": "text",
}


def kind_of_task(task: str) -> AnswerKind | None:
    """Return how the answers of a BBH task are read, or None for tasks with other or unknown answers."""
    return _KIND_OF_TASK.get(task.rpartition("/")[2].removeprefix("bbh_cot_fewshot_"))


def kind_of(target: str, choices: Sequence[str], family: Family = "other") -> AnswerKind:
    """Return how answers with this gold target are read; `choices` are the option texts, or empty."""
    if family == "maths":
        return "maths"
    if family == "gsm8k":
        return "number"
    target = target.strip()
    if re.fullmatch(r"\([A-Z]\)", target) or (choices and re.fullmatch(r"[A-Z]", target)):
        return "option"
    if target.casefold() in _ALL_BOOLEANS:
        return "boolean"
    if re.fullmatch(r"[\[\](){}<>\s]+", target):
        return "brackets"
    words = target.split()
    if len(words) > 1 and all(re.fullmatch(r"[a-z][a-z0-9'’.&-]*", word) for word in words):
        return "words"
    return "text"


def extract(text: str, kind: AnswerKind) -> str | None:
    """Return the last answer that the text states, without markup, or None.

    Read are "the answer is X", a line "Answer: X", and a complete, non-empty `\\boxed{X}`; X ends with
    its sentence or line. For options a last line that is only "(B)" counts too. Thinking is skipped: only
    what follows the last `</think>` counts, and nothing does while a `<think>` is still open.
    """
    if kind == "maths":
        return maths_answer(text)
    if kind == "number":
        return number_answer(text)
    rest = after_thinking(text)
    return None if rest is None else own_part(rest, lambda part: _extract(part, kind))


def _extract(text: str, kind: AnswerKind) -> str | None:
    text = _FENCE.sub("```", text)
    if kind == "option":
        text = _LETTER_IN_MATHS.sub(r"(\1)", text)
    found = [_last_statement(text, kind), _last_box(text, kind)]
    for _, answer in sorted((f for f in found if f is not None), reverse=True):
        if answer:
            return answer if len(answer) <= LONGEST_ANSWER else None
    if kind == "option":
        written = text.rstrip().rpartition("\n")[2][: LONGEST_ANSWER + 1]
        last_line = written.strip(_MARKUP + ".")
        if (
            re.fullmatch(r"\([A-Z]\)", last_line)
            or re.fullmatch(r"\*\*\(?[A-Z]\)?\.?\*\*\.?\s*", written)
            or (len(text.strip()) < 8 and re.fullmatch(r"[A-Z]", last_line))
        ):
            return last_line
    return _concluded(text, kind)


def _concluded(text: str, kind: AnswerKind) -> str | None:
    """Return what a last sentence concludes in so many words: one option letter, one boolean, sorted words."""
    tail = text[-2 * LONGEST_ANSWER :].strip()
    lines = [line for line in tail.splitlines() if line.strip(_MARKUP)]
    if not lines:
        return None
    if kind == "words":
        return _listed(text)
    if kind == "brackets":
        led_in = len(lines) > 1 and lines[-2].rstrip(_MARKUP).endswith(":") and _BRACKET_RUN.fullmatch(lines[-1])
        closing = _CLOSING.search((f"{lines[-2]} {lines[-1]}" if led_in else lines[-1])[-400:])
        if closing:
            return closing[1].strip()
        runs = _QUOTED_RUN.findall(lines[-1][-400:])
        if len(runs) == 1 and not re.search(r"\b(?:stack|input|first|next|step)\b", lines[-1], re.IGNORECASE):
            return "".join(runs[0]).strip()
        before = lines[-2] if len(lines) > 1 else ""
        return lines[-1].strip() if _CLOSERS.fullmatch(lines[-1].strip()) and not before.endswith(":") else None
    if kind == "boolean":
        for alone in (lines[-1], lines[-1].rpartition(". ")[2]):
            if (word := alone.strip(_MARKUP + ".!")).casefold() in _ALL_BOOLEANS:
                return word
    if kind in ("option", "boolean") and (ticked := _ticked(lines)):
        return ticked
    if kind in ("option", "text") and (closest := _CLOSEST.fullmatch(lines[-1].strip(_MARKUP + "."))):
        return closest[1]
    found = last_sentence(tail)
    if found is None:
        return None
    last, followed = found[0].strip(_MARKUP), found[1]
    if kind == "option":
        return _option_of(tail, lines, found[0], followed)
    labelled = labelled_value(tail, found[0]) or ""
    if kind == "boolean" and (verdict := _judged(text, last)):
        return verdict
    if kind == "boolean" and (word := labelled.strip(_MARKUP + ".!")).casefold() in _ALL_BOOLEANS:
        return word
    sides = re.split(r"=|→|=>|⇒", last)
    if kind == "boolean" and sides[1:] and (word := sides[-1].strip(_MARKUP + ".!")).casefold() in _ALL_BOOLEANS:
        return word
    if kind == "text" and (named := _complement(tail, found[0], followed)) and not re.search(r"[0-9]", named):
        return named
    if _UNSURE.search(last):
        return None
    if kind == "boolean":
        claim, concluded = claim_of(last)
        words = re.findall(r"\b(?:true|false|yes|no|valid|invalid)\b", claim, re.IGNORECASE)
        whole = _PERSON_SAYS.search(claim) is not None
        if (concluded or whole) and len(words) == 1 and not _HEDGE.search(re.sub(r"^no\b.*", "", claim)):
            return str(words[0])
    if kind == "text" and re.search(rf"[0-9]|\b(?:{'|'.join(NUMBER_WORDS)})\b", last, re.IGNORECASE):
        return number_answer(tail)
    return None


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
        return None
    letter = re.match(r"\(?([A-Z])\)", ticked[0])
    return f"({letter[1]})" if letter else ticked[0]


def _option_of(tail: str, lines: Sequence[str], sentence: str, followed: bool) -> str | None:
    """Return the option that the last sentence picks, by its letter or else by its text."""
    last = sentence.strip(_MARKUP)
    if (head := _HEADED.match(tail)) and len(re.findall(r"\([A-Z]\)", tail)) <= 1:
        return head[1] or head[2] or head[3]
    if tail.endswith(sentence) and re.fullmatch(r"[Oo]ption \(?[A-Z]\)?", last) and not lines[-1].startswith(last):
        return None  # cut off
    claim, concluded = claim_of(last.rstrip(".*_ "))
    claim = _ASIDE.sub("", claim)
    if re.search(r"\b(?:is|are) true, but\b", claim):
        return None
    if right := _IS_RIGHT.match(claim):
        return f"({right[1]})"
    if letter := _chosen(claim):
        return letter
    if _DOUBT.search(last):
        return None
    if (
        (so := _SO_OPTION.search(last))
        and not (_UNSURE.search(last) or PREMISE.search(last))
        and (not _EXAMINED.search(last) or re.search(r"\b(?:so|thus|hence|therefore)\W*\(?[A-Z]\W*$", last))
    ):
        return so[1] or f"({so[2]})"
    if not (len(lines) > 1 and _OPTION_LINE.match(lines[-2]) and _OPTION_LINE.match(lines[-1])):
        found = ["".join(letters) for letters in _NAMED_OPTION.findall(claim)]
        finished = followed or re.search(r"[.!*)\]`]$", tail) is not None
        if (
            len(found) == 1
            and not (_SEVERAL.search(claim) or _UNSURE.search(claim))
            and (concluded or _picked(last) or (finished and _named(claim)))
        ):
            return f"({found[0]})"
        if found:
            return None
    return _complement(tail, sentence, followed)


def _complement(tail: str, sentence: str, followed: bool) -> str | None:
    """Return the words that a finished last sentence sets apart, or that a conclusion says something is."""
    if not (followed or re.search(r"[.!*`'\")]$", tail)) or _DOUBT.search(sentence):
        return None
    claim, concluded = claim_of(sentence.strip(" .!"))
    marked: list[str] = [bold or quoted for bold, quoted in _MARKED.findall(claim)]
    overall: list[str] = re.findall(r"\*\*([^*\n]{1,80})\*\*", tail)
    if len(marked) == 1 and (concluded or "**" in claim) and not (PREMISE.search(claim) or _EXAMINED.search(claim)):
        return marked[0].rstrip(".")
    if concluded and (hours := _BETWEEN.search(claim)):
        return hours[1]
    if len(overall) == 1 and not overall[0].rstrip().endswith((":", "?")):
        return overall[0].rstrip(".")
    if concluded and (said := _COMPLEMENT.match(claim.replace("*", ""))):
        if _MOST.match(said[1]):
            said = re.match(r"(?:we can conclude that )?(.{1,80})$", claim.replace("*", "")) or said
        return (
            None
            if _SEVERAL.search(said[1]) or _UNSURE.search(said[1]) or PREMISE.search(claim)
            else said[1].strip(_MARKUP + ".")
        )
    return None


def _named(claim: str) -> bool:
    """Return whether a sentence with one option says no more than that it is the one, without examining it."""
    return not (
        PREMISE.search(claim) or _EXAMINED.search(claim) or _DISMISSED.search(claim) or _DESCRIBED.search(claim)
    )


def _picked(last: str) -> bool:
    """Return whether a sentence with one option starts with it, sets it in bold or calls it right."""
    if re.match(r"[*_]{0,2}(?:option )?\(?[A-Z]\)", last, re.IGNORECASE):
        return not re.match(
            r"\W*(?:option )?\(?[A-Z]\) (?:says|states|claims|means|describes|follows|has|was|would)\b", last, re.I
        ) and (
            last[-1] in ".!*"
            or not re.search(r"\):?\s.*?\b(?:says|states|claims|means|describes)\b|\) (?:is|are|has|was|would)\b", last)
        )
    if PREMISE.search(last) or _EXAMINED.search(last):
        return False
    return any(pattern.search(last) for pattern in (_BOLD_OPTION, _RIGHT))


def _chosen(last: str) -> str | None:
    """Return the one option that a clause of the last sentence picks: "..., which corresponds to (C)"."""
    claim = re.sub(r"[*_`\"]", "", last)
    found = list(_CHOSEN.finditer(claim))
    if len(found) != 1 or PREMISE.search(claim) or re.search(r"\b(?:whether|maybe|perhaps|might)\b", claim, re.I):
        return None
    clause = claim[: found[0].end()].rpartition(",")[2] + REASON.split(claim[found[0].end() :])[0]
    return None if _UNSURE.search(clause) or _HEDGE.search(clause) else f"({found[0][1]})"


def _judged(text: str, last: str) -> str | None:
    """Return the boolean that the last sentence, or a short text's first word, gives as the verdict."""
    plain = re.sub(r"[*_`]", "", last).strip(" .!")
    for said in (plain, re.sub(r"[*_`]", "", text[:LONGEST_ANSWER]).strip()):
        first = re.match(r"(yes|no|true|false|valid|invalid)(?=[,.;:\n]|\s[-–—])", said, re.IGNORECASE)
        others = {word.casefold() for word in re.findall(r"\b(?:yes|no|true|false)\b", said, re.IGNORECASE)}
        if first and not _TAKEN_BACK.search(said) and len(others | {first[1].casefold()}) == 1:
            return first[1]
    if asked := {word.casefold() for word in _ASKED.findall(text[-2 * LONGEST_ANSWER :])}:
        return asked.pop() if len(asked) == 1 else None
    if alone := re.fullmatch(r"(not )?(?:deductively |factually )?(plausible|implausible|valid)", plain, re.IGNORECASE):
        return (
            _NEGATED[alone[2].lower()]
            if alone[1]
            else {"plausible": "yes", "implausible": "no"}.get(alone[2].lower(), alone[2])
        )
    claim, concluded = claim_of(plain)
    if (truth := _TRUTH.fullmatch(claim)) and (concluded or text.rstrip(" .*").endswith(f"\n\n{plain}")):
        return "No" if truth["not"] else "Yes"
    if concluded and (back := _RETURNS.search(claim)) and not (_DOUBT.search(plain) or "?" in plain):
        return "No" if back["not"] else "Yes"
    if concluded and (said_so := re.match(r"(yes|no), ", claim, re.IGNORECASE)) and not _DOUBT.search(plain):
        return said_so[1]
    verdict = _VERDICT.search(plain)
    if verdict is None or re.search(
        r"\b(?:if|whether|maybe|perhaps|might|could|unless|or|first|second|third|next|step)\b", plain, re.IGNORECASE
    ):
        return None
    word = verdict["word"].lower()
    if verdict["not"]:
        return _NEGATED.get(word)
    if word in ("plausible", "implausible"):
        return "yes" if word == "plausible" else "no"
    return verdict["word"]


def _listed(text: str) -> str | None:
    """Return the words after "sorted list:" or "in alphabetical order:", on one line or one a line."""
    found = list(_SORTED.finditer(text[-2 * LONGEST_ANSWER :]))
    if not found:
        led = line_alone(text[-LONGEST_ANSWER:])
        if led and re.fullmatch(r"\[(?:['\"][^'\",]{1,60}['\"],?\s*){2,}\]", led):
            return " ".join(re.findall(r"['\"]([^'\",]+)['\"]", led))  # a Python list
        if chain := _CHAIN.search(text[-LONGEST_ANSWER:].strip(_MARKUP + ".")):
            return " ".join(re.findall(r"[a-z'-]+", chain[1]))
        if listed := _numbered(text[-LONGEST_ANSWER:].strip().splitlines()):
            return listed
        words = re.split(r"\s*[,\n]\s*", text.strip(_MARKUP + ".")) if len(text) < LONGEST_ANSWER else []
        return (
            " ".join(words) if len(words) > 1 and all(re.fullmatch(r"[a-z][a-z'-]*", word) for word in words) else None
        )
    return _word_lines(text[-2 * LONGEST_ANSWER :][found[-1].end() :]) or None


def _numbered(lines: Sequence[str]) -> str | None:
    """Return the words of a numbered list that the text ends with."""
    words: list[str] = []
    for line in reversed(lines):
        entry = re.fullmatch(r"\s*[0-9]{1,3}[.)]\s+[*`]*([\w'-]{1,60})[*`]*\s*", line)
        if entry is None:
            break
        words.append(entry[1])
    return " ".join(reversed(words)) if len(words) > 1 else None


def _word_lines(after: str) -> str:
    """Return the words of the first line, or of the numbered or bulleted lines that follow an empty one."""
    first, _, rest = after.lstrip(" \t*_:`").partition("\n")
    if first.strip(_MARKUP):
        return _bare(first, "words")
    words: list[str] = []
    for line in rest.splitlines():
        if not line.strip(_MARKUP):
            if words:
                break
            continue
        if entry := re.fullmatch(r"\s*(?:(?:[0-9]{1,3}[.)]|[-*•])\s+([^\s].{0,60}?)|([\w'-]{1,60}))\s*", line):
            words.append(_bare(entry[1] or entry[2], "words"))
        else:
            if not words:
                return _bare(line, "words") if len(line) <= LONGEST_ANSWER else ""
            break
    return " ".join(words)


def equal(answer: str, target: str, kind: AnswerKind, choices: Sequence[str]) -> bool:
    """Return whether an extracted answer is the gold target.

    Options: the letter with or without parentheses, alone or followed by words that name no second
    answer, or the text of that choice. Booleans: the same word; `yes` is not `True`. Brackets: equal
    without spaces. Words: the same words in the same order. Text: equal without case, spaces and markup,
    plain numbers by value. Hedges ("(A) or (B)") and empty answers are never equal.
    """
    if len(answer) > LONGEST_ANSWER:
        return False
    answer, target = _plain(answer, kind), _bare(target, kind)
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
        if "," in answer and " and " not in f" {target} ":
            answer = re.sub(r",?\s+and\s+(?=\S+$)", ", ", answer)
        if (led := _SORTED.search(answer[:80])) is not None:
            answer = answer[led.end() :]
        answer = _LIST_MARKS.sub(" ", re.sub(r"\*+|`", "", answer)).strip()
        answer, target = (side.casefold().replace("’", "'") for side in (answer, target))
        return re.split(r"[\s,;]+", answer) == re.split(r"[\s,]+", target)
    if _text_form(answer) == _text_form(target):
        return True
    if maths.plain_number(target) is None:
        return False
    answer = re.sub(r"\s\([a-z -]+\)$", "", _COUNTED.sub("", answer))  # a total of 6 (six)
    word, _, rest = answer.partition(" ")
    if word.casefold() in NUMBER_WORDS and rest:
        answer = f"{NUMBER_WORDS[word.casefold()]} {rest}"  # fifteen fruits
    return maths.compare(target, answer).equal is True


def compare(answer: str, target: str, kind: AnswerKind, choices: Sequence[str], prove: Prover | None = None) -> Verdict:
    """Return whether an extracted answer is the gold target, and which rule decided.

    `prove` is asked about maths that the rules cannot read; without it such pairs stay undecided (None).
    """
    if kind in ("maths", "number"):
        verdict = maths.compare(target, answer)
        if prove is not None and maths.left_to_prove(verdict, target, answer):
            return prove(maths.unwrapped(target), maths.unwrapped(answer))
        return verdict
    same = equal(answer, target, kind, choices)
    return Verdict(same, f"{kind} rule")


def certain(answer: str, kind: AnswerKind) -> bool:
    """Return whether an extracted text names an answer of its kind, and is no hedge."""
    if kind == "boolean":
        return _boolean(_plain(answer, kind)) is not None
    if kind == "brackets":
        return re.fullmatch(r"[\[\](){}<>\s,\\]+", _plain(answer, kind)) is not None
    if kind == "option" and _option_letter(_plain(answer, kind), ()) is None:
        return re.search(r"\w", answer) is not None and not (
            _HEDGE.search(answer) or _UNSURE.search(answer) or re.search(r"\([A-Z]\)", answer)
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
        return " ".join(word for word in re.split(r"[\s,]+", _plain(answer, kind)) if word)
    if kind == "text" and (value := maths.rational(answer)) is not None and value.denominator == 1:
        return str(value.numerator)
    return answer


def outcome(
    text: str,
    finish_reason: FinishReason,
    target: str,
    choices: Sequence[str],
    family: Family = "other",
    prove: Prover | None = None,
) -> tuple[str | None, Outcome]:
    """Return (extracted answer, outcome) of one completion.

    A text cut at the token limit is `truncated` and has no answer, whatever it said on the way.
    """
    if finish_reason == "length":
        return None, "truncated"
    kind = kind_of(target, choices, family)
    answer = extract(text, kind)
    if answer is None:
        return None, "unparsable"
    verdict = compare(answer, target, kind, choices, prove)
    if verdict.equal is None:
        return answer, "unparsable"
    return answer, "right" if verdict.equal else "wrong"


def _last_statement(text: str, kind: AnswerKind) -> tuple[int, str] | None:
    match = None
    for found in reversed(deque(_STATEMENT.finditer(text), maxlen=20)):
        if not unsure_before(text[max(0, found.start() - 60) : found.start()]):
            match = found
            break
    if match is None:
        return None
    if kind == "words":
        return match.start(), _word_statement(text[match.end() : match.end() + 2 * LONGEST_ANSWER])
    # One character more than an answer may have, so that `extract` can tell a run-on line.
    window = text[match.end() : match.end() + 2 * LONGEST_ANSWER].lstrip(_MARKUP + ":")
    if kind in ("boolean", "option"):
        window = re.sub(r"^[-–—•] ", "", window)
    return match.start(), _stated(window.partition("\n")[0], kind)


def _word_statement(after: str) -> str:
    after = after.lstrip(" \t*_:`$")
    return _word_lines(after) if after.startswith("\n") else _stated(after.lstrip(_MARKUP).partition("\n")[0], "words")


def _stated(line: str, kind: AnswerKind) -> str:
    """Return the answer at the start of a line, up to the end of its sentence."""
    if kind == "brackets":
        run = _BRACKET_RUN.match(line)
        if run and (brackets := _bare(run[0], kind)):
            return brackets
    end = _SENTENCE_END.search(line)
    if end and end[0].startswith("?"):
        return ""
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
    inside = re.sub(r"\\(?:[;,:!]|q?quad(?![a-z]))", " ", inside)
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


def _option_letter(answer: str, choices: Sequence[str]) -> str | None:
    """Return the one letter that the answer names; None where it names none, several or a wrong text."""
    texts = [_folded(choice.strip().removesuffix(".")) for choice in choices]

    def letter_of(text: str) -> str | None:
        text = _folded(text)
        return chr(ord("A") + texts.index(text)) if texts.count(text) == 1 else None

    answer = re.sub(r"^(?:option|choice|answer|sentence|statement)\s+(?=\(?[A-Z]\b)", "", answer, flags=re.IGNORECASE)
    if alone := re.fullmatch(r"[(\[{<]?\s?([A-Za-z])\s?[)\]}>]?,?", answer):
        return alone[1].upper()
    stated = re.match(
        r"(?:\(([A-Za-z])\)|([A-Z])(?:[):.]|\s[-–—](?=\s))|([A-HJ-Z])(?=, | is\b| \())[\s:,.–—-]*", answer
    )
    if stated is None:
        named = _LETTER_LAST.fullmatch(answer)
        if named and not (_HEDGE.search(named[1]) or _UNSURE.search(named[1]) or _DISMISSED.search(named[1])):
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
    answer = _SUBJECT.sub("", answer.casefold(), count=1)
    if not _TAKEN_BACK.search(answer):
        answer = re.split(r",?\s+(?:because|since)\s", answer, maxsplit=1)[0]
    if answer.strip(_MARKUP + ".") in ("not valid", "not deductively valid"):
        return "invalid"
    head, _, rest = re.sub(r"\s+[-–—]+\s+|;|(?<=\w)\s+\(|(?<=\w)\.\s+", ", ", answer, count=1).partition(",")
    word = head.strip(_MARKUP + "!()")
    if word not in _ALL_BOOLEANS:
        return None
    doubts = {match.casefold() for match in _HEDGE.findall(rest)}
    if word in ("no", "false", "invalid") and not re.search(r"\b(?:sure|certain|clear)\b", rest):
        doubts -= {"not"}
    return None if doubts or _ALL_BOOLEANS & set(re.findall(r"\w+", rest)) else word


def _text_form(answer: str) -> str | Decimal:
    """Return the value of a plain number, else the text without case and repeated spaces."""
    number = answer.replace("−", "-").replace("\\,", "").replace("{,}", ",")
    if re.fullmatch(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?", number):
        return Decimal(number.replace(",", ""))
    return _folded(answer)
