"""When a deadline nears, and what follows."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.ask.deadline import DeadlinePolicy, Step
from shared.definition import Mode
from shared.lifecycle import State

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
POLICY = DeadlinePolicy()


@dataclass(frozen=True)
class Timed:
    state: State = State.RUNNING
    mode: Mode = "batch"
    requests: int = 1000
    sealed_at: datetime = NOON
    deadline_at: datetime | None = NOON + 4 * HOUR
    harvested_at: datetime | None = None
    remote_status: str | None = "in_progress"


durations = st.timedeltas(timedelta(seconds=1), timedelta(days=30))
batches = st.builds(
    Timed,
    state=st.sampled_from(State),
    mode=st.sampled_from(["batch", "sync"]),
    requests=st.integers(1, 100_000),
    deadline_at=st.none() | durations.map(lambda span: NOON + span),
    harvested_at=st.none() | durations.map(lambda span: NOON + span),
    remote_status=st.sampled_from([None, "in_progress", "cancelling", "canceling"]),
)


def step(batch: Timed, now: datetime, *, asks: bool = True, sent_at: datetime | None = NOON) -> Step:
    return POLICY.step(batch, now, sent_at, asks=asks)


def test_enough_time_is_left_for_the_cancel_and_for_the_calls() -> None:
    batch = Timed(requests=4 * 3600)
    assert POLICY.nears_at(batch, asks=False) == NOON + 4 * HOUR - 15 * MINUTE
    assert POLICY.nears_at(batch, asks=True) == NOON + 4 * HOUR - 15 * MINUTE - 1.25 * HOUR
    assert POLICY.nears_at(batch, asks=True, rate=40.0) == NOON + 4 * HOUR - 15 * MINUTE - 0.125 * HOUR
    assert POLICY.nears_at(replace(batch, requests=10**9), asks=True) == NOON + 2 * HOUR, "half of the time is its own"


@given(batches, durations, st.booleans(), st.none() | durations)
def test_only_what_may_be_cancelled_is_and_only_what_was_never_sent_is_diverted(
    batch: Timed, later: timedelta, asks: bool, sent: timedelta | None
) -> None:
    now = NOON + later
    found = step(batch, now, asks=asks, sent_at=NOON + sent if sent else None)
    if found is not Step.WAIT:
        assert batch.mode == "batch"
        assert batch.deadline_at is not None
        assert batch.state in (State.SUBMITTED, State.RUNNING) or found is Step.DIVERT
    if found is Step.DIVERT:
        assert batch.state in (State.SEALED, State.HELD)
        assert asks
        assert POLICY.may_near(batch, now)
    if found is Step.CANCEL:
        assert batch.harvested_at is not None or POLICY.may_near(batch, now)


@given(st.integers(1, 100_000), st.integers(1, 100_000), durations, st.floats(0.1, 1000))
def test_more_to_ask_begins_earlier_and_never_before_half_the_time(
    some: int, more: int, span: timedelta, rate: float
) -> None:
    short = POLICY.lead(span, min(some, more), asks=True, rate=rate)
    long = POLICY.lead(span, max(some, more), asks=True, rate=rate)
    assert POLICY.lead(span, some, asks=False) <= short <= long <= span / 2


@pytest.mark.parametrize("state", [State.SUBMITTING, State.AMBIGUOUS])
def test_what_may_be_in_flight_waits_however_late_it_is(state: State) -> None:
    assert step(Timed(state), NOON + 100 * HOUR) is Step.WAIT


def test_a_batch_is_cancelled_once_and_again_only_when_nothing_came_of_it() -> None:
    near = NOON + 4 * HOUR - MINUTE
    assert step(Timed(), near) is Step.CANCEL
    asked = Timed(harvested_at=near)
    assert step(asked, near + 30 * MINUTE / 60) is Step.WAIT
    assert step(asked, near + 2 * MINUTE) is Step.CANCEL
    assert step(replace(asked, remote_status="cancelling"), near + 2 * MINUTE) is Step.WAIT


def test_what_was_sent_when_time_was_short_already_is_left_to_run_unless_it_can_be_asked() -> None:
    near = NOON + 4 * HOUR - MINUTE
    assert step(Timed(), near, asks=False, sent_at=near - MINUTE) is Step.WAIT
    assert step(Timed(), near, asks=True, sent_at=near - MINUTE) is Step.CANCEL
    assert step(Timed(), near, asks=False, sent_at=NOON) is Step.CANCEL


def test_what_was_never_sent_waits_when_it_can_not_be_asked() -> None:
    near = NOON + 4 * HOUR - MINUTE
    assert step(Timed(State.HELD), near) is Step.DIVERT
    assert step(Timed(State.HELD), near, asks=False) is Step.WAIT
