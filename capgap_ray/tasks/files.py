"""Items from files: a local path or a URI of object storage; JSONL, JSON or Parquet, in the Hub's field names.

Everything that can be wrong with a file is said here, with its row, before any model is loaded.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from capgap_ray.core.task_spec import TaskError, TaskSpec

_ENDINGS = (".jsonl", ".json", ".parquet")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of one file, checked."""

    location: str
    digest: str
    """sha256 of the file's bytes, 16 hex digits."""
    rows: tuple[Row, ...]


def tables(spec: TaskSpec, location: str | None, *, train: bool = False) -> dict[str, Table]:
    """Split name -> rows of a task that is given as files; empty where it comes from the Hub.

    `location`: the experiment's `data` for the task, a file or a folder. With `train` the task's own training split is
    read too. Raises TaskError that names the file, and the row where it is a row's fault.
    """
    location = location or spec.file
    if location is None:
        return {}
    wanted = [spec.split] + ([spec.train_split] if train and spec.train_split else [])
    found = {split: _locate(spec, location, split) for split in wanted}
    return {split: _checked(spec, *where) for split, where in found.items()}


def _filesystem(location: str) -> tuple[pafs.FileSystem, str]:
    if "://" not in location:
        return pafs.LocalFileSystem(), os.path.abspath(os.path.expanduser(location))
    try:
        filesystem, path = pafs.FileSystem.from_uri(location)
    except (pa.ArrowInvalid, OSError) as error:
        raise TaskError(f"data file {location!r} cannot be opened: {_line(error)}") from None
    return filesystem, str(path)


def _locate(spec: TaskSpec, location: str, split: str) -> tuple[str, float, int]:
    """The file of one split, its time of change and size. A file stands for the measured split."""
    filesystem, base = _filesystem(location)
    info = _stat(filesystem, base, location)
    if info.type == pafs.FileType.NotFound:
        raise TaskError(f"task {spec.name}: data file {location!r} does not exist")
    if info.type == pafs.FileType.File:
        if split != spec.split:
            raise TaskError(
                f"task {spec.name}: {location!r} is one file, but the split {split!r} is needed too; give a folder "
                f"with {split}.jsonl and {spec.split}.jsonl"
            )
        return location, info.mtime_ns or 0, info.size
    try:
        selector = pafs.FileSelector(base, recursive=True)
        entries = [each for each in filesystem.get_file_info(selector) if each.type == pafs.FileType.File]
    except OSError as error:
        raise TaskError(f"task {spec.name}: data folder {location!r} cannot be read ({_line(error)})") from None
    files = {each.path[len(base) :].strip("/"): each for each in entries}
    ranks = {file: _rank(spec, split, file) for file in files}
    best = [file for file in files if ranks[file] and ranks[file] == max(ranks.values())]
    if len(best) != 1:
        problem = "has several files" if best else "has no file"
        there = ", ".join(sorted(files)[:8]) or "nothing"
        raise TaskError(f"task {spec.name}: {location!r} {problem} for the split {split!r} (there: {there})")
    info = files[best[0]]
    return f"{location.rstrip('/')}/{best[0]}", info.mtime_ns or 0, info.size


def _rank(spec: TaskSpec, split: str, file: str) -> int:
    """How well a file of a data folder fits a task's split: 0 not at all.

    2: `<task>.jsonl` (the measured split only), `<task>/<split>.jsonl`, or the same with the subset's name.
    1: `<split>.jsonl`, also in a folder `data`. The Hub's own `<split>-00000-of-00001.parquet` counts as `<split>`.
    """
    *folders, last = file.split("/")
    stem, ending = os.path.splitext(last)
    own = (spec.name.rpartition("/")[2], spec.subset)
    if ending not in _ENDINGS or len(folders) > 1:
        return 0
    if re.fullmatch(rf"{re.escape(split)}(-\d+-of-\d+)?", stem):
        return 2 if folders and folders[0] in own else int(not folders or folders[0] == "data")
    return 2 if not folders and stem in own and split == spec.split else 0


