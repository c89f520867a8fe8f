"""The benchmarks of both papers: what they declare, prompts against golden hashes, and strict against lm-eval."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import benchmark_data
import pytest

from capgap_ray.catalog.tasks import BBH, expand, find_task, known_tasks
from capgap_ray.core.task_spec import TaskError
from capgap_ray.tasks import Chat, Parts, Task, Version, load

HASHES_OF = {"aime24": "AIME", "amc23": "AMC", "olympiadbench": "Olympiad", "math500": "hendrycks_math_500"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def golden() -> dict[tuple[str, str], dict[str, str]]:
    with (benchmark_data.folder() / "prompt_hashes.csv").open() as file:
        return {(row["task"], row["format"]): row for row in csv.DictReader(file)}


def local(name: str, version: Version = "v4") -> Task:
    group, _, part = name.partition("/")
    folder = benchmark_data.folder()
    return load(find_task(name), str(folder / group) if part else str(folder / f"{name}.jsonl"), version)


def prompts(task: Task, chat: Chat) -> list[str]:
    """Every prompt in file order, the turns of a chat joined."""
    shots = task._spec.shots
    return ["".join(message.content for message in messages) for messages in task._rendered(shots, chat)]


# --- declarations ------------------------------------------------------------------------------------------


def test_groups_have_the_papers_sizes() -> None:
    for group, tasks, items in (("bbh", 27, 6511), ("math", 7, 5000)):
        specs = [find_task(name) for name in expand(group)]
        assert (len(specs), sum(spec.rows or 0 for spec in specs)) == (tasks, items)
    assert sum(find_task(name).train_rows or 0 for name in expand("math")) == 7500


def test_every_named_task_declares_its_data_and_its_answers() -> None:
    for name in known_tasks():
        spec = find_task(name)
        assert spec.family != "other"
        if not name.startswith("tiny/"):
            assert spec.hub and spec.gold
            assert spec.fields
            assert spec.gold in spec.fields
        assert spec.shots == (3 if name.startswith(("tiny/", "bbh/")) else 0)


def test_the_shipped_stop_list_of_bbh_is_declared() -> None:
    assert find_task("bbh/snarks").stop == ("</s>", "Q", "\n\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bbh/snark", "nearest: bbh/snarks"),
        ("math5000", "nearest: math500"),
        ("qqqq", "known:"),
        ("lm-eval/no_such_task_at_all", "unknown to the installed lm-eval"),
        ("lm-eval/humaneval", "runs code that a model wrote"),
        ("lm-eval/squad_completion", "is Python code in lm-eval"),
        ("lm-eval/arc_easy", "output_type is 'multiple_choice', not 'generate_until'"),
        ("absent.yaml", "does not exist"),
    ],
)
def test_a_task_that_cannot_be_used_is_refused(name: str, message: str) -> None:
    with pytest.raises(TaskError, match=message) as error:
        find_task(name)
    assert "\n" not in str(error.value)


def test_a_task_of_lm_eval_is_found_by_its_own_name() -> None:
    spec = find_task("lm-eval/minerva_math_algebra")
    assert spec.yaml.name == "minerva_math_algebra.yaml"
    assert (spec.hub, spec.subset, spec.shots) == ("EleutherAI/hendrycks_math", "algebra", 4)
    assert find_task("lm-eval/bbh_cot_fewshot_snarks").yaml == find_task("bbh/snarks").yaml


# --- prompts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_all_bbh_prompts_are_lm_evals_to_the_byte(
    version: Version, golden: dict[tuple[str, str], dict[str, str]]
) -> None:
    seen = 0
    for subtask in BBH:
        task, row = local(f"bbh/{subtask}", version), golden[f"bbh_cot_fewshot_{subtask}", version]
        plain = prompts(task, "plain")
        assert sha("\n".join(map(sha, plain))) == row["all_prompts_sha256"], subtask
        assert prompts(task, "single_turn") == plain
        assert sha(plain[0].rpartition("\n\nQ: ")[0]) == row["prefix_sha256"]
        system, *turns = task._rendered(3, "multi_turn")[0]
        assert [system.role, *(turn.role for turn in turns)] == ["system", *["user", "assistant"] * 3, "user"]
        seen += len(plain)
    assert seen == 6511


@pytest.mark.parametrize("name", sorted(HASHES_OF))
def test_the_maths_prompts_are_the_ancestors_to_the_byte(
    name: str, golden: dict[tuple[str, str], dict[str, str]]
) -> None:
    for chat in ("plain", "single_turn"):
        assert (
            sha("\n".join(map(sha, prompts(local(name), chat))))
            == golden[HASHES_OF[name], "fork"]["all_prompts_sha256"]
        )


# --- made-up items in the Hub's form -------------------------------------------------------------------------

ROWS: dict[str, list[dict[str, Any]]] = {
    "math/algebra": [
        {"problem": "What is $1+1$?", "solution": "It is $\\boxed{2}$."},
        {"problem": "A half?", "solution": "So \\boxed{\\frac{1}{2}}."},
        {"problem": "Which interval?", "solution": "Thus $\\boxed{[2,5]}$."},
    ],
    "gsm8k": [
        {"question": "Ann has 1,000 apples and eats 2.", "answer": "1000-2=<<1000-2=998>>998\n#### 998"},
        {"question": "Bo pays $1,250 in all.", "answer": "So\n#### 1,250"},
    ],
    "math500": [{"problem": "Half?", "solution": "\\boxed{\\frac{1}{2}}", "answer": "\\frac{1}{2}"}],
    "aime24": [{"problem": "Find n.", "answer": "025"}, {"problem": "Find m.", "answer": "0"}],
    "amc23": [{"problem": "Find n.", "answer": 27.0}, {"problem": "Find m.", "answer": -1.0}],
    "olympiadbench": [{"question": "Find x.", "final_answer": ["2"]}, {"question": "y?", "final_answer": ["$3$", "4"]}],
    "bbh/snarks": [{"input": "Which?\nOptions:\n(A) a\n(B) b", "target": "(B)"}, {"input": "2?", "target": "(A)"}],
    "bbh/navigate": [{"input": "Do you return?", "target": "No"}],
}
ROWS["gsm8k-upstream"] = ROWS["gsm8k"]
OWN = [{"question": "2+2?", "answer": 4}, {"question": "Which?", "answer": "(B)", "choices": ["x", "y"], "id": "b"}]

TEXTS = [
    "The answer is {}.", "So the answer is {}.", "so the answer is {}", "the answer is: {}.", "the answer is **{}**.",
    "Final Answer: \\boxed{{{}}}", "\\boxed{{{}}} and then \\boxed{{", "$\\boxed{{ {} }}$.", "\\boxed {}$",
    "\\fbox{{{}}}", "\\boxed{{\\fbox{{{}}}}}", "#### {}", "{}", "The answer is {}.\nThe answer is 7.",
    "the answer is {}. Q: next",
    "It is 7.", "\\boxed{{7}}", "", " ", "no answer here", "\\boxed{{}}", "(B", "25",
    "1,250.00", "$1,250.", "x\x00y", "\\frac12",
]  # fmt: skip


@pytest.fixture
def built(tmp_path: Path) -> Callable[[str], Task]:
    def build(name: str) -> Task:
        if name == "own":
            path = tmp_path / "own.jsonl"
            path.write_text("\n".join(map(json.dumps, OWN)))
            return load(find_task(str(path)))
        path = tmp_path / f"{name.replace('/', '-')}.jsonl"
        path.write_text("\n".join(map(json.dumps, ROWS[name])))
        return load(find_task(name), str(path))

    return build


def by_lm_eval(task: Task, texts: list[str]) -> list[list[float]]:
    """Score `texts[i]` for every item through lm-eval's own evaluator; one list per text, the first filter's."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import evaluate

    class Says(LM):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return [self.text for _ in requests]

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    scores = []
    for text in texts:
        task._task.set_config("num_fewshot", task._spec.shots)
        result = evaluate(
            Says(text), {"t": task._task}, bootstrap_iters=0, log_samples=True, confirm_run_unsafe_code=False
        )
        assert result is not None
        samples: list[dict[str, Any]] = next(iter(result["samples"].values()))
        first = [each for each in samples if each["filter"] == samples[0]["filter"]]
        scores.append([float(each[each["metrics"][0]]) for each in sorted(first, key=lambda each: each["doc_id"])])
    return scores


