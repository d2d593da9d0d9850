"""Each check fails where the machine fails, says what it found, and what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import doctor, machine, session
from pipelines.check import Check
from pipelines.errors import MachineError
from pipelines.settings import PACKAGED, load

PACKAGE = "io.delta:delta-spark_4.2_2.13:4.4.0"


def fails(check: Check) -> bool:
    """A failing check always says what to do, a passing one nothing."""
    assert bool(check.advice) is not check.ok
    assert check.found
    return not check.ok


def java_home(folder: Path, says: str) -> dict[str, str]:
    """An environment whose Java says this about its version."""
    java = folder / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\n", encoding="utf-8")
    java.chmod(0o755)
    return {"JAVA_HOME": str(folder / "jdk"), "PATH": os.defpath}


def test_this_machine_is_checked_in_the_order_of_a_start(tmp_path: Path) -> None:
    names = [check.name for check in doctor.checks(load(PACKAGED, lake_path=tmp_path))]
    expected = ["Python", "Java", "Packages", "Delta Lake's jar", "Loopback", "Folder of the lake", "Disk", "Leases"]
    assert names == expected


def test_the_python_of_the_tests_is_fine_and_an_old_or_unknown_one_is_not() -> None:
    assert not fails(machine.python(sys.version_info[:2]))
    assert fails(machine.python((3, 10)))
    assert fails(machine.python((3, 14)))


def test_a_missing_java_gets_a_paragraph_that_says_what_to_install(tmp_path: Path) -> None:
    check = machine.java({"PATH": str(tmp_path)})
    assert fails(check)
    assert "Install a JDK" in check.advice


@pytest.mark.parametrize(
    ("says", "fine"),
    [
        ('openjdk version "17.0.9" 2023-10-17', True),
        ('openjdk version "21" 2023-09-19', True),
        ('java version "1.8.0_292"', False),
        ('openjdk version "11.0.20"', False),
        ("no version here", False),
    ],
)
def test_java_must_be_17_or_newer(tmp_path: Path, says: str, fine: bool) -> None:
    assert fails(machine.java(java_home(tmp_path, says))) is not fine


@pytest.mark.parametrize(("says", "code"), [("", "java_missing"), ('openjdk version "11.0.20"', "java_too_old")])
def test_a_session_is_not_started_without_its_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, code: str
) -> None:
    environ = java_home(tmp_path, says) if says else {"JAVA_HOME": "", "PATH": str(tmp_path)}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MachineError, match="Install a JDK") as refused:
        session.build(load(PACKAGED, lake_path=tmp_path))
    assert refused.value.code == code


def test_a_java_that_does_not_run_is_reported(tmp_path: Path) -> None:
    environ = java_home(tmp_path, "")
    (tmp_path / "jdk" / "bin" / "java").write_bytes(b"\x7fELF no program")
    check = machine.java(environ)
    assert fails(check)
    assert "does not run" in check.found


@pytest.mark.parametrize(
    ("required", "version", "fine"),
    [
        ("pyspark[sql]==4.2.0", "4.2.0", True),
        ("pyspark[sql]==4.2.0", "4.2.1", False),
        ("pyarrow<26,>=18", "25.0.1", True),
        ("pyarrow<26,>=18", "26.0", False),
        ("pyarrow<26,>=18", "9.0", False),
        ("numpy>=2", "2.0.0rc1", True),
        ('tzdata; python_version > "3.12"', "2025.1", True),
        ("msgspec>=0.20", None, False),
    ],
)
def test_a_package_must_be_there_in_the_asked_version(required: str, version: str | None, fine: bool) -> None:
    assert fails(machine.packages([required], lambda _: version)) is not fine


def test_all_wrong_packages_are_named() -> None:
    found = machine.packages(["a>=2", "b", "c==1"], {"a": "1", "c": "1"}.get).found
    assert found == "a>=2 (found 1); b (found none)"


def test_a_distribution_that_is_not_installed_is_reported() -> None:
    assert fails(machine.packages([], lambda _: None))


def unreachable(url: str) -> bool:
    assert url.endswith("/io/delta/delta-spark_4.2_2.13/4.4.0/delta-spark_4.2_2.13-4.4.0.pom")
    return False


def test_a_jar_that_was_fetched_needs_no_network(tmp_path: Path) -> None:
    (ivy, _, maven) = machine.jar_homes({}, tmp_path)
    for jar in (ivy / "io.delta_delta-spark_4.2_2.13-4.4.0.jar",
                maven / "io/delta/delta-spark_4.2_2.13/4.4.0/delta-spark_4.2_2.13-4.4.0.jar"):  # fmt: skip
        jar.parent.mkdir(parents=True)
        jar.touch()
        assert not fails(machine.jars(PACKAGE, [ivy, maven], unreachable))
        jar.unlink()


def test_a_jar_that_was_not_fetched_must_be_at_maven_central(tmp_path: Path) -> None:
    homes = machine.jar_homes({"spark.jars.ivy": str(tmp_path)}, tmp_path)
    assert not fails(machine.jars(PACKAGE, homes, lambda _: True))
    check = machine.jars(PACKAGE, homes, unreachable)
    assert fails(check)
    assert "Maven Central" in check.advice


def test_a_mirror_takes_the_place_of_maven_central(tmp_path: Path) -> None:
    settings = tmp_path / "ivysettings.xml"
    assert fails(machine.jars(PACKAGE, [tmp_path], unreachable, mirror=str(settings)))
    settings.touch()
    assert not fails(machine.jars(PACKAGE, [tmp_path], unreachable, mirror=str(settings)))


def test_an_address_that_nobody_answers_is_not_reached() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert not machine.reaches(f"http://127.0.0.1:{silent.getsockname()[1]}/")


def test_a_port_in_use_is_reported_by_its_number() -> None:
    assert not fails(machine.port(0))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        check = machine.port(number)
    assert fails(check)
    assert check.name == f"Port {number}"


def test_ports_that_the_settings_fix_are_checked(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        settings = load(PACKAGED, lake_path=tmp_path, spark_extra={"spark.ui.port": str(number)})
        (check,) = [check for check in doctor.checks(settings) if check.name == f"Port {number}"]
    assert fails(check)


def test_the_folder_of_the_lake_must_take_a_file_and_is_not_made(tmp_path: Path) -> None:
    assert not fails(machine.writable(tmp_path / "to" / "be" / "made"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert fails(machine.writable(tmp_path / "file" / "lake"))


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    assert not fails(machine.disk(tmp_path / "lake", least=1))
    assert fails(machine.disk(tmp_path / "lake", least=1 << 60))


HOLD = """
import sys
from pathlib import Path
from pipelines.leases import hold_by_process
with hold_by_process(Path(sys.argv[1]), ["land"], "maintain"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_running_job_is_named(tmp_path: Path) -> None:
    assert machine.leases(tmp_path).found == "no job is running"
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        check = machine.leases(tmp_path)
        other.communicate("")
    assert check == Check("Leases", True, f"running: land: process {other.pid} (maintain)")
    assert machine.leases(tmp_path).found == "no job is running"
