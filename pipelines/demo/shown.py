"""What `hindsight demo --loop` shows: the steps of the loop as they are taken, then the year in a table, a picture and a sentence."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.demo.events import check
from pipelines.demo.loop import Week, turned
from pipelines.demo.picture import draw
from pipelines.demo.show import MODEL, called, patient, prepare, prove, spark_for, tell_proof
from pipelines.demo.story import OFF, ON, Document, curves, story
from pipelines.extras import extra
from pipelines.settings import Settings


def show(settings: Settings, *, days: int, console: Console) -> Document:
    """Run the demo with the loop on in the lake of the settings; all that came of it. Raises InputError days_out_of_range, MachineError
    `extra_missing`.
    """
    check(days)
    for library in ("mlflow", "great_expectations"):  # before the folder is emptied
        extra(library)
    settings, folder = patient(settings), settings.lake.path.resolve()
    prepare(folder)
    started = time.monotonic()
    console.print(f"A model of 1 to 14 January 2013, then {days} days that followed, a week at a time, with the loop on.")
    with spark_for(settings, console) as spark:
        with console.status("the first week …") as status:
            weeks = []
            for week in turned(settings, spark, days=days, told=status.update):
                weeks.append(week)
                for line in lines_of(week):
                    console.print(line, highlight=False, soft_wrap=True)
            status.update("what came of it …")
            found = curves(spark, settings, days)
            document = story(spark, settings, weeks, found)
        document["picture"] = str(draw(found, document, folder / "loop.png"))
    report = prove(console, folder)
    document["verify"] = report.to_dict()
    _tell(console, document, folder)
    tell_proof(console, report, time.monotonic() - started)
    return document


def lines_of(week: Week) -> list[str]:
    """The steps that the launcher took after a week."""
    said = []
    for row in week.steps:
        about = (row["version"] and f"version {row['version']}") or row["release"] or row["trigger"]
        why = (row["reason"] or "").partition("\n")[0]
        verdict = f", {row['verdict']}" if row["verdict"] else ""
        said.append(escape(f"{week.ends:%Y-%m-%d}  {row['step']}: {about}{verdict}{': ' + why if why else ''}"))
    return said


def _tell(console: Console, document: Document, folder: Path) -> None:
    console.print(retrainings(document))
    console.print(year(document))
    console.print(document["conclusion"], style="bold", highlight=False, soft_wrap=True)
    for line in after(document, folder):
        console.print(line, highlight=False, soft_wrap=True)


def retrainings(document: Document) -> Table:
    """A retraining a row: what raised it, what it learnt from, and AUC before and after it took over, on and (off)."""
    told = "AUC: the windows beside the takeover, [95 % interval], and in () that of the January model on the same flights"
    table = Table(
        title="Retrainings", title_justify="left", header_style="bold", box=SIMPLE,
        caption=escape(f"{told} · loss: against the version before; with its anytime-valid interval"),
    )  # fmt: skip
    for name in ("fired", "why", "release", "rows", "version", "took over", "AUC before", "AUC after", "loss", "verdict"):
        table.add_column(name, justify="right" if name == "rows" else "left", overflow="fold")
    for one in document["retrainings"]:
        loss = "-" if one["estimate"] is None else f"{one['estimate']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]"
        cells = [one["fired_at"][:10], ", ".join(one["met"]), (one["release"] or "-").partition("/")[2]]
        cells.append("-" if one["rows"] is None else f"{one['rows']:,}")
        cells += [f"{one['replaces']} → {one['version']}" if one["version"] else "-", one["took_over"] or "-"]
        cells += [_beside(one["before"]), _beside(one["after"]), loss, one["verdict"] or one["steps"][-1]]
        table.add_row(*map(escape, cells))
    return table


def _beside(auc: Document | None) -> str:
    if auc is None or auc[ON] is None:
        return "-"
    on, off = auc[ON], auc[OFF]
    return f"{on['auc']:.3f} [{on['low']:.3f}, {on['high']:.3f}] ({off['auc']:.3f})"


def year(document: Document) -> Table:
    """The year with the loop and without it."""
    table = Table(title="All flights that were replayed", title_justify="left", header_style="bold", box=SIMPLE)
    for name in ("loop", "labels", "AUC, 95 % interval", "Brier"):
        table.add_column(name, justify="left" if name == "loop" else "right")
    for name in (ON, OFF):
        one: dict[str, Any] = document["year"][name]
        interval = f"{one['auc']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
        table.add_row(name, f"{one['n']:,}", escape(interval), f"{one['brier']:.4f}")
    return table


def after(document: Document, folder: Path) -> list[str]:
    """Where the picture lies, and commands that go on from here, as they can be typed in this folder."""
    here = Path.cwd()
    lake = shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))
    command, of_label = called(), f"--lake {lake} --model {MODEL}"
    return [
        "",
        f"A picture of AUC with the loop and without it: {document['picture']}",
        "Try next:",
        f"  {command} loop {of_label} --plot retrainings.png",
        f"  {command} alerts {of_label}",
        f"  {command} dataset list {of_label}",
        f"  {command} metrics {of_label} --label late --every '7 days' --by version",
        f"  {command} metrics {of_label} --label late --every '7 days' --definition {document['definitions'][OFF]}",
    ]
