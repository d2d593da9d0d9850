"""The year as a picture: AUC with the loop and without it, and below it what the loop did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.charts import GRID, INK, MUTED, PALETTE, dates, legend, lines_of, panel
from pipelines.demo.story import Curves, Document
from pipelines.quantities import spelled

_TITLE = "Arrival delay: the loop on, and off, on the same flights"
_LANES = (
    ("takes over", "takeovers", ">", PALETTE[2]),
    ("refused", "refusals", "x", MUTED),
    ("released", "releases", "D", PALETTE[4]),
    ("alarm", "alarms", "v", PALETTE[5]),
)
"""From the bottom: name, events, marker, colour."""


def draw(found: Curves, told: Document, path: Path) -> Path:
    """Draw as .png or .svg: both curves with their 95 % intervals; a line where a version took over."""
    curves = [
        replace(line, name=name, colour=colour)
        for frame, name, colour in ((found.off, "without: the model of January", MUTED), (found.on, "with the loop", PALETTE[0]))
        for line in lines_of(frame, "auc")
    ]
    figure = Figure(figsize=(10, 5.6), facecolor="white")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
    # times in UTC
    with rc_context({"timezone": "UTC", "svg.fonttype": "none", "svg.hashsalt": "hindsight"}):
        panel(above, "auc", curves)
        _takeovers(above, below, told["retrainings"])
        _lanes(below, told)
        dates(below, [at for line in curves for at in line.at])
        what = f"middle of each window of {spelled(found.width)}, one every day, UTC · band: 95 % interval"
        below.set_xlabel(what, color=MUTED, fontsize=9)
        figure.subplots_adjust(left=0.085, right=0.98, top=0.84, bottom=0.105, hspace=0.1)
        figure.text(0.085, 0.955, _TITLE, color=INK, fontsize=13, fontweight="bold", va="center")
        legend(figure, curves, 0.895, ["auc"])
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    return path


def events(told: Document) -> dict[str, list[datetime]]:
    """When alarms were raised, releases cut, versions took over or were refused; what was overturned is no alarm."""
    made = told["retrainings"]
    return {
        "alarms": [_at(one["raised_at"]) for one in told["alarms"] if one["state"] != "overturned"],
        "releases": [_at(one["fired_at"]) for one in made if one["release"]],
        "takeovers": [_at(one["took_over"]) for one in made if one["took_over"]],
        "refusals": [_at(one["decided_at"]) for one in made if one["steps"][-1] == "refused"],
    }


def _lanes(ax: Axes, told: Document) -> None:
    """A lane for each kind of event."""
    found = events(told)
    for place, (_, kind, marker, colour) in enumerate(_LANES):
        at: list[Any] = found[kind]
        ax.plot(at, [place] * len(at), ls="", marker=marker, color=colour, ms=6.5)
    ax.set_yticks(range(len(_LANES)), [name for name, *_ in _LANES], fontsize=9, color=INK)
    ax.set_ylim(-0.6, len(_LANES) - 0.4)
    ax.grid(axis="y", color=GRID, lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(GRID)
    ax.tick_params(colors=MUTED, labelsize=9, length=0)


def _takeovers(above: Axes, below: Axes, retrainings: Sequence[Document]) -> None:
    """A line through both panels, with the version that serves from there on."""
    for one in retrainings:
        if one["took_over"]:
            at: Any = _at(one["took_over"])
            for ax in (above, below):
                ax.axvline(at, color=PALETTE[2], lw=1.1, alpha=0.75)
            above.annotate(
                f"v{one['version']}", (at, 1), xycoords=("data", "axes fraction"), xytext=(3, -2), textcoords="offset points",
                color=PALETTE[2], fontsize=8, va="top",
            )  # fmt: skip


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
