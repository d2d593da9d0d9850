"""The dashboard and the alert rules are over what the exporter shows; the tools of Prometheus take the rules in `test_prometheus.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from pipelines.sinks.exposition import FAMILIES

CONF = Path(__file__).parent.parent / "conf"
DASHBOARD, RULES = CONF / "grafana" / "hindsight.json", CONF / "prometheus" / "hindsight.yml"
SELECTED = re.compile(r"(hindsight_\w+)(?:\{([^}]*)\})?")
LABELS = {
    "hindsight_quality": {"model", "label", "cut", "segment", "version", "state", "metric", "of"},
    "hindsight_job": {"name"},
    "hindsight_sink": {"sink"},
    "hindsight_open_alerts": {"model", "label", "rule"},
}
"""By the beginning of a family's name."""


def queries(node: Any) -> Iterator[str]:
    """What a dashboard asks Prometheus."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name in ("expr", "query") and isinstance(value, str))
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from queries(one)


@pytest.mark.parametrize("text", [*queries(json.loads(DASHBOARD.read_text())), RULES.read_text()])
def test_every_name_that_is_asked_for_is_one_that_is_exported(text: str) -> None:
    for name, selected in SELECTED.findall(text):
        assert name in FAMILIES
        labels = {label for begin, known in LABELS.items() if name.startswith(begin) for label in known}
        assert {part.partition("=")[0].strip(" !") for part in selected.split(",") if part} <= labels


def test_the_dashboard_shows_all_that_is_exported_but_what_rules_are_for() -> None:
    shown = {name for text in queries(json.loads(DASHBOARD.read_text())) for name, _ in SELECTED.findall(text)}
    assert set(FAMILIES) - shown == {
        *("hindsight_job_running", "hindsight_redriven_records", "hindsight_readable", "hindsight_sink_running", "hindsight_sink_refused")
    }


def test_the_dashboard_is_one_of_grafana_and_nothing_of_it_is_unknown_there() -> None:
    plugins.register_default_plugins()
    written = json.loads(DASHBOARD.read_text())
    read = json.loads(json.dumps(Dashboard.from_json(written), cls=JSONEncoder))
    assert not list(lost(written, read))


def lost(written: Any, read: Any, path: str = "") -> Iterator[str]:
    """What Grafana's own types do not take over."""
    if isinstance(written, dict) and isinstance(read, dict):
        for name, value in written.items():
            yield from lost(value, read[name], f"{path}.{name}") if name in read else [f"{path}.{name}"]
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from lost(one, other, f"{path}.{number}")
    elif written != read:
        yield path


def test_panels_lie_side_by_side_and_each_says_what_it_shows() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and (panel["type"] == "row" or panel["description"]) for panel in panels)
