"""Gates: suites are read strictly, judged by Great Expectations itself, and say what they found."""

from __future__ import annotations

import json
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import settings as configuration
from pipelines.cli import main
from pipelines.errors import ConfigError, InputError, MachineError
from pipelines.gates.judge import gate_of, judge
from pipelines.gates.suite import declared, load_suite
from pipelines.gates.types import TYPES
from pipelines.gates.validate import built
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.paths import log_path
from pipelines.silver.rules import ARGUMENTS, RowRules
from pipelines.silver.tables import CONTROLS, INFERENCES

CONF = Path(__file__).parent.parent / "conf"
VALUES = "expect_column_values_to_"
HOUR = {"type": f"{VALUES}be_between", "kwargs": {"column": "features.hour", "min_value": 0, "max_value": 23}}
CARRIER = {"type": f"{VALUES}match_regex", "kwargs": {"column": "features.carrier", "regex": "^(A|B)"}}
MEAN = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "score", "min_value": 0.4}}
MANY = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 3}}
QUANTILES = {
    "type": "expect_column_quantile_values_to_be_between",
    "kwargs": {"column": "score", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[2, 3]]}},
}
DISTINCT = {"type": "expect_column_distinct_values_to_be_in_set", "kwargs": {"column": "features.carrier", "value_set": ["AA"]}}
COST = {"type": f"{VALUES}not_be_null", "kwargs": {"column": "measures.cost", "mostly": 0.5}}
OUTCOME = {"type": f"{VALUES}be_in_set", "kwargs": {"column": "number", "value_set": [0, 1]}}


def conf_of(folder: Path, *expectations: Any, text: str | None = None) -> Path:
    (folder / "expectations").mkdir(parents=True, exist_ok=True)
    body = text if text is not None else json.dumps({"name": "m", "expectations": expectations})
    (folder / "expectations" / "m.json").write_text(body)
    return folder


def changed(expectation: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    return {**expectation, "kwargs": {**expectation["kwargs"], **kwargs}}


def examples(*rows: tuple[dict[str, Any] | None, float | None]) -> pa.Table:
    """Rows as a release holds them: features as JSON, null where there are none."""
    features = [None if held is None else json.dumps(held) for held, _ in rows]
    return pa.table({"features": pa.array(features, pa.string()), "score": pa.array([score for _, score in rows], pa.float64())})


GOOD = examples(({"hour": 1, "carrier": "AA"}, 0.5), ({"hour": 2, "carrier": "B6"}, 0.75), ({"hour": 23}, None))
BAD = examples(({"hour": 24, "carrier": "AA"}, 0.5), ({"carrier": "ZZ"}, 0.1), (None, None))


# --- reading a suite -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ('{"name": "m", "expectations": [{"type": "x", "kwargs": {"a": NaN}}]}', "NaN is no JSON number"),
        ("[]", 'an object with "name" and "expectations"'),
        ('{"expectation": []}', 'an object with "name" and "expectations"'),
        ('{"expectations": [], "naem": "m"}', 'unknown key naem (did you mean "name"?)'),
        ('{"expectations": [], "name": "\\ud800"}', "surrogates not allowed"),
        ('{"expectations": [1]}', 'expectations[0]: expected an object with "type" and "kwargs"'),
    ],
)
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as refusal:
        load_suite(conf_of(tmp_path, text=text), "m")
    assert refusal.value.code == "suite_invalid"
    assert "m.json" in refusal.value.message


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        ({**HOUR, "type": f"{VALUES}be_betwen"}, f'knows (did you mean "{VALUES}be_between"?)'),
        ({**HOUR, "type": [7]}, "[7] is no expectation"),
        ({**HOUR, "kwarg": {}}, 'unknown key kwarg (did you mean "kwargs"?)'),
        ({**HOUR, "severity": "warning"}, 'expected "critical"'),
        (changed(HOUR, min_valu=1), 'expectations[1].kwargs.min_valu: unknown key (did you mean "min_value"?)'),
        (changed(HOUR, min_value=24), "nothing lies between min_value 24"),
        (changed(HOUR, min_value=23, strict_max=True), "nothing lies between"),
        (changed(HOUR, min_value=None, max_value=None), "both null"),
        (changed(HOUR, min_value=True), "Expected `float | null`"),
        (changed(HOUR, column="scroe"), 'unknown column scroe (did you mean "score"?)'),
        (changed(HOUR, column="feature.hour"), "unknown column feature.hour"),
        (changed(HOUR, column="features."), "features. is no column"),
        (changed(CARRIER, regex="["), "does not compile"),
        (changed(CARRIER, regex="[", mostly=0.9), "does not compile"),
        (changed(MEAN, max_value=0.1), "nothing lies between min_value 0.4 and max_value 0.1"),
        (changed(OUTCOME, value_set=[]), "length >= 1"),
    ],
    ids=lambda one: None if isinstance(one, str) else json.dumps(one)[-60:],
)
def test_a_mistake_is_named_with_its_place_and_what_was_meant(tmp_path: Path, expectation: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as refusal:
        load_suite(conf_of(tmp_path, CARRIER, expectation), "m")
    assert refusal.value.code == "suite_invalid"
    assert "expectations[1]" in refusal.value.message


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        (changed(MEAN, min_valu=1), 'expectations[1].kwargs.min_valu: unknown key (did you mean "min_value"?)'),
        ({**MEAN, "kwargs": {"min_value": 1}}, "expectations[1].kwargs: 1 validation error for ExpectColumnMeanToBeBetween column"),
    ],
)
def test_what_only_great_expectations_knows_it_refuses(tmp_path: Path, expectation: dict[str, Any], told: str) -> None:
    suite = load_suite(conf_of(tmp_path, HOUR, expectation), "m")
    with pytest.raises(ConfigError, match=re.escape(told)) as refusal:
        judge(GOOD, suite)
    assert refusal.value.code == "suite_invalid"


