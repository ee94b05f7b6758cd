"""Whatever comes for an answer to several records: each record gets its own, or none, never another's."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.demux import scan
from poller.collect.entries import Unreadable
from poller.collect.results import Results, ResultsWriter, Verdict, parse_failure
from poller.collect.unpacking import Unpack, Unpacked, unpacker_of
from shared.causes import Cause
from shared.definition import BatchOptions, Column, Definition, SqlType
from shared.keys import batch_key, custom_id
from shared.packing import Packing, packs_of
from shared.providers.openai_answers import judge
from shared.providers.port import Answer
from tests.rig import samples

KEY = batch_key("p", "s", "file", 0)
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\{}[],:\n`'), max_size=30)


def stated(**options: Any) -> Definition:
    return samples.definition(batch=BatchOptions(**{"size": 20, **options}))


def texts(**options: Any) -> Definition:
    return samples.definition(
        batch=BatchOptions(**{"size": 20, **options}), model={"output": (Column(name="label", type=samples.STRING),)}
    )


def unpacked(text: str, records: int, definition: Definition | None = None, **answer: Any) -> Unpacked:
    unpack = unpacker_of(definition or stated())
    assert unpack is not None
    return unpack(Answer("id", **{"status": "succeeded", "text": text, **answer}), records)


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"index": number, "label": f"label {number}", "score": number / 10, **more}


def listed(*entries: dict[str, Any]) -> str:
    return json.dumps({"results": entries}, ensure_ascii=False)


def labels(made: Unpacked) -> list[str | None]:
    return [orjson.loads(each)["label"] if isinstance(each, bytes) else None for each in made.answers]


@settings(deadline=None)
@given(
    st.permutations(range(1, 9)), st.booleans(), st.sampled_from(["", "```json\n{}\n```", "Sure, [all] of it:\n{} ok?"])
)
def test_answers_in_any_order_and_dress_find_their_records(order: list[int], bare: bool, dress: str) -> None:
    entries = [entry(number) for number in order]
    text = json.dumps(entries) if bare else listed(*entries)
    made = unpacked(dress.replace("{}", text) if dress else text, 8)
    assert labels(made) == [f"label {number}" for number in range(1, 9)]
    assert (made.duplicates, made.unknown, made.is_forgiven) == (0, 0, bool(dress))


CHANGES: dict[str, Callable[[list[Any], int], None]] = {
    "drop": lambda entries, at: entries.pop(at) and None,
    "repeat": lambda entries, at: entries.append(entries[at]),
    "contradict": lambda entries, at: entries.append({**entries[at], "label": f"other {entries[at]['index']}"}),
    "unknown": lambda entries, at: entries.append({**entries[at], "index": 9 + at, "label": "nobody's"}),
    "no index": lambda entries, _: entries.append({"label": "nobody's", "score": 1}),
    "a list for an index": lambda entries, at: entries.append({**entries[at], "index": [1], "label": "nobody's"}),
    "index as text": lambda entries, at: entries.__setitem__(at, {**entries[at], "index": str(entries[at]["index"])}),
}


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 8), st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 7)), max_size=6))
def test_a_changed_answer_gives_each_record_its_own_or_none(records: int, changes: list[tuple[str, int]]) -> None:
    entries: list[Any] = [entry(number) for number in range(1, records + 1)]
    for change, at in changes:
        numbered = [place for place, each in enumerate(entries) if str(each.get("index")).isdecimal()]
        if numbered:
            CHANGES[change](entries, numbered[at % len(numbered)])
    Random(len(changes)).shuffle(entries)
    said = {
        number: {each["label"] for each in entries if str(each.get("index")) == str(number)} for number in range(1, 9)
    }
    try:
        made = unpacked(json.dumps({"results": entries}), records)
    except Unreadable:
        assert not any(said[number] for number in range(1, records + 1))
        return
    expected = [next(iter(said[n])) if len(said[n]) == 1 else None for n in range(1, records + 1)]
    if records == 1 and len(entries) == 1 and "index" not in entries[0]:
        expected = ["nobody's"]
    assert labels(made) == expected


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6), st.data())
def test_a_text_cut_or_garbled_anywhere_never_gives_a_record_another_s_answer(
    said: list[str], data: st.DataObject
) -> None:
    """A cut ends somewhere, and a stretch of noise stands somewhere: what is whole keeps its record."""
    definition = texts()
    entries = [{"index": number, "label": f"{number}:{text}"} for number, text in enumerate(said, 1)]
    whole = json.dumps({"results": entries}, ensure_ascii=data.draw(st.booleans()))
    start, end = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    text = data.draw(st.sampled_from([whole[:end], whole[:start] + "~~" + whole[start:], 'oh "dear ' + whole[start:]]))
    try:
        made = unpacked(text, len(said), definition)
    except Unreadable:
        return
    assert len(made.answers) == len(said)
    for number, answer in enumerate(made.answers, 1):
        assert not isinstance(answer, bytes) or answer.decode().replace("~~", "").startswith(f"{number}:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I can't do that.", "no JSON"),
        ("", "no JSON"),
        ("[1, 2, 3]", "no entry"),
        ("{}", "no JSON"),
        (listed(entry(7)), "no entry"),
        ("[" * 5000, "no JSON"),
        (listed(entry(0), entry(1)), "counts records from 0"),
    ],
)
def test_an_answer_without_entries_is_unreadable(text: str, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        unpacked(text, 2)


def test_a_trailing_comma_is_forgiven_and_one_within_a_text_is_kept() -> None:
    made = unpacked(
        '{"results": [{"index": 1, "label": "a,]", "score": 1,}, {"index": 2, "label": "b", "score": 2},]}', 2
    )
    assert labels(made) == ["a,]", "b"]
    assert made.is_forgiven


def test_of_two_entries_the_one_that_fits_the_columns_is_kept() -> None:
    made = unpacked(listed(entry(1), {"index": 1, "label": "x", "score": "high"}, entry(2), entry(2)), 2)
    assert labels(made) == ["label 1", "label 2"]
    assert made.duplicates == 2
    differing = unpacked(listed(entry(1), entry(1, label="other"), entry(2)), 2)
    assert labels(differing) == [None, "label 2"]


def test_a_field_that_stands_twice_and_a_number_that_is_none_are_their_own_record_s_end() -> None:
    twice, none = '{"index": 1, "label": "a", "score": 1, "index": 2}', '{"index": 2, "label": "b", "score": NaN}'
    assert labels(unpacked(f"[{twice}, {none}, {json.dumps(entry(3, label='c'))}]", 3)) == [None, None, "c"]


def test_numbers_keep_their_digits() -> None:
    decimal = SqlType(root="DECIMAL", precision=38, scale=10)
    definition = samples.definition(
        batch=BatchOptions(size=2), model={"output": (Column(name="amount", type=decimal),)}
    )
    made = unpacked('[{"index": 1, "amount": 12345678901234567.0123456789}]', 1, definition)
    assert made.answers == [b'{"amount":12345678901234567.0123456789}']
    assert Decimal(str(json.loads(made.answers[0], parse_float=Decimal)["amount"])) == Decimal(
        "12345678901234567.0123456789"
    )


def test_a_number_in_a_preface_is_no_entry() -> None:
    made = unpacked(f"These are all [2] of them: {listed(entry(1), entry(2))}", 2)
    assert labels(made) == ["label 1", "label 2"]
    assert (made.unknown, made.is_forgiven) == (0, True)


def test_a_path_may_find_the_text_itself() -> None:
    assert unpacked('{"said": "a"}', 1, texts(size=1, response_path="$.said")).answers == [b"a"]
    assert unpacked('{"said": {"label": "a"}}', 1, texts(size=1, response_path="$.said")).answers == [b"a"]


def test_what_stands_within_a_cut_entry_is_no_entry() -> None:
    parts = SqlType(root="ARRAY", element=SqlType(root="ROW", fields=(Column(name="label", type=samples.STRING),)))
    columns = Column(name="label", type=samples.STRING), Column(name="parts", type=parts)
    definition = samples.definition(batch=BatchOptions(size=3), model={"output": columns})
    inner = {"index": 3, "label": "nobody's", "parts": []}
    whole = listed({"index": 1, "label": "a", "parts": [inner]}, {"index": 2, "label": "b", "parts": [inner, inner]})
    made = unpacked(whole[: whole.rindex(", {")], 3, definition)
    assert labels(made) == ["a", None, None]


def test_one_record_s_only_entry_needs_no_index() -> None:
    assert labels(unpacked('{"results": [{"label": "a", "score": 1}]}', 1)) == ["a"]
    for text, records in (('[{"label": "a", "score": 1}]', 2), ('[{"index": [1], "label": "a", "score": 1}]', 1)):
        with pytest.raises(Unreadable):
            unpacked(text, records)


XML = "Here: <r><result index='2'>b</result><result><index>1</index><label>a</label></result></r>"
PATTERN = r"(?m)^(?P<index>\d+)[.)] (?P<label>.*)$"


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
        ({"response_format": "delimited", "response_delimiter": " :: "}, "1 :: a\n\nbye\n2 :: b", [b"a", b"b"]),
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


def line(request: int, text: str, finish: str = "stop") -> bytes:
    body = {
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    return orjson.dumps({"custom_id": custom_id(KEY, request), "response": {"status_code": 200, "body": body}}) + b"\n"


def scanned(lines: list[bytes], sizes: list[int], definition: Definition) -> tuple[list[str], list[bytes]]:
    packing = Packing(len(sizes), packs_of(sizes))
    with TemporaryDirectory() as folder:
        unpack: Unpack | None = unpacker_of(definition)
        writer = ResultsWriter(Path(folder), packing.records)
        scan(lines, KEY, judge, writer, packing, unpack)
        writer.seal()
        with Results(Path(folder), packing.records) as results:
            kept = [results.answer(record) for record in range(packing.records)]
            return [Verdict(verdict).name for verdict in results.verdicts], kept


def test_each_record_of_a_batch_has_one_outcome() -> None:
    lines = [
        line(3, listed(entry(1), entry(2))),
        line(0, listed(entry(2), entry(1))),
        line(1, "no"),
        line(2, listed(entry(1))[:-20], finish="length"),
        line(0, listed(entry(1, label="late"), entry(2, label="late"))),
    ]
    verdicts, kept = scanned(lines, [2, 2, 1, 3, 2], stated())
    assert verdicts == [
        "ANSWERED",
        "ANSWERED",
        "UNREAD",
        "UNREAD",
        "FAILED",
        "ANSWERED",
        "ANSWERED",
        "RETRY",
        "MISSING",
        "MISSING",
    ]
    assert orjson.loads(kept[0])["label"] == "label 1"
    assert parse_failure(kept[2])[0] == Cause.SCHEMA
    assert parse_failure(kept[2])[2] == "no", "the raw answer is kept"
    assert parse_failure(kept[4])[0] == Cause.TRUNCATED
    assert parse_failure(kept[7])[0] == Cause.NOT_IN_ANSWER


def test_of_a_cut_answer_what_is_whole_is_kept() -> None:
    whole = listed(entry(1), entry(2), entry(3))
    verdicts, kept = scanned([line(0, whole[: whole.index('"index": 3') + 20], finish="length")], [3], stated())
    assert verdicts == ["ANSWERED", "ANSWERED", "UNREAD"]
    assert parse_failure(kept[2])[0] == Cause.TRUNCATED
    delimited, _ = scanned([line(0, "1|a|1\n2|b|2\n3|c|", finish="length")], [3], stated(response_format="delimited"))
    assert set(delimited) == {"UNREAD"}, "where a line ends can't be known"


def test_of_a_tool_s_cut_arguments_nothing_is_taken_for_whole() -> None:
    """They may come closed: the last entry's text was cut, and its object looks like any other."""
    called = samples.definition(batch=BatchOptions(size=20), model={"parameters": {"batch.structured-output": "tool"}})
    closed = listed(entry(1), {"index": 2, "label": "ba"})
    with pytest.raises(Unreadable, match="cut"):
        unpacked(closed, 2, called, status="failed", cause=Cause.TRUNCATED)
    assert labels(unpacked(closed, 2, called)) == ["label 1", "ba"]


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
    assert unpacker_of(stated(size=1)) is None
    assert unpacker_of(texts(size=1, response_format="json")) is None, "one text is no JSON"
    with pytest.raises(Unreadable):
        unpacked("no JSON at all", 1, definition)


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
