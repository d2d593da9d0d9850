"""Where a runtime lends its session, a command uses it and leaves it be."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import session
from tests import lakes


def test_a_session_that_is_lent_is_left_running(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.2")
    before = spark.conf.get("spark.sql.shuffle.partitions")
    with session.opened(lakes.settings_for(tmp_path / "lake", spark_shuffle_partitions=17)) as lent:
        assert lent.sparkContext is spark.sparkContext
        assert lent.conf.get("spark.sql.shuffle.partitions") == before  # that is for who lends it
        assert lent.conf.get("spark.sql.session.timeZone") == "UTC"
    assert spark.range(3).count() == 3
