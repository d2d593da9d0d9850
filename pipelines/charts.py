"""Metrics to look at: charts, as files and in notebooks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator
from plotly.subplots import make_subplots

from pipelines.errors import InputError, nearest
from pipelines.quantities import spelled

INK, MUTED, GRID = "#1f2430", "#6b7280", "#e6e8ec"
PALETTE = ("#2563a8", "#d1662b", "#2f8f5b", "#8a4fa3", "#b5932a", "#c23b5a", "#3a9bb0", "#6b6f76")
"""Colours that most colour-blind eyes tell apart; more groups than colours start over."""
DASHED = (0, (3, 2))
FEW_POINTS = 40
"""Up to so many points a line marks each."""
CHANCE = {"auc": 0.5}
"""What a model that guesses reaches."""
SPELLED = {"auc": "AUC", "f1": "F1", "mae": "MAE", "rmse": "RMSE", "r2": "R²"}
"""Metrics whose names are not written as they are called."""


@dataclass(frozen=True)
class Line:
    """One group's values of one metric, in order of time; `at` is the middle of the window, unknown values are NaN."""

    name: str
    colour: str
    at: list[Any]
    values: list[float]
    low: list[float]
    high: list[float]
    final: list[bool]

    def settled(self) -> list[float]:
        """The values that are final, NaN elsewhere."""
        return [value if final else math.nan for value, final in zip(self.values, self.final, strict=True)]

    def provisional(self) -> list[float]:
        """The values that may still change, and the final ones beside them, so that the line goes on."""
        following, before = [*self.final[1:], True], [True, *self.final[:-1]]
        keep = [not (a and b and c) for a, b, c in zip(self.final, following, before, strict=True)]
        return [value if kept else math.nan for value, kept in zip(self.values, keep, strict=True)]


def draw(frame: pd.DataFrame, path: Path, *, metrics: Sequence[str] = ("auc", "coverage"), title: str | None = None) -> Path:
    """Metrics over time as .png, .svg, or an .html page that needs no network: a panel a metric, a line a group.

    `frame`: what `metrics(…).toPandas()` gives. A band is the 95 % interval; what may still change is dashed and light.
    Raises InputError unknown_chart, not_writable, unknown_metric, not_a_number (a value per class, a text).
    """
    check(path)
    panels = _panels(frame, metrics)
    heading = _heading(frame) if title is None else title
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".html":
        figure(frame, metrics=metrics, title=heading).write_html(path, include_plotlyjs=True)
    else:
        # times in UTC; in an .svg text stays text, and ids are the same in every run
        with rc_context({"timezone": "UTC", "svg.fonttype": "none", "svg.hashsalt": "hindsight"}):
            _figure(panels, heading, _drawn(frame)).savefig(path, dpi=160)
    return path


def figure(frame: pd.DataFrame, *, metrics: Sequence[str] = ("auc", "coverage"), title: str | None = None) -> go.Figure:
    """The same as a figure of plotly, which a notebook shows. Raises InputError unknown_metric, not_a_number."""
    heading = _heading(frame) if title is None else title
    return _page(_panels(frame, metrics), heading, _drawn(frame), " · ".join(naming_of(frame)).replace("_", " "))


def _panels(frame: pd.DataFrame, metrics: Sequence[str]) -> dict[str, list[Line]]:
    need(frame.columns, metrics)
    return {metric: lines_of(frame, metric) for metric in metrics}


def check(path: Path) -> None:
    """Raises InputError unknown_chart (by the suffix), or not_writable where no file of this name can be written."""
    if path.suffix not in (".png", ".svg", ".html"):
        raise InputError("unknown_chart", f"{path}: a chart is a .png, .svg or .html file, not {path.suffix!r}.")
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError("not_writable", f"{path}: this file cannot be written; name one in a folder of yours.")


def need(columns: Iterable[str], names: Iterable[str]) -> None:
    """Raises InputError unknown_metric where an answer with these columns has no such metric."""
    known = [name for name in columns if not name.startswith("window_")]
    for name in names:
        if name not in known:
            shown = ", ".join(one for one in known if not one.endswith(("_low", "_high")))
            raise InputError("unknown_metric", f'the answer has no "{name}"{nearest(name, known)}; it has {shown}.')


def groups_of(frame: pd.DataFrame) -> list[str]:
    """The columns that make a group: what stands before the window, without the definition's hash."""
    names = list(frame.columns)
    return [name for name in names[: names.index("window_start")] if name != "definition"]


