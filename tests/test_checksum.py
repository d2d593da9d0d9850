"""Version checksums: kept step by step, and always what the whole table says, to delta-rs and to Spark alike."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from pipelines import checksum
from pipelines.lake import Lake, Mark
from pipelines.maintain import maintain
from pipelines.sections import Maintain
from pipelines.silver.tables import FEEDBACK


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.create(FEEDBACK)
    return lake


def append(lake: Lake, batch: int, days: int = 2) -> None:
    rows = [
        FEEDBACK.row(
            feedback_id=f"{batch}-{day}",
            received_at=datetime(2026, 3, day, tzinfo=UTC),
            received_date=date(2026, 3, day),
        )
        for day in range(1, days + 1)
    ]
    lake.append(FEEDBACK, FEEDBACK.frame(rows), Mark("test", batch), {"job": "test"})


def of(lake: Lake, version: int) -> dict[str, Any]:
    """What a version checksum says of the table: all but our own fields, by which it vouches for its commit and itself."""
    read: dict[str, Any] = json.loads((log(lake) / f"{version:020d}.crc").read_text())
    return {name: value for name, value in read.items() if not name.startswith("hindsight")}


def log(lake: Lake) -> Path:
    return lake.path(FEEDBACK) / "_delta_log"


def versions(lake: Lake) -> range:
    return range(DeltaTable(lake.path(FEEDBACK)).version() + 1)


def compact(lake: Lake) -> None:
    every = Maintain(16 << 20, small_files=1, checkpoint_every=1000, retain=timedelta(days=7))
    assert maintain(lake.root, [FEEDBACK], every, vacuum=False)[0].compacted == 2


def recomputed(lake: Lake, version: int) -> dict[str, Any]:
    """From the state of the table at a version, as delta-rs reads it."""
    table = DeltaTable(lake.path(FEEDBACK), version=version)
    sizes = pa.table(table.get_add_actions(flatten=True))["size_bytes"].to_pylist()
    first = [json.loads(line) for line in (log(lake) / f"{0:020d}.json").read_text().splitlines()]
    return {
        "tableSizeBytes": sum(sizes),
        "numFiles": len(sizes),
        "numMetadata": 1,
        "numProtocol": 1,
        "metadata": next(action["metaData"] for action in first if "metaData" in action),
        "protocol": next(action["protocol"] for action in first if "protocol" in action),
    }


def test_each_version_has_one_and_it_is_what_the_whole_table_says(lake: Lake) -> None:
    for batch in range(3):
        append(lake, batch)
    compact(lake)
    append(lake, 3)
    assert len(versions(lake)) > 5
    written = [version for version in versions(lake) if (log(lake) / f"{version:020d}.crc").exists()]
    assert {0, 1, 2, 3, versions(lake)[-1]} <= set(written)
    assert [of(lake, version) for version in written] == [recomputed(lake, version) for version in written]


def test_one_that_is_missing_is_bridged_from_the_whole_table(lake: Lake) -> None:
    append(lake, 0)
    append(lake, 1)
    for file in log(lake).glob("*.crc"):
        file.unlink()
    append(lake, 2)
    assert of(lake, 3) == recomputed(lake, 3)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"numFiles": 1}'])
def test_one_that_is_damaged_is_not_believed(lake: Lake, text: str) -> None:
    append(lake, 0)
    (log(lake) / f"{1:020d}.crc").write_text(text)
    append(lake, 1)
    assert of(lake, 2) == recomputed(lake, 2)


def test_it_covers_its_own_commit_and_is_itself_covered(lake: Lake) -> None:
    append(lake, 0)
    file, (first, second) = log(lake) / f"{1:020d}.crc", sorted(log(lake).glob("*.json"))
    said = checksum.read(file)
    assert said is not None
    assert checksum.covers(said, second.read_bytes())
    assert not checksum.covers(said, first.read_bytes())
    file.write_text(file.read_text().replace('"numFiles":2', '"numFiles":3'))
    assert checksum.read(file) is None


def test_one_that_is_there_is_left_alone(lake: Lake) -> None:
    (log(lake) / f"{0:020d}.crc").write_text("mine")
    checksum.write(lake.path(FEEDBACK), 0)
    assert (log(lake) / f"{0:020d}.crc").read_text() == "mine"


def test_nothing_is_written_where_the_log_does_not_say_how_much_went(lake: Lake) -> None:
    append(lake, 0)
    file = log(lake) / f"{2:020d}.json"
    file.write_text(json.dumps({"remove": {"path": "x", "dataChange": False}}) + "\n")
    checksum.write(lake.path(FEEDBACK), 2)
    assert not (log(lake) / f"{2:020d}.crc").exists()


def test_no_scratch_file_stays_behind(lake: Lake) -> None:
    append(lake, 0)
    assert not list(log(lake).glob("*.tmp"))


def test_spark_takes_them_for_its_own(spark: SparkSession, lake: Lake) -> None:
    append(lake, 0)
    append(lake, 1)
    compact(lake)
    path = str(lake.path(FEEDBACK))
    jvm: Any = spark.sparkContext._jvm
    snapshot = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path).unsafeVolatileSnapshot()
    latest = of(lake, versions(lake)[-1])
    assert snapshot.version() == versions(lake)[-1]
    assert snapshot.checksumOpt().isDefined()
    assert snapshot.validateChecksum(jvm.scala.collection.immutable.HashMap())
    assert (snapshot.sizeInBytes(), snapshot.numOfFiles()) == (latest["tableSizeBytes"], latest["numFiles"])
    assert spark.read.format("delta").load(path).count() == 4
