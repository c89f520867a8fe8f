"""lm-eval's sample logs, scored as the ancestor repository scores them, defects included, into files like its own.

The second of its two steps (`math_metric_llm_eval_general.py`, `math_metric_gsm8k.py` of Small-Model-Learnability-Gap
at 814cf97); the first is lm-eval itself or `jobs/evaluate.py --log-samples`. Nothing else of this project scores so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import StatisticsError, fmean
from typing import Any

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
Ask = Callable[[Sequence[str]], Sequence[str | None]]
"""The judge: raw prompts, chat template included, to replies; None where it gave none. Never called with no prompt."""


def read_rows(folder: Path, task: str) -> list[Row]:
    """The rows of every sample file of the task, rule-scored, in the order of file names.

    Raises TaskError that names the file and row, and AncestorAborts where the ancestor's script would end.
    """
    names = _logs(folder, task)
    if not names:
        raise TaskError(f"{folder}: there is no file samples_{task}*; run lm-eval with --log_samples")
    items = []
    for name in names:
        for number, row in _samples(folder / name):
            try:
                doc, response = row["doc"], row["resps"][0][0]
            except (KeyError, IndexError, TypeError):
                raise TaskError(f"{folder / name}, row {number}: is no sample of lm-eval (doc, resps)") from None
            items.append((*problem_and_gold(name, doc), response))
    return rule_rows(items)


def _logs(folder: Path, task: str) -> list[str]:
    return matching(task, sorted(path.name for path in folder.iterdir()))


def _samples(path: Path) -> Iterator[tuple[int, Any]]:
    """The log's rows, numbered from 1. A file's lines end at line feeds only: answers may hold U+2028 and the like."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield number, json.loads(line)
            except ValueError:
                raise TaskError(f"{path}, row {number}: is no sample of lm-eval (JSON)") from None


def gsm8k_values(folder: Path) -> dict[str, float]:
    """Results file -> its flexible accuracy on GSM8K, as the ancestor's other script takes it.

    `jobs/evaluate.py` writes no results file. Where there is none, the same mean is taken of each sample log.
    """
    found = {}
    for path in sorted(folder.glob("results_*.json")):
        try:
            found[path.name] = json.loads(path.read_text())["results"]["gsm8k_cot_zeroshot"][
                "exact_match,flexible-extract"
            ]
        except (ValueError, KeyError, TypeError):
            raise TaskError(f"{path}: has no results of gsm8k_cot_zeroshot") from None
    return found or _logged_gsm8k(folder)


def _logged_gsm8k(folder: Path) -> dict[str, float]:
    found = {}
    for name in _logs(folder, GSM8K):
        try:
            rows = [row for _, row in _samples(folder / name) if row["filter"] == "flexible-extract"]
            found[name] = fmean(row["exact_match"] for row in rows)
        except (KeyError, TypeError, StatisticsError):
            raise TaskError(f"{folder / name}: has no rows of the filter flexible-extract with exact_match") from None
    if not found:
        raise TaskError(f"{folder}: there is no file results_*.json and none samples_gsm8k*")
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
