"""Results made elsewhere: every format gives the same arms, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from capgap_ray.core.arms import item_means
from capgap_ray.core.findings import Table, find, nothing_compared
from capgap_ray.results_file import ResultsError, read

HEAD = "task,student,teacher,item,correct\n"


def csv(tmp_path: Path, text: str, head: str = HEAD) -> str:
    path = tmp_path / "results.csv"
    path.write_text(head + text)
    return str(path)


def arms_of(table: Table) -> dict[tuple[str, ...], list[float]]:
    return {(a.task, *a.key): [round(float(v), 6) for v in item_means(a)] for a in table.arms}


def test_every_format_is_read_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {
            "task": task,
            "student": student,
            "teacher": teacher,
            "item": item,
            "correct": int(rng.random() < 0.5),
            "seed": seed,
        }
        for task in ("a", "b")
        for student in ("0.5B", "3B")
        for teacher, seeds in (("", [0]), ("small", [1, 2]), ("large", [1, 2]))
        for seed in seeds
        for item in range(9, 16)
    ]
    table = pa.Table.from_pylist(rows)
    pa.parquet.write_table(table, tmp_path / "r.parquet")
    pa.csv.write_csv(table, tmp_path / "r.csv")
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps({**r, "correct": bool(r["correct"])}) for r in rows))
    tables = [read(str(tmp_path / f"r.{suffix}")) for suffix in ("parquet", "csv", "jsonl")]
    assert arms_of(tables[0]) == arms_of(tables[1]) == arms_of(tables[2])
    assert len(tables[0].arms) == 12
    assert tables[0].rows == len(rows)
    assert tables[0].sizes == {"0.5B": 0.5, "3B": 3.0}
    distilled = [a for a in tables[1].arms if a.teacher]
    assert {a.runs for a in distilled} == {("1", "2")}
    assert {a.scores.shape for a in distilled} == {(7, 2)}
    assert find(tables[0]) == find(tables[1])


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    lines = [f"t,s,{teacher},{item},{(item + len(teacher)) % 2}" for teacher in ("", "x") for item in range(20)]
    first = read(csv(tmp_path, "\n".join(lines)))
    second = read(csv(tmp_path, "\n".join(lines[::-1])))
    (forward,), (backward,) = (find(table).efficacy for table in (first, second))
    assert forward.comparison == backward.comparison


def test_items_are_names_and_samples_are_averaged(tmp_path: Path) -> None:
    text = "t,s,,007,1,0\nt,s,,007,0,1\nt,s,,7,1,0\nt,s,,7,,1\n"
    (arm,) = read(csv(tmp_path, text, HEAD[:-1] + ",sample\n")).arms
    assert sorted(item_means(arm)) == [0.5, 1.0], "item 007 is not item 7; an unscored sample is left out"
    assert arm.grain == 0.5


def test_empty_correct_is_unscored_and_words_are_read(tmp_path: Path) -> None:
    (arm,) = read(csv(tmp_path, "t,s,,a,\nt,s,,b,True\nt,s,,c,FALSE\nt,s,,d,0.25\nt,s,,e,NA\n")).arms
    assert arm.unscored == 2
    assert arm.accuracy == pytest.approx((1 + 0 + 0.25) / 3)


@pytest.mark.parametrize("word", ["", "None", "null", "NaN", "NA", "untouched"])
def test_other_words_for_no_teacher(tmp_path: Path, word: str) -> None:
    (arm,) = read(csv(tmp_path, f"t,s,{word},a,1\n")).arms
    assert arm.teacher == ""


def test_sizes_from_a_column_with_and_without_unit(tmp_path: Path) -> None:
    text = "t,tall,,a,1,3\nt,small,,a,1,0.5B\nt,odd,,a,1,1\nt,odd,,b,1,2\n"
    table = read(csv(tmp_path, text, HEAD[:-1] + ",size\n"))
    assert table.sizes == {"tall": 3.0, "small": 0.5, "odd": None}
    assert any("odd has 2 sizes" in note for note in table.notes)


def test_outcomes_and_tokens_are_used(tmp_path: Path) -> None:
    head = HEAD[:-1] + ",outcome,tokens\n"
    text = "t,s,,a,0,unparsable,10\nt,s,,b,1,right,30\nt,s,x,a,1,right,50\nt,s,x,b,1,right,70\n"
    (only,) = find(read(csv(tmp_path, text, head))).efficacy
    assert only.parts is not None
    assert (only.parts.unparsable_before, only.parts.unparsable_after, only.parts.format) == (0.5, 0.0, 0.5)
    found = find(read(csv(tmp_path, text, head)))
    assert [each.tokens for each in found.arms] == [20, 60]
    assert any("60 tokens per answer against 20" in reason for reason in found.recommendations[0].reasons)


def test_other_columns_are_said_not_to_be_used(tmp_path: Path) -> None:
    notes = read(csv(tmp_path, "t,s,,a,1,x\n", HEAD[:-1] + ",strategy\n")).notes
    assert any("columns not used: strategy" in note for note in notes)


def test_other_prompts_are_refused(tmp_path: Path) -> None:
    text = "t,s,,a,1,p\nt,s,,b,1,q\nt,s,x,a,1,p\nt,s,x,b,1,OTHER\n"
    found = find(read(csv(tmp_path, text, HEAD[:-1] + ",prompt\n")))
    assert not found.efficacy
    assert any("measured with another prompt" in reason for reason in found.refused)


def test_one_item_under_two_prompts_is_refused(tmp_path: Path) -> None:
    """Whichever seed's row comes last must not speak for the other."""
    text = "t,s,,a,1,p,\nt,s,,b,1,p,\nt,s,x,a,1,OTHER,1\nt,s,x,b,1,p,1\nt,s,x,a,1,p,2\nt,s,x,b,1,p,2\n"
    found = find(read(csv(tmp_path, text, HEAD[:-1] + ",prompt,seed\n")))
    assert not found.efficacy
    assert any("item 'a' was answered with more than one prompt; use one" in reason for reason in found.refused)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("all,s,,a,1\nu,s,,a,1\n", "column 'task' holds 'all', the name of what is pooled here; take out rows"),
        ("t,all,,a,1\n", "column 'student' holds 'all'.*or rename the student"),
        ("t,s,,a,1\nt,s,,,1\n", "column 'item' is empty in some rows"),
        ("t,s,,a,maybe\n", "column 'correct' holds 'maybe', expected 0, 1, true, false or empty"),
        ("t,,x,a,1\n", "column 'student' is empty in some rows"),
        ("t,s,,,1\n", "column 'item' is empty in some rows"),
        ("t,s,,a,2\n", "correct 2 is outside 0 to 1"),
        ("t,s,,a,-1\n", "correct -1 is outside 0 to 1"),
        ("t,s,,a,inf\n", "column 'correct' holds 'inf'"),
        ("t,s,,a,1\nt,s,,a,0\n", "item 'a' occurs more than once"),
        ("t,s,,a,1,9\n", "cannot be read as .csv"),
    ],
)
def test_what_leaves_nothing_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        read(csv(tmp_path, text))


