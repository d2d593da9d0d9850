"""What the cells of a column are: what nearly all of them say, and which are misfits."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from pipelines.cells import number, pointed
from pipelines.moments import instant

SURE, UNSURE = 98, 80
"""Percent of the cells that decide the kind, and from which on there is a doubt."""
LEAST = 20
"""Cells that decide although there are misfits."""
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.DOTALL)
_DATES = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d %b %Y", "%b %d, %Y")
_TIMES = (" %H:%M:%S", " %H:%M", "", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", ", %H:%M:%S", ", %H:%M")
_LOOKED_AT = 100
"""Cells that tell which formats are worth a look at all of them."""


@dataclass(frozen=True)
class Kind:
    """One way to take cells: number, time, text, other (nested) or empty; in which formats, where they are no ISO 8601.

    `fitting` and `misfits`: the cells that are of this kind, and those that are not; `doubt`: what most of them are
    instead, though not nearly all.
    """

    name: str
    fitting: list[Any]
    misfits: list[Any]
    formats: tuple[str, ...] = ()
    doubt: Kind | None = None

    def holds_for(self, percent: int) -> bool:
        fits = len(self.fitting)
        return not self.misfits or (fits >= LEAST and fits * 100 >= percent * (fits + len(self.misfits)))


def kind_of_cells(cells: list[Any], comma: bool) -> Kind:
    """What at least 98 % of the cells are, numbers or times before texts; `comma`: numbers may have a decimal comma."""
    if not cells:
        return Kind("empty", [], [])
    each = [_kind(pointed(cell) if comma else cell) for cell in cells]
    best = min(_some("number", {"number"}, cells, each), _some("time", {"time"}, cells, each), key=_misfits)
    if not best.holds_for(SURE):
        best = min((best, *_formatted(cells)), key=_misfits)
    if best.holds_for(SURE):
        return best
    texts = _some("text", {"text", "number"}, cells, each)
    taken = texts if texts.holds_for(SURE) else Kind("other", cells, [])
    return replace(taken, doubt=best) if best.holds_for(UNSURE) else taken


def _some(name: str, kinds: set[str], cells: list[Any], each: list[str]) -> Kind:
    return _split(name, cells, [kind in kinds for kind in each])


def _split(name: str, cells: list[Any], fits: list[bool], formats: tuple[str, ...] = ()) -> Kind:
    told = list(zip(cells, fits, strict=True))
    return Kind(name, [cell for cell, fit in told if fit], [cell for cell, fit in told if not fit], formats)


def _misfits(kind: Kind) -> int:
    return len(kind.misfits)


def _formatted(cells: list[Any]) -> list[Kind]:
    """Texts as times of the format that fits most; of two, where the day could be the month."""
    some = cells[:: len(cells) // _LOOKED_AT + 1]
    forms = [day + time for day in _DATES for time in _TIMES]
    likely = [_of_format(cells, form) for form in forms if _of_format(some, form).fitting]
    alike = [kind for kind in likely if len(kind.misfits) == min(map(_misfits, likely))]
    return [replace(alike[0], formats=tuple(form for kind in alike for form in kind.formats))] if alike else []


def _of_format(cells: list[Any], form: str) -> Kind:
    texts = {cell for cell in cells if isinstance(cell, str)}
    times = {cell for cell in texts if instant(cell, UTC, None, form)}
    return _split("time", cells, [isinstance(cell, str) and cell in times for cell in cells], (form,))


def _kind(cell: Any) -> str:
    if isinstance(cell, datetime | date) or (isinstance(cell, str) and _ISO.fullmatch(cell) and instant(cell, UTC)):
        return "time"
    if isinstance(cell, list | dict | bytes):
        return "other"
    return "text" if isinstance(number(cell), str) else "number"
