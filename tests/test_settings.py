"""Settings: one place, strict, and explained by the error."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.errors import ConfigError
from pipelines.quantities import duration, size, spelled
from pipelines.settings import PACKAGED, SECTIONS, declared, load


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HINDSIGHT_CONF", "HINDSIGHT_LAKE_PATH"):
        monkeypatch.delenv(name, raising=False)


def conf(folder: Path, text: str = "") -> Path:
    (folder / "settings.toml").write_text(text, encoding="utf-8")
    return folder


def refusal(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(conf(folder, text))
    return caught.value


def test_the_file_holds_every_setting_once_with_its_default() -> None:
    written = tomllib.loads((PACKAGED / "settings.toml").read_text(encoding="utf-8"))
    assert written == {name: {key: s.default for key, s in declared(name).items()} for name in SECTIONS}
    assert [list(section) for section in written.values()] == [list(declared(name)) for name in SECTIONS]


def test_every_setting_in_the_file_stands_under_its_comment() -> None:
    lines = (PACKAGED / "settings.toml").read_text(encoding="utf-8").splitlines()
    for name in SECTIONS:
        for key, setting in declared(name).items():
            comment = f"# {setting.meaning[0].upper()}{setting.meaning[1:]}."
            assert lines[lines.index(comment) + 1].startswith(f"{key} = ")


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(conf(tmp_path))
    assert settings.lake.path == Path("lake")
    assert settings.lake.committer == "arrow"
    assert settings.log.batch_records == 100_000
    assert settings.spark.memory == 2 * 1024**3
    assert settings.run.trigger == timedelta(0)
    assert settings.run.join_horizon == timedelta(hours=1)
    assert settings.maintain.target_file == 16 * 1024**2
    assert settings.models_path == tmp_path / "models"


def test_the_file_goes_over_the_defaults(tmp_path: Path) -> None:
    text = '[run]\njoin_horizon = "2 days"\n[spark]\nextra = {"spark.ui.enabled" = "true"}\n'
    settings = load(conf(tmp_path, text))
    assert settings.run.join_horizon == timedelta(days=2)
    assert settings.spark.extra == {"spark.ui.enabled": "true"}


def test_the_environment_goes_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDSIGHT_LAKE_PATH", "/data/lake")
    monkeypatch.setenv("HINDSIGHT_SPARK_CORES", "4")
    monkeypatch.setenv("HINDSIGHT_LOG_FSYNC", "false")
    monkeypatch.setenv("HINDSIGHT_SPARK_EXTRA", '{"spark.ui.enabled" = "true"}')
    settings = load(conf(tmp_path, '[lake]\npath = "elsewhere"\n'))
    assert settings.lake.path == Path("/data/lake")
    assert settings.spark.cores == 4
    assert settings.log.fsync is False
    assert settings.spark.extra == {"spark.ui.enabled": "true"}


def test_an_override_goes_over_the_environment_and_none_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDSIGHT_LAKE_PATH", "/data/lake")
    settings = load(conf(tmp_path), lake_path=tmp_path / "mine", lake_committer=None, run_trigger="5 seconds")
    assert settings.lake.path == tmp_path / "mine"
    assert settings.lake.committer == "arrow"
    assert settings.run.trigger == timedelta(seconds=5)


def test_a_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDSIGHT_SPARK_CORES", "many")
    monkeypatch.setenv("HINDSIGHT_LAKE_PTH", "x")
    error = refusal(tmp_path, "")
    assert "HINDSIGHT_SPARK_CORES: expected an integer, found the string 'many'" in error.message
    assert 'HINDSIGHT_LAKE_PTH: unknown key (did you mean "lake_path"?)' in error.message


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ('[lake]\npaht = "x"\n', "unknown_key", 'lake.paht: unknown key (did you mean "path"?)'),
        ('[lkae]\npath = "x"\n', "unknown_key", '[lkae]: unknown key (did you mean "lake"?)'),
        ("lake = 3\n", "wrong_type", "lake: expected a table, found the integer 3"),
        ("[spark]\ncores = true\n", "wrong_type", "spark.cores: expected an integer, found the boolean True"),
        ("[spark]\ncores = 0\n", "bad_value", "spark.cores: expected an integer of at least 1, found 0"),
        (
            '[lake]\ncommitter = "sparc"\n',
            "bad_value",
            'committer: expected "arrow" or "spark" (did you mean "spark"?)',
        ),
        ('[lake]\npath = " "\n', "bad_value", "lake.path: expected a text that is not empty"),
        ('[lake]\npath = "50%"\n', "bad_value", "lake.path: expected a path without a percent sign"),
        (f'[lake]\npath = "{__file__}"\n', "bad_value", "lake.path: expected a folder, and there is a file of that name"),
        ('[run]\ntrigger = "5 parsecs"\n', "bad_value", "run.trigger: expected a whole number and a unit"),
        ('[run]\njoin_horizon = "0 hours"\n', "bad_value", "run.join_horizon: expected a duration of more than 0"),
        (
            '[maintain]\ntarget_file = "16"\n',
            "bad_value",
            "maintain.target_file: expected a whole number above 0 and a unit",
        ),
        ("[spark.extra]\nspark.ui.enabled = true\n", "bad_value", "spark.extra: expected a table of strings"),
        ("[lake\n", "toml_invalid", "settings.toml: not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_explained(tmp_path: Path, text: str, code: str, part: str) -> None:
    error = refusal(tmp_path, text)
    assert error.code == code
    assert part in error.message
    assert "settings.toml" in error.message


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    error = refusal(tmp_path, '[lake]\npaht = "x"\n[spark]\ncores = "two"\n')
    assert error.code == "unknown_key"
    assert "2 problems" in error.message
    assert "spark.cores" in error.message


def test_a_folder_without_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"looked for .*settings\.toml") as caught:
        load(tmp_path / "nowhere")
    assert caught.value.code == "file_missing"


def test_the_folder_is_looked_for_in_the_environment_here_and_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load().conf == PACKAGED
    (tmp_path / "conf").mkdir()
    conf(tmp_path / "conf")
    assert load().conf == Path("conf")
    (tmp_path / "named").mkdir()
    conf(tmp_path / "named")
    monkeypatch.setenv("HINDSIGHT_CONF", str(tmp_path / "named"))
    assert load().conf == tmp_path / "named"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90 seconds", timedelta(seconds=90)),
        ("1 day", timedelta(days=1)),
        ("250 milliseconds", timedelta(milliseconds=250)),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, length: timedelta) -> None:
    assert duration(text) == length
    assert spelled(length) == text


@pytest.mark.parametrize("text", ["", "1.5 hours", "-1 hour", "hours", "1 fortnight", "5", "\u0661 hour"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="whole number and a unit"):
        duration(text)


def test_a_size_is_counted_in_powers_of_1024() -> None:
    assert size("16 MB") == 16 * 1024 * 1024
    with pytest.raises(ValueError, match="above 0"):
        size("0 MB")
