"""Where the solution of a maths problem states its answer."""

from __future__ import annotations

import re

from capgap_ray.core.calculations import final_result
from capgap_ray.core.claimed_values import claimed_value, computed, concludes, emphasised_value, value_of_end
from capgap_ray.core.extraction import (
    AFTERTHOUGHT,
    AIM,
    CONCLUSION,
    CONDITIONAL,
    CURVE,
    EQUATION,
    GIVEN,
    INEQUALITY,
    INEXACT,
    IS,
    MARKUP,
    NAME,
    NOT_THAT,
    NUMBER,
    ON_THE_WAY,
    PLAN,
    PREMISE,
    SEVERAL,
    after_thinking,
    bare_of_commands,
    before_remarks,
    bold_row,
    boxed_answer,
    claim_of,
    displayed_value,
    explained_first,
    first_sentence,
    is_value,
    labelled_value,
    last_sentence,
    last_statement,
    own_part,
    own_text,
    placeholder,
    reads_as_maths,
    refuses,
    settled,
    stated_line,
    still_open,
    value_alone,
    valued_names,
)
from capgap_ray.core.maths import compare, rational, unwrapped
from capgap_ray.core.notation import LONGEST_MATHS
from capgap_ray.core.number_extraction import number_in
from capgap_ray.core.number_words import NUMBER_WORDS, in_figures

