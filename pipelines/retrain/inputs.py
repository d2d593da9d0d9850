"""The tables that the loop reads and others fill: examples with their outcomes, and triggers."""

from pyspark.sql.types import MapType

from pipelines.contract import DOUBLE, INT, LONG, STRING, TIMESTAMP, Column, Table
from pipelines.gold.tables import RECORDED_AT
from pipelines.silver.sent import EXPERIMENT, SERVED_DATE

EXAMPLES = Table(
    "gold.examples",
    "One signed training example: an inference with its mature outcome.",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("model", STRING, "The model that served.", skipping=True),
        Column("version", STRING, "Its version.", skipping=True),
        Column("label", STRING, "What was judged.", skipping=True),
        Column("policy", STRING, "Hash of the label policy.", skipping=True),
        Column("unit", STRING, "What is judged: request or item."),
        Column("unit_id", STRING, "The request."),
        Column("item", STRING, 'The item, or "".'),
        Column("basis", STRING, "answered, or absent."),
        Column("number", DOUBLE, "The outcome, where it is a number.", nullable=True),
        Column("text", STRING, "The outcome, where it is a category.", nullable=True),
        Column("weight", DOUBLE, "One over the probability that the label was asked for."),
        Column("sign", INT, "+1 or -1."),
        Column("known_at", TIMESTAMP, "When this could be known: never before the window has passed.", skipping=True),
        Column("served_at", TIMESTAMP, "When it was served.", skipping=True),
        Column("matures_at", TIMESTAMP, "When the window had passed."),
        Column("prediction", DOUBLE, "The prediction, where it is a number.", nullable=True),
        Column("prediction_text", STRING, "The prediction, where it is a category.", nullable=True),
        Column("score", DOUBLE, "Score of the request, or of the item.", nullable=True),
        Column("scores", MapType(STRING, DOUBLE), "Further named scores.", nullable=True),
        Column("features", STRING, "Features as served, a JSON object.", nullable=True),
        Column("segments", MapType(STRING, STRING), "Declared segment fields.", nullable=True),
        Column("experiments", MapType(STRING, EXPERIMENT), "Arm by experiment.", nullable=True),
        Column("subject", STRING, "Whom the request was about.", nullable=True),
        Column("session", STRING, "The session it belonged to.", nullable=True),
        Column("offset", LONG, "Log offset of the inference."),
        SERVED_DATE,
        RECORDED_AT,
    ),
    key=("tenant", "unit", "unit_id", "item", "label", "policy", "basis", "number", "text", "known_at"),
    partition_by=("served_date",),
    indexed="unit_id",
)

TRIGGERS = Table(
    "gold.triggers",
    "One entry about a trigger: that it fired, or what was decided about it.",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("model", STRING, "The model.", skipping=True),
        Column("label", STRING, "The label.", skipping=True),
        Column("trigger", STRING, "Its name in the model file."),
        Column("trigger_id", STRING, "Digest of policy, model, trigger and incident."),
        Column("state", STRING, "fired, awaiting, approved, forced, overturned or paused."),
        Column("policy", STRING, "Hash of the policy."),
        Column("incident", STRING, "What it fired for."),
        Column("evidence", STRING, "JSON.", nullable=True),
        Column("known_at", TIMESTAMP, "When this could be known.", skipping=True),
        RECORDED_AT,
    ),
    key=("tenant", "trigger_id", "state", "known_at"),
)
