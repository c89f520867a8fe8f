"""Masking: a training example becomes token ids, with loss on the completion only.

Prompt and completion are tokenised separately and joined, as in LLaMA-Factory, so that the ids of the
prompt are those the model meets at inference. The example must survive its chat template unchanged:
templates that trim the answer or strip thinking would train on something else than the teacher wrote,
and such a row is an error here, not a silent difference later. `prepare` does all of it for a data set.
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
SystemForm = Literal["evaluation", "ancestor"]
"""`evaluation`: what the same prompt has in evaluation. `ancestor`: always `ANCESTOR_SYSTEM`."""

ANCESTOR_SYSTEM = "You are a helpful assistant."
"""System message of LLaMA-Factory's template `qwen` (`data/template.py`). Qwen2.5's own chat template, with which the
ancestor evaluated, says "You are Qwen, created by Alibaba Cloud. You are a helpful assistant." """


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
class Rendering:
    """How examples become tokens."""

    cutoff: int
    """Most tokens of one example."""
    overlength: OverlengthPolicy = "drop"
    system: SystemForm = "evaluation"
    loss_on_final_newline: bool = False
    """Whether what the chat template writes after the end token (a line end in ChatML) is a supervised token too,
    as in the ancestor; else it is left out: nothing after it could see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedExample:
    """Token ids of one example: prompt, completion, end of turn."""

    example_id: str
    input_ids: tuple[int, ...]
    supervised_from: int
    """Index of the first token that carries loss; labels before it are -100."""
    supervised: int
    """Tokens that carry loss: all from `supervised_from` on, the end-of-turn token included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A data set ready to train on."""

    rows: tuple[TokenizedExample, ...]
    dropped: int
    """Rows left out because they are longer than the cut-off."""
    cut: int
    template_hash: str


def prepare(examples: Sequence[TrainingExample], tokenizer: Tokenizer, how: Rendering) -> Prepared:
    """Render, tokenise and mask every example, apply the cut-off, and read every kept row back.

    What is supervised ends with the end token and decodes to the completion as the teacher wrote it, think tags
    included; only rows that were cut on request have lost their end. Raises ValueError naming the first example for
    which this does not hold, and on a data set of which nothing is left.
    """
    if not examples:
        raise ValueError("the mixture has no rows to train on; see the filter's counts in the report")
    tokenized = [tokenize_example(with_system(each, how.system), tokenizer, how) for each in examples]
    for example, row in zip(examples, tokenized, strict=True):
        _read_back(example, row, tokenizer)
    rows, dropped, cut = apply_overlength(tokenized, how.cutoff, how.overlength)
    if not rows:
        raise ValueError(f"no rows to train on: {dropped} of {len(tokenized)} are longer than {how.cutoff} tokens")
    return Prepared(rows=tuple(rows), dropped=dropped, cut=cut, template_hash=template_hash(tokenizer, how))


def _read_back(example: TrainingExample, row: TokenizedExample, tokenizer: Tokenizer) -> None:
    supervised = list(row.input_ids[row.supervised_from :])
    if not supervised or len(supervised) != row.supervised:
        raise ValueError(f"example {row.example_id}: {row.supervised} tokens carry loss, of {len(supervised)}")
    if tokenizer.eos_token_id not in supervised:
        raise ValueError(f"example {row.example_id} has no supervised end token {tokenizer.eos_token!r}")
    text = tokenizer.decode(supervised[: supervised.index(tokenizer.eos_token_id)])
    if text != example.completion:
        raise ValueError(f"example {row.example_id}: its supervised tokens decode to another text: {text[:80]!r}")


def with_system(example: TrainingExample, form: SystemForm) -> TrainingExample:
    """The example with the system message that the form asks for."""
    if form == "evaluation":
        return example
    rest = tuple(each for each in example.messages if each.role != "system")
    return dataclasses.replace(example, messages=(Message(role="system", content=ANCESTOR_SYSTEM), *rest))


def tokenize_example(example: TrainingExample, tokenizer: Tokenizer, how: Rendering | None = None) -> TokenizedExample:
    """Return the example's ids: prompt with generation prompt, then completion, then the eos token.

    With `loss_on_final_newline`, then also what the template writes after the eos token. Raises ValueError naming
    the example if the tokenizer has no chat template or eos token, if the template changes the completion, if the
    completion is empty or holds the eos token, or if its ids do not decode to it.
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
    after: list[int] = []
    if how is not None and how.loss_on_final_newline:
        rest = whole[len(prompt + example.completion + tokenizer.eos_token) :]
        after = tokenizer.encode(rest, add_special_tokens=False)
    return TokenizedExample(
        example_id=example.example_id,
        input_ids=(*prompt_ids, *completion_ids, tokenizer.eos_token_id, *after),
        supervised_from=len(prompt_ids),
        supervised=len(completion_ids) + 1 + len(after),
    )


def apply_overlength(
    examples: Sequence[TokenizedExample], cutoff: int, policy: OverlengthPolicy
) -> tuple[list[TokenizedExample], int, int]:
    """Return (examples of at most `cutoff` tokens, rows dropped, rows cut), in input order.

    `cut` is LLaMA-Factory's way (`infer_seqlen`) and exists for parity with it: a completion longer than its share
    loses its end, and with it the final answer and the end token; a prompt longer than its share loses its own end.
    Raises ValueError for `raise` naming the first over-long row, for `cut` naming a row of whose completion nothing
    would be left, and for a cutoff below 1.
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
        else:
            fitting.append(_cut(example, cutoff))
            cut += 1
    return fitting, dropped, cut


def _cut(example: TokenizedExample, cutoff: int) -> TokenizedExample:
    prompt, completion = example.supervised_from, example.supervised
    if 2 * completion < cutoff:
        room = cutoff
    elif 2 * prompt < cutoff:
        room = cutoff - prompt
    else:
        room = int(cutoff * completion / (prompt + completion))
    completion = min(completion, room)
    prompt = min(prompt, cutoff - completion)
    if completion < 1:
        raise ValueError(
            f"example {example.example_id}: the prompt has {example.supervised_from} tokens, so that cutting to "
            f"{cutoff} leaves nothing to learn"
        )
    start = example.supervised_from
    return dataclasses.replace(
        example,
        input_ids=(*example.input_ids[:prompt], *example.input_ids[start : start + completion]),
        supervised_from=prompt,
        supervised=completion,
    )


def template_hash(tokenizer: Tokenizer, how: Rendering) -> str:
    """Return 16 hex digits that identify how text is rendered: chat template, end token, system form, final newline."""
    identity = json.dumps(
        [tokenizer.chat_template, tokenizer.eos_token, how.system, how.loss_on_final_newline], sort_keys=True
    )
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _render(tokenizer: Tokenizer, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    conversation = [{"role": message.role, "content": message.content} for message in messages]
    return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=add_generation_prompt))


def _difference(prompt: str, whole: str) -> str:
    """Return the first 80 characters that follow the common part of prompt and whole."""
    at = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
    return whole[at : at + 80]
