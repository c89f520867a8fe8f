"""The report as one static HTML page that needs no network and no other file.

The page's own script sorts and filters tables and pages through items. Its policy lets that one script and one style
sheet run, by their hashes, and nothing else; text of models, data and experiment stays text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

from capgap_ray.records import Comparison
from capgap_ray.report import drawing, figures, findings, formats, tables
from capgap_ray.report.items import Items
from capgap_ray.results import Results

ROWS = 600
"""Rows of a table on the page; the page says how many there are, and the files beside it have them all."""
_NUMERIC = re.compile(r"[<+-]?[0-9][0-9.e+-]*")


class Figure(NamedTuple):
    """A figure of the page and of the files beside it."""

    name: str
    title: str
    panels: Sequence[drawing.Panel]
    caption: str
    missing: str
    """Said where there is nothing to draw."""
    table: str
    """Name of the table behind it (`tables.everything`)."""


def all_figures(results: Results) -> tuple[Figure, ...]:
    """Draw every figure, in the page's order."""
    results = findings.completed(results)
    tasks = findings.counted_tasks(results, len(findings.pooled_tasks(results)))
    # Nothing is missed in results made elsewhere, which come without training.
    trained = bool(results.accuracies) or results.findings is None
    return (
        Figure(
            "accuracy_by_size",
            "Accuracy against student size",
            figures.accuracy_by_size(results),
            f"Right answers over all test items of {tasks}. "
            "Bars: 95 % Wilson intervals over items; they hold no variation between training seeds. Points of one size "
            "are set apart a little so that bars stay visible. Dashed grey: the teachers themselves.",
            "No student of known size has test scores on all of these tasks, and nothing is averaged over nothing.",
            "pooled",
        ),
        Figure(
            "gain_by_task",
            "Gain per task",
            figures.gain_by_task(results),
            "Distilled minus untouched student, paired by item, with 95 % intervals; the largest losses first. A "
            "hollow marker is a confounded comparison. All panels share one scale and one order.",
            "No gain was measured: it needs a distilled student and its untouched self on the same items.",
            "gains",
        ),
        Figure(
            "advantage_by_size",
            "Which teacher's student is ahead, by student size",
            figures.advantage_by_size(results),
            "Difference in pooled accuracy of two mixtures under one recipe, paired by item, with 95 % intervals. "
            "Where a bar crosses zero the two cannot be told apart. A hollow marker is a confounded comparison.",
            "No two mixtures were compared under one recipe over all tasks.",
            "advantages",
        ),
        Figure(
            "accuracy_by_updates",
            "Accuracy against optimizer updates",
            figures.accuracy_by_updates(results),
            "Each point is a trained student at the end of its training, with a 95 % Wilson interval. Arms far apart "
            "from left to right had unequal training: a difference between them may be one of updates, not teachers.",
            "No distilled student has scores on every selected task." if trained else "",
            "updates",
        ),
        Figure(
            "progress",
            "Accuracy on the way through training",
            figures.progress(results),
            "By the rules, over all test items, at exports on the way; update 0 is the untouched student. Bands: 95 % "
            "Wilson intervals.",
            "",
            "progress",
        ),
        Figure(
            "loss_curves",
            "Training loss",
            figures.loss_curves(results),
            "Mean loss over supervised tokens after each update. Curves of different length are stretched to the same "
            "width; those of more than 200 updates are drawn as means of 200 stretches.",
            "No training loss was recorded." if trained else "",
            "losses",
        ),
        Figure(
            "data_yield",
            "Data yield: what the filter kept of each teacher's rationales",
            figures.data_yield(results),
            "A teacher whose rationales pass more often trains its student on more rows, which is an advantage of "
            "quantity, not of quality.",
            "No teacher's rationales were filtered." if trained else "",
            "yields",
        ),
        Figure(
            "cost_and_accuracy",
            "Serving cost against accuracy",
            figures.cost_and_accuracy(results),
            "Compute to write one answer: 2 × parameters × mean output tokens, the prompt left out. Every trained arm "
            "is shown.",
            "No model has test scores on every selected task." if trained else "",
            "costs",
        ),
        Figure(
            "selection_threshold",
            "How many tasks each threshold of the gap would select",
            figures.selection_threshold(results),
            "The gap is the teachers' few-shot lead over the untouched students. The band: tasks that the 95 % "
            "interval of their gap puts surely above the threshold, to those that it does not put surely below.",
            "",
            "thresholds",
        ),
    )


