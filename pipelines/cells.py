"""Cells of other people's files as values of an event."""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipelines.moments import rfc3339

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


_COMMA = re.compile(r"\s*[+-]?[0-9]*,[0-9]+\s*")


def pointed(value: Any) -> Any:
    """A text that is a number with a decimal comma, with a point; anything else as it stands."""
    return value.replace(",", ".") if isinstance(value, str) and _COMMA.fullmatch(value) else value


def plain(value: Any) -> Any:
    """A value of a cell as JSON has it. What JSON cannot say becomes a text, which refine then refuses."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        pairs = bool(value) and all(isinstance(entry, tuple) for entry in value)
        return plain(dict(value)) if pairs else [plain(entry) for entry in value]
    if isinstance(value, datetime):
        return rfc3339(value) if value.tzinfo else value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def text(value: Any) -> Any:
    """An id or a category: whole numbers without a decimal point, as most files lose an id's type sooner or later."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    found = plain(value)
    return found if isinstance(found, str) else str(found)


def number(value: Any) -> Any:
    """A number where it is one (true is 1), else the text as it stands, which a category may be and a score may not."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        digits = value.strip()
        if not _NUMBER.fullmatch(digits):
            return value
        found = float(digits)
        return int(digits) if found.is_integer() and digits.lstrip("+-").isdigit() else plain(found)
    return float(value) if isinstance(value, Decimal) else plain(value)
