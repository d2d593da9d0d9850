"""Steps of triggers: rows of gold.triggers, how one is made, and which of several holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pipelines.definition import canonical, digest
from pipelines.watch.declared import policies
from pipelines.watch.rules import TriggerRule, Watched

TENANT = "default"
"""Of what is about a model: it is trained on the examples of all tenants, whoever's alert asks for it."""
FIRED, AWAITING, FORCED, OVERTURNED = "fired", "awaiting", "forced", "overturned"
DECLARED, PAUSED, RESUMED, APPROVED = "declared", "paused", "resumed", "approved"
Row = dict[str, Any]


def step(
    watched: Watched,
    rule: TriggerRule,
    state: str,
    at: datetime,
    *,
    about: tuple[str, str] = ("", ""),
    evidence: Mapping[str, Any],
) -> Row:
    """A row of gold.triggers; `about`: trigger_id and incident."""
    return {
        **{"tenant": TENANT, "model": watched.model, "label": rule.label, "trigger": rule.name, "state": state},
        **{"trigger_id": about[0], "incident": about[1], "policy": rule.policy(dict(policies(watched)))},
        **{"known_at": at, "evidence": said(evidence)},
    }


def trigger_id(policy: str, model: str, trigger: str, incident: str) -> str:
    """The same for the same incident, whoever computes it and whenever."""
    return digest([policy, model, trigger, incident])


def said(evidence: Mapping[str, Any]) -> str:
    """Evidence as the ledgers of decisions hold it: the same JSON for the same, whoever writes it."""
    return canonical(evidence).decode()


def last(steps: Iterable[Mapping[str, Any]], *states: str) -> Any:
    """The step, of those in these states (or in any), that was taken last; None for none."""
    found = [row for row in steps if not states or row["state"] in states]
    return max(found, key=lambda row: (row["known_at"], row["recorded_at"], row["state"]), default=None)


def paused(steps: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a trigger with these steps is paused; declared anew it still is."""
    found: Row = last(steps, PAUSED, RESUMED) or {}
    return found.get("state") == PAUSED


def of_each(steps: Iterable[Row]) -> dict[str, list[Row]]:
    """The steps by trigger_id; what is about a trigger as such has none."""
    found: dict[str, list[Row]] = {}
    for row in steps:
        if row["trigger_id"]:
            found.setdefault(row["trigger_id"], []).append(row)
    return found
