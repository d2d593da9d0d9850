"""Who says what of a flight: the registry's champion serves it, others score it in the shadow, the first version always."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.demo import model
from pipelines.demo.sender import Said
from pipelines.errors import StateError
from pipelines.extras import extra
from pipelines.retrain.ledger import Row
from pipelines.retrain.losses import SHADOW
from pipelines.retrain.tracking import CHALLENGER, CHAMPION, Tracking, hushed

FIRST = model.VERSION
"""The version fitted on 1 to 14 January: it scores every flight, in the shadow of whatever serves, as if there were no loop."""
_TEXTS = ("carrier", "dest", "origin")


@dataclass(frozen=True)
class Serving:
    """The versions that score, as loaded from the registry, and which of them serves; `texts`: the features taken as text."""

    champion: str
    models: Mapping[str, Any]
    texts: Sequence[str]

    @property
    def shadows(self) -> list[str]:
        """The versions in the shadow: all that do not serve, and the first though it may."""
        return [version for version in self.models if version == FIRST or version != self.champion]

    def says(self, flights: pd.DataFrame) -> list[Said]:
        """What is said of each flight, to six decimals."""
        rows = features(flights, self.texts)
        found = {version: np.round(loaded.predict(rows)[:, -1], 6).tolist() for version, loaded in self.models.items()}
        return [
            Said(self.champion, score, {SHADOW + version: found[version][at] for version in self.shadows})
            for at, score in enumerate(found[self.champion])
        ]


def features(flights: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """What a model sees of flights, as a release has it: numbers as doubles, and the others, with `texts`, as texts."""
    named = {*_TEXTS, *texts}
    return flights[sorted(model.FEATURES)].astype({name: str if name in named else float for name in model.FEATURES})


def serving(tracking: Tracking, ledger: Mapping[str, Sequence[Row]], texts: Sequence[str], loaded: dict[str, Any]) -> Serving:
    """Who scores from now on: the champion, the first version, a challenger under judgement, and whom the champion has replaced
    until it is settled whether that helped. `loaded` keeps the models. Raises StateError `no_champion`.
    """
    champion = tracking.alias(model.NAME, CHAMPION)
    if champion is None:
        raise StateError("no_champion", f"{tracking.uri}: no version of {model.NAME} is the champion; start the demo again")
    last = [steps[-1] for steps in ledger.values()]
    replaced = [row["champion"] for row in last if (row["step"], row["version"]) == ("promoted", champion)]
    wanted = dict.fromkeys(filter(None, [FIRST, champion, *replaced, tracking.alias(model.NAME, CHALLENGER)]))
    for version in wanted:
        if version not in loaded:
            loaded[version] = tracking.model(model.NAME, version)
    return Serving(champion, {version: loaded[version] for version in wanted}, texts)


def register_first(tracking: Tracking, flights: pd.DataFrame, at: pd.Timestamp, experiment: str, texts: Sequence[str]) -> None:
    """Fit the first version on the flights that have arrived before a time, by the script that fits the later ones; make it champion."""
    train = extra("pipelines.retrain.train")
    arrived = flights[flights.arrived_at < at]
    learnt = features(arrived, texts).assign(label=(arrived.delay >= model.LATE).astype(float), weight=1.0)
    rows = pa.Table.from_pandas(learnt, preserve_index=False)
    fitted = train.fit(rows, "binary")
    called = f"{model.NAME} of January"
    with tracking.spoken_to() as mlflow, mlflow.start_run(experiment_id=tracking.experiment(experiment), run_name=called):
        mlflow.log_params({"rows": rows.num_rows, "until": str(at)})
        with hushed():
            train.register(fitted, rows, model.NAME, "binary")
    tracking.move(model.NAME, CHAMPION, FIRST)
