"""What the C library's `malloc` does with freed memory, where it is glibc; elsewhere these do nothing."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of malloc.h."""


def keep_freed_memory() -> None:
    """Have this process keep what it frees, up to a gigabyte at the heap's end.

    By default large blocks go back to the system, and those that are allocated next are paid for again with the faults
    of their pages: 5 to 9 % of the time of a tiny model's training, half of that of swapping a large model's weights.
    """
    if mallopt := _function("mallopt"):
        mallopt(_TRIM_THRESHOLD, 1 << 30)
        mallopt(_MMAP_MAX, 0)  # blocks that are mapped each by itself, and unmapped when they are freed


def give_back_freed_memory() -> None:
    if malloc_trim := _function("malloc_trim"):
        malloc_trim(0)


def _function(name: str) -> Callable[..., Any] | None:
    return getattr(ctypes.CDLL(None), name, None)
