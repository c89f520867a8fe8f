"""What a run counts, for Ray's Prometheus endpoint; `jobs/grafana.json` shows it.

Prometheus reads `ray_<name>_total` of a counter and `ray_<name>` of a gauge. Labels are names of stages, models and
reasons; never texts, places or keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ray.util.metrics import Counter, Gauge

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "capgap_completions": ("Completions made", ("model",)),
    "capgap_completion_tokens": ("Tokens generated", ("model",)),
    "capgap_prompt_tokens": ("Tokens read", ("model",)),
    "capgap_truncated": ("Completions cut off by their token budget", ("model",)),
    "capgap_quarantined": ("Rows without a completion", ("model", "reason")),
    "capgap_rationales": ("Teacher rationales that went through the filter", ("teacher", "fate")),
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


def count_completions(
    model: str, rows: int, tokens: int, prompt_tokens: int, truncated: int, quarantined: Mapping[str, int]
) -> None:
    """What one shard came to, once it is written."""
    add("capgap_completions", rows, model=model)
    add("capgap_completion_tokens", tokens, model=model)
    add("capgap_prompt_tokens", prompt_tokens, model=model)
    add("capgap_truncated", truncated, model=model)
    for reason, number in quarantined.items():
        add("capgap_quarantined", number, model=model, reason=reason)


def tell_cells(cells: int, built: int, failed: int) -> None:
    """How far the grid is."""
    for state, number in (("built", built), ("failed", failed), ("waiting", cells - built - failed)):
        put("capgap_cells", number, state=state)
