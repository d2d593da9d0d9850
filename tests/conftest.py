"""One real Spark session for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines import settings as configuration
from pipelines.session import build
from tests import lakes, small


@pytest.fixture(scope="session", autouse=True)
def quick_compiler(request: pytest.FixtureRequest) -> None:
    """Every JVM that the tests start compiles quickly rather than well, since few live for long; not where speed is measured."""
    if not _selected(request, "bench"):
        os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """A session with the product's own settings and a small heap; its plans are interpreted, but for benches and the card."""
    conf = Path(__file__).parent.parent / "conf"
    extra = {} if _selected(request, "bench", "reliability") else lakes.INTERPRETED
    session = build(configuration.load(conf, spark_memory="1 GB", spark_extra=extra), app="hindsight-tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small lake made without Spark, to be copied."""
    return small.made(tmp_path_factory.mktemp("small") / "lake")


@pytest.fixture(scope="session")
def history_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that has gone through `lakes.HISTORY` in two runs, of several batches each: to be read, or copied."""
    root = tmp_path_factory.mktemp("history") / "lake"
    lakes.run(lakes.settings_for(root, log_batch_records=100), spark, lakes.pieces_of(lakes.HISTORY, [150]))
    return root


def _selected(request: pytest.FixtureRequest, *marks: str) -> bool:
    """Whether any test of this run bears one of these marks."""
    return any(item.get_closest_marker(mark) for item in request.session.items for mark in marks)
