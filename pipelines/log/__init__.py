"""The log: records in, positions out."""

from pipelines.log.embedded import EmbeddedLog

__all__ = ["EmbeddedLog"]
