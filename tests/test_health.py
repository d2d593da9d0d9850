"""The health of a lake: each part that is not what was written is named, and so is one that is whole but too old."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from pipelines import doctor, kept, settle, written
from pipelines.backfill import under_way
from pipelines.bronze.tables import EVENTS
from pipelines.check import Check
from pipelines.contract import Table
from pipelines.dataset.tables import RELEASED, RELEASES
from pipelines.errors import StateError
from pipelines.gold.tables import STATISTICS
from pipelines.guards import landed, refuse_a_short_log, refuse_an_old_backup, refuse_old_tables
from pipelines.health.checks import checks
from pipelines.health.tablelog import replay
from pipelines.jobs import KEPT, RECONCILE, TABLES, chains
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.log.block import checksum
from pipelines.paths import backfill_of, checkpoints, log_path
from pipelines.repair import repair
from pipelines.settings import PACKAGED, load
from pipelines.silver.tables import CONTROLS, ORPHANS
from pipelines.verify import verify
from tests import small
from tests.small import GENERATION, QUERY, T0


@pytest.fixture
def root(small_lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_lake, tmp_path / "lake"))


def failing(root: Path, *, quick: bool = False) -> list[Check]:
    found = [check for check in checks(root, quick=quick) if not check.ok]
    assert all(check.advice and check.found and check.code for check in found)
    return found


def codes(root: Path, *, quick: bool = False) -> list[str]:
    return [check.code for check in failing(root, quick=quick)]


def flip(file: Path, at: int) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def test_the_parts_of_a_lake_are_checked_after_the_machine(root: Path) -> None:
    names = [check.name for check in doctor.checks(load(PACKAGED, lake_path=root), quick=True)]
    assert names[8] == "Log"
    assert names[-2:] == ["Marks", "Not yet read"]
    assert len(names) == 8 + 1 + len(TABLES) + 1 + 2


def test_where_there_is_no_lake_nothing_is_checked_or_made(tmp_path: Path) -> None:
    assert checks(tmp_path / "lake") == []
    assert list(tmp_path.iterdir()) == []


def test_a_lake_that_only_took_records_in_lacks_nothing(tmp_path: Path) -> None:
    with closing(EmbeddedLog(log_path(tmp_path))) as log:
        Lake(tmp_path).create(CONTROLS)  # as an import and a producer do
        log.append([b"one"])
    assert failing(tmp_path) == []
    assert ("Not yet read", "1 records of the log") in {(check.name, check.found) for check in checks(tmp_path)}


def test_a_log_whose_clock_is_ahead_is_named(root: Path) -> None:
    """Somebody's clock was wrong: what is received until then is stamped with it."""
    now = int(time.time() * 1e6)
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        for ahead, expected in ((240, []), (3600, ["log_clock_ahead"])):
            floor = now + ahead * 1_000_000
            log._db.execute("UPDATE clock SET floor = ?, live = 1, checksum = ?", (floor, checksum(floor, 1)))
            assert codes(root) == expected


def test_what_waits_is_told_and_is_nothing_wrong(root: Path) -> None:
    log = EmbeddedLog(log_path(root), durable=False)
    log.append([b"six"] * 7)
    log.close()
    assert failing(root) == []
    assert checks(root)[-1].found == "7 records of the log"


def commits(root: Path) -> list[Path]:
    return sorted((root / EVENTS.folder / "_delta_log").glob("*.json"))


