"""What cannot be right about a sink is refused at the start, or named there, by its setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.lake import Lake
from tests.pages import filled


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return filled(tmp_path_factory.mktemp("addresses") / "lake", days=1)[0]


def conf(folder: Path, **sinks: str) -> Path:
    lines = [f"{name} = {json.dumps(value)}" for name, value in {"every": "1 day", **sinks}.items()]
    (folder / "settings.toml").write_text("\n".join(["[sinks]", *lines]))
    return folder


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("influx", "127.0.0.1:8086/write"),
        ("influx", "ftp://127.0.0.1/write"),
        ("prometheus", "http:///api/v1/write"),
        ("otlp", "http://host:port/v1/metrics"),
        ("otlp", "http://[::1/v1/metrics"),
        ("postgres", "localhost/metrics"),
        ("postgres", "postgresql://localhost/metrics"),
        ("postgres", "postgresql://user@localhost"),
        ("postgres", "postgresql://user@localhost:99999/metrics"),
        ("postgres", "http://user@localhost/metrics"),
    ],
)
def test_an_address_that_is_none_is_refused_by_its_setting(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, address: str
) -> None:
    assert main(["sinks", "--once", "--json", "--lake", str(lake.root), "--conf", str(conf(tmp_path, **{name: address}))]) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["error"] == "bad_value"
    assert f"sinks.{name}: expected an address of" in said["message"]


@pytest.mark.parametrize("address", ["postgresql://u@h/d", "postgres://u@[::1]:5433/d", ""])
def test_an_address_that_is_one_is_taken(tmp_path: Path, address: str) -> None:
    assert main(["sinks", "--once", "--lake", str(tmp_path), "--conf", str(conf(tmp_path, postgres=address))]) == 5  # no lake


@pytest.mark.parametrize(("name", "address"), [("postgres", "postgresql://u:guessed@h/d"), ("influx", "http://u:guessed@h/write")])
def test_a_password_in_an_address_is_refused_and_not_said(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, address: str
) -> None:
    assert main(["sinks", "--once", "--lake", str(lake.root), "--conf", str(conf(tmp_path, **{name: address}))]) == 3
    said = capsys.readouterr()
    assert "[secret_in_conf]" in said.err
    assert "guessed" not in said.out + said.err


def test_a_topic_without_brokers_is_refused(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sinks", "--once", "--lake", str(lake.root), "--conf", str(conf(tmp_path, kafka_alerts="alerts"))]) == 3
    assert "sinks.kafka_alerts" in (said := capsys.readouterr().err)
    assert "[no_brokers]" in said


@pytest.mark.parametrize(
    ("name", "address"), [("influx", "http://nosuch.invalid/write?db=d"), ("postgres", "postgresql://u@nosuch.invalid/d")]
)
def test_a_host_that_nobody_knows_is_named_at_the_start_and_stays_named(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, address: str
) -> None:
    assert main(["sinks", "--once", "--json", "--lake", str(lake.root), "--conf", str(conf(tmp_path, **{name: address}))]) == 1
    said = capsys.readouterr()
    assert f"sinks.{name}: the host 'nosuch.invalid' is not known here" in said.err
    (one,) = json.loads(said.out)
    assert "[sink_host_unknown]" in one["error"]
