"""What a job is, and how a chain of jobs runs within one micro-batch.

A *job* is the unit of meaning: what it reads, the transform, what it writes. A *chain* is the unit of running: the output of one
job is the input of the next in the same micro-batch. All but the first are stateless and transforms are pure, so a chain
changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from pipelines.contract import Table
from pipelines.held import Held, hold, nothing
from pipelines.lake import Lake, Mark
from pipelines.silver.declared import Declaration
from pipelines.spread import Transform


@dataclass(frozen=True)
class Stream:
    """A table (or the log, where `table` is None) as it grows."""

    table: Table | None


@dataclass(frozen=True)
class Lookup:
    """The rows of a table whose indexed column is among the values of `on` in what drives the job; some of its columns, or all."""

    table: Table
    on: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """`transform` takes what it `reads` by name, and `definitions` where `defined`.

    Where nothing but streams is read it is a function of frames, to be part of the streaming plan. Else it is a function of
    Arrow tables (see `spread.Transform`), and `prepare` is what must be computed before the lookups can be made, with the table
    whose rows it gives; where there is one, it takes the definitions.
    """

    name: str
    reads: Mapping[str, Stream | Lookup]
    transform: Callable[..., Any]
    writes: tuple[Table, ...]
    prepare: tuple[Transform, Table] | None = None
    defined: bool = False

    @property
    def streams(self) -> dict[str, Table | None]:
        return {name: read.table for name, read in self.reads.items() if isinstance(read, Stream)}

    @property
    def inputs(self) -> list[Table]:
        """The tables it reads as they grow."""
        return [table for table in self.streams.values() if table is not None]

    @property
    def lookups(self) -> dict[str, Lookup]:
        return {name: read for name, read in self.reads.items() if isinstance(read, Lookup)}

    @property
    def on_stream(self) -> bool:
        """Whether its transform is part of the streaming plan itself, and not of what happens in each batch."""
        return not self.lookups and not self.defined and self.prepare is None


Chain = tuple[Job, ...]
Definitions = Callable[[Held | None], Sequence[Declaration]]
"""The definitions in force, those that the given records declare included; for records who was erased, and their row rules."""


def run_batch(
    chain: Chain,
    batch: DataFrame,
    *,
    lake: Lake,
    definitions: Definitions,
    mark: Callable[[Table], Mark],
    covers: Mapping[str, Any],
) -> dict[str, dict[str, int]]:
    """Run one micro-batch; rows written, by job and table.

    Commits go from the end of the chain to its start: what rests on a difference to a table is written before the difference
    is recorded there, so a replay after a crash in between computes the same difference again.
    """
    outputs: dict[str, Held] = {}
    written: dict[str, dict[str, int]] = {}
    with ExitStack() as held:

        def keep(made: Held) -> Held:
            held.callback(made.release)
            return made

        first = keep(hold(batch, lake))
        for job in chain:
            if job is chain[0] and job.on_stream:
                outputs |= {table.name: first for table in job.writes}
                continue
            driving = next((outputs[t.name] for t in job.inputs if t.name in outputs), first)
            if driving.empty:
                outputs |= {table.name: nothing(table, lake) for table in job.writes}
                continue
            made = compute(job, driving, lake, definitions, keep)
            outputs |= {table.name: keep(made[table.noun]) for table in job.writes}
        for job in reversed(chain):
            written[job.name] = {
                table.name: outputs[table.name].append(table, mark(table), {"job": job.name, **covers})
                for table in job.writes
            }
    pa.default_memory_pool().release_unused()  # a batch's rows are large, and the next may be long in coming
    return written


def compute(
    job: Job, driving: Held, lake: Lake, definitions: Definitions, keep: Callable[[Held], Held]
) -> dict[str, Held]:
    """The job's output by noun of the table; its `prepare` takes the definitions where there is one, else its transform does."""
    (name,) = job.streams
    transform = job.transform
    if job.prepare is not None:
        prepare, prepared = job.prepare
        ready = driving.through(partial(prepare, definitions=definitions(driving)), name, (prepared,))
        driving = keep(ready[prepared.noun])
    elif job.defined:
        transform = partial(transform, definitions=definitions(None))
    keys = {lookup.on for lookup in job.lookups.values()} or {""}
    lookups = {
        parameter: (lake.lookup(lookup.table, driving.column(lookup.on), lookup.columns), str(lookup.table.indexed))
        for parameter, lookup in job.lookups.items()
    }
    (key,) = keys
    return driving.through(transform, name, job.writes, key, lookups)
