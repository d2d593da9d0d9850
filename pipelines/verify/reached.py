"""How far gold says that it has gone, and whether the log says so too."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.verify.ground import Ground
from pipelines.verify.report import Difference, spoken


class Frontier(NamedTuple):
    """The newest row of gold.frontiers; null and 0 where there is none. `at` in microseconds.

    Every record below `end_offset` has gone through every job; all feedback below `open_from` is labelled or orphaned.
    """

    at: int | None
    end_offset: int
    open_from: int


def frontier(ground: Ground) -> Frontier:
    """How far gold says that it has gone."""
    query = ground.stored("gold.frontiers").select(
        "epoch_us(frontier) AS frontier, end_offset, open_from, epoch_us(recorded_at) AS written"
    )
    if query is None:
        return Frontier(None, 0, 0)
    newest = f"SELECT * FROM ({query}) ORDER BY end_offset DESC, written DESC LIMIT 1"
    rows = ground.db.execute(newest).fetchall()
    return Frontier(rows[0][0], int(rows[0][1]), int(rows[0][2])) if rows else Frontier(None, 0, 0)


def compare_frontier(ground: Ground, reached: Frontier) -> None:
    """Compare the frontier with the greatest that an accepted event asserts below the end that gold names."""
    asserted = ground.verdicts.asserted(reached.end_offset)
    if reached.end_offset <= ground.end and asserted != reached.at:
        ground.findings.counted(1)
        key: dict[str, object] = {"end_offset": reached.end_offset}
        why = "the greatest frontier that an accepted control event below that offset asserts"
        ground.findings.keep(Difference("gold.frontiers", key, spoken(asserted), spoken(reached.at), None, why))
