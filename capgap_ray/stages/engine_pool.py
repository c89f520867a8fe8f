"""The engines of a run as its driver holds them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray

from capgap_ray.settings import Engine, Resources
from capgap_ray.stages.desks import here
from capgap_ray.stages.endpoint import endpoint_key
from capgap_ray.stages.engine import Layout
from capgap_ray.stages.engine_actor import EngineActor, Start
from capgap_ray.stages.engine_desk import EngineDesk

_IDLE_S = 60.0
"""After so long without work an engine beyond those that are kept is let go."""
_ROOM_S = 20.0
"""An engine that was asked for and is not placed after so long has no room."""


class EnginePool:
    """Engine actors, as many as the work wants and the resources allow. `close` stops them and frees their devices."""

    def __init__(self, settings: Engine, resources: Resources, actor: Any = None) -> None:
        """`actor`: a class to start in place of the vLLM engine; tests and benchmarks give a scripted one."""
        name = f"desk-{secrets.token_hex(8)}"  # engines find it by name: they come back without what they were given
        start = Start(kind=actor or EngineActor, desk=name, settings=settings, resources=resources)
        # Beside the driver: engines go with the desk, and its node must not be one that may be taken away alone.
        self.desk = here(EngineDesk, name=name).remote(start, _IDLE_S, _ROOM_S)
        # Those that are always kept start beside the desk, not after it: their imports are what everybody waits for.
        self.desk.open.remote([start(index, None)[0] for index in range(resources.kept_engines)])
        self.resources = resources
        self.at_once = 2 * resources.engines
        """Units: one at work and one at the desk for each engine."""
        self.callers = ThreadPoolExecutor(self.at_once)

    def connect(self, endpoints: Iterable[str]) -> None:
        """Give the desk, in memory, the keys that this process has in its environment; the desk's need not have them.

        Raises EndpointError where one is not set.
        """
        ray.get([self.desk.connect.remote(each, endpoint_key(each)) for each in endpoints])

    def layouts(self) -> list[Layout | None]:
        """Of the engines that hold their devices now."""
        return list(ray.get(self.desk.layouts.remote()))

    def close(self) -> None:
        try:
            ray.get(self.desk.close.remote())
            ray.kill(self.desk)
        finally:
            self.callers.shutdown(cancel_futures=True)  # who still waits for the desk hears of its end
