"""Slices of what a step wants from a model: their files in the store, and the result that they become.

A slice's rows are a shard, those without a completion a quarantine table beside it; the receipt, written last, counts
both and says that the shard is whole.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from capgap_ray.artifacts.step import Step
from capgap_ray.artifacts.store import Store
from capgap_ray.records import Completion, Quarantined, TraceReading
from capgap_ray.rows import from_row, to_row
from capgap_ray.stages.engine import Decoding, Layout
from capgap_ray.stages.weights import split_source


class InferenceError(RuntimeError):
    """Inference that cannot go on; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that one step wants from a model."""

    address: str
    """The step that the rows belong to."""
    shard: str
    """Where they are written, relative to the step's address."""
    source: str
    """Folder or Hub id of the model, `::` and a folder after it for an adapter on it."""
    model: str
    """The model's name in the rows."""
    requests: str
    """Table of `Request` rows, relative to the store; of `TrainingExample` rows where they are read only
    (`decoding.reading`), each once."""
    start: int
    stop: int
    """Requests, not completions: each is answered `decoding.samples` times."""
    decoding: Decoding
    trained_by: str | None = None
    """Address of the step whose record may hold the model's canary; None: only a file beside the weights may."""
    layout: Layout | None = None
    """Of the engine that the model needs; None: any that `resources.engine_gpus` describes."""
    maker: str | None = None
    """What its rows can be shared by, from `known_rows.made_by`; None: with nobody."""

    @property
    def rows(self) -> int:
        """Completions, if none is quarantined."""
        return (self.stop - self.start) * self.decoding.samples

    @property
    def base(self) -> str:
        return split_source(self.source)[0]

    @property
    def adapter(self) -> str | None:
        return split_source(self.source)[1]

    def beside(self, ending: str) -> str:
        """A file that belongs to the shard, relative to the store."""
        return f"{self.address}/{self.shard.removesuffix('.parquet')}{ending}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one slice came to. Its file is written last and says that the shard is whole."""

    rows: int
    tokens: int
    prompt_tokens: int
    truncated: int
    quarantined: dict[str, int]
    """Reason -> rows."""
    example: str
    """One quarantined row in words; empty where there is none."""
    engines: tuple[str, ...]
    """Fingerprints of the engines that made the rows."""
    reused: int
    """Rows that another step had, or an earlier run of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """Slices whose shards are written."""

    slices: Sequence[Slice]
    receipts: Sequence[Receipt]
    seconds: float
    """Of their engine call, waiting left out; 0 for what an earlier run wrote."""


def read_receipt(store: Store, each: Slice) -> Receipt | None:
    """None where there is none, or one that another version wrote."""
    path = each.beside(".json")
    if not store.exists(path):
        return None
    try:
        return from_row(Receipt, json.loads(store.read_bytes(path)))
    except ValueError:
        return None


def land(
    store: Store,
    each: Slice,
    rows: Sequence[Completion | TraceReading],
    quarantined: Sequence[Quarantined],
    note: Callable[[str], None] = lambda shard: None,
    *,
    prompt_tokens: int,
    engines: tuple[str, ...],
    tokens: int = 0,
    truncated: int = 0,
    reused: int = 0,
) -> Receipt:
    """Write the slice's quarantine table and shard, `note` the shard, and write the receipt last."""
    receipt = Receipt(
        rows=len(rows),
        tokens=tokens,
        prompt_tokens=prompt_tokens,
        truncated=truncated,
        quarantined=dict(Counter(row.reason for row in quarantined)),
        example=f"{quarantined[0].example_id}: {quarantined[0].detail}" if quarantined else "",
        engines=engines,
        reused=reused,
    )
    if quarantined:
        store.write_rows(each.beside(".quarantine.parquet"), [to_row(row) for row in quarantined])
    shard = f"{each.address}/{each.shard}"
    store.write_rows(shard, [to_row(row) for row in rows])
    note(shard)
    store.write_bytes(each.beside(".json"), json.dumps(to_row(receipt)).encode())
    return receipt


def commit_completions(
    store: Store,
    step: Step,
    landed: Sequence[tuple[Slice, Receipt]],
    seconds: float,
    max_error_share: float,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Make the slices, in order, the step's result, with `more` in its summary. Raises what `check_quarantine` does."""
    receipts = [receipt for _, receipt in landed]
    reasons = check_quarantine(store, step.label, landed, max_error_share)
    tables = [each.beside(".quarantine.parquet") for each, receipt in landed if receipt.quarantined]
    summary = {
        "rows": sum(receipt.rows for receipt in receipts),
        "tokens": sum(receipt.tokens for receipt in receipts),
        "prompt_tokens": sum(receipt.prompt_tokens for receipt in receipts),
        "truncated": sum(receipt.truncated for receipt in receipts),
        "quarantined": dict(sorted(reasons.items())),
        "quarantine_tables": [table.removeprefix(f"{step.address}/") for table in tables],
        "engines": sorted({engine for receipt in receipts for engine in receipt.engines}),
        "reused": sum(receipt.reused for receipt in receipts),
        **more,
    }
    shards = [f"{step.address}/{each.shard}" for each, _ in landed]
    store.commit(step, f"{step.address}/rows", summary, seconds, tables=shards)


def check_quarantine(
    store: Store, what: str, landed: Sequence[tuple[Slice, Receipt]], max_error_share: float
) -> Counter[str]:
    """Reason -> quarantined rows. Raises InferenceError, which names `what`, if they are too many of all rows."""
    reasons: Counter[str] = Counter()
    for _, receipt in landed:
        reasons.update(receipt.quarantined)
    lost, rows = reasons.total(), sum(receipt.rows for _, receipt in landed)
    if lost > max_error_share * (lost + rows):
        each, receipt = next((each, receipt) for each, receipt in landed if receipt.quarantined)
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        table = store.local_path(each.beside(".quarantine.parquet"))
        raise InferenceError(
            f"{what}: {lost} of {lost + rows} rows are quarantined ({counted}), more than max_error_share "
            f"{max_error_share:g}; first {receipt.example}. All in {table}"
        )
    return reasons
