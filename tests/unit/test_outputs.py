import json
from decimal import Decimal
from typing import Any

import pytest

from poller.publish.formats import encoder
from poller.publish.outputs import Outputs
from shared.definition import Column, Definition, Projected, SqlType
from shared.errors import SettingsError
from shared.rows import row_reader
from tests.rig import samples

S = samples.STRING
DECIMAL = SqlType(root="DECIMAL", precision=38, scale=10)
TIMESTAMP = SqlType(root="TIMESTAMP_WITHOUT_TIME_ZONE", precision=3)
MOMENT = SqlType(root="TIMESTAMP_WITH_LOCAL_TIME_ZONE", precision=3)
ROW = {"review_id": "7", "review": "fine"}
ANSWER = {"label": "good", "score": 0.5}


def stated(sink: dict[str, Any] | None = None, *more: Projected) -> Definition:
    plain = samples.definition(sink=sink)
    return plain.model_copy(update={"projection": (*plain.projection, *more)})


def test_key_and_value_follow_the_table() -> None:
    key, value, headers, timestamp = Outputs(stated()).write(ROW, ANSWER)
    assert (key, headers, timestamp) == (b'{"review_id":"7"}', [], None)
    assert value == b'{"review_id":"7","label":"good","score":0.5}'


def test_a_failed_record_has_null_outputs() -> None:
    key, value, _, _ = Outputs(stated()).write_failed(ROW)
    assert key == b'{"review_id":"7"}'
    assert json.loads(value or b"") == {"review_id": "7", "label": None, "score": None}


def test_the_key_s_prefix_is_not_written_and_its_fields_can_be_left_out_of_the_value() -> None:
    columns = (Column(name="k_id", type=S), Column(name="label", type=S))
    sink = {
        "columns": columns,
        "key_fields": ("k_id",),
        "key_fields_prefix": "k_",
        "value_fields_include": "EXCEPT_KEY",
    }
    projection = (
        Projected(name="k_id", source="input", column="review_id", type=S),
        Projected(name="label", source="output", column="label", type=S),
    )
    definition = samples.definition(sink=sink, projection=projection)
    assert Outputs(definition).write(ROW, ANSWER)[:2] == (b'{"id":"7"}', b'{"label":"good"}')


def test_a_column_that_the_select_leaves_out_is_null_and_a_literal_is_cast() -> None:
    columns = (*stated().sink.columns, Column(name="n", type=SqlType(root="INTEGER")), Column(name="left_out", type=S))
    one = Projected(name="n", source="literal", literal="12", type=S, casts=(SqlType(root="INTEGER"),))
    value = Outputs(stated({"columns": columns}, one)).write(ROW, ANSWER)[1]
    assert json.loads(value or b"") == {"review_id": "7", **ANSWER, "n": 12, "left_out": None}


def test_casts_go_from_left_to_right_and_leave_null_alone() -> None:
    columns = (Column(name="review_id", type=S), Column(name="text", type=S))
    casts = (SqlType(root="INTEGER"), SqlType(root="VARCHAR", length=3))
    projection = (
        Projected(name="review_id", source="input", column="review_id", type=S),
        Projected(name="text", source="output", column="score", type=samples.DOUBLE, casts=casts),
    )
    outputs = Outputs(samples.definition(sink={"columns": columns}, projection=projection))
    assert json.loads(outputs.write(ROW, {"score": 12345.6})[1] or b"")["text"] == "123"
    assert json.loads(outputs.write(ROW, {"score": None})[1] or b"")["text"] is None


def test_an_input_that_can_t_be_cast_is_an_error_of_the_record_and_null_in_its_failure() -> None:
    to_int = Projected(name="n", source="input", column="review", type=S, casts=(SqlType(root="INTEGER"),))
    columns = (*stated().sink.columns, Column(name="n", type=SqlType(root="INTEGER")))
    outputs = Outputs(stated({"columns": columns}, to_int))
    with pytest.raises(ValueError, match="no integer"):
        outputs.write(ROW, ANSWER)
    assert json.loads(outputs.write_failed(ROW)[1] or b"")["n"] is None


def test_headers_and_timestamp_columns_are_no_part_of_the_value() -> None:
    map_ = SqlType(root="MAP", key=S, element=SqlType(root="VARBINARY", length=2**31 - 1))
    more = (
        Projected(name="h", source="input", column="h", type=map_),
        Projected(name="at", source="input", column="at", type=MOMENT),
    )
    outputs = Outputs(stated({"headers_column": "h", "timestamp_column": "at"}, *more))
    row = {**ROW, "h": {"a": "aGk=", "b": None}, "at": "2024-02-29 10:11:12.5Z"}
    _, value, headers, timestamp = outputs.write(row, ANSWER)
    assert json.loads(value or b"") == {"review_id": "7", **ANSWER}
    assert headers == [("a", b"hi"), ("b", None)]
    assert timestamp == 1709201472500


