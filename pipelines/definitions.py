"""What the log declares: the definitions in force, and who was erased."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipelines.definition import Definition, active
from pipelines.erasure.key import key_of
from pipelines.held import Held
from pipelines.lake import Lake
from pipelines.log import EmbeddedLog
from pipelines.log.source import bronze
from pipelines.silver.erased import Erasure
from pipelines.silver.parse import parse
from pipelines.silver.tables import CONTROLS

_DECLARES = r'"define"|"erase"|\\u00[67]'
"""In the bytes of whatever declares: the word itself, or an escaped letter that may hide it."""
Row = dict[str, Any]


class DefinitionBook:
    """Reads what is declared from silver.controls, again whenever it has grown. `given` are known before they have landed."""

    def __init__(self, lake: Lake, given: Sequence[Definition] = ()) -> None:
        self._lake, self._given = lake, list(given)
        self._version = -1
        self._read: list[Row] = []
        self._landing: list[Row] = []

    def __call__(self, records: Held | None = None) -> Sequence[Definition | Erasure]:
        """What silver.controls declares, and what these records of bronze declare, or else the last ones that were given.

        The later jobs of a chain ask without records, before those of their own batch are in silver.controls; none of them
        needs to know who was erased. Raises StateError `erasure_key_lost`.
        """
        if records is not None:
            self._landing = list(_declared_by(records.matching("payload", _DECLARES)))
        return [*self.definitions(), *(() if records is None else self.erasures())]

    def definitions(self) -> list[Definition]:
        """The definitions in force."""
        return active([*self._given, *(_definition(row) for row in self._rows() if row["action"] == "define")])

    def erasures(self) -> list[Erasure]:
        """Who was erased, and where. Raises StateError `erasure_key_lost`."""
        bodies = ((row["offset"], json.loads(row["body"])) for row in self._rows() if row["action"] == "erase")
        return [
            Erasure(at, frozenset(body["subjects"]), frozenset(body["requests"]), key_of(self._lake.root, body["key"]))
            for at, body in bodies
        ]

    def _rows(self) -> list[Row]:
        table = self._lake.open(CONTROLS)
        if table.version() != self._version:
            self._version = table.version()
            columns = ["action", "body", "offset", "backfill"]
            self._read = self._lake.read(CONTROLS, columns, ds.field("action").isin(["define", "erase"])).to_pylist()
        return [*self._read, *self._landing]


def backfilled(log: EmbeddedLog, start: int) -> list[Definition]:
    """The definitions that the log declares to apply everywhere, at this offset or above.

    An application knows them before they land: the inferences that stand before them in the log count under them too.
    """
    found: list[Definition] = []
    end = log.end()
    for append in log.read(start, end):
        if pc.any(pc.match_substring_regex(append.records()["payload"], _DECLARES)).as_py():
            rows = bronze(append, start, end)
            declared = _declared_by(rows.filter(pc.match_substring_regex(rows["payload"], _DECLARES)))
            found += [_definition(row) for row in declared if row["action"] == "define"]
    return [definition for definition in found if definition.everywhere]


def declare(log: EmbeddedLog, lake: Lake, wanted: Sequence[Definition]) -> list[Definition]:
    """Append a control event for each definition that the log does not declare yet; those appended.

    What was appended by a run that ended before landing it is appended again: of equal definitions the lowest position counts.
    """
    known = {definition.hash for definition in DefinitionBook(lake).definitions()}
    missing = [definition for definition in wanted if definition.hash not in known]
    for definition in missing:
        log.control(definition.control())
    return missing


def _declared_by(records: pa.Table) -> Iterator[Row]:
    """What raw records declare, as rows of silver.controls."""
    said = parse(records, definitions=())
    for row in said.filter(said["control"].is_valid()).select(["control", "offset"]).to_pylist():
        if row["control"]["action"] in ("define", "erase"):
            yield {**row["control"], "offset": row["offset"]}


def _definition(row: Row) -> Definition:
    """The definition that a row of silver.controls declares."""
    return Definition.of(json.loads(row["body"]), row["offset"], everywhere=row["backfill"] is True)
