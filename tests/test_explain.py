"""The path of a number, on a real lake that met everything: it ends at the log, and it says when a lake is wrong."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from pipelines.bronze.tables import EVENTS
from pipelines.cli import main
from pipelines.errors import InputError, StateError
from pipelines.explain import Sources, event, metric, outcome
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.lake import Lake
from pipelines.metrics import metrics
from pipelines.page import asked as page
from pipelines.page.asked import Parameters
from pipelines.page.numbers import Answers
from pipelines.page.sums import Kept
from pipelines.silver.tables import DUPLICATES, FEEDBACK, INFERENCES, LABELLED, ORPHANS, QUARANTINE
from pipelines.verify import verify
from tests.generator import START, history
from tests.lakes import proven, rows_of, run, settings_for

DAY = START.replace(hour=0)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    records = history(11, 420)
    run(settings_for(root), spark, [records[:300], records[300:]])
    proven(root)
    return root


@pytest.fixture(scope="module")
def sources(lake: Path) -> Sources:
    return Sources(lake)


@pytest.fixture
def wrong(lake: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """The lake with an entry in the ledger that nothing in the log leads to, and that entry."""
    copy = tmp_path / "wrong"
    shutil.copytree(lake, copy)
    row = next(
        row
        for row in rows_of(lake, OUTCOME_LEDGER).to_pylist()
        if row["label"] == "spam" and row["sign"] == 1 and row["context"]["judged"] and row["text"] == "no"
    )
    forged = {**row, "text": "yes"}
    write_deltalake(copy / OUTCOME_LEDGER.folder, OUTCOME_LEDGER.frame([forged]), mode="append")
    return copy, forged


def asked(sources: Sources, name: str, **more: Any) -> Any:
    return metric(sources, **{"model": "shop", "label": "late", "metric": name, "cell": DAY, "grain": "1 day", **more})


def told(frame: Any, **where: Any) -> Iterator[dict[str, Any]]:
    """The rows of an answer of `metrics` that have these values."""
    yield from (row for row in (one.asDict() for one in frame.collect()) if all(row[k] == v for k, v in where.items()))


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("late", ["n", "exposed", "auc", "accuracy", "brier", "coverage", "maturity", "cost_per_good_outcome"]),
        ("delay", ["mae", "rmse", "accuracy", "coverage"]),
        ("kind", ["accuracy", "macro_f1"]),
        ("click", ["precision", "coverage"]),
        ("", ["throughput", "error_rate", "latency_ms_p50"]),
    ],
)
def test_a_value_is_that_of_the_metrics_and_rests_on_what_was_posted(
    spark: SparkSession, lake: Path, sources: Sources, label: str, names: list[str]
) -> None:
    mature = label in ("click", "delay")
    (row,) = told(metrics(spark, lake=lake, model="shop", label=label, every="1 day", mature=mature), window_start=DAY_OF)
    for name in names:
        found = asked(sources, name, label=label, mature=mature)
        assert found.value == row[name]
        assert found.low == row.get(f"{name}_low")
        assert found.agrees
        assert found.statistics
        assert found.steps


DAY_OF = DAY.replace(tzinfo=None)
"""As Spark gives it back, in the session's zone, which is UTC."""


@pytest.mark.parametrize(
    ("label", "name", "by"),
    [
        ("late", "auc", ["version"]),
        ("delay", "mae", []),
        ("kind", "accuracy", ["device", "origin"]),
        ("click", "precision", ["version", "origin", "device"]),
        ("", "latency_ms_p95", ["version"]),
    ],
)
def test_the_page_shows_the_numbers_of_the_metrics(spark: SparkSession, lake: Path, by: list[str], label: str, name: str) -> None:
    for as_of, mature in ((None, False), (START + timedelta(minutes=150), True)):
        frame = metrics(spark, lake=lake, model="shop", label=label, every="1 day", by=by, as_of=as_of, mature=mature)
        parameters = {"model": "shop", "label": label, "metric": name, "every": "1 day", "mature": "1" if mature else "", "last": "50"}
        parameters |= {"as_of": as_of.isoformat()} if as_of else {}
        question = Parameters([*parameters.items(), *(("by", field) for field in by)])
        found = page.metrics(lake, Answers(Kept(Lake(lake))), question)["windows"]
        columns = (name, f"{name}_low", "n", "exposed", *(("coverage", "coverage_high", "maturity") if label else ()))
        expected = {_key(row, by): [row["final"], *(row[one] for one in columns if one in row)] for row in told(frame)}
        shown = {_key(one | {"version": one["version"]} | one["segment"], by): one for one in found}
        assert {key: [one["final"], *(one["values"][c] for c in columns if c in one["values"])] for key, one in shown.items()} == expected


