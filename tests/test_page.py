"""What the page is served: the numbers, what they cost, what is said where something is missing, and who is refused."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pipelines.cli import main
from pipelines.contract import Table
from pipelines.explain import Sources
from pipelines.gold.metrics.plan import Source
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.maintain import maintain
from pipelines.metrics import question, windows_of
from pipelines.page.numbers import Answers
from pipelines.page.sums import KEYS, Kept, summed
from pipelines.paths import log_path
from pipelines.settings import load
from pipelines.silver.tables import QUARANTINE
from pipelines.watch.tables import ALERTS
from tests.lakes import CONF
from tests.pages import FRONTIER, filled, get, serve_day, served
from tests.watching import DAY, HOUR, MONDAY, append, reach

ASKED = {"model": "m", "label": "late", "metric": "accuracy", "every": "1 day"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return filled(tmp_path_factory.mktemp("page") / "lake")[0]


@pytest.fixture(scope="module")
def address(lake: Lake) -> Iterator[str]:
    with served(lake.root) as found:
        yield found


@pytest.fixture
def copy(lake: Lake, tmp_path: Path) -> Lake:
    """The lake, to be changed."""
    shutil.copytree(lake.root.parent, tmp_path, dirs_exist_ok=True)
    return Lake(tmp_path / "lake")


def asked(address: str, route: str, **parameters: Any) -> Any:
    """The answer, which must be one."""
    status, said, _ = get(f"{address}/api/{route}?{urlencode(parameters, doseq=True)}")
    assert status == 200, said
    return said


def refused(address: str, route: str, **parameters: Any) -> str:
    status, said, _ = get(f"{address}/api/{route}?{urlencode(parameters, doseq=True)}")
    assert status >= 400
    return str(said["error"])


def test_a_metric_comes_by_window_with_interval_coverage_and_whether_it_is_final(address: str) -> None:
    windows = asked(address, "metrics", **ASKED)["windows"]
    assert [one["final"] for one in windows] == [True, True, True, True, False, False]
    first = windows[0]
    assert first["start"] == "2026-03-02T00:00:00Z"
    assert [first["values"][name] for name in ("n", "exposed", "coverage")] == [32, 40, 0.8]
    assert first["values"]["accuracy_low"] < first["values"]["accuracy"] == 1.0
    by = asked(address, "metrics", **ASKED, by=["version", "origin"])["windows"]
    assert {(one["version"], one["segment"]["origin"]) for one in by} == {("1", "EWR"), ("1", "JFK"), ("2", "EWR")}
    assert sum(one["values"]["n"] for one in by) == sum(one["values"]["n"] for one in windows)


def test_the_last_windows_are_shown_and_earlier_ones_on_request(address: str) -> None:
    last = asked(address, "metrics", **ASKED, last=2)
    assert (last["start"], last["end"], len(last["windows"])) == ("2026-03-06T00:00:00Z", "2026-03-08T00:00:00Z", 2)
    before = asked(address, "metrics", **ASKED, last=2, until=last["start"])
    assert (before["start"], before["end"]) == ("2026-03-04T00:00:00Z", "2026-03-06T00:00:00Z")


def test_as_of_an_earlier_time_the_page_says_what_was_known_then(address: str) -> None:
    then = asked(address, "metrics", **ASKED, as_of="2026-03-04T12:00Z")["windows"]
    assert [(one["start"][8:10], one["final"]) for one in then] == [("02", False), ("03", False), ("04", False)]
    assert then[-1]["values"]["n"] < then[0]["values"]["n"]
    assert asked(address, "quarantine", as_of="2026-03-02")["of"] == 0
    assert refused(address, "metrics", **ASKED, as_of="2027-01-01") == "as_of_above_frontier"


def test_a_value_is_explained_down_to_the_log_as_the_command_does(
    address: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"model": "m", "label": "late", "metric": "accuracy", "cell": "2026-03-03", "grain": "1 day", "limit": 3}
    found = asked(address, "explain/metric", **about, segment="origin=JFK")
    assert found["agrees"]
    assert found["steps"][0]["feedback"][0]["position"]["offset"] == found["steps"][0]["inference"]["offset"] + 1
    words = [f"--{name}={value}" for name, value in about.items()]
    assert main(["explain", "metric", *words, "--segment", "origin=JFK", "--lake", str(lake.root), "--conf", str(CONF), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_what_was_sent_itself_is_not_shown(address: str) -> None:
    (one,) = asked(address, "explain/outcome", request="r-12")["outcomes"]
    assert one["votes"][0]["said"]["rater"] == "ann"
    assert "payload" not in json.dumps(one)


KEPT = Source("", "all", "1 day")


def kept_of(lake: Lake) -> tuple[Kept, Any]:
    """Sums of a lake, and a question about all that one source of it adds up to before a time."""
    kept = Kept(lake)
    of_label = next(row["definition"] for row in lake.read(STATISTICS).to_pylist() if row["label"] == "late")

    def ask(before: Any = FRONTIER) -> Any:
        source = replace(KEPT, definition=of_label)
        found = kept.sums(source, exposures=False, first=MONDAY.date(), last=FRONTIER.date(), before=before)
        rows = lake.read(STATISTICS).to_pylist()
        known = [row for row in rows if row["known_at"] < before and (row["definition"], row["cut"]) == (of_label, "all")]
        assert key(found.to_pylist()) == key(summed(STATISTICS.frame(known)).to_pylist())

    def key(rows: list[dict[str, Any]]) -> set[str]:
        return {repr(sorted(row.items())) for row in rows}

    return kept, ask


def test_a_commit_costs_its_new_files_only_and_a_later_time_none(copy: Lake, tmp_path: Path) -> None:
    kept, ask = kept_of(copy)
    ask()
    before = kept.files_read
    ask(FRONTIER + 2 * DAY)
    assert kept.files_read == before
    _, watched = filled(tmp_path / "other" / "lake", days=0)
    there = {*copy.open(STATISTICS).file_uris()}
    serve_day(copy, watched, 5)
    ask(FRONTIER + 2 * DAY)
    assert kept.files_read - before == len({*copy.open(STATISTICS).file_uris()} - there) > 0


def test_an_answer_is_kept_until_there_is_more(copy: Lake, tmp_path: Path) -> None:
    answers, known = Answers(Kept(copy)), Sources(copy.root)
    day = windows_of("1 day", None, MONDAY, FRONTIER)
    asks = question(known.definitions, known.frontier(), day, model="m", label="late")
    before = answers.windows(asks, "accuracy")
    assert answers.windows(asks, "accuracy") is before
    assert answers.windows(replace(asks, mature=True), "accuracy") is not before
    serve_day(copy, filled(tmp_path / "other" / "lake", days=0)[1], 5)
    assert [one.values["n"] for one in answers.windows(asks, "accuracy")] == [32] * 5 + [64]


@pytest.mark.parametrize("first", [MONDAY + 2 * DAY + HOUR, FRONTIER])
def test_sums_are_those_of_any_time_in_any_order(lake: Lake, first: Any) -> None:
    _, ask = kept_of(lake)
    for before in (first, FRONTIER, MONDAY + DAY, FRONTIER + DAY, MONDAY + 2 * DAY, FRONTIER):
        ask(before)


def test_no_more_is_kept_than_there_is_room_for(lake: Lake) -> None:
    kept, ask = kept_of(lake)
    ask()
    once = kept.files_read
    ask()
    assert kept.files_read == once
    kept.most = 1
    ask()
    ask()
    assert kept.files_read == 2 * once


def test_what_was_compacted_is_read_anew_and_adds_up_to_the_same(copy: Lake) -> None:
    kept, ask = kept_of(copy)
    ask()
    before = kept.files_read
    maintain(copy.root, (STATISTICS,), replace(load(CONF).maintain, small_files=1), vacuum=False)
    ask()
    assert kept.files_read - before == 6
    assert set(KEYS) < set(STATISTICS.names)


def test_an_empty_lake_says_so(tmp_path: Path) -> None:
    log_path(tmp_path).parent.mkdir()
    log_path(tmp_path).touch()
    with served(tmp_path) as address:
        assert refused(address, "lake") == "no_lake"
        assert asked(address, "flow")["jobs"]
        assert [asked(address, name)["of"] for name in ("alerts", "drift", "triggers", "loop", "releases", "quarantine")] == [0] * 6


def damaged(lake: Lake, table: Table) -> None:
    for file in lake.path(table).rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-8] + b"        ")


def test_a_damaged_table_is_said_and_the_rest_is_shown(copy: Lake) -> None:
    damaged(copy, QUARANTINE)
    append(copy, ALERTS, [])
    with served(copy.root) as address:
        assert refused(address, "quarantine") == "data_file_damaged"
        assert len(asked(address, "metrics", **ASKED)["windows"]) == 6


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("unknown_model", {"model": "n"}),
        ("unknown_label", {"label": "early"}),
        ("unknown_metric", {"metric": "acu"}),
        ("grain_not_declared", {"every": "1 hour"}),
        ("cut_not_declared", {"by": "carrier"}),
        ("not_a_time", {"as_of": "then"}),
        ("not_a_count", {"last": "all"}),
        ("unknown_parameter", {"evry": "1 day"}),
        ("bad_window", {"every": "999999999 days"}),
        ("out_of_range", {"every": "36000 days", "last": "2000"}),
    ],
)
def test_a_question_that_has_no_answer_is_refused_with_a_code(address: str, code: str, changed: dict[str, str]) -> None:
    assert refused(address, "metrics", **{**ASKED, **changed}) == code


@pytest.mark.parametrize(("code", "changed"), [("unknown_grain", {"grain": "1 fortnight"}), ("out_of_range", {"cell": "9999-12-31"})])
def test_a_cell_that_there_is_not_is_refused_with_a_code(address: str, code: str, changed: dict[str, str]) -> None:
    question = {"model": "m", "label": "late", "metric": "accuracy", "cell": "2026-03-02", "grain": "1 day"}
    assert refused(address, "explain/metric", **{**question, **changed}) == code


def test_only_reading_is_allowed_and_only_under_names_of_this_machine(address: str) -> None:
    assert [get(f"{address}/api/lake", method=method)[0] for method in ("POST", "PUT", "DELETE")] == [405, 405, 405]
    port = address.rpartition(":")[2]
    for host in (f"rebound.example:{port}", "127.0.0.1.rebound.example", "localhost.", ""):
        assert get(f"{address}/api/lake", {"Host": host})[0] == 421
    assert [get(f"{address}/", {"Host": f"{host}:{port}"})[0] for host in ("localhost", "LOCALHOST", "[::1]")] == [200] * 3


def test_no_script_but_the_page_s_own_runs_and_nothing_is_loaded_from_elsewhere(address: str) -> None:
    _, page, headers = get(address)
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert not re.search(r"(src|href)=\"(https?:)?//|<script>|\son\w+=", page)


def test_what_can_be_known_at_the_start_is_refused_there(copy: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    def code_of(*words: str) -> tuple[int, str]:
        code = main(["serve", "--lake", str(copy.root), "--conf", str(copy.root.parent / "conf"), "--json", *words])
        return code, json.loads(capsys.readouterr().out)["error"]

    assert code_of("--model", "n") == (2, "unknown_model")
    assert code_of("--port", "70000") == (2, "not_a_port")
    assert code_of("--host", "192.0.2.1") == (4, "address_not_ours")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert code_of("--port", str(taken.getsockname()[1])) == (4, "port_in_use")
    shutil.rmtree(copy.root)
    assert code_of() == (5, "no_lake")


def test_who_listens_is_told_when_there_is_something_new(copy: Lake) -> None:
    import urllib.request

    with served(copy.root) as address, urllib.request.urlopen(f"{address}/api/changes", timeout=10) as stream:
        before = json.loads(stream.readline().removeprefix(b"data: "))
        reach(copy, FRONTIER + DAY)
        stream.readline()
        after = json.loads(stream.readline().removeprefix(b"data: "))
    assert {name for name in after if after[name] != before[name]} == {"gold.frontiers"}
