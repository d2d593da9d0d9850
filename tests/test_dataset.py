"""Releases: what is in one, why, and that it stays. On lakes with examples as the jobs would have written them; no Spark."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.contract import Table
from pipelines.dataset import load
from pipelines.dataset import manifest as manifests
from pipelines.dataset.manifest import Manifest, lake_of, named
from pipelines.dataset.rebuild import rebuild
from pipelines.dataset.release import cut as cut_rows
from pipelines.dataset.release import release
from pipelines.dataset.spec import Spec, spec_of
from pipelines.dataset.standing import standing
from pipelines.dataset.tables import RELEASED, RELEASES
from pipelines.errors import CheckError, InputError
from pipelines.gold.tables import EXAMPLES
from pipelines.lake import Lake
from tests.examples import DAY, FRONTIER, KIND, LATE, SIZE, START, append, back, example, lake_with

MANY = [example(number) for number in range(400)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of four hundred examples, one an hour, a quarter of them positive."""
    return lake_with(tmp_path_factory.mktemp("many") / "lake", MANY)


def asked(label: str = "late", **said: Any) -> Spec:
    return spec_of("m", label, said, "test")


def cut(root: Path, label: str = "late", **said: Any) -> tuple[Manifest, pa.Table]:
    """A release and its rows."""
    found = release(root, asked(label, **said))
    return found, load(root, found.name)


def refused(root: Path, **said: Any) -> InputError:
    with pytest.raises(InputError) as found:
        release(root, asked(**said))
    return found.value


# what stands


def test_signs_cancel_and_what_was_stated_last_stands() -> None:
    first = example(0, number=0.0)
    second = example(0, number=1.0, known_at=START + 3 * DAY)
    again = example(0, number=0.0, known_at=START + 5 * DAY)
    rows = [first, back(first, known_at=START + 3 * DAY), second, back(second, known_at=START + 5 * DAY), again]
    for told in (rows, rows[::-1]):
        (row,) = standing(EXAMPLES.frame(told)).to_pylist()
        assert (row["number"], row["known_at"], row["features"]) == (0.0, START + 5 * DAY, first["features"])
    assert standing(EXAMPLES.frame(rows[:2])).num_rows == 0


def test_an_answer_takes_the_place_of_silence(tmp_path: Path) -> None:
    silent = example(0, basis="absent", number=0.0)
    rows = [silent, example(1, basis="absent", number=0.0), back(silent), example(0, number=1.0)]
    found, rows_of = cut(lake_with(tmp_path / "lake", rows))
    assert rows_of.select(["unit_id", "basis", "label"]).to_pylist() == [
        {"unit_id": "r00000", "basis": "answered", "label": 1.0},
        {"unit_id": "r00001", "basis": "absent", "label": 0.0},
    ]
    assert found.classes == {"0": 1, "1": 1}


