"""What a terminal shows of a lake: the jobs as they run, and statuses as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from shlex import quote
from typing import Any

import pandas as pd
from rich.box import SIMPLE
from rich.console import Group as Lines
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipelines.importing import ImportReport
from pipelines.onboarding import Draft, Drafted
from pipelines.sinks.told import SinkStatus
from pipelines.status import LakeStatus
from pipelines.verify import Difference, Report

HANDFUL = 5
"""Differences of a verification that a terminal shows."""
TITLES = ("job", "running", "batch", "rows/s", "rows in its tables", "lag, events", "lag, s", "watermark", "state rows")


def jobs(status: LakeStatus, *, title: str = "", told: str = "") -> Lines:
    """The jobs as a table, the lake's counts below it."""
    table = Table(title=title or None, title_justify="left", header_style="bold")
    for name in TITLES:
        table.add_column(name, justify="left" if name in ("job", "watermark") else "right")
    for job in status.jobs:
        table.add_row(
            job.job,
            "yes" if job.running else "no",
            "-" if job.batch is None else str(job.batch),
            "-" if job.rate is None else f"{job.rate:,.0f}",
            f"{job.rows:,}",
            f"{job.lag_events:,}",
            f"{job.lag_seconds:,.1f}",
            short(job.watermark),
            f"{job.state_rows:,}",
        )
    again = f" ({status.redriven:,} sent again)" if status.redriven else ""
    counts = (
        f"log {status.log_end:,} records · frontier {short(status.frontier)} · quarantined {status.quarantined:,}{again} · "
        f"duplicates {status.duplicates:,} · orphans {status.orphans:,}"
    )
    return Lines(table, Text(counts), *([sinks(status.sinks)] if status.sinks else []), *([Text(told)] if told else []))


def sinks(found: Sequence[SinkStatus]) -> Table:
    """How far each sink has been told, and what was wrong with its last try, else why it refused something for good."""
    table = Table(header_style="bold")
    for name in ("sink", "running", "told as of", "lag, revisions", "lag, s", "told", "refused", "error"):
        table.add_column(name, justify="left" if name in ("sink", "told as of", "error") else "right", overflow="fold")
    for one in found:
        lag = "-" if one.lag_seconds is None else f"{one.lag_seconds:,.0f}"
        counts = (f"{one.lag_revisions:,}", lag, f"{one.revisions:,}", f"{one.refused:,}")
        table.add_row(one.sink, "yes" if one.running else "no", short(one.as_of), *counts, escape(one.error or one.refusal or "-"))
    return table


