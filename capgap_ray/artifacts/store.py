"""Where results live. A result exists if and only if its `record.json` exists; it is written last.

Every attempt at a step writes into a folder of its own (`attempts/<random>/`); the record names
the attempt that won, so a late or second writer can never mix its files with another's. Nothing
is renamed and nothing is locked, which is what makes the same code right on a local disk and on
object storage (through `pyarrow.fs`). On a local disk single files appear whole: they are written
under a temporary name first, because a local write, unlike an object's, can be seen half done.

Rows that took long to make are kept in `rows/<name>.parquet` beside the attempts: each file is
whole or absent, named by its content's identity, and shared by all attempts.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from capgap_ray.artifacts.step import Step

RECORD = "record.json"
_GROUP_ROWS = 512
"""Rows that are read together where only some are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The proof that a step's result exists, and how it came to be."""

    key: str
    label: str
    identity: dict[str, Any]
    """Stage, version, params and input addresses, as they entered the key."""
    attempt: str
    """Folder of the winning attempt, relative to the step's address."""
    tables: list[str]
    """Parquet files of the result's rows, in order, relative to the step's address."""
    summary: dict[str, Any]
    """Small facts for people and for the report: counts, paths."""
    seconds: float
    made_at: float
    """Seconds since 1970, for people only; nothing is ever ordered by it."""
    host: str


class StoreError(ValueError):
    """A store that cannot be used, or an artifact that is not there; the message names the mend."""


class Store:
    """Artifacts under one root: a local folder or a URI that `pyarrow.fs` understands (`s3://...`)."""

    def __init__(self, root: str) -> None:
        self.root = root if "://" in root else os.path.abspath(root)
        try:
            self._fs, self._base = pafs.FileSystem.from_uri(self.root)
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(f"store {root!r} cannot be opened: {error}") from error
        self._local = isinstance(self._fs, pafs.LocalFileSystem)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.root,)

    def check_writable(self) -> None:
        """Write and remove a probe file. Raises StoreError that names the store."""
        probe = f"probe-{secrets.token_hex(4)}"
        try:
            self.write_bytes(probe, b"")
            self._fs.delete_file(self._path(probe))
        except OSError as error:
            raise StoreError(f"store {self.root!r} cannot be written ({error}); give another with --store") from error

    # --- files -----------------------------------------------------------------------------------

    def _path(self, relative: str) -> str:
        parts = relative.split("/")
        if relative.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise StoreError(f"path {relative!r} leaves the store")
        return f"{self._base}/{relative}"

    def local_path(self, relative: str) -> str:
        """The path as a local folder or URI for libraries that read by name."""
        path = self._path(relative)
        return path if self._local else f"{self.root.split('://')[0]}://{path}"

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Write one file so that it is whole or absent."""
        path = self._path(relative)
        if not self._local:
            with self._fs.open_output_stream(path) as stream:
                stream.write(data)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}.{secrets.token_hex(4)}.tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            os.unlink(temporary)  # on a full disk, the half of it is in the way of everybody
            raise
        os.replace(temporary, path)

    def read_bytes(self, relative: str) -> bytes:
        with self._fs.open_input_stream(self._path(relative)) as stream:
            return bytes(stream.read())

    def exists(self, relative: str) -> bool:
        return bool(self._fs.get_file_info(self._path(relative)).type == pafs.FileType.File)

    def remove(self, relative: str) -> None:
        """Remove a folder with all in it; nothing happens where there is none."""
        if self._fs.get_file_info(self._path(relative)).type == pafs.FileType.Directory:
            self._fs.delete_dir(self._path(relative))

    # --- rows ------------------------------------------------------------------------------------

    def write_rows(self, relative: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write one table as Parquet, a column per field; all rows have the same fields."""
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(list(rows)), sink, compression="zstd", row_group_size=_GROUP_ROWS)
        self.write_bytes(relative, sink.getvalue().to_pybytes())

    def read_rows(self, relative: str, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
        """Read a table, or its rows from `start` up to `stop` without the others.

        Raises StoreError that names the file if it is absent or damaged.
        """
        try:
            with pq.ParquetFile(self._fs.open_input_file(self._path(relative))) as file:
                groups, first, skipped = [], 0, 0
                for group in range(file.metadata.num_row_groups):
                    end = first + file.metadata.row_group(group).num_rows
                    if end <= start:
                        skipped = end
                    elif stop is None or first < stop:
                        groups.append(group)
                    first = end
                table = file.read_row_groups(groups)
        except (pa.ArrowInvalid, FileNotFoundError) as error:
            raise StoreError(f"{relative}: not a readable table ({error}); delete it and run again") from error
        length = None if stop is None else max(0, stop - start)
        return list(table.slice(start - skipped, length).to_pylist())

    # --- artifacts -------------------------------------------------------------------------------

    def record(self, step: Step) -> Record | None:
        """The step's record, or None where the result does not exist."""
        path = f"{step.address}/{RECORD}"
        if not self.exists(path):
            return None
        return Record(**json.loads(self.read_bytes(path)))

    def built(self, step: Step) -> bool:
        return self.exists(f"{step.address}/{RECORD}")

    def new_attempt(self, step: Step) -> str:
        """A folder for one attempt at the step, relative to the root; nobody else writes there."""
        return f"{step.address}/attempts/{secrets.token_hex(6)}"

    def commit(
        self,
        step: Step,
        attempt: str,
        summary: Mapping[str, Any],
        seconds: float,
        tables: Sequence[str] = (),
    ) -> Record:
        """Make the attempt the step's result. A result that exists already stays as it is."""
        existing = self.record(step)
        if existing is not None:
            return existing
        record = Record(
            key=step.key,
            label=step.label,
            identity={
                "stage": step.stage,
                "version": step.version,
                "params": dict(step.params),
                "inputs": [each.address for each in step.inputs],
            },
            attempt=attempt.removeprefix(f"{step.address}/"),
            tables=[table.removeprefix(f"{step.address}/") for table in tables],
            summary=dict(summary),
            seconds=seconds,
            made_at=time.time(),
            host=platform.node(),
        )
        self.write_bytes(f"{step.address}/{RECORD}", json.dumps(dataclasses.asdict(record), indent=1).encode())
        return record

    def build_rows(
        self, step: Step, make: Callable[[], tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]]
    ) -> Record:
        """Build a step whose result is one table, unless it exists: `make` returns (rows, summary)."""
        existing = self.record(step)
        if existing is not None:
            return existing
        begun = time.monotonic()
        rows, summary = make()
        attempt = self.new_attempt(step)
        table = f"{attempt}/rows.parquet"
        self.write_rows(table, rows)
        return self.commit(step, attempt, {"rows": len(rows), **summary}, time.monotonic() - begun, [table])

    def _built(self, step: Step) -> Record:
        record = self.record(step)
        if record is None:
            raise StoreError(f"{step.address} is not built")
        return record

    def folder(self, step: Step) -> str:
        """The winning attempt's folder, relative to the root. Raises StoreError if the step is not built."""
        return f"{step.address}/{self._built(step).attempt}"

    def rows(self, step: Step) -> list[dict[str, Any]]:
        """All rows of a built step, in order. Raises StoreError if it is not built or a table is damaged."""
        return [row for table in self._built(step).tables for row in self.read_rows(f"{step.address}/{table}")]
