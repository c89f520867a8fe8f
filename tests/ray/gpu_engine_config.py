"""Builds vLLM's configuration from our arguments as if this machine had eight H100; prints what came of each.

A process of its own: vLLM asks once which platform it is on.
"""

from __future__ import annotations

import json
import os
import sys
import types
from typing import Any

from capgap_ray.stages.engine import ENVIRONMENT, Layout, engine_arguments

os.environ.update(ENVIRONMENT)


def main(folder: str) -> None:
    sys.modules["vllm._C_stable_libtorch"] = types.ModuleType("vllm._C_stable_libtorch")  # kernels of the GPU build
    import vllm.config.vllm
    from vllm import platforms
    from vllm.platforms.cuda import NonNvmlCudaPlatform
    from vllm.platforms.interface import DeviceCapability

    class EightGpus(NonNvmlCudaPlatform):  # type: ignore[misc]
        get_device_capability = classmethod(lambda cls, device_id=0: DeviceCapability(9, 0))
        get_device_name = classmethod(lambda cls, device_id=0: "NVIDIA H100 80GB HBM3")
        get_device_total_memory = classmethod(lambda cls, device_id=0: 80 << 30)
        device_count = classmethod(lambda cls: 8)
        import_kernels = classmethod(lambda cls: None)

    platforms._current_platform = EightGpus()
    vllm.config.vllm.HAS_TRITON = True
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    def built(gpus: int, layout: Layout | None, share: float | None = None, **more: Any) -> dict[str, Any]:
        arguments = engine_arguments("bfloat16", 512, gpus, layout, share) | more
        made = EngineArgs(model=folder, **arguments).create_engine_config(UsageContext.LLM_CLASS)
        return {
            "executor": made.parallel_config.distributed_executor_backend,
            "workers": made.parallel_config.world_size,
            "graphs": not made.model_config.enforce_eager,
            "chunked": made.scheduler_config.enable_chunked_prefill,
            "prefixes": made.cache_config.enable_prefix_caching,
            "share": made.cache_config.gpu_memory_utilization,
            "extension": made.parallel_config.worker_extension_cls,
        }

    adapters = {"enable_lora": True, "max_loras": 16, "max_lora_rank": 16}
    print(
        "MADE "
        + json.dumps(
            {
                "one": built(1, None),
                "two": built(2, None),
                "tensor": built(8, Layout(tensor=4, pipeline=1)),
                "both": built(8, Layout(tensor=4, pipeline=2)),
                "adapters": built(1, None, **adapters),
                "shared": built(1, None, 0.4),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
