"""Datasets: releases of training examples, each a manifest over rows that never change, out of gold.examples. No Spark anywhere.

`release.py` is the whole of it on a page: what stands as of a time (`standing.py`), what of that is a candidate (`candidates.py`),
what is drawn (`sampling.py`) and where it goes (`splitting.py`); `manifest.py` is what is kept of it.
"""

from pipelines.dataset.inputs import inputs
from pipelines.dataset.loading import load, releases
from pipelines.errors import HindsightError

__all__ = ["HindsightError", "inputs", "load", "releases"]
