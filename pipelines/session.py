"""The only place where a SparkSession is built."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipelines.errors import MachineError, first_line
from pipelines.log.source import LogSource
from pipelines.machine import java
from pipelines.settings import Settings
from pipelines.submission import DELTA, lent, refuse_missing, submitted, unless_given

_CHECKPOINTS = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
_ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


def build(settings: Settings, *, app: str = "hindsight", log: Path | None = None) -> SparkSession:
    """A session as the settings say; what Spark has to say goes to the file `log`, where one is named.

    Under `spark-submit` the master, memory and packages are those of its command line, and whatever else it names stands,
    but for what results rest on; a session that is lent is told that alone. Raises MachineError `java_missing`,
    `java_too_old`, `spark_failed`, `delta_missing` or `package_missing`.
    """
    if lent():
        options = _needed()
    elif submitted():
        options = {**unless_given(_comfort(settings)), **_delta(), **_needed()}
    else:
        found = java(os.environ)
        if not found.ok:
            raise MachineError(found.code, f"{found.found}. {found.advice}")
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        options = {**_machine(settings), **_comfort(settings), **_delta(), **_needed(), **dict(settings.spark.extra)}
    builder = SparkSession.builder.appName(app)
    for name, value in options.items():
        builder = builder.config(name, value)
    try:
        with _stderr_to(log):
            session = builder.getOrCreate()
    except OSError:  # the file for what Java says
        raise
    except Exception as error:
        raise _not_started(error, settings, log) from error
    _quieten(session)
    if lent() or submitted():
        refuse_missing(session, settings.spark.delta_package)
    session.dataSource.register(LogSource)
    return session


def _machine(settings: Settings) -> dict[str, str]:
    """What the JVM is started with: one machine, which is driver and executor."""
    spark = settings.spark
    return {
        "spark.master": f"local[{spark.cores}]",
        "spark.driver.memory": f"{spark.memory // 2**20}m",
        "spark.jars.packages": spark.delta_package,
        "spark.default.parallelism": str(spark.cores),
        "spark.driver.extraJavaOptions": "-Dlog4j2.level=ERROR -XX:+UseParallelGC -Xss4m",
    }


def _comfort(settings: Settings) -> dict[str, str]:
    """What may be otherwise, and no number with it."""
    spark = settings.spark
    return {
        "spark.sql.shuffle.partitions": str(spark.shuffle_partitions),
        # streams: plans are fixed, and adaptive re-planning costs more than it gives in a batch of a second
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.streaming.checkpointFileManagerClass": _CHECKPOINTS,
        "spark.sql.streaming.stopTimeout": "20s",
        "spark.sql.streaming.maxBatchesToRetainInMemory": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
        "spark.python.worker.reuse": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **({"spark.sql.streaming.stateStore.providerClass": _ROCKSDB} if spark.state_store == "rocksdb" else {}),
    }


def _delta() -> dict[str, str]:
    """Delta Lake within Spark."""
    return {
        "spark.sql.extensions": DELTA,
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }


def _needed() -> dict[str, str]:
    """What the jobs rest on, whoever starts them."""
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.streaming.multipleWatermarkPolicy": "max",
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.pyspark.toJSON.returnDataFrame": "false",
    }


def _not_started(error: Exception, settings: Settings, log: Path | None) -> MachineError:
    return MachineError(
        "spark_failed",
        f"Spark did not start ({first_line(error)}). The first start fetches {settings.spark.delta_package} from Maven "
        "Central: is it reachable, directly or through a mirror named in an ivysettings.xml "
        "(spark.jars.ivySettings under [spark.extra])? `hindsight doctor` checks Java, the jars, ports and disk."
        + (f" What Spark said is in {log}." if log else ""),
    )


@contextmanager
def opened(settings: Settings, *, app: str = "hindsight") -> Iterator[SparkSession]:
    """A session for the time of a command, or the one that is lent; what Spark has to say goes to the lake's own log of it."""
    spark = build(settings, app=app, log=log_of(settings))
    try:
        yield spark
    finally:
        if not lent():
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
