"""Completions that the store has, whichever step they were made for.

A row's id is made of all that its text depends on: weights, engine settings, sampling, prompt and seed. Beside each
shard the ids of its rows are written under `index/<what made them>/<step>/`; a step that wants rows of the same making,
for more items or another split, reads those that are there and asks its engine for the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from capgap_ray.artifacts.step import canonical_json
from capgap_ray.artifacts.store import INDEX, Store, StoreError, StoreUnavailable
from capgap_ray.records import Message, content_id
from capgap_ray.stages.engine import Decoding, Output

_NOT_OF_THE_TEXT = ("samples", "seed", "text_needed", "reading")
"""Fields of `Decoding` that a row's own text does not depend on: its own seed is in its id, and what is only read is
not shared."""


def made_by(weights: str, engine: Mapping[str, Any], task: str) -> str:
    """What rows can share: an identity of weights, the `engine` settings, and a task, so that a search reads little."""
    return content_id(weights, canonical_json(dict(engine)), task)


def row_id(maker: str, decoding: Decoding, chat: Sequence[Message], seed: int | None) -> str:
    """Equal for two rows whose texts must be equal. `maker`: as `made_by` returns it."""
    turns = [text for turn in chat for text in (turn.role, turn.content)]
    return content_id(_family(maker, decoding), str(seed), *turns)


def _family(maker: str, decoding: Decoding) -> str:
    fields = {name: value for name, value in dataclasses.asdict(decoding).items() if name not in _NOT_OF_THE_TEXT}
    return content_id(maker, canonical_json(fields))


def note_rows(
    store: Store, maker: str, decoding: Decoding, shard: str, rows: Sequence[tuple[str, str, int, str]]
) -> None:
    """Write down what lies in the shard (relative to the store): id, example id, sample and engine of each row."""
    noted = [
        {"id": each, "shard": shard, "example_id": example_id, "sample": sample, "engine": engine}
        for each, example_id, sample, engine in rows
    ]
    if noted:
        store.write_rows(_noted_at(maker, decoding, shard), noted)


def find_rows(
    store: Store, maker: str, decoding: Decoding, address: str, ids: Sequence[str]
) -> dict[str, tuple[Output, str]]:
    """Those of the rows that steps other than `address` have: id -> what came back, and the engine that made it.

    A shard that is gone or damaged has none.
    """
    folder = f"{INDEX}/{_family(maker, decoding)}"
    found: dict[str, tuple[Output, str]] = {}
    left = set(ids)
    for step in store.folders(folder):
        if step == address.rpartition("/")[2]:
            continue
        for name in store.files(f"{folder}/{step}"):
            noted = _noted(store.root, f"{folder}/{step}/{name}")
            if hits := left & noted.keys():
                got = _outputs(store, {each: noted[each] for each in hits})
                found |= got
                left -= got.keys()
    return found


def rows_of_shard(
    store: Store, maker: str, decoding: Decoding, shard: str, ids: Sequence[str]
) -> dict[str, tuple[Output, str]]:
    """As `find_rows`, of those that an earlier run left in one shard (relative to the store)."""
    noted = _notes(store, _noted_at(maker, decoding, shard))
    hits = {each: noted[each] for each in ids if each in noted}
    return _outputs(store, hits) if hits else {}


def _noted_at(maker: str, decoding: Decoding, shard: str) -> str:
    _, step, name = shard.split("/", 2)
    return f"{INDEX}/{_family(maker, decoding)}/{step}/{name.replace('/', '-')}"


@lru_cache(maxsize=256)
def _noted(root: str, path: str) -> dict[str, dict[str, Any]]:
    """Kept by the worker process, which does unit after unit; a file that is written again holds the same and more."""
    return _notes(Store(root), path)


def _notes(store: Store, path: str) -> dict[str, dict[str, Any]]:
    try:
        return {row["id"]: row for row in store.read_rows(path)}
    except StoreUnavailable:
        raise
    except StoreError:
        return {}


def _outputs(store: Store, noted: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Output, str]]:
    try:
        rows = store.read_rows(next(iter(noted.values()))["shard"])
    except StoreUnavailable:
        raise
    except StoreError:
        return {}
    of = {(row["example_id"], row["sample"]): row for row in rows}
    names = [field.name for field in dataclasses.fields(Output)]
    return {
        each: (Output(**{name: row[name] for name in names}), note["engine"])
        for each, note in noted.items()
        if (row := of.get((note["example_id"], note["sample"]))) is not None
    }
