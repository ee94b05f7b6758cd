"""The lifecycle's one table: complete, connected, and safe against illegal events."""

import itertools

import pytest

from shared.errors import IllegalTransition
from shared.lifecycle import (
    COLLECTABLE,
    MEANING,
    SUBMITTABLE,
    TERMINAL,
    TRANSITIONS,
    WATCHED,
    Event,
    State,
    after,
    mermaid,
)


def test_every_state_has_a_meaning_and_a_row() -> None:
    assert set(MEANING) == set(TRANSITIONS) == set(State)


def test_every_state_is_reached_from_sealed_and_reaches_an_end() -> None:
    def reachable(start: State) -> set[State]:
        seen, todo = {start}, [start]
        while todo:
            following = set(TRANSITIONS[todo.pop()].values()) - seen
            seen |= following
            todo += following
        return seen

    assert reachable(State.SEALED) == set(State)
    for state in State:
        assert reachable(state) & set(TERMINAL), state


def test_each_state_is_one_dutys_business() -> None:
    owned = [*SUBMITTABLE, *WATCHED, *COLLECTABLE, State.COLLECTED, *TERMINAL]
    assert sorted(owned) == sorted(State)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_an_event_is_in_the_table_or_is_refused_by_name(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert after(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"'{state}' can't take '{event}'"):
            after(state, event)


def test_only_submission_may_lead_to_a_create() -> None:
    """A create follows an intent, and an intent is only taken from where no create can be in flight."""
    assert {state for state, exits in TRANSITIONS.items() if Event.INTEND in exits} == {State.SEALED, State.HELD}
    exits = {event for event, following in TRANSITIONS[State.AMBIGUOUS].items() if following is not State.AMBIGUOUS}
    outcomes = {Event.ADOPT, Event.CLEAR, Event.LOSE, Event.HOLD}
    assert exits == outcomes, "what is unknown is found, waited out, lost for good, or a person's matter"


def test_the_diagram_shows_every_transition_between_states() -> None:
    drawn = mermaid()
    for state, exits in TRANSITIONS.items():
        for event, following in exits.items():
            assert state is following or f"{state} --> {following}: {event}" in drawn
