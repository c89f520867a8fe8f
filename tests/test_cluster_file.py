"""cluster.yaml passes the schema in Ray's wheel, jobs/kuberay.yaml has KubeRay's fields; neither opens anything."""

from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from capgap_ray.catalog.accelerators import ACCELERATORS
from capgap_ray.catalog.models import MODELS

ROOT = Path(__file__).parents[1]
RAY = "2.60.0"


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return loaded


@pytest.fixture
def gcp(cluster: dict[str, Any]) -> dict[str, Any]:
    """With the commented alternative in its place."""
    text = (ROOT / "cluster.yaml").read_text()
    commented = text[text.index("# provider: {type: gcp") :]
    return {**cluster, **yaml.safe_load("\n".join(line[2:] for line in commented.splitlines()))}


@pytest.fixture
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "jobs" / "kuberay.yaml").read_text())
    return loaded


def schema() -> dict[str, Any]:
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_it_fits_rays_schema(cluster: dict[str, Any], gcp: dict[str, Any]) -> None:
    jsonschema.validate(cluster, schema())
    jsonschema.validate(gcp, schema())
    wrong = copy.deepcopy(cluster)
    wrong["available_node_types"]["large"]["max_worker"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema())


def test_rays_own_check_takes_it(tmp_path: Path, cluster: dict[str, Any], gcp: dict[str, Any]) -> None:
    """Ray's check as `ray up` runs it, without credentials. In a process of its own: this one does without Ray."""
    code = (
        "import json, sys\n"
        "from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "for each in json.load(open(sys.argv[1])): validate_config(prepare_config(each))\n"
    )
    (tmp_path / "clusters.json").write_text(json.dumps([cluster, gcp]))
    command = [sys.executable, "-c", code, str(tmp_path / "clusters.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_workers_come_from_zero_and_go(cluster: dict[str, Any], gcp: dict[str, Any]) -> None:
    for config in (cluster, gcp):
        workers = {
            name: node for name, node in config["available_node_types"].items() if name != config["head_node_type"]
        }
        assert all(node["min_workers"] == 0 < node["max_workers"] for node in workers.values())
        assert {node["resources"]["GPU"] for node in workers.values()} == {1, 8}
        assert config["available_node_types"][config["head_node_type"]]["resources"]["GPU"] == 0
    assert 0 < cluster["idle_timeout_minutes"] <= 10


def test_only_small_nodes_may_be_taken_back(cluster: dict[str, Any]) -> None:
    spot = {name for name, node in cluster["available_node_types"].items() if "spot" in json.dumps(node)}
    assert spot == {"small-spot"}


def test_nodes_have_an_image_of_this_age_and_room_for_the_weights(cluster: dict[str, Any]) -> None:
    """Ray's default image (`DEFAULT_AMI_NAME` in its AWS provider) has neither Python 3.11 nor a driver for CUDA 13."""
    nodes = {name: node["node_config"] for name, node in cluster["available_node_types"].items()}
    assert all(node["ImageId"] for node in nodes.values())
    teachers = sum(MODELS[name].parameters or 0 for name in ("qwen2.5-14b", "qwen2.5-32b", "qwen2.5-72b"))
    (disk,) = nodes["large"]["BlockDeviceMappings"]
    assert disk["Ebs"]["VolumeSize"] > 2 * teachers / 1e9 + 100
    assert disk["Ebs"]["Throughput"] <= disk["Ebs"]["Iops"] / 4, "what EC2 allows"


CARDS = {
    "p5.4xlarge": "H100-80GB",
    "p4de.24xlarge": "A100-80GB",
    "a2-ultragpu-1g": "A100-80GB",
    "a2-ultragpu-8g": "A100-80GB",
}


def test_every_gpu_is_as_large_as_the_shipped_experiments_plan_with(
    cluster: dict[str, Any], gcp: dict[str, Any]
) -> None:
    texts = [file.read_text() for file in (ROOT / "jobs" / "experiments").glob("*.yaml")]
    planned = {(yaml.safe_load(text).get("resources") or {}).get("accelerator") for text in texts} - {None}
    for config in (cluster, gcp):
        nodes = [node for node in config["available_node_types"].values() if node["resources"]["GPU"]]
        for node in nodes:
            made = node["node_config"]
            card = ACCELERATORS[CARDS[made.get("InstanceType") or made["machineType"]]]
            assert all(card.gigabytes >= ACCELERATORS[name].gigabytes for name in planned)


def test_it_opens_nothing(cluster: dict[str, Any]) -> None:
    """Ray's own default lets the world reach SSH: `_create_default_ssh_inbound_rules` in its AWS provider."""
    for node in cluster["available_node_types"].values():
        assert node["node_config"]["SecurityGroupIds"]
    assert "security_group" not in cluster["provider"]
    text = (ROOT / "cluster.yaml").read_text()
    assert "0.0.0.0" not in text
    assert "--dashboard-host=127.0.0.1" in " ".join(cluster["head_start_ray_commands"])


def test_a_submitted_job_finds_the_environments_python(cluster: dict[str, Any], tmp_path: Path) -> None:
    """Ray runs `python jobs/grid.py` with the PATH that the head was started with."""
    folder = tmp_path / "capgap-ray" / ".venv" / "bin"
    folder.mkdir(parents=True)
    for program in ("ray", "python"):
        (folder / program).write_text("#!/bin/sh\ncommand -v python\n")
        (folder / program).chmod(0o755)
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        done = subprocess.run(
            ["bash", "-c", commands[-1]],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.stdout == f"{folder}/python\n", done.stderr


def test_every_node_asks_for_the_token(cluster: dict[str, Any]) -> None:
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        starts = [command for command in commands if "ray start" in command]
        assert starts
        assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "~/.ray/auth_token" in cluster["file_mounts"]
    assert "chmod 600 ~/.ray/auth_token" in cluster["setup_commands"]


# --- Kubernetes: fields of the CRD, from ray-operator/apis/ray/v1/{rayjob,raycluster}_types.go of KubeRay and its
# reference, https://docs.ray.io/en/master/cluster/kubernetes/references/api.html (v1.6.2)

JOB_FIELDS = {
    *("activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata"),
    *("clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId"),
    *("submissionMode", "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished"),
    *("shutdownAfterJobFinishes", "suspend"),
}
CLUSTER_FIELDS = {
    *("headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions"),
    *("headServiceAnnotations", "suspend", "authOptions", "gcsFaultToleranceOptions", "managedBy"),
}
WORKER_FIELDS = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template"),
    *("scaleStrategy", "suspend", "idleTimeoutSeconds"),
}
WORKER_REQUIRED = {"groupName", "minReplicas", "maxReplicas", "template"}


def test_the_ray_job_has_the_crds_fields(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec, made = job["spec"], job["spec"]["rayClusterSpec"]
    assert spec.keys() <= JOB_FIELDS
    assert made.keys() <= CLUSTER_FIELDS
    assert "template" in made["headGroupSpec"]
    for group in made["workerGroupSpecs"]:
        assert WORKER_REQUIRED <= group.keys() <= WORKER_FIELDS
    for group in (made["headGroupSpec"], *made["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "a map of strings"
        for container in group["template"]["spec"]["containers"]:
            assert {"name", "image", "resources"} <= container.keys()
            assert container["resources"]["requests"] == container["resources"]["limits"]
    assert isinstance(json.loads(spec["entrypointResources"]), dict)


def test_the_ray_job_scales_from_zero_and_asks_for_the_token(job: dict[str, Any]) -> None:
    made = job["spec"]["rayClusterSpec"]
    assert made["rayVersion"] == RAY
    assert f"=={RAY}" in (ROOT / "pyproject.toml").read_text()
    assert made["enableInTreeAutoscaling"] is True
    assert made["authOptions"] == {"mode": "token"}
    assert made["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert all(group["minReplicas"] == 0 < group["maxReplicas"] for group in made["workerGroupSpecs"])
    assert job["spec"]["shutdownAfterJobFinishes"] is True


def test_the_ray_job_runs_an_experiment_that_exists(job: dict[str, Any]) -> None:
    python, script, experiment, *rest = job["spec"]["entrypoint"].split()
    assert python.endswith("python")
    assert (ROOT / script).is_file()
    assert (ROOT / experiment).is_file()
    assert rest[0] == "--store"
    assert rest[1].startswith("s3://")
