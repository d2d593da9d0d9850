"""Label policies and definitions: immutable values with a hash, so that every number can say what it was computed under."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from pipelines.errors import ConfigError
from pipelines.keys import FIELD

GRAINS = {"1 minute": timedelta(minutes=1), "1 hour": timedelta(hours=1), "1 day": timedelta(days=1)}
RESOLVES = ("latest", "first", "priority", "majority", "mean", "sum", "max", "any")
NUMERIC_RESOLVES = ("mean", "sum", "max", "any")
SCORE_BUCKETS = 1000
WIDEST = 1e9
"""The range of a numeric label that declares none: plus and minus this, so that squares fit."""
LONGEST = timedelta(days=3650)
"""The longest attribution window."""
LARGEST = 1e12
"""The greatest magnitude of an edge of a histogram: that of a number of an event."""
DISTRIBUTION = re.compile(r"request\.score|(feature|scores)\.(?s:.{1,128})")
"""What may have a histogram: a feature, a named score, or the score of the request."""
MOST_CUTS = 100
OTHER, MISSING = "__other__", "__missing__"
TAKEN = ("n", "items", "errors")
"""Names of service statistics, which no measure may have."""

Value = float | str
Scale = tuple[float, ...] | tuple[str, ...]
"""The buckets of a histogram: ascending edges (bucket k holds edge k - 1 <= value < edge k), or the values that have one each."""


@dataclass(frozen=True)
class Policy:
    """How votes become one outcome. Its hash stands in every outcome entry.

    `window`: seconds of the attribution window. `roles`: best first, for `priority`. `absent`: what silence means: "missing",
    "negative" (binary), or a number. `cap`: live votes per rater within one key. `low`, `high`: the range of a numeric label.
    """

    type: str
    unit: str
    resolve: str
    window: int
    absent: float | str = "missing"
    roles: tuple[str, ...] = ()
    cap: int = 1
    low: float | None = None
    high: float | None = None

    @property
    def hash(self) -> str:
        return digest(self.body())

    @property
    def presumed(self) -> float | None:
        """What silence is taken for: a number, 0 where it is negative; None where it says nothing."""
        if isinstance(self.absent, str):
            return 0.0 if self.absent == "negative" else None
        return self.absent + 0.0

    def body(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "unit": self.unit,
            "resolve": self.resolve,
            "window": self.window,
            "absent": self.absent,
            "roles": list(self.roles),
            "cap": self.cap,
            "low": self.low,
            "high": self.high,
        }


@dataclass(frozen=True)
class Definition:
    """What a statistic is computed under: a policy and what it judges, or (label "") a model's service statistics.

    `offset` is where the log declares it, -1 for before everything; it applies to inferences at higher offsets, or, once it is
    backfilled, `everywhere`. Neither is part of the hash. `segments`: declared values by field (none: every value).
    `measures`: names, and `histograms`: distributions with their edges or values, for the service definition.
    """

    model: str
    label: str
    cuts: tuple[tuple[str, ...], ...]
    grains: tuple[str, ...]
    segments: tuple[tuple[str, tuple[str, ...]], ...] = ()
    policy: Policy | None = None
    judges: str = "none"
    positive: Value | None = None
    threshold: float | None = None
    positive_at: float | None = None
    classes: tuple[str, ...] = ()
    score_buckets: int = SCORE_BUCKETS
    measures: tuple[str, ...] = ()
    histograms: tuple[tuple[str, Scale], ...] = ()
    offset: int = field(default=-1, compare=False)
    everywhere: bool = field(default=False, compare=False)

    @property
    def hash(self) -> str:
        return digest(self.body())

    @property
    def above(self) -> int:
        """It applies to inferences at log offsets above this one."""
        return -1 if self.everywhere else self.offset

    def body(self) -> dict[str, Any]:
        """The value that a control event carries and the hash is made of."""
        watched = {"histograms": {name: list(scale) for name, scale in self.histograms}} if self.histograms else {}
        return {
            **watched,
            "model": self.model,
            "label": self.label,
            "cuts": [list(cut) for cut in self.cuts],
            "grains": list(self.grains),
            "segments": {name: list(values) for name, values in self.segments},
            "policy": self.policy.body() if self.policy else None,
            "judges": self.judges,
            "positive": self.positive,
            "threshold": self.threshold,
            "positive_at": self.positive_at,
            "classes": list(self.classes),
            "score_buckets": self.score_buckets,
            "measures": list(self.measures),
        }

    @classmethod
    def of(cls, body: dict[str, Any], offset: int = -1, *, everywhere: bool = False) -> Definition:
        """The definition that a control event carries, declared at this offset. Raises ConfigError `definition_invalid`."""
        try:
            _check(msgspec.convert(body, _Body))
            policy = body["policy"]
            return cls(
                model=body["model"],
                label=body["label"],
                cuts=tuple(tuple(cut) for cut in body["cuts"]),
                grains=tuple(body["grains"]),
                segments=tuple((name, tuple(values)) for name, values in sorted(body["segments"].items())),
                policy=Policy(**{**policy, "roles": tuple(policy["roles"])}) if policy else None,
                judges=body["judges"],
                positive=body["positive"],
                threshold=body["threshold"],
                positive_at=body["positive_at"],
                classes=tuple(body["classes"]),
                score_buckets=body["score_buckets"],
                measures=tuple(body["measures"]),
                histograms=tuple((name, tuple(scale)) for name, scale in sorted(body.get("histograms", {}).items())),
                offset=offset,
                everywhere=everywhere,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "definition_invalid", f"log offset {offset}: the control event holds no definition ({error}); expected the "
                "body that `hindsight run` writes"
            ) from error

    def control(self) -> bytes:
        """The control event that declares it."""
        event = {"kind": "control", "action": "define", "model": self.model, "definition": self.hash, "body": self.body()}
        return canonical(event | {"backfill": True} if self.everywhere else event)


_Bound = Annotated[float, Meta(ge=-WIDEST, le=WIDEST)]


class _PolicyBody(Struct, forbid_unknown_fields=True):
    """What a control event may carry as a policy; checked, because a job that met anything else would stop for ever."""

    type: Literal["binary", "number", "category"]
    unit: Literal["request", "item"]
    resolve: Literal["latest", "first", "priority", "majority", "mean", "sum", "max", "any"]
    window: Annotated[int, Meta(gt=0, le=LONGEST // timedelta(seconds=1))]
    absent: Literal["missing", "negative"] | _Bound
    roles: list[Annotated[str, Meta(min_length=1)]]
    cap: Annotated[int, Meta(ge=1)]
    low: _Bound | None
    high: _Bound | None


_ScaleBody = Annotated[list[float | str], Meta(min_length=1, max_length=1000)]


class _Body(Struct, forbid_unknown_fields=True):
    model: str
    label: str
    cuts: Annotated[list[list[str]], Meta(max_length=MOST_CUTS)]
    grains: list[Literal["1 minute", "1 hour", "1 day"]]
    segments: dict[str, list[str]]
    policy: _PolicyBody | None
    judges: Annotated[str, Meta(pattern=r"\A(prediction|none|scores\.(?s:.+))\Z")]
    positive: float | str | None
    threshold: float | None
    positive_at: float | None
    classes: list[str]
    score_buckets: Annotated[int, Meta(ge=1, le=100_000)]
    measures: list[str]
    histograms: Annotated[dict[str, _ScaleBody], Meta(min_length=1)] | UnsetType = UNSET


def _check(body: _Body) -> None:
    """What must hold between the parts. Raises ValueError."""
    if (body.policy is None) != (body.label == ""):
        raise ValueError('a label has a policy, and the service definition (label "") has none')
    if _repeats(body.grains) or _repeats(map(tuple, body.cuts)):
        raise ValueError("a grain or a cut stands twice, and would count twice")
    for cut in body.cuts:
        if _repeats(cut) or not body.segments.keys() >= set(cut):
            raise ValueError(f"cut {cut}: expected declared segments, each once: {sorted(body.segments)}")
    names = [name for name in (*body.segments, *body.measures) if not FIELD.fullmatch(name)]
    taken = [*({"all"} & body.segments.keys()), *({*TAKEN} & {*body.measures})]
    if names or taken:
        raise ValueError(f"segments or measures {names + taken}: expected letters, digits, _ and -, and no name in use")
    if body.histograms is not UNSET:
        _check_histograms(body.label, body.histograms)
    if body.policy:
        _check_policy(body.policy, texts=isinstance(body.positive, str))


def _check_histograms(label: str, histograms: dict[str, list[float | str]]) -> None:
    """What must hold of distributions. Raises ValueError."""
    for name, scale in histograms.items():
        if label or not DISTRIBUTION.fullmatch(name):
            raise ValueError(f"histogram {name!r}: expected feature.NAME, scores.NAME or request.score, without a label")
        if not is_scale(scale):
            raise ValueError(f"histogram {name!r}: expected ascending edges, or values that are not empty, each once")


def is_scale(scale: Sequence[object]) -> bool:
    """Whether these are ascending edges, or texts that are not empty, each once."""
    if all(type(one) is str for one in scale):
        return all(scale) and len(set(scale)) == len(scale)
    numbers = [one for one in scale if isinstance(one, int | float) and abs(one) <= LARGEST]
    return len(numbers) == len(scale) and all(low < high for low, high in pairwise(numbers))


def _check_policy(policy: _PolicyBody, *, texts: bool) -> None:
    """What must hold within a policy; `texts`: the positive value is one. Raises ValueError."""
    kinds = {"missing": ("binary", "number", "category"), "negative": ("binary",)}
    if policy.type not in (kinds[policy.absent] if isinstance(policy.absent, str) else ("binary", "number")):
        raise ValueError(f"silence about a {policy.type} label cannot mean {policy.absent}")
    if (texts or policy.type == "category") and policy.resolve in NUMERIC_RESOLVES:
        raise ValueError(f"{policy.resolve} of texts")
    if _repeats(policy.roles):
        raise ValueError("a role stands twice, and would have two ranks")
    low = -WIDEST if policy.low is None else policy.low
    high = WIDEST if policy.high is None else policy.high
    if not low < high:
        raise ValueError(f"a range from {low:g} to {high:g}, which holds nothing")


def _repeats(values: Iterable[Hashable]) -> bool:
    found = list(values)
    return len(set(found)) < len(found)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values, equal bytes."""
    return msgspec.json.encode(value, order="sorted")


def digest(value: Any) -> str:
    """Sixteen hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]


def active(definitions: list[Definition]) -> list[Definition]:
    """Each definition once, at the lowest offset that declares it, in the order of the log; everywhere if any of them is."""
    found: dict[str, Definition] = {}
    for definition in sorted(definitions, key=lambda d: d.offset):
        first = found.setdefault(definition.hash, definition)
        if definition.everywhere and not first.everywhere:
            found[definition.hash] = replace(first, everywhere=True)
    return list(found.values())
