"""A request that no node can ever hold is refused, one that only waits is not. Pure: no cluster is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest

from capgap_ray.settings import Resources
from capgap_ray.stages import cluster
from capgap_ray.stages.cluster import fits_both, unsatisfiable, untrainable
from capgap_ray.stages.engine import Layout
from capgap_ray.stages.engine_actor import bundles, placement

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
        ({"parallel": {"m": {"tensor": 16}}}, "engine_gpus 16"),
        ({"parallel": {"m": {"tensor": 8}}, "engine_cpus": 97}, "engine_cpus 97 with resources.engine_gpus"),
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


@pytest.mark.parametrize(
    ("asked", "workers", "trains"),
    [
        ({"worker_gpus": 1}, 8, True),
        ({"worker_gpus": 1}, 9, False),
        ({"worker_gpus": 1, "min_workers": 2}, 9, True),
        ({}, 100, True),  # CPUs are counted, not had
    ],
)
def test_a_training_that_a_machine_can_never_hold(asked: dict[str, Any], workers: int, trains: bool) -> None:
    why = untrainable(Resources(**asked), workers, [LARGE])
    assert (why is None) == trains
    assert why is None or f"sft.workers {workers}" in why


@pytest.mark.parametrize(
    ("up", "grows_to", "joined", "fits"),
    [
        ({"CPU": 5.0, "GPU": 3.0}, None, True, True),
        ({"CPU": 5.0, "GPU": 2.0}, None, True, False),
        ({"CPU": 4.0, "GPU": 3.0}, None, True, False),  # no CPU is left for what only drives
        ({"CPU": 1.0}, {"cpus": 5, "gpus": 3}, True, True),
        ({"CPU": 1.0}, {"cpus": 5, "gpus": 2}, True, False),
        ({"CPU": 1.0}, {"cpus": 5, "gpus": 3}, False, False),  # no node comes to a cluster of this process
        ({"CPU": 5.0, "GPU": 3.0}, {"cpus": 1}, True, True),  # more is up than was said
    ],
)
def test_nodes_that_may_come_count_where_they_are_declared(
    up: dict[str, float], grows_to: dict[str, float] | None, joined: bool, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: up)
    monkeypatch.setattr(cluster, "_joins", lambda: joined)
    resources = Resources(engines=4, min_engines=1, engine_gpus=1, worker_gpus=1, grows_to=grows_to)
    # One engine and two workers, of a CPU and a GPU each; another CPU is somebody else's.
    assert fits_both(resources, 2, {"CPU": 1.0}) == fits


def launched(wanted: list[dict[str, float]], strategy: str) -> dict[str, int]:
    """Node type -> how many Ray's autoscaler brings from nothing for a placement group, of those in cluster.yaml."""
    told = yaml.safe_load((Path(__file__).parents[2] / "cluster.yaml").read_text())["available_node_types"]
    kinds = {
        name: NodeTypeConfig(
            name=name,
            min_worker_nodes=0,
            max_worker_nodes=kind["max_workers"],
            resources=kind["resources"],
            launch_config_hash="",
        )
        for name, kind in told.items()
    }
    near = [(ResourceRequestUtil.PlacementConstraintType.AFFINITY, "group", "")] if strategy == "STRICT_PACK" else []
    group = GangResourceRequest(requests=[ResourceRequestUtil.make(bundle, near) for bundle in wanted])
    asked = SchedulingRequest(
        disable_launch_config_check=True, node_type_configs=kinds, gang_resource_requests=[group], max_num_nodes=12
    )
    return {each.instance_type: each.count for each in ResourceDemandScheduler(None).schedule(asked).to_launch}


@pytest.mark.parametrize("tensor", [2, 4, 8])
def test_layers_that_are_shared_bring_one_node_of_many_gpus(tensor: int) -> None:
    layout = Layout(tensor=tensor, pipeline=1)
    assert launched(bundles(layout, 1), placement(layout)) == {"large": 1}
    assert "large" not in launched(bundles(Layout(tensor=2, pipeline=1), 1), "PACK"), "Ray's own choice for such"
    assert placement(Layout(tensor=tensor, pipeline=2)) == "PACK", "no node may hold all stages"
