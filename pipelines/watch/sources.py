"""What `watch` reads of a lake, as files and without Spark."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import settle
from pipelines.definition import GRAINS, Definition
from pipelines.gold.metrics.catalogue import EXPOSURES
from pipelines.gold.metrics.plan import Target, cut_name
from pipelines.gold.tables import STATISTICS
from pipelines.lake import Lake
from pipelines.silver.tables import LABELLED
from pipelines.watch import conditions
from pipelines.watch.windows import COLUMNS, MINUTE, micros, moment


def frontier(lake: Lake) -> datetime | None:
    """The whole minute up to which everything is processed."""
    at: datetime | None = settle.last(lake)["frontier"]
    return None if at is None else moment(micros(at) - micros(at) % MINUTE)


def statistics(lake: Lake, asked: Target, names: set[str], at: datetime) -> pa.Table:
    """The increments of the sources of a target that were known before a time: of another definition the exposures alone."""
    found = []
    for source in asked.sources:
        wanted = names if source.definition == asked.definition.hash else names & EXPOSURES
        where = (
            (pc.field("grain") == source.grain)
            & (pc.field("definition") == source.definition)
            & (pc.field("cut") == source.cut)
            & (pc.field("experiment") == "")
            & (pc.field("known_at") < at)
            & pc.field("statistic").isin(pa.array(sorted(wanted), pa.string()))
        )
        found.append(lake.read(STATISTICS, list(COLUMNS), where))
    return pa.concat_tables(found)


def examples(lake: Lake, definition: Definition, at: datetime) -> conditions.Growing:
    """How many units were answered, over time."""
    grain = max(definition.grains, key=GRAINS.__getitem__)
    where = (
        (pc.field("grain") == grain)
        & (pc.field("definition") == definition.hash)
        & (pc.field("cut") == cut_name(min(definition.cuts, key=len)))
        & (pc.field("basis") == "answered")
        & (pc.field("statistic") == "n")
        & (pc.field("known_at") < at)
    )
    return conditions.growing(lake.read(STATISTICS, ["known_at", "amount"], where))


def raters(lake: Lake, model: str, label: str) -> conditions.Raters:
    """Who has judged what the model served."""
    rows = lake.read(LABELLED, ["rater", "known_at", "context"], pc.field("label") == label)
    context = rows["context"]
    columns = {
        "rater": rows["rater"],
        "known_at": rows["known_at"].cast(pa.int64()),
        "served_at": pc.struct_field(context, "served_at").cast(pa.int64()),
    }
    return conditions.Raters(pa.table(columns).filter(pc.equal(pc.struct_field(context, "model"), model)))


def first_known(lake: Lake, model: str) -> datetime | None:
    """The first time at which anything was known of a model."""
    at = pc.min(lake.read(STATISTICS, ["known_at"], pc.field("model") == model)["known_at"]).as_py()
    return None if at is None else moment(micros(at))
