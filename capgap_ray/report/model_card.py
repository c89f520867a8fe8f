"""The card of a trained student: where it comes from, how it was trained, and whether it is better than before."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence

from capgap_ray.catalog.licenses import HUB_LICENSES
from capgap_ray.core.recommendation import shows_difference
from capgap_ray.records import Comparison, MixtureReport, RecipeCard
from capgap_ray.results import Checkpoint, Results


def model_card(
    results: Results,
    checkpoint: Checkpoint,
    arm: str,
    *,
    base_model: str,
    base_license: str | None = None,
    teachers: Mapping[str, str],
    data_licenses: Mapping[str, str] | None = None,
    trainings: int = 1,
) -> str:
    """Return README.md of a checkpoint in the Hub's form: YAML front matter, then Markdown.

    `arm` is the checkpoint's label in comparisons, e.g. `mix / 5x4`, and `trainings` how many checkpoints that is, of
    other seeds or splits; `base_model` a Hub id or the student's name;
    `teachers` role -> model; `data_licenses` task -> licence. A licence that is not known is said to be so.
    Accuracies are on test items, judged, with the same prompt and engine before and after; a gain is paired by item.
    """
    gains = [
        each
        for each in results.comparisons
        if each.kind == "gain" and each.student == checkpoint.student and each.right == arm
    ]
    mixture = next((each for each in results.mixtures if each.mixture == checkpoint.mixture), None)
    own = checkpoint.arm or arm
    title = own if own.startswith(checkpoint.student) else f"{checkpoint.student} / {own}"
    parts = [
        _front_matter(base_model, base_license),
        f"# {_text(title)}",
        f"`{_text(base_model)}`, fine-tuned on chains of thought by {_spoken(sorted(teachers.values()))} in the "
        f"experiment *{_text(results.experiment)}* of capgap-ray.",
        _summary(gains),
        "## Before and after\n\n" + _scores(gains, trainings),
        "## Lineage\n\n" + _lineage(checkpoint, mixture, teachers),
        "## Recipe\n\n" + _recipe(checkpoint.recipe),
        "## Licences\n\n" + _licences(base_model, base_license, data_licenses or {}, [each.task for each in gains]),
        "## Versions\n\n" + "\n".join(f"- {name} {version}" for name, version in results.versions.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(base_model: str, license_: str | None) -> str:
    known = license_ is None or license_ in HUB_LICENSES
    fields = {
        "base_model": base_model,
        "license": license_ if known else "other",
        "license_name": None if known else re.sub(r"[^a-z0-9.-]+", "-", str(license_).lower()),
        "library_name": "transformers",
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items() if value is not None]  # JSON is YAML
    return "\n".join(["---", *lines, "pipeline_tag: text-generation", "tags: [capgap-ray, distillation]", "---"])


def _summary(gains: Sequence[Comparison]) -> str:
    pooled = next((each for each in gains if each.task == "all"), gains[0] if len(gains) == 1 else None)
    if pooled is None or pooled.delta is None or pooled.ci_low is None or pooled.ci_high is None:
        return "**Not measured against the untouched student.**"
    where = f"{_points(pooled.delta, sign=True)} points over {pooled.n} items ({_interval(pooled)})"
    if shows_difference(pooled):
        return f"**{'Better' if pooled.delta > 0 else 'Worse'} than the untouched student**: {where}."
    return f"**Not told apart from the untouched student**: {where}."


def _scores(gains: Sequence[Comparison], trainings: int) -> str:
    if not gains:
        return "None were measured."
    of = "this model"
    words = ""
    if trainings > 1:
        of = "distilled"
        words = f"Of {trainings} trainings that differ in nothing but seed or split, of which this is one.\n\n"
    rows = [
        (
            each.task,
            str(each.n),
            _points(each.left_acc),
            _points(each.right_acc),
            _points(each.delta, sign=True),
            _interval(each),
        )
        for each in gains
    ]
    header = ("task", "items", "untouched, %", f"{of}, %", "gain, points", "95 % interval")
    lines = [header, ("---",) * len(header), *rows]
    return words + "\n".join("| " + " | ".join(map(_text, line)) + " |" for line in lines)


def _lineage(checkpoint: Checkpoint, mixture: MixtureReport | None, teachers: Mapping[str, str]) -> str:
    lines = [f"- teacher *{_text(role)}*: {_text(name)}" for role, name in teachers.items()]
    lines.append(f"- mixture *{_text(checkpoint.mixture)}*")
    if mixture is not None:
        shares = ", ".join(f"{_text(role)} {share:g}" for role, share in mixture.shares.items())
        by_teacher = ", ".join(f"{_text(role)} {rows}" for role, rows in mixture.rows_by_teacher.items())
        by_task = ", ".join(f"{_text(task)} {rows}" for task, rows in mixture.rows_by_task.items())
        kept = ", ".join(f"{_text(role)} {rows}" for role, rows in mixture.kept_by_teacher.items())
        lines += [
            f"- shares: {shares}",
            f"- rows: {mixture.rows} ({by_teacher}), of what the filter kept ({kept})",
            f"- tasks: {by_task}",
        ]
    return "\n".join(lines)


def _recipe(recipe: RecipeCard) -> str:
    rows = ["| | |", "| --- | --- |"]
    for name, value in dataclasses.asdict(recipe).items():
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        rows.append(f"| {name.replace('_', ' ')} | {_text(shown)} |")
    return "\n".join(rows)


def _licences(base: str, license_: str | None, data: Mapping[str, str], tasks: Sequence[str]) -> str:
    unknown = "not known to this card; look at its source before sharing"
    lines = [f"- base model {_text(base)}: {_text(license_) if license_ else unknown}"]
    lines += [f"- data of {_text(task)}: {_text(data.get(task, unknown))}" for task in tasks if task != "all"]
    return "\n".join(lines)


def _points(share: float | None, *, sign: bool = False) -> str:
    return "not known" if share is None else f"{100 * share:{'+' if sign else ''}.1f}"


def _interval(each: Comparison) -> str:
    if each.ci_low is None or each.ci_high is None:
        return "not known"
    return f"{_points(each.ci_low, sign=True)} to {_points(each.ci_high, sign=True)}"


def _spoken(names: Sequence[str]) -> str:
    quoted = [_text(name) for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def _text(value: str) -> str:
    """Names as text: nothing in them is Markdown, a table's bar or HTML."""
    return "".join(f"\\{char}" if char in r"\`*|[]<>#" else char for char in " ".join(value.split()))
