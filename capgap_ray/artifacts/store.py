"""Where results live. A result exists if and only if its `record.json` exists; it is written last.

Every attempt at a step writes into a folder of its own (`attempts/<random>/`); the record names
the attempt that won, so a late or second writer can never mix its files with another's. Nothing
is locked, which is what makes the same code right on a local disk and on object storage (through
`pyarrow.fs`). On a local disk single files appear whole: they are written under a temporary name
first, because a local write, unlike an object's, can be seen half done.

Rows that took long to make are kept in `rows/<name>.parquet` beside the attempts: each file is
whole or absent, named by its content's identity, and shared by all attempts.

The record holds the size and the sha256 of every file of the result, and its own: what was changed by a hand or by a
bad disk is refused when it is read next.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import secrets
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from capgap_ray.artifacts.step import Step

RECORD = "record.json"
FAILURE = "failure.json"
"""Beside a record's place: why the newest attempt failed."""
REPORTS, INDEX = "reports", "index"
"""The folders of the root that are no stages: pages for people, and where to find rows by their content."""
State = Literal["built", "failed", "begun"]
_T = TypeVar("_T")
_GROUP_ROWS = 512
"""Rows that are read together where only some are wanted."""
_PIECE_BYTES = 1 << 24
_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""Between tries on object storage; each try is three of the S3 client's own."""
_FINAL = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN")
"""What object storage answers in words of its client, and would answer again."""


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
    files: dict[str, tuple[int, str]]
    """Every file of the result, the tables too, relative to the step's address -> (bytes, sha256)."""
    summary: dict[str, Any]
    """Small facts for people and for the report: counts, paths."""
    seconds: float
    made_at: float
    """Seconds since 1970, for people only; nothing is ever ordered by it."""
    host: str


_FIELDS = {field.name for field in dataclasses.fields(Record)}
_SEAL = b',\n "sha256": "'


def _sealed(record: Record) -> bytes:
    """The record as JSON; its last field is the sha256 of all that stands before it."""
    body = json.dumps(dataclasses.asdict(record), indent=1).removesuffix("\n}").encode()
    return body + _SEAL + hashlib.sha256(body).hexdigest().encode() + b'"\n}'


def _seal_holds(data: bytes) -> bool:
    body, _, rest = data.rpartition(_SEAL)
    return rest == hashlib.sha256(body).hexdigest().encode() + b'"\n}'


class StoreError(ValueError):
    """A store that cannot be used, or an artifact that is not there; the message names the mend."""


class StoreUnavailable(StoreError, OSError):
    """A place that could not be read or written: disk full, no permission, object storage that does not answer."""


