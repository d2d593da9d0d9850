"""The launcher with a real MLflow: one run per trigger, a version that names it, an alias that moves or not, and back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli, leases
from pipelines.errors import CheckError, InputError, MachineError
from pipelines.extras import extra
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake
from pipelines.retrain import launch, project
from pipelines.retrain.launch import Loop, retry, turn
from pipelines.retrain.ledger import histories
from pipelines.retrain.tables import RETRAININGS
from pipelines.retrain.tracking import ATTEMPT, CHALLENGER, CHAMPION, TRIGGER, Tracking, _quoted
from pipelines.unforeseen import named
from pipelines.watch.tables import TRIGGERS
from tests.frames import at
from tests.launching import POINTS
from tests.retraining import Released, examples, fill, frontier, held_out, loop_of, model_file, steps, trigger

PROJECT = Path(__file__).parent / "project"
CONF = Path(__file__).parent.parent / "conf"
# what MLflow's own libraries deprecate is theirs to mend
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty tracking store: to make one takes seconds."""
    root = tmp_path_factory.mktemp("empty")
    Tracking(root).client.search_experiments()
    return root / "_mlflow" / "mlflow.db"


@pytest.fixture
def root(database: Path, tmp_path: Path) -> Path:
    """A lake without anything but an empty tracking store."""
    (tmp_path / "lake" / "_mlflow").mkdir(parents=True)
    shutil.copy(database, tmp_path / "lake" / "_mlflow" / "mlflow.db")
    return tmp_path / "lake"


def ready(root: Path, entry: str = "main", *, acceptance: str = "", more: str = "", fired: int = 1) -> Loop:
    """A launcher before whom triggers have fired."""
    models = root.parent / "models"
    definition = model_file(models, f'project = "{PROJECT}"\nentry = "{entry}"\n{more}', acceptance)
    lake = Lake(root)
    fill(lake, TRIGGERS, [trigger(f"t{i + 1}", known_at=at(i)) for i in range(fired)])
    return loop_of(root, models, [definition])


def taken(loop: Loop) -> list[str]:
    return [row["step"] for history in histories(loop.lake).values() for row in history]


def runs(loop: Loop) -> list[Any]:
    return loop.tracking.runs("loop", "t1", 1)


def test_a_bad_challenger_is_refused(root: Path) -> None:
    loop = ready(root, "bad")
    assert list(steps(turn(loop))) == ["claimed", "released", "started", "trained", "judged", "refused"]
    assert turn(loop) == []
    assert histories(loop.lake)["t1"][-1]["reason"].startswith("worse")
    assert [loop.tracking.alias("m", alias) for alias in (CHAMPION, CHALLENGER)] == [None, None]


@pytest.mark.parametrize(
    ("entry", "told", "most"),
    [
        pytest.param("crashing", "[training_failed]\nno column named price", 120, id="crashing"),
        pytest.param("hanging", "[training_timeout]", 4, id="hanging"),
        pytest.param("modelless", "[no_model]", 120, marks=pytest.mark.long, id="modelless"),
    ],
)
def test_a_training_that_goes_wrong_fails_the_trigger_and_says_why(
    root: Path, entry: str, told: str, most: int, command: Any
) -> None:
    loop = ready(root, entry)
    path = loop.models / "m.toml"
    path.write_text(path.read_text().replace("2 minutes", f"{most} seconds"))
    assert list(steps(turn(loop))) == ["claimed", "released", "started", "failed"]
    failed = histories(loop.lake)["t1"][-1]
    assert told in failed["reason"]
    assert turn(loop) == []
    assert len(runs(loop)) == 1
    assert project.at_work(loop.folder, failed["run_id"]) is None
    assert loop.tracking.client.search_registered_models() == []
    told_people = command("loop", people=True)[1]
    assert f"{failed['run_id']}.log" in told_people.replace("\n", "")
    assert told.splitlines()[-1] in told_people
    assert "hindsight launch --retry t1" in told_people


def test_a_project_that_is_not_there_fails_the_trigger_by_its_name(root: Path) -> None:
    loop = ready(root)
    model_file(loop.models, 'project = "nowhere/trian"')
    assert list(steps(turn(loop))) == ["claimed", "released", "failed"]
    reason = histories(loop.lake)["t1"][-1]["reason"]
    assert "[no_project]" in reason
    assert f"retrain.project: there is no folder {Path('nowhere/trian').absolute()}" in reason
    assert runs(loop) == []


