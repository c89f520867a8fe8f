"""What a spread engine asks Ray and vLLM for. Nothing here has run on GPUs: these are the arguments alone."""

from __future__ import annotations

import pytest

from capgap_ray.settings import Resources
from capgap_ray.stages.engine import Layout, engine_arguments
from capgap_ray.stages.inference import bundles


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
