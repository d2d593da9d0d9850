"""From silence and outcomes to training examples: what is known at maturity, and what takes it back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest

from pipelines.definition import Definition, Policy
from pipelines.gold.absences import absences
from pipelines.gold.examples import examples
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER
from pipelines.silver.tables import INFERENCES
from tests.frames import at, context

HOUR = 3600
NEGATIVE = Policy("binary", "request", "latest", HOUR, "negative")
MISSING = Policy("binary", "request", "latest", HOUR, "missing")
RATED = Policy("number", "request", "mean", HOUR, 2.5)
CHOSEN = Policy("binary", "item", "latest", HOUR, "negative")


def defined(label: str, policy: Policy, **changed: Any) -> Definition:
    return Definition("m", label, ((),), ("1 hour",), **{"policy": policy, "positive": 1.0, "offset": 1, **changed})


DEFINED = [
    Definition("m", "", ((),), ("1 hour",)),
    defined("click", NEGATIVE),
    defined("late", MISSING),
    defined("rating", RATED, positive=None),
    defined("chosen", CHOSEN),
]


def served(**changed: Any) -> dict[str, Any]:
    """Served and received at noon, at offset 5."""
    plain = {"request_id": "r", "tenant": "t", "model": "m", "version": "1", "status": "ok", "offset": 5, "prediction": 1.0}
    times = {"served_at": at(0), "received_at": at(0), "served_date": at(0).date()}
    return INFERENCES.row(**{**plain, **times, "features": '{"f":1.0}', "asked": 0.25, **changed})


def entry(known: float, number: float | None = 1.0, sign: int = 1, policy: Policy = NEGATIVE, **changed: Any) -> dict[str, Any]:
    """An entry of the ledger about it; it matures at 60."""
    label = next(one.label for one in DEFINED if one.policy == policy)
    plain = {"tenant": "t", "unit": policy.unit, "unit_id": "r", "item": "", "label": label, "policy": policy.hash}
    when = {"known_at": at(known), "matures_at": at(60), "served_date": at(0).date()}
    about = context(**{"prediction": 1.0, "score": 0.7, **changed.pop("context", {})})
    return OUTCOME_LEDGER.row(**{**plain, **when, "number": number, "sign": sign, "context": about, **changed})


Net = dict[tuple[str, Any, float], int]
"""(basis, outcome, minute) -> net sign"""


def net(rows: list[dict[str, Any]], before: datetime | None = None) -> Net:
    found: Counter[tuple[str, Any, float]] = Counter()
    for row in rows:
        if before is None or row["known_at"] < before:
            outcome = row["number"] if row["text"] is None else row["text"]
            found[row["basis"], outcome, (row["known_at"] - at(0)).total_seconds() / 60] += row["sign"]
    return {key: sign for key, sign in found.items() if sign}


def silent(*definitions: Definition, **changed: Any) -> list[dict[str, Any]]:
    return absences(INFERENCES.frame([served(**changed)]), definitions=definitions or DEFINED).to_pylist()


def taught(*entries: dict[str, Any], **changed: Any) -> list[dict[str, Any]]:
    return examples(OUTCOME_LEDGER.frame(list(entries)), INFERENCES.frame([served(**changed)]), definitions=DEFINED).to_pylist()


def of_click(*entries: dict[str, Any]) -> Net:
    """All that is known of the click, silence included."""
    return net([row for row in [*silent(), *taught(*entries)] if row["label"] == "click"])


def test_silence_is_an_example_at_maturity_under_each_policy_that_gives_it_a_value() -> None:
    found = silent(items=[])
    assert {(row["label"], row["number"]) for row in found} == {("click", 0.0), ("rating", 2.5)}
    assert net(found) == {("absent", 0.0, 60): 1, ("absent", 2.5, 60): 1}


def test_an_inference_received_after_its_window_is_known_then() -> None:
    assert net(silent(DEFINED[1], received_at=at(90))) == {("absent", 0.0, 90): 1}


def test_each_item_of_a_slate_is_silent_by_itself() -> None:
    nothing = {"position": None, "propensity": None}
    found = silent(DEFINED[4], items=[{"item": "a", "score": 0.9, **nothing}, {"item": "b", "score": None, **nothing}])
    assert [(row["unit"], row["item"], row["score"], row["prediction"]) for row in found] == [
        ("item", "a", 0.9, 1.0),
        ("item", "b", None, 1.0),
    ]
    assert silent(DEFINED[4]) == []


def test_a_failure_and_a_policy_that_was_declared_later_teach_nothing() -> None:
    assert silent(status="timeout") == []
    assert silent(defined("click", NEGATIVE, offset=5)) == []
    assert len(silent(defined("click", NEGATIVE, offset=5, everywhere=True))) == 1


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_definitions_that_share_a_policy_post_it_once(order: tuple[int, ...]) -> None:
    sharing = [defined("click", NEGATIVE), defined("click", NEGATIVE, threshold=0.9), defined("click", NEGATIVE, threshold=0.1, offset=9)]
    assert len(silent(*(sharing[at] for at in order))) == 1
    assert len(silent(*sharing, defined("seen", NEGATIVE))) == 2


def test_an_answer_before_maturity_is_known_at_maturity_and_silence_comes_to_nothing() -> None:
    assert of_click(entry(10)) == {("answered", 1.0, 60): 1}


def test_an_answer_after_maturity_is_known_when_it_comes_and_ends_silence_then() -> None:
    found = of_click(entry(90))
    assert found == {("absent", 0.0, 60): 1, ("absent", 0.0, 90): -1, ("answered", 1.0, 90): 1}


def test_beliefs_in_sequence_before_maturity_net_out() -> None:
    corrected = entry(10), entry(20, sign=-1), entry(20, 0.0)
    assert of_click(*corrected) == {("answered", 0.0, 60): 1}
    assert of_click(*corrected, entry(30, 0.0, -1)) == {("absent", 0.0, 60): 1}


def test_a_withdrawal_after_maturity_brings_silence_back() -> None:
    found = of_click(entry(10), entry(90, sign=-1))
    assert found == {("answered", 1.0, 60): 1, ("answered", 1.0, 90): -1, ("absent", 0.0, 90): 1}


def test_an_undecided_outcome_is_no_example_and_no_silence() -> None:
    assert of_click(entry(10, None)) == {}
    assert of_click(entry(10), entry(90, sign=-1), entry(90, None)) == {("answered", 1.0, 60): 1, ("answered", 1.0, 90): -1}


def test_silence_that_says_nothing_is_not_taken_back() -> None:
    assert net(taught(entry(10, policy=MISSING))) == {("answered", 1.0, 60): 1}
    assert net(taught(entry(10, 4.0, policy=RATED))) == {("answered", 4.0, 60): 1, ("absent", 2.5, 60): -1}


def test_an_outcome_may_be_a_category() -> None:
    assert net(taught(entry(10, None, text="rare", policy=MISSING))) == {("answered", "rare", 60): 1}


def test_what_is_not_judged_teaches_nothing() -> None:
    assert taught(entry(10, context={"judged": False})) == []


def test_nothing_is_known_before_its_window_has_passed() -> None:
    rows = [*silent(), *taught(entry(10), entry(70, sign=-1), entry(70, 0.0))]
    assert all(row["known_at"] >= row["matures_at"] == at(60) for row in rows)
    assert net(rows, before=at(60)) == {}


@pytest.mark.parametrize(("minute", "expected"), [(60.1, 1.0), (70.1, 0.0), (80.1, None)])
def test_as_of_a_moment_one_example_stands(minute: float, expected: float | None) -> None:
    rows = [row for row in silent() if row["label"] == "click"]
    rows += taught(entry(10), entry(70, sign=-1), entry(70, 0.0), entry(80, 0.0, -1))
    standing: Counter[tuple[str, Any]] = Counter()
    for (basis, outcome, _), sign in net(rows, before=at(minute)).items():
        standing[basis, outcome] += sign
    wanted = ("absent", 0.0) if expected is None else ("answered", expected)
    assert {key: sign for key, sign in standing.items() if sign} == {wanted: 1}


def test_an_example_holds_what_the_inference_said() -> None:
    said = {"score": 0.7, "scores": [("x", 0.5)], "segments": [("o", "JFK")], "subject": "s", "session": "u", "prediction": 1.0}
    (answered,) = taught(entry(90, policy=MISSING, context=said))
    (absent,) = silent(DEFINED[1], **said)
    alike = [name for name in EXAMPLES.computed.names if name not in ("label", "policy", "basis", "number", "known_at")]
    assert {name: answered[name] for name in alike} == {name: absent[name] for name in alike}
    assert (answered["features"], answered["weight"], answered["offset"]) == ('{"f":1.0}', 4.0, 5)


def test_what_takes_back_repeats_no_features() -> None:
    rows = taught(entry(10), entry(90, sign=-1))
    assert {(row["basis"], row["sign"]): row["features"] for row in rows} == {
        ("answered", 1): '{"f":1.0}', ("answered", -1): None, ("absent", -1): None, ("absent", 1): '{"f":1.0}',
    }  # fmt: skip


def test_without_a_probability_of_being_asked_everything_weighs_the_same() -> None:
    assert {row["weight"] for row in [*silent(asked=None), *taught(entry(10), asked=None)]} == {1.0}


def test_sums_are_the_same_in_any_order_and_split() -> None:
    entries = [entry(10), entry(20, sign=-1), entry(20, 0.0), entry(90, 0.0, -1), entry(90)]
    whole = net(taught(*entries))
    for order in permutations(entries):
        assert net([*taught(*order[:2]), *taught(*order[2:])]) == whole
    assert net(taught()) == {}


def test_a_policy_that_is_no_longer_declared_takes_nothing_back_that_it_did_not_post() -> None:
    rows = examples(OUTCOME_LEDGER.frame([entry(10)]), INFERENCES.frame([served()]), definitions=[]).to_pylist()
    assert net(rows) == {("answered", 1.0, 60): 1}
    assert replace(NEGATIVE, absent=-0.0).presumed == 0.0
