"""The grid: overhead, planning of 10,000 cells, beside the ancestor's way, and 48 trials with failures and a kill.

    python tests/benchmarks/grid.py [--quick] [--only cells|planning|trials] [--peer-environment FOLDER]

- cells: the grid of the tiny experiment, 12 cells (two students, three mixtures, two batches), with as many items as
  there, on four tasks, one training at a time.
  Overhead: wall time of its training stage, Ray's own start excluded, against the sum of the bare training times of its
  cells: from the first to the last update, as the trainer measures them, without start, imports, loading and export.
  It is a start and so much a cell, which are shown: grids of shorter cells have a larger share of it.
  Beside the ancestor's way for the same cells, from training data to judged scores: ours are `jobs/train.py` and then
  `jobs/grid.py`, which also measures every untouched model and writes the report; the ancestor's are one LLaMA-Factory
  process for each cell (two DDP processes over Gloo, which take turns on the cores as ours do), one `lm_eval --model
  vllm` process for each cell and task, and one process for each cell that loads the judge in vLLM and asks it about
  that cell's rejected answers. Processes of one kind differ in weights and data alone: two of the first kind (one of
  each batch, on the mixture) and one of each other kind are run, and the rest counted as long as those. vLLM has its
  own defaults there, as in inference.py.
- planning: processor time and memory of planning 10,000 cells as `--dry-run` does it, process start included.
- trials: 48 trainings in one run. Three of them fail once (committing their checkpoint raises), and the driver is
  killed when half are done; the same command goes on. All 48 checkpoints must be there, and none be made twice.

Ends with one line of JSON. `--quick` runs shrunken versions, for which the goals are not measured.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from inference import MODELS, PLAIN, STUDENT, TASKS, _compiled, _lm_eval, command, show, timed  # noqa: E402
from sft import ONE_THREAD, cache, make_environment  # noqa: E402

from capgap_ray.artifacts.store import RECORD, Store  # noqa: E402

OVERHEAD_GOAL, FASTER_GOAL, SECONDS_GOAL, GIGABYTES_GOAL, TRIALS = 1.5, 12, 5.0, 1.0, 48
FAIL = "CAPGAP_BENCHMARK_FAIL"
"""Environment variable: a folder in which injected failures leave their marks."""


def experiment(**changes: Any) -> dict[str, Any]:
    tree = yaml.safe_load((ROOT / "jobs/experiments/tiny.yaml").read_text())
    return {**tree, "comparisons": [], "tasks": ["tiny/dyck_languages"], **changes}


def run(job: str, tree: dict[str, Any], folder: Path, **environment: str) -> subprocess.Popen[str]:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    command = [sys.executable, str(ROOT / job), str(path), "--store", str(folder / "store")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=env, start_new_session=True)


def checkpoints(folder: Path) -> dict[str, dict[str, Any]]:
    """Label -> record of every training in the store."""
    files = (folder / "store" / "train").glob(f"*/{RECORD}")
    return {record["label"]: record for record in (json.loads(file.read_text()) for file in files)}


# --- twelve cells ----------------------------------------------------------------------------------------


def cells(quick: bool, environment: Path) -> dict[str, Any]:
    tree = experiment(tasks=[f"tiny/{task}" for task in TASKS], selection={"items": 20, "gap_points": -100})
    if quick:
        tree["split"] = {"train": 60, "test": 20}
    tree["resources"] = {**tree["resources"], "trials": 1}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        finished(run("jobs/generate.py", tree, folder))  # rationales are not what is measured
        begun = time.monotonic()
        wall = _training_stage(run("jobs/train.py", tree, folder))
        finished(run("jobs/grid.py", tree, folder))
        ours = time.monotonic() - begun
        records = checkpoints(folder)
        bare = sum(record["summary"]["seconds"] for record in records.values())
        each = statistics.median(record["seconds"] - record["summary"]["seconds"] for record in records.values())
        start = wall - bare - len(records) * each
        show(part="cells", cells=len(records), training_stage_s=wall, bare_s=bare, start_s=start, more_a_cell_s=each)
        factory = [_factory(environment, folder, batch) for batch in ((2, 1), (5, 4))]
        _compiled()
        _judge(folder)  # as above: its graph is in the cache then
        evaluated, tuned = (
            _lm_eval(STUDENT, TASKS[:1], tree["split"]["test"], folder, tuned=tuned) for tuned in (False, True)
        )
        judged = _judge(folder)
    counted = {
        "llama_factory": (len(records), statistics.fmean(factory), len(factory)),
        "lm_eval": (len(records) * len(TASKS), evaluated, 1),
        "judge": (len(records), judged, 1),
    }
    show(part="cells", path="lm_eval with our engine's arguments, not counted", seconds_each=tuned)
    for name, (processes, seconds, measured) in counted.items():
        show(part="cells", path=name, processes=processes, measured=measured, seconds_each=seconds)
    theirs = sum(processes * seconds for processes, seconds, _ in counted.values())
    versions = {name: version(name) for name in ("ray", "torch", "lm-eval")} | {"llamafactory": "0.9.5"}
    show(part="cells", ours_s=ours, theirs_s=theirs, versions=versions)
    return {
        "grid's wall time over the sum of bare training times": (wall / bare, OVERHEAD_GOAL),
        "twelve cells, times faster than the ancestor's way": (theirs / ours, FASTER_GOAL),
    }


def finished(job: subprocess.Popen[str]) -> None:
    out, _ = job.communicate()
    if job.returncode:
        raise SystemExit(f"a job failed with status {job.returncode}:\n{out[-3000:]}")


def _training_stage(job: subprocess.Popen[str]) -> float:
    """Seconds from the line that says Ray has started to the one that says all is trained."""
    assert job.stdout is not None
    begun = wall = None
    for line in job.stdout:
        if line.startswith("ray "):
            begun = time.monotonic()
        if line.startswith("train ") and begun is not None:
            wall = time.monotonic() - begun
    if job.wait() or wall is None:
        raise SystemExit(f"the job failed with status {job.returncode}")
    return wall


def _factory(environment: Path, folder: Path, batch: tuple[int, int]) -> float:
    """Seconds of one LLaMA-Factory process, start included, on the rows of our mixture, saved as it saves them."""
    store = Store(str(folder / "store"))
    (record,) = (each for each in (folder / "store" / "mix").glob(f"mix-*/{RECORD}"))
    address, tables = f"mix/{record.parent.name}", json.loads(record.read_text())["tables"]
    rows = [
        {
            "system": row["messages"][0]["content"],
            "instruction": row["messages"][1]["content"],
            "input": "",
            "output": row["completion"],
        }
        for table in tables
        for row in store.read_rows(f"{address}/{table}")
    ]
    (folder / "rows.json").write_text(json.dumps(rows))
    columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json", "columns": columns}}))
    settings = {
        "model_name_or_path": str(STUDENT),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "dataset": "rows",
        "dataset_dir": str(folder),
        "template": "qwen",
        "cutoff_len": 1024,
        "output_dir": str(folder / f"factory-{batch[0]}x{batch[1]}"),
        "per_device_train_batch_size": batch[0],
        "gradient_accumulation_steps": batch[1],
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine",
        "num_train_epochs": 1.0,
        "bf16": False,
        "use_cpu": True,
        "disable_gradient_checkpointing": True,  # ours has it off, too
        "report_to": "none",
        "preprocessing_num_workers": 1,
    }
    (folder / "sft.yaml").write_text(json.dumps(settings))  # JSON is YAML
    python = str(environment / "bin/python")
    arguments = [python, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "llamafactory.launcher"]
    seconds = timed(lambda: command([*arguments, str(folder / "sft.yaml")], **ONE_THREAD))
    if not (folder / f"factory-{batch[0]}x{batch[1]}" / "model.safetensors").is_file():
        raise SystemExit("LLaMA-Factory has saved no model")
    return seconds


_JUDGE = """
import json, sys
from vllm import LLM, SamplingParams
prompts = json.loads(open(sys.argv[1]).read())
if __name__ == "__main__":  # vLLM may start its engine anew from this file
    LLM(**json.loads(sys.argv[2])).generate(prompts, SamplingParams(temperature=0.0, max_tokens=20), use_tqdm=False)
