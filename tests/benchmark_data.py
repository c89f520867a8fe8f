"""Where the benchmark data for tests lies. It is not part of the project; tests that need it skip without it."""

import os
from pathlib import Path

import pytest


def folder() -> Path:
    """The folder `shared/data` beside the checkout, or CAPGAP_TEST_DATA; skips the test if there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    found = Path(os.environ.get("CAPGAP_TEST_DATA", beside))
    if not found.is_dir():
        pytest.skip("benchmark data is not here: set CAPGAP_TEST_DATA to a folder with bbh/, math500.jsonl, ...")
    return found
