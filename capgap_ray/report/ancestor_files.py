"""The ancestor repository's result files: rows of `core/ancestor.py` in, file name -> JSON text out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from capgap_ray.core.ancestor import Row, is_problematic, summary

_PROBLEMATIC = (
    *("index", "problem", "resp_answer", "answer"),
    *("exact_match", "llm_check_result", "llm_check_result_reason"),
)


def task_files(task: str, rows: Sequence[Row]) -> dict[str, str]:
    """Return the three files of a judged task, with the script's fields, order and layout.

    `problematic_instances_*` holds every boxed answer that the rules reject, judged right or wrong, whatever
    the ancestor's README says. Raises AncestorAborts for no rows.
    """
    problematic = [{name: row[name] for name in _PROBLEMATIC} for row in rows if is_problematic(row)]
    return {
        f"problematic_instances_{task}.json": _json(problematic),
        f"llm_answer_check_result_{task}.json": _json(list(rows)),
        f"summary_results_{task}.json": _json(summary(rows)),
    }


def gsm8k_files(flexible: Mapping[str, float]) -> dict[str, str]:
    """Return GSM8K's one file: `flexible` maps a results file's name to its `exact_match,flexible-extract`."""
    results = {name: {"gsm8k_cot_zeroshot": value} for name, value in flexible.items()}
    return {"summary_results_gsm8k.json": _json({"results": results})}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=4)
