"""The report's figures: small panels, one idea each, so that a phone shows them at full width."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from capgap_ray.records import Comparison
from capgap_ray.report import findings, formats
from capgap_ray.report.drawing import INK, MUTED, PAPER, End, Panel, Style, end_labels, label, legend, panel, styles
from capgap_ray.results import Checkpoint, ProgressPoint, Results

_LOSS_POINTS = 200
"""Longer loss curves are drawn as the means of this many equal stretches."""
_UNTOUCHED = Style(INK, "o", ":", hollow=True)
_TEACHER = Style(MUTED, "", (0, (5, 2)))
_FATES = (
    ("kept", "#0072b2", ""),
    ("wrong", "#d55e00", "////"),
    ("unparsable", "#e69f00", "...."),
    ("truncated", "#56b4e9", "xxxx"),
    ("another rule of the filter", "#cc79a7", "++++"),
)
"""What becomes of a rationale: name, colour, hatch."""


def accuracy_by_size(results: Results) -> tuple[Panel, ...]:
    """Return a panel per batch setting: pooled accuracy of every mixture against the students' size."""
    arms = [a for a in findings.pooled_accuracies(results)[0] if a.parameters > 0]
    students = [a for a in arms if a.role == "baseline"]
    teachers = [a for a in arms if a.role == "teacher"]
    distilled = [a for a in arms if a.role == "distilled"]
    settings = tuple(dict.fromkeys(a.setting for a in distilled)) or (("",) if students else ())
    looks = _looks(results)
    sizes = [a.parameters for a in (*students, *distilled)]
    low, high = _range([x for a in arms for x in (a.low, a.high)])

    def drawn(setting: str) -> Panel:
        lines: dict[str, list[findings.PooledAccuracy]] = {"untouched": students} if students else {}
        for arm in distilled:
            if arm.setting == setting:
                lines.setdefault(str(arm.mixture), []).append(arm)
        shifts = {name: 1.035 ** (i - (len(lines) - 1) / 2) for i, name in enumerate(lines)}
        height = 2.9 + 0.12 * max(0, len(lines) + len(teachers) - 6)

        def draw(figure: Any, axes: Any) -> None:
            axes.set_xscale("log")
            axes.set_xlim(min(sizes) / 1.4, max(sizes) * 1.4)
            _size_ticks(axes, sizes)
            axes.set_ylim(low, high)
            axes.set_xlabel("student's parameters (log scale)")
            axes.set_ylabel("accuracy (%)")
            ends = []
            for name, points in lines.items():
                ordered = sorted(points, key=lambda a: a.parameters)
                style = looks[name] if points is not students else _UNTOUCHED
                axes.errorbar(
                    [a.parameters * shifts[name] for a in ordered],
                    [100 * a.accuracy for a in ordered],
                    yerr=[
                        [100 * (a.accuracy - a.low) for a in ordered],
                        [100 * (a.high - a.accuracy) for a in ordered],
                    ],
                    color=style.colour,
                    marker=style.marker,
                    markerfacecolor=style.fill,
                    linestyle=style.dashes,
                    linewidth=1.5,
                    elinewidth=1.0,
                    markersize=5,
                )
                ends.append(End(ordered[-1].parameters * shifts[name], 100 * ordered[-1].accuracy, name, style))
            for teacher in teachers:
                level = 100 * teacher.accuracy
                axes.axhline(level, color=_TEACHER.colour, linewidth=0.9, linestyle=_TEACHER.dashes)
                ends.append(End(max(sizes) * 1.4, level, teacher.arm, _TEACHER))
            end_labels(axes, height, ends)

        title = _titled(setting) or ("all students" if distilled else "untouched students")
        title = title[0].upper() + title[1:]
        told = [
            f"{name}: " + ", ".join(f"{formats.points(a.accuracy)} % at {formats.size(a.parameters)}" for a in line)
            for name, line in lines.items()
        ]
        told += [f"teacher {t.arm}: {formats.points(t.accuracy)} %" for t in teachers]
        return panel(title, f"Accuracy against student size. {title}. {'; '.join(told)}.", height, draw)

    return tuple(drawn(setting) for setting in settings) if sizes else ()


