"""What is believed, and what it adds up to. Nothing here is ever overwritten."""

import pyarrow as pa

from pipelines.contract import AMOUNT, BOOL, DATE, DOUBLE, INT, LONG, STRING, TIMESTAMP, Column, Table
from pipelines.silver.derived import CONTEXT
from pipelines.silver.sent import EXPERIMENT, SERVED_DATE

RECORDED_AT = Column(
    "recorded_at", TIMESTAMP, "When the row was written. Audit only: no number depends on it.", skipping=True
)

OUTCOME_LEDGER = Table(
    "gold.outcome_ledger",
    "One signed belief about the outcome of one unit under one label policy: +1 states it, -1 takes it back.",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("unit", STRING, "What is judged: request or item.", skipping=True),
        Column("unit_id", STRING, "The request."),
        Column("item", STRING, 'The item, or "".'),
        Column("label", STRING, "What was judged.", skipping=True),
        Column("policy", STRING, "Hash of the label policy that resolved the votes.", skipping=True),
        Column("number", DOUBLE, "The outcome, where it is a number.", nullable=True),
        Column(
            "text", STRING, "The outcome, where it is a category; both null: answered, and undecided.", nullable=True
        ),
        Column("sign", INT, "+1 or -1."),
        Column("known_at", TIMESTAMP, "When this could be known.", skipping=True),
        Column(
            "matures_at", TIMESTAMP, "When silence about the unit becomes information under this policy.", skipping=True
        ),
        Column("context", CONTEXT, "The inference, as far as a number needs it."),
        SERVED_DATE,
        RECORDED_AT,
    ),
    key=("tenant", "unit", "unit_id", "item", "label", "policy", "number", "text", "known_at"),
    partition_by=("served_date",),
    indexed="unit_id",
)

STATISTICS = Table(
    "gold.statistics",
    "One signed increment of one additive statistic in one cell; a statistic is the sum of its increments.",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("model", STRING, "The model.", skipping=True),
        Column("version", STRING, "Its version.", skipping=True),
        Column("experiment", STRING, 'The experiment, or "".'),
        Column("arm", STRING, 'Its arm, or "".'),
        Column("cut", STRING, '"all", or the segment fields joined with "*".', skipping=True),
        Column("segment", STRING, "JSON array of the fields' values, in the order of the cut."),
        Column("label", STRING, 'The label, or "" for what every inference counts in.', skipping=True),
        Column("definition", STRING, "Hash of the definition it was computed under.", skipping=True),
        Column("basis", STRING, "exposed, answered or silent.", skipping=True),
        Column("unit_group", STRING, 'Keyed hash of the randomisation unit; "" outside experiments.'),
        Column("cell_at", TIMESTAMP, "Start of the cell, from served_at.", skipping=True),
        Column("grain", STRING, "Width of the cell; each grain is its own sum, a query uses one.", skipping=True),
        Column("known_at", TIMESTAMP, "When this could be known, floored to the minute.", skipping=True),
        Column("statistic", STRING, "Name of the additive statistic.", skipping=True),
        Column("bucket", STRING, 'Bucket of a histogram, class of a category, or "".'),
        Column("amount", AMOUNT, "The signed increment, exact."),
        Column("cell_date", DATE, "UTC date of cell_at.", skipping=True),
        RECORDED_AT,
    ),
    key=(
        *(
            "tenant",
            "model",
            "version",
            "experiment",
            "arm",
            "cut",
            "segment",
            "label",
            "definition",
            "basis",
            "unit_group",
        ),
        *("cell_at", "grain", "known_at", "statistic", "bucket"),
    ),
    partition_by=("grain", "cell_date"),
)

