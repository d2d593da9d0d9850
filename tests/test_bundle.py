"""The bundle of a workspace: its jobs are those of the flow, its commands those of the command line, its shape that of the SDK's types."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from email import message_from_string
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from databricks.sdk.service.compute import DataSecurityMode
from databricks.sdk.service.jobs import JobAccessControlRequest, JobPermissionLevel, JobRunAs, JobSettings

from pipelines import settings as configuration
from pipelines.cli import parser
from pipelines.jobs import NAMES

ROOT = Path(__file__).parent.parent
BUNDLE = yaml.safe_load((ROOT / "databricks.yml").read_text())
[JOBS_FILE] = BUNDLE["include"]
JOBS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / JOBS_FILE).read_text())["resources"]["jobs"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VALUES = {
    "lake": "/mnt/lake", "mount_script": "/Workspace/mount.sh", "runtime": "18.2.x-scala2.13", "node_type": "m6i.xlarge",
    "kafka_brokers": "kafka:9092", "secret_scope": "hindsight", "tracking": "http://mlflow:5000", "notify": "us@example.com",
    "operators": "operators", "readers": "readers", "run_as": "1234",
}  # fmt: skip
"""What a workspace gives the variables that have no default."""
OF_A_WORKSPACE = ("spark_version", "node_type_id", "destination", "on_failure", "group_name", "service_principal_name", "user_name")
KEYS = {
    "bundle": {"name"},
    "sync": {"paths", "include", "exclude"},
    "artifacts": {"type", "path", "build", "files", "dynamic_version", "executable"},
    "variables": {"description", "default", "type", "lookup"},
    "targets": {"default", "mode", "run_as", "variables", "workspace", "permissions", "presets", "sync", "bundle", "resources"},
}
"""What the published schema of bundles knows at the top, of what may stand here: other keys are mistakes, and would be passed over."""


def resolved(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with its variables filled in: where it is one, as what that is."""
    if isinstance(value, dict):
        return {key: resolved(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [resolved(one, variables) for one in value]
    if not isinstance(value, str):
        return value
    whole = re.fullmatch(r"\$\{([a-z_.]+)\}", value)
    return variables[whole[1]] if whole else re.sub(r"\$\{([a-z_.]+)\}", lambda found: str(variables[found[1]]), value)


def variables_of(target: str) -> dict[str, Any]:
    """Every variable of a target: its default, over it what a workspace gives, and over that the target's own."""
    known = {name: one["default"] for name, one in BUNDLE["variables"].items() if "default" in one} | VALUES
    of_workspace = {"workspace.file_path": "/Workspace/files", "workspace.current_user.short_name": "somebody"}
    own = resolved(BUNDLE["targets"][target].get("variables", {}), of_workspace)
    return of_workspace | {f"var.{name}": value for name, value in (known | own).items()}


def jobs_of(target: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = resolved(JOBS, variables_of(target))
    return found


def under(value: Any, key: str) -> Iterator[Any]:
    """Every value of a key, however deep."""
    if isinstance(value, dict):
        yield from (one for name, one in value.items() if name == key)
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from under(one, key)


def wheel_tasks() -> dict[str, dict[str, Any]]:
    return {name: job["tasks"][0]["python_wheel_task"] for name, job in JOBS.items()}


TARGETS = pytest.mark.parametrize("target", BUNDLE["targets"])


def test_every_stage_of_the_flow_is_a_job_that_never_ends() -> None:
    always = {name: wheel_tasks()[name]["parameters"] for name, job in JOBS.items() if "continuous" in job}
    assert always == {name: ["run", name] for name in NAMES}


def test_the_others_have_a_clock_or_are_run_by_hand() -> None:
    others = {name: job for name, job in JOBS.items() if name not in NAMES}
    assert {name for name, job in others.items() if "schedule" not in job} == {"maintain"}
    assert all(job["timeout_seconds"] for job in others.values())
    assert not [*under(JOBS, "pause_status")]  # the mode of a target says it


@pytest.mark.parametrize("name", JOBS)
def test_every_command_is_one_of_the_command_line(name: str) -> None:
    words = resolved(wheel_tasks()[name]["parameters"], variables_of("prod"))
    assert parser().parse_args(words).run is not None


def test_every_entry_point_is_one_of_the_package() -> None:
    for task in wheel_tasks().values():
        [entry] = distribution(task["package_name"]).entry_points.select(name=task["entry_point"])
        assert callable(entry.load())


@TARGETS
def test_the_environment_of_a_cluster_is_settings(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(path.read_text() for path in (ROOT / "pipelines").rglob("*.py"))
    for environment in under(jobs_of(target), "spark_env_vars"):
        for name, value in environment.items():
            if "{{" in value:
                assert re.fullmatch(r"\{\{secrets/hindsight/[a-z-]+\}\}", value)
                assert f'"{name}"' in text
            else:
                monkeypatch.setenv(name, str(value))
    settings = configuration.load(ROOT / "conf")
    variables = variables_of(target)
    assert str(settings.lake.path) == VALUES["lake"]
    assert settings.lake.catalog == f"hive_metastore.{variables['var.schema']}"
    assert (settings.lake.committer, settings.kafka.brokers) == ("spark", VALUES["kafka_brokers"])


def test_a_lake_has_a_schema_of_its_own_in_every_target() -> None:
    assert len({variables_of(target)["var.schema"] for target in BUNDLE["targets"]}) == len(BUNDLE["targets"])


def test_what_is_of_a_workspace_is_a_variable() -> None:
    for name in OF_A_WORKSPACE:
        for value in chain(under(JOBS, name), under(BUNDLE, name)):
            for one in value if isinstance(value, list) else [value]:
                assert re.fullmatch(r"\$\{var\.[a-z_]+\}", one), f"{name}: {one}"
    assert not [*under(BUNDLE, "host"), *under(BUNDLE, "profile")]
    text = f"{BUNDLE}{JOBS}"
    assert not re.search(r"https?://|@|abfss?:|s3a?:|gs:|dbfs:|/Volumes|/mnt", text)
    assert set(re.findall(r"\$\{var\.([a-z_]+)\}", text)) == set(BUNDLE["variables"])


@TARGETS
def test_every_job_is_of_the_types_of_the_sdk(target: str) -> None:
    for job in jobs_of(target).values():
        assert JobSettings.from_dict(job).as_dict() == job  # what they do not know is not in there
    for name, level in ((one["group_name"], one["level"]) for one in BUNDLE["permissions"]):
        assert JobAccessControlRequest(group_name=name, permission_level=JobPermissionLevel(level))
    run_as = BUNDLE["targets"][target].get("run_as", {})
    assert JobRunAs.from_dict(run_as).as_dict() == run_as
    modes = {*under(JOBS, "data_security_mode")}
    assert modes == {DataSecurityMode.SINGLE_USER.value}  # leases are held by the JVM, which other modes keep out of reach


def test_every_job_is_of_the_types_of_bundles() -> None:
    # not among the requirements of the tests: its licence holds for users of Databricks alone
    types = pytest.importorskip("databricks.bundles.jobs")
    for job in (*JOBS.values(), *jobs_of("prod").values()):
        assert types.Job.from_dict(job).as_dict() == job
    for one in BUNDLE["permissions"]:
        assert types.JobPermission.from_dict(one).as_dict() == one


def test_no_key_at_the_top_is_unknown() -> None:
    assert set(BUNDLE) == {*KEYS, "include", "permissions"}
    assert set(BUNDLE["bundle"]) <= KEYS["bundle"]
    assert set(BUNDLE["sync"]) <= KEYS["sync"]
    for part in ("artifacts", "variables", "targets"):
        for one in BUNDLE[part].values():
            assert set(one) <= KEYS[part]
    assert {one.get("mode") for one in BUNDLE["targets"].values()} == {"development", "production"}
    assert [name for name, one in BUNDLE["targets"].items() if one.get("default")] == ["dev"]
    assert all(one["description"] for one in BUNDLE["variables"].values())


def test_libraries_beside_the_wheel_are_those_of_the_extras() -> None:
    extras = PROJECT["optional-dependencies"]
    needs = {"land": extras["kafka"], "launch": extras["loop"], "release": extras["loop"]}
    for name, job in JOBS.items():
        wheel, *others = job["tasks"][0]["libraries"]
        assert wheel == {"whl": "../dist/*.whl"}
        assert sorted(one["pypi"]["package"] for one in others) == sorted(needs.get(name, []))


def build(folder: Path, command: str) -> None:
    """Run a command of the bundle in a copy of what a wheel is built from."""
    for name in ("pyproject.toml", "README.md", "pipelines"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    where = folder / BUNDLE["artifacts"]["wheel"]["path"]
    subprocess.run(["bash", "-c", command], cwd=where, env={**os.environ, "PATH": path}, check=True)


def test_the_bundle_builds_one_wheel_which_leaves_spark_and_delta_to_the_runtime(tmp_path: Path) -> None:
    before, pip, after = BUNDLE["artifacts"]["wheel"]["build"].partition("&& python3 -m pip wheel ")
    assert pip
    assert after.split()[-3:] == ["--wheel-dir", "dist", "build/workspace"]
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "hindsight_lakehouse-0.0.9-py3-none-any.whl").touch()  # of a version before
    build(tmp_path, before)
    assert not [*tmp_path.glob("dist/*.whl")]
    wanted = tomllib.loads((tmp_path / "build" / "workspace" / "pyproject.toml").read_text())["project"]
    spark = [one for one in PROJECT["dependencies"] if _project(one) in ("pyspark", "delta-spark")]
    assert len(spark) == 2
    assert wanted == PROJECT | {"dependencies": [one for one in PROJECT["dependencies"] if one not in spark]}


@pytest.mark.long
def test_the_wheel_that_the_bundle_builds_leaves_spark_and_delta_to_the_runtime(tmp_path: Path) -> None:
    build(tmp_path, BUNDLE["artifacts"]["wheel"]["build"])
    [wheel] = (tmp_path / "dist").glob("*.whl")  # where the jobs look for it
    with zipfile.ZipFile(wheel) as archive:
        [folder] = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        required = message_from_string(archive.read(f"{folder}/METADATA").decode()).get_all("Requires-Dist", [])
        entries = archive.read(f"{folder}/entry_points.txt").decode()
    plain = {_project(one) for one in required if "extra ==" not in one}
    assert plain == {_project(one) for one in PROJECT["dependencies"]} - {"pyspark", "delta-spark"}
    assert f"hindsight = {PROJECT['scripts']['hindsight']}" in entries


def _project(requirement: str) -> str:
    [name] = re.findall(r"^[A-Za-z0-9_.-]+", requirement)
    return str(name)
