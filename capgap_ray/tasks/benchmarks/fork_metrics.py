"""The maths metric of the Small-Model-Learnability-Gap harness fork: `is_equiv` of the last box and the gold answer.

Box and equivalence are lm-eval's own functions (hendrycks_math). What the fork adds for AIME, AMC and OlympiadBench
is that leading zeros and an all-zero decimal part do not count; unlike the fork's, a zero is not stripped to nothing,
which made an empty box equal to the answer 0.
"""

from __future__ import annotations

import re
from typing import Any

from lm_eval.tasks.hendrycks_math.utils import (  # noqa: TID253 (read by lm-eval itself, when it builds the task)
    is_equiv,
    last_boxed_only_string,
    process_docs,
    remove_boxed,
)

__all__ = ["exact_match", "exact_match_without_zeros", "process_docs"]


def exact_match(doc: dict[str, Any], results: list[str]) -> dict[str, int]:
    """MATH and MATH-500. A text without a readable box is wrong."""
    return {"exact_match": int(is_equiv(_boxed(results[0]), str(doc["answer"])))}


def exact_match_without_zeros(doc: dict[str, Any], results: list[str]) -> dict[str, int]:
    """AIME, AMC and OlympiadBench; of several gold answers the first counts."""
    gold = doc["final_answer"][0] if "final_answer" in doc else str(doc["answer"])
    answer = _boxed(results[0])
    return {"exact_match": int(answer is not None and is_equiv(_without_zeros(answer), _without_zeros(gold)))}


def _boxed(text: str) -> str | None:
    box = last_boxed_only_string(text)
    try:
        return None if box is None else str(remove_boxed(box))
    except AssertionError:  # \fbox{3}, \boxed5, \framebox{3}
        return None


def _without_zeros(text: str) -> str:
    return re.sub(r"\.0+$", "", re.sub(r"^0+(?=\d)", "", text.strip()))
