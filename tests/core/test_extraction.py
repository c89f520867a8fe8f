"""Where answers are found in whole outputs, and that none is invented."""

from __future__ import annotations

import time

import pytest

from capgap_ray.core.answers import canonical, compare, extract, kind_of_task
from capgap_ray.core.extraction import maths_answer, number_answer

MATHS = [
    ("So \\boxed{5}.", "5"),
    ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    ("\\boxed{\\left\\{1, \\frac{2}{3}\\right\\}}", "\\left\\{1, \\frac{2}{3}\\right\\}"),
    ("\\boxed {17}", "17"),
    ("\\fbox{3}", "3"),
    ("\\framebox{8}", "8"),
    ("\\boxed5", "5"),
    ("\\boxed 12", "12"),
    ("\\boxed\\frac{1}{2}", "\\frac{1}{2}"),
    ("\\boxed{\\fbox{3}}", "3"),
    ("$$\\boxed{x^2+1}$$", "x^2+1"),
    ("We get \\boxed{5}. Then \\boxed{", "5"),
    ("\\boxed{5} the box \\boxed{}", "5"),
    ("First \\boxed{4}. Wait, that is wrong. It is \\boxed{6}.", "6"),
    ("I use \\boxed as told. \\boxed{9}", "9"),
    ("\\boxed{9}. That is all in \\boxed as told.", "9"),
    ("Remember to use \\boxed and done", None),
    ("\\boxed{\\frac{1}{2", None),
    ("\\boxed{?}", None),
    ("\\boxed{}", None),
    ("\\boxed{\\text{your answer}}", None),
    ("<think>\\boxed{5}", None),
    ("<think>\\boxed{5}</think> \\boxed{7}", "7"),
    ("<think>\\boxed{5}</think> I stop.", None),
    ("x=\\boxed{3} or x=\\boxed{5}", "3, 5"),
    ("\\boxed{\\text{east}}", "\\text{east}"),
    ("The answer is 5.", "5"),
    ("The answer is **17**.", "17"),
    ("The answer is \\(x^2+1\\).", "x^2+1"),
    ("The answer is $\\sqrt{2}$ because it is.", "\\sqrt{2}"),
    ("Hence the answer is (3, 4).", "(3, 4)"),
    ("**Final Answer:** $\\frac{3}{4}$", "\\frac{3}{4}"),
    ("Final Answer: The final answer is $12$. I hope it is correct.", "12"),
    ("The final answer is:\n\n\\[ 5 \\]", "5"),
    ("The final answer is $\\boxed{7}$.", "7"),
    ("Answer: 42", "42"),
    ("#### 42", "42"),
    ("42", "42"),
    ("$\\frac12$", "\\frac12"),
    ("Therefore, x = 5.", "5"),
    ("Therefore, $x = 5$.", "5"),
    ("Thus the area is $12\\pi$.", "12\\pi"),
    ("\\boxed{5}. I hope the answer is in the right form.", "5"),
    ("Is the answer 5?", None),
    ("The answer is 5?", None),
    ("I think the answer is either 5 or 6.", None),
    ("The answer is 5 or 6.", None),
    ("The answer is not 5.", None),
    ("Maybe the answer is 5.", None),
    ("If the answer is 5, we are done.", None),
    ("The answer is unknown.", None),
    ("I do not know.", None),
    ("", None),
    ("So we need to find x. First,", None),
    ("Let me compute: 3+4", None),
    ("Step 1: x = 5\nWait, I need to reconsider", None),
    ("I cannot solve this problem.", None),
]
NUMBERS = [
    ("... #### 18", "18"),
    ("#### 1,234", "1,234"),
    ("#### $18", "18"),
    ("The answer is 15. Check: 15 + 5 = 20", "15"),
    ("The answer is 15.\n\nCheck: 15 + 5 = 20.", "15"),
    ("The answer is $18.", "18"),
    ("The answer is $18.00.", "18.00"),
    ("The answer is $1{,}234$.", "1,234"),
    ("The answer is 18 dollars per 2 days", "18"),
    ("The answer is -3", "-3"),
    ("The final answer is 10 apples, since 5*2=10", "10"),
    ("So Ann sold 48+24 = 72 clips altogether.", "72"),
    ("So she makes 9 * 2 = $18 every day.", "18"),
    ("Therefore, he has 2/5 of the cake left.", "2/5"),
    ("She sells 9 eggs. She makes $18 every day.", "18"),
    ("Final Answer: \\boxed{72}", "72"),
    ("\\boxed{\\$18}", "18"),
    ("Thus, the total is **72** clips.", "72"),
    ("72", "72"),
    ("First, 3*4=12. Then 12+5=17. He has 17 marbles left.\n\nCheck: 17-5=12.", "17"),
    ("She has 3 apples and 5 pears. How many?", None),
    ("I cannot solve this.", None),
    ("The answer is 5 or 6.", None),
    ("There might be 5 left.", None),
    ("So there are 3 + 4", None),
    ("John needs 3 boxes of 12 eggs.", None),
    ("Let's see: 5 + 5 = 10. Next we", None),
    ("<think>#### 5", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "answer"), MATHS)
