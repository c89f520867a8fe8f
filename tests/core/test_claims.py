"""What the closing sentences of a text settle on, and what they leave open."""

import pytest

from capgap_ray.core.claims import claimed_option
from capgap_ray.core.verdicts import claimed_verdict

COLOURS = ("red ball", "green ball", "blue ball")

OPTIONS: list[tuple[str, tuple[str, ...], str | None]] = [
    # the last sentence that claims an option decides; remarks, checks and dismissals after it are passed over
    ("Both are long. So (B) is the sarcastic one. The word gives it away.", (), "B"),
    ("That is statement (B).\n\nAll of the remaining statements are false: (A) would make Ann the first.", (), "B"),
    ("It makes sense, so the antecedent is the clerk: option B, not (A) and not (C).", (), "B"),
    ("The cheapest are the kiwis and so (F) is true and all the others are not.", (), "F"),
    ("It has lines, so it isn't (A), (B) or (D). By elimination we're left with (C).", (), "C"),
    ("(B).\n\nPushing a trolley is tedious, whereas in (A) it would be meant.", (), "B"),
    ("We pick (A).\n\nWould you like to know more? Yes, (B) is funny, too!", (), "A"),
    # however the letter is written, and whatever the claim's words are
    ("The correct sentence is thus \\((D)\\).", (), "D"),
    ("Its colour is teal, which is letter J in the list.", (), "J"),
    ("So A is better.", (), "A"),
    ("So I select E) The tractor is the newest.", (), "E"),
    ("The first sentence, (A), is thus the one with the correct order.", (), "A"),
    ("So the sarcastic statement is the second statement.", (), "B"),
    ("Ann is first, as statement (A) has it.", (), "A"),
    ("Correct statement → (D) The oranges are third", (), "D"),
    ("Looking at them we see that\n\n(A) The book is the rightmost\n\nis correct.", (), "A"),
    ("Thus, **Cargo** (option B) would be the recommended film.", (), "B"),
    ("(A) red\n(B) blue\n(C) green\n\n(A) is at best a typo. The humorous edit is clearly (C).", (), "C"),
    # verdicts on each of the listed options
    ("| (A) | 1pm | no |\n| (B) | 2pm | **yes** |\n| (C) | 3pm | no |", (), "B"),
    ("Checking them: (A) Ada ✗ (B) Amy ✓ (C) Eli ✗", (), "B"),
    ("(A) red – that's Bob.\n(B) blue – that's Ann. ✅\n\nSo it is the ticked one.", (), "B"),
    ("(A) Ann: yes, she is.\n(B) Bob: yes, he is.", (), None),
    # the text of a listed option
    ("So at the end she has the green ball.", COLOURS, "B"),
    ("The match is the blue ball.\n\n(A) red ball\n(B) green ball\n(C) blue ball", COLOURS, "C"),
    ("It had to be between 1pm and 3pm.", ("9am to 1pm", "1pm to 3pm"), "B"),
    ("Two is the number we want.", ("1", "2", "3"), "B"),
    ("Bob has the red ball. Ann has the green ball, and Bob the blue ball.", COLOURS, None),
    # examined, listed, doubted, denied, reconsidered, broken off
    ("Statement (A) says that it is long. Statement (B) says that it is short.", (), None),
    ("(A) is the gray book. (B) is the red book.", (), None),
    ("Let's look at each option.\n\n- (A) red: a stray letter, no joke.", (), None),
    ("The options are (A) red, (B) green and (C) blue.", (), None),
    ("Options:\n(A) red\n(B) green\n(C)", (), None),
    ("It may be (A), or it may be (C).", (), None),
    ("So it is (A). Hmm, wait.", (), None),
    ("So it is (A). However, others might prefer the second.", (), None),
    ("It is (A).\n\nActually, (A) is wrong.", (), None),
    ("The right one is (A) and the right one is (B).", (), None),
    ("Is (B) the right one?", (), None),
    ("(B) would be the right one if the ball were red.", (), None),
    ("So it is (A). Next, we need to apply the clue, which", (), None),
    ("Clue 2: the robin is second. Slots left: 1, 4.\n- H", (), None),
    ("7. C↔B: C yellow, B pink", (), None),
]


@pytest.mark.parametrize(("text", "options", "letter"), OPTIONS)
def test_option(text: str, options: tuple[str, ...], letter: str | None) -> None:
    assert claimed_option(text, options) == letter


VERDICTS: list[tuple[str, str | None]] = [
    # validity and plausibility, said anywhere and denied once
    ("The argument is airtight: I'd classify it as valid.", "valid"),
    ("The argument is thus not deductively valid. It is easy to misread.", "invalid"),
    ("So the premises support the conclusion.", "valid"),
    ("Therefore the conclusion does not follow.", "invalid"),
    ("The sentence is plausible. It doesn't mean that it happened.", "yes"),
    ("Hence the sentence is not plausible.", "no"),
    # the way home, truth and cause, where they are concluded
    ("So you're 18 steps away from the start.", "No"),
    ("We are at (2, 1). You don't return to the starting point.", "No"),
    ("Hence you are back where you started.", "Yes"),
    ("Ann says Jim lies, which is right. So Ann does tell the truth.", "Yes"),
    ("Therefore Jim is lying.", "No"),
    ("So a typical person would say that Ann did not cause it.", "No"),
    ("So most people would agree that the choice was a cause.", "Yes"),
    # the last value, not one on the way
    ("By rule 2, True and False is False. What remains is just True. No rule 3 was needed.", "True"),
    ("So after all the rules, what's left is False. For it to be True, all would have to be.", "False"),
    # the words themselves
    ("So the answer to the question whether we return is no.", "no"),
    ('So a typical person would answer "No" to this question.', "No"),
    ("**Conclusion:** Yes, the choice was the cause.", "Yes"),
    ("The argument is invalid.\n\nOptions:\n- valid\n- invalid", "invalid"),
    ("Is it plausible? I'd say **no**.\n\n(If Al had been meant, it would be plausible.)", "no"),
    ("No.\n\nShall I explain? Yes, there is more to say!", "No"),
    # supposed, said by others, on the way, broken off
    ("If there is such an x, the argument is valid; otherwise the argument is invalid.", None),
    ("At first sight, the argument seems valid.", None),
    ("Some would say yes.", None),
    ("Ann says Jim lies, so Ann lies. Bob says that Ann tells the truth.", None),
    ("We begin at the origin, so we are at the start. Then we take 3 steps.", None),
    ("The only negation in the expression is not False, which is True.\n\n2.", None),
    ("Compare the two: if they match, the answer is Yes; otherwise the answer is No.", None),
    ("Is the argument valid or invalid?\n- valid\n- invalid", None),
    ("So the argument is valid. Hmm, wait.", None),
    ("So the argument is valid, since the first premise of the", None),
]


@pytest.mark.parametrize(("text", "word"), VERDICTS)
def test_verdict(text: str, word: str | None) -> None:
    assert claimed_verdict(text) == word