@pytest.mark.parametrize("number", range(4))
def test_a_commit_that_is_gone_empty_or_short_is_named(root: Path, number: int) -> None:
    file = commits(root)[number]
    content = file.read_bytes()
    for damage in (None, b"", content[: len(content) // 2], b"\n".join(content.splitlines()[:-1])):
        file.unlink() if damage is None else file.write_bytes(damage)
        assert "table_log_damaged" in codes(root)
        assert f"commit {number}" in failing(root)[0].found
        file.write_bytes(content)
    assert codes(root) == []


def test_any_flipped_bit_of_a_commit_is_found(root: Path) -> None:
    chosen = random.Random(1)
    for _ in range(60):
        file = chosen.choice(commits(root))
        content = file.read_bytes()
        flip(file, chosen.randrange(len(content)))
        assert "table_log_damaged" in codes(root, quick=True)
        file.write_bytes(content)


def test_a_data_file_must_be_there_in_its_size_and_as_it_was_written(root: Path) -> None:
    file = sorted((root / EVENTS.folder).rglob("part-*.parquet"))[0]
    content = file.read_bytes()
    for damage in (None, b"", content[:-1], content[:40] + b"\0" + content[41:]):
        file.unlink() if damage is None else file.write_bytes(damage)
        found = failing(root)
        assert [check.code for check in found] == ["data_file_damaged"]
        assert file.name in found[0].found
        file.write_bytes(content)
    flip(file, 40)
    assert codes(root, quick=True) == []


def test_rows_that_another_program_changed_or_deleted_are_named(root: Path) -> None:
    table = DeltaTable(root / EVENTS.folder)
    table.optimize.compact()  # the same rows
    assert codes(root) == []
    table.alter.set_table_properties({"delta.appendOnly": "false"})
    table.update(updates={"clock": "'log'"}, predicate='"offset" = 1')
    (found,) = failing(root)
    assert (found.code, f"commit {table.version()}" in found.found) == ("table_rewritten", True)
    assert "hindsight rebuild" in found.advice
    with pytest.raises(StateError) as refused:
        Lake(root).read(EVENTS, ["offset"], ds.field("clock") == "log")
    assert refused.value.code == "table_rewritten"


def test_whoever_reads_a_damaged_table_is_told_in_a_line_where_to_look(root: Path) -> None:
    """Libraries say it with the stack of their own calls."""
    lake = Lake(root)
    file = sorted((root / EVENTS.folder).rglob("part-*.parquet"))[0]
    for damage in (lambda: flip(file, 40), file.unlink):
        damage()
        with pytest.raises(StateError) as refused:
            lake.read(EVENTS)
        assert refused.value.code == "data_file_damaged"
        assert "hindsight doctor" in refused.value.message
    commit = commits(root)[-1]
    commit.write_bytes(commit.read_bytes()[:-40])
    with pytest.raises(StateError) as refused:
        lake.read(EVENTS)
    assert refused.value.code == "table_unreadable"
    assert "\n" not in refused.value.message


def test_what_no_log_can_give_again_is_to_be_brought_back_and_missed_when_it_is_gone(root: Path) -> None:
    lake = Lake(root)
    lake.create(RELEASES)
    assert codes(root) == []  # a crash may come between two tables
    lake.create(RELEASED)
    lake.append(RELEASES, RELEASES.frame([RELEASES.row(name="m/late/1")]), Mark("release", 0), {})
    assert codes(root) == []
    shutil.rmtree(root / RELEASED.folder)
    (found,) = failing(root)
    assert (found.code, "gold.released" in found.name) == ("table_log_damaged", True)
    assert "backup" in found.advice


def test_verify_names_a_lake_whose_files_it_cannot_read(root: Path) -> None:
    file = sorted((root / EVENTS.folder).rglob("part-*.parquet"))[0]
    for damage in (file.unlink, lambda: file.write_bytes(b"no parquet")):
        damage()
        with pytest.raises(StateError) as refused:
            verify(root)
        assert refused.value.code == "table_unreadable"


def test_a_file_of_another_tool_is_read_through(root: Path) -> None:
    """Spark's names say nothing of what is in the file."""
    table = root / EVENTS.folder
    file = sorted(table.rglob("part-*.parquet"))[0]
    other = file.with_name("part-00000-c000.snappy.parquet")
    commit = commits(root)[-1]
    for each in commits(root):
        each.write_text(each.read_text().replace(file.name, other.name))
        each.with_suffix(".crc").unlink()
    file.rename(other)
    assert codes(root) == []
    content = other.read_bytes()
    for at in range(30, 60):
        flip(other, at)
        if codes(root):
            break
        other.write_bytes(content)
    assert codes(root) == ["data_file_damaged"]
    assert commit.exists()


FILES = ("offsets/1", "offsets/2", "commits/1", "commits/2", "metadata")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_checkpoint_is_what_was_written(root: Path, name: str) -> None:
    file = checkpoints(root) / QUERY / name
    content = file.read_bytes()
    for damage in (b"", content[:-1], content[:9] + bytes([content[9] ^ 1]) + content[10:]):
        file.write_bytes(damage)
        assert "checkpoint_damaged" in codes(root, quick=True)
        file.write_bytes(content)
    assert codes(root) == []


@pytest.mark.parametrize(("name", "wrong"), [("offsets/1", True), ("offsets/2", True), ("commits/1", True), ("commits/2", False)])
def test_a_batch_that_is_planned_and_not_committed_is_all_that_may_be_missing(
    root: Path, name: str, wrong: bool
) -> None:
    (checkpoints(root) / QUERY / name).unlink()
    assert ("checkpoint_damaged" in codes(root)) == wrong


STATE = ("state/0/_metadata/metadata", *(f"state/0/{p}/left/{n}.delta" for p in (0, 1) for n in (1, 2, 3)))


@pytest.fixture
def stateful(root: Path) -> Path:
    """A lake whose join has run three batches over nothing."""
    folder = checkpoints(root) / "attribute+resolve+tally+examples"
    for batch in range(3):
        small.written(folder / "offsets" / str(batch), 'v1\n{"batchWatermarkMs":0}\n-\n-\n-')
        small.written(folder / "commits" / str(batch), 'v1\n{"nextBatchWatermarkMs":0}')
    small.written(folder / "metadata", '{"id":"01234567-89ab-cdef-0123-456789abcdef"}')
    (folder / "generation").write_text(GENERATION)
    for name in STATE:
        small.written(folder / name, f"state {name}")
    return root


@pytest.mark.parametrize("name", STATE)
def test_state_that_a_start_reads_is_there_and_as_it_was_written(stateful: Path, name: str) -> None:
    assert codes(stateful) == []
    file = checkpoints(stateful) / "attribute+resolve+tally+examples" / name
    flip(file, 3)
    assert codes(stateful) == ["checkpoint_damaged"]
    file.unlink()
    assert codes(stateful, quick=True) == ["checkpoint_damaged"]


def test_state_before_a_snapshot_is_not_needed(stateful: Path) -> None:
    folder = checkpoints(stateful) / "attribute+resolve+tally+examples" / "state" / "0"
    for partition in (0, 1):
        small.written(folder / f"{partition}" / "left" / "2.snapshot", "all of it")
        (folder / f"{partition}" / "left" / "1.delta").unlink()
    assert codes(stateful) == []
    shutil.rmtree(folder)
    assert codes(stateful, quick=True) == ["checkpoint_damaged"]


def old_checkpoint(root: Path) -> None:
    for name in ("offsets/2", "commits/2"):
        (checkpoints(root) / QUERY / name).unlink()


def no_checkpoint(root: Path) -> None:
    shutil.rmtree(checkpoints(root) / QUERY)


def old_table(root: Path) -> None:
    last = commits(root)[-1]
    last.unlink()
    last.with_suffix(".crc").unlink()


def older_source(root: Path) -> None:
    """A table beside it tells of a batch in which this one must have been written."""
    row = next(table for table in TABLES if table.name == "silver.controls")
    Lake(root).append(row, row.frame([row.row(offset=1)]), Mark(f"{GENERATION}:{QUERY}:{row.name}", 1), {})
    file = commits(root)[2]
    content = file.read_text()
    file.write_text(content.replace('"version":1', '"version":0'))
    file.with_suffix(".crc").unlink()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (old_checkpoint, "checkpoint_behind"),
        (no_checkpoint, "checkpoint_missing"),
        (old_table, "table_behind"),
        (older_source, "table_behind"),
    ],
)
def test_an_old_backup_of_one_part_is_noticed_beside_the_others(
    root: Path, change: Callable[[Path], None], code: str
) -> None:
    change(root)
    assert codes(root) == [code]


