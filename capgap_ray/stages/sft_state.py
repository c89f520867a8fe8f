"""Saved states of a training run, from which an interrupted run goes on as if nothing had happened.

Every rank writes its own partitions (fp32 weights and AdamW's moments) as safetensors; when all have, rank 0 names
the state in `latest.json`, and only then is the state before it removed. So there is always one whole state, whoever is
killed and whenever the disk is full. A state can be read by another number of workers: partitions of a tensor are
its flat form cut into equal lengths, the last one padded, and are laid end to end and cut anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from capgap_ray.artifacts.store import Store, StoreError

PART_BYTES = 1 << 30
"""A rank's state is written in files of about this size, which are held in memory whole."""

Fragments = dict[str, Any]
"""`<parameter>/<weight | exp_avg | exp_avg_sq>` -> this rank's flat fp32 partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a state holds beside tensors."""

    updates: int
    """Optimizer updates done."""
    workers: int
    losses: tuple[float, ...]
    validation: dict[str, float]
    """Update -> loss."""
    checkpoints: dict[str, str]
    """Update -> folder of its export."""


class States:
    """The states of one training step in the store."""

    def __init__(self, store: Store, address: str, attempt: str) -> None:
        self._store = store
        self._folder = f"{address}/state"
        self._attempt = attempt.rpartition("/")[2]

    def latest(self) -> tuple[str, Facts] | None:
        """(folder, facts) of the newest whole state, or None."""
        if not self._store.exists(f"{self._folder}/latest.json"):
            return None
        found = json.loads(self._store.read_bytes(f"{self._folder}/latest.json"))
        folder = found.pop("folder")
        return folder, Facts(**{**found, "losses": tuple(found["losses"])})

    def write(self, fragments: Mapping[str, Any], rank: int, updates: int) -> None:
        """Write one rank's part. Raises StoreError where the store is full or gone; the state before stays valid."""
        from safetensors.torch import save

        folder = self._new(updates)
        parts: list[Fragments] = [{}]
        held = 0
        for name, tensor in fragments.items():
            if held and held + tensor.nbytes > PART_BYTES:
                parts.append({})
                held = 0
            parts[-1][name] = tensor.contiguous()
            held += tensor.nbytes
        try:
            for number, part in enumerate(parts):
                self._store.write_bytes(f"{folder}/rank-{rank}-{number}.safetensors", save(part))
            self._store.write_bytes(f"{folder}/rank-{rank}.json", json.dumps({"parts": len(parts)}).encode())
        except (OSError, StoreError) as error:
            raise StoreError(self._full(updates, error)) from error

    def name_latest(self, facts: Facts) -> None:
        """Make the state that all ranks have written the newest one and remove the one before. Rank 0 only."""
        before = self.latest()
        folder = self._new(facts.updates)
        try:
            self._store.write_bytes(
                f"{self._folder}/latest.json", json.dumps({**asdict(facts), "folder": folder}).encode()
            )
        except (OSError, StoreError) as error:
            raise StoreError(self._full(facts.updates, error)) from error
        if before is not None and before[0] != folder:
            self._store.remove(before[0])

    def read(self, folder: str, saved_by: int, sizes: Mapping[str, int], rank: int, workers: int) -> Fragments:
        """This rank's fragments of a state that `saved_by` workers wrote; `sizes`: elements of each whole tensor."""
        if saved_by == workers:
            return self._of_rank(folder, rank)
        import torch

        def shared(each: int, size: int) -> tuple[int, int]:
            """In the flat tensor: from where to where that rank held what this one is to hold; empty if not below."""
            old, new = math.ceil(size / saved_by), math.ceil(size / workers)
            return max(each * old, rank * new), min((each + 1) * old, (rank + 1) * new, size)

        mine: dict[str, list[Any]] = {name: [] for name in sizes}
        for each in range(saved_by):
            if all(low >= high for low, high in (shared(each, size) for size in sizes.values())):
                continue  # its files are as large as a rank's memory, and all ranks would read all of them
            for name, tensor in self._of_rank(folder, each).items():
                low, high = shared(each, sizes[name])
                start = each * tensor.numel()
                if low < high:
                    mine[name].append(tensor[low - start : high - start].clone())
        return {
            name: torch.nn.functional.pad(torch.cat(pieces), (0, need - sum(map(len, pieces))))
            if pieces
            else torch.zeros(need)
            for name, pieces in mine.items()
            for need in [math.ceil(sizes[name] / workers)]
        }

    def clear(self) -> None:
        """Remove all states: the result exists."""
        self._store.remove(self._folder)

    def _of_rank(self, folder: str, rank: int) -> Fragments:
        from safetensors.torch import load

        parts = json.loads(self._store.read_bytes(f"{folder}/rank-{rank}.json"))["parts"]
        found: Fragments = {}
        for number in range(parts):
            found.update(load(self._store.read_bytes(f"{folder}/rank-{rank}-{number}.safetensors")))
        return found

    def _new(self, updates: int) -> str:
        return f"{self._folder}/{self._attempt}-{updates:08d}"

    def _full(self, updates: int, error: Exception) -> str:
        latest = self.latest()
        rest = f"the state of update {latest[1].updates} stays valid" if latest else "there is no earlier state"
        return (
            f"the training state of update {updates} could not be saved ({error}); {rest}: make room and run the "
            "same command to go on"
        )
