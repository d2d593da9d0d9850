"""A small lake made without Spark: a log of all kinds of appends, landed, with the checkpoint that such a landing leaves."""

from __future__ import annotations

import json
import zlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.bronze.tables import EVENTS
from pipelines.jobs import TABLES
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.log.source import bronze
from pipelines.paths import checkpoints, log_path

QUERY = "land+refine+expose+absences"
GENERATION = "0123456789abcdef" * 2
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEFINE = b'{"kind":"control","action":"define","body":"{}"}'


def made(root: Path, *, batches: int = 3) -> Path:
    """A lake that has landed everything in so many batches; refine found nothing in it."""
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        log.control(DEFINE)
        log.append([b"one", b"two"], [T0, T0 + timedelta(minutes=1)])
        log.assert_frontier(T0 + timedelta(hours=1))
        log.append([b"three"] * 5, [T0 + timedelta(minutes=n) for n in range(5)])
        log.append([b"four", b"", b"\xff\x00"])
        log.tick()
        log.append([b"five"] * 4)
        end = log.end()
        rows = pa.concat_tables([bronze(append, 0, end) for append in log.read(0, end)])
    lake = Lake(root)
    lake.create(*TABLES)
    bounds = [end * batch // batches for batch in range(batches + 1)]
    for batch in range(batches):
        part = rows.slice(bounds[batch], bounds[batch + 1] - bounds[batch])
        lake.append(EVENTS, part, Mark(f"{GENERATION}:{QUERY}:{EVENTS.name}", batch), {"job": "land", "query": QUERY})
        planned(root, batch, bounds[batch + 1])
        written(checkpoints(root) / QUERY / "commits" / str(batch), 'v1\n{"nextBatchWatermarkMs":0}')
    (checkpoints(root) / QUERY / "generation").write_text(GENERATION)
    written(checkpoints(root) / QUERY / "metadata", '{"id":"01234567-89ab-cdef-0123-456789abcdef"}')
    return root


def planned(root: Path, batch: int, offset: int) -> None:
    text = f'v1\n{{"batchWatermarkMs":0}}\n{{"offset": {offset}}}'
    written(checkpoints(root) / QUERY / "offsets" / str(batch), text)


def written(file: Path, text: str) -> None:
    """A short file as Hadoop writes it, with its sum beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    sums = b"crc\0" + (512).to_bytes(4, "big") + zlib.crc32(text.encode()).to_bytes(4, "big")
    file.with_name(f".{file.name}.crc").write_bytes(sums)


def logged(root: Path) -> tuple[list[dict[str, Any]], tuple[int, int]]:
    """Every record with its clocks, and the clock of the log."""
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        end = log.end()
        rows = pa.concat_tables([bronze(append, 0, end) for append in log.read(0, end)])
        return rows.to_pylist(), log._clock()


def commit(root: Path, version: int) -> Path:
    """A commit of bronze.events."""
    return root / EVENTS.folder / "_delta_log" / f"{version:020d}.json"


def actions(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]
