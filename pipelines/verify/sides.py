"""Both sides of a difference, row by row: the entries that the log leads to, and the rows that the lake holds."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from pipelines.verify.ground import Ground
from pipelines.verify.report import spoken
from pipelines.verify.stored import quoted

LEDGER = "gold.outcome_ledger"
SHOWN = 6
"""Rows of one side that are told in full."""

_Entry = tuple[str, str, int, Any, Any]
"""(item, policy, known_at, number, text)"""


def entries(ground: Ground, request_id: str, label: str, item: str | None, as_of: int | None) -> list[str]:
    """Each entry about a request under a label: what the log leads to, and what the ledger holds."""
    sides: dict[_Entry, list[Any]] = defaultdict(lambda: [0, []])
    for outcome, found in ground.evidence.outcomes(request_id, label, item, as_of):
        for known_at, sign, number, text in found:
            sides[outcome.item, outcome.policy_hash, known_at, number, text][0] += sign
    for about, policy, known_at, number, text, sign, recorded_at in _held(ground, request_id, label, item, as_of):
        sides[about, policy, known_at, number, text][1].append((sign, recorded_at))
    told = [_told(request_id, key, expected, rows) for key, (expected, rows) in sorted(sides.items(), key=_order)]
    return _cut(told)


def rows_of(ground: Ground, table: str, where: str, before: int | None, **partition: set[Any]) -> list[str]:
    """The amounts that the lake holds under a key, each with when it was known and when it was written."""
    until = "TRUE" if before is None else f"epoch_us(known_at) < {before}"
    query = ground.stored(table).select(
        "amount::DECIMAL(38,9), epoch_us(known_at), epoch_us(recorded_at)", f"{where} AND {until}", "", **partition
    )
    rows = ground.db.execute(f"{query} ORDER BY ALL").fetchall() if query else []
    return _cut([f"{_amount(a)} known {spoken(known)}, written {spoken(written)}" for a, known, written in rows])


def _held(ground: Ground, request_id: str, label: str, item: str | None, as_of: int | None) -> list[tuple[Any, ...]]:
    where = [f"unit_id = {quoted(request_id)}", f"label = {quoted(label)}"]
    where += [] if item is None else [f"item = {quoted(item)}"]
    where += [] if as_of is None else [f"epoch_us(known_at) < {as_of}"]
    columns = "item, policy, epoch_us(known_at), number + 0.0, text, sign, epoch_us(recorded_at)"
    query = ground.stored(LEDGER).select(columns, " AND ".join(where))
    return list(ground.db.execute(query).fetchall()) if query else []


def _told(request_id: str, key: _Entry, expected: int, rows: list[tuple[int, int | None]]) -> str:
    item, policy, known_at, number, text = key
    value = text if text is not None else "undecided" if number is None else f"{number}"
    held = sum(sign for sign, _ in rows)
    where = f" on item {item}" if item else ""
    told = f"{value} about {request_id}{where} known {spoken(known_at)}, policy {policy}: "
    if held == expected:
        return f"{told}{held:+d}, as the log says"
    written = ", ".join(f"{sign:+d} written {spoken(at)}" for sign, at in rows[:SHOWN]) or "nothing"
    return f"{told}the log says {expected:+d}, the ledger holds {written}"


def _order(side: tuple[_Entry, list[Any]]) -> tuple[Any, ...]:
    (item, policy, known_at, number, text), (expected, rows) = side
    agrees = sum(sign for sign, _ in rows) == expected
    return agrees, item, known_at, policy, str(number), str(text)


def _cut(told: list[str]) -> list[str]:
    return [*told[:SHOWN], *([f"and {len(told) - SHOWN} more"] if len(told) > SHOWN else [])]


def _amount(amount: Decimal) -> str:
    return f"{amount.normalize():+f}"
