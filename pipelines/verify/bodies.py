"""What keeps the body of a `define` from being a definition: every part by itself, then what must hold between parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

WIDTHS = {"1 minute": 60_000_000, "1 hour": 3_600_000_000, "1 day": 86_400_000_000}
"""Width of a grain in microseconds."""
WIDEST = 1_000_000_000
"""A number label lies between minus and plus this; so does what its silence means."""
LONGEST = 3650 * 86_400
"""The longest attribution window, in seconds."""

_FIELD = re.compile("[0-9A-Z_a-z][-0-9A-Z_a-z]{0,127}")
_OPTIONAL = frozenset(["histograms"])
"""Fields that need not be there."""
_NUMERIC = frozenset(["mean", "sum", "max", "any"])

_Test = Callable[[Any], bool]


def problem(body: dict[str, Any]) -> str:
    """What keeps a body from being a definition; an empty string where nothing does."""
    wrong = _wrong("", body, _BODY)
    if wrong:
        return wrong
    policy = body["policy"]
    if policy is not None:
        wrong = _wrong("policy.", policy, _POLICY) or _policy_problem(policy, isinstance(body["positive"], str))
    return wrong or _places_problem(body) or _histograms_problem(body)


def _wrong(where: str, found: dict[str, Any], tests: dict[str, _Test]) -> str:
    if set(found) | _OPTIONAL != set(tests) | _OPTIONAL:
        return f"{where or 'the fields'} {sorted(set(found) ^ set(tests))} missing or unknown"
    wrong = [name for name, test in tests.items() if name in found and not test(found[name])]
    return f"{where}{wrong[0]} is {found[wrong[0]]!r:.80}" if wrong else ""


def _places_problem(body: dict[str, Any]) -> str:
    """What is wrong with where things are counted, and under which names."""
    segments, measures = body["segments"], body["measures"]
    if (body["label"] != "") != (body["policy"] is not None):
        return "a label without policy, or a policy without label"
    if _doubled(body["grains"]) or _doubled([repr(cut) for cut in body["cuts"]]):
        return "a grain or a cut stands twice"
    amiss = any(_doubled(cut) or any(name not in segments for name in cut) for cut in body["cuts"])
    if amiss or len(body["cuts"]) > 100:
        return "a cut over a field that is not declared, or over one field twice, or more than 100 cuts"
    if "all" in segments or any(name in ("n", "items", "errors") for name in measures):
        return "a segment or a measure has a name that is in use"
    if not all(_FIELD.fullmatch(name) for name in [*segments, *measures]):
        return "the name of a segment or a measure has other characters than letters, digits, _ and -"
    return ""


def _policy_problem(policy: dict[str, Any], textual: bool) -> str:
    """What is wrong between the parts of a policy; `textual`: the positive value is a text."""
    kind, absent, low, high = policy["type"], policy["absent"], policy["low"], policy["high"]
    if absent == "negative" and kind != "binary":
        return f"silence about a {kind} is never negative"
    if not isinstance(absent, str) and kind == "category":
        return "silence about a category is no number"
    if policy["resolve"] in _NUMERIC and (kind == "category" or textual):
        return f"{policy['resolve']} of texts"
    if _doubled(policy["roles"]) or "" in policy["roles"]:
        return "a role stands twice, or has no name"
    if (-WIDEST if low is None else low) >= (WIDEST if high is None else high):
        return "nothing lies between low and high"
    return ""


def _doubled(values: list[str]) -> bool:
    return len(values) != len(set(values))


def _text(value: Any) -> bool:
    return type(value) is str


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _null(value: Any) -> bool:
    return value is None


def _any(*tests: _Test) -> _Test:
    return lambda value: any(test(value) for test in tests)


def _one_of(*words: str) -> _Test:
    return lambda value: type(value) is str and value in words


def _whole(least: int, most: int | None = None) -> _Test:
    return lambda value: type(value) is int and least <= value and (most is None or value <= most)


def _list(test: _Test) -> _Test:
    return lambda value: type(value) is list and all(map(test, value))


def _object(test: _Test) -> _Test:
    return lambda value: type(value) is dict and all(map(test, value.values()))


def _histograms_problem(body: dict[str, Any]) -> str:
    """What is wrong with what is said to be distributed."""
    named = body.get("histograms", {})
    amiss = named and (body["label"] or not all(map(_is_distribution, named)))
    return "a histogram of something that has none, or under a label" if amiss else ""


def _is_distribution(name: str) -> bool:
    of, dot, rest = name.partition(".")
    return name == "request.score" or (of in ("feature", "scores") and dot == "." and 1 <= len(rest) <= 128)


def _scale(value: Any) -> bool:
    """The buckets of a histogram: ascending numbers, or texts, each once."""
    if type(value) is not list or not 1 <= len(value) <= 1000:
        return False
    if all(map(_text, value)):
        return "" not in value and not _doubled(value)
    return all(_number(one) and abs(one) <= 1e12 for one in value) and all(a < b for a, b in pairwise(value))


def _bounded(value: Any) -> bool:
    return _number(value) and -WIDEST <= value <= WIDEST


def _judges(value: Any) -> bool:
    return _text(value) and (value in ("prediction", "none") or (value.startswith("scores.") and value != "scores."))


_BODY: dict[str, _Test] = {
    "model": _text,
    "label": _text,
    "cuts": _list(_list(_text)),
    "grains": _list(_one_of(*WIDTHS)),
    "segments": _object(_list(_text)),
    "policy": lambda value: value is None or type(value) is dict,
    "judges": _judges,
    "positive": _any(_null, _number, _text),
    "threshold": _any(_null, _number),
    "positive_at": _any(_null, _number),
    "classes": _list(_text),
    "score_buckets": _whole(1, 100_000),
    "measures": _list(_text),
    "histograms": lambda value: type(value) is dict and value != {} and all(map(_scale, value.values())),
}
_POLICY: dict[str, _Test] = {
    "type": _one_of("binary", "number", "category"),
    "unit": _one_of("request", "item"),
    "resolve": _one_of("latest", "first", "priority", "majority", *_NUMERIC),
    "window": _whole(1, LONGEST),
    "absent": _any(_one_of("missing", "negative"), _bounded),
    "roles": _list(_text),
    "cap": _whole(1),
    "low": _any(_null, _bounded),
    "high": _any(_null, _bounded),
}