def naming_of(frame: pd.DataFrame) -> list[str]:
    """The columns by which groups are told apart."""
    return [name for name in groups_of(frame) if frame[name].nunique() > 1]


def _heading(frame: pd.DataFrame) -> str:
    same = [str(frame[name].iloc[0]) for name in groups_of(frame) if len(frame) and frame[name].nunique() == 1]
    return " · ".join(part for part in same if part) or "metrics"


def _drawn(frame: pd.DataFrame) -> str:
    """What a point of the lines is."""
    if not len(frame):
        return "UTC"
    starts = frame["window_start"].drop_duplicates().sort_values()
    width = (frame["window_end"] - frame["window_start"]).max().to_pytimedelta()
    step = starts.diff().min().to_pytimedelta() if len(starts) > 1 else width
    every = f", one every {spelled(step).removeprefix('1 ')}" if step < width else ""
    return f"middle of each window of {spelled(width)}{every}, UTC · band: 95 % interval"


def lines_of(frame: pd.DataFrame, metric: str) -> list[Line]:
    """One line per group that has a value of the metric; a group has one colour, whatever the metric."""
    lines = []
    groups, naming = groups_of(frame), naming_of(frame)
    colours = cycle(PALETTE)
    for key, rows in frame.sort_values("window_start").groupby(groups, sort=True):
        colour = next(colours)
        values = _floats(rows, metric)
        if all(math.isnan(value) for value in values):
            continue
        named = dict(zip(groups, key, strict=True))
        windows = zip(rows["window_start"], rows["window_end"], strict=True)
        middle = [utc(start + (end - start) / 2) for start, end in windows]
        low, high = _floats(rows, f"{metric}_low"), _floats(rows, f"{metric}_high")
        name = " · ".join(_called(named[name]) for name in naming)
        lines.append(Line(name, colour, middle, values, low, high, [bool(final) for final in rows["final"]]))
    return lines