def test_a_release_that_is_refused_fails_the_trigger_starts_no_run_and_can_be_retried(root: Path) -> None:
    loop = ready(root)

    def cut(*_: Any) -> Any:
        raise CheckError("gate_failed", "origin: 3 rows")

    loop = Loop(loop.lake, loop.models, loop.definitions, loop.tracking, cut, loop.held_out)
    assert list(steps(turn(loop))) == ["claimed", "failed"]
    assert "[gate_failed]" in histories(loop.lake)["t1"][-1]["reason"]
    assert turn(loop) == []
    assert [(row["step"], row["attempt"]) for row in retry(loop, "t1")] == [("claimed", 2), ("failed", 2)]
    assert taken(loop) == ["claimed", "failed"] * 2
    assert runs(loop) == []


def test_a_release_that_leaves_nothing_to_train_on_fails_the_trigger_and_starts_no_run(root: Path) -> None:
    loop = ready(root)
    loop = replace(loop, cut=lambda *_: Released("m/late/1", "d", {"train": 0, "test": 180}))
    assert list(steps(turn(loop))) == ["claimed", "failed"]
    assert "0 train, 180 test rows" in histories(loop.lake)["t1"][-1]["reason"]
    assert "[no_training_rows]" in histories(loop.lake)["t1"][-1]["reason"]
    assert runs(loop) == []


def test_a_loss_by_which_nothing_could_be_judged_fails_the_trigger_before_anything_is_trained(root: Path) -> None:
    loop = ready(root, acceptance='loss = "absolute"')
    assert list(steps(turn(loop))) == ["claimed", "failed"]
    assert "[loss_unfit]" in histories(loop.lake)["t1"][-1]["reason"]
    assert runs(loop) == []


def test_a_run_that_registers_no_model_fails_the_trigger_which_is_tried_again_in_another(root: Path) -> None:
    loop = ready(root, "crashing")
    run_id = loop.tracking.run_of("loop", "t1", 1, {})
    loop.tracking.client.set_terminated(run_id, "FINISHED")
    launch.append(loop.lake, "started", launch.first(trigger(), 1) | {"release": "m/late/1", "digest": "d"}, run_id=run_id)
    assert list(steps(turn(loop))) == ["failed"]
    assert "[no_model]" in histories(loop.lake)["t1"][-1]["reason"]
    assert list(steps(retry(loop, "t1"))) == ["claimed", "released", "started", "failed"]
    assert "[training_failed]" in histories(loop.lake)["t1"][-1]["reason"]
    assert [len(loop.tracking.runs("loop", "t1", attempt)) for attempt in (1, 2)] == [1, 1]


def test_killed_at_every_point_a_launcher_leaves_one_run_and_every_step_once(root: Path) -> None:
    loop = ready(root)
    before = registered(loop, "1")
    command = [sys.executable, "-m", "tests.launchers", str(root), str(loop.models), *POINTS]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr[-3000:]
    assert taken(loop) == ["claimed", "released", "started", "trained", "judged", "promoted"]
    assert loop.lake.read(RETRAININGS).num_rows == 6
    assert len(runs(loop)) == len(loop.tracking.client.search_model_versions("name = 'm'")) - before == 1
    links_both_ways(loop, histories(loop.lake)["t1"][-1])


def registered(loop: Loop, champion: str | None, versions: int = 1) -> int:
    """Register versions that nothing was trained for; how many."""
    loop.tracking.client.create_registered_model("m")
    for _ in range(versions):
        loop.tracking.client.create_model_version("m", "nowhere")
    if champion:
        loop.tracking.move("m", CHAMPION, champion)
    return versions


def links_both_ways(loop: Loop, row: dict[str, Any]) -> None:
    """Run, version, alias, trigger and release name each other."""
    (run,) = runs(loop)
    version = loop.tracking.client.get_model_version_by_alias("m", CHAMPION)
    assert (row["run_id"], row["version"], row["champion"]) == (run.info.run_id, str(version.version), "1")
    assert (run.data.tags["hindsight.version"], version.tags["hindsight.run_id"]) == ("m/2", run.info.run_id)
    assert run.data.tags[TRIGGER] == version.tags[TRIGGER] == version.tags["hindsight.promoted_by"] == "t1"
    assert (version.tags["hindsight.replaces"], version.tags["hindsight.release"]) == ("1", row["release"])
    (dataset,) = [one.dataset for one in run.inputs.dataset_inputs]
    assert (dataset.name, dataset.digest) == (row["release"], row["digest"])
    assert row["estimate"] < row["high"] < 0


