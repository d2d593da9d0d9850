"""What a challenger is held against on the rows that were held out: the champion, which need not be who served them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import count

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from pipelines.lake import Lake
from pipelines.retrain import launch
from pipelines.retrain.declared import Acceptance
from pipelines.retrain.held_out import judge
from pipelines.retrain.tables import RETRAININGS
from pipelines.retrain.tracking import Tracking
from tests.frames import at
from tests.retraining import held_out, model_file, trigger

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]
ROWS = held_out()
EVERY, EVEN = ROWS.num_rows, ROWS.num_rows // 2
Judged = Callable[[str | None, Sequence[str]], tuple[str, float, str]]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """The verdict on version 1, its estimate, and against what, by the champion and by who served.

    Version 1 is good, version 2 has no model, version 3 is as good, and was trained when all that was held out had been served. Whoever
    served said 0.5 of everything.
    """
    folder, triggers = tmp_path_factory.mktemp("against"), count(2)
    definition, lake, tracking = model_file(folder / "models"), Lake(folder / "lake"), Tracking(folder / "lake")
    lake.create(RETRAININGS)
    seen = pd.DataFrame({"x": [value / 10 for value in range(-20, 21)]})
    model = LogisticRegression(C=10).fit(seen, [value > 0 for value in range(-20, 21)])
    with tracking.spoken_to() as mlflow, mlflow.start_run(experiment_id=tracking.experiment("loop")) as run:
        said = {"signature": mlflow.models.infer_signature(seen), "pip_requirements": [], "pyfunc_predict_fn": "predict_proba"}
        mlflow.sklearn.log_model(model, name="model", registered_model_name="m", **said)
    tracking.client.create_model_version("m", "nowhere")
    with tracking.spoken_to():
        tracking.client.create_model_version("m", tracking.client.get_model_version("m", "1").source)
    launch.append(lake, "trained", launch.first(trigger(known_at=at(1)), 1) | {"version": "3", "champion": "1"})

    def verdict(champion: str | None, served_by: Sequence[str]) -> tuple[str, float, str]:
        row = launch.first(trigger(f"t{next(triggers)}"), 1) | {"version": "1", "champion": champion, "run_id": run.info.run_id}
        rows = ROWS.set_column(ROWS.column_names.index("version"), "version", [list(served_by)])
        found = judge(lake, tracking, row, rows, definition=definition, acceptance=Acceptance(support=100))
        against = json.loads(found["evidence"])["against"]
        assert against in found["reason"]
        return found["verdict"], found["estimate"], against

    return verdict


def test_what_others_served_is_no_measure_where_the_champion_can_be_asked(judged: Judged) -> None:
    # the champion is as good as the challenger, for it is the same
    assert judged("1", ["0"] * EVERY) == ("refuse", 0.0, "version 1, which served 0 of them and was asked about the others")


def test_of_what_the_champion_served_itself_counts_what_it_said_then(judged: Judged) -> None:
    state, estimate, against = judged("1", ["1", "0"] * EVEN)
    assert (state, against) == ("accept", f"version 1, which served {EVEN} of them and was asked about the others")
    assert estimate == pytest.approx(judged(None, ["0"] * EVERY)[1] / 2, abs=0.01)
    assert judged("2", ["2"] * EVERY)[::2] == ("accept", "version 2, as served")


def test_what_was_served_under_its_number_before_the_champion_was_trained_is_not_its_word(judged: Judged) -> None:
    assert judged("3", ["3"] * EVERY) == ("refuse", 0.0, "version 3, which served 0 of them and was asked about the others")


def test_what_was_served_counts_where_there_is_no_champion_or_none_that_can_be_asked(judged: Judged) -> None:
    state, estimate, against = judged(None, ["0"] * EVERY)
    assert (state, estimate < -0.05, against) == ("accept", True, "what was served (there is no champion)")
    state, same, against = judged("2", ["0"] * EVERY)
    assert (state, same) == ("accept", estimate)
    assert against.startswith("what was served (the champion cannot be asked: version 2 cannot be loaded: No such artifact")
