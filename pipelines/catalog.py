"""Tables as Spark finds them: by path, or by a name that a catalog knows for that very path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.contract import Table, quoted
from pipelines.errors import ConfigError, StateError, first_line

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.readwriter import DataFrameReader
    from pyspark.sql.streaming.readwriter import DataStreamReader


@dataclass(frozen=True)
class Catalog:
    """The tables of the lake under `root` (a folder, or any address Spark can read); `schema` is CATALOG.SCHEMA, or "": by path."""

    root: Path | str
    schema: str = ""

    def name(self, table: Table) -> str:
        """CATALOG.SCHEMA.layer_noun."""
        return f"{_ticked(self.schema)}.`{table.flat_name}`"

    def path(self, table: Table) -> str:
        return f"{address(self.root)}/{table.folder}"

    def read(self, reader: DataFrameReader | DataStreamReader, table: Table) -> DataFrame:
        """A table's rows, or its rows as they come."""
        return reader.table(self.name(table)) if self.schema else reader.format("delta").load(self.path(table))

    def register(self, spark: SparkSession, tables: Iterable[Table]) -> None:
        """Name tables that are there. Raises ConfigError `schema_missing` or `name_refused`, StateError `name_elsewhere`."""
        try:
            spark.sql(f"DESCRIBE SCHEMA {_ticked(self.schema)}")
        except Exception as error:
            raise ConfigError(
                "schema_missing",
                f'lake.catalog = "{self.schema}": Spark finds no such schema ({first_line(error)}). Make it '
                f"(CREATE SCHEMA {self.schema}), name one that is there, or leave it empty to go by path.",
            ) from error
        for table in tables:
            self._name(spark, table)
            self.refuse_elsewhere(spark, table)

    def _name(self, spark: SparkSession, table: Table) -> None:
        try:
            spark.sql(f"CREATE TABLE IF NOT EXISTS {self.name(table)} USING DELTA LOCATION {quoted(self.path(table))}")
        except Exception as error:
            raise ConfigError(
                "name_refused",
                f"{self.name(table)}: Spark does not take this name for the table at {self.path(table)} ({first_line(error)}). May you "
                "create tables in the schema, and does its catalog know tables in folders, which Unity Catalog does not? With an empty "
                "lake.catalog all go by path.",
            ) from error

    def refuse_elsewhere(self, spark: SparkSession, table: Table) -> None:
        """Raises StateError `name_missing`, and `name_elsewhere` where the name means another table than that of this lake."""
        try:
            rows = spark.sql(f"DESCRIBE TABLE EXTENDED {self.name(table)}").where("col_name = 'Location'").collect()
        except Exception as error:
            raise StateError(
                "name_missing",
                f"{self.name(table)}: Spark knows no table of this name ({first_line(error)}). The next `hindsight run` names the tables "
                "that it finds; without lake.catalog all go by path.",
            ) from error
        found = str(rows[0]["data_type"]) if rows else "no place of its own"
        if _bare(found) != _bare(self.path(table)):
            raise StateError(
                "name_elsewhere",
                f"{self.name(table)} lies at {found}; expected {self.path(table)}, the table of this lake. Two lakes cannot share a "
                f"schema: name another as lake.catalog. If the lake was moved, DROP TABLE {self.name(table)}: its files stay.",
            )


def address(folder: Path | str) -> str:
    """What Spark is told of a folder: that it is one of files, as Python sees it, whatever file system Spark takes by default."""
    return f"file:{folder.resolve()}" if isinstance(folder, Path) else folder.rstrip("/")


def _ticked(schema: str) -> str:
    return ".".join(f"`{part}`" for part in schema.split("."))


def _bare(place: str) -> str:
    """An address without the ways to write that it is a file's: file:/x, file:///x and /x are one place."""
    return "/" + place.removeprefix("file:").strip("/") if place.startswith(("file:", "/")) else place.rstrip("/")