"""


def _judge(folder: Path) -> float:
    """Seconds of one process that loads the judge and asks it about 50 answers, as the ancestor's script does."""
    asked = folder / "asked.json"
    asked.write_text(
        json.dumps([f"Correct Answer: {n}. Generated Answer: {n + 1}. Your judgement:" for n in range(50)])
    )
    settings = json.dumps({"model": str(MODELS / "tiny-judge"), "dtype": "float32", "max_model_len": 2048})
    return timed(lambda: command([sys.executable, "-c", _JUDGE, str(asked), settings], **PLAIN))


# --- planning --------------------------------------------------------------------------------------------------

_PLAN = """
import resource, sys, time
from capgap_ray.flow import open_run, show_plan
show_plan(open_run("", sys.argv[1:]))
used = resource.getrusage(resource.RUSAGE_SELF)
print("used", used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)
"""


def planning(quick: bool) -> dict[str, Any]:
    seeds = 10 if quick else 833
    whole = yaml.safe_load((ROOT / "jobs/experiments/tiny.yaml").read_text())
    whole |= {"axes": {"sft.batch": ["2x1", "5x4"], "sft.seed": list(range(seeds))}, "comparisons": []}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "experiment.yaml"
        path.write_text(yaml.safe_dump(whole, sort_keys=False))
        command = [sys.executable, "-c", _PLAN, str(path), "--dry-run", "--store", f"{place}/store"]
        begun = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        wall = time.monotonic() - begun
    _, seconds, gigabytes = done.stdout.splitlines()[-1].split(" ")
    row = {"cells": 12 * seeds, "processor_s": round(float(seconds), 2), "wall_s": round(wall, 2)}
    print(json.dumps({"part": "planning", **row, "peak_gb": round(float(gigabytes), 3)}), flush=True)
    return {
        "planning 10,000 cells, processor seconds": (float(seconds), SECONDS_GOAL),
        "planning 10,000 cells, GB": (float(gigabytes), GIGABYTES_GOAL),
    }


