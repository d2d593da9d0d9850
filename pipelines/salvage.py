"""A table that no log can give again, made anew out of its own files: its commits are damaged, or some of its rows are.

A data file says under its own name whether it is whole, and holds its rows whatever the commits say. A compaction whose commit is
damaged leaves its rows in two files, and a crash may have left rows that were written again: equal rows are one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from pipelines import checksum, files
from pipelines.contract import Table
from pipelines.lake import Lake, Mark
from pipelines.paths import salvaged


@dataclass(frozen=True)
class Salvaged:
    """Rows that were found, and data files of which nothing could be read."""

    rows: int
    lost: tuple[str, ...]


def salvage(lake: Lake, table: Table, *, dry_run: bool = False) -> Salvaged:
    """Make a table anew beside the old one, and put it in its place. The caller holds the leases of whoever writes it.

    A crash leaves the old one, or the new one, or both under names by which `finish` knows them.
    """
    path = lake.path(table)
    there = _files(path)
    whole = [file for file in there if file.is_file() and files.readable(file)]
    rows = _once(files.read_files([str(file) for file in whole], table)) if whole else table.arrow.empty_table()
    found = Salvaged(rows.num_rows, tuple(str(file.relative_to(path)) for file in there if file not in whole))
    if not dry_run:
        side = salvaged(lake.root)
        rmtree(side, ignore_errors=True)
        new = Lake(side)
        new.create(table)
        new.append(table, rows, Mark(f"salvage:{table.name}", 0), {"job": "repair"})
        (side / "READY").touch()
        finish(lake, [table])
    return found


def finish(lake: Lake, tables: list[Table]) -> bool:
    """Put what was made anew in its place, where that was begun; whether it was."""
    side = salvaged(lake.root)
    if not (side / "READY").exists():
        rmtree(side, ignore_errors=True)
        return False
    for table in tables:
        new, place = Lake(side).path(table), lake.path(table)
        if new.exists():
            if place.exists():
                place.rename(side / "replaced")
            new.rename(place)
    rmtree(side)
    return True


def _files(path: Path) -> list[Path]:
    """The data files that commits in order name as live, and those that none of them names."""
    named: set[str] = set()
    live: set[str] = set()
    for action in _trusted(path):
        if "add" in action:
            live.add(unquote(action["add"]["path"]))
        elif "remove" in action:
            live.discard(unquote(action["remove"]["path"]))
            named.add(unquote(action["remove"]["path"]))
    there = {file.relative_to(path).as_posix() for file in path.rglob("*.parquet") if "_delta_log" not in file.parts}
    return [path / name for name in sorted(live | (there - named))]


def _trusted(path: Path) -> Iterator[dict[str, Any]]:
    """The actions of commits that are what was written, as far as their checksums tell."""
    for commit in sorted((path / "_delta_log").glob("*.json")):
        content, stored = commit.read_bytes(), checksum.read(commit.with_suffix(".crc"))
        if stored is None or checksum.covers(stored, content):
            try:
                yield from [json.loads(line) for line in content.splitlines() if line]
            except ValueError:
                continue


def _once(rows: pa.Table) -> pa.Table:
    """Rows that differ in more than when they were written; of equal ones the first."""
    seen: dict[str, int] = {}
    for at, row in enumerate(rows.drop_columns(["recorded_at"]).to_pylist(maps_as_pydicts="strict")):
        seen.setdefault(json.dumps(row, default=str, sort_keys=True), at)
    return rows.take(pa.array(seen.values(), pa.int64()))
