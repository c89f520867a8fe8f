"""The ancestor's second step on lm-eval's sample logs: which files are read, what is asked, what is written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from capgap_ray.core.ancestor import AncestorAborts
from capgap_ray.core.task_spec import TaskError
from capgap_ray.parity import ancestor_files, read_rows

GSM8K_FILTERS = ("flexible-extract", "strict-match")


def logged(folder: Path, name: str, docs: Sequence[tuple[dict[str, Any], str]]) -> None:
    rows = [{"doc_id": i, "doc": doc, "resps": [[text]]} for i, (doc, text) in enumerate(docs)]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def nobody(prompts: Sequence[str]) -> Sequence[str]:
    raise AssertionError(f"asked {len(prompts)} prompts")


def test_rejected_boxes_go_to_the_judge_and_nothing_else(tmp_path: Path) -> None:
    docs = [
        ({"problem": "p0", "answer": 27.0}, "so \\boxed{27}"),  # a float gold never equals text: defect 1
        ({"problem": "p1", "answer": "5"}, "so \\boxed{5}"),
        ({"problem": "p2", "answer": "6"}, "six"),
    ]
    logged(tmp_path, "samples_AMC_2026.jsonl", docs)
    seen: list[str] = []

    def judge(prompts: Sequence[str]) -> Sequence[str]:
        seen.extend(prompts)
        return [" True"] * len(prompts)

    files = ancestor_files(tmp_path, ["AMC"], judge)
    assert len(seen) == 1
    assert "Correct Answer: 27.0\nModel's Generated Answer: 27\n" in seen[0]
    summary = json.loads(files["summary_results_AMC.json"])
    assert summary == {
        "none_resp_answer_count": 1,
        "exact_match_accuracy": pytest.approx(1 / 3),
        "llm_check_result_accuracy": pytest.approx(2 / 3),
        "none_llm_check_result_count": 0,
    }
    (problematic,) = json.loads(files["problematic_instances_AMC.json"])
    assert problematic["llm_check_result_reason"] == "LLM check result: True"
    assert [row["index"] for row in json.loads(files["llm_answer_check_result_AMC.json"])] == [0, 1, 2]


def test_no_judge_where_nothing_is_rejected(tmp_path: Path) -> None:
    logged(tmp_path, "samples_AIME_2026.jsonl", [({"problem": "p", "answer": "5"}, "\\boxed{5}")])
    assert (
        json.loads(ancestor_files(tmp_path, ["AIME"], nobody)["summary_results_AIME.json"])["exact_match_accuracy"] == 1
    )


def test_a_prefix_reads_every_file_that_begins_so(tmp_path: Path) -> None:
    for name in ("samples_hendrycks_math_500_b.jsonl", "samples_hendrycks_math_a.jsonl"):
        logged(tmp_path, name, [({"problem": name, "answer": "1"}, "\\boxed{1}")])
    assert len(read_rows(tmp_path, "hendrycks_math")) == 2
    assert len(read_rows(tmp_path, "hendrycks_math_500")) == 1


def test_gsm8k_takes_the_harness_value(tmp_path: Path) -> None:
    results = {"results": {"gsm8k_cot_zeroshot": {"exact_match,flexible-extract": 0.5}}}
    (tmp_path / "results_2026.json").write_text(json.dumps(results))
    files = ancestor_files(tmp_path, ["gsm8k"], nobody)
    expected = {"results": {"results_2026.json": {"gsm8k_cot_zeroshot": 0.5}}}
    assert json.loads(files["summary_results_gsm8k.json"]) == expected


def test_gsm8k_is_the_mean_of_our_own_log_where_there_is_no_results_file(tmp_path: Path) -> None:
    """`jobs/evaluate.py --log-samples` writes one row per item and filter, and no results file."""
    rows = [{"filter": name, "exact_match": right} for right in (1.0, 0.0, 0.0, 1.0) for name in GSM8K_FILTERS]
    rows[1]["exact_match"] = 0.0  # by the strict filter, which does not count
    name = "samples_gsm8k_2026.jsonl"
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ancestor_files(tmp_path, ["gsm8k"], nobody)
    assert json.loads(files["summary_results_gsm8k.json"]) == {"results": {name: {"gsm8k_cot_zeroshot": 0.5}}}
    (tmp_path / name).write_text(json.dumps({"filter": "none", "exact_match": 1.0}) + "\n")
    with pytest.raises(TaskError, match=r"samples_gsm8k_2026\.jsonl: has no rows of the filter flexible-extract"):
        ancestor_files(tmp_path, ["gsm8k"], nobody)
    (tmp_path / name).unlink()
    with pytest.raises(TaskError, match=r"no file results_\*\.json and none samples_gsm8k\*"):
        ancestor_files(tmp_path, ["gsm8k"], nobody)


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_a_log_is_cut_at_line_feeds_only(tmp_path: Path, end: str) -> None:
    rows = [{"doc": {"problem": f"p{end}", "answer": "1"}, "resps": [[f"a{end}b \\boxed{{1}} {end}"]]}] * 2
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "samples_AMC_1.jsonl").write_text(text, encoding="utf-8")
    assert [row["exact_match"] for row in read_rows(tmp_path, "AMC")] == [1, 1]


def test_an_answer_that_the_judge_cannot_be_asked_about_has_no_verdict(tmp_path: Path) -> None:
    logged(tmp_path, "samples_AMC_1.jsonl", [({"problem": "p", "answer": "1"}, "\\boxed{2}")])
    files = ancestor_files(tmp_path, ["AMC"], lambda prompts: [None])
    assert json.loads(files["summary_results_AMC.json"])["none_llm_check_result_count"] == 1
    (row,) = json.loads(files["problematic_instances_AMC.json"])
    assert (row["llm_check_result"], row["llm_check_result_reason"]) == (None, "the judge gave no reply")


@pytest.mark.parametrize(
    ("text", "says"), [("{", "row 1"), ('{"doc": {}}\n', "row 1"), ('{"doc": {}, "resps": []}\n', "row 1")]
)
def test_a_damaged_log_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "samples_AMC_1.jsonl").write_text(text)
    with pytest.raises(TaskError, match=f"samples_AMC_1.jsonl, {says}"):
        read_rows(tmp_path, "AMC")


def test_what_the_ancestor_cannot_read_ends_as_there(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no file samples_AMC"):
        read_rows(tmp_path, "AMC")
    logged(tmp_path, "samples_gsm8k_cot_zeroshot_1.jsonl", [({"question": "q", "answer": "5"}, "\\boxed{5}")])
    with pytest.raises(AncestorAborts, match="no field 'problem'"):
        read_rows(tmp_path, "gsm8k_cot_zeroshot")
