"""The report's figures as inline SVG: small panels, one idea each, so that a phone shows them at full width.

Colours are Okabe and Ito's; every series also has its own marker and line style. Text stays text
(`svg.fonttype none`), is never read as mathematics, and the same results give the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from capgap_ray.records import Checkpoint, Comparison, Results
from capgap_ray.report import findings, formats

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_DASHES = ("-", "--", "-.", ":")
_GREY = "#555555"
_LOSS_POINTS = 200
"""Longer loss curves are drawn as the means of this many equal stretches."""

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "capgap-ray",
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


class Panel(NamedTuple):
    """One drawing: its title, a sentence for those who cannot see it, and an `<svg>` element."""

    title: str
    alt: str
    svg: str


class _Series(NamedTuple):
    colour: str
    marker: str
    rank: int


def accuracy_by_size(results: Results) -> tuple[Panel, ...]:
    """Return a panel per batch setting: pooled accuracy of every mixture against the students' size."""
    arms = [a for a in findings.pooled_accuracies(results)[0] if a.parameters > 0]
    students = [a for a in arms if a.role == "baseline"]
    teachers = [a for a in arms if a.role == "teacher"]
    distilled = [a for a in arms if a.role == "distilled"]
    settings = tuple(dict.fromkeys(a.setting for a in distilled)) or (("",) if students else ())
    styles = _styles(results)
    sizes = [a.parameters for a in (*students, *distilled)]

    def panel(setting: str) -> Panel:
        lines: dict[str, list[findings.PooledAccuracy]] = {"untouched student": students} if students else {}
        for arm in distilled:
            if arm.setting == setting:
                lines.setdefault(str(arm.mixture), []).append(arm)
        shifts = {name: 1.035 ** (i - (len(lines) - 1) / 2) for i, name in enumerate(lines)}

        def draw(figure: Any, axes: Any) -> None:
            handles = []
            for name, points in lines.items():
                ordered = sorted(points, key=lambda a: a.parameters)
                style = styles.get(name) if name != "untouched student" else None
                handles.append(
                    axes.errorbar(
                        [a.parameters * shifts[name] for a in ordered],
                        [100 * a.accuracy for a in ordered],
                        yerr=[
                            [100 * (a.accuracy - a.low) for a in ordered],
                            [100 * (a.high - a.accuracy) for a in ordered],
                        ],
                        color=style.colour if style else "#000000",
                        marker=style.marker if style else "o",
                        markerfacecolor=None if style else "white",
                        linestyle=_DASHES[style.rank % 3] if style else ":",
                        markersize=5,
                        capsize=2.5,
                    )
                )
            for i, teacher in enumerate(teachers):
                dashes = (0, (6 - 2 * (i % 3), 1 + i // 3, 1, 1 + i % 3))
                handles.append(axes.axhline(100 * teacher.accuracy, color=_GREY, linewidth=1, linestyle=dashes))
            axes.set_xscale("log")
            axes.set_xlim(min(sizes) / 1.5, max(sizes) * 1.5)
            ticks = sorted(set(sizes))
            axes.set_xticks(ticks, [formats.size(tick) for tick in ticks])
            axes.set_xticks([], minor=True)
            axes.set_ylim(0, 102)
            axes.set_xlabel("student's parameters (log scale)")
            axes.set_ylabel("accuracy (%)")
            _legend(figure, handles, [*lines, *(f"teacher {t.arm}" for t in teachers)])

        title = f"Batch {setting}" if setting else "Untouched students"
        told = [
            f"{name}: " + ", ".join(f"{formats.points(a.accuracy)} % at {formats.size(a.parameters)}" for a in line)
            for name, line in lines.items()
        ]
        told += [f"teacher {t.arm}: {formats.points(t.accuracy)} %" for t in teachers]
        return Panel(title, f"Accuracy against student size. {title}. {'; '.join(told)}.", _svg(title, 4.0, draw))

    return tuple(panel(setting) for setting in settings) if sizes else ()


def gain_by_task(results: Results) -> tuple[Panel, ...]:
    """Return a panel per student and batch setting: each mixture's gain per task with its 95 % interval."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for c in results.comparisons:
        if c.kind == "gain" and c.delta is not None and math.isfinite(c.delta):
            groups.setdefault((c.student, findings.split_arm(c.right, c.student)[1]), []).append(c)
    ends = [0.0, *(x for group in groups.values() for c in group for x in _interval(c))]
    styles = _styles(results)

    def panel(student: str, setting: str, group: Sequence[Comparison]) -> Panel:
        tasks = sorted(dict.fromkeys(c.task for c in group), key=lambda task: task == findings.POOLED)
        names = list(dict.fromkeys(findings.split_arm(c.right, student)[0] for c in group))
        step = 0.8 / len(names)

        def draw(figure: Any, axes: Any) -> None:
            axes.axvline(0, color="#000000", linewidth=1)
            handles = []
            for i, name in enumerate(names):
                style = styles[name]
                mine = [c for c in group if findings.split_arm(c.right, student)[0] == name]
                shift = (i - (len(names) - 1) / 2) * step
                for hollow in (False, True):
                    shown = [_interval(c) for c in mine if bool(c.confounds) is hollow]
                    ys = [tasks.index(c.task) + shift for c in mine if bool(c.confounds) is hollow]
                    fill = "white" if hollow else style.colour
                    axes.hlines(ys, [s[0] for s in shown], [s[2] for s in shown], color=style.colour, linewidth=1.4)
                    middles = [s[1] for s in shown]
                    axes.plot(middles, ys, style.marker, color=style.colour, mfc=fill, markersize=5)
                handles.append(axes.plot([], [], style.marker, color=style.colour, markersize=5)[0])
            axes.set_yticks(range(len(tasks)), [_label(t if t != findings.POOLED else "all tasks") for t in tasks])
            axes.set_ylim(len(tasks) - 0.5, -0.5)
            margin = 0.05 * (max(ends) - min(ends)) or 1.0
            axes.set_xlim(min(ends) - margin, max(ends) + margin)
            axes.set_xlabel("gain over the untouched student (points)")
            _legend(figure, handles, names)

        title = f"{student}, batch {setting}" if setting else student
        told = [
            f"{c.task} with {findings.split_arm(c.right, student)[0]}: " + formats.change(c.delta, c.ci_low, c.ci_high)
            for c in group
        ]
        height = 1.7 + len(tasks) * max(0.3, 0.16 * len(names)) + 0.1 * len(names)
        return Panel(title, f"Gain per task in points. {title}. {'; '.join(told)}.", _svg(title, height, draw))

    return tuple(panel(student, setting, group) for (student, setting), group in groups.items())


def loss_curves(results: Results) -> tuple[Panel, ...]:
    """Return a panel per student: training loss of each of its checkpoints over the share of training done."""
    styles = _styles(results)
    by_student: dict[str, list[Checkpoint]] = {}
    for c in results.checkpoints:
        if any(map(math.isfinite, c.losses)):
            by_student.setdefault(c.student, []).append(c)

    def panel(student: str, group: Sequence[Checkpoint]) -> Panel:
        batches = list(dict.fromkeys(_batch(c) for c in group))
        names = [f"{c.mixture} / {_batch(c)}, {formats.count(c.recipe.updates, 'update')}" for c in group]

        def draw(figure: Any, axes: Any) -> None:
            handles = []
            for c in group:
                style, curve = styles[c.mixture], _thinned(c.losses)
                handles += axes.plot(
                    [100 * (i + 1) / len(curve) for i in range(len(curve))],
                    curve,
                    color=style.colour,
                    linestyle=_DASHES[batches.index(_batch(c)) % len(_DASHES)],
                    marker=style.marker,
                    markersize=4,
                    markevery=max(1, len(curve) // 6),
                    linewidth=1.3,
                )
            axes.set_xlabel("training done (% of updates)")
            axes.set_ylabel("loss per supervised token")
            axes.set_xlim(0, 102)
            _legend(figure, handles, names)

        told = "; ".join(f"{n}: last {formats.significant(c.losses[-1])}" for n, c in zip(names, group, strict=True))
        return Panel(student, f"Training loss of {student}. {told}.", _svg(student, 3.2 + 0.1 * len(group), draw))

    return tuple(panel(student, group) for student, group in by_student.items())


def _interval(c: Comparison) -> tuple[float, float, float]:
    """Return low, delta and high in points; an unknown end lies on the marker, so no bar is seen there."""
    assert c.delta is not None
    low, high = (x if x is not None and math.isfinite(x) else c.delta for x in (c.ci_low, c.ci_high))
    return 100 * low, 100 * c.delta, 100 * high


def _batch(checkpoint: Checkpoint) -> str:
    recipe = checkpoint.recipe
    return f"{recipe.per_device_batch_size}x{recipe.gradient_accumulation_steps}"


def _thinned(losses: Sequence[float]) -> list[float]:
    """Return at most `_LOSS_POINTS` means of equal stretches; gaps where the loss was not finite."""
    n = min(len(losses), _LOSS_POINTS)
    edges = [i * len(losses) // n for i in range(n + 1)]
    means = (sum(losses[a:b]) / (b - a) for a, b in pairwise(edges))
    return [mean if math.isfinite(mean) else math.nan for mean in means]


def _styles(results: Results) -> dict[str, _Series]:
    """Give every mixture one colour and marker for all figures; the pairs repeat only after 63."""
    named = [m.mixture for m in results.mixtures] + [a.mixture for a in results.accuracies if a.mixture]
    named += [c.mixture for c in results.checkpoints]
    named += [findings.split_arm(c.right, c.student)[0] for c in results.comparisons if c.kind == "gain"]
    return {
        name: _Series(_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)], i)
        for i, name in enumerate(dict.fromkeys(named))
    }


def _label(text: str) -> str:
    """Return a label that matplotlib draws as it is: one short line, not hidden by a leading underscore."""
    line = formats.plain(text, 44)
    return f" {line}" if line.startswith("_") else line


def _legend(figure: Any, handles: Sequence[Any], names: Sequence[str]) -> None:
    if handles:
        columns = 1 if max(map(len, names)) > 26 else 2
        figure.legend(handles, [_label(n) for n in names], loc="outside lower center", ncols=columns)


def _svg(title: str, height: float, draw: Callable[[Any, Any], None]) -> str:
    """Return the `<svg>` element of a drawing 5.2 inches wide; `draw` gets its figure and axes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A font without some glyph of a label is the viewer's matter: the SVG carries text, not outlines.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(5.2, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(_label(title), loc="left")
        axes.set_axisbelow(True)
        draw(figure, axes)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    return _inline(out.getvalue())


def _inline(document: str) -> str:
    """Return only the `<svg>` element, as wide as its place, without ids that nothing refers to.

    What is matched are matplotlib's own tags: a `<` in a label is `&lt;` by now.
    """
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\n\s+", "\n", re.sub(r'<g id="[^"]*"', "<g", svg))
    return re.sub(
        r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" \1>',
        svg,
    )
