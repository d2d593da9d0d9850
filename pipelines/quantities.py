"""How values are written in a file: durations ("24 hours"), sizes ("16 MB"), and the kinds of settings made of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import ConfigError, nearest

_UNITS = {
    "millisecond": timedelta(milliseconds=1),
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_SIZES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_DURATION = re.compile(r"([0-9]{1,9}) ?(millisecond|second|minute|hour|day|week)s?")
_SCHEMA = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SIZE = re.compile(r"([0-9]{1,9}) ?(B|KB|MB|GB|TB)")


def duration(text: str) -> timedelta:
    """ "90 seconds" and the like. Raises ValueError with what was expected."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f'a whole number and a unit ({", ".join(_UNITS)}), such as "24 hours"')
    try:
        return int(match[1]) * _UNITS[match[2]]
    except OverflowError:
        raise ValueError("a duration that fits into a calendar") from None


def size(text: str) -> int:
    """Bytes; "16 MB" is 16 x 1024 x 1024. Raises ValueError with what was expected."""
    match = _SIZE.fullmatch(text.strip())
    if not match or match[1].strip("0") == "":
        raise ValueError(f'a whole number above 0 and a unit ({", ".join(_SIZES)}), such as "16 MB"')
    return int(match[1]) * _SIZES[match[2]]


def spelled(length: timedelta) -> str:
    """A duration in its greatest whole unit: what `duration` reads back."""
    for name, unit in reversed(_UNITS.items()):
        if length and not length % unit:
            count = length // unit
            return f"{count} {name}" + ("" if count == 1 else "s")
    return "0 seconds"


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file. Raises ConfigError file_missing or toml_invalid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError("file_missing", f"{path}: there is no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("toml_invalid", f"{path}: not TOML: {error}") from error


@dataclass(frozen=True)
class Kind:
    """How a value is written: `form` is what TOML holds; `read` makes a value of it or raises ValueError(expected)."""

    form: type
    expected: str
    read: Callable[[Any], Any]


def _at_least(least: int) -> Callable[[Any], Any]:
    def read(value: int) -> int:
        if value < least:
            raise ValueError(f"an integer of at least {least}")
        return value

    return read


def one_of(*choices: str) -> Callable[[Any], Any]:
    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(" or ".join(f'"{choice}"' for choice in choices) + nearest(value, choices))
        return value

    return read


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("a text that is not empty")
    return value


def _path(value: str) -> Path:
    return Path(_text(value)).expanduser()


def _lake(value: str) -> Path:
    path = _path(value)
    if path.exists() and not path.is_dir():
        raise ValueError("a folder, and there is a file of that name")
    if "%" in str(path.resolve()):
        raise ValueError("a path without a percent sign: what reads and writes tables takes it for the start of a coded letter")
    return path


def _http(value: str) -> str:
    return _address(value, ("http", "https"), 'an address of HTTP, such as http://host:8086/write?db=hindsight')


def _postgres(value: str) -> str:
    form = "an address of a database, such as postgresql://user@host:5432/database"
    found = _address(value, ("postgresql", "postgres"), form)
    if found and not (urlsplit(found).username and urlsplit(found).path.strip("/")):
        raise ValueError(form)
    return found


def _address(value: str, schemes: tuple[str, ...], form: str) -> str:
    value = value.strip()
    with suppress(ValueError):  # of a port that is none
        at = urlsplit(value)
        if not value or (at.scheme in schemes and at.hostname and at.port != 0):
            return value
    raise ValueError(f'{form}, or "" for none')


def schema(value: str) -> str:
    """CATALOG.SCHEMA, or nothing. Raises ValueError with what was expected."""
    if value and not _SCHEMA.fullmatch(value):
        raise ValueError('CATALOG.SCHEMA, two names of letters, digits, "_" and "-", such as "main.hindsight"; or nothing')
    return value


def _options(value: dict[str, Any]) -> dict[str, str]:
    if not all(isinstance(option, str) for option in value.values()):
        raise ValueError('a table of strings, such as {"spark.ui.enabled" = "true"}')
    return dict(value)


def _longer_than_nothing(value: str) -> timedelta:
    length = duration(value)
    if not length:
        raise ValueError('a duration of more than 0, such as "1 minute"')
    return length


@dataclass(frozen=True)
class Setting:
    """One setting: `default` as TOML writes it, its kind, and what it means."""

    default: Any
    kind: Kind
    meaning: str

    @property
    def value(self) -> Any:
        return self.kind.read(self.default)


COUNT = Kind(int, "an integer", _at_least(1))
FLAG = Kind(bool, "true or false", bool)
TEXT = Kind(str, "a string", _text)
MAYBE = Kind(str, "a string", str.strip)
HTTP = Kind(str, "a string", _http)
DATABASE = Kind(str, "a string", _postgres)
PATH = Kind(str, "a path", _path)
LAKE = Kind(str, "a path", _lake)
DURATION = Kind(str, 'a duration such as "24 hours"', duration)
PERIOD = Kind(str, 'a duration such as "24 hours"', _longer_than_nothing)
SIZE = Kind(str, 'a size such as "16 MB"', size)
OPTIONS = Kind(dict, "a table of strings", _options)
