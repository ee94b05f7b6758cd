"""The JSON schema of an answer, from the output columns."""

from typing import Any

import pytest

from deploy.sandbox.provider.bodies import check_strict_schema
from poller.collect.values import reader_of
from shared.definition import Column, SqlType
from shared.errors import SettingsError
from shared.schema import answer_schema, is_embedding, is_text, unions, without_nulls
from tests.rig.samples import STRING, definition

INT = SqlType(root="INTEGER", nullable=False)


def schema_of(**column: Any) -> dict[str, Any]:
    schema: dict[str, Any] = answer_schema([Column(name="c", **column)])["properties"]["c"]
    return schema


@pytest.mark.parametrize(
    ("sql", "schema"),
    [
        (STRING, {"type": ["string", "null"]}),
        (SqlType(root="VARCHAR", nullable=False, length=9), {"type": "string", "description": "at most 9 characters"}),
        (SqlType(root="BIGINT"), {"type": ["integer", "null"]}),
        (SqlType(root="TINYINT", nullable=False), {"type": "integer", "description": "from -128 to 127"}),
        (SqlType(root="BOOLEAN", nullable=False), {"type": "boolean"}),
        (SqlType(root="DATE", nullable=False), {"type": "string", "format": "date"}),
        (SqlType(root="TIMESTAMP_WITHOUT_TIME_ZONE", nullable=False), {"type": "string", "format": "date-time"}),
        (SqlType(root="VARBINARY", nullable=False), {"type": "string", "description": "base64"}),
        (
            SqlType(root="ARRAY", element=INT),
            {
                "anyOf": [
                    {
                        "type": "array",
                        "items": {"type": "integer", "description": "from -2147483648 to 2147483647"},
                    },
                    {"type": "null"},
                ]
            },
        ),
    ],
)
def test_each_type_has_its_schema(sql: SqlType, schema: dict[str, Any]) -> None:
    assert schema_of(type=sql) == schema


def test_a_decimal_that_a_double_can_not_hold_is_a_string() -> None:
    assert schema_of(type=SqlType(root="DECIMAL", precision=15, scale=2, nullable=False))["type"] == "number"
    assert schema_of(type=SqlType(root="DECIMAL", precision=16, scale=2, nullable=False))["type"] == "string"


def test_a_comment_describes_its_column_and_keeps_the_hint() -> None:
    described = schema_of(type=SqlType(root="TINYINT"), comment="from bad to good")
    assert described["description"] == "from bad to good (from -128 to 127)"


def test_nested_columns_are_closed_at_every_depth() -> None:
    row = SqlType(root="ROW", fields=(Column(name="a", type=STRING), Column(name="b", type=INT, comment="size")))
    tree = SqlType(root="ARRAY", element=SqlType(root="MAP", key=STRING, element=row))
    schema = answer_schema(
        [Column(name="tree", type=tree), Column(name="bag", type=SqlType(root="MULTISET", element=STRING))]
    )
    check_strict_schema(schema, "answer")
    assert list(schema["properties"]) == schema["required"] == ["tree", "bag"]


def test_a_schema_without_nulls_has_no_unions() -> None:
    row = SqlType(root="ROW", fields=(Column(name="a", type=STRING),))
    columns = (Column(name="row", type=row, comment="all"), Column(name="s", type=STRING))
    schema = answer_schema(columns)
    assert unions(schema) == 3
    plain = without_nulls(schema)
    assert unions(plain) == 0
    assert plain["properties"]["row"]["description"] == "all"
    check_strict_schema(plain, "answer")


def test_a_map_is_read_as_it_was_asked_for() -> None:
    mapping = Column(name="m", type=SqlType(root="MAP", key=STRING, element=INT))
    read = reader_of(definition(model={"output": (mapping, Column(name="s", type=STRING))}).model)
    assert read(b'{"m": [{"key": "a", "value": 1}], "s": null}') == {"m": {"a": 1}, "s": None}


def test_a_type_that_json_can_not_carry_is_named_with_its_column() -> None:
    row = SqlType(root="ROW", fields=(Column(name="inner", type=SqlType(root="RAW")),))
    with pytest.raises(SettingsError, match=r"'outer\.inner'.*RAW"):
        answer_schema([Column(name="outer", type=row)])


def test_what_is_text_and_what_may_be_an_embedding() -> None:
    text, both = (Column(name="a", type=STRING),), (Column(name="a", type=STRING), Column(name="b", type=STRING))
    vector = (Column(name="v", type=SqlType(root="ARRAY", element=SqlType(root="DOUBLE"))),)
    assert [is_text(text), is_text(both), is_text(vector)] == [True, False, False]
    assert [is_embedding(text), is_embedding(both), is_embedding(vector)] == [False, False, True]
