"""The path of a number, on demand: from a metric to its statistics, entries, events and log positions; and back from an event.

Tables are read as files, so an answer takes seconds and needs neither Spark nor a stopped application.
"""

from pipelines.explain.event import event
from pipelines.explain.metric import metric
from pipelines.explain.outcome import outcome
from pipelines.explain.sources import Sources

__all__ = ["Sources", "event", "metric", "outcome"]
