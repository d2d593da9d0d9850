"""A sink told of every revision, in its own time: one that is down slows nobody, and catches up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from pipelines import whole
from pipelines.errors import HindsightError, StateError
from pipelines.page.sums import Kept
from pipelines.sinks.revisions import Reached, Revision, now, revisions

_LOOK = 0.5
"""Seconds between two looks for something new."""
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a sink that failed is told again: at first, and at last."""


class Sink(Protocol):
    """Where revisions go."""

    def send(self, revisions: Sequence[Revision]) -> int:
        """Tell it, also once more; how much it refused for good. Raises HindsightError where it is to be tried again."""


@dataclass(frozen=True)
class Told:
    """What stands on disk about a sink. `reached`: what it was told all of; `telling`: what it is being told, fixed before it begins, so
    that after a crash it is told the same. `revisions`, `refused`: how many so far. `error`: of the last try, "" where that went well.
    """

    reached: Reached | None = None
    telling: Reached | None = None
    revisions: int = 0
    refused: int = 0
    error: str = ""
    at: str = ""


def path_of(root: Path, name: str) -> Path:
    return root / "_sinks" / f"{name}.json"


def told(root: Path, name: str) -> Told:
    """What stands on disk. Raises StateError `sink_damaged`."""
    file = path_of(root, name)
    try:
        said: dict[str, Any] = json.loads(file.read_text())
        return Told(**{**said, "reached": _reached(said["reached"]), "telling": _reached(said["telling"])})
    except FileNotFoundError:
        return Told()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(
            "sink_damaged",
            f"{file} is not what was written ({type(error).__name__}). Delete it: the sink is told all again, and takes it for the same.",
        ) from error


def tell(kept: Kept, name: str, sink: Sink, every: timedelta) -> bool:
    """Tell a sink what is new; whether anything was. Raises what the sink raises; what it was told then is told again."""
    before = told(kept.lake.root, name)
    until = before.telling or now(kept.lake)
    if until is None or until == before.reached:
        return False
    note = replace(before, telling=until)
    _write(kept.lake.root, name, note)
    for part in revisions(kept, before.reached, until, every):
        refused = sink.send(part)
        note = replace(note, revisions=note.revisions + len(part), refused=note.refused + refused)
    _write(kept.lake.root, name, replace(note, reached=until, telling=None, error=""))
    return True


def once(kept: Kept, name: str, sink: Sink, every: timedelta) -> bool:
    """Tell a sink what is new now; whether that went well. How it failed stands on disk."""
    try:
        while tell(kept, name, sink, every):
            pass
    except HindsightError as error:
        if error.code != "sink_damaged":
            _write(kept.lake.root, name, replace(told(kept.lake.root, name), error=str(error)))
            return False
        raise
    return True


def follow(kept: Kept, name: str, sink: Sink, every: timedelta, stopping: Event) -> None:
    """Tell a sink what comes, until told to stop; after a failure with growing pauses."""
    pause = _PAUSE
    while not stopping.is_set():
        well = once(kept, name, sink, every)
        stopping.wait(_LOOK if well else pause)
        pause = _PAUSE if well else min(2 * pause, _LONGEST_PAUSE)


def _reached(said: dict[str, Any] | None) -> Reached | None:
    return None if said is None else Reached(said["table"], said["version"], datetime.fromisoformat(said["as_of"]))


def _write(root: Path, name: str, note: Told) -> None:
    file = path_of(root, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    said = asdict(replace(note, at=datetime.now(UTC).isoformat()))
    whole.write(file, json.dumps(said, default=lambda at: at.isoformat()))
