"""Judging a challenger: intervals that hold at every look, both on the same requests, and a bad one is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.dataset.scores import with_scores
from pipelines.definition import Definition
from pipelines.errors import ConfigError
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake
from pipelines.models import load_model
from pipelines.retrain.baseline import held_out
from pipelines.retrain.compare import arms, groups, paired, shadowed
from pipelines.retrain.declared import Acceptance, declared
from pipelines.retrain.judge import before_and_after, judge, settle
from pipelines.retrain.live import as_known, outcomes
from pipelines.retrain.losses import in_shadow, losses, served
from pipelines.retrain.sequence import evidence, interval, spreads
from tests.frames import at
from tests.retraining import examples, fill, model_file, net

CHANCE = np.random.default_rng(5)


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> Definition:
    return model_file(tmp_path_factory.mktemp("models"))


LOOKS = sorted({int(look) for look in np.geomspace(5, 1000, 60)})


STABLE = {
    "rare": (lambda chance, shape: (chance.random(shape) < 0.05).astype(float), 0.05),
    "even": (lambda chance, shape: chance.random(shape), 0.5),
    "narrow": (lambda chance, shape: 0.5 + 0.02 * chance.choice([-1.0, 1.0], shape), 0.5),
}


@pytest.mark.parametrize("kind", STABLE)
def test_who_looks_again_and_again_is_misled_no_more_often_than_stated(kind: str) -> None:
    draw, mean = STABLE[kind]
    misled = 0
    for period in draw(np.random.default_rng(7), (200, 1000)):
        found = (interval(2 * period[:look] - 1, 1.0, 0.1) for look in LOOKS)
        misled += any(not low <= 2 * mean - 1 <= high for low, high in found)
    assert misled <= 20


@pytest.mark.long
@pytest.mark.parametrize("kind", STABLE)
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_a_thousand_periods_of_five_thousand_looks(kind: str, alpha: float) -> None:
    draw, mean = STABLE[kind]
    values = draw(np.random.default_rng(7), (1000, 5000))
    # the interval leaves the mean when there is so much evidence against that
    found = evidence(np.abs(np.cumsum(values - mean, -1)), spreads(values)) >= np.log(2 / alpha)
    misled = int(found.any(-1).sum())
    print(f"\n{kind}, alpha {alpha}: {misled} of 1,000 periods misled")
    assert misled <= 1000 * alpha


def test_an_interval_narrows_on_its_mean() -> None:
    values = CHANCE.choice([-0.1, 0.2], 4000)
    low, high = interval(values, 1.0, 0.05)
    assert low < 0.05 < high
    assert high - low < 0.06
    assert interval(values[:0], 1.0, 0.05) == (-1.0, 1.0)


def test_an_interval_of_a_mean_that_moves_holds_the_average() -> None:
    values = np.r_[CHANCE.choice([0.2, 0.3], 3000), CHANCE.choice([-0.3, -0.2], 9000)]
    low, high = interval(values, 1.0, 0.05)
    assert low < -0.125 < high
    assert low < values.mean() < high
    assert high - low < 0.05


def scored(definition: Definition, count: int, challenger: float, champion: float = 0.5, **more: Any) -> pa.Table:
    """Outcomes that are all yes, scored by both; a better challenger says more."""
    shadow = [{"shadow.2": challenger}] * count
    return net(examples(definition, [1.0] * count, score=[champion] * count, scores=shadow, **more))


def test_the_loss_of_both_is_taken_on_the_same_requests(definition: Definition) -> None:
    rows = scored(definition, 3, 0.8)
    compared = shadowed(rows, "2", definition, Acceptance())
    assert compared.differences == pytest.approx([0.04 - 0.25] * 3)
    assert (compared.champion, compared.challenger) == pytest.approx((0.25, 0.04))
    assert len(shadowed(rows, "3", definition, Acceptance()).differences) == 0


def test_silence_that_is_negative_is_an_outcome(definition: Definition) -> None:
    rows = examples(definition, [1.0, 0.0], score=[0.5, 0.5], scores=[{"shadow.2": 1.0}] * 2)
    rows[1] |= {"basis": "absent", "number": None}
    # who says yes to everything is right about half
    assert shadowed(net(rows), "2", definition, Acceptance()).challenger == pytest.approx(0.5)


def test_a_log_loss_is_bounded(definition: Definition) -> None:
    lost = losses(np.array([1.0, 0.0]), np.array([0.0, 0.0]), definition, Acceptance(loss="log"))
    assert lost == pytest.approx([-np.log(1e-3), -np.log(1 - 1e-3)])


def test_a_loss_that_does_not_fit_the_label_is_refused(definition: Definition) -> None:
    with pytest.raises(ConfigError) as refused:
        shadowed(scored(definition, 1, 0.8), "2", definition, Acceptance(loss="absolute"))
    assert refused.value.code == "loss_unfit"


def test_a_better_challenger_is_accepted_a_bad_one_refused_and_few_outcomes_wait(definition: Definition) -> None:
    def state(count: int, says: float, **options: Any) -> str:
        return judge(shadowed(scored(definition, count, says), "2", definition, Acceptance()), Acceptance(support=100), **options).state

    assert state(400, 0.9) == "accept"
    assert state(400, 0.1) == "refuse"
    assert state(99, 0.9) == "wait"
    assert state(99, 0.9, last=True) == "refuse"
    assert state(400, 0.5) == "wait"
    assert state(400, 0.5, last=True) == "refuse"


def test_who_is_better_on_the_whole_and_worse_in_a_segment_is_refused(definition: Definition) -> None:
    count, acceptance = 2000, Acceptance(support=100, segments=(("origin", 0.01),))
    at_jfk = [i % 4 == 0 for i in range(count)]
    shadow = [{"shadow.2": 0.2 if jfk else 0.99} for jfk in at_jfk]
    origins = [{"origin": "JFK" if jfk else "EWR"} for jfk in at_jfk]
    rows = net(examples(definition, [1.0] * count, score=[0.5] * count, scores=shadow, segments=origins))
    compared = shadowed(rows, "2", definition, acceptance)
    assert judge(compared, acceptance).state == "accept"
    verdict = judge(compared, acceptance, groups(definition, ["origin"]))
    assert verdict.state == "refuse"
    assert "origin is JFK" in verdict.reason
    assert {(group.value, group.support) for group in verdict.groups} == {("EWR", 1500), ("JFK", 500)}


def canary(definition: Definition, count: int, better: float) -> pa.Table:
    """A tenth of the requests is served by version 2, which says `better` where version 1 says 0.5."""
    new = np.random.default_rng(3).random(count) < 0.1
    arm = [{"canary": {"arm": "new" if one else "old", "unit_id": None, "propensity": 0.1 if one else 0.9}} for one in new]
    score, version = [better if one else 0.5 for one in new], ["2" if one else "1" for one in new]
    return net(examples(definition, [1.0] * count, score=score, version=version, experiments=arm))


def test_a_canary_is_weighed_by_its_share(definition: Definition) -> None:
    acceptance = Acceptance(support=100, least_propensity=0.1)
    found = {says: judge(arms(canary(definition, 20_000, says), "1", "2", definition, acceptance), acceptance) for says in (0.9, 0.1)}
    assert [found[says].state for says in (0.9, 0.1)] == ["accept", "refuse"]
    assert found[0.9].estimate == pytest.approx(0.01 - 0.25, abs=0.02)
    assert found[0.9].low < 0.01 - 0.25 < found[0.9].high


def test_a_row_without_a_propensity_is_left_out(definition: Definition) -> None:
    rows = examples(definition, [1.0], score=[0.5], experiments=[{"canary": {"arm": "old", "unit_id": None, "propensity": None}}])
    assert len(arms(net(rows), "1", "2", definition, Acceptance()).differences) == 0


def sampled(definition: Definition, count: int, chance: np.random.Generator) -> pa.Table:
    """Two kinds of requests, of which all and a fifth are asked for: version 2 says 0.3 of the first, 0.9 of the others; version 1 0.5."""
    rare = chance.random(count) < 0.6
    asked = chance.random(count) < np.where(rare, 0.2, 1.0)
    found = [bool(one) for one in rare[asked]]
    said = [{"shadow.2": 0.9 if one else 0.3} for one in found]
    rows = examples(definition, [1.0] * len(found), score=[0.5] * len(found), scores=said)
    return net([{**row, "weight": 5.0 if one else 1.0} for row, one in zip(rows, found, strict=True)])


TRUE = 0.6 * (0.1**2 - 0.5**2) + 0.4 * (0.7**2 - 0.5**2)
"""Mean loss of the challenger minus that of the champion over all requests, asked or not."""


def test_what_is_asked_of_few_counts_for_many(definition: Definition) -> None:
    rows, acceptance = sampled(definition, 12_000, np.random.default_rng(1)), Acceptance(support=100, least_asked=0.2)
    compared = shadowed(rows, "2", definition, acceptance)
    verdict = judge(compared, acceptance)
    assert (verdict.state, verdict.low < TRUE < verdict.high) == ("accept", True)
    assert verdict.estimate == pytest.approx(TRUE, abs=0.02)
    # counted alike the answers say the opposite
    assert compared.differences.mean() > 0


def test_an_interval_of_weighted_answers_covers_as_often_as_stated(definition: Definition) -> None:
    missed, acceptance = 0, Acceptance(least_asked=0.2)
    for seed in range(40):
        compared = shadowed(sampled(definition, 600, np.random.default_rng(seed)), "2", definition, acceptance)
        assert compared.shares is not None
        for look in (20, 60, 150, len(compared.differences)):
            low, high = interval(compared.differences[:look], 1.0, 0.1, compared.shares[:look])
            if not low <= TRUE <= high:
                missed += 1
                break
    assert missed <= 4


def test_what_was_asked_for_more_seldom_than_declared_is_left_out_and_said_to_be(definition: Definition) -> None:
    compared = shadowed(sampled(definition, 300, np.random.default_rng(1)), "2", definition, Acceptance())
    verdict = judge(compared, Acceptance())
    assert compared.left_out > 0
    assert f"{compared.left_out} more were asked for more seldom than acceptance.least_asked = 1" in verdict.reason


def category(folder: Path, *, classes: str = 'classes = ["cat", "dog"]') -> Definition:
    """A label of classes."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = f'[labels.kind]\ntype = "category"\n{classes}\nattribution_window = "1 hour"\nresolve = "latest"\n'
    (folder / "c.toml").write_text(f'model = "m"\n{kind}')
    return load_model(folder / "c.toml")[1]


