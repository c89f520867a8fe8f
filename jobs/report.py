"""Make the report again from what the store holds; nothing is built, and Ray is not started.

    python jobs/report.py [EXPERIMENT.yaml] [--store PLACE] [--set FIELD=VALUE]

Or say what results made elsewhere mean:

    python jobs/report.py --results FILE [--json] [--page FOLDER] [--rule NAME] [--weaker TEACHER]

FILE is Parquet, CSV or JSONL with task, student, teacher (empty: before distillation), item, correct, and optionally
seed, sample, size, recipe, outcome, tokens, prompt, engine; or task, student, teacher, accuracy, n. `--json` prints
the verdicts in the form that `capgap_ray/core/findings.py` documents. `--page` writes the HTML page, its figures and
tables into a folder. `--rule` adds what one of the paper's plain readings (E0 to E9, G1 to G7) says. Exit status 2:
nothing can be said, and why.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capgap_ray.records import Findings


def main() -> None:
    if any(argument.split("=")[0] == "--results" for argument in sys.argv[1:]):
        _results()
        return
    from capgap_ray.flow import finish, open_run, show_plan, stored

    run = open_run(__doc__, builds=False)
    if run.dry_run:
        show_plan(run)
        return
    finish(run, stored(run))


def _results() -> None:
    from capgap_ray.core.findings import find, nothing_compared
    from capgap_ray.report.findings_text import findings_text
    from capgap_ray.report.formats import plain
    from capgap_ray.results_file import read
    from capgap_ray.rows import to_row

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", required=True, metavar="FILE", help="Parquet, CSV or JSONL")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.add_argument("--page", metavar="FOLDER", help="write the HTML page, its figures and tables there")
    parser.add_argument("--rule", metavar="NAME", help="a plain reading of the paper: E0 to E9, G1 to G7")
    parser.add_argument("--weaker", metavar="TEACHER", help="the weaker teacher, where sizes and names do not tell")
    arguments = parser.parse_args()
    try:
        found = find(read(arguments.results), rule=arguments.rule, weaker=arguments.weaker)
    except ValueError as error:
        print(f"error: {plain(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    print(json.dumps(to_row(found), indent=1, allow_nan=False) if arguments.json else findings_text(found))
    if arguments.page:
        _write_page(found, arguments.results, arguments.page)
    if (why := nothing_compared(found)) is not None:
        print(f"error: {plain(why)}", file=sys.stderr)
        raise SystemExit(2)


def _write_page(found: Findings, file: str, folder: str) -> None:
    import datetime
    import shlex
    from importlib.metadata import version
    from pathlib import Path

    from capgap_ray.report.bundle import report_files, results_of

    results = results_of(
        found,
        experiment=Path(file).name,
        command=shlex.join(["python", *sys.argv]),
        made_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={"capgap-ray": version("capgap-ray")},
    )
    try:
        for name, contents in report_files(results):
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)
    except OSError as error:
        print(f"error: --page {folder}: cannot be written ({error}); give another folder", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"page: {Path(folder) / 'index.html'}", file=sys.stderr)


if __name__ == "__main__":
    main()
