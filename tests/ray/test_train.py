"""A `train` step through Ray: trained, killed and gone on with, and what is left in the store."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

sys.path.insert(0, str(Path(__file__).parents[1] / "stages"))
from sft_ranks import STUDENT, examples

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreUnavailable
from capgap_ray.rows import to_row
from capgap_ray.settings import Resources, Sft
from capgap_ray.stages.cluster import cluster
from capgap_ray.stages.crew import Crew
from capgap_ray.stages.train import PROGRESS, build_checkpoint, train_job

RESOURCES = Resources(worker_cpus=0.9, save_every=3)

drill = pytest.mark.skipif(
    "CAPGAP_DRILLS" not in os.environ, reason="half a minute: CAPGAP_DRILLS=1 runs it; so do the fault drills"
)


def step(store: Store, sft: dict[str, Any], rows: int = 80) -> Step:
    """A train step whose mixture is built."""
    mixture = Step(stage="mix", version=1, params={"rows": rows}, label="made")
    store.build_rows(mixture, lambda: ([to_row(row) for row in examples(rows)], {}))
    recipe = {"cutoff_tokens": 1024, "precision": "float32", "workers": 2, "learning_rate": 1e-3, "epochs": 1, **sft}
    params = {"student": "tiny", "sft": Sft.model_validate(recipe).model_dump(mode="json")}
    return Step(stage="train", version=1, params=params, inputs=(mixture,), label="cell")


@pytest.fixture(scope="module")
def crew() -> Any:
    with cluster(RESOURCES, 2):
        made = Crew(2, RESOURCES, train_job)
        yield lambda workers: made
        made.close()


def worker_of(store: Path) -> int:
    """Process id of a training worker."""
    for process in psutil.Process().children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()):
                return process.pid
        except psutil.NoSuchProcess:
            continue
    raise AssertionError("no training worker runs")


@drill
def test_what_the_workers_of_a_dead_trial_held_is_free_again(crew: Any) -> None:
    class Trial:  # in here, so that Ray sends it by value
        """Drives a crew, as a trial's process does."""

        def train(self, resources: Resources) -> Any:
            self.crew = Crew(1, resources, lambda job: os.getpid())
            return self.crew.train({})

    free = ray.cluster_resources()["CPU"] - 2 * RESOURCES.worker_cpus
    greedy = RESOURCES.model_copy(update={"worker_cpus": 0.6 * free})  # two of them do not fit
    first, second = (ray.remote(Trial).options(num_cpus=0).remote() for _ in range(2))
    assert ray.get(first.train.remote(greedy), timeout=60)
    ray.kill(first)
    assert ray.get(second.train.remote(greedy), timeout=90)
    ray.kill(second)


def test_a_killed_worker_costs_nothing_but_time(crew: Any, tmp_path: Path) -> None:
    undisturbed, killed = Store(str(tmp_path / "undisturbed")), Store(str(tmp_path / "killed"))
    sft = {
        "method": "lora",
        "lora": {"dropout": 0.1},
        "validation": {"share": 0.05, "every": 5},
        "checkpoints": {"at": [2]},
    }
    one, other = step(undisturbed, sft), step(killed, sft)
    build_checkpoint(undisturbed, one, STUDENT, RESOURCES, crew)

    def kill() -> None:
        latest = tmp_path / "killed" / other.address / "state/latest.json"
        while not latest.exists():
            time.sleep(0.05)
        os.kill(worker_of(tmp_path), signal.SIGKILL)

    assassin = threading.Thread(target=kill, daemon=True)
    assassin.start()
    build_checkpoint(killed, other, STUDENT, RESOURCES, crew)
    assassin.join(1)
    assert not assassin.is_alive()

    expected, found = undisturbed.record(one), killed.record(other)
    assert expected is not None
    assert found is not None
    assert expected.summary["resumed_from"] == 0
    assert found.summary["resumed_from"] >= 3
    for field in ("losses", "validation_losses", "canary", "updates", "supervised_tokens"):
        assert found.summary[field] == expected.summary[field], field
    folder = tmp_path / "killed" / killed.folder(other)
    assert {"model.safetensors", "config.json", "tokenizer.json", "adapter"} <= {each.name for each in folder.iterdir()}
    assert list((folder / "tensorboard").glob("events.*"))
    assert (folder / "update-000002/model.safetensors").is_file()
    assert (folder / "model.safetensors").read_bytes() == (
        tmp_path / "undisturbed" / undisturbed.folder(one) / "model.safetensors"
    ).read_bytes()
    assert not (tmp_path / "killed" / other.address / "state").exists(), "states go when the result is there"
    progress = json.loads((tmp_path / "killed" / other.address / PROGRESS).read_text())
    assert progress["update"] == progress["updates"] == found.summary["updates"]


@drill
def test_a_worker_that_fails_alone_costs_a_start_and_one_that_hangs_is_ended(
    crew: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: dict[str, Any]) -> int:
        import torch.distributed as dist

        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
        failed = Path(job["failed"])
        if dist.get_rank() == 1 and not failed.exists():
            failed.touch()
            raise StoreUnavailable("rank-1.json cannot be read (SlowDown)")
        Path(job["reached"]).touch()
        if dist.get_rank() == 0 or not job.get("hangs"):
            dist.barrier()  # in which the other one waits for who failed, or hangs
        else:
            time.sleep(3600)
        return os.getpid()

    made = Crew(2, RESOURCES.model_copy(update={"worker_cpus": 0.1}), work)
    job = {"failed": str(tmp_path / "failed"), "reached": str(tmp_path / "reached")}
    pid = made.train(job)
    assert psutil.pid_exists(pid)
    hanging = {**job, "reached": str(tmp_path / "hanging"), "hangs": True}
    ray.get(made._desk.add.remote(hanging))  # for which nobody waits any more
    while not Path(hanging["reached"]).exists():
        time.sleep(0.05)
    monkeypatch.setattr("capgap_ray.stages.crew._GOING_S", 1.0)
    made.close()
    assert not made.stands
    assert not psutil.pid_exists(pid)


def test_what_cannot_be_trained_is_named_before_a_worker_starts(crew: Any, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"sft\.batch: 5x4 on 2 workers takes 40 rows per update"):
        build_checkpoint(store, step(store, {"batch": "5x4"}, rows=30), STUDENT, RESOURCES, crew)
    assert time.monotonic() - begun < 30