_RELATIVE = re.compile(
    r"^((?:the|this|its|his|her) [^,.=$]{1,60}?)(?: (?:that|which|who|when|if)\b[^.,=]{1,80}?|, \w+ed [^,.=]{1,60},) "
    r"(?=(?:is|are|was|were) [^a-z]*[^ ]*$)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:is|are|was|faces?|points?)(?: [a-z-]+){0,4} \*\*([A-Za-z]+)(?:\*\*|$)"
    r"|\b(?:is|are|was|faces?|points?|be|falls on)(?: (?:facing|pointing|due|to|an?|the)){0,2} ([A-Za-z][a-z]+)$"
    r"|\bfacing (?:due )?\*{0,2}(north|south|east|west)$"
    r"|^(?:\*\*)?((?!It|This|That|He|She|They|One|Which|There|Here)[A-Z][a-z]+)(?:\*\*)?"
    r" (?:has|had|is|was) the (?:\w+est|most|least)\b"
)
"""A word that something is said to be: "the graph is an **ellipse**", "Ann has the highest score"."""
_OTHER_FORM = re.compile(
    r"\s\((?:\\?\(|\$)?\s?(?:≈|=|\\approx|or|i\.e\.|that is|also|about|approx\w*|equivalently)[^()]*\)(?=\W*$)"
)
"""The value again in another form."""
_TRAILING_ASIDE = re.compile(r"(?<=[\w$*}]) \((?!base )[a-z][^()]* [^()]*\)$")
_REASON_ASIDE = re.compile(r"(?<=[\w$*}]) \((?:since|because|as|where)\b[^()]*\)$")
_COUNTED_MATHS = re.compile(r"there (?:are|is) (?:exactly |only )?(\$[^$]+\$) [a-z].*", re.IGNORECASE)
_TWO_FORMS = re.compile(r"\$?([^$]+?)\$?,? or \$?([^$]+?)\$?")
_FIGURE = re.compile(
    r"\b(?:equation|line|circle|curve|parabola|plane|ellipse|hyperbola|asymptote|function|solution)s?\b", re.I
)
"""What is given by a whole equation."""
_COUNTED = re.compile(
    rf"(?:there (?:are|is) |it is )?(?:exactly |only |a total of )?(-?[0-9][0-9,.]*|{'|'.join(NUMBER_WORDS)}) "
    r"(?!hundred\b|thousand\b|million\b|divides\b|is\b|hal(?:f|ves)\b|(?:third|quarter|fourth|fifth|sixth)s?\b)"
    r"[a-z -]+(?:\$[a-zA-Z]\$)?",
    re.IGNORECASE,
)
REASON = re.compile(
    r",?\s+(?:because|since|as|which|where|so|when|for|after|given|meaning|I hope|and (?:we|I|this|that|it)"
    r"|in total)\b",
    re.IGNORECASE,
)
_SATISFY = re.compile(r"\bsatisf(?:y|ies) (?:the|both|all|these) (?:\w+ )?(?:equations?|conditions?)$")
_WHICH = re.compile(r" (?:on|for|in|at|of) which\b.*$| such that\b.*$")
_WHERE_FROM = re.compile(
    r"\\?\$?(-?[0-9][0-9.,]*)(?: [a-z]+ (?:from|above|below|north|south|east|west) [A-Za-z ]+| (?:more|less|fewer))"
)
_TIME = re.compile(r"[0-9]{1,2}(?::[0-9]{2})? ?[ap]\.?m\.?", re.IGNORECASE)
_TO_DO = re.compile(
    r"^(?:we|i) (?:need|have|want) to\b|\b(?:reduces?|comes? down|boils down) to (?:solv|find|comput|count)",
    re.IGNORECASE,
)
_SOUGHT = re.compile(r"\b(?:that|which|who|ask\w*|tr(?:y|ied)|problem|question|(?<!able )(?<!needs )(?<!ha[sd] )to)\b")
"""What makes a number at the end part of what is sought, not the answer."""
_ANSWER_WORDS = frozenset(
    re.findall(
        r"\w+",
        "ellipse circle parabola hyperbola line point sphere cone cylinder plane square rectangle rhombus even odd "
        "north south east west yes no true false increasing decreasing acute obtuse infinity undefined neither "
        "composite",
    )
)
"""Lower-case words that are whole answers to maths problems."""
_CHOICE = re.compile(r"(?:\*\*)?\(?([A-E])\)?(?:\*\*)?\.?")
"""The letter of a choice, alone."""
_NEW_FORM = re.compile(
    r"(?:simplified|expanded|factored|reduced|final|resulting)\b[^:]*:"
    r"|(?:the )?(?:remainder|quotient|polynomial|factori[sz]ation|expression|expansion|inverse|vector|interval|domain"
    r"|range)[*_]*:",
    re.IGNORECASE,
)
"""The label of an expression that was asked for."""
_WORKED_OUT = re.compile(r"[0-9)] ?[-+*/×·÷] ?\(?[0-9][0-9.,]*\)? ?= ?(-?[0-9][0-9.,/]*)(?: [A-Za-z][a-z]*)*$")
"""A calculation in figures, with its unit: `20 - 12 = 8 feet less`."""
_SUMMED = re.compile(r"(?:^|: )\$?[A-Za-z](?: ?[-+] ?[A-Za-z])+ ?= ?(-?[0-9]+)\$?$")
"""`a + b + m = 13`."""
_MEASURED = re.compile(r" (-?[0-9][0-9.,/]*) (?:square |cubic )?[a-z]+\.?")
_IS_NUMBER = r"[^,.=]*\b(?:is|are) \$?(-?[0-9]+)\$?"
_THERE_ARE = re.compile(r"there (?:are|is) (?:exactly |only |a total of )?\$?([0-9]+)\$? (?!x )[a-z]")
_EQUATION_OF = re.compile(
    r"\bequation\b[^$=]*?(?: is)?:? (?:\$([^$=:]*=[^$=]*)\$(?: (?:for|of) (?:the|this) [a-z ]+)?|([^$=:]*=[^$=]*))$"
)
_CURVE_IS = re.compile(r"[^*$=]*\bequation\b[^*$=]* is:? ((?=[^=]*y)[^=:]*=(?=[^=]*[x0-9])[^=]*)")
_IN_BOTH = re.compile(r"\*\*[a-z][a-z -]{2,40}\*\* \(\$?(-?[0-9][0-9.,]*)\$?\)")
"""`**forty** (40)`."""
_BOLD_LIST = re.compile(
    r"\*\*([^*\n]{0,40}[0-9][^*\n]{0,40})\*\*(,? (?:and|or)) \*\*([^*\n]{0,40}[0-9][^*\n]{0,40})\*\*"
)
"""`**x = 1** and **x = 4**`."""
_IN_LIST = re.compile(r"(?:^|\n)[ \t]*[-•*] [^\n]+\n+[ \t]*[-•*] (?!\*\*)[^\n]*[a-z]\Z")
"""A text that breaks off in an item of a list."""
_CONGRUENT = re.compile(r"≡|\\equiv(?![a-z])")
_MODULO = re.compile(r"(?:\\?[,; ])*(?:\\pmod\s?\{[^{}]*\}|\(mod [^()]*\)|\$? (?:modulo|mod) \$?[0-9a-z]+)")
_POWER = re.compile(r"\W*[a-zA-Z]\^\{?[0-9]\}?\s*=")
"""One that is still to be solved for its base."""
_POWER_IS = re.compile(r"\$?[a-zA-Z]\^\{?[0-9]+\}? ?= ?([^=$]+)\$?")
_EXPRESSION = re.compile(r"(?=.*[0-9])(?=.*[-−+*/×·(])(?!.*(?<!\\)\b[a-zA-Z]{2})[^=<>≤≥$:]+")
"""One that is all that is concluded: "So: 15x - 80"."""
_EXPRESSION_IS = re.compile(
    r"\b(?:by|is|as) (?:the )?(?:expression|polynomial|formula):? ([^$]+)$|\bwe get ([^$=]+)$", re.I
)
_COUNT_OF = re.compile(
    r"(?:there (?:are|is) |\$?[0-9][^=$]{0,60}= ?)\$?([0-9]{1,3})\$?(?: [a-z]+){1,4}(?::|, namely,?) \$?([^$]+)\$?",
    re.IGNORECASE,
)
"""How many, and which: "there are 3 such integers: 1, 2, 3", "5 - 2 = 3 of them, namely 1, 2, 3"."""
_AT_TIME = re.compile(r"\b(?:at|is|be|was) ([0-9]{1,2}:[0-9]{2} ?[ap]\.?m\.?)$", re.IGNORECASE)
_CUT_MATHS = re.compile(r"\$[^$]*[-+*/=\\][^$]*")
"""A formula that is opened and not closed: `$3 + 10`."""
_NOUN_IS = r"(?:the|its) (?:\$?[a-z]\$?-)?([a-z]+)(?: of [^$=,]*?)? is (\$[^$]+\$|[^ $]+)"
_TWO_OF = re.compile(rf"{_NOUN_IS},? and {_NOUN_IS}", re.IGNORECASE)
_CHAIN_OF_LINES = re.compile(
    r"(?:\A|\n)\$\s*=[^$\n]+\$[.,]?[ \t]*\n(?:[^$\n]*\n|[^$\n]*\$[^$\n]+\$,[ \t]*\n)*\$\s*=([^=$\n]+)\$\.?\Z"
)
"""Lines of one chain, each begun with its `=`."""
_LOOPS = 4
"""Times that a text may say an expression; one that says it again and again has lost itself."""
_COMPUTED_FIRST = re.compile(r"([0-9][0-9.,]*(?: ?[-+*/×] ?[0-9][0-9.,]*){1,9}) ?= ?([0-9][0-9.,]*) [a-z]+ [^=]*$")
"""`33 + 25 - 8 = 50 integers are divisible by 6 or 8`."""
_FORM_IS = re.compile(
    r"(?:^|, (?:and )?)the (?:quotient|expansion|(?:prime )?factori[sz]ation|simplified (?:form|expression))"
    r"(?: of \$?[0-9]+\$?)? is \$([^$=]+)\$$",
    re.IGNORECASE,
)
_SEVERAL_VALUES = re.compile(r"[^(\[{\\]*,")
"""A list that is no tuple, interval or set."""
_PLANNED_STEP = re.compile(r"Step ([0-9]{1,2}): (?=The )")
_MUST_BE = re.compile(r"(\bmust be) either \$([^$]+)\$ or \$([^$]+)\$(?=\W*$)")
_COUNT_WORD = re.compile(
    rf"(?<=\bare )(?:{'|'.join(NUMBER_WORDS)})(?= [a-z])|(?<=\bis )(?:{'|'.join(NUMBER_WORDS)})$", re.I
)
_NOT_AT = re.compile(r"(.+?)\s*,\s*(?:\\q?quad\s*)*\(?[a-zA-Z]\s*(?:\\neq?(?![a-z])|≠)\s*[^,=]{1,20}\)?", re.DOTALL)
_OF_NUMBER = re.compile(r"\$?\\?[a-zA-Z]+\(-?[0-9./]+\) ?= ?([^=]+?)\$?")
_HOLDS_FOR = re.compile(
    r"\b(?:true|holds|valid|satisfied|(?:roots|solutions?)(?= (?:precisely|exactly))) "
    r"(?:for|when|if|whenever|exactly when|precisely when) "
    r"(?:all |every |any )?(?:real )?(?:values |numbers )?(?:of )?"
    r"\$?([a-zA-Z] ?(?:[<>≤≥]|\\[lg]eq?(?![a-z]))[^$]*|[^$=a-zA-Z]+[<>≤≥] ?[a-zA-Z] ?[<>≤≥][^$]*)\$?$"
)
"""`true for all values x > 4`."""
_NO_SOLUTION = re.compile(
    r"(?:.*\b(?:there (?:is|are)|(?:equation|system|problem|inequality) has) )?"
    r"\*{0,2}(no (?:real |integer )?solutions?)\*{0,2}",
    re.IGNORECASE,
)
_TRIANGLES = "right|acute|obtuse|scalene|isosceles|equilateral"
_BEHAVES = re.compile(
    r"\bthe (?:series|sequence|integral) (converges|diverges)\b(?! to\b)|\bis an? (odd|even) function$"
    r"|^the system has (infinitely many)(?: solutions)?$"
    rf"|\bit(?:['’]s| is) an? ({_TRIANGLES}) triangle$|\bthe triangle is ({_TRIANGLES})$",
    re.IGNORECASE,
)
"""A word for what something is or does, which is the whole answer."""
_NTH_TERM = re.compile(r"\na_n = [^=\n]+\na_n = ([^=\n]+)\Z")
"""The last two lines of a sequence's formula."""
_TO_BE_SURE = re.compile(
    r"\b(?:needs?|must|ha(?:s|ve))(?: to)? [a-z]+ (?:at least )?([0-9]+) [a-z]+ to "
    r"(?:be (?:certain|sure)|guarantee|ensure)\b",
    re.I,
)
"""You need to draw 4 socks to be certain of a pair."""
_IN_BASE = re.compile(r"[0-9A-F]_\{?[0-9]+\}?$")
_BOUND_EXPLAINED = re.compile(r"^([a-z] ?[<>≤≥] ?[^()=]+?) \([a-z][^()]* [^()]*\)$")
"""`x > 4 (all numbers greater than 4)`."""
_AND_BEFORE = re.compile(r"\$(\([^()$]*,[^()$]*\))\$,? and $")
"""A point that another one follows."""
_LINE_SAYS = re.compile(
    r"(?:(?:so|thus|hence|therefore),? )?\$?([^=$]{1,60}?) ?= ?([^=$]{1,200}?)\$?\.?", re.IGNORECASE
)
_CHAIN_IN_WORDS = re.compile(r"\n(?:= [^=\n]+\n){1,12}= ([^=\n]+)(?:\n+[^0-9=\n]{1,80})?\Z")
"""Lines of one chain in plain text, and a remark."""
_DAY = re.compile(
    r"\b(?:it|day(?: of the week)?) (?:will be|is|was)(?: an?)? \*{0,2}((?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)$"
)
_EXTREME = r"the (?:minimum|maximum|smallest|largest|least|greatest)(?: value)? is (-?[^ =]{1,40})"
_EXTREMES = re.compile(rf"{_EXTREME},? and {_EXTREME}", re.IGNORECASE)
_BOUNDS = re.compile(
    r"(?:-?[0-9][^a-zA-Z=<>]* ?[<≤>≥]=? ?)?[a-z] ?[<≤>≥]=? ?-?[0-9][^a-zA-Z=<>]*"
    r"|[a-z] ?∈ ?[\[({][^a-zA-Z=<>]{1,80}[\])}]"
)
"""`-4 < x < 4`, `x > 4` or `x ∈ (1, 4]` in plain text."""
_SOLUTIONS_ARE = re.compile(r"\bhas (?:exactly )?(?:two|2|three|3) (?:real )?(?:solutions|roots|zeros)[,:] (.{1,80})$")
_SHARE_OF = re.compile(r"\$?([0-9][0-9.,]*)\$? is (\$?[0-9.]+\s?\\?%\$?) of \$?([0-9][0-9.,]*)\$?")
"""`36 is 45% of 80`: what was asked for may be either."""
_AFTER_DASH = re.compile(r" [—–] \$?(-?[0-9][^ =$]*)\$?$")
_ARROW = re.compile(r"\\(?:Longr|R)ightarrow|\\implies|[⇒⟹]|=>")
_LINE = re.compile(r", or (?:simply |equivalently )?\$(y ?= ?(?=[^$=]*x)[^$=]+)\$$")
_NAMELY = re.compile(r"\bnamely,? \$?([^$]+)\$?$")
_SET_APART = re.compile(r"\\(?:mathbf|textbf|boldsymbol|underline)\s?\{([^{}]*)\}")
_MATHS_WORD = re.compile(
    r"(?!.*(?<![a-z])(?!sqrt|pi)[a-z]{2}).*[0-9√π∞].*|[-+*/×·÷^−=<>≤≥]|[b-zB-HJ-Z]|pi|sqrt|sin|cos|tan|cot|sec|csc|ln|log"
)
_LEADS_TO = re.compile(
    r"is|are|was|equals?|gives?|gets?|have|has|obtain(?:ed)?|becomes?|to|leaves|left|with|of|:", re.IGNORECASE
)
"""The word before a claim's value."""
_SPELT_OUT = re.compile(r"^(-?[$\\]{0,2}[0-9][0-9.,/]*\$?) \([a-z][a-z -]{2,40}\)(?=\W*$)", re.IGNORECASE)
"""`10 (ten)`."""

