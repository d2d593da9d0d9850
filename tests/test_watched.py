"""What a model file may have watched: every key arrives, and what cannot be is refused with the file and the field."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.definition import Definition, canonical, digest
from pipelines.errors import ConfigError
from pipelines.models import load_model, load_models
from pipelines.watch.declared import load_watched, watched_of
from pipelines.watch.rules import AlertRule, Condition, DriftRule, TriggerRule
from tests.watching import DAY, MODEL, model

ROOT = Path(__file__).parent.parent
ALERT = '[alerts.low]\nlabel = "late"\nmetric = "recall"\nevery = "1 day"\nbelow = 0.4\n'
DRIFT = "[drift]\nevery = '1 day'\n[drift.features.distance]\nedges = [100, 500]\n"
TRIGGER = ALERT + "[triggers.retrain]\nwhen = {any = ['low']}\n"


def test_every_key_arrives(tmp_path: Path) -> None:
    found = model(
        tmp_path,
        """
[alerts.low]
label = "late"
metric = "recall"
every = "7 days"
by = ["origin", "version"]
below = 0.4
windows = "3 of 5"
clear_at = 0.45
support = 100
[alerts.dropped]
label = "late"
metric = "auc"
every = "1 day"
drop = 0.02
baseline = 14
alpha = 0.05
windows = "2 of 2"
[alerts.slow]
label = ""
metric = "latency_ms_p95"
every = "1 day"
change = "page_hinkley"
threshold = 50
[drift]
every = "1 day"
by = []
support = 500
baseline = 3
alpha = 0.01
least = 0.2
[drift.features.distance]
edges = [100, 500]
[drift.features.carrier]
values = ["AA", "UA"]
[drift.scores.score]
edges = [0.5]
[drift.scores.rank]
edges = [0.1, 0.9]
[triggers.retrain]
label = "late"
when = {all = ["low", "drift.request.score", "new_examples >= 10000", "every 7 days"]}
cooldown = "3 days"
budget = "2 per 30 days"
raters = 3
approve = "by hand"
""",
    )
    low, dropped, slow = (next(one for one in found.alerts if one.name == name) for name in ("low", "dropped", "slow"))
    assert low == AlertRule("low", "late", "recall", 7 * DAY, "below", 0.4, ("origin", "version"), 100, (3, 5), 0.45)
    assert dropped == AlertRule("dropped", "late", "auc", DAY, "drop", 0.02, of=(2, 2), baseline=14, alpha=0.05)
    assert slow == AlertRule("slow", "", "latency_ms_p95", DAY, "change", 50.0, method="page_hinkley", falls=False)
    assert found.drift == DriftRule(DAY, (), 500, 3, 0.01, 0.2)
    conditions = (
        *(Condition("alert", "low"), Condition("drift", "drift.request.score")),
        *(Condition("new_examples", count=10_000), Condition("every", every=7 * DAY)),
    )
    assert found.triggers == (TriggerRule("retrain", "late", conditions, True, 3 * DAY, (2, 30 * DAY), 3, True),)
    assert [name for name, _ in found.definition("").histograms] == [
        "feature.carrier",
        "feature.distance",
        "request.score",
        "scores.rank",
    ]


@pytest.mark.parametrize(
    ("code", "field", "rules"),
    [
        ("unknown_metric", "alerts.low.metric", ALERT.replace("recall", "recal")),
        ("unknown_metric", "alerts.low.metric", ALERT.replace("recall", "mae")),
        ("unknown_label", "alerts.low.label", ALERT.replace('"late"', '"lat"')),
        ("unknown_key", "alerts.low.bellow", ALERT + "bellow = 1\n"),
        ("unknown_key", "alerts.low.alpha", ALERT + "alpha = 0.1\n"),
        ("bad_value", "alerts.low", ALERT + "above = 0.1\n"),
        ("bad_value", "alerts.low", ALERT.replace("below = 0.4", "")),
        ("bad_value", "alerts.low.every", ALERT.replace("1 day", "1 hour")),
        ("bad_value", "alerts.low.every", ALERT.replace("1 day", "0 days")),
        ("bad_value", "alerts.low.by", ALERT + 'by = ["carrier"]\n'),
        ("bad_value", "alerts.low.windows", ALERT + 'windows = "5 of 3"\n'),
        ("bad_value", "alerts.low.clear_at", ALERT + "clear_at = 0.3\n"),
        ("bad_value", "alerts.low.against", ALERT.replace("below", "drop") + "against = 'release'\n"),
        ("unknown_key", "alerts.low.against", ALERT + "against = 'release'\n"),
        ("bad_value", "alerts.low.support", ALERT + "support = 0\n"),
        ("bad_value", "alerts.low.drop", ALERT.replace("recall", "brier").replace("below", "drop")),
        ("bad_value", "alerts.low.drop", ALERT.replace("below = 0.4", "drop = -0.1")),
        ("bad_value", "alerts.low.change", ALERT.replace("below = 0.4", 'change = "cusum"\nthreshold = 1')),
        ("missing_key", "alerts.low.threshold", ALERT.replace("below = 0.4", 'change = "page_hinkley"')),
        ("wrong_type", "alerts.low", "[alerts]\nlow = 1\n"),
        ("missing_key", "drift.features", "[drift]\nevery = '1 day'\n"),
        ("bad_value", "drift.against", DRIFT.replace("[drift]", "[drift]\nagainst = 'releases'")),
        ("bad_value", "drift.against", DRIFT.replace("[drift]", "[drift]\nby = []\nagainst = 'release'")),
        ("bad_value", "drift.features.distance", DRIFT.replace("[100, 500]", "[500, 100]")),
        ("bad_value", "drift.features.distance", DRIFT.replace("[100, 500]", "[]")),
        ("bad_value", "drift.features.distance", DRIFT.replace("edges = [100, 500]", 'edges = ["a"]')),
        ("bad_value", "drift.features.distance", DRIFT.replace("edges = [100, 500]", 'values = ["a", "a"]')),
        ("unknown_key", "drift.feature", "[drift]\nevery = '1 day'\nfeature = {}\n"),
        ("bad_value", "triggers.retrain.when", TRIGGER.replace("any", "one")),
        ("bad_value", "triggers.retrain.when.any", TRIGGER.replace("['low']", "['lo']")),
        ("bad_value", "triggers.retrain.when.any", TRIGGER.replace("['low']", "[]")),
        ("bad_value", "triggers.retrain.when.any", TRIGGER.replace("['low']", "['every now and then']")),
        ("bad_value", "triggers.retrain.budget", TRIGGER + 'budget = "2"\n'),
        ("bad_value", "triggers.retrain.approve", TRIGGER + 'approve = "me"\n'),
        ("unknown_label", "triggers.retrain.label", TRIGGER + 'label = "early"\n'),
    ],
)
def test_what_cannot_be_is_refused_with_file_and_field(tmp_path: Path, code: str, field: str, rules: str) -> None:
    with pytest.raises(ConfigError) as found:
        model(tmp_path, rules)
    assert found.value.code == code
    assert str(tmp_path / "m.toml") in found.value.message
    assert f"- {field}:" in found.value.message


def test_a_policy_is_another_when_the_rule_or_what_it_looks_at_is(tmp_path: Path) -> None:
    def policy(rules: str) -> str:
        found = model(tmp_path, rules)
        return found.alerts[0].policy(found.definition("late"))

    assert policy(ALERT) == policy(ALERT + TRIGGER.removeprefix(ALERT))
    assert policy(ALERT) != policy(ALERT.replace("0.4", "0.5"))


def test_what_could_not_be_said_before_changes_no_policy_that_does_not_say_it(tmp_path: Path) -> None:
    found = model(tmp_path, DRIFT)
    assert found.drift is not None
    rule = {"every": 86400.0, "by": ["version"], "support": 200, "baseline": 7, "alpha": 0.001, "least": 0.1}
    assert found.drift.policy(found.definition("")) == digest({"drift": rule, "definition": found.definition("").hash})


def test_what_is_watched_is_no_part_of_a_definition_unless_it_is_counted(tmp_path: Path) -> None:
    plain = [one.hash for one in model(tmp_path, "").definitions]
    assert [one.hash for one in model(tmp_path, TRIGGER).definitions] == plain
    drifting = model(tmp_path, DRIFT).definitions
    assert (drifting[0].hash != plain[0], drifting[1].hash == plain[1]) == (True, True)
    assert Definition.of(json.loads(canonical(drifting[0].body()))) == drifting[0]


def test_a_folder_of_model_files_is_read_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(MODEL + TRIGGER, encoding="utf-8")
    (tmp_path / "b.toml").write_text(MODEL.replace('"m"', '"n"'), encoding="utf-8")
    found = load_watched(tmp_path)
    assert [(one.model, len(one.alerts), len(one.triggers)) for one in found] == [("m", 1, 1), ("n", 0, 0)]
    assert [one for of in found for one in of.definitions] == load_models(tmp_path)
    assert found[0].alerts[0].every == timedelta(days=1)


def test_the_example_of_the_readme_is_one(tmp_path: Path) -> None:
    (example,) = [block for block in re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL) if "[alerts" in block]
    path = tmp_path / "arrival_delay.toml"
    path.write_text((ROOT / "conf" / "models" / "arrival_delay.toml").read_text() + example)
    found = watched_of(path, load_model(path))
    assert (len(found.alerts), len(found.triggers), found.drift is not None) == (3, 2, True)
