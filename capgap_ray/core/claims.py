"""Which of its options a text settles on in its closing sentences, where nothing marks the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from capgap_ray.core.closing import LETTER, STOP, closing, ends_search, without_markup
from capgap_ray.core.extraction import REFUSED
from capgap_ray.core.number_words import NUMBER_WORDS

_NOUN = r"(?:options?|statements?|sentences?|choices?|answers?|letters?|categor(?:y|ies)|versions?|edits?|intervals?)"
_NAMING = re.compile(rf"{_NOUN}|and")
_WRITTEN = tuple(
    (re.compile(pattern, re.MULTILINE), form)
    for pattern, form in (
        (r"\\\(\s*\(?([A-Z])\)?\s*\\\)|\$\(?([A-H])\)?\$|(?<!\w)\[([A-Z])\]", ""),  # in maths or in square brackets
        (r"\*{1,3}(?:Option )?\(?([A-Z])[).:]{0,2}\*{1,3}", ""),  # in bold
        (r"\b((?i:option|choice|statement|sentence|answer|pick|choose|select|go with)) \(?([a-r])\)", r"\1 (\2)"),
        (r"\b(is|are) \(([a-r])\)(?=[.,;]|$)", r"\1 (\2)"),
        (rf"\((?i:{_NOUN}) ([A-Z])\)", ""),
        (rf"\b((?i:{_NOUN}))[:,]? [\"“]?\(?([A-Z])\b\)?(?!['’])[\"”]?(?=\W|$)", r"\1 (\2)"),
        (r"^([\s>•#-]*)\(?([A-Z])[).](?=\s)", r"\1(\2)"),  # as a list has it
        (r"(?<=\s)([A-Z])\)(?=\s|[.,]|$)", ""),
        (
            r"(?<!\S)(?!Q:)([B-HJ-R])(?=[.,;:!]\s|[.!]$|\s(?:is|has|fits|matches|works|follows|and|or|but|because)\b)",
            "",
        ),
        (
            r"(?:(?<=\bis )|(?<=\bbe )|(?<=\bto )|(?<=\bwith )|(?<=\bpick )|(?<=\bso )|(?<=[,→=] )|(?<=\n\n)"
            r"|(?<=: ))([A-R])"
            r"(?=[.,;!]|$)(?<!\nA)(?<![s:,e→=] [A-R](?=\s*\Z))",
            "",
        ),
        (r"(?<![\w'’\"“(])(A)(?= (?:is|has) (?:the\b|better|best|right|correct|sarcastic))", ""),
        (r"\A([A-R])$", ""),
    )
)
"""How the letter of an option is written beside `(B)`."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")
_ORDINAL = re.compile(
    rf"\bthe ({'|'.join(_ORDINALS)})(?: (?:sentence|statement|option|edit|one|version))", re.IGNORECASE
)
_SAME = re.compile(r"(\([A-Z]\))(?:[,:]? (?:\1|[\"“][^\"”\n]{1,90}[\"”]|\((?![A-Z]\))[^()\n]{1,90}\)))+,?")
"""An option named twice, or with its text in quotes."""
_SEVERAL = re.compile(
    r"\([A-Z]\)(?:(?:(?:,| and| or| nor| to| through|, and|, or|/|–|-) ?)(?:the )?(?:options? "
    r"|statements? )?\([A-Z]\))+"
)
_CLAUSE = re.compile(
    r"[;,]\s|\s[-–—]+\s|\s(?=(?:but|while|whereas|because|since|although|though|yet|so)\b|→|=>|⇒)"
    r"|\s(?=and (?:all|none|neither|(?:all )?the (?:others?|rest))\b)"
    rf"|\s(?=and (?:{_NOUN} )?\([A-Z]\) (?:is|has|follows|fits|matches|works|makes|does|breaks|ignores)(?:\b|n))"
    rf"|\s(?=(?:(?:and|but) )?(?:not|rather than|instead of|unlike|as opposed to"
    rf"|over) (?:the )?(?:{_NOUN} )?\([A-Z]\))",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:not|no|never|neither|nor|none|cannot|wrong|incorrect|false|untrue|fails?|impossible|out|worse|weaker"
    r"|except|rather than|instead of|unlike|as opposed to|other than|(?:all|anything|everything) but|the other"
    r"|other (?:options|choices)|careful|beware"
    r"|others|bro?ken?|breaks|remaining (?:options|choices|ones|edits|statements)|(?:violat|contradict|conflict"
    r"|eliminat|exclud|reject"
    r"|discard|dismiss)\w*|rul(?:ed?|es|ing) out)\b|n['’]t\b|\[no\]|≠",
    re.IGNORECASE,
)
_SURE = re.compile(
    r"\b(?:not|n['’]t|no) (?:\w+ )?(?:ambiguous|doubt|problem)\b|\bisn['’]t ambiguous\b|\bnot only\b|(?:one"
    r"|slot|place) left|\bout of (?:the|these|those|all)\b"
    r"|without (?:a |any )?doubt|\bpointed out\b|\bturns out\b|\bno (?:other|conflicts?|issues?|contradictions?)\b"
    r"|\brul(?:es|ed|ing) out the (?:rest|others)\b|\b(?:process of|by|after) elimination\b",
    re.IGNORECASE,
)
"""Denials that deny nothing of the option they stand by."""
_UNSURE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|might|may|could(?! (?:only )?have)|unsure|not sure|either|whether"
    r"|wonder|unclear|format"
    r"|depends|guess|unlikely|if|unless|suppose|assum\w+|at first|thought|initially|glance|tempting|plausible"
    r"|possible)\b"
    r"|\bor\b(?! [A-Z])",
    re.IGNORECASE,
)
_EXAMINED = re.compile(
    r"\b(?:consider\w*|look\w*|turn\w* to|examin\w+|check\w*|analy[sz]\w+|start\w*|begin\w*|evaluat\w+"
    r"|compar\w+|test\w*"
    r"|go(?:es|ing)? (?:on|through)|first,|next|let['’]?s?|need to)\b",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"^\W*(?:(?:and|so|thus|hence|therefore|then|accordingly|that|only|the|yes|no|ok|okay|of these|of course"
    r"|clearly|i|whereas|while|because|since|but|although)\b"
    rf"[\s,:]*)*(?:{_NOUN}\W*)?$",
    re.IGNORECASE,
)
"""What may stand before an option that begins its clause."""
_ONLY = re.compile(rf"\bonly(?: {_NOUN})?$", re.IGNORECASE)
_CONCLUDES = re.compile(r"\b(?:so|thus|hence|therefore|accordingly|then)\b|→|=>|⇒", re.IGNORECASE)
_ADVERBIAL = re.compile(
    r"(?:^|\s)(?:in|with|for|from|of|by|at|on|as|like|than|among|between|under"
    r"|to)$",
    re.IGNORECASE,
)
_CONTRASTED = re.compile(
    r"(\([A-Z]\)), (?:by contrast|in contrast|on the other hand|however|meanwhile),", re.IGNORECASE
)
_WHAT_IT_SAYS = re.compile(r"\bis (?:exactly |precisely )?what (?:option|statement|choice)$", re.IGNORECASE)
_LINKS = re.compile(
    r"(?:\b(?:is|are|be|means)|['’]s) (?:\w+ )?\w+$"
    r"|\b(?:match|correspond|belong|pertain|point|lead|fall|fit|list|classif|stick|left|identical|equal|same|go"
    r"|went|chang"
    r"|end|settl|lie|found|categor|consistent|bring|amount|clos|agree|deal|answer|switch|opt|vote)\w*(?: \w+){0,4}$",
    re.IGNORECASE,
)
_DIRECTLY = re.compile(
    rf"(?:\b(?:is|are|be|was|with|to|select|choose|pick|recommend|suggest|therefore|thus)|['’]s"
    rf"|[:→>=])(?: the)?(?: {_NOUN})?$",
    re.IGNORECASE,
)
_INLINE = re.compile(r"\([A-Z]\) [^()\n,;.?]{1,80}?(?=,? (?:and |or )?\([A-Z]\)|[,;.?]|$)")
_LISTS = re.compile(
    r"\b(?:options|choices|candidates|possibilities)(?: (?:are|were|here|given|listed))*[:,]?$|\b(?:among|between)$",
    re.IGNORECASE,
)
_OPTIONS = re.compile(
    r"\W*(?:(?:the|answer|possible|given) )*(?:options|choices)(?: (?:are|were|given|listed|here))*\W*", re.IGNORECASE
)
"""The heading of the options, in a question."""
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|does|do|did|would|will|can|says?|states?|claims?|means?|describes?|goes"
    r"|starts?"
    r"|begins?|follows?|uses?|puts?|makes?|sounds?|gives?|reads?|places?|contains?|needs?|violates?|refers?"
    r"|stands?)\b"
)
_ENDS = re.compile(
    r"\s*(?:$|[.,:!?)\"”\]]|[-–—→(=]"
    r"|(?:because|since|as|which|that|who|for|given|by|with|if|to be|where|from|of|in|at|and|is (?:what"
    r"|the (?:one|answer)))\b)"
)
_FITS = re.compile(
    r"[^.:;!?]{0,90}?(?:(?:\b(?:is|are|was|to be|be|seems?|remains|becomes)|['’]s)\s+"
    r"(?:(?:the|a|an|our|my|clearly|then|thus|therefore|also|indeed|obviously|definitely|only|single|one|most"
    r"|more|much|by"
    r"|far|and|remaining|that|logically|deductively|humorous|sarcastic|overall|of the two|my final) )*"
    r"(?:correct|right|true|answer|solution|best|better|option|choice|pick|winner|match|fit|statement|sentence|edit"
    r"|one|funniest|wittiest|closest|nearest|sarcastic|humorous|humou?r|funny|ironic|only|left|suitable|appropriate"
    r"|similar|what|number|recommendation|recommended|it)\b(?!, but| one has|-)"
    r"|\b(?:must|has to|should) be (?:the |it|right|correct|true|chosen)"
    r"|\bhas the (?:correct|right|proper|standard|usual)\b"
    r"|\b(?:fits|matches|works|holds|wins|remains|applies|suits|satisfies|makes (?:the most )?sense"
    r"|it is(?=[.!]*$))\b(?! to\b)"
    r"|\b(?:follows|respects|obeys|keeps) (?:this|that|it|the (?:correct|right|standard|usual|rule))\b"
    r"|\b(?:has|says|states|puts) (?:it|so)\b"
    r"|\b(?:states|says|does|describes) (?:exactly|precisely) (?:that|this|so)\b)"
)
"""What is said of an option that is the answer."""
_UNSURE_AFTER = re.compile(r"[^.]*\bwould\b[^.]*\b(?:if|unless)\b|\s+(?-i:might|may|could)\b", re.IGNORECASE)
_CONCESSION = re.compile(r"\W*(?:while|although|though|even though)\b", re.IGNORECASE)
"""How a clause begins that grants something of an option, before the clause that decides."""
_TAKEN_BACK = re.compile(r"^(?:but|yet|though|although|however)\b", re.IGNORECASE)
_ITEM_YES = re.compile(
    r"\[yes\]|(?:[-–—:→=|(?]\s*|← *)[\"“(]*(?:yes|true|correct|right|matches|fits|this is (?:it|right)|answer)\b"
    r"|\([A-Z]\) (?:holds|fits|matches|works|is (?:correct|right|true))\b"
    r"|\bth(?:is|at)(?: one)? (?:fits|matches|works|is (?:it|correct|right|true|the one))\b",
    re.IGNORECASE,
)
_ITEM_NO = re.compile(
    r"\[no\]|(?:[-–—:→=|(?]\s*)[\"“(]*(?:no|not|false|incorrect|wrong)\b|\bnot this one\b", re.IGNORECASE
)


