# Databricks notebook source
# MAGIC %md
# MAGIC # The loop, step by step
# MAGIC
# MAGIC Predictions are logged as they are served, and labels as they come, late and corrected. The jobs make numbers of them,
# MAGIC which stay exact when a label changes its mind. This notebook takes each step by itself, in a lake of its own.

# COMMAND ----------

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

# A new folder for the lake, one that Spark and Python see under the same path; and that of the settings and model files.
LAKE = Path(mkdtemp(prefix="hindsight-"), "lake")
CONF = Path("../conf")

# COMMAND ----------

from pipelines import session, settings

chosen = settings.load(CONF, lake_path=LAKE, spark_memory="1 GB")
spark = session.build(chosen, log=session.log_of(chosen))

# COMMAND ----------

# MAGIC %md
# MAGIC ## 1. Append events
# MAGIC
# MAGIC Four flights, each scored at its scheduled departure: will it arrive 15 minutes late or more? `open_log` declares the
# MAGIC model files first, so that no event comes before its model. This is history, so each append says when it was received; a
# MAGIC live producer leaves that to the log.

# COMMAND ----------

from pipelines.producer import open_log

scores = {"UA-1545": 0.12, "B6-725": 0.41, "AA-1141": 0.22, "DL-461": 0.57}
served = {"kind": "inference", "model": "arrival_delay", "version": "1", "served_at": "2013-01-15T10:15:00Z", "status": "ok"}
inferences = [
    {**served, "request_id": flight, "score": score, "prediction": int(score >= 0.3), "segments": {"origin": "JFK"}}
    for flight, score in scores.items()
]
departure = datetime(2013, 1, 15, 10, 15, tzinfo=UTC)

log = open_log(LAKE, CONF)
log.append([json.dumps(event).encode() for event in inferences], [departure] * len(inferences))

# COMMAND ----------

# MAGIC %md
# MAGIC The labels come with the planes, three hours later. Of `DL-461` nobody tells anything. `assert_frontier` says that
# MAGIC nothing older is to come.

# COMMAND ----------

late = {"UA-1545": 0, "B6-725": 1, "AA-1141": 0}
told = {"kind": "feedback", "label": "late", "action": "assert", "given_at": "2013-01-15T13:20:00Z", "rater": "acars"}
labels = [{**told, "feedback_id": f"{flight}-landed", "request_id": flight, "value": value} for flight, value in late.items()]
arrival = datetime(2013, 1, 15, 13, 21, tzinfo=UTC)

log.append([json.dumps(event).encode() for event in labels], [arrival] * len(labels))
log.assert_frontier(datetime(2013, 1, 16, tzinfo=UTC))

# COMMAND ----------

# MAGIC %md
# MAGIC ## 2. Run the jobs once
# MAGIC
# MAGIC All of them, from the log to gold, as `hindsight run --once` does. `tick=False`: the log is of 2013, and says itself how
# MAGIC far it is.

# COMMAND ----------

from pipelines.app import Application

with Application(chosen, spark) as app:
    app.drain(tick=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## 3. Ask
# MAGIC
# MAGIC Three of four are answered (coverage), and all three were right. It is not `final`: `DL-461` may still be answered, for
# MAGIC 48 hours.

# COMMAND ----------

from pipelines.metrics import metrics

SHOWN = ["n", "coverage", "accuracy", "accuracy_low", "accuracy_high", "brier", "final"]

before = metrics(spark, lake=LAKE, model="arrival_delay", label="late", every="1 day").toPandas()
before[SHOWN]

# COMMAND ----------

# MAGIC %md
# MAGIC ## 4. Correct a label
# MAGIC
# MAGIC In the evening it turns out that `AA-1141` was late after all. The correction is one more event; nothing is overwritten.

# COMMAND ----------

correction = {
    **{"kind": "feedback", "feedback_id": "AA-1141-corrected", "request_id": "AA-1141", "label": "late", "action": "correct"},
    **{"target_feedback_id": "AA-1141-landed", "value": 1, "given_at": "2013-01-15T20:00:00Z", "rater": "acars"},
}

log.append([json.dumps(correction).encode()], [datetime(2013, 1, 16, 8, tzinfo=UTC)])
log.assert_frontier(datetime(2013, 1, 18, tzinfo=UTC))

with Application(chosen, spark) as app:
    app.drain(tick=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## 5. Ask again
# MAGIC
# MAGIC Accuracy has fallen from 1 to 2/3, on the day that the flight belongs to.

# COMMAND ----------

after = metrics(spark, lake=LAKE, model="arrival_delay", label="late", every="1 day").toPandas()
after[SHOWN]

# COMMAND ----------

# MAGIC %md
# MAGIC As of the morning of the 16th, before the correction, the answer is what it was.

# COMMAND ----------

then = datetime(2013, 1, 16, tzinfo=UTC)
as_it_was = metrics(spark, lake=LAKE, model="arrival_delay", label="late", every="1 day", as_of=then).toPandas()
as_it_was[SHOWN]

# COMMAND ----------

# MAGIC %md
# MAGIC ## 6. See the entries
# MAGIC
# MAGIC Gold is a ledger: the entry with sign -1 takes the old belief back, and one with +1 states the new one, each with the
# MAGIC time at which it could be known. A metric is a sum of such entries.

# COMMAND ----------

from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.lake import Lake

entries = Lake(LAKE).read(OUTCOME_LEDGER, ["unit_id", "label", "number", "sign", "known_at"]).sort_by("known_at").to_pandas()
entries

# COMMAND ----------

# MAGIC %md
# MAGIC What was said of the one flight, in the order in which the policy sees it, and what decided:

# COMMAND ----------

import rich

from pipelines.explain import Sources, outcome
from pipelines.explain.shown import request_path

rich.print(request_path(outcome(Sources(LAKE), request="AA-1141")))

# COMMAND ----------

# MAGIC %md
# MAGIC ## 7. Verify
# MAGIC
# MAGIC Everything is computed again from the log, by other means, now and as of earlier times.

# COMMAND ----------

from pipelines.verify import verify
from pipelines.view import proof

report = verify(LAKE)
print(proof(report))

# COMMAND ----------

log.close()
