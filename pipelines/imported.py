"""What an import has behind it in one file."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipelines.log.receipt import BEYOND
from pipelines.moments import instant, rfc3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Memory:
    """What lies behind us in one file; kept on disk where there is a path. `latest` is the greatest claimed receipt.

    `belated`: records that claim an earlier receipt than the log's frontier, at which they were received then.
    """

    def __init__(self, path: Path | None, file: str, frontier: datetime = _EPOCH) -> None:
        self.path, self.file, self.frontier = path, file, frontier
        self.belated = 0
        self.position, self.records, self.finished = 0, 0, False
        self.latest: datetime | None = None
        self._last = _EPOCH
        kept = _kept(path) if path else None
        if kept:
            self.position, self.records, self.finished = kept.position, kept.records, kept.finished
            self.latest = instant(kept.latest)
            self._last = self.latest or _EPOCH

    def receipt(self, at: datetime | None) -> datetime:
        """When a record was received; without its own word, when the one before it was."""
        if at and at.year < BEYOND:  # believing it would end all time that comes before
            self._last = at
            self.latest = max(at, self.latest or at)
        self.belated += self._last < self.frontier
        return self._last

    def write(self) -> None:
        if self.path is None:
            return
        latest = rfc3339(self.latest) if self.latest else None
        name = self.file.encode(errors="backslashreplace").decode()
        kept = _Kept(name, self.position, self.records, self.finished, latest)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(f".{os.getpid()}")
        beside.write_bytes(msgspec.json.encode(kept))
        beside.replace(self.path)


def latest_of(folder: Path) -> datetime | None:
    """The greatest claimed receipt of all imports that are remembered in a folder."""
    known = filter(None, map(_kept, folder.glob("*.json")))
    return max(filter(None, (instant(kept.latest) for kept in known)), default=None)


class _Kept(msgspec.Struct):
    """What is written down of one file, whose path is for people."""

    file: str
    position: int
    records: int
    finished: bool
    latest: str | None


def _kept(path: Path) -> _Kept | None:
    """What was written; nothing where that is lost or broken: then the file is read again, and its events are duplicates."""
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    return None
