"""Every record of the log in bronze once, byte for byte, and in exactly one table of silver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.verify.fields import FIELD_REASONS
from pipelines.verify.ground import Ground, frame, schema
from pipelines.verify.report import Difference, Findings
from pipelines.verify.stored import Stored, union
from pipelines.verify.verdicts import DUPLICATE, QUARANTINED, Verdicts

_PLACE = 'tenant, source, "partition", "offset"'
_RECORDS = schema("clock", "o received_at", binaries="payload")
_HOMES = schema("home", "o")
_NOTHING = "SELECT 0::BIGINT AS o, ''::BLOB AS p, 0::BIGINT AS r, '' AS c, TRUE AS placed WHERE FALSE"
_WRONG = (
    *("p IS DISTINCT FROM payload", "r IS DISTINCT FROM received_at", "c IS DISTINCT FROM clock"),
    "placed IS NOT TRUE",
)
_WRONG_NAMES = ("payload", "received_at", "clock", "tenant, source or partition")

Record = tuple[str, int, int, bytes]
"""(clock, offset, received_at, payload)"""


class Landing:
    """Compares bronze.events with the log, one stretch of offsets after the other."""

    def __init__(self, db: Any, lake: Path, findings: Findings) -> None:
        self._db = db
        self._bronze = Stored(lake, "bronze.events")
        self._findings = findings

    def end(self) -> int:
        """The offset after the last one that has landed."""
        query = self._bronze.select('max("offset")')
        last = self._db.execute(query).fetchall()[0][0] if query else None
        return 0 if last is None else int(last) + 1

    def compare(self, rows: list[Record], low: int, high: int) -> None:
        """Compare the records at offsets [low, high) of the log."""
        self._db.register("_log", frame(rows, _RECORDS))
        found = self._bronze.select(
            '"offset" AS o, payload AS p, epoch_us(received_at) AS r, clock AS c, '
            "tenant = 'default' AND source = 'embedded' AND \"partition\" = 0 AS placed",
            f'"offset" >= {low} AND "offset" < {high}',
        )
        landed = (
            "SELECT o, count(*) AS n, any_value(p) AS p, any_value(r) AS r, any_value(c) AS c, "
            f"bool_and(placed) AS placed FROM ({found or _NOTHING}) GROUP BY o"
        )
        differing = self._db.execute(
            f"SELECT coalesce(e.o, f.o), e.o IS NULL, coalesce(n, 0), {', '.join(_WRONG)} "
            f"FROM _log e FULL JOIN ({landed}) f ON e.o = f.o "
            f"WHERE e.o IS NULL OR n IS DISTINCT FROM 1 OR {' OR '.join(_WRONG)} ORDER BY 1"
        ).fetchall()
        self._db.unregister("_log")
        self._findings.counted(len(differing))
        payloads = {offset: payload for _, offset, _, payload in rows} if differing else {}
        for row in differing[: self._findings.room(self._bronze.name, None)]:
            self._findings.keep(_landed(self._bronze.name, row, payloads.get(row[0])))


def _landed(table: str, row: tuple[Any, ...], payload: bytes | None) -> Difference:
    offset, alien, count, *wrong = row
    other = ", ".join(name for name, differs in zip(_WRONG_NAMES, wrong, strict=True) if differs)
    found = f"{count} row{'s' if count != 1 else ''}"
    if count == 1 and not alien:
        found += f" with another {other}"
    expected = "no row" if alien else "one row, as in the log"
    why = f"log offset {offset}: {payload[:300]!r}" if payload is not None else f"the log holds no offset {offset}"
    return Difference(table, {"offset": offset}, expected, found, None, why, (offset,))


def compare_homes(ground: Ground) -> None:
    """Compare where each record went; reasons are compared too, except among the five about fields."""
    ground.db.register("_homes", frame(_expected(ground.verdicts), _HOMES))
    differing = ground.db.execute(
        'SELECT tenant, source, "partition", "offset", max(e), string_agg(f, \', \' ORDER BY f) FROM ('
        "SELECT 'default' AS tenant, 'embedded' AS source, 0::BIGINT AS \"partition\", o AS \"offset\", home AS e, "
        f"NULL::VARCHAR AS f FROM _homes UNION ALL SELECT {_PLACE}, NULL, home FROM ({_found(ground)})) "
        f"GROUP BY {_PLACE} "
        'HAVING NOT coalesce(count(f) = 1 AND max(f) = max(e), FALSE) ORDER BY "offset", tenant, source, "partition"'
    ).fetchall()
    ground.db.unregister("_homes")
    ground.findings.counted(len(differing))
    for tenant, source, partition, offset, expected, found in differing[: ground.findings.room("silver", None)]:
        key: dict[str, object] = {"tenant": tenant, "source": source, "partition": partition, "offset": offset}
        why = ground.evidence.of_position(offset) if expected else "the log holds no such position"
        ground.findings.keep(Difference("silver", key, expected or "nowhere", found or "nowhere", None, why, (offset,)))


def _expected(verdicts: Verdicts) -> list[tuple[str, int]]:
    homes = list(verdicts.homes)
    for offset, reason in verdicts.reasons.items():
        homes[offset] = f"{QUARANTINED}: {'field' if reason in FIELD_REASONS else reason}"
    for offset, first in verdicts.firsts.items():
        homes[offset] = f"{DUPLICATE} of offset {first}"
    return [(home, offset) for offset, home in enumerate(homes)]


def _found(ground: Ground) -> str:
    counted = f'"offset" < {ground.end}'
    plain = [
        ground.stored(f"silver.{noun}").select(f"{_PLACE}, '{home}' AS home", counted)
        for noun, home in (("inferences", "inference"), ("feedback", "feedback"), ("controls", "control"))
    ]
    home = f"'{DUPLICATE} of offset ' || first_offset"
    duplicates = ground.stored("silver.duplicates").select(f"{_PLACE}, {home} AS home", counted)
    group = ", ".join(f"'{reason}'" for reason in FIELD_REASONS)
    reason = f"CASE WHEN reason IN ({group}) THEN 'field' ELSE reason END"
    quarantine = ground.stored("silver.quarantine").select(f"{_PLACE}, '{QUARANTINED}: ' || {reason} AS home", counted)
    place = "'' AS tenant, '' AS source, 0::BIGINT AS \"partition\", 0::BIGINT AS \"offset\""
    return union([f"SELECT {place}, '' AS home WHERE FALSE", *plain, duplicates, quarantine])
