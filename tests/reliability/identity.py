"""Identity: an id is its exact characters and nothing else; one id is one event, at any distance and through any crash."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.log import EmbeddedLog
from pipelines.paths import log_path
from pipelines.silver import tables as silver
from tests import lakes
from tests.crashes import drained_with_crashes
from tests.reliability.check import Check, Figures, at_least
from tests.reliability.ground import AGREES, compared, declared, parts, process
from tests.reliability.world import DAY, HOUR, MINUTE, START, Event, Truth, World, spelled, written

WINDOW = 365 * DAY
RUNS = 4
MODEL = """
model = "m"
[labels.late]
type = "number"
judges = "prediction"
attribution_window = "365 days"
resolve = "latest"
[statistics]
grains = ["1 day"]
cuts = ["all"]
"""
TWINS: dict[str, Callable[[str], str]] = {
    "as it is": lambda name: name,
    "upper case": str.upper,
    "lower case": str.lower,
    "swapped case": str.swapcase,
    "a blank after": lambda name: name + " ",
    "a blank before": lambda name: " " + name,
    "two blanks after": lambda name: name + "  ",
    "a tab after": lambda name: name + "\t",
    "a line feed after": lambda name: name + "\n",
    "a no-break space after": lambda name: name + "\u00a0",
    "a NUL after": lambda name: name + "\x00",
    "a NUL before": lambda name: "\x00" + name,
    "a NUL inside": lambda name: name[:3] + "\x00" + name[3:],
    "a control character after": lambda name: name + "\x01",
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "compatible": lambda name: name.replace("fi", "\ufb01"),
    "Cyrillic": lambda name: name.replace("a", "\u0430"),
    "Greek": lambda name: name.replace("o", "\u03bf"),
    "fullwidth": lambda name: name.replace("1", "\uff11"),
    "Kelvin": lambda name: name.replace("K", "\u212a"),
    "a long s": lambda name: name.replace("s", "\u017f"),
    "a dotless i": lambda name: name.replace("i", "\u0131"),
    "a zero width joiner": lambda name: name + "\u200d",
    "a soft hyphen": lambda name: name[:2] + "\u00ad" + name[2:],
    "a byte order mark": lambda name: "\ufeff" + name,
    "a variation selector": lambda name: name + "\ufe0f",
    "a replacement character": lambda name: name + "\ufffd",
    "quotes": lambda name: f'"{name}"',
    "a backslash": lambda name: name + "\\",
    "a percent escape": lambda name: name.replace("-", "%2D"),
    "a leading zero": lambda name: "0" + name,
}
"""Ids that look, sort, fold or print like another one, and are none of them the same."""
BROKEN = (b"\xff", b"\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80")
"""Broken UTF-8 after an id: many readers make U+FFFD of each of them."""


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    truth = confusable(seed, size)
    lake = folder / "lake"
    settings = lakes.settings_for(lake)
    first, crashing, *rest = parts(truth.records, RUNS)
    process(settings, spark, first, most=100)
    log = EmbeddedLog(log_path(lake), durable=False)
    log.append([record.payload for record in crashing], [record.received_at for record in crashing])
    log.close()
    crashed = drained_with_crashes(
        settings, spark, (silver.INFERENCES, silver.FEEDBACK, silver.QUARANTINE, silver.DUPLICATES)
    )
    for piece in rest:
        process(settings, spark, piece, most=100)
    records = [record.reason or record.home for record in truth.records]
    return {
        **compared(lake, truth, WINDOW),
        "ids": len(truth.inferences) + len(truth.feedback),
        "duplicates": records.count("duplicate"),
        "conflicts": records.count("id_conflict"),
        "crashes_in_a_half_written_batch": len(crashed),
    }


CHECK = Check(
    "identity",
    "The same event twice is one; another under its id is refused; ids that merely look alike never merge",
    run,
    short=25,
    full=2_500,
    wanted={
        **AGREES,
        "duplicates": at_least(100),
        "conflicts": at_least(100),
        "crashes_in_a_half_written_batch": at_least(4),
    },
)


def confusable(seed: int, size: int) -> Truth:
    """So many ids with all their twins, an outcome of its own for each; repeated and contradicted up to two months later."""
    rng = random.Random(f"identity {seed}")
    world = World(declared(MODEL))
    names = {twin(f"Kafision-{number}\u00e9") for number in range(size) for twin in TWINS.values()}
    for number, name in enumerate(sorted(names)):
        served = START + rng.randrange(6 * 3600) * timedelta(seconds=1)
        heard = served + rng.randrange(1, 50) * MINUTE
        if rng.random() < 0.05:
            _invalid(world, name, served)
        inference = world.infer(name, served, served, prediction=0)
        judgement = world.judge(name, name, float(number), heard, heard)
        _again(world, rng, inference, served)
        _again(world, rng, judgement, heard)
    for number, raw in enumerate(BROKEN * 4):
        own = f"Kafision-{number % size}\u00e9".encode()
        event = written(
            {
                "kind": "inference",
                "request_id": "@",
                "model": "m",
                "version": "1",
                "status": "ok",
                "prediction": 1,
                "served_at": spelled(START),
            }
        )
        world.refuse(event.replace(b"@", own + raw), START + number * HOUR, "not_utf8")
    for days in range(1, 70):
        world.frontier(START + days * DAY)
    return world.truth()


def _invalid(world: World, name: str, at: datetime) -> None:
    """An invalid event under the id, before the good one: it does not compete for it."""
    event = {"kind": "inference", "request_id": name, "model": "nobody", "version": "1", "status": "ok"}
    world.refuse(written({**event, "prediction": 1, "served_at": spelled(at)}), at - MINUTE, "unknown_model")


def _again(world: World, rng: random.Random, event: Event, first: datetime) -> None:
    """Sometimes the same again, sometimes something else under the id: at once, hours later, months later."""
    for _ in range(rng.choice([0, 0, 1, 2, 3])):
        at = first + rng.choice([timedelta(0), MINUTE, rng.randrange(1, 40) * HOUR, rng.randrange(2, 65) * DAY])
        how = rng.random()
        if how < 0.3:
            world.send(event, at)
        elif how < 0.5:
            world.respell(event, at)
        elif how < 0.75:
            time = "served_at" if event["kind"] == "inference" else "given_at"
            world.send({**event, time: spelled(datetime.fromisoformat(event[time]) + timedelta(seconds=1))}, at)
        else:
            world.send({**event, "subject" if event["kind"] == "inference" else "text": "another"}, at)
