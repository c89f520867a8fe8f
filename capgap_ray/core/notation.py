"""Maths as written -> tokens: LaTeX, Unicode and plain text in one notation, and the words it knows.

Time is linear in the text; longer text than an answer is refused.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from capgap_ray.core.number_words import PART, SCALES, in_figures, signed

LONGEST_MATHS = 2_000
"""Characters; longer text is not read."""


AND = "and"
"""Between two bounds it does not mean what a comma or "or" means."""


class Unreadable(ValueError):
    """The text is not an expression that this reader knows for certain."""


class Token(NamedTuple):
    """A piece of the text. Kinds: num, cmd, sym, text, op."""

    kind: str
    text: str
    spaced: bool
    """Whether white space stands before it."""


def _split(words: str) -> list[str]:
    return words.split()


FUNCTIONS = frozenset(
    _split(
        "sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh ln log lg exp sqrt cbrt abs "
        "floor ceil"
    )
)
GREEK = frozenset(
    _split(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
        "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell mho"
    )
)
FONTS = frozenset(_split("mathbf mathrm mathit mathsf bm underline"))
"""Commands that change how their argument looks, not what it means."""
_SCALED = re.compile(rf"(?<=[0-9])(?:\\[,; ]|\s|~)*(\\text\s*\{{\s*)?({'|'.join(SCALES)})(?![A-Za-z])", re.IGNORECASE)
_SHORT_WORDS = frozenset(
    _split("the not is no yes of for per all are odd red one two six ten off non any few men day days old bc bce")
)
_UNITS = {
    "degree": "degree degrees deg degs",
    "percent": "percent percentage pct",
    "dollar": "dollar dollars usd buck bucks",
    "cent": "cent cents",
    "euro": "euro euros eur",
    "pound sterling": "gbp",
    "cm": "cm cms centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "km": "km kms kilometer kilometers kilometre kilometres",
    "m": "m meter meters metre metres",
    "inch": "in inch inches",
    "foot": "ft foot feet",
    "yard": "yd yard yards",
    "mile": "mi mile miles",
    "second": "s sec secs second seconds",
    "minute": "min mins minute minutes",
    "hour": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "yr yrs year years",
    "g": "g gram grams gm",
    "kg": "kg kgs kilogram kilograms",
    "pound": "lb lbs pound pounds",
    "ounce": "oz ounce ounces",
    "l": "l liter liters litre litres",
    "ml": "ml milliliter milliliters millilitre millilitres",
    "gallon": "gal gallon gallons",
    "mile per hour": "mph",
    "km per hour": "kmh kph kmph",
    "unit": "unit units",
    "radian": "rad rads radian radians",
}
UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split()}
NO_UNIT = frozenset(
    _split(
        "or and not nor either neither maybe perhaps possibly both but about approximately approx roughly around "
        "nearly almost "
        "million billion trillion thousand hundred dozen half times over more less than least most plus minus "
        "unknown undefined if when mod modulo remainder base where with to between greater fewer except only any all "
        "bc bce k mil mn bn is are was wrong incorrect false "
        "dozens hundreds thousands millions billions lakhs crores none zero negative positive "
        "factorial root half halves third thirds quarter fourth fourths fifth fifths sixth sixths seventh sevenths "
        "eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths score scores gross"
    )
)
CURRENCY = {"$": "dollar", "€": "euro", "£": "pound sterling"}

_VULGAR = {char: unicodedata.normalize("NFKC", char).replace("⁄", "/") for char in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"}
_UNICODE = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ",
    "∙": r"\cdot ", "∗": "*", "÷": "/", "⁄": "/", "∕": "/", "√": r"\sqrt ", "∛": r"\sqrt[3] ", "π": r"\pi ",
    "∞": r"\infty ", "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "∈": r"\in ",
    "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "∅": r"\emptyset ", "°": r"\degree ", "º": r"\degree ",
    "±": r"\pm ", "∓": r"\mp ", "≈": r"\approx ", "∠": r"\angle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "…": r"\ldots ", "⋯": r"\ldots ", "¢": r"\text{cents}", "∣": "|", "′": "'",
    "θ": r"\theta ", "˚": r"\degree ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "λ": r"\lambda ", "μ": r"\mu ",
    "φ": r"\phi ", "ω": r"\omega ", "σ": r"\sigma ", "ρ": r"\rho ", "ε": r"\epsilon ", "τ": r"\tau ", "ψ": r"\psi ",
    "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "\u2061": "", "\u2062": " ", "（": "(", "）": ")",
    "，": ",", "＝": "=", "＋": "+", "：": ":", "％": "%", "。": ".",
}  # fmt: skip
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ⁽⁾", "0123456789+-n()", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_SUPERSCRIPT = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_SUBSCRIPT = re.compile(f"[{''.join(_SUBSCRIPTS)}]+")
_SMALL_FRACTION = re.compile(f"([⁰¹²³⁴⁵⁶⁷⁸⁹]+)[⁄∕/]([{''.join(_SUBSCRIPTS)}]+)")
_OVERLINED = re.compile("(?:[0-9]\u0305)+")
_STYLED = re.compile("[\U0001d400-\U0001d7ff\uff01-\uff5e]+")
"""Letters and digits of mathematical fonts, and of full width."""
_VULGAR_RUN = re.compile(f"[{''.join(_VULGAR)}]")

_SPACING = re.compile(
    r"(?<!\\)\\(?:(?:displaystyle|textstyle|limits|nolimits|quad|qquad|left|right|[lL]arge|LARGE|small|normalsize"
    r"|[bB]ig{1,2}[lr]?|boldsymbol|mathstrut)(?![a-zA-Z])|[,;:!> /\n])|~"
)
_DEGREE = re.compile(r"\^\s*(?:\{\s*)?\\(?:circ|degree)(?![a-zA-Z])(?:\s*\})?|\\textdegree|\\degree(?![a-zA-Z])")
_DOTTED = re.compile(r"(?<=[0-9.])\\dot\s?\{?([0-9])\}?([0-9]*)\\dot\s?\{?([0-9])\}?")
"""A repetend, dotted at its ends: `0.\\dot{1}4\\dot{2}`."""
_PERIOD = re.compile(r"\s+(?:second|minute|hour|day|week|month|year)\b")
_INFIX = re.compile(r"\{([^{}]*)\\(choose|over)(?![a-z])([^{}]*)\}")
_ROW_GAP = re.compile(r"\\\\\s*\[-?[0-9.]+\s*(?:pt|ex|em|mm|cm)\]")
THOUSANDS = re.compile(r"(?<=[0-9])(?:,\\!\s*|\{,\}|\\,|\\!\s*,|,\{\}|\{\\,\})(?=[0-9]{3}(?![0-9]))")
_PREFIX = {"choose": "binom", "over": "frac"}
_TEXT_COMMAND = r"\\(?:text[a-z]*|mbox|hbox|mathrm|mathbf|mathit|mathsf|mathbb|mathcal|mathtt|operatorname|rm|bf)"
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<rep>[0-9]*\.[0-9]*(?:\\overline|\\bar|\\dot)\s*(?:\{\s*[0-9]+\s*\}|[0-9])|[0-9]*\.[0-9]*\([0-9]+\)(?!\s*[\^_])"
    r"|[0-9]*\.[0-9]+\s?(?:\.\.\.|\\(?:ldots|dots|cdots|dotsc|dotsb)(?![a-zA-Z])))"
    r"|(?P<num>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3}(?![0-9.a-zA-Z]))?|\.[0-9]+"
    r"(?:[eE][+-]?[0-9]{1,3}(?![0-9.a-zA-Z]))?)"
    rf"|(?P<text>{_TEXT_COMMAND}\s*\{{[^{{}}]*\}})"
    r"|(?P<begin>\\(?:begin|end)\s*\{[a-zA-Z]*\*?\})"
    r"|(?P<cmd>\\(?:[a-zA-Z]+|.))"
    r"|(?P<word>[A-Za-z]+)"
    r"|(?P<op>\*\*|<=|>=|(?<![0-9)}])!=|==|->|.)",
    re.DOTALL,
)

_QUOTED_PART = re.compile(rf"(?<=[0-9])(?:\\?\s|~)*\\(?:text|mathrm|mbox)\s*\{{\s*({PART})\s*\}}", re.IGNORECASE)
"""`3\\text{ quarters}`."""
OPTION_LABEL = re.compile(
    rf"{_TEXT_COMMAND}\s*\{{\s*(?:\([A-E]\)|[A-E][).:])\s*\}}(?:[\s~]|\\[ ,;:]|\\q?quad(?![a-z]))*"
    r"(?=[-0-9$(\[.a-z]|\\(?!cdot|times|text|mbox)[a-z{])"
    r"|(?:\([A-E]\):?|[A-E][).:])\s+(?=[0-9$]|\\[dt]?frac|\\sqrt)"
)
"""An option's letter before its value: `\\textbf{(B)}\\ 12`."""