def claimed_option(text: str, options: Sequence[str]) -> str | None:
    """Return the letter of the one option that the end of a text settles on, or None.

    `options`: the texts of the options, where the text lists them; one may be claimed by its text, too.
    """
    end = closing(text, _with_letters)
    if end is None:
        return None
    units, finished = end
    denied: set[str] = set()
    items: list[str] = []
    for place, (kind, sentence) in reversed(list(enumerate(units))):
        if kind == "item":
            items.append(sentence)
            if place == 0 or units[place - 1][0] != "item":
                letter, items = _of_items(items), []
                if letter is not None:
                    return None if letter == STOP or letter in denied else letter
            continue
        if ends_search(sentence) or (place + 1 < len(units) and _OPTIONS.fullmatch(sentence)):
            return None  # above the options is the question
        beside = (units[other][1] for other in (place - 1, place + 1) if 0 <= other < len(units))
        apart = not any(LETTER.search(other) for other in beside)
        last = all(unit[0] == "item" for unit in units[place + 1 :])
        claimed, doubtful, dismissed = _of_sentence(sentence, options, kind == "line" or place == 0, apart, last)
        if not finished and len(LETTER.findall(sentence)) > 1:
            return None
        denied |= dismissed
        if claimed or doubtful:
            return claimed.pop() if len(claimed) == 1 and not claimed & denied else None
        if not (finished or items) or REFUSED.search(sentence):
            return None
        if any(_named_in(sentence, option) for option in options):
            options = ()  # of sentences that name an option by its text the last one counts
    return None