_EQUALS_LINE = re.compile(r"([a-z]{3} [^\n]{0,80}[\w)}\]])[ \t]{0,9}\n[ \t]{0,9}= ?(?=[\w(\\-][^\n]{0,80}\Z)")
"""A chain in a sentence that goes on in the last line."""


def maths_answer(text: str) -> str | None:
    """Return the answer of a maths solution, without delimiters, or None."""
    rest = after_thinking(text)
    answer = None if rest is None else own_part(rest, _maths_in)
    if answer is None or placeholder(answer) or _CUT_MATHS.fullmatch(answer):
        return None
    return value_alone(_where_defined(answer))


def _one_of(found: str | None, tail: str) -> str | None:
    """Return the member of a list that the last sentence names: "they are 1, 4, 16. The third is 16"."""
    if found is None or not re.match(r"[^(\[{\\=]*(?:,| and )", found) or (last := last_sentence(tail)) is None:
        return found
    one = _value_of_claim(claim_of(last[0].strip(" .!*"))[0])
    one = str(NUMBER_WORDS.get(one, one)) if one else None
    members = [rational(each) for each in re.split(r",|\band\b", found)]
    return one if one and rational(one) is not None and rational(one) in members else found


def _where_defined(answer: str) -> str:
    """Return a fraction without the points at which it is not defined: `\\frac{1}{x-2}, \\quad x \\neq 2`."""
    said = _NOT_AT.fullmatch(answer)
    return said[1] if said and re.search(r"\\[dt]?frac\{[^{}]*\}\{[^{}]*[a-z]|/ ?\(?[^()]*[a-z]", said[1]) else answer


