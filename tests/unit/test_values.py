from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.values import Unfit, reader_of
from shared.definition import Column, Model, SqlType
from tests.rig import samples


def scalar(root: str, **more: Any) -> SqlType:
    return SqlType(root=root, **more)


def model(*columns: Column, task: str = "chat") -> Model:
    return samples.definition(model={"output": columns, "task": task}).model


def read(type_: SqlType, json: str) -> Any:
    """The value of a column that stands beside another one, so that the answer is an object."""
    columns = Column(name="v", type=type_), Column(name="w", type=samples.STRING)
    return reader_of(model(*columns))(f'{{"v": {json}, "w": ""}}'.encode())["v"]


ROW = SqlType(root="ROW", fields=(Column(name="a", type=scalar("INTEGER")), Column(name="b", type=samples.STRING)))
TIMESTAMP = scalar("TIMESTAMP_WITHOUT_TIME_ZONE", precision=3)
MOMENT = scalar("TIMESTAMP_WITH_LOCAL_TIME_ZONE", precision=3)


@pytest.mark.parametrize(
    ("type_", "json", "expected"),
    [
        (samples.STRING, '"a\\u2028b\\n\\"c\\" 😀"', 'a\u2028b\n"c" 😀'),
        (samples.STRING, "7", "7"),
        (samples.STRING, "null", None),
        (scalar("CHAR", length=4), '"ab"', "ab  "),
        (scalar("BOOLEAN"), "true", True),
        (scalar("TINYINT"), "127", 127),
        (scalar("INTEGER"), "3.0", 3),
        (scalar("BIGINT"), str(2**63 - 1), 2**63 - 1),
        (scalar("DOUBLE"), "1", 1.0),
        (scalar("DOUBLE"), '"0.25"', 0.25),
        (scalar("DECIMAL", precision=5, scale=2), "1.005", Decimal("1.01")),
        (scalar("DATE"), '"2024-02-29"', "2024-02-29"),
        (scalar("TIME_WITHOUT_TIME_ZONE", precision=0), '"10:11:12"', "10:11:12"),
        (TIMESTAMP, '"2024-02-29T10:11:12.3456"', "2024-02-29 10:11:12.345"),
        (MOMENT, '"2024-02-29T10:11:12+02:00"', "2024-02-29 08:11:12Z"),
        (scalar("VARBINARY", length=5), '"aGVsbG8="', "aGVsbG8="),
        (SqlType(root="ARRAY", element=scalar("DOUBLE")), "[1, null, 2.5]", [1.0, None, 2.5]),
        (ROW, '{"a": 1, "b": "x", "surplus": true}', {"a": 1, "b": "x"}),
        (ROW, '{"a": 1}', {"a": 1, "b": None}),
    ],
)
def test_a_value_is_cast_to_its_column(type_: SqlType, json: str, expected: Any) -> None:
    made = read(type_, json)
    assert (made, type(made)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("type_", "json"),
    [
        (scalar("TINYINT"), "128"),
        (scalar("INTEGER"), "3.5"),
        (scalar("DOUBLE"), '"many"'),
        (scalar("DOUBLE"), "NaN"),
        (scalar("FLOAT"), "1e39"),
        (scalar("DECIMAL", precision=3, scale=1), "123"),
        (scalar("VARCHAR", length=2), '"abc"'),
        (scalar("DATE"), '"soon"'),
        (scalar("VARBINARY"), '"?"'),
        (scalar("INTEGER", nullable=False), "null"),
        (ROW, "[]"),
    ],
)
def test_what_does_not_fit_is_told_with_its_column(type_: SqlType, json: str) -> None:
    with pytest.raises(Unfit, match="v") as refused:
        read(type_, json)
    assert refused.value.cause == "schema"


@pytest.mark.parametrize("answer", [b"", b"sorry", b'{"v": 1', b"[]", b"null"])
def test_an_answer_that_is_no_object_is_a_broken_schema(answer: bytes) -> None:
    columns = Column(name="v", type=scalar("INTEGER")), Column(name="w", type=samples.STRING)
    with pytest.raises(Unfit):
        reader_of(model(*columns))(answer)


@settings(max_examples=30)
@given(st.text())
def test_one_string_takes_the_text_as_it_is(text: str) -> None:
    read_ = reader_of(model(Column(name="label", type=samples.STRING)))
    encoded = text.encode("utf-8", "replace")
    assert read_(encoded) == {"label": encoded.decode()}


def test_an_embedding_is_its_vector() -> None:
    column = Column(name="vector", type=SqlType(root="ARRAY", element=scalar("FLOAT")))
    embeds = model(column, task="embeddings")
    assert reader_of(embeds)(b"[0.5,-1]") == {"vector": [0.5, -1]}
    bounded = embeds.model_copy(update={"parameters": {"dimension": 3}})
    with pytest.raises(Unfit, match="has 2 dimensions, and 'dimension' asks for 3"):
        reader_of(bounded)(b"[0.5,-1]")