def _with_letters(text: str) -> str:
    """Return a text without markup, where every letter of an option is written `(B)`."""
    for pattern, form in _WRITTEN:
        text = pattern.sub(
            lambda found, form=form: (
                found.expand(form).replace(f"({found[2]})", f"({found[2].upper()})")  # type: ignore[misc]
                if form
                else f"({next(filter(None, found.groups()))})"
            ),
            text,
        )
    return without_markup(text)


def _of_items(items: Sequence[str]) -> str | None:
    """Return the letter that a list of options calls right, `STOP` where it calls several so, else None."""
    right = [item for item in items if _ITEM_YES.search(item) and not _ITEM_NO.search(item)]
    letters = {found[1] for item in right if (found := LETTER.search(item))}
    if len(letters) > 1:
        return STOP
    return letters.pop() if letters else None


def _named_in(sentence: str, option: str) -> re.Match[str] | None:
    forms = [re.escape(option), *(word for word, number in NUMBER_WORDS.items() if str(number) == option)]
    begin, to, end = option.partition(" to ")
    if to:  # between 8pm and 9pm
        forms.append(rf"(?:between )?{re.escape(begin)}(?: and | until |\s?[–-]\s?){re.escape(end)}")
    return re.search(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)", sentence, re.IGNORECASE)


