"""Revisions: raters who assert, correct, withdraw and rule, under every way to resolve, beside a plain model of the policy."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipelines.gold.tables import OUTCOME_LEDGER
from pipelines.verify import verify
from tests import lakes
from tests.reliability.check import Check, Figures, at_least, exactly
from tests.reliability.ground import MOST_EXAMPLES, declared, parts
from tests.reliability.votes import UNDECIDED, Rule, Vote, Votes
from tests.reliability.world import DAY, MINUTE, START, Event, World, spelled

WINDOW = 120 * MINUTE
ORDERS = 3
"""Each sequence is sent in so many orders: by receipt, and shuffled. Each has ids of its own and must end the same."""
RUNS = 4
NUMBERS = [0.0, 1.0, 1.0, 2.0, 0.1, 0.2, 0.7, -3.25, 333.333333333, 1e-7]
CLASSES = ["cat", "dog", "dog", "axolotl"]
ROLES = ("expert", "user")
RULES = {
    **{
        how: Rule(how, WINDOW, roles=ROLES if how == "priority" else ())
        for how in ("latest", "first", "priority", "majority", "mean", "sum", "max", "any")
    },
    **{f"{how}_of_two": Rule(how, WINDOW, cap=2) for how in ("latest", "majority", "mean", "sum", "max")},
    **{
        f"{how}_class": Rule(how, WINDOW, roles=ROLES if how == "priority" else ())
        for how in ("latest", "first", "priority", "majority")
    },
    "sum_of_item": Rule("sum", WINDOW, cap=3),
}
GIVEN = [-6, -5, -1, 0, 1, 5, 5, 5, 10, 10, 30, 60, 119, 120, 121, 200]
"""Minutes between an inference and feedback on it: edges of the window, and ties."""

Key = tuple[str, str, str]
"""Request, item and label."""


def run(seed: int, size: int, folder: Path, spark: SparkSession) -> Figures:
    lake = folder / "lake"
    records = log(seed, size)
    settings = lakes.settings_for(lake, log_batch_records=max(1000, len(records) // 12))
    apart: list[str] = []
    compared = seen = 0
    for piece in parts(records, RUNS):
        lakes.run(settings, spark, [[(payload, received) for payload, received, _ in piece]], most=50)
        seen += len(piece)
        moments, different = beside(ledger(lake), Sent(event for _, _, event in records[:seen]))
        compared += moments
        apart += different
    held = ledger(lake)
    lakes.run(settings, spark, [closing(records)])
    report = verify(lake)
    return {
        "votes": sum(event["kind"] == "feedback" for _, _, event in records),
        "keys": len(held),
        "beliefs_compared": compared,
        "beliefs_apart": len(apart),
        "keys_that_depend_on_the_order": _orders_apart(held),
        "entries_taken_back": sum(sign < 0 for rows in held.values() for _, sign, _ in rows),
        "undecided": sum(value == UNDECIDED for rows in held.values() for _, _, value in rows),
        "verifier_differences": report.differences + report.pending,
        "examples": apart[:MOST_EXAMPLES],
    }


CHECK = Check(
    "revisions",
    "The ledger is the policy of the votes, after every batch, as of every moment, in any order",
    run,
    short=360,
    full=12_000,
    wanted={
        "beliefs_compared": at_least(5_000),
        "beliefs_apart": exactly(0),
        "keys_that_depend_on_the_order": exactly(0),
        "entries_taken_back": at_least(100),
        "undecided": at_least(1),
        "verifier_differences": exactly(0),
    },
)


def model() -> str:
    """The model file that declares RULES."""
    lines = ['model = "m"', "[statistics]", 'grains = ["1 hour"]', 'cuts = ["all"]']
    for label, rule in RULES.items():
        text = label.endswith("_class")
        lines += [f"[labels.{label}]", f'type = "{"category" if text else "number"}"', f'resolve = "{rule.resolve}"']
        lines += ['attribution_window = "2 hours"', f"cap = {rule.cap}"]
        lines += ['unit = "item"'] * label.endswith("_item") + [f"roles = {list(rule.roles)}"] * bool(rule.roles)
    return "\n".join(lines)


Sendable = tuple[bytes, datetime, Event]


def log(seed: int, size: int) -> list[Sendable]:
    """So many requests and the votes on them, ORDERS times: once by receipt, then shuffled; all in one log."""
    rng = random.Random(f"revisions {seed}")
    world = World([])
    for number in range(size):
        _request(world, rng, number)
    said = sorted(((each.event or {}, each.received_at) for each in world.said), key=lambda each: each[1])
    placed: list[tuple[float, Sendable]] = []
    for order in range(ORDERS):
        for place, (event, received) in enumerate(said):
            own = {**event, **{name: f"{event[name]} {order}" for name in _IDS if name in event}}
            again = World([])
            again.send(own, received)
            at = rng.random() if order else place / len(said)
            placed.append((at, (again.said[0].payload, received, own | {"received_at": received})))
    controls = [(payload, START - DAY, {"kind": "control"}) for payload in declared(model())]
    return [*controls, *(each for _, each in sorted(placed, key=lambda each: each[0]))]


_IDS = ("request_id", "feedback_id", "target_feedback_id")


def closing(records: list[Sendable]) -> list[tuple[bytes, datetime]]:
    """A frontier after everything."""
    world = World([])
    at = max(received for _, received, _ in records) + DAY
    world.frontier(at)
    return [(world.said[0].payload, at)]


def _request(world: World, rng: random.Random, number: int) -> None:
    """An inference, and some acts on it under one label."""
    label = list(RULES)[number % len(RULES)]
    served = START + rng.randrange(24 * 60) * MINUTE
    slate = {"items": [{"item": "a"}, {"item": "b"}]} if label.endswith("_item") else {}
    world.infer(f"r{number:05}", served, served + rng.choice([0, 0, 5, 90, 300]) * MINUTE, **slate)
    for vote in range(rng.randrange(1, 11)):
        given = served + rng.choice(GIVEN) * MINUTE
        action = rng.choice(["assert"] * 5 + ["correct", "withdraw"] * 2 + ["adjudicate"])
        value = None if action == "withdraw" else rng.choice(CLASSES if label.endswith("_class") else NUMBERS)
        more = {"action": action, "label": label} | ({"item": rng.choice("ab")} if slate else {})
        for name, choices in (("rater", ["ann", "bob", "cid", None]), ("role", ["expert", "user", "crowd", None])):
            if (chosen := rng.choice(choices)) is not None:
                more[name] = chosen
        if action in ("correct", "withdraw") and ("rater" not in more or rng.random() < 0.6):
            near = [f"f{number:05}-{other}" for other in range(vote + 2)]  # itself and the next one among them
            far = [f"f{max(0, number - 1):05}-0", "never"]
            more["target_feedback_id"] = rng.choice(near if rng.random() < 0.85 else far)
        received = given + rng.choice([-4, 0, 0, 1, 7, 150, 3000]) * MINUTE
        world.judge(f"f{number:05}-{vote}", f"r{number:05}", value, given, received, **more)


class Sent:
    """The votes by key, of what has been sent so far."""

    def __init__(self, events: Any) -> None:
        self.inferences: dict[str, Event] = {}
        self.votes: dict[Key, list[Event]] = defaultdict(list)
        for event in events:
            if event["kind"] == "inference":
                self.inferences[event["request_id"]] = event
            elif event["kind"] == "feedback":
                self.votes[event["request_id"], event.get("item", ""), event["label"]].append(event)

    def known(self) -> set[Key]:
        return {key for key in self.votes if key[0] in self.inferences}

    def of(self, key: Key) -> tuple[list[Vote], datetime]:
        """The votes on a key whose inference has come, and when that was served."""
        inference = self.inferences[key[0]]
        votes = [
            Vote(
                event["feedback_id"],
                event["action"],
                event.get("value"),
                datetime.fromisoformat(event["given_at"]),
                max(event["received_at"], inference["received_at"]),
                event.get("rater"),
                event.get("role"),
                event.get("target_feedback_id"),
            )
            for event in self.votes[key]
        ]
        return votes, datetime.fromisoformat(inference["served_at"])


Rows = list[tuple[datetime, int, Any]]


def ledger(lake: Path) -> dict[Key, Rows]:
    """known_at, sign and value of every entry, by key."""
    found: dict[Key, Rows] = defaultdict(list)
    columns = ["unit_id", "item", "label", "number", "text", "sign", "known_at"]
    for row in lakes.rows_of(lake, OUTCOME_LEDGER).select(columns).to_pylist():
        value = row["number"] if row["text"] is None else row["text"]
        key = row["unit_id"], row["item"], row["label"]
        found[key].append((row["known_at"], row["sign"], UNDECIDED if value is None else value))
    return found


def beside(held: dict[Key, Rows], sent: Sent) -> tuple[int, list[str]]:
    """How many beliefs were compared, and those that differ, at every moment at which anything was known."""
    compared, apart = 0, [f"{key}: nothing was sent" for key in held.keys() - sent.known()]
    for key in sent.known():
        votes, served = sent.of(key)
        rows = held.get(key, [])
        for at in sorted({vote.known for vote in votes} | {known for known, _, _ in rows}):
            said = Votes(votes, RULES[key[2]], served, at).belief()
            net: Counter[Any] = Counter()
            for known, sign, value in rows:
                net[value] += sign * (known <= at)
            stands = {value: sign for value, sign in net.items() if sign}
            compared += 1
            if stands != ({} if said is None else {said: 1}):
                apart.append(f"{key} as of {spelled(at)}: expected {said}, the ledger sums to {stands}")
    return compared, apart


def _orders_apart(held: dict[Key, Rows]) -> int:
    """Keys whose entries, netted by moment and value, are not the same in every order."""
    by_order: dict[Key, list[dict[Any, int]]] = defaultdict(list)
    for (request, item, label), rows in held.items():
        net: Counter[Any] = Counter()
        for known, sign, value in rows:
            net[known, value] += sign
        if entries := {
            key: sign for key, sign in net.items() if sign
        }:  # what was taken back at the same moment is nothing
            by_order[request.rsplit(" ", 1)[0], item, label].append(entries)
    return sum(len(each) != ORDERS or any(other != each[0] for other in each) for each in by_order.values())
