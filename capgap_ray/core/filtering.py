"""Filtering: which rationales become training data, and why each other one was dropped.

The default keeps what a teacher itself got right (own-correct). The cross-teacher intersection is an
ablation that removes the stronger teacher's extra data, so it is an explicit arm only (paper, appendix C).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from capgap_ray.records import FilterReport, Rationale


def filter_rationales(
    by_teacher: Mapping[str, Sequence[Rationale]], teacher: str, *, across_teachers: bool
) -> tuple[list[Rationale], FilterReport]:
    """Return the teacher's kept rationales of one task, in input order, and the counts.

    Kept is what has the outcome `right`; with `across_teachers` only on items for which every teacher of
    the mapping has a right rationale (any sample). So a teacher that produced nothing must still be
    there, with an empty sequence; otherwise it would not restrict the others. The report's task is ""
    where no teacher has any rationale.

    Raises ValueError for a teacher that is not in the mapping, a rationale under another teacher's name,
    several tasks, or an (example_id, sample) that occurs twice for one teacher.
    """
    if teacher not in by_teacher:
        raise ValueError(
            f"no entry for teacher {teacher!r}; there are {', '.join(sorted(by_teacher)) or 'none'}. "
            "Give a teacher without rationales an empty sequence."
        )
    task = _one_task(by_teacher)
    right_items = {name: {r.example_id for r in rows if r.outcome == "right"} for name, rows in by_teacher.items()}
    everyones = set.intersection(*right_items.values())

    seen = by_teacher[teacher]
    outcomes = Counter(r.outcome for r in seen)
    right = [r for r in seen if r.outcome == "right"]
    kept = [r for r in right if r.example_id in everyones] if across_teachers else right
    report = FilterReport(
        teacher=teacher,
        task=task,
        seen=len(seen),
        kept=len(kept),
        dropped_wrong=outcomes["wrong"],
        dropped_unparsable=outcomes["unparsable"],
        dropped_truncated=outcomes["truncated"],
        dropped_by_other_teacher=len(right) - len(kept),
    )
    return kept, report


def _one_task(by_teacher: Mapping[str, Sequence[Rationale]]) -> str:
    tasks = set()
    for name, rows in by_teacher.items():
        keys = set()
        for row in rows:
            if row.teacher != name:
                raise ValueError(f"a rationale of teacher {row.teacher!r} stands under {name!r}")
            if (row.example_id, row.sample) in keys:
                raise ValueError(f"teacher {name!r}: item {row.example_id!r}, sample {row.sample} occurs twice")
            keys.add((row.example_id, row.sample))
            tasks.add(row.task)
    if len(tasks) > 1:
        raise ValueError(f"filter one task at a time; these rationales are of {', '.join(sorted(tasks))}")
    return tasks.pop() if tasks else ""
