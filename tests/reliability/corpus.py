"""The torture corpus: payloads and what must become of each, by RFC 8259, RFC 3339, RFC 3629 and the contract of an event.

Written by hand, by people who read the standards and `hindsight schema`, never by asking the product. `torture.ndjson` holds
it as data: a name, the bytes as [base64, times] parts, and the verdict, `accepted` or a reason code.
`python -m tests.reliability.corpus` writes the file again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "torture.ndjson"
ACCEPTED = "accepted"
MIB = 1_048_576
MODEL = """
model = "m"
measures = ["latency_ms"]
[labels.click]
type = "binary"
positive = 1
judges = "prediction"
attribution_window = "24 hours"
resolve = "latest"
[labels.stars]
type = "number"
unit = "item"
range = [0, 5]
attribution_window = "24 hours"
resolve = "mean"
[labels.delay]
type = "number"
judges = "prediction"
attribution_window = "24 hours"
resolve = "mean"
[labels.topic]
type = "category"
attribution_window = "24 hours"
resolve = "majority"
[segments]
origin = ["JFK"]
[statistics]
grains = ["1 hour"]
cuts = ["all", "origin"]
"""
"""What the payloads are about. Each is received at RECEIVED; feedback is on the request `base`."""
RECEIVED = "2024-03-01T12:00:00Z"
BASE = b'{"kind":"inference","request_id":"base","model":"m","version":"1","served_at":"2024-03-01T11:00:00Z","status":"ok",\
"prediction":1,"score":0.5,"items":[{"item":"a","position":0,"score":0.5}],"segments":{"origin":"JFK"},"measures":{"latency_ms":1.5}}'

Part = tuple[bytes, int]


@dataclass(frozen=True)
class Case:
    """One payload, as parts that are repeated, and what must become of it."""

    name: str
    parts: tuple[Part, ...]
    verdict: str

    @property
    def payload(self) -> bytes:
        return b"".join(part * times for part, times in self.parts)

    def line(self) -> str:
        parts = [[base64.b64encode(part).decode(), times] for part, times in self.parts]
        return json.dumps({"name": self.name, "parts": parts, "verdict": self.verdict})


def read() -> list[Case]:
    """The corpus, from its file."""
    lines = [json.loads(line) for line in FILE.read_text().splitlines()]
    return [
        Case(line["name"], tuple((base64.b64decode(part), times) for part, times in line["parts"]), line["verdict"])
        for line in lines
    ]


def made() -> list[Case]:
    """The corpus, from this module; every case has an id of its own, so that none meets another."""
    found: list[Case] = []
    for group in (
        numbers,
        bounded,
        free_numbers,
        encodings,
        escapes,
        documents,
        whitespace,
        nesting,
        sizes,
        twice,
        kinds,
        fields,
        times,
        meanings,
    ):
        for name, payload, verdict in group():
            parts = (payload,) if isinstance(payload, bytes) else payload
            own = b"t%d" % len(found)
            whole = tuple((part.replace(b"@", own), 1) if isinstance(part, bytes) else part for part in parts)
            found.append(Case(f"{group.__name__}: {name}", whole, verdict))
    return found


Said = tuple[str, bytes | tuple[bytes | Part, ...], str]
"""Name, payload (`@` stands for an id of its own), verdict."""


def inference(
    more: bytes = b"", *, prediction: bytes = b'"prediction":1,', served: bytes = b"2024-03-01T11:00:00Z"
) -> bytes:
    head = b'{"kind":"inference","request_id":"@","model":"m","version":"1","status":"ok",'
    return head + prediction + b'"served_at":"' + served + b'"' + (b"," + more if more else b"") + b"}"


def feedback(
    value: bytes = b'"value":1,',
    *,
    label: bytes = b"click",
    more: bytes = b"",
    given: bytes = b"2024-03-01T11:30:00Z",
    action: bytes = b"assert",
) -> bytes:
    head = b'{"kind":"feedback","feedback_id":"@","request_id":"base","label":"' + label + b'",' + value
    return head + b'"action":"' + action + b'",' + more + b'"given_at":"' + given + b'"}'


def numbers() -> Iterator[Said]:
    """RFC 8259, section 6, as the value of a label without a narrow range."""
    fine = [
        "0",
        "1",
        "-1",
        "-0",
        "0.0",
        "-0.0",
        "1.0",
        "1e0",
        "1E0",
        "1e+0",
        "1e-0",
        "1.5e3",
        "1E+2",
        "123456789",
        "0.1",
        "0.30000000000000004",
        "1e9",
        "-1e9",
        "1e-9",
        "5e-324",
        "1e-400",
        "2.2250738585072014e-308",
        "0e999999",
        "0.000000000000000000000000000000000000000001",
        "999999999.999999999",
        "1e00",
        "1e-01",
        "-0e-0",
        "0E5",
    ]
    broken = [
        "NaN",
        "-NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "+Infinity",
        "inf",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".5",
        "-.5",
        "1.e5",
        "1e",
        "1e+",
        "1E-",
        "1e5.5",
        "0x10",
        "0b1",
        "0o7",
        "1_000",
        "1,5",
        "1d",
        "1f",
        "1L",
        "-",
        "+",
        "--",
        "--1",
        "1-1",
        "1e1e1",
        "++1",
        "-",
        "1",
        "¼",
        "²",
        "1\u066b5",
        "1/2",
        "$1",
        "True",
        "nil",
        "undefined",
        ".",
    ]
    for text in fine:
        yield text, feedback(b'"value":' + text.encode() + b",", label=b"delay"), ACCEPTED
    for text in broken:
        if text in ("1", "1,5"):
            continue
        yield text, feedback(b'"value":' + text.encode() + b",", label=b"delay"), "not_json"
    yield "Arabic digits", feedback('"value":\u0661,'.encode(), label=b"delay"), "not_json"
    yield "fullwidth digits", feedback('"value":\uff11,'.encode(), label=b"delay"), "not_json"
    yield "a typographic minus", feedback('"value":\u22121,'.encode(), label=b"delay"), "not_json"
    for text in (
        "1e309",
        "-1e309",
        "1e400",
        "1.7976931348623159e308",
        "1e99999999999999999999",
        "1" * 400,
        "-" + "9" * 310,
    ):
        yield f"beyond a double, {text[:24]}", feedback(b'"value":' + text.encode() + b",", label=b"delay"), "not_json"
    for text in ("1e13", "-1e13", "1e308", "1.7976931348623157e308", "1000000000000.0002", "9" * 300):
        yield f"beyond 1e12, {text[:24]}", feedback(b'"value":' + text.encode() + b",", label=b"delay"), "out_of_range"
    for text in ("1000000001", "-1e12", "1e12"):
        yield (
            f"beyond the label's range, {text}",
            feedback(b'"value":' + text.encode() + b",", label=b"delay"),
            "value_out_of_range",
        )
    for text, verdict in (
        ("0", ACCEPTED),
        ("5", ACCEPTED),
        ("5.000000001", "value_out_of_range"),
        ("-1e-9", "value_out_of_range"),
    ):
        said = feedback(b'"value":' + text.encode() + b",", label=b"stars", more=b'"item":"a",')
        yield f"stars, {text}", said, verdict
    for text in ("true", "false", "[]", "[1]", "{}", '{"a":1}'):
        yield f"no number: {text}", feedback(b'"value":' + text.encode() + b",", label=b"delay"), "wrong_type"
    for text in ('"1"', '"1e3"', '"NaN"', '"Infinity"', '"0"'):
        yield (
            f"a text for a number: {text}",
            feedback(b'"value":' + text.encode() + b",", label=b"delay"),
            "wrong_value_type",
        )
    yield "an empty text for a number", feedback(b'"value":"",', label=b"delay"), "out_of_range"


def bounded() -> Iterator[Said]:
    """Numbers with limits of their own: scores, places, propensities, measures."""
    for text, verdict in (
        ("0", ACCEPTED),
        ("1", ACCEPTED),
        ("1.0", ACCEPTED),
        ("1.0000000000000002", "out_of_range"),
        ("-5e-324", "out_of_range"),
        ("-0.0", ACCEPTED),
        ("2", "out_of_range"),
        ("-1", "out_of_range"),
        ("true", "wrong_type"),
        ('"0.5"', "wrong_type"),
        ("NaN", "not_json"),
        ("null", ACCEPTED),
    ):
        yield f"score {text}", inference(b'"score":' + text.encode()), verdict
    for text, verdict in (
        ("0", ACCEPTED),
        ("1000000", ACCEPTED),
        ("1000001", "out_of_range"),
        ("-1", "out_of_range"),
        ("1.5", "wrong_type"),
        ('"1"', "wrong_type"),
        ("true", "wrong_type"),
        ("9223372036854775808", "out_of_range"),
    ):
        yield f"position {text}", inference(b'"items":[{"item":"a","position":' + text.encode() + b"}]"), verdict
    for text, verdict in (
        ("1e-6", ACCEPTED),
        ("1", ACCEPTED),
        ("0", "out_of_range"),
        ("9.99e-7", "out_of_range"),
        ("1.1", "out_of_range"),
    ):
        yield f"propensity {text}", inference(b'"items":[{"item":"a","propensity":' + text.encode() + b"}]"), verdict
    for text, verdict in (
        ("-1e12", ACCEPTED),
        ("1e12", ACCEPTED),
        ("1e-300", ACCEPTED),
        ("2e12", "out_of_range"),
        ("1e400", "not_json"),
    ):
        yield f"latency {text}", inference(b'"measures":{"latency_ms":' + text.encode() + b"}"), verdict


def free_numbers() -> Iterator[Said]:
    """Inside `inputs`, where any JSON may stand: any double, and nothing that is none."""
    fine = (
        "1e308",
        "-1.7976931348623157e308",
        "9007199254740993",
        "18446744073709551616",
        "1" * 308,
        "1" * 309,
        "5e-324",
        "-0.0",
        "1e-9999",
    )
    for text in fine:
        yield f"free {text[:24]}", inference(b'"inputs":{"a":[' + text.encode() + b"]}"), ACCEPTED
    for text in (
        "NaN",
        "-Infinity",
        "1e309",
        "-1e400",
        "9" * 309,
        "9" * 5000,
        "01",
        "1.",
        ".1",
        "+1",
        "0x1",
        "1e",
        "1 2",
    ):
        yield f"free {text[:24]}", inference(b'"inputs":{"a":[' + text.encode() + b"]}"), "not_json"
    for text in ("NaN", "Infinity", "1e999"):
        yield f"an array of {text}", inference(b'"embedding":[0,' + text.encode() + b"]"), "not_json"


def encodings() -> Iterator[Said]:
    """RFC 3629: what is UTF-8. A byte order mark is valid UTF-8, and no JSON text begins with one (RFC 8259, 8.1)."""
    fine = {
        "ASCII": "abc",
        "Latin": "é",
        "decomposed": "e\u0301",
        "astral": "𝄞",
        "emoji": "👩‍👩‍👧",
        "right to left": "שלום\u202e",
        "line separator": "a\u2028b",
        "noncharacter": "\uffff",
        "replacement": "\ufffd",
        "private use": "\ue000",
        "the last code point": "\U0010ffff",
        "a byte order mark inside": "a\ufeffb",
        "DEL": "a\x7fb",
        "a C1 control": "a\x85b",
    }
    for name, text in fine.items():
        yield name, inference(b'"session":"' + text.encode() + b'"'), ACCEPTED
    broken = {
        "a lone continuation": b"\x80",
        "a lone lead byte": b"\xc3",
        "a cut three-byte": b"\xe2\x82",
        "a cut four-byte": b"\xf0\x9d\x84",
        "overlong NUL": b"\xc0\x80",
        "overlong slash": b"\xc0\xaf",
        "overlong in three": b"\xe0\x80\xaf",
        "overlong in four": b"\xf0\x80\x80\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "a surrogate pair (CESU-8)": b"\xed\xa0\xb4\xed\xb4\x9e",
        "beyond U+10FFFF": b"\xf4\x90\x80\x80",
        "five bytes": b"\xf8\x88\x80\x80\x80",
        "six bytes": b"\xfc\x84\x80\x80\x80\x80",
        "0xFE": b"\xfe",
        "0xFF": b"\xff",
        "Latin-1": b"caf\xe9",
        "Windows-1252 quotes": b"\x93x\x94",
        "Shift-JIS": "日本".encode("shift_jis"),
    }
    for name, raw in broken.items():
        yield f"{name}, in a text", inference(b'"session":"' + raw + b'"'), "not_utf8"
    yield "broken UTF-8 in a key", inference(b'"inputs":{"\xff":1}'), "not_utf8"
    yield "broken UTF-8 after the document", inference() + b"\xff", "not_utf8"
    yield "broken UTF-8 before broken JSON", b"\xff{", "not_utf8"
    yield "UTF-16, little endian, with mark", inference().decode().encode("utf-16"), "not_utf8"
    yield "UTF-16, big endian", inference().decode().encode("utf-16-be"), "not_json"
    yield "UTF-16, little endian", inference().decode().encode("utf-16-le"), "not_json"
    yield "UTF-32, little endian", inference().decode().encode("utf-32-le"), "not_json"
    yield "a byte order mark before", b"\xef\xbb\xbf" + inference(), "not_json"
    yield "gzip", bytes.fromhex("1f8b0800000000000003ab5600a2a0f6a30200000000"), "not_utf8"


def escapes() -> Iterator[Said]:
    """RFC 8259, section 7: strings."""
    for escape in (
        '\\"',
        "\\\\",
        "\\/",
        "\\b",
        "\\f",
        "\\n",
        "\\r",
        "\\t",
        "\\u0000",
        "\\u001f",
        "\\u00e9",
        "\\u00E9",
        "\\ud834\\udd1e",
        "\\uFFFF",
        "\\u2028",
        "\\\\u0041",
        "\\u005c",
    ):
        yield f"fine {escape}", inference(b'"session":"a' + escape.encode() + b'b"'), ACCEPTED
    for escape in (
        "\\",
        "\\x41",
        "\\'",
        "\\a",
        "\\v",
        "\\0",
        "\\u",
        "\\u1",
        "\\u12",
        "\\u123",
        "\\u12G4",
        "\\U0041",
        "\\u{41}",
        "\\e",
        "\\ ",
        "\\u+123",
        "\\u 123",
        "\\ud800",
        "\\udc00",
        "\\ud800\\ud800",
        "\\udc00\\ud800",
        "\\ud800x",
        "\\ud800\\n",
        "\\uD834\\u0041",
    ):
        yield f"broken {escape}", inference(b'"session":"' + escape.encode() + b'"'), "not_json"
    for number in (0, 1, 8, 9, 10, 11, 12, 13, 27, 31):
        yield f"a raw control {number}", inference(b'"session":"a' + bytes([number]) + b'b"'), "not_json"
    yield "a lone surrogate as a key", inference(b'"inputs":{"\\ud800":1}'), "not_json"
    yield "a lone surrogate in free data", inference(b'"inputs":["\\udfff"]'), "not_json"
    yield "a lone surrogate in an unknown field", inference(b'"colour":"\\ud83d"'), "not_json"
    yield "an id spelled in escapes", inference().replace(b"@", b"\\u0040@"), ACCEPTED
    yield "the kind spelled in escapes", inference().replace(b'"inference"', b'"inf\\u0065rence"'), ACCEPTED
    yield "a key spelled in escapes", inference().replace(b'"version"', b'"v\\u0065rsion"'), ACCEPTED
    yield "single quotes", inference().replace(b'"', b"'"), "not_json"
    yield "typographic quotes", inference().decode().replace('"', "\u201d").encode(), "not_json"
    yield "a text cut off", inference()[:-5], "not_json"


def documents() -> Iterator[Said]:
    """Exactly one JSON value, and nothing else."""
    one = inference()
    broken = {
        "nothing": b"",
        "a second document": one + b"{}",
        "a second after a blank": one + b" {}",
        "a second after a line feed": one + b"\n{}",
        "the same twice": one + one,
        "a number after": one + b"1",
        "a comma after": one + b",",
        "a NUL after": one + b"\x00",
        "a NUL before": b"\x00" + one,
        "a brace too many": one + b"}",
        "a bracket too many": one + b"]",
        "no last brace": one[:-1],
        "a semicolon after": one + b";",
        "a comment after": one + b"// x",
        "a C comment": one.replace(b",", b"/* x */,", 1),
        "a hash comment": one + b"# x",
        "a record separator": b"\x1e" + one,
        "a form feed": one + b"\x0c",
        "a vertical tab": one + b"\x0b",
        "a JSON sequence in an array without its end": b"[" + one,
        "a comma at the end": one[:-1] + b",}",
        "two commas": one.replace(b",", b",,", 1),
        "a comma at the start": b"{," + one[1:],
        "no comma": one.replace(b",", b" ", 1),
        "no colon": one.replace(b":", b" ", 1),
        "two colons": one.replace(b":", b"::", 1),
        "an equals sign": one.replace(b":", b"=", 1),
        "a bare key": one.replace(b'"kind"', b"kind"),
        "a number as a key": b"{1:2," + one[1:],
        "null as a key": b"{null:2," + one[1:],
        "a comma in an array": inference(b'"inputs":[1,]'),
        "an empty place in an array": inference(b'"inputs":[1,,2]'),
        "an array with a brace": inference(b'"inputs":[1}'),
        "an object with a bracket": inference(b'"inputs":{"a":1]'),
        "True": inference(b'"inputs":True'),
        "None": inference(b'"inputs":None'),
        "NULL": inference(b'"inputs":NULL'),
        "tru": inference(b'"inputs":tru'),
        "nulll": inference(b'"inputs":nulll'),
        "undefined": inference(b'"inputs":undefined'),
        "a value missing": inference(b'"inputs":'),
        "a key without a value": inference(b'"inputs"'),
        "an XML document": b'<?xml version="1.0"?><e/>',
        "a YAML document": b"kind: inference\nid: x",
        "a CSV line": b"inference,x,1",
        "a log line": b"2024-03-01 INFO started",
        "JSON in JSONP": b"callback(" + one + b")",
        "an XSSI prefix": b")]}'," + one,
        "a data prefix": b"data: " + one,
        "brackets alone": b"[[]",
        "a quote alone": b'"',
        "a backslash alone": b"\\",
    }
    for name, payload in broken.items():
        yield name, payload, "not_json"
    for payload in (b"null", b"true", b"false", b"0", b"-1.5e3", b'""', b'"x"', b"[]", b"[{}]", b" [1] "):
        yield f"no object: {payload.decode()}", payload, "not_an_object"
    yield "an array of one event", b"[" + one + b"]", "not_an_object"
    yield "an event as a text", json.dumps(one.decode()).encode(), "not_an_object"


def whitespace() -> Iterator[Said]:
    """RFC 8259, section 2: blank, tab, line feed, carriage return, and no other."""
    one = inference()
    for name, blank in {
        "blank": b" ",
        "tab": b"\t",
        "line feed": b"\n",
        "carriage return": b"\r",
        "all": b" \t\n\r",
    }.items():
        yield f"{name} around", blank + one + blank, ACCEPTED
        yield (
            f"{name} between",
            one.replace(b":", blank + b":" + blank, 1).replace(b",", blank + b"," + blank, 1),
            ACCEPTED,
        )
    for name, blank in {
        "no-break space": b"\xc2\xa0",
        "line separator": b"\xe2\x80\xa8",
        "ideographic space": b"\xe3\x80\x80",
        "next line": b"\xc2\x85",
        "zero width space": b"\xe2\x80\x8b",
        "form feed": b"\x0c",
    }.items():
        yield f"{name} between", one.replace(b",", b"," + blank, 1), "not_json"
    yield "blanks alone", b" \n\t ", "not_json"


def nesting() -> Iterator[Said]:
    """At most 100 levels, the event's own object among them."""

    def deep(opening: bytes, closing: bytes, times: int, middle: bytes = b"1") -> tuple[bytes | Part, ...]:
        return inference()[:-1] + b',"inputs":', (opening, times), middle, (closing, times), b"}"

    for times, verdict in (
        (1, ACCEPTED),
        (50, ACCEPTED),
        (99, ACCEPTED),
        (100, "not_json"),
        (101, "not_json"),
        (1000, "not_json"),
        (10_000, "not_json"),
        (200_000, "not_json"),
    ):
        yield f"{times + 1} deep, arrays", deep(b"[", b"]", times), verdict
        if times <= 10_000:
            yield f"{times + 1} deep, objects", deep(b'{"a":', b"}", times), verdict
    yield "50 arrays in 49 objects", deep(b'{"a":[', b"]}", 49), ACCEPTED
    yield "51 pairs of both", deep(b'{"a":[', b"]}", 51), "not_json"
    yield "200 braces in a text", (inference()[:-1] + b',"inputs":"', (b"{", 200), b'"}'), ACCEPTED
    yield "200 arrays side by side", (inference()[:-1] + b',"inputs":[', (b"[],", 200), b"[]]}"), ACCEPTED
    yield "brackets alone", ((b"[", 100_000),), "not_json"
    yield "braces alone", ((b'{"a":', 100_000),), "not_json"


