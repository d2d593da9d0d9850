"""MLflow: one run per attempt however its server answers, versions that name their trigger, aliases that move or do not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipelines.errors import InputError, MachineError, first_line
from pipelines.extras import extra

TRIGGER, ATTEMPT = "hindsight.trigger_id", "hindsight.attempt"
RELEASE, DIGEST, RUN, VERSION = "hindsight.release", "hindsight.digest", "hindsight.run_id", "hindsight.version"
CHAMPION, CHALLENGER = "champion", "challenger"
TRIES = 8
"""How often the server is asked before it counts as unreachable."""
PAUSE = 0.2
"""Seconds before the second try; each further pause is twice as long."""
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_ALREADY_EXISTS")
"""Refusals that may not come again; the last since another has made the same meanwhile."""
Value = TypeVar("Value")


class Tracking:
    """A tracking server and its registry; without one named by $MLFLOW_TRACKING_URI a database within the lake."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "_mlflow"
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.folder / 'mlflow.db'}"
        if self.uri.startswith("sqlite"):
            self.folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # answers go there, such as JSON
        mlflow = extra("mlflow")
        try:
            with hushed():
                self.client: Any = mlflow.MlflowClient(self.uri)
        except Exception as error:  # it opens a database at once, and passes on what that says
            raise self._unreachable(error) from error
        self._errors = (mlflow.exceptions.MlflowException, OSError)
        self._experiments: dict[str, str] = {}

    def run_of(self, experiment: str, trigger_id: str, attempt: int, tags: Mapping[str, str]) -> str:
        """The one run of an attempt: found by its tags, or made. Raises MachineError `tracking_unreachable`.

        Making one is not idempotent, and a request that seemed lost may have done its work, or yet do it. So it is never repeated
        blindly: what is there is looked for before each try. What a late request made beside it never started, and is deleted, here or
        by `sweep`.
        """
        of = self.experiment(experiment)
        told: Exception | None = None
        for attempted in range(TRIES):
            found = self.runs(experiment, trigger_id, attempt)
            if found:
                return self.only(found)
            try:
                with _once():
                    self.client.create_run(of, tags={**tags, TRIGGER: trigger_id, ATTEMPT: str(attempt)})
            except self._errors as error:
                told = error
                time.sleep(PAUSE * 2**attempted)
        raise self._unreachable(told) from told

    def runs(self, experiment: str, trigger_id: str, attempt: int) -> list[Any]:
        """Every run of an attempt that was not deleted: the one that a target may have, since it has its release, then the oldest first."""
        wanted = f"tags.`{TRIGGER}` = {_quoted(trigger_id)} and tags.`{ATTEMPT}` = '{attempt}'"
        found = self._asked(lambda: self.client.search_runs([self.experiment(experiment)], wanted, max_results=100))
        return sorted(found, key=lambda run: (RELEASE not in run.data.tags, run.info.start_time, run.info.run_id))

    def only(self, found: list[Any]) -> str:
        """Delete all but the first of an attempt's runs, and name that."""
        for run in found[1:]:
            self._asked(partial(self._delete, run.info.run_id))
        return str(found[0].info.run_id)

    def sweep(self, experiment: str, started: Mapping[tuple[str, str], str]) -> list[str]:
        """Delete the runs that late requests made beside those that were started, by trigger and attempt; their ids."""
        wanted = f"attributes.status = 'RUNNING' and tags.`{ATTEMPT}` LIKE '%'"
        found = self._asked(lambda: self.client.search_runs([self.experiment(experiment)], wanted, max_results=1000))
        late = []
        for run in found:
            kept = started.get((run.data.tags[TRIGGER], run.data.tags[ATTEMPT]))
            if kept not in (None, run.info.run_id):
                self._asked(partial(self._delete, run.info.run_id))
                late.append(str(run.info.run_id))
        return late

    def _delete(self, run_id: str) -> None:
        if self.client.get_run(run_id).info.lifecycle_stage == "active":
            self.client.delete_run(run_id)

    def log_release(self, run_id: str, release: str, digest: str) -> None:
        """The release as the run's dataset, by its digest; the same again changes nothing."""
        entities = extra("mlflow.entities")
        source = f'{{"release": "{release}"}}'
        dataset = entities.Dataset(name=release, digest=digest[:36], source_type="hindsight", source=source)
        self._asked(lambda: self.client.log_inputs(run_id, [entities.DatasetInput(dataset)]))
        tags = [entities.RunTag(RELEASE, release), entities.RunTag(DIGEST, digest)]
        self._asked(lambda: self.client.log_batch(run_id, tags=tags))

    def status(self, run_id: str) -> tuple[str, float]:
        """A run's status (RUNNING, FINISHED, FAILED, KILLED …), and the seconds since 1970 at which it was made."""
        run = self._asked(lambda: self.client.get_run(run_id))
        return str(run.info.status), run.info.start_time / 1000

    def fail(self, run_id: str) -> None:
        """A run that did not end by itself."""
        self._asked(lambda: self.client.set_terminated(run_id, "KILLED"))

    def version_of(self, run_id: str) -> tuple[str, str] | None:
        """Name and version of the model that a run registered, the first where there are several; None for none."""
        found = self._asked(lambda: list(self.client.search_model_versions(f"run_id = {_quoted(run_id)}")))
        first = min(found, key=lambda one: int(one.version), default=None)
        return None if first is None else (str(first.name), str(first.version))

    def link(self, model: str, version: str, run_id: str, tags: Mapping[str, str]) -> None:
        """Version and run name each other, and the version its trigger and release."""
        for name, value in {**tags, RUN: run_id}.items():
            self.tag(model, version, name, value)
        self._asked(lambda: self.client.set_tag(run_id, VERSION, f"{model}/{version}"))

    def tag(self, model: str, version: str, name: str, value: str) -> None:
        self._asked(lambda: self.client.set_model_version_tag(model, version, name, value))

    def alias(self, model: str, alias: str) -> str | None:
        """The version that an alias names; None for none, as of a model that is not registered."""
        return self._asked(partial(self._alias, model, alias))

    def _alias(self, model: str, alias: str) -> str | None:
        try:
            return str(self.client.get_model_version_by_alias(model, alias).version)
        except self._errors as error:
            if getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def move(self, model: str, alias: str, version: str) -> None:
        """One call of the registry; the same again changes nothing."""
        self._asked(lambda: self.client.set_registered_model_alias(model, alias, version))

    def drop(self, model: str, alias: str) -> None:
        def gone() -> None:
            if self._alias(model, alias) is not None:
                self.client.delete_registered_model_alias(model, alias)

        self._asked(gone)

    def model(self, model: str, version: str) -> Any:
        """A version as a pyfunc."""
        with self.spoken_to() as mlflow:
            return self._asked(lambda: mlflow.pyfunc.load_model(f"models:/{model}/{version}"))

    @contextmanager
    def spoken_to(self) -> Iterator[Any]:
        """The module mlflow, whose functions know no client: meanwhile they speak to this server."""
        mlflow, before = extra("mlflow"), os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(self.uri)
        try:
            yield mlflow
        finally:
            mlflow.set_tracking_uri(before)

    def experiment(self, name: str) -> str:
        """Its id; made where it is missing, once: names are unique."""

        def found() -> str:
            there = self.client.get_experiment_by_name(name)
            if there is None:
                place = str(self.folder / "artifacts" / name) if self.uri.startswith("sqlite") else None
                return str(self.client.create_experiment(name, place))
            if there.lifecycle_stage != "active":
                raise InputError(
                    "experiment_deleted", f"{self.uri}: the experiment {name} is deleted. Restore it, or name another: retrain.experiment"
                )
            return str(there.experiment_id)

        if name not in self._experiments:
            self._experiments[name] = self._asked(found)
        return self._experiments[name]

    def _asked(self, call: Callable[[], Value]) -> Value:
        """What the server answers to a call that may be repeated. Raises MachineError `tracking_unreachable`."""
        told: Exception | None = None
        for attempted in range(TRIES):
            try:
                with _once():
                    return call()
            except self._errors as error:
                told = error
                if getattr(error, "error_code", _PASSING[0]) not in _PASSING:
                    break
                if attempted < TRIES - 1:
                    time.sleep(PAUSE * 2**attempted)
        raise self._unreachable(told) from told

    def _unreachable(self, told: Exception | None) -> MachineError:
        file = self.uri.startswith("sqlite")
        ask = "Is the file whole? If not, bring it back from a backup." if file else "Is it up, and does $MLFLOW_TRACKING_URI name it?"
        found = first_line(told)[:300] if told else "no answer"
        return MachineError(
            "tracking_unreachable",
            f"{self.uri}: MLflow did not do what was asked ({found}). {ask} The next `hindsight launch` goes on from here.",
        )


@contextmanager
def hushed() -> Iterator[None]:
    """MLflow does not say what it makes and registers meanwhile, nor what it warns of; what fails is raised all the same."""
    stream = extra("mlflow.utils.logging_utils").MLFLOW_LOGGING_STREAM
    stream.write = lambda _: None  # it has a switch, which other parts of MLflow turn on again
    try:
        yield
    finally:
        vars(stream).pop("write", None)


@contextmanager
def _once() -> Iterator[None]:
    """MLflow's own repetitions off: it repeats what is not idempotent too."""
    before = os.environ.get(_RETRIES)
    os.environ[_RETRIES] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_RETRIES]
        else:
            os.environ[_RETRIES] = before


def _quoted(text: str) -> str:
    """A text in a filter, which knows no escapes. Raises InputError `not_quotable`."""
    for quote in "'\"":
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise InputError("not_quotable", f"{text!r} holds both kinds of quotes, so that no run can be searched by it")
