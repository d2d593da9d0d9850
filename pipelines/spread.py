"""A transform of Arrow tables on the partitions of Spark frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipelines.contract import STRING, Table
from pipelines.spark_types import arrow_schema, spark_schema

Transform = Callable[..., "pa.Table | Mapping[str, pa.Table]"]
"""A pure function of Arrow tables, given by name, to the rows of its table; with several tables, to each one's by its noun."""


def by_noun(made: pa.Table | Mapping[str, pa.Table], nouns: Sequence[str]) -> Mapping[str, pa.Table]:
    """What a transform made, by noun of the table."""
    return {nouns[0]: made} if isinstance(made, pa.Table) else made


def spread(transform: Transform, inputs: Mapping[str, tuple[DataFrame, str]], gives: Sequence[Table]) -> DataFrame:
    """What a transform makes of each partition, as a routed frame: `to` names the table, the column of that name holds the row.

    Each input comes with a column: rows of all inputs that agree in it are seen together.
    """
    tagged = [
        frame.select(F.lit(name).alias("input"), F.col(key).alias("together"), F.struct("*").alias(name))
        for name, (frame, key) in inputs.items()
    ]
    rows = reduce(partial(DataFrame.unionByName, allowMissingColumns=True), tagged)
    if len(tagged) > 1:
        rows = rows.repartition("together")
    taken = {name: arrow_schema(frame.schema) for name, (frame, _) in inputs.items()}
    run = partial(_of_partition, transform, taken, tuple(table.noun for table in gives), _routed(gives))
    return rows.drop("together").mapInArrow(run, routed(gives))


def routed(gives: Sequence[Table]) -> StructType:
    """The schema of a routed frame."""
    return spark_schema(_routed(gives))


def _routed(gives: Sequence[Table]) -> pa.Schema:
    return pa.schema([("to", STRING), *((table.noun, pa.struct(table.computed)) for table in gives)])


def unrouted(rows: pa.Table, table: Table) -> pa.Table:
    """The rows of a routed frame that go to a table."""
    return _unpacked(rows.filter(pc.equal(rows["to"], table.noun)), table.noun)


def _of_partition(
    transform: Transform,
    takes: Mapping[str, pa.Schema],
    nouns: Sequence[str],
    gives: pa.Schema,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    taken = list(batches)
    if not taken:
        return
    rows = pa.Table.from_batches(taken)
    inputs = {
        name: _unpacked(rows.filter(pc.equal(rows["input"], name)), name).cast(schema) for name, schema in takes.items()
    }
    made = by_noun(transform(**inputs), nouns)
    for noun in nouns:
        yield from _packed(made[noun], noun, gives).to_batches()


def _packed(rows: pa.Table, noun: str, schema: pa.Schema) -> pa.Table:
    """Rows of one table as rows of a routed frame."""
    fields = list(schema.field(noun).type)
    row = pa.StructArray.from_arrays([rows[field.name].combine_chunks() for field in fields], fields=fields)
    nothing = {field.name: pa.nulls(rows.num_rows, field.type) for field in schema}
    return pa.table({**nothing, "to": pa.repeat(noun, rows.num_rows), noun: row}, schema=schema)


def _unpacked(rows: pa.Table, name: str) -> pa.Table:
    """A column of structs as a table."""
    return pa.table(dict(zip([f.name for f in rows.schema.field(name).type], rows[name].flatten(), strict=True)))
