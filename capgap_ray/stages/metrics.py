"""What a run counts, for Ray's Prometheus endpoint; `jobs/grafana.json` shows it.

Prometheus reads `ray_<name>_total` of a counter and `ray_<name>` of a gauge. Labels are names of stages, models and
reasons; never texts, places or keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from ray.util.metrics import Counter, Gauge

from capgap_ray.stages.slices import Landed

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "capgap_completions": ("Completions made", ("model",)),
    "capgap_completion_tokens": ("Tokens generated", ("model",)),
    "capgap_prompt_tokens": ("Tokens read", ("model",)),
    "capgap_truncated": ("Completions cut off by their token budget", ("model",)),
    "capgap_quarantined": ("Rows without a completion", ("model", "reason")),
    "capgap_rationales": ("Teacher rationales that went through a mixture's filter", ("teacher", "fate")),
    "capgap_judge_calls": ("Questions put to the judge", ("judge",)),
    "capgap_swaps": ("Weights of another model taken into a standing engine", ()),
}
"""Name -> what it counts, and its labels."""
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "capgap_cells": ("Cells of the grid, by state: built, waiting, failed", ("state",)),
}


@cache
def _counter(name: str) -> Counter:
    description, labels = COUNTERS[name]
    return Counter(name, description=description, tag_keys=labels)


@cache
def _gauge(name: str) -> Gauge:
    description, labels = GAUGES[name]
    return Gauge(name, description=description, tag_keys=labels)


def add(name: str, amount: float, **labels: str) -> None:
    """Add to a counter of `COUNTERS`; nothing where the amount is 0, which Ray refuses."""
    if amount:
        _counter(name).inc(amount, labels)


def put(name: str, value: float, **labels: str) -> None:
    """Set a gauge of `GAUGES`."""
    _gauge(name).set(value, labels)


def count_landed(landed: Landed) -> None:
    """Count what one engine call came to, once its shards are written; what an earlier run wrote was counted there."""
    if not landed.seconds:
        return
    for each, receipt in zip(landed.slices, landed.receipts, strict=True):
        add("capgap_completions", receipt.rows, model=each.model)
        add("capgap_completion_tokens", receipt.tokens, model=each.model)
        add("capgap_prompt_tokens", receipt.prompt_tokens, model=each.model)
        add("capgap_truncated", receipt.truncated, model=each.model)
        for reason, number in receipt.quarantined.items():
            add("capgap_quarantined", number, model=each.model, reason=reason)


def count_filters(reports: Iterable[Mapping[str, Any]]) -> None:
    """Count a mixture's filter reports, as `records.FilterReport` in rows."""
    for report in reports:
        add("capgap_rationales", report["kept"], teacher=report["teacher"], fate="kept")
        add("capgap_rationales", report["seen"] - report["kept"], teacher=report["teacher"], fate="dropped")


def tell_cells(cells: int, built: int, failed: int) -> None:
    """How far the grid is."""
    for state, number in (("built", built), ("failed", failed), ("waiting", cells - built - failed)):
        put("capgap_cells", number, state=state)
