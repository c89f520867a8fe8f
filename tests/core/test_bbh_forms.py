"""How models write BBH answers: forms that are the gold answer, and forms that are not."""

import pytest

from capgap_ray.core.answers import equal, kind_of

CHOICES = ("red", "green", "blue")
EQUAL: list[tuple[str, str, tuple[str, ...]]] = [
    ("(B)", a, CHOICES)
    for a in (
        "(B)",
        "B",
        "b",
        "(b)",
        "B.",
        "(B).",
        "**(B)**",
        "**B**",
        "$\\boxed{B}$",
        "\\boxed{(B)}",
        "\\text{(B)}",
        "\\text{B}",
        "Option B",
        "option (B)",
        "(B) green",
        "B) green",
        "B. green",
        "B: green",
        "green",
        "Green",
        "green.",
        "(B) green.",
        "[B]",
        "{B}",
        "Choice B",
        "Answer: (B)",
        "The answer is (B)",
        "\\textbf{(B)}",
        "`(B)`",
        '"(B)"',
        "(B) - green",
        "(B): green",
        "B - green",
        "**(B) green**",
        "\\boxed{\\text{(B) green}}",
        "(B)green",
        "B)",
        "B,",
        "Option (B) green",
        "option B: green",
        "$B$",
        "$(B)$",
        "\\mathrm{B}",
        "\\(B\\)",
        "the answer is B",
        "<B>",
    )
]
EQUAL += [
    ("True", a, ())
    for a in (
        "True",
        "true",
        "TRUE",
        "**True**",
        "\\text{True}",
        "True.",
        "\\boxed{True}",
        "$\\text{True}$",
        "`True`",
        "the answer is True",
        '"True"',
        "True, because x",
    )
]
EQUAL += [
    ("No", a, ())
    for a in (
        "No",
        "no",
        "NO",
        "No.",
        "**No**",
        "No, he does not",
        "\\text{No}",
        "No, the sentence is implausible",
        "No - it does not",
    )
]
EQUAL += [
    ("invalid", a, ())
    for a in ("invalid", "Invalid", "**invalid**.", "the argument is invalid", "deductively invalid", "\\text{invalid}")
]
EQUAL += [
    ("ant bee cat", a, ())
    for a in (
        "ant bee cat",
        "ant, bee, cat",
        "Ant, Bee, Cat",
        "1. ant 2. bee 3. cat",
        "1. ant\n2. bee\n3. cat",
        "- ant\n- bee\n- cat",
        "[ant, bee, cat]",
        "['ant', 'bee', 'cat']",
        "ant; bee; cat",
        "\\text{ant bee cat}",
        "\\text{ant, bee, cat}",
        "**ant bee cat**",
        "ant\nbee\ncat",
        '"ant", "bee", "cat"',
        "ant < bee < cat",
        "ant → bee → cat",
        "ant bee cat.",
        "`ant bee cat`",
        "\\text{ant} \\text{bee} \\text{cat}",
        "\\text{ant, } \\text{bee, } \\text{cat}",
        "ant,bee,cat",
        "ant, bee, and cat",
        "(1) ant, (2) bee, (3) cat",
        "* ant\n* bee\n* cat",
        "ant | bee | cat",
        "ant -> bee -> cat",
        "1) ant, 2) bee, 3) cat",
    )
]
EQUAL += [
    ("] ) }", a, ())
    for a in (
        "] ) }",
        "])}",
        "]\\) \\}",
        "] \\) \\}",
        "], ), }",
        "`] ) }`",
        "\\boxed{] ) \\}}",
        "\\text{] ) \\}}",
        "$] ) \\}$",
        "**] ) }**",
        '"] ) }"',
        "\\] \\) \\}",
        "] ) } .",
        "\\right] \\right) \\right\\}",
        "\\texttt{] ) \\}}",
        "\\rbrack ) \\rbrace",
        "\\verb|] ) }|",
        "] ) \\rbrace",
    )
]
EQUAL += [("> ]", a, ()) for a in ("> ]", "\\rangle ]", "\\gt ]", "&gt; ]", "⟩ ]", "\\text{> ]}")]
EQUAL += [
    ("-24", a, ())
    for a in ("-24", "−24", "**-24**", "$-24$", "-24.0", "\\boxed{-24}", "-24.", "\\text{-24}", "- 24", "–24")
]
EQUAL += [
    ("8", a, ())
    for a in (
        "8",
        "8.",
        "eight",
        "8 objects",
        "**8**",
        "8 musical instruments",
        "8 fruits",
        "\\text{8}",
        "Eight",
        "8.0",
        "08",
        "8 animals in total",
        "$8$",
    )
]
EQUAL += [
    ("(B)", "B is correct", CHOICES),
    ("(B)", "B is the answer", ()),
    ("(B)", "B (green)", CHOICES),
    ("(D)", "(D) Modifiers or Adjectives", ()),
    ("False", "False, since not True is False", ()),
    ("Yes", "Yes. We are at (0,0)", ()),
    (") ) ]", "The answer is ) ) ]", ()),
    ("6", "a total of 6 (six)", ()),
    ("guru malton only", "guru / malton / only", ()),
    ("guru malton only", "**guru**, **malton**, **only**", ()),
    ("guru malton only", "The sorted list is: guru, malton, only", ()),
    ("guru malton only", "a) guru b) malton c) only", ()),
    ("(B)", "The correct answer is B", CHOICES),
    ("(B)", "Facts (B)", ()),
    ("(B)", "(B) between green and blue", ()),
    ("yes", "yes!", ()),
    ("True", "(True)", ()),
    ("No", "No (he lies)", ()),
    ("14", "There are 14 animals", ()),
    ("guru malton only", "Guru, malton and only", ()),
    ("guru malton only", "guru > malton > only", ()),
    ("guru malton only", "guru\\ malton\\ only", ()),
    ("(B)", "(B) because (A) is too early", CHOICES),
    ("(B)", "Sentence (B)", CHOICES),
    ("(B)", "B, golf ball", ()),
    ("24", "= 24", ()),
    ("15", "fifteen fruits", ()),
    ("(B)", "( B )", ()),
    ("ant you've", "ant you’ve", ()),
    ("guru it&t malton", "guru, it&t, malton", ()),
    ("05/01/2021", "05/01/2021, a Saturday", ()),
    ("05/01/2021", "05/01/2021 (Saturday)", ()),
    ("05/01/2021", "The date is 05/01/2021", ()),
    ("plausible", "yes", ()),
    ("implausible", "no", ()),
    ("(A)", "**A** Forrest Gump", ()),
    ("(B)", "between 3pm and 5pm", ("1pm to 3pm", "3pm to 5pm")),
]
UNEQUAL: list[tuple[str, str, tuple[str, ...]]] = [
    ("(B)", a, CHOICES)
    for a in (
        "(A)",
        "A",
        "(C) blue",
        "red",
        "(A) or (B)",
        "(B) or (C)",
        "B or C",
        "not (B)",
        "(B) red",
        "(A) green",
        "AB",
        "(B)(C)",
        "",
        "none",
        "both",
        "(B), (C)",
        "either B or C",
        "A, B",
        "B/C",
        "neither",
        "(BB)",
        "?",
    )
]
UNEQUAL += [
    ("(B)", "(B)?", CHOICES),
    ("(B)", "(B) can be ruled out", CHOICES),
    ("(B)", "(B) or maybe Green", CHOICES),
    ("False", "False, since it may be. Wait, True", ()),
    ("Yes", "Yes. No", ()),
    ("6", "a total of 6 or 7", ()),
    ("(B)", "(B) is wrong", CHOICES),
    ("(B)", "B is incorrect", CHOICES),
    ("(B)", "not (B)", ()),
    ("(B)", "Facts or numbers (B)", ()),
    ("(B)", "wrong (B)", ()),
    ("(B)", "red (B)", CHOICES),
    ("guru and malton", "guru, malton", ()),
    ("No", "No (yes)", ()),
    ("(B)", "B, C", ()),
    ("(B)", "(B) because (A) is. Wait, (C)", CHOICES),
    ("15", "fifteen or sixteen fruits", ()),
    ("guru it&t malton", "guru, malton, it&t", ()),
]
UNEQUAL += [
    ("True", a, ())
    for a in ("False", "not True", "True or False", "yes", "", "None", "1", "untrue", "neither True nor False")
]
EQUAL += [("B", a, ()) for a in ("B", "(B)", "**(B)**", "Option B", "B.")]
EQUAL += [("green", a, CHOICES) for a in ("(B)", "B", "green", "(B) green", "Green.", "\\text{green}")]
UNEQUAL += [("B", a, ()) for a in ("A", "(A)", "(A) or (B)", "not B", "Beta", "")]
UNEQUAL += [("green", a, CHOICES) for a in ("(A)", "red", "(A) green", "(B) red", "green or red", "not green")]
UNEQUAL += [("4", a, ("3", "4")) for a in ("(A)", "A) 4", "(A) 4", "3", "3 or 4")]
UNEQUAL += [("No", a, ()) for a in ("Yes", "yes and no", "not sure", "No or Yes", "False", "")]
UNEQUAL += [("invalid", a, ()) for a in ("valid", "not invalid", "", "the argument is valid", "valid or invalid")]
UNEQUAL += [("(B)", a, ("1pm to 3pm", "3pm to 5pm")) for a in ("between 1pm and 3pm", "from 3pm", "3pm to 6pm")]
UNEQUAL += [("valid", a, ()) for a in ("invalid", "not valid", "the argument is not valid", "the argument is invalid")]
UNEQUAL += [
    ("ant bee cat", a, ())
    for a in (
        "bee ant cat",
        "ant bee",
        "ant bee cat dog",
        "cat bee ant",
        "ant bee bat",
        "antbeecat",
        "",
        "1. bee 2. ant 3. cat",
        "ant bee bee cat",
        "a n t",
    )
]
UNEQUAL += [
    ("05/01/2021", a, ())
    for a in ("05/02/2021, a Saturday", "05/01/2021 or 05/02/2021", "not 05/01/2021", "01/05/2021")
]
UNEQUAL += [
    ("] ) }", a, ())
    for a in ("] } )", "] )", "] ) } }", "[ ( {", "} ) ]", "", "] ) >", "( ] ) }", "] ) } or ] )", "(] ) })")
]
UNEQUAL += [
    ("-24", a, ()) for a in ("24", "-2.4", "-24 or 24", "-42", "not -24", "-25", "", "about -24", "-24, 5", "--24")
]
UNEQUAL += [
    ("8", a, ())
    for a in (
        "9",
        "8 or 9",
        "80",
        "not 8",
        "18",
        "8.5",
        "eighteen",
        "",
        "8 and 9",
        "around 8",
        "-8",
        "7 objects",
        "8-9",
    )
]


@pytest.mark.parametrize(("gold", "answer", "choices"), EQUAL)
def test_equal(gold: str, answer: str, choices: tuple[str, ...]) -> None:
    assert equal(answer, gold, kind_of(gold, choices), choices)


@pytest.mark.parametrize(("gold", "answer", "choices"), UNEQUAL)
def test_not_equal(gold: str, answer: str, choices: tuple[str, ...]) -> None:
    assert not equal(answer, gold, kind_of(gold, choices), choices)
