"""Model files become definitions, and every mistake in one is said at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.definition import Definition, canonical
from pipelines.errors import ConfigError
from pipelines.models import load_model, load_models

GOLDEN = Path(__file__).parent / "golden"
BINARY = 'type = "binary"\npositive = 1\nattribution_window = "2 hours"\nresolve = "latest"\n'
NUMBER = 'type = "number"\nattribution_window = "2 hours"\nresolve = "mean"\n'
CATEGORY = 'type = "category"\nattribution_window = "2 hours"\nresolve = "majority"\n'


def label(folder: Path, text: str, rest: str = "") -> Definition:
    path = folder / "m.toml"
    path.write_text(f'model = "m"\n{rest}\n[labels.l]\n{text}', encoding="utf-8")
    return load_model(path)[1]


def refusal(folder: Path, text: str, rest: str = "") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        label(folder, text, rest)
    return caught.value


def test_the_golden_file_declares_a_service_and_two_labels() -> None:
    service, click, late = load_models(GOLDEN)
    assert (service.label, service.policy, service.cuts, service.grains) == ("", None, ((),), ("1 hour",))
    assert (click.label, late.label) == ("click", "late")
    assert click.policy is not None
    assert late.policy is not None
    assert (click.policy.window, click.policy.absent) == (1800, "negative")
    assert (late.policy.window, late.policy.absent, late.policy.unit, late.policy.cap) == (
        7200,
        "missing",
        "request",
        1,
    )
    assert (late.judges, late.threshold, late.positive) == ("prediction", 0.5, 1.0)


FULL = """
model = "full"
measures = ["latency_ms", "cost"]
[labels.late]
type = "binary"
positive = 1
judges = "scores.late"
threshold = 1
attribution_window = "2 days"
absent = "negative"
resolve = "priority"
roles = ["expert", "user"]
cap = 2
[labels.delay]
type = "number"
unit = "item"
positive_at = 15
range = [-120, 3000]
attribution_window = "2 days"
absent = 0
resolve = "mean"
[labels.cause]
type = "category"
classes = ["weather", "carrier"]
judges = "prediction"
attribution_window = "90 seconds"
resolve = "majority"
[segments]
origin = ["JFK", "EWR"]
carrier = "any"
[statistics]
grains = ["1 day", "1 minute"]
cuts = ["all", "origin", "origin*carrier"]
"""


def test_every_key_arrives_in_the_definition(tmp_path: Path) -> None:
    (tmp_path / "full.toml").write_text(FULL, encoding="utf-8")
    service, cause, delay, late = load_models(tmp_path)
    assert service.measures == ("cost", "latency_ms")
    assert service.segments == (("carrier", ()), ("origin", ("EWR", "JFK")))
    assert service.cuts == ((), ("origin",), ("origin", "carrier"))
    assert service.grains == ("1 minute", "1 day")
    assert cause.classes == ("carrier", "weather")
    assert delay.policy is not None
    assert (delay.policy.low, delay.policy.high, delay.policy.absent) == (-120.0, 3000.0, 0.0)
    assert (delay.policy.unit, delay.positive_at) == ("item", 15.0)
    assert late.policy is not None
    assert (late.judges, late.policy.roles, late.policy.cap) == ("scores.late", ("expert", "user"), 2)


def test_a_hash_survives_the_way_through_json(tmp_path: Path) -> None:
    (tmp_path / "full.toml").write_text(FULL, encoding="utf-8")
    for definition in [*load_models(tmp_path), *load_models(GOLDEN)]:
        through = Definition.of(json.loads(canonical(definition.body())))
        assert (through, through.hash) == (definition, definition.hash)


def test_the_spelling_of_a_number_and_the_order_of_a_set_change_no_hash(tmp_path: Path) -> None:
    plain = label(tmp_path, BINARY + "threshold = 1\n", 'measures = ["a", "b"]')
    other = label(tmp_path, BINARY.replace("= 1", "= 1.0") + "threshold = 1.0\n", 'measures = ["b", "a"]')
    assert plain.hash == other.hash


def test_a_number_label_has_the_widest_range_unless_it_says_one(tmp_path: Path) -> None:
    policy = label(tmp_path, NUMBER).policy
    assert policy is not None
    assert (policy.low, policy.high, policy.absent) == (-1e9, 1e9, "missing")


def test_a_positive_may_be_a_text(tmp_path: Path) -> None:
    assert label(tmp_path, BINARY.replace("= 1", '= "yes"')).positive == "yes"


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        (BINARY + "treshold = 0.5\n", "unknown_key", 'labels.l.treshold: unknown key (did you mean "threshold"?)'),
        (NUMBER + "threshold = 0.5\n", "unknown_key", "labels.l.threshold: unknown key"),
        (BINARY.replace("positive = 1\n", ""), "missing_key", "labels.l.positive: missing"),
        (
            BINARY.replace("positive = 1\n", "positive = true\n"),
            "wrong_type",
            "labels.l.positive: expected a number or a string",
        ),
        (BINARY.replace('resolve = "latest"', 'resolve = "last"'), "bad_value", "labels.l.resolve: expected one of"),
        (BINARY.replace('type = "binary"', "type = []"), "bad_value", "labels.l.type: expected one of"),
        (
            BINARY.replace("2 hours", "soon"),
            "bad_value",
            "labels.l.attribution_window: expected a whole number and a unit",
        ),
        (
            BINARY.replace("2 hours", "10 milliseconds"),
            "bad_value",
            "labels.l.attribution_window: expected whole seconds",
        ),
        (BINARY.replace("2 hours", "4000 days"), "bad_value", "labels.l.attribution_window: expected whole seconds"),
        (
            BINARY.replace("binary", "binray"),
            "bad_value",
            'labels.l.type: expected one of "binary", "number", "category"',
        ),
        (BINARY + "threshold = 1.5\n", "bad_value", "labels.l.threshold: expected a number from 0 to 1"),
        (BINARY + 'threshold = 0.5\njudges = "none"\n', "bad_value", "labels.l.threshold: expected none"),
        (BINARY + 'judges = "score"\n', "bad_value", 'labels.l.judges: expected "prediction", "scores.NAME" or "none"'),
        (CATEGORY + 'judges = "scores.x"\n', "bad_value", 'labels.l.judges: expected "prediction" or "none"'),
        (BINARY + "absent = 0\n", "bad_value", 'labels.l.absent: expected "missing", "negative"'),
        (NUMBER + 'absent = "negative"\n', "bad_value", 'labels.l.absent: expected "missing" or a number'),
        (NUMBER + "absent = nan\n", "bad_value", "labels.l.absent: expected a number from"),
        (NUMBER + "range = [5, 1]\n", "bad_value", "labels.l.range: expected [least, greatest] with least < greatest"),
        (NUMBER + "range = [0, 1e12]\n", "bad_value", "labels.l.range: expected [least, greatest]"),
        (NUMBER + "range = [0]\n", "wrong_type", "labels.l.range: expected [least, greatest], two numbers"),
        (CATEGORY.replace("majority", "mean"), "bad_value", "labels.l.resolve: expected"),
        (BINARY.replace("= 1", '= "yes"').replace("latest", "any"), "bad_value", "values are texts"),
        (BINARY.replace("latest", "priority"), "bad_value", "labels.l.roles: expected the roles, best first"),
        (BINARY + 'roles = ["user"]\n', "bad_value", "labels.l.roles: expected the roles, best first"),
        (BINARY + "cap = 0\n", "bad_value", "labels.l.cap: expected an integer of at least 1"),
        (BINARY + 'unit = "session"\n', "bad_value", 'labels.l.unit: expected one of "request", "item"'),
        (
            CATEGORY + 'classes = ["a", "a"]\n',
            "bad_value",
            "labels.l.classes: expected strings that are not empty, each once",
        ),
        (BINARY + "[segments]\norigin = []\n", "bad_value", 'segments.origin: expected at least one value, or "any"'),
        (BINARY + '[segments]\nall = "any"\n', "bad_value", "segments.all: expected a field"),
        (
            BINARY + '[segments]\norigin = "JFK"\n',
            "wrong_type",
            'segments.origin: expected an array of strings, or "any"',
        ),
        (
            BINARY + '[statistics]\ncuts = ["origin"]\n',
            "bad_value",
            'statistics.cuts: expected "all" or fields of [segments]',
        ),
        (BINARY + '[statistics]\ngrains = ["1 week"]\n', "bad_value", "statistics.grains: expected any of"),
        ("type = 3\n", "bad_value", "labels.l.type: expected one of"),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, text: str, code: str, part: str) -> None:
    error = refusal(tmp_path, text)
    assert error.code == code
    assert part in error.message
    assert "m.toml: 1 problem" in error.message


def test_a_measure_may_not_carry_the_name_of_a_service_statistic(tmp_path: Path) -> None:
    assert "measures: expected letters" in refusal(tmp_path, BINARY, 'measures = ["errors"]').message


def test_all_mistakes_of_a_file_are_listed_and_counted(tmp_path: Path) -> None:
    error = refusal(tmp_path, BINARY + 'threshold = 2\ncap = "one"\n[statistics]\ncuts = ["origin"]\n', "color = 1")
    assert "m.toml: 4 problems" in error.message


def test_two_files_may_not_declare_one_model(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text('model = "m"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.toml, b\.toml") as caught:
        load_models(tmp_path)
    assert caught.value.code == "model_twice"


def test_a_column_mapping_beside_a_model_file_is_no_model_file(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('model = "m"\n', encoding="utf-8")
    (tmp_path / "m.import.toml").write_text('[inference]\nrequest_id = "id"\n', encoding="utf-8")
    assert [definition.model for definition in load_models(tmp_path)] == ["m"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_models(tmp_path / "models")
    assert caught.value.code == "file_missing"
