"""Where the solution of a word problem states its number: `####`, a box, a statement, the last sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from capgap_ray.core.calculations import final_result
from capgap_ray.core.claimed_values import claimed_value, computed, concludes, digresses, emphasised_value, value_of_end
from capgap_ray.core.extraction import (
    CONCLUSION,
    CONDITIONAL,
    EQUATION,
    FIRST,
    GIVEN,
    HEDGED,
    INEXACT,
    IS,
    MARKUP,
    NEAR_END,
    NO_RESULT,
    NOT_THAT,
    NUMBER,
    ON_THE_WAY,
    PLAN,
    PREMISE,
    SUMS_UP,
    after_thinking,
    bold_row,
    boxed_answer,
    claim_of,
    displayed_value,
    ends_in_maths,
    explained_first,
    first_sentence,
    labelled_value,
    last_sentence,
    last_statement,
    own_part,
    own_text,
    refuses,
    settled,
    stated_line,
    still_open,
)
from capgap_ray.core.maths import compare, rational, unwrapped
from capgap_ray.core.number_words import NUMBER_WORDS, SCALES, in_figures

_STATES = re.compile(
    r"\b(?:total|altogether|left|remain\w*|in all|has|have|had|is|are|was|were|will|needs?|owes?|makes?|made|earns?|"
    r"earned|ends? up|comes? to|costs?|paid|"
    r"pays?|answered|spends?|spent|saves?|saved|takes?|took|gets?|got|sold|bought|ate|eats?|travel\w*|collected|can|must|"
    r"be|keeps?|kept|holds?|picked|planted|baked|leaves?|leaving|receiv\w+|gives?|gave|uses?|used|lasts?|covers?|"
    r"orders?|drives?|drove|raised|served|weighs?|reads?|runs?|ran|walk\w*|works?|worked|won|scored)\b",
    re.IGNORECASE,
)
_VERBS_AND_NUMBERS = re.compile(
    r"\b(?:covers?|holds?|takes?|travels?|earns?|makes?|needs?|pays?) ([$€£]?[0-9][0-9,.]*)"
    r"(?: [a-z]+){0,2}(?P<last>$)?",
    re.IGNORECASE,
)
"""A number right after its verb: "at 75 km an hour for three hours it covers 225 km"."""
_COMES_TO = re.compile(r"\b(?:c[ao]mes? to|adds? up to|amounts? to) (\$?[0-9][0-9.,]*)(?: [a-z]+){0,3}$", re.IGNORECASE)
_GIVEN_NUMBER = re.compile(
    r"\b(?:the|these|those|his|(?<!take )(?<!takes )(?<!costs )(?<!gives )(?<!leaves )(?<!saves )her|their|my|our)"
    r"\s+[0-9][0-9,.]*\s+(?=[a-z])"
    r"|\s[0-9]+ (?:years?|months?|weeks?|days?|hours?|minutes?) (?:from now|later|ago)\b"
    r"|^out of [$€£]?[0-9][0-9.,]*\s(?=[a-z])"
    r"|^(?:at|in|after|for|over|within|during|with|by|of)\s+[^,.]*[0-9][^,]*,\s|^(?:in|after|over|for|within)\s+[0-9]+\s+[a-z]+\s",
    re.IGNORECASE,
)
"""A number that the question gave: "each of the 4 people", "in 5 days he"."""
_TOTAL = re.compile(r"\b(?:total|altogether|in all)\b", re.IGNORECASE)
_RESTATED = re.compile(
    r"(?:remember|recall|the (?:problem|question) (?:says|states|tells)|we are (?:given|told))\b", re.IGNORECASE
)
_TO_DO = re.compile(
    r"\b(?:we|i) (?:need|have|want) to (?:find|calculate|compute|determine|know|figure)\b"
    r"|^(?:now )?(?:we|i|you|he|she|they) (?:multiply|add|subtract|divide|sum|take)\b(?!.*\b(?:get|giv))",
    re.IGNORECASE,
)
_UNSOLVED = re.compile(r"(?:^|[\s$])-?[0-9]+[a-z]\s?=\s?-?[0-9.]+$|^we want the\b", re.IGNORECASE)
_ROUNDED = re.compile(
    r"\bround(?:s|ed|ing)? (?:it )?(?:up|down)(?: to|:) (\$?[0-9][0-9,]*)(?: [a-z]+)?\.?$", re.IGNORECASE
)
_SOLVED = re.compile(r"(?:⇒|⟹|=>) [a-z] = (-?[0-9][0-9.,]*)(?: \(check[^()]*\))?\.?$")
_DOING = r"^(?:multiplying|adding|summing|subtracting|dividing|taking|counting)\b"
_BY_DOING = re.compile(rf"{_DOING}[^,.=]{{1,80}}, (?!we (?:need|can)\b)", re.IGNORECASE)
_ENDS_UP = re.compile(
    rf"(?:(?:{_DOING}|, and multiplying\b)[^,.=]{{1,80}} (?:leaves|gives|yields|makes)"
    r"|\b(?:we|you|she|he|they) (?:ends?|ended) up with)"
    r" (-?[$€£]?[0-9][0-9.,]*)(?: [a-z]+){0,2}$",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"\b(?:let['’]?s|let us|(?:we|i)(?:['’]ll| will)) [^.!?:\n]*[.!:]\s*$", re.IGNORECASE)
"""A plan, after which a text says what is given."""
_STEP = re.compile(r"^\W*step [0-9]+[:.]\s*", re.IGNORECASE)
_RECAP = re.compile(r"\n+[*_# ]*(?:recap|(?:here is )?(?:the |a )?breakdown|details)[*_]*:[*_]*\Z", re.IGNORECASE)
_PART = re.compile(r"[ \t]*(?:[-•*] |\||[0-9]{1,2}[.)] )")
"""A line of the list or table of what a total is made of."""
_ITEM = re.compile(r"\s*(?:[-•*] |(?:[0-9]{1,2}[.)] )?[A-Za-z][\w' ]{0,40}: [$€£]?[0-9][0-9.,]*\.?$)")
"""A line of a list of what is given."""
_HEADED = re.compile(
    r"\**(-?\$?[0-9](?:[0-9.,]*[0-9])?)"
    r"(?:\.?\**[ \t]*\n\s*\n|\.\**\s+(?=To see (?:why|this)\b|Here|Explanation|Reason)| [a-z]+\.\s+(?=[A-Z]))"
    rf"|((?:{'|'.join(NUMBER_WORDS)}))\.\s+(?=[A-Z])",
    re.IGNORECASE,
)
"""The answer first, then why."""
_THERE_ARE = re.compile(
    r"(?:so )?(?:there (?:are|is|were)|we (?:count|find|see)) (?:exactly |only |still |a total of )?([0-9][0-9,]*)"
    r"(?: [a-z-]+){1,2} (?:that|who|whose|with)\b",
    re.IGNORECASE,
)
_SUM_OR = re.compile(r"\b([0-9]{1,9} ?[-+*/×] ?[0-9]{1,9}), or ([0-9]{1,9})$")
"""`15 + 47, or 62`."""
_LEFT_OVER = re.compile(
    r"(\bcan (?:only )?\w+ (?:only|at most|just) [0-9]+ [a-z ]+?),? (?:and|with) .*\bleft(?: over)?$", re.IGNORECASE
)
"""What remains beside what can be bought: "he can buy only 2 and has $3 left"."""
_TO_SPARE = re.compile(
    r"\b(?:must|needs?(?: to)?|ha(?:s|ve) to|should) (?:buy|order|use|rent|get|purchase|hire|bring) [0-9]+ [a-z]+[.!]"
    r"(\s+(?:[A-Z][a-z]+|[a-z]+) (?:will )?(?:have|has|be|are) \$?([0-9][0-9.,]*)(?: [a-z]+){0,3}"
    r" (?:left over|leftover|to spare|extra)[.!]?)\Z",
)
"""What remains of what has to be bought: "she must buy 7 boxes. She will have 6 left over"."""
_FOR_A_TOTAL = re.compile(r", for a total of \\?\$?([0-9](?:[0-9.,]*[0-9])?)(?: [a-z]+){0,3}\W*\Z")
_EACH_GETS = re.compile(
    rf"each (?:of them|\w+) (?:will )?(?:gets?|receives?|has|have|pays?) "
    rf"\\?\$?([0-9][0-9.,]*|{'|'.join(NUMBER_WORDS)})(?: [a-z]+){{0,2}}",
    re.IGNORECASE,
)
"""It is the answer where the sentences before divide, else what is given."""
_SHARED = re.compile(r"\b(?:divid|shar|split)\w*\b", re.IGNORECASE)
_IT_TAKES = re.compile(r"it (?:will |would )?takes? (?:[a-z]+ ){0,3}([0-9][0-9.,]*) [a-z]+ to\b", re.IGNORECASE)
_CHANGE = re.compile(
    r"\b(?:gets?|receives?|is given) \\?\$?([0-9][0-9.,]*) (?:back|in change|as change)\W*$", re.IGNORECASE
)
_IN_ORDER = re.compile(r"\bin the \*{0,2}([0-9]{1,4})(?:st|nd|rd|th)\*{0,2} (?:year|month|week|day|hour|minute)\W*$")
_CLOCK = re.compile(r"\bat ([0-9]{1,2}:[0-9]{2}(?: ?[ap]\.?m)?)\W*$", re.IGNORECASE)
_FIRST_LINE = re.compile(r"\**-?\$?[0-9](?:[0-9.,]*[0-9])?\**(?: [a-z]+){1,3}\.\**")
_SPELT_NUMBER = re.compile(
    rf"(?<!\bthe )(?<!\bthese )(?<!\bthose )\b(?:{'|'.join(NUMBER_WORDS.keys() - {'zero', 'one'})}|"
    r"(?:(?<=\bis )|(?<=\bare )|(?<=\bleaves )|(?<=\bhas ))zero(?=\W*$)"
    r"|(?<=\bonly )one|(?<=\bjust )one|(?<=\bexactly )one|(?<=\bthere is )one)\b",
    re.IGNORECASE,
)
_ITEMISED = re.compile(rf"[^:]*\b(?:[0-9]+|{'|'.join(NUMBER_WORDS)}) [a-z]+: [^:]*, [^:]*\band\b", re.IGNORECASE)
"""You have eight pens: two red ones, five blue ones and a green one."""
_NEEDED = re.compile(
    r"\bneeds? (?:only )?(\$?[0-9][0-9,.]*) [a-z]+ to [a-z]+ (?:all|everyone|the|his|her|their)\b(?!.*=)", re.I
)
_IN_BOTH = re.compile(
    rf"\b(?:{'|'.join(NUMBER_WORDS)})(?:-(?:{'|'.join(NUMBER_WORDS)}))? \(([0-9]{{1,3}})\)", re.IGNORECASE
)
"""`twelve (12)`."""
_SCALED = re.compile(rf"\b([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?) ({'|'.join(SCALES)})\b", re.IGNORECASE)
_EXPLAINED_BELOW = re.compile(
    r"([^\n]{1,150})[.!]\**\n\s*[*_# ]*(?:explanation|reason(?:ing)?|why|steps|working)[*_]*:?[*_]*[ \t]*\n(.*)",
    re.IGNORECASE | re.DOTALL,
)
_ITEMISED_BELOW = re.compile(r"([^\n]{1,150})[.!]\**\n\s*\n((?:[-•*] [^\n]+(?:\n|\Z)){2,20})")
_AGAIN = re.compile(r"\s([0-9][0-9,]*)\b[^0-9.\n]{0,40}\.\s+\1(?: [a-z]+)?\Z")
"""A last fragment that is the number of the sentence before it: "so 5 each. 5 cookies"."""
_CALCULATION = re.compile(r"<<[^<>\n]{0,200}>>")
"""GSM8K's calculator marks."""
_UNIT = re.compile(
    r"(?<=[0-9])(?!(?<=\b(?:19|20)[0-9]0)s\b)(?=(?:[kcm]?m|[mk]?g|kgs|lbs?|oz|m?[lL]|hrs?|h|mins?|secs?|s|ft|in|mph|km/h|USD|EUR|GBP|cents|dollars|[ap]m)"
    r"(?![\w^]))"
)
"""Between a number and a unit written to it: `5,600kg`."""
_RESULT = re.compile(r"(?:=|->|→|\bis)[\s$*\\]*(-?[0-9][0-9,]*(?:\.[0-9]+)?)")
_ARITHMETIC = re.compile(r"[0-9)]\s*[-+*/×÷=]\s*[$(]?[0-9]")
_ARITHMETIC_IN_WORDS = re.compile(r"[0-9][^=→]{0,60} [-/÷*×+] ")
_EXPLAINED = re.compile(
    r",?\s+(?:because|(?<!and )since|so that|which|where|while|whereas|after|compared|leaving|including)\b"
    r"|,\s+(?:assuming|using|counting|considering|excluding|based on|with)\b"
    r"|:\s+(?=[^:]*(?:,| and )[^:]*$)|,\s+(?=[0-9.,]+ (?:\w+ )?(?:more|less|fewer)\b)",
    re.IGNORECASE,
)
_ADJUNCT = re.compile(
    r",\s+(?!(?:and|or|but|plus|minus|so|which|that|then|for a total|"
    r"(?:bring|leav|giv|mak|yield|result|total|rais|reduc|"
    r"increas|decreas|amount|cost|earn|sav|add|tak)\w*ing)\b)[a-z].*"
)
"""What follows a stated value without changing it: ", working 50 weeks a year"."""
_WITH_UNIT = re.compile(r"[\s$*]*[0-9][0-9,.]*(?: [a-z]+){1,2}(?=, (?!and |but |so |plus |which )[a-z])")
_ASIDE = re.compile(r"\s\([^()]*\)")


