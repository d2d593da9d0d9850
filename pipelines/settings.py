"""The settings that hold: those of a conf folder, the environment over them, and the command line over both."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pipelines.errors import ConfigError
from pipelines.problems import Problems
from pipelines.quantities import Setting, read_toml
from pipelines.sections import Kafka, Lake, Log, Maintain, Models, Run, Sinks, Spark

FILE = "settings.toml"
ENVIRONMENT = "HINDSIGHT_"
PACKAGED = Path(__file__).resolve().parent.parent / "conf"
"""The conf folder beside the package: the one of the repository."""


@dataclass(frozen=True)
class Settings:
    """All settings; `conf` is the folder they came from."""

    conf: Path
    lake: Lake
    log: Log
    kafka: Kafka
    spark: Spark
    run: Run
    maintain: Maintain
    models: Models
    sinks: Sinks

    @property
    def models_path(self) -> Path:
        """The folder of the model files, absolute or relative to the working directory."""
        return self.conf / self.models.directory


SECTIONS: dict[str, type[Any]] = {
    "lake": Lake, "log": Log, "kafka": Kafka, "spark": Spark, "run": Run, "maintain": Maintain, "models": Models,
    "sinks": Sinks,
}


def load(conf: Path | None = None, **overrides: Any) -> Settings:
    """The settings of a conf folder, the environment over them, and `overrides` (`lake_path="here"`) over both.

    The folder: `conf`, else $HINDSIGHT_CONF, else ./conf, else the one beside the package. An override of None is none.
    Raises ConfigError (file_missing, toml_invalid, unknown_key, wrong_type, bad_value) that names every problem.
    """
    folder = find(conf)
    path = folder / FILE
    problems = Problems("settings")
    chosen = _from_file(read_toml(path), path, problems)
    variables = {name: value for name, value in os.environ.items() if _names_a_section(name)}
    options = {name: value for name, value in overrides.items() if value is not None}
    _over(chosen, variables, "environment variable", ENVIRONMENT, problems)
    _over(chosen, options, "option", "", problems)
    problems.close(ConfigError, f"Every setting is explained in {path}.")
    return Settings(folder, **{name: section(**chosen[name]) for name, section in SECTIONS.items()})


def find(conf: Path | None = None) -> Path:
    """The conf folder that holds. Raises ConfigError file_missing where there is none."""
    named = conf or (Path(os.environ["HINDSIGHT_CONF"]) if os.environ.get("HINDSIGHT_CONF") else None)
    tried = [named] if named else [Path("conf"), PACKAGED]
    for folder in tried:
        if (folder / FILE).is_file():
            return folder
    raise ConfigError(
        "file_missing",
        f"no settings: looked for {', '.join(str(folder / FILE) for folder in tried)}. "
        "Start where the folder `conf` is, or name it with --conf or $HINDSIGHT_CONF.",
    )


def _from_file(body: dict[str, Any], path: Path, problems: Problems) -> dict[str, dict[str, Any]]:
    chosen = {name: {key: setting.value for key, setting in declared(name).items()} for name in SECTIONS}
    for name, section in body.items():
        if name not in SECTIONS:
            problems.unknown(f"{path}: [{name}]", name, SECTIONS)
        elif not isinstance(section, dict):
            problems.wrong_type(f"{path}: {name}", section, "a table")
        else:
            _take(chosen[name], section, name, f"{path}: {name}.", problems)
    return chosen


def _take(chosen: dict[str, Any], section: dict[str, Any], name: str, prefix: str, problems: Problems) -> None:
    known = declared(name)
    for key, value in section.items():
        if key in known:
            chosen[key] = _read(known[key], value, prefix + key, problems)
        else:
            problems.unknown(prefix + key, key, known)


def _over(
    chosen: dict[str, dict[str, Any]], given: Mapping[str, Any], what: str, prefix: str, problems: Problems
) -> None:
    known = {f"{name}_{key}": (name, key) for name in SECTIONS for key in declared(name)}
    for variable, value in given.items():
        key = variable.removeprefix(prefix).lower()
        where = f"{what} {variable}"
        if key not in known:
            problems.unknown(where, key, known)
            continue
        section, name = known[key]
        setting = declared(section)[name]
        chosen[section][name] = _read(setting, _spelled(setting, value), where, problems)


def _spelled(setting: Setting, value: Any) -> Any:
    """A value from the environment or the command line, as TOML would have it."""
    form = setting.kind.form
    if isinstance(value, str) and form is not str:
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value
    return str(value) if isinstance(value, Path) else value


def _read(setting: Setting, value: Any, where: str, problems: Problems) -> Any:
    kind = setting.kind
    if type(value) is not kind.form:
        problems.wrong_type(where, value, kind.expected)
        return None
    try:
        return kind.read(value)
    except ValueError as error:
        problems.bad_value(where, value, str(error))
        return None


def declared(section: str) -> dict[str, Setting]:
    hints = get_type_hints(SECTIONS[section], include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items()}


def _names_a_section(variable: str) -> bool:
    """Other HINDSIGHT_ variables than those of a section may exist beside ours."""
    return any(variable.startswith(f"{ENVIRONMENT}{name.upper()}_") for name in SECTIONS)