def texts_for(task: Task) -> Iterable[str]:
    for gold in dict.fromkeys(task._targets):
        yield from (text.format(gold) for text in TEXTS)


@pytest.mark.parametrize("name", [*ROWS, "own"])
def test_strict_equals_lm_eval_row_by_row(name: str, built: Callable[[str], Task]) -> None:
    task = built(name)
    texts = list(dict.fromkeys(texts_for(task)))
    theirs = by_lm_eval(task, texts)
    ours = [task.strict(task._ids, [text] * len(task._ids)) for text in texts]
    assert ours == theirs
    flat = [value for row in ours for value in row]
    assert 0 < sum(flat) < len(flat)  # a test in which nothing is right, or everything, would show nothing


@pytest.mark.parametrize(
    ("name", "item", "text", "expected"),
    [
        ("math/algebra", 1, "\\boxed{1/2}", 1.0),
        ("math/algebra", 1, "\\boxed{0.5}", 1.0),
        ("math/algebra", 0, "the answer is 2", 0.0),  # no box
        ("math/algebra", 0, "\\boxed{2} or \\boxed{3}", 0.0),
        ("math/algebra", 0, "\\boxed{\\fbox{2}}", 0.0),
        ("aime24", 0, "\\boxed{25}", 1.0),
        ("aime24", 1, "\\boxed{}", 0.0),  # the fork strips the gold 0 to nothing and calls this right
        ("aime24", 1, "\\boxed{0}", 1.0),
        ("amc23", 0, "\\boxed{27}", 1.0),
        ("amc23", 1, "\\boxed{-1}", 1.0),
        ("gsm8k", 0, "so 998 apples", 1.0),
        ("gsm8k", 1, "$1,250.", 1.0),
        ("gsm8k", 1, "1250 or 7", 0.0),  # the last number counts
        ("gsm8k-upstream", 1, "The answer is 1250.", 1.0),
        ("bbh/snarks", 0, "So the answer is (B).", 1.0),
        ("bbh/snarks", 0, "So the answer is (B)", 0.0),  # the last character of the line is always lost
        ("own", 0, "The answer is 4.", 1.0),
        ("own", 1, "the answer is: (b)", 1.0),
    ],
)
def test_strict_values(name: str, item: int, text: str, expected: float, built: Callable[[str], Task]) -> None:
    task = built(name)
    assert task.strict([task._ids[item]], [text]) == [expected]


