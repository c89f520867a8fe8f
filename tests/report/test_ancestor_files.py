"""The ancestor's files: names, fields, order and layout."""

from __future__ import annotations

import json

import pytest

from capgap_ray.core.ancestor import AncestorAborts, rule_rows, with_replies
from capgap_ray.report.ancestor_files import gsm8k_files, task_files


def test_the_three_files_of_a_task() -> None:
    rows = rule_rows([("é?", "5", "\\boxed{5}"), ("p1", 27.0, "\\boxed{27}"), ("p2", "5", "none")])
    files = task_files("AMC", with_replies(rows, {1: "True"}))
    assert list(files) == [
        "problematic_instances_AMC.json",
        "llm_answer_check_result_AMC.json",
        "summary_results_AMC.json",
    ]
    problematic, checked, summary = (json.loads(text) for text in files.values())
    # Defect 22: an answer that the judge accepts is an instance too; fields stand in the script's two orders.
    assert [list(each.items()) for each in problematic] == [
        [
            ("index", 1),
            ("problem", "p1"),
            ("resp_answer", "27"),
            ("answer", 27.0),
            ("exact_match", 0),
            ("llm_check_result", 1),
            ("llm_check_result_reason", "LLM check result: True"),
        ]
    ]
    assert [list(each) for each in checked] == 3 * [
        [
            *("index", "problem", "answer", "resp_answer"),
            *("exact_match", "llm_check_result", "llm_check_result_reason"),
        ]
    ]
    assert checked[2]["resp_answer"] is None
    assert summary == {
        "none_resp_answer_count": 1,
        "exact_match_accuracy": 1 / 3,
        "llm_check_result_accuracy": 2 / 3,
        "none_llm_check_result_count": 0,
    }
    text = files["llm_answer_check_result_AMC.json"]
    assert text.startswith('[\n    {\n        "index": 0,\n        "problem": "é?"'), "indented by four, not escaped"


def test_a_failing_verdict_stays_null() -> None:
    rows = with_replies(rule_rows([("p", "5", "\\boxed{6}")]), {0: "hm"})
    files = task_files("AIME", rows)
    assert json.loads(files["llm_answer_check_result_AIME.json"])[0]["llm_check_result"] is None
    assert json.loads(files["summary_results_AIME.json"])["none_llm_check_result_count"] == 1


def test_nothing_is_not_zero() -> None:
    with pytest.raises(AncestorAborts, match="no row"):
        task_files("AMC", [])


def test_gsm8k_has_one_file_named_without_its_task() -> None:
    files = gsm8k_files({"results_2025.json": 0.5})
    assert list(files) == ["summary_results_gsm8k.json"]
    assert json.loads(files["summary_results_gsm8k.json"]) == {
        "results": {"results_2025.json": {"gsm8k_cot_zeroshot": 0.5}}
    }