def seen(definition: Definition, count: int = 400) -> pa.Table:
    """Half cats, half dogs: version 1 takes all for cats, and version 2 knows better."""
    came = ["cat", "dog"] * (count // 2)
    scores = [{"cat": 0.6, "dog": 0.4, f"shadow.2.{one}": 0.9, f"shadow.2.{other}": 0.1}
              for one, other in zip(came, came[1:] + came[:1], strict=True)]  # fmt: skip
    nothing: Any = [None] * count
    return net(examples(definition, nothing, text=came, prediction_text=["cat"] * count, scores=scores))


@pytest.mark.parametrize(
    ("loss", "champion", "challenger"),
    [("zero_one", 0.5, 0.0), ("brier", (0.32 + 0.72) / 2, 0.02), ("log", -(np.log(0.6) + np.log(0.4)) / 2, -np.log(0.9))],
)
def test_classes_are_judged_by_what_was_said_of_them(tmp_path: Path, loss: str, champion: float, challenger: float) -> None:
    definition, acceptance = category(tmp_path), Acceptance(loss, support=100)
    compared = shadowed(seen(definition), "2", definition, acceptance)
    assert (compared.champion, compared.challenger) == pytest.approx((champion, challenger))
    assert judge(compared, acceptance).state == "accept"
    assert judge(shadowed(seen(definition, 0), "2", definition, acceptance), acceptance).state == "wait"


def test_no_prediction_of_classes_loses_more_than_the_greatest(tmp_path: Path) -> None:
    definition, acceptance = category(tmp_path), Acceptance("brier")
    told = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [7.0, -3.0], [np.nan, 1.0]])
    assert losses(told, np.array(["dog"] * 5, object), definition, acceptance)[:4] == pytest.approx([2, 2, 0.5, 2])
    assert losses(told, np.array(["bird"] * 5, object), definition, acceptance)[:3] == pytest.approx([2, 0, 1.5])
    assert np.isnan(losses(told, np.array(["dog"] * 5, object), definition, acceptance)[4])


