"""The verifier against a lake on disk: a right one passes, and each way to be wrong is found and explained."""

from __future__ import annotations

import ast
import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.definition import Definition, Policy
from pipelines.errors import InputError, StateError
from pipelines.gold.tables import EXAMPLES, FRONTIERS, OUTCOME_LEDGER, STATISTICS
from pipelines.silver.tables import CONTROLS, DUPLICATES, FEEDBACK, INFERENCES, LABELLED, ORPHANS, QUARANTINE
from pipelines.verify import Report, verify
from pipelines.verify.events import Feedback, Inference
from pipelines.verify.oracle import expected
from pipelines.verify.report import micros, moment
from pipelines.verify.verdicts import Verdicts
from tests import trace

BODIES = [definition.body() for definition in trace.definitions()]
AS_OF = [trace.instant(f"2026-03-01T{clock}:00Z") for clock in ("10:50", "11:10", "16:00")]

Rows = dict[Table, list[dict[str, Any]]]
Record = tuple[bytes, datetime]


def write_log(lake: Path, records: list[Record], at_once: int = 4) -> None:
    """The embedded log by its format alone."""
    path = lake / "_log" / "log.sqlite"
    path.parent.mkdir(parents=True)
    schema = pa.schema([("payload", pa.binary()), ("received_at", pa.timestamp("us", "UTC"))])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TABLE appends (last_offset INTEGER PRIMARY KEY, count INTEGER NOT NULL, clock TEXT NOT NULL, "
            "appended_at INTEGER NOT NULL, block BLOB NOT NULL, checksum INTEGER NOT NULL)"
        )
        for start in range(0, len(records), at_once):
            part = records[start : start + at_once]
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, schema) as writer:
                writer.write_batch(pa.record_batch([list(column) for column in zip(*part, strict=True)], schema=schema))
            row = (start + len(part) - 1, len(part), "claimed", micros(part[-1][1]), sink.getvalue().to_pybytes())
            checksum = zlib.crc32(row[-1], zlib.crc32(",".join(map(str, row[:-1])).encode() + b","))
            db.execute("INSERT INTO appends VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum))


def place(table: Table, offset: int, **more: Any) -> dict[str, Any]:
    return table.row(tenant="default", source="embedded", partition=0, offset=offset, **more)


def right(records: list[Record], bodies: list[dict[str, Any]]) -> Rows:
    """The rows of a lake that holds what it should."""
    found = expected(records, bodies)
    heard, tables = found.verdicts, (EVENTS, INFERENCES, FEEDBACK, CONTROLS, QUARANTINE, DUPLICATES, LABELLED, ORPHANS)
    rows: Rows = {table: [] for table in tables}
    homes = {"inference": INFERENCES, "feedback": FEEDBACK, "control": CONTROLS}
    for offset, ((payload, at), home) in enumerate(zip(records, heard.homes, strict=True)):
        rows[EVENTS].append(place(EVENTS, offset, payload=payload, received_at=at, clock="claimed"))
        if home in homes:
            rows[homes[home]].append(place(homes[home], **content(heard, home, offset)))
        elif home == "duplicate":
            rows[DUPLICATES].append(place(DUPLICATES, offset, first_offset=heard.firsts[offset]))
        else:
            rows[QUARANTINE].append(place(QUARANTINE, offset, reason=heard.reasons[offset]))
    for said in heard.feedback.values():
        about = heard.inferences.get(said.request_id)
        named = {"tenant": "default", "feedback_id": said.feedback_id, "label": said.label, "offset": said.offset}
        known_at = moment(max(said.received_at, about.received_at if about else 0))
        due = moment(said.received_at) + timedelta(hours=1)
        signed = [(1, due)] if about is None else [(1, due), (-1, known_at)] if known_at > due else []
        rows[ORPHANS] += [ORPHANS.row(**named, sign=s, known_at=at, request_id=said.request_id) for s, at in signed]
        if about is None:
            continue
        value: dict[str, Any] = {"number": said.value} if isinstance(said.value, float) else {"text": said.value}
        value |= {"unit": "item" if said.item else "request", "unit_id": said.request_id, "item": said.item}
        value |= {"action": said.action, "rater": said.rater, "role": said.role, "target_feedback_id": said.target}
        times = {"given_at": moment(said.given_at), "known_at": known_at}
        rows[LABELLED].append(LABELLED.row(**named, **value, **times, context={"offset": about.offset}))
    rows[OUTCOME_LEDGER] = [
        OUTCOME_LEDGER.row(
            **{**row, "known_at": moment(row["known_at"]), "matures_at": moment(row["matures_at"])}, tenant="default"
        )
        for row in ({("sign" if name == "net" else name): value for name, value in row.items()} for row in found.ledger)
    ]
    rows[STATISTICS] = [cell(row) for row in found.statistics]
    rows[EXAMPLES] = [example(row, heard.inferences[row["unit_id"]]) for row in found.examples]
    asserted = heard.asserted(len(records))
    at = None if asserted is None else moment(asserted)
    rows[FRONTIERS] = [FRONTIERS.row(frontier=at, end_offset=len(records), open_from=len(records))]
    return rows


def content(heard: Verdicts, home: str, offset: int) -> dict[str, Any]:
    """What a row of silver holds of an event; nothing of a control."""
    events: list[Inference | Feedback] = [*heard.inferences.values(), *heard.feedback.values()]
    said = next((one._asdict() for one in events if (one.offset, home) == (offset, type(one).__name__.lower())), None)
    if said is None:
        return {"offset": offset}
    said |= {name: moment(said[name]) for name in ("served_at", "given_at", "received_at") if name in said}
    if home == "feedback":
        text = isinstance(said["value"], str)
        said |= {"target_feedback_id": said.pop("target"), "item": said["item"] or None}
        return said | {"value": None if text else said["value"], "value_text": said["value"] if text else None}
    del said["distributed"]
    items = said["items"] and [{"item": item, "score": score} for item, score in said["items"]]
    measures = [(name, Decimal(str(one))) for name, one in said["measures"]]
    return said | {"segments": list(said["segments"]), "measures": measures, "items": items}


def cell(row: dict[str, Any]) -> dict[str, Any]:
    key = {name: value for name, value in row.items() if name != "cell_day"}
    key |= {"cell_at": moment(row["cell_at"]), "known_at": moment(row["known_at"])}
    return STATISTICS.row(**key, cell_date=moment(row["cell_at"]).date())


def example(row: dict[str, Any], about: Inference) -> dict[str, Any]:
    """A row of gold.examples, of an inference without features."""
    known = {name: moment(row[name]) for name in ("known_at", "matures_at")} | {"served_at": moment(about.served_at)}
    said = {"model": about.model, "version": about.version, "offset": about.offset, "weight": 1.0, "prediction": about.prediction}
    key = {name: value for name, value in row.items() if name != "net"} | {"sign": row["net"], "tenant": "default"}
    return EXAMPLES.row(**{**key, **known, **said}, segments=list(about.segments), served_date=moment(about.served_at).date())


def write_lake(lake: Path, rows: Rows) -> None:
    for table, held in rows.items():
        path = lake / table.folder
        for half in (held[::2], held[1::2]):
            if half:
                write_deltalake(str(path), table.frame(half), partition_by=list(table.partition_by), mode="append")


Change = Callable[[Rows], None]


def verified(lake: Path, change: Change | None = None, **how: Any) -> Report:
    """The golden trace, in a lake with this change."""
    records = trace.records()
    write_log(lake, records)
    rows = right(records, BODIES)
    if change:
        change(rows)
    write_lake(lake, rows)
    return verify(lake, definitions=BODIES, **{"as_of": AS_OF, **how})


def lose(table: Table, index: int = 0) -> Change:
    def change(rows: Rows) -> None:
        del rows[table][index]

    return change


def double(table: Table) -> Change:
    return lambda rows: rows[table].append(dict(rows[table][0]))


def alter(table: Table, **changed: Any) -> Change:
    return lambda rows: rows[table][0].update(changed)


def test_the_recomputation_gives_the_golden_rows() -> None:
    found = expected(trace.records(), BODIES)
    times = [{**row, "known_at": moment(row["known_at"])} for row in found.ledger]
    assert trace.found_ledger([{**row, "sign": row["net"]} for row in times]) == trace.expected_ledger()
    assert trace.found_statistics([cell(row) for row in found.statistics]) == trace.expected_statistics()
    taught = [{**row, "known_at": moment(row["known_at"]), "sign": row["net"]} for row in found.examples]
    assert trace.found_examples(taught) == trace.expected_examples()


@pytest.mark.parametrize(("clock", "answered", "correct"), [("10:50", 2, 1), ("11:10", 2, 2), ("16:00", 2, 2)])
def test_a_pass_over_what_was_known_gives_the_golden_view(clock: str, answered: int, correct: int) -> None:
    found = expected(trace.records(), BODIES, trace.instant(f"2026-03-01T{clock}:00Z"))
    assert found.net(label="late", basis="answered", statistic="n") == answered
    assert sum(found.net(label="late", basis="answered", statistic=name) for name in ("tp", "tn")) == correct


def test_the_golden_lake_is_right(tmp_path: Path) -> None:
    report = verified(tmp_path)
    assert report.examples == ()
    assert report.ok
    assert report.accounting == {
        "records": 15, "inferences": 3, "feedback": 8, "controls": 1, "quarantined": 2, "duplicates": 1,
        "labelled": 7, "waiting": 0, "orphaned": 1,
    }  # fmt: skip
    assert report.frontier == trace.instant("2026-03-01T16:00:00Z")
    assert (report.as_of, report.pending) == (tuple(AS_OF), 0)
    assert report.cells_compared > 100
    assert report.outcomes_compared == 7 + 3 + 2 + 3 + 3
    assert report.examples_compared == 7 + 2 + 2 + 5
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_by_default_three_moments_before_the_frontier_are_compared(tmp_path: Path) -> None:
    report = verified(tmp_path, as_of=None)
    assert report.ok
    assert len(report.as_of) == 3
    assert all(at.second == 0 and at <= trace.instant("2026-03-01T16:00:00Z") for at in report.as_of)


def test_a_pair_found_twice_is_one_pair(tmp_path: Path) -> None:
    assert verified(tmp_path, double(LABELLED)).ok


def test_feedback_may_wait_until_it_is_settled(tmp_path: Path) -> None:
    def wait(rows: Rows) -> None:
        rows[ORPHANS].clear()
        rows[FRONTIERS][0].update(frontier=None, end_offset=14, open_from=13)

    report = verified(tmp_path, wait)
    assert report.ok
    assert (report.accounting["waiting"], report.accounting["orphaned"]) == (1, 0)


def test_what_gold_has_not_gone_through_is_pending(tmp_path: Path) -> None:
    report = verified(tmp_path, alter(FRONTIERS, frontier=None, end_offset=13, open_from=13))
    assert report.ok
    assert report.pending == 2


def test_only_records_before_the_end_count(tmp_path: Path) -> None:
    records = trace.records()
    write_log(tmp_path, records)
    write_lake(tmp_path, right(records[:10], BODIES))
    assert verify(tmp_path, definitions=BODIES).ok
    assert verify(tmp_path, definitions=BODIES).accounting["records"] == 10
    assert verify(tmp_path, definitions=BODIES, end_offset=10).pending == 5
    assert not verify(tmp_path, definitions=BODIES, end_offset=12).ok


def test_a_lake_without_tables_lacks_everything(tmp_path: Path) -> None:
    write_log(tmp_path, trace.records())
    report = verify(tmp_path, definitions=BODIES, end_offset=15, as_of=AS_OF)
    assert not report.ok
    assert len(report.examples) == 20
    assert report.frontier is None


def test_a_statement_must_be_a_whole_minute(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        verify(tmp_path, as_of=[datetime(2026, 3, 1, 10, 0, 1, tzinfo=UTC)])
    assert error.value.code == "as_of_invalid"


def test_without_a_log_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(StateError) as error:
        verify(tmp_path)
    assert error.value.code == "log_not_found"


def test_a_log_with_a_gap_is_unreadable(tmp_path: Path) -> None:
    write_log(tmp_path, trace.records())
    with closing(sqlite3.connect(tmp_path / "_log" / "log.sqlite")) as db, db:
        db.execute("DELETE FROM appends WHERE last_offset = 7")
    with pytest.raises(StateError) as error:
        verify(tmp_path, end_offset=15)
    assert error.value.code == "log_unreadable"


@pytest.mark.parametrize(
    "damage", ["block = zeroblob(length(block))", "clock = 'log'", "appended_at = appended_at + 1"]
)
def test_an_append_that_is_not_what_was_written_is_unreadable(tmp_path: Path, damage: str) -> None:
    write_log(tmp_path, trace.records())
    with closing(sqlite3.connect(tmp_path / "_log" / "log.sqlite")) as db, db:
        db.execute(f"UPDATE appends SET {damage} WHERE last_offset = 7")
    with pytest.raises(StateError) as error:
        verify(tmp_path, end_offset=15)
    assert error.value.code == "log_unreadable"


def test_progress_is_told_to_its_end(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    verified(tmp_path, progress=lambda name, share: told.append((name, share)))
    assert {name for name, share in told if share == 1.0} == {name for name, _ in told}


def test_items_and_segments_go_through_the_whole_comparison(tmp_path: Path) -> None:
    records, bodies = shop()
    write_log(tmp_path, records)
    write_lake(tmp_path, right(records, bodies))
    report = verify(tmp_path, definitions=bodies)
    assert report.examples == ()
    found = expected(records, bodies)
    clicks = {"label": "click", "cut": "page", "segment": '["home"]', "grain": "1 day"}
    assert found.net(**clicks, basis="answered", statistic="tp") == 1
    assert found.net(**clicks, basis="silent", statistic="tn") == 1
    assert found.net(**clicks, basis="silent", statistic="n") == 1
    assert found.net(label="", statistic="items", cut="all", grain="1 minute") == 2


def shop() -> tuple[list[Record], list[dict[str, Any]]]:
    """A slate of two items, one clicked, and a click on an item that was not shown."""
    shape: dict[str, Any] = {"cuts": ((), ("page",)), "grains": ("1 minute", "1 day")}
    shape["segments"] = (("page", ("home",)),)
    policy = Policy("binary", "item", "any", 3600, "negative")
    click = Definition("s", "click", policy=policy, judges="prediction", positive=1, threshold=0.5, **shape)
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    items = [{"item": "a", "score": 0.7}, {"item": "b", "score": 0.2}]
    events: list[dict[str, Any]] = [
        {"kind": "inference", "request_id": "r", "model": "s", "version": "1", "served_at": at.isoformat()}
        | {"status": "ok", "items": items, "segments": {"page": "home"}}
    ]
    for name, item in (("f", "a"), ("g", "z")):
        said = {"kind": "feedback", "feedback_id": name, "request_id": "r", "label": "click", "value": 1, "item": item}
        events.append({**said, "action": "assert", "given_at": at.isoformat()})
    times = [at + timedelta(minutes=minute) for minute in (0, 1, 2)]
    records = [(json.dumps(event).encode(), time) for event, time in zip(events, times, strict=True)]
    end = {"kind": "control", "action": "frontier", "at": (at + timedelta(hours=3)).isoformat()}
    records.append((json.dumps(end).encode(), at + timedelta(hours=3)))
    return records, [Definition("s", "", **shape).body(), click.body()]


def test_micros_and_moments_are_inverse() -> None:
    at = datetime(2026, 3, 1, 10, 0, 0, 1, tzinfo=UTC)
    assert moment(micros(at)) == at


def test_the_verifier_stands_on_nothing_that_it_verifies() -> None:
    folder = Path(__file__).parent.parent / "pipelines" / "verify"
    imported: set[str] = set()
    for module in folder.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or ".")
            elif isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
    own = {name for name in imported if name.split(".")[0] == "pipelines" and not name.startswith("pipelines.verify")}
    assert own == {"pipelines.errors"}
    assert not {name.split(".")[0] for name in imported} & {"pyspark", "msgspec", "delta"}
