"""The calculation that a text ends in."""

from __future__ import annotations

import pytest

from capgap_ray.core.calculations import final_result

ENDS = [
    ("Total distance = 180 km, total time = 3 h.\nAverage speed = 180/3 = 60 km/h", "60"),
    ("So each has 12 + 4 = 16. The elder one → 16 years old", "16"),
    ("g(2) = 3(4) - 2\n= 12 - 2\n= 10", "10"),
    ("P = 3/8 × 2/7\n  = 6/56\n  = 3/28\n  ≈ 0.107", "3/28"),
    # it does not hold: the value is cut, or wrong
    ("Total = 45.\nEach gets 45/3 = 1", None),
    # the unit is cut
    ("Speed = 60/3 = 20 km.\nThe rest = 20/2 = 10 kilom", None),
    # it stands beside others, draws on nothing, or is an item of a list
    ("Boxes: 4 × 3 = 12\nBags: 5 × 2 = 10", None),
    ("It holds 12. We need more. 5 × 2 = 10 litres", None),
    ("Sum = 40 + 5 = 45\n- Half of it: 90/2 = 45", None),
    # a step, something to be solved, maths that is open, a text that goes on
    ("Sum = 40.\nFirst 40/2 = 20", None),
    ("We begin with the sum 4 + 5 = 9. 9/3 = 3", None),
    ("Sum = 40.\n2x + 4 = 40", None),
    ("Sum = 4.\n$3(4)^2 = 48", None),
    ("Sum = 40.\nThe rest is 40 - 10 = 30 miles from the", None),
]


@pytest.mark.parametrize(("text", "result"), ENDS)
def test_final_result(text: str, result: str | None) -> None:
    assert final_result(text) == result
