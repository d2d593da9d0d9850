"""Redrive: what a model file has mended is taken in once, as if it came now, and nothing that was known before changes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import closing
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipelines import leases, redrive
from pipelines import settings as configuration
from pipelines.app import Application
from pipelines.cli import main
from pipelines.errors import InputError, StateError
from pipelines.explain import Sources, event
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.models import load_models
from pipelines.paths import log_path
from pipelines.redriven import redriven
from pipelines.settings import Settings
from pipelines.silver.tables import DUPLICATES, FEEDBACK, INFERENCES, LABELLED, QUARANTINE
from pipelines.status import status
from tests import lakes

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CLOSED = T0 + timedelta(hours=3)
"""The frontier that the history asserts at its end."""
MODEL = """
model = "{name}"
[labels.{label}]
type = "binary"
positive = 1
attribution_window = "1 hour"
resolve = "latest"
[segments]
{segments}
"""
OLD = MODEL.format(name="old", label="late", segments='origin = "any"')
CHANGED = MODEL.format(name="old", label="late", segments='origin = "any"\ncarrier = "any"')
NEW = MODEL.format(name="new", label="liked", segments="")


def inference(name: str, model: str = "old", **more: Any) -> dict[str, Any]:
    event = {"kind": "inference", "request_id": name, "model": model, "version": "1", "served_at": T0.isoformat()}
    return {**event, "status": "ok", "prediction": 1, **more}


def feedback(name: str, request: str, label: str = "late", **more: Any) -> dict[str, Any]:
    event = {"kind": "feedback", "feedback_id": name, "request_id": request, "label": label, "action": "assert"}
    return {**event, "value": 1, "given_at": (T0 + 5 * MINUTE).isoformat(), **more}


SENT: list[dict[str, Any] | bytes] = [
    inference("taken", segments={"origin": "JFK"}),
    inference("new-1", "new"),
    inference("new-2", "new"),
    inference("new-1", "new"),
    inference("new-2", "new", prediction=0),
    feedback("early", "cut", value=0),
    inference("cut", segments={"origin": "JFK", "carrier": "AA"}),
    inference("never", segments={"destination": "LAX"}),
    inference("taken", segments={"carrier": "AA"}),
    feedback("liked", "new-1", "liked"),
    feedback("late", "taken"),
    inference("ahead", served_at=(T0 + timedelta(hours=2)).isoformat()),
    {"kind": "control", "action": "frontier", "at": "2999-01-01T00:00:00Z"},
    b'{"kind": "inference", "model": "new", \xff}',
    {"kind": "control", "action": "frontier", "at": CLOSED.isoformat()},
]
"""Received a minute after the other, behind what declares the old model."""
MENDED = {
    "undeclared_segment": (1, 1, 1),
    "unknown_label": (1, 0, 0),
    "unknown_model": (4, 0, 0),
}
"""By reason: those that would be taken in under the new files, whose id stands by now, and that would be refused again."""

LEFT = {reason: (0, *counts[1:]) for reason, counts in MENDED.items() if any(counts[1:])}
"""What is not sent, and is found again by the next redrive."""


def conf_of(folder: Path, *models: str) -> Path:
    (folder / "conf" / "models").mkdir(parents=True, exist_ok=True)
    shutil.copy(lakes.CONF / "settings.toml", folder / "conf")
    for text in models:
        (folder / "conf" / "models" / f"{text.split(chr(34))[1]}.toml").write_text(text)
    return folder / "conf"


def settings_for(lake: Path, conf: Path) -> Settings:
    return configuration.load(conf, lake_path=lake, log_fsync=False)


def drained(settings: Settings, spark: SparkSession) -> None:
    with Application(settings, spark, definitions=load_models(settings.models_path)) as app:
        app.drain()


@pytest.fixture(scope="module", params=["claimed", "log"])
def refused(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder with a lake that knows the old model alone and has quarantined the rest; by either clock."""
    folder = tmp_path_factory.mktemp("redrive")
    settings = settings_for(folder / "lake", conf_of(folder, OLD))
    payloads = [said if isinstance(said, bytes) else json.dumps(said).encode() for said in SENT]
    with Application(settings, spark, definitions=load_models(settings.models_path)) as app:
        claims = [T0 + number * MINUTE for number in range(len(SENT))]
        app.log.append(payloads, claims if request.param == "claimed" else None)
        app.drain()
    return folder


@pytest.fixture
def settings(refused: Path, tmp_path: Path) -> Settings:
    """A copy of it, and model files that mend some."""
    shutil.copytree(refused / "lake", tmp_path / "lake")
    return settings_for(tmp_path / "lake", conf_of(tmp_path, CHANGED, NEW))


