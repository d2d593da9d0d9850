"""What Prometheus is shown when it asks: the newest values of metrics, and how jobs, quarantine, alerts and sinks stand.

Nothing is sent and nothing is kept, so there is nothing to lose or to repeat: an answer is the state of the lake as it is read. Labels
are bounded by what model files declare, and by `sinks.series`; a part that cannot be read is left out, and says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from threading import Lock
from time import monotonic
from typing import Any

from pipelines.extras import extra
from pipelines.gold.tables import FRONTIERS, STATISTICS
from pipelines.lake import Lake
from pipelines.page.sections import quarantine, versions
from pipelines.page.sums import Kept
from pipelines.settings import Settings
from pipelines.silver.reasons import REASONS
from pipelines.silver.tables import CONTROLS, QUARANTINE
from pipelines.sinks.newest import Sample, newest
from pipelines.sinks.told import addressed, now
from pipelines.status import status
from pipelines.watch.incidents import OPEN, incidents
from pipelines.watch.tables import ALERTS

FAMILIES = {
    "hindsight_quality": "A metric of the newest window; of state final, which only a correction still moves, or provisional.",
    "hindsight_quality_low": "Lower end of its 95 % interval.",
    "hindsight_quality_high": "Upper end of its 95 % interval.",
    "hindsight_quality_judged": "How many judged units the metrics of that window rest on; of the service, requests.",
    "hindsight_quality_window_end_timestamp_seconds": "When that window ended, by the time of serving.",
    "hindsight_quality_series_left_out": "Series of metrics that are not shown, since there are more than sinks.series.",
    "hindsight_frontier_timestamp_seconds": "The time up to which everything is processed.",
    "hindsight_log_records": "Records in the log.",
    "hindsight_job_running": "Whether an application runs the job.",
    "hindsight_job_lag_events": "What waits in the job's source.",
    "hindsight_job_lag_seconds": "How long the oldest of it has waited.",
    "hindsight_quarantined_records": "Records that could not be taken in, by reason.",
    "hindsight_redriven_records": "Of the quarantined, those that were sent again.",
    "hindsight_open_alerts": "Incidents of a model's alert that are open.",
    "hindsight_sink_running": "Whether a process tells the sink.",
    "hindsight_sink_failing": "Whether the last try to tell the sink failed.",
    "hindsight_sink_lag_revisions": "Versions of what the sink follows that it has not been told.",
    "hindsight_sink_lag_seconds": "By how much the lake is ahead of what the sink has been told; absent before it was told anything.",
    "hindsight_sink_refused": "What the sink has refused for good.",
    "hindsight_readable": "Whether this part of the answer could be read.",
}
"""Every family with its meaning; all are gauges."""
Samples = Iterator[Sample]


class Exposition:
    """The answers of one lake, for several who ask at once."""

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self._settings, self._lake, self._kept = settings, lake, Kept(lake)
        self._lock = Lock()
        self._held: dict[str, tuple[Any, list[Sample]]] = {}
        self._last, self._begun = list[Sample](), 0.0

    def samples(self) -> list[Sample]:
        """All of them; a part is read again only when there is something new for it.

        Who had to wait gets what was begun to be read after they asked: where reading takes longer than the scraper lets pass between two
        questions, they do not pile up.
        """
        parts: dict[str, tuple[tuple[str, ...], Callable[[], Samples]]] = {
            "metrics": ((STATISTICS.name, FRONTIERS.name, CONTROLS.name), self._metrics),
            "jobs": ((), self._jobs),
            "quarantine": ((QUARANTINE.name, CONTROLS.name), self._quarantine),
            "alerts": ((ALERTS.name,), self._alerts),
        }
        asked = monotonic()
        with self._lock:
            if self._begun <= asked:
                self._begun = monotonic()
                at = versions(self._lake)
                self._last = [one for name, (of, read) in parts.items() for one in self._part(name, [at[table] for table in of], read)]
            return self._last

    def _part(self, name: str, versions: list[int], read: Callable[[], Samples]) -> list[Sample]:
        held = self._held.get(name)
        try:
            found = held[1] if held and versions and held[0] == versions else list(read())
            self._held[name] = (versions, found)
        except Exception as error:  # damaged, or being replaced: the other parts are worth as much as before
            print(f"hindsight exporter: {name}: {error}", file=sys.stderr, flush=True)
            return [("hindsight_readable", {"part": name}, 0.0)]
        return [*found, ("hindsight_readable", {"part": name}, 1.0)]

    def _metrics(self) -> Samples:
        until = now(self._lake)
        if until is not None:
            yield from newest(self._kept, until, self._settings.sinks.every, self._settings.sinks.series)

    def _jobs(self) -> Samples:
        found = status(self._lake.root, addressed(self._settings.sinks))
        if found.frontier is not None:
            yield "hindsight_frontier_timestamp_seconds", {}, found.frontier.timestamp()
        yield "hindsight_log_records", {}, float(found.log_end)
        for job in found.jobs:
            about = {"name": job.job}  # Prometheus calls `job` what it scrapes
            yield "hindsight_job_running", about, float(job.running)
            yield "hindsight_job_lag_events", about, float(job.lag_events)
            yield "hindsight_job_lag_seconds", about, job.lag_seconds
        for sink in found.sinks:
            about = {"sink": sink.sink}
            yield "hindsight_sink_running", about, float(sink.running)
            yield "hindsight_sink_failing", about, float(bool(sink.error))
            yield "hindsight_sink_lag_revisions", about, float(sink.lag_revisions)
            if sink.lag_seconds is not None:
                yield "hindsight_sink_lag_seconds", about, sink.lag_seconds
            yield "hindsight_sink_refused", about, float(sink.refused)

    def _quarantine(self) -> Samples:
        found = {row["reason"]: row for row in quarantine(self._lake, None)["rows"]}
        for reason in sorted({*REASONS, *found}):  # those of which there is none yet too: growth is counted from 0
            row = found.get(reason, {"records": 0, "redriven": 0})
            yield "hindsight_quarantined_records", {"reason": reason}, float(row["records"])
            yield "hindsight_redriven_records", {"reason": reason}, float(row["redriven"])

    def _alerts(self) -> Samples:
        found: dict[tuple[str, str, str], int] = {}
        for one in incidents(self._lake.read(ALERTS).to_pylist()) if self._lake.exists(ALERTS) else ():
            about = (one.model, one.label, one.rule)
            found[about] = found.get(about, 0) + (one.state == OPEN)
        for (model, label, rule), count in sorted(found.items()):
            yield "hindsight_open_alerts", {"model": model, "label": label, "rule": rule}, float(count)


class Collector:
    """Samples as the library of Prometheus asks for them."""

    def __init__(self, samples: Callable[[], list[Sample]]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Any]:
        """A family each, the samples of which lie together."""
        metric = extra("prometheus_client", "sinks").Metric
        found = {name: metric(name, meaning, "gauge") for name, meaning in FAMILIES.items()}
        for name, labels, value in self._samples():
            found[name].add_sample(name, {label: said for label, said in labels.items() if said}, value)
        yield from (family for family in found.values() if family.samples)


def registry(samples: Callable[[], list[Sample]]) -> Any:
    """What answers with samples. Raises MachineError `extra_missing`."""
    made = extra("prometheus_client", "sinks").CollectorRegistry(auto_describe=False)
    made.register(Collector(samples))
    return made
