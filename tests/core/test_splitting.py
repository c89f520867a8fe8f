"""Splits: disjoint, seeded, of the sizes asked for, and equal questions on one side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgap_ray.core.splitting import bare, crossfit, fold_sizes, part_sizes, split

QUESTIONS = [f"q{index}" for index in range(50)]


@pytest.mark.parametrize(
    ("items", "train", "test", "expected"),
    [
        (250, None, None, (150, 100)),  # the paper's 3:2
        (187, None, None, (112, 75)),
        (146, None, None, (87, 59)),
        (178, None, None, (106, 72)),
        (250, 100, None, (100, 100)),
        (250, None, 20, (230, 20)),
        (1000, 600, 120, (600, 120)),
    ],
)
def test_part_sizes(items: int, train: int | None, test: int | None, expected: tuple[int, int]) -> None:
    assert part_sizes(items, train, test) == expected


@pytest.mark.parametrize(
    ("question", "template", "own"),
    [
        ("Solve it.\nProblem: What is  $1+1$?\nAnswer:", "Solve it.\nProblem: {{problem}}\nAnswer:", "What is $1+1$?"),
        ("Put it in \\boxed{n}: 1+1", "Put it in \\boxed{n}: {{question}}", "1+1"),
        (
            "1+1\n(A) 2\n(B) 3\n\nThink.",
            "{{q}}{% for c in choices %}\n({{c}}){% endfor %}\n\nThink.",
            "1+1 (A) 2 (B) 3",
        ),
        ("Q: 1+1\nA:", "", "Q: 1+1 A:"),
        ("Q: 1+1\nA:", "question", "Q: 1+1 A:"),
        ("other words: 1+1", "Q: {{question}}\nA:", "other words: 1+1"),
    ],
)
def test_an_items_own_text_is_what_the_template_did_not_add(question: str, template: str, own: str) -> None:
    assert bare(question, template) == own


@pytest.mark.parametrize(("items", "train", "test"), [(10, 8, 3), (1, None, None), (10, None, 10)])
def test_parts_that_cannot_be_cut_are_refused(items: int, train: int | None, test: int | None) -> None:
    with pytest.raises(ValueError, match=f"cannot be cut from {items} items"):
        part_sizes(items, train, test)


@given(st.lists(st.integers(0, 30), min_size=10, max_size=60), st.integers(0, 5))
def test_equal_questions_never_straddle(numbers: list[int], seed: int) -> None:
    questions = [f"question  {number}" for number in numbers]
    try:
        train, test = split(questions, *part_sizes(len(questions), None, None), seed)
    except ValueError:
        return  # duplicates can leave no way to the exact size
    assert not {questions[index] for index in train} & {questions[index] for index in test}
    assert sorted(train + test) == list(range(len(questions)))


def test_white_space_does_not_make_a_question_new() -> None:
    questions = ["a b", "a  b\n", *QUESTIONS]
    for seed in range(20):
        train, _ = split(questions, 26, 26, seed)
        assert (0 in train) == (1 in train)


def test_repeated_splits_differ_and_are_reproducible() -> None:
    assert split(QUESTIONS, 30, 20, 0) == split(QUESTIONS, 30, 20, 0)
    assert split(QUESTIONS, 30, 20, 0)[1] != split(QUESTIONS, 30, 20, 1)[1]


@pytest.mark.parametrize("folds", [2, 3, 7, 50])
def test_every_item_is_tested_once_and_trains_in_all_other_folds(folds: int) -> None:
    made = crossfit(QUESTIONS, folds, seed=1)
    assert sorted(index for _, test in made for index in test) == list(range(50))
    assert [len(test) for _, test in made] == fold_sizes(50, folds)
    for train, test in made:
        assert sorted(train + test) == list(range(50))


def test_equal_questions_share_a_fold() -> None:
    questions = [f"q{index // 2}" for index in range(20)]
    for train, test in crossfit(questions, 5, seed=0):
        assert not {questions[index] for index in train} & {questions[index] for index in test}
    with pytest.raises(ValueError, match="do not fit"):
        crossfit(["same"] * 4, 2, seed=0)


def test_fold_counts_that_cannot_be_are_refused() -> None:
    for folds in (1, 51):
        with pytest.raises(ValueError, match=f"{folds} folds of 50 items"):
            fold_sizes(50, folds)