def sizes() -> Iterator[Said]:
    """A record of at most a mebibyte, an id of 256 characters, a name of 128, a text of 65,536."""

    def padded(size: int) -> tuple[bytes | Part, ...]:
        ended = (
            b'{"kind":"inference","request_id":"big%d","model":"m","version":"1","status":"ok","prediction":1,' % size
        )
        ended += b'"served_at":"2024-03-01T11:00:00Z","inputs":"'
        return ended, (b"x", size - len(ended) - 2), b'"}'

    yield "just a mebibyte", padded(MIB), ACCEPTED
    yield "a byte more", padded(MIB + 1), "too_large"
    yield "a byte more, of blanks", ((b" ", MIB + 1),), "too_large"
    yield "a byte more, not UTF-8", ((b"\xff", MIB + 1),), "too_large"
    yield "two mebibytes", padded(2 * MIB), "too_large"
    for name, limit, text in (
        ("an id", 256, b"x"),
        ("an id of two-byte letters", 256, "é".encode()),
        ("an id of emoji", 256, "😀".encode()),
    ):
        for count, verdict in ((limit, ACCEPTED), (limit + 1, "out_of_range")):
            head, tail = inference(
                b'"session":"',
            ).rsplit(b"}", 1)
            yield f"{name}, {count} characters", (head, (text, count), b'"}' + tail), verdict
    for count, verdict in ((128, ACCEPTED), (129, "out_of_range")):
        yield (
            f"a status of {count}",
            (
                inference().split(b'"status":"')[0] + b'"status":"',
                (b"s", count),
                b'","prediction":1,"served_at":"2024-03-01T11:00:00Z"}',
            ),
            verdict,
        )
    for count, verdict in ((65_536, ACCEPTED), (65_537, "out_of_range")):
        head = feedback(more=b'"text":"')
        start, end = head.split(b'"text":"')
        yield f"a text of {count}", (start + b'"text":"', (b"t", count), b'",' + end), verdict
    yield "no id", inference().replace(b'"@"', b'""'), "out_of_range"
    yield "an empty rater", feedback(more=b'"rater":"",'), "out_of_range"
    yield "an empty version", inference().replace(b'"version":"1"', b'"version":""'), "out_of_range"
    yield "10,000 features", (inference()[:-1] + b',"embedding":[', (b"0.125,", 10_000), b"1]}"), ACCEPTED


