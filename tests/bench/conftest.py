"""What the benches share: a folder that goes away, and Spark with the heap of the product's default."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipelines.session import build
from tests.bench.measure import settings_for


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for lakes, under HINDSIGHT_BENCH_DIR or the system's own; its disk is what is measured."""
    parent = os.environ.get("HINDSIGHT_BENCH_DIR")
    with tempfile.TemporaryDirectory(prefix="hindsight-bench-", dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One session for all benches, with the product's settings; Spark's messages go to a file."""
    scratch = tmp_path_factory.mktemp("spark")
    session = build(settings_for(scratch), app="hindsight-bench", log=scratch / "spark.log")
    yield session
    session.stop()
