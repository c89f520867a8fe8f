"""The generators: golds by independent solvers, reasoning, determinism, disjointness."""

import hashlib
import re
from itertools import permutations
from random import Random

import pytest

from capgap_ray.tiny.measuring import ANSWER
from capgap_ray.tiny.procedural import PUZZLES, TASKS, generate, shots, task_items
from capgap_ray.tiny.scene_puzzles import HOURS
from capgap_ray.tiny.symbol_puzzles import word_sorting

CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}


def _option(question: str, text: str) -> str:
    found = re.findall(rf"\(([ABC])\) {re.escape(text)}$", question, flags=re.M)
    assert len(found) == 1, (question, text)
    return f"({found[0]})"


def tracking(question: str) -> str:
    held = dict(re.findall(r"(Alice|Bob|Claire) has an? (\w+ \w+)[,.]", question))
    for one, two in re.findall(r"(\w+) and (\w+) swap", question):
        held[one], held[two] = held[two], held[one]
    asked = re.search(r"At the end, (\w+) has the", question)
    assert asked is not None
    return _option(question, held[asked[1]])


def dyck(question: str) -> str:
    stack: list[str] = []
    for bracket in question.rsplit("Input: ", 1)[1].split():
        if bracket in CLOSERS:
            stack.append(CLOSERS[bracket])
        else:
            assert stack.pop() == bracket
    return " ".join(reversed(stack))


def sorting(question: str) -> str:
    return " ".join(sorted(question.rsplit("List: ", 1)[1].split()))


def deduction(question: str) -> str:
    text, options = question.split("\nOptions:\n")
    head, *clues = text.split(". ")
    names = re.findall(r"\w+", head.split(":")[1].replace(" and ", " "))
    readings = (
        (r"(\w+) (?:book is to the left of the|finished above) (\w+)", lambda row, a, b: row.index(a) < row.index(b)),
        (r"(\w+) (?:book is to the right of the|finished below) (\w+)", lambda row, a, b: row.index(a) > row.index(b)),
        (r"(\w+) (?:book is the leftmost|finished first)", lambda row, a: row[0] == a),
        (r"(\w+) (?:book is the second|finished second)", lambda row, a: row[1] == a),
        (r"(\w+) (?:book is the rightmost|finished last)", lambda row, a: row[2] == a),
    )
    left = list(permutations(names))
    for clue in clues:
        matched = [(re.search(pattern, clue), holds) for pattern, holds in readings]
        found, holds = next((m, h) for m, h in matched if m)
        assert found is not None
        left = [row for row in left if holds(row, *found.groups())]
    assert len(left) == 1, question
    true = []
    for line in options.splitlines():
        found, holds = next((m, h) for p, h in readings[2:] if (m := re.search(p, line)))
        if holds(left[0], *found.groups()):
            true.append(line[:3])
    assert len(true) == 1, question
    return true[0]


def boolean(question: str) -> str:
    tokens = question.removesuffix(" is").split()

    def either() -> bool:
        value = both()
        while tokens[:1] == ["or"]:
            tokens.pop(0)
            right = both()
            value = value or right
        return value

    def both() -> bool:
        value = one()
        while tokens[:1] == ["and"]:
            tokens.pop(0)
            right = one()
            value = value and right
        return value

    def one() -> bool:
        token = tokens.pop(0)
        if token == "not":
            return not one()
        if token == "(":
            value = either()
            assert tokens.pop(0) == ")"
            return value
        return {"True": True, "False": False}[token]

    value = either()
    assert not tokens
    return str(value)


def _hour(text: str) -> int:
    return HOURS.index(text)


def temporal(question: str) -> str:
    woke = re.search(r"woke up at (\w+)\.", question)
    closed = re.search(r"closed at (\w+)\.", question)
    assert woke is not None and closed is not None
    seen = [(_hour(a), _hour(b)) for a, b in re.findall(r"from (\w+) to (\w+)\.", question)]
    free = set(range(_hour(woke[1]), _hour(closed[1]))) - {h for a, b in seen for h in range(a, b)}
    right = []
    for letter, a, b in re.findall(r"\(([ABC])\) (\w+) to (\w+)", question):
        if set(range(_hour(a), _hour(b))) == free:
            right.append(f"({letter})")
    assert len(right) == 1, question
    return right[0]


SOLVERS = {
    "tracking_shuffled_objects_three_objects": tracking,
    "dyck_languages": dyck,
    "word_sorting": sorting,
    "logical_deduction_three_objects": deduction,
    "boolean_expressions": boolean,
    "temporal_sequences": temporal,
}

PINNED = {
    "tracking_shuffled_objects_three_objects": "308d7460549ac732",
    "dyck_languages": "67bb46f0ef447f00",
    "word_sorting": "dd2b5a42d8870b3c",
    "logical_deduction_three_objects": "fbf8039f471bc060",
    "boolean_expressions": "5cbf795a6ee7f22e",
    "temporal_sequences": "4d6d0bf38cd07557",
}
"""sha256 (first 16 hex digits) of ten items made with seed 1: the text every checkpoint was trained on."""


@pytest.mark.parametrize("task", TASKS)
def test_golds_agree_with_an_independent_solver(task: str) -> None:
    for item in generate(task, 400, seed=11):
        assert SOLVERS[task](item.question) == item.target


@pytest.mark.parametrize("task", TASKS)
def test_both_styles_end_in_the_right_answer(task: str) -> None:
    for item in generate(task, 100, seed=12):
        for reasoning in (item.short_cot, item.long_cot):
            assert reasoning.endswith(f"So the answer is {item.target}.")
            found = ANSWER.search(reasoning)
            assert found is not None and found.group(1) == item.target
            assert "\n\n" not in reasoning and "Q:" not in reasoning
        assert item.long_cot.startswith("<think>\n") and item.long_cot.count("</think>") == 1
        assert len(item.long_cot) > 1.5 * len(item.short_cot)


@pytest.mark.parametrize("task", TASKS)
def test_options_hold_the_gold_once(task: str) -> None:
    for item in generate(task, 50, seed=13):
        assert len(set(item.choices)) == len(item.choices)
        if item.choices:
            assert re.fullmatch(r"\([ABC]\)", item.target)
            assert f"{item.target} {item.choices['ABC'.index(item.target[1])]}" in item.question


@pytest.mark.parametrize("task", TASKS)
def test_items_are_pinned_and_distinct(task: str) -> None:
    items = generate(task, 10, seed=1)
    assert hashlib.sha256(repr(items).encode()).hexdigest()[:16] == PINNED[task]
    assert items == generate(task, 10, seed=1) != generate(task, 10, seed=2)


@pytest.mark.parametrize("task", TASKS)
def test_a_thousand_items_without_repeats_or_worked_examples(task: str) -> None:
    questions = [item.question for item in task_items(task)]
    assert len(questions) == len(set(questions)) == 1000
    assert not {shot.question for shot in shots(task)} & set(questions)


def test_errors_name_what_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="task = 'sudoku' is unknown; choose one of"):
        generate("sudoku", 1, seed=0)
    with pytest.raises(ValueError, match="too few different questions"):
        monkeypatch.setitem(PUZZLES, "word_sorting", lambda _: word_sorting(Random(0)))
        generate("word_sorting", 2, seed=0)
