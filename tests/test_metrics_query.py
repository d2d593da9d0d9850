"""metrics(): windows, groups, as of when, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession
from rich.console import Console

from pipelines.charts import draw
from pipelines.contract import Table
from pipelines.definition import Definition, Policy
from pipelines.errors import InputError, StateError
from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.metrics import metrics, metrics_as_of
from pipelines.metrics_table import render
from pipelines.silver.tables import CONTROLS

GOLDEN = Path(__file__).parent / "golden" / "statistics.csv"
HOURS = ("1 hour", "1 day")
CUTS: tuple[tuple[str, ...], ...] = ((), ("origin",))
LATE = Policy("binary", "request", "latest", 7200)
CLICK = Policy("binary", "request", "latest", 1800, "negative")
M = {
    "": Definition("m", "", ((),), ("1 hour",)),
    "late": Definition("m", "late", ((),), ("1 hour",), policy=LATE, judges="prediction", positive=1.0, threshold=0.5),
}
M["click"] = replace(M["late"], label="click", policy=CLICK)
BY_ORIGIN: tuple[tuple[str, tuple[str, ...]], ...] = (("origin", ()),)
FLIGHTS = Definition("flights", "", CUTS, HOURS, BY_ORIGIN, measures=("latency_ms", "cost"))
DELAYED = Definition("flights", "delayed", CUTS, HOURS, BY_ORIGIN, policy=LATE, positive=1.0)
DELAYED_BEFORE = replace(DELAYED, threshold=0.9)
SLATES = Definition("slates", "", ((),), ("1 hour",))
CHOSEN = Definition("slates", "chosen", ((),), ("1 hour",), policy=replace(LATE, unit="item"), positive=1.0)
KINDS = {
    "": Definition("kinds", "", ((),), ("1 hour",)),
    "kind": Definition("kinds", "kind", ((),), ("1 hour",), policy=replace(LATE, type="category"), judges="prediction"),
    "good": Definition("kinds", "good", ((),), ("1 hour",), policy=LATE, judges="prediction", score_buckets=10),
}
DECLARED = (*M.values(), FLIGHTS, DELAYED_BEFORE, DELAYED, SLATES, CHOSEN, *KINDS.values())
FRONTIER = datetime(2026, 3, 1, 16, 0, 30, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def posted(definition: Definition, statistic: str, amount: int | str, **changed: Any) -> dict[str, Any]:
    """One increment in the hour of 10:00 on the first of March, known at 10:30, unless it says otherwise."""
    row = {
        **{"model": definition.model, "label": definition.label, "definition": definition.hash, "grain": "1 hour"},
        **{"basis": "answered" if definition.policy else "exposed", "cut": "all", "segment": "[]", "bucket": ""},
        **{"cell_at": at("2026-03-01T10:00"), "known_at": at("2026-03-01T10:30"), "version": "1"},
        **{"experiment": "", "arm": "", "unit_group": ""},
        **changed,
    }
    return STATISTICS.row(
        **row, statistic=statistic, amount=Decimal(amount), cell_date=row["cell_at"].date(), tenant="default"
    )


def golden() -> Iterator[dict[str, Any]]:
    for line in csv.DictReader(GOLDEN.read_text().splitlines()):
        times = {name: datetime.fromisoformat(line[name]) for name in ("cell_at", "known_at")}
        yield posted(M[line["label"]], line["statistic"], line["amount"], basis=line["basis"], **times)


def flights() -> Iterator[dict[str, Any]]:
    """Two hours, and by day, too: JFK right twice under version 1, LGA right once and wrong once under version 2."""
    for origin, version, right, wrong in (("JFK", "1", 2, 0), ("LGA", "2", 1, 1)):
        for cut, segment in (("all", "[]"), ("origin", f'["{origin}"]')):
            for hour, grain in (("10:00", "1 hour"), ("11:00", "1 hour"), ("00:00", "1 day")):
                where = {"cut": cut, "segment": segment, "version": version, "grain": grain}
                cell = {**where, "cell_at": at(f"2026-03-01T{hour}")}
                times = 2 if grain == "1 day" else 1
                yield posted(FLIGHTS, "n", 4 * times, **cell)
                yield posted(FLIGHTS, "cost", f"{0.5 * times}", **cell)
                yield posted(FLIGHTS, "cost.n", 4 * times, **cell)
                yield posted(FLIGHTS, "latency_ms.histogram", 4 * times, bucket="300", **cell)
                yield posted(DELAYED, "n", (right + wrong) * times, **cell)
                yield posted(DELAYED, "tp", right * times, **cell)
                yield posted(DELAYED, "fp", wrong * times, **cell)
                yield posted(DELAYED, "positive", right * times, **cell)
    yield posted(DELAYED_BEFORE, "n", 1)
    yield posted(DELAYED_BEFORE, "fn", 1)
    next_week = at("2026-03-02T09:00")
    yield posted(DELAYED, "n", 1, cell_at=next_week)
    yield posted(DELAYED, "tn", 1, cell_at=next_week)


def slates() -> Iterator[dict[str, Any]]:
    yield posted(SLATES, "n", 2)
    yield posted(SLATES, "items", 10)
    yield posted(CHOSEN, "n", 4)


def kinds() -> Iterator[dict[str, Any]]:
    """Of two ants one was taken for a bee; of three scores the only good one is the second best."""
    for statistic, bucket in (("class.actual", "ant"), ("class.predicted", "ant"), ("class.correct", "ant")):
        yield posted(KINDS["kind"], statistic, 2 if statistic == "class.actual" else 1, bucket=bucket)
    yield posted(KINDS["kind"], "class.predicted", 1, bucket="bee")
    yield posted(KINDS[""], "n", 3)
    yield posted(KINDS["kind"], "judged", 2)
    yield posted(KINDS["kind"], "correct", 1)
    yield posted(KINDS["good"], "score.positive", 1, bucket="7")
    yield posted(KINDS["good"], "score.negative", 1, bucket="9")
    yield posted(KINDS["good"], "score.negative", 1, bucket="2")


def write(lake: Path, table: Table, rows: list[dict[str, Any]]) -> None:
    write_deltalake(lake / table.folder, table.frame(rows), partition_by=list(table.partition_by))


def declare(definition: Definition, offset: int) -> dict[str, Any]:
    body = definition.control().decode()
    return CONTROLS.row(
        action="define", model=definition.model, definition=definition.hash, offset=offset,
        body=body[body.index('"body":') + 7 : body.index(',"definition"')],
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    write(root, STATISTICS, [*golden(), *flights(), *slates(), *kinds()])
    frontiers = [None, FRONTIER - timedelta(hours=1), FRONTIER]
    write(root, FRONTIERS, [FRONTIERS.row(frontier=f, end_offset=i) for i, f in enumerate(frontiers)])
    write(root, CONTROLS, [declare(definition, offset) for offset, definition in enumerate(DECLARED)])
    return root


@pytest.fixture
def ask(spark: SparkSession, lake: Path) -> Any:
    """The rows of an answer, in its order."""
    return lambda **question: [row.asDict() for row in metrics(spark, lake=lake, **question).collect()]


def test_the_golden_trace_as_of_each_moment(ask):
    def late(as_of: str) -> tuple[int, float, float | None]:
        (row,) = ask(model="m", label="late", every="1 day", as_of=at(as_of))
        return row["exposed"], row["n"], row["accuracy"]

    assert late("2026-03-01T10:50") == (2, 2, 0.5)
    assert late("2026-03-01T11:10") == (2, 2, 1.0)
    assert late("2026-03-01T16:00") == (3, 2, 1.0)


def test_asked_as_of_several_times_it_answers_as_of_each(ask, spark, lake):
    times = [at("2026-03-01T10:50"), at("2026-03-01T11:10")]
    question = {"model": "m", "label": "late", "every": "1 day"}
    rows = [row.asDict() for row in metrics_as_of(spark, times, lake=lake, **question).orderBy("as_of").collect()]
    assert [row.pop("as_of").replace(tzinfo=UTC) for row in rows] == times
    assert rows == [row for one in times for row in ask(as_of=one, **question)]
    with pytest.raises(InputError) as refused:
        metrics_as_of(spark, [], lake=lake, **question)
    assert refused.value.code == "no_times"


def test_the_golden_trace_at_the_end_says_how_much_it_rests_on(ask):
    (row,) = ask(model="m", label="late", every="1 day")
    assert row["coverage"] == pytest.approx(2 / 3)
    assert row["maturity"] == 1.0
    assert row["coverage_low"] < 2 / 3 < row["coverage_high"]


def test_silence_counts_once_it_is_mature(ask):
    def click(as_of: str, *, mature: bool = True) -> tuple[int, float | None]:
        (row,) = ask(model="m", label="click", every="1 day", as_of=at(as_of), mature=mature)
        return row["n"], row["accuracy"]

    assert click("2026-03-01T10:45") == (2, 0.5)
    assert click("2026-03-01T11:10") == (2, 1.0)
    assert click("2026-03-01T16:00") == (3, pytest.approx(2 / 3))
    assert click("2026-03-01T16:00", mature=False) == (1, 1.0)


def test_a_window_with_exposures_and_no_answer_is_a_row_with_coverage_zero(ask):
    (row,) = ask(model="m", label="late", as_of=at("2026-03-01T10:30"))
    assert (row["n"], row["exposed"], row["coverage"], row["accuracy"], row["auc"]) == (0, 2, 0.0, None, None)


def test_a_window_is_final_when_its_end_and_the_attribution_window_are_past(ask):
    rows = ask(model="m", as_of=at("2026-03-01T13:00"))
    provisional = {(row["label"], row["window_start"].hour) for row in rows if not row["final"]}
    assert len(rows) == 6
    assert provisional == {("late", 11)}


def test_a_time_within_a_minute_is_the_minute(ask):
    within = ask(model="m", label="late", as_of=at("2026-03-01T10:45:59"))
    assert within == ask(model="m", label="late", as_of=at("2026-03-01T10:45"))
    assert within[0]["n"] == 1


def test_the_service_has_its_own_rows_with_its_measures(ask):
    row = ask(model="flights", label="", every="1 day")[0]
    assert (row["n"], row["error_rate"], row["cost_total"]) == (16, 0.0, 2.0)
    assert row["throughput"] == pytest.approx(16 / 86_400)
    assert row["latency_ms_p95"] == pytest.approx(0.001 * 1.02**300, abs=1e-9)
    assert row["cost_per_thousand"] == pytest.approx(125)


def test_cost_per_good_outcome_joins_the_service_to_the_label(ask):
    row = ask(model="flights", label="delayed", every="1 day")[0]
    assert row["cost_per_good_outcome"] == pytest.approx(2.0 / 6)


def test_a_cut_chooses_the_segments_it_is_asked_by(ask):
    rows = ask(model="flights", label="delayed", every="1 day", by=["origin"])
    assert [(row["origin"], row["n"], row["accuracy"], row["coverage"]) for row in rows] == [
        ("JFK", 4, 1.0, 0.5),
        ("LGA", 4, 0.5, 0.5),
    ]


def test_version_is_a_group_in_every_cut(ask):
    rows = ask(model="flights", label="delayed", every="1 day", by=["version", "origin"])
    assert [(row["version"], row["origin"], row["n"]) for row in rows] == [("1", "JFK", 4), ("2", "LGA", 4)]
    by_version = ask(model="flights", label="delayed", by=["version", "label"])
    assert [(row["version"], row["window_start"].day, row["n"]) for row in by_version] == [
        ("1", 1, 2), ("1", 1, 2), ("1", 2, 1), ("2", 1, 2), ("2", 1, 2)
    ]  # fmt: skip


def test_weeks_start_on_mondays_however_they_are_spelled(ask):
    weeks = ask(model="flights", label="delayed", every="1 week")
    # the first of March 2026 was a Sunday; the hour on the second stands in the grain of hours only
    assert [(row["window_start"].isoformat()[:10], row["n"]) for row in weeks] == [("2026-02-23", 8)]
    assert weeks == ask(model="flights", label="delayed", every="7 days")


def test_the_coarsest_grain_that_divides_the_window_is_read(ask):
    assert sum(row["n"] for row in ask(model="flights", label="delayed", every="2 hours")) == 9
    assert sum(row["n"] for row in ask(model="flights", label="delayed", every="1 day")) == 8


def test_sliding_windows_move_in_steps(ask):
    rows = ask(model="flights", label="delayed", every="1 hour", sliding="2 hours", end=at("2026-03-02T00:00"))
    assert [(row["window_start"].hour, row["window_end"].hour, row["n"]) for row in rows] == [
        (9, 11, 4), (10, 12, 8), (11, 13, 4)
    ]  # fmt: skip


def test_start_and_end_keep_the_windows_that_lie_between(ask):
    hours = ask(model="flights", label="delayed", start=at("2026-03-01T10:30"), end=at("2026-03-02T09:59"))
    assert [row["window_start"].hour for row in hours] == [11]
    exact = ask(model="flights", label="delayed", start=at("2026-03-01T10:00"), end=at("2026-03-01T11:00"))
    assert [row["window_start"].hour for row in exact] == [10]


def test_the_newest_definition_is_read_unless_told(ask):
    newest = ask(model="flights", label="delayed")
    assert {row["definition"] for row in newest} == {DELAYED.hash}
    (before,) = ask(definition=DELAYED_BEFORE.hash, end=at("2026-03-01T11:00"))
    assert (before["label"], before["n"], before["recall"], before["exposed"]) == ("delayed", 1, 0.0, 8)


def test_items_are_covered_by_items(ask):
    (row,) = ask(model="slates", label="chosen")
    assert (row["exposed"], row["coverage"]) == (10, 0.4)


def test_a_metric_per_class_is_a_map(ask):
    (row,) = ask(model="kinds", label="kind")
    assert (row["accuracy"], row["class_recall"]) == (0.5, {"ant": 0.5, "bee": None})
    assert row["class_precision"] == {"ant": 1.0, "bee": 0.0}
    assert row["class_precision_high"]["ant"] == 1.0


def test_score_buckets_are_those_of_the_definition(ask):
    (row,) = ask(model="kinds", label="good")
    assert (row["auc"], row["auc_low"], row["average_precision"]) == (0.5, None, 0.5)
    assert row["calibration_error"] == pytest.approx((0.25 + 0.25 + 0.95) / 3)


def test_an_answer_goes_into_a_chart_and_a_table(spark, lake, tmp_path):
    flights = metrics(spark, lake=lake, model="flights", by=["origin"]).toPandas()
    assert draw(flights, tmp_path / "flights.png", metrics=["accuracy", "coverage", "throughput"]).stat().st_size
    kinds = metrics(spark, lake=lake, model="kinds", label="kind").toPandas()
    table = StringIO()
    Console(file=table, width=160).print(render(kinds, ["accuracy", "class_recall"]))
    assert "ant 0.5, bee -" in table.getvalue()


def test_without_a_model_every_model_and_label_answers(ask):
    found = {(row["model"], row["label"]) for row in ask(every="1 day", by=["version"])}
    assert found == {(one.model, one.label) for one in DECLARED}


@pytest.mark.parametrize(
    ("code", "question"),
    [
        ("as_of_above_frontier", {"as_of": FRONTIER + timedelta(minutes=1)}),
        ("naive_time", {"as_of": datetime(2026, 3, 1)}),
        ("naive_time", {"start": datetime(2026, 3, 1)}),
        ("unknown_model", {"model": "flihgts"}),
        ("unknown_label", {"model": "m", "label": "delayed"}),
        ("unknown_definition", {"definition": "0" * 16}),
        ("cut_not_declared", {"model": "flights", "by": ["carrier"]}),
        ("grain_not_declared", {"model": "m", "every": "90 minutes"}),
        ("grain_not_declared", {"model": "m", "every": "1 minute", "sliding": "1 hour"}),
        ("bad_window", {"every": "90 seconds"}),
        ("bad_window", {"every": "0 hours"}),
        ("bad_window", {"every": "often"}),
        ("bad_window", {"every": "1000000 days"}),
        ("bad_window", {"every": "1 day", "sliding": "1 hour"}),
    ],
)
def test_what_cannot_be_answered_is_refused(ask, code, question):
    with pytest.raises(InputError) as refused:
        ask(**question)
    assert refused.value.code == code


def test_a_refusal_names_what_there_is(ask):
    with pytest.raises(InputError, match=r'by "carrier"; it declares the cuts "all", "origin"'):
        ask(model="flights", by=["carrier"])
    with pytest.raises(InputError, match=r'did you mean "flights"'):
        ask(model="flihgts")


def test_a_lake_without_frontier_has_no_numbers_yet(spark, tmp_path):
    with pytest.raises(StateError) as nothing:
        metrics(spark, lake=tmp_path)
    assert nothing.value.code == "no_lake"
    write(tmp_path, FRONTIERS, [FRONTIERS.row(frontier=None)])
    with pytest.raises(StateError) as refused:
        metrics(spark, lake=tmp_path)
    assert refused.value.code == "no_frontier"
