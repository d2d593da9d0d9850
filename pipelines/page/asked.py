"""What the page asks about numbers, as the parameters of an address say it, and the answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.arguments import count, instant, pair, segments
from pipelines.contract import DOUBLE
from pipelines.errors import InputError, nearest
from pipelines.explain import Sources, metric, outcome
from pipelines.explain.sources import plain
from pipelines.gold.metrics.catalogue import columns
from pipelines.metrics import question, windows_of
from pipelines.page.numbers import Answers, latest
from pipelines.page.sections import models

SHOWN, MOST_WINDOWS = 30, 2_000
"""Windows that are shown where no number is said, and at most."""
_COMMON = {"model", "label", "metric", "as_of", "mature"}


@dataclass(frozen=True)
class Parameters:
    """The parameters of an address. Raises InputError `unknown_parameter`, `parameter_missing`, and what their values are refused with."""

    pairs: Sequence[tuple[str, str]]

    @property
    def values(self) -> dict[str, str]:
        return dict(self.pairs)

    def of(self, *known: str) -> Parameters:
        for name in self.values:
            if name not in known:
                raise InputError("unknown_parameter", f'there is no parameter "{name}"{nearest(name, known)}; there is {", ".join(known)}')
        return self

    def text(self, name: str) -> str:
        if name not in self.values:
            raise InputError("parameter_missing", f"the parameter {name} is missing")
        return self.values[name]

    def many(self, name: str) -> list[str]:
        return [value for of, value in self.pairs if of == name and value]

    def maybe(self, name: str) -> str | None:
        return self.values.get(name) or None

    def time(self, name: str) -> datetime | None:
        return instant(self.values[name]) if self.values.get(name) else None

    def number(self, name: str, otherwise: int, most: int) -> int:
        return min(count(self.values[name]), most) if self.values.get(name) else otherwise

    def yes(self, name: str) -> bool:
        return self.values.get(name) in ("1", "true")


def lake(root: Path) -> dict[str, Any]:
    """What can be asked of a lake, and up to when it is processed."""
    sources = Sources(root)
    return {"lake": root.name, "frontier": plain(sources.frontier()), "models": models(sources.definitions)}


def metrics(root: Path, answers: Answers, asked: Parameters) -> dict[str, Any]:
    """A metric with its interval and coverage, window by window and group by group; the newest windows, or those until a time."""
    asked.of(*_COMMON, "every", "by", "last", "until")
    name, sources = asked.text("metric"), Sources(root)
    whole = question(
        sources.definitions,
        sources.frontier(),
        windows_of(asked.text("every")),
        model=asked.text("model"),
        label=asked.text("label"),
        by=asked.many("by"),
        as_of=asked.time("as_of"),
        mature=asked.yes("mature"),
    )
    known = [one for one, kind in columns(whole.targets).items() if kind == DOUBLE and not one.endswith(("_low", "_high"))]
    if name not in known:
        raise InputError("unknown_metric", f'there is no metric "{name}" here{nearest(name, known)}; there is {", ".join(known)}')
    shown = latest(answers.kept, whole, asked.number("last", SHOWN, MOST_WINDOWS), asked.time("until"))
    return {
        "as_of": plain(shown.as_of),
        "start": plain(shown.windows.start),
        "end": plain(shown.windows.end),
        "every": shown.windows.width / timedelta(seconds=1),
        "windows": [plain(asdict(one)) for one in answers.windows(shown, name)],
    }


def first(root: Path, answers: Answers, model: str | None) -> None:
    """Ask what the page asks first, so that it is there when the page comes; what is wrong the page will say itself."""
    with suppress(Exception):
        of = next(one for one in lake(root)["models"] if model in (None, one["model"]))
        label = of["labels"][0]
        said = {"model": of["model"], "label": label["label"], "metric": label["metric"], "every": label["grains"][0]}
        metrics(root, answers, Parameters([*said.items()]))


def explained(root: Path, asked: Parameters) -> Any:
    """The path of one value, as `hindsight explain metric --json` prints it."""
    asked.of(*_COMMON, "cell", "grain", "segment", "version", "limit")
    found = metric(
        Sources(root),
        model=asked.text("model"),
        label=asked.text("label"),
        metric=asked.text("metric"),
        cell=instant(asked.text("cell")),
        grain=asked.text("grain"),
        segment=segments([pair(one) for one in asked.many("segment")]),
        version=asked.maybe("version"),
        as_of=asked.time("as_of"),
        mature=asked.yes("mature"),
        limit=asked.number("limit", 20, 1_000),
    )
    return plain(asdict(found))


def outcomes(root: Path, asked: Parameters) -> Any:
    """The outcomes of one request, as `hindsight explain outcome --json` prints them, without what the events themselves say."""
    asked.of("request", "label", "as_of")
    found = outcome(Sources(root), request=asked.text("request"), label=asked.maybe("label"), as_of=asked.time("as_of"))
    return _without_payloads(plain(asdict(found)))


def _without_payloads(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_payloads(one) for name, one in value.items() if name != "payload"}
    return [_without_payloads(one) for one in value] if isinstance(value, list) else value
