"""Answers in XML, lines and patterns: what may be another's text, or a part of its own, is nobody's."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.entries import Unreadable
from shared.definition import BatchOptions, Column, SqlType
from shared.queries import x_path_gives
from tests.rig.packs import stated, texts, unpacked
from tests.rig.samples import STRING, definition

XML, LINES = {"response_format": "xml"}, {"response_format": "delimited"}
PATTERN = {"response_format": "regex", "response_pattern": r"(?m)^(?P<index>\d+)[.)] (?P<label>.*)$"}


def said(text: str, records: int, options: dict[str, Any]) -> list[str | None]:
    made = unpacked(text, records, texts(**options))
    return [each.decode() if isinstance(each, bytes) else None for each in made.answers]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<r><result index="1"><label>a <result index="2">evil</result></label></result></r>', ["a evil", None]),
        ('<r><result index="1">a<i><result index="2">evil</result></i></result></r>', ["aevil", None]),
        ('<r><result index="1"><label>a</label><label>b</label></result><result index="2">b</result></r>', [None, "b"]),
        ('<r><result index="1"><index>2</index><label>a</label></result><result index="2">b</result></r>', [None, "b"]),
    ],
)
def test_what_an_element_quotes_is_no_entry_and_what_it_says_twice_is_not_said(
    text: str, expected: list[str | None]
) -> None:
    assert said(text, 2, XML) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1|first line\nsecond line\n2|b", [None, "b"]),
        ("1|a\n2|first line\nsecond line", ["a", None]),
        ("1|a\n2|b\n\nThat is all.", ["a", None]),
        ("Here:\n```\nindex|label\n---|---\n1|a\n\n2|b\n```\nThat is all.", ["a", "b"]),
        ("```\n1|run:\n```\n2|b", [None, "b"]),
        ("1|run:\n```\nls\n```\n2|b", [None, "b"]),
        ("1|a2|b", [None, None]),
        ("1|a 2 |b\n2|b", [None, "b"]),
        ("1|a|b", [None, None]),
        ("1|a|b\n2|c|12", ["a|b", "c|12"]),
        ("1|a\nmore\n1|a\n2|b", [None, "b"]),
    ],
)
def test_a_line_that_may_go_on_or_be_two_is_not_taken(text: str, expected: list[str | None]) -> None:
    assert said(text, 2, LINES) == expected


def test_a_number_column_is_no_record_s_index() -> None:
    made = unpacked("1|a|2\n2|b|1", 2, stated(**LINES))
    assert made.answers == [b'{"label":"a","score":"2"}', b'{"label":"b","score":"1"}']


def test_one_record_s_line_that_goes_on_is_not_cut() -> None:
    assert isinstance(unpacked("a|0.5\n25", 1, stated(size=1, **LINES)).answers[0], str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. a2) b", [None, None]),
        ("1. a\n2 b", [None, None]),
        ("1. a", ["a", None]),
        ("1. a of 2\n2. b of 1", ["a of 2", "b of 1"]),
    ],
)
def test_a_pattern_s_text_that_holds_the_number_of_a_record_without_an_entry_is_not_taken(
    text: str, expected: list[str | None]
) -> None:
    assert said(text, 2, PATTERN) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<r><result index='1'><answer><label>a</label><score>1</score></answer></result></r>", True),
        ("<r><result index='1'><label>a</label><score>1</score></result></r>", False),
        ("<r><result index='1'><answer><label>a</label></answer><answer><label>b</label></answer></result></r>", False),
    ],
)
def test_several_columns_of_an_element_stand_in_the_one_that_holds_its_answer(text: str, expected: bool) -> None:
    (answer,) = unpacked(text, 1, stated(**XML, response_value_field="answer")).answers
    assert (answer == b'{"label":"a","score":"1"}') == expected
    assert isinstance(answer, bytes) == expected


@pytest.mark.parametrize("path", ["//label/text()", "string(//label)", "//label/@said"])
def test_a_path_of_one_record_may_find_its_text_itself(path: str) -> None:
    made = unpacked("<r>\n<label said='a'>a</label></r>", 1, texts(size=1, **XML, response_path=path))
    assert made.answers == [b"a"]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("//result", "elements"),
        ("//result[@index]", "elements"),
        ("//result[label/text() = ']']", "elements"),
        ("(//result)[1]", "elements"),
        ("//text", "elements"),
        ("//a/text() | //b", "elements"),
        ("(//a/text())[1]", "texts"),
        ("//a/@b[. = 'c']", "texts"),
        ("//a/attribute::b", "texts"),
        ("string(//a)", "texts"),
        ("count(//a)", "a number or a boolean"),
        ("//a = 1", "a number or a boolean"),
    ],
)
def test_what_a_path_finds_is_known_before_anything_is_asked(path: str, given: str) -> None:
    assert x_path_gives(path) == given


def last_column(sql: SqlType, comment: str | None, text: str, size: int = 20) -> list[Any]:
    """What the last column, called `last`, of two records is; None where the record has no answer."""
    columns = (Column(name="label", type=STRING), Column(name="last", type=sql, comment=comment))
    options = BatchOptions(size=size, response_format="delimited")
    made = unpacked(text, 2 if size > 1 else 1, definition(batch=options, model={"output": columns}))
    return [orjson.loads(each)["last"] if isinstance(each, bytes) else None for each in made.answers]


NUMBER, LISTED = SqlType(root="DOUBLE"), "one of: good, bad, bad indeed"


@pytest.mark.parametrize(
    ("sql", "comment", "text", "expected"),
    [
        (NUMBER, None, "1|a|0.5\n2|b|7\n\nI hope that this helps!", ["0.5", "7"]),
        (NUMBER, None, "1|a|0.5\n(mixed)\n2|b|-7e3\n```", ["0.5", "-7e3"]),
        (NUMBER, None, "1|a|0.5\n2|b|7\n.25", ["0.5", None]),
        (NUMBER, None, "1|a|0.5\n2|b|7\n000", ["0.5", None]),
        (NUMBER, None, "1|a|0.5\n2|b|7\ne3", ["0.5", None]),
        (NUMBER, None, "1|a|0.5\n2|b|\nThat is all: 7", ["0.5", None]),
        (NUMBER, None, "1|a|0.5\n2|b|seven\nThat is all.", ["0.5", None]),
        (SqlType(root="BOOLEAN"), None, "1|a|True\n2|b|false\nThat is all.", ["True", "false"]),
        (SqlType(root="DATE"), None, "1|a|2026-01-31\n2|b|2026-01\nThat is all.", ["2026-01-31", None]),
        (STRING, LISTED, "1|a|good\n2|b|bad indeed\nThat is all.", ["good", "bad indeed"]),
        (STRING, LISTED, "1|a|good\n2|b|bad\nindeed", ["good", None]),
        (STRING, None, "1|a|good\n2|b|bad\n\nThat is all.", ["good", None]),
        (SqlType(root="TIME_WITHOUT_TIME_ZONE"), None, "1|a|12:00\n2|b|12:00\nThat is all.", ["12:00", None]),
    ],
)
def test_a_remark_below_a_value_that_is_whole_is_none_of_it(
    sql: SqlType, comment: str | None, text: str, expected: list[Any]
) -> None:
    assert last_column(sql, comment, text) == expected


def test_a_remark_below_the_one_line_of_one_record_is_none_of_it() -> None:
    assert last_column(NUMBER, None, "a|7\nThat is all.", size=1) == ["7"]
    assert last_column(STRING, None, "a|b\nThat is all.", size=1) == [None]


WRITTEN: dict[str, tuple[dict[str, Any], Callable[[int, str], str]]] = {
    "xml": (XML, lambda number, text: f'<result index="{number}"><label>{text}</label></result>'),
    "delimited": (LINES, lambda number, text: f"{number}|{text}"),
    "regex": (PATTERN, lambda number, text: f"{number}. {text}"),
}
TEXTS = st.lists(st.text("abc |.", min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=12)


def own(number: int, text: str) -> str:
    """A text that shows whose it is by a letter that stands in no other."""
    return f"{chr(0x3B1 + number)}{text.strip()}{chr(0x3B1 + number)}"


def is_own(answer: str, number: int) -> bool:
    return not any(0x3B1 <= ord(letter) < 0x3B1 + 20 and ord(letter) != 0x3B1 + number for letter in answer)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WRITTEN)), TEXTS, st.data())
def test_entries_in_any_order_some_left_out_some_twice_find_their_records(
    form: str, drawn: list[str], data: st.DataObject
) -> None:
    options, write = WRITTEN[form]
    given_ = {number: own(number, text) for number, text in enumerate(drawn, 1)}
    order = data.draw(st.lists(st.sampled_from(sorted(given_)), min_size=1, max_size=15))
    body = [write(number, given_[number]) for number in order]
    made = said(f"<r>{''.join(body)}</r>" if form == "xml" else "\n".join(body), len(drawn), options)
    for number, answer in enumerate(made, 1):
        is_clear = number in order and (
            form != "delimited" or "|" not in given_[number] or len(set(order)) == len(made)
        )
        assert answer == (given_[number] if is_clear else None)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(WRITTEN)), TEXTS, st.data())
def test_a_character_that_is_lost_changed_or_added_never_gives_a_record_another_s_text(
    form: str, drawn: list[str], data: st.DataObject
) -> None:
    options, write = WRITTEN[form]
    body = [write(number, own(number, text)) for number, text in enumerate(drawn, 1)]
    whole = f"<r>{''.join(body)}</r>" if form == "xml" else "\n".join(body)
    at, length = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 1))
    noise = data.draw(st.sampled_from(["", " ", "\n", "~", "|", "7", "<", ">", '"', ".", "\n\n", "~~\n~"]))
    try:
        made = said(whole[:at] + noise + whole[at + length :], len(drawn), options)
    except Unreadable:
        return
    assert len(made) == len(drawn)
    for number, answer in enumerate(made, 1):
        assert answer is None or is_own(answer, number)