def test_gold_answers_are_texts(built: Callable[[str], Task]) -> None:
    golds = {name: built(name)._targets for name in [*ROWS, "own"]}
    assert golds["math/algebra"] == ["2", "\\frac{1}{2}", "[2,5]"]  # lm-eval would read the interval as a list
    assert golds["gsm8k"] == golds["gsm8k-upstream"] == ["998", "1250"]
    assert golds["amc23"] == ["27.0", "-1.0"]
    assert golds["olympiadbench"] == ["2", "$3$"]
    assert golds["own"] == ["4", "(B)"]


def test_the_other_prompts(built: Callable[[str], Task]) -> None:
    t2 = (
        "Solve the following math problem and present the final answer in the format: "
        "Final Answer: \\boxed{your_answer}.\nProblem: What is $1+1$?\nAnswer:"
    )
    assert prompts(built("math/algebra"), "plain")[0] == t2
    assert prompts(built("gsm8k"), "single_turn")[1] == "Bo pays $1,250 in all."
    assert prompts(built("gsm8k-upstream"), "plain")[1] == "Q: Bo pays $1,250 in all.\nA: Let's think step by step."
    assert prompts(built("own"), "plain")[1].startswith("Which?\n(A) x\n(B) y\n\n")


# --- splits --------------------------------------------------------------------------------------------------


def test_bbh_splits_as_the_paper_does() -> None:
    for name, train, test in (("bbh/causal_judgement", 112, 75), ("bbh/sports_understanding", 150, 100)):
        examples = local(name).examples(Parts(train=train, test=test, seed=0), shots=3)
        assert len({each.id for each in examples}) == train + test
        questions = [{each.question for each in examples if each.split == part} for part in ("train", "test")]
        assert not questions[0] & questions[1]
        assert sum(len(part) for part in questions) == train + test - 2  # the two duplicated inputs


def test_a_question_that_is_a_few_shot_example_is_in_neither_part(tmp_path: Path) -> None:
    shown = load(find_task("bbh/navigate"), _bbh_file(tmp_path, 10))._task.sampler.df[0]["input"]
    task = load(find_task("bbh/navigate"), _bbh_file(tmp_path, 10, shown))
    assert any(shown in each.question for each in task.examples(Parts(train=6, test=5, seed=0), shots=0))
    kept = task.examples(Parts(train=6, test=4, seed=0), shots=3)
    assert not any(shown in each.question for each in kept)
    with pytest.raises(TaskError, match="needs 11 items, the task has 10"):
        task.examples(Parts(train=6, test=5, seed=0), shots=3)


def _bbh_file(folder: Path, items: int, *more: str) -> str:
    inputs = [*(f"Question {number}?" for number in range(items)), *more]
    path = folder / f"navigate{len(inputs)}.jsonl"
    path.write_text("\n".join(json.dumps({"input": text, "target": "Yes"}) for text in inputs))
    return str(path)


def test_training_items_can_come_from_the_tasks_own_training_split(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("test", 8)):
        rows = [{"question": f"Q{start + n}", "answer": f"#### {n}"} for n in range(10)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = load(find_task("gsm8k"), str(tmp_path), train=True)
    made = task.examples(Parts(train=8, test=10, seed=0, train_from="train"))
    found = {part: {each.question for each in made if each.split == part} for part in ("train", "test")}
    assert found["test"] == {f"Q{n}" for n in range(8, 18)}
    assert found["train"] == {f"Q{n}" for n in range(8)}  # Q8 and Q9 are test items too
    assert task.strict([made[0].id], ["#### 1"]) in ([0.0], [1.0])
