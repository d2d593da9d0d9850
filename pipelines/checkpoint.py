"""What a query's checkpoint says: its generation, what it has consumed, its watermark."""

from __future__ import annotations

import json
import uuid
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines import whole
from pipelines.errors import StateError
from pipelines.paths import in_bronze

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HADOOP = b"crc\0"
"""How a file of Hadoop's checksums begins; the bytes of a chunk follow, and the CRC-32 of each."""


@dataclass(frozen=True)
class Progress:
    """The last committed batch. `offsets`: one per source, in the order of the plan: the log's, or a Delta table's version."""

    batch: int
    watermark: datetime | None
    offsets: tuple[dict[str, Any], ...]


def generation(checkpoint: Path) -> str:
    """The checkpoint's own id, made when it is first used: a new checkpoint never meets the marks of an old one.

    Raises StateError `checkpoint_damaged` where it has been used and is gone.
    """
    file = checkpoint / "generation"
    if not file.exists() and not is_new(checkpoint):
        raise StateError(
            "checkpoint_damaged",
            f"{file} is missing: what was written before would be written again. `hindsight repair` brings it back.",
        )
    if not file.exists():
        state_generation(checkpoint, uuid.uuid4().hex)
    return file.read_text().strip()


def state_generation(checkpoint: Path, generation: str) -> None:
    """Write a checkpoint's id."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    whole.write(checkpoint / "generation", generation)


def is_new(checkpoint: Path) -> bool:
    """Whether no batch was ever planned in it."""
    return not numbered(checkpoint / "offsets")


def committed(checkpoint: Path) -> Progress | None:
    """The last batch that is committed; None before the first."""
    done = numbered(checkpoint / "commits")
    planned = set(numbered(checkpoint / "offsets"))
    for batch in sorted(done, reverse=True):
        if batch in planned:
            return planned_batch(checkpoint, batch)
    return None


def planned_batch(checkpoint: Path, batch: int) -> Progress:
    """The offsets that a batch was planned with; they are there before it runs. Raises StateError `checkpoint_damaged`."""
    file = checkpoint / "offsets" / str(batch)
    try:
        meta, *offsets = [json.loads(line) if line != "-" else {} for line in file.read_text().splitlines()[1:]]
        watermark = meta.get("batchWatermarkMs", 0)
    except (ValueError, AttributeError) as error:
        raise _damaged(file) from error
    if not is_whole(file):
        raise _damaged(file)
    return Progress(batch, _EPOCH + timedelta(milliseconds=watermark) if watermark else None, tuple(offsets))


def landed(folder: Path) -> int:
    """The log offset up to which the landing query has committed, whoever runs it; among the checkpoints in a folder.

    Where bronze.events is the log, nothing lands: what has been refined counts.
    """
    return _taken(folder, "refine" if in_bronze(folder.parent).exists() else "land")


def refined(folder: Path) -> int:
    """The same of the query that refines."""
    return _taken(folder, "refine")


def _taken(folder: Path, job: str) -> int:
    queries = [each for each in folder.glob("*") if job in each.name.split("+")]
    found = [progress.offsets[0] for each in queries if (progress := committed(each)) is not None]
    return max((int(offset.get("offset", 0)) for offset in found), default=0)


def numbered(folder: Path) -> list[int]:
    """The batches of which a folder of a checkpoint tells."""
    return [int(file.name) for file in folder.iterdir() if file.name.isdigit()] if folder.is_dir() else []


def is_whole(file: Path) -> bool:
    """Whether a file is what Hadoop's checksums of its every few bytes say; true where there are none."""
    beside = file.with_name(f".{file.name}.crc")
    try:
        content, sums = file.read_bytes(), beside.read_bytes()
    except FileNotFoundError:
        return file.exists()
    size = int.from_bytes(sums[4:8], "big")
    if sums[:4] != _HADOOP or not size:
        return False
    chunks = (content[start : start + size] for start in range(0, len(content), size))
    return sums[8:] == b"".join(zlib.crc32(chunk).to_bytes(4, "big") for chunk in chunks)


def _damaged(file: Path) -> StateError:
    return StateError("checkpoint_damaged", f"{file} is not what was written. `hindsight rebuild` makes it again from the log.")
