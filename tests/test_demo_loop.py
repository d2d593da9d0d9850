"""The demo with the loop on: who scores which flight, what is sent about it, and what is said of the year in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.dataset.features import kinds, typed
from pipelines.dataset.spec import load_spec
from pipelines.dataset.tables import RELEASED
from pipelines.demo import flights, model
from pipelines.demo.events import START, Traffic, replay
from pipelines.demo.loop import without_loop
from pipelines.demo.mischief import Mischief
from pipelines.demo.sender import Said, Sender
from pipelines.demo.serving import Serving, features, register_first, serving
from pipelines.demo.story import by_day, conclusion
from pipelines.errors import StateError
from pipelines.models import load_models
from pipelines.retrain.tracking import CHALLENGER, CHAMPION, Tracking

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]
MODELS = Path(__file__).parent.parent / "conf" / "models"
NAME = model.NAME
TEXTS = load_spec(MODELS, NAME, "late").texts


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    return flights.load()


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, year: pd.DataFrame) -> tuple[Tracking, str]:
    """A registry with three versions, each of another fortnight; no alias but the champion's, which the last has. And what was said."""
    with redirect_stderr(StringIO()) as said:
        made = Tracking(tmp_path_factory.mktemp("lake"))
        for until in ("2013-01-15", "2013-01-08", "2013-01-05"):
            register_first(made, year, pd.Timestamp(until, tz="UTC"), NAME, TEXTS)
    return made, said.getvalue()


@pytest.fixture(scope="module")
def tracking(registered: tuple[Tracking, str]) -> Tracking:
    return registered[0]


