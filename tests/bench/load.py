"""A seeded load: inferences of a shop's recommender and the clicks that follow, sent twice, out of order, late or astray.

`python -m tests.bench.load LAKE --events 1500000` fills the log of a lake. In a process of its own, so that the memory of
making the load is none of the pipeline's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.definition import Definition
from pipelines.log import EmbeddedLog
from pipelines.log.kafka import TopicLog
from pipelines.models import load_model
from pipelines.paths import log_path
from pipelines.sections import Kafka

MODEL = """model = "shop"
measures = ["latency_ms"]

[labels.click]
type = "binary"
positive = 1
judges = "prediction"
threshold = 0.5
attribution_window = "30 minutes"
absent = "negative"
resolve = "latest"

[segments]
region = ["north", "south", "west"]

[statistics]
grains = ["1 hour"]
cuts = ["all", "region"]
"""
"""Silence is negative, as it is for clicks: so each inference posts its score's bucket and Brier term at once."""
WINDOW = timedelta(minutes=30)
REGIONS = ("north", "south", "west")

TWICE = 0.05
"""Share of the events that are sent twice."""
DISORDER = 60_000
"""The most milliseconds from an event to its receipt; so far out of order do events arrive."""
DELAY = 300_000
"""Mean milliseconds from an inference to its feedback; exponential."""
ORPHANS = 0.01
"""Share of the feedback whose inference never comes."""
AGAIN = 0.05
"""Share of the feedback that judges a request once more."""
APPEND = 1_000
"""Records of one append."""
FRONTIER_EVERY = 5
"""Appends between two controls that assert the frontier."""

Column = NDArray[np.int64]


@dataclass(frozen=True)
class Load:
    """`events` distinct events, two inferences for each feedback; `rate`: inferences per second of their own clock."""

    events: int
    rate: float = 100.0
    seed: int = 7
    prefix: str = "r"
    start: datetime = datetime(2026, 3, 2, tzinfo=UTC)

    @property
    def inferences(self) -> int:
        return self.events * 2 // 3


def definitions(folder: Path) -> list[Definition]:
    """What MODEL declares."""
    path = folder / "shop.toml"
    path.write_text(MODEL)
    return load_model(path)


def inference(request: str, served_at: str, score: int, region: int, latency: float) -> bytes:
    """An inference event of about 300 bytes. `score` in ten-thousandths, `latency` in milliseconds."""
    return (
        f'{{"kind":"inference","request_id":"{request}","model":"shop","version":"1","served_at":"{served_at}Z",'
        f'"prediction":{int(score >= 5_000)},"score":0.{score:04d},"status":"ok","segments":{{"region":"{REGIONS[region]}"}},'
        f'"measures":{{"latency_ms":{latency}}},"features":{{"age":{18 + score % 60},"visits":{score % 17},'
        f'"basket":{score * 0.25},"device":"phone"}}}}'
    ).encode()


def feedback(number: str, request: str, given_at: str, value: int) -> bytes:
    """A click (1), or its explicit absence (0)."""
    return (
        f'{{"kind":"feedback","feedback_id":"{number}","request_id":"{request}","label":"click","action":"assert",'
        f'"given_at":"{given_at}Z","rater":"u{request}","role":"user","value":{value}}}'
    ).encode()


