"""What reads untrusted text has a limit of memory of its own: the host never runs out of it by an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from capgap_ray.killable import Killable

HOG = """
import sys
from capgap_ray.killable import serve
serve(lambda size: len(bytearray(size)), float(sys.argv[1]))
"""


def test_a_question_that_takes_too_much_memory_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hog.py").write_text(HOG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    hog = Killable("hog", seconds=20.0)
    try:
        assert hog.ask(1000) == (1000, None)
        answer, problem = hog.ask(4 * 2**30)
        assert answer is None
        assert problem is not None
        assert "MemoryError" in problem
        assert hog.ask(2000) == (2000, None), "the next question has a worker of its own"
    finally:
        hog.close()
