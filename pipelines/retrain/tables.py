"""What the loop did, and why: one row per step of one trigger."""

from pipelines.contract import DOUBLE, INT, LONG, STRING, TIMESTAMP, Column, Table
from pipelines.gold.tables import RECORDED_AT

STEPS = {
    "claimed": "the trigger is ours: whatever follows is done for it once",
    "released": "the rows to learn from are cut",
    "started": "a training run has them",
    "trained": "the run registered a version",
    "judged": "held against the champion on the release's test split",
    "promoted": "the champion's alias moved to the version",
    "refused": "the alias stays where it was",
    "settled": "what came of the promotion, on outcomes served since",
    "rolled_back": "the alias went back to the version before",
    "failed": "release or training broke off; `hindsight launch --retry` tries again",
}
"""Each step with what it means, in the order in which they come."""

RETRAININGS = Table(
    "gold.retrainings",
    "One row per step of one retraining: what was done for a trigger, with what result, and why.",
    (
        Column("tenant", STRING, "Whose.", skipping=True),
        Column("model", STRING, "The model, of the registry too.", skipping=True),
        Column("label", STRING, "The label that it is judged by.", skipping=True),
        Column("trigger", STRING, "The trigger's name in the model file.", skipping=True),
        Column("trigger_id", STRING, "The trigger of gold.triggers.", skipping=True),
        Column("attempt", INT, "1, and one more with each retry.", skipping=True),
        Column("step", STRING, f"{', '.join(STEPS)}.", skipping=True),
        Column("release", STRING, "The release learnt from: MODEL/LABEL/N.", nullable=True),
        Column("digest", STRING, "Digest of its manifest.", nullable=True),
        Column("run_id", STRING, "The MLflow run.", nullable=True),
        Column("version", STRING, "The registered version: the challenger.", nullable=True),
        Column("champion", STRING, "The version that the champion's alias named before; null for none.", nullable=True),
        Column("verdict", STRING, "judged: accept, refuse or wait; settled: helped, did not or unclear.", nullable=True),
        Column("estimate", DOUBLE, "Mean loss of the challenger minus that of the champion: below 0 is better.", nullable=True),
        Column("low", DOUBLE, "Lower end of its anytime-valid interval.", nullable=True),
        Column("high", DOUBLE, "Upper end.", nullable=True),
        Column("support", LONG, "Mature outcomes that it rests on.", nullable=True),
        Column("reason", STRING, "Why, in words.", nullable=True),
        Column("evidence", STRING, "JSON: losses of both, each segment's interval; judged: against whom, and its metrics.", nullable=True),
        Column("known_at", TIMESTAMP, "What the log had told before this time is what the step rests on.", skipping=True),
        RECORDED_AT,
    ),
    key=("tenant", "trigger_id", "attempt", "step"),
)

TABLES = (RETRAININGS,)
