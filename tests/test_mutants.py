"""The tests are tested: each break in `mutants.py` must make its test fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parent.parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its tests, which nobody else imports."""
    for name in ("pipelines", "tests", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "databricks.yml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def passes(copy: Path, *tests: str) -> bool:
    """Whether tests of the copy pass. They must run, at least."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-m", "", *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), f"{tests} did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert done.returncode == 0 or "failed" in done.stdout.splitlines()[-1], done.stdout[-2000:]
    return done.returncode == 0


@pytest.mark.mutants
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed(copy: Path, mutant: Mutant) -> None:
    module = copy / "pipelines" / mutant.module
    text = module.read_text()
    module.write_text(text.replace(mutant.before, mutant.after))
    assert not passes(copy, mutant.killer), f"{mutant.name}: {mutant.killer} did not notice"


@pytest.mark.mutants
def test_without_a_mutation_all_these_tests_pass(copy: Path) -> None:
    assert passes(copy, *sorted({mutant.killer for mutant in MUTANTS}))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_finds_the_line_that_it_breaks(mutant: Mutant) -> None:
    text = (ROOT / "pipelines" / mutant.module).read_text()
    assert text.count(mutant.before) == 1, f"{mutant.module} was changed: mend the mutant {mutant.name}"