@pytest.mark.parametrize(("batch", "refuses"), [(1, True), (2, True), (3, False)])
def test_a_table_without_a_batch_that_brought_it_rows_is_an_old_backup_unless_that_is_to_be_done_again(
    root: Path, batch: int, refuses: bool
) -> None:
    folder, (first, _) = checkpoints(root) / QUERY, chains(horizon=T0 - T0)
    written.note(folder, {EVENTS.name: 2})
    refuse_an_old_backup(Lake(root), folder, first)
    assert codes(root) == []
    written.note(folder, {CONTROLS.name: batch})
    assert codes(root) == ["table_behind"] * refuses
    if refuses:
        with pytest.raises(StateError) as refused:
            refuse_an_old_backup(Lake(root), folder, first)
        assert refused.value.code == "table_behind"
    else:
        refuse_an_old_backup(Lake(root), folder, first)
    (folder / "written").write_text("{")
    assert codes(root) == []


@pytest.mark.parametrize("table", [ORPHANS, STATISTICS], ids=lambda table: table.name)
def test_a_table_that_ends_before_what_was_noted_with_a_frontier_is_an_old_backup(root: Path, table: Table) -> None:
    settle.record(Lake(root), settle.Cut(3, 3, 0))
    assert written.noted(checkpoints(root) / RECONCILE)[table.name] == 0
    assert codes(root) == []
    refuse_old_tables(Lake(root))
    written.note(checkpoints(root) / RECONCILE, {table.name: 1})
    (found,) = failing(root)
    assert found.code == "table_behind"
    with pytest.raises(StateError) as refused:
        refuse_old_tables(Lake(root))
    assert refused.value.code == "table_behind"


@pytest.fixture(params=KEPT, ids=lambda table: table.name)
def decided(request: pytest.FixtureRequest, root: Path) -> tuple[Lake, Table]:
    """A lake whose table of decisions has been brought back from a backup, without the last of what was written."""
    lake, table = Lake(root), request.param
    lake.create(*KEPT)
    row = table.frame([table.row()])
    kept.append(lake, table, row, Mark("first", 0), {})
    shutil.copytree(lake.path(table), root.parent / "backup")
    kept.append(lake, table, row, Mark("second", 0), {})
    assert codes(root) == []
    shutil.rmtree(lake.path(table))
    shutil.copytree(root.parent / "backup", lake.path(table))
    return lake, table