def test_missing_columns_and_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="column 'teacher' is missing"):
        read(csv(tmp_path, "t,s,1\n", "task,student,correct\n"))
    with pytest.raises(ResultsError, match="no such file"):
        read(str(tmp_path / "none.csv"))
    for name, content in (("r.parquet", b"junk"), ("r.jsonl", b"{"), ("r.txt", b"x"), ("z.csv", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ResultsError, match=name):
            read(str(tmp_path / name))
    with pytest.raises(ResultsError, match="'correct' occurs more than once"):
        read(csv(tmp_path, "t,s,,a,1,1\n", HEAD[:-1] + ",Correct\n"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": "2020-01-01"}, "column 'correct' holds timestamp.*, expected numbers"),
        ({"tokens": "2020-01-01"}, "column 'tokens' holds timestamp.*, expected numbers"),
        ({"size": 0}, "column 'size' holds 0, expected billions of parameters, above 0, or empty"),
        ({"size": "-7"}, "column 'size' holds -7"),
    ],
)
def test_values_of_another_kind_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "r.jsonl").write_text(
        json.dumps({"task": "t", "student": "s", "teacher": "", "item": 1, "correct": 1} | change)
    )
    with pytest.raises(ResultsError, match=message):
        read(str(tmp_path / "r.jsonl"))


