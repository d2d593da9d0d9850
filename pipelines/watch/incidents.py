"""What stands in the ledgers: incidents of alerts as they are believed now, and the metric drawn with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.charts import GRID, INK, MUTED, PALETTE, check
from pipelines.watch.detectors import Seen
from pipelines.watch.rules import AlertRule
from pipelines.watch.windows import Group

OPEN, CLEARED, OVERTURNED = "open", "cleared", "overturned"


@dataclass(frozen=True)
class Incident:
    """One incident: when it could be known, when it was cleared or overturned, and what raised it."""

    model: str
    label: str
    rule: str
    cut: str
    segment: str
    version: str
    incident: str
    state: str
    raised_at: datetime
    ended_at: datetime | None
    window_start: datetime
    value: float | None
    low: float | None
    high: float | None
    support: int
    evidence: str


def incidents(entries: Iterable[Mapping[str, Any]]) -> list[Incident]:
    """The incidents of rows of gold.alerts, the newest last; those taken out of the past itself are none."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in entries:
        rows.setdefault(row["incident"], []).append(row)
    found = []
    for of_incident in rows.values():
        net: dict[tuple[str, datetime], int] = {}
        for row in of_incident:
            key = ("cleared" if row["state"] == "cleared" else "raised", row["known_at"])
            net[key] = net.get(key, 0) + row["sign"]
        raised, cleared = (
            sorted((at, by) for (what, at), by in net.items() if what == of and by) for of in ("raised", "cleared")
        )
        if not raised:
            continue
        first = next(row for row in of_incident if row["state"] == "raised" and row["known_at"] == raised[0][0])
        stands, over = sum(by for _, by in raised) > 0, sum(by for _, by in cleared) > 0
        state = OVERTURNED if not stands else CLEARED if over else OPEN
        ended = raised[-1][0] if state == OVERTURNED else cleared[-1][0] if state == CLEARED else None
        same = {name: first[name] for name in ("model", "label", "rule", "cut", "segment", "version", "incident")}
        seen = {name: first[name] for name in ("window_start", "value", "low", "high", "support", "evidence")}
        found.append(Incident(**same, state=state, raised_at=raised[0][0], ended_at=ended, **seen))
    return sorted(found, key=lambda one: (one.raised_at, one.incident))


def draw(
    rule: AlertRule, shown: Mapping[Group, Mapping[datetime, Seen]], found: Sequence[Incident], path: Path
) -> Path:
    """The metric of a rule over time with its incidents as .png, .svg, or an .html page: a panel a group; shaded while one was open.

    Raises InputError `unknown_chart`, `not_writable`.
    """
    check(path)
    groups = [group for group in sorted(shown) if shown[group]]
    figure = Figure(figsize=(10, 1.2 + 2.2 * max(len(groups), 1)), facecolor="white", layout="constrained")
    axes = figure.subplots(max(len(groups), 1), 1, sharex=True, squeeze=False)[:, 0]
    for ax, group in zip(axes, groups, strict=False):
        of_group = [one for one in found if (one.segment, one.version) == (group.segment, group.version)]
        _panel(ax, rule, shown[group], of_group)
        ax.set_title(
            " · ".join(part for part in (group.segment.strip("[]"), group.version) if part),
            fontsize=9,
            color=MUTED,
            loc="left",
        )
    figure.suptitle(
        f"{rule.name}: {rule.metric} of {rule.label or 'the service'}", color=INK, fontsize=12, x=0.01, ha="left"
    )
    axes[-1].set_xlabel(
        "middle of each mature window, UTC · band: 95 % interval · red: an alert was open", color=MUTED, fontsize=9
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"timezone": "UTC", "svg.fonttype": "none", "svg.hashsalt": "hindsight"}):
        if path.suffix == ".html":
            page = StringIO()
            figure.savefig(page, format="svg")
            path.write_text(
                f"<!doctype html><meta charset=utf-8><title>{rule.name}</title>{page.getvalue()}", encoding="utf-8"
            )
        else:
            figure.savefig(path, dpi=160)
    return path


def _panel(ax: Axes, rule: AlertRule, windows: Mapping[datetime, Seen], found: Sequence[Incident]) -> None:
    # matplotlib takes times, and its types do not say so
    at: list[Any] = [start + rule.every / 2 for start in windows]
    seen = list(windows.values())
    ax.plot(at, [one.value for one in seen], color=PALETTE[0], lw=1.8, marker="o", ms=3)
    low, high = (
        [one.value if end is None else end for one, end in zip(seen, ends, strict=True)] for ends in _ends(seen)
    )
    ax.fill_between(at, low, high, color=PALETTE[0], alpha=0.14, linewidth=0)
    for one in found:
        if one.state != OVERTURNED:
            last: Any = max(windows) + rule.every if one.ended_at is None else min(one.ended_at, max(windows) + rule.every)
            start: Any = one.window_start
            ax.axvspan(start, max(last, start + rule.every), color=PALETTE[5], alpha=0.15, lw=0)
    if rule.detector in ("below", "above"):
        ax.axhline(rule.limit, color=MUTED, lw=1.2, ls=":")
    ax.grid(axis="y", color=GRID, lw=0.8)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(colors=MUTED, labelsize=9, length=0)


def _ends(seen: Sequence[Seen]) -> tuple[list[float | None], list[float | None]]:
    return [one.low for one in seen], [one.high for one in seen]