def test_likely_classes_are_not_judged_where_none_are_declared(tmp_path: Path) -> None:
    definition = category(tmp_path, classes="")
    with pytest.raises(ConfigError) as refused:
        shadowed(seen(definition), "2", definition, Acceptance("log"))
    assert refused.value.code == "loss_unfit"


def test_a_label_that_judges_a_named_score_is_judged_by_it_on_what_was_held_out(tmp_path: Path) -> None:
    path = tmp_path / "models"
    model_file(path)
    text = (path / "m.toml").read_text().replace("positive = 1", 'positive = 1\njudges = "scores.risk"')
    (path / "m.toml").write_text(text)
    definition, lake = load_model(path / "m.toml")[1], Lake(tmp_path / "lake")
    rows = examples(definition, [1.0] * 3, score=[0.5] * 3, scores=[{"risk": 0.9}, {"risk": 0.2}, {}])
    fill(lake, EXAMPLES, rows)
    held = net(rows[:2]).drop_columns(["scores"])
    told = with_scores(lake, "m", "late", held)
    assert served(told, definition, Acceptance()).tolist() == [0.9, 0.2]
    compared = paired(told, np.array([1.0, 1.0]), definition, Acceptance())
    assert compared.differences == pytest.approx([-0.01, -0.64])
    assert np.isnan(served(with_scores(lake, "m", "late", net(rows[2:])), definition, Acceptance())).all()
    assert np.isnan(in_shadow(told, "2", definition, Acceptance())).all()


