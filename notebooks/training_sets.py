# Databricks notebook source
# MAGIC %md
# MAGIC # Training sets
# MAGIC
# MAGIC Examples (features as they were served, with the outcome once its window has passed) are released as sets that never
# MAGIC change. Releasing, comparing and loading need no Spark; only the first cells do, where the lake is new. `pip install
# MAGIC '.[loop]'` has what the gate needs.

# COMMAND ----------

from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir

# A lake of yours, or a new folder, which gets flights of two weeks, in a minute; one that Spark and Python see under the same path.
LAKE = Path(gettempdir(), "hindsight-notebooks")
CONF = Path("../conf")
MODEL, LABEL = "arrival_delay", "late"

# COMMAND ----------

from pipelines import session, settings
from pipelines.demo.sample import sample

chosen = settings.load(CONF, lake_path=LAKE, spark_memory="1 GB")
lake = sample(chosen, session.build(chosen, log=session.log_of(chosen)))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Release
# MAGIC
# MAGIC What `[dataset.late]` of the model file asks for, with other shares since two weeks are few; as it was known on 27
# MAGIC January. The gate, a suite of Great Expectations, judges the rows first: where a rule does not hold, nothing is
# MAGIC released.

# COMMAND ----------

import rich

from pipelines.dataset import shown
from pipelines.dataset.release import release
from pipelines.dataset.spec import load_spec
from pipelines.gates.judge import gate_of

spec = load_spec(chosen.models_path, MODEL, LABEL, {"shares": [0.6, 0.1, 0.3], "embargo": "12 hours"})
gate = gate_of(MODEL, chosen.conf)
first = release(lake, spec, as_of=datetime(2013, 1, 27, tzinfo=UTC), gate=gate)
rich.print(shown.manifest(first))

# COMMAND ----------

# MAGIC %md
# MAGIC Asked again it is the same release. As of later it is another, with what has become known since:

# COMMAND ----------

second = release(lake, spec, as_of=datetime(2013, 1, 30, tzinfo=UTC), gate=gate)
again = release(lake, spec, as_of=datetime(2013, 1, 27, tzinfo=UTC), gate=gate)
(first.name, second.name, again.name)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What differs, and why

# COMMAND ----------

from pipelines.dataset.difference import diff
from pipelines.dataset.manifest import lake_of

changes = diff(lake_of(lake), first, second)
rich.print(shown.difference(changes, 5))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Load, and train
# MAGIC
# MAGIC `load` gives an Arrow table in the same order each time, a column per feature; `inputs` is what a model is given of it.
# MAGIC Each row counts by its weight: how many examples it stands for.

# COMMAND ----------

from pipelines.dataset import inputs, load
from pipelines.retrain.train import fit

train, test = load(lake, second.name, split="train"), load(lake, second.name, split="test")
fitted = fit(train, "binary")
inputs(train).head()

# COMMAND ----------

# MAGIC %md
# MAGIC On the flights that were held out, beside what was served then (the column `score`). A week teaches less than the three
# MAGIC before it: this model would not take over.

# COMMAND ----------

from sklearn.metrics import RocCurveDisplay

came, weight = test["label"].to_numpy(), test["weight"].to_numpy()
scores = fitted.predict_proba(inputs(test))[:, 1]
served = RocCurveDisplay.from_predictions(came, test["score"].to_numpy(), sample_weight=weight, name="as served")
trained = RocCurveDisplay.from_predictions(
    came, scores, sample_weight=weight, name="trained here", ax=served.ax_, plot_chance_level=True
)  # fmt: skip
trained.figure_

# COMMAND ----------

# MAGIC %md
# MAGIC ## The gate's verdict
# MAGIC
# MAGIC What each rule came to, for the rows of the release:

# COMMAND ----------

from dataclasses import asdict

import pandas as pd

from pipelines.dataset.manifest import rows_of
from pipelines.gates.judge import judge
from pipelines.gates.suite import load_suite

rows = rows_of(lake_of(lake), second)
verdict = judge(rows, load_suite(chosen.conf, MODEL))
pd.DataFrame(map(asdict, verdict.rules))[["rule", "column", "unexpected", "observed", "passed"]]

# COMMAND ----------

lost = rows.set_column(rows.column_names.index("score"), "score", [[0.99] * rows.num_rows])
refused = judge(lost, load_suite(chosen.conf, MODEL))
pd.DataFrame(map(asdict, refused.failed))[["rule", "column", "kwargs", "observed"]]
