"""The report as a folder."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from capgap_ray.report import bundle, tables
from capgap_ray.report.items import TaskSource
from capgap_ray.report.tables import Table
from capgap_ray.results import Results


@pytest.fixture(scope="module")
def files(results: Results, make_source: Callable[..., TaskSource]) -> dict[str, bytes]:
    return dict(bundle.report_files(results, [make_source(task, 20) for task in ("boxes", "dates")]))


def test_every_link_of_the_page_has_its_file(files: dict[str, bytes]) -> None:
    assert list(files)[-1] == "index.html"
    links = set(re.findall(r'href="([^"#]+)"', files["index.html"].decode()))
    assert links and links <= set(files)
    figures = {name for name in files if name.startswith("figures/")}
    assert figures <= links and len(figures) == 2 * 20


def test_pictures_are_pictures(files: dict[str, bytes]) -> None:
    pictures = [data for name, data in files.items() if name.endswith(".png")]
    assert all(data.startswith(b"\x89PNG") for data in pictures)
    drawings = [data for name, data in files.items() if name.endswith(".svg")]
    assert all(b"<svg" in data and b"var(--" not in data for data in drawings)


def test_tables_as_parquet_hold_numbers_and_nulls(results: Results, files: dict[str, bytes]) -> None:
    found = pq.read_table(io.BytesIO(files["tables/comparisons.parquet"]))
    assert found.num_rows == len(results.comparisons)
    assert {found.schema.field(name).type for name in ("change", "detectable alone")} == {"double"}
    assert found.schema.field("n").type == "int64" and found["change"].null_count == 1


def test_columns_of_parquet() -> None:
    table = Table(("a", "b", "c", "d"), (("1", "—", "<0.001", "+1.5"), ("-2", "—", "0.5", "nan")))
    found = pq.read_table(io.BytesIO(bundle.as_parquet(table)))
    assert [str(each) for each in found.schema.types] == ["int64", "string", "string", "double"]
    assert found["a"].to_pylist() == [1, -2] and found["b"].to_pylist() == [None, None]
    empty = pq.read_table(io.BytesIO(bundle.as_parquet(Table(("a",), ()))))
    assert empty.column_names == ["a"] and empty.num_rows == 0


def test_formulas_are_inert_in_csv() -> None:
    cells = ("=1+1", "+cmd", "-1", "+1.5", "@x", " =1", "\t=1", "plain")
    rows = tables.as_csv(Table(tuple("abcdefgh"), (cells,))).splitlines()[1]
    assert rows == "'=1+1,'+cmd,-1,+1.5,'@x,' =1,'\t=1,plain"


def test_without_items_the_page_says_so(results: Results, tasks: tuple[TaskSource, ...]) -> None:
    made = dict(bundle.report_files(results))
    assert "items.parquet" not in made
    assert "made from results without single predictions" in made["index.html"].decode()
