"""Metrics as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from pipelines.charts import groups_of, naming_of, need, utc


def render(frame: pd.DataFrame, columns: Sequence[str], *, intervals: bool = True) -> Table:
    """Metrics as a table for the terminal: UTC, null as -, the interval in brackets, a star where it may still change.

    What is the same in every row stands in the title, and hours are left out where all are midnights. Raises InputError unknown_metric.
    """
    need(frame.columns, columns)
    told = ["UTC", *(["\\[95 % interval]"] if intervals else []), *([] if all(frame["final"]) else ["* may still change"])]
    same = [str(frame[name].iloc[0]) or "(service)" for name in groups_of(frame) if frame[name].nunique() == 1]
    table = Table(
        title=escape(" · ".join(same)), title_justify="left", caption=" · ".join(told), header_style="bold", box=SIMPLE
    )
    groups = naming_of(frame)
    for name in (*groups, "from", "to"):
        table.add_column(name, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    midnights = all((frame[name] == frame[name].dt.normalize()).all() for name in ("window_start", "window_end") if len(frame))
    spelling = "%Y-%m-%d" if midnights else "%Y-%m-%d %H:%M"
    for row in frame.to_dict("records"):
        group = [str(row[name]) or "(service)" for name in groups]
        window = [f"{utc(row[name]):{spelling}}" for name in ("window_start", "window_end")]
        window[1] += "" if row["final"] else " *"
        cells = [_cell(row, name, intervals=intervals) for name in columns]
        # escaped: brackets are markup to rich
        table.add_row(*map(escape, (*group, *window, *cells)), style=None if row["final"] else "dim")
    return table


def _cell(row: dict[str, Any], name: str, *, intervals: bool) -> str:
    text, *band = (_number(row.get(column)) for column in (name, f"{name}_low", f"{name}_high"))
    return text if not intervals or isinstance(row[name], dict) or "-" in band else f"{text} [{band[0]}, {band[1]}]"


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_number(one)}" for key, one in value.items()) or "-"
    if pd.isna(value):
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 10_000 else f"{value:.4g}"
