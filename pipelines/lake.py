"""The only code that writes tables.

Two committers with one meaning. `arrow`: the driver appends by delta-rs, put-if-absent; for one machine. `spark`: executors
append; for a cluster or a batch too big for the driver. Both record the same mark, so a table can move from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.transaction import AddAction, RemoveAction

from pipelines import checksum, files
from pipelines.catalog import Catalog
from pipelines.contract import Table
from pipelines.errors import MachineError, StateError, first_line
from pipelines.handles import Handle, opened
from pipelines.lookup import KeyIndex

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COMMITTERS = ("arrow", "spark")
_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


@dataclass(frozen=True)
class Mark:
    """Which batch a commit belongs to: `app` names checkpoint generation and table, `batch` counts up. Written once only."""

    app: str
    batch: int


class Lake:
    """The tables under one folder."""

    def __init__(self, root: Path, *, committer: str = "arrow", spark: SparkSession | None = None, catalog: str = "") -> None:
        self.root, self.committer, self.spark = root, committer, spark
        self.catalog = Catalog(root, catalog)
        self._indexes: dict[str, KeyIndex] = {}
        self._writers: dict[tuple[str, str], Handle] = {}

    def path(self, table: Table) -> Path:
        return self.root / table.folder

    def exists(self, table: Table) -> bool:
        return stands(self.path(table))

    def create(self, *tables: Table) -> None:
        """Create the tables that are not there; all of them append-only, with minimum and maximum kept of no id.

        Raises MachineError `lake_unwritable`, StateError `table_outdated`.
        """
        for table in tables:
            if self.exists(table):
                self._refuse_outdated(table)
            else:
                try:
                    self._create(table)
                except Exception as error:
                    if self.exists(table):  # another process has made it meanwhile
                        continue
                    raise MachineError(
                        "lake_unwritable",
                        f"{self.path(table)}: the table cannot be made ({error}). Is the lake's folder one that can be made and "
                        "written to? Name another with --lake.",
                    ) from error

    def _refuse_outdated(self, table: Table) -> None:
        missing = {*table.names} - {field.name for field in self.open(table).schema().fields}
        if missing:
            raise StateError(
                "table_outdated",
                f"{self.path(table)}: an earlier version made this table, without the columns {', '.join(sorted(missing))}. "
                f"Make everything again from the log: hindsight rebuild --lake {self.root}",
            )

    def _create(self, table: Table) -> None:
        DeltaTable.create(
            self.path(table),
            table.arrow,
            mode="ignore",
            partition_by=list(table.partition_by),
            name=table.flat_name,
            description=table.meaning,
            configuration={
                "delta.appendOnly": "true",
                "delta.dataSkippingStatsColumns": ",".join(table.skipping),
                "delta.checkpointInterval": "1000000",
            },
        )
        checksum.write(self.path(table), 0)

    def register(self, *tables: Table) -> None:
        """Give those of the tables that are there their names, where a catalog is set.

        Raises ConfigError `schema_missing` or `name_refused`, StateError `name_elsewhere`.
        """
        if self.catalog.schema and self.spark is not None:
            self.catalog.register(self.spark, [table for table in tables if self.exists(table)])

    def open(self, table: Table) -> DeltaTable:
        """A fresh handle. Raises StateError `table_missing`."""
        try:
            return opened(self.path(table))
        except Exception as error:
            raise StateError(
                "table_missing" if not self.exists(table) else "table_unreadable",
                f"{self.path(table)}: cannot be opened as the table {table.name} ({first_line(error)}). Is this the folder of a lake? "
                "Then `hindsight doctor` says what is damaged, and what mends it.",
            ) from error

    def read(self, table: Table, columns: list[str] | None = None, filters: Any = None) -> pa.Table:
        """Rows as they stand, for small reads; files are pruned by the filter's columns."""
        return files.read(self.path(table), self.open(table), columns, filters)

    def append(self, table: Table, rows: pa.Table | DataFrame, mark: Mark, covers: Mapping[str, Any]) -> int:
        """Append one batch's rows under its mark, unless the mark is there already; the number of rows written.

        `covers` says in the commit which source offsets the rows come from.
        """
        if isinstance(rows, pa.Table):
            return self._append_arrow(table, rows, mark, covers) if rows.num_rows else 0
        return self._append_spark(table, rows, mark, covers)

    def frame(self, rows: pa.Table) -> DataFrame:
        """Arrow rows as a frame."""
        if self.spark is None:
            raise StateError("no_session", "this lake was opened without a Spark session; open it with one to compute")
        # rows that a filter took away leave columns without a chunk, of which Spark makes no frame
        return self.spark.createDataFrame(rows if rows.num_rows else rows.schema.empty_table())

    def lookup(self, table: Table, keys: pa.ChunkedArray | pa.Array, columns: Sequence[str] = ()) -> pa.Table:
        """All rows (of all columns, or some) whose `indexed` column is among the keys.

        They are found by an index in memory, and read from the files that hold them.
        """
        index = self._indexes.setdefault(table.name, KeyIndex(self.path(table), str(table.indexed)))
        found = index.groups_of(keys)
        if not found:
            return table.arrow.empty_table().select(list(columns or table.names))
        among = pc.field(str(table.indexed)).isin(pc.unique(keys).cast(pa.string()))
        return files.read_groups(found, table, among, columns)

    def _append_arrow(self, table: Table, rows: pa.Table, mark: Mark, covers: Mapping[str, Any]) -> int:
        # Check and write through one handle: a fresh one would take a used version without a word.
        writer = self._writers.setdefault((table.name, mark.app), Handle(partial(self.open, table)))()
        done = writer.transaction_version(mark.app)
        if done is not None and done >= mark.batch:
            return 0
        if "recorded_at" in table.names and "recorded_at" not in rows.column_names:
            now = pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC"))
            rows = rows.append_column("recorded_at", pa.repeat(now, rows.num_rows))
        properties = CommitProperties(
            app_transactions=[Transaction(mark.app, mark.batch)],
            custom_metadata={"covers": _covers(covers)},
            max_commit_retries=100,
        )
        path = self.path(table)
        commit(path, table, writer, files.write(path, table, rows.select(table.names).cast(table.arrow)), properties)
        return int(rows.num_rows)

    def _append_spark(self, table: Table, rows: DataFrame, mark: Mark, covers: Mapping[str, Any]) -> int:
        from pyspark.sql import functions as F

        count = rows.count()
        if not count:
            return 0
        done = self.open(table).transaction_version(mark.app)
        if done is not None and done >= mark.batch:
            return 0
        if "recorded_at" in table.names and "recorded_at" not in rows.columns:
            rows = rows.withColumn("recorded_at", F.current_timestamp())
        writer = (
            rows.select(*table.names)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", mark.app)
            .option("txnVersion", str(mark.batch))
            .option("userMetadata", _covers(covers))
        )
        if self.catalog.schema:
            writer.saveAsTable(self.catalog.name(table))
        else:
            writer.save(self.catalog.path(table))
        return count


def _covers(covers: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in covers.items())


def commit(
    path: Path, table: Table, delta: DeltaTable, actions: Sequence[AddAction | RemoveAction], properties: CommitProperties
) -> None:
    """Commit files that are written, and the version's checksum. Raises CommitFailedError."""
    delta.create_write_transaction(
        list(actions),
        "append",
        table.arrow,
        list(table.partition_by),
        commit_properties=properties,
        post_commithook_properties=_HOOKS,
    )
    checksum.follow(path, delta)


def stands(path: Path) -> bool:
    """Whether there is a table: its first commit. The folder of its log alone is what a crash leaves of making it."""
    return bool(DeltaTable.is_deltatable(str(path)))


def data_version(path: Path) -> int:
    """The last version of a table that brought rows; -1 for none. Compaction brings none."""
    for version in _versions(path):
        text = (path / "_delta_log" / f"{version:020d}.json").read_text()
        if '"add"' in text and '"dataChange":true' in text:
            return version
    return -1


def _versions(path: Path) -> Iterator[int]:
    log = path / "_delta_log"
    yield from sorted((int(file.stem) for file in log.glob("*.json") if file.stem.isdigit()), reverse=True)
