"""Kills: a shrunken real experiment on a cluster of three nodes, killed at random moments, equals an undisturbed one.

    python tests/benchmarks/faults.py [--kills 60] [--seed 0] [--keep FOLDER]

At every stage one process after another gets SIGKILL, chosen at random under the seed: an engine, the scorer, a
training worker, a trial, a worker node with all that runs on it, the driver, or the whole cluster with the driver. A
stage in which nothing was killed yet has its first kill in its first second, or a short one might never have any. A
node that was killed is replaced, a driver is started again by the same command. One round is one experiment in a
store of its own; rounds follow until all kills are done. Every round's results, tables and weights must be those of an
undisturbed run without a cluster, every artifact must have its record, no row may be there twice, and what was done
again is counted from the engines' and trainers' own calls: at most what was in flight.

Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import noting
import psutil
import yaml

ROOT = Path(__file__).parents[2]
ENGINES, SAVE_EVERY = 2, 50
STAGES = ("examples", "measure", "generate", "mixtures", "train", "evaluate", "judge")
"""In the order in which the job tells their end."""
MUST = ("measure", "generate", "train", "judge")
"""Test items are answered while the grid trains, so engines die of evaluation in `train`."""
PER_STAGE, ROUNDS = 9, 8
"""Kills in one stage of one round, so that every round comes to its end; rounds at most."""
WEIGHTS = {"engine": 8, "scorer": 1, "worker": 8, "trial": 1, "node": 3, "driver": 3, "cluster": 1}
"""How often each target is drawn."""
EVERYWHERE = {"engine": 3, "driver": 1}
"""What every stage of `MUST` has but training's start."""
TITLES = {
    "engine": ("ray::EngineActor", "ray::engine-"),
    "scorer": ("ray::Scorer", "ray::scorer"),
    "worker": ("ray::_RayTrainWorker", "ray::RayTrainWorker"),
    "trial": ("ray::ImplicitFunc", "ray::trial"),
}
NO_STAGES = ("reports", "index")
"""Folders of a store that hold no artifacts."""
PAUSE_S = (0.5, 9.0)
WAIT_S = 40.0
"""For a target that is not there; then one that is takes its place."""
STUCK_S = 300
"""A round that has not ended so long after its last kill hangs."""


def experiment() -> dict[str, Any]:
    tree = yaml.safe_load((ROOT / "jobs/experiments/tiny.yaml").read_text())
    return {
        **tree,
        "name": "drill",
        "tasks": ["tiny/dyck_languages"],
        "students": ["tiny-student-0.15m"],
        "teachers": {"small": "tiny-teacher-small"},
        "mixtures": {"small": {"small": 1.0}},
        "comparisons": [],
        "split": {"train": 200, "test": 60},
        "selection": {"items": 60, "gap_points": -100},
        "sft": {**tree["sft"], "epochs": 30},  # half a minute of updates, or kills meet workers that only start
        "judge": {**tree["judge"], "when": "rejected"},
        "resources": {**tree["resources"], "engines": ENGINES, "trials": 1, "save_every": SAVE_EVERY},
    }


# --- a cluster on this machine ---------------------------------------------------------------------------------