def number_answer(text: str) -> str | None:
    """Return the number that a word problem's solution states as its result, or None."""
    rest = after_thinking(text)
    thought = rest is not None and len(rest) < len(text)
    if rest is None:
        return None
    plain = re.sub(r"__([^_\n]{1,80})__", r"\1", _CALCULATION.sub("", _first_solution(rest)))
    plain = _UNIT.sub(" ", plain)
    return own_part(plain, lambda part: _number_of(part, thought))


def _first_solution(text: str) -> str:
    """Return a text up to its first line `#### 18`, where another question and its `####` follow."""
    before, mark, after = text.partition("####")
    line, _, more = after.partition("\n")
    return f"{before}{mark}{line}" if "####" in more and "?" in more.partition("####")[0] else text


def _number_of(rest: str, thought: bool) -> str | None:
    boxed = boxed_answer(rest)
    if boxed and (number := number_in(boxed[1]) or (boxed[1] if re.search(r"[0-9]", boxed[1]) else None)):
        boxed = boxed[0], number
    else:
        boxed = None
    unfilled = rest.rstrip().endswith("####")  # of GSM8K's form the answer is missing
    return settled(
        rest,
        last_statement(rest, _number_statement),
        boxed,
        lambda end: None if unfilled else _number_conclusion(end, thought),
    )