def _key(row: dict[str, Any], by: list[str]) -> tuple[Any, ...]:
    start = row["window_start"].isoformat() if "window_start" in row else row["start"].removesuffix("Z")
    return start, *(row[field] for field in by)


def test_a_segment_a_version_and_an_earlier_time_narrow_it(spark: SparkSession, lake: Path, sources: Sources) -> None:
    as_of = START + timedelta(minutes=150)
    by = ["origin", "device"]
    frame = metrics(spark, lake=lake, model="shop", label="late", every="1 day", by=["version", *by], as_of=as_of)
    row = max(told(frame, window_start=DAY_OF), key=lambda row: row["n"])
    held = {name: row[name] for name in by}
    found = asked(sources, "coverage", segment=held, version=row["version"], as_of=as_of)
    assert (found.value, found.as_of, found.final, found.agrees) == (row["coverage"], as_of, False, True)
    assert all(step.known_at < as_of for step in found.steps)


def test_the_rows_behind_a_value_end_at_the_log(lake: Path, sources: Sources) -> None:
    found = asked(sources, "brier", limit=1000)
    assert found.more == 0
    amounts = Counter[str]()
    for step in found.steps:
        for add in step.adds:
            amounts[add.statistic] += add.amount
    assert {one.statistic: one.amount for one in found.statistics if one.statistic == "brier"} == {
        "brier": amounts["brier"]
    }
    offsets = {row["feedback_id"]: row["offset"] for row in rows_of(lake, FEEDBACK).to_pylist()}
    served = {row["request_id"]: row["offset"] for row in rows_of(lake, INFERENCES).to_pylist()}
    assert all(step.inference.offset == served[step.request] for step in found.steps)
    assert all(said.position.offset == offsets[said.feedback_id] for step in found.steps for said in step.feedback)
    assert all(any(said.known_at == step.known_at for said in step.feedback) for step in found.steps)


def test_what_is_not_shown_is_counted(sources: Sources) -> None:
    whole, part = asked(sources, "accuracy", limit=1000), asked(sources, "accuracy", limit=3)
    assert len(part.steps) == 3
    assert part.more == len(whole.steps) - 3
    assert part.statistics == whole.statistics


def test_every_outcome_is_what_its_votes_say(lake: Path, sources: Sources) -> None:
    rows = rows_of(lake, LABELLED).to_pylist()
    for request in sorted({row["unit_id"] for row in rows})[:40]:
        found = outcome(sources, request=request)
        assert all(one.agrees for one in found.outcomes)
        heard = {vote.said.feedback_id for one in found.outcomes for vote in one.votes}
        of_model = {one.label for one in sources.definitions if one.model == found.model}
        assert heard <= {row["feedback_id"] for row in rows if row["unit_id"] == request}
        assert {one.label for one in found.outcomes} <= of_model
        assert all(vote.said.feedback_id in vote.payload for one in found.outcomes for vote in one.votes)


def test_an_outcome_as_of_a_time_hears_only_what_was_known(lake: Path, sources: Sources) -> None:
    entry = max(rows_of(lake, OUTCOME_LEDGER).to_pylist(), key=lambda row: (row["sign"], row["known_at"], row["unit_id"]))
    at = entry["known_at"].astimezone(UTC)
    for as_of, is_known in ((at, False), (at + timedelta(microseconds=1), True)):
        found = outcome(sources, request=entry["unit_id"], label=entry["label"], item=entry["item"], as_of=as_of)
        (one,) = [one for one in found.outcomes if one.policy == entry["policy"]]
        assert any(written.known_at == at for written in one.entries) == is_known
        assert all(vote.said.known_at < as_of for vote in one.votes)
        assert one.agrees


def test_a_request_is_not_explained_as_of_a_time_before_it_came(lake: Path, sources: Sources) -> None:
    row = max(rows_of(lake, INFERENCES).to_pylist(), key=lambda row: (row["received_at"], row["request_id"]))
    at = row["received_at"].astimezone(UTC)
    assert outcome(sources, request=row["request_id"], as_of=at + timedelta(microseconds=1)).request == row["request_id"]
    with pytest.raises(InputError) as refused:
        outcome(sources, request=row["request_id"], as_of=at)
    assert refused.value.code == "request_not_yet_known"


def test_feedback_that_found_its_inference_late_says_that_it_was_an_orphan(lake: Path, sources: Sources) -> None:
    back = next(row for row in rows_of(lake, ORPHANS).to_pylist() if row["sign"] == -1)
    found = next(one for one in event(sources, name=back["feedback_id"]) if one.home == "silver.feedback")
    assert (found.pairing, [sign for _, sign in found.orphaned]) == ("labelled", [1, -1])
    assert found.orphaned[1][0] == back["known_at"].astimezone(UTC)


