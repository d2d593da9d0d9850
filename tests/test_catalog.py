"""Tables by name: what Spark reads and writes by a catalog is what lies at the paths of the lake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.catalog import Catalog
from pipelines.errors import ConfigError, HindsightError, StateError
from pipelines.gold.tables import OUTCOME_LEDGER, STATISTICS
from pipelines.jobs import TABLES
from pipelines.lake import Lake, Mark
from pipelines.metrics import metrics
from pipelines.outcomes import outcomes
from pipelines.rebuild import rebuild
from pipelines.settings import Settings
from tests import generator, lakes

SCHEMA = "spark_catalog.hindsight"


@pytest.fixture
def schema(spark: SparkSession, tmp_path: Path) -> Iterator[str]:
    """A schema of the session's own catalog."""
    spark.sql(f"CREATE SCHEMA {SCHEMA} LOCATION '{tmp_path / 'schema'}'")
    yield SCHEMA
    spark.sql(f"DROP SCHEMA {SCHEMA} CASCADE")


def settings_of(lake: Path, **options: Any) -> Settings:
    return lakes.settings_for(lake, lake_catalog=SCHEMA, **options)


def refusal(settings: Settings, spark: SparkSession) -> HindsightError:
    """What an application says that does not come to start."""
    with pytest.raises(HindsightError) as caught, Application(settings, spark):
        pass
    return caught.value


def found_by_name(spark: SparkSession, lake: Path) -> None:
    """Every table has its name, and says under it what lies at its place."""
    lakes.proven(lake)
    known = {row["tableName"] for row in spark.sql(f"SHOW TABLES IN {SCHEMA}").collect()}
    assert known == {table.name.replace(".", "_") for table in TABLES}
    for table in (STATISTICS, OUTCOME_LEDGER):
        found = spark.table(f"{SCHEMA}.{table.flat_name}").toArrow()
        assert found.schema.names == list(table.names)
        assert lakes.net_of(found.to_pylist()) == lakes.net(lake, table)
    for ask in (metrics, outcomes):
        by_name, by_path = (ask(spark, lake=lake, catalog=name).toArrow() for name in (SCHEMA, ""))
        assert by_name.num_rows
        assert by_name.equals(by_path)


@pytest.mark.usefixtures("schema")
def test_a_lake_that_went_by_path_goes_on_by_name(spark: SparkSession, tmp_path: Path) -> None:
    lake, pieces = tmp_path / "a lake", lakes.pieces_of(generator.history(7, 60), (80,))
    lakes.run(lakes.settings_for(lake), spark, pieces[:1])
    lakes.run(settings_of(lake), spark, pieces[1:])
    found_by_name(spark, lake)


@pytest.mark.long
@pytest.mark.usefixtures("schema")
def test_executors_write_by_name_and_a_rebuild_keeps_the_names(spark: SparkSession, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "lake", lake_committer="spark")
    lakes.run(settings, spark, [generator.history(7, 30)])
    found_by_name(spark, settings.lake.path)
    assert all(one.same for one in rebuild(settings, spark))
    lakes.run(settings, spark, [[]])
    found_by_name(spark, settings.lake.path)


def test_executors_write_by_name_under_a_mark_once(spark: SparkSession, schema: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path, committer="spark", spark=spark, catalog=schema)
    lake.create(STATISTICS)
    lake.register(STATISTICS)
    rows = lake.frame(STATISTICS.frame([STATISTICS.row(bucket=str(number)) for number in range(3)]).drop_columns("recorded_at"))
    assert [lake.append(STATISTICS, rows, Mark("a", batch), {"offsets": 7}) for batch in (0, 0, 1)] == [3, 0, 3]
    assert lake.open(STATISTICS).history(1)[0]["userMetadata"] == "offsets=7"
    assert spark.table(f"{schema}.gold_statistics").count() == 6


def test_a_schema_that_is_not_there_is_said_at_the_start(spark: SparkSession, tmp_path: Path) -> None:
    for missing in (SCHEMA, "nowhere.hindsight"):
        settings = lakes.settings_for(tmp_path / "lake", lake_catalog=missing)
        error = refusal(settings, spark)
        assert isinstance(error, ConfigError)
        assert error.code == "schema_missing"
        assert missing in str(error)


def test_a_name_that_means_another_table_is_said_at_the_start(spark: SparkSession, schema: str, tmp_path: Path) -> None:
    with Application(settings_of(tmp_path / "one"), spark):
        pass
    other = settings_of(tmp_path / "other")
    error = refusal(other, spark)
    assert isinstance(error, StateError)
    assert error.code == "name_elsewhere"
    assert str(tmp_path / "one") in str(error)
    with pytest.raises(StateError) as caught:  # by whoever asks, too
        metrics(spark, lake=tmp_path / "other", catalog=schema)
    assert caught.value.code == "name_elsewhere"
    with Application(replace(other, lake=replace(other.lake, catalog="")), spark):
        pass


def test_a_name_that_the_catalog_does_not_take_is_said(spark: SparkSession, schema: str, tmp_path: Path) -> None:
    known = Catalog(tmp_path, schema)
    (tmp_path / STATISTICS.folder).mkdir(parents=True)
    (tmp_path / STATISTICS.folder / "other.parquet").touch()  # files that are no table of Delta
    with pytest.raises(ConfigError) as caught:
        known.register(spark, [STATISTICS])
    assert caught.value.code == "name_refused"


def test_a_table_is_read_by_its_name(spark: SparkSession, schema: str, tmp_path: Path) -> None:
    Lake(tmp_path).create(STATISTICS)
    known = Catalog(tmp_path, schema)
    known.register(spark, [STATISTICS])
    assert known.read(spark.read, STATISTICS).count() == 0
    spark.sql(f"DROP TABLE {known.name(STATISTICS)}")
    with pytest.raises(AnalysisException):
        known.read(spark.read, STATISTICS)
    assert Catalog(tmp_path).read(spark.read, STATISTICS).count() == 0  # its files stay


def test_a_name_that_is_not_there_yet_is_said(spark: SparkSession, schema: str, tmp_path: Path) -> None:
    Lake(tmp_path).create(STATISTICS)
    with pytest.raises(StateError) as caught:
        Catalog(tmp_path, schema).refuse_elsewhere(spark, STATISTICS)
    assert caught.value.code == "name_missing"


@pytest.mark.parametrize("text", ["main", "a.b.c", "a.b`; DROP", " a.b", "a.", "a b.c"])
def test_a_schema_is_two_names(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        lakes.settings_for(tmp_path, lake_catalog=text)
    assert caught.value.code == "bad_value"
