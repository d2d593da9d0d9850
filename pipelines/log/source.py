"""The log as a Spark streaming source: its blocks are handed on as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, ReadMaxRows, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from pipelines import checkpoint
from pipelines.bronze.tables import EVENTS
from pipelines.log import Log, log_at
from pipelines.log.block import Append, Part, placed

READERS = 2
"""Slices per micro-batch, read side by side."""


@dataclass
class Slice(InputPartition):
    """Offsets [start, end)."""

    start: int
    end: int


class LogReader(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Whole appends from the log, at most `records` a batch; under AvailableNow, up to the end as it was at the start.

    `behind`: a folder of checkpoints; only what has landed is read then.
    """

    def __init__(self, path: Path, records: int, behind: Path | None = None) -> None:
        self.path, self.records, self.behind = path, records, behind
        self.goal: int | None = None

    def initialOffset(self) -> dict[str, int]:
        return {"offset": 0}

    def getDefaultReadLimit(self) -> ReadLimit:
        return ReadMaxRows(self.records)

    def prepareForTriggerAvailableNow(self) -> None:
        with closing(log_at(self.path)) as log:
            self.goal = self._end(log)

    def latestOffset(self, start: dict[str, int], limit: ReadLimit) -> dict[str, int]:
        most = None if isinstance(limit, ReadAllAvailable) else self.records
        with closing(log_at(self.path)) as log:
            end = log.bound(start["offset"], most)
            goal = self._end(log) if self.goal is None else self.goal
        return {"offset": max(start["offset"], min(end, goal))}

    def reportLatestOffset(self) -> dict[str, int]:
        with closing(log_at(self.path)) as log:
            return {"offset": self._end(log)}

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> list[Slice]:
        first, last = start["offset"], end["offset"]
        step = max(1, -(-(last - first) // READERS))
        return [Slice(at, min(at + step, last)) for at in range(first, last, step)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, Slice)
        with closing(log_at(self.path)) as log:
            for append in log.read(partition.start, partition.end):
                yield from bronze(append, partition.start, partition.end).to_batches()

    def _end(self, log: Log) -> int:
        end = log.end()
        return end if self.behind is None else min(end, checkpoint.landed(self.behind))


class LogSource(DataSource):
    """`spark.readStream.format("hindsight_log").option("path", …).option("records", …)`, and `behind`; see `LogReader`."""

    @classmethod
    def name(cls) -> str:
        return "hindsight_log"

    def schema(self) -> StructType:
        return EVENTS.row_type

    def streamReader(self, schema: StructType) -> LogReader:
        behind = self.options.get("behind")
        return LogReader(Path(self.options["path"]), int(self.options["records"]), Path(behind) if behind else None)


def bronze(append: Append | Part, start: int, end: int) -> pa.Table:
    """The records of an append at offsets [start, end), with their positions, as rows of bronze.events."""
    first, last = max(start, append.start), min(end, append.end)
    return placed(append.records().slice(first - append.start, last - first), first, append.clock, append.appended_at)
