"""The table of faults names tests that exist, and each fault once."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d*) ?\| (.+?) \| (.+?) \| `([^`]+)::(\w+)` \|", re.MULTILINE)


def test_the_table_names_tests_that_exist() -> None:
    rows = ROW.findall((ROOT / "tests/operation/README.md").read_text())
    assert sum(bool(row[0]) for row in rows) >= 45, "of the 67"
    for _, fault, _, path, name in rows:
        assert (ROOT / path).is_file(), path
        tree = ast.parse((ROOT / path).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in names, f"{fault}: {path} has no {name}"


def test_each_fault_is_listed_once() -> None:
    numbers = [int(row[0]) for row in ROW.findall((ROOT / "tests/operation/README.md").read_text()) if row[0]]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= 67 for number in numbers)
