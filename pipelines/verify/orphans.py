"""silver.orphans against the orphans that follow from the log: feedback that found no inference, and when that was known."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.verify.events import Feedback
from pipelines.verify.ground import Ground, frame, schema
from pipelines.verify.reached import Frontier
from pipelines.verify.report import Difference, spoken

AFTER = 3_600_000_000
"""Feedback is an orphan once its inference is not known this long after its receipt; in microseconds."""

_EXPECTED = schema("feedback_id", "known_at lowest highest")
_ALONE = schema("feedback_id")

Posted = dict[int, int]
"""Net sign by known_at."""


def compare_orphans(ground: Ground, reached: Frontier) -> int:
    """Compare the net sign at each known_at of each feedback. Returns how many are orphaned.

    What lies below gold's end must be there. What came after it may be there already: `reconcile` writes first, and then
    says how far it has gone. Of a lake that has gone beyond what was read, only what was known before the frontier is
    certain, so only that is compared.
    """
    frontier = ground.verdicts.asserted(ground.end)
    certain = f"known_at < {frontier or 0}" if reached.end_offset > ground.end else "TRUE"
    stored = ground.stored("silver.orphans").select(
        "feedback_id, epoch_us(known_at) AS known_at, sign", f'"offset" < {ground.end}'
    )
    nothing = "SELECT '' AS feedback_id, 0::BIGINT AS known_at, 0 AS sign WHERE FALSE"
    ground.db.register("_expected", frame(list(_expected(ground, reached)), _EXPECTED))
    ground.db.execute(
        "CREATE OR REPLACE TEMP TABLE orphans AS SELECT feedback_id, known_at, coalesce(lowest, 0) AS lowest, "
        "coalesce(highest, 0) AS highest, coalesce(net, 0) AS net FROM _expected FULL JOIN (SELECT feedback_id, known_at, "
        f"sum(sign) AS net FROM ({stored or nothing}) GROUP BY ALL) USING (feedback_id, known_at) WHERE {certain}"
    )
    ground.db.unregister("_expected")
    _keep(ground)
    return _orphaned(ground)


def _expected(ground: Ground, reached: Frontier) -> Iterator[tuple[str, int, int, int]]:
    """The bounds of the net sign at each known_at of each feedback."""
    then, now = ground.verdicts.asserted(reached.end_offset), ground.verdicts.asserted(ground.end)
    for found in ground.verdicts.feedback.values():
        inference = ground.verdicts.inferences.get(found.request_id)
        came = None if inference is None else max(found.received_at, inference.received_at)
        seen = inference is not None and inference.offset < reached.end_offset
        states = [posted(found, came, now)]
        if found.offset >= reached.end_offset:
            states.append({})
        elif not seen:
            settled = found.offset < reached.open_from
            states.append(posted(found, None, max(then or 0, found.received_at + AFTER if settled else 0)))
        if inference is not None and not seen:
            states.append(posted(found, None, ground.verdicts.asserted(inference.offset)))  # before it was read
        for known_at in sorted({at for state in states for at in state}):
            signs = [state.get(known_at, 0) for state in states]
            yield found.feedback_id, known_at, min(signs), max(signs)


def posted(found: Feedback, came: int | None, frontier: int | None) -> Posted:
    """What stands about one feedback whose inference was known at `came`, or not at all, when a frontier was reached."""
    due = found.received_at + AFTER
    if came is None:
        return {due: 1} if frontier is not None and due <= frontier else {}
    return {due: 1, came: -1} if came > due else {}


def _keep(ground: Ground) -> None:
    differing = ground.db.execute(
        "SELECT feedback_id, known_at, lowest, highest, net FROM orphans "
        "WHERE net NOT BETWEEN lowest AND highest ORDER BY ALL"
    ).fetchall()
    ground.findings.counted(len(differing))
    for name, known_at, lowest, highest, net in differing[: ground.findings.room("silver.orphans", None)]:
        key: dict[str, object] = {"feedback_id": name, "known_at": spoken(known_at)}
        expected = f"net sign {lowest}" if lowest == highest else f"net sign {lowest} to {highest}"
        why = f"{ground.evidence.of_feedback(name)}; frontier {spoken(ground.verdicts.asserted(ground.end))}"
        where = ground.evidence.positions_of_feedback(name)
        ground.findings.keep(Difference("silver.orphans", key, expected, f"net sign {net}", None, why, where))


def _orphaned(ground: Ground) -> int:
    """How many feedbacks without inference are posted as orphans."""
    inferences = ground.verdicts.inferences
    alone = [(name,) for name, found in ground.verdicts.feedback.items() if found.request_id not in inferences]
    ground.db.register("_alone", frame(alone, _ALONE))
    counted = ground.db.execute(
        "SELECT count(*) FROM (SELECT feedback_id FROM orphans JOIN _alone USING (feedback_id) "
        "GROUP BY feedback_id HAVING sum(net) = 1)"
    ).fetchall()
    ground.db.unregister("_alone")
    return int(counted[0][0])