@pytest.fixture(autouse=True)
def _aliases(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "tracking" in request.fixturenames:
        request.getfixturevalue("tracking").drop(NAME, CHALLENGER)


def told(tracking: Tracking, champion: str, challenger: str | None = None, ledger: Any = None) -> Serving:
    tracking.move(NAME, CHAMPION, champion)
    if challenger:
        tracking.move(NAME, CHALLENGER, challenger)
    return serving(tracking, ledger or {}, TEXTS, {})


def some(year: pd.DataFrame) -> pd.DataFrame:
    return year[year.scheduled_at >= pd.Timestamp(START)].head(50)


def test_mlflow_says_nothing_between_the_lines_of_the_demo(registered: tuple[Tracking, str]) -> None:
    assert registered[1] == ""


# --- who scores -------------------------------------------------------------------------------------------------------


def test_the_first_version_serves_and_is_its_own_shadow_until_another_does(tracking: Tracking, year: pd.DataFrame) -> None:
    found = told(tracking, "1")
    assert (found.champion, found.shadows) == ("1", ["1"])
    assert all(said == Said("1", said.score, {"shadow.1": said.score}) for said in found.says(some(year)))


def test_what_serves_is_the_champion_and_the_first_version_goes_on_in_its_shadow(tracking: Tracking, year: pd.DataFrame) -> None:
    alone = [[said.score for said in told(tracking, version).says(some(year))] for version in ("1", "2")]
    assert alone[0] != alone[1]
    found = told(tracking, "2")
    assert found.says(some(year)) == [Said("2", two, {"shadow.1": one}) for one, two in zip(*alone, strict=True)]


def test_a_challenger_only_shadows(tracking: Tracking) -> None:
    found = told(tracking, "2", challenger="3")
    assert (found.champion, found.shadows) == ("2", ["1", "3"])


def test_whom_the_champion_replaced_shadows_until_that_is_settled(tracking: Tracking) -> None:
    promoted = {"step": "promoted", "version": "3", "champion": "2"}
    assert told(tracking, "3", ledger={"t": [promoted]}).shadows == ["1", "2"]
    assert told(tracking, "3", ledger={"t": [promoted, promoted | {"step": "settled"}]}).shadows == ["1"]
    assert told(tracking, "1", ledger={"t": [promoted]}).shadows == ["1"]


def test_without_a_champion_nothing_is_scored(tmp_path: Path) -> None:
    with pytest.raises(StateError) as raised:
        serving(Tracking(tmp_path), {}, TEXTS, {})
    assert raised.value.code == "no_champion"


def test_a_version_scores_what_a_release_would_have_taught(year: pd.DataFrame) -> None:
    rows = some(year)
    sender, sent = Sender(Random(1)), []
    for row in rows.to_dict("records"):
        known = {name: value for name, value in row.items() if pd.notna(value)}
        records = [json.loads(record.payload) for record in sender.flight(known, Said("1", 0.5)) if record.marks[:1] == ("inferences",)]
        sent.append(records[0]["features"])
    released = RELEASED.frame([
        RELEASED.row(unit_id=str(i), features=json.dumps(said), number=0.0, weight=1.0, split="train") for i, said in enumerate(sent)
    ])
    served = features(rows, TEXTS)
    learnt = typed(released, kinds(released, TEXTS), "number").select(list(served.columns)).to_pandas()
    pd.testing.assert_frame_equal(served.reset_index(drop=True), learnt, check_dtype=False)
    assert {name for name in learnt if learnt[name].dtype == object} == {"carrier", "dest", "origin", "hour", "weekday"}


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_the_loop_changes_what_is_said_of_a_flight_and_nothing_else(year: pd.DataFrame) -> None:
    traffic = Traffic(year, 0)

    def says(rows: pd.DataFrame) -> list[Said]:
        version = str(1 + (rows.scheduled_at.iloc[0] - pd.Timestamp(START)).days)
        return [Said(version, 0.9, {"shadow.1": 0.1})] * len(rows)

    looped = [*traffic.day(0, says), *traffic.day(1, says), *traffic.rest()]
    plain = list(replay(2))
    assert sum((batch.sent for batch in looped), Mischief()) == sum((batch.sent for batch in plain), Mischief())
    assert [batch.received_at for batch in looped] == [batch.received_at for batch in plain]
    for one, other in zip(first_ones(looped), first_ones(plain), strict=True):
        known = one.get("status") == "ok"
        if known:
            day = 1 + (pd.Timestamp(one["served_at"]) - pd.Timestamp(START)).days
            assert (one["version"], one["score"], one.pop("scores")) == (str(day), 0.9, {"shadow.1": 0.1})
        changed = {"version", "score", "prediction"}
        assert {k: v for k, v in one.items() if k not in changed} == {k: v for k, v in other.items() if k not in changed}
        assert known or "scores" not in one


def first_ones(batches: list[Any]) -> list[dict[str, Any]]:
    """The first event of each id: what is broken, or says something else, comes after it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for payload in (payload for batch in batches for payload in batch.payloads):
        try:
            event = json.loads(payload)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("kind") in ("inference", "feedback"):
            found.setdefault((event["kind"], event.get("feedback_id") or event.get("request_id") or ""), event)
    return [event for (_, name), event in found.items() if name]


def test_the_model_without_the_loop_is_a_definition_of_the_same_label() -> None:
    late = next(one for one in load_models(MODELS) if one.label == "late")
    off = without_loop(load_models(MODELS))
    assert (off.judges, off.policy, off.label) == ("scores.shadow.1", late.policy, "late")
    assert off.hash != late.hash


# --- what is said of it -----------------------------------------------------------------------------------------------

LOW, HIGH = {"auc": 0.62, "low": 0.61, "high": 0.63}, {"auc": 0.66, "low": 0.65, "high": 0.67}
BETTER, NONE, WORSE = (
    {"loss": "brier", "estimate": at, "low": at - 0.002, "high": at + 0.002, "support": 9000} for at in (-0.003, 0.0, 0.003)
)


@pytest.mark.parametrize(
    ("on", "off", "change", "said"),
    [
        (HIGH, LOW, BETTER, "The loop helped. 2 retrainings, 1 took over."),
        (LOW, LOW, BETTER, "The loop helped, by one measure of two."),
        (HIGH, LOW, NONE, "The loop helped, by one measure of two."),
        (LOW, HIGH, BETTER, "The loop helped by one measure, and did harm by the other."),
        (LOW, LOW, NONE, "The loop did not help, as far as these flights show."),
        (LOW, HIGH, WORSE, "The loop did not help: it did harm."),
        (LOW, LOW, WORSE, "The loop did not help: it did harm."),
    ],
)
def test_the_last_sentence_says_what_the_intervals_say(on: Any, off: Any, change: Any, said: str) -> None:
    year = {"on": on, "off": off, "difference": change}
    assert conclusion(year, [{"took_over": "2013-03-05"}, {"took_over": None}]).startswith(said)
    assert conclusion(year, [{"took_over": None}]).startswith("Nothing took over, so the loop changed nothing. 1 retrainings, 0 took over.")


def test_flights_of_a_day_go_together() -> None:
    chance = np.random.default_rng(3)
    of_day, days = chance.normal(size=400), np.arange(400)
    values, at = np.repeat(of_day, 50), np.repeat(days, 50)
    mean, low, high = by_day(values, at)
    assert (low, mean, high) == pytest.approx((mean - 0.098 * of_day.std(), of_day.mean(), mean + 0.098 * of_day.std()), rel=1e-2)
    assert by_day(values, np.arange(len(values)))[2] - mean < (high - mean) / 5
