"""The lake's tables as they lie on disk: lists of Parquet files, read by DuckDB."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.errors import StateError, first_line


class Stored:
    """One table: its files with their partition values, as the Delta log names them; none where there is no table."""

    def __init__(self, lake: Path, name: str) -> None:
        self.name = name
        self.files: list[tuple[str, dict[str, Any]]] = []
        path = lake.joinpath(*name.split("."))
        if DeltaTable.is_deltatable(str(path)):
            try:
                table = DeltaTable(str(path))
            except Exception as error:
                raise StateError(
                    "table_unreadable",
                    f"{path}: the table cannot be read ({first_line(error)}); nothing can be said of this lake. "
                    "`hindsight doctor` says what is damaged, and what mends it.",
                ) from error
            parts = table.metadata().partition_columns
            named = ["path", *(f"partition.{part}" for part in parts)]
            actions = pa.table(table.get_add_actions(flatten=True)).select(named)
            for action in actions.to_pylist():
                file = path / unquote(action["path"])
                self.files.append((str(file), {part: action[f"partition.{part}"] for part in parts}))

    def select(self, columns: str, where: str = "TRUE", join: str = "", **partition: set[Any]) -> str | None:
        """A query over the files whose partition values are among these; None where there are no files, hence no rows.

        `join` may use each row's `filename`.
        """
        files = [file for file, values in self.files if all(values[part] in among for part, among in partition.items())]
        if not files:
            return None
        listed = ", ".join(quoted(file) for file in files)
        source = f"read_parquet([{listed}], hive_partitioning = false, filename = {'true' if join else 'false'})"
        return f"SELECT {columns} FROM {source} {join} WHERE {where}"


def quoted(value: object) -> str:
    """A text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def union(parts: Iterable[str | None]) -> str:
    """The rows of all queries that have any."""
    return " UNION ALL ".join(part for part in parts if part)