EXAMPLES = Table(
    "gold.examples",
    "One signed training example: what came of one unit under one label policy, once its attribution window has passed.",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("model", STRING, "The model that served.", skipping=True),
        Column("version", STRING, "Its version.", skipping=True),
        Column("label", STRING, "What was judged.", skipping=True),
        Column("policy", STRING, "Hash of the label policy.", skipping=True),
        Column("unit", STRING, "What is judged: request or item.", skipping=True),
        Column("unit_id", STRING, "The request."),
        Column("item", STRING, 'The item, or "".'),
        Column(
            "basis", STRING, "`answered`, or `absent` where nobody answered and the policy gives silence a value.", skipping=True
        ),
        Column(
            "number",
            DOUBLE,
            "The outcome, where it is a number; of basis absent the policy's value, 0 for `negative` whatever is positive.",
            nullable=True,
        ),
        Column("text", STRING, "The outcome, where it is a category.", nullable=True),
        Column("weight", DOUBLE, "1 / the probability with which the label was asked for; 1 without one."),
        Column("sign", INT, "+1 states it, -1 takes it back."),
        Column(
            "known_at", TIMESTAMP, "When this could be known: never before the window has passed (matures_at).", skipping=True
        ),
        Column("served_at", TIMESTAMP, "When the model answered.", skipping=True),
        Column("matures_at", TIMESTAMP, "When silence about the unit becomes information under this policy.", skipping=True),
        Column("prediction", DOUBLE, "The prediction, where it is a number.", nullable=True),
        Column("prediction_text", STRING, "The prediction, where it is a category.", nullable=True),
        Column("score", DOUBLE, "Score of the request, or of the item.", nullable=True),
        Column("scores", pa.map_(STRING, DOUBLE), "Further named scores.", nullable=True),
        Column("features", STRING, "Features as served, a JSON object; null where the sign is -1.", nullable=True),
        Column("segments", pa.map_(STRING, STRING), "Declared segment fields.", nullable=True),
        Column("experiments", pa.map_(STRING, EXPERIMENT), "Arm by experiment.", nullable=True),
        Column("subject", STRING, "Whom the request was about.", nullable=True),
        Column("session", STRING, "The session it belonged to.", nullable=True),
        Column("offset", LONG, "Log offset of the inference.", skipping=True),
        SERVED_DATE,
        RECORDED_AT,
    ),
    key=("tenant", "unit", "unit_id", "item", "label", "policy", "basis", "number", "text", "known_at"),
    partition_by=("served_date",),
    indexed="unit_id",
)

FRONTIERS = Table(
    "gold.frontiers",
    "One row per completed reconcile: everything known before `frontier` is in gold.",
    (
        Column(
            "frontier",
            TIMESTAMP,
            "The least time that is fully processed; rows known at or after it are provisional.",
            nullable=True,
        ),
        Column("end_offset", LONG, "Log offset up to which every job had gone, exclusive.", skipping=True),
        Column("open_from", LONG, "Every feedback at a lower offset is labelled or orphaned.", skipping=True),
        RECORDED_AT,
    ),
    key=("end_offset",),
)

TABLES = (OUTCOME_LEDGER, STATISTICS, EXAMPLES, FRONTIERS)

_STATED = {column.name: column for column in OUTCOME_LEDGER.columns}
OUTCOMES = Table(
    "gold.outcomes",
    "One current belief about the outcome of one unit under one label policy: the entries of gold.outcome_ledger, netted.",
    (
        *(_STATED[name] for name in ("tenant", "unit", "unit_id", "item", "label", "policy", "number", "text")),
        Column("known_at", TIMESTAMP, "Since when this is believed: when it could be known."),
        _STATED["matures_at"],
        Column("model", STRING, "The model that served."),
        Column("version", STRING, "Its version."),
        Column("served_at", TIMESTAMP, "When it served."),
        Column("judged", BOOL, "Whether metrics count it: status ok, and the item (if any) was on the slate."),
        Column("prediction", DOUBLE, "The prediction, where it is a number.", nullable=True),
        Column("prediction_text", STRING, "The prediction, where it is a category.", nullable=True),
        Column("score", DOUBLE, "Score of the request, or of the item.", nullable=True),
        Column("segments", pa.map_(STRING, STRING), "Declared segment fields.", nullable=True),
    ),
    key=("tenant", "unit", "unit_id", "item", "label", "policy"),
)

VIEWS = (OUTCOMES,)
"""Computed when they are asked for; no folder holds them."""