def gain_by_task(results: Results) -> tuple[Panel, ...]:
    """Return a panel per student and batch setting: each mixture's gain per task with its 95 % interval."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for c in _measured(results, "gain"):
        groups.setdefault((c.student, findings.split_arm(c.right, c.student)[1]), []).append(c)
    known = findings.sizes(results)
    groups = dict(sorted(groups.items(), key=lambda pair: known.get(pair[0][0], 0.0)))
    everything = [c for group in groups.values() for c in group]
    ends = [0.0, *(x for c in everything for x in _interval(c))]
    looks = _looks(results)
    mean = {task: fmean(c.delta or 0.0 for c in everything if c.task == task) for task in {c.task for c in everything}}

    def drawn(student: str, setting: str, group: Sequence[Comparison]) -> Panel:
        # All tasks together first, then degradations first, in one order for every panel.
        tasks = sorted(dict.fromkeys(c.task for c in group), key=lambda t: (t != findings.POOLED, mean[t], t))
        found = {findings.split_arm(c.right, student)[0] for c in group}
        names = [name for name in looks if name in found]
        step = 0.72 / len(names)

        def draw(figure: Any, axes: Any) -> None:
            axes.grid(visible=False)
            axes.grid(visible=True, axis="x")
            axes.axvline(0, color=INK, linewidth=0.9)
            if tasks[0] == findings.POOLED and len(tasks) > 1:
                axes.axhline(0.5, color=MUTED, linewidth=0.6)
            handles = []
            for i, name in enumerate(names):
                style = looks[name]
                mine = [c for c in group if findings.split_arm(c.right, student)[0] == name]
                shift = (i - (len(names) - 1) / 2) * step
                for hollow in (False, True):
                    shown = [_interval(c) for c in mine if bool(c.confounds) is hollow]
                    ys = [tasks.index(c.task) + shift for c in mine if bool(c.confounds) is hollow]
                    fill = PAPER if hollow else style.colour
                    axes.hlines(ys, [s[0] for s in shown], [s[2] for s in shown], color=style.colour, linewidth=1.3)
                    middles = [s[1] for s in shown]
                    axes.plot(middles, ys, style.marker, color=style.colour, mfc=fill, markersize=4.8)
                handles.append(axes.plot([], [], style.marker, color=style.colour, markersize=4.8)[0])
            axes.set_yticks(range(len(tasks)), [label(t if t != findings.POOLED else "all tasks", 32) for t in tasks])
            axes.set_ylim(len(tasks) - 0.5, -0.5)
            margin = 0.05 * (max(ends) - min(ends)) or 1.0
            axes.set_xlim(min(ends) - margin, max(ends) + margin)
            # From the right end: the names of tasks leave the axes less room than this takes.
            axes.set_xlabel("← worse · points against the untouched student · better →", loc="right")
            legend(figure, handles, names)

        title = f"{student}, {_titled(setting)}" if setting else student
        told = [
            f"{c.task} with {findings.split_arm(c.right, student)[0]}: " + formats.change(c.delta, c.ci_low, c.ci_high)
            for c in group
        ]
        height = 1.2 + len(tasks) * max(0.26, 0.13 * len(names))
        return panel(title, f"Gain per task in points. {title}. {'; '.join(told)}.", height, draw)

    return tuple(drawn(student, setting, group) for (student, setting), group in groups.items())


def advantage_by_size(results: Results) -> tuple[Panel, ...]:
    """Return a panel per two mixtures: how far one is ahead of the other, pooled, against the students' size."""
    sizes = findings.sizes(results)
    groups: dict[tuple[str, str], dict[str, list[Comparison]]] = {}
    compared = _measured(results, "teacher")
    everything = findings.widest_task(compared)
    for c in compared:
        (left, _), (right, setting) = (findings.split_arm(arm, c.student) for arm in (c.left, c.right))
        if c.task == everything and c.student in sizes:
            groups.setdefault((left, right), {}).setdefault(setting, []).append(c)
    ends = [x for by in groups.values() for line in by.values() for c in line for x in _interval(c)]
    reach = 1.08 * max((abs(x) for x in ends), default=0.0) or 1.0
    looks = styles([setting for by in groups.values() for setting in by])
    ticks = [sizes[c.student] for by in groups.values() for line in by.values() for c in line]

    def drawn(left: str, right: str, lines: dict[str, list[Comparison]]) -> Panel:
        def draw(figure: Any, axes: Any) -> None:
            axes.set_xscale("log")
            axes.set_xlim(min(ticks) / 1.4, max(ticks) * 1.4)
            _size_ticks(axes, ticks)
            axes.set_ylim(-reach, reach)
            axes.axhline(0, color=INK, linewidth=0.9)
            axes.set_xlabel("student's parameters (log scale)")
            axes.set_ylabel(f"← {label(left, 13)} · {label(right, 13)} →")
            ends = []
            for i, (setting, line) in enumerate(lines.items()):
                style, ordered = looks[setting], sorted(line, key=lambda c: sizes[c.student])
                xs = [sizes[c.student] * 1.035 ** (i - (len(lines) - 1) / 2) for c in ordered]
                shown = [_interval(c) for c in ordered]
                axes.vlines(xs, [s[0] for s in shown], [s[2] for s in shown], color=style.colour, linewidth=1.0)
                axes.plot(xs, [s[1] for s in shown], color=style.colour, linestyle=style.dashes, linewidth=1.5)
                for x, s, c in zip(xs, shown, ordered, strict=True):
                    fill = PAPER if c.confounds else style.colour
                    axes.plot([x], [s[1]], style.marker, color=style.colour, mfc=fill, markersize=5)
                ends.append(End(xs[-1], shown[-1][1], _titled(setting) or right, style))
            end_labels(axes, 2.5, ends)

        title = f"{right} against {left}, points"
        told = [
            f"{c.student}, {setting}: {formats.change(c.delta, c.ci_low, c.ci_high)}"
            for setting, line in lines.items()
            for c in line
        ]
        return panel(title, f"Advantage in points by student size. {title}. {'; '.join(told)}.", 2.5, draw)

    return tuple(drawn(left, right, lines) for (left, right), lines in groups.items())


