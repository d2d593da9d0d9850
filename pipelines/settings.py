"""The settings: each one here, once, with its type, default and meaning; `conf/settings.toml` holds the same."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from pipelines.errors import ConfigError
from pipelines.problems import Problems
from pipelines.quantities import (
    COUNT,
    DATABASE,
    DURATION,
    FLAG,
    HTTP,
    LAKE,
    MAYBE,
    OPTIONS,
    PATH,
    PERIOD,
    SIZE,
    TEXT,
    Kind,
    Setting,
    one_of,
    read_toml,
    schema,
)

FILE = "settings.toml"
ENVIRONMENT = "HINDSIGHT_"
PACKAGED = Path(__file__).resolve().parent.parent / "conf"
"""The conf folder beside the package: the one of the repository."""

COMMITTER = Kind(str, "a string", one_of("arrow", "spark"))
SCHEMA = Kind(str, "a string", schema)
STATE_STORE = Kind(str, "a string", one_of("memory", "rocksdb"))


@dataclass(frozen=True)
class Lake:
    """Where the tables lie, and who writes them."""

    path: Annotated[
        Path,
        Setting(
            "lake", LAKE, "the folder that holds everything: tables, log, checkpoints; relative to where you start"
        ),
    ]
    committer: Annotated[
        str,
        Setting(
            "arrow",
            COMMITTER,
            '"arrow" (one machine: the driver appends) or "spark" (a cluster or a cloud store: the executors write)',
        ),
    ]
    catalog: Annotated[
        str, Setting("", SCHEMA, 'the CATALOG.SCHEMA in which Spark finds the tables by name, as layer_noun; "": it goes by path')
    ]


@dataclass(frozen=True)
class Log:
    """The embedded log."""

    batch_records: Annotated[int, Setting(100_000, COUNT, "the most records that one micro-batch takes from the log")]
    fsync: Annotated[
        bool,
        Setting(True, FLAG, "whether an append is on disk before it returns; false loses the last ones with the power"),
    ]


@dataclass(frozen=True)
class Kafka:
    """The topic whose records are taken into the log."""

    brokers: Annotated[str, Setting("", MAYBE, 'host:port of some brokers, with commas between; "": no Kafka')]
    topic: Annotated[str, Setting("hindsight", TEXT, "the topic to take records from, and to `import --to kafka`")]
    options: Annotated[
        dict[str, str],
        Setting({}, OPTIONS, 'further options of librdkafka, such as {"security.protocol" = "SASL_SSL"}; no secrets'),
    ]
    password_file: Annotated[
        str, Setting("", MAYBE, "a file of the SASL password, in place of the variable SASL_PASSWORD of the environment")
    ]


@dataclass(frozen=True)
class Sinks:
    """Where `hindsight sinks` sends metrics and ledgers, and what `hindsight exporter` shows. A sink with an empty address is off."""

    every: Annotated[timedelta, Setting("1 hour", PERIOD, "width of the windows that sinks are told, of grains that models declare")]
    postgres: Annotated[str, Setting("", DATABASE, "a database, such as postgresql://user@host:5432/database; the password in PGPASSWORD")]
    influx: Annotated[str, Setting("", HTTP, "InfluxDB's address, such as http://host:8086/write?db=hindsight; the token in INFLUX_TOKEN")]
    prometheus: Annotated[str, Setting("", HTTP, "Prometheus' remote write, such as http://host:9090/api/v1/write")]
    otlp: Annotated[str, Setting("", HTTP, "an OpenTelemetry collector, such as http://host:4318/v1/metrics")]
    kafka: Annotated[str, Setting("", MAYBE, "a topic of kafka.brokers for a changelog of metrics")]
    kafka_alerts: Annotated[str, Setting("", MAYBE, "a topic for a changelog of alerts: what stands of each incident")]
    kafka_triggers: Annotated[str, Setting("", MAYBE, "a topic for a changelog of triggers: the last step of each")]
    kafka_quarantine: Annotated[
        str, Setting("", MAYBE, "a topic for what is refused: reason, position, model and column, nothing of what was sent")
    ]
    series: Annotated[
        int, Setting(10_000, COUNT, "the most series of metrics that `hindsight exporter` shows; how many more there are it says")
    ]


@dataclass(frozen=True)
class Spark:
    """The Spark application."""

    cores: Annotated[int, Setting(2, COUNT, "cores that Spark works with: local[cores]")]
    memory: Annotated[int, Setting("2 GB", SIZE, "heap of the driver, which is everything on one machine")]
    shuffle_partitions: Annotated[
        int, Setting(2, COUNT, "partitions of a shuffle; as many as cores. Frozen in a checkpoint")
    ]
    delta_package: Annotated[
        str, Setting("io.delta:delta-spark_4.2_2.13:4.4.0", TEXT, "Maven coordinate of Delta Lake, fetched once")
    ]
    state_store: Annotated[
        str, Setting("memory", STATE_STORE, 'where the join keeps its state: "memory", or "rocksdb" when it is big')
    ]
    extra: Annotated[
        dict[str, str], Setting({}, OPTIONS, 'further Spark options, such as {"spark.ui.enabled" = "true"}')
    ]


@dataclass(frozen=True)
class Run:
    """How the jobs run."""

    trigger: Annotated[timedelta, Setting("0 seconds", DURATION, "least time between two micro-batches; 0: at once")]
    reconcile_every: Annotated[
        timedelta, Setting("1 minute", PERIOD, "how often feedback that came too late for the join is looked up")
    ]
    frontier_every: Annotated[
        timedelta, Setting("1 minute", PERIOD, "how often a running log states that everything before now is in it")
    ]
    join_horizon: Annotated[
        timedelta,
        Setting(
            "1 hour",
            PERIOD,
            "how long the join waits for the other side, at about 1 KB of heap per inference of that time; reconcile finds "
            "the rest",
        ),
    ]
    bytes_per_trigger: Annotated[
        int, Setting("16 MB", SIZE, "about how much of a table one micro-batch takes, in whole files: what bounds its memory")
    ]
    status_every: Annotated[timedelta, Setting("1 second", PERIOD, "how often the live view is drawn")]


@dataclass(frozen=True)
class Maintain:
    """What `hindsight maintain` keeps in shape."""

    target_file: Annotated[
        int, Setting("16 MB", SIZE, "size of a compacted file; a micro-batch takes whole files, so keep it small")
    ]
    small_files: Annotated[int, Setting(32, COUNT, "a partition with more files than this is compacted")]
    checkpoint_every: Annotated[int, Setting(20, COUNT, "commits between two checkpoints of a table's log")]
    retain: Annotated[timedelta, Setting("7 days", PERIOD, "how long replaced files stay before they are deleted")]


@dataclass(frozen=True)
class Models:
    """Where the model files lie."""

    directory: Annotated[Path, Setting("models", PATH, "the folder of the model files, relative to this one")]


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
