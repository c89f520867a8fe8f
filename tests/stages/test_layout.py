"""What a spread engine asks Ray and vLLM for. Nothing here has run on GPUs: these are the arguments alone."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capgap_ray.experiment import load
from capgap_ray.settings import Engine, Resources
from capgap_ray.stages import engine, engine_actor
from capgap_ray.stages.engine import EngineError, Layout, engine_arguments, refusal
from capgap_ray.stages.engine_actor import bundles


def test_one_gpu_for_each_worker_and_the_drivers_cpus_once() -> None:
    assert bundles(Layout(tensor=2, pipeline=2), 4) == [{"GPU": 1, "CPU": 4}, {"GPU": 1}, {"GPU": 1}, {"GPU": 1}]
    assert Layout(tensor=2, pipeline=2).gpus == 4


def test_a_layout_is_vllms_and_runs_over_ray() -> None:
    made = engine_arguments("bfloat16", 4096, 8, Layout(tensor=4, pipeline=2))
    assert (made["tensor_parallel_size"], made["pipeline_parallel_size"]) == (4, 2)
    assert made["distributed_executor_backend"] == "ray"


def test_without_a_layout_a_model_is_spread_over_what_the_process_has() -> None:
    made = engine_arguments("bfloat16", 4096, 2, None)
    assert made["tensor_parallel_size"] == 2
    assert "distributed_executor_backend" not in made


def test_what_only_a_cpu_needs_is_set_on_a_cpu_only() -> None:
    gpu = engine_arguments("bfloat16", 8192, 1, None)
    cpu = engine_arguments("bfloat16", 8192, 0, None)
    assert (gpu["long_prefill_token_threshold"], "long_prefill_token_threshold" in cpu) == (2048, False)
    assert engine_arguments("bfloat16", 512, 1, None)["long_prefill_token_threshold"] == 512, "vLLM refuses more"
    only = {"enable_chunked_prefill", "max_num_batched_tokens", "kv_cache_memory_bytes"}
    assert only & set(gpu) == set()
    assert only <= set(cpu)
    assert (gpu["enforce_eager"], cpu["enforce_eager"]) == (False, True)
    assert cpu["max_num_batched_tokens"] >= 8192


def test_the_share_of_a_gpus_memory_is_vllms_own_unless_it_is_set() -> None:
    assert "gpu_memory_utilization" not in engine_arguments("bfloat16", 512, 1, None)
    for gpus, layout in ((1, None), (2, None), (8, Layout(tensor=4, pipeline=2))):
        assert engine_arguments("bfloat16", 512, gpus, layout, 0.4)["gpu_memory_utilization"] == 0.4
    assert "gpu_memory_utilization" not in engine_arguments("bfloat16", 512, 0, None, 0.4), "nor on a CPU"
    for wrong in (0, 1.1):
        with pytest.raises(ValueError, match="engine_memory_share"):
            Resources(engine_memory_share=wrong)


def test_gpus_of_a_models_engine() -> None:
    resources = Resources.model_validate({"engine_gpus": 1, "parallel": {"large": {"tensor": 4, "pipeline": 2}}})
    assert (resources.engine_gpus_of("large"), resources.engine_gpus_of("small")) == (8, 1)


@pytest.mark.parametrize(
    ("gpus", "layout", "sees"),
    [(0, None, "none"), (1, None, "its own"), (0, Layout(tensor=2, pipeline=1), "its node's")],
)
def test_only_an_engine_without_gpus_sees_none(
    gpus: int, layout: Layout | None, sees: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    kind = SimpleNamespace(options=lambda **options: asked.update(options) or SimpleNamespace(remote=lambda *_: None))
    monkeypatch.setattr(engine_actor.ray.util, "placement_group", lambda *_, **__: None)
    resources = Resources(engine_gpus=gpus)
    engine_actor.Start(kind=kind, desk="d", settings=Engine(dtype="float32"), resources=resources)(0, layout)
    environment = asked["runtime_env"]["env_vars"]
    assert environment.get("CUDA_VISIBLE_DEVICES") == ("" if sees == "none" else None)
    assert asked["num_gpus"] == gpus


def installed(monkeypatch: pytest.MonkeyPatch, vllm: str | None) -> None:
    def version(name: str) -> str:
        if vllm is None:
            raise PackageNotFoundError(name)
        return vllm

    monkeypatch.setattr(engine, "version", version)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_gpu_build_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"parallel": {"large": {"tensor": 2}}}
    installed(monkeypatch, "0.29.0")
    why = refusal(Resources(), ["small"])
    assert why
    assert why.startswith("resources.engine_gpus: 0")
    assert "ACCELERATOR=cpu" in why
    assert "\n" not in why
    assert refusal(Resources.model_validate(spread), ["small", "large"])
    assert refusal(Resources.model_validate(spread), ["large"]) is None
    assert refusal(Resources(engine_gpus=1), ["small"]) is None
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert refusal(Resources(), ["small"]) is None, "the driver's node may be another than the engines'"
    for cpu in (None, "0.29.0+cpu"):
        installed(monkeypatch, cpu)
        assert refusal(Resources(), ["small"]) is None


def test_an_engine_of_a_gpu_build_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "0.29.0")
    monkeypatch.setattr(engine_actor, "Pulse", lambda *_: None)
    monkeypatch.setattr(engine_actor.ray, "get_gpu_ids", lambda: [])
    actor = engine_actor.EngineActor.__ray_metadata__.modified_class("desk", 0, "float32", 256, None, None)
    with pytest.raises(EngineError, match=r"resources\.engine_gpus: 0"):
        actor.complete("model", [], None, {})


def test_an_engine_that_does_not_start_after_another_one_has_its_process_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the first one may have left on the GPU goes with the process; of a process' first engine it is the end."""
    import torch

    def no_room(**_: Any) -> None:
        raise ValueError("Free memory on device cuda:0 on startup is less than desired")

    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=no_room))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    first = engine.Engine("bfloat16", 256)
    with pytest.raises(EngineError, match="m: vLLM cannot load it: Free memory on device"):
        first._start("/m", "m", 0)
    first._had_another = True
    with pytest.raises(RuntimeError, match="m: it does not start after another engine: Free memory") as raised:
        first._start("/m", "m", 0)
    assert not isinstance(raised.value, EngineError), "the desk keeps the process of one"


def test_the_demo_takes_a_gpu_where_the_environment_is_for_one() -> None:
    root = Path(__file__).parents[2]
    said = subprocess.run(
        ["make", "-n", "demo", "ACCELERATOR=gpu"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    (said,) = [line for line in said if "jobs/grid.py" in line]  # a make within make says more
    resources = load(str(root / "jobs/experiments/tiny.yaml"), said.split(" --set ")[1:])[0].resources
    assert (resources.engines, resources.engine_gpus, resources.worker_gpus) == (1, 1, 0)
