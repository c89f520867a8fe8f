"""Rows of the tiny tasks for lm-eval's `custom_dataset`: one function per task file beside this one."""

from functools import partial
from typing import Any

from capgap_ray.tiny.procedural import task_items


def _dataset(task: str, **_metadata: object) -> dict[str, Any]:
    """One split `test` of 1,000 rows; lm-eval passes the YAML's metadata, which changes nothing here."""
    from datasets import Dataset

    rows = [
        {
            "input": item.question,
            "target": item.target,
            "choices": list(item.choices),
            "short_cot": item.short_cot,
            "long_cot": item.long_cot,
        }
        for item in task_items(task)
    ]
    return {"test": Dataset.from_list(rows)}


tracking_shuffled_objects_three_objects = partial(_dataset, "tracking_shuffled_objects_three_objects")
dyck_languages = partial(_dataset, "dyck_languages")
word_sorting = partial(_dataset, "word_sorting")
logical_deduction_three_objects = partial(_dataset, "logical_deduction_three_objects")
boolean_expressions = partial(_dataset, "boolean_expressions")
temporal_sequences = partial(_dataset, "temporal_sequences")
