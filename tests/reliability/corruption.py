"""Single faults of any file of a filled lake: harmless, or noticed by name; and then mended to the same content."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from pipelines.app import Application
from pipelines.content import content_of
from pipelines.errors import HindsightError
from pipelines.health.checks import checks
from pipelines.jobs import TABLES
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.log.sound import opened
from pipelines.log.source import bronze
from pipelines.maintain import maintain
from pipelines.paths import log_path
from pipelines.rebuild import FOLLOWING, rebuild
from pipelines.repair import repair
from pipelines.settings import Settings
from pipelines.verify import verify
from tests import lakes
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.faults import TARGETS, draw
from tests.reliability.ground import parts
from tests.reliability.lateness import late
from tests.reliability.replay import fill

INFERENCES = 100
HARMLESS, SILENT = "harmless", "silently wrong"
MOST_EXAMPLES = 10

Content = dict[str, Any]


class Trial:
    """A lake that is whole, the same log with more to come, and what both must say."""

    def __init__(self, seed: int, folder: Path, spark: SparkSession) -> None:
        self.folder, self.spark = folder, spark
        self.whole = self.settings("whole")
        first, second, more = parts(late(seed, INFERENCES).records, 3)
        for piece in (first, second):
            fill(self.whole, piece)
            self.drain(self.whole)
            upkeep = replace(self.whole.maintain, small_files=2, checkpoint_every=3)
            maintain(self.whole.lake.path, TABLES, upkeep, vacuum=False)
        self.drain(self.whole)
        self.now = said(self.whole.lake.path)
        self.longer = self.copy("longer")
        fill(self.longer, more)
        self.log = (folder / "longer.sqlite").resolve()
        shutil.copy(log_path(self.longer.lake.path), self.log)
        self.drain(self.longer)
        self.then = said(self.longer.lake.path)

    def settings(self, name: str) -> Settings:
        return lakes.settings_for(self.folder / name, run_join_horizon="10 minutes", log_batch_records=100)

    def copy(self, name: str) -> Settings:
        shutil.copytree(self.whole.lake.path, self.folder / name)
        return self.settings(name)

    def drain(self, settings: Settings) -> None:
        with Application(settings, self.spark) as app:
            app.drain()

    def go_on(self, settings: Settings) -> None:
        """What is to come comes, and is processed."""
        path = log_path(settings.lake.path)
        with closing(EmbeddedLog(path, durable=False)) as log:
            end = log.end()
        with closing(opened(path, "rw")) as db:
            db.execute("ATTACH ? AS longer", (str(self.log),))
            db.execute("BEGIN")
            db.execute("INSERT INTO appends SELECT * FROM longer.appends WHERE last_offset >= ?", (end,))
            db.execute("DELETE FROM clock")
            db.execute("INSERT INTO clock SELECT * FROM longer.clock")
            db.execute("COMMIT")
        self.drain(settings)


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    trial = Trial(seed, folder, spark)
    found: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    examples: list[str] = []
    for number, fault in enumerate(draw(seed, size, trial.whole.lake.path)):
        settings = trial.copy(f"{number}")
        fault.strike(settings.lake.path)
        how, gone_on = noticed(trial, settings)
        mended = mend(trial, settings, gone_on=gone_on) if how not in (HARMLESS, SILENT) else ""
        struck[fault.target] += 1
        found[f"noticed: {how}"] += 1
        found[f"mended: {mended or 'no need'}"] += 1
        if how == SILENT or mended.startswith("not"):
            examples.append(f"{fault}: {how}, {mended}")
        shutil.rmtree(settings.lake.path)
    return {
        "faults": sum(struck.values()),
        "kinds_of_file": len(struck),
        "silently_wrong": found[f"noticed: {SILENT}"],
        "not_mended": sum(count for how, count in found.items() if how.startswith("mended: not")),
        "mended_by_repair": found["mended: repair"],
        "by_file": dict(sorted(struck.items())),
        "by_end": dict(sorted(found.items())),
        "examples": examples[:MOST_EXAMPLES],
    }


CHECK = Check(
    "corruption",
    "One damaged file, any file, any damage, is harmless or noticed by name, and repair or rebuild brings the same content back",
    run,
    short=9,
    full=200,
    wanted={
        "faults": at_least(9),
        "kinds_of_file": exactly(len(TARGETS)),
        "silently_wrong": exactly(0),
        "not_mended": exactly(0),
        "mended_by_repair": at_least(1),
    },
)


def noticed(trial: Trial, settings: Settings) -> tuple[str, bool]:
    """Who said what about a lake; and whether it has gone on to what is to come."""
    root = settings.lake.path
    failing = [check for check in checks(root) if not check.ok]
    if failing:
        return f"doctor, {failing[0].code}", False
    told = _verified(root)
    if told:
        return told, False
    try:
        trial.go_on(settings)
    except HindsightError as error:
        return f"run, {error.code}", True
    told = _verified(root)
    if told:
        return f"{told} after a run", True
    return (HARMLESS if said(root) == trial.then else SILENT), True


def _verified(root: Path) -> str:
    try:
        report = verify(root)
    except HindsightError as error:
        return f"verify, {error.code}"
    return "" if report.ok and not report.pending else "verify, differences"


def mend(trial: Trial, settings: Settings, *, gone_on: bool) -> str:
    """Mend a lake as it says itself; by what, or what was not mended."""
    root, by = settings.lake.path, "repair"
    if repair(root).left or gone_on:
        by = "rebuild"
        rebuild(settings, trial.spark)
    if said(root) != (trial.then if gone_on else trial.now):
        return f"not by {by}"
    left = [check for check in checks(root) if not check.ok]
    return f"not by {by}: {left[0].code}" if left else by


def said(root: Path) -> Content:
    """What every table and the log say."""
    found: Content = {table.name: _content(Lake(root), table) for table in FOLLOWING}
    with closing(EmbeddedLog(log_path(root), durable=False)) as log:
        end = log.end()
        rows = [bronze(append, 0, end) for append in log.read(0, end)]
        found["log"] = pa.concat_tables(rows).combine_chunks().to_pylist() if rows else []
        found["floor"] = log._clock()
    return found


def _content(lake: Lake, table: Any) -> str:
    try:
        return content_of(lake, table).hash
    except Exception as error:  # in whatever way it cannot be read
        return repr(error)
