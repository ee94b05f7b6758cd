"""Each format of an answer is taken apart: JSON, XML, lines, patterns, paths, vectors; for several records or one."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.entries import Unreadable
from poller.collect.unpacking import unpacker_of
from shared.definition import BatchOptions, Column, SqlType
from shared.providers.openai_answers import judge
from tests.rig import samples
from tests.rig.packs import stated, texts, unpacked

XML = "Here: <r><result index='2'>b</result><result><index>1</index><label>a</label></result></r>"
PATTERN = r"(?m)^(?P<index>\d+)[.)] (?P<label>.*)$"


def test_a_path_may_find_the_text_itself() -> None:
    assert unpacked('{"said": "a"}', 1, texts(size=1, response_path="$.said")).answers == [b"a"]
    assert unpacked('{"said": {"label": "a"}}', 1, texts(size=1, response_path="$.said")).answers == [b"a"]


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({}, '{"results":[{"index":2,"label":"b"},{"index":1,"label":7}]}', [b"7", b"b"]),
        ({"response_value_field": "v"}, '[{"index":1,"v":"a"},{"index":2,"w":"b"}]', [b"a", 0]),
        ({"response_index_field": "n"}, '[{"n":"1","label":"a"},{"n":2,"label":"b"}]', [b"a", b"b"]),
        ({"response_path": "$.out[*].r"}, '{"out":[{"r":{"index":2,"label":"b"}}],"index":1}', [0, b"b"]),
        ({"response_format": "xml"}, XML, [b"a", b"b"]),
        ({"response_format": "xml", "response_path": "/a/b"}, "<a><b index='1' label='x &amp; y'/></a>", [b"x & y", 0]),
        (
            {"response_format": "xml"},
            "<r><result><index>2</index>b <i>c</i></result><result>a<index>1</index></result></r>",
            [b"a", b"b c"],
        ),
        ({"response_format": "delimited"}, "index|label\n2|b|b\n1| a", [b"a", b"b|b"]),
        ({"response_format": "delimited"}, "1|a\u2028c\n2|b", ["a\u2028c".encode(), b"b"]),
        ({"response_format": "delimited", "response_delimiter": " :: "}, "Hi:\n1 :: a\n\n2 :: b", [b"a", b"b"]),
        ({"response_format": "regex", "response_pattern": PATTERN}, "2) b\n1. a\n", [b"a", b"b"]),
    ],
)
def test_each_format_is_taken_apart(options: dict[str, Any], text: str, expected: list[bytes | int]) -> None:
    made = unpacked(text, 2, texts(**options))
    assert [each if isinstance(each, bytes) else 0 for each in made.answers] == expected


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"response_format": "xml"}, "<r><result><label>a</label><score>0.5</score></result></r>", ("a", "0.5")),
        ({"response_format": "delimited"}, "a|0.5", ("a", "0.5")),
        ({"response_path": "$.choices[0]"}, '{"choices":[{"label":"a","score":0.5}]}', ("a", 0.5)),
        ({"response_format": "delimited"}, "a|", ("a", None)),
    ],
)
def test_the_formats_also_serve_one_record(options: dict[str, Any], text: str, expected: tuple[Any, ...]) -> None:
    made = unpacked(text, 1, stated(size=1, **options))
    assert isinstance(made.answers[0], bytes)
    found = orjson.loads(made.answers[0])
    assert (found["label"], found["score"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r><result index="1"><label>&a;</label></result></r>',
        '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r><result index="1">&b;</result></r>',
        "<r><result index='1'>a</result>",
        "no markup at all",
    ],
)
def test_xml_with_entities_or_without_an_end_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        unpacked(text, 1, texts(response_format="xml"))


def test_a_pattern_takes_linear_time() -> None:
    definition = texts(response_format="regex", response_pattern=r"(?P<index>\d)(?P<label>(a+)+)$")
    with pytest.raises(Unreadable):
        unpacked("1" + "a" * 50_000 + "!", 1, definition)


@pytest.mark.parametrize(
    "said",
    [
        '{"label":"label 1","score":0.1}',
        '```json\n{"label":"label 1","score":0.1}\n```',
        'Here it is:\n{"label":"label 1","score":0.1,}\nAsk me more.',
        '{"label":"label 1","score":0.1,"results":[1]}',
    ],
)
def test_one_record_s_object_is_read_in_spite_of_what_surrounds_it_where_json_is_told(said: str) -> None:
    definition = stated(size=1, response_format="json")
    made = unpacked(said, 1, definition)
    assert orjson.loads(made.answers[0]) == {"label": "label 1", "score": 0.1}
    assert unpacker_of(texts(size=1, response_format="json")) is None, "one text is no JSON"
    with pytest.raises(Unreadable):
        unpacked("no JSON at all", 1, definition)


def test_one_record_s_object_is_read_in_spite_of_what_surrounds_it_where_nothing_is_told() -> None:
    definition = stated(size=1)
    strict = '{"score": 0.10, "label": "a"}'
    as_it_is = unpacked(strict, 1, definition)
    assert (as_it_is.answers, as_it_is.is_forgiven) == ([strict.encode()], False)
    for said in (f"```json\n{strict}\n```", f"Here it is: {strict}", '{"score": 0.1, "label": "a",}'):
        made = unpacked(said, 1, definition)
        assert isinstance(made.answers[0], bytes)
        assert (orjson.loads(made.answers[0]), made.is_forgiven) == ({"label": "a", "score": 0.1}, True)
    for said in ("no JSON at all", '{"label": "a"', f"{strict} or {strict.replace('a', 'b')}"):
        unread = unpacked(said, 1, definition)
        assert (unread.answers, unread.is_forgiven) == ([said.encode()], False), "for its reader to refuse"


@settings(deadline=None)
@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_embeddings_find_their_inputs_by_the_place_that_is_told(order: list[int], spoilt: set[int]) -> None:
    data = [{"index": place, "embedding": "not base64" if place in spoilt else [place + 0.5]} for place in order]
    body = {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 6}}
    answer = judge(orjson.dumps({"custom_id": "id", "response": {"status_code": 200, "body": body}}))
    vector = SqlType(root="ARRAY", element=SqlType(root="FLOAT"))
    unpack = unpacker_of(
        samples.definition(
            batch=BatchOptions(size=6),
            model={"task": "embeddings", "output": (Column(name="vector", type=vector),)},
        )
    )
    assert answer is not None
    assert unpack is not None
    if len(spoilt) == 6:
        assert answer.status == "failed"
        return
    made = unpack(answer, 6)
    assert [None if isinstance(each, str) else orjson.loads(each) for each in made.answers] == [
        None if place in spoilt else [place + 0.5] for place in range(6)
    ]
