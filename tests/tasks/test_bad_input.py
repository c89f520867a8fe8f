"""Task files that will not do are named with file and row, in one line, without lm-eval or any model."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capgap_ray.catalog.tasks import find_task
from capgap_ray.core.task_spec import TaskError
from capgap_ray.tasks import digests, load, source_of, tables
from capgap_ray.tasks.hub import check_reachable
from capgap_ray.tasks.published import PUBLISHED, published_rationales, published_spec


def line(**fields: object) -> str:
    return json.dumps(fields)


MATH = line(problem="p", solution="s \\boxed{1}")
BAD: list[tuple[str, str, bytes, str]] = [
    ("bbh/snarks", "f.jsonl", b"", "f.jsonl: has no rows"),
    ("bbh/snarks", "f.jsonl", b"\n \n", "f.jsonl: has no rows"),
    ("bbh/snarks", "f.json", b"[]", "f.json: has no rows"),
    (
        "bbh/snarks",
        "f.jsonl",
        (line(input="a", target="b") + "\n\n" + line(input="a")).encode(),
        r"f.jsonl: row 3: field 'target' is missing \(there: input\)",
    ),
    ("bbh/snarks", "f.jsonl", line(input="a", target="").encode(), "row 1: gold answer in field 'target' is empty"),
    ("bbh/snarks", "f.jsonl", line(input="a", target="b").encode() + b'\n{"input": "\xff"}', "row 2: byte 0xff is not"),
    ("bbh/snarks", "f.jsonl", line(input="a\ud800", target="b").encode(), r"row 1: \\ud800 without its other half"),
    ("bbh/snarks", "f.jsonl", line(input="a", target="b").encode("utf-16"), "row 1: byte 0xff is not UTF-8"),
    ("bbh/snarks", "f.jsonl", b'{"input": "a",\n', "f.jsonl: row 1: not JSON"),
    ("bbh/snarks", "f.jsonl", b"[1]", "row 1: a list, not an object"),
    ("bbh/snarks", "f.json", b'[{"input": "a", "target": "b"}, 7]', "row 2: a int, not an object"),
    ("bbh/snarks", "f.jsonl", b"[" * 100_000, "row 1: (nested too deeply|not JSON)"),
    ("bbh/snarks", "f.parquet", b"PAR1nonsense", "not a readable Parquet file"),
    (
        "amc23",
        "f.jsonl",
        (line(problem="p", answer=1.0) + "\n" + line(problem="p", answer="1")).encode(),
        "row 2: field 'answer' is a str, but a number in row 1",
    ),
    ("math500", "f.jsonl", line(problem="p", answer="\\frac{1}{2").encode(), "row 1: .*unbalanced braces"),
    ("math500", "f.jsonl", line(problem="p", answer="  ").encode(), "row 1: .*'answer' is empty"),
    ("math500", "f.jsonl", line(problem="p", answer=True).encode(), "row 1: .*'answer' is a bool"),
    ("olympiadbench", "f.jsonl", line(question="p", final_answer=[]).encode(), "row 1: .*'final_answer' is empty"),
    ("math/algebra", "f.jsonl", f"{MATH}\n{line(problem='p', solution='1')}".encode(), r"row 2: .*has no \\boxed"),
    ("math/algebra", "f.jsonl", line(problem="p", solution="\\boxed{{1}").encode(), r"row 1: .*unclosed \\boxed"),
    ("gsm8k", "f.jsonl", line(question="q", answer="#### many").encode(), "row 1: .*does not end in '#### number'"),
]


@pytest.mark.parametrize(("task", "name", "content", "message"), BAD, ids=[f"{b[0]} {b[3][:40]}" for b in BAD])
def test_a_bad_file_is_named_with_its_row(tmp_path: Path, task: str, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=message) as error:
        tables(find_task(task), str(tmp_path / name))
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "q"}], "row 1: field 'answer' is missing"),
        ([{"question": "q", "answer": "a"}, {"answer": "a"}], "row 2: field 'question' is missing"),
        ([{"question": " ", "answer": "a"}], "row 1: field 'question' is not a text"),
        ([{"question": "q", "answer": ["a"]}], "row 1: field 'answer' is a list"),
        ([{"question": "q", "answer": ""}], "row 1: gold answer in field 'answer' is empty"),
        ([{"question": "q", "answer": "a", "choices": "ab"}], "row 1: field 'choices' is not a list"),
        ([{"question": "q", "answer": "a", "id": 1}, {"question": "r", "answer": "a", "id": 1}], "row 2: id 1 is also"),
        ([{"question": "q", "answer": "a", "id": 1}] * 2, "row 2: id 1 is also row 1's"),
    ],
)
def test_a_persons_own_items_are_checked(tmp_path: Path, rows: list[object], message: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(TaskError, match=message):
        tables(find_task(str(path)), None)


def test_folders_are_searched_for_the_split(tmp_path: Path) -> None:
    spec = find_task("math/counting_and_prob")
    with pytest.raises(TaskError, match=r"no file for the split 'test' \(there: nothing\)"):
        tables(spec, str(tmp_path))
    (tmp_path / "algebra.jsonl").write_text(MATH)
    with pytest.raises(TaskError, match=r"no file for the split 'test' \(there: algebra.jsonl\)"):
        tables(spec, str(tmp_path))
    folder = tmp_path / "counting_and_probability"  # the Hub's name of the subset, and of its files
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([json.loads(MATH)]), folder / "test-00000-of-00001.parquet")
    assert [len(table.rows) for table in tables(spec, str(tmp_path)).values()] == [1]
    with pytest.raises(TaskError, match="no file for the split 'train'"):
        tables(spec, str(tmp_path), train=True)
    (tmp_path / "counting_and_prob.jsonl").write_text(MATH)
    with pytest.raises(TaskError, match="has several files for the split 'test'"):
        tables(spec, str(tmp_path))
    with pytest.raises(TaskError, match="is one file, but the split 'train' is needed too"):
        tables(spec, str(tmp_path / "algebra.jsonl"), train=True)


@pytest.mark.parametrize("data", ["/no/such/folder", "nosuch://x/y", "file:///no/such/file.jsonl"])
def test_a_place_that_is_not_there_is_named(data: str) -> None:
    with pytest.raises(TaskError, match=r"does not exist|cannot be opened"):
        tables(find_task("math500"), data)


def test_marks_and_line_ends_of_other_systems_change_no_row(tmp_path: Path) -> None:
    """A byte order mark, CRLF, and U+2028, which is a character and ends no row."""
    rows = [line(question="q\u2028 \U0001f600", answer="a"), line(question="r", answer="b")]
    found = []
    for name, data in (
        ("plain", "\n".join(rows).encode()),
        ("windows", b"\xef\xbb\xbf" + "\r\n".join(rows).encode() + b"\r\n"),
        ("unescaped", "\n".join(json.dumps(json.loads(row), ensure_ascii=False) for row in rows).encode()),
    ):
        (tmp_path / f"{name}.jsonl").write_bytes(data)
        found.append([table.rows for table in tables(find_task(str(tmp_path / f"{name}.jsonl")), None).values()])
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) == 2


def test_a_uri_and_a_path_hold_the_same(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps([{"problem": "p", "answer": "1"}]))
    spec = find_task("math500")
    by_path, by_uri = tables(spec, str(path)), tables(spec, f"file://{path}")
    assert by_path["test"].rows == by_uri["test"].rows
    assert digests(by_path) == digests(by_uri)


def test_a_changed_file_is_read_again_and_no_longer_what_was_planned(tmp_path: Path) -> None:
    path, spec = tmp_path / "f.jsonl", find_task("math500")
    path.write_text(line(problem="p", answer="1"))
    planned = digests(tables(spec, str(path)))
    path.write_text(line(problem="p", answer="22"))
    assert digests(tables(spec, str(path))) != planned
    with pytest.raises(TaskError, match="not those that the plan was made with"):
        load(spec, str(path)).check_source(planned)


def test_a_field_that_only_lm_eval_can_miss_is_named(tmp_path: Path) -> None:
    task, rows = tmp_path / "t.yaml", tmp_path / "rows.jsonl"
    task.write_text(
        "task: t\ntest_split: test\noutput_type: generate_until\n"
        "doc_to_text: '{{stem if stem is defined else other}}'\ndoc_to_target: '{{answer}}'\n"
    )
    rows.write_text(line(answer="1"))
    with pytest.raises(TaskError, match=r"rows.jsonl has no field that t.yaml uses: 'other' is undefined"):
        load(find_task(str(task)), str(rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: [", "not readable as YAML"),
        ("- 1", "is a mapping"),
        ("task: t\n", "test_split is missing"),
        ("task: t\ntest_split: test\ndoc_to_text: '{{'\n", "doc_to_text is not a Jinja template"),
        ("include: absent.yaml\n", "absent.yaml: cannot be read"),
        ("task: t\ntest_split: test\noutput_type: loglikelihood\n", "not 'generate_until'"),
        ("test_split: test\ndoc_to_target: x\n", "doc_to_text is missing"),
        ("test_split: test\ndoc_to_text: x\n", "doc_to_target is missing"),
        ("test_split: 3\n", r"test_split: Input should be a valid string \(got 3\)"),
        ("test_split: test\ngeneration_kwargs: {until: 5}\n", r"generation_kwargs.until: .*\(got 5\)"),
        ("test_split: test\nmetadata: 3\n", r"metadata: write a mapping of its fields \(got 3\)"),
        ("test_split: test\nmetadata: {family: math}\n", r"metadata.family: .*'maths'.*\(got 'math'\)"),
        ("test_split: test\nmetadata: {rows: 0}\n", r"metadata.rows: .*\(got 0\)"),
        (
            "test_split: test\ndoc_to_text: '{{q}}'\ndoc_to_target: a\nmetadata: {gold: zzz}\n",
            "metadata.gold: 'zzz' is none of its fields: a, q",
        ),
        (
            "test_split: test\ndoc_to_text: q\ndoc_to_target: a\ndataset_kwargs: {data_files: {dev: x.json}}\n",
            r"data_files has no split 'test' \(there: dev\)",
        ),
    ],
)
def test_a_task_yaml_that_will_not_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(TaskError, match=message) as error:
        find_task(str(path))
    assert "\n" not in str(error.value)


OWN = """
task: t
dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
"""


def own(folder: Path, more: str = "", drop: str = "", **rows: object) -> str:
    """A person's YAML with a data file of one row beside it."""
    (folder / "rows.jsonl").write_text(line(**(rows or {"q": "1", "a": "2"})))
    (folder / "code.py").write_text("def docs(rows): return rows.map(lambda row: {'b': row['absent']})\n")
    text = OWN.replace("ROWS", str(folder / "rows.jsonl"))
    kept = [each for each in text.splitlines() if not drop or drop not in each]
    (folder / "t.yaml").write_text("\n".join([*kept, more]))
    return str(folder / "t.yaml")