def _maths_in(rest: str) -> str | None:
    return settled(
        rest,
        last_statement(rest, _maths_statement),
        boxed_answer(rest),
        _maths_end,
    )


def _maths_end(text: str) -> str | None:
    """Return what the end of a text concludes, by the last sentence or the one that those after it leave standing."""
    text = _BOLD_LIST.sub(r"**\1\2 \3**", _IN_BOTH.sub(r"**\1**", text))
    text = _EQUALS_LINE.sub(r"\1 = ", text)
    tail = own_text(text)
    if refuses(tail):
        return None
    if row := bold_row(tail):
        return unwrapped(row)
    if chain := _CHAIN_IN_WORDS.search(tail):
        return unwrapped(chain[1])
    if emphasised := emphasised_value(tail, _value_of_claim):
        return emphasised
    found = _maths_conclusion(text)
    if found and not is_value(found) and tail.count(found) > _LOOPS:
        return None
    if not found or not concludes(tail):
        claimed = _one_of(claimed_value(tail, _value_of_claim), tail)
        if found and found.startswith("(") and claimed in [each.strip() for each in found[1:-1].split(",")]:
            return found  # y = -1. They meet at (4, -1)
        if claimed and (not found or (is_value(found) and not _IN_BASE.search(found)) or "\\ne" in found):
            return claimed
    elif _SEVERAL_VALUES.match(found) and not computed(found, tail):  # 196 has 9 divisors: 1, 2, 4, ...
        count = number_in(explained_first(tail) or "")
        if count == str(found.count(",") + 1):
            return count  # there are 3 such integers. To see this, ... That gives 1, 2, 3
        claimed = claimed_value(tail, _value_of_claim)
        return claimed if claimed and computed(claimed, tail) else found
    return found or _headed(text) or value_of_end(tail, _value_in) or final_result(tail)


def _value_of_claim(claim: str) -> str | None:
    """Return the value of a claim in prose: the end of a chain, what it says that something is, its only value."""
    claim = re.sub(r"=\s?\$\s+(?=[0-9])", "= ", re.sub(r"\b(?:minus|negative) (?=\w)", "-", claim))
    claim = _SET_APART.sub(r"\1", _SET_APART.sub(r"\1", claim))
    claim = _CONGRUENT.sub("=", _MODULO.sub("", claim))
    chain = _ARROW.split(claim)[-1].split("=")
    if len(chain) > 2 and not _POWER.match(claim) and not re.search(r"[,;]|\band\b", chain[-2]):
        value = unwrapped(re.sub(r" [a-z ]+$", "", claim.rpartition("=")[2]).strip(" $,"))
        if is_value(value):
            return value
    if said := _OF_NUMBER.fullmatch(claim) or _AFTER_DASH.search(claim):
        value = unwrapped(said[1])
        if is_value(value):
            return value
    if (counted := _COUNT_OF.fullmatch(claim)) and counted[2].count(",") + 1 == int(counted[1]):
        return counted[1]
    if solutions := _solutions(claim):
        return solutions
    if timed := _AT_TIME.search(claim):
        return timed[1]
    if given := _EXPRESSION_IS.search(claim):
        expression = str(next(filter(None, given.groups())))
        if _EXPRESSION.fullmatch(expression) and reads_as_maths(expression):
            return expression
    if _EXPRESSION.fullmatch(claim) and reads_as_maths(claim):
        return claim
    if (namely := _NAMELY.search(claim)) and is_value(namely[1]):
        return namely[1]
    if curve := _EQUATION_OF.search(claim) or _LINE.search(claim):
        equation = str(next(filter(None, curve.groups())))
        if reads_as_maths(equation):
            return equation.strip()
    if (first := _COMPUTED_FIRST.match(claim)) and compare(first[1], first[2]).equal is True:
        return first[2]
    if said := _SUMMED.search(claim) or _THERE_ARE.match(claim) or _WORKED_OUT.search(claim):
        return said[1]
    if "=" in claim:
        named = _last_span(claim, r"") if re.search(r"\$[a-zA-Z] ?= ?[^$=]+\$$", claim) else None
        return _claimed(claim, IS.search(claim) is not None) or named
    if labelled := re.fullmatch(r"[^:=]{1,60}: \$?([^:$]+)\$?", claim):
        value = unwrapped(re.sub(r" [a-z ]+$", "", labelled[1]))
        if is_value(value):
            return value
    found = _claimed(claim, True) or _last_span(claim, r"") or _plain_value(claim)
    with_unit = re.fullmatch(r"\$([^$]+)\$ [a-z ]+", found or "")
    return with_unit[1] if with_unit else found


def _plain_value(claim: str) -> str | None:
    """Return the only value of a claim without LaTeX, or the one that its verb leads to: "should obtain 6 + 9i"."""
    claim = re.sub(r"\\?\$(?=[0-9])", "", claim) if claim.count("$") == 1 or "\\$" in claim else claim
    if "$" in claim:
        return None
    runs: list[tuple[str, list[str]]] = []  # the word before, and words of maths that follow one another
    before = ""
    pairs = re.sub(r"(?<=\([^,()\s]), +(?=[^,()\s]+\))", ",", claim)  # (2, -1) is one word
    for word in (each.strip("*_`.,;:!") for each in pairs.split()):
        if not _MATHS_WORD.fullmatch(word):
            before = word
        elif runs and not before:
            runs[-1][1].append(word)
        else:
            runs.append((before, [word]))
            before = ""
    values = [(before, " ".join(run)) for before, run in runs if re.search(r"[0-9√π∞]", " ".join(run))]
    if not values:
        return number_in(claim)
    led = [value for before, value in values if _LEADS_TO.fullmatch(before)]
    if len(values) > 1 and len(led) != 1:
        return None
    value = (led[0] if len(values) > 1 else values[0][1]).rpartition("=")[2].strip()
    return value if reads_as_maths(value) and (led or is_value(value)) else None


