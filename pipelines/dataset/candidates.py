"""What a release looks at of every example to decide on it: small columns, so that all examples of a label fit into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dataset.spec import Spec
from pipelines.dataset.standing import ORDER
from pipelines.definition import MISSING, Definition, canonical

FATES = (
    *("kept", "outside_window", "other_basis", "other_version", "other_segment"),
    *("duplicate", "not_drawn", "embargo", "other_split"),
)
"""What becomes of an example, in the order in which it is decided; a fate is its place here."""
KEPT = 0

Numbers = Any
"""An array of numpy."""


def fate(name: str) -> int:
    return FATES.index(name)


def needed(spec: Spec) -> list[str]:
    """The columns of gold.examples that are looked at."""
    found = ["version", "segments", *([spec.group] if spec.group in ("subject", "session") else [])]
    found += ["features"] if spec.deduplicate else []
    return found + (["prediction", "prediction_text", "score"] if spec.sampling in ("uncertainty", "disagreement") else [])


def candidates(rows: pa.Table, *, spec: Spec, definition: Definition, as_of: datetime) -> pa.Table:
    """One row per example, in their order: its key, its fate as far as filters decide it, and what draw and split go by.

    `chance` and `group_chance` are hashes of the seed and of the unit or group: no order and no other example has a say in them.
    """
    keys = _joined(rows, ORDER[1:])
    found = rows.select([*ORDER, "known_at"])
    columns = {
        "fate": pa.array(_filtered(rows, spec, as_of)),
        "chance": pa.array(_hashes(keys, spec.seed, b"draw")),
        "group_chance": pa.array(_hashes(_groups(rows, spec), spec.seed, b"split")) if spec.group else pa.nulls(len(rows), pa.uint64()),
        "stratum": _strata(rows, spec),
        "doubt": pa.array(_doubts(rows, spec, definition)),
        "print": _prints(rows) if spec.deduplicate else pa.nulls(len(rows), pa.binary(16)),
    }
    for name, column in columns.items():
        found = found.append_column(name, column)
    return found


def _filtered(rows: pa.Table, spec: Spec, as_of: datetime) -> Numbers:
    """The first filter that leaves each row out."""
    found = np.zeros(len(rows), "int8")

    def leave_out(name: str, passes: Any) -> None:
        left = pc.fill_null(pc.invert(passes), True).to_numpy(zero_copy_only=False) & (found == KEPT)
        found[left] = fate(name)

    if spec.window is not None:
        leave_out("outside_window", pc.greater_equal(rows["served_at"], pa.scalar(as_of - spec.window, pa.timestamp("us", "UTC"))))
    leave_out("other_basis", pc.is_in(rows["basis"], pa.array(spec.basis, pa.string())))
    if spec.versions:
        leave_out("other_version", pc.is_in(rows["version"], pa.array(spec.versions)))
    for name, values in spec.segments:
        leave_out("other_segment", pc.is_in(_segment(rows, name), pa.array(values, pa.string())))
    return found


def _groups(rows: pa.Table, spec: Spec) -> Any:
    """Whom rows belong to; who has no subject or session is a group of one request."""
    requests = _joined(rows, ("tenant", "unit_id"))
    if spec.group in (None, "request"):
        return requests
    return pc.coalesce(pc.binary_join_element_wise(rows["tenant"], rows[spec.group], "\0\0"), requests)


def _strata(rows: pa.Table, spec: Spec) -> Any:
    if spec.sampling == "balanced":
        return label_of(rows)
    if spec.sampling == "stratified":
        return pc.binary_join_element_wise(*(pc.fill_null(_segment(rows, name), MISSING) for name in spec.by), " | ")
    return pa.repeat("all", len(rows))


def label_of(rows: pa.Table) -> Any:
    """The outcome as text: a whole number without its point."""
    return pc.coalesce(rows["text"], rows["number"].cast(pa.string()))


def _doubts(rows: pa.Table, spec: Spec, definition: Definition) -> Numbers:
    """Uncertainty: 1 at a score of one half (or without a score), 0 at certainty. Disagreement: how far off the prediction was."""
    if spec.sampling == "uncertainty":
        return 1 - np.abs(2 * _numbers(rows["score"], 0.5) - 1)
    if spec.sampling != "disagreement":
        return np.zeros(len(rows))
    kind = definition.policy.type if definition.policy else ""
    if kind == "number":
        return np.abs(_numbers(rows["number"], 0.0) - _numbers(pc.coalesce(rows["prediction"], rows["number"]), 0.0))
    if kind == "category":
        return 1.0 - _truths(pc.equal(rows["text"], rows["prediction_text"]))
    said = rows["prediction_text" if isinstance(definition.positive, str) else "prediction"]
    called = _truths(pc.equal(said, definition.positive))
    return np.abs(_numbers(rows["number"], 0.0) - np.where(rows["score"].is_valid().to_numpy(), _numbers(rows["score"], 0.0), called))


def _prints(rows: pa.Table) -> pa.Array:
    """A digest of features and label, whatever the order in which the features were sent."""
    decode = msgspec.json.Decoder().decode
    said = zip(rows["features"].to_pylist(), label_of(rows).to_pylist(), strict=True)
    texts = (canonical([decode(features) if features else None, label]) for features, label in said)
    return pa.array([hashlib.blake2b(text, digest_size=16).digest() for text in texts], pa.binary(16))


def _hashes(texts: Any, seed: int, purpose: bytes) -> Numbers:
    """64 bits of each text, the same on every machine."""
    key = seed.to_bytes(8, "big")
    hashed: Iterable[bytes] = (
        hashlib.blake2b(text.encode(), digest_size=8, key=key, person=purpose).digest() for text in texts.to_pylist()
    )
    return np.frombuffer(b"".join(hashed), ">u8").astype("uint64")


def _joined(rows: pa.Table, names: Iterable[str]) -> Any:
    return pc.binary_join_element_wise(*(rows[name] for name in names), "\0")


def _segment(rows: pa.Table, name: str) -> Any:
    return pc.map_lookup(rows["segments"], name, "first")


def _numbers(column: Any, missing: float) -> Numbers:
    return pc.fill_null(column, missing).to_numpy()


def _truths(column: Any) -> Numbers:
    """1.0 where it holds, 0.0 where it does not or nothing is said."""
    return pc.fill_null(column, False).to_numpy(zero_copy_only=False).astype("float64")