def _called(value: Any) -> str:
    """A value by which lines are kept apart: a time without the hours that all say nothing."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if value == value.replace(hour=0, minute=0) else f"{value:%Y-%m-%d %H:%M}"
    return str(value) or "service"


def _floats(rows: pd.DataFrame, name: str) -> list[float]:
    if name not in rows:
        return [math.nan] * len(rows)
    try:
        return [math.nan if value is None else float(value) for value in rows[name]]
    except (TypeError, ValueError) as error:
        raise InputError("not_a_number", f'"{name}" holds no single numbers to draw; `hindsight metrics` prints it.') from error


def utc(at: Any) -> Any:
    """A time as UTC; Spark's pandas frames hold session-local times without a zone, and the session's zone is UTC."""
    return at.to_pydatetime().replace(tzinfo=UTC) if at.tzinfo is None else at.to_pydatetime().astimezone(UTC)


def _figure(panels: dict[str, list[Line]], heading: str, drawn: str) -> Figure:
    height = 1.5 + 2.3 * len(panels)
    figure = Figure(figsize=(10, height), facecolor="white")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (metric, lines) in zip(axes, panels.items(), strict=True):
        panel(ax, metric, lines)
    axes[-1].set_xlabel(drawn, color=MUTED, fontsize=9)
    dates(axes[-1], [at for lines in panels.values() for line in lines for at in line.at])
    figure.align_ylabels(axes)
    figure.subplots_adjust(left=0.085, right=0.98, top=1 - 0.85 / height, bottom=0.6 / height, hspace=0.24)
    figure.text(0.085, 1 - 0.27 / height, heading, color=INK, fontsize=13, fontweight="bold", va="center")
    legend(figure, [line for lines in panels.values() for line in lines], 1 - 0.57 / height, panels)
    return figure


def dates(ax: Axes, at: list[Any]) -> None:
    """Ticks that are equally far apart and all spelled alike, as fine as the time that is drawn asks for."""
    span = max(at) - min(at) if at else timedelta(0)
    spelling = "%Y-%m" if span > timedelta(days=120) else "%Y-%m-%d" if span > timedelta(days=3) else "%m-%d %H:%M"
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=12, interval_multiples=False)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(DateFormatter(spelling, tz=UTC))  # type: ignore[no-untyped-call]


def legend(figure: Figure, lines: list[Line], top: float, metrics: Iterable[str]) -> None:
    """Under the heading: the groups, where there are several, and what dashes and dots mean, where there are any."""
    handles = {line.name: Line2D([], [], color=line.colour, lw=2) for line in lines if line.name}
    if not all(all(line.final) for line in lines):
        handles["not final: may still change"] = Line2D([], [], color=MUTED, lw=1.6, ls=DASHED)
    for metric in metrics:
        if metric in CHANCE:
            handles[f"{CHANCE[metric]}: chance"] = Line2D([], [], color=MUTED, lw=1.2, ls=":")
    style: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": INK, "handlelength": 1.8, "borderpad": 0}
    if handles:
        where: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (0.081, top), "ncols": min(len(handles), 8)}
        figure.legend(list(handles.values()), list(handles), **where, **style)


def panel(ax: Axes, metric: str, lines: list[Line]) -> None:
    """The values of one metric with their intervals; what may still change is dashed."""
    for line in lines:
        marker = "o" if len(line.at) <= FEW_POINTS else ""
        look: dict[str, Any] = {"color": line.colour, "marker": marker, "ms": 3.5}
        ax.fill_between(line.at, line.low, line.high, color=line.colour, alpha=0.14, linewidth=0)
        ax.plot(line.at, line.provisional(), lw=1.6, ls=DASHED, alpha=0.55, mfc="white", **look)
        ax.plot(line.at, line.settled(), lw=1.8, **look)
    if metric in CHANCE and lines:
        ax.axhline(CHANCE[metric], color=MUTED, lw=1.2, ls=":")
    ax.set_ylabel(SPELLED.get(metric, metric), fontsize=10, color=INK)
    ax.grid(axis="y", color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(GRID)
    ax.tick_params(colors=MUTED, labelsize=9, length=0)
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]) if lines else NullLocator())
    ax.margins(x=0.01)
    if not lines:
        ax.text(0.5, 0.5, "no values", transform=ax.transAxes, ha="center", va="center", color=MUTED)
        ax.tick_params(labelbottom=False)


def _page(panels: dict[str, list[Line]], heading: str, drawn: str, groups: str) -> go.Figure:
    page = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    named: set[str] = set()
    for number, (metric, lines) in enumerate(panels.items(), start=1):
        for line in lines:
            for trace in _traces(line, legend=line.name not in named):
                page.add_trace(trace, row=number, col=1)
            named.add(line.name)
        page.update_yaxes(title_text=SPELLED.get(metric, metric), row=number, col=1)
        if metric in CHANCE and lines:
            dotted = {"color": MUTED, "width": 1.2, "dash": "dot"}
            page.add_hline(y=CHANCE[metric], line=dotted, annotation_text="chance", row=number, col=1)
    page.update_layout(
        title={"text": heading, "x": 0.01},
        template="plotly_white",
        height=140 + 270 * len(panels),
        hovermode="x unified",
        font={"family": "system-ui, sans-serif", "color": INK},
        legend={"orientation": "h", "y": 1.06, "x": 1, "xanchor": "right", "title": {"text": groups}},
        margin={"l": 60, "r": 24, "t": 90, "b": 50},
        showlegend=len(named) > 1,
    )
    settled = all(all(line.final) for lines in panels.values() for line in lines)
    title = drawn + ("" if settled else " · dashed: not final, may still change")
    page.update_xaxes(title_text=title, row=len(panels), col=1)
    return page


def _bands(line: Line) -> Iterator[tuple[list[Any], list[float], list[float]]]:
    """Times and ends of the intervals, a piece for each row of windows that have one: a fill would go over gaps, and across itself."""
    edges = zip(line.at, line.low, line.high, strict=True)
    for known, piece in groupby(edges, lambda edge: not math.isnan(edge[1] + edge[2])):
        if known:
            at, low, high = (list(column) for column in zip(*piece, strict=True))
            yield at, low, high


def _traces(line: Line, *, legend: bool) -> Iterator[Any]:
    shared = {"x": line.at, "name": line.name, "legendgroup": line.name}
    filled = {"fill": "toself", "fillcolor": f"rgba{(*bytes.fromhex(line.colour[1:]), 0.14)}", "line": {"width": 0}}
    for at, low, high in _bands(line):
        outline = {"x": [*at, *reversed(at)], "y": [*high, *reversed(low)], "mode": "lines", "hoverinfo": "skip", "showlegend": False}
        yield go.Scatter(**shared | outline, **filled)
    solid = {"color": line.colour, "width": 2}
    drawn = {"mode": "lines+markers", "marker": {"size": 4}, **shared}
    yield go.Scatter(y=line.settled(), line=solid, showlegend=legend, **drawn)
    yield go.Scatter(y=line.provisional(), line={**solid, "dash": "dash"}, opacity=0.55, showlegend=False, **drawn)
