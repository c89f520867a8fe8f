"""Tasks through lm-eval: prompts are its own, splits are disjoint, the strict metric is its own."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.catalog.tasks import embedded_tasks, find_task, read_yaml
from capgap_ray.tasks import Parts, Task, TaskError, fingerprint, load
from capgap_ray.tasks.grader import grades

NAME = "tiny/dyck_languages"


def parts(train: int, test: int, seed: int = 0) -> Parts:
    return Parts(train=train, test=test, seed=seed)


@pytest.fixture(scope="module")
def task() -> Task:
    return load(find_task(NAME))


def test_every_embedded_task_builds_and_splits() -> None:
    assert len(embedded_tasks()) >= 5
    for name in embedded_tasks():
        examples = load(find_task(name)).examples(parts(600, 120), shots=3)
        questions = [{each.question for each in examples if each.split == part} for part in ("train", "test")]
        assert [len(part) for part in questions] == [600, 120]
        assert not questions[0] & questions[1]
        assert len({each.id for each in examples}) == 720


def test_the_tiny_examples_are_what_they_were() -> None:
    """Ids of the first items, recorded before tasks came from anywhere else: stored results stay comparable."""
    examples = load(find_task(NAME)).examples(parts(600, 120), shots=3)
    assert [each.id for each in (examples[0], examples[599], examples[600], examples[-1])] == [
        "30104c47a9d77794",
        "5f75954c03c29588",
        "6af45dc6f5be10d3",
        "961a6ce1d230ed34",
    ]


def test_the_few_shot_prompt_is_lm_evals(task: Task) -> None:
    example = task.examples(parts(1, 1))[1]
    system, user = task.requests([example], shots=3)[0].messages
    assert (system.role, user.role) == ("system", "user")
    assert system.content.endswith("\n\n")
    assert user.content.count("A: Let's think step by step.\n") == 4
    assert user.content.count("So the answer is") == 3
    assert user.content.endswith(example.question)
    assert task.requests([example], 3, "plain")[0].messages[0].content == system.content + user.content


def test_a_chat_of_many_turns_has_the_examples_as_turns(task: Task) -> None:
    example = task.examples(parts(1, 1))[0]
    messages = task.requests([example], 3, "multi_turn")[0].messages
    assert [each.role for each in messages] == ["system", *["user", "assistant"] * 3, "user"]
    assert messages[-1].content == example.question


def test_the_training_prompt_has_no_shots_and_the_same_system_message(task: Task) -> None:
    example = task.examples(parts(1, 1))[0]
    request = task.requests([example], shots=3)[0]
    assert example.train_messages[0] == request.messages[0]
    assert example.train_messages[1].content == example.question


def test_too_many_shots_are_refused(task: Task) -> None:
    with pytest.raises(TaskError, match=r"prompt.shots 4: .*3 that are available"):
        task.requests(task.examples(parts(1, 1)), shots=4)


def test_strict_is_lm_evals_own_metric(task: Task) -> None:
    example = task.examples(parts(1, 1))[0]
    texts = [
        f"So the answer is {example.target}.",
        f"So the answer is {example.target}",  # its regex eats the last character of the line
        "So the answer is nothing.",
        "",
    ]
    assert task.strict([example.id] * 4, texts) == [1.0, 0.0, 0.0, 0.0]
    assert task.strict([], []) == []


def test_a_seed_reorders_and_more_training_items_keep_the_test_items(task: Task) -> None:
    first = task.examples(parts(100, 50))
    assert first == task.examples(parts(100, 50))
    assert first != task.examples(parts(100, 50, seed=1))
    more = task.examples(parts(200, 50))
    assert [e.id for e in more if e.split == "test"] == [e.id for e in first if e.split == "test"]
    assert {e.id for e in first} < {e.id for e in more}


def test_folds_test_every_item_once(task: Task) -> None:
    tested: list[str] = []
    for fold in range(4):
        made = task.examples(Parts(train=750, test=250, seed=0, crossfit=4, fold=fold))
        tested += [each.id for each in made if each.split == "test"]
    assert len(tested) == len(set(tested)) == 1000


def test_too_few_items_are_named(task: Task) -> None:
    with pytest.raises(TaskError, match=r"train 600 \+ test 500 needs 1100 items, the task has 1000"):
        task.examples(parts(600, 500))


def test_the_fingerprint_is_of_the_content() -> None:
    prints = {fingerprint(read_yaml(find_task(name).yaml)[1]) for name in (NAME, "tiny/word_sorting", "math/algebra")}
    assert len(prints) == 3


def test_the_fingerprint_sees_an_included_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "base").mkdir()
    base, task = tmp_path / "base" / "b.yaml", tmp_path / "t.yaml"
    task.write_text("include: base/b.yaml\ntask: t\n")
    base.write_text("test_split: test\n")
    before = fingerprint(read_yaml(task)[1])
    base.write_text("test_split: train\n")
    assert read_yaml(task)[0]["test_split"] == "train"
    assert fingerprint(read_yaml(task)[1]) != before


# --- golds of tasks that are not ours ------------------------------------------------------------------------


def own(folder: Path, golds: Sequence[Any], *more: str) -> Task:
    (folder / "rows.jsonl").write_text("\n".join(json.dumps({"q": "q", "a": gold}) for gold in golds))
    (folder / "t.yaml").write_text(
        "task: t\ntest_split: test\ndoc_to_text: '{{q}}'\n" + "\n".join(more or ["doc_to_target: '{{a}}'"])
    )
    return load(find_task(str(folder / "t.yaml")), str(folder / "rows.jsonl"))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("lm-eval/gsm8k", "gsm8k"),
        ("lm-eval/gsm8k_cot_llama", "gsm8k"),
        ("lm-eval/hendrycks_math_algebra", "maths"),
        ("lm-eval/aime25", "maths"),
        ("lm-eval/mmlu_pro_math", "other"),
        ("lm-eval/triviaqa", "other"),
    ],
)
def test_how_answers_are_read_is_known_from_lm_evals_names(name: str, family: str) -> None:
    assert find_task(name).family == family


def test_the_gold_of_lm_evals_gsm8k_is_the_number(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "q", "answer": "1 + 1 = 2\n#### 1,002"}))
    for name in ("lm-eval/gsm8k_cot_zeroshot", "lm-eval/gsm8k_cot"):
        assert load(find_task(name), str(tmp_path)).every()[0].target == "1002"


@pytest.mark.parametrize(
    ("golds", "more", "reason"),
    [
        (["x", "long words"], [], None),
        (["[2, 5]", "[ ]"], [], None),
        ([["x"], ["y", "y"]], [], None),
        ([["x"], ["y", "z"]], [], r"an item has several \('y', 'z', ...\)"),
        ([{"value": "x"}], ["doc_to_target: a"], "one is a dict"),
        (["x"], ["doc_to_target: 0"], "doc_to_target is the same for every item"),
        (["", ""], [], "they are all empty"),
        (["x" * 3000], [], "one has 3000 characters"),
        (["so\n#### 2", "#### -1,000"], [], r"they .*; set metadata: \{family: gsm8k"),
        (["so \\boxed{2}"], [], "they are solutions with the answer in a box"),
    ],
)
def test_golds_that_our_rules_cannot_read_are_said(
    tmp_path: Path, golds: list[Any], more: list[str], reason: str | None
) -> None:
    task = own(tmp_path, golds, *more)
    if reason is None:
        assert task.unreadable is None
        task.check_readable()
    else:
        with pytest.raises(TaskError, match=rf"our own rules cannot read its gold answers: {reason}"):
            task.check_readable()


def test_the_pattern_for_own_items_is_linear(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "x y"}))
    task = load(find_task(str(path)))
    texts = ["The answer is: X y . ", "the answer is x  y.\n", "The answer is x y..", f"The answer is x{' ' * 60_000}y"]
    begun = time.monotonic()
    found = grades(task._task, task._docs * 4, [[each] for each in texts], every=False)
    assert [each["get-answer"][1]["exact_match"] for each in found] == [1.0, 0.0, 0.0, 0.0]
    assert [each["get-answer"][0] for each in found[:3]] == ["X y", "x  y", "x y."]
    assert time.monotonic() - begun < 1