def _number_statement(after: str) -> str | None:
    line = stated_line(after)
    sentence, sign = first_sentence(re.sub(r"(?<=[0-9]) \[[^\[\]]*\]$", "", line))
    if sign == "?" or INEXACT.search(sentence) or CONDITIONAL.search(sentence):
        return None
    return number_in(sentence)


def number_in(claim: str) -> str | None:
    """Return the one number that a claim is about: after its last `=`, the only one, or the first with its unit."""
    claim = re.sub(r",? (?:or|that is|i\.e\.),? [0-9.]+ cents$", "", unwrapped(claim.strip(MARKUP)))
    if mixed := re.fullmatch(r"([0-9]+ [0-9]+/[0-9]+)(?: [a-z]+){0,3}\.?", claim):
        return mixed[1]
    if (summed := _SUM_OR.search(claim)) and compare(summed[1], summed[2]).equal is True:
        return summed[2]
    claim = _LEFT_OVER.sub(r"\1", claim)
    stated, because, _ = claim.partition(" because ")
    if because and "=" not in stated and len(NUMBER.findall(stated)) == 1:
        claim = stated
    if "=" in claim:
        claim = claim.rpartition("=")[2]
        if with_unit := _WITH_UNIT.match(claim):
            claim = with_unit[0]
    claim = re.sub(r"(?<![0-9.,] )(?<![0-9.,])[0-9]{1,3}(?: [0-9]{3})+(?![0-9.,])", _ungrouped, claim)
    claim = re.sub(
        r"\b([0-9]+) dollars and ([0-9]{2}) cents\b", r"\1.\2", claim.replace("$", "") if " cents" in claim else claim
    )
    if overall := re.search(r",? or (\$?[0-9][0-9,.]*) (?:\w+ )?(?:in total|in all|overall|altogether)$", claim):
        claim = overall[1]
    if final := re.search(r", and the (?:final|total) [a-z ]{1,40} (?:is|are|was) (\$?[0-9][0-9.,]*)$", claim):
        claim = final[1]
    if re.search(r"[\u3040-\u9fff]", claim) and (read := NUMBER.findall(re.sub(r"([\u3040-\u9fff])", r" \1 ", claim))):
        return str(read[-1]).replace(",", "").strip()
    claim = NOT_THAT.sub("", claim.replace("**", "").replace("{,}", ",").replace("\\!", "").replace("\\,", ""))
    value = rational(claim)
    if value is not None and re.fullmatch(r"[-+]?[\\$\s]*[0-9.,/{}\\frac]+%?", claim.strip("$ ")):
        return re.sub(r"^\\?\$", "", claim.strip("$ ")).strip().rstrip(".")
    claim = _IN_BOTH.sub(r"\1", claim)
    if share := re.match(
        r"(?:so )?([0-9]+) (?:out )?of (?:the|his|her|their) [0-9]+ [a-z]+ (?:are|were|have|had|will)\b", claim, re.I
    ):
        return share[1]
    if needed := _NEEDED.search(claim):
        return needed[1].lstrip("$").rstrip(".,")
    if counted := _THERE_ARE.match(claim) or _IT_TAKES.match(claim):
        return counted[1]
    if claim.rstrip(".").lower() in NUMBER_WORDS:
        return claim.rstrip(".").lower()
    claim = _SPELT_NUMBER.sub(lambda match: str(NUMBER_WORDS[match[0].lower()]), in_figures(claim))
    claim = _SCALED.sub(_scaled, claim)
    numbers = [match[0] for match in NUMBER.finditer(claim)]
    if len(numbers) > 1 and len(NUMBER.findall(reasonless := _EXPLAINED.split(claim, maxsplit=1)[0])) == 1:
        claim, numbers = reasonless, NUMBER.findall(reasonless)
    if len(numbers) > 1 and len(NUMBER.findall(bare := _ADJUNCT.sub("", claim))) == 1 and _STATES.search(bare):
        claim, numbers = bare, NUMBER.findall(bare)
    clauses = re.split(r",? and (?=(?:the|his|her|their|its)\b)", claim)
    if len(clauses) > 1 and all(IS.search(clause) and NUMBER.search(clause) for clause in clauses):
        return None
    if len(numbers) > 1:
        rest = _GIVEN_NUMBER.sub(" ", claim)
        if others := [match[0] for match in NUMBER.finditer(rest)]:
            claim, numbers = rest, others
    if len(numbers) > 1 and len(aside := [m[0] for m in NUMBER.finditer(_ASIDE.sub(" ", claim))]) == 1:
        numbers = aside
    if (
        len(numbers) > 1
        and (said := IS.split(claim))[1:]
        and re.match(r"\s*(?:exactly |a total of )?\\?[$€£]?-?[0-9]", said[-1])
    ):
        claim = _ADJUNCT.sub("", said[-1])  # the total for the 16 glasses is $64, at 4 a day
        numbers = [match[0] for match in NUMBER.finditer(claim)]
    said_of = list(_VERBS_AND_NUMBERS.finditer(claim))
    if len(numbers) > 1 and len(said_of) == 1 and said_of[0]["last"] is not None:
        return str(said_of[0][1]).lstrip("$€£")
    if not numbers or re.search(r"[0-9]\s*(?:or|to|and|-|–)\s*\$?[0-9]", claim):
        return None
    if len(numbers) > 1 and not re.match(
        r"[^0-9]{0,40}[0-9.,]+\s*[A-Za-z ]+"
        r"(?:\b(?:per|for|in|every|each|at|out of|on|by|before|after|from|with|over|during|within|using|among)|"
        r", out of)\b",
        claim,
    ):
        return None
    return re.sub(r"[\\$€£\s]", "", numbers[0]).replace("−", "-").rstrip("%").lstrip("+")


