"""Real servers hold what the metrics say, whatever was down, sent twice or revised meanwhile."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pg8000.dbapi
import pytest

from pipelines.bronze.tables import EVENTS
from pipelines.errors import MachineError
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.lake import Lake
from pipelines.page.sums import Kept
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED
from pipelines.sinks.follow import once, tell
from pipelines.sinks.influx import Influx
from pipelines.sinks.postgres import Postgres
from pipelines.sinks.remote_write import RemoteWrite
from pipelines.sinks.revisions import Metrics, revisions
from pipelines.sinks.told import now, told
from pipelines.watch.rules import Watched
from tests import servers
from tests.pages import filled, serve_day
from tests.servers import Server, running
from tests.test_sinking import revision
from tests.watching import DAY, HOUR, MONDAY, lake_of, model, reach

pytestmark = pytest.mark.places


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(servers.postgres(tmp_path_factory.mktemp("postgres"))) as server:
        yield server


@pytest.fixture
def database(installed: Server) -> Server:
    """An empty one."""
    query(installed, "DROP TABLE IF EXISTS hindsight_metrics")
    return installed


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(servers.prometheus(tmp_path_factory.mktemp("prometheus"))) as server:
        yield server


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(servers.influx(tmp_path_factory.mktemp("influx"))) as server:
        asked(f"http://127.0.0.1:{server.port}/query?q=" + urllib.parse.quote('CREATE DATABASE "hindsight"'), b"")
        yield server


@pytest.fixture
def served(tmp_path: Path) -> tuple[Lake, Watched]:
    """A lake of a model that serves, and nothing yet."""
    watched = model(tmp_path / "models", "")
    lake = lake_of(tmp_path / "lake", watched)
    lake.create(EVENTS, INFERENCES, FEEDBACK, OUTCOME_LEDGER, LABELLED)
    return lake, watched


def asked(url: str, body: bytes | None = None) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def said(lake: Lake) -> dict[tuple[Any, ...], tuple[float | None, int, bool]]:
    """What the metrics say of the whole."""
    until = now(lake)
    assert until is not None
    found = [one for part in revisions(Kept(lake), None, until, DAY) for one in part]
    return {(one.label, one.version, *one.segment.values(), one.start, one.name): (one.value, one.count, one.final) for one in found}


def query(server: Server, text: str) -> list[Any]:
    known = {"user": "hindsight", "host": "127.0.0.1", "port": server.port, "database": "postgres", "password": "secret"}
    with closing(pg8000.dbapi.connect(**known)) as connection:
        cursor = connection.cursor()
        cursor.execute(text)
        connection.commit()
        return list(cursor.fetchall()) if cursor.description else []


def held(server: Server) -> dict[tuple[Any, ...], tuple[float | None, int, bool]]:
    """What the database holds."""
    rows = query(server, 'SELECT label, version, segment, "start", metric, value, "count", final FROM hindsight_metrics')
    return {
        (label, version, *json.loads(segment).values(), start, metric): (value, count, final)
        for label, version, segment, start, metric, value, count, final in rows
    }


def test_a_database_holds_what_the_metrics_say_after_every_revision(database: Server, served: tuple[Lake, Watched]) -> None:
    lake, watched = served
    sink = Postgres(f"postgresql://hindsight@127.0.0.1:{database.port}/postgres", "secret")
    for day in (1, 0, 2):
        serve_day(lake, watched, day)
        reach(lake, MONDAY + (day + 2) * DAY + 5 * HOUR)
        assert tell(Metrics(Kept(lake), DAY), "postgres", sink)
        assert held(database) == said(lake)
    assert not tell(Metrics(Kept(lake), DAY), "postgres", sink)
    (lake.root / "_sinks" / "postgres.json").unlink()
    assert tell(Metrics(Kept(lake), DAY), "postgres", sink)
    assert held(database) == said(lake)


def test_a_database_that_is_down_is_told_what_it_has_missed(database: Server, served: tuple[Lake, Watched]) -> None:
    lake, watched = served
    sink = Postgres(f"postgresql://hindsight@127.0.0.1:{database.port}/postgres", "secret")
    serve_day(lake, watched, 0)
    reach(lake, MONDAY + DAY)
    assert once(Metrics(Kept(lake), DAY), "postgres", sink)
    database.stop()
    serve_day(lake, watched, 1)
    reach(lake, MONDAY + 2 * DAY)
    assert not once(Metrics(Kept(lake), DAY), "postgres", sink)
    assert "sink_unreachable" in told(lake.root, "postgres").error
    assert "secret" not in told(lake.root, "postgres").error
    serve_day(lake, watched, 2)
    reach(lake, MONDAY + 4 * DAY)
    database.start()
    assert once(Metrics(Kept(lake), DAY), "postgres", sink)
    assert not told(lake.root, "postgres").error
    assert held(database) == said(lake)


def test_a_wrong_password_is_said(database: Server, served: tuple[Lake, Watched]) -> None:
    lake, watched = served
    serve_day(lake, watched, 0)
    reach(lake, MONDAY + DAY)
    sink = Postgres(f"postgresql://hindsight@127.0.0.1:{database.port}/postgres", "guessed")
    with pytest.raises(MachineError) as refused:
        tell(Metrics(Kept(lake), DAY), "postgres", sink)
    assert refused.value.code == "sink_refused"
    assert "guessed" not in refused.value.message


ODD = ("null", "NULL", '"', "a\\", "a\\,b", "{,}", "it's", "a\nb", "%s", "é=1", "日" * 256)
"""Texts that a driver, a protocol or a key might take for something else."""


def test_a_database_holds_any_text_and_what_it_cannot_hold_is_counted(database: Server) -> None:
    sink = Postgres(f"postgresql://hindsight@127.0.0.1:{database.port}/postgres", "secret")
    told = [revision(version=text, segment={"o": text}, value=number / 3) for number, text in enumerate(ODD)]
    assert len(sink.send([*told, revision(version="a\0b")])) == 1
    rows = query(database, "SELECT version, segment, value FROM hindsight_metrics")
    assert {(version, json.loads(segment)["o"]): value for version, segment, value in rows} == {
        (text, text): number / 3 for number, text in enumerate(ODD)
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [("CREATE TABLE hindsight_metrics (model text)", "more expressions"), ("CREATE ROLE low LOGIN PASSWORD 'x'", "denied")],
)
def test_another_table_and_a_user_without_rights_are_said(database: Server, text: str, found: str) -> None:
    query(database, text)
    user, password = ("low", "x") if "ROLE" in text else ("hindsight", "secret")
    with pytest.raises(MachineError, match=found) as refused:
        Postgres(f"postgresql://{user}@127.0.0.1:{database.port}/postgres", password).send([revision()])
    assert refused.value.code == "sink_refused"


def test_tables_made_again_under_the_same_frontier_correct_what_a_database_holds(database: Server) -> None:
    sink = Postgres(f"postgresql://hindsight@127.0.0.1:{database.port}/postgres", "secret")
    sink.send([revision(value=0.5, version_at=40)])
    sink.send([revision(value=0.75, version_at=3)])
    assert query(database, "SELECT value FROM hindsight_metrics") == [[0.75]]
    sink.send([revision(value=0.5, as_of=MONDAY + 2 * DAY)])
    assert query(database, "SELECT value FROM hindsight_metrics") == [[0.75]]


def test_no_password_where_one_is_wanted_is_said(database: Server) -> None:
    with pytest.raises(MachineError, match="password authentication failed") as refused:
        Postgres(f"postgresql://hindsight@127.0.0.1:{database.port}/postgres", None).send([revision()])
    assert refused.value.code == "sink_refused"


def test_influx_holds_any_tag(series: Server) -> None:
    base = f"http://127.0.0.1:{series.port}"
    told = {text: text + " " * text.endswith("\\") for text in ODD if "\n" not in text}
    assert not Influx(f"{base}/write?db=hindsight").send([revision(name="odd", version=text, segment={"o": text}) for text in told])
    question = urllib.parse.quote('SELECT value, version, "segment.o" FROM hindsight WHERE metric = \'odd\'')
    (answer,) = asked(f"{base}/query?db=hindsight&q={question}")["results"][0]["series"]
    assert sorted((row[2], row[3]) for row in answer["values"]) == sorted((text, text) for text in told.values())


def test_influx_that_keeps_points_for_a_day_is_told_all_the_same(series: Server) -> None:
    base = f"http://127.0.0.1:{series.port}"
    asked(f"{base}/query?q=" + urllib.parse.quote('CREATE DATABASE "short" WITH DURATION 1d'), b"")
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert len(Influx(f"{base}/write?db=short").send([revision(), revision(start=today)])) == 1
    (answer,) = asked(f"{base}/query?db=short&q=" + urllib.parse.quote("SELECT value FROM hindsight"))["results"][0]["series"]
    assert len(answer["values"]) == 1


def test_influx_holds_what_the_metrics_say(series: Server, served: tuple[Lake, Watched]) -> None:
    lake, watched = served
    base = f"http://127.0.0.1:{series.port}"
    sink = Influx(f"{base}/write?db=hindsight")
    for day in (1, 0):
        serve_day(lake, watched, day)
        reach(lake, MONDAY + (day + 2) * DAY + 5 * HOUR)
        assert tell(Metrics(Kept(lake), DAY), "influx", sink)
    assert tell(Metrics(Kept(Lake(lake.root)), DAY), "other", sink)
    question = urllib.parse.quote('SELECT value, "count", version, "segment.origin", label FROM hindsight WHERE metric = \'recall\'')
    (answer,) = asked(f"{base}/query?db=hindsight&q={question}")["results"][0]["series"]
    wanted = {key: value for key, value in said(lake).items() if key[-1] == "recall" and value[0] is not None}
    assert len(answer["values"]) == len(wanted)
    assert sorted((row[1], row[2]) for row in answer["values"]) == sorted((value, count) for value, count, _ in wanted.values())


def test_prometheus_gets_each_window_once_when_it_is_final(monitor: Server, tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{monitor.port}"
    sink = RemoteWrite(f"{base}/api/v1/write")
    watched = model(tmp_path / "models", "")
    lake = lake_of(tmp_path / "lake", watched)
    lake.create(EVENTS, INFERENCES, FEEDBACK, OUTCOME_LEDGER, LABELLED)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    shift = (today - MONDAY) // DAY - 6
    for day in range(3):
        serve_day(lake, watched, shift + day)
        reach(lake, MONDAY + (shift + day + 3) * DAY)
        assert tell(Metrics(Kept(lake), DAY), "prometheus", sink)
    assert tell(Metrics(Kept(lake), DAY), "again", sink)
    end = (today + DAY).timestamp()
    query = urllib.parse.urlencode({"query": 'hindsight_metric{metric="recall"}[30d]', "time": end})
    found = asked(f"{base}/api/v1/query?{query}")["data"]["result"]
    samples = {
        (one["metric"]["version"], one["metric"].get("segment_origin"), at): float(value) for one in found for at, value in one["values"]
    }
    wanted = {
        (key[1], key[2] if len(key) == 5 else None, int((key[-2] + timedelta(days=1)).timestamp())): value
        for key, (value, _, final) in said(lake).items()
        if key[-1] == "recall" and final and value is not None
    }
    assert samples == wanted
    assert len(wanted) > 6
    # it takes no samples of long ago, and the reason is kept
    old, _ = filled(tmp_path / "old", days=2)
    assert tell(Metrics(Kept(old), DAY), "prometheus", sink)
    note = told(old.root, "prometheus")
    assert note.refused > 0
    assert "out of bounds" in note.refusal
