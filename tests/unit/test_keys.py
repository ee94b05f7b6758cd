"""Batch keys and custom_ids: legal everywhere, and each is its parser's inverse."""

import re

from hypothesis import given
from hypothesis import strategies as st

from shared.keys import batch_key, child_key, custom_id, generation, is_batch_key, is_name, parse_custom_id

parts = st.integers(0, 9_999)
generations = st.lists(st.integers(0, 25), max_size=17)


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), parts, generations, st.integers(0, 99_999))
def test_a_custom_id_is_legal_at_every_provider_and_is_parsed_back(
    pipeline: str, statement: str, file: str, part: int, children: list[int], request: int
) -> None:
    key = batch_key(pipeline, statement, file, part)
    for number in children:
        key = child_key(key, number)
    written = custom_id(key, request)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", written)
    assert is_batch_key(key)
    assert generation(key) == len(children)
    assert parse_custom_id(written) == (key, request)


@given(st.text())
def test_a_foreign_text_is_no_key_and_no_custom_id(text: str) -> None:
    foreign = f"{text}!"
    assert not is_batch_key(foreign)
    assert parse_custom_id(foreign) is None


def test_the_names_that_make_a_key_can_not_run_into_each_other() -> None:
    assert batch_key("a", "bc", "f", 0) != batch_key("ab", "c", "f", 0)
    assert batch_key("a", "b", "f", 1) != batch_key("a", "b", "f", 0)


def test_a_name_may_stand_in_a_path() -> None:
    assert is_name("review-sentiment.v2")
    for bad in ("", "..", ".hidden", "a/b", "a\\b", "a\0b", "ü", "-x", "a" * 101):
        assert not is_name(bad), bad
