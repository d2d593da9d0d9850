"""Hindsight, the feedback lakehouse.

An event enters at the log and only ever moves to the right:

    log ──land──▶ bronze.events ──refine──▶ silver.inferences, silver.feedback, and a home for everything else
    silver.inferences ──expose──▶ gold.statistics                     exposures, and silence to come
    silver.inferences ⋈ silver.feedback ──attribute──▶ silver.labelled         (what comes too late: reconcile)
    silver.labelled ──resolve──▶ gold.outcome_ledger ──tally──▶ gold.statistics ──▶ metrics()
    silver.inferences ──absences──▶ gold.examples ◀──examples── gold.outcome_ledger       training rows, once they are mature
    gold.statistics ──watch──▶ gold.alerts, gold.drift, gold.triggers          (when a window is mature)

`jobs.py` is that picture in code. The folder of a layer holds its nouns in `tables.py` and its verbs in the other files; a verb is a
pure function from frames to frames. `lake.py` alone writes tables. `verify/` computes everything again, and shares nothing with
the rest. `explain/` walks the path of one number back to the log.
"""
