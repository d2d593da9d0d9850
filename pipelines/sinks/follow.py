"""A sink told of every revision, in its own time: one that is down slows nobody, and catches up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import Any, Protocol

from pipelines.errors import HindsightError, StateError, first_line
from pipelines.lake import Lake
from pipelines.sinks.told import Reached, told, write

_LOOK = 0.5
"""Seconds between two looks for something new."""
_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a sink that failed is told again: at first, and at last."""


class Sink(Protocol):
    """Where revisions go."""

    def send(self, revisions: Sequence[Any]) -> Sequence[str]:
        """Tell it, also once more; of all that it refused for good, why. Raises HindsightError where it is to be tried again."""


class Feed(Protocol):
    """What sinks are told of: metrics, or a ledger."""

    @property
    def lake(self) -> Lake:
        """The lake that it is read from."""

    def now(self) -> Reached | None:
        """As far as it is; None where there is nothing to tell yet."""

    def since(self, since: Reached | None, until: Reached) -> Iterator[list[Any]]:
        """The revisions between two states of it, in parts. Asked again: the same, or of a ledger what stands by then."""


def tell(feed: Feed, name: str, sink: Sink) -> bool:
    """Tell a sink what is new; whether anything was. Raises what the sink raises; what it was told then is told again."""
    root = feed.lake.root
    before = told(root, name)
    until = before.telling or feed.now()
    if until is None or until == before.reached:
        return False
    note = replace(before, telling=until)
    write(root, name, note)
    for part in feed.since(before.reached, until):
        refused = sink.send(part)
        said = refused[-1] if refused else note.refusal
        note = replace(note, revisions=note.revisions + len(part), refused=note.refused + len(refused), refusal=said)
    write(root, name, replace(note, reached=until, telling=None, error=""))
    return True


def once(feed: Feed, name: str, sink: Sink) -> bool:
    """Tell a sink what is new now; whether that went well. How it failed stands on disk."""
    try:
        while tell(feed, name, sink):
            pass
    except Exception as error:  # whatever it is, of the sink or of a lake that is being rebuilt, it is tried again
        if getattr(error, "code", "") == "sink_damaged":
            raise
        said = str(error) if isinstance(error, HindsightError) else f"{type(error).__name__}: {first_line(error)} [unexpected]"
        write(feed.lake.root, name, replace(told(feed.lake.root, name), error=said))
        return False
    return True


def follow(feed: Feed, name: str, sink: Sink, stopping: Event, say: Callable[[str], None]) -> None:
    """Tell a sink what comes, until told to stop; after a failure with growing pauses. Says when it fails, and when it is back."""
    pause, was_well = _PAUSE, True
    while not stopping.is_set():
        try:
            well = once(feed, name, sink)
            said = "told again" if well else told(feed.lake.root, name).error
        except StateError as error:  # its note is damaged, until somebody deletes it
            well, said = False, str(error)
        if well != was_well:
            say(f"{name}: {said}")
        was_well = well
        stopping.wait(_LOOK if well else pause)
        pause = _PAUSE if well else min(2 * pause, _LONGEST_PAUSE)
