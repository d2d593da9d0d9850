"""What a terminal shows of a lake: the jobs as they run, and statuses as tables."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group as Lines
from rich.table import Table
from rich.text import Text

from pipelines.status import LakeStatus
from pipelines.verify import Report

TITLES = ("job", "running", "batch", "rows/s", "rows", "lag, events", "lag, s", "watermark", "state rows")


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
    counts = (
        f"log {status.log_end:,} records · frontier {short(status.frontier)} · quarantined {status.quarantined:,} · "
        f"duplicates {status.duplicates:,} · orphans {status.orphans:,}"
    )
    return Lines(table, Text(counts), *([Text(told)] if told else []))


def short(at: datetime | None) -> str:
    """A time to the minute, UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"


def proof(report: Report) -> str:
    """What a verification came to, on a line."""
    return (
        f"verify: {report.cells_compared:,} cells, now and as of {len(report.as_of)} earlier moments, and "
        f"{report.outcomes_compared:,} outcomes compared with an independent batch computation: differences {report.differences}"
    )