def _ungrouped(match: re.Match[str]) -> str:
    return match[0].replace(" ", "")


def _scaled(match: re.Match[str]) -> str:
    value = Decimal(match[1]).scaleb(SCALES[match[2].lower()])
    return f"{value:f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _number_conclusion(text: str, thought: bool) -> str | None:
    """Return the number of the last sentence. `thought`: whether the arithmetic was done in thinking before it."""
    tail = _without_spare(without_breakdown(own_text(text).replace("−", "-")))
    if not tail or refuses(tail):
        return None
    if len(tail) < 60 and "\n" not in tail and rational(tail.strip(MARKUP + "$. ")) is not None:
        return number_in(tail.strip(MARKUP + "$. "))
    if row := bold_row(tail):
        return number_in(row)
    headed = _HEADED.match(tail)
    first, _, rest = tail.partition("\n\n")
    if _FIRST_LINE.fullmatch(first) and not re.search(rf"(?:^|[.!?] |\n)(?:{CONCLUSION.pattern})", rest, re.I):
        return number_in(first)
    if said := _said_first(tail) or emphasised_value(tail, _number_of_end):
        return said
    found = _last_number(tail, thought) or _only_bold(tail)
    if not found or not concludes(tail):
        claimed = claimed_value(tail, _number_of_end)
        leaves = digresses(tail) or computed(claimed or "", tail)
        if claimed and (not found or (leaves and not computed(found, tail))):
            return claimed
    return (
        found
        or (number_in(headed[1] or headed[2]) if headed else None)
        or number_in(explained_first(tail) or "")
        or value_of_end(tail, _number_of_end)
        or final_result(tail)
        or ((again := _AGAIN.search(tail[-NEAR_END:])) and again[1])
    )


