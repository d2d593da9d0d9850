"""One real Spark session for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import settings as configuration
from pipelines.session import build


@pytest.fixture(scope="session", autouse=True)
def quick_compiler(request: pytest.FixtureRequest) -> None:
    """Every JVM that the tests start compiles quickly rather than well, since few live for long; not where speed is measured."""
    if not any(item.get_closest_marker("bench") for item in request.session.items):
        os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session with the product's own settings and a small heap."""
    conf = Path(__file__).parent.parent / "conf"
    session = build(configuration.load(conf, spark_memory="1 GB"), app="hindsight-tests")
    yield session
    session.stop()
