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

HUB_LICENSES = frozenset(
    """afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
    eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
    intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit
    mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail openrail++ osl-3.0 other pddl postgresql
    unlicense wtfpl zlib""".split()  # noqa: SIM905 (ten lines, not seventy)
)
"""What a card's `license` may say; the Hub refuses a card with anything else and takes its name as `license_name`.
From the filter of licences on huggingface.co/models."""

_DATA_LICENSES = {"tiny": "apache-2.0", "bbh": "mit", "gsm8k": "mit", "gsm8k-upstream": "mit", "math": "mit"}
"""Task, or its group, -> licence of its items."""


def data_license(task: str) -> str | None:
    """The licence of a catalogued task's items, `bbh/snarks` or `gsm8k`; None where it is not known."""
    return _DATA_LICENSES.get(task, _DATA_LICENSES.get(task.partition("/")[0]))
