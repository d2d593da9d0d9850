"""What was decided about what is believed: alerts, drift, triggers."""

from pipelines.contract import BOOL, DOUBLE, INT, LONG, STRING, TIMESTAMP, Column, Table
from pipelines.gold.tables import RECORDED_AT

_MODEL = (
    Column("tenant", STRING, "Whose.", skipping=True),
    Column("model", STRING, "The model.", skipping=True),
)
_GROUP = (
    Column("cut", STRING, '"all", or the segment fields joined with "*".', skipping=True),
    Column("segment", STRING, "JSON array of the fields' values, in the order of the cut."),
    Column("version", STRING, 'The version; "" for all together.', skipping=True),
)
_WINDOW = (
    Column("window_start", TIMESTAMP, "Start of the window that decided, from served_at.", skipping=True),
    Column("window_end", TIMESTAMP, "Its end, exclusive.", skipping=True),
)
_POLICY = Column("policy", STRING, "Hash of the rule and of the definition that it looks at.", skipping=True)
_SIGN = Column("sign", INT, "+1 states it, -1 takes it back.")
_KNOWN_AT = Column(
    "known_at",
    TIMESTAMP,
    "The whole minute as of which it was decided: it rests on what was known before.",
    skipping=True,
)
_LABEL = Column("label", STRING, 'The label, or "" for the service itself.', skipping=True)

ALERTS = Table(
    "gold.alerts",
    "One signed entry about one incident of one alert rule in one group: raised, cleared, or overturned by what was learnt later.",
    (
        *_MODEL,
        _LABEL,
        Column("rule", STRING, "The alert, as the model file names it.", skipping=True),
        _POLICY,
        *_GROUP,
        Column("incident", STRING, "Digest of policy, group and the window that raised it."),
        Column("state", STRING, "raised, cleared, or overturned: a raised one that is taken back.", skipping=True),
        _SIGN,
        *_WINDOW,
        Column("value", DOUBLE, "The metric in that window.", nullable=True),
        Column("low", DOUBLE, "Lower end of its 95 % interval.", nullable=True),
        Column("high", DOUBLE, "Upper end of its 95 % interval.", nullable=True),
        Column("support", LONG, "Judged units of the window (of the service: requests)."),
        _KNOWN_AT,
        Column("evidence", STRING, "What the detector had seen, a JSON object."),
        RECORDED_AT,
    ),
    key=("tenant", "model", "policy", "cut", "segment", "version", "incident", "state", "window_start", "known_at"),
)

DRIFT = Table(
    "gold.drift",
    "One signed row per window, group, distribution and measure: how far the window lies from the baseline.",
    (
        *_MODEL,
        Column("feature", STRING, "What is distributed: feature.NAME, scores.NAME, or request.score.", skipping=True),
        _POLICY,
        *_GROUP,
        *_WINDOW,
        Column("measure", STRING, "psi, js (Jensen-Shannon, nats) or ks (Kolmogorov-Smirnov).", skipping=True),
        Column("value", DOUBLE, "Distance of the window's histogram from the baseline's."),
        Column(
            "reference", DOUBLE, "What a window without drift exceeds with probability alpha at most (asymptotically)."
        ),
        Column("reached", BOOL, "Whether the value is at least the reference, and the declared least distance."),
        Column("support", LONG, "Requests in the window's histogram."),
        Column("baseline", STRING, "The baseline: a release, or the first windows; a JSON object with its count."),
        _SIGN,
        _KNOWN_AT,
        RECORDED_AT,
    ),
    key=(
        "tenant",
        "model",
        "feature",
        "policy",
        "cut",
        "segment",
        "version",
        "window_start",
        "measure",
        "value",
        "known_at",
    ),
)

TRIGGERS = Table(
    "gold.triggers",
    "One step of a trigger: that it is watched, that it fired or waits for approval, or what a person decided about it.",
    (
        *_MODEL,
        _LABEL,
        Column("trigger", STRING, "The trigger, as the model file names it.", skipping=True),
        Column(
            "trigger_id",
            STRING,
            'Digest of policy, model, trigger and incident; "" for what is about the trigger as such.',
        ),
        Column(
            "state",
            STRING,
            "declared (watched from then on), fired, awaiting (approval), approved, forced, overturned, paused or resumed.",
            skipping=True,
        ),
        Column("policy", STRING, "Hash of the trigger and of all that its conditions name.", skipping=True),
        Column("incident", STRING, 'What it is about: one trigger per incident; "" as trigger_id.'),
        Column(
            "evidence",
            STRING,
            "A JSON object: metrics, cells, values, intervals, table versions; or who decided, and why.",
        ),
        _KNOWN_AT,
        RECORDED_AT,
    ),
    key=("tenant", "model", "trigger", "trigger_id", "state", "policy", "known_at"),
)

TABLES = (ALERTS, DRIFT, TRIGGERS)