def short(at: datetime | None) -> str:
    """A time to the minute, UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"


def differences(report: Report) -> Lines:
    """A handful of the differences, of as many comparisons as there are."""
    comparisons = [(one.table, one.as_of) for one in report.examples]
    nth = [comparisons[:at].count(one) for at, one in enumerate(comparisons)]
    few = sorted(sorted(range(len(nth)), key=lambda at: (nth[at], at))[:HANDFUL])
    more = len(report.examples) - len(few)
    told = f"{more} more are explained by --json; {report.differences:,} differ in all"
    return Lines(*(_difference(report.examples[at]) for at in few), *([Text(told)] if more else []))


def _difference(found: Difference) -> Lines:
    """Where, both values, and the path to the expected one."""
    told = found.to_dict()
    when = f" as of {told['as_of']}" if told["as_of"] else ""
    key = ", ".join(f"{name} {value}" for name, value in found.key.items() if value != "")
    offsets = ", ".join(map(str, found.positions[:20])) + (" ..." if len(found.positions) > 20 else "")
    parts = [
        Text(f"{found.table}{when}: expected {told['expected']}, found {told['found']}", style="bold red"),
        Text(f"  at: {key}"),
        Text(f"  why: {found.explanation}"),
        *(Text(f"  entry: {entry}") for entry in found.entries),
        *(Text(f"  the lake holds: {row}") for row in found.held),
        *([Text(f"  log positions: {offsets}")] if found.positions else []),
    ]
    return Lines(*parts)


def proof(report: Report) -> str:
    """What a verification came to, on a line."""
    since = f"since {short(report.since)}, " if report.since else ""
    return (
        f"verify: {since}{report.cells_compared:,} cells, {report.outcomes_compared:,} outcomes, {report.examples_compared:,} examples, "
        f"differences {report.differences:,}"
    )


def imported(report: ImportReport) -> Lines:
    """What came of an import, a file a row; below it what is not right, and what to do next."""
    table = Table(header_style="bold", box=SIMPLE)
    for name in ("file", *_IMPORTED):
        table.add_column(name.replace("_", " "), justify="left" if name == "file" else "right", overflow="fold")
    for file in report.files:
        table.add_row(escape(file.file), *(f"{getattr(file, name):,}" for name in _IMPORTED))
    told = [
        f"{file.file}: {file.not_events:,} of {file.records:,} records are no events (they have no `kind`), and will be "
        "quarantined. Are they rows of your own? `hindsight model init NAME --from FILE` writes a mapping for them; then "
        "import with --mapping."
        for file in report.files
        if file.not_events
    ]
    told += [
        f"{file.file}: {file.belated:,} records say that they came before the log's frontier, when nothing older was to come: they "
        "count as received at it. Import what belongs together before --frontier is said, with the last file."
        for file in report.files
        if file.belated
    ]
    told += [f"frontier: {report.frontier:%Y-%m-%d %H:%M} UTC; nothing older is to come"] if report.frontier else []
    return Lines(table, *(Text(line) for line in [*told, "next: hindsight run --once"]))


_IMPORTED = ("records", "inferences", "feedback", "not_events", "already_there", "blank_lines", "unlabelled")


def drafted(draft: Draft) -> Lines:
    """What became of each column of the files, what is missing, and what to do next."""
    files: list[Drafted] = [draft, *([draft.labels] if draft.labels else [])]
    told = [f"written: {path}" for path in (draft.model, *(one.mapping for one in files))]
    told += [f"missing: {missing}" for one in files for missing in one.missing]
    told += [f"note: {note}" for one in files for note in one.notes]
    read = "complete the lines with TODO" if any(one.missing for one in files) else "read the files and correct them"
    told += [f"next: {read}, then:"]
    closing = ["", " --frontier"][-len(files) :]
    told += [
        f"  hindsight import {quote(str(one.file))} --mapping {quote(str(one.mapping))} --claimed{last}"
        for one, last in zip(files, closing, strict=True)
    ]
    return Lines(*(_columns(one, titled=len(files) > 1) for one in files), *(Text(line) for line in told))


def _columns(draft: Drafted, *, titled: bool) -> Table:
    table = Table(title=str(draft.file) if titled else None, title_justify="left", header_style="bold", box=SIMPLE)
    for name in ("column", "became", "why"):
        table.add_column(name, overflow="fold")
    for column in draft.columns:
        table.add_row(*map(escape, (column.column, column.became, column.why)))
    return table


def quality(frame: pd.DataFrame, title: str, name: str) -> Table:
    """Metrics as a table that fits a terminal: `name` is the column that tells the rows apart; a star is not final."""
    table = Table(title=title, title_justify="left", header_style="bold", padding=(0, 1), box=SIMPLE)
    table.add_column(name.removesuffix("_start"))
    for heading in (
        "n",
        "cov.",
        "acc.",
        "prec.",
        "recall",
        "F1",
        "AUC, 95 % interval",
        "Brier",
        "base",
        "p50",
        "p95",
        "p99 ms",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in frame.to_dict("records"):
        shares = [_share(row[metric]) for metric in ("coverage", "accuracy", "precision", "recall", "f1")]
        auc = f"{_share(row['auc'])} [{_share(row['auc_low'])}, {_share(row['auc_high'])}]"
        latency = [_share(row[f"latency_ms_p{q}"], ".0f") for q in (50, 95, 99)]
        told = f"{row[name]:%Y-%m-%d}" if isinstance(row[name], datetime) else str(row[name])
        cells = [
            told if row["final"] else f"{told} *",
            f"{row['n']:,.0f}",
            *shares,
            escape(auc),
            _share(row["brier"]),
            _share(row["base_rate"]),
            *latency,
        ]
        table.add_row(*cells, style=None if row["final"] else "dim")
    return table


LEGEND = (
    "n: predictions with a label · cov.: labelled share of all · base: base rate, the share of labels that say late · "
    "p50, p95, p99: latency"
)
"""What the headings of `quality` mean, for the label of the demo."""
NOT_FINAL = "* not final: the week, or the 48 hours after it in which labels count, is not over; its values may still change"


def beliefs(frame: pd.DataFrame, *, more: bool) -> Table:
    """Outcomes as a table, a belief a row; `more` says that there are others. What is the same in every row is the title.

    What no metric counts (a failed request, an item that was not on the slate) is dim.
    """
    same = [str(frame[name].iloc[0]) for name in ("model", "label") if frame[name].nunique() == 1]
    told = ["UTC", f"{len(frame):,} beliefs", *(["there are more: --limit"] if more else [])]
    told += ["dim rows count in no metric"] if not frame["judged"].all() else []
    table = Table(
        title=escape(" · ".join(same)), title_justify="left", caption=" · ".join(told), header_style="bold", box=SIMPLE
    )
    split = [name for name in ("model", "label") if frame[name].nunique() > 1]
    items = ["item"] if frame["item"].any() else []
    for name in (*split, "request", *items, "belief", "known at", "served at", "version", "prediction"):
        table.add_column(name, overflow="fold")
    for row in frame.to_dict("records"):
        who = [str(row[name]) for name in (*split, "unit_id", *items)]
        belief = _either(row["number"], row["text"]) or "undecided"
        times = [f"{row[name]:%Y-%m-%d %H:%M:%S}" for name in ("known_at", "served_at")]
        cells = [*who, belief, *times, str(row["version"]), _either(row["prediction"], row["prediction_text"]) or "-"]
        # escaped: brackets are markup to rich
        table.add_row(*map(escape, cells), style=None if row["judged"] else "dim")
    return table


def _either(number: Any, text: Any) -> str:
    """The number or the category, whichever is there."""
    return "" if pd.isna(number) and pd.isna(text) else f"{number:.6g}" if pd.isna(text) else str(text)


def _share(value: Any, form: str = ".3f") -> str:
    return "-" if value is None or pd.isna(value) else format(value, form)
