"""Ray's real autoscaler: from zero nodes up for the work, a node taken back in the middle of training, down to zero."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from capgap_ray import stages  # sets the token that this process and its children share
from tests.ray.shrunken import ROOT, SHRUNKEN

HEAD = "f" * 51 + "00000"
"""The name by which Ray's local node provider knows the head."""
SAVE_EVERY = 10


class Autoscaled:
    """A head without CPUs, and up to so many nodes of one CPU each that come when they are asked for."""

    def __init__(self, folder: Path, nodes: int) -> None:
        port, dashboard = free_ports()
        self.address = f"127.0.0.1:{port}"
        config = {
            "cluster_name": "local",
            **{name: {} for name in ("auth", "docker", "file_mounts")},
            **{name: [] for name in ("cluster_synced_files", "initialization_commands", "setup_commands")},
            **{f"{who}_{what}": [] for who in ("head", "worker") for what in ("setup_commands", "start_ray_commands")},
            "max_workers": nodes,
            "upscaling_speed": 10.0,
            "idle_timeout_minutes": 0.1,
            "head_node_type": "ray.head.default",
            "provider": {
                "type": "external",
                "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
                "gcs_address": self.address,
                "launch_multiple": True,
                "disable_node_updaters": True,  # nothing is installed over SSH
                "head_node_id": HEAD,
            },
            "available_node_types": {
                "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "small-spot": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": nodes},
            },
        }
        (folder / "cluster.json").write_text(json.dumps(config))
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--num-cpus=0"]
        command += [f"--port={port}", "--node-ip-address=127.0.0.1"]
        command += [f"--autoscaling-config={folder / 'cluster.json'}", f"--temp-dir={folder}"]
        # Of a training whose driver was lost, Ray frees the workers' places only where there is a dashboard.
        command += [f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", "--object-store-memory=150000000"]
        environment = {
            **os.environ,
            **stages.SETTINGS,
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
        }
        with (folder / "head.log").open("wb") as log:
            self._head = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def nodes(self) -> list[psutil.Process]:
        """The raylets of the nodes that came: children of the autoscaler, in which the provider runs."""
        found = []
        for process in psutil.Process(self._head.pid).children(recursive=True):
            try:
                if process.cmdline()[0].endswith("raylet/raylet") and process.ppid() != self._head.pid:
                    found.append(process)
            except (psutil.Error, IndexError):
                continue
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        family = psutil.Process(self._head.pid).children(recursive=True)
        for process in [psutil.Process(self._head.pid), *family]:
            kill(process)
        self._head.wait()


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def wait_for(what: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.fixture
def autoscaled(request: pytest.FixtureRequest) -> Iterator[Autoscaled]:
    with tempfile.TemporaryDirectory(prefix="cg", dir="/tmp", ignore_cleanup_errors=True) as folder:  # for sockets
        cluster = Autoscaled(Path(folder), request.param)
        yield cluster
        print((Path(folder) / "head.log").read_text()[-3000:])  # shown where the test fails
        cluster.close()


@pytest.mark.parametrize("autoscaled", [2], indirect=True)
@pytest.mark.skipif("CAPGAP_DRILLS" not in os.environ, reason="takes two to five minutes: CAPGAP_DRILLS=1 runs it")
def test_nodes_come_from_zero_are_taken_back_in_training_and_go(autoscaled: Autoscaled, tmp_path: Path) -> None:
    overrides = [*SHRUNKEN, "axes={}", "sft.batch=2x1", f"resources.save_every={SAVE_EVERY}"]
    overrides += ["resources.engines=1", "resources.trials=1"]
    command = [sys.executable, "jobs/train.py", "--store", str(tmp_path)]
    command += [word for override in overrides for word in ("--set", override)]
    environment = {**os.environ, "RAY_ADDRESS": autoscaled.address}
    time.sleep(3)
    assert autoscaled.nodes() == []
    with (tmp_path / "job.log").open("wb") as log:
        job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    seen = 0

    def output() -> str:
        nonlocal seen
        seen = max(seen, len(autoscaled.nodes()))
        text = (tmp_path / "job.log").read_text()
        assert job.poll() in (None, 0), text
        return text

    def state() -> int:
        """Updates of the newest state that training could go on from."""
        output()
        found = list(tmp_path.glob("train/*/state/latest.json"))
        return int(json.loads(found[0].read_text())["updates"]) if found else 0

    try:
        wait_for(autoscaled.nodes, 60)
        wait_for(lambda: "mixtures" in output(), 120)
        before = wait_for(state, 90)
        taken = autoscaled.nodes()
        assert len(taken) == 2
        for process in [taken[0], *taken[0].children(recursive=True)]:
            kill(process)
        wait_for(lambda: job.poll() is not None, 150)
        assert job.returncode == 0, output()
    finally:
        job.kill()
        job.wait()
        print((tmp_path / "job.log").read_text())
    summary = json.loads(next(tmp_path.glob("train/*/record.json")).read_text())["summary"]
    assert before <= summary["resumed_from"] < summary["updates"]
    assert seen == 2
    # Where its controller was on the lost node, what Ray Train asked the autoscaler for stands for three minutes more.
    wait_for(lambda: not autoscaled.nodes(), 240)


@pytest.mark.parametrize("autoscaled", [3], indirect=True)
@pytest.mark.skipif("CAPGAP_DRILLS" not in os.environ, reason="takes two minutes: CAPGAP_DRILLS=1 runs it")
def test_nodes_come_for_a_search(autoscaled: Autoscaled, tmp_path: Path) -> None:
    """A search is refused by the nodes that are up, and runs by those that are said to come."""
    overrides = [*SHRUNKEN, "resources.engines=1", "resources.trials=1", "sft.workers=1", "sft.epochs=1"]
    overrides += ["name=search", "development={items: 20}", "search={searcher: random, scheduler: none, trials: 1}"]
    overrides += ["axes={sft.learning_rate: [1.0e-3, 3.0e-3]}", "sft.checkpoints={every: 6}"]
    command = [sys.executable, "jobs/grid.py", "--store", str(tmp_path / "store")]
    command += [word for override in overrides for word in ("--set", override)]
    environment = {**os.environ, "RAY_ADDRESS": autoscaled.address}
    time.sleep(3)

    def job(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)

    refused = job()
    assert refused.returncode != 0
    assert "unless resources.grows_to: {cpus: N, gpus: N} says what it may have" in refused.stderr, (
        refused.stdout + refused.stderr
    )
    done = job("--set", "resources.grows_to={cpus: 3}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "store").glob("search/*/trials/*.json"))) == 1
