"""The flow, top to bottom. Open a job's transform to see what it decides; open `lake.py` to see how anything is written."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from pipelines.bronze import tables as bronze
from pipelines.bronze.land import land
from pipelines.bronze.tables import EVENTS
from pipelines.contract import Table
from pipelines.dataset import tables as dataset
from pipelines.gold import tables as gold
from pipelines.gold.absences import absences
from pipelines.gold.examples import SERVED, examples
from pipelines.gold.expose import expose
from pipelines.gold.resolve import resolve
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER, STATISTICS
from pipelines.gold.tally import tally
from pipelines.job import Chain, Job, Lookup, Stream
from pipelines.retrain import tables as retrain
from pipelines.silver import tables as silver
from pipelines.silver.attribute import attribute
from pipelines.silver.parse import PARSED, parse
from pipelines.silver.refine import refine
from pipelines.silver.tables import CONTROLS, DUPLICATES, FEEDBACK, INFERENCES, LABELLED, QUARANTINE, RECONCILED
from pipelines.watch import tables as watch

TABLES: tuple[Table, ...] = (*bronze.TABLES, *silver.TABLES, *gold.TABLES, *watch.TABLES)
LATER: tuple[Table, ...] = (*dataset.TABLES, *retrain.TABLES)
"""Tables that commands make when they need them."""
KEPT: tuple[Table, ...] = (*watch.TABLES, *LATER)
"""What was decided, by people or by rules that may have changed since, and no log says: a rebuild keeps these tables as they are."""
RECONCILE = "reconcile"
"""Runs beside the chains, on a schedule: what the join let go. See `settle.py`."""
WATCH = "watch"
"""Runs after reconcile, when the frontier has moved: alerts, drift, triggers. See `watch/`."""


def chains(*, horizon: timedelta, lands: bool = True) -> tuple[Chain, ...]:
    """The two chains of one machine; `reconcile` hands what it finds to the second. Where bronze.events is the log, nothing lands.

    `refine` by itself reads the log too, by position, as far as it has landed: files of a table come in the order of their times, a file
    for each day of receipt, so a record could come after one that repeats it.
    """
    return _of_records(lands), _of_pairs(horizon)


def _of_records(lands: bool) -> Chain:
    """From what is logged to what is served, and what silence about it will say."""
    return (
        Job("land", reads={"records": Stream(None)}, transform=land, writes=(EVENTS,) if lands else ()),
        Job(
            "refine",
            reads={
                "events": Stream(None),
                "seen_inferences": Lookup(INFERENCES, on="event_id"),
                "seen_feedback": Lookup(FEEDBACK, on="event_id"),
            },
            prepare=(parse, PARSED),
            transform=refine,
            writes=(CONTROLS, INFERENCES, FEEDBACK, QUARANTINE, DUPLICATES),
            defined=True,
        ),
        Job(
            "expose",
            reads={"inferences": Stream(INFERENCES)},
            transform=expose,
            writes=(STATISTICS,),
            defined=True,
        ),
        Job(
            "absences",
            reads={"inferences": Stream(INFERENCES)},
            transform=absences,
            writes=(EXAMPLES,),
            defined=True,
        ),
    )


def _of_pairs(horizon: timedelta) -> Chain:
    """From feedback that finds its inference to what is believed, and what follows from that."""
    return (
        Job(
            "attribute",
            reads={
                "inferences": Stream(INFERENCES),
                "feedback": Stream(FEEDBACK),
                "reconciled": Stream(RECONCILED),
            },
            transform=partial(attribute, horizon=horizon),
            writes=(LABELLED,),
        ),
        Job(
            "resolve",
            reads={
                "touched": Stream(LABELLED),
                "votes": Lookup(LABELLED, on="unit_id"),
                "ledger": Lookup(OUTCOME_LEDGER, on="unit_id"),
            },
            transform=resolve,
            writes=(OUTCOME_LEDGER,),
            defined=True,
        ),
        Job(
            "tally",
            reads={"entries": Stream(OUTCOME_LEDGER)},
            transform=tally,
            writes=(STATISTICS,),
            defined=True,
        ),
        Job(
            "examples",
            reads={
                "entries": Stream(OUTCOME_LEDGER),
                "inferences": Lookup(INFERENCES, on="unit_id", columns=SERVED),
            },
            transform=examples,
            writes=(EXAMPLES,),
            defined=True,
        ),
    )


NAMES = ("land", "refine", "expose", "absences", "attribute", RECONCILE, "resolve", "tally", "examples")
"""All jobs, in the order of the flow."""
BESIDE = ("maintain", "redrive", "dataset", "launch", "registry")
"""Leases of what may run beside the jobs, once at a time."""
LEASES = (*NAMES, WATCH, *BESIDE)
"""Leases of whoever replaces or rewrites what lies in a lake."""