def twice() -> Iterator[Said]:
    """An object that holds a key twice says two things, wherever it stands and however the key is spelled."""
    for name, more in {
        "a field": b'"prediction":1',
        "a field with another value": b'"prediction":0',
        "the kind": b'"kind":"inference"',
        "the id": b'"request_id":"x"',
        "a field, by an escape": b'"\\u0070rediction":1',
        "in free data": b'"inputs":{"a":1,"a":1}',
        "in free data, by an escape": b'"inputs":{"a":1,"\\u0061":2}',
        "deep in free data": b'"inputs":[{"b":[{"a":1,"c":2,"a":3}]}]',
        "the empty key": b'"inputs":{"":1,"":2}',
        "in segments": b'"segments":{"origin":"JFK","origin":"JFK"}',
        "in measures": b'"measures":{"latency_ms":1,"latency_ms":2}',
        "in features": b'"features":{"x":1,"x":1}',
        "in scores": b'"scores":{"s":0.5,"s":0.25}',
        "in an item": b'"items":[{"item":"a","item":"b"}]',
        "in an experiment": b'"experiments":{"e":{"arm":"a","arm":"b"}}',
        "an experiment": b'"experiments":{"e":{"arm":"a"},"e":{"arm":"b"}}',
        "null first": b'"score":null,"score":0.5',
        "null last": b'"score":0.5,"score":null',
        "null twice": b'"score":null,"score":null',
        "an object and a number": b'"inputs":{"a":{"b":1},"a":1}',
        "beside a text that looks like a key": b'"inputs":{"a":"\\":","a":1}',
        "with a blank before the colon": b'"prediction" :1',
        "with a line feed before the colon": b'"prediction"\n:1',
        "a key with a quote in it": b'"inputs":{"a\\"":1,"a\\"":2}',
        "in the output": b'"output":{"k":1,"k":1}',
        "in targets": b'"targets":{"p":0.5,"p":0.5}',
    }.items():
        yield name, inference(more), "duplicate_key"
    yield "in an array at the top", b'[{"a":1,"a":2}]', "duplicate_key"
    yield "of an unknown kind", b'{"kind":"x","a":1,"a":1}', "duplicate_key"
    yield "of feedback", feedback(more=b'"value":0,'), "duplicate_key"
    yield "not twice: in two objects", inference(b'"inputs":[{"a":1},{"a":1}]'), ACCEPTED
    yield "not twice: outside and inside", inference(b'"inputs":{"prediction":1,"kind":"inference"}'), ACCEPTED
    yield "not twice: another case", inference(b'"inputs":{"a":1,"A":1}'), ACCEPTED
    yield "not twice: composed and decomposed", inference('"inputs":{"é":1,"e\u0301":1}'.encode()), ACCEPTED
    yield "not twice: in a text", inference(b'"inputs":"\\"a\\":1,\\"a\\":1"'), ACCEPTED


