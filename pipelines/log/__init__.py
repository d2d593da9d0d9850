"""The log: records in, positions out. A file of SQLite, or bronze.events itself."""

from functools import lru_cache
from pathlib import Path

from pipelines.bronze.tables import EVENTS
from pipelines.log.embedded import EmbeddedLog
from pipelines.log.shared import SharedLog

__all__ = ["EmbeddedLog", "Log", "SharedLog", "log_at"]

Log = EmbeddedLog | SharedLog
_shared = lru_cache(SharedLog)
"""Once in a process: opening it costs more than asking whether anything is new."""


def log_at(path: Path, *, durable: bool = True) -> Log:
    """The log at a path, as `paths.log_path` has it: the folder of bronze.events, or a file. Made where there is none."""
    if path.parts[-2:] == Path(EVENTS.folder).parts:
        return _shared(path, durable)
    return EmbeddedLog(path, durable=durable)
