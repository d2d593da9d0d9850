"""What each command does: read the settings, call the one function that does it, print the answer as a table or as JSON.

The commands that ask a lake are in `questions.py`.
"""

from __future__ import annotations

import json
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

from rich.table import Table

from pipelines import leases, view
from pipelines import settings as configuration
from pipelines.console import answer, bar, out, told
from pipelines.errors import InputError
from pipelines.jobs import NAMES
from pipelines.paths import existing, refuse_half_erased, refuse_half_rebuilt
from pipelines.settings import Settings
from pipelines.sinks.told import addressed
from pipelines.unforeseen import java_ended


def demo(asked: Namespace) -> int:
    from pipelines.demo.events import LONGEST
    from pipelines.demo.show import show

    folder = asked.keep or asked.lake or Path("demo")
    settings = configuration.load(asked.conf, lake_path=folder, run_reconcile_every="2 seconds" if asked.loop else "3 seconds")
    if asked.loop:
        return _demo_loop(asked, settings, LONGEST if asked.days is None else asked.days)
    report = show(settings, days=28 if asked.days is None else asked.days, speed=asked.speed, console=told if asked.json else out)
    if asked.json:
        print(json.dumps(report.to_dict(), indent=2))
    return 0 if report.ok else 1


def _demo_loop(asked: Namespace, settings: Settings, days: int) -> int:
    from pipelines.demo.shown import show

    if asked.speed:
        raise InputError("bad_usage", "--speed has no say in --loop: each week waits for the loop. Leave one of them out.")
    document = show(settings, days=days, console=told if asked.json else out)
    if asked.json:
        print(json.dumps(document, indent=2))
    return 1 if document["verify"]["differences"] else 0


def run(asked: Namespace) -> int:
    from pipelines import moving, session
    from pipelines.app import Application
    from pipelines.gates.suite import declared
    from pipelines.groups import select
    from pipelines.log.kafka import Asked
    from pipelines.watch.declared import load_watched

    settings = _settings(asked)
    definitions, watched = declared(settings), load_watched(settings.models_path)
    root = settings.lake.path.resolve()
    # at once: a session takes long to start
    select(asked.jobs, settings)
    refuse_half_rebuilt(root)
    refuse_half_erased(root)
    leases.refuse_held(root, asked.jobs or NAMES)
    if settings.kafka.brokers and "land" in (asked.jobs or NAMES):
        Asked(settings.kafka).topic()
    with (
        stoppable() as stop,
        session.opened(settings) as spark,
        Application(settings, spark, jobs=asked.jobs, definitions=definitions, watched=watched, topic=settings.kafka) as app,
        moving.jobs(f"{root}: Ctrl-C stops") as show,
    ):

        def show_or_stop() -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            show(app)

        if asked.once:
            app.drain(show_or_stop)
        else:
            app.start()
            while not stop.wait(settings.run.status_every.total_seconds()):
                app.check()
                app.note()
                show_or_stop()
    return status(asked) if asked.once else 0


def status(asked: Namespace) -> int:
    from pipelines.status import status as status_of

    settings = _settings(asked)
    found = status_of(settings.lake.path.resolve(), addressed(settings.sinks))
    answer(asked, found.to_dict(), lambda: view.jobs(found))
    return 0


def verify(asked: Namespace) -> int:
    from pipelines.moving import proven

    report = proven(_lake(asked), as_of=asked.as_of, since=asked.since)
    if not asked.json:
        if not report.ok:
            out.print(view.differences(report))
        if report.pending:
            told.print(f"{report.pending:,} records of the log are not processed yet: `hindsight run --once` does it")
        out.print(f"Computed again from the log by other means, now and at {len(report.as_of)} earlier times:")
    answer(asked, report.to_dict(), lambda: view.proof(report))
    return 0 if report.ok else 1


def maintain(asked: Namespace) -> int:
    from pipelines.jobs import LATER, TABLES
    from pipelines.maintain import maintain as keep

    settings, lake = _settings(asked), _lake(asked)
    with leases.hold_by_process(lake, NAMES, "maintain"), told.status("maintain") as shown:
        done = keep(lake, (*TABLES, *LATER), settings.maintain, vacuum=True, dry_run=asked.dry_run, progress=shown.update)
    table = Table(title="would be done" if asked.dry_run else "done", header_style="bold")
    for name in ("table", "partitions compacted", "files before", "files after", "log checkpoints", "files deleted"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for one in done:
        table.add_row(*(str(value) for value in asdict(one).values()))
    answer(asked, [asdict(one) for one in done], lambda: table)
    return 0


def import_(asked: Namespace) -> int:
    from pipelines.importing import Source, checked, import_files
    from pipelines.models import without_label
    from pipelines.producer import declared_log, open_topic

    settings = _settings(asked)
    lake = settings.lake.path.resolve()
    files: list[Source] = [file if file == "-" else Path(file) for file in asked.files]
    # before the log is made: what is refused leaves no lake behind
    mapping, _ = checked(files, asked.mapping, claimed=asked.claimed, frontier=asked.frontier)
    log: Any = declared_log(settings) if asked.to == "log" else open_topic(settings)
    try:
        with bar() as shown:
            tasks: dict[str, Any] = {}

            def tell(progress: Any) -> None:
                if progress.file not in tasks:
                    tasks[progress.file] = shown.add_task(Path(progress.file).name, total=progress.total)
                shown.update(tasks[progress.file], completed=progress.done)

            report = import_files(
                files,
                log,
                state_dir=lake / "_imports",
                mapping=asked.mapping,
                claimed=asked.claimed,
                frontier=asked.frontier,
                progress=tell,
                stdin=sys.stdin.buffer,
            )
    finally:
        log.close()
    if mapping:
        for path in without_label(settings.models_path, mapping.models):
            told.print(
                f"{path}: the model has no label yet, so nothing judges these records; complete the lines with TODO",
                soft_wrap=True,
                markup=False,
            )
    answer(asked, json.loads(json.dumps(asdict(report), default=str)), lambda: view.imported(report))
    return 0


def schema(asked: Namespace) -> int:
    from pipelines.schema import json_schema

    print(json.dumps(json_schema(asked.kind), indent=2))
    return 0


def model(asked: Namespace) -> int:
    from pipelines.onboarding import init_model

    settings = _settings(asked)
    draft = init_model(asked.name, asked.source, settings.conf, asked.labels)
    answer(asked, json.loads(json.dumps(asdict(draft), default=str)), lambda: view.drafted(draft))
    return 0


def doctor(asked: Namespace) -> int:
    from pipelines.doctor import checks

    done = checks(_settings(asked), quick=asked.quick)
    table = Table(header_style="bold")
    for name in ("check", "ok", "found"):
        table.add_column(name)
    for check in done:
        table.add_row(check.name, "yes" if check.ok else "NO", check.found)
    answer(asked, [asdict(check) for check in done], lambda: table)
    for check in done:
        if not check.ok and not asked.json:
            out.print(f"{check.name}: {check.advice}")
    return 0 if all(check.ok for check in done) else 1


def _settings(asked: Namespace) -> Settings:
    return configuration.load(asked.conf, lake_path=asked.lake)


def _lake(asked: Namespace) -> Path:
    """The folder of a lake that is there."""
    return existing(_settings(asked).lake.path)


@contextmanager
def stoppable() -> Iterator[Event]:
    """An event that Ctrl-C or a polite kill sets, so that the end is orderly; it is no error then that Java was killed too, as
    service managers do.
    """
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except Exception as error:
        if stop.is_set() and java_ended(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