def _stat(filesystem: pafs.FileSystem, path: str, location: str) -> Any:
    try:
        return filesystem.get_file_info(path)
    except OSError as error:
        raise TaskError(f"data file {location!r} cannot be reached ({_line(error)})") from None


@functools.lru_cache(maxsize=64)
def _checked(spec: TaskSpec, location: str, _changed: float, _size: int) -> Table:
    filesystem, path = _filesystem(location)
    try:
        with filesystem.open_input_stream(path, compression=None) as stream:
            data = bytes(stream.read())
    except OSError as error:
        raise TaskError(f"{location}: cannot be read ({_line(error)})") from None
    numbered = _parse(location, data)
    if not numbered:
        raise TaskError(f"{location}: has no rows")
    rows = tuple(_row(spec, location, number, row) for number, row in numbered)
    _check_types(spec, location, numbered)
    _check_ids(spec, location, numbered)
    return Table(location=location, digest=hashlib.sha256(data).hexdigest()[:16], rows=rows)


def _parse(location: str, data: bytes) -> list[tuple[int, Row]]:
    """Rows with their 1-based numbers: lines of JSONL, positions in JSON and Parquet."""
    if location.endswith(".parquet"):
        try:
            return list(enumerate(pq.read_table(pa.BufferReader(data)).to_pylist(), 1))
        except (pa.ArrowInvalid, OSError) as error:
            raise TaskError(f"{location}: not a readable Parquet file ({_line(error)})") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise TaskError(f"{location}: row {row}: byte {data[error.start]:#04x} is not UTF-8") from None
    if location.endswith(".json") and text.lstrip().startswith("["):
        rows = _json(location, None, text)
        return [(number, _object(location, number, row)) for number, row in enumerate(rows, 1)]
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [(number, _object(location, number, _json(location, number, line))) for number, line in lines]


def _json(location: str, number: int | None, text: str) -> Any:
    row = "" if number is None else f" row {number}:"
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():  # JSON may escape half of a surrogate pair, which is no character
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise TaskError(f"{location}:{row} {half} without its other half is no character") from None
    except json.JSONDecodeError as error:
        raise TaskError(f"{location}:{row} not JSON ({error})") from None
    except RecursionError:
        raise TaskError(f"{location}:{row} nested too deeply") from None


def _object(location: str, number: int, row: Any) -> Row:
    if not isinstance(row, dict):
        raise TaskError(f"{location}: row {number}: a {type(row).__name__}, not an object with fields")
    return row


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


# --- rows ------------------------------------------------------------------------------------------------


def _row(spec: TaskSpec, location: str, number: int, row: Row) -> Row:
    where = f"{location}: row {number}"
    for field in spec.fields:
        if row.get(field) is None:
            raise TaskError(f"{where}: field {field!r} is missing (there: {', '.join(row)})")
    if spec.file is not None:
        row = _own(where, row)
    if spec.gold is not None:
        problem = gold_problem(spec, row.get(spec.gold))
        if problem:
            raise TaskError(f"{where}: gold answer in field {spec.gold!r} {problem}")
    return row


def _own(where: str, row: Row) -> Row:
    """A person's own item in one form: an answer of text, and options of text or none."""
    answer, choices = row["answer"], row.get("choices") or []
    if isinstance(answer, bool) or not isinstance(answer, (str, int, float)):
        raise TaskError(f"{where}: field 'answer' is a {type(answer).__name__}; write it as text or a number")
    if not isinstance(row["question"], str) or not row["question"].strip():
        raise TaskError(f"{where}: field 'question' is not a text with content")
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices) or len(choices) > 26:
        raise TaskError(f"{where}: field 'choices' is not a list of at most 26 texts")
    return {"question": row["question"], "answer": str(answer), "choices": choices}


def _check_types(spec: TaskSpec, location: str, numbered: Sequence[tuple[int, Row]]) -> None:
    """A column has one type, or the table cannot be built; a person's own items are brought to one form instead."""
    if spec.file is not None:
        return
    kinds: dict[str, tuple[int, str]] = {}
    for number, row in numbered:
        for field in spec.fields:
            kind = "number" if isinstance(row[field], (int, float)) else type(row[field]).__name__
            first, expected = kinds.setdefault(field, (number, kind))
            if kind != expected:
                raise TaskError(
                    f"{location}: row {number}: field {field!r} is a {kind}, but a {expected} in row {first}"
                )