@pytest.mark.parametrize(
    ("more", "drop", "message"),
    [
        ("process_docs: !function code.docs", "", r"t.yaml does not fit .*rows.jsonl: KeyError: 'absent'"),
        ("process_docs: !function code.nope", "", r"t.yaml does not fit .*rows.jsonl: .*no attribute 'nope'"),
        ("filter_list: [{name: x, filter: [{function: regexx}]}]", "", "t.yaml does not fit .*'regexx'"),
        ("foo_bar: 1", "", "t.yaml does not fit .*unexpected keyword argument 'foo_bar'"),
        ("", "dataset", "t.yaml has no dataset_path; give local files with data"),
        ("metadata: {rows: 999}", "", "metadata.rows is 999, and there are 1 items"),
    ],
)
def test_a_yaml_that_lm_eval_cannot_build(tmp_path: Path, more: str, drop: str, message: str) -> None:
    with pytest.raises(TaskError, match=message) as error:
        load(find_task(own(tmp_path, more, drop)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "metric_list: [{metric: f1, aggregation: f1}]",
            r"metric 'f1' cannot score an answer \(a (list|tuple) is no num",
        ),
        (
            "metric_list: [{metric: exact_macth, aggregation: mean}]",
            r"metric 'exact_macth' cannot score an answer \(TypeError",
        ),
        ("filter_list: [{name: x, filter: [{function: regex, regex_pattern: '('}]}]", r"\(.*unterminated subpattern"),
        ("filter_list: [{name: x, filter: [{function: take_first_k, k: 2}]}]", "at least 2 responses"),
        ("process_results: !function code.docs", r"metric .* cannot score an answer \(TypeError"),
    ],
)
def test_a_metric_that_gives_no_number_is_named_before_any_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, message: str
) -> None:
    monkeypatch.setenv("HF_EVALUATE_OFFLINE", "1")  # where lm-eval looks for a metric that it does not know
    with pytest.raises(TaskError, match=message) as error:
        load(find_task(own(tmp_path, more)))
    assert "task " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, ""])
