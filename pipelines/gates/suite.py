"""Suites: what a model's data is expected to be, one file of Great Expectations' own JSON per model, `conf/expectations/MODEL.json`.

An expectation about single rows becomes a row rule, which refine keeps; any other is judged at releases alone, and `why` says why
it is no row rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.definition import Definition
from pipelines.errors import ConfigError, nearest
from pipelines.gates.types import AT_RELEASES, TYPES
from pipelines.models import load_models
from pipelines.problems import Problems
from pipelines.settings import Settings
from pipelines.silver.rules import ARGUMENTS, FIELDS, MAPS, MOST, RowRules, Rule, check, check_arguments
from pipelines.silver.tables import INFERENCES
from pipelines.silver.wire import MOST_BYTES

FOLDER = "expectations"
_TOP = ("name", "expectations", "meta", "notes", "id")
_KEYS = ("type", "kwargs", "meta", "notes", "description", "severity", "id", "rendered_content")
_ABOUT_ANY = ("mostly", "row_condition", "condition_parser", "result_format", "catch_exceptions", "windows")
_DEFAULTS: dict[str, Any] = {"min_value": None, "max_value": None, "strict_min": False, "strict_max": False}
COLUMNS = (*FIELDS, *AT_RELEASES, *(name for name in INFERENCES.names if name not in MAPS))
"""What may be named beside `features.NAME` and the like: fields of inferences and columns of training examples."""


@dataclass(frozen=True)
class Expectation:
    """One expectation of a suite. `rule`: as a row rule, which refine keeps; else `why` not."""

    type: str
    kwargs: dict[str, Any]
    rule: Rule | None
    why: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about."""
        listed = self.kwargs.get("column_list")
        named = [self.kwargs.get(name) for name in ("column", "column_A", "column_B")] + (listed if isinstance(listed, list) else [])
        return tuple(one for one in named if isinstance(one, str))


