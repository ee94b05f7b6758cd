"""Whatever comes for an answer to several records: each record gets its own, or none, never another's."""

import json
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poller.collect.entries import Unreadable
from shared.definition import BatchOptions, Column, SqlType
from tests.rig import samples
from tests.rig.packs import entry, labels, listed, texts, unpacked

TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\{}[],:\n`'), max_size=30)


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
