"""Values that a column's comment lists: in the schema, and in what is taken of an answer."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.provider.bodies import check_strict_schema
from deploy.sandbox.provider.structured import Filler
from poller.collect.values import Unfit, reader_of
from shared.definition import Column, SqlType
from shared.enumerations import allowed
from shared.errors import SettingsError
from shared.schema import answer_schema, is_text, without_nulls
from tests.rig.samples import STRING, definition

TEXT = SqlType(root="VARCHAR", length=2**31 - 1, nullable=False)
INT = SqlType(root="INTEGER", nullable=False)


def column(comment: str, type_: SqlType = TEXT, name: str = "mood") -> Column:
    return Column(name=name, type=type_, comment=comment)


def read(answer: dict[str, Any], *columns: Column) -> dict[str, Any]:
    return dict(reader_of(definition(model={"output": columns}).model)(orjson.dumps(answer)))


LISTS: list[tuple[str, SqlType, tuple[Any, ...] | None]] = [
    ("one of: good, bad, so so", TEXT, ("good", "bad", "so so")),
    ("how it feels, One Of:good,bad,", TEXT, ("good", "bad")),
    ('one of: ["good, or so", "bad"]', TEXT, ("good, or so", "bad")),
    ("one of: 1, 2, 3", INT, (1, 2, 3)),
    ("one of: [1, 2]", INT, (1, 2)),
    ("one of: 1, 2", TEXT, ("1", "2")),
    ("one of: v1.0, v2.0", SqlType(root="ARRAY", element=TEXT), ("v1.0", "v2.0")),
    ("good or bad", TEXT, None),
    ("someone of: rank", TEXT, None),
]


@pytest.mark.parametrize(("comment", "type_", "values"), LISTS)
def test_what_a_comment_lists(comment: str, type_: SqlType, values: tuple[Any, ...] | None) -> None:
    assert allowed(column(comment, type_)) == values


WRONG: list[tuple[str, SqlType, str]] = [
    ("one of:", TEXT, "none stands there"),
    ("one of: a, b, a", TEXT, "'a' stands there twice"),
    ("one of: 1, x", INT, "'x' is no integer"),
    ("one of: good, bad", SqlType(root="VARCHAR", length=3), "'good' has more than 3 characters"),
    ("one of: 1.5, 2.5", SqlType(root="DOUBLE"), "only texts and integers can be listed, and it is DOUBLE"),
    ("one of: [1, null]", TEXT, "holds texts or integers only"),
    ('one of: ["a"', TEXT, "begins as a JSON array and is none"),
]


@pytest.mark.parametrize(("comment", "type_", "said"), WRONG)
def test_a_list_that_can_not_be_names_its_column(comment: str, type_: SqlType, said: str) -> None:
    with pytest.raises(SettingsError, match="the output column 'mood'") as caught:
        answer_schema([column(comment, type_)])
    assert said in str(caught.value)


def test_the_schema_has_the_values_at_every_depth() -> None:
    inner = SqlType(root="ROW", nullable=False, fields=(column("one of: 1, 2", INT, "level"),))
    schema = answer_schema(
        [column("the mood; one of: good, bad"), column("one of: x, y", SqlType(root="ARRAY", element=STRING), "tags"),
         Column(name="more", type=inner)]
    )  # fmt: skip
    check_strict_schema(schema, "answer")
    found = schema["properties"]
    assert found["mood"] == {
        "type": "string",
        "enum": ["good", "bad"],
        "description": "the mood; one of: good, bad",
    }
    assert found["tags"]["anyOf"][0]["items"] == {"type": ["string", "null"], "enum": ["x", "y", None]}
    assert found["more"]["properties"]["level"]["enum"] == [1, 2]
    assert without_nulls(schema)["properties"]["tags"]["items"] == {"type": "string", "enum": ["x", "y"]}


def test_one_string_with_a_list_is_no_free_text() -> None:
    assert not is_text((column("one of: good, bad"),))
    assert is_text((column("good or bad"),))
    assert read({"mood": "good"}, column("one of: good, bad")) == {"mood": "good"}


@pytest.mark.parametrize("answer", [{"mood": "fine"}, {"mood": "Good"}, {"mood": None}, {}])
def test_another_value_is_the_records_own_fault(answer: dict[str, Any]) -> None:
    with pytest.raises(Unfit, match="mood"):
        read(answer, column("one of: good, bad"))


@pytest.mark.parametrize(
    ("comment", "type_", "given_", "expected"),
    [
        ("one of: 1, 2, 3", INT, "2", 2),
        ("one of: 1, 2, 3", INT, 2.0, 2),
        ("one of: 1, 2", TEXT, 2, "2"),
        ("one of: 1, 2", SqlType(root="ARRAY", element=INT, nullable=False), ["1", 2], [1, 2]),
        ("one of: ab, c", SqlType(root="CHAR", length=2, nullable=False), "c", "c "),
    ],
)
def test_a_listed_number_may_stand_as_a_text_as_xml_and_lines_have_it(
    comment: str, type_: SqlType, given_: Any, expected: Any
) -> None:
    assert read({"mood": given_}, column(comment, type_)) == {"mood": expected}


@pytest.mark.parametrize("given_", ["4", "two", 2.5, ""])
def test_what_is_no_listed_number_is_refused(given_: Any) -> None:
    with pytest.raises(Unfit):
        read({"mood": given_}, column("one of: 1, 2, 3", INT))


def test_what_may_be_null_stays_so_and_a_char_is_filled() -> None:
    assert read({}, column("one of: good, bad", STRING)) == {"mood": None}
    assert read({"mood": "x"}, column("one of: x, yy", SqlType(root="CHAR", length=2))) == {"mood": "x "}
    tags = column("one of: x, y", SqlType(root="ARRAY", element=STRING))
    assert read({"mood": ["x", None]}, tags) == {"mood": ["x", None]}
    with pytest.raises(Unfit):
        read({"mood": ["z"]}, tags)


@given(
    values=st.lists(st.text(min_size=1).filter(lambda text: text.isprintable()), min_size=1, max_size=5, unique=True),
    prompt=st.text(),
)
def test_whatever_is_listed_is_asked_for_and_taken_back(values: list[str], prompt: str) -> None:
    listed = column(f"one of: {orjson.dumps(values).decode()}")
    schema = answer_schema([listed])
    found = read(Filler(schema, prompt, None, None).value(schema), listed)
    assert found["mood"] in values
