"""Runs trainings on real ranks: processes joined by Gloo, DeepSpeed ZeRO-3 in each. No Ray."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from capgap_ray.records import Message, TrainingExample
from capgap_ray.tiny.procedural import DESCRIPTIONS, TASKS, one_item

ROOT = Path(__file__).parents[2]
STUDENT = str(ROOT / "capgap_ray/tiny/models/tiny-student-0.15m")


def examples(rows: int, long_share: float = 0.2, seed: int = 0, most_checks: int = 1) -> list[TrainingExample]:
    """Rationales of the embedded tasks, short and long ones mixed.

    With `most_checks` above 1 a long one checks itself up to so many times, which makes lengths very uneven.
    """
    rng = random.Random(seed)
    made = []
    for number in range(rows):
        task = TASKS[number % len(TASKS)]
        item = one_item(task, rng)
        made.append(
            TrainingExample(
                example_id=f"row-{number}",
                task=task,
                teacher="made",
                messages=(
                    Message(role="system", content=DESCRIPTIONS[task]),
                    Message(role="user", content=f"Q: {item.question}\nA: Let's think step by step.\n"),
                ),
                completion=item.long_cot * rng.randint(1, most_checks) if rng.random() < long_share else item.short_cot,
            )
        )
    return made


def train(
    workers: int, jobs: Sequence[dict[str, Any]], timeout: float = 200, **environment: str
) -> list[dict[str, Any]]:
    """Run the jobs one after the other on `workers` ranks, with changes of the environment; returns rank 0's results.

    A job has `store`, `sft` (its fields) and optionally `source`, `template`, `rows`, `save_every`, `updates`, `die_at`
    (update at whose beginning the last rank kills itself, which ends everything), `room` (an update, and the bytes that
    a file may have from then on, as if the disk were full), `bucket` (elements; as if the model were large), `apart`
    (as if every rank had a machine of its own; before jobs without it, whose memory stays shared), `gpu` (DeepSpeed is
    configured as on GPUs) and `weigh` (`live_bytes` of all tensors that are left after it are told, too). A result is
    `Trained` as a dictionary, or {"error": text}.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.stages.sft_ranks",
                str(rank),
                str(workers),
                str(port),
                json.dumps(list(jobs)),
            ],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(workers)
    ]
    try:
        outputs = [each.communicate(timeout=timeout) for each in started]
    finally:
        for each in started:
            each.kill()
    results = [json.loads(line[7:]) for line in outputs[0][0].splitlines() if line.startswith("RESULT ")]
    if len(results) < len(jobs) and not any("die_at" in job for job in jobs):
        raise AssertionError("\n".join(error[-3000:] for _, error in outputs))
    return results


def main() -> None:
    rank, world, port = map(int, sys.argv[1:4])
    jobs = json.loads(sys.argv[4])
    from capgap_ray.stages.sft_engine import ENVIRONMENT_CPU

    os.environ.update(ENVIRONMENT_CPU)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    for job in jobs:
        try:
            result = one(job, rank == world - 1)
            if job.get("weigh"):
                result["live_bytes"] = live_bytes()
        except (ValueError, ArithmeticError) as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        if rank == 0:
            print("RESULT " + json.dumps(result), flush=True)


def one(job: dict[str, Any], is_last: bool) -> dict[str, Any]:
    from capgap_ray.artifacts.store import Store
    from capgap_ray.settings import Sft
    from capgap_ray.stages import sft_engine, sft_shared, sft_worker

    place = sft_worker.Place(
        store=Store(job["store"]),
        address="train/cell",
        attempt=f"train/cell/attempts/{job.get('attempt', 'one')}",
        save_every=job.get("save_every", 1000),
    )
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    true_share = sft_shared.share
    true_update, true_bucket, true_settings = sft_engine.Trainer.update, sft_engine._BUCKET, sft_engine._settings
    first: list[float] = []

    def deadly(self: Any, update: list[int], number: int, rate: float) -> float | None:
        first.append(time.time())
        if is_last and number == job.get("die_at"):
            os.kill(os.getpid(), 9)
        if "room" in job and number >= job["room"][0]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (job["room"][1], unlimited[1]))
        return true_update(self, update, number, rate)

    sft_engine.Trainer.update = deadly  # type: ignore[method-assign]
    sft_engine._BUCKET = job.get("bucket", true_bucket)
    if job.get("apart"):
        sft_shared.share = lambda: None
    if job.get("gpu"):
        sft_engine._settings = lambda sft, world, on_gpu: true_settings(sft, world, True)
    try:
        trained = sft_worker.run(
            job.get("source", STUDENT),
            examples(**job.get("rows", {"rows": 48})),
            Sft.model_validate(job["sft"]),
            place,
            sft_worker.Length(updates=job.get("updates")),
            template=job.get("template"),
        )
    finally:
        sft_engine.Trainer.update = true_update  # type: ignore[method-assign]
        sft_engine._BUCKET, sft_engine._settings = true_bucket, true_settings
        sft_shared.share = true_share
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    started = psutil.Process().create_time()
    return {**dataclasses.asdict(trained), "seconds_from_process_start": first[0] - started}


def live_bytes() -> int:
    """Of all tensors that something holds."""
    import torch

    gc.collect()
    storages = [each.untyped_storage() for each in gc.get_objects() if isinstance(each, torch.Tensor)]
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


if __name__ == "__main__":
    main()
