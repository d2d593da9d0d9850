"""A lake opened for a question: its tables as frames, what is declared, and up to when it can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.catalog import Catalog
from pipelines.contract import Table
from pipelines.definition import Definition, active
from pipelines.errors import InputError, StateError, nearest
from pipelines.gold.tables import FRONTIERS
from pipelines.silver.tables import CONTROLS


@dataclass(frozen=True)
class Opened:
    """The lake under a folder, or under whatever address Spark can read; its tables by name where `catalog` is CATALOG.SCHEMA."""

    spark: SparkSession
    lake: Path | str
    catalog: str = ""

    def table(self, table: Table) -> DataFrame:
        """A table as a frame. Raises StateError no_lake, name_missing, name_elsewhere."""
        known = Catalog(self.lake, self.catalog)
        if not DeltaTable.isDeltaTable(self.spark, known.path(table)):
            raise StateError(
                "no_lake",
                f"{self.lake}/{table.folder}: there is no table {table.name} here. Name the folder of a lake that `hindsight run` "
                "has filled.",
            )
        if self.catalog:
            known.refuse_elsewhere(self.spark, table)
        return known.read(self.spark.read, table)

    def frontier(self) -> datetime:
        """The least time that is fully processed. Raises StateError no_lake, no_frontier."""
        row = self.table(FRONTIERS).agg(F.unix_micros(F.max("frontier")).alias("micros")).first()
        if row is None or row["micros"] is None:
            raise StateError(
                "no_frontier",
                f"{self.lake}: nothing has been processed to an end yet, so there is no time as of which numbers hold. "
                "Let `hindsight run` go until its first reconcile.",
            )
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["micros"])

    def definitions(self) -> list[Definition]:
        """Everything that was ever declared, in the order of the log."""
        rows = self.table(CONTROLS).where(F.col("action") == "define").select("body", "offset", "backfill").collect()
        return active([Definition.of(msgspec.json.decode(row["body"]), row["offset"], everywhere=row["backfill"] is True) for row in rows])


def named(
    declared: list[Definition], *, model: str | None, label: str | None, definition: str | None = None
) -> list[Definition]:
    """The definitions of this model and label and with this hash; None is any.

    Raises InputError unknown_model, unknown_label, unknown_definition.
    """
    found = declared
    for what, wanted in (("model", model), ("label", label), ("definition", definition)):
        names = {_name(what, one): one for one in found}
        if wanted is not None and wanted not in names:
            known = ", ".join(f'"{name}"' for name in sorted(names)) or "none"
            raise InputError(
                f"unknown_{what}", f'there is no {what} "{wanted}"{nearest(wanted, names)}; the lake knows: {known}.'
            )
        found = [one for one in found if wanted in (None, _name(what, one))]
    return found


def newest(definitions: list[Definition]) -> list[Definition]:
    """The last definition of each model and label."""
    last = {(one.model, one.label): one for one in sorted(definitions, key=lambda one: one.offset)}
    return [last[key] for key in sorted(last)]


def _name(what: str, definition: Definition) -> str:
    return {"model": definition.model, "label": definition.label, "definition": definition.hash}[what]


def not_above(frontier: datetime, as_of: datetime) -> datetime:
    """`as_of`, in UTC. Raises InputError naive_time, and as_of_above_frontier."""
    asked = aware("as_of", as_of)
    if asked > frontier:
        raise InputError(
            "as_of_above_frontier",
            f"as_of={asked.isoformat()} lies above the frontier {frontier.isoformat()}: what was known by then is "
            "not all processed. Ask for the frontier or earlier, or wait.",
        )
    return asked


def aware(argument: str, at: datetime) -> datetime:
    """A time in UTC. Raises InputError naive_time."""
    if at.tzinfo is None:
        raise InputError(
            "naive_time", f"{argument}={at.isoformat()} has no time zone. Say which, such as {at.isoformat()}+00:00."
        )
    return at.astimezone(UTC)
