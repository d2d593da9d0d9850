"""Metrics to look at: a chart as a file, and a table for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from rich.table import Table

from pipelines.errors import InputError, nearest

INK, MUTED, GRID = "#1f2430", "#6b7280", "#e6e8ec"
PALETTE = ("#2563a8", "#d1662b", "#2f8f5b", "#8a4fa3", "#b5932a", "#c23b5a", "#3a9bb0", "#6b6f76")
"""Colours that stay apart for most colour-blind eyes; more groups than colours start over."""
SHARES = ("accuracy", "precision", "recall", "f1", "auc", "coverage", "maturity", "error_rate")
TIME_FORMAT = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class _Line:
    """One group's values of one metric, in order of time; `at` is the middle of the window."""

    name: str
    colour: str
    at: list[Any]
    value: list[float]
    low: list[float]
    high: list[float]
    final: list[bool]

    @property
    def banded(self) -> bool:
        return any(not math.isnan(bound) for bound in self.low)

    def part(self, *, final: bool) -> list[float]:
        """The values of the final or the provisional stretch; a provisional one starts at the last final value."""
        keep = [
            known == final or (not final and i + 1 < len(self.final) and not self.final[i + 1])
            for i, known in enumerate(self.final)
        ]
        return [value if kept else math.nan for value, kept in zip(self.value, keep, strict=True)]


def draw(
    frame: pd.DataFrame, path: Path, *, metrics: Sequence[str] = ("auc", "coverage"), title: str | None = None
) -> Path:
    """Metrics over time as .png or .svg, or as .html that needs no network; one panel a metric, one line a group.

    `frame`: what `metrics().toPandas()` gives. A band is the 95 % interval; what may still change is dashed and light.
    Raises InputError unknown_chart (the suffix), unknown_metric.
    """
    lines = {metric: list(_lines(frame, metric)) for metric in _known(frame, metrics)}
    heading = title if title is not None else _heading(frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".svg"):
        _figure(lines, heading).savefig(path, dpi=160, facecolor="white")
    elif path.suffix == ".html":
        _page(lines, heading).write_html(path, include_plotlyjs=True, full_html=True)
    else:
        raise InputError("unknown_chart", f"{path}: a chart is a .png, .svg or .html file, not {path.suffix!r}.")
    return path


def render(frame: pd.DataFrame, columns: Sequence[str]) -> Table:
    """Metrics as a table for the terminal: times in UTC, intervals beside their value, "–" for null, provisional rows dim.

    Raises InputError unknown_metric.
    """
    shown = _known(frame, columns)
    table = Table(caption="UTC; dim: may still change; in brackets: 95 % interval", header_style="bold", expand=False)
    for name in (*_groups(frame), "window"):
        table.add_column(name, no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for row in frame.to_dict("records"):
        window = f"{row['window_start']:{TIME_FORMAT}} – {row['window_end']:{TIME_FORMAT}}"
        cells = [str(row[name]) or "(service)" for name in _groups(frame)]
        table.add_row(*cells, window, *(_cell(row, name) for name in shown), style=None if row["final"] else "dim")
    return table


def _cell(row: dict[str, Any], name: str) -> str:
    text = _number(row[name])
    low, high = _number(row.get(f"{name}_low")), _number(row.get(f"{name}_high"))
    return f"{text} [{low}, {high}]" if "–" not in (text, low, high) else text


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(one)}" for key, one in value.items()) or "–"
    if value is None or value != value:  # noqa
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
