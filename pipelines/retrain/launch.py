"""The outbox: what each trigger still needs is done step by step, and each step is written down before the next.

A launcher that dies at any point leaves a row too few; the next one does that step again, and every step finds what was done of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from pipelines.dataset.manifest import Manifest
from pipelines.definition import Definition
from pipelines.errors import CheckError, ConfigError, HindsightError, InputError, MachineError, StateError
from pipelines.lake import Lake
from pipelines.retrain import decide, project
from pipelines.retrain.declared import Acceptance, Retrain, declared
from pipelines.retrain.held_out import judge
from pipelines.retrain.ledger import CLOSED, ENDED, Row, append, first, histories, triggers
from pipelines.retrain.losses import greatest
from pipelines.retrain.targets import TARGETS
from pipelines.retrain.tracking import CHAMPION, DIGEST, RELEASE, TRIGGER, Tracking

LEASE = "launch"
"""One launcher at a time."""
ENDED_RUN = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Loop:
    """What a launcher works with.

    `models`: the folder of the model files. `cut`: makes the release of a model and a label as of a time, the same again for the same.
    `held_out`: the rows of a release's test split.
    """

    lake: Lake
    models: Path
    definitions: Sequence[Definition]
    tracking: Tracking
    cut: Callable[[str, str, datetime], Manifest]
    held_out: Callable[[str], pa.Table]

    @property
    def folder(self) -> Path:
        """Where runs on this machine leave what they say."""
        return self.tracking.folder / "runs"

    def declared(self, model: str) -> tuple[Retrain, Acceptance]:
        """Raises ConfigError `no_retrain`."""
        found = declared(self.models, model)
        if found is None:
            raise ConfigError("no_retrain", f"{self.models}: no model file of {model} has a section [retrain]. Add one.")
        return found

    def definition(self, row: Row) -> Definition:
        """Raises ConfigError `unknown_label`."""
        for one in self.definitions:
            if (one.model, one.label) == (row["model"], row["label"]) and one.policy:
                return one
        found = f'{self.models}: the model {row["model"]} declares no label "{row["label"]}"'
        raise ConfigError("unknown_label", f"{found}; name one of its labels: retrain.label")


def turn(loop: Loop, told: Callable[[Row], None] = lambda _: None) -> list[Row]:
    """Everything that can be done now, trigger by trigger; the steps that were taken.

    Of one model one challenger at a time: a trigger waits until the one before it is decided. Raises MachineError
    `tracking_unreachable` at once; `target_refused`, and StateError where somebody holds a lease, when all others have had their turn.
    """
    known, done, troubles = histories(loop.lake), list[Row](), list[HindsightError]()
    last = {name: steps[-1] for name, steps in known.items()}
    _sweep(loop, known)

    def take(taken: Iterator[Row]) -> None:
        try:
            for row in taken:
                last[row["trigger_id"]] = row
                done.append(row)
                told(row)
        except (MachineError, StateError) as error:
            if error.code == "tracking_unreachable":
                raise
            troubles.append(error)

    for row in list(last.values()):
        take(_advance(loop, row))
    for trigger in triggers(loop.lake):
        busy = any(row["model"] == trigger["model"] and row["step"] not in CLOSED for row in last.values())
        if trigger["trigger_id"] not in known and not busy and declared(loop.models, trigger["model"]):
            take(_begin(loop, trigger, 1))
    if troubles:
        raise troubles[0]
    return done


def _sweep(loop: Loop, known: dict[str, list[Row]]) -> None:
    """Delete what requests for a run that were answered too late have made by now."""
    runs: dict[str, dict[tuple[str, str], str]] = {}
    for row in (row for steps in known.values() for row in steps if row["step"] == "started"):
        found = declared(loop.models, row["model"])
        if found:
            runs.setdefault(found[0].experiment, {})[row["trigger_id"], str(row["attempt"])] = row["run_id"]
    for experiment, started in runs.items():
        loop.tracking.sweep(experiment, started)


def waiting(lake: Lake) -> tuple[list[Row], list[Row]]:
    """What a turn would go on with, by its last step, and the triggers that it would claim."""
    known = histories(lake)
    begun = [steps[-1] for steps in known.values() if steps[-1]["step"] not in ENDED]
    return begun, [trigger for trigger in triggers(lake) if trigger["trigger_id"] not in known]


def retry(loop: Loop, trigger_id: str, told: Callable[[Row], None] = lambda _: None) -> list[Row]:
    """Another attempt for a trigger that failed or was refused. Raises InputError `unknown_trigger` or `not_to_be_retried`."""
    known = histories(loop.lake)
    if trigger_id not in known:
        raise InputError("unknown_trigger", f"no retraining was begun for the trigger {trigger_id}; `hindsight loop` lists them")
    last = known[trigger_id][-1]
    if last["step"] not in ("failed", "refused"):
        raise InputError("not_to_be_retried", f"{trigger_id} is {last['step']}; what failed or was refused can be tried again")
    done = []
    for row in _begin(loop, last, last["attempt"] + 1):
        told(row)
        done.append(row)
    return done


def _begin(loop: Loop, trigger: Row, attempt: int) -> Iterator[Row]:
    """Claim a trigger, and go on with it."""
    label = loop.declared(trigger["model"])[0].label or trigger["label"]
    row = append(loop.lake, "claimed", first({**trigger, "label": label}, attempt))
    yield row
    yield from _advance(loop, row)


def _advance(loop: Loop, row: Row) -> Iterator[Row]:
    """Take the steps after this one, as far as they can be taken now."""
    after: Row | None = row
    while after is not None:
        row = after
        if row["step"] not in _NEXT:
            return
        try:
            after = _NEXT[row["step"]](loop, row)
        except (InputError, ConfigError, CheckError) as error:
            after = _failed(loop, row, str(error))
        if after is not None:
            yield after


def _failed(loop: Loop, row: Row, reason: str) -> Row:
    return append(loop.lake, "failed", row, reason=reason)


def _release(loop: Loop, row: Row) -> Row:
    """Cut the rows to learn from, as of the time of the trigger: whoever does it again gets the same ones.

    Raises InputError `no_training_rows`, where an embargo has left none of them to learn from, and ConfigError `loss_unfit`, before
    anything is trained that could not be judged.
    """
    greatest(loop.definition(row), loop.declared(row["model"])[1])
    manifest = loop.cut(row["model"], row["label"], row["known_at"])
    if not manifest.splits["train"]:
        found = ", ".join(f"{count:,} {name}" for name, count in manifest.splits.items())
        advice = f"expected some to train on: a longer window or a shorter embargo in [dataset.{row['label']}]"
        raise InputError("no_training_rows", f"the release {manifest.name} has {found} rows; {advice}.")
    return append(loop.lake, "released", row, release=manifest.name, digest=manifest.digest)


def _start(loop: Loop, row: Row) -> Row:
    """One run, which knows its release, and a target that has it. Raises ConfigError `no_project`, before there is a run."""
    retrain, _ = loop.declared(row["model"])
    if retrain.target == "local":
        project.named(retrain)
    tags = {"mlflow.runName": f"{row['model']} {row['trigger']}", "hindsight.model": row["model"]}
    run_id = loop.tracking.run_of(retrain.experiment, row["trigger_id"], row["attempt"], tags)
    loop.tracking.log_release(run_id, row["release"], row["digest"])
    if loop.tracking.status(run_id)[0] in ENDED_RUN:
        pass  # a launcher that died before it could write this down has seen to it
    elif retrain.target == "local":
        project.begin(loop.folder, run_id, retrain, _given(loop, row), loop.tracking.uri)
    else:
        names = ("trigger_id", "attempt", "model", "label", "release", "digest")
        order = {name: str(row[name]) for name in names} | {"run_id": run_id, "experiment": retrain.experiment}
        TARGETS[retrain.target](retrain, order | {"tracking_uri": loop.tracking.uri, "lake": str(loop.lake.root)})
    return append(loop.lake, "started", row, run_id=run_id)


def _given(loop: Loop, row: Row) -> dict[str, str]:
    """The parameters of the project's entry point."""
    policy = loop.definition(row).policy
    said = {name: row[name] for name in ("release", "model")}
    return {"lake": str(loop.lake.root), **said, "kind": policy.type if policy else ""}


