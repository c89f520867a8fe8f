"""A task's filters and metrics on model text in a process that can be killed.

lm-eval runs them in its own process. A metric in Python code, such as Minerva's over sympy, bounds its time by signals,
which fail off the main thread, and nothing bounds its memory; a pattern may take time quadratic in a long text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from capgap_ray.killable import Killable, serve

GRADER_SECONDS = 3.0
"""For one text."""

Graded = dict[str, tuple[Any, dict[str, Any]]]
"""Filter -> what it left of a model's text, and each metric of that; the task's first filter and metric first."""


def grades(task: Any, docs: Sequence[dict[str, Any]], texts: Sequence[Sequence[str]], *, every: bool) -> list[Graded]:
    """lm-eval's own filters and metrics of each item's texts, in this process. `every` filter, or the first only."""
    from lm_eval.api.instance import Instance

    instances = [
        Instance("generate_until", doc, ("", {}), 0, metadata=(task.config.task, index, len(own)), resps=list(own))
        for index, (doc, own) in enumerate(zip(docs, texts, strict=True))
    ]
    for filters in task._filters[: None if every else 1] if instances else ():
        filters.apply(instances)
    return [
        {
            name: (left, {metric: _plain(value) for metric, value in task.process_results(doc, [left]).items()})
            for name, left in instance.filtered_resps.items()
        }
        for doc, instance in zip(docs, instances, strict=True)
    ]


def _plain(value: Any) -> Any:
    """A number as float, NumPy's too; what metrics over the whole task keep of each item, such as BLEU's, as it is."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def graded(
    yaml: Path, multiple_target: int, docs: Sequence[dict[str, Any]], texts: Sequence[Sequence[str]], *, every: bool
) -> list[Graded | str]:
    """As `grades`, by a helper process; in place of what fails or is over its limits, why.

    `multiple_target`: how many golds the task's first item has, as lm-eval counts them.
    """
    found: list[Graded | str] = []
    command = ("capgap_ray.tasks.grader", str(yaml), str(multiple_target))
    with closing(Killable(*command, seconds=GRADER_SECONDS)) as process:
        for doc, own in zip(docs, texts, strict=True):
            answer, problem = process.ask(json.loads(json.dumps(doc, default=str)), own, every)
            found.append(problem or answer)
    return found


def main() -> None:
    task = _without_items(sys.argv[1], int(sys.argv[2]))

    def answer(doc: dict[str, Any], texts: list[str], every: bool) -> Graded:
        task.features = list(doc)
        graded = grades(task, [doc], [texts], every=every)[0]
        return json.loads(json.dumps(graded, default=str))  # type: ignore[no-any-return]

    serve(answer, float(sys.argv[3]))


def _without_items(yaml: str, multiple_target: int) -> Any:
    """The task's filters and metrics; lm-eval wants to see an item when it builds a task, and is shown an empty one."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(yaml, resolve_func=True)
    templates = {key: config.get(key) for key in ("doc_to_target", "doc_to_choice")}
    splits = dict.fromkeys(("training_split", "validation_split", "fewshot_split", "fewshot_config", "process_docs"))
    config |= {**splits, "num_fewshot": 0, "test_split": "test", "metadata": None, "dataset_kwargs": None}
    config |= {"doc_to_text": "", "doc_to_target": "", "doc_to_choice": None}
    task = ConfigurableTask(config=config | {"custom_dataset": lambda: {"test": Dataset.from_dict({"-": [""]})}})
    for key, template in templates.items():
        setattr(task.config, key, template)
    task.multiple_target = multiple_target
    return task


if __name__ == "__main__":
    main()