def kinds() -> Iterator[Said]:
    for text in (
        "null",
        "1",
        "true",
        '""',
        '"Inference"',
        '"INFERENCE"',
        '"inference "',
        '"inférence"',
        '"click"',
        "[]",
        "{}",
        '["inference"]',
    ):
        yield f"kind {text}", inference().replace(b'"kind":"inference"', b'"kind":' + text.encode()), "unknown_kind"
    yield "no kind", inference().replace(b'"kind":"inference",', b""), "unknown_kind"
    yield "an empty object", b"{}", "unknown_kind"
    yield (
        "the kind last",
        b'{"request_id":"@","model":"m","version":"1","status":"ok","prediction":1,"served_at":"2024-03-01T11:00:00Z","kind":"inference"}',
        ACCEPTED,
    )


def fields() -> Iterator[Said]:
    """Known fields of the right type; optional ones may be absent or null."""
    for more in (
        '"colour":"red"',
        '"colour":null',
        '"":1',
        '"tenant":"x"',
        '"offset":1',
        '"received_at":"2024-03-01T11:00:00Z"',
        '"Prediction":1',
        '"prediction ":1',
        '"__proto__":{}',
        '"items":[{"item":"a","colour":1}]',
        '"experiments":{"e":{"arm":"a","x":1}}',
    ):
        yield f"unknown: {more}", inference(more.encode()), "unknown_field"
    for name in ("request_id", "model", "version", "status", "served_at"):
        document = json.loads(inference())
        yield (
            f"without {name}",
            json.dumps({key: value for key, value in document.items() if key != name}).encode(),
            "missing_field",
        )
        for value in ("null", "7", "true", "[]", "{}"):
            other = json.dumps({**document, name: json.loads(value)}).encode()
            yield f"{name} is {value}", other, "wrong_type"
    for name in ("feedback_id", "label", "action", "given_at"):
        document = json.loads(feedback())
        yield (
            f"without {name}",
            json.dumps({key: value for key, value in document.items() if key != name}).encode(),
            "missing_field",
        )
    for more in (
        '"score":null',
        '"scores":null',
        '"items":null',
        '"segments":null',
        '"inputs":null',
        '"subject":null',
        '"inputs":[]',
        '"inputs":{}',
        '"inputs":""',
        '"output":false',
        '"segments":{}',
        '"measures":{}',
        '"features":{"a":null,"b":true,"c":"","d":1.5}',
        '"embedding":[]',
        '"scores":{}',
    ):
        yield f"fine: {more}", inference(more.encode()), ACCEPTED
    for more in (
        '"score":[0.5]',
        '"scores":[0.5]',
        '"scores":{"a":null}',
        '"items":{}',
        '"items":["a"]',
        '"items":[null]',
        '"segments":[]',
        '"segments":{"origin":1}',
        '"segments":{"origin":null}',
        '"measures":{"latency_ms":"1"}',
        '"measures":{"latency_ms":true}',
        '"features":{"a":[1]}',
        '"features":{"a":{}}',
        '"embedding":["1"]',
        '"embedding":[null]',
        '"subject":7',
        '"session":false',
        '"experiments":{"e":"a"}',
    ):
        yield f"wrong type: {more}", inference(more.encode()), "wrong_type"
    for text in ("true", "[1]", "{}"):
        yield f"prediction {text}", inference(prediction=b'"prediction":' + text.encode() + b","), "wrong_type"
    yield "an action that is none", feedback(action=b"delete"), "out_of_range"
    yield "an action in capitals", feedback(action=b"Assert"), "out_of_range"
    yield "an item without its id", inference(b'"items":[{"score":0.5}]'), "missing_field"