def _value_in(clause: str) -> str | None:
    """Return the value that a clause without a verb of its own speaks of: its last maths, else its one number."""
    spans = re.findall(r"\$([^$]+)\$|\\\((.+?)\\\)", clause)
    if spans and clause.count("$") % 2 == 0:
        value = _right_side(unwrapped("".join(spans[-1])))
        return value if is_value(value) else None
    return _plain_value(clause)


def _maths_statement(after: str) -> str | None:
    line = stated_line(after)
    if re.match(r"1[.)] [A-Z]|Let \$?[a-zA-Z]\b|(?:Suppose|Consider) |(?:We|Let|To|The|Since|Given|By)\Z", line):
        return None  # the first step
    if lettered := re.match(r"\(?[A-E][.)] +(?=[-$\\0-9])", line):
        line = line[lettered.end() :]  # C. 5
    line = re.sub(r"\.\$(?=\s|$)", "$.", line)
    line = _OTHER_FORM.sub("", _SPELT_OUT.sub(r"\1", line))
    sentence, sign = first_sentence(line)
    sentence = re.sub(r"^(?:option|choice) (?=\(?[A-Z]\b)", "", NOT_THAT.sub("", _REASON_ASIDE.sub("", sentence)))
    sentence = AFTERTHOUGHT.sub("", sentence)
    if sign == "?" or len(sentence) > LONGEST_MATHS or CONDITIONAL.search(sentence):
        return None
    sentence = re.sub(r",? i (?:think|believe)$", "", sentence, flags=re.IGNORECASE)
    if twice := _said_twice(sentence):
        return twice
    if both := _EXTREMES.fullmatch(sentence.replace("**", "").replace("$", "")):
        return f"{both[1]}, {both[2]}"
    if nothing := _NO_SOLUTION.fullmatch(sentence.strip(MARKUP)):
        return nothing[1]
    for piece in (sentence, REASON.split(sentence, maxsplit=1)[0], _BOUND_EXPLAINED.sub(r"\1", sentence)):
        piece = re.sub(r"^\|[a-z]\| ?= ?", "", unwrapped(piece.strip(MARKUP + ",")).strip())
        if reads_as_maths(piece):
            return piece
    if IS.search(sentence) and (claimed := _claimed(sentence, True)):
        return claimed
    whole = re.match(r"[A-Z][a-z]* [a-z]", sentence) and not SEVERAL.search(sentence)
    if whole and (said := _last_span(sentence, r"")):
        return said
    if span := re.match(
        r"(?:\$([^$\n]+)\$|\\\((.+?)\\\)|\*\*([^*\n]+)\*\*|([^*$\n]+)\*\*)(?=\s|[.,;]|$)", line.strip()
    ):
        piece = unwrapped(next(group for group in span.groups() if group))
        after_span = line.strip()[span.end() : span.end() + 40]
        if reads_as_maths(piece) and not re.match(r"[\s,]*(?:or|and|to|\$)\b", after_span):
            return piece
    words = re.fullmatch(
        r"(?:\\(?:text(?:bf|rm)?|math(?:bf|rm))\{)?\(?([A-Za-z][A-Za-z' -]{0,40})\)?\}?",
        unwrapped(sentence.strip(MARKUP).partition("**")[0]),
    )
    if words:
        name = words[1]
        title = name[0].isupper() and len(name.split()) <= 3 and not INEXACT.search(name) and "I " not in name
        if (title and "**" not in sentence.strip(MARKUP)) or name.lower() in _ANSWER_WORDS:
            return words[0]
    return None


def _said_twice(text: str) -> str | None:
    """Return the first of two forms of one number, `$\\frac{33}{100}$, or $0.33$`."""
    two = _TWO_FORMS.fullmatch(text)
    same = two and (value := rational(two[1])) is not None and value == rational(two[2])
    return two[1].strip() if two and same else None


