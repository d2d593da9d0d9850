"""A table is declared once, here in kind and in each layer's `tables.py` in fact.

From one declaration come the Spark schema, the Arrow schema, the DDL, the parser of an event, its JSON Schema, the data
dictionary, empty frames and test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.errors import ContractError

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

STRING, LONG, INT, DOUBLE, BOOL = pa.string(), pa.int64(), pa.int32(), pa.float64(), pa.bool_()
BINARY, DATE, TIMESTAMP = pa.binary(), pa.date32(), pa.timestamp("us", "UTC")
AMOUNT = pa.decimal128(38, 9)
"""Every exact number: a sum of terms, each rounded once, half up, to nine places."""

_SQL: dict[pa.DataType, str] = {
    STRING: "string",
    LONG: "bigint",
    INT: "int",
    DOUBLE: "double",
    BOOL: "boolean",
    BINARY: "binary",
    DATE: "date",
    TIMESTAMP: "timestamp",
    AMOUNT: "decimal(38,9)",
}

_SAMPLE: dict[pa.DataType, Any] = {
    STRING: "x",
    LONG: 0,
    INT: 0,
    DOUBLE: 0.0,
    BOOL: True,
    BINARY: b"",
    DATE: date(2026, 3, 1),
    TIMESTAMP: datetime(2026, 3, 1, tzinfo=UTC),
    AMOUNT: Decimal(0),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, type, and what a value means (with its unit).

    `wire` is the type in which a producer sends the field in an event; a column without it is set by the pipeline.
    `skipping` is off for ids and personal values: minimum and maximum would keep them in the table's log.
    """

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False
    wire: Any = None
    skipping: bool = False


@dataclass(frozen=True)
class Table:
    """One table: `name` is `layer.noun`, `meaning` says what a row is, `key` makes a row unique (or names what is summed over).

    `indexed` is the column by which jobs look rows up; `rules` are checks over a whole event, by reason code.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    indexed: str | None = None
    rules: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        doubled = sorted({name for name in names if names.count(name) > 1})
        unknown = [name for name in (*self.key, *self.partition_by, *filter(None, [self.indexed])) if name not in names]
        if doubled or unknown or "." not in self.name:
            raise ContractError(
                "contract_invalid",
                f"{self.name}: columns declared twice: {doubled}; named but not declared: {unknown}. "
                "A table's name is layer.noun, and its keys are among its columns.",
            )

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and other.name == self.name

    @property
    def noun(self) -> str:
        """The name without its layer."""
        return self.name.partition(".")[2]

    @property
    def flat_name(self) -> str:
        """Its name where a dot would part it: layer_noun."""
        return self.name.replace(".", "_")

    @property
    def folder(self) -> str:
        """Where its files lie under the folder of a lake: layer/noun."""
        return self.name.replace(".", "/")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> StructType:
        """The Spark schema."""
        from pipelines.spark_types import spark_schema

        return spark_schema(pa.field(column.name, column.type, column.nullable) for column in self.columns)

    @property
    def row_type(self) -> StructType:
        """A row as a value inside another row, which may be missing: every field nullable."""
        from pipelines.spark_types import spark_schema

        return spark_schema(self.arrow)

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema; every field nullable, as frames that travel through Spark are."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])

    @property
    def computed(self) -> pa.Schema:
        """The Arrow schema of what a job computes: without recorded_at, which the commit adds."""
        return pa.schema([field for field in self.arrow if field.name != "recorded_at"])

    @property
    def skipping(self) -> tuple[str, ...]:
        """The columns whose minimum and maximum are kept per file."""
        return tuple(column.name for column in self.columns if column.skipping and column.name not in self.partition_by)

    @property
    def sent(self) -> tuple[Column, ...]:
        """The columns that a producer sends."""
        return tuple(column for column in self.columns if column.wire is not None)

    def ddl(self) -> str:
        """The CREATE TABLE statement, for catalogues."""
        body = ",\n  ".join(
            f"{c.name} {spelled(c.type).upper()}{'' if c.nullable else ' NOT NULL'} COMMENT {quoted(c.meaning)}"
            for c in self.columns
        )
        parts = f"\nPARTITIONED BY ({', '.join(self.partition_by)})" if self.partition_by else ""
        return f"CREATE TABLE {self.name} (\n  {body}\n) USING DELTA{parts}\nCOMMENT {quoted(self.meaning)}"

    def row(self, **changed: Any) -> dict[str, Any]:
        """A valid row for tests: nullable columns null, the others a plain value, and what the test cares about."""
        unknown = sorted(set(changed) - set(self.names))
        if unknown:
            raise ContractError("contract_invalid", f"{self.name} has no column {unknown}; it has {list(self.names)}")
        return {c.name: changed.get(c.name, None if c.nullable else sample(c.type)) for c in self.columns}

    def frame(self, rows: list[dict[str, Any]]) -> pa.Table:
        """Rows as an Arrow table of this table's schema."""
        return pa.Table.from_pylist(rows, schema=self.arrow)


def spelled(kind: pa.DataType) -> str:
    """A type as SQL spells it. Raises ContractError `contract_invalid`."""
    if pa.types.is_list(kind):
        return f"array<{spelled(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{spelled(kind.key_type)},{spelled(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{field.name}:{spelled(field.type)}' for field in kind)}>"
    if kind not in _SQL:
        raise ContractError("contract_invalid", f"no column is of the type {kind}; expected one of {', '.join(_SQL.values())}")
    return _SQL[kind]


def sample(kind: pa.DataType) -> Any:
    """A plain value of a type, for test rows."""
    if pa.types.is_list(kind):
        return []
    if pa.types.is_map(kind):
        return {}
    if pa.types.is_struct(kind):
        return {field.name: None if field.nullable else sample(field.type) for field in kind}
    return _SAMPLE[kind]


def struct(*columns: Column) -> pa.DataType:
    """A struct type out of columns, for columns that carry several values. All nullable: the engines differ about the rest."""
    return pa.struct([pa.field(c.name, c.type) for c in columns])


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