def found(settings: Settings, **options: Any) -> dict[str, tuple[int, int, int]]:
    return {one.reason: astuple(one)[1:] for one in redrive.redrive(settings, **options)}


def logged(root: Path) -> list[dict[str, Any]]:
    """Every record of the log."""
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        records = [append.records() for append in log.read(0, log.end())]
    return [row for rows in records for row in rows.to_pylist()]


def controls(root: Path) -> list[list[int]]:
    """The positions that each redrive of the log names; what stands behind it is the same, byte for byte."""
    rows = logged(root)
    named = []
    for place, row in enumerate(rows):
        if b'"redrive"' in row["payload"]:
            named.append(json.loads(row["payload"])["offsets"])
            behind = rows[place + 1 : place + 1 + len(named[-1])]
            assert [one["payload"] for one in behind] == [rows[at]["payload"] for at in named[-1]]
    return named


def state(root: Path) -> dict[str, int]:
    return {str(file): file.stat().st_size for file in root.rglob("*") if file.is_file() and "sqlite-" not in file.name}


def test_a_dry_run_says_what_would_be_taken_in_and_changes_nothing(settings: Settings) -> None:
    root = settings.lake.path
    before = state(root), logged(root)
    assert found(settings, dry_run=True) == MENDED
    assert (state(root), logged(root)) == before


def test_what_the_model_files_mend_is_sent_once(settings: Settings) -> None:
    assert found(settings) == MENDED
    sent = controls(settings.lake.path)
    assert len(sent) == 1
    assert found(settings) == found(settings, dry_run=True) == LEFT
    assert controls(settings.lake.path) == sent


def test_what_was_interrupted_is_completed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    root, append = settings.lake.path, EmbeddedLog.append
    monkeypatch.setattr(redrive, "SLICE", 1)
    for most in (1, 2):
        done = [0]

        def dying(*given: Any, done: list[int] = done, most: int = most) -> int:
            if done[0] == most:
                raise InterruptedError
            done[0] += 1
            return append(*given)

        with monkeypatch.context() as patch:
            patch.setattr(EmbeddedLog, "append", dying)
            with pytest.raises(InterruptedError):
                redrive.redrive(settings)
    redrive.redrive(settings)
    offsets = [offset for named in controls(root) for offset in named]
    assert len(offsets) == len({*offsets}) == sum(counts[0] for counts in MENDED.values())


def test_it_is_refused_beside_another_and_beside_a_rebuild(spark: SparkSession, settings: Settings) -> None:
    with (
        leases.hold_by_jvm(spark, settings.lake.path, [redrive.LEASE], "rebuild"),
        pytest.raises(StateError) as refusal,
    ):
        redrive.redrive(settings)
    assert refusal.value.code == "lease_held"


def test_a_reason_that_does_not_exist_is_refused(settings: Settings) -> None:
    with pytest.raises(InputError) as refusal:
        redrive.redrive(settings, reasons=["unknown_modle"])
    assert refusal.value.code == "unknown_reason"


def test_one_reason_is_taken_alone(settings: Settings) -> None:
    assert found(settings, reasons=["unknown_label"]) == {"unknown_label": (1, 0, 0)}
    assert found(settings, reasons=["not_utf8"]) == {"not_utf8": (0, 0, 1)}
    assert found(settings, reasons=["frontier_from_the_future"]) == {}


class Taken:
    """A lake before, after the redrive, and once the copies have gone all the way."""

    def __init__(self, refused: Path, folder: Path, spark: SparkSession) -> None:
        shutil.copytree(refused / "lake", folder / "lake")
        self.settings = settings_for(folder / "lake", conf_of(folder, CHANGED, NEW))
        self.root = self.settings.lake.path
        self.before = len(logged(self.root))
        self.statistics = known(self.root, T0 - MINUTE)
        self.frontier = frontier(self.root)
        redrive.redrive(self.settings)
        drained(self.settings, spark)


def frontier(root: Path) -> datetime:
    return Sources(root).frontier()


def known(root: Path, since: datetime, until: datetime | None = None) -> Counter[str]:
    """The statistics that were known from then on until then."""
    rows = lakes.rows_of(root, STATISTICS).to_pylist()
    return lakes.net_of(row for row in rows if since <= row["known_at"] and (until is None or row["known_at"] < until))


