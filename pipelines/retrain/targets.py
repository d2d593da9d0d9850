"""Where training may run elsewhere: a function per target, which hands a run over and says nothing of how it ends.

Whoever trains reports to the MLflow run that is named in the order (MLFLOW_RUN_ID), and registers the model from it.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.errors import MachineError
from pipelines.extras import extra
from pipelines.outgoing import OPENER
from pipelines.retrain.declared import Retrain
from pipelines.secret import secret

TOKEN = "HINDSIGHT_RETRAIN_TOKEN"
TIMEOUT = 30
"""Seconds that a target may take to answer."""
Order = Mapping[str, str]
"""trigger_id, attempt, run_id, model, label, release, digest, experiment, tracking_uri."""


def databricks(retrain: Retrain, order: Order) -> None:
    """A run of a job; exactly once for 60 days, by the idempotency token."""
    body = {"job_id": int(retrain.job), "idempotency_token": key(order), "job_parameters": dict(order)}
    _post(f"{retrain.url.rstrip('/')}/api/2.1/jobs/run-now", body, _bearer(retrain))


def airflow(retrain: Retrain, order: Order) -> None:
    """A run of a DAG; exactly once: its id is the trigger's, and 409 says that it is there."""
    body = {"dag_run_id": key(order), "logical_date": None, "conf": dict(order)}
    _post(f"{retrain.url.rstrip('/')}/api/v2/dags/{retrain.dag}/dagRuns", body, _bearer(retrain), also=(409,))


def webhook(retrain: Retrain, order: Order) -> None:
    """A POST; at least once: after a crash it is sent again, with the same Idempotency-Key."""
    _post(retrain.url, dict(order), {**_bearer(retrain), "Idempotency-Key": key(order)})


def kafka(retrain: Retrain, order: Order) -> None:
    """A message, keyed by the trigger; at least once: after a crash it is sent again.

    Raises MachineError `target_refused` or `extra_missing`.
    """
    told: list[Any] = []
    known = {"bootstrap.servers": retrain.url, "enable.idempotence": True, "message.timeout.ms": TIMEOUT * 1000}
    # what it would print, it tells
    producer = extra("confluent_kafka", "kafka").Producer(known | {"log_level": 0, "error_cb": told.append})
    taken: list[bool] = []
    producer.produce(
        retrain.topic, json.dumps(dict(order)).encode(), key(order).encode(), on_delivery=lambda error, _: taken.append(error is None)
    )
    producer.flush(TIMEOUT + 1)
    if taken != [True]:
        raise _refused(f"{retrain.url}, topic {retrain.topic}", told[0].str() if told else "no answer")


TARGETS: dict[str, Callable[[Retrain, Order], None]] = {
    "databricks": databricks, "airflow": airflow, "webhook": webhook, "kafka": kafka
}


def key(order: Order) -> str:
    """What makes an order one and the same."""
    return f"{order['trigger_id']}-{order['attempt']}"


def _bearer(retrain: Retrain) -> dict[str, str]:
    """The secret, from the environment or a file. Raises ConfigError `token_unreadable`."""
    token = secret(TOKEN, retrain.token_file, "retrain.token_file", "token_unreadable")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _post(url: str, body: Mapping[str, Any], headers: Mapping[str, str], *, also: tuple[int, ...] = ()) -> None:
    """Raises MachineError `target_refused`."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method="POST")
    try:
        with OPENER.open(request, timeout=TIMEOUT):
            return
    except urllib.error.HTTPError as error:
        with error:
            told = f"{error.code} {error.read(300).decode('utf-8', 'replace')}"
        if error.code not in also:
            raise _refused(url, told) from error
    except OSError as error:
        raise _refused(url, str(error)) from error


def _refused(where: str, told: str) -> MachineError:
    return MachineError(
        "target_refused",
        f"{where}: the order to train was not taken ({told}). The next `hindsight launch` sends it again, as the same order.",
    )
