"""The rules that keep the code readable, over the import graph and the syntax tree."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "pipelines"
MODULES = sorted(ROOT.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in MODULES}
LAYERS = ("bronze", "silver", "gold")
"""In the order of the flow: a layer may name itself and those before it."""
MACHINERY = (
    "session",
    "lake",
    "settings",
    "log",
    "sinks",
    "app",
    "job",
    "jobs",
    "held",
    "lookup",
    "checksum",
    "checkpoint",
)
"""What moves, writes and configures; what decides never sees it."""
VERBS = ("land", "parse", "refine", "attribute", "reconcile", "expose", "resolve", "tally", "absences", "examples")
ACTIONS = {
    "count",
    "collect",
    "toArrow",
    "toPandas",
    "cache",
    "persist",
    "checkpoint",
    "write",
    "writeStream",
    "foreachBatch",
}
CHANCE = {"now", "utcnow", "today", "time", "uuid1", "uuid4", "uuid", "rand", "randn", "random", "current_timestamp"}
MOST_LINES, MOST_IN_A_FUNCTION = 300, 60


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


KNOWN = {name_of(module) for module in MODULES}


def imports(path: Path) -> Iterator[str]:
    """The modules of this package that a module imports, wherever it does."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipelines"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ({name if name in KNOWN else node.module for name in names})
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("pipelines"))


def in_layer(layer: str) -> list[Path]:
    return [path for path in MODULES if path.is_relative_to(ROOT / layer) and "metrics" not in path.parts]


@pytest.mark.parametrize("path", [path for layer in LAYERS for path in in_layer(layer)], ids=name_of)
def test_what_decides_knows_nothing_of_what_moves_and_writes(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[1:2] and name.split(".")[1] in MACHINERY}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_names_itself_and_the_layers_before_it(layer: str) -> None:
    later = LAYERS[LAYERS.index(layer) + 1 :]
    assert not {
        (name_of(path), name) for path in in_layer(layer) for name in imports(path) if name.split(".")[1] in later
    }


def test_the_verifier_shares_no_decision_with_what_it_verifies() -> None:
    shared = {name for path in MODULES if path.is_relative_to(ROOT / "verify") for name in imports(path)}
    assert not {name for name in shared if name.split(".")[1] in (*LAYERS, "definition", "exact", "log", "lake")}


def test_imports_go_round_in_no_circle() -> None:
    graph = {name_of(path): set(imports(path)) for path in MODULES}
    while leaves := {name for name, needs in graph.items() if not needs & (graph.keys() - {name})}:
        graph = {name: needs for name, needs in graph.items() if name not in leaves}
    assert not graph


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
    functions = [node for node in ast.walk(TREES[path]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not {f.name: size for f in functions if (size := (f.end_lineno or 0) - f.lineno + 1) > MOST_IN_A_FUNCTION}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_a_name_of_the_field(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "core"}


def test_no_module_at_the_top_hides_a_library() -> None:
    ours = {path.stem if path.is_file() else path.name for path in ROOT.iterdir() if path.stem != "__init__"}
    ours -= {"__main__", "__pycache__", "py"}
    taken = set(sys.stdlib_module_names) | (packages_distributions().keys() - {"pipelines"})
    assert not ours & taken


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_and_what_it_offers_say_what_they_are(path: Path) -> None:
    tree = TREES[path]
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and name_of(path).startswith("pipelines")
    ]
    assert ast.get_docstring(tree) or not tree.body
    if any(path.is_relative_to(ROOT / layer) for layer in LAYERS):
        assert not [node.name for node in public if not ast.get_docstring(node) and len(node.body) > 1]


def transforms() -> list[Path]:
    return [path for layer in LAYERS for path in in_layer(layer) if path.stem in VERBS]


def test_every_verb_of_the_flow_is_there() -> None:
    assert {path.stem for path in transforms()} == set(VERBS)


@pytest.mark.parametrize("path", transforms(), ids=name_of)
def test_a_transform_only_returns_frames(path: Path) -> None:
    called = {
        node.func.attr
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    of_functions = {"count"} if "F.count" in path.read_text() else set()
    assert not (called & (ACTIONS | {"read", "readStream", "sql"})) - of_functions
    touched = {node.attr for node in ast.walk(TREES[path]) if isinstance(node, ast.Attribute)}
    assert not touched & {"sparkSession", "sparkContext", "write", "writeStream", "readStream", "rdd"}


@pytest.mark.parametrize("path", [path for layer in LAYERS for path in in_layer(layer)], ids=name_of)
def test_nothing_that_decides_asks_a_clock_or_chance(path: Path) -> None:
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call)
    }
    assert not called & CHANCE


@pytest.mark.parametrize("path", transforms(), ids=name_of)
def test_a_transform_takes_frames_by_name_and_options_by_keyword(path: Path) -> None:
    (verb,) = [node for node in TREES[path].body if isinstance(node, ast.FunctionDef) and node.name == path.stem]
    kinds = {ast.unparse(arg.annotation or verb) for arg in verb.args.args}
    gives = ast.unparse(verb.returns or verb)
    assert (kinds, gives) in (
        ({"DataFrame"}, "DataFrame"),  # part of a Spark plan
        ({"pa.Table"}, "pa.Table"),  # of a batch that is there, or of a partition
        ({"pa.Table"}, "dict[str, pa.Table]"),
    )
    assert ast.get_docstring(verb)


def test_only_the_lake_and_its_upkeep_write_tables() -> None:
    writing = {
        name_of(path)
        for path in MODULES
        if any(call in path.read_text() for call in ("write_deltalake(", ".optimize.", "create_write_transaction(", "saveAsTable("))
    }
    assert writing <= {"pipelines.lake", "pipelines.maintain"}


def test_what_explains_only_reads_and_needs_no_session() -> None:
    explaining = [path for path in MODULES if path.is_relative_to(ROOT / "explain")]
    used = {name.split(".")[1] for path in explaining for name in imports(path)}
    assert not used & {"session", "app", "job", "jobs", "verify", "log"}
    texts = [path.read_text() for path in explaining]
    assert not [text for text in texts if "pyspark" in text or ".append(table" in text or "create_write" in text]


def test_a_session_is_built_in_one_place() -> None:
    assert {name_of(path) for path in MODULES if "SparkSession.builder" in path.read_text()} == {"pipelines.session"}