@pytest.fixture(scope="module")
def taken(refused: Path, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    return Taken(refused, tmp_path_factory.mktemp("taken"), spark)


def test_the_copies_are_events_like_any_others(taken: Taken) -> None:
    root, again = taken.root, redriven(Lake(taken.root))
    assert {*again.values()} == {*range(min(again.values()), max(again.values()) + 1)}
    assert min(again.values()) >= taken.before
    places = {table: {row["offset"] for row in lakes.rows_of(root, table).to_pylist()} for table in
              (INFERENCES, FEEDBACK, DUPLICATES, QUARANTINE)}
    homes = Counter(table.name for copy in again.values() for table, held in places.items() if copy in held)
    assert homes == {"silver.inferences": 3, "silver.feedback": 1, "silver.duplicates": 1, "silver.quarantine": 1}
    labelled = {row["feedback_id"] for row in lakes.rows_of(root, LABELLED).to_pylist()}
    assert labelled == {"late", "liked", "early"}
    lakes.proven(root)


def test_what_was_known_before_stays_as_it_was(taken: Taken) -> None:
    assert frontier(taken.root) > taken.frontier
    until = taken.frontier.replace(second=0, microsecond=0)  # statistics keep known_at to the minute
    before = known(taken.root, T0 - MINUTE, until)
    assert before == Counter({key: n for key, n in taken.statistics.items() if key in before})
    copies = {*redriven(Lake(taken.root)).values()}
    rows = [row for row in lakes.rows_of(taken.root, INFERENCES).to_pylist() if row["offset"] in copies]
    assert all(taken.frontier <= row["received_at"] < frontier(taken.root) for row in rows)
    assert {row["clock"] for row in rows} == {row["clock"] for row in lakes.rows_of(taken.root, INFERENCES).to_pylist()}


def test_status_and_explain_say_what_was_sent_again(taken: Taken, capsys: pytest.CaptureFixture[str]) -> None:
    again = redriven(Lake(taken.root))
    said = status(taken.root)
    assert (said.redriven, said.quarantined) == (len(again), lakes.rows_of(taken.root, QUARANTINE).num_rows)
    for original, copy in again.items():
        (first,), (second,) = (event(Sources(taken.root), offset=at) for at in (original, copy))
        assert (first.home, first.sent_again, first.repeats) == ("silver.quarantine", copy, None)
        assert (second.sent_again, second.repeats) == (None, original)
    assert main(["explain", "event", "--offset", str(min(again)), "--lake", str(taken.root)]) == 0
    assert f"sent it again: log offset {again[min(again)]}" in capsys.readouterr().out


def test_afterwards_there_is_nothing_left_to_send(taken: Taken) -> None:
    assert found(taken.settings) == LEFT
    assert found(taken.settings, reasons=["id_conflict"]) == {"id_conflict": (0, 1, 0)}


def test_only_the_newest_copy_of_a_record_is_sent_again(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    root = settings.lake.path
    original = next(at for at, row in enumerate(logged(root)) if b"new-1" in row["payload"])
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        claims = None if log.clock()[1] else [CLOSED, CLOSED]
        control = json.dumps({"kind": "control", "action": "redrive", "offsets": [original]}).encode()
        copy = log.append([control, logged(root)[original]["payload"]], claims)
    drained(settings_for(root, conf_of(tmp_path / "old", OLD)), spark)
    assert copy in {row["offset"] for row in lakes.rows_of(root, QUARANTINE).to_pylist()}
    redrive.redrive(settings)
    sent = controls(root)[-1]
    assert copy in sent
    assert original not in sent


def test_the_command_answers_with_what_comes_of_each_reason(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["redrive", "--lake", str(settings.lake.path), "--conf", str(settings.conf)]
    assert main([*words, "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    expected = [dict(zip(("reason", "accepted", "standing", "refused"), (name, *counts), strict=True))
                for name, counts in MENDED.items()]
    assert said == {"dry_run": True, "sent": 0, "reasons": expected}
    assert main(words) == 0
    assert "next: hindsight run --once" in capsys.readouterr().out
    assert main([*words, "--reason", "unknown_model"]) == 0
    assert "Nothing that was not sent again before" in capsys.readouterr().out


def test_a_closed_history_is_moved_on_by_its_last_append(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "SLICE", 2)
    root = settings.lake.path
    before = len(logged(root))
    redrive.redrive(settings)
    assert len(controls(root)) == 3
    closing_ones = [json.loads(row["payload"]) for row in logged(root)[before:] if b'"frontier"' in row["payload"]]
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        live = log.clock()[1]
    expected = [] if live else [{"kind": "control", "action": "frontier", "at": "2026-03-01T15:01:00Z"}]
    assert closing_ones == expected
