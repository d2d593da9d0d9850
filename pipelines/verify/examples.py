"""gold.examples against the examples that follow from the log: which there are, by their signs, and what each of them holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipelines.verify.beliefs import Belief, Entry
from pipelines.verify.definitions import Definition, Definitions
from pipelines.verify.events import Inference
from pipelines.verify.ground import Gathered, Ground, ordered, schema
from pipelines.verify.increments import items
from pipelines.verify.outcomes import Outcome, matures_at
from pipelines.verify.quality import is_judged, judged
from pipelines.verify.report import Difference, moment, spoken
from pipelines.verify.sides import entries

TABLE = "gold.examples"
ANSWERED, ABSENT = "answered", "absent"

_KEY = ("unit", "unit_id", "item", "label", "policy", "basis", "text", "matures_at", "known_at", "number", "score")
EXPECTED = schema("unit unit_id item label policy basis text", "matures_at known_at net", "number score")
_ALIKE = ("model", "version", "served_at", "offset", "weight", "prediction", "prediction_text", "subject", "session")
"""What all examples of one inference hold alike, as they stand."""
_MAPS = ("scores", "segments", "experiments")
EXPERIMENT = pa.struct([("arm", pa.string()), ("unit_id", pa.string()), ("propensity", pa.float64())])
_SERVED = pa.schema(
    [
        *schema("unit_id model version prediction_text subject session", "served_at offset", "weight prediction", binaries="features"),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("segments", pa.map_(pa.string(), pa.string())),
        ("experiments", pa.map_(pa.string(), EXPERIMENT)),
    ]
)


class Examples:
    """The examples that are expected, and what each inference behind them said, in tables of a DuckDB connection."""

    def __init__(self, db: Any) -> None:
        self._gathered = Gathered(db, {"taught": EXPECTED, "served": _SERVED})

    def history(self, inference: Inference, definitions: Definitions, histories: Sequence[tuple[Outcome, list[Entry]]]) -> None:
        """Every signed example of one inference: its silence, what was answered, and silence taken back by any answer."""
        silences = _silences(inference, definitions)
        rows = [_row(inference, one, item, ABSENT, (mature, 1, value, None)) for one, item, mature, value in silences]
        for outcome, found in histories:
            definition = outcome.definitions[0]
            presumed = _presumed(definition)
            for known_at, sign, number, text in found if is_judged(inference, outcome.item) else ():
                at = max(outcome.matures_at, known_at)
                if number is not None or text is not None:
                    rows.append(_row(inference, definition, outcome.item, ANSWERED, (at, sign, number, text)))
                if presumed is not None:
                    rows.append(_row(inference, definition, outcome.item, ABSENT, (at, -sign, presumed, None)))
        self._take(inference, rows)

    def snapshot(
        self, inference: Inference, definitions: Definitions, standing: Sequence[tuple[Outcome, Belief | None]], *, before: int
    ) -> None:
        """What one pass over the events received before a moment teaches of one inference: at most one example a unit and policy."""
        answered = {(outcome.label, outcome.policy_hash, outcome.item) for outcome, belief in standing if belief is not None}
        silent = [
            _row(inference, one, item, ABSENT, (0, 1, value, None))
            for one, item, mature, value in _silences(inference, definitions)
            if mature < before and (one.label, one.policy_hash, item) not in answered
        ]
        said = [
            _row(inference, outcome.definitions[0], outcome.item, ANSWERED, (0, 1, belief.number, belief.text))
            for outcome, belief in standing
            if belief is not None and belief.value is not None and outcome.matures_at < before and is_judged(inference, outcome.item)
        ]
        self._take(inference, silent + said)

    def finish(self) -> None:
        """Hand over what is still held back."""
        self._gathered.finish()

    def _take(self, inference: Inference, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self._gathered.add("taught", rows)
            self._gathered.add("served", [_served(inference)])


def compare_examples(ground: Ground, as_of: int | None) -> int:
    """Compare net signs per key, of what was known before a moment (None: of all, and row by row what else they hold).

    Returns how many keys there were. The connection holds the examples that are expected.
    """
    keys = ", ".join(("tenant", *_KEY))
    known_at, until = ("epoch_us(known_at)", "TRUE") if as_of is None else ("0", f"epoch_us(known_at) < {as_of}")
    columns = "tenant, unit, unit_id, item, label, policy, basis, text, epoch_us(matures_at)"
    stored = ground.stored(TABLE).select(
        f"{columns}, {known_at}, number + 0.0, score + 0.0, 0, sign", f"{until} AND {_since(ground)}"
    )
    expected = f"SELECT 'default' AS tenant, {', '.join(_KEY)}, net AS e, 0 AS f FROM taught"
    ground.db.execute(
        f"CREATE OR REPLACE TEMP TABLE nets AS SELECT {keys}, sum(e) AS e, sum(f) AS f "
        f"FROM ({expected}{f' UNION ALL {stored}' if stored else ''}) GROUP BY {keys} HAVING sum(e) <> 0 OR sum(f) <> 0"
    )
    compared, differing = ground.db.execute("SELECT count(*), count(*) FILTER (e <> f) FROM nets").fetchall()[0]
    ground.findings.counted(differing)
    room = ground.findings.room(TABLE, None if as_of is None else moment(as_of)) if differing else 0
    for row in ground.db.execute(f"SELECT * FROM nets WHERE e <> f ORDER BY ALL LIMIT {room}").fetchall() if room else ():
        key = dict(zip(("tenant", *_KEY), row, strict=False))
        shown = {**key, "matures_at": spoken(key["matures_at"]), "known_at": spoken(key["known_at"])}
        if as_of is not None:
            del shown["known_at"]
        _keep(ground, shown, row[-2:], as_of)
    if as_of is None:
        _compare_contents(ground)
    return int(compared)


def _compare_contents(ground: Ground) -> None:
    """What rows hold beside their key, against the inference that they are about; features where the sign is plus, and nowhere else."""
    names = "unit_id, item, label, policy, basis, sign, features, epoch_us(known_at) AS known_at"
    times = 'epoch_us(served_at) AS served_at, prediction + 0.0 AS prediction, "offset"'
    others = ", ".join(name for name in (*_ALIKE, *_MAPS) if name not in ("served_at", "prediction", "offset"))
    stored = ground.stored(TABLE).select(f"{names}, {times}, {others}", _since(ground))
    if stored is None:
        return
    features = "CASE WHEN r.features IS NOT NULL THEN unhex(md5(r.features)) END"
    apart = {name: f'r."{name}" IS DISTINCT FROM s."{name}"' for name in _ALIKE}
    apart |= {name: f"{ordered(f'r.{name}')} IS DISTINCT FROM {ordered(f's.{name}')}" for name in _MAPS}
    apart["features"] = f"{features} IS DISTINCT FROM CASE WHEN r.sign > 0 THEN s.features END"
    which = ", ".join(f"CASE WHEN {wrong} THEN '{name}' END" for name, wrong in apart.items())
    ground.db.execute(
        f"CREATE OR REPLACE TEMP TABLE wrong AS SELECT unit_id, item, label, policy, basis, sign, known_at, concat_ws(', ', {which}) "
        f"AS columns, r.features FROM ({stored}) AS r JOIN served AS s USING (unit_id) WHERE {' OR '.join(apart.values())}"
    )
    ((differing,),) = ground.db.execute("SELECT count(*) FROM wrong").fetchall()
    ground.findings.counted(differing)
    room = ground.findings.room(TABLE, None) if differing else 0
    for row in ground.db.execute(f"SELECT * FROM wrong ORDER BY ALL LIMIT {room}").fetchall() if room else ():
        *named, features = row
        key = dict(zip(("unit_id", "item", "label", "policy", "basis", "sign", "known_at", "columns"), named, strict=True))
        told = f"{key['columns']} as the inference says", f"{key['columns']} otherwise; features {str(features)[:200]}"
        _keep(ground, {**key, "known_at": spoken(key["known_at"])}, told, None)


def _keep(ground: Ground, key: dict[str, object], sides: Sequence[Any], as_of: int | None) -> None:
    """Keep an example of a difference, with what the log and the ledger say about its unit."""
    about = str(key["unit_id"]), str(key["label"]), str(key["item"])
    expected, found = sides
    ground.findings.keep(
        Difference(
            TABLE,
            key,
            expected,
            found,
            None if as_of is None else moment(as_of),
            ground.evidence.of_request(about[0], about[1], as_of, about[2]),
            ground.evidence.positions([about[0]], about[1], as_of, about[2]),
            tuple(entries(ground, *about, as_of)),
        )
    )


def _silences(inference: Inference, definitions: Definitions) -> Iterator[tuple[Definition, str, int, float]]:
    """(definition, item, maturity, value) of each unit and policy of an inference to which silence has a value; policies once."""
    seen: set[tuple[str, str]] = set()
    for definition in definitions.applicable(inference.model, inference.offset) if inference.status == "ok" else ():
        place, value = (definition.label, definition.policy_hash), _presumed(definition)
        if value is not None and place not in seen:
            seen.add(place)
            for item in items(definition, inference):
                yield definition, item, matures_at(definition, inference), value


def _presumed(definition: Definition) -> float | None:
    """What a policy takes silence for; None where it says nothing."""
    absent = definition.policy["absent"] if definition.policy else "missing"
    if isinstance(absent, str):
        return 0.0 if absent == "negative" else None
    return float(absent) + 0.0


def _row(inference: Inference, definition: Definition, item: str, basis: str, entry: Entry) -> tuple[Any, ...]:
    known_at, sign, number, text = entry
    named = (definition.unit, inference.request_id, item, definition.label, definition.policy_hash, basis, text)
    return (*named, matures_at(definition, inference), known_at, sign, number, judged(inference, item).score)


def _served(inference: Inference) -> tuple[Any, ...]:
    """What an inference says, as far as an example holds it."""
    said = inference.prediction
    prediction, text = (None, said) if isinstance(said, str) else (said, None)
    named = (inference.request_id, inference.model, inference.version, text, inference.subject, inference.session)
    weight = 1.0 if inference.asked is None else 1.0 / inference.asked
    maps = (inference.scores, dict(inference.segments), inference.experiments)
    return (
        *(*named, inference.served_at, inference.offset, weight, prediction, inference.features),
        *(None if held is None else list(held.items()) for held in maps),
    )


def _since(ground: Ground) -> str:
    return "TRUE" if ground.since is None else f"epoch_us(served_at) >= {ground.since}"
