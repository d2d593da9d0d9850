"""Files that no table names any more, and whatever else beside the tables may hold a record: gone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import rmtree

from pipelines.contract import Table
from pipelines.erasure.key import key_path
from pipelines.erasure.rewrite import sound
from pipelines.paths import SIDE, beside_log, in_bronze


def dead(root: Path, tables: Iterable[Table]) -> Iterator[Path]:
    """What may hold records, and is not in use: files that tables have replaced or never took in, and leftovers of other commands.

    An unfinished rebuild, the damaged log that a repair kept, imports of half a file. The caller holds all leases: nobody is writing.
    """
    for table in tables:
        log = sound(root, table)
        live = {log.file(name) for name in log.live}
        for file in (root / table.folder).rglob("*"):
            kept = file in live or _summed(file) in live or "_delta_log" in file.relative_to(root / table.folder).parts
            if file.is_file() and not kept:
                yield file
    needed = {key_path(root), in_bronze(root), *(beside_log(root, f"log.sqlite{suffix}") for suffix in ("", "-wal", "-shm"))}
    yield from (file for file in key_path(root).parent.iterdir() if file.is_file() and file not in needed)


def purge(root: Path, files: Iterable[Path]) -> None:
    """Delete them, an unfinished rebuild, and what gates, trainings and Spark have said so far, which may quote a row."""
    for file in files:
        file.unlink(missing_ok=True)
    for folder in (SIDE, "_docs", "_mlflow/runs"):
        rmtree(root / folder, ignore_errors=True)
    for file in (root / "_logs").glob("*"):
        os.truncate(file, 0)


def _summed(file: Path) -> Path:
    """The file whose sum Hadoop has written into this one."""
    return file.with_name(file.name.removeprefix(".").removesuffix(".crc"))
