"""The independent verifier: everything once more from the raw log alone, by other means, compared with the lake.

Nothing here imports what the pipeline parses or transforms with. The log is read as SQLite and Arrow, JSON by the
standard library, policies are plain Python, sums are DuckDB's; definitions come from the log's control events.
"""

from pipelines.verify.report import Difference, Report
from pipelines.verify.verification import verify

__all__ = ["Difference", "Report", "verify"]
