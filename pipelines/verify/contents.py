"""silver.inferences and silver.feedback against the log: what each row holds, since what comes later rests on it.

Which rows there are `homes.py` compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from pipelines.verify.events import Feedback, Inference
from pipelines.verify.examples import EXPERIMENT
from pipelines.verify.ground import Gathered, Ground, ordered, schema
from pipelines.verify.quality import nine, shortest
from pipelines.verify.report import Difference

_NAMES = ("request_id", "model", "version", "status", "prediction_text", "subject", "session")
_TEXTS = ("feedback_id", "request_id", "label", "value_text", "action", "rater", "role", "target_feedback_id")
_INFERENCE = {
    **{name: name for name in (*_NAMES, "score", "asked")},
    "served_at": "epoch_us(served_at)",
    "received_at": "epoch_us(received_at)",
    "prediction": "prediction + 0.0",
    "features": "CASE WHEN features IS NOT NULL THEN unhex(md5(features)) END",
    "scores": ordered("scores"),
    "segments": ordered("segments"),
    "measures": ordered("measures"),
    "experiments": ordered("experiments"),
    "items": "list_transform(coalesce(items, []), lambda one: {'item': one.item, 'score': one.score})",
}
"""Columns of silver.inferences that a number or an example depends on, in SQL."""
_SAID_INFERENCE = pa.schema(
    [
        *schema(" ".join(_NAMES), "offset served_at received_at", "prediction score asked"),
        ("features", pa.binary()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("segments", pa.map_(pa.string(), pa.string())),
        ("measures", pa.map_(pa.string(), pa.decimal128(38, 9))),
        ("experiments", pa.map_(pa.string(), EXPERIMENT)),
        ("items", pa.list_(pa.struct([("item", pa.string()), ("score", pa.float64())]))),
    ]
)
_FEEDBACK = {
    **{name: name for name in _TEXTS},
    "item": "coalesce(item, '')",
    "value": "value + 0.0",
    "given_at": "epoch_us(given_at)",
    "received_at": "epoch_us(received_at)",
}
_SAID_FEEDBACK = schema(f"item {' '.join(_TEXTS)}", "offset given_at received_at", "value")
_MAPS = ("scores", "segments", "measures", "experiments")


def compare_contents(ground: Ground) -> None:
    """Compare every row, field by field."""
    inferences = map(_inference, ground.verdicts.inferences.values())
    _compare(ground, "silver.inferences", "request_id", _INFERENCE, (_SAID_INFERENCE, inferences))
    feedback = map(_feedback, ground.verdicts.feedback.values())
    _compare(ground, "silver.feedback", "feedback_id", _FEEDBACK, (_SAID_FEEDBACK, feedback))


def _compare(
    ground: Ground, table: str, identity: str, held: Mapping[str, str], said: tuple[Any, Iterable[dict[str, Any]]]
) -> None:
    shape, rows = said
    columns = ", ".join(f"{sql} AS {name}" for name, sql in held.items())
    stored = ground.stored(table).select(f'"offset", {columns}', f'"offset" < {ground.end}')
    if stored is None:
        return
    gathered = Gathered(ground.db, {"said": shape})
    for row in rows:
        gathered.add("said", [tuple(row.get(name) for name in shape.names)])
    gathered.finish()
    apart = [f"r.{name} IS DISTINCT FROM {ordered(f's.{name}') if name in _MAPS else f's.{name}'}" for name in held]
    wrong = list(zip(held, apart, strict=True))
    named = ", ".join(f"CASE WHEN {differs} THEN '{name}' END" for name, differs in wrong)
    expected, found = (", ".join(f"CASE WHEN {differs} THEN {_told(name, side)} END" for name, differs in wrong) for side in "sr")
    differing = ground.db.execute(
        f"SELECT s.\"offset\", s.{identity}, concat_ws(', ', {named}), concat_ws(', ', {expected}), concat_ws(', ', {found}) "
        f'FROM ({stored}) AS r JOIN said AS s USING ("offset") WHERE {" OR ".join(apart)} ORDER BY ALL'
    ).fetchall()
    ground.db.execute("DROP TABLE said")
    ground.findings.counted(len(differing))
    for offset, name, which, wanted, held_there in differing[: ground.findings.room(table, None)]:
        key: dict[str, object] = {identity: name, "columns": which}
        ground.findings.keep(Difference(table, key, wanted, held_there, None, ground.evidence.of_position(offset), (offset,)))


def _told(name: str, side: str) -> str:
    """A column and what one side holds in it, in SQL; of features no more than a digest is known."""
    return f"'{name} ' || coalesce(({side}.{name}::VARCHAR)[:200], 'null')" if name != "features" else "'features'"


def _inference(said: Inference) -> dict[str, Any]:
    prediction, text = (None, said.prediction) if isinstance(said.prediction, str) else (said.prediction, None)
    return {
        **said._asdict(),
        "prediction": prediction,
        "prediction_text": text,
        "scores": list((said.scores or {}).items()),
        "measures": [(name, nine(shortest(value))) for name, value in said.measures],
        "experiments": list((said.experiments or {}).items()),
        "items": [{"item": item, "score": score} for item, score in said.items or ()],
    }


def _feedback(said: Feedback) -> dict[str, Any]:
    value, text = (None, said.value) if isinstance(said.value, str) else (said.value, None)
    return {
        **said._asdict(),
        "value": value,
        "value_text": text,
        "target_feedback_id": said.target,
    }
