"""Exact numbers: decimals of the shortest form that reads back as the same double, rounded once.

Sums are kept as whole numbers of *units*, 1e-9 each: addition of integers is exact, and commutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal

UNIT = 1_000_000_000
"""Units in 1."""
PLACES = Decimal("1e-9")
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


def difference(a: float, b: float) -> Decimal:
    """The exact difference of two doubles."""
    return _CONTEXT.subtract(shortest(a), shortest(b))


def square(value: Decimal) -> Decimal:
    """The exact square, unrounded."""
    return _CONTEXT.multiply(value, value)


def total(values: Iterable[Decimal], *, over: int = 1) -> Decimal:
    """The exact sum, divided by a count where one is given, rounded once."""
    result = Decimal(0)
    for value in values:
        result = _CONTEXT.add(result, value)
    return rounded(_CONTEXT.divide(result, Decimal(over)))