def test_every_name_that_a_suite_may_use_great_expectations_knows() -> None:
    pytest.importorskip("great_expectations")
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    assert set(list_registered_expectation_implementations()) >= TYPES >= set(ARGUMENTS)


def test_more_rules_than_a_control_event_holds_are_refused(tmp_path: Path) -> None:
    long = {"type": f"{VALUES}be_in_set", "kwargs": {"column": "subject", "value_set": ["x" * 1_048_576]}}
    for expectations in ([HOUR] * 1001, [long]):
        with pytest.raises(ConfigError, match="row rules; expected at most") as refusal:
            load_suite(conf_of(tmp_path, *expectations), "m")
        assert refusal.value.code == "suite_invalid"


@pytest.mark.parametrize(
    ("expectation", "why"),
    [
        (HOUR, ""),
        (changed(HOUR, mostly=1), ""),
        (changed(HOUR, mostly=0.99), "mostly"),
        (changed(HOUR, row_condition='origin=="JFK"', condition_parser="pandas"), "row_condition"),
        (changed(HOUR, min_value="2013-01-01", max_value=None), "a bound is a text"),
        (MEAN, "it is not about single rows"),
        ({"type": f"{VALUES}be_of_type", "kwargs": {"column": "score", "type_": "float64"}}, "it is not about single rows, or would not"),
        (OUTCOME, "number is known at releases only"),
    ],
)
def test_what_is_no_row_rule_says_why(tmp_path: Path, expectation: dict[str, Any], why: str) -> None:
    (found,) = load_suite(conf_of(tmp_path, expectation), "m").expectations
    assert (found.rule is None) == bool(why)
    assert found.why.startswith(why)


def test_a_suite_of_no_model_is_refused(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / "conf" / "expectations" / "arrival_dealy.json").write_text('{"expectations": []}')
    with pytest.raises(ConfigError, match=re.escape('did you mean "arrival_delay"?')) as refusal:
        declared(configuration.load(tmp_path / "conf"))
    assert refusal.value.code == "suite_invalid"


