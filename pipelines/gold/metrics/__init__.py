"""Metrics: one small file per family; `METRICS` is all of them. Adding one is adding it to its family's tuple."""

from pipelines.gold.metrics.catalogue import METRICS

__all__ = ["METRICS"]
