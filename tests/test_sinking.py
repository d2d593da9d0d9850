"""What sinks say, in the words of those who listen, and what the command says of them; the servers are in `test_sinks.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest

from pipelines.cli import main
from pipelines.errors import MachineError
from pipelines.lake import Lake
from pipelines.page.sums import Kept
from pipelines.sinks.changelog import of_revision as message
from pipelines.sinks.follow import follow, tell
from pipelines.sinks.influx import line
from pipelines.sinks.otlp import request
from pipelines.sinks.remote_write import legal, series
from pipelines.sinks.revisions import Metrics, Revision
from pipelines.sinks.told import Told, now, path_of, told
from tests.pages import FRONTIER, filled, serve_day
from tests.watching import DAY, HOUR, MONDAY, reach


def revision(**said: object) -> Revision:
    about: dict[str, object] = {"model": "m", "label": "late", "version": "1", "segment": {"origin": "JFK"}}
    about |= {"every": DAY, "start": MONDAY, "end": MONDAY + DAY}
    values = {"name": "recall", "of": "", "value": 0.5, "low": 0.25, "high": None, "count": 8, "final": True, "settled": True}
    return Revision(**{**about, **values, "definition": "d", "as_of": MONDAY + 3 * DAY, "version_at": 7, **said})


class Listener:
    """A sink that keeps what it is told, and fails when it is asked to."""

    def __init__(self) -> None:
        self.parts: list[list[Revision]] = []
        self.fails_after = -1
        self.refuses: Sequence[str] = ()

    def send(self, revisions: list[Revision]) -> Sequence[str]:
        if len(self.parts) == self.fails_after:
            raise MachineError("sink_unreachable", "down")
        self.parts.append(list(revisions))
        return self.refuses


def test_a_point_of_influx_escapes_what_its_protocol_reads() -> None:
    said = line(revision(model="a b,c=d", segment={"o g": "x=y"}, value=1e-07))
    assert said.startswith(r"hindsight,every=86400s,label=late,metric=recall,model=a\ b\,c\=d,segment.o\ g=x\=y,version=1 ")
    assert said.endswith(f"value=1e-07,low=0.25,count=8i,final=true {int(MONDAY.timestamp())}000000000")


def test_a_value_that_is_no_more_is_a_count_of_nothing() -> None:
    assert " count=0i,final=false " in line(revision(value=None, low=None, count=0, final=False))


def test_a_series_of_prometheus_has_the_labels_of_its_group_in_order() -> None:
    labels = series(revision(segment={"air port": "JFK", "a.b": ""}), "_low")
    assert labels == tuple(sorted(labels))
    assert dict(labels)["__name__"] == "hindsight_metric_low"
    assert dict(labels)["segment_air_port"] == "JFK"
    assert "of" not in dict(labels)
    assert legal("größe-1") == "gr__e_1"


def test_a_message_is_keyed_by_what_it_is_about_and_nothing_it_says() -> None:
    first, second = message(revision()), message(revision(value=0.75, version_at=9, final=False))
    assert first[0] == second[0]
    assert json.loads(second[1])["value"] == 0.75
    assert json.loads(first[0]).items() <= json.loads(first[1]).items()
    assert message(revision(of="cat"))[0] != first[0]


def test_a_request_of_opentelemetry_is_one() -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    made = ParseDict(request([revision(), revision(name="auc", low=None)]), ExportMetricsServiceRequest())
    gauges = {metric.name: metric.gauge for metric in made.resource_metrics[0].scope_metrics[0].metrics}
    assert set(gauges) == {"hindsight.recall", "hindsight.recall.low", "hindsight.auc"}
    (point,) = gauges["hindsight.recall"].data_points
    assert point.as_double == 0.5
    assert point.time_unix_nano == int((MONDAY + DAY).timestamp()) * 10**9
    assert {one.key: one.value.string_value for one in point.attributes}["segment.origin"] == "JFK"


def test_after_a_failure_the_same_is_told_again_although_more_has_come(tmp_path: Path) -> None:
    lake, watched = filled(tmp_path / "lake", days=3)
    listener = Listener()
    listener.fails_after = 2
    with pytest.raises(MachineError):
        tell(Metrics(Kept(lake), DAY), "one", listener)
    first = [*listener.parts]
    serve_day(lake, watched, 5)
    reach(lake, MONDAY + 9 * DAY + HOUR)
    listener.fails_after = -1
    assert tell(Metrics(Kept(lake), DAY), "one", listener)
    assert listener.parts[2:4] == first
    assert tell(Metrics(Kept(lake), DAY), "one", listener)
    assert not tell(Metrics(Kept(lake), DAY), "one", listener)
    assert told(lake.root, "one").reached == now(Lake(lake.root))


def test_a_sink_that_goes_down_is_said_once_and_again_when_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sinks.follow._PAUSE", 0.01)
    lake, _ = filled(tmp_path / "lake", days=1)
    listener, stopping, said = Listener(), Event(), list[str]()
    listener.fails_after = 0

    def say(line: str) -> None:
        said.append(line)
        listener.fails_after = -1
        if len(said) == 2:
            stopping.set()

    follow(Metrics(Kept(lake), DAY), "one", listener, stopping, say)
    assert "sink_unreachable" in said[0]
    assert said[1:] == ["one: told again"]


def test_what_a_sink_refuses_for_good_is_counted_and_the_last_reason_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, watched = filled(tmp_path / "lake", days=1)
    listener = Listener()
    listener.refuses = ["too old", "out of bounds"]
    assert tell(Metrics(Kept(lake), DAY), "otlp", listener)
    listener.refuses, parts = (), len(listener.parts)
    serve_day(lake, watched, 1)
    reach(lake, FRONTIER + 2 * HOUR)
    assert tell(Metrics(Kept(lake), DAY), "otlp", listener)
    note = told(lake.root, "otlp")
    assert (note.refused, note.refusal, note.error) == (2 * parts, "out of bounds", "")
    monkeypatch.setenv("HINDSIGHT_SINKS_OTLP", "http://127.0.0.1:1/v1/metrics")
    assert main(["sinks", "--status", "--lake", str(lake.root)]) == 0
    assert "out of" in capsys.readouterr().out


def test_a_note_that_is_damaged_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lake, _ = filled(tmp_path / "lake", days=1)
    path_of(lake.root, "influx").parent.mkdir()
    path_of(lake.root, "influx").write_text("{}")
    monkeypatch.setenv("HINDSIGHT_SINKS_INFLUX", "http://127.0.0.1:1/write?db=d")
    assert main(["sinks", "--once", "--lake", str(lake.root)]) == 5
    assert "[sink_damaged]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [(["influxx"], "unknown_sink", 2), (["influx"], "no_sink", 3), ([], "no_sink", 3)],
)
def test_a_sink_that_is_none_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: str, exit_code: int
) -> None:
    lake, _ = filled(tmp_path / "lake", days=0)
    assert main(["sinks", *words, "--once", "--lake", str(lake.root)]) == exit_code
    assert f"[{code}]" in capsys.readouterr().err


def test_a_sink_that_is_down_fails_the_command_and_its_lag_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, _ = filled(tmp_path / "lake", days=1)
    monkeypatch.setenv("HINDSIGHT_SINKS_INFLUX", "http://127.0.0.1:1/write?db=d")
    monkeypatch.setenv("HINDSIGHT_SINKS_EVERY", "1 day")
    assert main(["sinks", "--once", "--lake", str(lake.root), "--json"]) == 1
    (said,) = json.loads(capsys.readouterr().out)
    assert (said["sink"], said["as_of"], said["lag_revisions"] > 0) == ("influx", None, True)
    assert "[sink_unreachable]" in said["error"]
    assert main(["sinks", "--status", "--lake", str(lake.root)]) == 0
    assert told(lake.root, "influx").telling is not None
    assert told(lake.root, "other") == Told()


def test_the_lag_of_a_sink_stands_beside_that_of_the_jobs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, watched = filled(tmp_path / "lake", days=2)
    assert tell(Metrics(Kept(lake), DAY), "otlp", Listener())
    serve_day(lake, watched, 2)
    reach(lake, FRONTIER + 2 * HOUR)
    monkeypatch.setenv("HINDSIGHT_SINKS_OTLP", "http://127.0.0.1:1/v1/metrics")
    monkeypatch.setenv("HINDSIGHT_SINKS_INFLUX", "http://127.0.0.1:1/write?db=d")
    path_of(lake.root, "influx").write_text("{}")

    def said(*words: str) -> str:
        assert main(["status", "--lake", str(lake.root), *words]) == 0
        return capsys.readouterr().out

    influx, otlp = json.loads(said("--json"))["sinks"]
    assert {name: otlp[name] for name in ("lag_revisions", "lag_seconds", "running", "error")} == {
        **{"lag_revisions": 2, "lag_seconds": 7200.0, "running": False, "error": ""},
    }
    assert otlp["revisions"] > 0
    assert influx["lag_seconds"] is None
    assert "[sink_damaged]" in influx["error"]
    assert "[sink_damaged]" in said()
    assert said().count("otlp") == 1


def test_revisions_come_in_an_order_that_nothing_but_themselves_settles(tmp_path: Path) -> None:
    lake, _ = filled(tmp_path / "lake", days=2)
    parts = [[(one.start, one.version, one.segment) for one in part] for part in Metrics(Kept(lake), DAY).since(None, now(Lake(lake.root)))]
    assert any(len({str(one) for one in part}) > 2 for part in parts)
    assert all(part == sorted(part, key=lambda one: (one[0], one[1], tuple(one[2].values()))) for part in parts)
