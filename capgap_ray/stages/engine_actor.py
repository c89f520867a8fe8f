"""One engine's process: what it asks of Ray, what it answers, and what it tells the desk of itself."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from capgap_ray.records import TraceReading
from capgap_ray.settings import Engine as EngineSettings
from capgap_ray.settings import Resources
from capgap_ray.stages.engine import (
    ENVIRONMENT,
    ENVIRONMENT_CPU,
    NEEDS_GPU,
    Ask,
    Canaries,
    Decoding,
    Engine,
    EngineError,
    Layout,
    Output,
    Refusal,
    Stage,
    built_for_gpus,
    import_vllm,
)

_ASK_AGAIN_S = 0.1
"""Between two questions for the call that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Starts engine processes; called by the desk, whose they are."""

    kind: Any
    desk: str
    settings: EngineSettings
    resources: Resources

    def __call__(self, index: int, layout: Layout | None) -> tuple[Any, PlacementGroup | None]:
        """The engine, and the placement group that goes with it. Waits for neither."""
        threads = max(1, int(self.resources.engine_cpus))
        on_gpu = layout or self.resources.engine_gpus
        environment = {**ENVIRONMENT, **({} if on_gpu else ENVIRONMENT_CPU), "OMP_NUM_THREADS": str(threads)}
        options: dict[str, Any] = {
            "num_cpus": self.resources.engine_cpus,
            "num_gpus": 0 if layout else self.resources.engine_gpus,  # those of a layout are its workers'
            "name": f"engine-{index}-{self.desk}",
            "max_restarts": -1,
            "max_task_retries": 0,  # the desk decides
            "runtime_env": {"env_vars": environment},
        }
        group = None
        if layout:
            wanted = bundles(layout, self.resources.engine_cpus)
            group = ray.util.placement_group(wanted, strategy=placement(layout))
            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        share = self.resources.engine_memory_share
        arguments = (self.desk, index, self.settings.dtype, self.settings.max_model_len, layout, share)
        return self.kind.options(**options).remote(*arguments), group


def placement(layout: Layout) -> str:
    """Ray's strategy: layers are shared within a node, and only stages of layers may lie on several.

    Of bundles that are merely packed, the autoscaler would make nodes of one GPU each, if there are such.
    """
    return "STRICT_PACK" if layout.pipeline == 1 else "PACK"


def bundles(layout: Layout, engine_cpus: float) -> list[dict[str, float]]:
    """One GPU each, as vLLM wants them; the first has the CPUs of the process that drives the others, too."""
    return [{"GPU": 1.0, "CPU": float(engine_cpus)}, *({"GPU": 1.0} for _ in range(layout.gpus - 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where an engine process runs and what it prints into."""

    node: str
    pid: int
    logs: tuple[str, ...]


def _whereabouts() -> Whereabouts:
    """Of the calling process, a Ray worker whose output goes into files."""
    logs = tuple(path for path in (os.path.realpath(f"/proc/self/fd/{number}") for number in (1, 2)))
    return Whereabouts(node=ray.get_runtime_context().get_node_id(), pid=os.getpid(), logs=logs)


@ray.remote
class EngineActor:
    def __init__(
        self, desk: str, index: int, dtype: str, max_model_len: int, layout: Layout | None, share: float | None
    ) -> None:
        self._pulse = Pulse(desk, index)
        self._engine = Engine(dtype, max_model_len, self._pulse, layout, share)
        self._broken = NEEDS_GPU if built_for_gpus() and not (layout or ray.get_gpu_ids()) else ""
        if self._broken:
            return
        try:
            import_vllm()  # its seconds pass while the driver prepares prompts
        except ImportError as error:  # raised here, it would have Ray start processes until the time-out
            self._broken = (
                f"vLLM cannot be imported on node {platform.node()}: {error}; all nodes need the driver's environment"
            )

    def ready(self) -> None:
        """Answers once the process has started."""

    def complete(
        self,
        source: str,
        asks: Sequence[Ask],
        decoding: Decoding,
        canaries: Canaries,
        number: int = 0,
        joins: bool = False,
    ) -> tuple[Sequence[Output | TraceReading | Refusal], str]:
        if self._broken:
            raise EngineError(self._broken)
        if decoding.reading is not None:
            traces: Any = asks
            return self._engine.read(source, traces, decoding, canaries), self._engine.fingerprint
        following: Any = _Following(self._pulse) if joins else lambda: None
        made = self._engine.complete(source, asks, decoding, canaries, number, following)
        return made, self._engine.fingerprint


class _Following:
    """Asks the desk for the call after the one at work, without waiting for it."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._reply: Any = None
        self._last = 0.0

    def __call__(self) -> tuple[int, Sequence[Ask]] | None:
        if self._reply is None:
            if time.monotonic() - self._last < _ASK_AGAIN_S:
                return None
            self._reply = self._pulse.following()
        if not ray.wait([self._reply], timeout=0)[0]:
            return None
        found, self._reply, self._last = ray.get(self._reply), None, time.monotonic()
        if found is None:
            return None
        number, asks = found
        try:
            return number, ray.get(asks[0])
        except ray.exceptions.RayError:  # gone with its node: that call hears of it, and not this one
            return None


class Pulse:
    """Tells the desk that the engine's process has started and, with what or once a second, that it has got on."""

    def __init__(self, desk: str, index: int) -> None:
        self._desk, self._index = ray.get_actor(desk), index
        self._last, self._stage = 0.0, ""
        self._desk.here.remote(index, _whereabouts())

    def __call__(self, stage: Stage) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._last > 1.0:
            self._last, self._stage = now, stage
            self._desk.beat.remote(self._index, stage)

    def following(self) -> Any:
        """The desk's answer, to be waited for: the number and the asks of the call that follows, or None."""
        return self._desk.following.remote(self._index)
