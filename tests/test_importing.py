"""Files become log records: every one of them, once where it can be told, and in blocks that survive a crash."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from pipelines import reading
from pipelines.cli import main
from pipelines.errors import ConfigError, InputError
from pipelines.importing import ImportReport, Progress, import_files
from pipelines.log.embedded import EmbeddedLog
from pipelines.silver.wire import Refused, decode

GOLDEN = Path(__file__).parent / "golden" / "log.ndjson"
T0 = datetime(2026, 3, 1, 10, tzinfo=UTC)
MAPPING = """
[source]
time_zone = "America/New_York"
null = ["NA"]
[inference]
request_id = "id"
model = {value = "m"}
version = {value = "1"}
status = {value = "ok"}
served_at = "at"
prediction = "pred"
score = "score"
[inference.segments]
plan = "plan"
[inference.features]
age = "age"
[feedback]
label = {value = "churned"}
action = {value = "assert"}
value = {column = "churned", as = "text"}
given_at = {column = "told", as = "seconds"}
"""
FEEDBACK_ONLY = """
[source]
time_zone = "UTC"
[feedback]
request_id = "request_id"
label = {value = "l"}
action = {value = "assert"}
given_at = {value = "2026-03-01T10:00:00Z"}
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log.sqlite")
    yield log
    log.close()


class CrashError(Exception):
    pass


class Crashing:
    """A log that takes so many appends and dies after the next one is durable."""

    def __init__(self, log: EmbeddedLog, appends: int) -> None:
        self.log, self.left = log, appends

    def append(self, payloads: Sequence[bytes], received_at: Sequence[datetime] | None = None) -> int:
        last = self.log.append(payloads, received_at)
        self.left -= 1
        if self.left < 0:
            raise CrashError
        return last

    def assert_frontier(self, at: datetime) -> int:
        return self.log.assert_frontier(at)

    def clock(self) -> tuple[datetime, bool]:
        return self.log.clock()


def records(log: EmbeddedLog) -> list[tuple[bytes, datetime]]:
    return [
        (record["payload"], record["received_at"])
        for append in log.read(0, log.end())
        for record in append.records().to_pylist()
    ]


def payloads(log: EmbeddedLog) -> list[bytes]:
    return [payload for payload, _ in records(log)]


def events(log: EmbeddedLog) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in payloads(log)]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def load(log: EmbeddedLog, tmp_path: Path) -> Callable[..., ImportReport]:
    def run(*files: Path, **options: Any) -> ImportReport:
        return import_files(files, log, **{"state_dir": tmp_path / "imports", **options})

    return run


# NDJSON


def test_lines_are_appended_byte_for_byte_broken_ones_too(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "e.ndjson", b'{"kind": "inference"}\n{"half\n\n\xff\xfe\r\n  \n[1]')
    report = load(file)
    assert payloads(log) == [b'{"kind": "inference"}', b'{"half', b"\xff\xfe\r", b"[1]"]
    assert (report.records, report.files[0].blank_lines) == (4, 2)


def test_standard_input_is_read_to_its_end(log: EmbeddedLog, tmp_path: Path) -> None:
    report = import_files(["-"], log, state_dir=tmp_path / "imports", stdin=io.BytesIO(b"1\n2\n"))
    assert payloads(log) == [b"1", b"2"]
    assert (report.files[0].file, report.records) == ("-", 2)
    assert not (tmp_path / "imports").exists()


