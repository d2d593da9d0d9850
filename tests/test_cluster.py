"""The jobs by `spark-submit`: each by itself, and all of them on a cluster that loses an executor on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import settle
from pipelines.jobs import NAMES
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.paths import log_path
from pipelines.verify import verify
from tests.cluster import Cluster, cluster, submit, wheel
from tests.generator import SHOP, Record, history
from tests.reliability.application import Place, until

pytestmark = pytest.mark.places

LOCAL = "local[2]"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A lake and its settings: the executors write, a batch is 100 records."""
    made = Place.made(tmp_path, batch_records=100, committer="spark")
    (made.conf / "models" / "shop.toml").write_text(SHOP)
    return made


def run(place: Place, master: str, package: Path, *words: str) -> subprocess.Popen[bytes]:
    """`run` on a place's lake."""
    told = place.conf.parent / "told.txt"
    return submit(master, package, told, "run", *words, "--lake", str(place.lake), "--conf", str(place.conf))


def done(place: Place, process: subprocess.Popen[bytes]) -> None:
    assert process.wait(600) == 0, (place.conf.parent / "told.txt").read_text()[-4000:]


def append(place: Place, records: Sequence[Record]) -> None:
    with closing(EmbeddedLog(log_path(place.lake), durable=False)) as log:
        for start in range(0, len(records), 50):
            payloads, received = zip(*records[start : start + 50], strict=True)
            log.append(payloads, received)


def proven(place: Place) -> None:
    """The lake is what a batch computation by other means says, and holds all that the log holds."""
    report = verify(place.lake)
    assert report.ok, report
    assert not report.pending
    assert report.cells_compared > 1_000


def test_every_job_runs_by_itself(place: Place, package: Path) -> None:
    append(place, history(11, 150))
    # reconcile looks at what all have taken in, hands what it finds to the join, and sets the frontier behind that
    for job in (*NAMES, "reconcile", "attribute", "resolve", "tally", "examples", "reconcile"):
        done(place, run(place, LOCAL, package, job, "--once"))
    proven(place)


def test_a_cluster_that_loses_an_executor_comes_to_the_same(place: Place, package: Path, spark_cluster: Cluster) -> None:
    records = history(12, 400)
    half = len(records) // 2
    append(place, records[:half])
    process = run(place, spark_cluster.master, package)
    try:
        assert until(lambda: place.planned("land") >= 1, 300), (place.conf.parent / "told.txt").read_text()[-4000:]
        assert until(lambda: bool(spark_cluster.executors()), 60)
        spark_cluster.executors()[0].kill()
        append(place, records[half:])
        assert until(lambda: process.poll() is not None or _end(place) >= len(records), 600)
        assert process.poll() is None, (place.conf.parent / "told.txt").read_text()[-4000:]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
    done(place, run(place, spark_cluster.master, package, "--once"))
    proven(place)


def _end(place: Place) -> int:
    """The log offset below which everything is in gold."""
    return int(settle.last(Lake(place.lake))["end_offset"])


def refused(place: Place, cluster: Cluster, package: Path, *options: str, **environment: str) -> str:
    """What a run says that ends before anything starts."""
    told = place.conf.parent / "told.txt"
    words = ("run", "--once", "--lake", str(place.lake), "--conf", str(place.conf))
    assert submit(cluster.master, package, told, *words, options=options, **environment).wait(300) == 4, told.read_text()
    return told.read_text()


def test_a_package_that_is_not_on_the_executors_is_said_at_the_start(
    place: Place, package: Path, spark_cluster: Cluster, tmp_path: Path
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -s "$@"\n')
    bare.chmod(0o755)
    environment = {"PYSPARK_PYTHON": str(bare), "PYSPARK_DRIVER_PYTHON": sys.executable}
    said = refused(place, spark_cluster, package, **environment)
    assert "[package_missing]" in said
    assert "ModuleNotFoundError" in said


def test_a_cluster_without_delta_is_said_at_the_start(place: Place, package: Path, spark_cluster: Cluster) -> None:
    other = ("--packages", "org.slf4j:slf4j-api:2.0.17")
    assert "[delta_missing]" in refused(place, spark_cluster, package, *other)
