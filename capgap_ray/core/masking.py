"""Masking: a training example becomes token ids, with loss on the completion only.

Prompt and completion are tokenised separately and joined, as in LLaMA-Factory, so that the ids of the
prompt are those the model meets at inference. The example must survive its chat template unchanged:
templates that trim the answer or strip thinking would train on something else than the teacher wrote,
and such a row is an error here, not a silent difference later.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from capgap_ray.records import Message, TrainingExample

OverlengthPolicy = Literal["drop", "raise", "cut"]


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer (`transformers.PreTrainedTokenizerBase` satisfies it)."""

    chat_template: Any
    """The Jinja text, or a mapping of names to texts; None where the model has no chat form."""
    eos_token: Any
    """Text that ends an assistant turn, e.g. `<|im_end|>`; None where there is none."""
    eos_token_id: Any

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any: ...

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]: ...

    def decode(self, token_ids: list[int]) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedExample:
    """Token ids of one example: prompt, completion, end of turn."""

    example_id: str
    input_ids: tuple[int, ...]
    supervised_from: int
    """Index of the first token that carries loss; labels before it are -100."""
    supervised: int
    """Tokens that carry loss: all from `supervised_from` on, the end-of-turn token included."""


def tokenize_example(example: TrainingExample, tokenizer: Tokenizer) -> TokenizedExample:
    """Return the example's ids: prompt with generation prompt, then completion, then the eos token.

    Raises ValueError naming the example if the tokenizer has no chat template or eos token, if the
    template changes the completion, if the completion is empty or holds the eos token, or if its ids do
    not decode to it.
    """
    where = f"example {example.example_id}"
    if not tokenizer.chat_template:
        raise ValueError(f"{where}: the tokenizer has no chat template")
    if tokenizer.eos_token is None or tokenizer.eos_token_id is None:
        raise ValueError(f"{where}: the tokenizer has no eos token")
    if not example.completion:
        raise ValueError(f"{where}: the completion is empty")

    prompt = _render(tokenizer, example.messages, add_generation_prompt=True)
    answer = Message(role="assistant", content=example.completion)
    whole = _render(tokenizer, (*example.messages, answer), add_generation_prompt=False)
    if not whole.startswith(prompt + example.completion + tokenizer.eos_token):
        raise ValueError(
            f"{where}: the chat template changes the completion or does not end it with "
            f"{tokenizer.eos_token!r}; after the prompt it renders {_difference(prompt, whole)!r}"
        )

    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    completion_ids = tokenizer.encode(example.completion, add_special_tokens=False)
    if tokenizer.eos_token_id in completion_ids:
        raise ValueError(f"{where}: the completion contains the eos token {tokenizer.eos_token!r}")
    if tokenizer.decode(completion_ids) != example.completion:
        raise ValueError(f"{where}: the tokenizer cannot represent the completion (decode(encode) differs)")
    return TokenizedExample(
        example_id=example.example_id,
        input_ids=(*prompt_ids, *completion_ids, tokenizer.eos_token_id),
        supervised_from=len(prompt_ids),
        supervised=len(completion_ids) + 1,
    )


def apply_overlength(
    examples: Sequence[TokenizedExample], cutoff: int, policy: OverlengthPolicy
) -> tuple[list[TokenizedExample], int, int]:
    """Return (examples of at most `cutoff` tokens, rows dropped, rows cut), in input order.

    `cut` removes tokens from the end, and with them the final answer and the end of the turn: it exists
    for parity with recipes that do so. Raises ValueError for `raise` naming the first over-long row, for
    `cut` naming a row whose prompt alone fills the cutoff, and for a cutoff below 1.
    """
    if cutoff < 1:
        raise ValueError(f"cutoff must be at least 1 token, got {cutoff}")
    if policy not in ("drop", "raise", "cut"):
        raise ValueError(f"over-length policy must be drop, raise or cut, got {policy!r}")
    fitting = []
    dropped = cut = 0
    for example in examples:
        length = len(example.input_ids)
        if length <= cutoff:
            fitting.append(example)
        elif policy == "drop":
            dropped += 1
        elif policy == "raise":
            raise ValueError(f"example {example.example_id} has {length} tokens, the cutoff is {cutoff}")
        elif example.supervised_from >= cutoff:
            raise ValueError(
                f"example {example.example_id}: the prompt alone has {example.supervised_from} tokens, so "
                f"that cutting to {cutoff} leaves nothing to learn"
            )
        else:
            fitting.append(
                dataclasses.replace(
                    example,
                    input_ids=example.input_ids[:cutoff],
                    supervised=example.supervised - (length - cutoff),
                )
            )
            cut += 1
    return fitting, dropped, cut


def template_hash(tokenizer: Tokenizer) -> str:
    """Return 16 hex digits that identify the chat template and the end-of-turn token."""
    identity = json.dumps([tokenizer.chat_template, tokenizer.eos_token], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _render(tokenizer: Tokenizer, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    conversation = [{"role": message.role, "content": message.content} for message in messages]
    return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=add_generation_prompt))


def _difference(prompt: str, whole: str) -> str:
    """Return the first 80 characters that follow the common part of prompt and whole."""
    at = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
    return whole[at : at + 80]
