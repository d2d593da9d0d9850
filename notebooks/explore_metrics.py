# Databricks notebook source
# MAGIC %md
# MAGIC # Explore metrics
# MAGIC
# MAGIC How good is a model, by version and by segment, how sure is that, what was known of it when, and which events does a
# MAGIC number rest on?

# COMMAND ----------

from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir

# A lake of yours, or a new folder, which gets flights of two weeks, in a minute; one that Spark and Python see under the same path.
LAKE = Path(gettempdir(), "hindsight-notebooks")
# CATALOG.SCHEMA, where Spark is to find its tables by name.
CATALOG = ""
CONF = Path("../conf")
MODEL, LABEL = "arrival_delay", "late"

# COMMAND ----------

from pipelines import session, settings
from pipelines.demo.sample import sample

chosen = settings.load(CONF, lake_path=LAKE, lake_catalog=CATALOG, spark_memory="1 GB")
spark = session.build(chosen, log=session.log_of(chosen))
lake = sample(chosen, spark)
asked = {"lake": lake, "catalog": CATALOG, "model": MODEL, "label": LABEL}

# COMMAND ----------

# MAGIC %md
# MAGIC ## By version
# MAGIC
# MAGIC Version 2 took over after a week. The band is the 95 % interval; coverage is the share of predictions that were
# MAGIC answered.

# COMMAND ----------

from pipelines.charts import figure
from pipelines.metrics import metrics

by_version = metrics(spark, **asked, every="1 day", by=["version"]).toPandas()
figure(by_version, metrics=["auc", "brier", "coverage"], title="Arrival delay, by version")

# COMMAND ----------

# MAGIC %md
# MAGIC ## By segment
# MAGIC
# MAGIC The cuts that the model file declares: `origin` is one.

# COMMAND ----------

by_origin = metrics(spark, **asked, every="7 days", by=["origin"]).toPandas()
by_origin[["origin", "window_start", "n", "auc", "auc_low", "auc_high", "coverage", "final"]]

# COMMAND ----------

daily_by_origin = metrics(spark, **asked, every="1 day", by=["origin"]).toPandas()
figure(daily_by_origin, metrics=["recall", "precision"], title="Arrival delay, by airport of departure")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Provisional and final
# MAGIC
# MAGIC A window is final when the attribution window (48 hours) after its end has passed; before, more answers may come. What
# MAGIC may still change is dashed. As of the evening of the 24th:

# COMMAND ----------

since, until = datetime(2013, 1, 21, tzinfo=UTC), datetime(2013, 1, 24, 18, tzinfo=UTC)
evening = metrics(spark, **asked, every="6 hours", start=since, as_of=until).toPandas()
figure(evening, metrics=["base_rate", "coverage"], title="As of 24 January, 18:00")

# COMMAND ----------

# MAGIC %md
# MAGIC ## As of
# MAGIC
# MAGIC The same question, as of each of these times: an answer never changes once its time has passed, whatever is learnt
# MAGIC later. Each line falls at its end, where planes are still in the air, and lies on the others before. Move the times by
# MAGIC hand, and run the cell again.

# COMMAND ----------

from pipelines.metrics import metrics_as_of

TIMES = [datetime(2013, 1, day, 12, tzinfo=UTC) for day in (17, 18, 19, 20)]

known = metrics_as_of(spark, TIMES, **asked, every="6 hours", start=datetime(2013, 1, 15, tzinfo=UTC)).toPandas()
figure(known, metrics=["coverage", "base_rate"], title="What was known, and when")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Down to the events
# MAGIC
# MAGIC Where a number comes from: the statistics that it is taken from, and the signed entries that posted them, each with the
# MAGIC inference and the feedback behind it. This needs no Spark.

# COMMAND ----------

import rich

from pipelines.explain import Sources, event, metric
from pipelines.explain.shown import event_paths, metric_path

CELL = datetime(2013, 1, 15, 22, tzinfo=UTC)

sources = Sources(lake)
path = metric(sources, model=MODEL, label=LABEL, metric="accuracy", cell=CELL, segment={"origin": "JFK"}, limit=5)
rich.print(metric_path(path, 5))

# COMMAND ----------

# MAGIC %md
# MAGIC The first of these, as it stands in the log, and where it went:

# COMMAND ----------

rich.print(event_paths(event(sources, offset=path.steps[0].inference.offset)))
