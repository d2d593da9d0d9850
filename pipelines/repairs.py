"""The commands that mend a lake: what each one asks of the settings, shows while it works, and answers."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipelines import checkpoint, leases, moving, view
from pipelines import settings as configuration
from pipelines.console import answer, told
from pipelines.jobs import LEASES, NAMES, RECONCILE
from pipelines.lake import Lake
from pipelines.paths import checkpoints, existing, log_path, swap_of

if TYPE_CHECKING:
    from pipelines.definition import Definition
    from pipelines.revision import Change
    from pipelines.settings import Settings
    from pipelines.verify import Report


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
    """0 where the new tables say what the old ones said, 1 where they differ; of one model: where the numbers are proven."""
    if asked.model is not None:
        return _revise(asked)
    from pipelines import session
    from pipelines.rebuild import bytes_of
    from pipelines.rebuild import rebuild as make_anew

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = settings.lake.path.resolve()
    if not swap_of(root).exists():
        existing(root)  # at once: a session takes long to start, and makes the folder
    if asked.dry_run:
        plan = {"records": _records(existing(root)), "bytes": bytes_of(root)}
        told_plan = f"{plan['records']:,} records would be processed again, and {plan['bytes'] / 2**20:,.0f} MB replaced."
        answer(asked, plan, lambda: told_plan)
        return 0
    leases.refuse_held(root, LEASES)  # at once: a session takes long to start
    title = f"{root}: made again from the log, beside the old tables"
    with session.opened(settings) as spark, moving.jobs(title) as show:
        done = make_anew(settings, spark, progress=show)
    table = Table(title="rebuilt", title_justify="left", header_style="bold")
    for name in ("table", "rows before", "rows after", "says the same"):
        table.add_column(name, justify="right" if "rows" in name else "left")
    for one in done:
        before = "unreadable" if one.before is None else f"{one.before.rows:,}"
        table.add_row(one.table, before, f"{one.after.rows:,}", "yes" if one.same else "NO")
    answer(asked, [asdict(one) | {"same": one.same} for one in done], lambda: table)
    return 0 if all(one.same for one in done) else 1


def _revise(asked: Namespace) -> int:
    """Fill what the model file declares anew for the past too, and prove it; 1 where the verification finds a difference."""
    from pipelines.backfill import under_way
    from pipelines.revision import changes, declared_by

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = existing(settings.lake.path)
    wanted = declared_by(settings, asked.model)
    unfinished = under_way(root) is not None
    lacking = changes(Lake(root), wanted, _records(root))
    report: Report | None = None
    if not asked.dry_run and (lacking or unfinished):
        leases.refuse_held(root, NAMES)  # at once: a session takes long to start
        lacking = _revised(settings, wanted, root) or (lacking if unfinished else [])
        report = moving.proven(root)
    said: dict[str, Any] = {
        "model": asked.model,
        "changes": [one.to_dict() for one in lacking],
        "unfinished": unfinished,
        "verified": report and report.to_dict(),
    }
    answer(asked, said, lambda: _told(asked, lacking, report, unfinished=unfinished))
    return 0 if report is None or report.ok else 1


def _records(root: Path) -> int:
    """How many records the log holds."""
    from pipelines.log import log_at

    with closing(log_at(log_path(root))) as log:
        return log.end()


def _revised(settings: Settings, wanted: Sequence[Definition], root: Path) -> list[Change]:
    from pipelines import session
    from pipelines.revision import revise

    title = f"{root}: new definitions are filled beside the old ones"
    with session.opened(settings) as spark, moving.jobs(title) as show:
        return revise(settings, spark, wanted, progress=show)


def _told(asked: Namespace, lacking: Sequence[Change], report: Report | None, *, unfinished: bool) -> Group:
    """Each change, and what became of it."""
    lines = [line for change in lacking for line in _change(change)]
    if unfinished:
        lines.append("A backfill that was interrupted " + ("is to be finished first." if asked.dry_run else "is finished."))
    elif not lacking:
        lines.append(f"Nothing to do: every inference of {asked.model} counts under all that its model file declares.")
    if report is not None:
        if not report.ok:
            return Group(*(Text(line) for line in lines), view.differences(report), Text(view.proof(report)))
        lines += ["Old definitions can be asked as before: hindsight metrics --definition HASH", view.proof(report)]
    return Group(*(Text(line) for line in lines))


def _change(change: Change) -> Iterator[str]:
    definition = change.definition
    what = f'label "{definition.label}"' if definition.label else "the service"
    yield f"{what}: definition {definition.hash}, {f'beside {change.before}' if change.before else 'the first'}"
    for name, (old, new) in change.differs.items():
        yield f"  {name}: {json.dumps(old)} -> {json.dumps(new)}"
    told = f", {change.votes:,} votes and {change.entries:,} entries of the ledger" if definition.label else ""
    yield f"  computed for {change.inferences:,} inferences{told}"


def reconcile(asked: Namespace) -> int:
    """0 where everything that has landed is settled (dry: would be), 1 where the other jobs have yet to take something in."""
    from pipelines import session, settle
    from pipelines.app import Application

    settings = configuration.load(asked.conf, lake_path=asked.lake)
    root = existing(settings.lake.path)
    if asked.dry_run:
        with session.opened(settings) as spark:
            return _foreseen(asked, Lake(root, committer=settings.lake.committer, spark=spark))
    leases.refuse_held(root, [RECONCILE])
    with (
        session.opened(settings) as spark,
        told.status("reconcile"),
        Application(settings, spark, jobs=[RECONCILE]) as app,
    ):
        app.drain()
        landed, reached = checkpoint.landed(checkpoints(app.root)), settle.last(app.lake)
    left = max(0, landed - reached["end_offset"])
    frontier = view.short(reached["frontier"])
    found = {"settled": reached["end_offset"], "landed": landed, "frontier": frontier}
    hint = f" {_LEFT}" if left else ""
    said = f"{reached['end_offset']:,} of {landed:,} landed records are settled; frontier {frontier}.{hint}"
    answer(asked, found, lambda: said)
    return 1 if left else 0


_LEFT = "The other jobs have yet to take in what was found or has landed since: hindsight run --once."


def _foreseen(asked: Namespace, lake: Lake) -> int:
    """What a reconcile would find now, in its first step; it may be asked beside an application at work."""
    from pipelines import settle
    from pipelines.consumed import consumed

    landed, reached = checkpoint.landed(checkpoints(lake.root)), settle.last(lake)
    ready = consumed(lake)
    end = min(landed, reached["end_offset"] + settle.SLICE) if ready else reached["end_offset"]
    with told.status("reconcile"), settle.missed(lake, end) as missed:
        pairs, signs = len(missed.pairs.column("feedback_id")), missed.orphans.column("sign").to_pylist()
    frontier = view.short(settle.frontier(lake, end))
    found = {"settled": end, "landed": landed, "frontier": frontier, "dry_run": True}
    found |= {"pairs": pairs, "orphans": signs.count(1), "found_again": signs.count(-1)}
    said = (
        f"{end:,} of {landed:,} landed records would be settled, now {reached['end_offset']:,}; frontier {frontier}. "
        f"{pairs:,} pairs came too late for the join, {signs.count(1):,} feedback would be orphaned, and {signs.count(-1):,} no longer."
    )
    left = end < landed or pairs > 0
    answer(asked, found, lambda: f"{said} {_LEFT}" if left else said)
    return 1 if left else 0
