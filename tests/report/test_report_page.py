"""The page: what it says, that nothing in it comes alive, and that it survives missing parts."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capgap_ray.core.findings import Table, find
from capgap_ray.report import figures, findings, page
from capgap_ray.report.bundle import results_of
from capgap_ray.results import Results
from tests.core.simulated import arm

_HOSTILE = (
    "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'><a href='javascript:alert(3)'>"
    "]]><iframe src=//evil></iframe></svg></pre></style><!-- $\\frac{ {{ 7*7 }} _x \x00\ud800 &lt;b&gt;"
)


class _Reader(HTMLParser):
    """Collects tags with their attributes, and the text outside style sheets and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data

    @property
    def flat(self) -> str:
        return " ".join(self.text.split())


def _plant(value: Any, seen: list[int]) -> Any:
    """Put the hostile text, numbered, in place of every string."""
    if isinstance(value, str):
        seen.append(len(seen))
        return f"{_HOSTILE} {len(seen) % 5}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plant(getattr(value, f.name), seen) for f in dataclasses.fields(value)}
        for kept in ("part", "role", "kind", "task"):
            # Some literals stay, or the branches behind them would not run.
            if kept in fields and len(seen) % 3:
                fields[kept] = getattr(value, kept)
        return dataclasses.replace(value, **fields)
    if isinstance(value, tuple):
        return tuple(_plant(item, seen) for item in value)
    if isinstance(value, dict):
        return {_plant(key, seen): _plant(item, seen) for key, item in value.items()}
    return value


_BESIDE = re.compile(r"#[a-z_]+|(tables/[a-z_]+\.(csv|parquet)|figures/[a-z_]+_[0-9]+\.(svg|png)|items\.parquet)")


def _assert_inert(html: str, scripts: int = 0) -> None:
    """`scripts`: how many of our own script elements there are."""
    reader = _Reader(html)
    assert not {tag for tag, _ in reader.tags} & {"img", "iframe", "link", "object", "base", "form", "embed"}
    assert sum(tag == "script" for tag, _ in reader.tags) == scripts
    for tag, attributes in reader.tags:
        for name, value in attributes.items():
            assert not name.startswith("on") and name != "style", (tag, attributes)
            if name in ("href", "xlink:href", "src", "action"):
                assert _BESIDE.fullmatch(value or "") or (tag == "use" and (value or "").startswith("#")), attributes
    assert html.count("<script") == scripts and html.count("<img") == 0


def test_the_page_stands_alone(html: str) -> None:
    assert html.startswith("<!DOCTYPE html>")
    assert len(html.encode()) < 2_000_000
    _assert_inert(html, scripts=1)
    for remote in ("http:", "https:", "url(//", "@import"):
        assert remote not in html
    assert '<meta name="viewport"' in html and "@media print" in html


