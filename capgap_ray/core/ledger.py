"""The ledger: what the results cost to make, and how much of that was wasted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from capgap_ray.records import Accuracy, Score, StudentCost, TeacherCost


def teacher_cost(teacher: str, scores: Sequence[Score], device_hours: float) -> TeacherCost:
    """Return what one teacher's rationales of training items cost; `device_hours` is for all of them.

    A right rationale that repeats an earlier right one of the same item word for word is a duplicate.
    """
    tokens = {outcome: 0 for outcome in ("right", "wrong", "unparsable", "truncated")}
    right, duplicate = 0, 0
    seen: set[tuple[str, str, str]] = set()
    for score in scores:
        tokens[score.outcome] += score.completion_tokens
        if score.outcome == "right":
            right += 1
            text = (score.task, score.example_id, score.text)
            duplicate += score.completion_tokens if text in seen else 0
            seen.add(text)
    total = sum(tokens.values())
    return TeacherCost(
        teacher=teacher,
        rationales=len(scores),
        right=right,
        tokens=total,
        tokens_wrong=tokens["wrong"],
        tokens_unparsable=tokens["unparsable"],
        tokens_cut=tokens["truncated"],
        tokens_duplicate=duplicate,
        device_hours=device_hours,
        tokens_per_right=total / right if right else None,
        device_seconds_per_right=3600 * device_hours / right if right else None,
    )


def student_cost(
    student: str, arm: str, label: str, accuracies: Iterable[Accuracy], device_hours: float
) -> StudentCost:
    """Return what one arm cost and gained, over all its test items; `label` is the arm's name in `accuracies`."""
    tested = [row for row in accuracies if row.part == "test" and row.student == student]
    mine = [row for row in tested if row.role == "distilled" and row.arm == label]
    tasks = {row.task for row in mine}
    untouched = [row for row in tested if row.role == "baseline" and row.task in tasks]
    before, after = _share(untouched), _share(mine)
    gain = None if before is None or after is None else 100 * (after - before)
    tokens = _tokens(mine)
    assert tokens is not None, f"{label} has no accuracies"
    return StudentCost(
        student=student,
        arm=arm,
        device_hours=device_hours,
        gain_points=gain,
        device_hours_per_point=device_hours / gain if gain is not None and gain > 0 else None,
        mean_tokens=tokens,
        untouched_mean_tokens=_tokens(untouched),
    )


def _share(rows: Sequence[Accuracy]) -> float | None:
    n = sum(row.n for row in rows)
    return sum(row.right for row in rows) / n if n else None


def _tokens(rows: Sequence[Accuracy]) -> float | None:
    n = sum(row.n for row in rows)
    return sum(row.mean_tokens * row.n for row in rows) / n if n else None
