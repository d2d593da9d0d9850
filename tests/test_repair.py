"""Repair: the same log again from what has landed, and nothing is touched where that cannot be."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from pipelines import kept, salvage
from pipelines import settings as configuration
from pipelines.bronze.tables import EVENTS
from pipelines.cli import main
from pipelines.errors import StateError
from pipelines.gold.tables import FRONTIERS
from pipelines.health.checks import checks
from pipelines.lake import Lake, Mark
from pipelines.log import EmbeddedLog
from pipelines.maintain import maintain
from pipelines.paths import checkpoints, log_path
from pipelines.repair import repair
from pipelines.watch.tables import TRIGGERS
from tests import small
from tests.frames import at
from tests.retraining import trigger
from tests.small import QUERY, logged

UPKEEP = configuration.load(Path(__file__).parent.parent / "conf").maintain


@pytest.fixture
def root(small_lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_lake, tmp_path / "lake"))


def ill(root: Path) -> list[str]:
    """The codes of what doctor finds wrong; each says what to do."""
    failing = [check for check in checks(root) if not check.ok]
    assert all(check.advice and check.found for check in failing)
    return [check.code for check in failing]


def sql(root: Path, statement: str) -> None:
    with closing(sqlite3.connect(log_path(root))) as db, db:
        db.execute(statement)


def truncated(root: Path) -> None:
    log = log_path(root)
    log.write_bytes(log.read_bytes()[:5000])


def spoilt_header(root: Path) -> None:
    log = log_path(root)
    log.write_bytes(b"\0" * 100 + log.read_bytes()[100:])


ROWS: dict[str, Callable[[Path], None]] = {
    "another block": lambda root: sql(root, "UPDATE appends SET block = zeroblob(9) WHERE last_offset = 3"),
    "another clock": lambda root: sql(root, "UPDATE appends SET clock = 'log' WHERE last_offset = 2"),
    "a wrong count": lambda root: sql(root, "UPDATE appends SET count = 4 WHERE last_offset = 11"),
    "another key": lambda root: sql(root, "UPDATE appends SET last_offset = 99 WHERE last_offset = 8"),
    "a wrong type": lambda root: sql(root, "UPDATE appends SET count = 'two' WHERE last_offset = 2"),
    "the first gone": lambda root: sql(root, "DELETE FROM appends WHERE last_offset = 0"),
    "one gone": lambda root: sql(root, "DELETE FROM appends WHERE last_offset = 8"),
    "the last gone": lambda root: sql(root, "DELETE FROM appends WHERE last_offset > 12"),
    "all gone": lambda root: sql(root, "DELETE FROM appends"),
    "another floor": lambda root: sql(root, "UPDATE clock SET floor = 1"),
    "no clock": lambda root: sql(root, "DELETE FROM clock"),
}
FILES: dict[str, Callable[[Path], None]] = {
    "no file": lambda root: log_path(root).unlink(),
    "an empty file": lambda root: log_path(root).write_bytes(b""),
    "a short file": truncated,
    "no header": spoilt_header,
    "no table": lambda root: sql(root, "DROP TABLE appends"),
    "other tables": lambda root: sql(root, "ALTER TABLE clock RENAME TO clocks"),
}


def test_a_whole_lake_is_well_and_there_is_nothing_to_mend(root: Path) -> None:
    assert ill(root) == []
    assert repair(root).done == ()


@pytest.mark.parametrize("damage", [*ROWS.values(), *FILES.values()], ids=[*ROWS, *FILES])
def test_a_damaged_log_is_found_and_restored_record_by_record(root: Path, damage: Callable[[Path], None]) -> None:
    before = logged(root)
    damage(root)
    assert ill(root)[0] in {"log_damaged", "log_missing", "log_short"}
    planned = repair(root, dry_run=True).done
    assert ill(root)
    found = repair(root)
    assert found.left == ()
    assert found.done[: len(planned)] == planned
    assert logged(root) == before
    assert ill(root) == []
    assert repair(root).done == ()


def test_the_offsets_that_are_damaged_are_named(root: Path) -> None:
    ROWS["another block"](root)
    ROWS["one gone"](root)
    found = checks(root)[0].found
    assert "offsets 3 to 8 damaged" in found or "offsets 3, 4 to 8 damaged" in found


def test_the_log_goes_on_after_what_was_restored(root: Path) -> None:
    FILES["no file"](root)
    repair(root)
    rows, (floor, _) = logged(root)
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        assert log.append([b"six"]) == len(rows)
    assert logged(root)[1][0] >= floor


def test_what_has_not_landed_stays(root: Path) -> None:
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        log.append([b"six"])
    before = logged(root)
    ROWS["one gone"](root)
    repair(root)
    assert logged(root) == before


def test_records_that_are_gone_from_both_are_named_and_nothing_is_changed(root: Path) -> None:
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        log.append([b"six", b"seven"])
    sql(root, "UPDATE appends SET block = zeroblob(9) WHERE last_offset >= 16")
    ROWS["one gone"](root)
    before = log_path(root).read_bytes()
    with pytest.raises(StateError, match="offsets 17 to 18 are damaged") as refused:
        repair(root)
    assert refused.value.code == "log_lost"
    assert log_path(root).read_bytes() == before
    assert main(["repair", "--lake", str(root)]) == 5


def test_damaged_bronze_restores_nothing(root: Path) -> None:
    for file in (root / EVENTS.folder).rglob("part-*.parquet"):
        content = file.read_bytes()
        file.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    ROWS["one gone"](root)
    with pytest.raises(StateError) as refused:
        repair(root)
    assert refused.value.code == "log_lost"


class KilledError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("damage", ["no header", "one gone", "no file"])
@pytest.mark.parametrize("step", range(5))
def test_one_that_is_killed_is_finished_by_the_next(
    root: Path, monkeypatch: pytest.MonkeyPatch, damage: str, step: int
) -> None:
    before, left = logged(root), [step]
    {**ROWS, **FILES}[damage](root)

    def dying(name: str) -> Callable[..., object]:
        original: Callable[..., object] = getattr(Path, name)

        def done(*args: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == -1:
                raise KilledError
            return original(*args, **options)

        return done

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, dying(name))
        with suppress(KilledError):
            repair(root)
    assert repair(root).left == ()
    assert logged(root) == before
    assert ill(root) == []


def test_a_new_log_that_was_left_is_not_put_over_one_that_is_whole(root: Path) -> None:
    before = logged(root)
    shutil.copy(log_path(root), log_path(root).with_name("log.repaired"))
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        log.append([b"six"])
    assert len(repair(root).done) == 1
    assert logged(root)[0][: len(before[0])] == before[0]
    assert len(logged(root)[0]) == len(before[0]) + 1
    assert not log_path(root).with_name("log.repaired").exists()


def test_a_start_and_a_producer_refuse_a_lost_log(root: Path) -> None:
    from pipelines.paths import existing, refuse_a_lost_log

    FILES["an empty file"](root)
    for refuses in (refuse_a_lost_log, existing):
        with pytest.raises(StateError) as refused:
            refuses(root)
        assert refused.value.code == "log_missing"


def test_a_producer_names_what_sqlite_cannot_read(root: Path) -> None:
    log = EmbeddedLog(log_path(root), durable=False)
    FILES["no table"](root)
    for append in (log.end, lambda: log.append([b"six"])):
        with pytest.raises(StateError) as refused:
            append()
        assert refused.value.code == "log_unreadable"
    log.close()


def test_a_wrong_version_checksum_is_written_again(root: Path) -> None:
    file = small.commit(root, 3).with_suffix(".crc")
    before = file.read_bytes()
    chosen = random.Random(1)
    for _ in range(30):
        at = chosen.randrange(len(before))
        file.write_bytes(before[:at] + bytes([before[at] ^ 1 << chosen.randrange(8)]) + before[at + 1 :])
        assert ill(root) == ["table_checksum_wrong"]
        assert repair(root).left == ()
        assert file.read_bytes() == before


def test_a_wrong_checkpoint_of_a_table_is_removed(root: Path) -> None:
    DeltaTable(root / EVENTS.folder).create_checkpoint()
    assert ill(root) == []
    file = small.commit(root, 3).with_suffix(".checkpoint.parquet")
    shutil.copy(small.commit(root, 2), file)
    assert ill(root) == ["table_checksum_wrong"]
    assert repair(root).left == ()
    assert not file.exists()


@pytest.mark.parametrize("damage", [None, b"", b"f" * 32, b"\xff"])
def test_the_generation_of_a_checkpoint_is_read_off_its_marks(root: Path, damage: bytes | None) -> None:
    file = checkpoints(root) / QUERY / "generation"
    file.unlink() if damage is None else file.write_bytes(damage)
    assert ill(root)
    assert set(ill(root)) <= {"checkpoint_damaged", "generation_changed"}
    assert repair(root).left == ()
    assert file.read_text() == small.GENERATION


def test_leftovers_are_removed(root: Path) -> None:
    scratch = root / "_checkpoints" / QUERY / "offsets" / ".4.1b2c.tmp"
    scratch.touch()
    shutil.rmtree(root / FRONTIERS.folder)
    (root / FRONTIERS.folder / "_delta_log").mkdir(parents=True)
    assert len(repair(root).done) == 2
    assert not scratch.exists()
    assert not (root / FRONTIERS.folder).exists()


def decided(root: Path, end: int, start: int = 0) -> list[str]:
    """People pause so many triggers, a commit each; what was said."""
    lake = Lake(root)
    for number in range(start, end):
        row = trigger(f"t{number}", state="paused", known_at=at(number))
        kept.append(lake, TRIGGERS, TRIGGERS.frame([row]), Mark(f"said-{number}", 0), {"job": "triggers"})
    return said(root)


def said(root: Path) -> list[str]:
    return sorted(Lake(root).read(TRIGGERS)["trigger_id"].to_pylist())


def commit(root: Path, number: int) -> Path:
    return root / TRIGGERS.folder / "_delta_log" / f"{number:020d}.json"


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("number", [0, 2, 4, 5])
@pytest.mark.parametrize("damage", [flipped, Path.unlink], ids=["flipped", "gone"])
def test_what_people_decided_outlives_the_log_of_its_table(root: Path, number: int, damage: Callable[[Path], None]) -> None:
    decided(root, 3)
    maintain(root, [TRIGGERS], replace(UPKEEP, small_files=2), vacuum=False)  # commit 4
    before = decided(root, 4, start=3)
    damage(commit(root, number))
    assert ill(root)[0] == "table_log_damaged"
    assert any("4 rows" in line for line in repair(root, dry_run=True).done)
    assert ill(root)[0] == "table_log_damaged"
    assert not repair(root).left
    assert said(root) == before
    assert not repair(root).done
    decided(root, 5, start=4)
    assert ill(root) == []


def test_of_a_damaged_file_of_decisions_the_others_are_kept_and_it_is_named(root: Path) -> None:
    decided(root, 3)
    file = min((root / TRIGGERS.folder).glob("*.parquet"))
    flipped(file)
    assert ill(root) == ["data_file_damaged"]
    (line,) = [line for line in repair(root).done if line.startswith(TRIGGERS.name)]
    assert f"the rows of {file.name} are lost" in line
    assert len(said(root)) == 2
    assert ill(root) == []


@pytest.mark.parametrize("step", ["touch", "rename", "rmtree"])
def test_a_table_made_anew_is_put_in_its_place_by_the_next_repair(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = decided(root, 3)
    commit(root, 1).unlink()

    def dies(*_: object, **__: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patched:
        if step == "rmtree":
            patched.setattr(salvage, "finish", dies)
        else:
            patched.setattr(Path, step, dies)
        with pytest.raises(InterruptedError):
            repair(root)
    assert ill(root) == ["table_log_damaged"]
    assert not repair(root).left
    assert said(root) == before
    assert not (root / "_salvage").exists()


def test_what_cannot_be_mended_is_named_with_what_to_do(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / EVENTS.folder / "_delta_log" / f"{2:020d}.json").write_text("{")
    assert main(["repair", "--lake", str(root)]) == 1
    told = capsys.readouterr().out
    assert "table_log_damaged" in told
    assert "hindsight rebuild" in told


def test_no_lake_is_not_repaired(tmp_path: Path) -> None:
    with pytest.raises(StateError) as refused:
        repair(tmp_path / "lake")
    assert refused.value.code == "no_lake"
    assert not (tmp_path / "lake").exists()
