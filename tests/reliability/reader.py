"""Somebody who reads a lake all the while, and must never see half a batch.

What that means: a batch commits its tables from the end of the flow to its start, each by one commit. So

- each table, whenever it is read, holds exactly what the log says up to the end of some batch: all of a batch's rows, or none;
- whoever reads in the order of the flow finds downstream all of what was seen upstream: below the last position in
  bronze.events every record has its home and every inference its exposure; every vote in silver.labelled that counts has its
  belief in gold.outcome_ledger, one and no more, and every belief there its answer in gold.statistics and its example in gold.examples;
- every grain and cut of gold.statistics, which lie in files of their own, adds up to the same.

Downstream may be ahead, by the batch that is being written. A table's state is read through one snapshot.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.lake import Lake
from pipelines.silver.tables import LABELLED
from tests.reliability.application import Place
from tests.reliability.check import Figures
from tests.reliability.ground import HOMES, MOST_EXAMPLES
from tests.reliability.world import SKEW, Truth

EVERY = 0.1
"""Seconds between two looks, at least; it never takes more than a quarter of a core."""


class Reader(threading.Thread):
    """Looks at a lake again and again, between `start` and `close`."""

    def __init__(self, place: Place, truth: Truth, window: timedelta) -> None:
        super().__init__(name="reader", daemon=True)
        self.place, self._lake = place, Lake(place.lake)
        self._closing = threading.Event()
        self.looking = threading.Lock()
        """Hold it while what is there may be anything: nobody looks."""
        self._looks = 0
        self._seen: list[str] = []
        of = np.array([record.home for record in truth.records])
        self._offsets = {home: np.flatnonzero(of == home) for home in HOMES}
        # what is filled for the past beside them is no answer before the log says so
        defined = [found for record in truth.records if (found := _defined(record.payload))]
        self._definitions = pa.array(defined, pa.string())
        counting = [name for name, (event, _) in truth.feedback.items() if _counts(truth, event, window)]
        self._counting = pa.array(counting, pa.string())

    def run(self) -> None:
        while not self._closing.is_set():
            started = time.monotonic()
            if self._lake.exists(STATISTICS):
                try:
                    with self.looking:
                        self._seen += self.look()
                except Exception as error:  # a table that cannot be read is as bad as one that is wrong
                    self._seen.append(repr(error))
                self._looks += 1
            self._closing.wait(max(EVERY, 3 * (time.monotonic() - started)))

    def close(self) -> Figures:
        self._closing.set()
        self.join()
        return {
            "looks": self._looks,
            "looks_that_saw_half_a_batch": len(self._seen),
            "seen": self._seen[:MOST_EXAMPLES],
        }

    def look(self) -> list[str]:
        """What is wrong with what is there, read in the order of the flow; nothing, or one sentence."""
        landed = self._positions(EVENTS)
        homes = {home: self._positions(table) for home, table in HOMES.items()}
        voted = self._lake.read(LABELLED, ["unit_id", "feedback_id"])
        believed = self._lake.read(OUTCOME_LEDGER, ["unit_id", "sign"])
        counts = (ds.field("statistic") == "n") & ds.field("definition").isin(self._definitions)
        sums = self._lake.read(STATISTICS, ["basis", "grain", "cut", "amount"], counts)
        taught = self._lake.read(EXAMPLES, ["unit_id", "sign"], ds.field("basis") == "answered")
        ends = [0, *self.place.ends()]
        wrong = self._positions_wrong(landed, homes, ends)
        wrong += self._beliefs_wrong(voted, believed, taught, sums)
        exposed, whole = _totals(sums, "exposed"), self._up_to("inference", ends, len(landed))
        totals = set(exposed.values()) or {0}
        if len(totals) > 1 or not totals <= whole:
            wrong.append(f"{len(landed)} records landed, {exposed} inferences exposed, expected one of {sorted(whole)}")
        return ["; ".join(wrong)] if wrong else []

    def _positions(self, table: Table) -> Any:
        return np.sort(self._lake.read(table, ["offset"])["offset"].to_numpy())

    def _up_to(self, home: str, ends: list[int], least: int) -> set[int]:
        """How many records have this home up to the end of any batch from an offset on."""
        return {int(np.searchsorted(self._offsets[home], end)) for end in ends if end >= least}

    def _positions_wrong(self, landed: Any, homes: dict[str, Any], ends: list[int]) -> list[str]:
        wrong = []
        if not np.array_equal(landed, np.arange(len(landed))) or len(landed) not in ends:
            wrong.append(f"bronze.events holds {len(landed)} records, no whole number of the batches {ends}")
        for home, found in homes.items():
            whole = self._up_to(home, ends, len(landed))
            if len(found) not in whole or not np.array_equal(found, self._offsets[home][: len(found)]):
                wrong.append(
                    f"{len(landed)} records landed, {len(found)} of them {home}, expected one of {sorted(whole)}"
                )
        return wrong

    def _beliefs_wrong(self, voted: pa.Table, believed: pa.Table, taught: pa.Table, sums: pa.Table) -> list[str]:
        wrong = []
        stand, other = _standing(believed)
        if other:
            wrong.append(f"{other} requests do not have exactly one belief")
        untaught = pc.sum(pc.invert(pc.is_in(stand, value_set=_standing(taught)[0]))).as_py() or 0
        if untaught:
            wrong.append(f"{untaught} beliefs have no example")
        counting = voted.filter(pc.is_in(voted["feedback_id"], value_set=self._counting))["unit_id"]
        lacking = pc.sum(pc.invert(pc.is_in(counting, value_set=stand))).as_py() or 0
        if lacking:
            wrong.append(f"{lacking} votes have no belief")
        answered = _totals(sums, "answered")
        if len(set(answered.values())) > 1 or min(answered.values(), default=0) < len(stand):
            wrong.append(f"{len(stand)} beliefs, {answered} answers")
        return wrong


def _defined(payload: bytes) -> str | None:
    """The hash of the definition that a record declares."""
    return str(json.loads(payload)["definition"]) if b'"define"' in payload else None


def _counts(truth: Truth, event: dict[str, Any], window: timedelta) -> bool:
    """Whether a vote lies in the attribution window of an inference that came."""
    if event["request_id"] not in truth.inferences:
        return False
    served = datetime.fromisoformat(truth.inferences[event["request_id"]][0]["served_at"])
    return served - SKEW <= datetime.fromisoformat(event["given_at"]) < served + window


def _standing(entries: pa.Table) -> tuple[pa.ChunkedArray, int]:
    """The requests whose signs come to one, and how many come to something else."""
    net = entries.group_by("unit_id").aggregate([("sign", "sum")])
    stand = net.filter(pc.equal(net["sign_sum"], 1))["unit_id"]
    return stand, net.num_rows - len(stand)


def _totals(sums: pa.Table, basis: str) -> dict[str, int]:
    """The sum of `n` on a basis by grain and cut."""
    rows = sums.filter(pc.equal(sums["basis"], basis)).group_by(["grain", "cut"]).aggregate([("amount", "sum")])
    return {f"{row['grain']}, {row['cut']}": int(row["amount_sum"]) for row in rows.to_pylist()}
