"""What a comparison of two answers says."""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """Whether two answers are equal, and the rule that decided."""

    equal: bool | None
    """None: these rules cannot tell."""
    how: str
