"""Whether tables and checkpoints tell the same story: an old backup of one of them is whole, and yet wrong beside the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import checkpoint
from pipelines.bronze.tables import EVENTS
from pipelines.errors import StateError
from pipelines.health.tablelog import TableLog
from pipelines.job import Chain
from pipelines.written import noted

Logs = dict[str, TableLog]


@dataclass(frozen=True)
class Query:
    """What a checkpoint says of itself. `done` and `offsets`: of the last committed batch, -1 and none before the first.

    `noted`: the last batch that brought rows, by table.
    """

    folder: Path
    chain: Chain
    generation: str
    planned: int
    done: int
    offsets: tuple[dict[str, Any], ...]
    noted: Mapping[str, int]

    @classmethod
    def of(cls, folder: Path, chain: Chain) -> Query:
        progress, generation = None, ""
        with suppress(StateError, OSError):
            progress = checkpoint.committed(folder)
        with suppress(OSError, ValueError):
            generation = (folder / "generation").read_text().strip()
        planned = max(checkpoint.numbered(folder / "offsets"), default=-1)
        done, offsets = (progress.batch, progress.offsets) if progress else (-1, ())
        return cls(folder, chain, generation, planned, done, offsets, noted(folder))


def mismatches(queries: list[Query], logs: Logs, reached: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Code and text of each. `reached`: the version that was noted with the last frontier, by table."""
    known = {query.folder.name for query in queries}
    for name in sorted({query for log in logs.values() for _, query in _authors(log)} - known):
        yield "checkpoint_missing", f"tables hold batches of {name}, whose checkpoint is gone"
    for query in queries:
        if others := list(_of_generations(query, logs)):
            yield from others  # what it wrote stands under its true generation: without that nothing is known of it
            continue
        yield from _ahead(query, logs)
        yield from _apart(query, logs)
        yield from _behind(query, logs)
    for name, version in reached.items():
        if name in logs and logs[name].version < version:
            yield "table_behind", f"{name} ends with version {logs[name].version}, but had come to version {version}"


def generations(query: str, logs: Logs) -> set[str]:
    """The generations of a query's checkpoint under which tables were written."""
    return {generation for log in logs.values() for generation, author in _authors(log) if author == query}


def unread(records: int, queries: list[Query], logs: Logs) -> str:
    """What waits for the next batch, in words."""
    told = [f"{records:,} records of the log"] if records > 0 else []
    for query in queries:
        for log, reads in _sources(query, logs):
            commits = log.version + 1 - reads
            told += [f"{query.folder.name}: {commits} commits of {log.path.name}"] if commits > 0 else []
    return "; ".join(told)


def _of_generations(query: Query, logs: Logs) -> Iterator[tuple[str, str]]:
    others = generations(query.folder.name, logs) - {query.generation}
    if others:
        yield "generation_changed", f"{query.folder.name} wrote under another generation than its checkpoint names"


def _ahead(query: Query, logs: Logs) -> Iterator[tuple[str, str]]:
    for name, batches in _written(query, logs).items():
        if max(batches, default=-1) > query.planned:
            told = f"{name} holds batch {max(batches)} of {query.folder.name}, whose checkpoint ends with {query.planned}"
            yield "checkpoint_behind", told


def _apart(query: Query, logs: Logs) -> Iterator[tuple[str, str]]:
    """A committed batch that wrote what a job made of its input wrote the input too."""
    written = _written(query, logs)
    for job in query.chain:
        for source in job.inputs or (EVENTS,):
            for table in job.writes if source.name in written else ():
                lacking = {n for n in written[table.name] - written[source.name] if n <= query.done}
                if lacking:
                    yield "table_behind", f"{table.name} holds batch {min(lacking)} of {query.folder.name}, {source.name} does not"


def _behind(query: Query, logs: Logs) -> Iterator[tuple[str, str]]:
    for name, batches in _written(query, logs).items():
        # a batch that is not committed is done again, and written where it is not
        if not logs[name].broken and max(batches, default=-1) < query.noted.get(name, -1) <= query.done:
            yield "table_behind", f"{name} lacks batch {query.noted[name]} of {query.folder.name}"
    for log, reads in _sources(query, logs):
        if reads > log.version + 1:
            yield "table_behind", f"{log.path.name} ends with version {log.version}, {query.folder.name} has read more"
    events = logs[EVENTS.name]
    if None in query.chain[0].streams.values() and query.offsets and not events.broken:
        reached, greatest = int(query.offsets[0].get("offset", 0)), events.greatest("offset")
        if reached > (0 if greatest is None else int(greatest) + 1):
            yield "table_behind", f"{reached:,} records have landed, of which bronze.events lacks the last"


def _written(query: Query, logs: Logs) -> dict[str, set[int]]:
    """The batches of a query that each of its tables holds."""
    names = [table.name for job in query.chain for table in job.writes]
    return {name: logs[name].batches.get(f"{query.generation}:{query.folder.name}:{name}", set()) for name in names}


def _sources(query: Query, logs: Logs) -> Iterator[tuple[TableLog, int]]:
    """The tables that a query reads, each with the version that it reads next."""
    by_id = {log.metadata.get("id"): log for log in logs.values()}
    for offset in query.offsets:
        log = by_id.get(offset.get("reservoirId"))
        if log is not None and not log.broken:
            yield log, int(offset["reservoirVersion"])


def _authors(log: TableLog) -> Iterator[tuple[str, str]]:
    """Generation and query of each mark that a query left."""
    for app in log.batches:
        generation, _, rest = app.partition(":")
        query = rest.rpartition(":")[0]
        if query and len(generation) == 32:
            yield generation, query