def test_the_suite_of_the_demo_is_one_and_great_expectations_takes_it() -> None:
    suite = load_suite(CONF, "arrival_delay")
    assert len(suite.rules) >= 10
    assert len(built(suite)) == len(suite.expectations)
    rules = RowRules("arrival_delay", suite.rules)
    assert RowRules.of("arrival_delay", rules.body()) == rules


# --- judging ---------------------------------------------------------------------------------------------------------


def test_what_holds_passes(tmp_path: Path) -> None:
    verdict = judge(GOOD, load_suite(conf_of(tmp_path, HOUR, CARRIER, MEAN, MANY), "m"))
    assert verdict.passed
    assert [one.passed for one in verdict.rules] == [True] * 4
    assert [one.unexpected for one in verdict.rules] == [0, 0, None, None]
    assert (verdict.rows, verdict.rules[2].observed, verdict.rules[3].observed) == (3, 0.625, 3)


def test_what_does_not_is_counted_with_examples_in_the_order_of_the_suite(tmp_path: Path) -> None:
    verdict = judge(BAD, load_suite(conf_of(tmp_path, MANY, CARRIER, HOUR, MEAN), "m"))
    assert not verdict.passed
    assert [one.rule for one in verdict.failed] == [CARRIER["type"], HOUR["type"], MEAN["type"]]
    assert [(one.column, one.unexpected, one.examples) for one in verdict.failed[:2]] == [
        ("features.carrier", 1, ("ZZ",)),
        ("features.hour", 1, (24.0,)),
    ]
    assert json.loads(json.dumps(verdict.to_dict()))["passed"] is False


def test_a_column_that_no_row_has_fails_and_says_what_was_meant(tmp_path: Path) -> None:
    verdict = judge(GOOD, load_suite(conf_of(tmp_path, changed(HOUR, column="features.huor"), MEAN), "m"))
    assert [one.passed for one in verdict.rules] == [False, True]
    assert verdict.rules[0].told == 'no row has features.huor (did you mean "features.hour"?)'


def test_a_column_that_such_rows_do_not_have_is_not_judged(tmp_path: Path) -> None:
    verdict = judge(GOOD, load_suite(conf_of(tmp_path, COST, OUTCOME, MEAN), "m"))
    assert [one.passed for one in verdict.rules] == [None, None, True]
    assert verdict.passed
    with pytest.raises(InputError) as refusal:
        judge(GOOD, load_suite(conf_of(tmp_path, COST, OUTCOME, MANY), "m"))
    assert refusal.value.code == "no_columns"


def test_texts_beside_bounds_fail_and_are_told(tmp_path: Path) -> None:
    mixed = examples(({"hour": 1}, 0.5), ({"hour": "late"}, 0.5))
    (found,) = judge(mixed, load_suite(conf_of(tmp_path, HOUR), "m")).failed
    assert "same type" in found.told


def test_the_page_is_that_of_great_expectations_and_fetches_nothing(tmp_path: Path) -> None:
    hostile = '<img src="https://elsewhere/x.png"><script>alert(1)</script>'
    rows = pa.concat_tables([BAD, examples(({"carrier": hostile}, 0.5))])
    verdict = gate_of("m", conf_of(tmp_path, HOUR, CARRIER, MANY, DISTINCT), tmp_path / "docs")(rows)
    (page,) = (tmp_path / "docs").iterdir()
    assert verdict.docs == page.as_uri()
    said = page.read_text()
    assert all(word in said for word in ("features.carrier", "ZZ", "values must match this regular expression"))
    assert "default-src 'none'" in said
    assert not re.search(r"<script|<link|<img|<iframe|<object|@import|url\(|\bsrc=\"", said)


def test_each_verdict_has_a_page_of_its_own(tmp_path: Path) -> None:
    gate = gate_of("m", conf_of(tmp_path, HOUR), tmp_path / "docs")
    told = [gate(GOOD).docs, gate(BAD).docs]
    assert told == [page.as_uri() for page in sorted((tmp_path / "docs").iterdir())]