def test_what_was_held_out_says_how_good_a_version_is_before_it_serves(definition: Definition, tmp_path: Path) -> None:
    called = replace(definition, threshold=0.5)
    rows = pa.table({"label": [1.0, 1.0, 1.0, 0.0], "weight": [2.0] * 4})
    found = held_out(rows, np.array([0.9, 0.8, 0.1, 0.2]), called)
    recall = found["metrics"]["recall"]
    assert found["definition"] == called.hash
    assert (recall["value"], recall["hits"], recall["trials"], recall["support"]) == (2 / 3, 2, 3, 4)
    assert found["metrics"]["brier"]["value"] == pytest.approx((0.01 + 0.04 + 0.81 + 0.04) / 4)
    assert "recall" not in held_out(rows, np.array([0.9, 0.8, 0.1, 0.2]), definition)["metrics"]
    assert held_out(rows.set_column(1, "weight", pa.array([1.0, 2, 2, 2])), np.ones(4), called) == {}
    classes = held_out(pa.table({"label": ["cat", "dog"], "weight": [1.0, 1.0]}), np.array(["cat", "cat"], object), category(tmp_path))
    assert classes["metrics"]["accuracy"]["value"] == 0.5


def test_what_was_promoted_helped_did_not_or_is_unclear(definition: Definition) -> None:
    acceptance = Acceptance(support=100, most=500)

    def verdict(says: float, count: int = 500) -> str:
        return settle(shadowed(scored(definition, count, says), "2", definition, acceptance), acceptance).state

    assert [verdict(0.9), verdict(0.1), verdict(0.5)] == ["helped", "did not", "unclear"]
    assert [verdict(0.5, 200), verdict(0.9, 50)] == ["wait", "wait"]