def test_maths(text: str, answer: str | None) -> None:
    assert maths_answer(text) == answer


@pytest.mark.parametrize(("text", "answer"), NUMBERS)
def test_numbers(text: str, answer: str | None) -> None:
    assert number_answer(text) == answer


BBH = [
    ("hyperbaton", "So the answer is (B).", "(B)"),
    ("hyperbaton", "The answer is **(B)**.", "(B)"),
    ("hyperbaton", "**Answer: (B)**", "(B)"),
    ("hyperbaton", "The correct option is (B).", "(B)"),
    ("hyperbaton", "The answer is B.", "(B)"),
    ("hyperbaton", "The answer is Option B.", "(B)"),
    ("hyperbaton", "The answer is (B) red.", "(B)"),
    ("hyperbaton", "The answer is \\boxed{B}.", "(B)"),
    ("hyperbaton", "The answer is $\\boxed{\\text{(B)}}$", "(B)"),
    ("hyperbaton", "Final Answer: B", "(B)"),
    ("hyperbaton", "Let me see.\n(B)", "(B)"),
    ("hyperbaton", "Therefore, (B) is correct.", "(B)"),
    ("hyperbaton", "Is the answer (B)?", None),
    ("hyperbaton", "I am not sure.", None),
    ("web_of_lies", "So the answer is No.", "No"),
    ("web_of_lies", "**Answer:** Yes", "Yes"),
    ("web_of_lies", "Hm.\nYes.", "Yes"),
    ("formal_fallacies", "Therefore, the argument is invalid.", "invalid"),
    ("formal_fallacies", "So the answer is **valid**.", "valid"),
    ("boolean_expressions", "So the answer is True.", "True"),
    ("boolean_expressions", "The answer is \\boxed{\\text{False}}.", "False"),
    ("dyck_languages", "So the answer is ] ) }.", "] ) }"),
    ("dyck_languages", "So the answer is \\boxed{] \\) \\}}", "] ) }"),
    ("dyck_languages", "The answer is `])}`.", "] ) }"),
    ("word_sorting", "So the answer is ant bee cat.", "ant bee cat"),
    ("word_sorting", "The answer is: ant, bee, cat", "ant bee cat"),
    ("word_sorting", "The answer is:\n1. ant\n2. bee\n3. cat", "ant bee cat"),
    ("word_sorting", "Sorted list: ant, bee, cat.", "ant bee cat"),
    ("object_counting", "So the answer is 8.", "8"),
    ("object_counting", "The answer is **8**.", "8"),
    ("multistep_arithmetic_two", "So the answer is -24.", "-24"),
    ("multistep_arithmetic_two", "The answer is $\\boxed{-24}$.", "-24"),
    ("object_counting", "I do not know.", None),
]


@pytest.mark.parametrize(("task", "text", "answer"), BBH)
def test_bbh(task: str, text: str, answer: str | None) -> None:
    kind = kind_of_task(task) or "option"
    found = extract(text, kind)
    assert (None if found is None else canonical(found, kind)) == answer
    if answer is not None and found is not None:
        assert compare(found, answer, kind, ()).equal is True


MEGA = 1_000_000
HOSTILE = ["\\boxed{" * (MEGA // 7), "the answer is " * (MEGA // 14), "#### " * (MEGA // 5), "5 " * (MEGA // 2), "$" * MEGA, "So " + "=" * MEGA,
           "1," * (MEGA // 2), "{" * MEGA, "the answer is " + "9" * MEGA, "not " * (MEGA // 4), "\n" * MEGA, "*" * MEGA, "." * MEGA,
           "Therefore " * (MEGA // 10) + "x is 5.", "final " * (MEGA // 6), " " * MEGA + "x", "answer " * (MEGA // 7), "\\boxed{5} or " * (MEGA // 13)]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_megabyte_takes_less_than_a_second(text: str) -> None:
    for find in (maths_answer, number_answer):
        begun = time.process_time()
        find(text)
        assert time.process_time() - begun < 1.0
