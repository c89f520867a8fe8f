"""What an engine on GPUs is started with, checked by vLLM on a machine that has none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_vllms_own_checks_take_what_a_gpu_engine_is_started_with() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.ray.gpu_engine_config", "capgap_ray/tiny/models/tiny-student-0.5m"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("MADE ")] or [done.stderr[-2000:]]
    made = json.loads(line.removeprefix("MADE "))
    found = {name: (each["executor"], each["workers"]) for name, each in made.items()}
    assert found == {
        "one": ("uni", 1),
        "two": ("mp", 2),
        "tensor": ("ray", 4),
        "both": ("ray", 8),
        "adapters": ("uni", 1),
        "shared": ("uni", 1),
    }
    assert {name: each["share"] for name, each in made.items()} == dict.fromkeys(made, 0.92) | {"shared": 0.4}
    for each in made.values():
        assert each["graphs"]
        assert each["chunked"]
        assert each["prefixes"]
        assert each["extension"].endswith("WeightReloader")
