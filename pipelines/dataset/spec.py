"""What a release is asked for: the section [dataset.LABEL] of a model file, with what the command line says in its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines.definition import LONGEST, digest
from pipelines.errors import ConfigError, HindsightError, InputError
from pipelines.keys import Keys
from pipelines.problems import Problems
from pipelines.quantities import duration, read_toml, spelled

BASES = ("answered", "absent")
SAMPLINGS = ("all", "uniform", "stratified", "balanced", "uncertainty", "disagreement")
SPLITTERS = ("time", "subject", "session", "request")
SPLITS = ("train", "validation", "test")
_SIZED = ("uniform", "stratified", "uncertainty", "disagreement")
_KEYS = (
    *("window", "basis", "versions", "segments", "deduplicate", "sampling", "size", "by", "seed"),
    *("split", "shares", "embargo", "texts"),
)


@dataclass(frozen=True)
class Spec:
    """What a release is asked for.

    `window`: served no longer than this before the cut. `basis`, `versions`, `segments`: filters; empty is all. `deduplicate`: of
    examples with equal features and label the first stays. `sampling`: all of them, `size` of them at random (`uniform`; `stratified`:
    in the proportions of the segments `by`), as many of each class (`balanced`), or the more likely the less sure the model was
    (`uncertainty`) or the further it was off (`disagreement`). `split`: by time, by hash of a group, or both; none: all is train.
    `shares`: of train, validation and test. `embargo`: what is served so long before a later split begins is left out.
    `texts`: features that are taken as text, whatever was sent.
    """

    model: str
    label: str
    window: timedelta | None = None
    basis: tuple[str, ...] = BASES
    versions: tuple[str, ...] = ()
    segments: tuple[tuple[str, tuple[str, ...]], ...] = ()
    deduplicate: bool = False
    sampling: str = "all"
    size: int | None = None
    by: tuple[str, ...] = ()
    seed: int = 1
    split: tuple[str, ...] = ()
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    embargo: timedelta = timedelta(0)
    texts: tuple[str, ...] = ()

    @property
    def group(self) -> str | None:
        """By whom rows are split: subject, session or request."""
        return next((name for name in self.split if name != "time"), None)

    @property
    def digest(self) -> str:
        return digest(self.body())

    def body(self) -> dict[str, Any]:
        """As a manifest has it: what `Spec.of` reads back."""
        return {
            "model": self.model,
            "label": self.label,
            "window": None if self.window is None else spelled(self.window),
            "basis": list(self.basis),
            "versions": list(self.versions),
            "segments": {name: list(values) for name, values in self.segments},
            "deduplicate": self.deduplicate,
            "sampling": self.sampling,
            "size": self.size,
            "by": list(self.by),
            "seed": self.seed,
            "split": list(self.split),
            "shares": list(self.shares),
            "embargo": spelled(self.embargo),
            "texts": list(self.texts),
        }

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Spec:
        """The spec of a manifest. Raises InputError as `spec_of` does."""
        said = {name: value for name, value in body.items() if name not in ("model", "label") and value is not None}
        return spec_of(body["model"], body["label"], said, "manifest")


def spec_of(model: str, label: str, body: dict[str, Any], where: str, error: type[HindsightError] = InputError) -> Spec:
    """The spec that a table says. Raises `error`, once for all: unknown_key, missing_key, wrong_type, bad_value."""
    problems = Problems(where)
    found = _read(model, label, body, f"dataset.{label}.", problems)
    problems.close(error)
    return found


def load_spec(directory: Path, model: str, label: str, asked: Mapping[str, Any] | None = None) -> Spec:
    """The spec of a label in the file of its model, where there is one, with what is `asked` in its place.

    Raises ConfigError for the file, InputError for what is asked.
    """
    body: dict[str, Any] = {}
    for path in sorted(directory.glob("*.toml")):
        top = read_toml(path)
        sections = top.get("dataset")
        if top.get("model") == model and isinstance(sections, dict) and isinstance(sections.get(label), dict):
            body = sections[label]
            spec_of(model, label, body, str(path), ConfigError)
    return spec_of(model, label, {**body, **(asked or {})}, "what is asked")


def check(section: dict[str, Any], labels: Collection[str], fields: Collection[str], problems: Problems) -> None:
    """Look at the sections [dataset.LABEL] of a model file with these labels and segment fields."""
    for label, body in section.items():
        if label not in labels:
            problems.unknown(f"dataset.{label}", label, labels)
        elif not isinstance(body, dict):
            problems.wrong_type(f"dataset.{label}", body, "a table")
        else:
            found = _read("", label, body, f"dataset.{label}.", problems)
            for name in sorted({*found.by, *(name for name, _ in found.segments)} - {*fields}):
                problems.bad_value(f"dataset.{label}", name, f"declared segments: {', '.join(fields) or 'there are none'}")


def _read(model: str, label: str, body: dict[str, Any], prefix: str, problems: Problems) -> Spec:
    keys = Keys(body, prefix, _KEYS, problems)
    sampling = keys.choice("sampling", SAMPLINGS, "all")
    split = keys.strings("split", [], SPLITTERS)
    if len([name for name in split if name != "time"]) > 1:
        keys.bad_value("split", split, '"time" and at most one of "subject", "session" and "request"')
    by = keys.strings("by", [])
    if bool(by) != (sampling == "stratified"):
        keys.bad_value("by", by, 'segment fields where sampling is "stratified", and none otherwise')
    size = keys.count("size", 1) if "size" in body else None
    if (size is None and sampling in _SIZED) or (size is not None and sampling == "all"):
        keys.bad_value("size", size, f"the number of examples for {', '.join(_SIZED)}; none where sampling is \"all\"")
    return Spec(
        *(model, label, _window(keys), tuple(keys.strings("basis", list(BASES), BASES))),
        versions=tuple(sorted(keys.strings("versions", []))),
        segments=_segments(keys.table("segments"), f"{prefix}segments.", problems),
        deduplicate=keys.flag("deduplicate", default=False),
        sampling=sampling,
        size=size,
        by=tuple(by),
        seed=keys.count("seed", 1),
        split=tuple(sorted(split, key=SPLITTERS.index)),
        shares=_shares(keys, body.get("shares", [0.8, 0.1, 0.1])),
        embargo=_embargo(keys, split),
        texts=tuple(sorted(keys.strings("texts", []))),
    )


def _window(keys: Keys) -> timedelta | None:
    found = _length(keys, "window")
    if found is not None and not found:
        keys.bad_value("window", keys.body["window"], "more than that: nothing was served in it")
    return found


def _length(keys: Keys, key: str) -> timedelta | None:
    return keys.read(key, _duration, None, 'a duration such as "90 days"') if key in keys.body else None


def _duration(text: str) -> timedelta:
    found = duration(text)
    if found > LONGEST:
        raise ValueError(f"at most {LONGEST.days} days")
    return found


def _embargo(keys: Keys, split: list[str]) -> timedelta:
    found = _length(keys, "embargo") or timedelta(0)
    if found and "time" not in split:
        keys.bad_value("embargo", spelled(found), 'none where split does not say "time"')
    return found


def _segments(table: dict[str, Any], prefix: str, problems: Problems) -> tuple[tuple[str, tuple[str, ...]], ...]:
    keys = Keys(table, prefix, tuple(table), problems)
    return tuple((name, tuple(sorted(keys.strings(name, [])))) for name in sorted(table))


def _shares(keys: Keys, found: Any) -> tuple[float, ...]:
    numbers = isinstance(found, list) and len(found) == len(SPLITS) and all(type(one) in (int, float) for one in found)
    if not numbers or not all(0 <= one <= 1 for one in found) or abs(sum(found) - 1) > 1e-9:
        keys.bad_value("shares", found, "the shares of train, validation and test: three numbers that add up to 1")
        return 0.8, 0.1, 0.1
    return tuple(float(one) for one in found)