def test_an_old_backup_of_what_no_log_says_is_noticed_until_it_is_taken_as_it_is(decided: tuple[Lake, Table]) -> None:
    lake, table = decided
    (check,) = failing(lake.root)
    assert (check.code, check.found) == ("table_behind", f"{table.name} ends with version 1, but had come to version 2")
    assert "hindsight repair" in check.advice
    told = f"{table.name}: taken as it is, without what was written to it later"
    assert repair(lake.root, dry_run=True).done == (told,)
    assert codes(lake.root) == ["table_behind"]
    found = repair(lake.root)
    assert (found.done, found.left) == ((told,), ())
    assert lake.read(table).num_rows == 1


def test_what_no_log_says_and_is_gone_is_noticed(decided: tuple[Lake, Table]) -> None:
    lake, table = decided
    shutil.rmtree(lake.path(table))
    assert f"{table.name} is gone, but had come to version 2" in [check.found for check in failing(lake.root)]
    repair(lake.root)
    assert f"{table.name} is gone, but had come to version 2" not in [check.found for check in failing(lake.root)]


def test_a_start_refuses_an_old_checkpoint(root: Path) -> None:
    (first, _) = chains(horizon=T0 - T0)
    refuse_an_old_backup(Lake(root), checkpoints(root) / QUERY, first)
    old_checkpoint(root)
    with pytest.raises(StateError) as refused:
        refuse_an_old_backup(Lake(root), checkpoints(root) / QUERY, first)
    assert refused.value.code == "checkpoint_behind"


def test_a_start_refuses_another_generation(root: Path) -> None:
    (first, _) = chains(horizon=T0 - T0)
    (checkpoints(root) / QUERY / "generation").write_text("f" * 32)
    with pytest.raises(StateError) as refused:
        refuse_an_old_backup(Lake(root), checkpoints(root) / QUERY, first)
    assert refused.value.code == "generation_changed"
    (checkpoints(root) / QUERY / "generation").unlink()
    with pytest.raises(StateError) as refused:
        refuse_an_old_backup(Lake(root), checkpoints(root) / QUERY, first)
    assert refused.value.code == "checkpoint_damaged"


@pytest.mark.parametrize("damage", [None, b"f" * 32])
def test_where_a_generation_is_lost_nothing_else_is_said_of_what_was_written_under_it(root: Path, damage: bytes | None) -> None:
    folder = checkpoints(root) / QUERY
    written.note(folder, {EVENTS.name: 2})
    (folder / "generation").unlink() if damage is None else (folder / "generation").write_bytes(damage)
    assert ["hindsight repair" in check.advice for check in failing(root)] in ([True], [True, True])
    assert "generation_changed" in codes(root)


def test_a_start_refuses_a_table_older_than_what_was_read_of_it(stateful: Path) -> None:
    (_, second) = chains(horizon=T0 - T0)
    folder = checkpoints(stateful) / "attribute+resolve+tally+examples"
    read = replay(stateful / "silver" / "feedback")
    for number, refuses in ((1, False), (2, True)):
        offset = json.dumps({"sourceVersion": 1, "reservoirId": read.metadata["id"], "reservoirVersion": number, "index": -1})
        small.written(folder / "offsets" / "2", f'v1\n{{"batchWatermarkMs":0}}\n-\n{offset}\n-')
        assert codes(stateful) == ["table_behind"] * refuses
        if refuses:
            with pytest.raises(StateError) as refused:
                refuse_an_old_backup(Lake(stateful), folder, second)
            assert refused.value.code == "table_behind"
        else:
            refuse_an_old_backup(Lake(stateful), folder, second)


def test_a_start_refuses_a_log_that_is_shorter_than_what_has_landed(root: Path) -> None:
    assert landed(root) == 17
    refuse_a_short_log(root, 17, landed(root))
    with pytest.raises(StateError) as refused:
        refuse_a_short_log(root, 16, landed(root))
    assert refused.value.code == "log_short"


def test_what_is_damaged_does_not_say_how_much_has_landed(root: Path) -> None:
    offsets = checkpoints(root) / QUERY / "offsets" / "2"
    offsets.write_text(offsets.read_text().replace("17", "97"))
    assert landed(root) == 17
    commit = commits(root)[-1]
    commit.write_text(commit.read_text().replace(":16", ":96"))
    assert landed(root) <= 17


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff", b'{"end": 1, "parts": [{"body": {}, "upto": 0}]}'])
def test_a_backfill_whose_plan_is_damaged_is_named(root: Path, content: bytes) -> None:
    backfill_of(root).write_bytes(content)
    with pytest.raises(StateError) as refused:
        under_way(root)
    assert refused.value.code == "backfill_damaged"
    assert codes(root) == ["backfill_damaged"]
