"""Proxies: rank correlation and regret against cases worked out by hand."""

import pytest

from capgap_ray.core.proxies import TeacherPart, judge_proxies, leads
from capgap_ray.records import Estimated

GAINS = {("t", "s", "a"): 0.1, ("t", "s", "b"): 0.3, ("u", "s", "a"): 0.2, ("u", "s", "b"): 0.15}


def test_a_perfect_proxy_has_no_regret() -> None:
    (found,) = judge_proxies({"yield": {cell: 100 * gain for cell, gain in GAINS.items()}}, GAINS)
    assert (found.cells, found.choices) == (4, 2)
    assert found.rank_correlation == pytest.approx(1.0)
    assert found.regret == 0
    assert found.regret_of_chance == pytest.approx((0.1 + 0.025) / 2)
    assert found.p is not None
    assert found.p > 0.05, "four cells show little"


def test_where_lower_is_better_the_sign_turns() -> None:
    values = {cell: -gain for cell, gain in GAINS.items()}
    (found,) = judge_proxies({"mean trace length": values}, GAINS)
    assert (found.prefers, found.rank_correlation, found.regret) == ("lower", pytest.approx(1.0), 0)
    (wrong,) = judge_proxies({"student loss": {cell: gain for cell, gain in GAINS.items()}}, GAINS)
    assert wrong.regret == pytest.approx((0.2 + 0.05) / 2)


def test_ties_are_decided_at_random() -> None:
    (found,) = judge_proxies({"yield": dict.fromkeys(GAINS, 5.0)}, GAINS)
    assert found.rank_correlation is None
    assert found.regret == found.regret_of_chance


def test_before_any_gain_nothing_is_known() -> None:
    (found,) = judge_proxies({"few-shot gap": {("t", "s", "a"): 0.4}}, {})
    assert (found.cells, found.rank_correlation, found.regret) == (0, None, None)


def test_unknown_proxies_are_named() -> None:
    with pytest.raises(ValueError, match="proxy 'luck' is unknown; known: few-shot gap"):
        judge_proxies({"luck": {}}, {})


def part(share: float, source: str, value: float, error: float | None) -> TeacherPart:
    return TeacherPart(share=share, source=source, measured=Estimated(value=value, error=error))


def mixtures(
    small: float, large: float, error: float | None = 0.1, task: str = "t"
) -> dict[tuple[str, str, str], list[TeacherPart]]:
    """Two teachers alone, and their mixture 4:1."""
    shares = {"small": {"small": 1.0}, "large": {"large": 1.0}, "mix": {"small": 0.8, "large": 0.2}}
    measured = {"small": small, "large": large}
    return {
        (task, "s", name): [part(share, role, measured[role], error) for role, share in of.items()]
        for name, of in shares.items()
    }


def test_the_lead_is_of_the_teacher_that_the_proxy_prefers() -> None:
    (low,) = leads({"rank-surprisal ratio": mixtures(2.0, 3.0)})
    assert (low.student, low.tasks, low.leader, low.sure) == ("s", 1, "small", True)
    assert low.values["mix"].value == pytest.approx(0.8 * 2 + 0.2 * 3)
    assert low.values["mix"].error == pytest.approx((0.08**2 + 0.02**2) ** 0.5)
    (high,) = leads({"yield": mixtures(2.0, 3.0)})
    assert (high.prefers, high.leader) == ("higher", "large")


def test_what_two_mixtures_share_counts_once() -> None:
    """Small against mix differ by a fifth of (small - large), whose error is 0.2 x 0.141: 0.06 is beyond 1.96 of it."""
    (found,) = leads({"trace rank": mixtures(2.0, 2.3)})
    assert found.sure
    (noise,) = leads({"trace rank": mixtures(2.0, 2.25)})
    assert (noise.leader, noise.sure) == ("small", False)


def test_tasks_are_averaged_where_every_teacher_has_a_number() -> None:
    both = mixtures(1.0, 5.0) | mixtures(6.0, 4.0, task="u")
    lacking = {cell: parts for cell, parts in mixtures(0.0, 9.0, task="v").items() if cell[2] != "mix"}
    (found,) = leads({"student loss": both | lacking})
    assert (found.tasks, found.leader) == (2, "small")
    assert found.values["small"].value == pytest.approx(3.5)
    assert found.values["small"].error == pytest.approx((0.05**2 + 0.05**2) ** 0.5), "two tasks, two measurements"


def test_ties_unknown_errors_and_a_single_teacher_decide_nothing() -> None:
    (tie,) = leads({"trace surprisal": mixtures(2.0, 2.0)})
    assert (tie.leader, tie.sure) == (None, False)
    (unknown,) = leads({"trace surprisal": mixtures(2.0, 9.0, error=None)})
    assert (unknown.leader, unknown.sure, unknown.values["mix"].error) == ("small", False, None)
    assert leads({"yield": {("t", "s", "small"): [part(1.0, "small", 5.0, 0.0)]}}) == ()


def test_an_exact_number_is_beyond_noise() -> None:
    (found,) = leads({"yield": mixtures(50.0, 51.0, error=0.0)})
    assert (found.leader, found.sure) == ("large", True)