def _train(loop: Loop, row: Row) -> Row | None:
    """What the run came to; None while another target is at work on it."""
    retrain, _ = loop.declared(row["model"])
    tracking, run_id = loop.tracking, row["run_id"]
    status, began = tracking.status(run_id)
    in_time = True
    if retrain.target != "local":
        in_time = time.time() - began < retrain.timeout.total_seconds()
        if in_time and status not in ENDED_RUN:
            return None
    elif status not in ENDED_RUN:
        project.begin(loop.folder, run_id, retrain, _given(loop, row), tracking.uri)
        in_time = project.wait(loop.folder, run_id, retrain.timeout)
        status, _ = tracking.status(run_id)
    if status == "FINISHED":
        return _trained(loop, row)
    if status != "FAILED":
        tracking.fail(run_id)
    late = f"took longer than {retrain.timeout}, and was ended [training_timeout]"
    why = f"ended as {status} [training_failed]" if in_time else late
    return _broken_off(loop, row, why)


def _broken_off(loop: Loop, row: Row, why: str) -> Row:
    """That a run came to nothing: why, what it said last, and where the rest lies."""
    said = project.output(loop.folder, row["run_id"]) or "(what it said lies where it ran)"
    return _failed(loop, row, f"run {row['run_id']} {why}\n{said}")


def _trained(loop: Loop, row: Row) -> Row:
    """The version that a finished run registered; both, trigger and release name each other."""
    found = loop.tracking.version_of(row["run_id"])
    if found is None or found[0] != row["model"]:
        what = "no model" if found is None else f"the model {found[0]}"
        advice = f'expected mlflow.sklearn.log_model(…, registered_model_name="{row["model"]}") or the like'
        return _broken_off(loop, row, f"finished and registered {what}; {advice} [no_model]")
    tags = {TRIGGER: row["trigger_id"], RELEASE: row["release"], DIGEST: row["digest"]}
    loop.tracking.link(row["model"], found[1], row["run_id"], tags)
    return append(loop.lake, "trained", row, version=found[1], champion=loop.tracking.alias(row["model"], CHAMPION))


def _judge(loop: Loop, row: Row) -> Row:
    """Hold the challenger against the champion, on the release's test split; outcomes of later may still decide otherwise."""
    _, acceptance = loop.declared(row["model"])
    rows = loop.held_out(row["release"])
    return judge(loop.lake, loop.tracking, row, rows, definition=loop.definition(row), acceptance=acceptance)


_NEXT: dict[str, Callable[[Loop, Row], Row | None]] = {
    "claimed": _release,
    "released": _start,
    "started": _train,
    "trained": _judge,
    "judged": lambda loop, row: decide.decide(loop.lake, loop.tracking, row, loop.declared(row["model"])[1], loop.definition(row)),
    "promoted": lambda loop, row: decide.settle(loop.lake, row, loop.declared(row["model"])[1], loop.definition(row)),
}
