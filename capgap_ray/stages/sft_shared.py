"""Collectives of ranks on one Linux machine through shared memory, for ZeRO-3 on CPUs.

Gloo hands a collective from thread to thread and through the loopback interface, and reduce-scatters by an all-reduce:
a fifth of a small model's update. Here each rank copies its part to where the others read it, tells them by a byte in
a pipe to each, and waits for theirs. The pipes of a rank that dies close, which ends the others.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import sys
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

import torch
import torch.distributed as dist

SLOT_BYTES = 4 << 20
"""Of shared memory, of which each rank has two. What is longer goes in pieces."""


class Shared:
    """All ranks of the standing process group. Tensors are contiguous and on the CPU; sums are in the ranks' order."""

    def __init__(self, memory: Sequence[mmap.mmap], tell: Sequence[FileIO], hear: Sequence[FileIO]) -> None:
        """`memory`: of every rank, two slots; `tell` and `hear`: pipes to and from all others."""
        self._rank, self._world = dist.get_rank(), dist.get_world_size()
        self._tell, self._hear = tell, hear
        halves = [torch.frombuffer(each, dtype=torch.uint8).split(SLOT_BYTES) for each in memory]
        # In turn: who writes into a slot again has met all others since they read it.
        self._slots, self._next = ([each[half] for each in halves] for half in (0, 1))

    def all_gather(self, output: torch.Tensor, part: torch.Tensor) -> None:
        """Parts [n] -> output [ranks x n]."""
        rows = output.view(self._world, -1)
        width = SLOT_BYTES // part.itemsize
        for start in range(0, len(part), width):
            for row, piece in zip(rows, self._show(part[start : start + width]), strict=True):
                if row.data_ptr() != part.data_ptr():  # DeepSpeed's part lies where it belongs
                    row[start : start + width].copy_(piece)

    def reduce_scatter(self, output: torch.Tensor, whole: torch.Tensor) -> None:
        """Sum of all [ranks x n] -> output [n], this rank's row of it."""
        rows = whole.view(self._world, -1)
        width = SLOT_BYTES // whole.itemsize // self._world
        for start in range(0, len(output), width):
            shown = self._show(rows[:, start : start + width])
            _add(output[start : start + width], [piece[self._rank] for piece in shown])

    def mean_parts(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor] | None:
        """This rank's part of the mean of each tensor, as DeepSpeed's `reduce_scatter_coalesced` gives it: the ranks'
        parts are of one length, and what the last ones lack is zero. None where all together are too large for a slot.
        """
        flat = [each.view(-1) for each in tensors]
        lengths = [-(-len(each) // self._world) for each in flat]
        dtype, width = flat[0].dtype, sum(lengths)
        room = width * self._world * dtype.itemsize
        if room > SLOT_BYTES:
            return None
        rows = self._next[self._rank][:room].view(dtype).view(self._world, -1)
        for rank, row in enumerate(rows):
            pieces = [each[rank * length : (rank + 1) * length] for each, length in zip(flat, lengths, strict=True)]
            if sum(map(len, pieces)) == width:
                torch.cat(pieces, out=row)
            else:
                row.zero_()
                for place, piece in zip(row.split(lengths), pieces, strict=True):
                    place[: len(piece)].copy_(piece)
        mine = torch.empty(width, dtype=dtype)
        _add(mine, [each[self._rank] for each in self._show(rows)])
        return list(mine.div_(self._world).split(lengths))

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """Sum in place."""
        flat = tensor.view(-1)
        width = SLOT_BYTES // tensor.itemsize
        for start in range(0, len(flat), width):
            piece = flat[start : start + width]
            _add(piece, self._show(piece))

    def _show(self, mine: torch.Tensor) -> list[torch.Tensor]:
        """What each rank shows, in the type and shape of this one's; valid until the next call but one."""
        self._slots, self._next = self._next, self._slots
        shown = [slot[: mine.nbytes].view(mine.dtype).view(mine.shape) for slot in self._slots]
        if shown[self._rank].data_ptr() != mine.data_ptr():  # `mean_parts` has laid it there
            shown[self._rank].copy_(mine)
        for pipe in self._tell:
            pipe.write(b".")
        for pipe in self._hear:
            if not pipe.read(1):
                raise ConnectionError("another rank of the training has ended")
        return shown


def _add(output: torch.Tensor, terms: Sequence[torch.Tensor]) -> None:
    output.copy_(terms[0])
    for term in terms[1:]:
        output.add_(term)


def share() -> Shared | None:
    """Collective. None on all ranks unless all can open each other's files: one Linux machine, one user."""
    rank, world = dist.get_rank(), dist.get_world_size()
    if sys.platform != "linux":
        return None
    with contextlib.ExitStack() as until_opened:
        file = os.memfd_create("collectives")
        until_opened.callback(os.close, file)
        os.truncate(file, 2 * SLOT_BYTES)
        hear, own_ends = [], []
        for _ in range(world):
            read, write = os.pipe()
            until_opened.callback(os.close, write)  # or no end of file would tell that the other rank has ended
            hear.append(FileIO(read))
            own_ends.append(write)
        offer = torch.tensor([_machine(), os.getpid(), file, *own_ends])
        offers = [torch.empty_like(offer) for _ in range(world)]
        dist.all_gather(offers, offer)
        memory, tell = [], []
        for machine, process, file, *ends in (each.tolist() for each in offers):
            with contextlib.suppress(OSError):
                if machine == offer[0]:
                    with open(f"/proc/{process}/fd/{file}", "r+b") as opened:
                        memory.append(mmap.mmap(opened.fileno(), 2 * SLOT_BYTES))
                    tell.append(FileIO(f"/proc/{process}/fd/{ends[rank]}", "w"))
        everyone = torch.tensor(int(len(tell) == world))
        dist.all_reduce(everyone, dist.ReduceOp.MIN)
    del hear[rank], tell[rank : rank + 1]
    return Shared(memory, tell, hear) if everyone else None


def _machine() -> int:
    """The same for processes that see each other in /proc."""
    try:
        seen = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return int.from_bytes(os.urandom(7))
    return int.from_bytes(hashlib.sha256(seen.encode()).digest()[:7])