# --- trials ------------------------------------------------------------------------------------------------------

_SITE = """
import os, pathlib
from capgap_ray.artifacts import store as module
_commit = module.Store.commit
def commit(self, step, *arguments, **named):
    mark = pathlib.Path(os.environ["{variable}"]) / step.key
    if step.stage == "train":
        with open(mark.with_suffix(".commits"), "a") as log:
            log.write("x")
        if len(list(mark.parent.glob("*.failed"))) < 3:
            mark.with_suffix(".failed").write_text("")
            raise OSError("injected by the benchmark")
    return _commit(self, step, *arguments, **named)
module.Store.commit = commit
"""


def trials(quick: bool) -> dict[str, Any]:
    wanted = 6 if quick else TRIALS
    tree = experiment(
        students=["tiny-student-0.15m"],
        mixtures={"small": {"small": 1.0}, "large": {"large": 1.0}},
        split={"train": 60, "test": 20},
        selection={"items": 20, "gap_points": -100},
        axes={"sft.seed": list(range(wanted // 2))},
    )
    tree["sft"] = {**tree["sft"], "workers": 1}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        marks, site = folder / "marks", folder / "site"
        marks.mkdir()
        site.mkdir()
        (site / "sitecustomize.py").write_text(_SITE.format(variable=FAIL))
        environment = {FAIL: str(marks), "PYTHONPATH": f"{site}:{ROOT}"}
        finished(run("jobs/generate.py", tree, folder))
        job = run("jobs/train.py", tree, folder, **environment)
        while job.poll() is None and len(checkpoints(folder)) < wanted // 2:
            time.sleep(0.5)
        before = {label: record["attempt"] for label, record in checkpoints(folder).items()}
        killed = job.poll() is None
        if killed:
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        again = run("jobs/train.py", tree, folder, **environment)
        out, _ = again.communicate()
        after = checkpoints(folder)
        kept = all(after[label]["attempt"] == attempt for label, attempt in before.items())
        failures = len(list(marks.glob("*.failed")))
        told = sum(line.startswith("  trial") for line in out.splitlines())
        row = {
            "checkpoints": len(after),
            "killed_at": len(before) if killed else None,
            "injected_failures": failures,
            "trained_after_the_kill": told,
            "none_done_twice": kept and told <= wanted - len(before),
            "status": again.returncode,
        }
    print(json.dumps({"part": "trials", **row}), flush=True)
    whole = killed and failures == 3 and row["none_done_twice"] and again.returncode == 0
    return {f"{TRIALS} trials whole after three failures and a kill": (len(after) if whole else 0, TRIALS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["planning", "cells", "trials"])
    parser.add_argument("--peer-environment", type=Path, default=cache())
    arguments = parser.parse_args()
    parts = {
        "planning": planning,
        "cells": lambda quick: cells(quick, make_environment(arguments.peer_environment)),
        "trials": trials,
    }
    at_least = (FASTER_GOAL, TRIALS)
    goals: dict[str, Any] = {}
    for name, part in parts.items():
        if arguments.only in (None, name):
            for goal, (value, limit) in part(arguments.quick).items():
                met = value >= limit if limit in at_least else value <= limit
                shown = None if arguments.quick else round(value, 2)
                goals[goal] = {"value": shown, "goal": limit, "met": bool(met) and not arguments.quick}
    print(json.dumps({"name": "grid", "cores": os.cpu_count(), "goals": goals}))


if __name__ == "__main__":
    main()
