"""Everything again: dropped and rebuilt, started without a checkpoint, beside an old backup, under other settings. Equal, or refused."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.content import content_of
from pipelines.definition import Definition
from pipelines.errors import HindsightError
from pipelines.health.checks import checks
from pipelines.jobs import TABLES
from pipelines.lake import Lake
from pipelines.models import load_model
from pipelines.paths import checkpoints
from pipelines.rebuild import FOLLOWING, rebuild
from pipelines.settings import Settings
from pipelines.verify import verify
from pipelines.watch import tables as watch
from tests import lakes
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import MOST_EXAMPLES, parts
from tests.reliability.lateness import MODEL, late
from tests.reliability.replay import fill
from tests.reliability.world import Record

SHUFFLE = "spark.sql.shuffle.partitions"
REFUSALS = ("checkpoint_missing", "grouping_changed")

FED = tuple(table for table in TABLES if table not in watch.TABLES)
"""The tables that the chains write. Alerts and drift are computed again whenever somebody watches; here nobody has."""


class Trial:
    """A lake as it was once, the same later, and what is still to come."""

    def __init__(self, seed: int, size: int, folder: Path, spark: SparkSession) -> None:
        self.folder, self.spark = folder, spark
        first, second, self.more = parts(late(seed, size).records, 3)
        self.whole = self.settings("whole")
        self.go_on(self.whole, first)
        self.old = self.copy("old")
        # so that no table stays as it was
        self.go_on(self.whole, [*second, Record(b"nothing", second[-1].received_at, "quarantined", "not_json")])

    def settings(self, name: str) -> Settings:
        return lakes.settings_for(self.folder / name, run_join_horizon="10 minutes", log_batch_records=100)

    def copy(self, name: str, of: str = "whole") -> Settings:
        shutil.copytree(self.folder / of, self.folder / name)
        return self.settings(name)

    def go_on(self, settings: Settings, records: Sequence[Record], definitions: Sequence[Definition] = ()) -> None:
        fill(settings, list(records))
        with Application(settings, self.spark, definitions=definitions) as app:
            app.drain_whole()

    def refusal(self, settings: Settings, *jobs: str) -> str:
        """The code with which a start is refused; nothing is processed."""
        try:
            with Application(settings, self.spark, jobs=jobs):
                return "started"
        except HindsightError as error:
            return error.code


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    trial = Trial(seed, size, folder, spark)
    found: Figures = {"records": sum(rows.num_rows for rows in [lakes.rows_of(trial.whole.lake.path, FED[0])])}
    for part in (_dropped, _without_checkpoints, _beside_old_tables, _shuffled, _redefined):
        found |= part(trial)
    found["examples"] = [text for name in sorted(found) if name.endswith("_seen") for text in found.pop(name)][:MOST_EXAMPLES]
    return found


CHECK = Check(
    "rebuild",
    "All made again from the log is the same; what would count twice or leave out is refused by name",
    run,
    short=60,
    full=4_000,
    wanted={
        "tables_that_differ_when_rebuilt": exactly(0),
        "fresh_checkpoints": at_least(3),
        "fresh_checkpoints_started": exactly(0),
        "old_tables": exactly(len(FED)),
        "old_tables_started": exactly(0),
        "old_tables_unnoticed_by_doctor": exactly(0),
        "tables_that_differ_by_shuffle_partitions": exactly(0),
        "differences_under_another_policy": exactly(0),
        "tables_that_differ_under_another_policy": exactly(0),
    },
)


def said(settings: Settings) -> dict[str, str]:
    return {table.name: content_of(Lake(settings.lake.path), table).hash for table in FOLLOWING}


def apart(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return [name for name in one if one[name] != other[name]]


def _dropped(trial: Trial) -> Figures:
    """Silver, gold and the checkpoints are gone."""
    settings = trial.copy("dropped")
    for folder in ("silver", "gold", checkpoints(Path()).name):
        shutil.rmtree(settings.lake.path / folder)
    rebuild(settings, trial.spark)
    different = apart(said(trial.whole), said(settings))
    return {"tables_that_differ_when_rebuilt": len(different), "rebuilt_seen": [f"rebuilt: {name}" for name in different]}


def _without_checkpoints(trial: Trial) -> Figures:
    """The checkpoint of a query is gone, or its jobs are to run in another company, over tables that are filled."""
    codes: list[str] = []
    for folder in sorted(checkpoints(trial.whole.lake.path).glob("*+*")):
        settings = trial.copy("fresh")
        shutil.rmtree(checkpoints(settings.lake.path) / folder.name)
        codes.append(trial.refusal(settings))
        shutil.rmtree(settings.lake.path)
    codes += [trial.refusal(trial.whole, *jobs) for jobs in (("refine", "expose"), ("resolve", "tally"), ("tally",), ("examples",))]
    started = [code for code in codes if code not in REFUSALS]
    return {
        "fresh_checkpoints": len(codes),
        "fresh_checkpoints_started": len(started),
        "fresh_codes": dict(Counter(codes)),
        "fresh_seen": started,
    }


def _beside_old_tables(trial: Trial) -> Figures:
    """One table as an old backup has it, the others as they are."""
    codes: dict[str, tuple[str, str]] = {}
    for table in FED:
        settings = trial.copy("restored")
        shutil.rmtree(settings.lake.path / table.folder)
        shutil.copytree(trial.old.lake.path / table.folder, settings.lake.path / table.folder)
        failing = [check.code for check in checks(settings.lake.path) if not check.ok]
        codes[table.name] = failing[0] if failing else "well", trial.refusal(settings)
        shutil.rmtree(settings.lake.path)
    return {
        "old_tables": len(codes),
        "old_tables_unnoticed_by_doctor": sum(by_doctor == "well" for by_doctor, _ in codes.values()),
        "old_tables_started": sum(by_run == "started" for _, by_run in codes.values()),
        "old_codes": dict(Counter(f"doctor {one}, run {two}" for one, two in codes.values())),
        "old_seen": [f"old {name}: doctor {one}, run {two}" for name, (one, two) in codes.items() if one == "well" or two == "started"],
    }


def _shuffled(trial: Trial) -> Figures:
    """What is to come is processed under another number of shuffle partitions, which a checkpoint has frozen."""
    before = str(trial.spark.conf.get(SHUFFLE))
    as_before = trial.copy("as before")
    fill(as_before, trial.more)
    otherwise = trial.copy("otherwise", of="as before")
    trial.go_on(as_before, [])
    trial.spark.conf.set(SHUFFLE, str(int(before) + 3))
    try:
        trial.go_on(otherwise, [])
    finally:
        trial.spark.conf.set(SHUFFLE, before)
    different = apart(said(as_before), said(otherwise))
    return {
        "tables_that_differ_by_shuffle_partitions": len(different),
        "shuffled_seen": [f"other shuffle partitions: {name}" for name in different],
    }


def _redefined(trial: Trial) -> Figures:
    """What is to come is processed under another policy of the label too; and then everything is made again."""
    settings = trial.copy("redefined")
    trial.go_on(settings, trial.more, _declared(trial.folder, lambda text: text.replace('"latest"', '"first"')))
    report = verify(settings.lake.path)
    different = [one.table for one in rebuild(settings, trial.spark) if not one.same]
    return {
        "differences_under_another_policy": report.differences + report.pending,
        "outcomes_under_another_policy": report.outcomes_compared,
        "tables_that_differ_under_another_policy": len(different),
        "redefined_seen": [f"another policy: {name}" for name in different],
    }


def _declared(folder: Path, change: Callable[[str], str]) -> list[Definition]:
    file = folder / "model.toml"
    file.write_text(change(MODEL))
    return load_model(file)


