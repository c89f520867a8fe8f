"""The dashboard asks for the metrics that exist, all of them, by the names that Prometheus gets."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def declared(name: str) -> dict[str, tuple[str, ...]]:
    """Metric -> labels, from the source: this test does without Ray."""
    for node in ast.parse((ROOT / "capgap_ray/stages/metrics.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            assert node.value is not None
            return {metric: labels for metric, (_, labels) in ast.literal_eval(node.value).items()}
    raise AssertionError(name)


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "jobs/grafana.json").read_text())
    return loaded


def test_every_metric_is_shown_and_nothing_else() -> None:
    known = {f"ray_{name}_total": labels for name, labels in declared("COUNTERS").items()}
    known |= {f"ray_{name}": labels for name, labels in declared("GAUGES").items()}
    asked = " ".join(target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])
    assert set(re.findall(r"ray_capgap\w+", asked)) == known.keys()


def test_only_labels_that_exist_are_used() -> None:
    labels = {label for each in (declared("COUNTERS") | declared("GAUGES")).values() for label in each}
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            used = {
                each.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for each in group.split(",")
            }
            used |= set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert used <= labels, panel["title"]


def test_panels_have_a_place_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
