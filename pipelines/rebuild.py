"""Everything again from the log: tables and checkpoints are made anew beside the old ones, compared, and put in their place.

The log is all that a lake cannot do without. Until the new tables are whole the old ones stand and can be asked; a rebuild that
was interrupted goes on where it was, and one that was interrupted while it changed places is finished by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree, disk_usage, rmtree

from pyspark.sql import SparkSession

from pipelines import leases
from pipelines.app import Application
from pipelines.content import Content, content_of
from pipelines.contract import Table
from pipelines.erasure.returned import refuse_returned
from pipelines.errors import MachineError
from pipelines.gold.tables import FRONTIERS
from pipelines.guards import landed, refuse_a_damaged_log, refuse_a_short_log
from pipelines.jobs import KEPT, LEASES, TABLES
from pipelines.lake import Lake
from pipelines.log import log_at
from pipelines.paths import SIDE, beside_log, checkpoints, log_path, refuse_a_lost_log, refuse_half_erased, swap_of
from pipelines.settings import Settings
from pipelines.silver.tables import RECONCILED
from pipelines.watch import tables as watch

FOLLOWING = tuple(table for table in TABLES if table not in (FRONTIERS, RECONCILED, *watch.TABLES))
"""The tables whose rows follow from the log alone; the others say how far a run has come, what it found late, what rules and people say."""
PARTS = (*sorted({table.folder.partition("/")[0] for table in TABLES}), checkpoints(Path()).name, "_jobs")
"""What is replaced, by folder; but for the log, where bronze.events is that."""


@dataclass(frozen=True)
class Rebuilt:
    """One table before and after; `same`: the rows come to the same. `before` is None where the old table cannot be read."""

    table: str
    before: Content | None
    after: Content

    @property
    def same(self) -> bool:
        return self.before is not None and self.before.hash == self.after.hash


def rebuild(
    settings: Settings, spark: SparkSession, *, progress: Callable[[Application], None] = lambda _: None
) -> list[Rebuilt]:
    """Make all tables again from the log, and put them in place of the old ones; what has changed.

    Holds the leases of all jobs; producers may go on. Raises StateError `lease_held`, `log_missing`, `log_short`, `log_lost`
    or `log_unreadable`, MachineError `disk_too_small`; the old tables stand then.
    """
    root = settings.lake.path.resolve()
    with leases.hold_by_jvm(spark, root, LEASES, "rebuild"):
        finish(root)
        refuse_half_erased(root)
        _refuse_a_lesser_log(root)
        _need_room(root)
        side = _beside(root)
        with Application(replace(settings, lake=replace(settings.lake, path=side, catalog="")), spark, like=root) as app:
            app.drain(lambda: progress(app), tick=False)  # the old tables lack such a record, and would differ by it
        found = [Rebuilt(table.name, _readable(Lake(root), table), content_of(Lake(side), table)) for table in FOLLOWING]
        _keep(root, side)
        swap_of(root).touch()
        finish(root)
        spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr]
    return found


def finish(root: Path) -> None:
    """Put what has been rebuilt in its place, where that was begun. The caller holds the leases of all jobs."""
    if not swap_of(root).exists():
        return
    replaced = root / SIDE / "_replaced"
    replaced.mkdir(exist_ok=True)
    for name in _parts(root):
        new, place = root / SIDE / name, root / name
        if new.exists():
            if place.exists():
                place.rename(replaced / name)
            new.rename(place)
    rmtree(replaced)
    rmtree(root / SIDE)


def _parts(root: Path) -> list[str]:
    return [name for name in PARTS if not log_path(root).is_relative_to(root / name)]


def bytes_of(root: Path) -> int:
    """What is replaced takes on disk."""
    return sum(file.stat().st_size for part in _parts(root) for file in (root / part).rglob("*") if file.is_file())


def _beside(root: Path) -> Path:
    """The folder of the new lake, over the same log."""
    side = root / SIDE
    side.mkdir(exist_ok=True)
    for name in {beside_log(root, "").name, log_path(root).relative_to(root).parts[0]}:
        if not (side / name).exists():
            (side / name).symlink_to(Path("..") / name, target_is_directory=True)
    return side


def _keep(root: Path, side: Path) -> None:
    """Take along the tables that no log can give again."""
    for table in KEPT:
        rmtree(side / table.folder, ignore_errors=True)
        if (root / table.folder).exists():
            copytree(root / table.folder, side / table.folder)


def _refuse_a_lesser_log(root: Path) -> None:
    """What the log has lost would be lost for good."""
    refuse_a_lost_log(root)
    with closing(log_at(log_path(root))) as log:
        refuse_a_short_log(root, log.end(), landed(root))
    refuse_a_damaged_log(root)
    refuse_returned(root)


def _need_room(root: Path) -> None:
    needed, free = bytes_of(root), disk_usage(root).free
    if needed > free:
        raise MachineError(
            "disk_too_small",
            f"{root}: rebuilding takes about as much room as what is there, {needed / 2**30:.1f} GB; {free / 2**30:.1f} GB "
            "are free. Free some, or run `hindsight maintain` first.",
        )


def _readable(lake: Lake, table: Table) -> Content | None:
    try:
        return content_of(lake, table)
    except Exception:  # a table that is damaged, in whatever way, is what a rebuild is for
        return None
