"""From votes to outcomes: the ledger gets the difference between what the votes say and what it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from pipelines.contract import INT, STRING, TIMESTAMP, arrow_type
from pipelines.definition import Definition, Policy
from pipelines.gold.policy import Vote, sequence
from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.silver.tables import LABELLED

_KEY = ("tenant", "unit", "unit_id", "item", "label")
_DIFFERENCE = StructType([f for f in OUTCOME_LEDGER.schema.fields if f.name != "recorded_at"])
_EXTRA = StructType([StructField("policy", STRING), StructField("sign", INT), StructField("matures_at", TIMESTAMP)])
_VOTES = [c.name for c in LABELLED.columns if c.name not in ("partition", "offset", "via")]


def resolve(touched: DataFrame, votes: DataFrame, ledger: DataFrame, *, definitions: Sequence[Definition]) -> DataFrame:
    """Signed entries that bring the ledger to what the votes now say, for the units that were touched.

    `votes` and `ledger` are the rows already there for those units. Run twice it posts nothing the second time; nothing is
    ever netted across known_at; and how the votes were split into batches does not matter.
    """
    empty = {f.name: F.lit(None).cast(f.dataType).alias(f.name) for f in (*_EXTRA.fields, *LABELLED.schema.fields)}
    spoken = (
        touched.select(*_VOTES).unionByName(votes.select(*_VOTES)).select("*", *[empty[f.name] for f in _EXTRA.fields])
    )
    shared = [name for name in _VOTES if name in OUTCOME_LEDGER.names]
    posted = ledger.select(
        *[F.col(name) if name in shared else empty[name] for name in _VOTES], *[f.name for f in _EXTRA.fields]
    )
    return (
        spoken.unionByName(posted)
        .repartition("tenant", "unit_id")
        .mapInArrow(partial(_difference_of_partition, tuple(definitions)), _DIFFERENCE)
    )


def _difference_of_partition(
    definitions: Sequence[Definition], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    taken = list(batches)
    if not taken:
        return
    rows = pa.Table.from_batches(taken).combine_chunks()
    columns = _columns(rows)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, key in enumerate(zip(*(columns[name] for name in _KEY), strict=True)):
        groups[key].append(index)
    policies = _Policies(definitions)
    found: list[tuple[int, str, int, Any, int, int]] = []
    for indexes in groups.values():
        found += _difference(indexes, columns, policies)
    if found:
        yield from _frame(rows, found).to_batches()


def _difference(
    indexes: list[int], columns: dict[str, list[Any]], policies: _Policies
) -> list[tuple[int, str, int, Any, int, int]]:
    """(row to take key and context from, policy, sign, value, known_at, matures_at) of what is to be posted for one key."""
    at = indexes[0]
    net: dict[tuple[str, int, Any, int], int] = defaultdict(int)
    votes: list[Vote] = []
    for i in indexes:
        value = columns["number"][i] if columns["text"][i] is None else columns["text"][i]
        if columns["sign"][i] is None:
            votes.append(
                Vote(
                    columns["feedback_id"][i],
                    columns["action"][i],
                    value,
                    columns["given_at"][i],
                    columns["known_at"][i],
                    columns["rater"][i],
                    columns["role"][i],
                    columns["target_feedback_id"][i],
                )
            )
        else:
            net[columns["policy"][i], columns["known_at"][i], value, columns["matures_at"][i]] -= columns["sign"][i]
    served, received = columns["served_at"][at], columns["received_at"][at]
    for name, policy in policies.of(
        columns["model"][at], columns["label"][at], columns["unit"][at], columns["offset"][at]
    ):
        matures_at = max(served + policy.window * 1_000_000, received)
        for entry in sequence(votes, policy, served):
            net[name, entry.known_at, entry.value, matures_at] += entry.sign
    return [
        (at, name, 1 if sign > 0 else -1, value, known, matures)
        for (name, known, value, matures), sign in net.items()
        for _ in range(abs(sign))
    ]


class _Policies:
    """The policies that apply to an inference, by model, label, unit and log offset; equal ones once."""

    def __init__(self, definitions: Sequence[Definition]) -> None:
        self._by_label: dict[tuple[str, str], list[tuple[int, str, Policy]]] = defaultdict(list)
        for definition in definitions:
            if definition.policy is not None:
                entry = definition.offset, definition.policy.hash, definition.policy
                self._by_label[definition.model, definition.label].append(entry)

    def of(self, model: str, label: str, unit: str, offset: int) -> Iterable[tuple[str, Policy]]:
        declared = self._by_label.get((model, label), ())
        return {name: policy for at, name, policy in declared if at < offset and policy.unit == unit}.items()


def _columns(rows: pa.Table) -> dict[str, list[Any]]:
    """The columns that resolving reads, as Python values; times as microseconds."""
    names = [*_KEY, "feedback_id", "number", "text", "action", "rater", "role", "target_feedback_id", "policy", "sign"]
    columns = {name: rows[name].to_pylist() for name in names}
    for name in ("given_at", "known_at", "matures_at"):
        columns[name] = rows[name].cast(pa.int64()).to_pylist()
    context = rows["context"]
    for name in ("model", "offset"):
        columns[name] = pc.struct_field(context, name).to_pylist()
    for name in ("served_at", "received_at"):
        columns[name] = pc.struct_field(context, name).cast(pa.int64()).to_pylist()
    return columns


def _frame(rows: pa.Table, found: list[tuple[int, str, int, Any, int, int]]) -> pa.Table:
    """Entries as Arrow: key and context are taken over as they are, without a detour through Python."""
    at, policy, sign, value, known_at, matures_at = zip(*found, strict=True)
    taken = rows.take(pa.array(at))
    made = {
        "policy": pa.array(policy),
        "number": pa.array([v if isinstance(v, float) else None for v in value], pa.float64()),
        "text": pa.array([v if isinstance(v, str) else None for v in value], pa.string()),
        "sign": pa.array(sign, pa.int32()),
        "known_at": pa.array(known_at, pa.int64()).cast(pa.timestamp("us", "UTC")),
        "matures_at": pa.array(matures_at, pa.int64()).cast(pa.timestamp("us", "UTC")),
    }
    schema = pa.schema([pa.field(f.name, arrow_type(f.dataType)) for f in _DIFFERENCE.fields])
    return pa.table([made[name] if name in made else taken[name] for name in schema.names], schema=schema)
