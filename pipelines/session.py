"""The only place where a SparkSession is built."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipelines.errors import MachineError
from pipelines.log.source import LogSource
from pipelines.machine import java
from pipelines.settings import Settings

_CHECKPOINTS = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
_ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


def build(settings: Settings, *, app: str = "hindsight", log: Path | None = None) -> SparkSession:
    """A local session as the settings say; what Spark has to say goes to the file `log`, where one is named.

    Raises MachineError `java_missing`, `java_too_old` or `spark_failed`.
    """
    found = java(os.environ)
    if not found.ok:
        raise MachineError(found.code, f"{found.found}. {found.advice}")
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    spark = settings.spark
    options = {
        "spark.master": f"local[{spark.cores}]",
        "spark.app.name": app,
        "spark.driver.memory": f"{spark.memory // 2**20}m",
        "spark.jars.packages": spark.delta_package,
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(spark.shuffle_partitions),
        "spark.default.parallelism": str(spark.cores),
        # streams: plans are fixed, and adaptive re-planning costs more than it gives in a batch of a second
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.streaming.checkpointFileManagerClass": _CHECKPOINTS,
        "spark.sql.streaming.stopTimeout": "20s",
        "spark.sql.streaming.multipleWatermarkPolicy": "max",
        "spark.sql.streaming.maxBatchesToRetainInMemory": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.pyspark.toJSON.returnDataFrame": "false",
        "spark.python.worker.reuse": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.extraJavaOptions": "-Dlog4j2.level=ERROR -XX:+UseParallelGC -Xss4m",
        **({"spark.sql.streaming.stateStore.providerClass": _ROCKSDB} if spark.state_store == "rocksdb" else {}),
        **dict(spark.extra),
    }
    builder = SparkSession.builder
    for name, value in options.items():
        builder = builder.config(name, value)
    try:
        with _stderr_to(log):
            session = builder.getOrCreate()
    except OSError:  # the file for what Java says
        raise
    except Exception as error:
        raise MachineError(
            "spark_failed",
            f"Spark did not start ({str(error).splitlines()[0]}). The first start fetches {spark.delta_package} from Maven "
            "Central: is it reachable, directly or through a mirror named in an ivysettings.xml "
            "(spark.jars.ivySettings under [spark.extra])? `hindsight doctor` checks Java, the jars, ports and disk."
            + (f" What Spark said is in {log}." if log else ""),
        ) from error
    _quieten(session)
    session.dataSource.register(LogSource)
    return session


@contextmanager
def opened(settings: Settings, *, app: str = "hindsight") -> Iterator[SparkSession]:
    """A session for the time of a command; what Spark has to say goes to the lake's own log of it."""
    spark = build(settings, app=app, log=log_of(settings))
    try:
        yield spark
    finally:
        spark.stop()


def _quieten(session: SparkSession) -> None:
    """Errors only; and where Java ends first, no traceback of the server of accumulators, which nobody has."""
    session.sparkContext.setLogLevel("ERROR")
    server: Any = session.sparkContext._accumulatorServer
    server.handle_error = lambda *_: None


def log_of(settings: Settings) -> Path:
    """Where Spark's own messages go."""
    return settings.lake.path.resolve() / "_logs" / "spark.log"


@contextmanager
def _stderr_to(log: Path | None) -> Iterator[None]:
    """Let what is started in between, the JVM, write its messages to a file for the rest of its life."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(file, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(file)
