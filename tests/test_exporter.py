"""What Prometheus is shown: the newest values, in a bounded number of series, and how all stands; the server: `test_prometheus.py`."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.cli import main
from pipelines.exporting import _Server
from pipelines.lake import Lake
from pipelines.page.sums import Kept
from pipelines.serving import listening
from pipelines.settings import Settings, load
from pipelines.silver.reasons import REASONS
from pipelines.silver.tables import QUARANTINE
from pipelines.sinks.exposition import FAMILIES, Exposition, registry
from pipelines.sinks.revisions import revisions
from pipelines.sinks.told import now, path_of
from tests.pages import decided, filled, serve_day
from tests.watching import DAY, reach

Series = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = filled(tmp_path_factory.mktemp("exporter") / "lake")[0]
    decided(lake)
    return lake


@pytest.fixture
def lake(made: Lake, tmp_path: Path) -> Lake:
    """A lake of six days, of which four are final, to be changed."""
    shutil.copytree(made.root.parent, tmp_path, dirs_exist_ok=True)
    return Lake(tmp_path / "lake")


@pytest.fixture
def settings(lake: Lake) -> Settings:
    found = load(lake.root.parent / "conf", lake_path=lake.root)
    return replace(found, sinks=replace(found.sinks, every=DAY))


def series(settings: Settings, family: str, *labels: str) -> Series:
    """The samples of a family in the text, by some of their labels."""
    text = generate_latest(registry(Exposition(settings, Lake(settings.lake.path)).samples)).decode()
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert {one.documentation for one in families.values()} <= set(FAMILIES.values())
    found = [(tuple(one.labels.get(name, "") for name in labels), one.value) for one in families[family].samples]
    assert len(dict(found)) == len(found)
    return dict(found)


def said(lake: Lake) -> Iterator[tuple[tuple[str, ...], float]]:
    """What sinks are told of the newest final window and of the newest of all, as series."""
    until = now(lake)
    assert until is not None
    told = [one for part in revisions(Kept(lake), None, until, DAY) for one in part]
    for label in ("late", ""):
        final = max(one.start for one in told if one.final and one.label == label)
        last = max(one.start for one in told if one.label == label)
        for one in told:
            if one.label == label and one.start in (final, last) and one.value is not None:
                segment = ",".join(f"{name}={value}" for name, value in one.segment.items())
                yield (label, one.version, segment, one.name, "final" if one.final else "provisional"), one.value


ABOUT = ("label", "version", "segment", "metric", "state")


def test_the_newest_final_and_provisional_values_are_shown_as_sinks_are_told_them(lake: Lake, settings: Settings) -> None:
    found = series(settings, "hindsight_quality", *ABOUT)
    assert found == dict(said(lake))
    assert {state for *_, state in found} == {"final", "provisional"}
    low = series(settings, "hindsight_quality_low", *ABOUT)
    assert all(value <= found[about] for about, value in low.items())


def test_as_time_goes_by_the_same_series_take_other_values(lake: Lake, settings: Settings) -> None:
    about = ("model", *ABOUT)
    before, ends = (series(settings, name, *labels) for name, labels in (("hindsight_quality", about), (END, CUT)))
    watched = filled(lake.root.parent / "other" / "lake", days=0)[1]
    serve_day(lake, watched, 6)
    reach(lake, now_of(lake) + DAY)
    after = series(settings, "hindsight_quality", *about)
    assert before.keys() == after.keys()
    assert before != after
    moved = {key: (value - ends[key]) / 86_400 for key, value in series(settings, END, *CUT).items()}
    assert set(moved.values()) == {1.0}


END = "hindsight_quality_window_end_timestamp_seconds"
CUT = ("model", "label", "cut", "state")


def now_of(lake: Lake) -> datetime:
    found = now(lake)
    assert found is not None
    return found.as_of


@pytest.mark.parametrize("most", [1, 40, 100])
def test_series_are_bounded_and_those_left_out_are_counted(settings: Settings, most: int) -> None:
    names = ("hindsight_quality", "hindsight_quality_low", "hindsight_quality_high", "hindsight_quality_judged")
    few = replace(settings, sinks=replace(settings.sinks, series=most))

    def count(of: Settings) -> int:
        text = generate_latest(registry(Exposition(of, Lake(of.lake.path)).samples)).decode()
        return sum(line.partition("{")[0] in names for line in text.splitlines())

    left_out = sum(series(few, "hindsight_quality_series_left_out", "label", "cut").values())
    assert count(few) <= most
    assert count(few) + left_out == count(settings) > 100
    assert not sum(series(settings, "hindsight_quality_series_left_out", "label", "cut").values())


def test_lags_quarantine_alerts_and_sinks_are_shown(lake: Lake, settings: Settings) -> None:
    told = replace(settings, sinks=replace(settings.sinks, influx="http://127.0.0.1:1/write?db=d"))
    assert series(told, "hindsight_frontier_timestamp_seconds")[()] == now_of(lake).timestamp()
    assert series(told, "hindsight_job_lag_events", "name")[("land",)] == 1
    refused = series(told, "hindsight_quarantined_records", "reason")
    assert {reason: count for (reason,), count in refused.items()} == {**dict.fromkeys(REASONS, 0), "not_json": 3}
    assert series(told, "hindsight_open_alerts", "model", "label", "rule") == {("m", "late", "low"): 1}
    assert series(told, "hindsight_sink_lag_revisions", "sink")[("influx",)] > 0
    assert series(told, "hindsight_sink_failing", "sink") == {("influx",): 0}
    path_of(lake.root, "influx").parent.mkdir()
    path_of(lake.root, "influx").write_text("{}")
    assert series(told, "hindsight_sink_failing", "sink") == {("influx",): 1}


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in lake.path(QUARANTINE).rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-8] + b"        ")
    readable = {"metrics": 1.0, "jobs": 1.0, "quarantine": 0.0, "alerts": 1.0}
    assert series(settings, "hindsight_readable", "part") == {(part,): value for part, value in readable.items()}
    assert "data_file_damaged" in capsys.readouterr().err
    assert main(["exporter", "--once", "--lake", str(lake.root), "--conf", str(settings.conf)]) == 1
    assert 'hindsight_readable{part="quarantine"} 0.0' in capsys.readouterr().out


def test_scrapes_that_wait_are_answered_by_one_reading(settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, read = Exposition(settings, lake), list[int]()
    jobs = shown._jobs

    def counted() -> Iterator[Any]:
        read.append(1)
        return jobs()

    monkeypatch.setattr(shown, "_jobs", counted)
    with ThreadPoolExecutor(5) as pool:
        with shown._lock:
            waiting = [pool.submit(shown.samples) for _ in range(5)]
            time.sleep(0.5)
        first, *others = [one.result(60) for one in waiting]
    assert all(other is first for other in others)
    assert len(read) == 1
    assert shown.samples() is not first
    assert len(read) == 2


def test_a_scraper_that_hangs_up_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    class Hung(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            raise BrokenPipeError

    with listening("127.0.0.1", 0) as at, _Server(at, Hung) as server, closing(socket.create_connection(at.getsockname())) as scraper:
        scraper.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        server.handle_request()
        assert scraper.recv(1) == b""
    assert capsys.readouterr().err == ""


def test_what_can_be_known_at_the_start_is_refused_there(lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    def code_of(*words: str) -> tuple[int, str]:
        code = main(["exporter", "--lake", str(lake.root), "--conf", str(settings.conf), "--json", *words])
        return code, json.loads(capsys.readouterr().out)["error"]

    assert code_of("--port", "70000") == (2, "not_a_port")
    assert code_of("--host", "192.0.2.1") == (4, "address_not_ours")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert code_of("--port", str(taken.getsockname()[1])) == (4, "port_in_use")
    shutil.rmtree(lake.root)
    assert code_of() == (5, "no_lake")
