"""The demo: a model fitted in January is judged on the flights that followed, and every number is proved."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from shutil import rmtree, which

import pandas as pd
from pyspark.sql import SparkSession
from rich.console import Console
from rich.live import Live

from pipelines import charts, leases, session, view
from pipelines.app import Application
from pipelines.demo.events import START, check, replay
from pipelines.demo.mischief import Mischief
from pipelines.errors import InputError
from pipelines.gates.suite import row_rules
from pipelines.jobs import NAMES
from pipelines.log import log_at
from pipelines.metrics import metrics
from pipelines.models import load_model
from pipelines.settings import Settings
from pipelines.status import LakeStatus, status
from pipelines.verify import Report, verify

MODEL = "arrival_delay"
MARK = "hindsight-demo"
"""A file of this name says that a folder is a demo's and may be replaced."""
WHOLE = "520 weeks"
"""A window that holds all of 2013."""
CELL, CORRECTED = "2013-01-15T22:00Z", "2013-01-14-B6-22-JFK-SYR-2249"
"""Of the first day, so that every replay holds them: an hour with late and punctual flights, a label that was corrected."""
FEW_DAYS = 14
"""Fewer are drawn day by day: windows of a week would be a handful."""


@dataclass
class Feed:
    """What has been sent so far."""

    sent: Mischief = field(default_factory=Mischief)
    done: bool = False
    failure: BaseException | None = None


def prepare(folder: Path) -> None:
    """An empty folder for the demo.

    Raises InputError `folder_in_use` where something else lies there, StateError `lease_held` where an earlier demo still runs.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise InputError(
                "folder_in_use",
                f"{folder}: this folder holds something else; name an empty one with --keep, or move it away",
            )
        leases.refuse_held(folder, NAMES)
        rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


JOIN_HORIZON = timedelta(hours=24)
"""A flight's label comes with the plane, hours later, and there are few flights: the join can wait for nearly all."""


def patient(settings: Settings) -> Settings:
    """The settings, with that horizon."""
    return replace(settings, run=replace(settings.run, join_horizon=JOIN_HORIZON))


def show(settings: Settings, *, days: int, speed: float | None, console: Console) -> Report:
    """Run the demo in the lake of the settings; what its proof came to. Raises InputError days_out_of_range."""
    check(days)
    settings, folder = patient(settings), settings.lake.path.resolve()
    prepare(folder)
    started = time.monotonic()
    console.print(f"Fitting a model on the flights of 1 to 14 January 2013, then replaying {days} days that followed.")
    with spark_for(settings, console) as spark:
        feed = _run(settings, spark, days, speed, console)
        _tell_found(console, feed.sent, status(folder))
        _tell_metrics(console, spark, folder, days)
    report = prove(console, folder)
    for line in after(folder, days):
        console.print(line, highlight=False, soft_wrap=True)
    tell_proof(console, report, time.monotonic() - started)
    return report


@contextmanager
def spark_for(settings: Settings, console: Console) -> Iterator[SparkSession]:
    """A session for a demo; who waits for it is told why."""
    with ExitStack() as stack:
        with console.status("starting Spark (the first time it fetches Delta Lake from Maven Central) …"):
            spark = stack.enter_context(session.opened(settings, app="hindsight-demo"))
        yield spark


def tell_proof(console: Console, report: Report, seconds: float) -> None:
    """How long all of it took, and what the proof came to."""
    console.print(f"\n{seconds:.0f} seconds in all. Computed again from the log, by other means:")
    style = "bold green" if report.ok else "bold red"
    console.print(view.proof(report), style=style, highlight=False, soft_wrap=True)


def _run(settings: Settings, spark: SparkSession, days: int, speed: float | None, console: Console) -> Feed:
    """All jobs, fed while they run, until everything that was sent has gone all the way."""
    feed = Feed()
    declared = load_model(settings.conf / settings.models.directory / f"{MODEL}.toml")
    with Application(settings, spark, definitions=[*declared, *row_rules(settings.conf, [MODEL])]) as app:
        app.start()
        feeder = threading.Thread(target=_feed, args=(feed, app.log.path, days, speed), daemon=True)
        feeder.start()
        every = settings.run.status_every.total_seconds()
        with Live(console=console, refresh_per_second=4, transient=not console.is_terminal) as live:
            while not (feed.done and app.settled(app.log.end())):
                app.check()
                if feed.failure is not None:
                    raise feed.failure
                app.note()
                live.update(view.jobs(status(app.root), title="The jobs, live", told=_told(feed)))
                time.sleep(every)
            app.note()
            live.update(view.jobs(status(app.root), title="The jobs, live", told=_told(feed)))
    return feed


def _told(feed: Feed) -> str:
    sent = feed.sent
    state = "all sent, processing the rest" if feed.done else "sending"
    return f"{state}: {sent.records:,} records, {sent.inferences:,} predictions, {sent.labels:,} arrivals"


