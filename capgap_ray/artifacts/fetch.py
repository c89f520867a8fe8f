"""Folders of object storage to folders of this node, for libraries that read models by path.

A process holds a shared lock on every copy that it uses, which goes with the process; the copies that nobody holds make
room for others, the one that was used longest ago first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

from capgap_ray.artifacts.store import Store, StoreError

_RESERVE_BYTES = 5 << 30
"""Left free beside what is fetched: Ray's spilled objects and training's states are on the same disk."""
_held: dict[str, int] = {}
"""Copy that this process uses -> file descriptor of the folder, which has the lock."""


def is_remote(place: str) -> bool:
    """Whether `place` is a URI of object storage, as `Store.local_path` gives it; HTTP endpoints are not."""
    return "://" in place and urlsplit(place).scheme not in ("http", "https")


def fetch(place: str, patterns: tuple[str, ...] = ("*",)) -> str:
    """The local copy of a remote folder's files that fit one of `patterns` (by file name); made once per node, also
    where several processes want it at a time.

    The copy's name is that of the place and the identity of what the folder holds: names, sizes and times of change.
    It appears whole, and stays until this process ends or has called `let_go`.
    Raises StoreError where the folder is empty, the temporary folder is another user's, or the disk is too small.
    """
    address = urlsplit(place)
    root, _, folder = address.path.strip("/").rpartition("/")
    query = f"?{address.query}" if address.query else ""
    store = Store(f"{address.scheme}://{address.netloc}/{root}{query}")
    found = {path: facts for path, facts in store.files(folder).items() if _fits(path, patterns)}
    if not found:
        raise StoreError(f"{place}: no files there; give the folder that holds the model's files")
    cache = _cache()
    copy = cache / f"{_digest(place)}-{_digest(sorted(found.items()))}"
    while not _take(copy):
        with _room(copy, sum(size for size, _ in found.values()), place) as scratch:
            if scratch is None:
                continue
            for path in found:
                target = scratch / path
                target.parent.mkdir(parents=True, exist_ok=True)
                store.download(f"{folder}/{path}", target)
            scratch.rename(copy)
    return str(copy)


def let_go(but: Collection[str] = ()) -> None:
    """Say that this process uses none of the copies that it has fetched so far `but` these."""
    for copy in _held.keys() - set(but):
        os.close(_held.pop(copy))


def _take(copy: Path) -> bool:
    """Hold a copy that is there."""
    if str(copy) not in _held:
        try:
            descriptor = os.open(copy, os.O_RDONLY)
        except FileNotFoundError:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not copy.is_dir() or not os.path.samestat(copy.stat(), os.fstat(descriptor)):  # evicted before the lock
            os.close(descriptor)
            return False
        _held[str(copy)] = descriptor
    os.utime(copy)
    return True


@contextmanager
def _room(copy: Path, needed: int, place: str) -> Iterator[Path | None]:
    """A folder beside the copy for so many bytes; nothing is left of it. Raises StoreError where they do not fit. None
    where another process has made the copy, or has died while it did: this waits for its end."""
    cache = copy.parent
    scratch = cache / f"{copy.name}.{secrets.token_hex(4)}.tmp"
    with ExitStack() as held:
        with _locked(cache, fcntl.LOCK_EX):  # who makes room does it alone
            maker = _maker(copy)
            if first := maker is None and not copy.is_dir():
                _make_room(cache, needed, place)
                scratch.mkdir()
                held.callback(shutil.rmtree, scratch, ignore_errors=True)
                held.enter_context(_locked(scratch, fcntl.LOCK_EX))
        if maker is not None:
            held.callback(os.close, maker)
            fcntl.flock(maker, fcntl.LOCK_SH)
        yield scratch if first else None


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _maker(copy: Path) -> int | None:
    """The folder in which another process makes the copy, as a file descriptor of this one."""
    for scratch in copy.parent.glob(f"{copy.name}.*.tmp"):
        with suppress(FileNotFoundError):  # it has just become the copy
            descriptor = os.open(scratch, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return descriptor
            os.close(descriptor)
    return None


def _make_room(cache: Path, needed: int, place: str) -> None:
    for each in sorted(cache.iterdir(), key=_used):
        if _free(cache) >= needed + _RESERVE_BYTES:
            break
        _evict(each)
    if (free := _free(cache)) < needed:
        raise StoreError(
            f"{place}: its {needed / 1e9:.1f} GB do not fit node {platform.node()}, where {cache} has "
            f"{free / 1e9:.1f} GB left beside copies in use; free some, or set TMPDIR there to a larger disk"
        )


def _free(cache: Path) -> int:
    return shutil.disk_usage(cache).free


def _used(folder: Path) -> float:
    """When it was used last; at once 0 for what a process that was killed has left, and for what has just gone."""
    try:
        return 0.0 if folder.suffix == ".tmp" else folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _evict(folder: Path) -> None:
    """Remove a folder that nobody holds."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        gone = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.tmp")  # never seen as a copy that lacks files
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):  # in use, or its process has just removed or renamed it
        return
    finally:
        os.close(descriptor)


def copies(place: str) -> list[Path]:
    """The node's copies of a remote folder, those that are being made included."""
    return list(_cache().glob(f"{_digest(place)}-*"))


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]


def _fits(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path.rpartition("/")[2], pattern) for pattern in patterns)


def _cache() -> Path:
    """A folder that only this user can write: models are read from it."""
    cache = Path(tempfile.gettempdir()) / f"capgap-models-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.is_symlink() or cache.stat().st_uid != os.getuid() or cache.stat().st_mode & 0o022:
        raise StoreError(f"{cache} can be written by another user; remove it, or set TMPDIR to a folder of your own")
    return cache
