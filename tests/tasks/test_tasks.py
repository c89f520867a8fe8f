"""Tasks through lm-eval: prompts are its own, splits are disjoint, the strict metric is its own."""

import pytest

from capgap_ray.catalog.tasks import embedded_tasks, task_path
from capgap_ray.core.splitting import split
from capgap_ray.tasks import Task, fingerprint, load

NAME = "tiny/dyck_languages"


@pytest.fixture(scope="module")
def task() -> Task:
    return load(NAME, str(task_path(NAME)))


def test_every_embedded_task_builds_and_splits() -> None:
    assert len(embedded_tasks()) >= 5
    for name in embedded_tasks():
        examples = load(name, str(task_path(name))).examples(train=600, test=120, seed=0)
        questions = [{each.question for each in examples if each.split == part} for part in ("train", "test")]
        assert [len(part) for part in questions] == [600, 120]
        assert not questions[0] & questions[1]
        assert len({each.id for each in examples}) == 720


def test_the_few_shot_prompt_is_lm_evals(task: Task) -> None:
    example = task.examples(train=1, test=1, seed=0)[1]
    system, user = task.requests([example], shots=3)[0].messages
    assert (system.role, user.role) == ("system", "user")
    assert system.content.endswith("\n\n")
    assert user.content.count("A: Let's think step by step.\n") == 4
    assert user.content.count("So the answer is") == 3
    assert user.content.endswith(example.question)
    # The same text as lm-eval's prompt without a chat template.
    plain = task._task.fewshot_context(task._by_id[example.id], num_fewshot=3)
    assert system.content + user.content == plain


def test_the_training_prompt_has_no_shots_and_the_same_system_message(task: Task) -> None:
    example = task.examples(train=1, test=1, seed=0)[0]
    request = task.requests([example], shots=3)[0]
    assert example.train_messages[0] == request.messages[0]
    assert example.train_messages[1].content == example.question


def test_strict_is_lm_evals_own_metric(task: Task) -> None:
    example = task.examples(train=1, test=1, seed=0)[0]
    texts = [
        f"So the answer is {example.target}.",
        f"So the answer is {example.target}",  # its regex eats the last character of the line
        "So the answer is nothing.",
        "",
    ]
    assert task.strict([example.id] * 4, texts) == [1.0, 0.0, 0.0, 0.0]


def test_a_seed_reorders_and_more_training_items_keep_the_test_items(task: Task) -> None:
    first = task.examples(train=100, test=50, seed=0)
    assert first == task.examples(train=100, test=50, seed=0)
    assert first != task.examples(train=100, test=50, seed=1)
    more = task.examples(train=200, test=50, seed=0)
    assert [e.id for e in more if e.split == "test"] == [e.id for e in first if e.split == "test"]
    assert {e.id for e in first} < {e.id for e in more}


def test_equal_questions_never_straddle() -> None:
    questions = [f"q{index // 2}" for index in range(100)]
    train, test = split(questions, 60, 40, seed=3)
    assert not {questions[i] for i in train} & {questions[i] for i in test}
    assert sorted(train + test) == list(range(100))


def test_too_few_items_are_named() -> None:
    with pytest.raises(ValueError, match=r"train 600 \+ test 500 needs 1100 items, the task has 1000"):
        load(NAME, str(task_path(NAME))).examples(train=600, test=500, seed=0)


def test_the_fingerprint_is_of_the_content() -> None:
    assert fingerprint(task_path(NAME)) != fingerprint(task_path("tiny/word_sorting"))
