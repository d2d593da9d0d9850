"""What a machine must have before anything starts; each check says what it found, and what to do where it fails."""

from __future__ import annotations

import operator
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.check import Check
from pipelines.leases import holder
from pipelines.settings import Settings

DISTRIBUTION = "hindsight-lakehouse"
LEAST_DISK = 2 << 30
"""Bytes: the demo of a month takes a tenth of it."""
MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
_LOOPBACK = "127.0.0.1"
_FIXED_PORTS = ("spark.driver.port", "spark.blockManager.port", "spark.ui.port")


def checks(settings: Settings) -> list[Check]:
    """All checks, in the order in which a start would meet them."""
    extra, lake = settings.spark.extra, settings.lake.path.resolve()
    ports = [int(extra[name]) for name in _FIXED_PORTS if extra.get(name, "").isdigit()]
    return [
        python(sys.version_info[:2]),
        java(os.environ),
        packages(requirements(), installed),
        jars(settings.spark.delta_package, jar_homes(extra), reaches, mirror=extra.get("spark.jars.ivySettings")),
        *(port(number) for number in ports or [0]),
        writable(lake),
        disk(lake),
        leases(lake),
    ]


def python(version: tuple[int, int]) -> Check:
    """3.11 to 3.13."""
    found = ".".join(map(str, version))
    if (3, 11) <= version <= (3, 13):
        return Check("Python", True, found)
    advice = "Hindsight needs Python 3.11, 3.12 or 3.13: make the environment anew with one of them."
    return Check("Python", False, found, advice)


def java(environ: Mapping[str, str]) -> Check:
    """Java 17 or newer, under JAVA_HOME or else on PATH."""
    home = environ.get("JAVA_HOME")
    places = [f"{home}/bin"] if home else []
    command = next(
        (java for place in [*places, environ.get("PATH", "")] if (java := shutil.which("java", path=place))), None
    )
    advice = (
        "Spark needs Java 17 or newer. Install a JDK (on Debian and Ubuntu: apt install openjdk-17-jre-headless; on "
        "macOS: brew install openjdk@17) and see that `java -version` shows it, or set JAVA_HOME to its folder."
    )
    if command is None:
        return Check("Java", False, "no `java` on PATH or under JAVA_HOME", advice, "java_missing")
    try:
        shown = subprocess.run(
            [command, "-version"], capture_output=True, text=True, check=False, timeout=30, env=dict(environ)
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("Java", False, f"{command} does not run: {error}", advice, "java_missing")
    version = re.search(r'version "(\d+)(?:\.(\d+))?', shown.stderr + shown.stdout)
    if version is None:
        return Check("Java", False, f"{command} does not say its version", advice, "java_too_old")
    major = int(version[2] or 0) if version[1] == "1" else int(version[1])
    if major < 17:
        return Check("Java", False, f"Java {major} ({command})", advice, "java_too_old")
    return Check("Java", True, f"{major} ({command})")


def requirements() -> list[str]:
    """What the distribution asks for, without its extras; nothing where it is not installed."""
    try:
        found = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    return [requirement for requirement in found if "extra ==" not in requirement]


def installed(name: str) -> str | None:
    """The version of a distribution; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def packages(required: Iterable[str], version_of: Callable[[str], str | None]) -> Check:
    """Every required distribution, in the asked versions."""
    wrong, count = [], 0
    for requirement in required:
        count += 1
        name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
        version = version_of(name)
        if version is None or not all(_meets(version, *bound) for bound in _BOUND.findall(requirement.split(";")[0])):
            wrong.append(f"{requirement.split(';')[0].strip()} (found {version or 'none'})")
    if not count:
        return Check("Packages", False, f"{DISTRIBUTION} is not installed", "Run `pip install .` in its folder.")
    if wrong:
        advice = f"Install what is asked for: pip install --upgrade {DISTRIBUTION}, or `pip install .` in its folder."
        return Check("Packages", False, "; ".join(wrong), advice)
    return Check("Packages", True, f"{count} as required")


def jar_homes(extra: Mapping[str, str], home: Path | None = None) -> list[Path]:
    """Where Spark's resolver keeps the jars that it has fetched."""
    user = home or Path.home()
    ivy = Path(extra["spark.jars.ivy"]) if "spark.jars.ivy" in extra else user / ".ivy2.5.2"
    return [ivy / "jars", user / ".ivy2" / "jars", user / ".m2" / "repository"]


def reaches(url: str) -> bool:
    """Whether a web address answers within five seconds, through the proxy of the environment if there is one."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5):
            return True
    except (OSError, ValueError):
        return False


def jars(package: str, homes: Iterable[Path], answers: Callable[[str], bool], mirror: str | None = None) -> Check:
    """Delta Lake's jar: fetched before, or to be had from Maven Central or the mirror that an ivysettings.xml names."""
    group, artifact, version = (*package.split(":"), "", "")[:3]
    path = f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}"
    names = (f"{group}_{artifact}-{version}.jar", f"{path}.jar")
    kept = next((folder / name for folder in homes for name in names if (folder / name).is_file()), None)
    if kept:
        return Check("Delta Lake's jar", True, str(kept))
    if mirror:
        found = f"not fetched yet; {mirror} names the mirror"
        advice = f"{mirror} is no file: mend spark.jars.ivySettings under [spark.extra] in settings.toml."
        return Check("Delta Lake's jar", Path(mirror).is_file(), found, "" if Path(mirror).is_file() else advice)
    if answers(f"{MAVEN_CENTRAL}/{path}.pom"):
        return Check("Delta Lake's jar", True, f"{package} is at Maven Central; the first start fetches it")
    advice = (
        f"The first start fetches {package} from Maven Central, which cannot be reached (or does not have it). Connect "
        "the machine, or name a mirror: put the path of an ivysettings.xml into spark.jars.ivySettings under "
        "[spark.extra] in settings.toml. Afterwards no network is needed."
    )
    return Check("Delta Lake's jar", False, f"{package} is neither here nor to be had", advice)