def _solved_for(tail: str, sentence: str) -> str | None:
    """Return the value of the unknown on the line before the conclusion that names it: "x = 9. So in 9 years"."""
    tail = tail[: tail.rfind(sentence) + len(sentence)] if sentence in tail else tail
    solved = re.search(
        r"(?:^|\n|(?:,|\band|\bso) )[$ ]*[a-zA-Z] ?= ?([0-9][0-9,]*(?:\.[0-9]+)?)[$. ]*\n+[^\n]*\Z", tail
    )
    if solved is None or "=" in sentence or not tail.endswith(sentence) or not CONCLUSION.match(sentence):
        return None
    return solved[1] if rational(solved[1]) in map(rational, NUMBER.findall(sentence)) else None


def _said_first(tail: str) -> str | None:
    """Return the number of the sentence that an explanation follows and comes to, whatever is remarked after it."""
    explained = _EXPLAINED_BELOW.fullmatch(tail) or _ITEMISED_BELOW.fullmatch(tail)
    value = number_in(explained[1]) if explained else None
    results = _RESULT.findall(explained[2]) if explained else []
    return value if value and results and rational(results[-1]) == rational(value) else None


def _number_of_end(clause: str) -> str | None:
    """Return the only number in figures, be others spelt ("Fourteen cans last 28 days"), else what the clause says."""
    figures = NUMBER.findall(clause)
    return number_in(figures[0] if len(figures) == 1 and _SPELT_NUMBER.search(clause) else clause)


