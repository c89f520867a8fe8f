"""Answers: a model's text becomes an extracted answer, and that is compared with the gold answer.

The rule of thumb is: when in doubt, not equal. A false "right" enters the training data through the
filter and the result through the score; a false "wrong" can still be settled by the judge.

Everything runs in time linear in the text, and model text is only ever compared, never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from capgap_ray.core import labels, maths
from capgap_ray.core.extraction import after_thinking, last_box, own_part
from capgap_ray.core.labels import LONGEST_ANSWER, AnswerKind, canonical, equal
from capgap_ray.core.maths_extraction import maths_answer
from capgap_ray.core.notation import LONGEST_MATHS
from capgap_ray.core.number_extraction import number_answer
from capgap_ray.core.task_spec import Family
from capgap_ray.core.verdict import Verdict
from capgap_ray.records import FinishReason, Outcome

__all__ = [
    "LONGEST_ANSWER", "AnswerKind", "canonical", "compare", "equal", "extract", "kind_of", "kind_of_task",
    "outcome", "read", "same_answer", "stated_gold",
]  # fmt: skip

Prover = Callable[[str, str], Verdict]
"""Decides (gold, answer) pairs of maths that the rules cannot read: `capgap_ray.equivalence.MathVerify`."""

_KIND_OF_TASK: dict[str, AnswerKind] = {
    **dict.fromkeys(
        (
            "boolean_expressions",
            "causal_judgement",
            "formal_fallacies",
            "navigate",
            "sports_understanding",
            "web_of_lies",
        ),
        "boolean",
    ),
    "dyck_languages": "brackets",
    "word_sorting": "words",
    "object_counting": "text",
    "multistep_arithmetic_two": "text",
}


def kind_of_task(task: str) -> AnswerKind | None:
    """Return how the answers of a BBH task are read, or None for tasks with other or unknown answers."""
    return _KIND_OF_TASK.get(task.rpartition("/")[2].removeprefix("bbh_cot_fewshot_"))


def kind_of(target: str, choices: Sequence[str], family: Family = "other") -> AnswerKind:
    """Return how answers with this gold target are read; `choices` are the option texts, or empty."""
    if family == "maths":
        return "maths"
    if family == "gsm8k":
        return "number"
    if labels.option_of(target, choices):
        return "option"
    target = target.strip()
    if target.casefold() in labels.BOOLEANS or target.casefold() in labels.PLAUSIBLE:
        return "boolean"
    if re.fullmatch(r"[\[\](){}<>\s]+", target):
        return "brackets"
    words = target.split()
    if len(words) > 1 and all(re.fullmatch(r"[a-z][a-z0-9'’.&-]*", word) for word in words):
        return "words"
    return "text"


def extract(text: str, kind: AnswerKind) -> str | None:
    """Return the last answer that the text states, without markup, or None.

    Read are statements ("the answer is X", a line "Answer: X"), a complete and non-empty `\\boxed{X}`, and else what
    the last sentence concludes. Thinking is skipped: only what follows the last `</think>` counts, and nothing
    does while a `<think>` is still open. A hedge ("(A) or (B)") is no answer.
    """
    if kind == "maths":
        return maths_answer(text)
    if kind == "number":
        return number_answer(text)
    rest = after_thinking(text)
    return None if rest is None else own_part(rest, lambda part: labels.find(part, kind))


def read(text: str, target: str, kind: AnswerKind) -> str | None:
    """Return the answer to an item that the text states, or None.

    Where the gold answer is an option's text ("Yes"), a text that names no option is read for such an answer.
    """
    answer = extract(text, kind)
    if answer is None and kind == "option":
        own = kind_of(target, ())
        return None if own == kind else extract(text, own)
    return answer


def extract_any(text: str) -> tuple[str, AnswerKind] | None:
    """Return the answer that a BBH output states and its kind, where neither task nor gold answer tells the kind."""
    rest = after_thinking(text)
    return None if rest is None else own_part(rest, labels.guess)


def stated_gold(target: str) -> str:
    """Return what a gold solution states after its last `####` or in its last box; an answer that parses stays."""
    _, marked, stated = target.rpartition("####")
    if not marked and "box" not in target:
        return target
    if len(target) <= LONGEST_MATHS and not isinstance(maths.readings(maths.unwrapped(target)), str):
        return target
    if stated.strip() and marked:
        return stated.strip()
    box = last_box(target)
    return target if box is None else box[2]


def compare(answer: str, target: str, kind: AnswerKind, choices: Sequence[str], prove: Prover | None = None) -> Verdict:
    """Return whether an extracted answer is the gold target, and which rule decided.

    `prove` is asked about maths that the rules cannot read; without it such pairs stay undecided (None).
    """
    if kind in ("maths", "number"):
        if len(target) > LONGEST_MATHS:
            return Verdict(None, f"unparsable: gold longer than {LONGEST_MATHS} characters")
        verdict = maths.compare(target, answer)
        if prove is not None and maths.left_to_prove(verdict, target, answer):
            return prove(maths.unwrapped(target), maths.unwrapped(answer))
        return verdict
    same = equal(answer, target, kind, choices)
    return Verdict(same, f"{kind} rule")


def same_answer(one: str, other: str, target: str, choices: Sequence[str], family: Family) -> bool:
    """Return whether two extracted answers are one, by the rule of the item with this gold answer: as votes count."""
    return compare(other, one, kind_of(target, choices, family), choices).equal is True


def outcome(
    text: str,
    finish_reason: FinishReason,
    target: str,
    choices: Sequence[str],
    family: Family = "other",
    prove: Prover | None = None,
) -> tuple[str | None, Outcome]:
    """Return (extracted answer, outcome) of one completion.

    A text cut at the token limit is `truncated` and has no answer, whatever it said on the way.
    """
    if finish_reason == "length":
        return None, "truncated"
    kind = kind_of(target, choices, family)
    answer = read(text, target, kind)
    if answer is None:
        return None, "unparsable"
    verdict = compare(answer, target, kind, choices, prove)
    if verdict.equal is None:
        return answer, "unparsable"
    return answer, "right" if verdict.equal else "wrong"
