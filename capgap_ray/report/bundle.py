"""The report as a folder: the page, and beside it every figure as SVG and PNG, every table as CSV and Parquet, and
all predictions as one Parquet table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from capgap_ray.records import Findings
from capgap_ray.report import findings, formats, page, tables
from capgap_ray.report.items import ROW, Items, TaskSource, collect
from capgap_ray.results import Results
from capgap_ray.rows import to_row

_WHOLE, _DECIMAL = "int64", "float64"


def report_files(results: Results, tasks: Sequence[TaskSource] = ()) -> Iterator[tuple[str, bytes]]:
    """Yield (path in the report's folder, contents) of every file, the page last; `tasks` is where items are read."""
    items = None
    if tasks:
        items, predictions = item_table(tasks)
        yield "items.parquet", predictions
    yield "results.json", json.dumps(to_row(results), indent=1).encode()
    every = tables.everything(findings.completed(results))
    if items:
        every["flips"] = tables.flips(items)
    for name, table in every.items():
        yield f"tables/{name}.csv", tables.as_csv(table).encode("utf-8", "replace")
        yield f"tables/{name}.parquet", as_parquet(table)
    drawn = page.all_figures(results)
    for figure in drawn:
        for i, panel in enumerate(figure.panels, start=1):
            yield f"figures/{figure.name}_{i}.svg", panel.svg.encode("utf-8", "replace")
            yield f"figures/{figure.name}_{i}.png", panel.png()
    yield "index.html", page.render(results, items, drawn).encode()


def results_of(found: Findings, *, experiment: str, command: str, made_at: str, versions: Mapping[str, str]) -> Results:
    """Return results made elsewhere as the page takes them: what was found, and nothing else."""
    return Results(
        experiment=experiment,
        command=command,
        made_at=made_at,
        versions=dict(versions),
        experiment_yaml="",
        selection=found.selection,
        accuracies=(),
        filters=(),
        mixtures=(),
        checkpoints=(),
        comparisons=(),
        verdicts=(),
        protocols=(),
        judge_audit=None,
        stage_seconds={},
        findings=found,
    )


def item_table(tasks: Sequence[TaskSource]) -> tuple[Items, bytes]:
    """Read all items once: what the page shows of them, and the full table as Parquet, a row per prediction."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in ROW.items()])
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:

        def write(rows: Sequence[Mapping[str, Any]]) -> None:
            writer.write_table(pa.Table.from_pylist(list(rows), schema=schema))

        items = collect(tasks, write)
    return items, sink.getvalue().to_pybytes()


def as_parquet(table: tables.Table) -> bytes:
    """Return the table as Parquet: columns of numbers as numbers, the dash as null, everything else as text.

    Numbers are rounded as on the page; `results.json` has them in full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(zip(*table.rows, strict=True)) if table.rows else [()] * len(table.header)
    arrays = [_column(column) for column in columns]
    made = pa.table([pa.array(values, type=kind) for values, kind in arrays], names=list(table.header))
    sink = pa.BufferOutputStream()
    pq.write_table(made, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _column(cells: Sequence[str]) -> tuple[list[Any], str]:
    known = [None if cell == formats.DASH else cell for cell in cells]
    for kind, read in ((_WHOLE, _whole), (_DECIMAL, float)):
        values = _all(read, known)
        if values is not None and any(value is not None for value in values):
            return values, kind
    return [cell and cell.encode("utf-8", "replace").decode() for cell in known], "string"


def _whole(cell: str) -> int:
    if not cell.lstrip("+-").isdecimal():
        raise ValueError(cell)
    return int(cell)


def _all(read: Callable[[str], int | float], cells: Sequence[str | None]) -> list[Any] | None:
    try:
        return [None if cell is None else read(cell) for cell in cells]
    except (ValueError, OverflowError):
        return None
