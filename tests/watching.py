"""A real run of the shrunken experiment, watched from outside."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.ray.shrunken import ROOT, command

SECRET = "planted-secret-7c1d"
SECRETS = ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "OPENAI_API_KEY")


@dataclass
class Watched:
    output: str
    listened: dict[str, str]
    """address:port -> whose"""
    metrics: str
    """What the metrics endpoint served last."""
    store: Path
    logs: Path


def watch(store: Path, scratch: Path, seconds: float = 400) -> Watched:
    """Run the experiment with planted secrets, all temporary files in `scratch`, and note what it does meanwhile."""
    environment = {**os.environ, **dict.fromkeys(SECRETS, SECRET), "TMPDIR": str(scratch)}
    made = Watched(output="", listened={}, metrics="", store=store, logs=scratch)
    with (scratch / "output").open("w") as output:
        job = subprocess.Popen(command(store), cwd=ROOT, stdout=output, stderr=output, env=environment)
        deadline = time.monotonic() + seconds
        while job.poll() is None and time.monotonic() < deadline:
            _look(job.pid, made)
            time.sleep(0.5)
        if job.poll() is None:
            job.kill()
            job.wait()
    made.output = (scratch / "output").read_text()
    assert job.returncode == 0, made.output
    return made


def _look(pid: int, made: Watched) -> None:
    try:
        me = psutil.Process(pid)
        family = [me, *me.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            connections, name = process.net_connections("inet"), " ".join(process.cmdline())[:80]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        for each in connections:
            if each.status == psutil.CONN_LISTEN:
                made.listened[f"{each.laddr.ip} {each.laddr.port}"] = name
                if "DashboardAgent" in name and each.laddr.ip == "127.0.0.1":
                    made.metrics = _metrics(each.laddr.port) or made.metrics


def _metrics(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            text: str = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return ""
    return text if "ray_capgap" in text else ""
