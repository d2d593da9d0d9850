"""Where others start Spark: what they say stands, and what the cluster lacks is named at once.

`spark-submit` starts a process and its JVM; a Databricks runtime lends a session that runs already.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from pipelines.errors import MachineError

DELTA = "io.delta.sql.DeltaSparkSessionExtension"


def submitted() -> bool:
    """Whether `spark-submit` has started this process, and before it the JVM."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def lent() -> bool:
    """Whether a Databricks runtime runs this process: its session is its own, and so is its Delta Lake."""
    return "DATABRICKS_RUNTIME_VERSION" in os.environ


def unless_given(options: Mapping[str, str]) -> dict[str, str]:
    """Those that the command line does not name."""
    SparkContext._ensure_initialized()
    given = dict(SparkConf().getAll())
    return {name: value for name, value in options.items() if name not in given}


def refuse_missing(session: SparkSession, delta: str) -> None:
    """Stop a session that lacks Delta Lake, or whose executors lack this package or what it requires; one that is lent goes on.

    Raises MachineError `delta_missing` or `package_missing`.
    """
    context: Any = session.sparkContext
    try:
        if not lent():
            context._jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(DELTA)
    except Exception as error:
        session.stop()
        raise MachineError(
            "delta_missing", f"Delta Lake is not on Spark's class path. Submit with --packages {delta}"
        ) from error
    if context.master.startswith("local"):
        return
    many = max(2, context.defaultParallelism)
    try:
        context.parallelize(range(many), many).foreach(_import)
    except Exception as error:
        if not lent():
            session.stop()
        raise MachineError(
            "package_missing",
            f"the executors of {context.master} cannot run what this driver runs ({_lack(str(error))}). Submit the wheel, "
            "named .zip, with --py-files, and have what it requires installed in the Python that runs there (PYSPARK_PYTHON).",
        ) from error


def _import(_: int) -> None:
    """What every task needs; runs on an executor."""
    import pipelines.jobs  # noqa: F401


def _lack(said: str) -> str:
    """Of a Java error with a Python traceback in it: what was not there."""
    lines = [line.strip() for line in said.splitlines()]
    return next((line for line in lines if line.startswith(("ModuleNotFoundError", "ImportError"))), lines[0])
