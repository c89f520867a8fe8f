"""Accelerators by name: memory and peak speed, from the vendors' data sheets. For plans only, never for identities."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One device."""

    gigabytes: float
    """Memory, in 10^9 bytes as data sheets count."""
    teraflops: float
    """Dense bfloat16 peak, without sparsity (of the V100 and T4, which have none: float16)."""
    capability: float
    """CUDA's compute capability."""

    @property
    def bfloat16(self) -> bool:
        """Whether it computes in bfloat16."""
        return self.capability >= 8.0


ACCELERATORS: dict[str, Accelerator] = {
    "T4": Accelerator(gigabytes=16, teraflops=65, capability=7.5),
    "V100-16GB": Accelerator(gigabytes=16, teraflops=125, capability=7.0),
    "V100-32GB": Accelerator(gigabytes=32, teraflops=125, capability=7.0),
    "L4": Accelerator(gigabytes=24, teraflops=121, capability=8.9),
    "A10G": Accelerator(gigabytes=24, teraflops=70, capability=8.6),
    "L40S": Accelerator(gigabytes=48, teraflops=362, capability=8.9),
    "RTX-4090": Accelerator(gigabytes=24, teraflops=165, capability=8.9),
    "A100-40GB": Accelerator(gigabytes=40, teraflops=312, capability=8.0),
    "A100-80GB": Accelerator(gigabytes=80, teraflops=312, capability=8.0),
    "H100-80GB": Accelerator(gigabytes=80, teraflops=989, capability=9.0),
    "H200": Accelerator(gigabytes=141, teraflops=989, capability=9.0),
    "B200": Accelerator(gigabytes=180, teraflops=2250, capability=10.0),
}