def _of_sentence(
    sentence: str, options: Sequence[str], line: bool, apart: bool, last: bool
) -> tuple[set[str], bool, set[str]]:
    """Return the letters that a sentence claims, whether it doubts one, and those it denies.

    `line`: it is a line of its own. `apart`: nor do its neighbours name options. `last`: nothing follows it.
    """
    sentence = _without_list(_CONTRASTED.sub(r"\1", sentence))
    if not LETTER.search(sentence):
        sentence = _ORDINAL.sub(lambda found: f"({chr(65 + _ORDINALS.index(found[1].lower()))})", sentence)
    by_text = False
    if not LETTER.search(sentence):
        named = [(letter, match) for letter, option in enumerate(options) if (match := _named_in(sentence, option))]
        if by_text := len(named) == 1:
            (letter, match), *_ = named
            sentence = f"{sentence[: match.start()]}({chr(65 + letter)}){sentence[match.end() :]}"
    sentence = _SURE.sub("", _SAME.sub(r"\1", sentence))
    claimed: set[str] = set()
    denied: set[str] = {letter for group in _SEVERAL.findall(sentence) for letter in group}
    concluded = doubtful = False
    clauses = _CLAUSE.split(_SEVERAL.sub("(several)", sentence))
    for place, clause in enumerate(clauses):
        concluded = concluded or _CONCLUDES.search(clause) is not None
        later = clauses[place + 1 :]
        taken_back = any(_TAKEN_BACK.match(each) and not LETTER.search(each) for each in later[:1])
        if place == 0 and later and _CONCESSION.match(clause):
            taken_back = not any(LETTER.search(each) and _DENIED.search(each) for each in later)
        for found in LETTER.finditer(clause):
            before, after = clause[: found.start()].rstrip(' "“'), clause[found.end() :]
            if place and not after.strip(" .!)") and not re.search(r"[A-Za-z]{2}", _NAMING.sub("", before)):
                before = f"{clauses[place - 1]} {before}".rstrip()
            if _DENIED.search(before) or _DENIED.search(after.partition(":")[0]):
                denied.add(found[1])
            elif _UNSURE.search(before) or _UNSURE_AFTER.match(after):
                doubtful = True
            elif taken_back:
                continue
            elif _FITS.match(after) or (not after and _FITS.match(", ".join(later))) or _WHAT_IT_SAYS.search(before):
                claimed.add(found[1])
            elif _EXAMINED.search(before) or (
                _LISTS.search(before) and not (before.endswith("between") and len(LETTER.findall(clause)) == 1)
            ):
                continue
            elif (
                (by_text and (last or line or concluded or _DIRECTLY.search(before)))
                or _ONLY.search(before)
                or (not by_text and _claims(before, after, concluded, line, apart))
            ):
                claimed.add(found[1])
    return claimed, doubtful, denied