def prepared(text: str) -> str:
    """Return the text with Unicode maths written in LaTeX and without spacing commands; raises Unreadable."""
    if len(text) > LONGEST_MATHS:
        raise Unreadable("too long")
    if label := OPTION_LABEL.match(text):
        text = text[label.end() :]
    if not text.isascii():
        # A vulgar fraction after a digit is a mixed number; the space tells it from `11/2`.
        text = _VULGAR_RUN.sub(lambda match: " " + _VULGAR[match[0]] + " ", text)
        text = _SMALL_FRACTION.sub(_small_fraction, text)
        text = _SUPERSCRIPT.sub(lambda match: "^{" + "".join(map(_SUPERSCRIPTS.__getitem__, match[0])) + "}", text)
        text = _SUBSCRIPT.sub(lambda match: "_{" + "".join(map(_SUBSCRIPTS.__getitem__, match[0])) + "}", text)
        text = _OVERLINED.sub(lambda match: "\\overline{" + match[0].replace("\u0305", "") + "}", text)
        text = "".join(_UNICODE.get(char, char) for char in _STYLED.sub(_unstyled, text))
    text = _DOTTED.sub(r"\\overline{\1\2\3}", text)
    text = text.replace("+/-", "\\pm ")
    text = re.sub(r"\bsq\.? (?=[a-z])", "square ", text)
    text = re.sub(r"\bin base\b", "base", text)
    text = re.sub(r"\\text\s*\{\s*\(?base ([0-9]+)\)?\s*\}", r"(base \1)", text)
    text = re.sub(r"\bper cent\b", "percent", text)
    text = in_figures(signed(_QUOTED_PART.sub(r" \1", text)))
    text = _SCALED.sub(lambda match: rf"\cdot 10^{{{SCALES[match[2].lower()]}}} {match[1] or ''}", text)
    text = THOUSANDS.sub("", text).replace("{,}", ",")
    if "\\" in text:
        text = _INFIX.sub(lambda match: rf"\{_PREFIX[match[2]]}{{{match[1]}}}{{{match[3]}}}", text)
        text = _DEGREE.sub(r"\\degree ", text)
        text = _ROW_GAP.sub(r"\\\\", _SPACING.sub(" ", text))
    return text