def _check_ids(spec: TaskSpec, location: str, numbered: Sequence[tuple[int, Row]]) -> None:
    if spec.file is None:
        return
    seen: dict[str, int] = {}
    for number, row in numbered:
        if row.get("id") is not None and seen.setdefault(str(row["id"]), number) != number:
            raise TaskError(f"{location}: row {number}: id {row['id']!r} is also row {seen[str(row['id'])]}'s")


def gold_problem(spec: TaskSpec, gold: Any) -> str | None:
    """What keeps a gold answer from being read, as the end of a sentence; None if nothing does.

    Cheap on purpose, it runs over all items when the plan is made: braces are counted, nothing is parsed as maths.
    """
    if isinstance(gold, list) and gold:
        gold = gold[0]
    if isinstance(gold, (int, float)) and not isinstance(gold, bool):
        gold = str(gold)
    if not isinstance(gold, str) or not gold.strip():
        return "is empty" if gold in ("", [], None) or isinstance(gold, str) else f"is a {type(gold).__name__}"
    if spec.gold_form == "gsm8k" and not re.search(r"####\s*-?[$]?[\d.,]*\d", gold):
        return "does not end in '#### number'"
    if spec.gold_form == "boxed":
        start = max(gold.rfind("\\boxed"), gold.rfind("\\fbox"))
        if start < 0:
            return "has no \\boxed{...}"
        if not _closes(gold[start:]):
            return "has an unclosed \\boxed{...}"
    if spec.gold_form == "latex" and not _balanced(gold):
        return f"has unbalanced braces: {gold[:60]!r}"
    return None


def _braces(text: str) -> list[str]:
    """Braces that group: a brace after a backslash is a printed one."""
    return re.findall(r"[{}]", re.sub(r"\\[\\{}]", "", text))


def _balanced(text: str) -> bool:
    depth = 0
    for brace in _braces(text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def _closes(text: str) -> bool:
    """Whether the first group of the text ends in it. `\\boxed 5`, without braces, is a box too."""
    if re.match(r"\\boxed\s+[^{\s]", text):
        return True
    depth = 0
    for brace in _braces(text):
        depth += 1 if brace == "{" else -1
        if depth == 0:
            return True
    return False


def source_of(spec: TaskSpec, found: Mapping[str, Table]) -> object:
    """What identifies the content of a task's items: digests of files, by split, or else the Hub's name and commit.

    Raises TaskError on a file that the task's YAML names and that is not there, or is empty.
    """
    if found:
        return digests(found)
    return {split: _digest(spec, at) for split, at in spec.files} or [spec.hub, spec.revision]


def digests(found: Mapping[str, Table]) -> dict[str, str]:
    """Split -> digest: what of the files enters the identity of what is made from them."""
    return {split: table.digest for split, table in sorted(found.items())}


def _digest(spec: TaskSpec, patterns: Sequence[str]) -> str:
    """Of all files that the patterns mean; what lies elsewhere stands for itself by its address."""
    digest = hashlib.sha256()
    for pattern in patterns:
        if "://" in pattern:
            digest.update(pattern.encode())
            continue
        files = sorted(file for file in glob.glob(pattern, recursive=True) if os.path.isfile(file))
        if not files:
            raise TaskError(f"task {spec.name}: data file {pattern!r} of {spec.yaml.name} does not exist")
        if not any(os.path.getsize(file) for file in files):
            raise TaskError(f"{files[0]}: has no rows")
        for file in files:
            # In a folder, a file's name says which split it is.
            digest.update(file.removeprefix(pattern.rstrip("*")).encode() if pattern.endswith("**") else b"")
            digest.update(_file_digest(file, os.stat(file).st_mtime_ns))
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=256)
def _file_digest(file: str, _changed: int) -> bytes:
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise TaskError(f"{file}: cannot be read ({error.strerror})") from None
