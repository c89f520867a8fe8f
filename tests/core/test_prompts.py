"""Prompts against the harness's own forms, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgap_ray.core.prompts import few_shot_messages, plain_prompt, prompt_hash
from capgap_ray.records import Message

DESCRIPTION = "Evaluate the result of a random Boolean expression.\n\n"
STEP = "A: Let's think step by step.\n"
SHOTS = [
    (f"Q: not True is\n{STEP}", "Flip it. So the answer is False."),
    (f"Q: True or False is\n{STEP}", "One holds. So the answer is True."),
]
QUESTION = f"Q: True and False is\n{STEP}"
USER = (
    "Q: not True is\nA: Let's think step by step.\nFlip it. So the answer is False.\n\n"
    "Q: True or False is\nA: Let's think step by step.\nOne holds. So the answer is True.\n\n"
    "Q: True and False is\nA: Let's think step by step.\n"
)


def test_chat_form_is_one_system_and_one_user_turn() -> None:
    assert few_shot_messages(DESCRIPTION, SHOTS, QUESTION) == (
        Message(role="system", content=DESCRIPTION),
        Message(role="user", content=USER),
    )


def test_plain_form_is_the_chat_contents_joined() -> None:
    assert plain_prompt(DESCRIPTION, SHOTS, QUESTION) == DESCRIPTION + USER


@pytest.mark.parametrize("newlines", ["", "\n", "\n\n", "\n\n\n"])
def test_system_message_ends_in_one_blank_line(newlines: str) -> None:
    system = few_shot_messages("Sort the words." + newlines, [], "Q")[0]
    assert system.content == "Sort the words.\n\n"


def test_without_shots_the_user_turn_is_the_question_alone() -> None:
    assert few_shot_messages(DESCRIPTION, [], QUESTION)[1].content == QUESTION
    assert plain_prompt("", [], QUESTION) == QUESTION


@pytest.mark.parametrize("description", ["", "\n\n"])
def test_no_description_no_system_message(description: str) -> None:
    assert [m.role for m in few_shot_messages(description, SHOTS, QUESTION)] == ["user"]


def test_delimiter_stands_between_shot_question_and_target_only() -> None:
    text = few_shot_messages("", [("q1", "t1")], "q2", delimiter=" ")[0].content
    assert text == "q1 t1\n\nq2"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.text(), st.text()), max_size=4), st.text(), st.sampled_from(["", " "]))
def test_plain_and_chat_forms_agree(shots: list[tuple[str, str]], question: str, delimiter: str) -> None:
    messages = few_shot_messages(DESCRIPTION, shots, question, delimiter)
    assert "".join(m.content for m in messages) == plain_prompt(DESCRIPTION, shots, question, delimiter)


def test_hash_ignores_key_order_and_sees_every_value() -> None:
    base = {"shots": 3, "chat": True, "stop": ["\n\n", "Q:"], "nested": {"a": 1.5, "b": None}}
    shuffled = dict(reversed(list(base.items())))
    assert prompt_hash(base) == prompt_hash(shuffled)
    assert len(prompt_hash(base)) == 16
    variants: list[dict[str, Any]] = [
        base | {"shots": 0},
        base | {"chat": False},
        base | {"stop": ["Q:", "\n\n"]},
        base | {"nested": {"a": 1.5, "b": 0}},
    ]
    assert len({prompt_hash(v) for v in [base, *variants]}) == 5


def test_hash_golden_value() -> None:
    assert prompt_hash({"b": [1, "x"], "a": "é\ud800"}) == "85f4cca9abbd774e"


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        ({"a": {1, 2}}, "settings.a"),
        ({"a": [0.0, float("nan")]}, r"settings.a\[1\]"),
        ({"a": float("inf")}, "settings.a"),
        ({"a": {1: "x"}}, "settings.a"),
        ({"a": {"b": object()}}, "settings.a.b"),
    ],
)
def test_hash_refuses_values_without_a_stable_form(bad: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        prompt_hash(bad)