def _feed(feed: Feed, log_path: Path, days: int, speed: float | None) -> None:
    """Append the replay, hour by hour, at `speed` times the pace of 2013, or as fast as it can be made."""
    log = log_at(log_path)
    began = time.monotonic()
    try:
        for batch in replay(days):
            batch.append_to(log)
            feed.sent += batch.sent
            if speed:
                due = (batch.frontier - START) / timedelta(seconds=1) / speed
                time.sleep(max(0.0, began + due - time.monotonic()))
        feed.done = True
    except Exception as error:
        feed.failure = error
    finally:
        log.close()


def _tell_found(console: Console, sent: Mischief, found: LakeStatus) -> None:
    wrong = sent.broken + sent.conflicts
    console.print(
        f"\nOn the way {sent.duplicates:,} events were sent twice (found {found.duplicates:,}), {wrong:,} broken or contradicting "
        f"(quarantined {found.quarantined:,}), {sent.orphans:,} about nothing (orphans {found.orphans:,}); "
        f"{sent.out_of_order:,} labels came before their prediction, {sent.late:,} late, {sent.corrected:,} were corrected, "
        f"{sent.withdrawn:,} withdrawn, and {sent.unanswered:,} flights never arrived (cancelled or diverted)."
    )


def _tell_metrics(console: Console, spark: SparkSession, folder: Path, days: int) -> None:
    def ask(every: str, by: tuple[str, ...] = ()) -> pd.DataFrame:
        quality: pd.DataFrame = metrics(spark, lake=folder, model=MODEL, label="late", every=every, by=by).toPandas()
        service: pd.DataFrame = metrics(spark, lake=folder, model=MODEL, label="", every=every, by=by).toPandas()
        keys = [*by, "window_start", "window_end"]
        latency = [name for name in service.columns if name.startswith("latency_ms_p")]
        return quality.drop(columns=[c for c in latency if c in quality], errors="ignore").merge(
            service[[*keys, *latency]], on=keys, how="left"
        )

    weekly = ask("7 days")
    console.print(view.quality(weekly, "By week, from Monday", "window_start"))
    # the window that holds all of 2013 ends in years; every label in it is mature, as far as the replay goes
    console.print(view.quality(ask(WHOLE, ("origin",)).assign(final=True), "By origin, all weeks", "origin"))
    for line in (view.LEGEND, *([] if weekly["final"].all() else [view.NOT_FINAL])):
        console.print(line, highlight=False)
    picture = draw(spark, folder, days)
    console.print(f"\nA picture of AUC and coverage over time: {picture}", highlight=False, soft_wrap=True)


def draw(spark: SparkSession, folder: Path, days: int) -> Path:
    """AUC and coverage in windows that slide by a day; only those that lie wholly within the replayed days."""
    width = "7 days" if days >= FEW_DAYS else "1 day"
    frame = metrics(
        spark,
        lake=folder,
        model=MODEL,
        label="late",
        every="1 day",
        sliding=width,
        start=START,
        end=START + timedelta(days=days),
    ).toPandas()
    title = "Arrival delay: a model of January, judged " + (
        "over sliding windows of 7 days" if days >= FEW_DAYS else "day by day"
    )
    return charts.draw(frame, folder / "auc_and_coverage.png", metrics=("auc", "coverage"), title=title)


def prove(console: Console, folder: Path) -> Report:
    """Verify the lake, and print what differs."""
    with console.status("verify: computing everything again from the log …") as shown:

        def tell(step: str, share: float) -> None:
            shown.update(f"verify: {step} {share:.0%}")

        report = verify(folder, progress=tell)
    for difference in report.examples:
        console.print(difference.to_dict())
    return report


def after(folder: Path, days: int) -> list[str]:
    """What lies where, and commands that go on from here, as they can be typed in this folder."""
    here = Path.cwd()
    lake = shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))
    command, of_label = called(), f"--lake {lake} --model {MODEL} --label late"
    earlier = START + timedelta(days=min(days, 10))
    return [
        "",
        f"Everything lies in {folder}: bronze/, silver/, gold/ (Delta tables), _log/ (the log), _checkpoints/.",
        "Try next:",
        f"  {command} metrics {of_label} --every '1 day' --by origin",
        f"  {command} metrics {of_label} --every '7 days' --as-of {earlier:%Y-%m-%d}",
        f"  {command} explain metric {of_label} --metric auc --cell {CELL} --segment origin=JFK",
        f"  {command} explain outcome --lake {lake} --request {CORRECTED}",
        f"  {command} status --lake {lake}",
    ]


def called() -> str:
    """How this program is called in this terminal: by its name where that is found, else as it was."""
    program = Path(sys.argv[0])
    if program.stem == "__main__":
        return f"{shlex.quote(sys.executable)} -m pipelines"
    return program.name if which(program.name) else shlex.quote(sys.argv[0])