def _without_list(sentence: str) -> str:
    """Return a sentence without a list of the options in it: "the options are (A) red, (B) green and (C) blue"."""
    letters = list(LETTER.finditer(sentence))
    listed = bool(letters) and _LISTS.search(sentence[: letters[0].start()].rstrip()) is not None
    first = "".join(found[1] for found in letters).find("AB" if listed else "ABC")
    if first < 0 or (_VERB.search(sentence, letters[first].start()) and not listed):
        return sentence
    begin = letters[first].start()
    return sentence[:begin] + _INLINE.sub("", sentence[begin:])


def _claims(before: str, after: str, concluded: bool, line: bool, apart: bool) -> bool:
    """Return whether an option stands in its clause as the answer does, with no more said of it."""
    said, _, reason = after.partition(":")
    bare = _BARE.match(before) is not None
    if bare and re.search(r"\banswer$", before, re.IGNORECASE):
        return True
    if bare and not said.strip() and not re.search(r"\b(?:statement|sentence)$", before, re.IGNORECASE):
        said, reason = reason, ""
    if bare and not said.strip(' .!)"”'):
        return concluded or line or not re.search(r"\w", before)
    text = re.match(r"\s+(?!and\b|or\b)(?:(?!\([A-Z]\))[^,;:]){1,90}$", said) is not None
    verb = _VERB.search(said) is not None
    if bare:
        return (
            text
            and (concluded or ((line or apart) and not reason))
            and (not verb or re.match(r"\s+[A-Z0-9]", said) is not None)
        )
    if (verb or LETTER.search(before)) and not _DIRECTLY.search(before):
        return False
    if _ADVERBIAL.search(before) and not _LINKS.search(before):
        return False
    return text or _ENDS.match(said) is not None