def test_the_policy_names_the_one_script_and_the_one_style_sheet(html: str) -> None:
    (policy,) = [
        a["content"] or "" for tag, a in _Reader(html).tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    for tag in ("script", "style"):
        ((text,),) = [re.findall(f"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_sections_come_in_order(html: str) -> None:
    ids = [a["id"] for tag, a in _Reader(html).tags if tag == "section"]
    assert ids == ["fair", "figures", "verdicts", "items", "tables", "made"]


def test_it_answers_first(html: str) -> None:
    text = _Reader(html).flat
    answer = text.index("distillation helps 1 of 2 students (tiny-student-0.5m)")
    assert text.index("Distillation helps 1 of 2 students") < answer < text.index("Is the comparison fair?")
    for part in ("95 % interval +", "adjusted p <0.001", "160 items", "Teacher to use: tiny-teacher-small."):
        assert part in text
    assert "has no proven effect on 1 of 2 students (tiny-student-2m)" in text


def test_confounded_comparisons_are_told_in_words(html: str) -> None:
    text = _Reader(html).flat
    assert text.count("mix / 5x4 against large / 2x1 is confounded: 10.0x fewer updates") == 2
    assert "2 of 17 compared pairs of arms are confounded" in text
    assert text.count("; all tasks): mix / 5x4 against large / 2x1 is confounded") == 2


def test_the_smallest_detectable_difference_has_one_name_and_is_spelt_out(html: str) -> None:
    assert not re.search(r"\bMDE\b", _Reader(html).flat)
    template = (Path(page.__file__).parent / "page.html").read_text()  # whatever results there are
    for name in ("“Detectable”", "“Detectable alone”"):
        meaning = template.partition(f"{name}: ")[2]
        assert meaning.startswith("the smallest detectable difference, ")
        assert "the smallest true one that " in meaning[:120]


def test_every_figure_has_words_a_caption_and_a_table(html: str) -> None:
    figures = re.findall(r"<figure>.*?</details>", html, flags=re.DOTALL)
    assert len(figures) == 8
    drawings = 0
    for figure in figures:
        panels = re.findall(
            r'<svg [^>]*role="img"[^>]*>\s*<title id="[a-z_]+-\d+-t">[^<]+</title>(<desc [^<]+)', figure
        )
        drawings += len(panels)
        assert panels and all(len(words) > 80 for words in panels)
        assert figure.count("<figcaption>") == 1 and "<table>" in figure
    assert drawings == 2 + 4 + 1 + 2 + 4 + 4 + 2 + 1
    ids = re.findall(r'<(?:title|desc) id="([^"]+)"', html)
    assert len(ids) == len(set(ids)) == 2 * drawings


def test_figures_take_the_pages_colours_and_no_style(html: str) -> None:
    svg = re.findall(r"<svg viewBox=.*?</svg>", html, flags=re.DOTALL)
    assert all(" style=" not in each and "<style" not in each for each in svg)
    assert any("var(--s1, #0072b2)" in each for each in svg) and any("var(--ink" in each for each in svg)


def test_the_judges_audit_is_shown_and_escaped(html: str, results: Results) -> None:
    text = _Reader(html).flat
    assert "tiny-judge with the prompt “capgap”" in text
    assert "<td><b>" not in html
    assert "<b>(A)</b>" in text
    assert "The judge was not audited" not in text
    assert results.judge_audit is not None
    many = dataclasses.replace(results.judge_audit, disagreements=results.judge_audit.disagreements * 701)
    longer = page.render(dataclasses.replace(results, judge_audit=many))
    assert "The first 600 of 701 rows; the files have all" in _Reader(longer).flat
    without = page.render(dataclasses.replace(results, judge_audit=None))
    assert "The judge was not audited: how often it errs is not known." in _Reader(without).flat


def test_a_cell_below_chance_is_warned_of(html: str, results: Results) -> None:
    assert "below chance" not in _Reader(html).flat
    low = dataclasses.replace(results.accuracies[0], right=2, wrong=75, flexible=0.025)
    text = _Reader(page.render(dataclasses.replace(results, accuracies=(low,)))).flat
    assert "Warning: below chance" in text
    assert "2.5 % is below chance (33.3 %)" in text


def test_the_experiment_is_verbatim(html: str, results: Results) -> None:
    text = _Reader(html).text
    assert results.experiment_yaml in text
    assert results.command in text
    assert all(f"{name}{version}" in text for name, version in results.versions.items())


def test_same_input_same_bytes(html: str, results: Results) -> None:
    assert page.render(results) == html


@pytest.mark.filterwarnings("error")
def test_nothing_planted_comes_alive(results: Results) -> None:
    planted = _plant(results, [])
    html = page.render(planted)
    html.encode("utf-8")
    _assert_inert(html, scripts=1)
    text = _Reader(html).text
    assert "<script>alert(1)</script>" in text, "shown as text"
    assert "{{ 7*7 }}" in text and "&lt;b&gt;" in text, "neither evaluated nor unescaped twice"


def test_nothing_planted_in_names_comes_alive_in_figures(results: Results) -> None:
    def rename(text: str) -> str:
        return text.replace("tiny-", "<script>$\\frac{").replace("mix", '_"><img onerror=x> & $^$')

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return rename(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: walk(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return dataclasses.replace(value, **fields)
        if isinstance(value, tuple):
            return tuple(walk(item) for item in value)
        return {rename(key): walk(item) for key, item in value.items()} if isinstance(value, dict) else value

    hostile = walk(results)
    drawn = [
        *figures.accuracy_by_size(hostile)[:1],
        *figures.gain_by_task(hostile)[:1],
        *figures.loss_curves(hostile)[:1],
    ]
    assert len(drawn) == 3
    for panel in drawn:
        svg = panel.inline("x-1")
        _assert_inert(svg)
        text = _Reader(svg).text
        assert "$^$" in text and '_"><img onerror=x>' in text, "shown as it is, and in the legend"


def test_results_made_elsewhere_are_told_in_full(elsewhere: Results) -> None:
    html = page.render(elsewhere)
    _assert_inert(html, scripts=1)
    text = _Reader(html).flat
    found = elsewhere.findings
    assert found is not None
    for each in found.recommendations:
        assert each.sentence in text and all(reason in text for reason in (*each.reasons, *each.surer))
    assert all(note in text for note in found.notes)
    (gap,) = findings.gap_sentences(elsewhere)
    assert gap in text and "t-14b" in gap and "s-0.5b" in gap and "s-7b" in gap
    assert "weaker is not known" not in gap
    assert elsewhere.findings is not None
    unknown = tuple(dataclasses.replace(each, ordered=False) for each in elsewhere.findings.capacity_gap)
    turned = dataclasses.replace(elsewhere, findings=dataclasses.replace(elsewhere.findings, capacity_gap=unknown))
    assert findings.gap_sentences(turned)[0].endswith("; which of the two teachers is the weaker is not known.")
    for name in ("accuracy_by_size", "gain_by_task", "advantage_by_size", "cost_and_accuracy"):
        assert f'id="{name}-1-t"' in html
    for absent in ("Training loss", "Data yield", "None", " nan"):
        assert absent not in text
    gains = page.tables.efficacy(found)
    harmed = [row for row in gains.rows if row[gains.header.index("verdict")] == "harmed"]
    assert harmed and gains.rows[: len(harmed)] == tuple(harmed), "degradations first"


def test_the_ledger_and_the_way_through_training_are_shown(html: str, results: Results) -> None:
    text = _Reader(html).flat
    assert "Accuracy on the way through training" in text and "CPU-hours" in text
    assert page.tables.student_costs(results).rows[0][-2:] == ("41.4", "—")
    untouched = page.tables.progress(results).rows[0]
    assert untouched[3:5] == ("0", "120")


def _without(results: Results, **changes: Any) -> str:
    return _Reader(page.render(dataclasses.replace(results, **changes))).flat


def test_nothing_done(empty: Results) -> None:
    text = _without(empty)
    assert "nothing is averaged over nothing" in text
    for words in (
        "Nothing was compared",
        "No gain was measured",
        "No training loss",
        "No student was trained",
        "There is no verdict",
    ):
        assert words in text
    assert " nan" not in text and "None" not in text


def test_baselines_only(results: Results) -> None:
    accuracies = tuple(a for a in results.accuracies if a.role != "distilled")
    text = _without(results, accuracies=accuracies, checkpoints=(), comparisons=(), verdicts=(), mixtures=())
    assert "Untouched students" in text and "tiny-teacher-small" in text
    assert "There is no answer" in text


def test_no_task_selected(results: Results) -> None:
    selection = tuple(dataclasses.replace(s, selected=False) for s in results.selection)
    text = _without(results, selection=selection)
    assert "No student of known size has test scores on all of these tasks" in text


def test_one_student_and_losses_that_are_missing_or_broken(results: Results) -> None:
    name = "tiny-student-2m"
    accuracies = tuple(a for a in results.accuracies if not a.arm.startswith("tiny-student-0.5m"))
    mine = [c for c in results.checkpoints if c.student == name][:3]
    broken = ((), (float("nan"), float("inf"), 1.0), (float("nan"),))
    checkpoints = tuple(dataclasses.replace(c, losses=x) for c, x in zip(mine, broken, strict=True))
    comparisons = tuple(
        dataclasses.replace(c, ci_low=None, ci_high=float("nan")) for c in results.comparisons if c.student == name
    )
    text = _without(results, accuracies=accuracies, checkpoints=checkpoints, comparisons=comparisons)
    assert "480k" not in text and "2.1M" in text


def test_long_losses_are_thinned(results: Results) -> None:
    long = dataclasses.replace(results.checkpoints[0], losses=tuple(float(i) for i in range(20_000)))
    (panel,) = figures.loss_curves(dataclasses.replace(results, checkpoints=(long,)))
    assert len(panel.inline("x-1")) < 60_000


def test_matplotlib_and_jinja_are_imported_only_when_needed() -> None:
    code = "import sys, capgap_ray.report.page as p; print({'matplotlib', 'jinja2', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_stands_under_the_gains_lies_within_the_figure(results: Results) -> None:
    named = [dataclasses.replace(each, task=each.task.rjust(30, "x")) for each in results.comparisons]
    for panel in figures.gain_by_task(dataclasses.replace(results, comparisons=tuple(named))):
        extent = panel._figure.axes[0].xaxis.label.get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= panel._figure.bbox.width


def test_numbers_of_updates_do_not_run_into_one_another() -> None:
    assert figures._apart([422, 20, 24, 44, 182, 228, 24]) == [20, 44, 182, 422]
    assert figures._apart([7, 7]) == [7]


def test_results_made_elsewhere_are_not_said_to_be_selected_on_training_items() -> None:
    right = np.arange(100)
    arms = [
        arm(task, student, teacher, right < height)
        for task, own in (("A", 90), ("B", 45))
        for student, teacher, height in (("1B", "", 40), ("1B", "big", 70), ("big", "", own))
    ]
    found = find(Table(arms=tuple(arms), rows=0, sizes={}), exchanges=20)
    assert [each.selected for each in found.selection] == [True, False]
    html = page.render(results_of(found, experiment="e", command="c", made_at="now", versions={}))
    assert "Over 2 tasks together, chain-of-thought distillation helps 1 of 1 student (1B)." in html
    assert "selected task" not in html and "Measured on training items only" not in html
    assert "Measured on the items of these results" in html
