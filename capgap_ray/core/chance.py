"""Chance level: what guessing scores on a task, and whether a score is below even that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from capgap_ray.records import Accuracy, Example

_BOOLEANS = {"true", "false", "yes", "no", "valid", "invalid"}
SIGNIFICANT = 0.05


def chance_level(examples: Sequence[Example]) -> float | None:
    """Return the expected accuracy of a uniform guess, in shares; None for free text.

    An item with choices, or whose question lists lettered options as BIG-Bench Hard does, gives 1 / their number, one
    whose gold is a boolean word 1/2. Items of one task may have different numbers of choices, so it is their mean; one
    free-text item makes the task free text.
    Raises ValueError without examples.
    """
    if not examples:
        raise ValueError("a task without items has no chance level")
    guesses = [_guess(example) for example in examples]
    known = [guess for guess in guesses if guess is not None]
    return sum(known) / len(known) if len(known) == len(guesses) else None


def _guess(example: Example) -> float | None:
    # Three golds of BBH are an option's words and no letter; who guesses picks from the list all the same.
    if options := len(example.choices) or _listed(example.question):
        return 1 / options
    return 0.5 if example.target.strip().casefold() in _BOOLEANS else None


def _listed(question: str) -> int:
    """How many options the question lists: lines that begin with (A), (B), ... after its last "Options:"."""
    _, found, rest = question.rpartition("Options:\n")
    return len(re.findall(r"^\([A-Z]\)", rest, re.MULTILINE)) if found else 0


def below_chance(accuracy: Accuracy) -> bool:
    """Return whether `flexible` is significantly below chance (one-sided, 5 % level).

    Exact binomial test; with several samples per item, which are not independent, a normal test with the
    standard error clustered by item. Such a cell usually means unread answers, not worse than guessing.
    """
    from scipy.stats import binomtest

    if accuracy.chance is None or accuracy.n == 0 or accuracy.flexible >= accuracy.chance:
        return False
    if accuracy.at_k is None:
        return bool(binomtest(accuracy.right, accuracy.n, accuracy.chance, "less").pvalue < SIGNIFICANT)
    # 1.645: the 95 % point of the normal distribution.
    return accuracy.standard_error is not None and accuracy.flexible + 1.645 * accuracy.standard_error < accuracy.chance