def times() -> Iterator[Said]:
    """RFC 3339: a date, T, a time with seconds, and an offset. Lower case t and z are allowed; so is a blank, by its note."""
    fine = [
        "2024-03-01T11:00:00Z",
        "2024-03-01t11:00:00z",
        "2024-03-01T11:00:00.5Z",
        "2024-03-01T11:00:00.123456Z",
        "2024-03-01T11:00:00.123456789Z",
        "2024-03-01T12:00:00+01:00",
        "2024-03-01T05:30:00-05:30",
        "2024-03-01T11:00:00-00:00",
        "2024-02-29T23:00:00Z",
        "2024-03-01T12:05:00Z",
        "2000-01-01T00:00:00Z",
        "2024-03-02T10:00:00+23:00",
        "2024-02-29T12:30:00-22:30",
        "2024-03-01 11:00:00Z",
        "2024-03-01T11:00:00.1234567890123456789Z",
    ]
    for text in fine:
        yield text, inference(served=text.encode()), ACCEPTED
    broken = [
        "",
        "now",
        "2024-03-01",
        "11:00:00Z",
        "2024-03-01T11:00Z",
        "2024-03-01T11Z",
        "2024-03-01T11:00:00",
        "2024-03-01T11:00:00+01",
        "2024-03-01T11:00:00+0100",
        "2024-03-01T11:00:00 Z",
        "2024-03-01T11:00:00UTC",
        "2024-03-01T11:00:00 +01:00",
        "2024-3-1T11:00:00Z",
        "24-03-01T11:00:00Z",
        "2024-03-01T1:00:00Z",
        "2024-13-01T11:00:00Z",
        "2024-00-01T11:00:00Z",
        "2024-03-00T11:00:00Z",
        "2024-02-30T11:00:00Z",
        "2023-02-29T11:00:00Z",
        "2024-03-01T24:00:00Z",
        "2024-03-01T11:60:00Z",
        "2024-03-01T11:00:61Z",
        "2024-03-01T11:00:00.Z",
        "2024-03-01T11:00:00,5Z",
        "2024-03-01T11:00:00+24:00",
        "2024-03-01T11:00:00+01:60",
        "20240301T110000Z",
        "2024-W09-5T11:00:00Z",
        "2024-061T11:00:00Z",
        "2024/03/01T11:00:00Z",
        "01/03/2024 11:00",
        "2024-03-01T11:00:00Z ",
        " 2024-03-01T11:00:00Z",
        "+2024-03-01T11:00:00Z",
        "-2024-03-01T11:00:00Z",
        "12024-03-01T11:00:00Z",
        "1709290800",
        "1709290800000",
        "2024-03-01T11:00:00Z\\u0000",
        "2024-03-01T11:00:00\u2212\u0030\u0031:00",
        "Fri, 01 Mar 2024 11:00:00 GMT",
        "2024-03-01T11:00:00[Europe/Paris]",
        "2024-03-01T11:00:00+01:00[Europe/Paris]",
        "\u0662024-03-01T11:00:00Z",
        "2024-03-01T-1:00:00Z",
    ]
    for text in broken:
        yield f"broken {text}", inference(served=text.encode()), "bad_time"
    beyond = {
        "a leap second": "2016-12-31T23:59:60Z",
        "the year 0": "0000-01-01T00:00:00Z",
        "before the year 1 in UTC": "0001-01-01T00:00:00+01:00",
        "after the year 9999 in UTC": "9999-12-31T23:59:59-01:00",
    }
    for name, text in beyond.items():  # RFC 3339 has them, microseconds of the years 1 to 9999 do not
        yield name, inference(served=text.encode()), "bad_time"
    for text in ("2024-03-01T12:05:00.000001Z", "2024-03-01T12:05:01Z", "2034-03-01T11:00:00Z", "9999-12-31T23:59:59Z"):
        yield f"future {text}", inference(served=text.encode()), "from_the_future"
        yield f"future, given {text}", feedback(given=text.encode()), "from_the_future"
    for text in (
        "1970-01-01T00:00:00Z",
        "1999-12-31T23:59:59.999999Z",
        "1969-07-20T20:17:40Z",
        "0001-01-01T00:00:00Z",
        "1900-02-28T00:00:00Z",
    ):
        yield f"absurd {text}", inference(served=text.encode()), "absurd_time"
        yield f"absurd, given {text}", feedback(given=text.encode()), "absurd_time"
    for text in ("1709290800", "1709290800000", "1709290800.5", "0", "-1"):
        yield f"a number {text}", inference().replace(b'"2024-03-01T11:00:00Z"', text.encode()), "wrong_type"