def without_breakdown(tail: str) -> str:
    """Return a text without the list or table, at its end, of what the total before it is made of."""
    lines = tail.split("\n")
    parts = next((count for count, line in enumerate(reversed(lines)) if not _PART.match(line)), len(lines))
    if lines[-1].startswith("|") and lines[-1].count("**") == tail.count("**") == 2:
        return tail  # the table has the total, too
    before = _RECAP.sub("", "\n".join(lines[: len(lines) - parts]).rstrip("\n"))
    total = before.rpartition("\n")[2]
    numbers = NUMBER.findall(total)
    table = parts > 2 and lines[-1].startswith("|")
    summed = (
        _TOTAL.search(total)
        or table
        or [each.strip() for each in numbers] == [str(parts)]
        or (len(numbers) == 1 and _sum_of_ends(lines[len(lines) - parts :]) == rational(numbers[0]))
    )
    if 2 <= parts <= 40 and summed and numbers and re.search(r"[\w*:.]$", total):
        return re.sub(r"[:.]$", "", before) + "."
    return tail


def _without_spare(tail: str) -> str:
    """Return a text without what remains of what has to be bought, unless the text calculated it."""
    spare = _TO_SPARE.search(tail[-NEAR_END:])
    return tail.removesuffix(spare[1]) if spare and not computed(spare[2], tail) else tail


