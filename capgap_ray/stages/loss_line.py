"""One line that says how far trainings are and at which loss, on a terminal only."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store, StoreUnavailable
from capgap_ray.stages.train import PROGRESS

_EVERY_S = 1.0


class LossLine:
    """Use as a context around trainings. Says nothing where `stream` is no terminal."""

    def __init__(self, store: Store, steps: Sequence[Step], stream: TextIO | None = None) -> None:
        """`stream`: standard error, unless given."""
        self._store, self._steps = store, steps
        self._stream = sys.stderr if stream is None else stream
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._before: dict[str, Mapping[str, Any] | None] = {}

    def __enter__(self) -> LossLine:
        if self._stream.isatty():
            self._before = {step.key: self._progress(step) for step in self._steps}  # of runs that were interrupted
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def text(self) -> str:
        """What is being trained now, as far as it has been told."""
        told = [
            f"{step.label}: update {now['update']} of {now['updates']}, loss {now['loss']:.4g}"
            for step in self._steps
            if (now := self._progress(step)) is not None
            and now != self._before.get(step.key)
            and now["update"] < now["updates"]
        ]
        return "; ".join(told)

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            columns = shutil.get_terminal_size().columns
            self._stream.write(f"\r\x1b[K  {self.text()}"[: columns + 3])
            self._stream.flush()

    def _progress(self, step: Step) -> Mapping[str, Any] | None:
        with suppress(FileNotFoundError, StoreUnavailable, json.JSONDecodeError):
            found: dict[str, Any] = json.loads(self._store.read_bytes(f"{step.address}/{PROGRESS}"))
            return found
        return None
