"""The README's commands are the ones that run, and its snippets do what they say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import producer
from pipelines.cli import parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def hindsight_lines() -> Iterator[list[str]]:
    for block in blocks("bash"):
        for line in block.splitlines():
            for part in line.split("&&"):
                words = shlex.split(part)
                if words and words[0].endswith("hindsight"):
                    yield words[1:]
    for inline in re.findall(r"`(hindsight [a-z][^`\[\]…]*)`", README):
        yield shlex.split(inline)[1:]


def test_there_are_commands_to_check() -> None:
    assert len(list(hindsight_lines())) >= 10


@pytest.mark.parametrize("words", list(hindsight_lines()), ids=" ".join)
def test_every_command_of_the_readme_is_understood(words: list[str]) -> None:
    if words in (["schema"], ["model"], ["import"]):  # named in prose
        return
    assert parser().parse_args(words).run is not None


def test_every_command_has_help_with_an_example() -> None:
    (commands,) = [action for action in parser()._actions if hasattr(action, "choices") and action.choices]
    for name, command in dict(commands.choices or {}).items():
        assert f"example: hindsight {name}" in " ".join(command.format_help().split())


def test_continuous_integration_runs_the_test_line_of_the_readme() -> None:
    (line,) = [block.strip() for block in blocks("bash") if "pytest" in block]
    assert "\n" not in line
    assert "<!-- the tests -->" in (ROOT / ".ci" / "run").read_text()
    assert README.index("<!-- the tests -->") < README.index(line)


def test_the_producer_of_the_readme_appends_its_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = [block for block in blocks("python") if "open_log" in block]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HINDSIGHT_CONF", str(ROOT / "conf"))
    names: dict[str, object] = {}
    exec(snippet, names)
    log = names["log"]
    assert isinstance(log, type(producer.open_log(tmp_path / "other")))
    payloads = [payload for append in log.read(0, log.end()) for payload in append.records()["payload"].to_pylist()]
    assert [b'"inference"' in payload for payload in payloads[-2:]] == [True, False]
    assert all(b'"define"' in payload or b'"expect"' in payload for payload in payloads[:-2])