def _sum_of_ends(lines: Sequence[str]) -> Fraction | None:
    """Return the sum of the numbers at the lines' ends, or None where a line has none."""
    ends = [NUMBER.findall(line)[-1:] for line in lines]
    values = [rational(end[0]) if end else None for end in ends]
    return None if None in values else sum(filter(None, values), Fraction(0))


def _only_bold(tail: str) -> str | None:
    """Return the number that is all that a finished text sets in bold: "**160 minutes**", explained after it."""
    marked = re.findall(r"\*\*([^*\n]+)\*\*", tail)
    if len(marked) != 1 or not re.search(r"[.!)*|]$", tail) or INEXACT.search(tail) or NO_RESULT.search(marked[0]):
        return None
    number = rf"(?:[-\\$€£]*[0-9](?:[0-9.,]*[0-9])?%?|{'|'.join(NUMBER_WORDS)})(?: [a-z]+){{0,3}}\.?"
    if not re.fullmatch(number, marked[0], re.IGNORECASE) or PREMISE.search(marked[0]):
        return None
    return number_in(marked[0])


def _last_number(tail: str, thought: bool) -> str | None:
    found = last_sentence(tail)
    if found is None:
        return None
    sentence, followed = found
    unsure, _, sure = sentence.rpartition("; ")
    if HEDGED.search(unsure) and NUMBER.search(sure):
        sentence = sure  # one bag isn't enough; she has to buy 2
    if (total := _FOR_A_TOTAL.search(sentence)) and re.search(
        rf"(?<![0-9.,])\$?{re.escape(total[1])} ?(?:[÷/]|\\div) ?[0-9]", tail
    ):
        sentence = sentence[: total.start()]  # of what was shared
    items = [line for line in tail.splitlines() if line.strip()][-2:]
    if items[-1].lstrip().startswith("|"):
        return None  # a row of a table
    listed = len(items) > 1 and all(_ITEM.match(item) for item in items)
    if listed and not (followed or SUMS_UP.search(sentence) or CONCLUSION.match(sentence)):
        return None  # one of what is given
    if FIRST.match(sentence) or EQUATION.search(sentence.rstrip(".")) or _UNSOLVED.search(sentence.strip("$. ")):
        return None
    if rounded := _ROUNDED.search(sentence):
        return number_in(rounded[1])
    if INEXACT.search(claim_of(sentence.strip(" .!*_"))[0]) or still_open(tail, sentence):
        return None
    if (solved := _SOLVED.search(sentence)) and tail.endswith(sentence):
        return number_in(solved[1])
    sum_, arrow, value = sentence.rpartition("→")
    if arrow and "=" not in sum_ and _ARITHMETIC_IN_WORDS.search(sum_) and tail.endswith(sentence):
        value = value.replace("**", "")
        return number_in(value) if re.fullmatch(r" \$?[0-9][0-9.,]*(?: [a-z]+)?", value) else None
    if chained := re.fullmatch(
        r".*= ?\$?([0-9][0-9.,]*) ?(?:→|->|=>|⇒) ?\$?([0-9][0-9.,]*)(?: [a-z]+){0,3}\.?", sentence
    ):
        return number_in(chained[2]) if rational(chained[1]) == rational(chained[2]) else None
    if clock := re.fullmatch(
        rf"(?:{CONCLUSION.pattern})[^0-9]*\b([0-9]{{1,2}}:[0-9]{{2}}(?: ?(?:[ap]m|[ap]\.m\.))?)\W*", sentence, re.I
    ):
        return clock[1]
    if (clock := _CLOCK.search(sentence)) and re.search(rf"= ?{re.escape(clock[1])}", tail[: -len(sentence)], re.I):
        return clock[1]
    if ordinal := _IN_ORDER.search(sentence):
        return ordinal[1]
    if change := _CHANGE.search(sentence):
        return change[1]
    if (unknown := _solved_for(tail, sentence)) is not None:
        return unknown
    if (there := re.fullmatch(r"there are ([0-9]+) [a-z]+", sentence)) and computed(there[1], tail):
        return there[1]
    alone = sentence.strip(MARKUP + "()$.")
    counted = _ITEMISED.match(sentence) or re.search(r"[0-9].*in total:", sentence)
    counted = counted or (CONCLUSION.match(sentence) and re.match(r"[^:]*[0-9][^:]*:", sentence))
    labelled = "" if counted else labelled_value(tail, sentence) or ""
    if not re.search(r"=|[0-9]\s*[-+*/×÷]\s*[$0-9]", labelled) and (number := number_in(labelled)):
        return number
    if rational(alone) is not None and (followed or re.search(r"[0-9]\W*$", tail)):
        return number_in(alone)
    claim, concluded = claim_of(
        re.sub(r" \((?:[0-9 $+*/×÷.,-]+|(?=[^()]*=)[^()]*)\)(?=\.?$)", "", _STEP.sub("", sentence)).strip(" .!*_")
    )
    before = tail[: tail.rfind(sentence)] if sentence in tail else ""
    results = _RESULT.findall(before[-400:])
    number = _number_of_end(claim)
    repeated = bool(results) and number is not None and rational(number) == rational(results[-1])
    if not followed and (displayed := displayed_value(tail, sentence)) and rational(displayed) is not None:
        return displayed
    finished = (
        followed
        or re.search(r"[.!*\])]$|=[\s$*]*-?[0-9.,]+%?\*{0,2}(?:\s?[a-z]+){0,6}$", tail)
        or ends_in_maths(tail.rpartition("\n")[2])
        or (concluded and re.search(r"[0-9]%?$", tail))
        or (concluded and re.search(rf"(?:[0-9]|\b(?:{'|'.join(NUMBER_WORDS)})\b)[^0-9]* [a-z]{{3,}}$", claim))
        or (
            repeated
            and (
                IS.search(claim)
                or re.search(r"\b(?:weighs?|has|have|costs?|needs?|pays?|gets?|did|made|makes?)\b", claim)
            )
        )
    )
    arithmetic = re.search(r"[0-9]\s*[-+*/×÷]\s*[0-9]", claim) and "=" not in claim
    if not finished or (arithmetic and not re.search(r"[.!]$", tail)):
        return None
    if ended := _ENDS_UP.search(claim):
        return number_in(ended[1])
    if calculated := _BY_DOING.match(claim):
        claim, concluded = claim[calculated.end() :], True
    claim = re.sub(r" (?:in|over|for|during) the first [a-z0-9 ]+$", "", claim)
    planned = PLAN.search(claim) and (not concluded or ("=" not in claim and sentence.startswith("Finally")))
    if planned or (not concluded and ON_THE_WAY.search(claim)) or ("=" not in claim and _TO_DO.search(claim)):
        return None
    if not concluded and (_RESTATED.match(claim) or ("=" not in claim and _BEGINS.search(before[-NEAR_END:]))):
        return None
    if not concluded and re.search(r"[0-9]\b[^.=]*\band (?:\w+ ){0,2}[0-9]", claim) and not SUMS_UP.search(claim):
        return None  # what is given
    if re.fullmatch(r"[$€£]?-?[0-9][0-9.,]*%?(?: [a-z]+){1,3}", claim) and re.search(r"[.!*]$", tail):
        return number_in(claim)
    if final := _COMES_TO.search(claim):
        return number_in(final[1])
    unexplained = _EXPLAINED.split(claim, maxsplit=1)[0]
    if re.search(r"[0-9]", unexplained):
        claim = unexplained
    if repeated and not concluded:
        return number  # it says what was computed just before
    alone_said = not before.strip() and sentence.endswith(".")
    if alone_said and (thought or re.match(r"each\b", claim, re.IGNORECASE)):
        return number_in(claim)
    if (each := _EACH_GETS.fullmatch(_IN_BOTH.sub(r"\1", claim))) and (
        _SHARED.search(before) or f"| {each[1]} |" in before
    ):
        return number_in(each[1])
    if not concluded and PREMISE.search(claim) and not ("=" in claim and _ARITHMETIC.search(claim)):
        return None
    marked = re.findall(r"\*\*([^*]+)\*\*", sentence)
    if len(marked) == 1 and (bold := number_in(marked[0].rstrip("."))) is not None:
        return bold
    if re.search(r"(?<![\w$])[0-9]*[a-z]\b\s*[-+*/][^=]*=", claim):
        return None  # an equation to be solved
    states = concluded or _STATES.search(claim) or IS.search(claim) or "=" in claim
    return number_in(claim) if states or (_ARITHMETIC.search(before) and not GIVEN.search(claim)) else None