def test_an_overlong_line_is_cut_and_the_next_one_is_whole(
    log: EmbeddedLog, load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST", 10)
    load(write(tmp_path / "e.ndjson", b"x" * 35 + b"\nshort\n" + b"y" * 10 + b"\n" + b"z" * 9 + b"\nend"))
    assert payloads(log) == [b"x" * 10, b"short", b"y" * 10, b"z" * 9, b"end"]


def test_blocks_are_bounded_in_records_and_in_bytes(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    load(write(tmp_path / "e.ndjson", b"1\n" * 12_000))
    assert [append.end - append.start for append in log.read(0, log.end())] == [5000, 5000, 2000]
    end = log.end()
    load(write(tmp_path / "big.ndjson", (b"x" * (5 << 20) + b"\n") * 4))
    assert [append.end - append.start for append in log.read(end, log.end())] == [2, 2]


def test_progress_is_told_after_every_block(load: Any, tmp_path: Path) -> None:
    told: list[Progress] = []
    file = write(tmp_path / "e.ndjson", b"1\n" * 12_000)
    load(file, progress=told.append)
    assert [(p.records, p.done, p.total) for p in told] == [(n, 2 * n, 24_000) for n in (5_000, 10_000, 12_000)]


# What is told of it


def test_records_are_counted_by_kind_and_what_is_no_event_is_counted_too(load: Any, tmp_path: Path) -> None:
    lines = [
        '{"kind":"inference"}',
        '{"kind":"feedback"}',
        '{"uid":1}',
        '{"kind":"wish"}',
        '{"kind":7}',
        "[1]",
        "{half",
    ]
    told = load(write(tmp_path / "e.ndjson", "\n".join(lines))).files[0]
    assert (told.records, told.inferences, told.feedback, told.not_events) == (7, 1, 1, 5)


def test_rows_of_a_mapping_are_counted_as_what_they_became(load: Any, tmp_path: Path) -> None:
    row = ",2026-03-01T10:00:00Z,1,0.5,pro,1,"
    text = f"id,at,pred,score,plan,age,churned,told\na{row}yes,1772359200\nb{row},\n"
    file, mapping = csv_file(tmp_path, text)
    told = load(file, mapping=mapping).files[0]
    assert (told.records, told.inferences, told.feedback, told.not_events) == (3, 2, 1, 0)


def test_rows_whose_only_matter_is_a_label_that_is_not_there_are_counted(load: Any, tmp_path: Path) -> None:
    mapping = write(tmp_path / "m.import.toml", FEEDBACK_ONLY + 'value = "value"\n')
    told = load(write(tmp_path / "e.csv", "request_id,value\na,1\nb,\n"), mapping=mapping).files[0]
    assert (told.records, told.feedback, told.unlabelled) == (1, 1, 1)


def test_a_row_that_withdraws_is_an_event_though_it_holds_no_value(load: Any, log: EmbeddedLog, tmp_path: Path) -> None:
    text = FEEDBACK_ONLY.replace('action = {value = "assert"}', 'action = "action"\nrater = "by"')
    mapping = write(tmp_path / "m.import.toml", text + 'value = "value"\n')
    rows = "request_id,value,action,by\na,1,assert,x\na,,withdraw,x\nb,,assert,x\nb,,,x\n"
    told = load(write(tmp_path / "e.csv", rows), mapping=mapping).files[0]
    assert (told.records, told.feedback, told.unlabelled) == (2, 2, 2)
    found = events(log)
    assert [(event["action"], event.get("value")) for event in found] == [("assert", 1), ("withdraw", None)]


def command(tmp_path: Path, *arguments: str) -> int:
    (tmp_path / "conf" / "models").mkdir(parents=True)
    (tmp_path / "conf" / "settings.toml").touch()
    return main(["import", *arguments, "--conf", str(tmp_path / "conf"), "--lake", str(tmp_path / "lake")])


def test_what_is_refused_leaves_no_lake_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, mapping = csv_file(tmp_path, "id,at\n")
    assert command(tmp_path, str(file)) == 2
    assert "mapping_missing" in capsys.readouterr().err
    assert main(["import", str(file), "--mapping", str(mapping), "--conf", f"{tmp_path}/conf", "--lake", f"{tmp_path}/lake"]) == 2
    assert "column_missing" in capsys.readouterr().err
    assert not (tmp_path / "lake").exists()


def test_the_command_warns_of_what_is_no_event_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "n.ndjson", '{"uid":1,"served_at":"2026-03-01T10:00:00Z"}\n')
    assert command(tmp_path, str(file), "--claimed", "--frontier") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 1 records are no events" in said
    assert "hindsight model init NAME --from FILE" in said
    assert "frontier: 2026-03-01 10:01 UTC" in said
    assert "next: hindsight run --once" in said
    assert "not events" in said


def test_the_counts_are_in_the_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, str(write(tmp_path / "n.ndjson", '{"uid":1}\n')), "--json") == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert (file["records"], file["not_events"], file["already_there"]) == (1, 1, 0)


# Resuming


def test_a_finished_file_is_not_imported_again(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "e.ndjson", "1\n2\n")
    load(file)
    report = load(file)
    assert (report.records, report.files[0].already_there, log.end()) == (0, 2, 2)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff", b'{"position": 3}', b'{"file":"e","position":"x","records":1}'])
