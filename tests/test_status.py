"""How every job stands, read from disk alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import StateError
from pipelines.gold.tables import FRONTIERS
from pipelines.jobs import NAMES, RECONCILE
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.paths import log_path
from pipelines.silver.tables import FEEDBACK, INFERENCES, QUARANTINE, TABLES
from pipelines.status import JobStatus, LakeStatus, note, note_path, rows_of, status
from tests.frames import at

FIRST = "land+refine+expose+absences"
SECOND = "attribute+resolve+tally+examples"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.create(*TABLES, FRONTIERS)
    log = EmbeddedLog(log_path(tmp_path))
    log.append([b"x"] * 10)
    log.close()
    return lake


def checkpoint(lake: Lake, query: str, batch: int, *offsets: dict[str, object], committed: bool = True) -> None:
    """What Spark writes for a batch; a watermark of noon."""
    folder = lake.root / "_checkpoints" / query
    for part in ("offsets", "commits"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    meta = {"batchWatermarkMs": int(at(0).timestamp() * 1000)}
    lines = ["v1", json.dumps(meta), *(json.dumps(offset) for offset in offsets)]
    (folder / "offsets" / str(batch)).write_text("\n".join(lines))
    if committed:
        (folder / "commits" / str(batch)).write_text('v1\n{"nextBatchWatermarkMs":0}')


def job(found: LakeStatus, name: str) -> JobStatus:
    return next(each for each in found.jobs if each.job == name)


def test_where_there_is_no_lake_there_is_no_status(tmp_path: Path) -> None:
    with pytest.raises(StateError) as refused:
        status(tmp_path)
    assert refused.value.code == "no_lake"


def test_before_a_job_that_never_ran_waits_all_that_its_source_holds(lake: Lake) -> None:
    lake.append(INFERENCES, INFERENCES.frame([INFERENCES.row()] * 3), Mark("refine", 0), {})
    waits = {each.job: each.lag_events for each in status(lake.root).jobs}
    assert {name: count for name, count in waits.items() if count} == {
        "land": 10, "refine": 10, "expose": 3, "absences": 3, "attribute": 3, RECONCILE: 10
    }  # fmt: skip


def test_every_job_is_named_in_the_order_of_the_flow(lake: Lake) -> None:
    found = status(lake.root)
    assert tuple(each.job for each in found.jobs) == NAMES
    assert not any(each.running or each.rows for each in found.jobs)
    assert (found.log_end, found.frontier) == (10, None)


def test_before_anything_ran_all_of_the_log_waits_for_those_who_read_it(lake: Lake) -> None:
    found = status(lake.root)
    assert [each.lag_events for each in found.jobs if each.job != "reconcile"] == [10, 10, *[0] * (len(NAMES) - 3)]


def test_what_waits_in_the_log_is_the_lag_of_the_first_chain(lake: Lake) -> None:
    checkpoint(lake, FIRST, 0, {"offset": 4})
    checkpoint(lake, FIRST, 1, {"offset": 9}, committed=False)
    found = job(status(lake.root), "refine")
    assert (found.batch, found.lag_events, found.watermark) == (0, 6, at(0))
    assert 0 <= found.lag_seconds < 60


def test_rows_that_a_stream_has_not_consumed_are_its_lag(lake: Lake) -> None:
    for batch in range(3):
        rows = FEEDBACK.frame([FEEDBACK.row(feedback_id=f"{batch}-{i}") for i in range(batch + 1)])
        lake.append(FEEDBACK, rows, Mark("a", batch), {})
    checkpoint(lake, SECOND, 0, {"reservoirId": str(lake.open(FEEDBACK).metadata().id), "reservoirVersion": 2})
    assert job(status(lake.root), "attribute").lag_events == 2 + 3


def test_a_chain_that_keeps_up_has_no_lag(lake: Lake) -> None:
    checkpoint(lake, FIRST, 3, {"offset": 10})
    found = job(status(lake.root), "land")
    assert (found.batch, found.lag_events, found.lag_seconds) == (3, 0, 0.0)


def test_rows_are_those_of_the_tables_that_a_job_writes(lake: Lake) -> None:
    checkpoint(lake, FIRST, 0, {"offset": 10})
    for batch in range(2):
        rows = FEEDBACK.frame([FEEDBACK.row(feedback_id=f"{batch}-{i}") for i in range(2)])
        lake.append(FEEDBACK, rows, Mark("a", batch), {})
    lake.append(INFERENCES, INFERENCES.frame([INFERENCES.row()]), Mark("a", 0), {})
    lake.open(FEEDBACK).optimize.compact()
    found = status(lake.root)
    assert (job(found, "refine").rows, job(found, "land").rows) == (5, 0)


def test_a_note_says_how_fast_a_query_is_and_what_it_keeps(lake: Lake) -> None:
    checkpoint(lake, FIRST, 0, {"offset": 10})
    progress = {"processedRowsPerSecond": 12.5, "stateOperators": [{"numRowsTotal": 3}, {"numRowsTotal": 4}]}
    note(lake.root, FIRST, progress)
    found = job(status(lake.root), "refine")
    assert (found.rate, found.state_rows) == (12.5, 7)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b"\xff"])
def test_a_damaged_note_costs_the_note_only(lake: Lake, content: bytes) -> None:
    checkpoint(lake, FIRST, 0, {"offset": 10})
    note(lake.root, FIRST, None)
    note_path(lake.root, FIRST).write_bytes(content)
    assert job(status(lake.root), "land").rate is None


def test_the_frontier_is_that_of_the_last_reconcile(lake: Lake) -> None:
    for number, (end, minute) in enumerate([(3, 5), (7, 9)]):
        row = FRONTIERS.row(frontier=at(minute), end_offset=end, open_from=end)
        lake.append(FRONTIERS, FRONTIERS.frame([row]), Mark(f"r{number}", 0), {})
    found = status(lake.root)
    assert (found.frontier, job(found, RECONCILE).lag_events) == (at(9), 3)


def test_tables_are_counted_from_their_logs(lake: Lake) -> None:
    lake.append(
        QUARANTINE, QUARANTINE.frame([QUARANTINE.row(offset=number) for number in range(2)]), Mark("a", 0), {}
    )
    lake.open(QUARANTINE).optimize.compact()
    assert rows_of(lake.root, QUARANTINE) == status(lake.root).quarantined == 2


def test_a_status_is_plain_json(lake: Lake) -> None:
    said = status(lake.root).to_dict()
    assert json.loads(json.dumps(said)) == said
    assert said["log_end"] == 10