def test_an_outcome_lists_what_it_teaches(lake: Path, sources: Sources) -> None:
    rows = rows_of(lake, EXAMPLES).to_pylist()
    back = next(row for row in rows if (row["basis"], row["sign"]) == ("absent", -1))
    found = outcome(sources, request=back["unit_id"], label=back["label"], item=back["item"])
    (one,) = [one for one in found.outcomes if one.policy == back["policy"]]
    own = [row for row in rows if all(row[name] == back[name] for name in ("unit_id", "item", "label", "policy"))]
    assert Counter((each.basis, each.sign, each.known_at) for each in one.examples) == Counter(
        (row["basis"], row["sign"], row["known_at"].astimezone(UTC)) for row in own
    )


def test_every_record_has_a_home_and_its_reason(lake: Path, sources: Sources) -> None:
    reasons = {row["offset"]: row["reason"] for row in rows_of(lake, QUARANTINE).to_pylist()}
    firsts = {row["offset"]: row["first_offset"] for row in rows_of(lake, DUPLICATES).to_pylist()}
    for offset in sorted([*list(reasons)[:12], *list(firsts)[:5], *range(12)]):
        (found,) = event(sources, offset=offset)
        assert found.position.offset == offset
        assert found.home is not None
        assert found.facts.get("reason") == reasons.get(offset)
        assert found.facts.get("first_offset") == firsts.get(offset)


def test_an_id_finds_the_event_its_repetitions_and_what_contradicts_it(lake: Path, sources: Sources) -> None:
    twice = next(row for row in rows_of(lake, DUPLICATES).to_pylist() if row["kind"] == "feedback")
    found = event(sources, name=twice["event_id"])
    homes = {one.position.offset: one.home for one in found}
    assert homes[twice["first_offset"]] == "silver.feedback"
    assert homes[twice["offset"]] == "silver.duplicates"
    assert list(homes) == sorted(homes)


def test_feedback_is_labelled_orphaned_or_waiting(lake: Path, sources: Sources) -> None:
    orphans = Counter[str]()
    for row in rows_of(lake, ORPHANS).to_pylist():
        orphans[row["feedback_id"]] += row["sign"]
    labelled = {row["feedback_id"] for row in rows_of(lake, LABELLED).to_pylist()}
    for name in [row["feedback_id"] for row in rows_of(lake, FEEDBACK).to_pylist()][::9]:
        found = next(one for one in event(sources, name=name) if one.home == "silver.feedback")
        expected = "labelled" if name in labelled else "orphaned" if orphans[name] else "waiting"
        assert found.pairing == expected
        assert sum(sign for _, sign in found.orphaned) == orphans[name]


def test_what_an_event_moved_is_what_the_ledger_would_lack(lake: Path, sources: Sources) -> None:
    said = Counter(row["unit_id"] for row in rows_of(lake, LABELLED).to_pylist())
    alone = next(row for row in rows_of(lake, LABELLED).to_pylist() if said[row["unit_id"]] == 1 and row["action"] == "assert")
    entries = [row for row in rows_of(lake, OUTCOME_LEDGER).to_pylist() if row["unit_id"] == alone["unit_id"]]
    found = next(one for one in event(sources, name=alone["feedback_id"]) if one.home == "silver.feedback")
    moved = {(one.policy, at, sign) for one in found.moved for at, sign, _ in one.entries}
    assert moved == {(row["policy"], row["known_at"].astimezone(UTC), row["sign"]) for row in entries}


