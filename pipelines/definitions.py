"""The definitions in force, as the log declares them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines.definition import Definition, active
from pipelines.held import Held
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.log.source import bronze
from pipelines.silver.parse import parse
from pipelines.silver.tables import CONTROLS

_DEFINES = r'"define"|\\u00[67]'
"""In the bytes of every define: the word itself, or an escaped letter that may hide it."""


class DefinitionBook:
    """Reads the definitions from silver.controls, again whenever it has grown. `given` are known before they have landed."""

    def __init__(self, lake: Lake, given: Sequence[Definition] = ()) -> None:
        self._lake, self._given = lake, list(given)
        self._version = -1
        self._read: list[Definition] = []
        self._landing: list[Definition] = []

    def __call__(self, records: Held | None = None) -> Sequence[Definition]:
        """What silver.controls declares, and what these records of bronze declare, or else the last ones that were given.

        The later jobs of a chain ask without records, before those of their own batch are in silver.controls.
        """
        if records is not None:
            self._landing = list(_declared_by(records.matching("payload", _DEFINES)))
        table = self._lake.open(CONTROLS)
        if table.version() != self._version:
            self._version = table.version()
            rows = self._lake.read(CONTROLS, ["body", "offset", "backfill"], ds.field("action") == "define")
            self._read = [_of(row) for row in rows.to_pylist()]
        return active([*self._given, *self._read, *self._landing])


def backfilled(log: EmbeddedLog, start: int) -> list[Definition]:
    """The definitions that the log declares to apply everywhere, at this offset or above.

    An application knows them before they land: the inferences that stand before them in the log count under them too.
    """
    found: list[Definition] = []
    end = log.end()
    for append in log.read(start, end):
        if pc.any(pc.match_substring_regex(append.records()["payload"], _DEFINES)).as_py():
            rows = bronze(append, start, end)
            found += _declared_by(rows.filter(pc.match_substring_regex(rows["payload"], _DEFINES)))
    return [definition for definition in found if definition.everywhere]


def declare(log: EmbeddedLog, lake: Lake, wanted: Sequence[Definition]) -> list[Definition]:
    """Append a control event for each definition that the log does not declare yet; those appended.

    What was appended by a run that ended before landing it is appended again: of equal definitions the lowest position counts.
    """
    known = {definition.hash for definition in DefinitionBook(lake)()}
    missing = [definition for definition in wanted if definition.hash not in known]
    for definition in missing:
        log.control(definition.control())
    return missing


def _declared_by(records: pa.Table) -> Iterator[Definition]:
    """The definitions that raw records declare."""
    said = parse(records, definitions=())
    for row in said.filter(said["control"].is_valid()).select(["control", "offset"]).to_pylist():
        if row["control"]["action"] == "define":
            yield _of({**row["control"], "offset": row["offset"]})


def _of(row: dict[str, Any]) -> Definition:
    """The definition that a row of silver.controls declares."""
    return Definition.of(json.loads(row["body"]), row["offset"], everywhere=row["backfill"] is True)
