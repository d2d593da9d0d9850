"""gold.outcome_ledger, and the outcomes it nets to, against the beliefs that follow from the log."""

from __future__ import annotations

from typing import Any

from pipelines.verify.beliefs import Belief, Entry
from pipelines.verify.ground import Ground, frame, schema
from pipelines.verify.outcomes import Outcome
from pipelines.verify.report import Difference, moment, spoken
from pipelines.verify.sides import LEDGER, entries

OUTCOMES = "gold.outcomes"
SUSPECTS = 100
"""So many requests with other entries than expected are remembered, to be named where a cell differs."""

_ROW = schema("unit unit_id item label policy text", "matures_at known_at net", "number")
_KEY = ("unit", "unit_id", "item", "label", "policy", "text", "number", "matures_at", "known_at")


class Rows:
    """The entries that the ledger must hold, or (known_at 0) the outcomes that stand."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def add(self, outcome: Outcome, entries: list[Entry]) -> None:
        """One key's entries."""
        named = (outcome.unit, outcome.inference.request_id, outcome.item, outcome.label, outcome.policy_hash)
        for known_at, sign, number, text in entries:
            self._rows.append((*named, text, outcome.matures_at, known_at, sign, number))

    def stand(self, outcome: Outcome, belief: Belief | None) -> None:
        """One key's outcome, if there is one."""
        if belief is not None:
            self.add(outcome, [(0, 1, belief.number, belief.text)])

    def table(self) -> Any:
        """As Arrow."""
        return frame(self._rows, _ROW)


def compare_outcomes(ground: Ground, table: str, rows: Rows, as_of: int | None) -> int:
    """Compare net signs per key, of the entries known before a moment (None: of all); returns how many keys it had."""
    keys = ", ".join(("tenant", *_KEY))
    known_at = "epoch_us(known_at)" if table == LEDGER else "0"
    where = "TRUE" if as_of is None else f"epoch_us(known_at) < {as_of}"
    where += "" if ground.since is None else f" AND coalesce(epoch_us(context.served_at) >= {ground.since}, TRUE)"
    stored = ground.stored(LEDGER).select(
        f"tenant, unit, unit_id, item, label, policy, text, number + 0.0, epoch_us(matures_at), {known_at}, 0, sign",
        where,
    )
    expected = f"SELECT 'default' AS tenant, {', '.join(_KEY)}, net AS e, 0 AS f FROM _expected"
    ground.db.register("_expected", rows.table())
    ground.db.execute(
        f"CREATE OR REPLACE TEMP TABLE nets AS SELECT {keys}, sum(e) AS e, sum(f) AS f "
        f"FROM ({expected}{f' UNION ALL {stored}' if stored else ''}) GROUP BY {keys} HAVING sum(e) <> 0 OR sum(f) <> 0"
    )
    ground.db.unregister("_expected")
    compared, differing = ground.db.execute("SELECT count(*), count(*) FILTER (e <> f) FROM nets").fetchall()[0]
    ground.findings.counted(differing)
    at = None if as_of is None else moment(as_of)
    room = ground.findings.room(table, at) if differing else 0
    if room:
        _suspect(ground)
        for row in ground.db.execute(f"SELECT * FROM nets WHERE e <> f ORDER BY ALL LIMIT {room}").fetchall():
            key = dict(zip(("tenant", *_KEY), row, strict=False))
            about = (key["unit_id"], key["label"], key["item"])
            shown = {**key, "matures_at": spoken(key["matures_at"]), "known_at": spoken(key["known_at"])}
            if table != LEDGER:
                del shown["known_at"]
            ground.findings.keep(
                Difference(
                    table,
                    shown,
                    int(row[-2]),
                    int(row[-1]),
                    at,
                    ground.evidence.of_request(about[0], about[1], as_of, about[2]),
                    ground.evidence.positions([about[0]], about[1], as_of, about[2]),
                    tuple(entries(ground, *about, as_of)),
                )
            )
    return int(compared)


def _suspect(ground: Ground) -> None:
    """Remember the requests that differ."""
    wrong = ground.db.execute(f"SELECT DISTINCT unit_id FROM nets WHERE e <> f ORDER BY 1 LIMIT {SUSPECTS}")
    ground.findings.suspects |= {name for (name,) in wrong.fetchall()}