def accuracy_by_updates(results: Results) -> tuple[Panel, ...]:
    """Return a panel per student: pooled accuracy of its arms against the optimizer updates they were given."""
    trained = findings.trained_arms(results)
    looks = _looks(results)
    untouched = {a.student: a for a in findings.pooled_accuracies(results)[0] if a.role == "baseline"}
    xs = [checkpoint.recipe.updates for _, checkpoint in trained]
    low, high = _range([x for a in (*untouched.values(), *(arm for arm, _ in trained)) for x in (a.low, a.high)])

    def drawn(student: str) -> Panel:
        mine = [(arm, c) for arm, c in trained if arm.student == student]
        names = list(dict.fromkeys(str(arm.mixture) for arm, _ in mine))
        height = 2.7 + 0.12 * max(0, len(names) - 6)

        def draw(figure: Any, axes: Any) -> None:
            axes.set_xscale("log")
            axes.set_xlim(min(xs) / 1.5, max(xs) * 1.5)
            ticks = _apart(xs)
            axes.set_xticks(ticks, [f"{x:,}" for x in ticks])
            axes.set_xticks([], minor=True)
            axes.set_ylim(low, high)
            axes.set_xlabel("optimizer updates (log scale)")
            axes.set_ylabel("accuracy (%)")
            ends = []
            base = untouched.get(student)
            if base:
                axes.axhline(100 * base.accuracy, color=INK, linewidth=1.2, linestyle=_UNTOUCHED.dashes)
                ends.append(End(max(xs) * 1.5, 100 * base.accuracy, "untouched", Style(INK, "", ":")))
            for i, name in enumerate(names):
                style = looks[name]
                line = sorted(((c.recipe.updates, arm) for arm, c in mine if arm.mixture == name), key=lambda p: p[0])
                at = [x * 1.03 ** (i - (len(names) - 1) / 2) for x, _ in line]
                axes.errorbar(
                    at,
                    [100 * arm.accuracy for _, arm in line],
                    yerr=[
                        [100 * (arm.accuracy - arm.low) for _, arm in line],
                        [100 * (arm.high - arm.accuracy) for _, arm in line],
                    ],
                    color=style.colour,
                    marker=style.marker,
                    linestyle=style.dashes,
                    linewidth=1.5,
                    elinewidth=1.0,
                    markersize=5,
                )
                ends.append(End(at[-1], 100 * line[-1][1].accuracy, name, style))
            end_labels(axes, height, ends)

        told = [
            f"{arm.mixture} / {arm.setting}: {formats.points(arm.accuracy)} % after {c.recipe.updates} updates"
            for arm, c in mine
        ]
        return panel(student, f"Accuracy against updates. {student}. {'; '.join(told)}.", height, draw)

    return tuple(drawn(student) for student in dict.fromkeys(str(arm.student) for arm, _ in trained))


