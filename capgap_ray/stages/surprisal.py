"""Untouched students read their teachers' traces before any training: which ones, and what came of it.

A reading is a slice like any other (`slices.py`), of texts that are given and only read. It goes in one queue with
the student's own answers, so that no engine starts and no weights are swapped for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capgap_ray.artifacts.step import Step, canonical_json
from capgap_ray.artifacts.store import Store
from capgap_ray.core.surprisal import summarise
from capgap_ray.records import TraceReading, TrainingExample, content_id
from capgap_ray.rows import from_row, to_row
from capgap_ray.settings import Sft
from capgap_ray.stages.curate import kept_pools
from capgap_ray.stages.engine import Decoding, Layout
from capgap_ray.stages.inference import UNIT_ROWS
from capgap_ray.stages.sft_data import rendering
from capgap_ray.stages.slices import Receipt, Slice, commit_completions


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a `surprisal` step has to read."""

    slices: tuple[Slice, ...]
    kept: int
    """Traces that the filter kept, of which `drawn` are read."""
    drawn: int


def draw(traces: Sequence[TrainingExample], most: int, seed: int) -> list[TrainingExample]:
    """Return at most `most` of the traces, in their order; fewer are among more.

    Items are drawn in one order whatever the teacher, so that two teachers are read on the same items where both
    solved them.
    """
    seen: Counter[str] = Counter()
    order = []
    for index, trace in enumerate(traces):
        order.append((content_id(str(seed), trace.example_id, str(seen[trace.example_id])), index))
        seen[trace.example_id] += 1
    return [traces[index] for index in sorted(index for _, index in sorted(order)[:most])]


def draw_all(store: Store, steps: Iterable[tuple[Step, str, str, Layout | None]]) -> dict[Step, Drawn]:
    """Draw what the steps read, write it down, and cut it into slices; each step with the source, name and engine
    layout of the student that reads. Students of one filter and teacher read the same traces.
    """
    pools: dict[tuple[str, ...], list[TrainingExample]] = {}
    made = {}
    for step, source, model, layout in steps:
        params = step.params
        role = params["teacher"]
        key = (role, canonical_json(params["filter"]), *(each.key for each in step.inputs))
        if key not in pools:
            pools[key] = list(kept_pools(store, step, [role])[0].rows[role])
        rows = draw(pools[key], params["traces"], params["seed"])
        requests = f"{step.address}/rows/traces.parquet"
        store.write_rows(requests, [to_row(row) for row in rows])
        slices = [
            Slice(
                address=step.address,
                shard=f"rows/{start:09d}.parquet",
                source=source,
                model=model,
                requests=requests,
                start=start,
                stop=min(start + UNIT_ROWS, len(rows)),
                decoding=Decoding(
                    temperature=0.0,
                    top_p=1.0,
                    max_tokens=1,
                    stop=(),
                    seed=0,
                    template=params.get("chat_template"),
                    reading=rendering(Sft(**params["rendering"])),
                ),
                layout=layout,
            )
            for start in range(0, len(rows), UNIT_ROWS)
        ]
        made[step] = Drawn(slices=tuple(slices), kept=len(pools[key]), drawn=len(rows))
    return made


def commit_surprisal(
    store: Store, step: Step, drawn: Drawn, landed: Sequence[tuple[Slice, Receipt]], seconds: float
) -> None:
    """Make what was read, and its summary, the step's result. Rows that could not be read are counted, whatever their
    share: training leaves out the same ones, but for those beyond the engine's context.
    """
    shards = [f"{each.address}/{each.shard}" for each, _ in landed]
    readings = [from_row(TraceReading, row) for shard in shards for row in store.read_rows(shard)]
    summary = summarise(readings, kept=drawn.kept, drawn=drawn.drawn)
    commit_completions(store, step, landed, seconds, max_error_share=1.0, more={"read": to_row(summary)})
