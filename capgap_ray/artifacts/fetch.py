"""Folders of object storage to folders of this node, for libraries that read models by path."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

from capgap_ray.artifacts.store import Store, StoreError


def is_remote(place: str) -> bool:
    """Whether `place` is a URI of object storage, as `Store.local_path` gives it; HTTP endpoints are not."""
    return "://" in place and urlsplit(place).scheme not in ("http", "https")


def fetch(place: str, patterns: tuple[str, ...] = ("*",)) -> str:
    """The local copy of a remote folder's files that fit one of `patterns` (by file name); made once per node.

    The copy's name is that of the place and the identity of what the folder holds: names, sizes and times of change.
    It appears whole.
    Raises StoreError where the folder is empty or the temporary folder is another user's.
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
    if not copy.is_dir():
        scratch = cache / f"{copy.name}.{secrets.token_hex(4)}.tmp"
        try:
            for path in found:
                target = scratch / path
                target.parent.mkdir(parents=True, exist_ok=True)
                store.download(f"{folder}/{path}", target)
            try:
                scratch.rename(copy)
            except OSError:
                if not copy.is_dir():  # another process was first
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return str(copy)


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
