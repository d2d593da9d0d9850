"""From votes to outcomes: the ledger gets the difference between what the votes say and what it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.definition import Definition, Policy
from pipelines.gold.policy import Vote, sequence
from pipelines.gold.tables import OUTCOME_LEDGER

_TIME = pa.timestamp("us", "UTC")
_KEY = ("tenant", "unit", "unit_id", "item", "label")


def resolve(touched: pa.Table, votes: pa.Table, ledger: pa.Table, *, definitions: Sequence[Definition]) -> pa.Table:
    """Signed entries that bring the ledger to what the votes now say, for the units that were touched.

    `votes` and `ledger` are the rows already there for those units. Run twice it posts nothing the second time; nothing is
    ever netted across known_at; and how the votes were split into batches does not matter.
    """
    rows = pa.concat_tables([touched, votes, ledger], promote_options="default")
    columns = _columns(rows)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, key in enumerate(zip(*(columns[name] for name in _KEY), strict=True)):
        groups[key].append(index)
    policies = _Policies(definitions)
    found: list[tuple[int, str, int, Any, int, int]] = []
    for indexes in groups.values():
        found += _difference(indexes, columns, policies)
    return _entries(rows, found)


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
                entry = definition.above, definition.policy.hash, definition.policy
                self._by_label[definition.model, definition.label].append(entry)

    def of(self, model: str, label: str, unit: str, offset: int) -> Iterable[tuple[str, Policy]]:
        declared = self._by_label.get((model, label), ())
        return {name: policy for above, name, policy in declared if above < offset and policy.unit == unit}.items()


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


def _entries(rows: pa.Table, found: list[tuple[int, str, int, Any, int, int]]) -> pa.Table:
    """Entries as Arrow: key and context are taken over as they are, without a detour through Python."""
    at, policy, sign, value, known_at, matures_at = zip(*found, strict=True) if found else ((),) * 6
    taken = rows.take(pa.array(at, pa.int64()))
    made = {
        "policy": pa.array(policy, pa.string()),
        "number": pa.array([v if isinstance(v, float) else None for v in value], pa.float64()),
        "text": pa.array([v if isinstance(v, str) else None for v in value], pa.string()),
        "sign": pa.array(sign, pa.int32()),
        "known_at": pa.array(known_at, pa.int64()).cast(_TIME),
        "matures_at": pa.array(matures_at, pa.int64()).cast(_TIME),
    }
    schema = OUTCOME_LEDGER.computed
    return pa.table([made[name] if name in made else taken[name] for name in schema.names], schema=schema)
