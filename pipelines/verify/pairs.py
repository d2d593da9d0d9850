"""silver.labelled and silver.orphans against the pairs that follow from the log."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.verify.ground import Ground, frame, schema
from pipelines.verify.orphans import compare_orphans
from pipelines.verify.reached import Frontier
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


class Paired(NamedTuple):
    """How the accepted feedback divides."""

    labelled: int
    waiting: int
    orphaned: int


def compare_pairs(ground: Ground, reached: Frontier) -> Paired:
    """Compare who found whom: every pair labelled, everybody else waiting or orphaned."""
    labelled = _compare_labelled(ground)
    unmatched = len(ground.verdicts.feedback) - labelled
    orphaned = compare_orphans(ground, reached)
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
    _keep(ground, differing)
    return len(rows)


def _keep(ground: Ground, differing: list[tuple[str, str | None, str | None]]) -> None:
    ground.findings.counted(len(differing))
    for name, expected, found in differing[: ground.findings.room("silver.labelled", None)]:
        why = ground.evidence.of_feedback(name)
        ground.findings.keep(
            Difference(
                "silver.labelled",
                {"feedback_id": name},
                expected or "no row",
                found or "no row",
                None,
                why,
                ground.evidence.positions_of_feedback(name),
            )
        )
