"""A request that no node can ever hold is refused, one that only waits is not. Pure: no cluster is started."""

from __future__ import annotations

from typing import Any

import pytest

from capgap_ray.experiment import Resources
from capgap_ray.stages.cluster import unsatisfiable

HEAD = {"CPU": 8.0}
SMALL = {"CPU": 16.0, "GPU": 1.0}
LARGE = {"CPU": 96.0, "GPU": 8.0}


@pytest.mark.parametrize(
    "asked",
    [
        {"engines": 50, "engine_gpus": 8},  # waits its turn
        {"engine_gpus": 1, "worker_gpus": 1, "trials": 9},
        {"engine_cpus": 96, "engine_gpus": 8},
        {"engine_cpus": 90},  # no GPU asked: fits a node that has some
        {"parallel": {"m": {"tensor": 8, "pipeline": 4}}},  # over as many nodes as it takes
    ],
)
def test_what_may_wait_is_not_refused(asked: dict[str, Any]) -> None:
    assert unsatisfiable(Resources(**asked), [HEAD, SMALL, LARGE]) is None


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"engine_gpus": 16}, "engine_gpus 16"),
        ({"parallel": {"m": {"tensor": 8}}, "engine_cpus": 97}, "engine_cpus 97 with resources.engine_gpus"),
        ({"worker_gpus": 9}, "worker_gpus 9"),
        ({"engine_cpus": 97}, "engine_cpus 97"),
        ({"worker_cpus": 200, "worker_gpus": 1}, "worker_cpus 200"),
    ],
)
def test_what_can_never_be_is_one_line_with_its_field(asked: dict[str, Any], word: str) -> None:
    why = unsatisfiable(Resources(**asked), [HEAD, SMALL, LARGE])
    assert why is not None
    assert word in why
    assert "largest: 96 CPUs, 8 GPUs" in why
    assert "\n" not in why


def test_both_must_be_on_one_node() -> None:
    why = unsatisfiable(Resources(engine_cpus=32, engine_gpus=1), [{"CPU": 64.0}, SMALL])
    assert why is not None
    assert "no node" in why


def test_no_node_at_all() -> None:
    assert "0 CPUs" in str(unsatisfiable(Resources(), []))
