"""The definitions in force, as the log declares them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow.dataset as ds

from pipelines.definition import Definition, active
from pipelines.held import Held
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.silver.parse import parse
from pipelines.silver.tables import CONTROLS

_DEFINES = r'"define"|\\u00[67]'
"""In the bytes of every define: the word itself, or an escaped letter that may hide it."""


class DefinitionBook:
    """Reads the definitions from silver.controls, again whenever it has grown. `given` stand before everything, for tests."""

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
            self._landing = _declared_by(records)
        table = self._lake.open(CONTROLS)
        if table.version() != self._version:
            self._version = table.version()
            rows = self._lake.read(CONTROLS, ["body", "offset"], ds.field("action") == "define").to_pylist()
            self._read = [Definition.of(json.loads(row["body"]), row["offset"]) for row in rows]
        return active([*self._given, *self._read, *self._landing])


def _declared_by(records: Held) -> list[Definition]:
    """The definitions that raw records declare."""
    said = parse(records.matching("payload", _DEFINES), definitions=())
    controls = said.filter(said["control"].is_valid()).select(["control", "offset"]).to_pylist()
    return [
        Definition.of(json.loads(row["control"]["body"]), row["offset"])
        for row in controls
        if row["control"]["action"] == "define"
    ]


def declare(log: EmbeddedLog, lake: Lake, wanted: Sequence[Definition]) -> list[Definition]:
    """Append a control event for each definition that the log does not declare yet; those appended.

    What was appended by a run that ended before landing it is appended again: of equal definitions the lowest position counts.
    """
    known = {definition.hash for definition in DefinitionBook(lake)()}
    missing = [definition for definition in wanted if definition.hash not in known]
    for definition in missing:
        log.control(definition.control())
    return missing
