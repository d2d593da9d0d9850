"""Names and values as the drafted files write them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipelines.profiling import Profile

_SHOWN, _LONGEST = 3, 60


def identifier(name: str) -> str:
    """A column's name as that of a segment, measure or label."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:128] or "column"


def key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml(name)


def toml(value: Any) -> str:
    """A string, number or list of strings in TOML, whose strings are those of JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def todo(role: str, needed: str, candidates: Sequence[Profile]) -> str:
    """The line that marks what is missing, with the columns that it could be."""
    named = ", ".join(toml(profile.name) for profile in candidates[:8]) or "none was found"
    return f"# TODO {role}: {needed}. Candidates: {named}."


def misfits(profile: Profile) -> str:
    """Which cells are not what the column is: 1 of 4,390 values is no time: 'not a date'. Empty where all are."""
    kind = "time" if profile.is_time else profile.kind
    return _told(kind, profile.misfits, profile.filled) if profile.misfits else ""


def doubt(profile: Profile) -> str:
    """As `misfits`, of what most cells are though not enough of them to take the column so. Empty where there is none."""
    return _told(*profile.doubt, profile.filled) if profile.doubt else ""


def _told(kind: str, cells: Counter[str], of: int) -> str:
    count, more = cells.total(), ", …" if len(cells) > _SHOWN else ""
    said = f"is no {kind}" if count == 1 else f"are no {kind}s"
    return f"{count:,} of {of:,} values {said}: {', '.join(repr(cell[:_LONGEST]) for cell in [*cells][:_SHOWN])}{more}"