class Lossy:
    """A client whose answers to create_run are lost after the work was done; all else is MLflow's own."""

    def __init__(self, client: Any, losses: int) -> None:
        self._client, self._losses = client, losses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def create_run(self, *given: Any, **named: Any) -> Any:
        made = self._client.create_run(*given, **named)
        self._losses -= 1
        if self._losses >= 0:
            raise ConnectionError("the answer was lost")
        return made


@pytest.mark.parametrize("losses", [0, 1])
def test_a_run_whose_making_was_not_answered_is_found_and_not_made_again(root: Path, losses: int) -> None:
    tracking = Tracking(root)
    tracking.client = Lossy(tracking.client, losses)
    first = tracking.run_of("loop", "t1", 1, {})
    assert tracking.run_of("loop", "t1", 1, {}) == first
    assert [run.info.run_id for run in tracking.runs("loop", "t1", 1)] == [first]


def late(tracking: Tracking) -> str:
    """A run that a request made of which nobody waited for the answer."""
    experiment = tracking.client.get_experiment_by_name("loop").experiment_id
    return str(tracking.client.create_run(experiment, start_time=1, tags={TRIGGER: "t1", ATTEMPT: "1"}).info.run_id)


def test_what_a_late_request_made_is_deleted_and_not_what_a_target_has(root: Path) -> None:
    tracking = Tracking(root)
    first = tracking.run_of("loop", "t1", 1, {})
    tracking.log_release(first, "m/late/1", "d")
    beside = late(tracking)
    assert tracking.run_of("loop", "t1", 1, {}) == first
    assert tracking.client.get_run(beside).info.lifecycle_stage == "deleted"


def test_what_comes_still_later_is_swept_at_the_next_turn(root: Path) -> None:
    tracking = Tracking(root)
    first = tracking.run_of("loop", "t1", 1, {})
    assert tracking.sweep("loop", {("t1", "1"): first}) == []
    beside = late(tracking)
    assert tracking.sweep("loop", {("t2", "1"): "another"}) == []
    assert tracking.sweep("loop", {("t1", "1"): first}) == [beside]
    assert [run.info.run_id for run in tracking.runs("loop", "t1", 1)] == [first]


@pytest.mark.parametrize("text", ["t'1", 't"1', "t1"])
def test_a_trigger_is_searched_by_its_id_whatever_that_holds(root: Path, text: str) -> None:
    tracking = Tracking(root)
    run_id = tracking.run_of("loop", text, 1, {})
    assert [run.info.run_id for run in tracking.runs("loop", text, 1)] == [run_id]
    assert tracking.runs("loop", "other", 1) == []
    with pytest.raises(InputError):
        _quoted("'\"")


def test_a_server_that_is_not_there_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("pipelines.retrain.tracking.PAUSE", 0.0)
    with pytest.raises(MachineError) as refused:
        Tracking(root).run_of("loop", "t1", 1, {})
    assert refused.value.code == "tracking_unreachable"


def test_a_tracking_store_that_is_damaged_is_named(root: Path) -> None:
    (root / "_mlflow" / "mlflow.db").write_bytes(b"x" * 5000)
    with pytest.raises(MachineError) as refused:
        Tracking(root)
    assert refused.value.code == "tracking_unreachable"
    assert "backup" in refused.value.message


