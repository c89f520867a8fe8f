"""Which boolean a text settles on in its closing sentences, where nothing marks the answer."""

from __future__ import annotations

import re

from capgap_ray.core.closing import STOP, closing, ends_search, without_markup
from capgap_ray.core.extraction import CONCLUSION, REFUSED, breaks_off

_WORD = r"(?P<word>yes|no|true|false|valid|invalid)"
_JUDGED = (
    r"(?:whole|argument|reasoning|inference|statement|sentence|expression|claim|conclusion|deduction|result|value|output"
    r"|answer|what(?:['’]s| is)? (?:left|remains)|what)"
)
_NO_PART = r"(?! (?:inside|within|on the (?:left|right)|in (?:the )?(?:\w+ )?(?:parenthes[ei]s|brackets))\b)"
_NEGATION = re.compile(r"\b(?:not|never|no longer|neither|nor|nobody|nothing)\b|n['’]t\b", re.IGNORECASE)
_IS_NOT = re.compile(r"\b(?:is|does|do|did|was) not\b|n['’]t\b", re.IGNORECASE)
_HOME = (
    r"(?:(?:the |your |our |its |my )?(?:original |initial )?(?:start(?:ing)?|origin|beginning)"
    r"(?: (?:point|position|place|location|spot))?|where (?:you|we|i|it|they|he|she) (?:start|began|begin|were"
    r"|was)\w*|home)"
)
_SAID = tuple(
    (re.compile(pattern, re.IGNORECASE), true, false)
    for pattern, true, false in (
        (rf"^[^\w=→⇒]*(?:(?:is|indeed|answer|option|verdict|conclusion|judge?ment)\b[\s:]*)*\b{_WORD}\W*$", "", ""),
        (
            r"(?:\b(?:would|to|['’]d|will|i|we) (?:(?:therefore|thus|then) )?(?:say|answer|reply|respond|go with|pick"
            r"|choose|select|conclude)(?: that)?"
            r"|\bis|\bwith|\boption|\banswer|['’]s)[\s:\"'“(]+"
            r"(?P<word>yes|no)(?:\W*$|[\"'”]? (?:to|for|in|here|on)\b)",
            "", "",
        ),
        (
            rf"^(?:\W|(?:so|the|this|that|entire|full|final|overall|complete|original|boolean|logical)\b)*{_JUDGED}\b{_NO_PART}"
            r".*(?:\b(?:is|be|becomes|equals|as|makes?|gives?|yields?|to|a)\b|['’]s)[^()=]{0,25}?(?P<word>\btrue|\bfalse)\W*$",
            "", "",
        ),
        (r"\b(?:(?:end up|left) with|makes? (?:\w+ ){0,4})\W*(?P<word>true|false)\W*$", "", ""),
        (r"\bvalid\b(?! (?:if|when|only)\b)", "valid", "invalid"),
        (r"\binvalid\b(?! (?:if|when|only)\b)", "invalid", "valid"),
        (r"(?<!answer is )(?<!answer is not )\bplausible\b", "yes", "no"),
        (r"\bimplausible\b", "no", "yes"),
    )
)  # fmt: skip
"""What is said only of what is judged, and which word it means, plain and denied."""
_DRAWN = tuple(
    (re.compile(pattern, re.IGNORECASE), true, false)
    for pattern, true, false in (
        (rf"^\W*[=→⇒]\W*{_WORD}\W*$", "", ""),
        (r"\b(?:sentence|statement|it) makes (?:perfect )?sense\b", "yes", "no"),
        (
            r"\bconclusion (?:\w+ ){0,3}"
            r"(?:follows?|holds?|is (?:supported|entailed|implied|guaranteed|a logical consequence))\b"
            r"|\bpremises (?:\w+ ){0,3}(?:support|entail|imply|guarantee|establish|yield|prove)s? the conclusion\b",
            "valid", "invalid",
        ),
        (rf"\b(?:steps?|units?|paces?)\b.{{0,30}}\b(?:away|from|off|of|short)\b.{{0,20}}\b{_HOME}", "No", ""),
        (rf"\b(?:return\w*|back|at|reach\w*)\b.{{0,30}}?\b{_HOME}\b", "Yes", "No"),
        (r"\b(?:tell(?:s|ing)? the truth|truth[- ]?tell(?:er|ing)|truthful|honest)\b", "Yes", "No"),
        (r"\b(?:lies|lying|liar)\b", "No", "Yes"),
        (
            r"\b(?:would|people|persons?|respondents?|participants|most) (?:\w+ )?(?:say|agree|judge|think"
            r"|consider|hold"
            r"|conclude|regard|see|view|answer) (?:that|\w+ as)\b.*",
            "Yes", "No",
        ),
    )
)  # fmt: skip
"""What is said on the way, too: it counts as a conclusion or where nothing follows it."""
_HYPOTHETICAL = re.compile(
    r"\b(?:if|unless|whether|suppose|assum\w+|were|in order to|would\b(?! (?:\w+ )?(?:say|answer|reply|respond|agree"
    r"|judge|think|consider|hold|conclude|regard|see|view|pick|choose|go|call|label)\b)|could|might|maybe|perhaps"
    r"|(?<!has )(?<!have )to be"
    r"|says|said|claims?|states?|asks?|either|otherwise|some|others|one (?:could|might)|at first|seems?"
    r"|appears?|here comes|(?:begin|start)s? (?:at|from)|only when|show|prove|check|first|second|next|step)\b"
    r"|['’]d (?:have|need)\b|\b(?:yes or no|(?:in)?valid or|not or|or not)\b",
    re.IGNORECASE,
)
_BREAKS_OFF = re.compile(r"\bwould\b(?!.*\b(?:yes|no)\W*$)", re.IGNORECASE)
"""What people would say, in a sentence that is cut before it says that."""
_STEP = re.compile(r"(?:→|=>)[^→>]*:\s*\[(?:yes|no)\]")
"""What a step finds of one person: "she tells the truth → Jim: ✗"."""
_REASON = re.compile(
    r"\W*(?:because|since|as|although|though|even though|while|whereas|given that|whatever)\b", re.IGNORECASE
)
_VERDICT_CLAUSE = re.compile(
    r"[:;,]\s|\s[-–—]+\s|\s(?=(?:but|while|whereas|because|since|although|though|even though|so)\b)|(?=→|=>|⇒|=)"
    r"|\sand (?=(?:(?:so|thus|hence|therefore|that),? )?(?:the|this) (?:argument|reasoning|inference|deduction) is\b)",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"\W*(?:\[(?P<before>yes|no)\]\W*)?{_WORD}(?:\W*\[(?P<after>yes|no)\])?\W*", re.IGNORECASE)
