"""`python -m pipelines` and spark-submit."""

from pipelines.cli import main

raise SystemExit(main())
