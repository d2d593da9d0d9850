"""Exact numbers: decimals of the shortest form that reads back as the same double, rounded once."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal

PLACES = Decimal("1e-9")
_CONTEXT = Context(prec=120, rounding=ROUND_HALF_UP)


def shortest(value: float) -> Decimal:
    """The double in its shortest decimal form, unrounded."""
    return Decimal(repr(value))


def rounded(value: Decimal) -> Decimal:
    """Half up to nine places."""
    return value.quantize(PLACES, context=_CONTEXT)


def amount(value: float) -> Decimal:
    """A double as an amount."""
    return rounded(shortest(value))


def square(value: Decimal) -> Decimal:
    """The exact square, rounded once."""
    return rounded(_CONTEXT.multiply(value, value))


def total(values: Iterable[Decimal], *, over: int = 1) -> Decimal:
    """The exact sum, divided by a count where one is given, rounded once."""
    result = Decimal(0)
    for value in values:
        result = _CONTEXT.add(result, value)
    return rounded(_CONTEXT.divide(result, Decimal(over)))