class Store:
    """Artifacts under one root: a local folder or a URI that `pyarrow.fs` understands (`s3://...`).

    Credentials come from the environment, as the storage's own tools take them.
    """

    def __init__(self, root: str) -> None:
        if "://" in root and "@" in urlsplit(root).netloc:
            place = f"{urlsplit(root).scheme}://{urlsplit(root).netloc.rpartition('@')[2]}"
            raise StoreError(
                f"store {place}...: credentials do not belong into an address, which is printed and kept; "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if not root:
            raise StoreError("--store: is empty; give a folder or a URI")
        self.root = root if "://" in root else os.path.abspath(root)
        if os.path.isfile(self.root):
            raise StoreError(f"store {root!r} is a file; give a folder with --store")
        try:
            self._fs, base = pafs.FileSystem.from_uri(self.root)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StoreError(f"store {root!r} cannot be opened: {error}") from error
        self._base = base.rstrip("/")
        self._local = isinstance(self._fs, pafs.LocalFileSystem)
        self._checked: dict[str, tuple[int, int]] = {}
        """Files whose contents were checked, at this size and time of change."""

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.root,)

    def check_writable(self) -> None:
        """Write and remove a probe file. Raises StoreError that names the store."""
        try:
            with self.probe():
                pass
        except OSError as error:
            raise StoreError(f"store {self.root!r} cannot be written ({error}); give another with --store") from error

    @contextmanager
    def probe(self) -> Iterator[str]:
        """The name of a small file that lies in the store's root as long as the context lasts."""
        name = f"probe-{secrets.token_hex(4)}"
        path = self._path(name)
        self._put(path, b"probe")
        try:
            yield name
        finally:
            self._fs.delete_file(path)

    # --- files -----------------------------------------------------------------------------------

    def _path(self, relative: str) -> str:
        parts = relative.split("/")
        odd = any(unicodedata.category(character) in ("Cc", "Cs") or character == "\\" for character in relative)
        if odd or any(part in ("", ".", "..") for part in parts):
            raise StoreError(f"path {relative!r} leaves the store")
        return f"{self._base}/{relative}"

    def local_path(self, relative: str) -> str:
        """The path as a local folder, or as the URI of a place of its own (see `artifacts/fetch.py`)."""
        path = self._path(relative)
        if self._local:
            return path
        uri = urlsplit(self.root)
        return f"{uri.scheme}://{path}" + (f"?{uri.query}" if uri.query else "")

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Write one file so that it is whole or absent. Raises StoreUnavailable that names it."""
        path = self._path(relative)
        self._tried(relative, "written", lambda: self._put(path, data))

    def read_bytes(self, relative: str) -> bytes:
        """Raises FileNotFoundError, or StoreUnavailable that names the file."""
        path = self._path(relative)

        def read() -> bytes:
            with self._fs.open_input_stream(path) as stream:
                return bytes(stream.read())

        return self._tried(relative, "read", read)

    def exists(self, relative: str) -> bool:
        path = self._path(relative)
        return self._tried(relative, "read", lambda: bool(self._fs.get_file_info(path).type == pafs.FileType.File))

    def files(self, relative: str) -> dict[str, tuple[int, int]]:
        """All files of a folder and those below it: path relative to the folder -> (bytes, time of change in ns)."""
        path = self._path(relative)
        selector = pafs.FileSelector(path, allow_not_found=True, recursive=True)
        found = self._tried(relative, "read", lambda: self._fs.get_file_info(selector))
        return {
            each.path[len(path) + 1 :]: (each.size, each.mtime_ns) for each in found if each.type == pafs.FileType.File
        }

    def folders(self, relative: str) -> list[str]:
        """Names of the folders right below a folder, sorted; none where it is absent."""
        selector = pafs.FileSelector(self._path(relative), allow_not_found=True)
        found = self._tried(relative, "read", lambda: self._fs.get_file_info(selector))
        return sorted(each.base_name for each in found if each.type == pafs.FileType.Directory)

    def download(self, relative: str, target: Path) -> None:
        """Copy one file to a local path, piece by piece."""
        path = self._path(relative)

        def copy() -> None:
            with self._fs.open_input_stream(path) as stream, target.open("wb") as file:
                shutil.copyfileobj(stream, file, _PIECE_BYTES)

        self._tried(relative, "read", copy)

    def remove(self, relative: str) -> None:
        """Remove a folder with all in it; nothing happens where there is none."""
        path = self._path(relative)

        def remove() -> None:
            if self._fs.get_file_info(path).type == pafs.FileType.Directory:
                self._fs.delete_dir(path)

        self._tried(relative, "removed", remove)

    def _put(self, path: str, data: bytes, *, first: bool = False) -> None:
        """Whole or absent. `first`: on a local disk, a file that is there already stays."""
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
            if first:
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    return
                except OSError:  # no hard links on this file system
                    os.replace(temporary, path)
            else:
                os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)  # on a full disk, the half of it is in the way of everybody

    def _tried(self, relative: str, what: str, call: Callable[[], _T]) -> _T:
        """The call's result; on object storage, after some more tries."""
        for pause in (*(() if self._local else _PAUSES_S), None):
            try:
                return call()
            except FileNotFoundError:
                raise
            except OSError as error:
                if pause is None or any(word in str(error) for word in _FINAL):
                    raise StoreUnavailable(
                        f"{relative} in store {self.root!r} cannot be {what} ({error}); nothing that was committed is "
                        "lost: mend the store and run the same command to go on"
                    ) from error
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    # --- rows ------------------------------------------------------------------------------------

    def write_rows(self, relative: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write one table as Parquet, a column per field; all rows have the same fields."""
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.Table.from_pylist(list(rows)),
            sink,
            compression="zstd",
            row_group_size=_GROUP_ROWS,
            write_page_checksum=True,
        )
        self.write_bytes(relative, sink.getvalue().to_pybytes())

    def read_rows(self, relative: str, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
        """Read a table, or its rows from `start` up to `stop` without the others.

        Raises StoreError that names the file if it is absent or damaged.
        """
        path = self._path(relative)

        def read() -> tuple[pa.Table, int]:
            with self._fs.open_input_file(path) as source:
                return _groups(source, start, stop)

        with _readable(relative):
            # A damaged page is an OSError too, on which another try changes nothing.
            table, skipped = read() if self._local else self._tried(relative, "read", read)
        length = None if stop is None else max(0, stop - start)
        return list(table.slice(start - skipped, length).to_pylist())

    # --- artifacts -------------------------------------------------------------------------------

    def record(self, step: Step) -> Record | None:
        """The step's record, or None where the result does not exist: a record that is cut off counts as absent.

        Raises StoreError on one that another version has written, or a hand has changed.
        """
        path = f"{step.address}/{RECORD}"
        try:
            data = self.read_bytes(path)
        except FileNotFoundError:
            return None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return None
        sealed = isinstance(found, dict) and found.pop("sha256", None)
        if not sealed or found.keys() != _FIELDS or found["key"] != step.key:
            raise StoreError(
                f"{path} is no record of this version of capgap-ray; delete the folder {step.address} to have it "
                "built again, or give another store"
            )
        if not _seal_holds(data):
            raise _changed(path, step)
        files = {name: (size, digest) for name, (size, digest) in found["files"].items()}
        return Record(**{**found, "files": files})

    def built(self, step: Step) -> bool:
        """As `record` says."""
        return self.record(step) is not None

    def listing(self) -> dict[str, State]:
        """Every address of which something exists. Quick: no file is opened, so a record that is cut off counts.

        `begun`: files without a record, of an attempt that runs or was interrupted.
        """
        names = self._local_names() if self._local else self._remote_names()
        return {
            address: "built" if RECORD in found else "failed" if FAILURE in found else "begun"
            for address, found in names.items()
        }

    def _local_names(self) -> dict[str, set[str]]:
        if not os.path.isdir(self._base):
            return {}
        return {
            # Most are built, and to ask for one name is much cheaper than for all.
            f"{stage.name}/{each.name}": {RECORD}
            if os.path.exists(f"{each.path}/{RECORD}")
            else set(os.listdir(each.path))
            for stage in os.scandir(self._base)
            if stage.is_dir() and stage.name not in (REPORTS, INDEX)
            for each in os.scandir(stage.path)
            if each.is_dir()
        }

    def _remote_names(self) -> dict[str, set[str]]:
        selector = pafs.FileSelector(self._base, allow_not_found=True, recursive=True)
        names: dict[str, set[str]] = {}
        for each in self._tried("", "read", lambda: self._fs.get_file_info(selector)):
            parts = each.path[len(self._base) + 1 :].split("/")
            if len(parts) > 2 and parts[0] not in (REPORTS, INDEX):
                names.setdefault(f"{parts[0]}/{parts[1]}", set()).add(parts[2])
        return names

    def note_failure(self, step: Step, reason: str) -> None:
        """Say why an attempt failed, for whoever looks at the store. The next attempt takes it back."""
        note = {"reason": reason, "made_at": time.time(), "host": platform.node()}
        self.write_bytes(f"{step.address}/{FAILURE}", json.dumps(note).encode())

    def new_attempt(self, step: Step) -> str:
        """A folder for one attempt at the step, relative to the root; nobody else writes there."""
        if self.exists(f"{step.address}/{FAILURE}"):
            with suppress(FileNotFoundError):
                self._fs.delete_file(self._path(f"{step.address}/{FAILURE}"))
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
            files=self._contents(step, attempt, tables),
            summary=dict(summary),
            seconds=seconds,
            made_at=time.time(),
            host=platform.node(),
        )
        path, data = f"{step.address}/{RECORD}", _sealed(record)
        self._tried(path, "written", lambda: self._put(self._path(path), data, first=True))
        if self.record(step) is None:  # one that is cut off is in the way
            self.write_bytes(path, data)
        return self._built(step)

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

    def _contents(self, step: Step, attempt: str, tables: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Of the tables and, where the attempt has a folder of its own, of all that lies there."""
        own = self.files(attempt) if attempt.startswith(f"{step.address}/attempts/") else {}
        names = sorted({*tables, *(f"{attempt}/{name}" for name in own)})
        return {name.removeprefix(f"{step.address}/"): self._digest(name) for name in names}

    def _digest(self, relative: str) -> tuple[int, str]:
        """(bytes, sha256) of a file."""
        path = self._path(relative)

        def read() -> tuple[int, str]:
            digest, size = hashlib.sha256(), 0
            with self._fs.open_input_stream(path) as stream:
                while piece := stream.read(_PIECE_BYTES):
                    digest.update(piece)
                    size += len(piece)
            return size, digest.hexdigest()

        return self._tried(relative, "read", read)

    def folder(self, step: Step) -> str:
        """The winning attempt's folder, relative to the root. Raises StoreError if the step is not built, or if a file
        in it is not what the record says: by its contents, on object storage by its size."""
        record = self._built(step)
        there = self.files(f"{step.address}/{record.attempt}")
        for name, (size, digest) in record.files.items():
            path = f"{step.address}/{name}"
            inside = name.removeprefix(f"{record.attempt}/")
            if inside == name:
                continue
            found = there.get(inside)
            if found is None or found[0] != size:
                raise _changed(path, step)
            if self._local and self._checked.get(path) != found:
                if self._digest(path) != (size, digest):
                    raise _changed(path, step)
                self._checked[path] = found
        return f"{step.address}/{record.attempt}"

    def rows(self, step: Step) -> list[dict[str, Any]]:
        """All rows of a built step, in order. Raises StoreError if it is not built or a table is not what was
        committed."""
        record = self._built(step)
        rows: list[dict[str, Any]] = []
        for name in record.tables:
            path = f"{step.address}/{name}"
            try:
                data = self.read_bytes(path)
            except FileNotFoundError:
                raise _changed(path, step) from None
            if hashlib.sha256(data).hexdigest() != record.files[name][1]:
                raise _changed(path, step)
            with _readable(path):
                rows += _groups(pa.BufferReader(data), 0, None)[0].to_pylist()
        return rows


def _changed(path: str, step: Step) -> StoreError:
    return StoreError(
        f"{path} is not what was committed: changed by hand, or damaged; delete the folder {step.address} and run the "
        "same command to have it built again"
    )


@contextmanager
def _readable(relative: str) -> Iterator[None]:
    """Turn pyarrow's errors into a StoreError that names the table."""
    try:
        yield
    except StoreUnavailable:
        raise
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{relative}: not a readable table ({error}); delete its step's folder and run again"
        ) from error


def _groups(source: pa.NativeFile, start: int, stop: int | None) -> tuple[pa.Table, int]:
    """The row groups of a Parquet file that hold rows from `start` up to `stop`, and how many rows come before them."""
    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        groups, first, skipped = [], 0, 0
        for group in range(file.metadata.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if end <= start:
                skipped = end
            elif stop is None or first < stop:
                groups.append(group)
            first = end
        return file.read_row_groups(groups), skipped
