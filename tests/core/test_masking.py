"""Masking on toy tokenizers: ids, where the loss starts, and templates that corrupt an answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.masking import (
    ANCESTOR_SYSTEM,
    Rendering,
    TokenizedExample,
    Tokenizer,
    apply_overlength,
    prepare,
    template_hash,
    tokenize_example,
    with_system,
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
        (1, "cut", "example short: the prompt has 3 tokens, so that cutting to 1 leaves nothing"),
        (0, "drop", "at least 1 token, got 0"),
        (8, "pack", "drop, raise or cut, got 'pack'"),
    ],
)
def test_overlength_errors(cutoff: int, policy: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply_overlength(ROWS, cutoff, policy)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prompt", "completion", "cutoff", "kept"),
    [
        # (prompt, completion) after LLaMA-Factory 0.9.5's infer_seqlen
        (3, 9, 8, (3, 5)),  # a short prompt stays, the completion loses its end
        (30, 3, 8, (5, 3)),  # a short completion stays, the prompt loses its end
        (20, 30, 10, (4, 6)),  # both in proportion
        (10, 10, 7, (4, 3)),
    ],
)
def test_cut_is_llama_factorys(prompt: int, completion: int, cutoff: int, kept: tuple[int, int]) -> None:
    row = tokens("r", prompt, completion)
    (fitting,), dropped, cut = apply_overlength([row], cutoff, "cut")
    assert (fitting.supervised_from, fitting.supervised) == kept
    assert fitting.input_ids == (*row.input_ids[: kept[0]], *row.input_ids[prompt : prompt + kept[1]])
    assert (dropped, cut) == (0, 1)


def test_the_ancestors_system_message_takes_the_place_of_the_tasks() -> None:
    before = example("a b")
    assert with_system(before, "evaluation") is before
    after = with_system(before, "ancestor")
    assert [each.role for each in after.messages] == ["system", "user"]
    assert after.messages[0].content == ANCESTOR_SYSTEM == "You are a helpful assistant."
    assert after.messages[1] == before.messages[1]


def test_the_newline_after_the_end_token_carries_loss_on_request() -> None:
    tokenizer = ToyTokenizer()
    without = tokenize_example(example("a b"), tokenizer, Rendering(cutoff=9))
    within = tokenize_example(example("a b"), tokenizer, Rendering(cutoff=9, loss_on_final_newline=True))
    assert within.input_ids == (*without.input_ids, ord("\n"))
    assert within.supervised == without.supervised + 1 == 5


def test_prepare_reads_every_row_back_and_keeps_think_tags() -> None:
    rows = [example("<think>\nhm\n</think>\na b"), example("x" * 200)]
    made = prepare(rows, ToyTokenizer(), Rendering(cutoff=200))
    assert (len(made.rows), made.dropped, made.cut) == (1, 1, 0)
    ids = made.rows[0].input_ids[made.rows[0].supervised_from :]
    assert ToyTokenizer().decode(list(ids)) == f"<think>\nhm\n</think>\na b{EOS}"
    cut = prepare(rows, ToyTokenizer(), Rendering(cutoff=200, overlength="cut"))
    assert (len(cut.rows), cut.cut) == (2, 1), "a row that was cut on request may lose its end token"


class SwallowingTokenizer(ToyTokenizer):
    """Loses what stands after a think block once the whole turn is encoded: nothing of the kind may train."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return super().encode(text.replace("</think>", ""), add_special_tokens=add_special_tokens)


def test_prepare_names_what_cannot_be_trained_on() -> None:
    with pytest.raises(ValueError, match="item-7: the tokenizer cannot represent"):
        prepare([example("<think>hm</think>a")], SwallowingTokenizer(), Rendering(cutoff=200))
    with pytest.raises(ValueError, match="the mixture has no rows"):
        prepare([], ToyTokenizer(), Rendering(cutoff=200))
    with pytest.raises(ValueError, match="1 of 1 are longer than 20 tokens"):
        prepare([example("a" * 20)], ToyTokenizer(), Rendering(cutoff=20))


def test_template_hash_sees_all_that_renders() -> None:
    how = Rendering(cutoff=9)
    one, other, ended = ToyTokenizer(), ToyTokenizer(), ToyTokenizer()
    other.chat_template, ended.eos_token = "llama", "</s>"
    assert template_hash(one, how) == template_hash(ToyTokenizer(), Rendering(cutoff=8, overlength="cut"))
    forms = [
        template_hash(one, how),
        template_hash(other, how),
        template_hash(ended, how),
        template_hash(one, Rendering(cutoff=9, system="ancestor")),
        template_hash(one, Rendering(cutoff=9, loss_on_final_newline=True)),
    ]
    assert len(set(forms)) == 5
