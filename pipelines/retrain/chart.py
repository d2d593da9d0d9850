"""What the loop brought, as a picture: one interval per retraining."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from pipelines.charts import GRID, INK, MUTED, PALETTE
from pipelines.errors import InputError
from pipelines.retrain.ledger import Row

_COLOUR = {"helped": PALETTE[2], "did not": PALETTE[5], "promoted": PALETTE[0], "refused": PALETTE[1]}


def draw(found: list[list[Row]], path: Path) -> None:
    """The difference of each retraining's last verdict with its interval, the newest at the top. Raises InputError `unknown_chart`."""
    if path.suffix not in (".png", ".svg"):
        raise InputError("unknown_chart", f"{path}: expected a name that ends with .png or .svg")
    rows = [row for steps in found if (row := next((one for one in reversed(steps) if one["estimate"] is not None), None))]
    figure = Figure(figsize=(9, 1.4 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, row in enumerate(rows):
        colour = _COLOUR.get(row["verdict"] if row["step"] == "settled" else row["step"], MUTED)
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
        axes.plot(row["estimate"], place, "o", color=colour)
    names = [f"{row['model']} {row['version']}: {row['verdict'] if row['step'] == 'settled' else row['step']}" for row in rows]
    axes.set_yticks(range(len(rows)), names, color=INK)
    axes.set_xlabel("mean loss minus the champion's: left of 0 is better", color=MUTED)
    axes.grid(axis="x", color=GRID)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
