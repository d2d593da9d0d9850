"""`python -m tests.reliability`: run the card. Exit code 1 when a check fails, 2 for wrong input."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import cache
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines import console
from pipelines import settings as configuration
from pipelines.session import build
from tests.lakes import CONF
from tests.reliability import card
from tests.reliability.check import Check, Result


def main(words: list[str] | None = None) -> int:
    asked = _parser().parse_args(words)
    checks = [check for check in card.CHECKS if not asked.only or check.id in asked.only]
    with (
        tempfile.TemporaryDirectory(prefix="hindsight-card-", ignore_cleanup_errors=True) as scratch,
        console.bar() as bar,
    ):
        task = bar.add_task("", total=len(checks))

        @cache
        def session() -> SparkSession:
            return build(configuration.load(CONF), app="hindsight-card", log=Path(scratch) / "spark.log")

        def told(check: Check, result: Result | None) -> None:
            if result is None:
                bar.update(task, description=check.id)
            else:
                bar.advance(task)
                bar.console.print(f"{'pass' if result.passed else 'FAIL'}  {check.id:<10} {result.seconds:>7.1f} s")

        results = card.run(checks, session, asked.out, seed=asked.seed, full=asked.full, again=asked.again, told=told)
        if session.cache_info().currsize:
            session().stop()
    print(json.dumps(card.summary(results), indent=2) if asked.json else card.table(checks, results))
    for result in results:
        for missed in result.missed:
            print(f"{result.id}: {missed}", file=sys.stderr)
    return 0 if all(result.passed for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.reliability",
        description="Run the card of checks. What is finished is kept in a folder and not run again.",
        epilog="example: python -m tests.reliability --only torture --out /tmp/card",
    )
    known = [check.id for check in card.CHECKS]
    parser.add_argument("--full", action="store_true", help="the full sizes (some hours) instead of the short ones")
    parser.add_argument(
        "--only", action="append", choices=known, metavar="ID", help=f"one of {', '.join(known)}; repeatable"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("card"), help="folder of the results (default: card)")
    parser.add_argument("--again", action="store_true", help="run finished checks again")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
