"""What an event means once it is known to be well formed, and where it goes when it is not: the tables, in the order of the flow.

`sent.py` declares what comes from outside, `derived.py` what is made of it.
"""

from pipelines.silver.derived import DUPLICATES, LABELLED, ORPHANS, QUARANTINE, RECONCILED
from pipelines.silver.sent import CONTROLS, FEEDBACK, INFERENCES

__all__ = [
    "CONTROLS",
    "DUPLICATES",
    "FEEDBACK",
    "INFERENCES",
    "LABELLED",
    "ORPHANS",
    "QUARANTINE",
    "RECONCILED",
    "TABLES",
]

TABLES = (INFERENCES, FEEDBACK, CONTROLS, QUARANTINE, DUPLICATES, LABELLED, RECONCILED, ORPHANS)
