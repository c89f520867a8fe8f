"""Prompts: description, shots and question become chat messages or one plain string.

The forms are lm-evaluation-harness's (`lm_eval/api/task.py`, `fewshot_context`): with
`--apply_chat_template` and a single turn, the description is the system message and shots and question
share one user turn. The same settings must serve the untouched student and its distilled versions;
`prompt_hash` is what their recipe cards compare.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from capgap_ray.records import Message


def _user_text(shots: Sequence[tuple[str, str]], question: str, delimiter: str) -> str:
    return "".join(f"{asked}{delimiter}{target}\n\n" for asked, target in shots) + question


def few_shot_messages(
    description: str, shots: Sequence[tuple[str, str]], question: str, delimiter: str = ""
) -> tuple[Message, ...]:
    """Return the single-turn chat prompt: (system, user), or (user,) for an empty description.

    `shots` are (question text, target text) pairs in the order in which they are shown; a question text
    is complete, e.g. `Q: ...\\nA: Let's think step by step.\\n`. `delimiter` stands between the two
    (empty in current harness versions, one space in those of 2024). The description ends in exactly one
    blank line, however many newlines it came with.
    """
    user = Message(role="user", content=_user_text(shots, question, delimiter))
    instruction = description.rstrip("\n")
    if not instruction:
        return (user,)
    return (Message(role="system", content=instruction + "\n\n"), user)


def plain_prompt(description: str, shots: Sequence[tuple[str, str]], question: str, delimiter: str = "") -> str:
    """Return the same prompt as one string for models without a chat template.

    The description is used verbatim: the harness's task files end it with the blank line themselves.
    """
    return description + _user_text(shots, question, delimiter)


def prompt_hash(settings: Mapping[str, Any]) -> str:
    """Return 16 hex digits that identify prompt settings, independent of key order.

    Raises ValueError naming the place of a value without a stable JSON form (a set, NaN, a key that is
    not text): two runs must never differ in their hash only, nor agree in it only.
    """
    canonical = json.dumps(_stable(settings, "settings"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _stable(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and value - value == 0:  # neither NaN nor infinite
        return value
    if isinstance(value, (list, tuple)):
        return [_stable(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _stable(item, f"{where}.{key}") for key, item in value.items()}
    raise ValueError(f"{where}: {value!r} has no stable JSON form; use text, numbers, lists and mappings")