def _apart(values: Iterable[int]) -> list[int]:
    """Those of the values, ascending, whose numbers do not run into one another on a logarithmic axis."""
    every = sorted(set(values))
    least = 0.12 * math.log(every[-1] / every[0])
    kept: list[int] = []
    for value in every:
        if not kept or math.log(value / kept[-1]) >= least:
            kept.append(value)
    return kept


def progress(results: Results) -> tuple[Panel, ...]:
    """Return a panel per student and batch: pooled accuracy of exports on the way against updates."""
    looks = _looks(results)
    groups: dict[tuple[str, str], dict[str, list[ProgressPoint]]] = {}
    for p in results.progress:
        if p.task == findings.POOLED and p.n:
            setting = p.arm.removeprefix(f"{p.mixture} / ")
            groups.setdefault((p.student, setting), {}).setdefault(p.mixture, []).append(p)
    spans = {id(p): findings.wilson(p.right, p.n) for by in groups.values() for line in by.values() for p in line}
    low, high = _range([x for span in spans.values() for x in span])

    def drawn(student: str, setting: str, lines: dict[str, list[ProgressPoint]]) -> Panel:
        height = 2.5 + 0.12 * max(0, len(lines) - 6)

        def draw(figure: Any, axes: Any) -> None:
            axes.set_xlim(0, max(p.update for line in lines.values() for p in line))
            axes.set_ylim(low, high)
            axes.locator_params(axis="x", integer=True, nbins=6)
            axes.set_xlabel("optimizer updates")
            axes.set_ylabel("accuracy (%)")
            ends = []
            for name, line in lines.items():
                style, ordered = looks[name], sorted(line, key=lambda p: p.update)
                axes.fill_between(
                    [p.update for p in ordered],
                    [100 * spans[id(p)][0] for p in ordered],
                    [100 * spans[id(p)][1] for p in ordered],
                    color=style.colour,
                    alpha=0.12,
                    linewidth=0,
                )
                axes.plot(
                    [p.update for p in ordered],
                    [100 * p.right / p.n for p in ordered],
                    color=style.colour,
                    marker=style.marker,
                    linestyle=style.dashes,
                    markersize=4,
                    linewidth=1.4,
                    clip_on=False,
                )
                ends.append(End(ordered[-1].update, 100 * ordered[-1].right / ordered[-1].n, name, style))
            end_labels(axes, height, ends)

        title = ", ".join(filter(None, (student, _titled(setting))))
        told = "; ".join(
            f"{name}: " + ", ".join(f"{formats.points(p.right / p.n)} % after {p.update}" for p in line)
            for name, line in lines.items()
        )
        return panel(title, f"Accuracy on the way. {title}. {told}.", height, draw)

    return tuple(drawn(student, setting, lines) for (student, setting), lines in groups.items())


def loss_curves(results: Results) -> tuple[Panel, ...]:
    """Return a panel per student and batch: training loss of each checkpoint over the share of training done."""
    looks = _looks(results)
    groups: dict[tuple[str, str], list[Checkpoint]] = {}
    for c in results.checkpoints:
        if any(map(math.isfinite, c.losses)):
            groups.setdefault((c.student, findings.setting_of_checkpoint(c)), []).append(c)
    curves = {id(c): _thinned(c.losses) for group in groups.values() for c in group}
    finite = [x for curve in curves.values() for x in curve if math.isfinite(x)]

    def drawn(student: str, batch: str, group: Sequence[Checkpoint]) -> Panel:
        height = 2.5 + 0.12 * max(0, len(group) - 6)

        def draw(figure: Any, axes: Any) -> None:
            axes.set_xlim(0, 100)
            axes.set_ylim(min(0.0, *finite), 1.05 * max(finite) or 1.0)
            axes.set_xlabel("training done (% of updates)")
            axes.set_ylabel("loss per token")
            ends = []
            for c in group:
                style, curve = looks[c.mixture], curves[id(c)]
                axes.plot(
                    [100 * (i + 1) / len(curve) for i in range(len(curve))],
                    curve,
                    color=style.colour,
                    linestyle=style.dashes,
                    linewidth=1.3,
                )
                last = [x for x in curve if math.isfinite(x)][-1]
                ends.append(End(100.0, last, c.mixture, style))
            end_labels(axes, height, ends)

        told = "; ".join(
            f"{c.mixture}, {formats.count(c.recipe.updates, 'update')}: last {formats.significant(c.losses[-1])}"
            for c in group
        )
        title = f"{student}, {_titled(batch)}"
        return panel(title, f"Training loss. {title}. {told}.", height, draw)

    return tuple(drawn(student, batch, group) for (student, batch), group in groups.items())