def _maths_conclusion(text: str) -> str | None:
    """Return what the last sentence concludes ("Therefore, x = 5."), or a text that is nothing but an answer."""
    tail = own_text(text).strip()
    if not tail:
        return None
    if "\n" not in tail and len(tail) < 100 and len(text) < 120 and not CONCLUSION.match(tail):
        bare = unwrapped(tail.strip(MARKUP))
        if (
            re.search(r"[0-9]|\\(?:frac|sqrt|pi)", bare)
            and not re.search(r"(?<!\\)\b[A-Za-z]{4,}", bare)
            and bare.count("$") % 2 == 0
            and reads_as_maths(bare)
        ):
            last = unwrapped(bare.rpartition("=")[2])
            return last if bare.count("=") > 1 and is_value(last) and not valued_names(bare) else bare
    found = last_sentence(tail)
    if found is None:
        return None
    sentence, followed = found
    if (step := _PLANNED_STEP.match(sentence)) and _is_last_planned(tail, int(step[1])):
        sentence = sentence[step.end() :]
    if _is_item(tail, sentence) or _IN_LIST.search(tail):
        return None
    if worded := re.search(r": \*\*([A-Z][a-z]+)\*\*\.?$", tail):
        return worded[1]
    if (before := before_remarks(tail)) != tail and (displayed := displayed_value(before, sentence, last=True)):
        return displayed
    if (letter := _CHOICE.fullmatch(sentence)) and re.search(
        rf"\b(?:choice|option) \(?{letter[1]}\b|\({letter[1]}\)", tail
    ):
        return letter[1]
    sentence = _MUST_BE.sub(r"\1 $\2, \3$", sentence)
    labelled = labelled_value(tail, sentence)
    claim, concluded = claim_of(labelled or re.sub(r"^\*\*([^*]* (?:is|are))\*\*", r"\1", sentence).strip(" .!*_"))
    claim = re.sub(
        r"(?<!\w)(?:\*\*|`)([0-9.,]+)(?:\*\*|`)(?!\w)", r"\1", _plain_predicate(_TRAILING_ASIDE.sub("", claim))
    )
    concluded = concluded or (labelled is not None and claim_of(sentence)[1])
    if concluded and (answered := re.match(r"(yes|no), (?=\S)", claim, re.IGNORECASE)):
        return answered[1]
    if concluded and (one := _first_of_two(tail, sentence, claim) or _asked_of_two(tail, claim)):
        return one
    if still_open(tail, sentence) or re.search(r"\bequations?:", claim):
        return None
    cut = AFTERTHOUGHT.search(sentence.strip(" ."))
    if not (followed or cut) and (displayed := displayed_value(tail, sentence)):
        return displayed
    if INEXACT.search(claim) or "?" in claim or " except " in claim:
        return None
    last_line = tail.endswith(f"\n{sentence}")
    if chain := _CHAIN_OF_LINES.search(tail):
        return unwrapped(chain[1]) if reads_as_maths(unwrapped(chain[1])) else None
    if last_line and (value := _value_of_name(claim if concluded else sentence)):
        return value
    if last_line and (formula := _NTH_TERM.search(tail)) and reads_as_maths(formula[1]):
        return f"a_n = {formula[1]}"
    if last_line and (derived := _derived(tail)):
        return derived
    own_line = last_line and re.fullmatch(r"[$`*]*-?[$`*]*[0-9][0-9.,/]*[$`*]*", sentence)
    if re.search(rf"\n\n[#> ]*{re.escape(sentence)}\Z", tail) and "=" not in sentence and len(sentence) < 40:
        alone = unwrapped(sentence.strip(MARKUP))
        if (
            re.search("[0-9]", alone)
            and not re.search("[A-Za-z]{3}", bare_of_commands(alone))
            and reads_as_maths(alone)
        ):
            return alone
    again = re.search(r"=\s*(-?[0-9][0-9.,]*)(?:\$?\n|\$)[^=$]*\bis \1$", tail)  # computed just before
    headed = last_line and labelled is not None and sentence.startswith("**")
    finished = (
        followed
        or headed
        or again is not None
        or bool(own_line)
        or re.search(r"[.!*$`\])}°%]$|: -?[0-9.,]+$", tail) is not None
        or (concluded and "=" not in claim and (number := number_in(claim)) is not None and computed(number, tail))
    )
    if curve := re.fullmatch(r"[^*$]*\bequation\b[^*$]* is \*\*([^*]+=[^*]+)\*\*", sentence.rstrip(".")):
        return curve[1] if finished and reads_as_maths(curve[1]) else None
    if followed and (curve := _CURVE_IS.fullmatch(sentence.rstrip("."))) and reads_as_maths(curve[1]):
        return curve[1]
    if finished and (form := _FORM_IS.search(claim)) and reads_as_maths(form[1]):
        return form[1]
    if finished and (day := _DAY.search(sentence.strip(" .!*"))) and not INEXACT.search(sentence):
        return str(day[1])
    if solutions := _solutions(claim):
        return solutions
    if finished and concluded and _BOUNDS.fullmatch(claim):
        return claim
    if finished and (behaves := _BEHAVES.search(claim)):
        return str(next(filter(None, behaves.groups())))
    if finished and (certain := _TO_BE_SURE.search(claim)):
        return certain[1]
    if nothing := _NO_SOLUTION.fullmatch(claim):
        return nothing[1]
    if name := _named(claim, finished and (concluded or last_line)):
        return name
    aim = AIM.search(_SATISFY.sub("", claim))
    if not (concluded or aim) and finished and (repeated := _said_again(tail, claim)):
        return repeated
    marked = re.findall(r"\*\*([^*]+)\*\*", sentence)
    doubtful = (ON_THE_WAY if len(marked) == 1 else PREMISE).search(claim) or GIVEN.search(
        re.sub(r"^(?:originally|initially),? ", "", claim, flags=re.IGNORECASE) if marked else claim
    )
    if not concluded and (not finished or doubtful):
        return None
    if finished and concluded and len(marked) == 1 and marked[0].lower() in NUMBER_WORDS:
        return str(marked[0])
    if finished and not aim and len(marked) == 1:
        place = _WHERE_FROM.fullmatch(marked[0])
        bold = place[1] if place else _right_side(unwrapped(marked[0].rstrip(".")))
        if _TIME.fullmatch(marked[0]):
            return str(marked[0])
        if re.search(r"[0-9]|\\[a-z]|√|π", bold) and reads_as_maths(bold):
            return bold
    if concluded and (holds := _HOLDS_FOR.search(claim.rstrip("."))) and reads_as_maths(holds[1]):
        return holds[1]
    if concluded and (power := _POWER_IS.fullmatch(claim)) and computed(power[1], tail[: -len(sentence)]):
        return power[1].strip()
    if concluded and (share := _SHARE_OF.fullmatch(claim)):
        return _of_share(share, tail)
    if concluded and not aim and finished and (counted := _THERE_ARE.match(_spelt(claim))):
        return counted[1]
    if concluded and not aim and (counted := _COUNTED.fullmatch(_WHICH.sub("", claim))):
        return counted[1]
    if finished and (counted := _COUNTED_MATHS.fullmatch(claim)) and reads_as_maths(_right_side(unwrapped(counted[1]))):
        return _right_side(unwrapped(counted[1]))
    alone = unwrapped(claim.strip(MARKUP))
    if (labelled or concluded or last_line or followed) and is_value(alone):
        return alone
    if headed and "=" not in alone and _NEW_FORM.match(sentence.strip(MARKUP)) and reads_as_maths(alone):
        return alone
    if CURVE.match(sentence.strip(MARKUP)) and labelled and (headed or followed) and reads_as_maths(alone):
        return alone
    if not finished and not re.search(r"[0-9)}]$", tail):
        return None
    if concluded:
        if _TO_DO.search(claim):
            return None
        if last_line and tail.endswith(".") and _EXPRESSION.fullmatch(alone) and reads_as_maths(alone):
            return alone
        priced = re.search(r"\b(?:of|is|at|for) \\?\$([0-9][0-9,.]*)$", claim) if claim.count("$") == 1 else None
        return (
            _claimed(claim, concluded)
            or (priced and priced[1])
            or (_last_span(claim, r"") if finished and not aim else None)
        )
    if aim or len([part for part in claim.split(" and ") if re.search(r"\b(?:is|are) [$\\]*[0-9]", part)]) > 1:
        return None  # "the base is 6 and the height is 4"
    return _claimed(claim, concluded) or _last_span(claim, IS.pattern.partition("(?: (?:equal")[0] + r"\s*$")


