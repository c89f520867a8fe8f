"""vLLM's own OpenAI-compatible server as a model: the rows that our engine makes of the same weights."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.catalog.judges import JUDGE_PROMPTS
from capgap_ray.catalog.models import Endpoint
from capgap_ray.records import JudgeProbe
from capgap_ray.stages.engine_pool import EnginePool
from capgap_ray.stages.inference import run_slices
from capgap_ray.stages.judge import audit_slice, commit_audit
from capgap_ray.stages.slices import InferenceError, Slice
from tests.ray.conftest import DECODING, MakePool, request, slices
from tests.ray.scripted import ScriptedEngine

MODEL = Path(__file__).parents[2] / "capgap_ray" / "tiny" / "models" / "tiny-teacher-small"
KEY = "sk-of-this-test"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = {
        "model": str(MODEL),
        "served-model-name": "tiny",
        "host": "127.0.0.1",
        "port": str(port),
        "dtype": "float32",
        "max-model-len": "256",
        "kv-cache-memory-bytes": str(128 << 20),
        "max-num-batched-tokens": "4096",
        "api-key": KEY,
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words]
    environment = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1"}
    server = subprocess.Popen(
        [*command, "--enforce-eager", "--no-enable-chunked-prefill"],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def _wait(server: subprocess.Popen[bytes], health: str) -> None:
    for _ in range(300):
        assert server.poll() is None, "the server did not start"
        try:
            urllib.request.urlopen(health)
            return
        except urllib.error.URLError:
            time.sleep(1)
    raise AssertionError("the server is not ready after 300 s")


def test_it_answers_and_judges_as_the_engine_does(
    url: str, store: Store, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPGAP_TEST_KEY", KEY)  # Ray's processes, which run already, do not have it
    rows = [request(f"i{n}", f"Sort these words: w{n} v{n % 3} u") for n in range(20)]
    rows[7] = request("i7", "word " * 400)
    ours = slices(store, rows, str(MODEL), 10, dataclasses.replace(DECODING, max_tokens=40))
    engine, pool = make_pool(), make_pool(actor=ScriptedEngine)
    list(run_slices(store, engine, ours))

    def behind(variable: str) -> list[Slice]:
        source = Endpoint(url=url, model="tiny", key_env=variable).source
        return [dataclasses.replace(each, source=source, address="complete/endpoint") for each in ours]

    with pytest.raises(InferenceError, match="environment variable CAPGAP_OTHER_KEY"):
        list(run_slices(store, pool, behind("CAPGAP_OTHER_KEY")))
    theirs = behind("CAPGAP_TEST_KEY")
    list(run_slices(store, pool, theirs))
    logs = ray._private.worker._global_node.get_logs_dir_path()
    for root in (store.root, logs):
        assert not any(KEY.encode() in file.read_bytes() for file in Path(root).rglob("*") if file.is_file())
    made = [store.read_rows(f"{each.address}/{each.shard}") for each in (*ours, *theirs)]
    assert made[:2] == made[2:]
    lost = store.read_rows(theirs[0].beside(".quarantine.parquet"))
    assert [(row["example_id"], row["reason"]) for row in lost] == [("i7", "overlong")]

    replies = audited(store, pool, "served", theirs[0].source)
    assert replies == audited(store, engine, "own", str(MODEL))
    assert len(replies) == 12
    assert any(row["reply"] for row in replies)


def audited(store: Store, pool: EnginePool, name: str, source: str) -> list[dict[str, Any]]:
    """Twelve probes and the judge's reply to each."""
    prompt = JUDGE_PROMPTS["tiny"]
    probes = [
        JudgeProbe(id=f"p{n}", task="t", kind="swapped", question=f"Sort: w{n} v", gold=f"v w{n}", answer=f"w{n % 4} v")
        for n in range(12)
    ]
    params = {
        "judge": name,
        "system": prompt.system,
        "user_template": prompt.user_template,
        "max_tokens": prompt.max_tokens,
        "engine": {},
    }
    step = Step(stage="audit", version=1, params=params, label=name)
    list(run_slices(store, pool, [audit_slice(store, step, probes, source)]))
    commit_audit(store, step)
    return list(store.rows(step))
