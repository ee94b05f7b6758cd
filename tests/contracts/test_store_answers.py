"""Answers that are kept, on both databases: by scope, for their time, the newest one."""

from datetime import timedelta

from shared.store import Store
from tests.rig.stores import NOON, SetClock

HOUR = timedelta(hours=1)
ONE, TWO = b"1" * 16, b"2" * 16


def test_an_answer_is_known_for_its_time_and_in_its_scope(store: Store, clock: SetClock) -> None:
    store.answers.keep("a", {ONE: b"yes", TWO: "é".encode()}, NOON + HOUR)
    store.answers.keep("b", {ONE: b"no"}, NOON + 2 * HOUR)
    assert store.answers.known("a") == {ONE, TWO}
    assert store.answers.fetch("a", [ONE, TWO, b"3" * 16]) == {ONE: b"yes", TWO: "é".encode()}
    clock.advance(HOUR)
    assert store.answers.known("a") == frozenset()
    assert store.answers.fetch("a", [ONE]) == {ONE: b"yes"}, "a plan that counts on it still has it"
    assert store.answers.known("b") == {ONE}


def test_a_newer_answer_takes_the_place_of_an_older_one(store: Store, clock: SetClock) -> None:
    store.answers.keep("a", {ONE: b"old"}, NOON + HOUR)
    store.answers.keep("a", {ONE: b"new"}, NOON + 2 * HOUR)
    clock.advance(HOUR)
    assert store.answers.fetch("a", store.answers.known("a")) == {ONE: b"new"}


def test_what_has_expired_is_forgotten(store: Store, clock: SetClock) -> None:
    store.answers.keep("a", {bytes([n]) * 16: b"x" for n in range(100)}, NOON + HOUR)
    store.answers.keep("a", {b"z" * 16: b"x"}, NOON + 9 * HOUR)
    assert store.answers.forget() == 0
    clock.advance(3 * HOUR)
    assert store.answers.forget() == 100
    assert store.answers.known("a") == {b"z" * 16}
