"""From matplotlib to what is published: inline SVG for the page, SVG and PNG files beside it.

Colours are Okabe and Ito's, and every series has a marker and a line style of its own, so that nothing rests on
colour alone. Inline SVG has no style attributes (the page's policy forbids them): its colours are the page's
variables, which follow the light or dark scheme, and its text takes the page's font. Text stays text
(`svg.fonttype none`), is never read as mathematics, and the same results give the same bytes.
"""

from __future__ import annotations

import io
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

from capgap_ray.report import formats

INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#dfe3e8", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES = ("-", "--", "-.", ":")
WIDTH = 4.6
"""Inches. At this width 9-point text can be read on a phone, where a panel fills the screen."""

_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"}
_VARIABLES |= {colour: f"s{i + 1}" for i, colour in enumerate(COLOURS)}
_DPI = 200
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "capgap-ray",
    "text.parse_math": False,
    "text.color": INK,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "hatch.color": PAPER,
    "hatch.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.4,
    "legend.borderpad": 0.0,
}


class Style(NamedTuple):
    """How one series looks in every figure."""

    colour: str
    marker: str
    dashes: Any
    hollow: bool = False

    @property
    def fill(self) -> str:
        """What the marker is filled with."""
        return PAPER if self.hollow else self.colour


class End(NamedTuple):
    """The end of a line, in the data's coordinates, and the name to write beside it."""

    x: float
    y: float
    name: str
    style: Style


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing: its title, and a sentence for those who cannot see it."""

    title: str
    alt: str
    svg: str
    """A document on white ground, for use elsewhere."""
    _figure: Any

    def png(self) -> bytes:
        """Return a PNG picture on white ground, 200 dots an inch."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        out = io.BytesIO()
        with _settings():
            FigureCanvasAgg(self._figure)
            self._figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None}, facecolor=PAPER)
        return out.getvalue()

    def inline(self, name: str) -> str:
        """Return an `<svg>` element for the page, with title and description; `name` begins their ids."""
        root = ElementTree.fromstring(self.svg[self.svg.index("<svg") :])
        for parent in list(root.iter()):
            for child in list(parent):
                if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                    parent.remove(child)
        for element in root.iter():
            element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
            _attributes(element)
        ground = next(each for each in root.iter("path") if each.get("fill", "").startswith("var(--paper"))
        ground.set("fill", "none")
        title, description = ElementTree.Element("title", id=f"{name}-t"), ElementTree.Element("desc", id=f"{name}-d")
        title.text, description.text = formats.plain(self.title), formats.plain(self.alt)
        root.attrib = {
            "viewBox": root.get("viewBox", ""),
            "role": "img",
            "aria-labelledby": f"{name}-t",
            "aria-describedby": f"{name}-d",
        }
        root[:0] = [title, description]
        return ElementTree.tostring(root, encoding="unicode")


def panel(title: str, alt: str, height: float, draw: Callable[[Any, Any], None]) -> Panel:
    """Draw one panel, `height` inches high; `draw` gets its figure and axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _settings():
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(figure, axes)
        heading = {"fontsize": 9.5, "fontweight": "bold"}
        if figure.legends:  # its title, or the two would meet
            figure.legends[0].set_title(label(title, 60))
            figure.legends[0].get_title().set(**heading)
        else:
            figure.suptitle(label(title, 60), x=0.01, ha="left", **heading)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is made; what is saved need not make it again
        out = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing, facecolor=PAPER)
    return Panel(title, alt, out.getvalue(), figure)


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Give every name one look; looks repeat only after 63 names."""
    return {
        name: Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, name in enumerate(dict.fromkeys(names))
    }


def label(text: str, limit: int = 44) -> str:
    """Return a label that matplotlib draws as it is: one short line, not hidden by a leading underscore."""
    line = formats.plain(text, limit)
    return f" {line}" if line.startswith("_") else line


def end_labels(axes: Any, height: float, ends: Sequence[End]) -> None:
    """Write each line's name and marker at the right of the axes, as near to its end as room allows."""
    into_axes = axes.transData + axes.transAxes.inverted()
    places = [into_axes.transform((end.x, end.y)) for end in ends]
    rows = spread([float(y) for _, y in places], 13 / (72 * max(height - 0.9, 0.5)))
    for end, (x, y), row in zip(ends, places, rows, strict=True):
        across = {"transform": axes.transAxes, "clip_on": False, "color": end.style.colour}
        axes.plot([min(x, 1.0), 1.02, 1.05], [y, row, row], linewidth=0.6, linestyle=":", **across)
        if end.style.marker:
            axes.plot([1.065], [row], marker=end.style.marker, mfc=end.style.fill, markersize=4.5, **across)
        where = 1.09 if end.style.marker else 1.06
        axes.text(where, row, label(end.name, 24), transform=axes.transAxes, va="center", fontsize=8.5)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places at least `gap` apart, in the order of those wanted, near them and at most 1 where that fits."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = dict.fromkeys(order, 0.0)
    for last, i in zip((None, *order), order, strict=False):
        placed[i] = wanted[i] if last is None else max(wanted[i], placed[last] + gap)
    roof = max(1.0, (len(order) - 1) * gap)
    for i in reversed(order):
        placed[i] = min(placed[i], roof)
        roof = placed[i] - gap
    return [placed[i] for i in range(len(wanted))]


def legend(figure: Any, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Put a legend above the axes: for drawings whose series have no end to write at."""
    if handles:
        columns = max(1, min(len(names), 64 // (max(map(len, names)) + 4)))
        figure.legend(handles, [label(n, 56) for n in names], loc="outside upper left", ncols=columns, alignment="left")


def _settings() -> AbstractContextManager[Any]:
    """Matplotlib's own defaults with ours, whatever else the process has set."""
    import matplotlib

    stack = ExitStack()
    stack.enter_context(warnings.catch_warnings())
    # A font without some glyph of a label is the viewer's matter: the SVG carries text, not outlines.
    warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
    stack.enter_context(matplotlib.rc_context())
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_SETTINGS)
    return stack


def _attributes(element: ElementTree.Element) -> None:
    """Turn styles into attributes, colours into the page's variables; drop ids that nothing refers to."""
    found: dict[str, str] = {}
    for name, value in element.attrib.items():
        if name == "style":
            pairs = (part.partition(":") for part in value.split(";") if ":" in part)
            found |= {key.strip(): text.strip() for key, _, text in pairs}
        elif name == f"{{{_XLINK}}}href":
            found["href"] = value
        elif name != "id" or element.tag != "g":
            found[name] = value
    found.pop("font-family", None)
    for name in ("fill", "stroke"):
        colour = found.get(name, "").lower()
        if colour in _VARIABLES:
            found[name] = f"var(--{_VARIABLES[colour]}, {colour})"
    element.attrib = found
