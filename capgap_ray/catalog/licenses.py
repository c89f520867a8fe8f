"""Under which licences the catalogued models and data are published, in the Hub's words, as their own pages say.

What is not listed is not known, and a model card then says so.
"""

from __future__ import annotations

MODEL_LICENSES: dict[str, str] = {
    **dict.fromkeys(
        (
            "tiny-teacher-small",
            "tiny-teacher-large",
            "tiny-teacher-long",
            "tiny-student-0.15m",
            "tiny-student-0.5m",
            "tiny-judge",
            "qwen2.5-0.5b",
            "qwen2.5-1.5b",
            "qwen2.5-7b",
            "qwen2.5-14b",
            "qwen2.5-32b",
            "qwq-32b-preview",
        ),
        "apache-2.0",
    ),
    "qwen2.5-3b": "qwen-research",
    "qwen2.5-72b": "qwen",
    **dict.fromkeys(("gemma-2-9b", "gemma-2-27b"), "gemma"),
}
"""Catalogue name -> licence."""

_DATA_LICENSES = {"tiny": "apache-2.0", "bbh": "mit", "gsm8k": "mit", "gsm8k-upstream": "mit", "math": "mit"}
"""Task, or its group, -> licence of its items."""


def data_license(task: str) -> str | None:
    """The licence of a catalogued task's items, `bbh/snarks` or `gsm8k`; None where it is not known."""
    return _DATA_LICENSES.get(task, _DATA_LICENSES.get(task.partition("/")[0]))
