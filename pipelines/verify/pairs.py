"""silver.labelled and silver.orphans against the pairs that follow from the log."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.verify.ground import Ground, frame, schema
from pipelines.verify.report import Difference

_PAIR = schema(
    "feedback_id unit unit_id item label text action rater role target_feedback_id",
    "given_at known_at inference_offset",
    "number",
)
_PAIR_STORED = (
    "feedback_id, unit, unit_id, item, label, text, action, rater, role, target_feedback_id, "
    "epoch_us(given_at) AS given_at, epoch_us(known_at) AS known_at, "
    'context."offset" AS inference_offset, number + 0.0 AS number'
)
_ORPHAN = schema("feedback_id", "lowest highest")


class Frontier(NamedTuple):
    """The newest row of gold.frontiers; null and 0 where there is none. `at` in microseconds.

    Every record below `end_offset` has gone through every job; all feedback below `open_from` is labelled or orphaned.
    """

    at: int | None
    end_offset: int
    open_from: int


class Paired(NamedTuple):
    """How the accepted feedback divides."""

    labelled: int
    waiting: int
    orphaned: int


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


def compare_pairs(ground: Ground, reached: Frontier) -> Paired:
    """Compare who found whom: every pair labelled, everybody else waiting or orphaned."""
    labelled = _compare_labelled(ground)
    unmatched = len(ground.verdicts.feedback) - labelled
    orphaned = _compare_orphans(ground, reached)
    return Paired(labelled, unmatched - orphaned, orphaned)


def _compare_labelled(ground: Ground) -> int:
    """Every pair once, or several times the same: receipt, join and reconcile may each find it."""
    rows = []
    for found in ground.verdicts.feedback.values():
        inference = ground.verdicts.inferences.get(found.request_id)
        if inference is not None:
            number, text = (found.value, None) if isinstance(found.value, float) else (None, found.value)
            named = (found.feedback_id, "item" if found.item else "request", found.request_id, found.item, found.label)
            said = (text, found.action, found.rater, found.role, found.target)
            known_at = max(found.received_at, inference.received_at)
            rows.append((*named, *said, found.given_at, known_at, inference.offset, number))
    content = ", ".join(f"{name} := {name}" for name in _PAIR.names[1:])
    where = f'"offset" < {ground.end} AND (context."offset" < {ground.end}) IS NOT FALSE'
    stored = ground.stored("silver.labelled").select(_PAIR_STORED, where) or "SELECT * FROM _pairs WHERE FALSE"
    ground.db.register("_pairs", frame(rows, _PAIR))
    differing = ground.db.execute(
        "SELECT feedback_id, max(e), string_agg(f, ' and ' ORDER BY f) FROM ("
        f"SELECT feedback_id, struct_pack({content})::VARCHAR AS e, NULL::VARCHAR AS f FROM _pairs UNION ALL "
        f"SELECT DISTINCT feedback_id, NULL, struct_pack({content})::VARCHAR FROM ({stored})) "
        "GROUP BY feedback_id HAVING NOT coalesce(count(f) = 1 AND max(f) = max(e), FALSE) ORDER BY feedback_id"
    ).fetchall()
    ground.db.unregister("_pairs")
    _keep(ground, "silver.labelled", differing)
    return len(rows)


def _compare_orphans(ground: Ground, reached: Frontier) -> int:
    """Net sign 1 (or 0, as long as it is not settled) without an inference, else 0. Returns how many are orphaned."""
    rows = []
    for found in ground.verdicts.feedback.values():
        alone = found.request_id not in ground.verdicts.inferences
        rows.append((found.feedback_id, int(alone and found.offset < reached.open_from), int(alone)))
    stored = ground.stored("silver.orphans").select("feedback_id, sign", f'"offset" < {ground.end}')
    nothing = "SELECT '' AS feedback_id, 0 AS sign WHERE FALSE"
    ground.db.register("_alone", frame(rows, _ORPHAN))
    ground.db.execute(
        "CREATE OR REPLACE TEMP TABLE orphans AS SELECT feedback_id, coalesce(lowest, 0) AS lowest, "
        "coalesce(highest, 0) AS highest, coalesce(net, 0) AS net FROM _alone FULL JOIN "
        f"(SELECT feedback_id, sum(sign) AS net FROM ({stored or nothing}) GROUP BY feedback_id) USING (feedback_id)"
    )
    ground.db.unregister("_alone")
    differing = ground.db.execute(
        "SELECT feedback_id, 'net sign ' || CASE WHEN lowest = highest THEN lowest::VARCHAR ELSE '0 or 1' END, "
        "'net sign ' || net FROM orphans WHERE net NOT BETWEEN lowest AND highest ORDER BY feedback_id"
    ).fetchall()
    _keep(ground, "silver.orphans", differing)
    return int(ground.db.execute("SELECT count(*) FROM orphans WHERE net = 1 AND highest = 1").fetchall()[0][0])


def _keep(ground: Ground, table: str, differing: list[tuple[str, str | None, str | None]]) -> None:
    ground.findings.counted(len(differing))
    for name, expected, found in differing[: ground.findings.room(table, None)]:
        why = ground.evidence.of_feedback(name)
        ground.findings.keep(
            Difference(table, {"feedback_id": name}, expected or "no row", found or "no row", None, why)
        )
