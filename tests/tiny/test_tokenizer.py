"""The shared tokenizer: Qwen's own class, lossless, small, whole words, the chat template."""

import unicodedata
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.tiny.documents import IM_END, PAD, chat, few_shot_prompt
from capgap_ray.tiny.making import MODELS
from capgap_ray.tiny.procedural import TASKS, shots, task_items
from capgap_ray.tiny.tokenizer import DEFAULT_SYSTEM


@cache
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODELS / "tiny-student-0.5m")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_round_trip_of_any_text(text: str) -> None:
    # Qwen's tokenizers bring text to Unicode's composed form first.
    assert tokenizer().decode(tokenizer()(text)["input_ids"]) == unicodedata.normalize("NFC", text)


def test_transformers_reads_the_folder_as_it_was_written() -> None:
    from tokenizers import Tokenizer
    from transformers import Qwen2Tokenizer

    assert isinstance(tokenizer(), Qwen2Tokenizer)
    written = Tokenizer.from_file(str(MODELS / "tiny-student-0.5m" / "tokenizer.json"))
    for task in TASKS:
        text = few_shot_prompt(shots(task), task_items(task)[0].question) + shots(task)[0].long_cot
        assert written.encode(text).ids == tokenizer()(text)["input_ids"]


def test_round_trip_of_reasoning_marks() -> None:
    text = "<think>\nMaybe it is red. Let me check:\n</think>\n  So the answer is } ]."
    assert tokenizer().decode(tokenizer()(text)["input_ids"], skip_special_tokens=True) == text


def test_vocabulary_and_special_tokens() -> None:
    assert len(tokenizer()) <= 1024
    assert (tokenizer().eos_token, tokenizer().pad_token) == (IM_END, PAD)
    for word in " Alice", " swap", " apple", " rightmost", " eleven", " True", "So", " yellow":
        assert len(tokenizer().tokenize(word)) == 1, word


def test_chat_template_is_the_training_form() -> None:
    messages = [{"role": "user", "content": "Q: hi\n"}]
    render = tokenizer().apply_chat_template
    assert render(messages, tokenize=False, add_generation_prompt=True) == chat(DEFAULT_SYSTEM, "Q: hi\n")
    messages.insert(0, {"role": "system", "content": "Sort.\n\n"})
    assert render(messages, tokenize=False, add_generation_prompt=True) == chat("Sort.\n\n", "Q: hi\n")
    messages.append({"role": "assistant", "content": "a"})
    assert render(messages, tokenize=False) == chat("Sort.\n\n", "Q: hi\n") + f"a{IM_END}\n"


@pytest.mark.parametrize("task", TASKS)
def test_prompts_leave_room(task: str) -> None:
    prompt = few_shot_prompt(shots(task), task_items(task)[0].question)
    assert len(tokenizer()(prompt)["input_ids"]) < 700