def meanings() -> Iterator[Said]:
    """What the model file declares, and what an action needs."""
    yield "no prediction", inference(prediction=b""), "prediction_required"
    yield "a null prediction", inference(prediction=b'"prediction":null,'), "prediction_required"
    yield "no prediction, but items", inference(b'"items":[{"item":"a"}]', prediction=b""), ACCEPTED
    yield "no prediction after a failure", inference(prediction=b"").replace(b'"ok"', b'"timeout"'), ACCEPTED
    yield "a category as a prediction", inference(prediction=b'"prediction":"cat",'), ACCEPTED
    for model in ("n", "M", "m ", "m\\u0000"):
        yield (
            f"model {model}",
            inference().replace(b'"model":"m"', b'"model":"' + model.encode() + b'"'),
            "unknown_model",
        )
    yield "an undeclared segment", inference(b'"segments":{"planet":"Mars"}'), "undeclared_segment"
    yield "an undeclared measure", inference(b'"measures":{"planets":9}'), "undeclared_measure"
    yield "an undeclared value of a segment", inference(b'"segments":{"origin":"Mars"}'), ACCEPTED
    yield "an item twice in a slate", inference(b'"items":[{"item":"a"},{"item":"b"},{"item":"a"}]'), "duplicate_item"
    yield "an item in two cases", inference(b'"items":[{"item":"a"},{"item":"A"}]'), ACCEPTED
    yield "an unknown label", feedback(label=b"nothing"), "unknown_label"
    yield "a label in capitals", feedback(label=b"CLICK"), "unknown_label"
    yield "an item for a request's label", feedback(more=b'"item":"a",'), "unit_mismatch"
    yield "no item for an item's label", feedback(label=b"stars"), "unit_mismatch"
    yield "two targets", feedback(more=b'"session":"s",'), "target_ambiguous"
    yield "no target", feedback().replace(b'"request_id":"base",', b""), "target_ambiguous"
    yield "a session", feedback().replace(b'"request_id":"base"', b'"session":"s"'), "unit_not_enabled"
    yield "a subject", feedback().replace(b'"request_id":"base"', b'"subject":"s"'), "unit_not_enabled"
    yield "no value", feedback(b""), "value_required"
    yield "a null value", feedback(b'"value":null,'), "value_required"
    yield "a value in a withdrawal", feedback(action=b"withdraw", more=b'"rater":"r",'), "value_not_allowed"
    yield "a withdrawal of nothing", feedback(b"", action=b"withdraw"), "target_required"
    yield "a correction of nothing", feedback(action=b"correct"), "target_required"
    yield (
        "a withdrawal with a target",
        feedback(b"", action=b"withdraw", more=b'"target_feedback_id":"never",'),
        ACCEPTED,
    )
    yield "a correction by a rater", feedback(action=b"correct", more=b'"rater":"r",'), ACCEPTED
    yield "a text for a binary label", feedback(b'"value":"yes",'), "wrong_value_type"
    yield "a number for a category", feedback(label=b"topic"), "wrong_value_type"
    yield "a category", feedback(b'"value":"caf\xc3\xa9",', label=b"topic"), ACCEPTED
    yield "a category NaN", feedback(b'"value":"NaN",', label=b"topic"), ACCEPTED
    yield "a category of a NUL", feedback(b'"value":"\\u0000",', label=b"topic"), ACCEPTED
    yield "a frontier without a time", b'{"kind":"control","action":"frontier"}', "missing_field"
    yield (
        "a frontier in 2999",
        b'{"kind":"control","action":"frontier","at":"2999-01-01T00:00:00Z"}',
        "frontier_from_the_future",
    )
    yield "a frontier with a number", b'{"kind":"control","action":"frontier","at":1709290800}', "wrong_type"
    yield "an action that controls nothing", b'{"kind":"control","action":"drop"}', "out_of_range"
    yield (
        "a define without a body",
        b'{"kind":"control","action":"define","model":"m","definition":"0000000000000000"}',
        "missing_field",
    )
    yield (
        "a define of nothing",
        b'{"kind":"control","action":"define","model":"m","definition":"0000000000000000","body":{}}',
        "definition_invalid",
    )
    yield (
        "a define whose body is a list",
        b'{"kind":"control","action":"define","model":"m","definition":"0000000000000000","body":[]}',
        "wrong_type",
    )


if __name__ == "__main__":
    FILE.write_text("".join(case.line() + "\n" for case in made()))
