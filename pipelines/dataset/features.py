"""The rows of a release as a training job wants them: a column per feature, each of one type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from pipelines.dataset.candidates import label_of
from pipelines.errors import InputError

TYPES = {"number": pa.float64(), "text": pa.string(), "boolean": pa.bool_()}
_KINDS: dict[type, str] = {float: "number", str: "text", bool: "boolean"}
_AT_ONCE = 1 << 16
_SHOWN = ("tenant", "unit", "unit_id", "item", "served_at", "known_at", "label", "basis", "weight", "split", "version")
_BEHIND = ("prediction", "score", "segments", "offset")
TAKEN = frozenset((*_SHOWN, *_BEHIND))
"""The columns of a release beside its features."""
Scalar = float | str | bool | None
_decode = msgspec.json.Decoder(dict[str, Scalar]).decode


def kinds(rows: pa.Table, texts: Sequence[str] = ()) -> dict[str, str]:
    """The type of each feature, by name: number, text or boolean; text for those of `texts`. One that is always null is a number.

    Raises InputError `feature_mixed`, which names two requests.
    """
    found: dict[str, tuple[str, str]] = {}
    for request, said in _said(rows):
        for name, value in said.items():
            kind = "text" if name in texts else _KINDS.get(type(value))
            first = found.setdefault(name, (kind or "", request))
            if first[0] == "" and kind:
                found[name] = (kind, request)
            elif kind and kind != first[0]:
                raise InputError(
                    "feature_mixed",
                    f'the feature "{name}" is a {first[0]} in request {first[1]} and a {kind} in request {request}; expected one type '
                    f'in all rows. Send it as one, or take it as text: texts = ["{name}"] in the model file, or --text {name}.',
                )
    return {name: kind or "number" for name, (kind, _) in sorted(found.items())}


def typed(rows: pa.Table, features: Mapping[str, str], label: str) -> pa.Table:
    """Rows of gold.released with their features as columns: NAME, or feature.NAME where the row has a column of that name.

    `features`: their types, as `kinds` gives them; `label`: number or text.
    """
    prediction = rows["prediction"] if label == "number" else rows["prediction_text"]
    columns = {name: rows[name] for name in (*_SHOWN, *_BEHIND) if name in rows.column_names}
    columns["label"] = rows["number"] if label == "number" else rows["text"]
    columns["prediction"] = prediction
    columns |= dict(zip(map(column_of, features), _columns(rows, features), strict=True))
    order = [*_SHOWN, *map(column_of, features), *_BEHIND]
    return pa.table({name: columns[name] for name in order})


def column_of(feature: str) -> str:
    """The name of the column of a feature."""
    return f"feature.{feature}" if feature in TAKEN else feature


def label_type(rows: pa.Table) -> str:
    """What the outcomes of a label are: number or text. Raises InputError `label_mixed`."""
    texts = rows.num_rows - rows["text"].null_count
    if 0 < texts < rows.num_rows:
        found = sorted(set(label_of(rows.slice(0, 100)).to_pylist()))
        raise InputError("label_mixed", f"outcomes are numbers in some rows and texts in {texts:,}: {', '.join(found[:5])}; expected one")
    return "text" if texts else "number"


def _columns(rows: pa.Table, features: Mapping[str, str]) -> Iterator[pa.ChunkedArray]:
    chunks: dict[str, list[pa.Array]] = {name: [] for name in features}
    for start in range(0, rows.num_rows, _AT_ONCE):
        said = [one for _, one in _said(rows.slice(start, _AT_ONCE))]
        for name, kind in features.items():
            values: list[Any] = [one.get(name) for one in said]
            chunks[name].append(pa.array(list(map(_text, values)) if kind == "text" else values, TYPES[kind]))
    for name, kind in features.items():
        yield pa.chunked_array(chunks[name], TYPES[kind])


def _said(rows: pa.Table) -> Iterator[tuple[str, dict[str, Scalar]]]:
    """Request and features of each row; without features, none."""
    for batch in rows.select(["unit_id", "features"]).to_batches(_AT_ONCE):
        for request, text in zip(batch["unit_id"].to_pylist(), batch["features"].to_pylist(), strict=True):
            yield request, _decode(text) if text else {}


def _text(value: Scalar) -> str | None:
    """A value as text; a whole number without its point."""
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else repr(value).removesuffix(".0")
