"""What a start refuses, since it would lose records or count them twice without a word."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pipelines import checkpoint, settle, written
from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.errors import StateError
from pipelines.gold.tables import EXAMPLES, STATISTICS
from pipelines.health.tablelog import replay
from pipelines.job import Chain
from pipelines.jobs import RECONCILE
from pipelines.lake import Lake, data_version
from pipelines.paths import checkpoints, in_bronze, log_path


def landed(root: Path) -> int:
    """So many records of the log have landed: what the landing query committed, or bronze.events holds, if that is more."""
    found = [0, 0]
    with suppress(StateError):  # what is damaged says nothing
        found.append(checkpoint.landed(checkpoints(root)))
    events = replay(root / EVENTS.folder)
    if not events.broken:
        greatest = events.greatest("offset")
        found.append(0 if greatest is None else int(greatest) + 1)
    return max(found)


def refuse_a_short_log(root: Path, end: int, reached: int) -> None:
    """Raises StateError `log_short` where more has landed than the log holds, as of an old backup of it."""
    if end < reached:
        raise StateError(
            "log_short",
            f"{root}: the log holds {end:,} records, but {reached:,} have landed; the offsets between would be given again. "
            f"Run: hindsight repair --lake {root}",
        )


def refuse_a_damaged_log(root: Path) -> None:
    """Raises StateError `log_lost` where bronze.events is the log, and is damaged or shorter than what has landed."""
    if not in_bronze(root).exists():
        return
    log, reached = replay(log_path(root)), landed(root)
    found = [*log.broken, *log.bad_files(quick=False), *(f"commit {number} took rows away" for number in log.taken)]
    if log.rows < reached:
        found.append(f"it holds {log.rows:,} records, of which {reached:,} have landed")
    if found:
        raise StateError(
            "log_lost",
            f"{log_path(root)}: {'; '.join(found[:3])}. This table is the log itself, which nothing can make again: bring its newest copy "
            "back from a backup. Nothing was changed.",
        )


def refuse_an_earlier_lake(lake: Lake) -> None:
    """Raises StateError `table_outdated` where gold was filled without its examples: those of what has gone by would never come."""
    if data_version(lake.path(STATISTICS)) > 0 and not lake.exists(EXAMPLES):
        raise StateError(
            "table_outdated",
            f"{lake.path(EXAMPLES)} is not there, though {STATISTICS.name} is filled: an earlier version made this lake, or the table "
            f"is lost. Make everything again from the log: hindsight rebuild --lake {lake.root}",
        )


def refuse_a_lost_checkpoint(lake: Lake, folder: Path, chain: Chain) -> None:
    """A new checkpoint over tables that its jobs have filled would count everything twice."""
    if not checkpoint.is_new(folder):
        return
    for job in chain:
        for table in job.writes:
            for commit in lake.open(table).history():
                covers = str(commit.get("covers") or commit.get("userMetadata") or "")
                if f"job={job.name}," in covers:
                    raise StateError(
                        "checkpoint_missing" if f"query={folder.name}," in covers else "grouping_changed",
                        f"{lake.path(table)} holds rows of the job {job.name}, written as ({covers[:120]} …), but "
                        f"the checkpoint {folder} is new: starting would count everything twice. Run the jobs "
                        "together as before, or bring the checkpoint back from a backup, or make everything again from the log: "
                        f"hindsight rebuild --lake {lake.root}",
                    )


def refuse_an_old_backup(lake: Lake, folder: Path, chain: Chain) -> None:
    """A checkpoint behind its tables would take their marks for its new batches and leave those out; a table behind what
    was read of it would never be read there.
    """
    planned = max(checkpoint.numbered(folder / "offsets"), default=None)
    mark, progress, noted = checkpoint.generation(folder), checkpoint.committed(folder), written.noted(folder)
    for table in [table for job in chain for table in job.writes] if planned is not None else []:
        batch = lake.open(table).transaction_version(f"{mark}:{folder.name}:{table.name}")
        if batch is not None and batch > planned:
            raise StateError(
                "checkpoint_behind",
                f"{lake.path(table)} holds batch {batch} of {folder.name}, but its checkpoint knows none after {planned}: the "
                f"batches that come would be taken for those that are there. Run: hindsight rebuild --lake {lake.root}",
            )
        if batch is None and table in chain[0].writes[:1] and table is not STATISTICS and data_version(lake.path(table)) > 0:
            raise StateError(
                "generation_changed",
                f"{lake.path(table)} was written under another generation of {folder} than that names: what was written before "
                f"would be written again. Run: hindsight repair --lake {lake.root}",
            )
        # a batch that is not committed is done again, and written where it is not
        if progress is not None and (-1 if batch is None else batch) < noted.get(table.name, -1) <= progress.batch:
            raise _behind(lake, table, f"lacks batch {noted[table.name]} of {folder.name}, which is done and would not be written again")
    for table in chain[0].inputs if progress is not None else []:
        opened = lake.open(table)
        for offset in progress.offsets if progress is not None else ():
            if offset and offset.get("reservoirId") == opened.metadata().id and _from(offset) > opened.version() + 1:
                read = f"ends with version {opened.version()}, but {folder.name} has read more: what is appended next would not be read"
                raise _behind(lake, table, read)


def refuse_old_tables(lake: Lake) -> None:
    """Raises StateError `table_behind` where a table ends before what was noted of it with a frontier: nothing is looked at twice."""
    noted = written.noted(checkpoints(lake.root) / RECONCILE)
    for table in settle.NOTED:
        version = lake.open(table).version() if lake.exists(table) else -1
        if version < noted.get(table.name, -1):
            raise _behind(lake, table, f"ends with version {version}, but had come to version {noted[table.name]}")


def _behind(lake: Lake, table: Table, found: str) -> StateError:
    return StateError("table_behind", f"{lake.path(table)} {found}. Run: hindsight rebuild --lake {lake.root}")


def _from(offset: dict[str, object]) -> int:
    """The version that a query reads next."""
    return int(str(offset["reservoirVersion"]))
