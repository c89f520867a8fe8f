"""One real run for all tests that look at such a run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.watching import Watched, watch


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    scratch = Path(tempfile.mkdtemp(prefix="cs", dir="/tmp"))  # short: Ray's sockets lie below it
    yield watch(tmp_path_factory.mktemp("store"), scratch)
    shutil.rmtree(scratch, ignore_errors=True)