class Machines:
    """A head that drives and two worker nodes of two CPUs each."""

    def __init__(self) -> None:
        from ray._common.utils import get_default_ray_temp_dir
        from ray.cluster_utils import Cluster

        logging.getLogger("ray").setLevel(logging.ERROR)
        self._folder = tempfile.mkdtemp(prefix="cgf-", dir="/tmp")  # short: it holds sockets
        # Of a training whose driver was lost, Ray frees the workers' places only where there is a dashboard.
        os.makedirs(get_default_ray_temp_dir(), exist_ok=True)  # where Cluster writes its address
        head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": 0, "temp_dir": self._folder}
        self._cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
        self.address = str(self._cluster.address)
        for _ in range(2):
            self.add()

    def add(self) -> None:
        self._cluster.add_node(num_cpus=2)

    def running(self, target: str) -> list[psutil.Process]:
        """Ray's worker processes of one kind, on any node."""
        found = []
        for node in self._cluster.list_all_nodes():
            for process in _family(_raylet(node)):
                try:
                    title = process.cmdline()[0]
                except (psutil.Error, IndexError):
                    continue
                if title.startswith(TITLES[target]):
                    found.append(process)
        return found

    def kill_node(self, rng: random.Random) -> None:
        """A worker node: its raylet and all that it runs."""
        node = rng.choice(sorted(self._cluster.worker_nodes, key=_raylet))
        _kill(_family(_raylet(node)), parents_first=True)
        self._cluster.remove_node(node, allow_graceful=False)

    def kill(self) -> None:
        """All nodes, and what they run."""
        for node in self._cluster.list_all_nodes():
            pids = [info.process.pid for infos in node.all_processes.values() for info in infos]
            _kill([process for pid in pids for process in _family(pid)], parents_first=True)
        for node in (*list(self._cluster.worker_nodes), self._cluster.head_node):
            self._cluster.remove_node(node, allow_graceful=False)
        shutil.rmtree(self._folder, ignore_errors=True)


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _kill(processes: list[psutil.Process], *, parents_first: bool) -> None:
    for process in processes if parents_first else reversed(processes):
        try:
            process.kill()
        except psutil.Error:
            continue


# --- one round --------------------------------------------------------------------------------------------------


