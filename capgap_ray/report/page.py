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

from capgap_ray.records import Results
from capgap_ray.report import drawing, figures, findings, formats, tables
from capgap_ray.report.items import Items

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
    tasks = formats.count(len(findings.pooled_tasks(results)), "selected task")
    return (
        Figure(
            "accuracy_by_size",
            "Accuracy against student size",
            figures.accuracy_by_size(results),
            f"Right answers over all test items of {tasks}. "
            "Bars: 95 % Wilson intervals over items; they hold no variation between training seeds. Points of one size "
            "are set apart a little so that bars stay visible. Dashed grey: the teachers themselves.",
            "No student has test scores on every selected task, and nothing is averaged over nothing.",
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
            "No distilled student has scores on every selected task.",
            "updates",
        ),
        Figure(
            "loss_curves",
            "Training loss",
            figures.loss_curves(results),
            "Mean loss over supervised tokens after each update. Curves of different length are stretched to the same "
            "width; those of more than 200 updates are drawn as means of 200 stretches.",
            "No training loss was recorded.",
            "losses",
        ),
        Figure(
            "data_yield",
            "Data yield: what the filter kept of each teacher's rationales",
            figures.data_yield(results),
            "A teacher whose rationales pass more often trains its student on more rows, which is an advantage of "
            "quantity, not of quality.",
            "No teacher's rationales were filtered.",
            "yields",
        ),
        Figure(
            "cost_and_accuracy",
            "Serving cost against accuracy",
            figures.cost_and_accuracy(results),
            "Compute to write one answer: 2 × parameters × mean output tokens, the prompt left out. Every trained arm "
            "is shown.",
            "No model has test scores on every selected task.",
            "costs",
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

    style, script = source("page.css"), source("page.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    every = tables.everything(results)
    if items:
        every["flips"] = tables.flips(items)
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
    """What the head of the page says of each student, with its interval as shares of the drawing's width."""
    sizes = {a.student: a.parameters for a in results.accuracies if a.student}
    pooled = [(v, findings.best_gain(results, v)) for v in results.verdicts if v.task == findings.POOLED]
    ends = [abs(x) for _, gain in pooled if gain for x in (gain.ci_low, gain.ci_high) if x is not None]
    reach = max(ends, default=0.0) or 1.0

    def place(share: float) -> float:
        return round(50 + 46 * share / reach, 2)

    told = []
    for verdict, gain in pooled:
        known = gain and gain.delta is not None and gain.ci_low is not None and gain.ci_high is not None
        told.append(
            {
                "name": verdict.student,
                "size": formats.size(sizes[verdict.student]) if sizes.get(verdict.student) else None,
                "verdict": verdict,
                "gain": gain,
                "arm": findings.short(gain.right, gain.student) if gain else None,
                "delta": formats.signed(gain.delta) if gain else None,
                "low": formats.signed(gain.ci_low) if gain else None,
                "high": formats.signed(gain.ci_high) if gain else None,
                "p": formats.p_value(gain.p_adjusted) if gain else None,
                "mde": formats.points(gain.mde) if gain and gain.mde is not None else None,
                "bar": [place(x) for x in (gain.ci_low, gain.delta, gain.ci_high)] if gain and known else None,  # type: ignore[arg-type]
            }
        )
    return told


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _numeric(table: tables.Table) -> list[bool]:
    """Tell which columns hold only numbers and dashes, to set them flush right."""
    columns = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.header)
    return [all(cell == formats.DASH or _NUMERIC.fullmatch(cell) for cell in column) for column in columns]
