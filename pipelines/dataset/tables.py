"""What was released. No log says it, so a rebuild of the lake keeps these tables as they are."""

import pyarrow as pa

from pipelines.contract import DOUBLE, INT, LONG, STRING, TIMESTAMP, Column, Table

_RECORDED_AT = Column("recorded_at", TIMESTAMP, "When the row was written. Audit only.", skipping=True)

RELEASES = Table(
    "gold.releases",
    "One manifest of a release: what was asked, of what, and what came of it. With this row a release is there.",
    (
        Column("name", STRING, "MODEL/LABEL/N: the Nth release of this label.", skipping=True),
        Column("digest", STRING, "Hash of what the release is: the same question of the same data has the same.", skipping=True),
        Column("model", STRING, "The model.", skipping=True),
        Column("label", STRING, "The label.", skipping=True),
        Column("number", INT, "N: from 1, in the order in which they were kept.", skipping=True),
        Column("manifest", STRING, "The manifest, JSON."),
        _RECORDED_AT,
    ),
    key=("name",),
)

RELEASED = Table(
    "gold.released",
    "One training example in one release.",
    (
        Column("release", STRING, "Digest of the release that the rows were cut for, and of what an erasure leaves of it.", skipping=True),
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("unit", STRING, "What is judged: request or item.", skipping=True),
        Column("unit_id", STRING, "The request."),
        Column("item", STRING, 'The item, or "".'),
        Column("served_at", TIMESTAMP, "When the model answered.", skipping=True),
        Column("known_at", TIMESTAMP, "When the example could be known.", skipping=True),
        Column("basis", STRING, "`answered`, or `absent`: the outcome is what silence means.", skipping=True),
        Column("number", DOUBLE, "The outcome, where it is a number.", nullable=True),
        Column("text", STRING, "The outcome, where it is a category.", nullable=True),
        Column("weight", DOUBLE, "How many examples it stands for: its own weight, by the inverse of its chance to be drawn."),
        Column("split", STRING, "train, validation or test.", skipping=True),
        Column("version", STRING, "Version of the model that served.", skipping=True),
        Column("prediction", DOUBLE, "The prediction, where it is a number.", nullable=True),
        Column("prediction_text", STRING, "The prediction, where it is a category.", nullable=True),
        Column("score", DOUBLE, "Score of the request, or of the item.", nullable=True),
        Column("segments", pa.map_(STRING, STRING), "Declared segment fields.", nullable=True),
        Column("features", STRING, "Features as served, a JSON object.", nullable=True),
        Column("offset", LONG, "Log offset of the inference.", skipping=True),
        _RECORDED_AT,
    ),
    key=("release", "tenant", "unit", "unit_id", "item"),
    partition_by=("release",),
    indexed="unit_id",
)

TABLES = (RELEASES, RELEASED)
