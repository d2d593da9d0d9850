"""The command `hindsight`: what can be asked, and how a mistake is told. What it does: `commands.py`, `questions.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from textwrap import fill

from pipelines import (
    commands,
    datasets,
    erasures,
    exporting,
    gating,
    questions,
    redriving,
    repairs,
    retraining,
    serving,
    sinking,
    topics,
    watching,
)
from pipelines.arguments import Commands as _Commands
from pipelines.arguments import Parser, count, folder, instant, offset, pair, positive, utf8
from pipelines.arguments import command as _command
from pipelines.arguments import grouped as _parser
from pipelines.definition import GRAINS
from pipelines.jobs import NAMES
from pipelines.unforeseen import tell

DESCRIPTION = (
    "Hindsight, the feedback lakehouse: inference logs and late feedback become exact, revisable quality metrics."
)

IMPORTED = (
    "It says of each file: records, appended now, of which inferences and feedback; not events, records without a known "
    "kind, which will be quarantined; already there, appended by an earlier import of the same file; blank lines; and "
    "unlabelled, rows of a mapping of labels alone that have none yet."
)


def parser() -> Parser:
    """Every command with its options and an example."""
    top = Parser(
        prog="hindsight",
        description=DESCRIPTION,
        epilog="example: hindsight demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.set_defaults(run=None, json=False)
    known = top.add_subparsers(metavar="COMMAND", title="commands")
    for add in (
        *(_demo, _run, _status, _metrics, _outcomes, _explain, _verify, watching.add, gating.add, datasets.add),
        *(_maintain, _repair, _reconcile, redriving.add, _rebuild, erasures.add, _import, _schema, _model, _doctor),
        *(serving.add, topics.add, sinking.add, exporting.add, retraining.add_loop, retraining.add_launch, retraining.add_rollback),
    ):
        add(known)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 a check failed, 2 wrong usage or input, 3 settings, 4 machine, 5 state of the lake."""
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows another, and no answer is lost by it
    top = parser()
    try:
        asked = top.parse_args([utf8(word) for word in words])
        if asked.run is None:
            top.print_help()
            return 2
        return int(asked.run(asked))
    except KeyboardInterrupt:
        print("hindsight: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        return tell(error, as_json="--json" in words)


def _demo(known: _Commands) -> None:
    command = _command(
        known, "demo", commands.demo, "judge a model of January on the real flights of 2013", "hindsight demo --days 7"
    )
    command.add_argument("--loop", action="store_true", help="train it again when it fades: the whole year, with the loop on and off")
    command.add_argument("--days", type=int, metavar="N", help="days of 2013 to replay, 1 to 351 (28; with --loop 351)")
    command.add_argument(
        "--speed", type=positive, metavar="X", help="pace, in times that of 2013 (as fast as possible)"
    )
    command.add_argument("--keep", type=folder, metavar="DIR", help="lay the lake there, in place of an earlier demo (./demo)")


def _run(known: _Commands) -> None:
    command = _command(known, "run", commands.run, "start the jobs, until Ctrl-C", "hindsight run --once")
    command.add_argument("jobs", nargs="*", metavar="JOB", help=f"which jobs: {', '.join(NAMES)} (all)")
    command.add_argument("--once", action="store_true", help="process what is there and stop")


def _metrics(known: _Commands) -> None:
    command = _command(
        known,
        "metrics",
        questions.metrics,
        "how good is it: metrics by window and segment, as of any time",
        "hindsight metrics --model arrival_delay --label late --every '1 day' --by origin --plot auc.png",
    )
    command.add_argument("--model", help="one model (all)")
    command.add_argument("--label", help='one label (all); "" for the service itself')
    command.add_argument(
        "--every", default="1 hour", help="width of a window: '15 minutes', '1 day', '7 days' (1 hour)"
    )
    command.add_argument("--sliding", metavar="WIDTH", help="windows of this width, one starting every --every")
    command.add_argument(
        "--by", action="append", default=[], metavar="FIELD", help="version, or a segment; again for more"
    )
    command.add_argument("--as-of", type=instant, metavar="TIME", help="what could be known then, such as 2013-01-25 (the frontier)")
    command.add_argument("--start", type=instant, metavar="TIME", help="only windows from then on")
    command.add_argument("--end", type=instant, metavar="TIME", help="only windows up to then")
    command.add_argument("--mature", action="store_true", help="count silence past the attribution window")
    command.add_argument("--definition", metavar="HASH", help="an earlier definition (the newest)")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw it too: .png, .svg or .html")
    command.add_argument("--metric", action="append", default=[], metavar="NAME", help="which columns; again for more")


def _outcomes(known: _Commands) -> None:
    command = _command(
        known,
        "outcomes",
        questions.outcomes,
        "what became of it: the current belief about each prediction, the newest first",
        "hindsight outcomes --model arrival_delay --label late --as-of 2013-01-25 --limit 20",
    )
    command.add_argument("--model", help="one model (all)")
    command.add_argument("--label", help="one label (all)")
    command.add_argument("--request", metavar="ID", help="the beliefs about one request (all)")
    command.add_argument("--as-of", type=instant, metavar="TIME", help="what could be known then (all that is known)")
    command.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")


def _explain(known: _Commands) -> None:
    meaning = "the path of a number: from a metric, an outcome or an event to the entries and the log"
    top = _parser(known, "explain", meaning, "hindsight explain event --offset 296")
    kinds = top.add_subparsers(metavar="WHAT", title="what", required=True)
    _explain_metric(kinds)
    outcome = _command(
        kinds,
        "outcome",
        questions.explain_outcome,
        "which votes an outcome rests on, and why the others do not count",
        "hindsight explain outcome --request 2013-01-14-B6-22-JFK-SYR-2249 --label late",
    )
    outcome.add_argument("--request", required=True, metavar="ID", help="the request")
    outcome.add_argument("--item", metavar="ID", help="one item of its slate (all, and the request itself)")
    outcome.add_argument("--label", help="one label (all)")
    outcome.add_argument("--as-of", type=instant, metavar="TIME", help="what could be known then (all that is known)")
    event = _command(
        kinds,
        "event",
        questions.explain_event,
        "where an event went, or why it was refused",
        "hindsight explain event --id 2013-01-14-B6-22-JFK-SYR-2249",
    )
    which = event.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", metavar="ID", help="its request_id or feedback_id")
    which.add_argument("--offset", type=offset, metavar="N", help="its offset in the log")


def _explain_metric(kinds: _Commands) -> None:
    command = _command(
        kinds,
        "metric",
        questions.explain_metric,
        "the statistics, entries and events that a metric of one cell rests on",
        "hindsight explain metric --model arrival_delay --label late --metric auc --cell 2013-01-15T22:00Z",
    )
    command.add_argument("--model", required=True, help="the model")
    command.add_argument("--label", required=True, help='the label; "" for the service itself')
    command.add_argument("--metric", required=True, metavar="NAME", help="auc, accuracy, coverage ...")
    command.add_argument("--cell", required=True, type=instant, metavar="TIME", help="a time within the cell")
    command.add_argument("--grain", default="1 hour", choices=tuple(GRAINS), help="width of the cell (1 hour)")
    command.add_argument(
        "--segment", action="append", default=[], type=pair, metavar="FIELD=VALUE", help="a segment; again for more"
    )
    command.add_argument("--version", metavar="NAME", help="one version of the model (all)")
    command.add_argument("--as-of", type=instant, metavar="TIME", help="what could be known then, such as 2013-01-25 (the frontier)")
    command.add_argument("--mature", action="store_true", help="count silence past the attribution window")
    command.add_argument("--limit", type=count, default=20, metavar="N", help="rows behind it to show (20)")


def _verify(known: _Commands) -> None:
    command = _command(
        known, "verify", commands.verify, "compute everything again from the log, and compare", "hindsight verify"
    )
    command.add_argument("--since", type=instant, metavar="TIME", help="only cells that start then or later (all)")
    command.add_argument(
        "--as-of", type=instant, action="append", metavar="TIME", help="compare as of then too; again for more"
    )


def _maintain(known: _Commands) -> None:
    command = _command(
        known,
        "maintain",
        commands.maintain,
        "compact small files, checkpoint table logs",
        "hindsight maintain --dry-run",
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be done")


def _rebuild(known: _Commands) -> None:
    command = _command(
        known,
        "rebuild",
        repairs.rebuild,
        "make all tables and checkpoints again from the log, beside the old ones, compare, and replace them; or, of a model whose "
        "file has changed, compute what is new in it for the past too, and verify",
        "hindsight rebuild --model arrival_delay --dry-run",
    )
    command.add_argument("--model", metavar="NAME", help="only what the file of this model declares anew, beside the old numbers")
    command.add_argument("--dry-run", action="store_true", help="say what would be done")


def _reconcile(known: _Commands) -> None:
    command = _command(
        known,
        "reconcile",
        repairs.reconcile,
        "find now, not at the next turn, what came too late for the join, and move the frontier",
        "hindsight reconcile --dry-run",
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be found, and write nothing")


def _repair(known: _Commands) -> None:
    command = _command(
        known,
        "repair",
        repairs.repair,
        "mend what is damaged without processing anything again: the log from what has landed, checksums, leftovers",
        "hindsight repair --dry-run",
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be done")


def _import(known: _Commands) -> None:
    command = _command(
        known,
        "import",
        commands.import_,
        "append files (NDJSON, CSV, Parquet, or - for stdin) to the log",
        "hindsight import history.parquet --mapping conf/models/churn.import.toml --claimed --frontier",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="files, or - for NDJSON on standard input")
    command.add_argument(
        "--mapping", type=Path, metavar="FILE", help="which columns are which fields: NAME.import.toml"
    )
    command.add_argument("--claimed", action="store_true", help="history: each record says when it was received")
    command.add_argument("--frontier", action="store_true", help="with --claimed: nothing older is to come")
    command.add_argument("--to", choices=("log", "kafka"), default="log", help="kafka: send them to the topic of the settings instead")
    command.description = fill(f"{command.description} {IMPORTED}", 100)


def _schema(known: _Commands) -> None:
    command = _command(known, "schema", commands.schema, "the JSON Schema of an event", "hindsight schema inference")
    command.add_argument("kind", choices=("inference", "feedback", "control"), help="kind of event")


def _model(known: _Commands) -> None:
    example = "hindsight model init churn --from predictions.csv"
    top = _parser(known, "model", "write the files by which a model of yours is taken in", example)
    kinds = top.add_subparsers(metavar="WHAT", title="what", required=True)
    meaning = (
        "look at a file of predictions or labels, and write conf/models/NAME.toml (what to measure) and "
        "NAME.import.toml (which column is which field), with what is missing marked TODO"
    )
    command = _command(kinds, "init", commands.model, meaning, example)
    command.add_argument("name", metavar="NAME", help="name of the model")
    command.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="FILE", help="CSV, Parquet or NDJSON"
    )
    command.add_argument("--labels", type=Path, metavar="FILE", help="labels that lie in a file of their own, and name the prediction's id")


def _status(known: _Commands) -> None:
    _command(known, "status", commands.status, "how every job stands", "hindsight status --json")


def _doctor(known: _Commands) -> None:
    meaning = "check the machine (Java, jars, ports, disk), and whether the lake is what was written"
    command = _command(known, "doctor", commands.doctor, meaning, "hindsight doctor --quick")
    command.add_argument("--quick", action="store_true", help="read no data file and no state, only what tells of them")