@dataclass(frozen=True)
class Suite:
    """What is expected of one model's data; `file` is where that is written."""

    model: str
    file: Path
    expectations: tuple[Expectation, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The row rules among them, in the order of the file."""
        return tuple(one.rule for one in self.expectations if one.rule)


def declared(settings: Settings) -> list[Definition | RowRules]:
    """What the conf folder declares in the log: the definitions of the model files, and the row rules of their suites.

    Raises ConfigError as `load_models` and `load_suite` do, and `suite_invalid` for a suite of no model.
    """
    definitions = load_models(settings.models_path)
    models = sorted({definition.model for definition in definitions})
    for file in sorted((settings.conf / FOLDER).glob("*.json")):
        if file.stem not in models:
            raise ConfigError(
                "suite_invalid",
                f'{file}: no model file declares "{file.stem}"{nearest(file.stem, models)}; a suite has the name of its model',
            )
    return [*definitions, *row_rules(settings.conf, models)]


def row_rules(conf: Path, models: Iterable[str]) -> list[RowRules]:
    """The row rules of each model: none where it has no suite."""
    return [RowRules(model, load_suite(conf, model).rules) for model in models]


def load_suite(conf: Path, model: str) -> Suite:
    """The suite of a model; an empty one where it has none. Raises ConfigError `suite_invalid`, which names every problem.

    Arguments that only Great Expectations knows it checks itself, when it judges.
    """
    file = conf / FOLDER / f"{model}.json"
    if not file.is_file():
        return Suite(model, file, ())
    try:
        body = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_constant)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError) as error:
        raise ConfigError("suite_invalid", f"{file}: no JSON: {error}; expected a suite of Great Expectations") from error
    problems = Problems(str(file))
    wrong = partial(problems.add, "suite_invalid")
    suite = Suite(model, file, tuple(_expectations(body, wrong)))
    if not problems.found and (len(suite.rules) > MOST or len(RowRules(model, suite.rules).control()) > MOST_BYTES):
        wrong(f"{len(suite.rules)} row rules; expected at most {MOST}, in a control event of at most {MOST_BYTES} bytes")
    problems.close(ConfigError)
    return suite


def _expectations(body: Any, wrong: Any) -> list[Expectation]:
    if not isinstance(body, dict) or not isinstance(body.get("expectations"), list):
        wrong('expected an object with "name" and "expectations", an array')
        return []
    for key in body.keys() - {*_TOP}:
        wrong(f"unknown key {key}{nearest(key, _TOP)}; expected one of {', '.join(_TOP)}")
    found = (_expectation(one, lambda text, at=at: wrong(f"expectations[{at}]{text}")) for at, one in enumerate(body["expectations"]))
    return [one for one in found if one]


def _expectation(body: Any, wrong: Any) -> Expectation | None:
    """One expectation; None where it cannot be read, which `wrong` is told."""
    if not isinstance(body, dict) or not isinstance(body.get("kwargs"), dict):
        wrong(': expected an object with "type" and "kwargs"')
        return None
    for key in body.keys() - {*_KEYS}:
        wrong(f": unknown key {key}{nearest(key, _KEYS)}; expected one of {', '.join(_KEYS)}")
    type_, kwargs = body.get("type"), body["kwargs"]
    if not isinstance(type_, str) or type_ not in TYPES:
        wrong(f".type: {type_!r} is no expectation that Great Expectations knows{nearest(str(type_), TYPES)}")
        return None
    if body.get("severity", "critical") != "critical":
        wrong(f'.severity: {body["severity"]!r}; expected "critical": what a gate expects must hold')
    if type_ in ARGUMENTS:
        known = ("column", *_ABOUT_ANY, *ARGUMENTS[type_].__struct_fields__)
        for key in kwargs.keys() - {*known}:
            wrong(f".kwargs.{key}: unknown key{nearest(key, known)}; expected one of {', '.join(known)}")
    made = _made(type_, kwargs, wrong)
    for column in made.columns:
        name, dot, _ = column.partition(".")
        if not (dot and name in MAPS) and column not in COLUMNS:
            near = nearest(column, [*COLUMNS, *(f"{one}." for one in MAPS)])
            wrong(f".kwargs: unknown column {column}{near}; expected a field, or {', '.join(f'{one}.NAME' for one in MAPS)}")
    return made


def _made(type_: str, kwargs: dict[str, Any], wrong: Any) -> Expectation:
    why = _why_not(type_, kwargs)
    if type_ not in ARGUMENTS or _timed(kwargs):
        _refuse_contradiction(kwargs, wrong)
        return Expectation(type_, kwargs, None, why)
    arguments = {name: kwargs.get(name, _DEFAULTS.get(name)) for name in ARGUMENTS[type_].__struct_fields__}
    rule = Rule(type_, str(kwargs.get("column")), arguments)
    try:
        check_arguments(type_, arguments) if why else check(rule)
    except ValueError as error:
        wrong(f".kwargs: {error}")
    return Expectation(type_, kwargs, None if why else rule, why)


def _why_not(type_: str, kwargs: dict[str, Any]) -> str:
    """Why an expectation is no row rule; an empty string where it is one."""
    column = str(kwargs.get("column"))
    if type_ not in ARGUMENTS:
        return "it is not about single rows, or would not mean exactly the same there"
    if _timed(kwargs):
        return "a bound is a text, of which Great Expectations makes a time where it can"
    if kwargs.get("mostly", 1) != 1:
        return "mostly: only of many rows can a share be expected"
    if kwargs.get("row_condition") is not None:
        return "row_condition: which rows are meant, Great Expectations says"
    if column.partition(".")[0] not in (*MAPS, *FIELDS):
        return f"{column} is known at releases only"
    return ""


def _timed(kwargs: dict[str, Any]) -> bool:
    return any(isinstance(kwargs.get(end), str) for end in ("min_value", "max_value"))


def _refuse_contradiction(kwargs: dict[str, Any], wrong: Any) -> None:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        wrong(f".kwargs: nothing lies between min_value {low!r} and max_value {high!r}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
