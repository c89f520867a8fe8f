"""lm-eval's sample logs, scored as the ancestor repository scores them, defects included, into files like its own.

The second of its two steps (`math_metric_llm_eval_general.py`, `math_metric_gsm8k.py` of Small-Model-Learnability-Gap
at 814cf97); the first is lm-eval itself or `jobs/evaluate.py --log-samples`. Nothing else of this project scores so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from capgap_ray.core.ancestor import (
    Row,
    is_problematic,
    judge_input,
    matching,
    problem_and_gold,
    rule_rows,
    with_replies,
)
from capgap_ray.core.task_spec import TaskError
from capgap_ray.report.ancestor_files import gsm8k_files, task_files

GSM8K = "gsm8k"
Ask = Callable[[Sequence[str]], Sequence[str]]
"""The judge: raw prompts, chat template included, to replies. Never called with no prompt."""


def read_rows(folder: Path, task: str) -> list[Row]:
    """The rows of every sample file of the task, rule-scored, in the order of file names.

    Raises TaskError that names the file and row, and AncestorAborts where the ancestor's script would end.
    """
    names = matching(task, sorted(path.name for path in folder.iterdir()))
    if not names:
        raise TaskError(f"{folder}: there is no file samples_{task}*; run lm-eval with --log_samples")
    items = []
    for name in names:
        for number, line in enumerate((folder / name).read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                doc, response = row["doc"], row["resps"][0][0]
            except (ValueError, KeyError, IndexError, TypeError):
                raise TaskError(f"{folder / name}, row {number}: is no sample of lm-eval (doc, resps)") from None
            items.append((*problem_and_gold(name, doc), response))
    return rule_rows(items)


def gsm8k_values(folder: Path) -> dict[str, float]:
    """Results file -> its flexible accuracy on GSM8K, as the ancestor's other script takes it."""
    found = {}
    for path in sorted(folder.glob("results_*.json")):
        try:
            found[path.name] = json.loads(path.read_text())["results"]["gsm8k_cot_zeroshot"][
                "exact_match,flexible-extract"
            ]
        except (ValueError, KeyError, TypeError):
            raise TaskError(f"{path}: has no results of gsm8k_cot_zeroshot") from None
    if not found:
        raise TaskError(f"{folder}: there is no file results_*.json")
    return found


def ancestor_files(folder: Path, tasks: Sequence[str], ask: Ask) -> Mapping[str, str]:
    """File name -> text, for every task; the judge is asked about all boxed answers that the rules reject."""
    files: dict[str, str] = {}
    rows = {task: read_rows(folder, task) for task in tasks if task != GSM8K}
    prompts = {(task, row["index"]): judge_input(row) for task in rows for row in rows[task] if is_problematic(row)}
    replies = dict(zip(prompts, ask(list(prompts.values())), strict=True)) if prompts else {}
    for task in tasks:
        if task == GSM8K:
            files |= gsm8k_files(gsm8k_values(folder))
        else:
            answers = {index: reply for (asked, index), reply in replies.items() if asked == task}
            files |= task_files(task, with_replies(rows[task], answers))
    return files
