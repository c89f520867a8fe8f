"""Judging: what a judge model is asked, and how its reply is read.

The answer under judgement was written by a model and may address the judge, so it reaches every prompt
only cleaned, on one line, and short; a prompt of ours also fences it between tags that it cannot close. An
ordinary answer (one line, single spaces, no tags, at most `LONGEST_JUDGED_ANSWER` characters) is not
changed by this, so the ancestor's prompt stays byte-identical for it. The reply is read by an anchored
grammar: a reply that is not exactly a verdict is `unparsable`, and then the item is unscored, neither
right nor wrong. The ancestor's own reading and raw insertion are in `core/ancestor.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from capgap_ray.records import Message

LONGEST_JUDGED_ANSWER = 500
"""Characters of an answer that a judge sees; a longer one ends in an ellipsis."""

_PLACEHOLDER = re.compile(r"\{(problem|gold|answer)\}")
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Invisible and direction-changing characters, the tag block, and lone surrogates.
_INVISIBLE = re.compile(
    r"[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
_SPECIAL_TOKEN = re.compile(
    r"<[|｜][^<>|｜]{0,60}[|｜]>|<<?/?SYS>>?|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|SYSTEM_PROMPT)\]"
    r"|</?(?:s|bos|eos|pad|unk|think|tool_call|start_of_turn|end_of_turn)>",
    re.IGNORECASE,
)
# Where our fences could open or close; the bracket goes, the words stay.
_FENCE = re.compile(r"<(?= ?/? ?(?:problem|correct|answer)\b)", re.IGNORECASE)
_MARKUP = " \t\r\n\"'`*_~#>$“”‘’"
_YES = {"true", "correct", "yes"}
_NO = {"false", "incorrect", "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrompt:
    """The text of a judge's question."""

    name: str
    system: str
    """System message, verbatim; empty for none."""
    user_template: str
    """User message with the placeholders {problem}, {gold} and {answer}, some of which may be absent. The only
    tags that may fence the answer are <answer>, <problem> and <correct>."""
    max_tokens: int = 20
    """Budget of a verdict; the ancestor's. A verdict that needs more is none."""


def judge_messages(prompt: JudgePrompt, problem: str, gold: str, answer: str) -> tuple[Message, ...]:
    """Return the judge's chat: (system, user), or (user,) without a system text.

    Placeholders are replaced in one pass, so that a placeholder inside inserted text stays text. Problem
    and gold come from the task and stand verbatim. The answer comes from a model: control and invisible
    characters and chat special tokens are taken out, newlines become spaces, the bracket of a tag that
    could close a fence becomes a round one, and at most `LONGEST_JUDGED_ANSWER` characters remain.
    """
    texts = {"problem": problem, "gold": gold, "answer": _cleaned(answer)}
    user = _PLACEHOLDER.sub(lambda match: texts[match[1]], prompt.user_template)
    messages = (Message(role="user", content=user),)
    return (Message(role="system", content=prompt.system), *messages) if prompt.system else messages


def parse_verdict(text: str) -> Literal["yes", "no", "unparsable"]:
    """Return the verdict if the whole reply is one: true, correct, yes, or false, incorrect, no.

    Case, white space, quotes, markdown and one trailing full stop do not matter; any other word makes the
    reply unparsable ("True or False", "Not correct"). Only what follows the last `</think>` is read, and
    nothing while a `<think>` is still open.
    """
    _, closed, rest = text.rpartition("</think>")
    word = (rest if closed else text).strip(_MARKUP).removesuffix(".").strip(_MARKUP).lower()
    if word in _YES:
        return "yes"
    return "no" if word in _NO else "unparsable"


def _cleaned(answer: str) -> str:
    # Invisible characters first: they could hide a special token from the next step.
    text = _SPACES.sub(" ", _INVISIBLE.sub("", answer))
    # A space instead of nothing, so that what stands around a token cannot join to a new one; then no
    # remaining bracket pair can open or close one either.
    text = _SPECIAL_TOKEN.sub(" ", text)
    text = re.sub(r"<(?=[|｜])", "< ", re.sub(r"(?<=[|｜])>", " >", text))
    text = _FENCE.sub("(", " ".join(text.split()))
    return text if len(text) <= LONGEST_JUDGED_ANSWER else text[: LONGEST_JUDGED_ANSWER - 1] + "…"