def timed(at: str | None, write: str) -> int | None:
    """The timestamp of a record whose `timestamp` column has a value."""
    at_ = Projected(name="at", source="input", column="at", type=MOMENT)
    outputs, row = Outputs(stated({"timestamp_column": "at"}, at_)), {**ROW, "at": at}
    if write == "write":
        return outputs.write(row, ANSWER)[3]
    return (outputs.write_failed if write == "write_failed" else outputs.write_key_only)(row)[3]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (None, None),
        ("1970-01-01 00:00:00Z", 0),
        ("2024-02-29 10:11:12.001Z", 1709201472001),
        ("2024-02-29 10:11:12.999999Z", 1709201472999),
        ("9999-12-31 23:59:59.999Z", 253402300799999),
    ],
)
def test_a_timestamp_is_whole_milliseconds_and_none_is_told_from_the_epoch(at: str | None, expected: int) -> None:
    assert timed(at, "write") == expected
    assert timed(at, "write_failed") == expected


@pytest.mark.parametrize(
    "at", ["0000-01-01 00:00:00Z", "+10000-01-01 00:00:00Z", "10000-01-01 00:00:00Z", "1969-12-31 23:59:59.999Z"]
)
def test_a_timestamp_that_kafka_does_not_have_is_an_error_of_the_record_and_left_out_of_its_failure(at: str) -> None:
    with pytest.raises(ValueError, match="is no timestamp of a message: those go from 1970 to 9999"):
        timed(at, "write")
    assert timed(at, "write_failed") is None
    assert timed(at, "write_key_only") is None


def test_no_digit_of_a_decimal_is_lost_on_the_way() -> None:
    columns = (Column(name="review_id", type=S), Column(name="amount", type=DECIMAL))
    projection = (
        Projected(name="review_id", source="input", column="review_id", type=S),
        Projected(name="amount", source="input", column="amount", type=DECIMAL),
    )
    row = (*stated().row, Column(name="amount", type=DECIMAL))
    definition = samples.definition(sink={"columns": columns}, projection=projection, row=row)
    line = b'{"row":{"review_id":"7","amount":1234567890123456789012345678.0123456789}}'
    value = Outputs(definition).write(row_reader(definition)(line)["row"], {})[1]
    assert value == b'{"review_id":"7","amount":1234567890123456789012345678.0123456789}'


@pytest.mark.parametrize(
    ("options", "fields", "expected"),
    [
        (
            {},
            {"d": Decimal("2.7E-8"), "t": "2024-02-29 10:11:12", "m": None},
            '{"d":2.7E-8,"t":"2024-02-29 10:11:12","m":null}',
        ),
        (
            {"encode.decimal-as-plain-number": "true"},
            {"d": Decimal("2.7E-8"), "t": None, "m": None},
            '{"d":0.000000027,"t":null,"m":null}',
        ),
        (
            {"timestamp-format.standard": "ISO-8601"},
            {"d": None, "t": "2024-02-29 10:11:12", "m": ["2024-02-29 10:11:12Z", None]},
            '{"d":null,"t":"2024-02-29T10:11:12","m":["2024-02-29T10:11:12Z",null]}',
        ),
        ({"encode.ignore-null-fields": "true"}, {"d": None, "t": "x", "m": [None]}, '{"t":"x","m":[null]}'),
    ],
)
def test_json_is_written_as_its_options_say(options: dict[str, str], fields: dict[str, Any], expected: str) -> None:
    columns = [
        Column(name="d", type=DECIMAL),
        Column(name="t", type=TIMESTAMP),
        Column(name="m", type=SqlType(root="ARRAY", element=MOMENT)),
    ]
    assert encoder("json", options, columns)(fields) == expected.encode()


@pytest.mark.parametrize(
    ("root", "options", "value", "expected"),
    [
        ("VARCHAR", {}, "ä\u2028", "ä\u2028".encode()),
        ("VARCHAR", {"charset": "UTF-16BE"}, "a", b"\x00a"),
        ("VARBINARY", {}, "aGk=", b"hi"),
        ("BOOLEAN", {}, True, b"\x01"),
        ("INTEGER", {}, 258, b"\x00\x00\x01\x02"),
        ("INTEGER", {"endianness": "little-endian"}, 258, b"\x02\x01\x00\x00"),
        ("DOUBLE", {}, 1, b"\x3f\xf0\x00\x00\x00\x00\x00\x00"),
        ("VARCHAR", {}, None, None),
    ],
)
def test_raw_is_the_value_s_own_bytes(root: str, options: dict[str, str], value: Any, expected: bytes | None) -> None:
    assert encoder("raw", options, [Column(name="v", type=SqlType(root=root))])({"v": value}) == expected


@pytest.mark.parametrize(("format_", "columns"), [("avro", 1), ("raw", 2)])
def test_a_format_that_we_can_t_write_is_refused(format_: str, columns: int) -> None:
    with pytest.raises(SettingsError, match=format_):
        encoder(format_, {}, [Column(name=f"c{n}", type=S) for n in range(columns)])
