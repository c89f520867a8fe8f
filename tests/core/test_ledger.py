"""The ledger's sums at values that can be added by hand."""

import dataclasses
from typing import Any

from capgap_ray.core.ledger import student_cost, teacher_cost
from capgap_ray.records import Accuracy, Score


def score(item: str, outcome: Any, tokens: int, text: str = "t") -> Score:
    return Score(
        **{"example_id": item, "task": "a", "model": "m", "target": "x", "text": text, "answer": None},
        **{"finish_reason": "stop", "completion_tokens": tokens, "outcome": outcome},
        **{"strict": 0.0, "flexible": 0.0, "judged": None, "judge_verdict": None},
    )


def accuracy(role: Any, arm: str, task: str, n: int, right: int, tokens: float, **other: Any) -> Accuracy:
    values: dict[str, Any] = {
        **{"task": task, "part": "test", "role": role, "arm": arm, "student": "s", "mixture": None, "batch": None},
        **{"parameters": 1, "n": n, "right": right, "wrong": n - right, "unparsable": 0, "truncated": 0},
        **{"unjudged": 0, "strict": 0.0, "flexible": 0.0, "judged": None, "standard_error": None},
        **{"mean_tokens": tokens, "stop_hits": {}, "chance": None, "at_k": None},
    }
    return Accuracy(**{**values, **other})


def test_wasted_tokens_of_a_teacher() -> None:
    rows = [
        score("1", "right", 100, "one"),
        score("1", "right", 100, "one"),
        score("1", "right", 90, "another"),
        score("2", "right", 100, "one"),  # the same text to another item is no duplicate
        score("3", "wrong", 50),
        score("4", "truncated", 400),
        score("5", "unparsable", 7),
    ]
    cost = teacher_cost("small", rows, device_hours=2.0)
    assert (cost.rationales, cost.right, cost.tokens) == (7, 4, 847)
    assert (cost.tokens_wrong, cost.tokens_cut, cost.tokens_unparsable, cost.tokens_duplicate) == (50, 400, 7, 100)
    assert cost.tokens_per_right == 847 / 4
    assert cost.device_seconds_per_right == 1800


def test_a_teacher_that_solves_nothing_has_no_price_per_trace() -> None:
    cost = teacher_cost("small", [score("1", "wrong", 5)], device_hours=1.0)
    assert (cost.tokens_per_right, cost.device_seconds_per_right) == (None, None)
    assert teacher_cost("small", [], device_hours=0.0).tokens == 0


def test_gain_and_price_per_point_are_pooled_over_items() -> None:
    rows = [
        accuracy("baseline", "s", "a", 100, 20, 30.0),
        accuracy("baseline", "s", "b", 300, 60, 50.0),
        accuracy("baseline", "s", "not tested by the arm", 50, 50, 9.0),
        accuracy("distilled", "s / mix / 2x1", "a", 100, 60, 100.0),
        accuracy("distilled", "s / mix / 2x1", "b", 300, 60, 200.0),
        accuracy("distilled", "s / large / 2x1", "a", 100, 100, 1.0),
        accuracy("distilled", "s / mix / 2x1", "a", 100, 100, 1.0, part="train"),
    ]
    cost = student_cost("s", "mix / 2x1", "s / mix / 2x1", rows, device_hours=5.0)
    assert cost.gain_points is not None and round(cost.gain_points, 9) == 10
    assert cost.device_hours_per_point is not None and round(cost.device_hours_per_point, 9) == 0.5
    assert (cost.mean_tokens, cost.untouched_mean_tokens) == (175.0, 45.0)


def test_a_loss_has_no_price() -> None:
    rows = [accuracy("baseline", "s", "a", 10, 9, 1.0), accuracy("distilled", "s / x", "a", 10, 3, 1.0)]
    cost = student_cost("s", "x", "s / x", rows, device_hours=5.0)
    assert cost.gain_points is not None and cost.gain_points < 0
    assert cost.device_hours_per_point is None
    unknown = student_cost("s", "x", "s / x", [dataclasses.replace(rows[1])], device_hours=5.0)
    assert (unknown.gain_points, unknown.untouched_mean_tokens) == (None, None)
