"""A real Prometheus scrapes the exporter, and its own tools take what it exposes."""

from __future__ import annotations

import json
import re
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
RULES = Path(__file__).parent.parent / "conf" / "prometheus" / "hindsight.yml"
WELL = {
    "hindsight_log_records": "1000+200x180",
    "hindsight_frontier_timestamp_seconds": "0+60x180",
    'hindsight_job_lag_seconds{name="land"}': "2x180",
    'hindsight_quarantined_records{reason="not_json"}': "0+5x180",
    'hindsight_sink_failing{sink="influx"}': "0x180",
    'hindsight_sink_lag_seconds{sink="influx"}': "600x180",
    'hindsight_open_alerts{model="m", label="late", rule="low"}': "0x180",
    'hindsight_readable{part="metrics"}': "1x180",
}
"""A value a minute, for three hours, of which no rule says anything."""
ILL = {
    "nothing": ({}, None),
    "a job lags": ({'hindsight_job_lag_seconds{name="land"}': "0+10x180"}, 'HindsightJobLags", name="land'),
    "a job lagged for a moment": ({'hindsight_job_lag_seconds{name="land"}': "0x175 900x3 0x10"}, None),
    "the frontier stands still": ({"hindsight_frontier_timestamp_seconds": "0+60x60 3600x120"}, "HindsightFrontierStandsStill"),
    "the frontier rested for a while": ({"hindsight_frontier_timestamp_seconds": "0+60x150 9000x20 9060+60x20"}, None),
    "a tenth is refused": ({'hindsight_quarantined_records{reason="not_json"}': "0+20x180"}, "HindsightManyRefused"),
    "the first are refused": ({'hindsight_quarantined_records{reason="not_json"}': "0x160 0+100x20"}, "HindsightManyRefused"),
    "three of four are refused": (
        {"hindsight_log_records": "1000x130 1000+0.1x50", 'hindsight_quarantined_records{reason="not_json"}': "0x130 0+0.07x50"}, None
    ),
    "a sink is down": ({'hindsight_sink_failing{sink="influx"}': "0x100 1x80"}, 'HindsightSinkDown", sink="influx'),
    "a sink failed once": ({'hindsight_sink_failing{sink="influx"}': "0x178 1x2"}, None),
    "a sink is behind": ({'hindsight_sink_lag_seconds{sink="influx"}': "0+60x180"}, 'HindsightSinkBehind", sink="influx'),
    "recall fell": (
        {'hindsight_open_alerts{model="m", label="late", rule="low"}': "0x170 1x10"},
        'HindsightQualityAlert", label="late", model="m", rule="low',
    ),
    "a table is damaged": ({'hindsight_readable{part="metrics"}': "1x100 0x80"}, 'HindsightUnreadable", part="metrics'),
    "the exporter is gone": ({"hindsight_log_records": "1000+200x100 stale"}, "HindsightExporterAbsent"),
}
"""What is otherwise, and the one alert that it raises, with its labels."""
CRITICAL = ("HindsightFrontierStandsStill", "HindsightUnreadable", "HindsightExporterAbsent")


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


def test_each_rule_fires_when_it_should_and_no_other_does(tmp_path: Path) -> None:
    assert {said.partition('"')[0] for _, said in ILL.values() if said} == set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tests = [_expecting(name, WELL | changed, alert) for name, (changed, alert) in ILL.items()]
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    for words in (["check", "rules", str(RULES)], ["test", "rules", str(tmp_path / "tests.yml")]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _expecting(name: str, series: dict[str, str], alert: str | None) -> dict[str, Any]:
    """A test of promtool: the alerts that fire after three hours."""
    found = []
    if alert is not None:
        severity = "critical" if alert.startswith(CRITICAL) else "warning"
        found = [{"labels": f'ALERTS{{alertname="{alert}", alertstate="firing", severity="{severity}"}}', "value": 1}]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": "3h", "exp_samples": found}],
    }
