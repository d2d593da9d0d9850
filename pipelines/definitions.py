"""What the log declares: the definitions in force, the row rules of models, and who was erased."""

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
from pipelines.log import Log
from pipelines.log.source import bronze
from pipelines.settle import last
from pipelines.silver.declared import Declaration
from pipelines.silver.erased import Erasure
from pipelines.silver.parse import parse
from pipelines.silver.rules import RowRules, Rule
from pipelines.silver.tables import CONTROLS

_ACTIONS = ("define", "expect", "erase")
_DECLARES = r'"define"|"expect"|"erase"|\\u00[67]'
"""In the bytes of whatever declares: the word itself, or an escaped letter that may hide it."""
Row = dict[str, Any]


class DefinitionBook:
    """Reads what is declared from silver.controls, again whenever it has grown. `given` are known before they have landed."""

    def __init__(self, lake: Lake, given: Sequence[Definition] = ()) -> None:
        self._lake, self._given = lake, list(given)
        self._version = -1
        self._read: list[Row] = []
        self._landing: list[Row] = []

    def __call__(self, records: Held | None = None) -> Sequence[Declaration]:
        """What silver.controls declares, and what these records of bronze declare, or else the last ones that were given.

        The later jobs of a chain ask without records, before those of their own batch are in silver.controls; none of them
        needs to know who was erased, or what is expected of records. Raises StateError `erasure_key_lost`.
        """
        if records is not None:
            self._landing = list(_declared_by(records.matching("payload", _DECLARES)))
        of_records: list[Declaration] = [] if records is None else [*self.erasures(), *self.rules()]
        return [*self.definitions(), *of_records]

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

    def rules(self) -> list[RowRules]:
        """All row rules that were ever declared."""
        return [_rules(row) for row in self._rows() if row["action"] == "expect"]

    def _rows(self) -> list[Row]:
        table = self._lake.open(CONTROLS)
        if table.version() != self._version:
            self._version = table.version()
            columns = ["action", "model", "body", "offset", "backfill"]
            self._read = self._lake.read(CONTROLS, columns, ds.field("action").isin(list(_ACTIONS))).to_pylist()
        return [*self._read, *self._landing]


def backfilled(log: Log, start: int) -> list[Definition]:
    """The definitions that the log declares to apply everywhere, at this offset or above.

    An application knows them before they land: the inferences that stand before them in the log count under them too.
    """
    found = (_definition(row) for row in _declared_from(log, start) if row["action"] == "define")
    return [definition for definition in found if definition.everywhere]


def declare(log: Log, lake: Lake, wanted: Sequence[Definition | RowRules]) -> list[Definition | RowRules]:
    """Append a control event for each definition that the log does not declare yet, and row rules that are not its last word.

    What was appended by a run that ended before landing it is appended again: of equal definitions the lowest position counts.
    """
    known = {definition.hash for definition in DefinitionBook(lake).definitions()}
    standing = standing_rules(log, lake, [one for one in wanted if isinstance(one, RowRules)])
    missing = [
        one for one in wanted if (one.hash not in known if isinstance(one, Definition) else one.rules != standing.get(one.model, ()))
    ]
    for one in missing:
        log.control(one.control())
    return missing


def standing_rules(log: Log, lake: Lake, wanted: Sequence[RowRules]) -> dict[str, tuple[Rule, ...]]:
    """The row rules that the log declares last, by model; what has not landed is read where any are wanted or known."""
    landed = DefinitionBook(lake).rules()
    if not any(one.rules for one in (*landed, *wanted)):
        return {}
    coming = (_rules(row) for row in _declared_from(log, last(lake)["end_offset"]) if row["action"] == "expect")
    return {one.model: one.rules for one in sorted((*landed, *coming), key=lambda one: one.offset)}


def _declared_from(log: Log, start: int) -> Iterator[Row]:
    """What the log declares at this offset or above."""
    end = log.end()
    for append in log.read(start, end):
        if pc.any(pc.match_substring_regex(append.records()["payload"], _DECLARES)).as_py():
            rows = bronze(append, start, end)
            yield from _declared_by(rows.filter(pc.match_substring_regex(rows["payload"], _DECLARES)))


def _declared_by(records: pa.Table) -> Iterator[Row]:
    """What raw records declare, as rows of silver.controls."""
    said = parse(records, definitions=())
    for row in said.filter(said["control"].is_valid()).select(["control", "offset"]).to_pylist():
        if row["control"]["action"] in _ACTIONS:
            yield {**row["control"], "offset": row["offset"]}


def _definition(row: Row) -> Definition:
    """The definition that a row of silver.controls declares."""
    return Definition.of(json.loads(row["body"]), row["offset"], everywhere=row["backfill"] is True)


def _rules(row: Row) -> RowRules:
    """The row rules that a row of silver.controls declares."""
    return RowRules.of(row["model"], json.loads(row["body"]), row["offset"])
