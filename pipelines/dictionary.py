"""The data dictionary: the part of `data/README.md` that the table declarations write themselves."""

from __future__ import annotations

from pathlib import Path

from pipelines.contract import Table, spelled
from pipelines.definition import SCORE_BUCKETS
from pipelines.errors import InputError
from pipelines.gold.metrics.catalogue import METRICS
from pipelines.gold.tables import VIEWS
from pipelines.jobs import LATER, TABLES
from pipelines.silver.reasons import REASONS

FILE = Path(__file__).resolve().parent.parent / "data" / "README.md"
START, END = "<!-- generated: the tables -->", "<!-- end of the generated part -->"


def dictionary() -> str:
    """Every table and view with its columns, every metric, and every reason code, as Markdown."""
    tables = "\n".join(_table(table) for table in (*TABLES, *LATER, *VIEWS))
    metrics = "\n".join(f"| `{one.name}` | {one.family} | {_cell(one.meaning)} |" for one in METRICS)
    reasons = "\n".join(f"| `{code}` | {_cell(meaning)} |" for code, meaning in REASONS.items())
    return (
        f"{tables}\n### Metrics\n\nWhat `metrics()` gives beside `n` and `exposed`; B, the score buckets, is {SCORE_BUCKETS:,};\n"
        "`{each}` stands for a measure that the model file declares; the service is the label `\"\"`.\n\n"
        f"| Metric | Of | Meaning |\n|---|---|---|\n{metrics}\n\n"
        f"### Reason codes\n\nWhy a record is in `silver.quarantine`, in the order of the checks.\n\n"
        f"| Code | Meaning |\n|---|---|\n{reasons}\n"
    )


def renew(text: str) -> str:
    """The README with its generated part made anew. Raises InputError markers_missing."""
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise InputError("markers_missing", f"expected the lines {START!r} and {END!r}, once each and in this order")
    return f"{text[: text.index(START)]}{START}\n\n{dictionary()}\n{text[text.index(END) :]}"


def _table(table: Table) -> str:
    facts = ["A view: computed when it is asked for."] if table in VIEWS else []
    facts.append(f"Key: {_names(table.key)}.")
    if table.partition_by:
        facts.append(f"Partitioned by {_names(table.partition_by)}.")
    if table.indexed:
        facts.append(f"Looked up by `{table.indexed}`.")
    rows = "\n".join(
        f"| `{c.name}` | `{spelled(c.type)}` | {'yes' if c.nullable else 'no'} | {_cell(c.meaning)} |"
        for c in table.columns
    )
    return (
        f"### {table.name}\n\n{table.meaning} {' '.join(facts)}\n\n"
        f"| Column | Type | May be null | Meaning |\n|---|---|---|---|\n{rows}\n"
    )


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the generated part of `data/README.md` anew: `python -m pipelines.dictionary`."""
    FILE.write_text(renew(FILE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
