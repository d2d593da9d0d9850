"""A real Prometheus scrapes the exporter, and its own tools take what it exposes."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.lake import Lake
from tests import servers
from tests.pages import decided, filled, serve_day
from tests.reliability.application import until
from tests.servers import running
from tests.watching import DAY, MONDAY, reach

pytestmark = pytest.mark.places


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = filled(tmp_path / "lake")[0]
    decided(found)
    return found


@contextmanager
def exporting(lake: Lake) -> Iterator[str]:
    """The address of an exporter of a lake, in a process of its own."""
    words = [sys.executable, "-m", "pipelines", "exporter", "--json", "--port", "0", "--lake", str(lake.root)]
    conf = lake.root.parent / "conf"
    (conf / "settings.toml").write_text('[sinks]\nevery = "1 day"\n')
    process = subprocess.Popen([*words, "--conf", str(conf)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told


def asked(port: int, query: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}", timeout=10) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
    return found


def test_prometheus_has_what_is_exposed_and_follows_it(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    with exporting(lake) as url, running(servers.prometheus(tmp_path / "prometheus", urllib.parse.urlsplit(url).port)) as monitor:
        port, recall = monitor.port, 'hindsight_quality{label="late", cut="all", version="1", metric="recall"}'
        assert until(lambda: len(asked(port, recall)) == 2, 30)
        values = {one["metric"]["state"]: float(one["value"][1]) for one in asked(port, recall)}
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        assert all(f'state="{state}",version="1"}} {value}' in text for state, value in values.items())
        assert asked(port, 'hindsight_open_alerts{rule="low"}')[0]["value"][1] == "1"
        before = asked(port, "hindsight_frontier_timestamp_seconds")[0]["value"][1]
        serve_day(lake, filled(tmp_path / "other" / "lake", days=0)[1], 6)
        reach(lake, MONDAY + 7 * DAY)
        assert until(lambda: asked(port, "hindsight_frontier_timestamp_seconds")[0]["value"][1] != before, 30)
        assert asked(port, "min(hindsight_readable)")[0]["value"][1] == "1"


def test_the_linter_of_prometheus_finds_nothing(lake: Lake) -> None:
    with exporting(lake) as url, urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
