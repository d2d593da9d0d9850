"""Crashes inside the data: a lake that dies after a commit, an application that starts again, a checkpoint that forgets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines import checkpoint
from pipelines.app import Application
from pipelines.contract import Table
from pipelines.errors import StateError
from pipelines.lake import Lake, Mark
from pipelines.settings import Settings


class CrashError(Exception):
    """The process is gone."""


class CrashingLake(Lake):
    """A lake that crashes right after its first commit to one of these tables."""

    def __init__(self, root: Path, tables: tuple[Table, ...], spark: SparkSession) -> None:
        super().__init__(root, spark=spark)
        self.tables = tables
        self.crashed: list[str] = []

    def append(self, table: Table, rows: pa.Table | DataFrame, mark: Mark, covers: Mapping[str, Any]) -> int:
        written = super().append(table, rows, mark, covers)
        if written and table in self.tables:
            self.crashed.append(table.name)
            raise CrashError(table.name)
        return written


def drained_with_crashes(settings: Settings, spark: SparkSession, tables: tuple[Table, ...]) -> list[str]:
    """Drain, crash after a commit to one of the tables, start again, until it comes through; where it crashed."""
    crashes: list[str] = []
    while True:
        with Application(settings, spark) as app:
            app.lake = crashing = CrashingLake(app.root, tables, spark)
            try:
                app.drain()
            except (CrashError, StateError):
                assert crashing.crashed
        crashes += crashing.crashed
        if not crashing.crashed:
            return crashes
        assert len(crashes) < 60, f"it never comes through: {crashes}"


def forget_last(folder: Path, batches: int = 1) -> None:
    """Bring a checkpoint back to before it committed its last batches: the lowest of them is planned, and done again."""
    last = checkpoint.committed(folder)
    assert last is not None
    lowest = max(0, last.batch - batches + 1)
    for kind, least in (("commits", lowest), ("offsets", lowest + 1)):
        for file in (folder / kind).iterdir():
            if file.name.isdigit() and int(file.name) >= least:
                file.unlink()
                file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
