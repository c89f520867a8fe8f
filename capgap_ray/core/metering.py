"""How much of a budget of device-hours is used: devices count for as long as they are held, busy or not."""

from __future__ import annotations

import threading
from collections.abc import Callable


class BudgetError(RuntimeError):
    """The budget is used up. Not a mistake: what was built stays, and the same command with more goes on."""


class Meter:
    """Adds up device-hours. `clock` returns seconds; `limit` is in hours, None for no limit. Thread-safe."""

    def __init__(self, limit: float | None, clock: Callable[[], float]) -> None:
        self._limit, self._clock = limit, clock
        self._spent = 0.0
        self._changing = threading.RLock()
        self._held: dict[str, tuple[float, float]] = {}
        """What -> (since when, devices)."""

    def hold(self, what: str, devices: float) -> None:
        """From now on so many devices are held under this name, in place of what it held before."""
        with self._changing:
            self.release(what)
            self._held[what] = (self._clock(), devices)

    def release(self, what: str) -> None:
        """Nothing is held under this name any more; nothing happens if nothing was."""
        with self._changing:
            since, devices = self._held.pop(what, (0.0, 0.0))
            if devices:
                self._spent += (self._clock() - since) * devices

    @property
    def hours(self) -> float:
        """Used until now."""
        with self._changing:
            now = self._clock()
            return (self._spent + sum((now - since) * devices for since, devices in self._held.values())) / 3600

    def seconds_left(self, more_devices: float = 0.0) -> float | None:
        """How long what is held, and so many devices more, can still be held; None without a limit."""
        if self._limit is None:
            return None
        with self._changing:
            devices = more_devices + sum(devices for _, devices in self._held.values())
        left = max(0.0, self._limit - self.hours) * 3600
        return left / devices if devices else left

    def check(self, what: str) -> None:
        """Raise BudgetError, naming what would have come next, if nothing is left."""
        if self._limit is not None and self.hours >= self._limit:
            raise BudgetError(
                f"budget: {self.hours:.2f} of {self._limit:g} device-hours are used up before the end of: {what}"
            )