def test_as_of_a_time_is_what_was_known_before_it_whatever_comes_later(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", MANY[:48])
    at = START + 2 * DAY
    before = release(root, asked(), as_of=at)
    assert before.rows == 24
    assert pc.max(load(root, before.name)["known_at"]).as_py() < at
    append(root, EXAMPLES, [*MANY[48:], back(MANY[0], known_at=at), example(0, number=0.0, known_at=at)])
    assert release(root, asked(), as_of=at) == before
    assert rebuild(lake_of(root), before).same
    after = release(root, asked())
    assert (after.rows, after.name) == (400, "m/late/2")


def test_above_the_frontier_nothing_is_released(many: Path) -> None:
    with pytest.raises(InputError) as found:
        release(many, asked(), as_of=FRONTIER + timedelta(microseconds=1))
    assert found.value.code == "as_of_above_frontier"


def test_another_policy_has_other_examples(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", [*MANY[:5], example(9, policy="0" * 16)])
    assert cut(root)[0].rows == 5


def test_a_binary_label_is_one_or_zero_whatever_was_sent(tmp_path: Path) -> None:
    said = Spec("m", "late")
    worded = LATE.of({**LATE.body(), "positive": "yes"})
    rows = [example(0, number=None, text="yes"), example(1, number=None, text="no"), example(2, basis="absent", number=0.0)]
    root = lake_with(tmp_path / "lake", rows, [worded])
    assert load(root, release(root, said).name)["label"].to_pylist() == [1.0, 0.0, 0.0]


# filters, and what is left out


def test_filters_leave_out_and_are_counted(many: Path) -> None:
    found, rows = cut(many, window="50 days", segments={"origin": ["LGA"]}, basis=["answered"])
    assert set(rows["segments"].to_pylist()[0]) == {("origin", "LGA")}
    assert found.exclusions == {"other_segment": 128}
    assert found.rows == 32
    assert cut(many, versions=["1"])[0].rows == 400


def test_of_repetitions_the_first_stays(tmp_path: Path) -> None:
    same = json.dumps({"b": 1, "a": "x"}), json.dumps({"a": "x", "b": 1})
    rows = [example(number, features=same[number % 2], number=float(number == 3)) for number in range(4)]
    found, kept = cut(lake_with(tmp_path / "lake", rows), deduplicate=True)
    assert kept["unit_id"].to_pylist() == ["r00000", "r00003"]
    assert found.exclusions == {"duplicate": 2}


def test_where_nothing_is_left_the_filter_that_took_the_last_is_named(many: Path, tmp_path: Path) -> None:
    for said, told in (
        ({"window": "1 day"}, "400 examples, all served before the window of 1 day"),
        ({"versions": ["9"]}, "left out: 400 other version. The last went by: other version"),
        ({"versions": ["1"], "segments": {"origin": ["EWR"]}, "window": "50 days"}, "The last went by: other segment"),
    ):
        error = refused(many, **said)
        assert error.code == "no_examples"
        assert told in error.message
    assert "no example is known yet" in refused(lake_with(tmp_path / "lake", [example(0, policy="0" * 16)])).message


# sampling


@pytest.mark.parametrize(
    "said",
    [{"sampling": "uniform", "size": 100}, {"sampling": "balanced"}, {"sampling": "balanced", "size": 80},
     {"sampling": "stratified", "size": 50, "by": ["origin"]}],
)  # fmt: skip
def test_weights_add_up_to_all_there_are(many: Path, said: dict[str, Any]) -> None:
    found, rows = cut(many, **said)
    assert found.rows == said.get("size", 200)
    assert pc.sum(rows["weight"]).as_py() == pytest.approx(400)
    if said["sampling"] != "uniform":
        share = pc.sum(pc.multiply(rows["weight"], rows["label"])).as_py() / 400
        assert share == pytest.approx(0.25, abs=0.1 if said["sampling"] == "stratified" else 1e-9)


def test_classes_are_balanced_and_weights_undo_it(many: Path) -> None:
    found, rows = cut(many, sampling="balanced", size=80)
    assert found.classes == {"0": 40, "1": 40}
    assert dict(Counter(zip(rows["label"].to_pylist(), rows["weight"].to_pylist(), strict=True))) == {(0.0, 7.5): 40, (1.0, 2.5): 40}


def test_strata_keep_their_proportions(many: Path) -> None:
    _, rows = cut(many, sampling="stratified", size=50, by=["origin"])
    assert Counter(dict(one)["origin"] for one in rows["segments"].to_pylist()) == {"JFK": 40, "LGA": 10}


def test_own_weights_are_multiplied(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", [example(number, weight=2.0) for number in range(100)])
    _, rows = cut(root, sampling="uniform", size=25)
    assert set(rows["weight"].to_pylist()) == {8.0}


@pytest.mark.parametrize("sampling", ["uncertainty", "disagreement"])
def test_importance_is_drawn_for_and_weighted_back(tmp_path: Path, sampling: str) -> None:
    lake, sizes, totals = Lake(lake_with(tmp_path / "lake", [{**row, "served_date": START.date()} for row in MANY])), [], []
    for seed in range(1, 9):
        _, rows = cut_rows(lake, asked(sampling=sampling, size=100, seed=seed), LATE, FRONTIER)
        sizes.append(rows.num_rows)
        totals.append(pc.sum(rows["weight"]).as_py())
    assert sum(sizes) / len(sizes) == pytest.approx(100, rel=0.1)
    assert sum(totals) / len(totals) == pytest.approx(400, rel=0.15)
    score, label = (rows[name].to_numpy() for name in ("score", "number"))
    doubt = 1 - abs(2 * score - 1) if sampling == "uncertainty" else abs(label - score)
    assert doubt.mean() > 0.1 + sum(1 - abs(2 * row["score"] - 1) if sampling == "uncertainty" else abs(row["number"] - row["score"])
                                    for row in MANY) / len(MANY)  # fmt: skip


def test_a_draw_goes_by_seed_and_unit_alone(many: Path, tmp_path: Path) -> None:
    ids = [set(cut(many, sampling="uniform", size=100, seed=seed)[1]["unit_id"].to_pylist()) for seed in (1, 2)]
    assert len(ids[0] & ids[1]) < 50
    turned = lake_with(tmp_path / "lake", MANY[::-1])
    assert set(cut(turned, sampling="uniform", size=100)[1]["unit_id"].to_pylist()) == ids[0]


def test_numbers_have_no_classes_to_balance(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", [example(0, SIZE, number=2.5)])
    with pytest.raises(InputError) as found:
        release(root, asked("size", sampling="balanced"))
    assert found.value.code == "no_classes"
    assert cut(root, "size")[1]["label"].to_pylist() == [2.5]


# splits


def test_by_time_train_is_before_validation_before_test_with_an_embargo(many: Path) -> None:
    found, rows = cut(many, split=["time"], embargo="6 hours")
    at = {name: rows.filter(pc.equal(rows["split"], name))["served_at"].to_pylist() for name in found.splits}
    assert {name: len(times) for name, times in at.items()} == found.splits == {"train": 314, "validation": 34, "test": 40}
    for earlier, later in (("train", "validation"), ("validation", "test")):
        assert min(at[later]) - max(at[earlier]) > timedelta(hours=6)
    assert found.exclusions == {"embargo": 12}


@pytest.mark.parametrize("group", ["subject", "session", "request"])
def test_by_group_nobody_is_in_two_splits(tmp_path: Path, group: str) -> None:
    rows = [example(number, session=f"t{number % 11}", subject=f"s{number % 40}") for number in range(400)]
    found, kept = cut(lake_with(tmp_path / "lake", rows), split=[group], shares=[0.5, 0.25, 0.25])
    who = {row["unit_id"]: row[group] if group != "request" else row["unit_id"] for row in rows}
    places: dict[str, set[str]] = {}
    for unit, split in zip(kept["unit_id"].to_pylist(), kept["split"].to_pylist(), strict=True):
        places.setdefault(str(who[unit]), set()).add(split)
    assert {len(one) for one in places.values()} == {1}
    assert found.rows == 400
    assert all(found.splits.values())


def test_by_both_at_once_each_holds(tmp_path: Path) -> None:
    rows = [example(number, subject=f"s{number % 40}") for number in range(400)]
    found, kept = cut(lake_with(tmp_path / "lake", rows), split=["time", "subject"], shares=[0.5, 0.25, 0.25])
    who = {row["unit_id"]: row["subject"] for row in rows}
    groups = {name: {who[unit] for unit in kept.filter(pc.equal(kept["split"], name))["unit_id"].to_pylist()} for name in found.splits}
    times = {name: kept.filter(pc.equal(kept["split"], name))["served_at"].to_pylist() for name in found.splits}
    assert not groups["train"] & groups["test"] | groups["train"] & groups["validation"] | groups["validation"] & groups["test"]
    assert max(times["train"]) < min(times["validation"]) < max(times["validation"]) < min(times["test"])
    assert found.exclusions["other_split"] == 400 - found.rows > 0


# rows and their types


def test_features_are_columns_of_one_type_each(tmp_path: Path) -> None:
    said = [{"n": 1, "b": True, "score": 7}, {"n": 2.5, "t": "x"}, {"n": None, "none": None}]
    rows = [example(number, features=json.dumps(one)) for number, one in enumerate(said)]
    found, kept = cut(lake_with(tmp_path / "lake", [*rows, example(3, features=None)]))
    assert found.schema["features"] == {"b": "boolean", "n": "number", "none": "number", "score": "number", "t": "text"}
    assert kept.select(["n", "b", "t", "feature.score", "none"]).to_pylist() == [
        {"n": 1.0, "b": True, "t": None, "feature.score": 7.0, "none": None},
        {"n": 2.5, "b": None, "t": "x", "feature.score": None, "none": None},
        *[dict.fromkeys(("n", "b", "t", "feature.score", "none"))] * 2,
    ]


def test_a_feature_of_two_types_is_refused_or_taken_as_text(tmp_path: Path) -> None:
    rows = [example(number, features=json.dumps({"zip": value})) for number, value in enumerate([None, 10115, "SW1A", True, 0.5])]
    root = lake_with(tmp_path / "lake", rows)
    error = refused(root)
    assert error.code == "feature_mixed"
    assert all(word in error.message for word in ('"zip"', "r00001", "r00002"))
    assert manifests.manifests(lake_of(root)) == []
    assert cut(root, texts=["zip"])[1]["zip"].to_pylist() == [None, "10115", "SW1A", "true", "0.5"]


def test_categories_are_texts(tmp_path: Path) -> None:
    rows = [example(number, KIND, number=None, text="ab"[number % 2], item=f"i{number}") for number in range(4)]
    found, kept = cut(lake_with(tmp_path / "lake", rows), "kind", sampling="balanced")
    assert kept["label"].to_pylist() == ["a", "b", "a", "b"]
    assert found.classes == {"a": 2, "b": 2}


# what a release is


def test_the_same_question_is_the_same_release(many: Path) -> None:
    first = release(many, asked(sampling="uniform", size=10, seed=77))
    assert release(many, asked(sampling="uniform", size=10, seed=77)) == first
    assert release(many, asked(sampling="uniform", size=10, seed=78)).digest != first.digest
    assert named(lake_of(many), first.digest) == named(lake_of(many), first.name) == first


def test_a_dry_run_keeps_nothing(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", MANY[:9])
    found = release(root, asked(), dry_run=True)
    assert (found.name, found.rows) == ("", 9)
    assert not Lake(root).exists(RELEASES)


@pytest.mark.parametrize("table", [RELEASED, RELEASES])
def test_a_crash_leaves_nothing_half_released_and_asked_again_it_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    root, append_to = lake_with(tmp_path / "lake", MANY[:50]), Lake.append

    def crashing(self: Lake, into: Table, *given: Any) -> int:
        if into == table:
            raise KeyboardInterrupt
        return append_to(self, into, *given)

    monkeypatch.setattr(Lake, "append", crashing)
    with pytest.raises(KeyboardInterrupt):
        release(root, asked())
    monkeypatch.undo()
    assert manifests.manifests(lake_of(root)) == []
    append(root, EXAMPLES, MANY[50:60])
    before = Lake(root).read(RELEASED).num_rows
    found = release(root, asked(), as_of=MANY[49]["known_at"] + timedelta(seconds=1))
    assert (found.rows, before) == (50, 50 if table == RELEASES else 0)
    assert load(root, found.name).num_rows == 50


def test_on_another_machine_the_same_examples_give_the_same_content(many: Path, tmp_path: Path) -> None:
    found = release(many, asked(sampling="balanced", split=["time", "subject"], window="50 days"))
    other = lake_with(tmp_path / "lake", [])
    for start in range(0, 400, 130):
        append(other, EXAMPLES, MANY[start : start + 130][::-1])
    assert rebuild(lake_of(other), Manifest.of(json.dumps(manifests.asdict(found)))).content == found.content
    assert release(other, asked(sampling="balanced", split=["time", "subject"], window="50 days")).digest == found.digest


def test_rows_that_are_not_what_was_released_are_noticed(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", MANY[:5])
    found = release(root, asked())
    append(root, RELEASED, [RELEASED.row(release=found.digest)])
    with pytest.raises(Exception, match="release_damaged"):
        load(root, found.name)


def test_what_cannot_be_loaded_is_named(many: Path) -> None:
    release(many, asked())
    for name, split, code in (("m/late/99", None, "unknown_release"), ("m/late/1", "tset", "unknown_split")):
        with pytest.raises(InputError) as found:
            load(many, name, split)
        assert found.value.code == code


# gates


def verdict(*, passed: bool) -> Any:
    rule = {"rule": "expect_column_values_to_be_between", "column": "score", "unexpected": 3, "examples": [1.5, 2.5], "passed": passed}
    return SimpleNamespace(rules=[SimpleNamespace(**rule)], docs="file:///page.html")


def test_a_gate_sees_the_rows_and_its_verdict_is_kept(tmp_path: Path) -> None:
    root, seen = lake_with(tmp_path / "lake", MANY[:30]), []
    found = release(root, asked(), gate=lambda rows: seen.append(rows) or verdict(passed=True))
    assert seen[0].num_rows == 30
    assert found.gates == [{"rule": "expect_column_values_to_be_between", "column": "score", "unexpected": 3, "passed": True}]


def test_a_failed_gate_names_the_rule_and_the_older_release_stays(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", MANY[:30])
    older = release(root, asked(), as_of=START + 2 * DAY)
    with pytest.raises(CheckError) as found:
        release(root, asked(), gate=lambda _: verdict(passed=False))
    assert found.value.code == "gate_failed"
    assert all(word in found.value.message for word in ("score", "3 rows", "1.5", "page.html"))
    assert manifests.manifests(lake_of(root)) == [older]
