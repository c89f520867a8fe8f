"""Scores checkpoints as they land, beside the training that makes them: the exports on the way, and each cell's end.

A thread of the driver asks what can be scored by now and gives it to the standing engines. Nothing depends on it but
time: what is scored early is the same steps that are built after training otherwise.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.plan import Cell, Scored
from capgap_ray.settings import Sft
from capgap_ray.stages.sft_state import States
from capgap_ray.stages.train import PROGRESS

Wanted = Sequence[tuple[Scored, str]]
"""Steps, each with the source of the weights that it runs."""
_EVERY_S = 2.0
"""Between two looks at the trainings that run."""


def exports_so_far(store: Store, step: Step) -> dict[str, str]:
    """Update -> folder in the store of every whole export of a training that runs or was interrupted.

    An export is whole when its training has told of a later update, or has saved a state after it.
    """
    states = States(store, step.address, "").latest()
    found = dict(states[1].checkpoints) if states else {}
    wanted = Sft.model_validate(step.params["sft"]).checkpoints
    try:
        progress = json.loads(store.read_bytes(f"{step.address}/{PROGRESS}"))
    except (FileNotFoundError, json.JSONDecodeError):
        return found
    for update in range(1, progress["update"] if wanted else 1):
        folder = f"{progress['attempt']}/update-{update:06d}"
        if wanted and wanted.wanted(update) and str(update) not in found and store.exists(f"{folder}/config.json"):
            found[str(update)] = folder
    return found


class Landing:
    """Use as a context around the training. Leaving it waits for what is being scored, and raises what went wrong."""

    def __init__(
        self,
        ready: Callable[[Cell], Sequence[Wanted]],
        score: Callable[[Wanted], None],
        at_once: int | None = None,
    ) -> None:
        """`ready`: what of a cell can be scored by now, in groups, the one that is waited for most first.

        `score`: builds what of it is not built, in the thread. `at_once`: how many groups are given to it together, or
        one of each running cell if these are more, so that the first ones never queue behind the rest; None: all.
        """
        self._ready, self._score, self._at_once = ready, score, at_once
        self._running: dict[str, Cell] = {}
        self._ended: list[Cell] = []
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None
        """Why nothing more is scored."""
        self.scored = 0
        """Steps."""

    def __enter__(self) -> Landing:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if kind is None:
            self._thread.join()
            if self.error is not None:
                raise self.error

    def began(self, cell: Cell) -> None:
        with self._changed:
            self._running[cell.train.key] = cell

    def ended(self, cell: Cell, trained: bool) -> None:
        with self._changed:
            self._running.pop(cell.train.key, None)
            if trained:
                self._ended.append(cell)
                self._changed.notify_all()

    def _run(self) -> None:
        done: set[Scored] = set()

        def left(groups: Iterable[Wanted]) -> list[Wanted]:
            open_ = ([pair for pair in group if pair[0] not in done] for group in groups)
            return [group for group in open_ if group]

        over: list[Wanted] = []
        """Of the cells that have ended."""
        try:
            while True:
                with self._changed:
                    if self._closing:
                        return
                    ended, self._ended = self._ended, []
                    running = list(self._running.values())
                over = left([*over, *(group for cell in ended for group in self._ready(cell))])
                on_the_way = [left(self._ready(cell)) for cell in running]
                first = [each[0] for each in on_the_way if each]
                groups = [*first, *over, *(group for each in on_the_way for group in each[1:])]
                most = len(groups) if self._at_once is None else max(self._at_once, len(first))
                wanted = dict.fromkeys(pair for group in groups[:most] for pair in group)
                if wanted:
                    self._score(list(wanted))
                    done.update(scored for scored, _ in wanted)
                    self.scored += len(wanted)
                else:
                    with self._changed:
                        self._changed.wait_for(lambda: self._closing or self._ended, timeout=_EVERY_S)
        except BaseException as error:  # noqa: BLE001 (raised again where the context is left)
            self.error = error