@pytest.mark.parametrize("expectation", [QUANTILES, DISTINCT], ids=["quantiles", "distinct values"])
def test_what_is_found_in_numbers_of_numpy_can_be_told(tmp_path: Path, expectation: dict[str, Any], caplog: Any) -> None:
    verdict = gate_of("m", conf_of(tmp_path, expectation), tmp_path / "docs")(BAD)
    assert verdict.rules[0].passed is False
    assert json.loads(json.dumps(verdict.to_dict()))["rules"][0]["told"] == ""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_model_without_a_suite_passes_its_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    assert gate_of("other", conf_of(tmp_path, HOUR))(BAD).passed


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    with pytest.raises(MachineError, match=re.escape("hindsight-lakehouse[loop]")) as refusal:
        judge(BAD, load_suite(conf_of(tmp_path, HOUR), "m"))
    assert refusal.value.code == "extra_missing"


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Three inferences of m, one of which failed, and one of another model."""
    root, served = tmp_path / "lake", datetime(2026, 3, 1, 12, tzinfo=UTC)
    EmbeddedLog(log_path(root), durable=False).close()
    said = [("1", "m", "ok", 31.0, 1), ("2", "m", "error", 99.0, 1), ("3", "m", "ok", 1.0, 2), ("4", "other", "ok", 99.0, 2)]
    rows = [
        INFERENCES.row(
            request_id=name, model=model, status=status, features=json.dumps({"hour": hour}), score=0.5,
            served_at=served.replace(day=day), served_date=served.replace(day=day).date(), offset=int(name),
        )
        for name, model, status, hour, day in said
    ]  # fmt: skip
    tables = Lake(root)
    tables.create(INFERENCES, CONTROLS)
    tables.append(INFERENCES, INFERENCES.frame(rows), Mark("test", 0), {})
    return root


def words(lake: Path, tmp_path: Path, *expectations: Any) -> list[str]:
    conf = conf_of(tmp_path / "conf", *expectations)
    shutil.copy(CONF / "settings.toml", conf)
    return ["--lake", str(lake), "--conf", str(conf), "--model", "m"]


def test_check_judges_what_is_in_the_lake(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = words(lake, tmp_path, HOUR, COST, OUTCOME)
    assert main(["gates", "check", *options, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["rules"][0]["passed"], said["rules"][0]["unexpected"]) == (2, False, 1)
    assert main(["gates", "check", *options, "--since", "2026-03-02"]) == 1
    assert "no row has measures.cost" in capsys.readouterr().out
    assert main(["gates", "check", *words(lake, tmp_path, HOUR, OUTCOME), "--since", "2026-03-02"]) == 0
    assert "nothing is broken" in capsys.readouterr().out


def test_a_file_where_the_folder_of_the_page_should_be_is_named(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for docs in (tmp_path / "file", tmp_path / "file" / "docs"):
        assert main(["gates", "check", *words(lake, tmp_path, HOUR), "--docs", str(docs)]) == 2
        assert "not_a_folder" in capsys.readouterr().err


def test_show_says_what_refine_keeps_and_since_when(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = words(lake, tmp_path, HOUR, MEAN, changed(CARRIER, regex="[a-z][/b]", mostly=0.5))
    assert main(["gates", "show", *options]) == 0
    shown = capsys.readouterr().out
    assert "not in force yet" in shown
    assert "regex='[a-z][/b]'" in shown
    body = json.loads(RowRules("m", load_suite(tmp_path / "conf", "m").rules).control())["body"]
    row = CONTROLS.row(action="expect", model="m", body=json.dumps(body), offset=7)
    Lake(lake).append(CONTROLS, CONTROLS.frame([row]), Mark("test", 1), {})
    assert main(["gates", "show", *options, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["in_force_above_offset"] == 7
    assert [one["row_rule"] for one in said["expectations"]] == [True, False, False]


def test_a_model_without_a_suite_has_nothing_to_show(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gates", "check", *words(lake, tmp_path, HOUR)[:-1], "n"]) == 2
    assert "no_suite" in capsys.readouterr().err