class Job:
    """The driver: started again whenever it ends too early, until it has succeeded."""

    def __init__(self, folder: Path, address: str | None) -> None:
        self._folder, self.address = folder, address
        self.ended = 0
        """Stages that it has told the end of."""
        self.lines: list[str] = []
        self._start()

    def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        if self.address:
            environment["RAY_ADDRESS"] = self.address
        command = [sys.executable, "jobs/grid.py", str(self._folder / "experiment.yaml")]
        command += ["--store", str(self._folder / "store")]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())
            word = line.split(" ")[0]
            if word in STAGES:
                self.ended = max(self.ended, STAGES.index(word) + 1)

    @property
    def stage(self) -> str:
        return STAGES[min(self.ended, len(STAGES) - 1)]

    def status(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def again(self) -> None:
        """Kill it, if it runs, and start it again."""
        self.kill()
        self._start()


class Round:
    """One experiment in a store of its own, and what was killed in it."""

    def __init__(self, folder: Path, machines: Machines, rng: random.Random, kills: int, unmet: Sequence[str]) -> None:
        """`kills`: no more than so many. `unmet`: stages in which nothing was killed yet."""
        self.machines, self._rng, self._most = machines, rng, kills
        self._unmet = list(unmet)
        self.kills: list[tuple[str, str]] = []
        self.own_ends: list[str] = []
        """Last lines of drivers that ended by themselves, and had to be started again."""
        self._struck = self._drawn = time.monotonic()
        self._target = self._draw(WEIGHTS)
        self.job = Job(folder, machines.address)

    def run(self) -> None:
        due = self._next()
        while (status := self.job.status()) != 0:
            if status is not None:
                self.own_ends.append("\n".join(self.job.lines[-12:]))
                self.job.again()
            if len(self.own_ends) > 10 or time.monotonic() > self._struck + STUCK_S:
                raise SystemExit("the job does not end well:\n" + "\n".join(self.job.lines[-40:]))
            if self.job.stage in self._unmet:
                self._unmet.remove(self.job.stage)
                due, self._target = time.monotonic() + self._rng.uniform(0.0, 1.0), self._draw(EVERYWHERE)
            if time.monotonic() > due:
                self._strike()
                due = self._next()
            time.sleep(0.05)

    def _next(self) -> float:
        return time.monotonic() + self._rng.uniform(*PAUSE_S)

    def _draw(self, among: Mapping[str, int]) -> str:
        self._drawn = time.monotonic()
        return self._rng.choices(list(among), list(among.values()))[0]

    def _strike(self) -> None:
        """Kill the target; or wait for it, since drivers that are killed again and again never start a training."""
        stage = self.job.stage
        in_stage = sum(each == stage for each, _ in self.kills)
        if len(self.kills) >= self._most or in_stage >= PER_STAGE:
            return
        running = {name: self.machines.running(name) for name in TITLES}
        if not running.get(self._target, True):
            if time.monotonic() < self._drawn + WAIT_S:
                return
            self._target = self._draw({name: weight for name, weight in WEIGHTS.items() if running.get(name, True)})
        target = self._target
        if target in TITLES:
            _kill([self._rng.choice(running[target])], parents_first=True)
        elif target == "node":
            self.machines.kill_node(self._rng)
            time.sleep(self._rng.uniform(0.0, 2.0))
            self.machines.add()
        elif target == "driver":
            self.job.again()
        else:
            self.machines.kill()
            self.machines = Machines()
            self.job.address = self.machines.address
            self.job.again()
        self._struck = time.monotonic()
        self._target = self._draw(WEIGHTS)
        self.kills.append((stage, target))
        print(json.dumps({"at": round(time.monotonic()), "kill": target, "stage": stage}), flush=True)


# --- what came of it ---------------------------------------------------------------------------------------------


def answer(folder: Path) -> dict[str, Any]:
    """The results less what may differ between two runs: times, and where they were made."""
    results: dict[str, Any] = json.loads((folder / "store/reports/drill/results.json").read_text())
    for field in ("made_at", "command", "stage_seconds", "ledger"):
        del results[field]
    for checkpoint in results["checkpoints"]:
        del checkpoint["seconds"]
    return results


def tables(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Every table that a record names: name, rows."""
    import pyarrow.parquet as pq

    for file in sorted((folder / "store").glob("*/*/record.json")):
        record = json.loads(file.read_text())
        rows = [row for table in record["tables"] for row in pq.read_table(file.parent / table).to_pylist()]
        yield str(file.parent.relative_to(folder / "store")), rows


def weights(folder: Path) -> dict[str, bytes]:
    found = {}
    for file in sorted((folder / "store/train").glob("*/record.json")):
        attempt = file.parent / json.loads(file.read_text())["attempt"]
        found[file.parent.name] = b"".join(part.read_bytes() for part in sorted(attempt.glob("*.safetensors")))
    return found


def twice(rows: list[dict[str, Any]]) -> int:
    """Rows that another one equals in what identifies it."""
    names = [name for name in ("example_id", "id", "model", "teacher", "sample", "probe") if rows and name in rows[0]]
    counts = Counter(json.dumps([row[name] for name in names]) for row in rows) if names else Counter[str]()
    return sum(count - 1 for count in counts.values())


def done_again(folder: Path) -> dict[str, int]:
    """From the notes of engines, trainers and the store."""
    notes = list(noting.read(folder / "notes.jsonl"))
    begun = [note["rows"] for note in notes if note.get("call") == "begin"]
    shards = Counter(note["shard"] for note in notes if "shard" in note)
    return {
        "rows_asked": sum(begun),
        "largest_call": max(begun),
        "updates_made": sum("update" in note for note in notes),
        "shards_written_again": sum(count - 1 for count in shards.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="a folder to keep the stores in")
    arguments = parser.parse_args()
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all nodes on the loopback address
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",  # or this process would end with the first cluster
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # and nothing is left running
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(arguments.keep or scratch)
        drill(place, arguments.kills, random.Random(arguments.seed))


def prepared(place: Path, name: str) -> Path:
    """A folder for one experiment; from here on, processes note into it."""
    folder = place / name
    noting.watch(folder, ROOT)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment(), sort_keys=False))
    return folder


def drill(place: Path, kills: int, rng: random.Random) -> None:
    begun = time.monotonic()
    calm = prepared(place, "undisturbed")
    job = Job(calm, None)
    try:
        while job.status() is None:
            time.sleep(0.1)
    finally:
        job.kill()
    if job.status():
        raise SystemExit("the undisturbed run failed: " + "\n".join(job.lines))
    needed = done_again(calm)
    print(json.dumps({"undisturbed_s": round(time.monotonic() - begun), **needed}), flush=True)

    struck: Counter[str] = Counter()
    found: Counter[str] = Counter()
    worst = {"rows": 0.0, "updates": 0.0}
    rounds = 0
    while struck.total() < kills and rounds < ROUNDS:
        rounds += 1
        folder = prepared(place, f"round-{rounds}")
        unmet = [stage for stage in MUST if not any(name.startswith(stage) for name in struck)]
        one = Round(folder, Machines(), rng, kills - struck.total(), unmet)
        try:
            one.run()
        finally:
            one.job.kill()
            one.machines.kill()
        struck.update(f"{stage}: {target}" for stage, target in one.kills)
        again = done_again(folder)
        found["differ"] += compare(calm, folder)
        found["twice"] += sum(twice(rows) for _, rows in tables(folder))
        found["no record"] += unrecorded(folder)
        found["shards again"] += again["shards_written_again"]
        rows, updates = again["rows_asked"] - needed["rows_asked"], again["updates_made"] - needed["updates_made"]
        number = max(1, len(one.kills))
        worst = {"rows": max(worst["rows"], rows / number), "updates": max(worst["updates"], updates / number)}
        print(json.dumps({"round": rounds, "kills": number, "rows_again": rows, "updates_again": updates}), flush=True)
        for lines in one.own_ends:
            print(f"a driver ended by itself:\n{lines}", flush=True)
    print(json.dumps({"killed": dict(sorted(struck.items())), "minutes": round((time.monotonic() - begun) / 60, 1)}))
    in_flight = ENGINES * needed["largest_call"]
    goals = {
        "kills": (struck.total(), 60, struck.total() >= 60),
        "stages with kills": _at_least(
            sum(any(name.startswith(stage) for name in struck) for stage in MUST), len(MUST)
        ),
        "kinds killed": _at_least(len({name.split(": ")[1] for name in struck}), len(WEIGHTS)),
        "results, tables and weights that differ": _none(found["differ"]),
        "artifacts without record": _none(found["no record"]),
        "rows twice": _none(found["twice"]),
        "shards made again after their receipt": _none(found["shards again"]),
        "rows done again per kill": (round(worst["rows"], 1), in_flight, worst["rows"] <= in_flight),
        "updates done again per kill": (round(worst["updates"], 1), SAVE_EVERY, worst["updates"] <= SAVE_EVERY),
    }
    told = {name: {"value": value, "goal": goal, "met": met} for name, (value, goal, met) in goals.items()}
    print(json.dumps({"name": "faults", "cores": os.cpu_count(), "goals": told}))


def _none(value: int) -> tuple[int, int, bool]:
    return value, 0, value == 0


def _at_least(value: int, goal: int) -> tuple[int, int, bool]:
    return value, goal, value >= goal


def compare(calm: Path, folder: Path) -> int:
    """How many of results, tables and weights differ; each is named."""
    differ = []
    if answer(calm) != answer(folder):
        differ.append("results.json")
    one, other = dict(tables(calm)), dict(tables(folder))
    differ += [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    mine, theirs = weights(calm), weights(folder)
    differ += [name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)]
    if differ:
        print(json.dumps({"differ": differ}), flush=True)
    return len(differ)


def unrecorded(folder: Path) -> int:
    """Addresses that hold files and no record."""
    stages = [path for path in (folder / "store").iterdir() if path.is_dir() and path.name not in NO_STAGES]
    return sum(not (address / "record.json").is_file() for stage in stages for address in stage.iterdir())


if __name__ == "__main__":
    main()