def test_items_may_be_huge_numbers(tmp_path: Path) -> None:
    rows = [{"task": "t", "student": "s", "teacher": "", "item": 1e300 * i, "correct": 1} for i in (1, 2)]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read(str(tmp_path / "r.jsonl")).arms[0].n == 2


def test_a_bad_arm_is_refused_and_the_rest_stands(tmp_path: Path) -> None:
    text = "t,s,,a,1\nt,s,,b,0\nt,s,x,a,1\nt,s,x,a,0\nt,s,y,a,1\nt,s,y,b,1\n"
    table = read(csv(tmp_path, text))
    assert [a.teacher for a in table.arms] == ["", "y"]
    assert len(table.refused) == 1
    assert "item 'a' occurs more than once (1 such rows)" in table.refused[0]
    assert "`seed`" in table.refused[0]
    assert [e.teacher for e in find(table).efficacy] == ["y"]


def test_answers_missing_in_one_seed_are_unscored(tmp_path: Path) -> None:
    text = "t,s,x,a,1,1\nt,s,x,b,0,1\nt,s,x,a,1,2\n"
    table = read(csv(tmp_path, text, HEAD[:-1] + ",seed\n"))
    assert any("1 answers are missing in some of 2 seeds" in note for note in table.notes)
    assert np.isnan(table.arms[0].scores).sum() == 1


def test_rows_without_items_are_accuracies(tmp_path: Path) -> None:
    text = "".join(f"t,s,{teacher},{i % 2}\n" for teacher in ("", "x") for i in range(10))
    table = read(csv(tmp_path, text, "task,student,teacher,correct\n"))
    assert any("column 'item' is missing" in note for note in table.notes)
    found = find(table)
    assert found.level == "aggregated"
    assert found.efficacy[0].comparison.test == "unpaired, from accuracies"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("t,s,x,51.0,100", "accuracy 51 is outside 0 to 1; give shares, 0.51 for 51 %"),
        ("t,s,x,-0.1,100", "accuracy -0.1 is outside 0 to 1"),
        ("t,s,x,0.5,-5", "n -5 is not a number of items"),
        ("t,s,x,0.5,0", "n 0 is not a number of items"),
        ("t,s,x,0.5,10.5", "n 10.5 is not a number of items"),
        ("t,s,x,,100", "accuracy is empty"),
        ("t,s,x,0.5,", "n nan is not a number of items"),
        ("t,s,x,0.5,100\nt,s,x,0.6,100", "2 rows for one arm; tell training runs apart with a column `seed`"),
    ],
)
def test_bad_accuracies_are_refused_by_arm(tmp_path: Path, row: str, message: str) -> None:
    head = "task,student,teacher,accuracy,n\n"
    table = read(csv(tmp_path, f"t,s,,0.4,100\nt,s,y,0.7,100\n{row}\n", head))
    assert len(table.refused) == 1
    assert message in table.refused[0]
    found = find(table)
    assert [e.teacher for e in found.efficacy] == ["y"]
    assert any("accuracies without items: nothing is paired" in note for note in found.notes)
    with pytest.raises(ResultsError, match="nothing can be said"):
        read(csv(tmp_path, f"{row}\n", head))


def test_other_numbers_of_items_are_refused(tmp_path: Path) -> None:
    head = "task,student,teacher,accuracy,n\n"
    found = find(read(csv(tmp_path, "t,s,,0.4,250\nt,s,y,0.7,100\n", head)))
    assert "has 100 items and t: s untouched 250" in (nothing_compared(found) or "")


def test_seeds_of_accuracies_are_runs(tmp_path: Path) -> None:
    head = "task,student,teacher,accuracy,n,seed\n"
    text = "t,s,,0.4,100,\n" + "".join(f"t,s,{t},{a},100,{i}\n" for t in "xy" for i, a in enumerate((0.5, 0.7, 0.6)))
    found = find(read(csv(tmp_path, text, head)))
    teacher = found.advantages[0].comparison
    alone = find(read(csv(tmp_path, "t,s,x,0.6,100,\nt,s,y,0.6,100,\n", head))).advantages[0].comparison
    assert teacher.runs == 3
    assert teacher.ci_high is not None
    assert alone.ci_high is not None
    assert teacher.ci_high > 1.3 * alone.ci_high, "runs that differ widen the interval"
