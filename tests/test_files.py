"""Data files: rows come back as written, by every reader, and a damaged file is an error and never other rows."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from pipelines import files
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake, Mark

AT = datetime(2013, 1, 5, 23, 59, 59, 999_999, tzinfo=UTC)


def rows(count: int = 400) -> pa.Table:
    """Statistics of several grains and days, with what is hard to keep: microseconds, decimals, texts of any kind."""
    chosen = random.Random(1)
    return STATISTICS.frame(
        [
            STATISTICS.row(
                tenant="default",
                model=chosen.choice(["m", "ü/=%20 '\"", "m" * 300]),
                version=str(i % 7),
                grain=("1 hour", "1 day")[i % 2],
                cell_at=AT + timedelta(hours=chosen.randrange(60)),
                cell_date=(AT + timedelta(days=i % 3)).date(),
                known_at=AT + timedelta(microseconds=chosen.randrange(10**9)),
                statistic="n",
                bucket=str(i),
                amount=Decimal(chosen.randrange(-(10**15), 10**15)).scaleb(-9),
                recorded_at=AT,
            )
            for i in range(count)
        ]
    )


def by_bucket(found: pa.Table) -> pa.Table:
    return found.select(STATISTICS.names).cast(STATISTICS.arrow).sort_by("bucket")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.create(STATISTICS)
    lake.append(STATISTICS, rows(), Mark("a", 0), {})
    return lake


def data_files(lake: Lake) -> list[Path]:
    return sorted(lake.path(STATISTICS).rglob("part-*.parquet"))


def test_rows_come_back_as_they_were_written(lake: Lake) -> None:
    assert len(data_files(lake)) == 6
    written = by_bucket(rows())
    assert by_bucket(files.read(lake.path(STATISTICS), lake.open(STATISTICS))) == written
    assert by_bucket(files.read_files([str(file) for file in data_files(lake)], STATISTICS)) == written


def test_spark_reads_what_was_written(spark: SparkSession, lake: Lake) -> None:
    found = spark.read.format("delta").load(str(lake.path(STATISTICS)))
    assert by_bucket(found.toArrow()) == by_bucket(rows())
    assert found.where("grain = '1 day' AND model = 'm'").count() == sum(
        row["grain"] == "1 day" and row["model"] == "m" for row in rows().to_pylist()
    )


def test_files_are_passed_over_by_their_statistics_and_no_row_is_lost(lake: Lake) -> None:
    everything = rows()
    for column in STATISTICS.skipping:
        values = sorted(set(everything[column].to_pylist()))
        for value in values[:: 1 + len(values) // 12]:
            for holds in (ds.field(column) == value, ds.field(column) > value, ds.field(column) <= value):
                found = files.read(lake.path(STATISTICS), lake.open(STATISTICS), None, holds)
                assert by_bucket(found) == by_bucket(everything.filter(holds))
    known = pa.table(DeltaTable(lake.path(STATISTICS)).get_add_actions(flatten=True))
    assert known["min.known_at"].null_count == known["max.known_at"].null_count == 0
    assert sum(known["num_records"].to_pylist()) == everything.num_rows


def test_a_flipped_bit_anywhere_is_an_error(lake: Lake) -> None:
    file, written = data_files(lake)[0], by_bucket(rows())
    content, chosen = file.read_bytes(), random.Random(2)
    assert files.is_whole(file)
    for _ in range(100):
        at = chosen.randrange(len(content))
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << chosen.randrange(8)]) + content[at + 1 :])
        assert files.is_whole(file) is False
        for read in (lambda: files.read(lake.path(STATISTICS), lake.open(STATISTICS)), lambda: lake.read(STATISTICS)):
            assert outcome(read, written) == "refused"


def test_spark_refuses_a_damaged_page(spark: SparkSession, lake: Lake) -> None:
    file, path = data_files(lake)[0], lake.path(STATISTICS)
    content, chosen, refused = file.read_bytes(), random.Random(3), 0
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for number in range(8):
        at = chosen.randrange(footer * 3 // 4, footer)
        copy = path.with_name(f"copy-{number}")  # Spark keeps what it has read of a file
        shutil.copytree(path, copy)
        (copy / file.relative_to(path)).write_bytes(content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :])
        found = outcome(lambda copy=copy: spark.read.format("delta").load(str(copy)).toArrow(), by_bucket(rows()))  # type: ignore[misc]
        assert found in ("refused", "the same")
        refused += found == "refused"
    assert refused


def outcome(read: object, written: pa.Table) -> str:
    try:
        found = read()  # type: ignore[operator]
    except Exception:
        return "refused"
    return "the same" if by_bucket(found) == written else "other rows"