def test_a_full_disk_under_the_tracking_store_is_told_as_such(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise extra("mlflow").exceptions.MlflowException("(sqlite3.OperationalError) database or disk is full")

    tracking = Tracking(root)
    monkeypatch.setattr("pipelines.retrain.tracking.PAUSE", 0.0)
    monkeypatch.setattr(tracking.client, "get_experiment_by_name", full)
    with pytest.raises(MachineError) as refused:
        tracking.run_of("loop", "t1", 1, {})
    assert refused.value.code == "tracking_unreachable"
    assert named(refused.value).code == "disk_full"


def trained(root: Path, acceptance: str, champion: str | None = None) -> tuple[Loop, dict[str, Any]]:
    """A loop that stands after the judgement of version 2; the versions are registered, and nothing was trained for them."""
    loop = ready(root, acceptance=acceptance)
    registered(loop, champion, 2)
    row = launch.first(trigger(), 1) | {"release": "m/late/1", "version": "2", "champion": champion}
    launch.append(loop.lake, "trained", row)
    return loop, launch.append(loop.lake, "judged", row, verdict="accept", reason="held out")


def shadow(loop: Loop, says: float, count: int = 300) -> None:
    """Mature outcomes of version 1, all yes, with what version 2 said in the shadow."""
    (definition,) = loop.definitions
    rows = examples(definition, [1.0] * count, score=[0.5] * count, scores=[{"shadow.2": says}] * count)
    fill(loop.lake, EXAMPLES, rows)
    frontier(loop.lake)


@pytest.mark.parametrize(("says", "step"), [(0.9, "promoted"), (0.1, "refused"), (0.5, None)])
def test_in_the_shadow_live_outcomes_decide(root: Path, says: float, step: str | None) -> None:
    loop, _ = trained(root, 'live = "shadow"', "1")
    assert turn(loop) == []
    shadow(loop, says)
    assert next(steps(turn(loop)), None) == step
    assert loop.tracking.alias("m", CHAMPION) == ("2" if step == "promoted" else "1")
    if step:
        assert histories(loop.lake)["t1"][-1]["support"] == 300


@pytest.mark.parametrize(("says", "step"), [(0.9, "promoted"), (0.1, "refused")])
def test_in_a_canary_live_outcomes_decide(root: Path, says: float, step: str) -> None:
    loop, _ = trained(root, 'live = "canary"\nleast_propensity = 0.5', "1")
    (definition,), new = loop.definitions, [i % 2 == 0 for i in range(2000)]
    arm = [{"canary": {"arm": "new" if one else "old", "unit_id": None, "propensity": 0.5}} for one in new]
    served = {"score": [says if one else 0.5 for one in new], "version": ["2" if one else "1" for one in new], "experiments": arm}
    fill(loop.lake, EXAMPLES, examples(definition, [1.0] * 2000, **served))
    frontier(loop.lake)
    assert next(steps(turn(loop))) == step


def test_a_champion_that_somebody_moved_is_not_replaced_by_what_was_not_judged_against_it(root: Path) -> None:
    loop, _ = trained(root, "", None)
    loop.tracking.move("m", CHAMPION, "1")
    assert list(steps(turn(loop))) == ["refused"]
    assert "was not judged against" in histories(loop.lake)["t1"][-1]["reason"]
    assert loop.tracking.alias("m", CHAMPION) == "1"


def test_a_promotion_is_settled_by_what_the_version_before_says_in_its_shadow(root: Path) -> None:
    loop, row = trained(root, "", "1")
    assert list(steps(turn(loop))) == ["promoted"]
    (definition,) = loop.definitions
    count = 300
    new = examples(definition, [1.0] * count, score=[0.9] * count, scores=[{"shadow.1": 0.5}] * count, version=["2"] * count)
    fill(loop.lake, EXAMPLES, new)
    frontier(loop.lake)
    (settled,) = turn(loop)
    assert (settled["step"], settled["verdict"], settled["support"]) == ("settled", "helped", count)
    assert settled["estimate"] == pytest.approx(0.01 - 0.25)
    assert row["step"] == "judged"


def test_of_one_model_one_challenger_at_a_time_and_only_triggers_that_stand(root: Path) -> None:
    loop, _ = trained(root, 'live = "shadow"', "1")
    others = [trigger("t2", known_at=at(1)), trigger("t3", state="awaiting"), trigger("t4", known_at=at(2))]
    fill(loop.lake, TRIGGERS, [*others, trigger("t4", state="overturned", known_at=at(3))], batch=1)
    assert turn(loop) == []
    begun, new = launch.waiting(loop.lake)
    assert ([row["trigger_id"] for row in begun], [row["trigger_id"] for row in new]) == (["t1"], ["t2"])


def test_a_target_that_refuses_holds_up_no_other_model(root: Path) -> None:
    loop = ready(root)
    path = loop.models / "m.toml"
    path.write_text(path.read_text().replace("[retrain]", '[retrain]\ntarget = "webhook"\nurl = "http://127.0.0.1:9"'))
    other = model_file(loop.models, name="n")
    fill(loop.lake, TRIGGERS, [trigger("t2", model="n", known_at=at(1))], batch=1)

    def cut(model: str, *given: Any) -> Any:
        if model == "n":
            raise InputError("unknown_label", "never")
        return loop.cut(model, *given)

    both = Loop(loop.lake, loop.models, [*loop.definitions, other], loop.tracking, cut, loop.held_out)
    with pytest.raises(MachineError) as refused:
        turn(both)
    assert refused.value.code == "target_refused"
    assert taken(loop) == ["claimed", "released", "claimed", "failed"]
    assert len(runs(loop)) == 1


def test_a_paused_trigger_is_not_claimed(root: Path) -> None:
    loop = ready(root)
    fill(loop.lake, TRIGGERS, [trigger("", state="paused", known_at=at(1))], batch=1)
    assert turn(loop) == []


def test_what_waits_for_approval_is_acted_on_once_it_has_that_and_once_only(root: Path, command: Any) -> None:
    loop = ready(root, fired=0)
    model_file(loop.models, 'project = "nowhere"')
    fill(loop.lake, TRIGGERS, [trigger(state="awaiting")])
    frontier(loop.lake)
    assert turn(loop) == []
    decided = ("triggers", "approve", "t1", "--who", "ann", "--why", "checked")
    assert command(*decided, "--dry-run")[1]["state"] == "approved"
    assert turn(loop) == []
    assert command(*decided)[0] == 0
    refused = command(*decided)[1]
    assert (refused["error"], "Waiting: none" in refused["message"]) == ("not_awaiting", True)
    assert list(steps(turn(loop))) == ["claimed", "released", "failed"]
    assert turn(loop) == []


@pytest.mark.parametrize(("code", "trigger_id"), [("unknown_trigger", "t9"), ("not_to_be_retried", "t1")])
def test_what_cannot_be_retried_is_refused(root: Path, code: str, trigger_id: str) -> None:
    loop, _ = trained(root, 'live = "shadow"', "1")
    with pytest.raises(InputError) as refused:
        retry(loop, trigger_id)
    assert refused.value.code == code


@pytest.fixture
def command(root: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command answers, as JSON; the lake has a log."""
    (root / "_log").mkdir(exist_ok=True)
    (root / "_log" / "log.sqlite").write_bytes(b"a log")

    def run(*words: str, people: bool = False) -> tuple[int, Any]:
        code = cli.main([*words, "--lake", str(root), "--conf", str(CONF), *([] if people else ["--json"])])
        printed = capsys.readouterr().out
        return code, printed if people else json.loads(printed)

    return run


def test_the_commands_tell_the_loop_and_roll_it_back(root: Path, command: Any, tmp_path: Path) -> None:
    loop, _ = trained(root, "", "1")
    turn(loop)
    assert command("launch", "--dry-run")[1]["goes_on"][0]["step"] == "promoted"
    code, found = command("loop", "--plot", str(tmp_path / "loop.png"))
    assert (code, [row["step"] for row in found]) == (0, ["trained", "judged", "promoted"])
    assert "1 → 2" in command("loop", people=True)[1]
    assert (tmp_path / "loop.png").stat().st_size > 1000
    assert command("rollback", "--model", "m", "--dry-run")[1]["step"] == "rolled_back"
    assert loop.tracking.alias("m", CHAMPION) == "2"
    began = time.monotonic()
    assert command("rollback", "--model", "m")[0] == 0
    assert time.monotonic() - began < 5
    assert loop.tracking.alias("m", CHAMPION) == "1"
    code, refused = command("rollback", "--model", "m")
    assert (code, refused["error"]) == (5, "nothing_to_roll_back")


def test_a_second_launcher_is_refused(root: Path, command: Any) -> None:
    code = f"from pipelines import leases; import time, pathlib\nwith leases.hold_by_process(pathlib.Path({str(root)!r}), ['launch'], 'x'):"
    code += "\n print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        code, refused = command("launch", "--once")
        assert (code, refused["error"]) == (5, "lease_held")
        other.kill()
    assert leases.holder(root, "launch") is None


def test_the_held_out_rows_know_what_their_names_say() -> None:
    assert Counter(held_out()["label"].to_pylist()).keys() == {0.0, 1.0}