def _of_share(said: re.Match[str], tail: str) -> str | None:
    """Return which of the percentage and the whole, in "36 is 45% of 80", was computed."""
    percent, whole = unwrapped(said[2].strip("$ ")), said[3]
    share = rational(percent)
    of_percent = computed(percent, tail) or (share is not None and computed(str(share / 100), tail))
    if of_percent == computed(whole, tail):
        return None
    return percent if of_percent else whole


def _headed(text: str) -> str | None:
    """Return the value that a text starts with, in bold on a line of its own or in a sentence, and explains then."""
    head = re.match(r"\s*\*\*([^*\n]{1,80})\*\*\s*\n[ \t]*\n", text)
    if head is None:
        said = explained_first(text)
        value = _value_of_claim(said) if said else None
    else:
        value = unwrapped(_right_side(unwrapped(head[1])))
    return value if value and is_value(value) else None


def _named(claim: str, concluded: bool) -> str | None:
    """Return the word that a claim says something is: a name, or an answer word such as "ellipse"."""
    said = _NAMED.search(claim)
    if said is None or claim.count("**") > 2 or any(p.search(claim) for p in (SEVERAL, INEXACT, ON_THE_WAY)):
        return None
    word, before = str(next(filter(None, said.groups()))), claim[: said.start()].replace("equation", "")
    if word[0].isupper() and ((said[1] and said.end() == len(claim)) or said[4] or concluded):
        return word
    doubtful = PLAN.search(before) or any(p.search(before.rpartition(", ")[2]) for p in (PREMISE, GIVEN, AIM))
    return word if word in _ANSWER_WORDS and (said[1] or said[3] or concluded) and not doubtful else None


def _value_of_name(line: str) -> str | None:
    """Return the value of a line that says no more than what a name stands for: `d = 3√13`, `|w| = 5/13`."""
    left, _, right = line.strip("$`*").partition("=")
    value = unwrapped(right.strip())
    if re.fullmatch(r"[A-Z][a-z]+(?: [a-z]+){0,3} ", left) and (measured := _MEASURED.fullmatch(right)):
        return measured[1]
    named = (
        NAME.fullmatch(left.strip(" |∠"))
        or re.fullmatch(r"(?:sin|cos|tan) [A-Za-z]", left.strip())
        or re.fullmatch(r"\|[a-z]\|\^\{?2\}?", left.strip())
    )
    return value if named and is_value(value) else None


def _said_again(tail: str, claim: str) -> str | None:
    """Return the one number of the last sentence where it is what was computed in the line before."""
    priced = claim.replace("$", "", 1)
    numbers = [] if re.search(r"[\^$\\]", priced) else [each.strip() for each in NUMBER.findall(priced)]
    computed = re.search(r"= ?\**([0-9](?:[0-9,]|\.(?=[0-9]))*)(?:\. |[^=\n0-9]{0,20}\n+)[^\n=]*\Z", tail)
    same = (
        computed
        and len(numbers) == 1
        and (value := rational(numbers[0])) is not None
        and value == rational(computed[1])
    )
    return numbers[0] if same else None


def _solutions(claim: str) -> str | None:
    """Return the values that a claim lists: "the equation has two solutions, x = -3 and x = 5"."""
    listed = _SOLUTIONS_ARE.search(claim)
    values = listed[1].replace("$", "") if listed else ""
    return values if valued_names(values) else None


def _derived(tail: str) -> str | None:
    """Return what the last line, without a stop, says of the expression that the lines before work on."""
    before, last = tail.split("\n")[-6:-1], tail.rpartition("\n")[2].strip()
    if (
        re.match(r"[a-z] = ", last)
        and valued_names(last)
        and "$" not in last
        and any(re.search(r"= ?0\b", line) for line in before)
    ):
        return last
    said = _LINE_SAYS.fullmatch(last)
    if said is None or re.search(r"(?<![a-z\\])(?!sqrt|sin|cos|tan|log)[a-z]{2}", said[2]):
        return None
    for line in reversed(before):
        left, equals, right = line.strip(" $.").partition("=")
        if equals and left.strip() == said[1].strip():
            same = compare(unwrapped(right.rpartition("=")[2]), said[2]).equal is True
            return unwrapped(said[2]) if same else None
    return None


def _is_last_planned(tail: str, step: int) -> bool:
    """Return whether the steps that a text has planned in a numbered list end with this one."""
    numbers = re.findall(r"^[ \t]*([0-9]{1,2})[.)] ", tail, re.MULTILINE)
    return bool(numbers) and int(numbers[-1]) == step


def _spelt(claim: str) -> str:
    """Return a claim whose count is in figures: "there are eleven primes"."""
    return _COUNT_WORD.sub(lambda word: str(NUMBER_WORDS[word[0].lower()]), in_figures(claim))


def _is_item(tail: str, sentence: str) -> bool:
    """Return whether a sentence is a bare value in a list of such."""
    if rational(sentence.strip(MARKUP + "$.")) is None:
        return False
    items = re.findall(
        r"^[ \t]*(?:[-•*]|[0-9]{1,2}[.)]) +([^\n]+)\n[ \t]*(?:[-•*]|[0-9]{1,2}[.)]) +([^\n]+)", tail, re.MULTILINE
    )
    return any(sentence in pair for pair in items)


def _first_of_two(tail: str, sentence: str, claim: str) -> str | None:
    """Return the value of the first of two clauses where it is the result just before them: "the largest is 42 and the
    smallest is 34"."""
    two = re.fullmatch(rf"{_IS_NUMBER} and [^,.=]*{_IS_NUMBER}", claim)
    results = re.findall(r"=\s*(-?[0-9][0-9.,]*(?<![.,]))", tail[: tail.rfind(sentence)])
    return two[1] if two and results and rational(results[-1]) == rational(two[1]) else None


