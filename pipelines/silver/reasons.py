"""Why a record is in quarantine: stable codes and meanings, in the order of the checks; the first failure counts."""

from __future__ import annotations

_BYTES = {
    "too_large": "The record is larger than 1 MiB (1,048,576 bytes).",
    "not_utf8": "The bytes are not valid UTF-8.",
    "not_json": "Not exactly one JSON document as of RFC 8259: broken, trailing text, NaN, a lone surrogate, "
    "a number beyond double precision, nested deeper than 100.",
    "duplicate_key": "An object holds a key twice, so it says two things.",
    "not_an_object": "The document is no JSON object.",
    "unknown_kind": "`kind` is missing, or none of inference, feedback, control.",
    "unknown_field": "A field that this kind of event does not have.",
    "missing_field": "A required field is absent.",
    "wrong_type": "A field has another JSON type than the schema says; a boolean is no number.",
    "bad_time": "A time that is not RFC 3339 with an offset, such as 2013-01-05T10:15:00Z, or that microseconds of UTC cannot hold: "
    "a leap second, a year outside 1 to 9999.",
    "out_of_range": "A value beyond its limit: an empty or overlong text, a number too large, a score outside 0 to 1.",
}
_ERASED = {"subject_erased": "Its subject, or whose request it judges, was erased at a lower log offset (`hindsight erase`)."}
_INFERENCE = {
    "prediction_required": "An inference with status ok has neither prediction nor items.",
    "unknown_model": "No model of this name is declared at a lower log offset.",
    "undeclared_segment": "A segment field that the model does not declare.",
    "undeclared_measure": "A measure that the model does not declare.",
}
_FEEDBACK = {
    "target_ambiguous": "Feedback names not exactly one of request_id, session, subject.",
    "unit_not_enabled": "Feedback on a session or a subject, which is not taken in yet.",
    "unknown_label": "No model declares a label of this name at a lower log offset.",
    "unit_mismatch": "An item where the label is about requests, or no item where it is about items.",
    "value_required": "assert, correct or adjudicate without a value.",
    "value_not_allowed": "withdraw with a value.",
    "wrong_value_type": "A value of another type than the label: a category is a text, a number label a number, "
    "a binary label what its `positive` is.",
    "value_out_of_range": "A value outside the range of its number label.",
    "target_required": "correct or withdraw with neither a target nor a rater: nothing says what it takes back.",
}
_TIMED = {
    "from_the_future": "The event's own time is more than 5 minutes after the log received it.",
    "absurd_time": "The event's own time is before the year 2000.",
}
_SLATE = {"duplicate_item": "One slate holds an item twice."}
_EXPECTED = {
    "expectation_failed": "An inference with status ok that breaks a row rule which the log declares for its model at a lower offset.",
}
_CONTROL = {
    "definition_invalid": "A define whose body is no definition, or has not the hash or the model that the event states.",
    "expectation_invalid": "An expect whose body is no row rules, or has not the hash that the event states.",
    "erasure_invalid": "An erase whose body is no hashes of subjects and requests with the fingerprint of their key.",
    "frontier_from_the_future": "A frontier more than 5 minutes after the wall clock of its append: "
    "nobody knows yet what will have been logged by then.",
}
_IDENTITY = {"id_conflict": "The same id stands at a lower position with other content; that one stands."}

REDRIVEN = (
    *("unknown_kind", "unknown_field", "unknown_model", "undeclared_segment", "undeclared_measure"),
    *("unit_not_enabled", "unknown_label", "unit_mismatch", "wrong_value_type", "value_out_of_range"),
    "expectation_failed",
)
"""What a model file or a newer version may have mended since. All others say something about the record alone."""

REASONS: dict[str, str] = {**_BYTES, **_ERASED, **_INFERENCE, **_FEEDBACK, **_TIMED, **_SLATE, **_EXPECTED, **_CONTROL, **_IDENTITY}
"""Every code and its meaning."""

BY_KIND: dict[str, dict[str, str]] = {
    "inference": {**_BYTES, **_ERASED, **_INFERENCE, **_TIMED, **_SLATE, **_EXPECTED, **_IDENTITY},
    "feedback": {**_BYTES, **_ERASED, **_FEEDBACK, **_TIMED, **_IDENTITY},
    "control": {**_BYTES, **_CONTROL},
}
"""The codes that a record of each kind can meet."""
