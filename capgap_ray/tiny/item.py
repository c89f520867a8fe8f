"""The record that every puzzle generator returns, and the frame of the long reasoning style."""

from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "ABC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One problem with its gold answer and ground-truth reasoning in two styles."""

    question: str
    """Question text in BIG-Bench Hard's phrasing, without the leading `Q: `."""
    target: str
    """Gold answer in BIG-Bench Hard's form: `(B)`, `True`, `] }` or `apple cat pear`."""
    choices: tuple[str, ...]
    """Texts of the options (A), (B), (C); empty where the answer is free text."""
    short_cot: str
    """Steps, one per line; ends with `So the answer is {target}.`"""
    long_cot: str
    """A guess, the steps, a correction and a second check inside <think>; the same last sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a puzzle knows of its own solution; `to_item` writes both styles from it."""

    question: str
    target: str
    choices: tuple[str, ...]
    steps: Sequence[str]
    """Lines of reasoning, without line ends."""
    conclusion: str
    """The sentence before the answer, e.g. `In the end, Bob has pink.`; may be empty."""
    guess: str
    """What a hasty reader would say; a function of the question, so that a model can learn to say it too."""
    found: str
    """The right value, in the same form as `guess`."""


def options_block(choices: Sequence[str]) -> str:
    """`\\nOptions:\\n(A) ...` as BIG-Bench Hard prints it."""
    return "\nOptions:\n" + "\n".join(f"({letter}) {text}" for letter, text in zip(LETTERS, choices, strict=True))


def letter_of(answer: str, choices: Sequence[str]) -> str:
    """`(B)` for the second of the choices."""
    return f"({LETTERS[list(choices).index(answer)]})"


def to_item(solution: Solution) -> Item:
    """Write the two reasoning styles of one solution.

    The long style guesses first and then corrects itself. The guess is deterministic: a random slip could not be
    learnt by a greedy model, which would then never show the self-correction that marks long reasoning.
    """
    steps = "\n".join(solution.steps)
    last = f"So the answer is {solution.target}."
    ending = f"{solution.conclusion} {last}" if solution.conclusion else last
    if solution.guess == solution.found:
        verdict = f"Yes, it is {solution.found}."
    else:
        verdict = f"Wait, it is {solution.found}, not {solution.guess}."
    thought = (
        f"<think>\nMaybe it is {solution.guess}. Let me check:\n{steps}\n{verdict}\n"
        f"Let me check again:\n{steps}\nIt is {solution.found}.\n</think>\n"
    )
    return Item(
        question=solution.question,
        target=solution.target,
        choices=solution.choices,
        short_cot=f"{steps}\n{ending}",
        long_cot=thought + ending,
    )