def _unstyled(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


def _small_fraction(match: re.Match[str]) -> str:
    """Return `⁵⁄₁₃` as ` 5/13 `, like a vulgar fraction of one character."""
    top = "".join(map(_SUPERSCRIPTS.__getitem__, match[1]))
    bottom = "".join(map(_SUBSCRIPTS.__getitem__, match[2]))
    return f" {top}/{bottom} "


def tokens(text: str, thousands: bool = True) -> list[Token]:
    """Return the tokens of a prepared text. `thousands`: whether `1,234` is one number."""
    found: list[Token] = []
    spaced = False
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup or "op", match[0]
        if kind == "space":
            spaced = True
            continue
        if kind == "num" and not thousands and "," in piece:
            for index, part in enumerate(piece.split(",")):
                if index:
                    found.append(Token("op", ",", False))
                found.append(Token("num", part, spaced and not index))
        elif piece == "a" and spaced and found and _PERIOD.match(text, match.end()):
            found.append(Token("text", "per", spaced))
        elif kind == "word":
            found += _word(piece, spaced, text[match.end() : match.end() + 1])
        elif kind == "text":
            command, _, inside = piece.partition("{")
            found += _quoted(inside[:-1].strip(), command.strip(), spaced)
        else:
            found.append(Token(kind, piece, spaced))
        spaced = False
    return found


_JOINED = {"and": AND, "or": ",", "and also": AND}


def _word(word: str, spaced: bool, following: str) -> list[Token]:
    lower = word.lower()
    if lower in _JOINED:
        return [Token("op", _JOINED[lower], spaced)]
    if lower in FUNCTIONS:
        return [Token("cmd", "\\" + lower, spaced)]
    if lower in ("infinity", "infty", "inf", "oo"):
        return [Token("cmd", "\\infty", spaced)]
    if lower == "pi":
        return [Token("cmd", "\\pi", spaced)]
    if lower == "union" or (word == "U" and spaced and following == " "):
        return [Token("cmd", "\\cup", spaced)]
    if word in GREEK and len(word) > 2:
        return [Token("cmd", "\\" + word, spaced)]
    if len(word) == 1:
        return [Token("sym", word, spaced)]
    if word != "bc" and (len(word) > 3 or lower in _SHORT_WORDS or lower in UNIT_OF):  # ab + bc; the era is BC
        return [Token("text", word, spaced)]
    return [Token("sym", letter, spaced and not index) for index, letter in enumerate(word)]


def _quoted(inside: str, command: str, spaced: bool) -> list[Token]:
    if not re.search(r"[A-Za-z0-9]", inside) and not re.search(r"[-+*/=$%(\[]", inside):
        return [Token("op", ",", spaced)] if inside in (",", ";") else []
    if not re.search(r"[A-Za-z]", inside):
        return tokens(inside) if inside else []
    if command == "\\mathbb":
        return [Token("sym", "set of " + inside, spaced)]
    if command == "\\mathrm" and inside in ("i", "e"):
        return [Token("sym", inside, spaced)]
    if len(inside) == 1 and not command.startswith(("\\text", "\\mbox", "\\hbox", "\\mathrm")):
        return [Token("sym", inside, spaced)]
    bare = inside.strip(" .,")
    if (joined := _JOINED.get(bare.lower())) is not None:
        return [Token("op", joined, spaced)]
    if command == "\\operatorname" and bare in FUNCTIONS:
        return [Token("cmd", "\\" + bare, spaced)]
    found: list[Token] = []
    for piece in re.split(r"\b(and|or)\b", inside):
        if piece in _JOINED:
            found.append(Token("op", _JOINED[piece], True))
        elif piece.strip():
            # Numbers quoted as text are read; everything else stays words.
            if re.fullmatch(r"[\s,;]*", piece):
                continue
            found.append(Token("text", piece.strip(), spaced))
    return found
