"""The judge's probes: balanced, deterministic, and right about what is the same."""

import re
from collections import Counter

import pytest

from capgap_ray.tiny.judge_probes import Probe, judge_user, make_probes


def letters(text: str) -> str:
    """What is left of an answer when its dress is off."""
    for frame in "So the answer is", "the answer is", "Answer:":
        text = text.removeprefix('"').removeprefix(frame)
    return re.sub(r"option|[\s,.*\"()]", "", text.lower()) if text.strip(' ".*')[:1] not in ")]}>" else text


def test_probes_are_balanced_distinct_and_reproducible() -> None:
    probes = make_probes(1000, seed=3)
    assert probes == make_probes(1000, seed=3) != make_probes(1000, seed=4)
    assert Counter(probe.same for probe in probes) == {True: 500, False: 500}
    assert len({(probe.gold, probe.answer) for probe in probes}) == 1000


def test_same_means_same_after_undressing() -> None:
    for probe in make_probes(1000, seed=5):
        if not set(probe.gold) & set("]}>") and not probe.gold.startswith(")"):
            assert (letters(probe.answer) == letters(probe.gold)) == probe.same, probe


def test_user_message_keeps_braces() -> None:
    assert judge_user("} ]", "{answer} }") == (
        "Correct Answer: } ]\nModel's Generated Answer: {answer} }\nDo they mean the same? Your judgement:"
    )


def test_too_many_probes_are_refused() -> None:
    with pytest.raises(ValueError, match="n = 5000"):
        make_probes(5000, seed=0)
    assert isinstance(make_probes(1, seed=0)[0], Probe)
