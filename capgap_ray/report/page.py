"""The report as one static HTML page that needs no network, no script and no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from capgap_ray.records import Results
from capgap_ray.report import figures, findings, formats, tables

_SHOWN = 200
"""Disagreements on the page; the page says how many there are, and the CSV file has them all."""
_NUMERIC = re.compile(r"[<+-]?[0-9][0-9.e+-]*")


def render(results: Results) -> str:
    """Return the page. The same results give the same text.

    All text of models, data and experiment goes through the template's autoescape; the only markup
    passed as it is are the SVG figures, whose text matplotlib escapes.
    """
    import jinja2
    from markupsafe import Markup

    template = resources.files("capgap_ray.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    recipes, same_recipe = tables.split_constant(tables.recipes(results), keep=8)
    disagreements = tables.disagreements(results)
    unpooled = findings.pooled_accuracies(results)[1]

    def drawn(panels: Sequence[figures.Panel]) -> list[dict[str, Any]]:
        return [{"title": p.title, "alt": p.alt, "svg": Markup(p.svg)} for p in panels]

    html = environment.from_string(template).render(
        results=results,
        dash=formats.DASH,
        answer=findings.answer(results),
        tasks=findings.pooled_tasks(results),
        unpooled=unpooled,
        unfair=findings.pairs(results.comparisons, confounded=True),
        clean=tables.clean(results),
        accuracy_panels=drawn(figures.accuracy_by_size(results)),
        gain_panels=drawn(figures.gain_by_task(results)),
        loss_panels=drawn(figures.loss_curves(results)),
        numeric=_numeric,
        verdicts=tables.verdicts(results),
        pooled=tables.pooled(results),
        gains=tables.gains(results),
        losses=tables.losses(results),
        selection=tables.selection(results),
        train=tables.accuracies(results, "train"),
        test=tables.accuracies(results, "test"),
        samples=tables.samples(results),
        protocols=tables.protocols(results),
        below_chance=findings.below_chance(results),
        judge_errors=tables.judge_errors(results),
        judge_corrected=tables.judge_corrected(results),
        disagreements=tables.Table(disagreements.header, disagreements.rows[:_SHOWN]),
        disagreements_in_all=len(disagreements.rows),
        yields=tables.yields(results),
        mixtures=tables.mixtures(results),
        mixture_tasks=tables.mixture_tasks(results),
        recipes=recipes,
        same_recipe=same_recipe,
        comparisons=tables.comparisons(results),
        stages=tables.stages(results),
        versions=tables.versions(results),
    )
    # A lone surrogate, legal in JSON, could not be written to a UTF-8 file.
    return html.encode("utf-8", "replace").decode("utf-8")


def _numeric(table: tables.Table) -> list[bool]:
    """Tell which columns hold only numbers and dashes, to set them flush right."""
    columns = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.header)
    return [all(cell == formats.DASH or _NUMERIC.fullmatch(cell) for cell in column) for column in columns]