def data_yield(results: Results) -> tuple[Panel, ...]:
    """Return what became of each teacher's rationales over all tasks, and per task the share that was kept."""
    reports = [f for f in results.filters if f.seen]
    teachers = list(dict.fromkeys(f.teacher for f in reports))
    tasks = list(dict.fromkeys(f.task for f in reports))
    looks = styles(teachers)
    fates = {
        teacher: [
            sum(numbers) for numbers in zip(*(findings.fates(f) for f in reports if f.teacher == teacher), strict=True)
        ]
        for teacher in teachers
    }

    def draw_fates(figure: Any, axes: Any) -> None:
        axes.grid(visible=False)
        handles, names = [], []
        for j, (name, colour, hatch) in enumerate(_FATES):
            shares = [100 * fates[t][j] / sum(fates[t]) for t in teachers]
            if not any(shares):
                continue
            before = [100 * sum(fates[t][:j]) / sum(fates[t]) for t in teachers]
            bars = axes.barh(range(len(teachers)), shares, left=before, color=colour, hatch=hatch, height=0.6)
            handles.append(bars)
            names.append(name)
        for row, teacher in enumerate(teachers):
            kept = fates[teacher][0]
            text = f" {kept} of {sum(fates[teacher])} kept"
            axes.text(100.5, row, text, va="center", fontsize=8.5, clip_on=False)
        axes.set_yticks(range(len(teachers)), [label(t, 24) for t in teachers])
        axes.set_ylim(len(teachers) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the teacher's rationales (%)")
        legend(figure, handles, names)

    def draw_tasks(figure: Any, axes: Any) -> None:
        axes.grid(visible=True, axis="x")
        handles = []
        for i, teacher in enumerate(teachers):
            style, mine = looks[teacher], [f for f in reports if f.teacher == teacher]
            rows = [tasks.index(f.task) + (i - (len(teachers) - 1) / 2) * 0.16 for f in mine]
            shares = [100 * f.kept / f.seen for f in mine]
            handles += axes.plot(shares, rows, style.marker, color=style.colour, markersize=5)
        axes.set_yticks(range(len(tasks)), [label(t, 32) for t in tasks])
        axes.set_ylim(len(tasks) - 0.5, -0.5)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("kept (%)")
        legend(figure, handles, teachers)

    if not reports:
        return ()
    told = "; ".join(f"{t}: {fates[t][0]} of {sum(fates[t])} kept" for t in teachers)
    by_task = "; ".join(f"{f.teacher} on {f.task}: {formats.points(f.kept / f.seen)} %" for f in reports)
    return (
        panel("All tasks", f"What became of the rationales. {told}.", 1.1 + 0.34 * len(teachers), draw_fates),
        panel("Kept per task", f"Share of rationales kept. {by_task}.", 1.1 + 0.27 * len(tasks), draw_tasks),
    )


def cost_and_accuracy(results: Results) -> tuple[Panel, ...]:
    """Return one panel: pooled accuracy of every arm against the compute that an answer takes."""
    arms = [a for a in findings.pooled_accuracies(results)[0] if a.flops > 0]
    if not arms:
        return ()
    looks = _looks(results)
    low, high = _range([a.accuracy for a in arms])

    def draw(figure: Any, axes: Any) -> None:
        axes.set_xscale("log")
        costs = [a.flops for a in arms]
        axes.set_xlim(min(costs) / 1.8, max(costs) * 1.8)
        axes.set_ylim(low - 5, high + 5)  # room for the names
        axes.grid(visible=True, axis="x", which="major")
        axes.xaxis.set_major_formatter(lambda value, _: formats.flops(value))
        axes.tick_params(axis="x", which="minor", length=0, labelbottom=False)
        axes.set_xlabel("compute per answer (log scale)")
        axes.set_ylabel("accuracy (%)")
        handles, names = [], []
        for a in arms:
            style = {"teacher": Style(MUTED, "D", ""), "baseline": _UNTOUCHED}.get(a.role) or looks[str(a.mixture)]
            (dot,) = axes.plot(
                [a.flops], [100 * a.accuracy], style.marker, color=style.colour, mfc=style.fill, markersize=5.5, ls=""
            )
            name = {"teacher": "teacher", "baseline": "untouched student"}.get(a.role) or str(a.mixture)
            if name not in names:
                handles.append(dot)
                names.append(name)
            if a.role != "distilled":
                axes.annotate(
                    label(a.arm, 22),
                    (a.flops, 100 * a.accuracy),
                    xytext=(0, 7 if a.role == "teacher" else -12),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7.5,
                    color=MUTED,
                )
        legend(figure, handles, names)

    told = "; ".join(f"{a.arm}: {formats.points(a.accuracy)} % at {formats.flops(a.flops)}" for a in arms)
    return (panel("Every arm", f"Accuracy against compute per answer. {told}.", 3.3, draw),)


def selection_threshold(results: Results) -> tuple[Panel, ...]:
    """Return one panel: how many tasks each threshold of the in-context gap would select, and how surely."""
    found = results.findings
    points = found.thresholds if found else ()
    if not found or not points:
        return ()
    xs = [p.threshold_points for p in points]

    def draw(figure: Any, axes: Any) -> None:
        top = len(found.selection)
        axes.fill_between(
            xs,
            [p.surely_selected for p in points],
            [top - p.surely_dropped for p in points],
            color="#56b4e9",
            alpha=0.35,
            linewidth=0,
        )
        axes.plot(xs, [p.selected for p in points], color="#0072b2", marker="o", markersize=3.5, linewidth=1.5)
        used = found.selection[0].threshold_points
        axes.axvline(used, color=INK, linewidth=0.9, linestyle=":")
        axes.text(used, top * 1.02, f" threshold used: {used:g}", fontsize=8.5, va="bottom")
        axes.set_ylim(0, top * 1.12)
        axes.set_yticks(sorted({round(top * i / 4) for i in range(5)}))
        axes.set_xlabel("threshold of the gap (points)")
        axes.set_ylabel("tasks selected")

    told = "; ".join(f"{p.threshold_points:g}: {p.selected}" for p in points)
    title = "Tasks selected by threshold"
    return (panel(title, f"Number of tasks that each threshold of the gap selects. {told}.", 2.4, draw),)


def _measured(results: Results, kind: str) -> list[Comparison]:
    return [c for c in results.comparisons if c.kind == kind and c.delta is not None and math.isfinite(c.delta)]


def _titled(setting: str) -> str:
    """Return `batch 5x4`, or what else tells the recipe."""
    return f"batch {setting}" if re.fullmatch(r"\d+x\d+", setting) else setting


def _size_ticks(axes: Any, sizes: Sequence[float]) -> None:
    """Tick each student's size, or one in two if they are many."""
    ticks = sorted(set(sizes))
    ticks = ticks[:: -(-len(ticks) // 7)]
    axes.set_xticks(ticks, [formats.size(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


def _range(shares: Sequence[float]) -> tuple[float, float]:
    """Return the accuracy axis in points: what is there, with some room, within 0 and 100."""
    if not shares:
        return 0.0, 100.0
    return max(-1.0, 100 * min(shares) - 4), min(101.0, 100 * max(shares) + 4)


def _interval(c: Comparison) -> tuple[float, float, float]:
    """Return low, delta and high in points; an unknown end lies on the marker, so no bar is seen there."""
    assert c.delta is not None
    low, high = (x if x is not None and math.isfinite(x) else c.delta for x in (c.ci_low, c.ci_high))
    return 100 * low, 100 * c.delta, 100 * high


def _thinned(losses: Sequence[float]) -> list[float]:
    """Return at most `_LOSS_POINTS` means of equal stretches; gaps where the loss was not finite."""
    n = min(len(losses), _LOSS_POINTS)
    edges = [i * len(losses) // n for i in range(n + 1)]
    means = (sum(losses[a:b]) / (b - a) for a, b in pairwise(edges))
    return [mean if math.isfinite(mean) else math.nan for mean in means]


def _looks(results: Results) -> dict[str, Style]:
    """Every mixture's look, the same in all figures."""
    named = [m.mixture for m in results.mixtures] + [a.mixture for a in results.accuracies if a.mixture]
    named += [c.mixture for c in results.checkpoints] + [p.mixture for p in results.progress]
    named += [findings.split_arm(c.right, c.student)[0] for c in results.comparisons if c.kind == "gain"]
    return styles(named)
