"""gold.statistics against the increments that follow from the log, slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pipelines.verify.bodies import WIDTHS
from pipelines.verify.ground import Ground, frame, schema
from pipelines.verify.report import DAY, Difference, moment, spoken
from pipelines.verify.sides import entries, rows_of
from pipelines.verify.stored import Stored, quoted, union

TABLE = "gold.statistics"
SLICE = 400_000
"""Increments of one slice, before they are spread over cuts: what bounds the memory of a comparison."""

_EPOCH = date(1970, 1, 1)
_FILES = schema("filename", "cell_day")
_SPREAD = "increments JOIN exposures USING (e) JOIN places USING (place)"
_NAMED = ("model", "version", "cut", "segment", "label", "definition", "basis", "statistic", "bucket")
_UNUSED = ("experiment", "arm", "unit_group")
"""Key columns that hold "" as long as nothing fills them."""
_TIMES = ("cell_at", "known_at", "cell_day")
_KEY = ", ".join(("tenant", *_UNUSED, *_NAMED, *_TIMES))


@dataclass(frozen=True)
class _Slice:
    """The cells of one grain from one day to another, inclusive, as days since the epoch; as of a moment or of now."""

    grain: str
    first: int
    last: int
    as_of: int | None
    since: int | None = None

    @property
    def floored(self) -> str:
        """Where the cell of an exposure starts, in SQL."""
        return f"served_at - served_at % {WIDTHS.get(self.grain, 1)}"

    def starting(self, at: str) -> str:
        """Whether a cell starts where it is compared, in SQL."""
        return "TRUE" if self.since is None else f"{at} >= {self.since}"


def compare_cells(ground: Ground, as_of: int | None, progress: Callable[[float], None]) -> int:
    """Compare every key; returns how many there were. The connection holds the increments that are expected."""
    stored = ground.stored(TABLE)
    slices = list(_slices(ground, stored, as_of))
    compared = 0
    for number, part in enumerate(slices):
        compared += _compare(ground, stored, part)
        progress((number + 1) / len(slices))
    return compared


def expected_cells(db: Any, as_of: int | None) -> list[dict[str, Any]]:
    """All sums that are expected, by key, with grain; zeros dropped."""
    rows: list[dict[str, Any]] = []
    for grain in WIDTHS:
        part = _Slice(grain, 0, 10**6, as_of)
        sums = f"SELECT {_KEY}, sum(e) FROM ({_expected(part)}) AS t({_KEY}, e, f)"
        query = f"{sums} GROUP BY {_KEY} HAVING sum(e) <> 0"
        found = db.execute(query).fetchall()
        rows += [dict(zip((*_KEY.split(", "), "amount"), row, strict=True)) | {"grain": grain} for row in found]
    return rows


def _slices(ground: Ground, stored: Stored, as_of: int | None) -> Iterator[_Slice]:
    """Together all days that either side has, each slice of about as many increments."""
    db, since = ground.db, ground.since
    weights = dict(db.execute("SELECT day, count(*) FROM increments JOIN exposures USING (e) GROUP BY day").fetchall())
    grains = {grain for (grain,) in db.execute("SELECT DISTINCT grain FROM places").fetchall()}
    for _, values in stored.files:
        weights.setdefault((values["cell_date"] - _EPOCH).days, 0)
        grains.add(values["grain"])
    groups: list[tuple[int, int]] = []
    held = 0
    for day in sorted(day for day in weights if since is None or day >= since // DAY):
        held += weights[day]
        if not groups or held > SLICE:
            groups.append((day, day))
            held = weights[day]
        groups[-1] = (groups[-1][0], day)
    for grain in sorted(grains):
        yield from (_Slice(grain, first, last, as_of, since) for first, last in groups)


def _compare(ground: Ground, stored: Stored, part: _Slice) -> int:
    rows = f"({union([_expected(part), _found(ground.db, stored, part)])}) AS t({_KEY}, e, f)"
    ground.db.execute(
        f"CREATE OR REPLACE TEMP TABLE sums AS SELECT {_KEY}, sum(e) AS e, sum(f) AS f FROM {rows} "
        f"GROUP BY {_KEY} HAVING sum(e) <> 0 OR sum(f) <> 0"
    )
    compared, differing = ground.db.execute("SELECT count(*), count(*) FILTER (e <> f) FROM sums").fetchall()[0]
    ground.findings.counted(differing)
    room = ground.findings.room(TABLE, _at(part)) if differing else 0
    if room:
        differ = f"SELECT {_KEY}, e, f FROM sums WHERE e <> f ORDER BY ALL LIMIT {room}"
        for row in ground.db.execute(differ).fetchall():
            key = dict(zip(_KEY.split(", "), row, strict=False))
            ground.findings.keep(_difference(ground, part, key, row[-2:]))
    return int(compared)


def _expected(part: _Slice) -> str:
    known_at = "known_at" if part.as_of is None else "0"
    return (
        f"SELECT 'default', {', '.join(quoted('') for _ in _UNUSED)}, {', '.join(_NAMED)}, {part.floored}, {known_at}, "
        f"day, amount, 0::DECIMAL(38,9) FROM {_SPREAD} WHERE grain = {quoted(part.grain)} "
        f"AND day BETWEEN {part.first} AND {part.last} AND {part.starting(part.floored)}"
    )


def _found(db: Any, stored: Stored, part: _Slice) -> str:
    """The rows on disk; a row in another date's partition than its cell's belongs there and is missed here."""
    dates = {_EPOCH + timedelta(days=day): day for day in range(part.first, part.last + 1)}
    files = [(file, dates[values["cell_date"]]) for file, values in stored.files if values["cell_date"] in dates]
    db.register("_files", frame(files, _FILES))
    db.execute("CREATE OR REPLACE TEMP TABLE file_days AS SELECT * FROM _files")
    db.unregister("_files")
    known_at = "epoch_us(known_at)" if part.as_of is None else "0::BIGINT"
    columns = (
        f"tenant, {', '.join((*_UNUSED, *_NAMED))}, epoch_us(cell_at) AS cell_at, {known_at} AS known_at, cell_day, "
        "0::DECIMAL(38,9) AS e, amount::DECIMAL(38,9) AS f"
    )
    before = "TRUE" if part.as_of is None else f"epoch_us(known_at) < {part.as_of}"
    before = f"{before} AND {part.starting('epoch_us(cell_at)')}"
    query = stored.select(columns, before, "JOIN file_days USING (filename)", grain={part.grain}, cell_date=set(dates))
    return query or f"SELECT {columns} FROM ({_NOTHING}) WHERE FALSE"


_NOTHING = (
    "SELECT "
    + ", ".join(f"'' AS {name}" for name in ("tenant", *_UNUSED, *_NAMED))
    + ", TIMESTAMP 'epoch' AS cell_at, TIMESTAMP 'epoch' AS known_at, 0 AS cell_day, 0 AS amount"
)


def _difference(ground: Ground, part: _Slice, key: dict[str, Any], sums: tuple[Any, ...]) -> Difference:
    label, named = key["label"] or None, [f"{name} = {quoted(key[name])}" for name in _NAMED]
    here = [f"grain = {quoted(part.grain)}", f"day = {key['cell_day']}", f"{part.floored} = {key['cell_at']}"]
    total, some = _leading(ground, " AND ".join([*named, *here, f"known_at = {key['known_at']}"]))
    requests = list(dict.fromkeys(name for name, _ in some))
    told = [line for name in requests if label for line in entries(ground, name, label, None, part.as_of)]
    place: dict[str, set[Any]] = {"grain": {part.grain}, "cell_date": {_EPOCH + timedelta(days=key["cell_day"])}}
    stored = [*named, f"epoch_us(cell_at) = {key['cell_at']}"]
    stored += [f"epoch_us(known_at) = {key['known_at']}"] if part.as_of is None else []
    return Difference(
        TABLE,
        _shown(key, part),
        sums[0],
        sums[1],
        _at(part),
        ground.evidence.of_cell(label, total, some, part.as_of),
        ground.evidence.positions(requests, label, part.as_of),
        tuple(told),
        tuple(rows_of(ground, TABLE, " AND ".join(stored), part.as_of, **place)),
    )


def _leading(ground: Ground, where: str) -> tuple[int, list[tuple[str, Any]]]:
    """How many increments lead to a key, and some: first those of requests whose entries differ."""
    total = ground.db.execute(f"SELECT count(*) FROM {_SPREAD} WHERE {where}").fetchall()[0][0]
    suspects = ", ".join(quoted(name) for name in sorted(ground.findings.suspects)) or "''"
    some = ground.db.execute(
        f"SELECT request_id, amount FROM {_SPREAD} WHERE {where} "
        f"ORDER BY request_id NOT IN ({suspects}), request_id, amount LIMIT 4"
    ).fetchall()
    return int(total), some


def _shown(key: dict[str, Any], part: _Slice) -> dict[str, object]:
    shown: dict[str, object] = {name: value for name, value in key.items() if name not in _TIMES}
    shown |= {"grain": part.grain, "cell_at": spoken(key["cell_at"])}
    shown["cell_date"] = str(_EPOCH + timedelta(days=key["cell_day"]))
    if part.as_of is None:
        shown["known_at"] = spoken(key["known_at"])
    return shown


def _at(part: _Slice) -> Any:
    return None if part.as_of is None else moment(part.as_of)
