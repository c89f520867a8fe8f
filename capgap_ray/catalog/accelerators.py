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
    terabytes_per_s: float
    """Memory bandwidth, which bounds how fast one token after the other is generated."""
    capability: float
    """CUDA's compute capability."""

    @property
    def bfloat16(self) -> bool:
        """Whether it computes in bfloat16."""
        return self.capability >= 8.0


ACCELERATORS: dict[str, Accelerator] = {
    "T4": Accelerator(gigabytes=16, teraflops=65, terabytes_per_s=0.32, capability=7.5),
    "V100-16GB": Accelerator(gigabytes=16, teraflops=125, terabytes_per_s=0.9, capability=7.0),
    "V100-32GB": Accelerator(gigabytes=32, teraflops=125, terabytes_per_s=0.9, capability=7.0),
    "L4": Accelerator(gigabytes=24, teraflops=121, terabytes_per_s=0.3, capability=8.9),
    "A10G": Accelerator(gigabytes=24, teraflops=70, terabytes_per_s=0.6, capability=8.6),
    "L40S": Accelerator(gigabytes=48, teraflops=362, terabytes_per_s=0.864, capability=8.9),
    "RTX-4090": Accelerator(gigabytes=24, teraflops=165, terabytes_per_s=1.01, capability=8.9),
    "A100-40GB": Accelerator(gigabytes=40, teraflops=312, terabytes_per_s=1.555, capability=8.0),
    "A100-80GB": Accelerator(gigabytes=80, teraflops=312, terabytes_per_s=2.039, capability=8.0),
    "H100-80GB": Accelerator(gigabytes=80, teraflops=989, terabytes_per_s=3.35, capability=9.0),
    "H200": Accelerator(gigabytes=141, teraflops=989, terabytes_per_s=4.8, capability=9.0),
    "B200": Accelerator(gigabytes=180, teraflops=2250, terabytes_per_s=8.0, capability=10.0),
}
