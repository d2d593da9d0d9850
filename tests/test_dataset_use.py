"""What is done with releases: compared, explained, exported, asked for by command; and what an erasure leaves of them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.bronze.tables import EVENTS
from pipelines.cli import main
from pipelines.dataset import load
from pipelines.dataset.difference import diff
from pipelines.dataset.erased import succeed
from pipelines.dataset.export import export
from pipelines.dataset.manifest import Manifest, lake_of, manifests, named
from pipelines.dataset.path import explain
from pipelines.dataset.rebuild import rebuild
from pipelines.dataset.release import release
from pipelines.dataset.spec import load_spec, spec_of
from pipelines.dataset.tables import RELEASED, RELEASES
from pipelines.erasure.returned import forget_again
from pipelines.erasure.rewrite import drop
from pipelines.errors import ConfigError, HindsightError, InputError
from pipelines.gold.tables import EXAMPLES, OUTCOME_LEDGER
from pipelines.health.checks import checks
from pipelines.jobs import KEPT
from pipelines.lake import Lake
from pipelines.models import load_model
from pipelines.retrain import ledger
from pipelines.retrain.tables import RETRAININGS
from pipelines.silver.tables import FEEDBACK, INFERENCES, LABELLED
from tests.examples import DAY, FRONTIER, KIND, LATE, SIZE, START, append, back, example, lake_with
from tests.retraining import trigger

CONF = Path(__file__).parent.parent / "conf"
MANY = [example(number) for number in range(100)]
HERE = START + 3 * DAY


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lake_with(tmp_path / "lake", MANY)


def cut(root: Path, label: str = "late", as_of: Any = None, **said: Any) -> Manifest:
    return release(root, spec_of("m", label, said, "test"), as_of=as_of)


def suite(**kwargs: Any) -> str:
    """A gate that scores are held against."""
    rule = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "score", **kwargs}}
    return json.dumps({"expectations": [rule]})


def why(root: Path, before: Manifest, after: Manifest) -> dict[str, int]:
    return diff(lake_of(root), before, after).counts


# diff


def test_what_differs_is_told_with_its_reason(root: Path) -> None:
    """Of releases of two days: outcomes that moved, and rows that one of them has alone."""
    first = cut(root, as_of=HERE)
    later = HERE + timedelta(hours=5)
    moved, gone = MANY[0], MANY[1]
    append(root, EXAMPLES, [back(moved, known_at=later), {**moved, "number": 0.0, "known_at": later}, back(gone, known_at=later)])
    append(root, INFERENCES, [INFERENCES.row(request_id=gone["unit_id"])])
    second = cut(root, as_of=HERE + DAY)
    assert (first.rows, second.rows) == (48, 71)
    assert why(root, first, second) == {"came: newly mature": 24, "changed: corrected": 1, "went: withdrawn": 1}
    (changed,) = [one for one in diff(lake_of(root), first, second).changes if one.change == "changed"]
    assert (changed.unit_id, changed.before, changed.after) == ("r00000", "1", "0")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"window": "2 days"}, {"went: left the window": 24}),
        ({"segments": {"origin": ["JFK"]}}, {"went: left out by a filter": 10}),
        ({"sampling": "uniform", "size": 40}, {"went: sampled out": 8}),
        ({"split": ["time"], "embargo": "2 hours"}, {"went: left out by the split": 4}),
    ],
)
def test_what_another_question_leaves_out_is_told(root: Path, said: dict[str, Any], told: dict[str, int]) -> None:
    first, second = cut(root, as_of=HERE), cut(root, as_of=HERE, **said)
    assert why(root, first, second) == told
    opposite = {"left the window": "entered the window", "left out by a filter": "let in by a filter",
                "sampled out": "sampled in", "left out by the split": "let in by the split"}  # fmt: skip
    assert why(root, second, first) == {f"came: {opposite[reason[6:]]}": count for reason, count in told.items()}


def test_what_came_into_the_lake_later_was_backfilled(root: Path) -> None:
    first = cut(root, as_of=HERE)
    append(root, EXAMPLES, [example(200, served_at=START + timedelta(minutes=30))])
    second = cut(root, as_of=HERE + timedelta(minutes=1))
    assert why(root, first, second) == {"came: backfilled": 1, "came: newly mature": 1}
    assert cut(root, as_of=HERE).content != first.content
    assert load(root, first.name).num_rows == first.rows


def test_an_answer_after_silence_is_told(tmp_path: Path) -> None:
    silent = example(0, basis="absent", number=0.0)
    root = lake_with(tmp_path / "lake", [silent])
    first = cut(root, as_of=HERE)
    append(root, EXAMPLES, [back(silent, known_at=HERE), example(0, known_at=HERE)])
    second = cut(root)
    assert (why(root, first, second), why(root, second, first)) == ({"changed: answered": 1}, {"changed: withdrawn": 1})


def test_releases_of_two_labels_are_not_compared(tmp_path: Path) -> None:
    root = lake_with(tmp_path / "lake", [example(0), example(1, SIZE, number=2.0)])
    with pytest.raises(InputError) as found:
        diff(lake_of(root), cut(root), cut(root, "size"))
    assert found.value.code == "other_label"


# erasure


def erase(root: Path, *numbers: int) -> list[Manifest]:
    """What an erasure does to releases."""
    drop(root, RELEASED, pa.array(numbers, pa.int64()))
    return succeed(Lake(root), 4711)


def test_an_erasure_leaves_a_successor_that_says_so(root: Path) -> None:
    first, other = cut(root, sampling="balanced", split=["time"]), cut(root, as_of=START + timedelta(hours=26))
    held = load(root, first.name)["offset"].to_pylist()
    (second,) = erase(root, held[3], held[4])
    assert (second.name, second.supersedes, second.erased_by) == ("m/late/3", first.name, 4711)
    assert (second.rows, second.exclusions["erased"]) == (first.rows - 2, 2)
    assert load(root, second.name)["offset"].to_pylist() == [*held[:3], *held[5:]]
    with pytest.raises(InputError) as found:
        load(root, first.name)
    assert (found.value.code, second.name in found.value.message) == ("release_superseded", True)
    assert succeed(Lake(root), 4711) == []
    assert load(root, other.name).num_rows == other.rows
    assert why(root, first, second) == {"went: erased": 2}
    append(root, EXAMPLES, [back(MANY[number]) for number in held[3:5]])
    assert rebuild(lake_of(root), second).same


def test_whom_nobody_knows_any_more_was_erased(root: Path) -> None:
    first = cut(root)
    append(root, EXAMPLES, [back(MANY[7])])
    append(root, INFERENCES, [INFERENCES.row(request_id="r00000")])
    assert why(root, first, cut(root, as_of=FRONTIER - DAY)) == {"went: erased": 1}


def test_bytes_of_an_erased_row_are_in_no_live_file(root: Path) -> None:
    cut(root)
    erase(root, 3)
    live = [Path(file) for file in Lake(root).open(RELEASED).file_uris()]
    assert not [file for file in live if "r00003" in pq.read_table(file)["unit_id"].to_pylist()]


def test_a_rebuild_of_the_lake_keeps_releases() -> None:
    assert {table.name for table in KEPT} >= {"gold.releases", "gold.released"}


# explain


def test_a_row_is_walked_back_to_the_log(root: Path) -> None:
    found = cut(root)
    row = MANY[4]
    inference = INFERENCES.row(request_id="r00004", model="m", version="1", served_at=row["served_at"], status="ok", offset=4,
                               received_at=row["served_at"], source="log", partition=0)  # fmt: skip
    said = {"feedback_id": "f", "label": "late", "known_at": row["served_at"] + timedelta(hours=2), "given_at": row["served_at"]}
    vote = LABELLED.row(unit="request", unit_id="r00004", item="", number=1.0, action="assert", offset=900, partition=0, **said)
    assert LATE.policy is not None
    entry = OUTCOME_LEDGER.row(unit_id="r00004", item="", label="late", policy=LATE.policy.hash, number=1.0, sign=1,
                               known_at=said["known_at"])  # fmt: skip
    feedback = FEEDBACK.row(feedback_id="f", request_id="r00004", label="late", value=1.0, action="assert", offset=900)
    for table, told in ((INFERENCES, inference), (LABELLED, vote), (OUTCOME_LEDGER, entry), (FEEDBACK, feedback)):
        append(root, table, [told])
    append(root, EVENTS, [EVENTS.row(offset=at, payload=b"{}") for at in (4, 900)])
    path = explain(lake_of(root), found, "r00004")
    assert [(one["unit_id"], one["number"], one["offset"]) for one in path.rows] == [("r00004", 1.0, 4)]
    (outcome,) = path.path.outcomes
    assert [one.said.position.offset for one in outcome.votes] == [900]
    assert [one.sign for one in outcome.entries] == [1]
    smaller = cut(root, sampling="uniform", size=1)
    kept = load(root, smaller.name)["unit_id"].to_pylist()
    assert explain(lake_of(root), smaller, "r00004").left_out == ({} if kept == ["r00004"] else {"": "not_drawn"})


# export


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "huggingface"])
def test_every_format_holds_the_rows(root: Path, tmp_path: Path, form: str) -> None:
    found = cut(root, split=["time"])
    files = export(lake_of(root), found, form, tmp_path / "out")
    assert Manifest.of((tmp_path / "out" / "manifest.json").read_text()) == found
    data = {re.split(r"[-.]", file.name)[0]: file for file in files if file.suffix in (".parquet", ".csv", ".jsonl")}
    assert {split: len(_rows(file)) for split, file in data.items()} == found.splits
    (row, *_) = _rows(data["train"])
    assert {"unit_id", "label", "weight", "split", "distance", "carrier", "night", "segments.origin"} <= row.keys()
    assert (row["carrier"], float(row["distance"])) == ("UA", 100.0)


def _rows(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        return list(pq.read_table(file).to_pylist())
    text = file.read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines())) if file.suffix == ".csv" else [json.loads(line) for line in text.splitlines()]


def test_hugging_face_finds_its_splits(root: Path, tmp_path: Path) -> None:
    export(lake_of(root), cut(root, split=["request"]), "huggingface", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nconfigs:\n- config_name: default\n  data_files:\n  - split: ")
    named_in = re.findall(r"- split: (\w+)\n    path: (data/\w+-\*)\n", card)
    assert {split for split, _ in named_in} == {"train", "validation", "test"}
    for split, pattern in named_in:
        (file,) = (tmp_path / "out").glob(pattern)
        assert file.name == f"{split}-00000-of-00001.parquet"


def test_a_folder_that_holds_something_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError) as found:
        export(lake_of(root), cut(root), "csv", tmp_path)
    assert found.value.code == "folder_in_use"


def test_pairs_are_items_of_one_request_with_other_outcomes(tmp_path: Path) -> None:
    clicked = KIND.of({**KIND.body(), "label": "clicked", "policy": {**KIND.body()["policy"], "type": "number"}})
    rows = [example(request, clicked, item=item, number=value, served_at=START) for request, item, value in
            ((0, "a", 1.0), (0, "b", 0.0), (0, "c", 0.0), (1, "a", 1.0), (1, "b", 1.0), (2, "a", 0.0))]  # fmt: skip
    root = lake_with(tmp_path / "lake", rows, [clicked])

    def said(name: str, **told: Any) -> dict[str, Any]:
        told = {"request_id": "r00001", "action": "assert", "item": "b", "over_item": "a", "rater": "ann", **told}
        return FEEDBACK.row(feedback_id=name, label="clicked", received_at=START, given_at=START + timedelta(minutes=int(name)), **told)

    append(root, FEEDBACK, [said("1"), said("2", rater="bob"), said("3", rater="bob", action="withdraw", over_item=None),
                            said("4", rater=None, over_item="c"), said("5", rater=None, action="withdraw", target_feedback_id="4"),
                            said("6", request_id="r09999")])  # fmt: skip
    found = release(root, spec_of("m", "clicked", {}, "test"))
    export(lake_of(root), found, "pairs", tmp_path / "out")
    told = _rows(tmp_path / "out" / "train.jsonl")
    assert [(one["unit_id"], one["chosen"], one["rejected"], one["weight"], one["source"]) for one in told] == [
        ("r00000", "a", "b", 0.5, "items"),
        ("r00000", "a", "c", 0.5, "items"),
        ("r00001", "b", "a", 1.0, "over_item"),
    ]


def test_where_there_are_no_pairs_that_is_said(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        export(lake_of(root), cut(root), "pairs", tmp_path / "out")
    assert found.value.code == "no_pairs"
    assert not (tmp_path / "out").exists()


# asked for


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ({"windw": "1 day"}, "unknown_key", 'did you mean "window"'),
        ({"window": "soon"}, "bad_value", "such as"),
        ({"window": "0 days"}, "bad_value", "nothing was served in it"),
        ({"sampling": "uniform"}, "bad_value", "size"),
        ({"sampling": "stratified", "size": 5}, "bad_value", "by"),
        ({"by": ["origin"]}, "bad_value", "stratified"),
        ({"split": ["subject", "session"]}, "bad_value", "at most one"),
        ({"shares": [0.5, 0.5]}, "bad_value", "add up to 1"),
        ({"embargo": "1 day"}, "bad_value", "time"),
        ({"deduplicate": "yes"}, "wrong_type", "true or false"),
        ({"segments": {"origin": "JFK"}}, "wrong_type", "array"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(body: dict[str, Any], code: str, told: str) -> None:
    with pytest.raises(InputError) as found:
        spec_of("m", "late", body, "test")
    assert found.value.code == code
    assert told in found.value.message


def test_a_spec_reads_back_what_it_says() -> None:
    body = {"window": "90 days", "sampling": "stratified", "size": 9, "by": ["a"], "split": ["time", "subject"], "embargo": "36 hours",
            "segments": {"a": ["x"]}, "versions": ["2"], "texts": ["zip"], "deduplicate": True, "seed": 3}  # fmt: skip
    spec = spec_of("m", "late", body, "test")
    assert type(spec).of(json.loads(json.dumps(spec.body()))) == spec


MODEL = """model = "m"
[labels.late]
type = "binary"
positive = 1
attribution_window = "1 day"
absent = "negative"
resolve = "latest"
[segments]
origin = "any"
"""


def test_the_model_file_says_it_and_the_command_line_goes_over_it(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MODEL + '[dataset.late]\nsampling = "uniform"\nsize = 5\nseed = 2\n')
    load_model(tmp_path / "m.toml")
    found = load_spec(tmp_path, "m", "late", {"size": 9})
    assert (found.sampling, found.size, found.seed) == ("uniform", 9, 2)
    assert load_spec(tmp_path, "m", "other").sampling == "all"


@pytest.mark.parametrize(
    "section",
    ["[dataset.lat]", "[dataset.late]\nwindw = '1 day'", "[dataset.late]\nsampling = 'stratified'\nsize = 1\nby = ['x']"],
)
def test_a_model_file_with_a_wrong_section_is_refused(tmp_path: Path, section: str) -> None:
    (tmp_path / "m.toml").write_text(MODEL + section)
    with pytest.raises(ConfigError):
        load_model(tmp_path / "m.toml")


def command(root: Path, *words: str) -> int:
    return main(["dataset", *words, "--lake", str(root), "--conf", str(CONF)])


def test_the_commands_do_what_they_say(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    which = ("--model", "m", "--label", "late")
    assert command(root, "list") == 0
    assert "No release yet" in capsys.readouterr().out
    assert command(root, "release", *which, "--dry-run") == 0
    assert "would be released" in capsys.readouterr().out
    for words in (("--as-of", "2026-03-04"), ("--split", "time", "--segment", "origin=JFK")):
        assert command(root, "release", *which, *words) == 0
    assert "split time; shares 0.8, 0.1, 0.1" in capsys.readouterr().out
    found = manifests(Lake(root))[-1]
    assert found.splits["train"] > found.splits["test"]
    assert command(root, "list") == 0
    counts = [str(found.splits[name]) for name in ("train", "validation", "test")]
    assert re.search(r"\s+".join(map(re.escape, counts)), capsys.readouterr().out)
    assert command(root, "release", *which, "--split", "time", "--segment", "origin=JFK", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "m/late/2"
    assert command(root, "show", "m/late", "--json") == 0
    (tmp_path / "manifest.json").write_text(capsys.readouterr().out)
    for words in (("list",), ("show", "m/late/1"), ("diff", "m/late/1", "m/late/2"), ("rebuild", "m/late/1"),
                  ("rebuild", str(tmp_path / "manifest.json")), ("export", "m/late", "--to", str(tmp_path / "out"))):  # fmt: skip
        assert command(root, *words) == 0, words
    told = capsys.readouterr().out
    assert all(word in told for word in ("m/late/2", "newly mature", "the same 48 rows again", "train.parquet"))


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("unknown_release", 2, "show m/late/7"),
        ("unknown_model", 2, "release --model n --label late"),
        ("unknown_segment", 2, "release --model m --label late --segment orgin=JFK"),
        ("unknown_segment", 2, "release --model m --label late --sampling stratified --size 9 --by orgin"),
        ("bad_value", 2, "release --model m --label late --window soon"),
        ("bad_usage", 2, "release --model m --label late --sampling some"),
        ("not_a_time", 2, "release --model m --label late --as-of then"),
        ("as_of_above_frontier", 2, "release --model m --label late --as-of 2027-01-01"),
        ("not_a_manifest", 2, f"rebuild {Path(__file__).parent.parent / 'pyproject.toml'}"),
    ],
)
def test_what_cannot_be_done_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str], code: str, exit_code: int, words: str
) -> None:
    assert command(root, *words.split(), "--json") == exit_code
    assert json.loads(capsys.readouterr().out)["error"] == code


@pytest.mark.parametrize(
    ("error", "place", "files"),
    [
        (("suite_invalid", 3), "m.json", ('{"expectations": [', '{"expectations": []}')),
        (("suite_invalid", 3), "expectations[0].kwargs.min_valu", (suite(min_valu=0), suite(min_value=0))),
        (("gate_failed", 1), "score", (suite(min_value=0.95), suite(min_value=0))),
    ],
    ids=["no JSON", "an unknown argument", "a rule that does not hold"],
)
def test_where_a_gate_says_no_nothing_is_released_and_asked_again_it_is(
    root: Path, capsys: pytest.CaptureFixture[str], error: tuple[str, int], place: str, files: tuple[str, str]
) -> None:
    conf, (wrong, right) = root.parent / "conf", files
    file = conf / "expectations" / "m.json"
    file.parent.mkdir(parents=True)
    shutil.copy(CONF / "settings.toml", conf)
    asked = ["dataset", "release", "--model", "m", "--label", "late", "--lake", str(root), "--conf", str(conf), "--json"]
    file.write_text(wrong)
    code = main(asked)
    said = json.loads(capsys.readouterr().out)
    assert ((said["error"], code), place in said["message"]) == (error, True)
    assert not Lake(root).exists(RELEASES)
    file.write_text(right)
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "m/late/1"


def test_a_release_without_rows_leaves_nothing_and_asked_for_more_it_is_made(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("release", "--model", "m", "--label", "late", "--json")
    assert command(root, *asked, "--version", "none") == 2
    assert json.loads(capsys.readouterr().out)["error"] == "no_examples"
    assert not Lake(root).exists(RELEASES)
    assert command(root, *asked) == 0


def test_an_old_copy_of_releases_is_noticed_and_asked_again_they_are_whole(root: Path, tmp_path: Path) -> None:
    first = cut(root, as_of=HERE)
    for table in (RELEASED, RELEASES):
        shutil.copytree(Lake(root).path(table), tmp_path / table.name)
    second = cut(root)
    for table in (RELEASED, RELEASES):
        shutil.rmtree(Lake(root).path(table))
        shutil.copytree(tmp_path / table.name, Lake(root).path(table))
        assert [table.name in check.found for check in checks(root) if check.name == "Decisions"] == [True]
        assert cut(root) == second
        assert (load(root, first.name).num_rows, load(root, second.name).num_rows) == (first.rows, second.rows)


def test_an_old_copy_of_a_release_brings_nobody_back_who_was_erased(root: Path, tmp_path: Path) -> None:
    whole = cut(root)
    shutil.copytree(Lake(root).path(RELEASED), tmp_path / "backup")
    (left,) = erase(root, 3)
    (root / "_erasures").mkdir()
    (root / "_erasures" / "4711.json").write_text(json.dumps({"erasure": "4711", "offsets": [[3, 3]]}))
    shutil.rmtree(Lake(root).path(RELEASED))
    shutil.copytree(tmp_path / "backup", Lake(root).path(RELEASED))
    forget_again(Lake(root))
    assert [one.name for one in manifests(Lake(root))] == [whole.name, left.name]
    assert "r00003" not in load(root, left.name)["unit_id"].to_pylist()


def test_a_name_that_a_retraining_learnt_from_is_given_once(root: Path) -> None:
    lake, lost = Lake(root), ledger.first(trigger(), 1) | {"release": "m/late/4"}
    lake.create(RETRAININGS)
    ledger.append(lake, "released", lost)
    assert cut(root).name == "m/late/5"


def test_another_rebuild_than_the_manifest_says_is_a_check_that_failed(root: Path) -> None:
    found = cut(root)
    append(root, EXAMPLES, [back(MANY[0])])
    assert command(root, "rebuild", found.name) == 1


def test_there_is_no_release_of_no_lake(tmp_path: Path) -> None:
    with pytest.raises(HindsightError) as found:
        load(tmp_path, "m/late/1")
    assert found.value.code == "no_lake"
    assert manifests(Lake(tmp_path)) == []
    with pytest.raises(InputError):
        named(Lake(tmp_path), "m/late")