def test_a_data_file_of_a_yaml_that_is_absent_or_empty_is_named(tmp_path: Path, content: str | None) -> None:
    spec, rows = find_task(own(tmp_path)), tmp_path / "rows.jsonl"
    rows.unlink()
    if content is not None:
        rows.write_text(content)
    with pytest.raises(TaskError, match=r"rows.jsonl' of t.yaml does not exist|rows.jsonl: has no rows"):
        source_of(spec, {})


def test_columns_of_unlike_values_that_no_template_reads_do_not_matter(tmp_path: Path) -> None:
    for number, unread in enumerate((({"a": 1}, [1]), ("x", 1))):
        rows = tmp_path / f"{number}.jsonl"
        rows.write_text("\n".join(line(problem="p", answer="1", level=each) for each in unread))
        assert len(load(find_task("math500"), str(rows)).every()) == 2
    rows = tmp_path / "f.jsonl"
    rows.write_text(line(problem=["p", 1], answer="1"))
    with pytest.raises(TaskError, match=r"f.jsonl: field 'problem' has values of unlike types"):
        load(find_task("math500"), str(rows))


def test_an_unreachable_hub_says_how_to_give_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    message = (
        r"data set 'SaylorTwift/bbh' could not be reached \(.*\); give local files with data: \{bbh/snarks: PATH\}"
    )
    with pytest.raises(TaskError, match=message):
        check_reachable([find_task("tiny/word_sorting"), find_task("bbh/snarks")])
    with pytest.raises(TaskError, match=r"'UWNSL/.*long_cot' could .* with data: \{published/long: PATH\}"):
        check_reachable([published_spec("long")])
    (tmp_path / "SaylorTwift___bbh").mkdir()
    check_reachable([find_task("bbh/snarks")])


def test_the_loader_says_the_same_offline() -> None:
    code = (
        "from capgap_ray.catalog.tasks import find_task; from capgap_ray.tasks import load\n"
        "try: load(find_task('math500'))\nexcept ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin", "HF_HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "data set 'HuggingFaceH4/MATH-500' could not be reached" in done.stdout
    assert done.stdout.strip().endswith("give local files with data: {math500: PATH}")


def test_published_rationales_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(line(problem="p", solution="long thought", answer="1"))
    for name in PUBLISHED:
        (only,) = published_rationales(name, str(tmp_path))
        assert (only.messages[0].content, only.completion) == ("p", "long thought")
        assert only.teacher == PUBLISHED[name].teacher
    with pytest.raises(TaskError, match="'medium' is unknown; known: short, long"):
        published_rationales("medium")
