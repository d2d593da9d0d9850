"""The commands that mend a lake: what each one asks of the settings, shows while it works, and answers."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines import settings as configuration
from pipelines import view
from pipelines.console import answer, told
from pipelines.paths import existing, log_path
from pipelines.status import status as status_of

if TYPE_CHECKING:
    from pipelines.app import Application


def repair(asked: Namespace) -> int:
    """0 where the lake is whole now, 1 where something is left that needs another command."""
    from pipelines.repair import repair as mend

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    found = mend(settings.lake.path.resolve(), dry_run=asked.dry_run)
    lines = [*found.done] or ["nothing to mend"]
    lines += [f"left: {check.name}: {check.found} [{check.code}]. {check.advice}" for check in found.left]
    answer(asked, asdict(found), lambda: Group(*(Text(line) for line in lines)))
    return 1 if found.left else 0


def rebuild(asked: Namespace) -> int:
    """0 where the new tables say what the old ones said, 1 where they differ."""
    from pipelines import session
    from pipelines.log import EmbeddedLog
    from pipelines.rebuild import bytes_of
    from pipelines.rebuild import rebuild as make_anew

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = settings.lake.path.resolve()
    if asked.dry_run:
        log = EmbeddedLog(log_path(existing(root)))
        plan = {"records": log.end(), "bytes": bytes_of(root)}
        log.close()
        told_plan = f"{plan['records']:,} records would be processed again, and {plan['bytes'] / 2**20:,.0f} MB replaced."
        answer(asked, plan, lambda: told_plan)
        return 0
    spark = session.build(settings, log=session.log_of(settings))
    try:
        with Live(console=told, refresh_per_second=4, transient=True) as live:

            def show(app: Application) -> None:
                live.update(view.jobs(status_of(app.root), title=f"{root}: made again from the log, beside the old tables"))

            done = make_anew(settings, spark, progress=show)
    finally:
        spark.stop()
    table = Table(title="rebuilt", title_justify="left", header_style="bold")
    for name in ("table", "rows before", "rows after", "says the same"):
        table.add_column(name, justify="right" if "rows" in name else "left")
    for one in done:
        before = "unreadable" if one.before is None else f"{one.before.rows:,}"
        table.add_row(one.table, before, f"{one.after.rows:,}", "yes" if one.same else "NO")
    answer(asked, [asdict(one) | {"same": one.same} for one in done], lambda: table)
    return 0 if all(one.same for one in done) else 1