def test_of_a_file_whose_memory_is_damaged_all_is_sent_again(log: EmbeddedLog, load: Any, tmp_path: Path, content: bytes) -> None:
    file = write(tmp_path / "e.ndjson", "1\n2\n")
    load(file)
    (memory,) = (tmp_path / "imports").glob("*.json")
    memory.write_bytes(content)
    assert load(file).records == 2
    assert load(file).records == 0
    assert payloads(log) == [b"1", b"2"] * 2


def test_a_changed_file_is_imported_as_a_whole(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "e.ndjson", "1\n2\n")
    load(file)
    write(file, "1\n2\n3\n")
    assert load(file).records == 3
    assert payloads(log) == [b"1", b"2", b"1", b"2", b"3"]


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_after_a_crash_at_most_the_last_block_is_sent_again(
    log: EmbeddedLog, load: Any, tmp_path: Path, form: str
) -> None:
    ids = [f"r{i}" for i in range(12_000)]
    file, mapping = tmp_path / f"e.{form}", None
    if form == "ndjson":
        write(file, "".join(f'{{"request_id":"{i}"}}\n' for i in ids))
    elif form == "csv":
        write(file, "request_id\n" + "\n".join(ids))
        mapping = write(tmp_path / "m.toml", FEEDBACK_ONLY)
    else:
        parquet.write_table(pa.table({"request_id": ids}), file, row_group_size=7_000)
    with pytest.raises(CrashError):
        import_files([file], Crashing(log, 1), state_dir=tmp_path / "imports", mapping=mapping)
    seen = [event["request_id"] for event in events(log)]
    load(file, mapping=mapping)
    again = [event["request_id"] for event in events(log)][len(seen) :]
    first_block = seen.index(again[0])
    assert seen + again == ids[: len(seen)] + ids[first_block:]
    assert 0 < len(seen) - first_block <= 5_000


# The claimed clock


def test_the_golden_log_arrives_with_its_receipts(log: EmbeddedLog, load: Any) -> None:
    load(GOLDEN, claimed=True)
    wrapped = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]
    assert records(log) == [(w["payload"].encode(), datetime.fromisoformat(w["received_at"])) for w in wrapped]
    assert {append.clock for append in log.read(0, log.end())} == {"claimed"}


