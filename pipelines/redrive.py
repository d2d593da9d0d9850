"""Quarantined records once more, after what refused them has changed: their bytes are appended to the log again.

A copy is a record like any other, at a later position and with a later receipt: what was known before stays as it was, and
every decision remains a function of the log. The copies of an append stand behind a control event that names the positions they
repeat, and an append is there or not: so each is sent once, and what was interrupted is completed by the next redrive.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines import leases, settle
from pipelines.contract import TIMESTAMP
from pipelines.definition import Definition
from pipelines.definitions import DefinitionBook
from pipelines.errors import InputError, nearest
from pipelines.gates.suite import declared
from pipelines.lake import Lake
from pipelines.log import Log, log_at
from pipelines.log.block import Append, Part
from pipelines.log.source import bronze
from pipelines.moments import rfc3339
from pipelines.paths import existing, log_path
from pipelines.producer import declared_log
from pipelines.redriven import copies, redriven
from pipelines.settings import Settings
from pipelines.silver.declared import Declaration
from pipelines.silver.parse import parse
from pipelines.silver.reasons import REASONS, REDRIVEN
from pipelines.silver.rules import RowRules
from pipelines.silver.tables import FEEDBACK, INFERENCES, QUARANTINE

LEASE = "redrive"
"""Held by a redrive, and by whatever replaces or rewrites what it reads: two at once would send the same."""
SLICE = 5_000
"""Records of one append; their positions must fit into a control event."""
SLICE_BYTES = 32 << 20
ACCEPTED, STANDING, REFUSED = "accepted", "standing", "refused"

_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Redriven:
    """What comes of the quarantined records of one reason, of those that were not redriven before.

    `accepted`: they are sent again, and would be taken in now. The others are left: an event with their id is `standing` in the
    lake by now, or they would be `refused` again.
    """

    reason: str
    accepted: int
    standing: int
    refused: int


def redrive(
    settings: Settings,
    *,
    reasons: Sequence[str] = (),
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[Redriven]:
    """Append what would be taken in now to the log again, once; what comes of each reason (by default: of REDRIVEN).

    The model files are declared first, as `run` does. Beside an application at work, which takes the copies as they come; else
    `run` does. Raises InputError `unknown_reason`, StateError `lease_held`, and as `existing` and `declared_log` do.
    """
    for reason in reasons:
        if reason not in REASONS:
            raise InputError("unknown_reason", f'no record is quarantined for "{reason}"{nearest(reason, REASONS)}')
    root = existing(settings.lake.path)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(leases.hold_by_process(root, [LEASE], "redrive"))
        log = stack.enter_context(closing(log_at(log_path(root)) if dry_run else declared_log(settings)))
        lake = Lake(root)
        quarantined = _quarantined(lake, log, reasons or REDRIVEN)
        definitions = _definitions(lake, log, declared(settings))
        found: dict[str, Counter[str]] = defaultdict(Counter)
        accepted: list[int] = []
        done = 0
        for records in _records(log, sorted(quarantined)):
            for offset, fate in _judged(records, lake, log, definitions):
                found[quarantined[offset]][fate] += 1
                if fate == ACCEPTED:
                    accepted.append(offset)
            done += records.num_rows
            progress(done, len(quarantined))
        if accepted and not dry_run:
            _send(log, accepted)
    return [Redriven(name, *(found[name][fate] for fate in (ACCEPTED, STANDING, REFUSED))) for name in sorted(found)]


def _quarantined(lake: Lake, log: Log, reasons: Sequence[str]) -> dict[int, str]:
    """Position and reason of what was not redriven before, not even by what has not landed yet.

    No control is among them: a frontier that was refused would come to hold behind the back of whoever asserts them now.
    """
    if not lake.exists(QUARANTINE):
        return {}
    kind = ds.field("kind")
    where = ds.field("reason").isin(list(reasons)) & (kind.is_null() | (kind != "control"))
    rows = lake.read(QUARANTINE, ["offset", "reason"], where)
    gone = redriven(lake) | _on_the_way(log, settle.last(lake)["end_offset"])
    found = zip(rows["offset"].to_pylist(), rows["reason"].to_pylist(), strict=True)
    return {offset: reason for offset, reason in found if offset not in gone}


def _on_the_way(log: Log, start: int) -> dict[int, int]:
    """What has been redriven by control events at this offset or above."""
    found: dict[int, int] = {}
    for append in log.read(start, log.end()):
        records = bronze(append, start, append.end)
        named = records.filter(pc.match_substring(records["payload"], '"redrive"'))
        said = parse(named, definitions=())
        rows = said.filter(said["control"].is_valid()).select(["control", "offset"]).to_pylist()
        controls = [{**row["control"], "offset": row["offset"]} for row in rows]
        found |= copies(row for row in controls if row["action"] == "redrive")
    return found


def _records(log: Log, offsets: Sequence[int]) -> Iterator[pa.Table]:
    """The records at these positions as rows of bronze.events, so many at a time as fit into one append."""
    held: list[pa.Table] = []
    first = at = size = 0
    while at < len(offsets):
        coming: Iterator[Append | Part] = log.read(offsets[at], offsets[-1] + 1)
        append = next(coming)
        until = min(bisect_left(offsets, append.end), first + SLICE)
        held.append(bronze(append, append.start, append.end).take([o - append.start for o in offsets[at:until]]))
        at, size = until, size + held[-1].nbytes
        if at == first + SLICE or size >= SLICE_BYTES or at == len(offsets):
            yield pa.concat_tables(held)
            held, first, size = [], at, 0


def _definitions(lake: Lake, log: Log, wanted: Sequence[Definition | RowRules]) -> list[Declaration]:
    """What has landed, who was erased among it, and what the model files declare beyond it, as the last word of the log."""
    book, end = DefinitionBook(lake), log.end()
    known = book.definitions()
    hashes = {definition.hash for definition in known}
    beyond = (replace(one, offset=end) for one in wanted if isinstance(one, RowRules) or one.hash not in hashes)
    return [*known, *book.erasures(), *book.rules(), *beyond]


def _judged(
    records: pa.Table, lake: Lake, log: Log, definitions: Sequence[Declaration]
) -> Iterator[tuple[int, str]]:
    """The position of each record, and what would become of it if it came now."""
    parsed = parse(_as_if_now(records, log), definitions=definitions)
    standing = {
        (kind, name)
        for kind, table in (("inference", INFERENCES), ("feedback", FEEDBACK))
        for name in lake.lookup(table, parsed["event_id"])[str(table.indexed)].to_pylist()
    }
    said = zip(*(parsed[name].to_pylist() for name in ("kind", "event_id", "reason")), strict=True)
    fates = (
        REFUSED if reason or kind == "control" else STANDING if (kind, name) in standing else ACCEPTED
        for kind, name, reason in said
    )
    return zip(records["offset"].to_pylist(), fates, strict=True)


def _as_if_now(records: pa.Table, log: Log) -> pa.Table:
    """The records as they would stand at the end of the log: of a history they keep their claim, else they are received now."""
    now = datetime.now(UTC)
    floor, live = log.clock()
    received = [now] * len(records) if live else records["received_at"].to_pylist()
    stamps = {
        "offset": pa.array(range(log.end() + 1, log.end() + 1 + len(records)), pa.int64()),
        "received_at": pa.array([max(at, floor) for at in received], TIMESTAMP),
        "appended_at": pa.array([now] * len(records), TIMESTAMP),
    }
    for name, column in stamps.items():
        records = records.set_column(records.column_names.index(name), name, column)
    return records


def _send(log: Log, offsets: Sequence[int]) -> None:
    """Append copies of these records, each append behind the control event that names them.

    What comes to a history that has a frontier is received there at the earliest, where no question looks yet: so the last append
    moves the frontier on, to the next whole minute.
    """
    floor, live = log.clock()
    for records in _records(log, offsets):
        repeated = records["offset"].to_pylist()
        payloads = [_control(action="redrive", offsets=repeated), *records["payload"].to_pylist()]
        if live:
            log.append(payloads)
            continue
        received = records["received_at"].to_pylist()
        claims = [min(received), *received]
        if floor > _EPOCH and repeated[-1] == offsets[-1]:
            end = floor - (floor - _EPOCH) % _MINUTE + _MINUTE
            payloads.append(_control(action="frontier", at=rfc3339(end)))
            claims.append(end)
        log.append(payloads, claims)


def _control(**said: object) -> bytes:
    return msgspec.json.encode({"kind": "control", **said})