def _asked_of_two(tail: str, claim: str) -> str | None:
    """Return the value of the one of two clauses that a text is to find: "the slope is 3 and the intercept is 2"."""
    if (two := _TWO_OF.fullmatch(claim)) is None:
        return None
    asked = [
        value
        for noun, value in ((two[1], two[2]), (two[3], two[4]))
        if re.search(
            rf"\b(?:find|need|want|asked for|looking for|determine|compute)\b[^.=]*\b{noun}\b", tail, re.IGNORECASE
        )
    ]
    return unwrapped(asked[0]) if len(asked) == 1 and is_value(unwrapped(asked[0])) else None


def _plain_predicate(claim: str) -> str:
    """Return a claim without the relative clause of its subject: "the digit that cannot appear is 7"."""
    return _RELATIVE.sub(r"\1 ", claim, count=1)


def _claimed(claim: str, concluded: bool) -> str | None:
    """Return what a claim says that something is: after its last verb, or the right side of its equation."""
    if "$" in claim and claim.count("$") % 2 and "\\$" not in claim:
        return None
    if namely := re.search(r"\b(?:namely|i\.e\.,?) (\$[^$]+\$)$", claim):
        claim = namely[1]
    said = IS.split(
        re.sub(r"^(?:adding|multiplying|subtracting|summing) [^,=$]{1,40}, ", "", claim, flags=re.IGNORECASE)
    )
    piece = re.sub(r" (?:as (?:an?|the|our|my) [a-z ]+|in (?:lowest terms|simplest form))$", "", said[-1])
    piece = unwrapped(re.sub(r"\\\[|\\\]", " ", piece).strip(MARKUP + ",:"))
    if twice := _said_twice(piece):
        return unwrapped(twice)
    if led := re.fullmatch(r"[^$=,]{0,60},\s*\$([^$]+)\$", piece):
        piece = led[1]  # Adding up, $1 + 2 = 3$
    piece = re.sub(r"\$\s*(,|;|,?\s*(?:and|or)\b)\s*\$", r" \1 ", piece)  # spans of one list
    if "=" in piece and not INEQUALITY.search(piece):
        left, _, right = piece.replace("$", "").partition("=")
        if concluded and _is_identity(left, right):
            return unwrapped(right)
        chain = not re.search(r"[a-zA-Z]", bare_of_commands(left))
        named = NAME.fullmatch(left.strip()) or re.fullmatch(r"[A-Z][a-z]+(?: [a-z]+)+ ?", left)
        chain = chain or (piece.count("=") > 1 and all(map(is_value, piece.replace("$", "").split("=")[1:])))
        if not concluded and not named and not chain:
            return None
        if valued_names(bare := piece.removeprefix("that ").replace("$", "")):
            return unwrapped(bare)
        last = unwrapped(re.split(r"\\q?quad", piece)[-1])
        right = unwrapped(last.rpartition("=")[2].strip(" $"))
        if counted := _COUNTED.fullmatch(right.rstrip("²³")):
            right = counted[1]  # C(7,3) = 35 paths
        elif chain and (part := re.fullmatch(r"([0-9]+/[0-9]+) of an? [a-z ]+", right)):
            right = part[1]
        known = not re.search("[a-zA-Z]", bare_of_commands(right))
        if not concluded and not (known and not re.search(r"\\(?:cdot|times)(?!\s*10)|[*×]", right)):
            return None
        if len(said) == 1:
            if EQUATION.search(piece):
                return None
            piece = right if known or "$" in right else unwrapped(_right_side(last.replace("$", "")).strip())
        elif piece.count("=") > 1 or (known and not _FIGURE.search(claim)):
            piece = right
        if "$" in piece or not piece:
            return None  # the sentence goes on after its maths, or it is an equation on the way
    elif len(said) == 1:
        return None
    if not concluded and not re.search(r"[0-9]|\\[a-z]|√|π", piece):
        return None
    if counted := _COUNTED.fullmatch(piece.rstrip("²³")):
        return counted[1]
    return piece if reads_as_maths(piece) else None


def _is_identity(left: str, right: str) -> bool:
    """Return whether both sides are one expression in letters, as a factorisation and its product are."""
    lettered = all(re.search(r"[a-z].*[-+(]|[-+(].*[a-z]", bare_of_commands(side)) for side in (left, right))
    return lettered and "=" not in right and compare(left, right).equal is True


def _last_span(claim: str, before: str) -> str | None:
    """Return the maths at a claim's end, with at most a few words after it ("measures $5$ units")."""
    span = re.search(
        r"(?:\$([^$]+)\$|\\\((.+?)\\\)|(?<=[a-z] )([0-9][0-9,.]*(?:/[0-9]+)?)(?= [a-z]|$))"
        r"(?: of [0-9]+ [a-z]+| of an? [a-z]+(?: of [a-z]+)?| [a-z-]+){0,3}(?: [A-Z][a-z]*){0,2}"
        r"(?: (?:for|to|in|per|until|before|after) [a-z' -]+)?$",
        claim,
    )
    if (
        span is None
        or not (span.start() or re.search("[0-9]", span[0]))
        or not re.search(before, claim[: span.start()])
        or re.search(
            r"\b(?:all|(?<!precisely )(?<!exactly )when|where|(?<!and only )if|every|some|namely|or)\W*$",
            claim[: span.start()],
        )
        or (
            span[3] and (len(NUMBER.findall(claim)) > 1 or PLAN.search(claim) or _SOUGHT.search(claim, 0, span.start()))
        )
    ):
        return None
    piece = _right_side(unwrapped(span[1] or span[2] or span[3]))
    if (other := _AND_BEFORE.search(claim[: span.start()])) and re.fullmatch(r"\([^()]*,[^()]*\)", piece):
        return f"{unwrapped(other[1])}, {piece}"
    return piece if re.search(r"[0-9]|\\[a-z]", piece) and reads_as_maths(piece) else None


def _right_side(piece: str) -> str:
    """Return what a named value or arithmetic equals; an inequality is left as it is, an equation gives nothing."""
    left, equals, _ = piece.partition("=")
    if not equals or INEQUALITY.search(piece) or valued_names(piece):
        return piece
    computed = piece.count("=") > 1 and all(map(is_value, piece.split("=")[1:]))  # a + b = 4 + 12 = 16
    named = computed or NAME.fullmatch(left.strip()) or not re.search("[a-zA-Z]", bare_of_commands(left))
    return unwrapped(piece.rpartition("=")[2]) if named else ""
