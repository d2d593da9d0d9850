"""One real Spark session for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import settings as configuration
from pipelines.session import build


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session with the product's own settings and a small heap."""
    conf = Path(__file__).parent.parent / "conf"
    session = build(configuration.load(conf, spark_memory="1 GB"), app="hindsight-tests")
    yield session
    session.stop()
