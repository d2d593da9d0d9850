"""Who was erased is known by a keyed hash: refused from that offset on, by the pipeline and by the verifier; and the log forgets bytes."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.definition import Definition
from pipelines.definitions import DefinitionBook
from pipelines.erasure.erase import finish
from pipelines.erasure.key import key_of, key_path, make_key
from pipelines.erasure.purge import dead, purge
from pipelines.erasure.returned import refuse_returned
from pipelines.erasure.rewrite import SILENCED, silence
from pipelines.errors import InputError, StateError
from pipelines.explain import Sources, event, outcome
from pipelines.health.checks import checks
from pipelines.jobs import TABLES
from pipelines.kept import noted
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.log.erase import erase
from pipelines.paths import erasing, existing, log_path
from pipelines.repair import repair
from pipelines.retrain.ledger import append, first
from pipelines.retrain.tables import RETRAININGS
from pipelines.silver.erased import TOMBSTONE, Erasure, control, fingerprint, hashed, problem
from pipelines.silver.tables import CONTROLS
from pipelines.verify import verify
from pipelines.verify.report import micros
from pipelines.verify.verdicts import Verdicts
from tests import small
from tests.frames import T0, read
from tests.retraining import trigger

KEY = bytes(range(32))
SERVICE = Definition("m", "", ((),), ("1 hour",))
BODY = {"key": fingerprint(KEY), "subjects": [hashed(KEY, "ann")], "requests": [hashed(KEY, "of ann")]}
ERASE = control(KEY, subjects=[hashed(KEY, "ann")], requests=[hashed(KEY, "of ann")])


def inference(request_id: str = "r", **fields: Any) -> bytes:
    event = {"kind": "inference", "request_id": request_id, "model": "m", "version": "1", "status": "ok", "prediction": 1}
    return json.dumps({**event, "served_at": "2026-03-01T11:00:00Z", **fields}).encode()


def reason(payload: bytes, offset: int) -> str | None:
    """Why the pipeline refuses a record, where ann was erased at offset 5."""
    declared = [SERVICE, Erasure(5, frozenset(BODY["subjects"]), frozenset(BODY["requests"]), KEY)]
    found: str | None = read(payload, T0, offset, declared)["reason"]
    return found


def feedback(request_id: str, **fields: Any) -> bytes:
    event = {"kind": "feedback", "feedback_id": "f", "request_id": request_id, "label": "late", "action": "assert", "value": 1}
    return json.dumps({**event, "given_at": "2026-03-01T11:00:00Z", **fields}).encode()


def judged(tmp_path: Path, *payloads: bytes) -> Verdicts:
    """What the verifier says of a log."""
    (tmp_path / "key").write_text(KEY.hex())
    verdicts = Verdicts([SERVICE.body()], key=tmp_path / "key")
    for payload in payloads:
        verdicts.take(payload, micros(T0))
    return verdicts


@pytest.mark.parametrize(
    ("subject", "offset", "expected"), [("ann", 6, "subject_erased"), ("ann", 4, None), ("bob", 6, None), (None, 6, None)]
)
def test_a_subject_is_refused_above_the_erasure(subject: str | None, offset: int, expected: str | None) -> None:
    assert reason(inference(subject=subject), offset) == expected


def test_whoever_was_erased_is_refused_for_that_reason_first() -> None:
    assert reason(inference(subject="ann", model="unknown", prediction=None), 6) == "subject_erased"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (inference("of ann"), "subject_erased"),
        (feedback("of ann"), "subject_erased"),
        (feedback("of ann", label="nothing", value=None), "subject_erased"),
        (feedback("of bob"), "unknown_label"),
        (feedback("ann"), "unknown_label"),
        (inference("of bob", subject="of ann"), None),
    ],
)
def test_what_names_a_request_of_theirs_is_refused(tmp_path: Path, payload: bytes, expected: str | None) -> None:
    assert reason(payload, 6) == expected
    assert judged(tmp_path, ERASE, payload).reasons.get(1) == expected
    assert reason(payload, 4) != "subject_erased"


def test_who_asks_for_an_erased_request_is_told_so(tmp_path: Path) -> None:
    EmbeddedLog(log_path(tmp_path)).close()
    lake, key = Lake(tmp_path), make_key(tmp_path)
    lake.create(*TABLES)
    body = {"key": fingerprint(key), "subjects": [], "requests": [hashed(key, "of ann")]}
    lake.append(CONTROLS, CONTROLS.frame([CONTROLS.row(action="erase", body=json.dumps(body))]), Mark("test", 0), {})
    for name, codes in (("of ann", ("event_erased", "event_erased")), ("of bob", ("unknown_event", "unknown_request"))):
        with pytest.raises(InputError) as of_event:
            event(Sources(tmp_path), name=name)
        with pytest.raises(InputError) as of_outcome:
            outcome(Sources(tmp_path), request=name)
        assert (of_event.value.code, of_outcome.value.code) == codes


def test_the_verifier_says_the_same(tmp_path: Path) -> None:
    log = [inference("1", subject="ann"), ERASE, inference("2", subject="ann", model="x"), inference("3", subject="bob"), TOMBSTONE]
    found = judged(tmp_path, *log)
    assert found.homes == ["inference", "control", "quarantined", "inference", "control"]
    assert found.reasons == {2: "subject_erased"}


@pytest.mark.parametrize(
    "body", [{}, {"key": "x", "subjects": []}, {**BODY, "subjects": [], "requests": []}, {**BODY, "requests": ["of ann"]},
             {**BODY, "subjects": "ann"}, {**BODY, "subjects": ["ann"]},
             {**BODY, "subjects": [1]}, {**BODY, "key": 7}, {**BODY, "more": 1}, {"subjects": BODY["subjects"]}]
)  # fmt: skip
def test_an_erasure_that_is_none_is_refused_by_both(tmp_path: Path, body: dict[str, Any]) -> None:
    payload = json.dumps({"kind": "control", "action": "erase", "body": body}).encode()
    assert problem(body)
    assert reason(payload, 9) == "erasure_invalid"
    assert judged(tmp_path, payload).reasons == {0: "erasure_invalid"}


def test_an_erasure_without_a_body_lacks_a_field(tmp_path: Path) -> None:
    payload = b'{"kind": "control", "action": "erase"}'
    assert reason(payload, 9) == "missing_field"
    assert judged(tmp_path, payload).reasons == {0: "missing_field"}


def test_the_log_names_nobody() -> None:
    assert b"ann" not in ERASE
    assert hashed(KEY, "ann") == hmac.new(KEY, b"ann", hashlib.sha256).hexdigest()[:32]
    assert hashed(KEY, "ann") != hashed(bytes(32), "ann")


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key_path(tmp_path).parent.mkdir()
    made = make_key(tmp_path)
    assert (make_key(tmp_path), key_of(tmp_path, fingerprint(made))) == (made, made)
    assert key_path(tmp_path).stat().st_mode & 0o777 == 0o600
    assert len(made) == 32


@pytest.fixture
def erased(tmp_path: Path) -> Path:
    """A small lake in whose controls an erasure stands."""
    root = small.made(tmp_path / "lake")
    body = json.dumps({**BODY, "key": fingerprint(make_key(root))})
    Lake(root).append(CONTROLS, CONTROLS.frame([CONTROLS.row(action="erase", body=body, offset=3)]), Mark("test", 0), {})
    return root


@pytest.mark.parametrize("damage", ["", "not a key", bytes(32).hex(), None])
def test_a_lost_key_is_named(erased: Path, damage: str | None) -> None:
    (found,) = DefinitionBook(Lake(erased)).erasures()
    assert (found.subjects, found.requests) == ({*BODY["subjects"]}, {*BODY["requests"]})
    assert [check.ok for check in checks(erased) if check.name == "Erasure key"] == [True]
    key_path(erased).unlink() if damage is None else key_path(erased).write_text(damage)
    with pytest.raises(StateError) as lost:
        DefinitionBook(Lake(erased)).erasures()
    assert lost.value.code == "erasure_key_lost"
    assert "erasure_key_lost" in [check.code for check in checks(erased) if not check.ok]
    assert DefinitionBook(Lake(erased)).definitions() == []


def test_the_verifier_names_a_lost_key(tmp_path: Path) -> None:
    with pytest.raises(StateError) as lost:
        Verdicts(key=tmp_path / "none").take(ERASE, micros(T0))
    assert lost.value.code == "erasure_key_lost"


def test_what_is_half_erased_is_said_by_name(tmp_path: Path) -> None:
    root = small.made(tmp_path / "lake")
    erasing(root).mkdir()
    (erasing(root) / "plan.json").touch()
    for refuses in (existing, repair, verify):
        with pytest.raises(StateError) as refused:
            refuses(root)
        assert refused.value.code == "erasure_unfinished"
    assert "erasure_unfinished" in [check.code for check in checks(root)]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff", b'{"offsets": 3}'])
def test_a_damaged_certificate_is_named_and_holds_up_no_repair(tmp_path: Path, content: bytes) -> None:
    root = small.made(tmp_path / "lake")
    (root / "_erasures").mkdir()
    (root / "_erasures" / "000000000003.json").write_bytes(content)
    with pytest.raises(StateError) as refused:
        refuse_returned(root)
    assert refused.value.code == "certificate_damaged"
    assert [check.code for check in checks(root) if not check.ok] == ["certificate_damaged"]
    assert [check.code for check in repair(root).left] == ["certificate_damaged"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff"])
def test_an_erasure_whose_plan_is_damaged_is_named(tmp_path: Path, content: bytes) -> None:
    root = small.made(tmp_path / "lake")
    erasing(root).mkdir()
    (erasing(root) / "plan.json").write_bytes(content)
    with pytest.raises(StateError) as refused:
        finish(root)
    assert refused.value.code == "erasure_damaged"


def logged(folder: Path, count: int, each: int) -> Path:
    """A log of so many appends of so many records, which say their own offset."""
    path = log_path(folder)
    with closing(EmbeddedLog(path, durable=False)) as log:
        for start in range(0, count * each, each):
            log.append([f"record-{offset}-".encode() * 3 for offset in range(start, start + each)])
    return path


def bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("each", [1, 7, 400])
def test_records_are_replaced_where_they_stand_and_leave_no_byte(tmp_path: Path, each: int) -> None:
    path = logged(tmp_path, 40, each)
    (before, clock), gone = small.logged(tmp_path), set(range(3, 40 * each, 10))
    erase(path, sorted(gone))
    after, clock_after = small.logged(tmp_path)
    assert clock_after == clock
    assert after == [{**row, "payload": TOMBSTONE} if row["offset"] in gone else row for row in before]
    assert not [offset for offset in gone if f"record-{offset}-".encode() in bytes_of(path)]
    erase(path, sorted(gone))
    assert small.logged(tmp_path)[0] == after


def test_producers_go_on_meanwhile(tmp_path: Path) -> None:
    path, stop = logged(tmp_path, 300, 7), threading.Event()
    acknowledged: list[int] = []

    def produce() -> None:
        with closing(EmbeddedLog(path, durable=False)) as log:
            while not stop.is_set():
                acknowledged.append(log.append([b"meanwhile"]))

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        erase(path, range(0, 2100, 3))
    finally:
        stop.set()
        producer.join()
    rows, _ = small.logged(tmp_path)
    assert [row["offset"] for row in rows if row["payload"] == b"meanwhile"] == acknowledged
    assert sum(row["payload"] == TOMBSTONE for row in rows) == 700


def test_a_log_that_somebody_reads_all_the_while_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = logged(tmp_path, 3, 2)
    monkeypatch.setattr("pipelines.log.erase._PATIENCE", 0.1)
    monkeypatch.setattr("pipelines.log.sound.PATIENCE", 0.1)
    with closing(EmbeddedLog(path, durable=False)) as log:
        reading = log.read(0, 6)
        next(reading)
        with pytest.raises(StateError) as busy:
            erase(path, [0])
        assert busy.value.code == "log_busy"
        reading.close()
        erase(path, [0])


def test_the_clock_of_a_log_that_is_made_again_moves_for_tombstones_and_not_for_erasures(tmp_path: Path) -> None:
    root = small.made(tmp_path / "lake")
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        last = log.append([b"a record"])
        log.control(ERASE, ERASE)
    erase(log_path(root), [last])
    before = small.logged(root)
    with closing(sqlite3.connect(log_path(root))) as db, db:
        db.execute("DELETE FROM clock")
    repair(root)
    assert small.logged(root) == before


def test_why_a_training_failed_goes_with_an_erasure(tmp_path: Path) -> None:
    lake, secret = Lake(small.made(tmp_path / "lake")), "jane@example.org"
    lake.create(RETRAININGS)
    append(lake, "claimed", first(trigger(), 1))
    append(lake, "failed", first(trigger(), 1), reason=f"run r ended as FAILED [training_failed]\nKeyError: '{secret}'")
    append(lake, "refused", first(trigger("t2"), 1), reason="worse by 0.2")
    assert noted(lake.root) == {"gold.retrainings": lake.open(RETRAININGS).version()}
    silence(lake.root)
    purge(lake.root, list(dead(lake.root, [RETRAININGS])))
    assert {row["step"]: row["reason"] for row in lake.read(RETRAININGS).to_pylist()} == {
        "claimed": None, "failed": SILENCED, "refused": "worse by 0.2"
    }  # fmt: skip
    held = b"".join(file.read_bytes() for file in lake.root.rglob("*") if file.is_file())
    plain = [pq.read_table(file).to_pydict() for file in lake.path(RETRAININGS).rglob("*.parquet")]
    assert secret.encode() not in held
    assert secret not in str(plain)
    version = lake.open(RETRAININGS).version()
    silence(lake.root)
    assert lake.open(RETRAININGS).version() == version
