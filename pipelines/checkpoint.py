"""What a query's checkpoint says: its generation, what it has consumed, its watermark."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Progress:
    """The last committed batch. `offsets`: one per source, in the order of the plan: the log's, or a Delta table's version."""

    batch: int
    watermark: datetime | None
    offsets: tuple[dict[str, Any], ...]


def generation(checkpoint: Path) -> str:
    """The checkpoint's own id, made when it is first used: a new checkpoint never meets the marks of an old one."""
    file = checkpoint / "generation"
    if not file.exists():
        checkpoint.mkdir(parents=True, exist_ok=True)
        scratch = checkpoint / ".generation.tmp"
        scratch.write_text(uuid.uuid4().hex)
        scratch.replace(file)
    return file.read_text().strip()


def is_new(checkpoint: Path) -> bool:
    """Whether no batch was ever planned in it."""
    return not _numbered(checkpoint / "offsets")


def committed(checkpoint: Path) -> Progress | None:
    """The last batch that is committed; None before the first."""
    done = _numbered(checkpoint / "commits")
    planned = set(_numbered(checkpoint / "offsets"))
    for batch in sorted(done, reverse=True):
        if batch in planned:
            return planned_batch(checkpoint, batch)
    return None


def planned_batch(checkpoint: Path, batch: int) -> Progress:
    """The offsets that a batch was planned with; they are there before it runs."""
    lines = (checkpoint / "offsets" / str(batch)).read_text().splitlines()
    meta = json.loads(lines[1])
    watermark = meta.get("batchWatermarkMs", 0)
    offsets = tuple(json.loads(line) if line != "-" else {} for line in lines[2:])
    return Progress(batch, _EPOCH + timedelta(milliseconds=watermark) if watermark else None, offsets)


def _numbered(folder: Path) -> list[int]:
    return [int(file.name) for file in folder.iterdir() if file.name.isdigit()] if folder.is_dir() else []