"""A line or sentence that is one of the words, ticked, crossed out or neither."""
_LEAD = re.compile(r"^\W*(?:conclusion|verdict|final (?:answer|verdict)|answer)\W*", re.IGNORECASE)
_INDIRECT = re.compile(
    r" (?:to the question (?:of )?|when asked )(?:whether|if)\b[^,]*?(?=,| is (?:yes|no)\b|$)", re.IGNORECASE
)
_SUPPOSED = re.compile(r"^\W*(?:(?:and|but) )?(?:if|unless|otherwise|when|suppose|assum\w+)\b", re.IGNORECASE)
_CONNECTIVES = re.compile(r"^\W*(?:(?:so|therefore|thus|hence|then|in fact|and|yes|no),? (?=\w))+", re.IGNORECASE)


def claimed_verdict(text: str) -> str | None:
    """Return the boolean that the end of a text settles on, or None."""
    end = closing(text, without_markup)
    if end is None:
        return None
    units, finished = end
    alone = [_ALONE.fullmatch(unit[1]) for unit in units]
    finished = finished or alone[-1] is not None
    settled = True
    for place, (_, sentence) in reversed(list(enumerate(units))):
        if found := alone[place]:
            mark = found["before"] or found["after"]
            beside = any(alone[other] for other in (place - 1, place + 1) if 0 <= other < len(units))
            if mark == "yes" or not (mark or beside):
                return found["word"]
            continue  # one of the options
        if ends_search(sentence):
            return None
        last = place == len(units) - 1
        if last and (breaks_off(text.rstrip()) or (not finished and _BREAKS_OFF.search(sentence))):
            return None
        verdict = _verdict_of(sentence, last, settled)
        if verdict is not None:
            return None if verdict == STOP else verdict
        settled = settled and not any(said.search(sentence) for said, *_ in _DRAWN)
        if not finished or REFUSED.search(sentence):
            return None
    return None


def _verdict_of(sentence: str, last: bool, settled: bool) -> str | None:
    """Return the boolean that a sentence gives, `STOP` where it quotes one, or None.

    `last`: nothing follows it. `settled`: no sentence after it says such things of others.
    """
    plain = re.sub(r"\[(?:yes|no)\]|\s\([^()]*\)$", "", sentence.strip(" .!"))
    plain = re.sub(r"^.*\b(?:enough|suffices|sufficient) to (?:show|prove|see) that ", "", plain)
    if _STEP.search(sentence) or re.match(r"\W*(?:if|unless|suppose|assum\w+)\b", plain, re.IGNORECASE):
        return None
    if re.search(r"[\"”] or [\"“]", sentence):
        return STOP
    if re.search(r"\b(?:some|others|might|one could)\b.*\b(?:yes|no)\b(?!.*\bbut\b)", plain, re.IGNORECASE):
        return STOP
    settled = settled and not ("|" in plain or _HYPOTHETICAL.search(plain))
    drawn = any(pattern.match(plain) for pattern in (CONCLUSION, _LEAD))
    claim = _LEAD.sub("", CONCLUSION.sub("", plain, count=1) if CONCLUSION.match(plain) else plain)
    found: list[str] = []
    supposed = False
    for clause in _VERDICT_CLAUSE.split(_INDIRECT.sub("", claim)):
        supposed, after_supposition = _SUPPOSED.search(clause) is not None, supposed
        if _REASON.match(clause) or _HYPOTHETICAL.search(clause) or supposed:
            continue
        concluded = drawn or _CONNECTIVES.match(clause) is not None
        if after_supposition and not concluded:
            continue
        clause = _CONNECTIVES.sub("", clause)
        counts = _DRAWN if (settled or drawn) and (concluded or last) else ()
        for pattern, true, false in (*_SAID, *counts):
            if (match := pattern.search(clause)) is None:
                continue
            said = clause[: match.end()]
            if word := match.groupdict().get("word"):
                if word.lower() in ("true", "false") and _IS_NOT.search(said):
                    word = "False" if word.lower() == "true" else "True"
            else:
                word = false if len(_NEGATION.findall(said)) % 2 else true
            found += [word] if word else []
            break
    own = re.findall(r"\b(?:yes|no)\b", plain, re.IGNORECASE)  # as the text has it
    return next((word for word in (*own, *found) if found and word.casefold() == found[-1].casefold()), None)