@pytest.mark.parametrize(
    ("code", "question"),
    [
        ("unknown_model", {"model": "shopp"}),
        ("unknown_label", {"label": "lat"}),
        ("unknown_metric", {"name": "aucc"}),
        ("cut_not_declared", {"segment": {"origin": "JFK"}}),
        ("grain_not_declared", {"grain": "1 minute"}),
        ("empty_cell", {"cell": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("as_of_above_frontier", {"as_of": datetime(2030, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_metric_that_is_not_there_is_refused(sources: Sources, code: str, question: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        asked(sources, question.pop("name", "auc"), **question)
    assert refused.value.code == code


def test_an_unknown_id_position_or_lake_is_refused(sources: Sources, tmp_path: Path) -> None:
    for code, ask in (
        ("unknown_request", lambda: outcome(sources, request="nobody's")),
        ("unknown_label", lambda: outcome(sources, request="r1", label="x")),
        ("unknown_event", lambda: event(sources, name="nobody's")),
        ("unknown_offset", lambda: event(sources, offset=10**9)),
        ("no_lake", lambda: Sources(tmp_path)),
    ):
        with pytest.raises((InputError, StateError)) as refused:
            ask()
        assert refused.value.code == code


def test_an_id_that_a_shell_would_take_apart_is_quoted_in_advice(sources: Sources) -> None:
    with pytest.raises(InputError) as refused:
        outcome(sources, request="two words")
    assert "hindsight explain event --id 'two words'" in refused.value.message


def test_a_forged_entry_is_seen_by_whoever_asks_for_its_outcome_or_its_cell(wrong: tuple[Path, dict[str, Any]]) -> None:
    root, forged = wrong
    found = outcome(Sources(root), request=forged["unit_id"], label="spam")
    assert [one.agrees for one in found.outcomes if one.policy == forged["policy"]] == [False]
    cell = forged["context"]["served_at"]
    found = asked(Sources(root), "base_rate", label="spam", cell=cell, limit=1000)
    assert not found.agrees
    (positive,) = [one for one in found.statistics if (one.basis, one.statistic) == ("answered", "positive")]
    assert positive.posted - positive.amount == 1


def test_the_verifier_names_a_forged_entry(wrong: tuple[Path, dict[str, Any]]) -> None:
    root, forged = wrong
    report = verify(root, as_of=[])
    first = report.examples[0]
    assert (first.table, first.expected, first.found) == ("gold.outcome_ledger", 0, 1)
    assert first.key["unit_id"] == forged["unit_id"]
    assert any("the log says +0, the ledger holds +1 written" in entry for entry in first.entries)
    assert forged["context"]["offset"] in first.positions
    assert len(first.positions) >= 2
    assert {offset: event(Sources(root), offset=offset)[0].home for offset in first.positions}.keys() == set(first.positions)


def test_the_verifier_names_the_entries_of_a_cell_that_was_forged(lake: Path, tmp_path: Path) -> None:
    copy = tmp_path / "wrong"
    shutil.copytree(lake, copy)
    row = next(row for row in rows_of(lake, STATISTICS).to_pylist() if row["basis"] == "answered" and row["statistic"] == "n")
    forged = {**row, "amount": Decimal(1)}
    write_deltalake(copy / STATISTICS.folder, STATISTICS.frame([forged]), mode="append", partition_by=["grain", "cell_date"])
    first = verify(copy, as_of=[]).examples[0]
    assert first.table == "gold.statistics"
    assert first.found - first.expected == 1
    assert first.entries
    assert all(entry.endswith("as the log says") for entry in first.entries)
    assert any(held.startswith("+1 known") for held in first.held)
    assert first.positions


def test_the_verifier_leaves_out_cells_that_start_before_a_time(wrong: tuple[Path, dict[str, Any]]) -> None:
    root, forged = wrong
    served = forged["context"]["served_at"].astimezone(UTC)
    whole, before = verify(root, as_of=[]), verify(root, as_of=[], since=served)
    after = verify(root, as_of=[], since=served + timedelta(microseconds=1))
    assert (before.differences, after.differences) == (whole.differences, 0)
    assert whole.cells_compared > before.cells_compared > 0
    assert whole.outcomes_compared > after.outcomes_compared > 0
    assert (after.since, after.to_dict()["since"]) == (served + timedelta(microseconds=1), after.to_dict()["since"])
    with pytest.raises(InputError) as refused:
        verify(root, since=datetime(2026, 3, 1))
    assert refused.value.code == "since_invalid"


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["explain", *words])
    return code, capsys.readouterr().out


def test_the_commands_print_tables_and_json(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--lake", str(lake))
    of_metric = ("metric", *place, "--model", "shop", "--label", "late", "--metric", "auc", "--cell", "2026-03-01", "--grain", "1 day")
    code, printed = command(capsys, *of_metric, "--limit", "2")
    assert code == 0
    assert "auc = " in printed
    assert "more rows: --limit" in printed
    found = json.loads(command(capsys, *of_metric, "--json")[1])
    assert found["agrees"] is True
    assert found["cell_from"] == "2026-03-01T00:00:00Z"
    vote = rows_of(lake, LABELLED).to_pylist()[0]
    code, printed = command(capsys, "outcome", *place, "--request", vote["unit_id"])
    assert code == 0
    assert vote["feedback_id"] in printed
    assert "what became of it" in printed
    found = json.loads(command(capsys, "outcome", *place, "--request", vote["unit_id"], "--json")[1])
    assert found["request"] == vote["unit_id"]
    assert "silver.feedback" in command(capsys, "event", *place, "--id", vote["feedback_id"])[1]
    assert json.loads(command(capsys, "event", *place, "--offset", "0", "--json")[1])[0]["home"] == "silver.controls"
    code, printed = command(capsys, "event", *place, "--id", "nobody's", "--json")
    assert (code, json.loads(printed)["error"]) == (2, "unknown_event")


def test_every_record_of_the_lake_can_be_shown(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for offset in range(0, rows_of(lake, EVENTS).num_rows, 37):
        assert command(capsys, "event", "--lake", str(lake), "--offset", str(offset))[0] == 0
