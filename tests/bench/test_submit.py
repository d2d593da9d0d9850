"""How long one job by `spark-submit` takes until its first batch is committed, and with what. Run: pytest -m bench -s.

Ivy's cache is warm: the first start, of a lake that is not there yet, has filled it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from pipelines.paths import checkpoints
from tests.bench.load import MODEL, Load, fill
from tests.bench.measure import measured, option, report, show
from tests.cluster import DELTA, wheel, without_checkout

pytestmark = pytest.mark.bench

RESTARTS = option("RESTARTS", 3)
"""Measured starts on a lake that is there; the median of each part counts."""
EVENTS = option("EVENTS_SUBMIT", 1_000)
JOB = "land"
STEPS = {
    "JVM": "spark-submit's JVMs, until Ivy begins",
    "Ivy": "Ivy finds the packages in its cache",
    "Python": "Spark starts Python",
    "imports": "imports, settings, model files",
    "session": "the session",
    "lake": "the lake: lease, tables, guards",
    "stream": "the stream starts and plans a batch",
    "batch": "the batch: computed and appended",
    "commit": "the checkpoint is committed",
}
"""What begins at each note, in order."""


def test_a_job_by_spark_submit_until_its_first_batch(folder: Path) -> None:
    package, lake, conf = wheel(folder), folder / "lake", folder / "conf"
    (conf / "models").mkdir(parents=True)
    (conf / "settings.toml").write_text("[spark]\ncores = 2\n")
    (conf / "models" / "shop.toml").write_text(MODEL)
    starts = []
    for number in range(1 + RESTARTS):
        fill(lake, Load(EVENTS, seed=number, prefix=f"s{number}-"))
        with measured() as usage:
            parts = started(package, lake, conf)
        starts.append({**parts, "until the first batch": sum(parts.values()), "CPU seconds, to the end": usage.cpu})
    first, *restarts = starts
    told = {name: median(start[name] for start in restarts) for name in first}
    rows = [(STEPS.get(name, name), first[name], told[name]) for name in first]
    show(f"spark-submit … run {JOB} --once: seconds", ("", "a new lake", f"again, median of {RESTARTS}"), rows)
    report("submit", {"new": first, "again": told, "starts": starts})


def started(package: Path, lake: Path, conf: Path) -> dict[str, float]:
    """Seconds of each step of one start."""
    notes = lake.parent / "notes.json"
    command = [str(Path(sys.executable).parent / "spark-submit"), "--master", "local[2]", "--packages", DELTA]
    command += ["--py-files", str(package), "--driver-memory", "1g", "--conf", "spark.log.level=ERROR"]
    command += [str(Path(__file__).parent / "submitted.py"), "run", JOB, "--once", "--lake", str(lake), "--conf", str(conf)]
    begun = {"JVM": time.time()}
    said = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=lake.parent,
        env={**without_checkout(), "HINDSIGHT_BENCH_NOTES": str(notes)},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "loading settings" in line:
                begun["Ivy"] = time.time()
            if "artifacts copied" in line:
                begun["Python"] = time.time()
    assert process.returncode == 0, "".join(said)[-4000:]
    begun |= json.loads(notes.read_text())
    (commits,) = checkpoints(lake).glob(f"{JOB}/commits")
    ends = [*(begun[name] for name in list(STEPS)[1:]), max(file.stat().st_mtime for file in commits.glob("[0-9]*"))]
    return {name: end - begun[name] for name, end in zip(STEPS, ends, strict=True)}
