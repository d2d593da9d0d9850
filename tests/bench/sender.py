"""A live producer in a process of its own: so many events a second by the log's clock, an append every tenth of a second.

`python -m tests.bench.sender LAKE --rate 1500 --seconds 180` prints, as JSON, what it has sent: the truth of the test.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines.log import EmbeddedLog
from pipelines.log.kafka import TopicLog
from pipelines.paths import log_path
from tests.bench.load import DELAY, TWICE, feedback, inference, topic_of

TICK = 0.1
"""Seconds between two appends."""
LATE = 20
"""The most ticks after which an event is sent for the second time."""


@dataclass
class Sent:
    """Distinct inferences, distinct feedback, requests judged, records sent for the second time, and what sending took."""

    inferences: int = 0
    feedback: int = 0
    judged: int = 0
    repeated: int = 0
    cpu_seconds: float = 0.0
    most_behind_seconds: float = 0.0


class Sender:
    """One tick after the other: of three events two are inferences, the third judges an inference sent before.

    How long ago that was is exponential with the mean of DELAY, but no longer than the sender has run.
    """

    def __init__(self, rate: int, seed: int = 7) -> None:
        self._rng = np.random.default_rng(seed)
        events = max(3, int(rate * TICK))
        self._feedback = events // 3
        self._inferences = events - self._feedback
        self._judged: set[int] = set()
        self._again: dict[int, list[bytes]] = {}
        self.sent = Sent()

    def tick(self, number: int) -> list[bytes]:
        """The records of one append."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        fresh = [*self._serve(now), *self._judge(number, now)]
        repeated = self._again.pop(number, [])
        for at in np.flatnonzero(self._rng.random(len(fresh)) < TWICE).tolist():
            self._again.setdefault(number + int(self._rng.integers(1, LATE)), []).append(fresh[at])
        self.sent.repeated += len(repeated)
        return fresh + repeated

    def _serve(self, now: str) -> list[bytes]:
        count, first = self._inferences, self.sent.inferences
        scores = self._rng.integers(0, 10_000, count).tolist()
        regions = self._rng.integers(0, 3, count).tolist()
        latencies = np.round(self._rng.lognormal(3.2, 0.5, count), 1).tolist()
        self.sent.inferences += count
        rows = enumerate(zip(scores, regions, latencies, strict=True), start=first)
        return [inference(f"r{i:012d}", now, *row) for i, row in rows]

    def _judge(self, number: int, now: str) -> list[bytes]:
        ages = (self._rng.exponential(DELAY, self._feedback) / (TICK * 1000)).astype("int64") % (number + 1)
        about = (number - ages) * self._inferences + self._rng.integers(0, self._inferences, self._feedback)
        self._judged.update(about.tolist())
        first = self.sent.feedback
        self.sent.feedback += self._feedback
        self.sent.judged = len(self._judged)
        return [feedback(f"f{first + i:012d}", f"r{of:012d}", now, of % 2) for i, of in enumerate(about.tolist())]


def send(lake: Path, rate: int, seconds: int, brokers: str = "") -> Sent:
    """Send on schedule, to the log or to the lake's topic; a tick that comes late is sent at once, and noted."""
    log, sender = TopicLog(topic_of(lake, brokers)) if brokers else EmbeddedLog(log_path(lake)), Sender(rate)
    began = time.monotonic()
    for number in range(int(seconds / TICK)):
        behind = time.monotonic() - began - number * TICK
        sender.sent.most_behind_seconds = max(sender.sent.most_behind_seconds, behind)
        time.sleep(max(0.0, -behind))
        log.append(sender.tick(number))
    log.close()
    sender.sent.cpu_seconds = time.process_time()
    return sender.sent


def started(lake: Path, rate: int, seconds: int, brokers: str = "") -> subprocess.Popen[str]:
    """The same in a process of its own."""
    options = [f"--rate={rate}", f"--seconds={seconds}", f"--brokers={brokers}"]
    command = [sys.executable, "-m", "tests.bench.sender", str(lake), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--brokers", default="")
    print(json.dumps(asdict(send(**vars(parser.parse_args())))))


if __name__ == "__main__":
    main()