class Stream:
    """The records of a load in order of receipt, made block by block."""

    def __init__(self, load: Load) -> None:
        rng = np.random.default_rng(load.seed)
        n, m = load.inferences, load.events - load.inferences
        self._prefix = load.prefix
        served = int(load.start.timestamp() * 1000) + (np.arange(n) * (1000 / load.rate)).astype("int64")
        self._score = rng.integers(0, 10_000, n)
        self._region = rng.integers(0, 3, n)
        self._latency = np.round(rng.lognormal(3.2, 0.5, n), 1)
        about = rng.permutation(n)[:m]
        again = rng.random(m) < AGAIN
        about[again] = rng.choice(about, int(again.sum()))
        self._about, self._lost = about, rng.random(m) < ORPHANS
        self._value = (rng.random(m) * 10_000 < self._score[about]).astype("int64")
        given = served[about] + rng.exponential(DELAY, m).astype("int64")
        number = np.concatenate([np.arange(n), np.arange(m)])
        judges = np.repeat([False, True], [n, m])
        at = np.concatenate([served, given])
        received = at + rng.integers(0, DISORDER, n + m)
        twice = rng.choice(n + m, int((n + m) * TWICE), replace=False)
        sent = np.concatenate([np.arange(n + m), twice])
        received = np.concatenate([received, received[twice] + rng.integers(0, DISORDER, len(twice))])
        order = np.argsort(received, kind="stable")
        sent, self.received = sent[order], received[order]
        self._number, self._judges, self._at = number[sent], judges[sent], at[sent]

    def __len__(self) -> int:
        return len(self.received)

    def block(self, start: int, end: int) -> tuple[list[bytes], list[datetime]]:
        """Records [start, end): payloads and receipts."""
        part = slice(start, end)
        number, judges = self._number[part], self._judges[part]
        texts = np.datetime_as_string(self._at[part].astype("M8[ms]")).tolist()
        payloads: list[bytes] = [b""] * len(texts)
        prefix = self._prefix
        rows = np.flatnonzero(~judges)
        of = number[rows]
        columns = (self._score[of].tolist(), self._region[of].tolist(), self._latency[of].tolist())
        for row, i, score, region, latency in zip(rows.tolist(), of.tolist(), *columns, strict=True):
            payloads[row] = inference(f"{prefix}{i:012d}", texts[row], score, region, latency)
        rows = np.flatnonzero(judges)
        of = number[rows]
        columns = (self._about[of].tolist(), self._lost[of].tolist(), self._value[of].tolist())
        for row, i, about, lost, value in zip(rows.tolist(), of.tolist(), *columns, strict=True):
            request = f"{prefix}-lost-{i:06d}" if lost else f"{prefix}{about:012d}"
            payloads[row] = feedback(f"{prefix}f{i:012d}", request, texts[row], value)
        return payloads, _times(self.received[part])


def topic_of(lake: Path, brokers: str) -> Kafka:
    """The topic of a lake, of its folder's name."""
    return Kafka(brokers=brokers, topic=lake.name, options={}, password_file="")


def append(stream: Stream, log: EmbeddedLog | TopicLog, start: int = 0, end: int | None = None, *, close: bool = True) -> None:
    """Append records [start, end) with frontiers between them and, with `close`, one after all silence."""
    until = len(stream) if end is None else min(end, len(stream))
    for count, first in enumerate(range(start, until, APPEND), start=1):
        payloads, received = stream.block(first, min(first + APPEND, until))
        log.append(payloads, received)
        if count % FRONTIER_EVERY == 0:
            log.assert_frontier(received[-1])
    if close:
        log.assert_frontier(_times(stream.received[until - 1 : until])[0] + WINDOW + timedelta(hours=2))


def fill(lake: Path, load: Load, brokers: str = "") -> None:
    """Append a whole load to the log of a lake, or to its topic where brokers are named, by a process of its own."""
    options = {"events": load.events, "rate": load.rate, "seed": load.seed, "prefix": load.prefix, "brokers": brokers}
    command = [sys.executable, "-m", "tests.bench.load", str(lake), "--start", load.start.isoformat()]
    command += [f"--{name}={value}" for name, value in options.items()]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


def _times(millis: Column) -> list[datetime]:
    return [datetime.fromtimestamp(at / 1000, UTC) for at in millis.tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--rate", type=float, default=Load.rate)
    parser.add_argument("--seed", type=int, default=Load.seed)
    parser.add_argument("--prefix", default=Load.prefix)
    parser.add_argument("--start", type=datetime.fromisoformat, default=Load.start)
    parser.add_argument("--brokers", default="")
    given = vars(parser.parse_args())
    lake, brokers = given.pop("lake"), given.pop("brokers")
    log = TopicLog(topic_of(lake, brokers)) if brokers else EmbeddedLog(log_path(lake), durable=False)
    append(Stream(Load(**given)), log)
    log.close()


if __name__ == "__main__":
    main()