def port(number: int) -> Check:
    """A port of the loopback interface that Spark's driver can take; 0 is any."""
    name = f"Port {number}" if number else "Loopback"
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, number))
        except OSError as error:
            advice = (
                f"Spark's parts talk over {_LOOPBACK}. Free the port, or take the fixed ports out of [spark.extra] in "
                "settings.toml; where no port can be had, see that the loopback interface is up."
            )
            return Check(name, False, f"cannot be taken: {error}", advice)
    return Check(name, True, f"a port of {_LOOPBACK} is free" if not number else "free")


def writable(lake: Path) -> Check:
    """Whether the lake's folder, or the one that it would be made in, takes a file."""
    folder = _there(lake)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = f"Give yourself the right to write in {folder}, or name another folder: lake.path in settings.toml."
        return Check("Folder of the lake", False, f"{lake}: {error}", advice)
    return Check("Folder of the lake", True, f"{lake}" if folder == lake else f"{lake} (to be made)")


def disk(lake: Path, least: int = LEAST_DISK) -> Check:
    """Free space where the lake is."""
    free = shutil.disk_usage(_there(lake)).free
    found = f"{free / 2**30:.1f} GB free"
    advice = (
        f"{least / 2**30:.0f} GB are wanted. Free some, or put the lake on another disk: lake.path in settings.toml."
    )
    return Check("Disk", free >= least, found, "" if free >= least else advice)


def leases(lake: Path) -> Check:
    """Who works on the lake now. Somebody may; two cannot run the same job."""
    try:
        jobs = [path.stem for path in sorted((lake / "_leases").glob("*.lock"))]
        held = {job: said for job in jobs if (said := holder(lake, job)) is not None}
    except OSError as error:
        return Check("Leases", False, str(error), f"Give yourself the right to read and write in {lake / '_leases'}.")
    if not held:
        return Check("Leases", True, "no job is running")
    told = "; ".join(f"{job}: process {who.get('pid')} ({who.get('purpose')})" for job, who in held.items())
    return Check("Leases", True, f"running: {told}")


_BOUND = re.compile(r"(==|>=|<=|!=|<|>)\s*([0-9][0-9.]*)")
_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def _meets(version: str, relation: str, bound: str) -> bool:
    return _RELATIONS[relation](_numbers(version), _numbers(bound))


def _numbers(version: str) -> list[int]:
    """The release of a version as four numbers; local and pre-release parts do not count."""
    release = re.match(r"[0-9.]*", version)
    found = [int(part) for part in (release[0] if release else "").split(".") if part]
    return [*found, 0, 0, 0, 0][:4]


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