def test_a_receipt_beside_the_fields_of_an_event_is_taken_out(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    line = '{"kind": "inference", "received_at": "2026-03-01T10:00:00Z", "score": 1.50, "n": {"a": 1}}'
    load(write(tmp_path / "e.ndjson", line), claimed=True)
    assert records(log) == [(b'{"kind":"inference","score":1.50,"n":{"a": 1}}', T0)]


def test_a_receipt_is_not_taken_out_of_an_event_that_says_a_thing_twice(
    log: EmbeddedLog, load: Any, tmp_path: Path
) -> None:
    line = b'{"kind": "inference", "received_at": "2026-03-01T10:00:00Z", "a": 1, "a": 2}'
    load(write(tmp_path / "e.ndjson", line), claimed=True)
    assert records(log) == [(line, T0)]


def test_an_event_without_receipt_came_at_its_own_time_and_a_broken_one_with_its_predecessor(
    log: EmbeddedLog, load: Any, tmp_path: Path
) -> None:
    lines = [
        '{"kind":"inference","served_at":"2026-03-01T12:00:00+02:00"}',
        "{broken",
        '{"received_at":"soon","payload":"x"}',
        '{"kind":"feedback","given_at":"2026-03-01T10:00:05Z"}',
    ]
    load(write(tmp_path / "e.ndjson", "\n".join(lines)), claimed=True)
    assert [at for _, at in records(log)] == [T0, T0, T0, T0 + timedelta(seconds=5)]
    assert payloads(log)[2] == b"x"


def test_a_closing_frontier_is_the_whole_minute_after_the_last_receipt(
    log: EmbeddedLog, load: Any, tmp_path: Path
) -> None:
    lines = ['{"served_at":"2026-03-01T10:00:00Z"}', '{"served_at":"2026-03-01T09:00:00Z"}']
    report = load(write(tmp_path / "e.ndjson", "\n".join(lines)), claimed=True, frontier=True)
    assert report.frontier == T0 + timedelta(minutes=1)
    assert events(log)[-1] == {"kind": "control", "action": "frontier", "at": "2026-03-01T10:01:00Z"}


def test_a_receipt_beyond_all_reason_does_not_end_time(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    lines = ['{"served_at":"2026-03-01T10:00:00Z"}', '{"served_at":"9999-12-31T23:59:59Z"}']
    report = load(write(tmp_path / "e.ndjson", "\n".join(lines)), claimed=True, frontier=True)
    assert report.frontier == T0 + timedelta(minutes=1)
    assert [at for _, at in records(log)][:2] == [T0, T0]


def test_a_closing_frontier_is_not_before_what_an_earlier_import_brought(load: Any, tmp_path: Path) -> None:
    load(write(tmp_path / "predictions.ndjson", '{"served_at":"2026-03-01T10:00:00Z"}'), claimed=True)
    labels = write(tmp_path / "labels.ndjson", '{"given_at":"2026-03-01T09:00:00Z"}')
    assert load(labels, claimed=True, frontier=True).frontier == T0 + timedelta(minutes=1)


def test_what_comes_after_a_closing_frontier_is_counted(load: Any, tmp_path: Path) -> None:
    load(write(tmp_path / "predictions.ndjson", '{"served_at":"2026-03-01T10:00:00Z"}'), claimed=True)
    lines = ['{"given_at":"2026-03-01T09:00:00Z"}', '{"given_at":"2026-03-01T11:00:00Z"}']
    early = load(write(tmp_path / "labels.ndjson", "\n".join(lines)), claimed=True, frontier=True)
    late = load(write(tmp_path / "more.ndjson", "\n".join([*lines, '{"given_at":"2026-03-01T12:00:00Z"}'])), claimed=True)
    assert [report.files[0].belated for report in (early, late)] == [0, 2]


def test_an_import_that_lost_its_memory_is_done_again(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "e.ndjson", '{"served_at":"2026-03-01T10:00:00Z"}')
    load(file, claimed=True)
    for memory in (tmp_path / "imports").iterdir():
        memory.write_text("")
    load(file, claimed=True)
    assert len(records(log)) == 2


def test_a_crash_before_the_frontier_is_made_good_by_the_next_run(load: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "e.ndjson", '{"served_at":"2026-03-01T10:00:00Z"}')
    load(file, claimed=True)
    assert load(file, claimed=True, frontier=True).frontier == T0 + timedelta(minutes=1)


# Rows


def csv_file(folder: Path, text: str | bytes) -> tuple[Path, Path]:
    return write(folder / "e.csv", text), write(folder / "m.import.toml", MAPPING)


def test_a_row_becomes_an_inference_and_its_judgement(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    text = "id,at,pred,score,plan,age,churned,told\n007,2026-03-01 05:00:00,1,0.7,pro,41,no,1772359200\n"
    file, mapping = csv_file(tmp_path, text)
    load(file, mapping=mapping)
    inference, feedback = events(log)
    assert inference == {
        "kind": "inference", "request_id": "007", "model": "m", "version": "1", "served_at": "2026-03-01T10:00:00Z",
        "status": "ok", "prediction": 1, "score": 0.7, "segments": {"plan": "pro"}, "features": {"age": 41},
    }  # fmt: skip
    assert feedback.pop("feedback_id").startswith("row-")
    assert feedback == {
        "kind": "feedback", "request_id": "007", "label": "churned", "value": "no", "action": "assert",
        "given_at": "2026-03-01T10:00:00Z",
    }  # fmt: skip
    assert not any(isinstance(decode(payload), Refused) for payload in payloads(log))


def test_a_row_whose_label_is_not_known_yet_gives_the_inference_alone(
    log: EmbeddedLog, load: Any, tmp_path: Path
) -> None:
    file, mapping = csv_file(tmp_path, "id,at,pred,score,plan,age,churned,told\na,2026-03-01T10:00:00Z,1,NA,,,NA,\n")
    load(file, mapping=mapping)
    (inference,) = events(log)
    assert "score" not in inference
    assert "segments" not in inference


GERMAN = """
[source]
time_zone = "UTC"
delimiter = ";"
decimal = ","
[inference]
request_id = "Nr"
model = {value = "m"}
version = {value = "1"}
status = {value = "ok"}
served_at = {column = "Zeit", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin"}
prediction = {column = "Wert", at_least = 0.5}
score = "Wert"
[inference.features]
Land = "Land"
"""


def test_a_time_may_have_a_format_and_a_zone_of_its_own_and_a_number_a_comma(
    log: EmbeddedLog, load: Any, tmp_path: Path
) -> None:
    rows = "Nr;Zeit;Wert;Land\n1;05.01.2026 08:00;0,75;DE\n2;2026-01-05;,5;a,b\n3;05.07.2026 08:00;0,4;1,5\n"
    mapping = write(tmp_path / "m.import.toml", GERMAN)
    load(write(tmp_path / "e.csv", rows), mapping=mapping, claimed=True)
    found = [(e["served_at"], e["prediction"], e["score"], e["features"]["Land"]) for e in events(log)]
    assert found == [
        ("2026-01-05T07:00:00Z", 1, 0.75, "DE"),
        ("2026-01-05", 1, 0.5, "a,b"),
        ("2026-07-05T06:00:00Z", 0, 0.4, 1.5),
    ]
    assert records(log)[0][1] == datetime(2026, 1, 5, 7, tzinfo=UTC)


def test_the_same_row_has_the_same_ids_in_every_import(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    row = "a,2026-03-01T10:00:00Z,1,0.5,pro,1,yes,1772359200\n"
    header = "id,at,pred,score,plan,age,churned,told\n"
    file, mapping = csv_file(tmp_path, header + row)
    load(file, mapping=mapping)
    load(write(tmp_path / "again.csv", header + "b" + row[1:] + row), mapping=mapping)
    assert payloads(log)[:2] == payloads(log)[4:]


def test_a_bad_row_is_a_record_that_refine_refuses_and_stops_nothing(
    log: EmbeddedLog, load: Any, tmp_path: Path
) -> None:
    text = (
        b"id,at,pred,score,plan,age,churned,told\n"
        b"a,2026-03-01T10:00:00Z,1,0.5,pro,1,,\n"
        b"too,few\n"
        b"b,yesterday,1,0.5,pro,1,,\n"
        b"c,2026-03-01T10:00:00Z,1,0.5,\xff,1,,\n"
        b"d,2026-03-01T10:00:00Z,1,high,pro,1,,\n"
        b",2026-03-01T10:00:00Z,1,0.5,pro,1,,\n"
        b"e,2026-03-01T10:00:00Z,1,0.5,pro,1,,\n"
    )
    file, mapping = csv_file(tmp_path, text)
    assert load(file, mapping=mapping).records == 7
    found = [decode(payload) for payload in payloads(log)]
    reasons = [one.reason if isinstance(one, Refused) else "" for one in found]
    assert reasons == ["", "not_json", "bad_time", "not_utf8", "wrong_type", "missing_field", ""]


def test_a_mark_of_byte_order_and_quoted_line_feeds_are_no_trouble(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    text = '\ufeffid,at,pred,score,plan,age,churned,told\r\na,2026-03-01T10:00:00Z,1,0.5,"pro\nplus",1,,\r\n'
    file, mapping = csv_file(tmp_path, text)
    load(file, mapping=mapping)
    assert events(log)[0]["segments"] == {"plan": "pro\nplus"}


def test_lines_of_json_go_through_a_mapping_too(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    _, mapping = csv_file(tmp_path, "")
    row = {"id": 7, "at": "2026-03-01T10:00:00Z", "pred": True, "score": 0.5, "plan": "p", "age": 3.0, "churned": None}
    load(write(tmp_path / "e.ndjson", json.dumps(row) + "\n{broken\n[1]\n"), mapping=mapping)
    assert json.loads(payloads(log)[0])["request_id"] == "7"
    assert payloads(log)[1:] == [b"{broken", b"[1]"]


def test_parquet_columns_are_the_fields_of_events(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    table = pa.table(
        {
            "kind": ["inference", "feedback"],
            "request_id": ["a", "a"],
            "served_at": pa.array([T0, None], pa.timestamp("ns", "UTC")),
            "given_at": pa.array([None, T0 + timedelta(hours=1)], pa.timestamp("us", "America/New_York")),
            "score": [0.5, None],
            "value": pa.array([None, Decimal("1.5")], pa.decimal128(5, 2)),
            "segments": pa.array([[("plan", "pro")], None], pa.map_(pa.string(), pa.string())),
            "received_at": pa.array([T0 + timedelta(seconds=1), None], pa.timestamp("us", "UTC")),
        }
    )
    parquet.write_table(table, tmp_path / "e.parquet")
    load(tmp_path / "e.parquet", claimed=True)
    first, second = events(log)
    assert first == {
        "kind": "inference",
        "request_id": "a",
        "served_at": "2026-03-01T10:00:00Z",
        "score": 0.5,
        "segments": {"plan": "pro"},
    }
    assert second["given_at"] == "2026-03-01T11:00:00Z"
    assert [at for _, at in records(log)] == [T0 + timedelta(seconds=1), T0 + timedelta(hours=1)]


def test_a_parquet_file_of_payloads_is_a_log(log: EmbeddedLog, load: Any, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"payload": [b"{half", b"\xff"], "received_at": [T0, T0]}), tmp_path / "e.parquet")
    load(tmp_path / "e.parquet", claimed=True)
    assert records(log) == [(b"{half", T0), (b"\xff", T0)]


# What is refused before anything is appended


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.ndjson", None, "file_missing"),
        ("e.xlsx", "x", "format_unknown"),
        ("e.csv", "a,b\n1,2\n", "mapping_missing"),
        ("e.parquet", "no parquet", "file_unreadable"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_before_the_first_append(
    load: Any, tmp_path: Path, name: str, content: str | None, code: str
) -> None:
    good = write(tmp_path / "good.ndjson", "1\n")
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        load(good, tmp_path / name)
    assert caught.value.code == code
    assert not (tmp_path / "imports").exists()


def test_times_without_a_zone_are_refused_without_a_mapping(load: Any, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"served_at": pa.array([T0.replace(tzinfo=None)])}), tmp_path / "e.parquet")
    with pytest.raises(InputError, match="served_at") as caught:
        load(tmp_path / "e.parquet")
    assert caught.value.code == "time_zone_missing"


def test_a_column_that_is_not_there_is_named_with_the_nearest(load: Any, tmp_path: Path) -> None:
    file, mapping = csv_file(tmp_path, "id,at,pred,scoer,plan,age,churned,told\n")
    with pytest.raises(InputError, match='no column "score" \\(did you mean "scoer"\\?\\)') as caught:
        load(file, mapping=mapping)
    assert caught.value.code == "column_missing"


def test_a_column_that_is_there_twice_is_refused(load: Any, tmp_path: Path) -> None:
    file, mapping = csv_file(tmp_path, "id,id\n1,2\n")
    with pytest.raises(InputError) as caught:
        load(file, mapping=mapping)
    assert caught.value.code == "column_twice"


def test_a_closing_frontier_belongs_to_history(load: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(write(tmp_path / "e.ndjson", "1\n"), frontier=True)
    assert caught.value.code == "frontier_not_claimed"


def test_an_import_of_nothing_is_refused(load: Any) -> None:
    with pytest.raises(InputError) as caught:
        load()
    assert caught.value.code == "no_files"


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        (("time_zone", "timezone"), "unknown_key", 'source.timezone: unknown key (did you mean "time_zone"?)'),
        (('"America/New_York"', '"New York"'), "bad_value", "source.time_zone: expected the name of a time zone"),
        (('served_at = "at"\n', ""), "missing_key", "inference.served_at: missing"),
        (('score = "score"', "score = 3"), "bad_value", "inference.score: expected a column name"),
        (('as = "seconds"', 'as = "fortnights"'), "bad_value", 'given_at.as: expected one of "seconds"'),
        (("score =", "scoer ="), "unknown_key", 'inference.scoer: unknown key (did you mean "score"?)'),
        (('"at"', '{column = "at", format = "%d.%Q"}'), "bad_value", "served_at.format: expected the format of a time"),
        (('"at"', '{column = "at", zone = "Berlin"}'), "bad_value", "served_at.zone: expected the name of a time zone"),
        (('"score"', '{column = "score", format = "%d"}'), "bad_value", "expected no `format` for a number"),
        (('"score"', '{column = "score", at_least = 1}'), "bad_value", "expected no `at_least` for a number"),
        (('null = ["NA"]', 'decimal = ";"'), "bad_value", "source.decimal: expected one of"),
        (('null = ["NA"]', 'delimiter = "ab"'), "bad_value", "source.delimiter: expected one character"),
    ],
)
def test_a_mistake_in_a_mapping_is_explained(
    load: Any, tmp_path: Path, change: tuple[str, str], code: str, part: str
) -> None:
    file, mapping = csv_file(tmp_path, "id\n")
    write(mapping, MAPPING.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load(file, mapping=mapping)
    assert caught.value.code == code
    assert part in caught.value.message
