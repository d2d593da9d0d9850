"""[triggers.NAME] of a model file, read key by key."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from pipelines.errors import nearest
from pipelines.keys import Keys, either
from pipelines.problems import Problems
from pipelines.quantities import duration
from pipelines.watch.rules import Condition, TriggerRule

_TRIGGER = ("label", "when", "cooldown", "budget", "raters", "approve")
_BUDGET = re.compile(r"([0-9]{1,6}) per (.+)")
_EXAMPLES = re.compile(r"new_examples >= ([0-9]{1,12})")
CONDITION = 'the name of an alert, "drift.feature.NAME", "new_examples >= 10000" or "every 7 days"'


def trigger_of(
    name: str, body: dict[str, Any], labels: list[str], named: list[str], problems: Problems
) -> TriggerRule | None:
    """The trigger; None where it cannot be read, which is a problem. `named`: the alerts and drift that there are."""
    where = f"triggers.{name}"
    keys = Keys(body, f"{where}.", _TRIGGER, problems)
    label = body.get("label", labels[0] if len(labels) == 1 else None)
    if label not in labels:
        problems.add(
            "unknown_label",
            f"{where}.label: expected one of {either(labels)}, found {label!r}{nearest(str(label), labels)}",
        )
    when = body.get("when")
    if not isinstance(when, dict) or len(when) != 1 or next(iter(when)) not in ("all", "any"):
        problems.bad_value(f"{where}.when", when, "{all = [conditions]} or {any = [conditions]}")
        return None
    ((combined, said),) = when.items()
    inner = Keys(when, f"{where}.when.", ("all", "any"), problems)
    conditions = [_condition(inner, combined, one, named) for one in inner.strings(combined, [])]
    if not said:
        inner.bad_value(combined, said, f"at least one condition: {CONDITION}")
    cooldown = (
        keys.read("cooldown", duration, timedelta(0), 'a duration such as "7 days"')
        if "cooldown" in body
        else timedelta(0)
    )
    return TriggerRule(
        name,
        str(label),
        tuple(one for one in conditions if one),
        combined == "all",
        cooldown,
        keys.read("budget", _budget, None, '"2 per 30 days"') if "budget" in body else None,
        keys.count("raters", 1) if "raters" in body else 0,
        keys.choice("approve", ("auto", "by hand"), "auto") == "by hand",
    )


def _budget(text: str) -> tuple[int, timedelta] | None:
    match = _BUDGET.fullmatch(text)
    if not match or not int(match[1]) or not duration(match[2]):
        raise ValueError('so many per duration, such as "2 per 30 days"')
    return int(match[1]), duration(match[2])


def _condition(keys: Keys, key: str, text: str, named: list[str]) -> Condition | None:
    if match := _EXAMPLES.fullmatch(text):
        return Condition("new_examples", count=int(match[1]))
    if text in named:
        return Condition("drift" if text.startswith("drift.") else "alert", text)
    if text.startswith("every "):
        try:
            return Condition("every", every=duration(text.removeprefix("every ")))
        except ValueError:
            pass
    keys.bad_value(key, text, f"{CONDITION}{nearest(text, named)}")
    return None
