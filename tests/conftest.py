"""One real Spark session for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import settings as configuration
from pipelines.session import build
from tests import small

INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""Plans are not compiled: over a few rows that takes longer than to run them."""


@pytest.fixture(scope="session", autouse=True)
def quick_compiler(request: pytest.FixtureRequest) -> None:
    """Every JVM that the tests start compiles quickly rather than well, since few live for long; not where speed is measured."""
    if not _selected(request, "bench"):
        os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """A session with the product's own settings and a small heap; its plans are interpreted, but for benches and the card."""
    conf = Path(__file__).parent.parent / "conf"
    extra = {} if _selected(request, "bench", "reliability") else INTERPRETED
    session = build(configuration.load(conf, spark_memory="1 GB", spark_extra=extra), app="hindsight-tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small lake made without Spark, to be copied."""
    return small.made(tmp_path_factory.mktemp("small") / "lake")


def _selected(request: pytest.FixtureRequest, *marks: str) -> bool:
    """Whether any test of this run bears one of these marks."""
    return any(item.get_closest_marker(mark) for item in request.session.items for mark in marks)
