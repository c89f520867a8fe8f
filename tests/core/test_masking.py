"""Masking on toy tokenizers: ids, where the loss starts, and templates that corrupt an answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.masking import (
    TokenizedExample,
    Tokenizer,
    apply_overlength,
    template_hash,
    tokenize_example,
)
from capgap_ray.records import Message, TrainingExample

EOS = "<|im_end|>"


class ToyTokenizer:
    """One id per character, the eos as one id; renders ChatML."""

    chat_template: str | None = "chatml"
    eos_token: str | None = EOS
    eos_token_id: int | None = 0

    def __init__(self, answer: Callable[[str], str] = lambda text: text, lossy: bool = False) -> None:
        self._answer = answer
        self._lossy = lossy

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert not tokenize
        text = ""
        for turn in conversation:
            content = self._answer(turn["content"]) if turn["role"] == "assistant" else turn["content"]
            text += f"<|im_start|>{turn['role']}\n{content}{EOS}\n"
        return text + ("<|im_start|>assistant\n" if add_generation_prompt else "")

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        assert not add_special_tokens
        pieces = re.split(f"({re.escape(EOS)})", text)
        return [i for piece in pieces for i in ([0] if piece == EOS else [ord(c) for c in piece])]

    def decode(self, token_ids: list[int]) -> str:
        text = "".join(EOS if i == 0 else chr(i) for i in token_ids)
        return text.lower() if self._lossy else text


def example(completion: str) -> TrainingExample:
    messages = (Message(role="system", content="Sort."), Message(role="user", content="b a"))
    return TrainingExample(example_id="item-7", task="sorting", teacher="t", messages=messages, completion=completion)


def test_a_toy_satisfies_the_protocol() -> None:
    tokenizer: Tokenizer = ToyTokenizer()
    assert tokenizer.eos_token == EOS


def test_loss_is_on_the_completion_and_the_end_of_turn_only() -> None:
    tokenizer = ToyTokenizer()
    tokens = tokenize_example(example("a b"), tokenizer)
    prompt = f"<|im_start|>system\nSort.{EOS}\n<|im_start|>user\nb a{EOS}\n<|im_start|>assistant\n"
    assert tokenizer.decode(list(tokens.input_ids[: tokens.supervised_from])) == prompt
    assert tokens.input_ids[tokens.supervised_from :] == (ord("a"), ord(" "), ord("b"), 0)
    assert tokens.supervised == 4
    assert tokens.example_id == "item-7"


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_every_completion_is_found_again_behind_the_mask(completion: str) -> None:
    tokenizer = ToyTokenizer()
    tokens = tokenize_example(example(completion), tokenizer)
    assert tokenizer.decode(list(tokens.input_ids[tokens.supervised_from : -1])) == completion
    assert tokens.supervised == len(tokens.input_ids) - tokens.supervised_from


@pytest.mark.parametrize(
    "spoil",
    [str.strip, str.upper, lambda text: text.partition("</think>")[2], lambda text: "<think></think>" + text],
)
def test_a_template_that_changes_the_completion_is_refused(spoil: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match="item-7: the chat template changes the completion"):
        tokenize_example(example("<think>hm</think> a b\n"), ToyTokenizer(spoil))


@pytest.mark.parametrize(
    ("attribute", "message"),
    [("chat_template", "no chat template"), ("eos_token", "no eos"), ("eos_token_id", "no eos")],
)
def test_a_missing_template_or_eos_names_the_example(attribute: str, message: str) -> None:
    tokenizer = ToyTokenizer()
    setattr(tokenizer, attribute, None)
    with pytest.raises(ValueError, match=f"item-7.*{message}"):
        tokenize_example(example("a b"), tokenizer)


def test_lossy_tokenizers_empty_completions_and_inner_eos_are_refused() -> None:
    with pytest.raises(ValueError, match="item-7: the tokenizer cannot represent"):
        tokenize_example(example("A b"), ToyTokenizer(lossy=True))
    with pytest.raises(ValueError, match="item-7: the completion is empty"):
        tokenize_example(example(""), ToyTokenizer())
    with pytest.raises(ValueError, match="item-7: the completion contains the eos token"):
        tokenize_example(example(f"a{EOS}b"), ToyTokenizer())


def tokens(name: str, prompt: int, completion: int) -> TokenizedExample:
    ids = tuple(range(1, prompt + completion + 1))
    return TokenizedExample(example_id=name, input_ids=ids, supervised_from=prompt, supervised=completion)


ROWS = [tokens("short", 3, 2), tokens("long", 3, 9), tokens("exact", 3, 5)]


def test_drop_and_cut_count_their_rows() -> None:
    assert apply_overlength(ROWS, 8, "drop") == ([ROWS[0], ROWS[2]], 1, 0)
    fitting, dropped, cut = apply_overlength(ROWS, 8, "cut")
    assert (dropped, cut) == (0, 1)
    assert fitting[1] == tokens("long", 3, 5)
    assert apply_overlength(ROWS, 12, "raise") == (ROWS, 0, 0)


@pytest.mark.parametrize(
    ("cutoff", "policy", "message"),
    [
        (8, "raise", "example long has 12 tokens, the cutoff is 8"),
        (3, "cut", "example short: the prompt alone has 3 tokens"),
        (0, "drop", "at least 1 token, got 0"),
        (8, "pack", "drop, raise or cut, got 'pack'"),
    ],
)
def test_overlength_errors(cutoff: int, policy: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply_overlength(ROWS, cutoff, policy)  # type: ignore[arg-type]


def test_template_hash_sees_the_template_and_the_eos() -> None:
    one, other, ended = ToyTokenizer(), ToyTokenizer(), ToyTokenizer()
    other.chat_template, ended.eos_token = "llama", "</s>"
    assert template_hash(one) == template_hash(ToyTokenizer())
    assert len({template_hash(one), template_hash(other), template_hash(ended)}) == 3
