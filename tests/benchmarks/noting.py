"""Notes what every process of a run does, Ray's workers too, one line of JSON each.

`watch` copies this file as `sitecustomize.py` to where the processes that are started from then on find it; there it
wraps functions of the package as soon as their module is imported.

- `call`, `rows`: an engine begins or ends a call of so many rows.
- `update`: rank 0 has made this update.
- `shard`, `rows`: a shard's receipt is written.
- `timed`, `s`, `pid`: seconds in records, checks, states and metrics; what one of them calls of another counts once.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NOTES = "CAPGAP_BENCHMARK_NOTES"
"""Environment variable: the file of the notes."""


def watch(folder: Path, root: Path) -> Path:
    """From here on, processes that are started note into the file that is returned; they import from `root`."""
    site, notes = folder / "site", folder / "notes.jsonl"
    site.mkdir(parents=True)
    shutil.copy(__file__, site / "sitecustomize.py")
    os.environ |= {NOTES: str(notes), "PYTHONPATH": f"{site}:{root}"}
    return notes


def read(notes: Path) -> Iterator[dict[str, Any]]:
    for line in notes.read_text().splitlines():
        yield json.loads(line)


# --- in the processes that are watched -------------------------------------------------------------------------


def note(**what: Any) -> None:
    handle = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, json.dumps(what).encode() + b"\n")
    os.close(handle)


_inside = threading.local()


def _timed(owner: Any, *names: str) -> None:
    for name in names:
        setattr(owner, name, _timing(getattr(owner, name), name))


def _timing(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*values: Any, **named: Any) -> Any:
        if getattr(_inside, "yes", False):
            return function(*values, **named)
        _inside.yes, begun = True, time.perf_counter()
        try:
            return function(*values, **named)
        finally:
            _inside.yes = False
            note(timed=name, s=time.perf_counter() - begun, pid=os.getpid())

    return timed


def _engine(module: Any) -> None:
    complete = module.Engine.complete

    def told(self: Any, source: str, asks: Any, *rest: Any) -> Any:
        note(call="begin", rows=len(asks))
        made = complete(self, source, asks, *rest)
        note(call="end", rows=len(asks))
        return made

    module.Engine.complete = told
    _timed(module.Engine, "_compare_with_stored", "_compare_with_former")


def _trainer(module: Any) -> None:
    update = module.Trainer.update

    def told(self: Any, batch: Any, number: int, *rest: Any) -> Any:
        import torch.distributed

        made = update(self, batch, number, *rest)
        if torch.distributed.get_rank() == 0:
            note(update=number)
        return made

    module.Trainer.update = told


def _store(module: Any) -> None:
    put = module.Store._put

    def noted(self: Any, path: str, data: bytes, **named: Any) -> None:
        put(self, path, data, **named)
        told = json.loads(data) if "/rows/" in path and path.endswith(".json") else None
        if isinstance(told, dict) and "rows" in told:
            note(shard=path, rows=told["rows"])

    module.Store._put = noted
    _timed(module.Store, "record", "commit", "folder", "note_failure", "check_writable")


_AFTER: dict[str, Callable[[Any], None]] = {
    "capgap_ray.stages.engine": _engine,
    "capgap_ray.stages.sft_engine": _trainer,
    "capgap_ray.artifacts.store": _store,
    "capgap_ray.stages.sft_state": lambda module: _timed(module.States, "write", "name_latest", "clear"),
    "capgap_ray.stages.sft_export": lambda module: _timed(module, "check_canary"),
    "capgap_ray.stages.metrics": lambda module: _timed(module, "add", "put"),
    "capgap_ray.progress": lambda module: _timed(module.Progress, "__call__"),
}


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        after = _AFTER.pop(name, None)  # once: the search below comes here, too
        spec = importlib.util.find_spec(name) if after else None
        if spec is None or spec.loader is None or after is None:
            return None
        run = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            after(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if __name__ == "sitecustomize" and NOTES in os.environ:
    sys.meta_path.insert(0, _Finder())
