"""A file of somebody's own: looked at, guessed, explained, and imported with what was guessed."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from pipelines.cli import main
from pipelines.errors import ConfigError, InputError
from pipelines.importing import import_files
from pipelines.log.embedded import EmbeddedLog
from pipelines.log.source import bronze
from pipelines.mapping import load_mapping
from pipelines.models import load_model
from pipelines.onboarding import Draft, init_model
from pipelines.silver.parse import parse

T0 = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A conf folder of somebody's own."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "settings.toml").touch()
    return tmp_path / "conf"


def init(name: str, file: Path, conf: Path) -> tuple[Path, Path]:
    """The model file and the mapping."""
    draft = init_model(name, file, conf)
    return draft.model, draft.mapping


def csv(folder: Path, header: str, rows: list[str], name: str = "own.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def imported(folder: Path, file: Path, model: Path, mapping: Path) -> list[dict[str, Any]]:
    """What refine makes of every record of the import: the columns of PARSED, under the guessed model file."""
    log = EmbeddedLog(folder / "log.sqlite")
    import_files([file], log, state_dir=folder / "imports", mapping=mapping, claimed=True, frontier=True)
    events = pa.concat_tables([bronze(append, 0, log.end()) for append in log.read(0, log.end())])
    log.close()
    found: list[dict[str, Any]] = parse(events, definitions=load_model(model)).to_pylist()
    return found


def churn(folder: Path, count: int = 200) -> Path:
    """Customers of a telephone company: epoch milliseconds, labels as texts, naive times, gaps, a column of notes."""
    seed = random.Random(7)
    rows = []
    for i in range(count):
        at = T0 + timedelta(minutes=i)
        told = (at + timedelta(days=seed.randint(1, 20))).strftime("%Y-%m-%d %H:%M:%S")
        label = ("yes" if i % 4 == 0 else "no") if i % 7 else ""
        latency = "NA" if i % 10 == 0 else f"{seed.random() * 20:.2f}"
        rows.append(
            f"C-{i:04d},{int(at.timestamp() * 1000)},{seed.random():.4f},{seed.choice(['basic', 'pro'])},{latency},"
            f"{label},{told if label else ''},note {i}"
        )
    return csv(folder, "Customer ID,scored_at,churn_probability,plan,latency_ms,churned,churned_at,notes", rows)


def test_a_churn_file_goes_the_whole_way_without_a_single_refusal(tmp_path: Path, conf: Path) -> None:
    file = churn(tmp_path)
    found = imported(tmp_path, file, *init("churn", file, conf))
    assert {row["reason"] for row in found} == {None}
    kinds = [row["kind"] for row in found]
    assert kinds.count("inference") == 200
    assert kinds.count("feedback") == 200 - len(range(0, 200, 7))
    assert kinds.count("control") == 1


def test_the_guessed_model_file_declares_what_the_columns_hold(tmp_path: Path, conf: Path) -> None:
    model, _ = init("churn", churn(tmp_path), conf)
    service, churned = load_model(model)
    assert service.measures == ("latency_ms",)
    assert service.segments == (("plan", ("basic", "pro")),)
    assert service.cuts == ((), ("plan",))
    assert churned.policy is not None
    assert (churned.label, churned.policy.type) == ("churned", "binary")
    assert (churned.positive, churned.threshold) == ("yes", 0.5)
    assert timedelta(seconds=churned.policy.window) == timedelta(days=30)


def test_every_guess_is_explained_beside_it(tmp_path: Path, conf: Path) -> None:
    model, mapping = init("churn", churn(tmp_path), conf)
    text = mapping.read_text(encoding="utf-8")
    assert '# "Customer ID": its name speaks of "id".\nrequest_id = "Customer ID"' in text
    assert 'served_at = {column = "scored_at", as = "milliseconds"}' in text
    assert "A guess, for churned_at" in text
    assert 'null = ["NA"]' in text
    assert 'never enters the lake: "notes"' in text
    assert "It holds no (" in model.read_text(encoding="utf-8")


def test_nothing_is_overwritten(tmp_path: Path, conf: Path) -> None:
    file = churn(tmp_path)
    model, mapping = init("churn", file, conf)
    model.unlink()
    mapping.write_text("# mine", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        init("churn", file, conf)
    assert caught.value.code == "file_exists"
    assert not model.exists()
    assert mapping.read_text(encoding="utf-8") == "# mine"


def test_a_file_of_labels_alone_gives_feedback_alone(tmp_path: Path, conf: Path) -> None:
    rows = [f"r{i},{i % 2},{(T0 + timedelta(hours=i)).isoformat()},anna" for i in range(9)]
    file = csv(tmp_path, "request_id;fraud;reviewed_at;reviewer", [row.replace(",", ";") for row in rows])
    model, mapping = init("cards", file, conf)
    assert [section.kind for section in load_mapping(mapping).sections] == ["feedback"]
    found = imported(tmp_path, file, model, mapping)
    assert [row["kind"] for row in found] == ["feedback"] * 9 + ["control"]
    assert found[1]["feedback"]["value"] == 1
    assert found[1]["feedback"]["rater"] == "anna"


@pytest.mark.parametrize(
    ("foretold", "came", "said"),
    [
        ([0, 1], [1, 0], ("prediction", 1)),
        ([0.1, 0.7, 0.2], [1, 0], ("score", 0.7)),
        (["no", "yes"], ["yes", "no"], ("prediction_text", "yes")),
    ],
    ids=str,
)
def test_what_will_be_is_the_prediction_and_not_the_label(
    tmp_path: Path, conf: Path, foretold: list[Any], came: list[Any], said: tuple[str, Any]
) -> None:
    times = [(T0 + timedelta(hours=i)).isoformat() for i in range(10)]
    rows = [f"c{i},{times[i]},{foretold[i % len(foretold)]},{came[i % 2]},{times[i + 1]}" for i in range(9)]
    file = csv(tmp_path, "id,scored_at,will_churn,churn,churn_at", rows)
    model, mapping = init("churn", file, conf)
    assert load_model(model)[1].label == "churn"
    found = imported(tmp_path, file, model, mapping)
    assert {row["reason"] for row in found} == {None}
    assert Counter(row["kind"] for row in found) == {"inference": 9, "feedback": 9, "control": 1}
    (second,) = [row["inference"] for row in found if row["kind"] == "inference" and row["event_id"] == "c1"]
    assert (second[said[0]], second["request_id"]) == (said[1], "c1")


@pytest.mark.parametrize("name", ["goodwill", "willing"])
def test_will_is_a_word_of_its_own(tmp_path: Path, conf: Path, name: str) -> None:
    rows = [f"c{i},{(T0 + timedelta(hours=i)).isoformat()},{i % 2}" for i in range(9)]
    draft = init_model("x", csv(tmp_path, f"id,scored_at,{name}", rows), conf)
    assert became(draft) == {"id": "request_id", "scored_at": "served_at", name: "left out"}


def test_a_number_to_forecast_is_a_number_label(tmp_path: Path, conf: Path) -> None:
    rows = [f"{i},2024-03-{i + 1:02d},{i * 1.5},{i * 1.4}" for i in range(9)]
    file = csv(tmp_path, "order_id,date,forecast,actual", rows)
    model, mapping = init("demand", file, conf)
    label = load_model(model)[1]
    assert label.policy is not None
    assert (label.policy.type, label.judges) == ("number", "prediction")
    assert {row["kind"] for row in imported(tmp_path, file, model, mapping)} == {"inference", "feedback", "control"}


def test_texts_of_several_kinds_are_a_category_even_where_some_look_like_numbers(tmp_path: Path, conf: Path) -> None:
    classes = ["cat", "dog", "01"]
    rows = [{"uuid": f"u{i}", "timestamp": (T0 + timedelta(hours=i)).isoformat(), "prediction": classes[i % 3],
             "label": classes[i % 2 * 2]} for i in range(9)]  # fmt: skip
    rows[0]["label"] = "dog"
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model, mapping = init("animals", file, conf)
    label = load_model(model)[1]
    assert label.policy is not None
    assert (label.policy.type, label.classes) == ("category", ("01", "cat", "dog"))
    found = imported(tmp_path, file, model, mapping)
    assert {row["reason"] for row in found} == {None}
    assert found[4]["inference"]["prediction_text"] == "01"


def test_a_parquet_file_of_predictions_without_labels_or_ids(tmp_path: Path, conf: Path) -> None:
    table = pa.table(
        {
            "ts": pa.array([T0 + timedelta(seconds=i) for i in range(9)], pa.timestamp("ns", "UTC")),
            "y_pred": [i % 2 == 0 for i in range(9)],
            "country": ["NA", "DE", "NA"] * 3,
        }
    )
    file = tmp_path / "own.parquet"
    parquet.write_table(table, file)
    model, mapping = init("plain", file, conf)
    assert "# TODO label: no column looked like a label" in model.read_text(encoding="utf-8")
    found = imported(tmp_path, file, model, mapping)
    assert [row["kind"] for row in found] == ["inference"] * 9 + ["control"]
    assert len({row["event_id"] for row in found[:9]}) == 9
    assert found[0]["inference"]["segments"] == [("country", "NA")]


def test_what_is_missing_is_marked_and_told_and_nothing_is_refused(tmp_path: Path, conf: Path) -> None:
    draft = init_model("x", csv(tmp_path, "colour,size", ["red,1.5", "blue,2", "red,2"]), conf)
    assert [missing.split(":")[0] for missing in draft.missing] == ["served_at", "prediction", "label"]
    text = draft.mapping.read_text(encoding="utf-8")
    assert "# TODO served_at: no column looked like the time of the prediction. Candidates: none was found." in text
    assert '# TODO prediction: no column looked like a prediction, or a score from 0 to 1. Candidates: "colour"' in text
    assert "# TODO label: no column looked like a label; declare one. Candidates:" in draft.model.read_text()
    load_model(draft.model)
    with pytest.raises(ConfigError, match=r"inference\.served_at: missing"):
        load_mapping(draft.mapping)


FRAUD = "txn #,When Scored,P(fraud),flag,Merchant Country,chargeback?,chargeback ts,ms"


def fraud(folder: Path, count: int = 60) -> Path:
    """Payments of which some were charged back nine days later; of the newest, nothing is known yet."""
    rows = []
    for i in range(count):
        at, known = T0 + timedelta(minutes=i), i < 50
        told = (at + timedelta(days=9)).isoformat() if known else ""
        rows.append(
            f"{7000 + i},{at.isoformat()},{i * 7 % 60 / 60:.3f},{int(i % 5 == 0)},{'DE' if i % 2 else 'FR'},"
            f"{int(i % 4 == 0) if known else ''},{told},{5 + i % 9}"
        )
    return csv(folder, FRAUD, rows)


def became(draft: Draft) -> dict[str, str]:
    return {column.column: column.became for column in draft.columns}


def test_content_decides_where_names_do_not(tmp_path: Path, conf: Path) -> None:
    draft = init_model("fraud", fraud(tmp_path), conf)
    assert became(draft) == {
        "txn #": "request_id",
        "When Scored": "served_at",
        "P(fraud)": "score",
        "flag": "prediction",
        "Merchant Country": "segment",
        "chargeback?": "label",
        "chargeback ts": "given_at",
        "ms": "measure",
    }
    assert draft.missing == ()
    assert "The longest delay in the file is 9 days." in draft.model.read_text(encoding="utf-8")
    found = imported(tmp_path, fraud(tmp_path), draft.model, draft.mapping)
    assert Counter(row["kind"] for row in found) == {"inference": 60, "feedback": 50, "control": 1}
    assert {row["reason"] for row in found} == {None}


def test_names_that_say_nothing_at_all_are_told_by_what_they_hold(tmp_path: Path, conf: Path) -> None:
    rows = [
        f"k{i},{T0 + timedelta(hours=i + 1) if i % 3 else ''},{T0 + timedelta(hours=i)},{i / 100},{i % 2 if i % 3 else ''}"
        for i in range(30)
    ]
    draft = init_model("x", csv(tmp_path, "a,b,c,d,e", rows), conf)
    assert became(draft) == {"a": "request_id", "b": "given_at", "c": "served_at", "d": "score", "e": "label"}


def test_times_and_numbers_as_germans_write_them(tmp_path: Path, conf: Path) -> None:
    rows = [f"{100 + i};{i + 1:02d}.01.2026 08:00;{f'{i / 40:.3f}'.replace('.', ',')};{i % 2}" for i in range(28)]
    file = csv(tmp_path, "Vorgang;Zeit;Wert;Betrug", rows)
    draft = init_model("betrug", file, conf)
    assert became(draft) == {"Vorgang": "request_id", "Zeit": "served_at", "Wert": "score", "Betrug": "left out"}
    assert draft.missing == ('label: no column looked like a label; it could be "Betrug"',)
    assert "not RFC 3339" in draft.notes[0]
    assert 'served_at = {column = "Zeit", format = "%d.%m.%Y %H:%M"}' in draft.mapping.read_text(encoding="utf-8")
    found = imported(tmp_path, file, draft.model, draft.mapping)
    assert Counter(row["kind"] for row in found) == {"inference": 28, "control": 1}
    assert found[1]["inference"]["served_at"] == datetime(2026, 1, 2, 8, tzinfo=UTC)
    assert [row["inference"]["prediction"] for row in found[19:22]] == [0, 1, 1]


def test_a_time_is_taken_and_its_format_told_even_where_no_prediction_was_recognised(
    tmp_path: Path, conf: Path
) -> None:
    rows = [f"k{i};{i + 1:02d}.01.2026 08:00;{i},5;{i + 1:02d}.02.2026" for i in range(20)]
    draft = init_model("x", csv(tmp_path, "Kennung;Zeitpunkt;Betrag;Stand", rows), conf)
    assert became(draft)["Zeitpunkt"] == "served_at"
    assert [missing.split(":")[0] for missing in draft.missing] == ["prediction", "label"]
    assert [note.split(":")[0] for note in draft.notes] == ['"Zeitpunkt"', '"Stand"', '"Zeitpunkt", "Stand"']
    text = draft.mapping.read_text(encoding="utf-8")
    assert "A guess, for Zeitpunkt, Stand." in text
    assert '# prediction = "Betrag"' in text
    assert 'decimal = ","' in text


def test_a_day_that_could_be_the_month_and_a_format_that_is_not_known_are_told(tmp_path: Path, conf: Path) -> None:
    rows = [f"a{i},03/0{i + 1}/2026 10:00,2026.1.{i + 1}T3,{i / 9}" for i in range(5)]
    draft = init_model("x", csv(tmp_path, "id,time,seen,score", rows), conf)
    assert 'the other way round: format = "%d/%m/%Y %H:%M"' in " ".join(draft.notes)
    assert '"seen": looks like times' in " ".join(draft.notes)


def stars(folder: Path, real: str = "real stars") -> Path:
    rows = [
        {"uid": f"u{i}x", "ts": (T0 + timedelta(hours=i)).isoformat(), "predicted_stars": i % 5 + 1, real: i % 4 + 1,
         "rated_on": (T0 + timedelta(hours=i + 30)).isoformat(), "lang": "de" if i % 2 else "en"} for i in range(20)
    ]  # fmt: skip
    file = folder / "stars.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_stars_are_a_number_label(tmp_path: Path, conf: Path) -> None:
    draft = init_model("stars", stars(tmp_path), conf)
    assert became(draft) == {
        "uid": "request_id",
        "ts": "served_at",
        "predicted_stars": "prediction",
        "real stars": "label",
        "rated_on": "given_at",
        "lang": "segment",
    }
    label = load_model(draft.model)[1]
    assert label.policy is not None
    assert label.policy.type == "number"


def test_no_column_is_lost_without_a_word(tmp_path: Path, conf: Path) -> None:
    draft = init_model("stars", stars(tmp_path, real="x"), conf)
    assert became(draft)["rated_on"] == "left out"
    text = draft.mapping.read_text(encoding="utf-8")
    assert 'never enters the lake: "x", "rated_on"' in text
    assert draft.missing[0].startswith("label: no column looked like a label")


def test_a_score_alone_makes_the_prediction(tmp_path: Path, conf: Path) -> None:
    rows = [f"a{i},{(T0 + timedelta(hours=i)).isoformat()},{i / 10},{i % 2}" for i in range(9)]
    file = csv(tmp_path, "id,ts,fraud probability,fraud", rows)
    model, mapping = init("x", file, conf)
    found = [row["inference"] for row in imported(tmp_path, file, model, mapping) if row["kind"] == "inference"]
    assert [(row["prediction"], row["score"]) for row in found[4:7]] == [(0, 0.4), (1, 0.5), (1, 0.6)]
    assert "--claimed --frontier" in mapping.read_text(encoding="utf-8")


def test_the_command_tells_of_every_column(tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--from", str(stars(tmp_path, real="x")), "--conf", str(conf)]
    assert main(["model", "init", "a", *arguments]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "rated_on left out" in said
    assert "missing: label: no column looked like a label" in said
    assert "complete the lines with TODO" in said
    assert main(["model", "init", "b", *arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["columns"][1]["became"] == "served_at"
    assert told["mapping"].endswith("b.import.toml")
    assert main(["model", "init", "c", "--from", str(csv(tmp_path, "a,b", [])), "--conf", str(conf)]) == 2


@pytest.mark.parametrize("name", ["../x", "", "x.import", "a/b"])
def test_a_name_must_be_that_of_a_file(tmp_path: Path, conf: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        init(name, churn(tmp_path), conf)
    assert caught.value.code == "name_invalid"


def test_a_file_without_rows_is_refused(tmp_path: Path, conf: Path) -> None:
    with pytest.raises(InputError) as caught:
        init("x", csv(tmp_path, "request_id,score", []), conf)
    assert caught.value.code == "no_rows"


def dirty(folder: Path, column: str, cells: dict[int, str], count: int = 400) -> Path:
    """Predicted delays and actual ones, with some cells of one column replaced."""
    names = ("id", "scored_at", "predicted_delay", "actual_delay", "known_at")
    rows = []
    for i in range(count):
        at = T0 + timedelta(minutes=i)
        row = [f"k{i}", at.isoformat(), f"{i}.5", f"{i * 2}.25", (at + timedelta(hours=2)).isoformat()]
        row[names.index(column)] = cells.get(i, row[names.index(column)])
        rows.append(",".join(row))
    return csv(folder, ",".join(names), rows)


@pytest.mark.parametrize("column", ["scored_at", "known_at"])
def test_a_cell_that_is_no_time_leaves_the_column_one_of_times(tmp_path: Path, conf: Path, column: str) -> None:
    file = dirty(tmp_path, column, {7: "not a date"})
    draft = init_model("x", file, conf)
    assert became(draft)[column] == {"scored_at": "served_at", "known_at": "given_at"}[column]
    told = "1 of 400 values is no time: 'not a date'; such records are quarantined"
    assert f'"{column}": {told}' in draft.notes
    assert f"# {told}.\n" in draft.mapping.read_text(encoding="utf-8")
    found = imported(tmp_path, file, draft.model, draft.mapping)
    assert sum(row["reason"] is not None for row in found) == 1


def test_one_maybe_does_not_make_a_category_of_noughts_and_ones(tmp_path: Path, conf: Path) -> None:
    rows = [f"c{i},{(T0 + timedelta(hours=i)).isoformat()},{i % 9 / 9},{i % 2}" for i in range(200)]
    rows[3] = rows[3][:-1] + "maybe"
    file = csv(tmp_path, "id,scored_at,score,churned", rows)
    draft = init_model("x", file, conf)
    label = load_model(draft.model)[1]
    assert label.policy is not None
    assert (label.label, label.policy.type, label.positive) == ("churned", "binary", 1)
    assert "1 of 200 values is no number: 'maybe'; such records are quarantined" in draft.mapping.read_text()
    reasons = Counter(row["reason"] for row in imported(tmp_path, file, draft.model, draft.mapping))
    assert reasons == {None: 400, "wrong_value_type": 1}


@pytest.mark.parametrize(
    ("cells", "note", "refused"),
    [
        ({5: "n/a"}, None, 0),
        ({5: "soon", 6: "NaN"}, "1 of 399 values is no number: 'soon'", 1),
        ({1: "a", 2: "b", 3: "c", 4: "d", 5: "d"}, "5 of 400 values are no numbers: 'a', 'b', 'c', …", 5),
    ],
    ids=str,
)
def test_a_few_texts_among_numbers_leave_a_number_to_forecast(
    tmp_path: Path, conf: Path, cells: dict[int, str], note: str | None, refused: int
) -> None:
    file = dirty(tmp_path, "actual_delay", cells)
    draft = init_model("x", file, conf)
    label = load_model(draft.model)[1]
    assert label.policy is not None
    assert (label.label, label.policy.type) == ("actual_delay", "number")
    assert draft.missing == ()
    assert draft.notes == ((f'"actual_delay": {note}; such records are quarantined',) if note else ())
    found = imported(tmp_path, file, draft.model, draft.mapping)
    assert Counter(row["reason"] for row in found)["wrong_value_type"] == refused
    assert {row["reason"] for row in found} <= {None, "wrong_value_type"}


@pytest.mark.parametrize(("wrong", "certain"), [(8, True), (9, False), (80, False)])
def test_a_kind_that_is_not_sure_is_marked(tmp_path: Path, conf: Path, wrong: int, certain: bool) -> None:
    draft = init_model("x", dirty(tmp_path, "scored_at", dict.fromkeys(range(wrong), "never")), conf)
    told = f"{wrong} of 400 values are no times: 'never'"
    assert (became(draft)["scored_at"] == "served_at") == certain
    assert (f'# TODO kind of "scored_at": {told}' in draft.mapping.read_text()) != certain
    assert any(told in missing for missing in draft.missing) != certain


def test_a_mixture_is_what_it_was_and_ids_may_be_anything(tmp_path: Path, conf: Path) -> None:
    file = dirty(tmp_path, "id", {i: str(i) for i in range(390)})
    draft = init_model("x", file, conf)
    assert became(draft)["id"] == "request_id"
    assert "values" not in " ".join((*draft.notes, *draft.missing))
    draft = init_model("y", dirty(tmp_path, "scored_at", dict.fromkeys(range(81), "never")), conf)
    assert "kind of" not in " ".join(draft.missing)


def test_a_time_of_a_format_that_a_few_cells_do_not_have(tmp_path: Path, conf: Path) -> None:
    rows = [f"k{i};{i % 28 + 1:02d}.{i // 28 + 1:02d}.2026 08:00;{i / 100:.2f}" for i in range(99)]
    file = csv(tmp_path, "id;scored_at;score", [*rows, "k99;gestern;0.5"])
    draft = init_model("x", file, conf)
    text = draft.mapping.read_text()
    assert 'served_at = {column = "scored_at", format = "%d.%m.%Y %H:%M"}' in text
    assert "# 1 of 100 values is no time: 'gestern'; such records are quarantined." in text


def test_an_import_says_that_the_model_has_no_label_yet(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "open").mkdir()
    rows = [f"a{i},{(T0 + timedelta(hours=i)).isoformat()},{i / 10}" for i in range(9)]
    for name, file, lacks in (
        ("open", csv(tmp_path / "open", "id,ts,score", rows), True),
        ("churn", churn(tmp_path), False),
    ):
        model, mapping = init(name, file, conf)
        given = [
            str(file),
            "--mapping",
            str(mapping),
            "--claimed",
            "--conf",
            str(conf),
            "--lake",
            str(tmp_path / "lake"),
        ]
        capsys.readouterr()
        assert main(["import", *given]) == 0
        assert (f"{model}: the model has no label yet" in capsys.readouterr().err) == lacks


def two_files(folder: Path, count: int = 240) -> tuple[Path, Path]:
    """Deliveries: minutes foretold, and in another file the minutes it took, of most of them, some days later."""
    start = [T0 + timedelta(minutes=37 * i) for i in range(count)]
    foretold = [f"ORD/{i} ß;{at.isoformat()};{20 + i % 9}.5;v{1 + i % 2}" for i, at in enumerate(start)]
    took = [f"{(at + timedelta(hours=1 + i % 50)).isoformat()};ORD/{i} ß;{21 + i % 9}" for i, at in enumerate(start) if i % 7]
    first = csv(folder, "Bestellung;when;eta minutes;version", foretold, "predictions.csv")
    return first, csv(folder, "arrived;order;minutes", took, "labels.csv")


def test_labels_in_a_file_of_their_own_name_the_predictions(tmp_path: Path, conf: Path) -> None:
    predictions, labels = two_files(tmp_path)
    draft = init_model("eta", predictions, conf, labels)
    assert draft.labels is not None
    assert (draft.missing, draft.labels.missing) == ((), ())
    assert became(draft) == {"Bestellung": "request_id", "when": "served_at", "eta minutes": "prediction", "version": "version"}
    assert {one.column: one.became for one in draft.labels.columns} == {
        "arrived": "given_at", "order": "request_id", "minutes": "label"
    }
    assert draft.labels.mapping.name == "eta.labels.import.toml"
    served = imported(tmp_path, predictions, draft.model, draft.mapping)
    judged = imported(tmp_path / "other", labels, draft.model, draft.labels.mapping)
    assert [row["reason"] for row in [*served, *judged] if row["reason"]] == []
    ids = {row["inference"]["request_id"] for row in served if row["kind"] == "inference"}
    assert len(ids) == 240
    assert {row["feedback"]["request_id"] for row in judged if row["kind"] == "feedback"} < ids


def test_the_window_is_as_long_as_the_labels_of_the_other_file_take(tmp_path: Path, conf: Path) -> None:
    predictions, labels = two_files(tmp_path)
    definition = load_model(init_model("eta", predictions, conf, labels).model)[1]
    assert (definition.label, definition.policy and definition.policy.type) == ("minutes", "number")
    assert definition.policy is not None
    assert definition.policy.window == 7 * 86_400  # the longest takes 50 hours


def test_a_score_and_a_yes_or_no_in_the_other_file(tmp_path: Path, conf: Path) -> None:
    first = csv(tmp_path, "id,at,score", [f"t{i},{(T0 + timedelta(hours=i)).isoformat()},0.{i:03}" for i in range(50)], "p.csv")
    rows = [f"t{i},{i % 2},{(T0 + timedelta(hours=i + 3)).isoformat()},ann{i % 3}" for i in range(50)]
    draft = init_model("fraud", first, conf, csv(tmp_path, "id,fraud,reviewed_at,reviewer", rows, "l.csv"))
    assert draft.labels is not None
    assert {one.became: one.column for one in draft.labels.columns} == {
        "request_id": "id", "label": "fraud", "given_at": "reviewed_at", "rater": "reviewer"
    }  # fmt: skip
    assert 'prediction = {column = "score", at_least = 0.5}' in draft.mapping.read_text(encoding="utf-8")
    definition = load_model(draft.model)[1]
    assert (definition.label, definition.positive, definition.threshold) == ("fraud", 1, 0.5)


def test_labels_that_name_no_prediction_are_refused_and_nothing_is_written(tmp_path: Path, conf: Path) -> None:
    predictions, _ = two_files(tmp_path)
    labels = csv(tmp_path, "who,minutes", [f"X{i},{i}" for i in range(9)], "labels.csv")
    with pytest.raises(InputError) as caught:
        init_model("eta", predictions, conf, labels)
    assert caught.value.code == "no_common_id"
    assert not (conf / "models").exists()


def test_the_command_says_how_both_files_are_imported(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, labels = two_files(tmp_path)
    assert main(["model", "init", "eta", "--from", str(predictions), "--labels", str(labels), "--conf", str(conf)]) == 0
    said = capsys.readouterr().out
    assert f"hindsight import {predictions} --mapping {conf}/models/eta.import.toml --claimed\n" in said
    assert f"hindsight import {labels} --mapping {conf}/models/eta.labels.import.toml --claimed --frontier\n" in said


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1"])
@pytest.mark.parametrize("text", ["kühl,score\nja,0.1\nnein,0.2\n", "cool,score\nja,0.1\nnö,0.2\n"])
def test_a_file_of_another_encoding_is_refused_and_nothing_is_written(
    tmp_path: Path, conf: Path, encoding: str, text: str
) -> None:
    file = tmp_path / "own.csv"
    file.write_bytes(text.encode(encoding))
    with pytest.raises(InputError) as caught:
        init("own", file, conf)
    assert caught.value.code == "not_utf8"
    assert not (conf / "models").exists()