def render(results: Results, items: Items | None = None, drawn: Sequence[Figure] | None = None) -> str:
    """Return the page. The same input gives the same text; `drawn` saves drawing the figures again.

    All text of models, data and experiment goes through the template's autoescape or `formats.inert_json`; the only
    markup passed as it is are the figures, whose text is escaped where they are made.
    """
    import jinja2
    from markupsafe import Markup

    def source(name: str) -> str:
        return resources.files("capgap_ray.report").joinpath(name).read_text(encoding="utf-8")

    results = findings.completed(results)
    style, script = source("page.css"), source("page.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    every = tables.everything(results)
    if items:
        every["flips"] = tables.flips(items)
    every = {name: _without_recipe(table) for name, table in every.items()}
    every["recipes"], same_recipe = tables.split_constant(every["recipes"], keep=8)
    figured = [
        {
            "figure": figure,
            "svgs": [Markup(p.inline(f"{figure.name}-{i}")) for i, p in enumerate(figure.panels, start=1)],
        }
        for figure in drawn or all_figures(results)
    ]
    html = environment.from_string(source("page.html")).render(
        results=results,
        items=items,
        style=Markup(style),
        script=Markup(script),
        item_json=Markup(items.json if items else ""),
        policy="; ".join(
            (
                "default-src 'none'",
                f"script-src '{_hash(script)}'",
                f"style-src '{_hash(style)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        dash=formats.DASH,
        headline=findings.headline(results),
        answer=findings.answer(results),
        gaps=findings.gap_sentences(results),
        students=_students(results),
        unpooled=findings.pooled_accuracies(results)[1],
        unfair=findings.pairs(results.comparisons, confounded=True),
        below_chance=findings.below_chance(results),
        figures=figured,
        tables=every,
        same_recipe=same_recipe,
        numeric=_numeric,
        rows=ROWS,
    )
    # A lone surrogate, legal in JSON, could not be written to a UTF-8 file.
    return html.encode("utf-8", "replace").decode("utf-8")


def _students(results: Results) -> list[dict[str, Any]]:
    """What the head of the page says of each student, with its interval as places in a drawing 100 wide."""
    known = findings.sizes(results)
    told = findings.advice(results)
    ends = [x for each in told if each.gain for x in (each.gain.ci_low, each.gain.ci_high) if x is not None]
    reach = max(map(abs, ends), default=0.0) or 1.0

    def bar(gain: Comparison | None) -> list[float] | None:
        if gain is None or gain.delta is None or gain.ci_low is None or gain.ci_high is None:
            return None
        return [round(50 + 46 * share / reach, 2) for share in (gain.ci_low, gain.delta, gain.ci_high)]

    return [
        {
            "advice": each,
            "size": formats.size(known[each.student]) if each.student in known else None,
            "delta": formats.signed(each.gain.delta) if each.gain else formats.DASH,
            "low": formats.signed(each.gain.ci_low) if each.gain else formats.DASH,
            "high": formats.signed(each.gain.ci_high) if each.gain else formats.DASH,
            "p": formats.p_value(each.gain.p_adjusted) if each.gain else formats.DASH,
            "bar": bar(each.gain),
        }
        for each in told
    ]


def _without_recipe(table: tables.Table) -> tables.Table:
    """Drop the recipe column where there is one recipe without a name."""
    at = [i for i, name in enumerate(table.header) if name != "recipe" or any(r[i] != formats.DASH for r in table.rows)]
    return tables.Table(tuple(table.header[i] for i in at), tuple(tuple(row[i] for i in at) for row in table.rows))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _numeric(table: tables.Table) -> list[bool]:
    """Tell which columns hold only numbers and dashes, to set them flush right."""
    columns = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.header)
    return [
        all(cell == formats.DASH or _NUMERIC.fullmatch(cell) for cell in column) and set(column) != {formats.DASH}
        for column in columns
    ]
