"""How far ahead a frontier may lie: one rule, for the log that lifts receipts to it and for refine that takes it in."""

from __future__ import annotations

from datetime import timedelta

AHEAD = timedelta(minutes=5)
"""A frontier may be later than the wall clock of its append by this much, as a client's clock may be ahead."""

_AHEAD = AHEAD // timedelta(microseconds=1)


def from_the_future(at: int, appended: int) -> bool:
    """Whether a frontier is refused: nobody can know yet what will have been logged by then. In microseconds.

    It would be believed for good: all that is received until then would be stamped with it.
    """
    return at > appended + _AHEAD
