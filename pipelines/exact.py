"""Exact numbers: decimals of the shortest form that reads back as the same double, rounded once.

Sums are kept as whole numbers of *units*, 1e-9 each: addition of integers is exact, and commutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa

UNIT = 1_000_000_000
"""Units in 1."""
PLACES = Decimal("1e-9")
AMOUNTS = pa.decimal128(38, 9)
_LEAST, _GREATEST = np.iinfo("int64").min, np.iinfo("int64").max
_CONTEXT = Context(prec=1500, rounding=ROUND_HALF_UP)
"""Wide enough for the square of a difference of any two doubles within 1e12, so that only the finished term is rounded."""


def shortest(value: float) -> Decimal:
    """The double in its shortest decimal form, unrounded."""
    return Decimal(repr(value))


def rounded(value: Decimal) -> Decimal:
    """Half up to nine places."""
    return value.quantize(PLACES, context=_CONTEXT)


def amount(value: float) -> Decimal:
    """A double as an amount."""
    return rounded(shortest(value))


def units(value: Decimal) -> int:
    """A decimal in units, half up."""
    return int(value.scaleb(9, _CONTEXT).to_integral_value(ROUND_HALF_UP, _CONTEXT))


def from_units(count: int) -> Decimal:
    """Units as an amount."""
    return Decimal(count).scaleb(-9, _CONTEXT)


def whole(value: float) -> int:
    """A double in units, half up."""
    digits, point, places = repr(value).partition(".")
    if point and len(places) <= 9 and places.isdigit():
        return int(digits + places.ljust(9, "0"))
    return units(shortest(value))


def fraction(value: float) -> tuple[int, int]:
    """A double's shortest decimal form as numerator and denominator."""
    digits, point, places = repr(value).partition(".")
    if point and places.isdigit():
        return int(digits + places), 10 ** len(places)
    return shortest(value).as_integer_ratio()


def difference_units(a: float, b: float) -> int:
    """The exact difference of two doubles in units, half up."""
    return _rounded(*_difference(a, b))


def square_units(a: float, b: float) -> int:
    """The square of the exact difference of two doubles in units, half up."""
    over, under = _difference(a, b)
    return _rounded(over * over, under * under)


def _difference(a: float, b: float) -> tuple[int, int]:
    (p, q), (r, s) = fraction(a), fraction(b)
    return p * s - r * q, q * s


def _rounded(over: int, under: int) -> int:
    """A fraction in units: halves go away from zero, as half up means for decimals."""
    size = (2 * abs(over) * UNIT + under) // (2 * under)
    return size if over >= 0 else -size


def total(values: Iterable[Decimal], *, over: int = 1) -> Decimal:
    """The exact sum, divided by a count where one is given, rounded once."""
    result = Decimal(0)
    for value in values:
        result = _CONTEXT.add(result, value)
    return rounded(_CONTEXT.divide(result, Decimal(over)))


def amounts(counts: Any) -> pa.Array:
    """Whole numbers of units, any array of them, as a column of amounts."""
    try:
        low = np.array(counts, "int64")
    except OverflowError:
        return pa.array([from_units(count) for count in counts], AMOUNTS)
    return pa.Array.from_buffers(AMOUNTS, len(low), [None, pa.py_buffer(np.stack([low, low >> 63], axis=1).tobytes())])


def clipped(amounts: pa.Array) -> Any:
    """A column of amounts in units; what does not fit into 64 bits is the least or the greatest that does."""
    words = np.frombuffer(amounts.buffers()[1], "int64").reshape(-1, 2)[amounts.offset : amounts.offset + len(amounts)]
    low, high = words[:, 0], words[:, 1]
    return np.where(high == low >> 63, low, np.where(high < 0, _LEAST, _GREATEST))
