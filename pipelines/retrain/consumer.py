"""A training job of one's own that follows releases, and trains from each once. Plain, to be copied and changed.

Of Hindsight it needs `pipelines.dataset` alone, and no Spark. It learns of releases by asking the lake again and again, or by the messages
that a model file's target "kafka" sends. What is done is a folder below `--state`, put in its place when all is in it: a release that is
told twice is trained from once, and training that was cut off begins again. What fails ends the job; started again, it goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any

import joblib
import pyarrow as pa
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipelines.dataset import HindsightError, inputs, load, releases

GROUP = "hindsight-consumer"
"""The Kafka consumer group: its offsets say which orders were taken."""
ENDED = ("FINISHED", "FAILED", "KILLED")
"""States of an MLflow run that nobody waits for any more."""
PATIENCE = 10
"""Seconds without a message after which `--once` ends."""
Order = dict[str, Any]
ORDERED = ("release", "digest", "run_id", "tracking_uri", "model")
"""What an order has to say."""


def fit(rows: pa.Table) -> Pipeline:
    """The model, of classes; each row counts by its weight. Yours goes here."""
    features = inputs(rows)
    numbers = list(features.select_dtypes("number").columns)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), [name for name in features if name not in numbers]),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return model.fit(features, rows["label"].to_numpy(), logisticregression__sample_weight=rows["weight"].to_numpy())


def loss(model: Pipeline, rows: pa.Table) -> float:
    """Mean log loss of some rows."""
    said, weights = model.predict_proba(inputs(rows)), rows["weight"].to_numpy()
    return float(log_loss(rows["label"].to_numpy(), said, sample_weight=weights, labels=model.classes_))


def learn(lake: str, release: str, into: Path) -> tuple[Pipeline, pa.Table, dict[str, float]]:
    """Train from a release, and keep the model; with the rows it learnt from and what is told of it."""
    rows, unseen = (load(lake, release, split=split) for split in ("train", "validation"))
    model = fit(rows)
    told = {f"{split}_log_loss": loss(model, seen) for split, seen in (("train", rows), ("validation", unseen)) if seen.num_rows}
    joblib.dump(model, into / "model.joblib")
    (into / "told.json").write_text(json.dumps({"release": release, "rows": rows.num_rows, **told}, indent=2))
    return model, rows, told


def once(lake: str, state: Path, release: str, digest: str, order: Order | None = None) -> bool:
    """Train from a release, by an order or without one; False where that is done already."""
    place = state / (order["run_id"] if order else digest)
    if place.exists() or (order and _run(order).info.status in ENDED):
        return False
    scratch = place.with_suffix(".tmp")
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if order or os.environ.get("MLFLOW_TRACKING_URI"):
        _tracked(lake, release, digest, order, scratch)
    else:
        learn(lake, release, scratch)
    scratch.rename(place)
    print(f"trained from {release}: {place}", file=sys.stderr)
    return True


def _run(order: Order) -> Any:
    """The MLflow run that an order names."""
    import mlflow

    mlflow.set_tracking_uri(order["tracking_uri"])
    return mlflow.get_run(order["run_id"])


def _tracked(lake: str, release: str, digest: str, order: Order | None, into: Path) -> None:
    """Train within one MLflow run: the one that was ordered, or that of this release, which is found by its tag where it was cut off."""
    import mlflow

    if order:
        run = {"run_id": order["run_id"]}
    else:
        mlflow.set_experiment(release.rpartition("/")[0])
        begun = mlflow.search_runs(filter_string=f"tags.digest = '{digest}'", output_format="list")
        run = {"run_id": begun[0].info.run_id} if begun else {}
    with mlflow.start_run(**run, tags={"digest": digest}, run_name=release) as active:
        model, rows, told = learn(lake, release, into)
        mlflow.log_params({"release": release, "rows": rows.num_rows})
        mlflow.log_metrics(told)
        if order and not mlflow.MlflowClient().search_model_versions(f"run_id = '{active.info.run_id}'"):
            _register(model, rows, order["model"])


def _register(model: Pipeline, rows: pa.Table, name: str) -> None:
    """As the next version of the model: what the launcher judges."""
    import mlflow

    mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name=name,
        signature=mlflow.models.infer_signature(inputs(rows)),
        skops_trusted_types=["numpy.dtype"],
        pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
        pyfunc_predict_fn="predict_proba",
    )


def polled(asked: argparse.Namespace) -> None:
    """Ask the lake for releases that were not trained from yet, every so many seconds."""
    model, _, label = asked.follow.partition("/")
    while True:
        for one in releases(asked.lake, model, label):
            once(asked.lake, asked.state, one.name, one.digest)
        if asked.once:
            return
        time.sleep(asked.every)


def ordered(asked: argparse.Namespace) -> None:
    """Train from what each message of the topic orders; it counts as taken when that is done."""
    for order in _orders(asked.brokers, asked.topic, once=asked.once):
        once(asked.lake, asked.state, order["release"], order["digest"], order)


def _orders(brokers: str, topic: str, *, once: bool) -> Iterator[Order]:
    """The orders that no member of the group has taken, as they come. One is taken when the next is asked for."""
    from confluent_kafka import Consumer, KafkaException

    config = {"bootstrap.servers": brokers, "group.id": GROUP, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    # training may take hours, and nobody else shall begin it meanwhile; who is killed is replaced soon
    consumer = Consumer(config | {"max.poll.interval.ms": 86_400_000, "session.timeout.ms": 10_000})
    consumer.subscribe([topic])
    try:
        consumer.list_topics(timeout=PATIENCE)  # where no broker answers, it says so
        while True:
            message = consumer.poll(PATIENCE)
            if message is None:
                if once and consumer.assignment():
                    return
                continue
            if error := message.error():
                raise SystemExit(f"{brokers}, topic {topic}: {error.str()}")
            if order := _order(message.value() or b""):
                yield order
            else:
                print(f"topic {topic}, partition {message.partition()}, offset {message.offset()}: no order, passed over", file=sys.stderr)
            consumer.commit(message=message, asynchronous=False)
    except KafkaException as error:
        raise SystemExit(f"{brokers}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _order(said: bytes) -> Order | None:
    """What a message orders; None for one that says less than that."""
    try:
        order = json.loads(said)
    except ValueError:
        return None
    named = isinstance(order, dict) and all(isinstance(order.get(name), str) for name in ORDERED)
    return order if named else None


def main(words: list[str] | None = None) -> None:
    """`python -m pipelines.retrain.consumer --lake demo --state trained --follow arrival_delay/late`."""
    parser = argparse.ArgumentParser(description="train from each release once")
    parser.add_argument("--lake", required=True, help="the folder of the lake")
    parser.add_argument("--state", required=True, type=Path, help="a folder for what was trained, and to know it by")
    parser.add_argument("--follow", metavar="MODEL/LABEL", help="ask the lake for releases of this label")
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS", help="between two questions (60)")
    parser.add_argument("--brokers", metavar="HOST:PORT", help="be told by a Kafka topic instead")
    parser.add_argument("--topic", help="the topic of orders: retrain.topic of the model file")
    parser.add_argument("--once", action="store_true", help="end when nothing is left to do")
    asked = parser.parse_args(words)
    try:
        if asked.brokers and asked.topic:
            ordered(asked)
        elif asked.follow:
            polled(asked)
        else:
            parser.error("name --follow MODEL/LABEL, or --brokers and --topic")
    except HindsightError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