def test_before_and_after_is_told_as_such(definition: Definition) -> None:
    said = [served(scored(definition, 500, 0.5, says), definition, Acceptance()) for says in (0.2, 0.9)]
    old, new = (losses(one, np.ones(500), definition, Acceptance()) for one in said)
    verdict = before_and_after(old, new, 1.0, Acceptance(support=100))
    assert (verdict.state, verdict.support) == ("helped", 500)
    assert verdict.low < 0.01 - 0.64 < verdict.high
    assert "whatever else changed" in verdict.reason


def test_examples_are_netted_and_come_in_the_order_in_which_they_were_known(definition: Definition) -> None:
    one, other = examples(definition, [1.0, 1.0])
    late = {**one, "known_at": at(90)}
    back = {**one, "sign": -1, "known_at": at(80)}
    assert as_known(net([late, back, other, one]))["unit_id"].to_pylist() == ["r00001", "r00000"]
    assert as_known(net([back, other, one]))["unit_id"].to_pylist() == ["r00001"]


def test_a_verdict_as_of_a_time_sees_only_what_was_known_and_mature_then(definition: Definition, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    fill(lake, EXAMPLES, [*examples(definition, [1.0], first="a"), *examples(definition, [1.0], first="b", minutes=120)])
    found = {minute: outcomes(lake, definition, since=at(0), as_of=at(minute))["unit_id"].to_pylist() for minute in (60, 61, 130)}
    assert found == {60: [], 61: ["a00000"], 130: ["a00000", "b00000"]}
    assert outcomes(lake, definition, since=at(1), as_of=at(130))["unit_id"].to_pylist() == ["b00000"]


def test_a_model_file_declares_how_it_is_trained_again(tmp_path: Path) -> None:
    hook = 'target = "webhook"\nurl = "https://train"'
    model_file(tmp_path, hook, "loss = 'log'\nmargin = 0.01\nlive = 'shadow'\nsegments = {origin = 0.05}")
    assert declared(tmp_path, "other") is None
    found = declared(tmp_path, "m")
    assert found is not None
    assert (found[0].target, found[0].url, found[0].timeout.total_seconds()) == ("webhook", "https://train", 120)
    assert found[1] == Acceptance("log", 0.01, support=100, live="shadow", segments=(("origin", 0.05),))


def test_sections_that_are_not_there_change_no_definition(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    with_loop = model_file(tmp_path).hash
    path.write_text(path.read_text().partition("[retrain]")[0])
    assert load_model(path)[1].hash == with_loop
    assert declared(tmp_path, "m") is None


@pytest.mark.parametrize(
    ("code", "where", "retrain", "acceptance"),
    [
        ("unknown_key", "retrain.tarjet", 'tarjet = "local"', ""),
        ("bad_value", "retrain.target", 'target = "loacl"', ""),
        ("missing_key", "retrain.dag", 'target = "airflow"\nurl = "http://a"', ""),
        ("bad_value", "retrain.topic", 'topic = "t"', ""),
        ("bad_value", "retrain.timeout", 'timeout = "soon"', ""),
        ("bad_value", "retrain.label", 'label = "later"', ""),
        ("bad_value", "retrain.url", 'target = "webhook"\nurl = "file:///etc/passwd"', ""),
        ("bad_value", "retrain.job", 'target = "databricks"\nurl = "http://a"\njob = "nightly"', ""),
        ("bad_value", "acceptance.loss", "", 'loss = "auc"'),
        ("bad_value", "acceptance.alpha", "", "alpha = 0.9"),
        ("bad_value", "acceptance.most", "", "most = 5"),
        ("bad_value", "acceptance.least_asked", "", "least_asked = 2"),
        ("unknown_key", "acceptance.segments.carrier", "", "segments = {carrier = 0.1}"),
        ("wrong_type", "acceptance.margin", "", 'margin = "small"'),
    ],
)
def test_every_mistake_names_file_and_field(tmp_path: Path, code: str, where: str, retrain: str, acceptance: str) -> None:
    model_file(tmp_path)
    path = tmp_path / "m.toml"
    text = path.read_text().replace('timeout = "2 minutes"', retrain).replace("support = 100", f"support = 100\n{acceptance}")
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_model(path)
    assert refused.value.code == code
    assert "m.toml" in refused.value.message
    assert where in refused.value.message
