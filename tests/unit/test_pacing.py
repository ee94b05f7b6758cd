"""How many calls may be under way: additive increase, multiplicative decrease, a circuit breaker."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from poller.ask.pacing import Pace, PacePolicy, Paces
from poller.schedule import Backoff

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = PacePolicy(rest=Backoff(10 * SECOND, 40 * SECOND))
MOST = 16

happenings = st.lists(
    st.tuples(
        st.sampled_from(["answered", "throttled", "failed"]),
        st.floats(0, 30),
        st.none() | st.floats(0, 100).map(lambda seconds: seconds * SECOND),
    ),
    max_size=60,
)


def happen(pace: Pace, what: str, now: datetime, asked: timedelta | None) -> None:
    if what == "answered":
        pace.answered(MOST)
    elif what == "throttled":
        pace.throttled(now, 0.5, asked)
    else:
        pace.failed(now, 0.5)


@given(happenings)
def test_there_is_never_more_room_than_allowed_and_always_some_again(
    events: list[tuple[str, float, timedelta | None]],
) -> None:
    pace, now = Pace(POLICY), NOON
    for what, seconds, asked in events:
        now += seconds * SECOND
        happen(pace, what, now, asked)
        room = pace.room(now, 0, MOST)
        assert 0 <= room <= (1 if pace.is_open else MOST)
        assert pace.room(now, MOST, MOST) == 0
        rests_until = pace.rests_until(now)
        assert (room == 0) == (rests_until is not None), "what has no room says until when"
        if rests_until is not None:
            assert pace.room(rests_until, 0, MOST) >= 1
            # The longest wait that anybody asked for, with its spread, or the breaker's longest.
            assert rests_until - now <= 111 * SECOND


def test_rounds_double_until_it_is_too_much_and_by_one_afterwards() -> None:
    pace = Pace(POLICY)
    for _ in range(4):
        pace.answered(MOST)
    assert pace.limit == 8
    pace.throttled(NOON, 0.0, SECOND)
    for _ in range(5):
        pace.answered(MOST)
    assert pace.limit == 5
    for _ in range(1000):
        pace.answered(MOST)
    assert (pace.limit, pace.room(NOON + 9 * SECOND, 10, MOST)) == (MOST, 6)


def test_a_throttle_halves_once_for_all_that_was_under_way() -> None:
    pace = Pace(PacePolicy(first=16))
    for _ in range(16):
        pace.throttled(NOON, 0.0, SECOND)
    assert pace.limit == 8
    pace.throttled(NOON + 2 * SECOND, 0.0, SECOND)
    assert pace.limit == 4


def test_the_providers_own_word_on_when_to_come_again_is_kept() -> None:
    pace = Pace(POLICY)
    pace.throttled(NOON, 0.0, 90 * SECOND)
    # Another answer of the same moment that asks for less shortens nothing.
    pace.throttled(NOON, 0.0, SECOND)
    assert pace.rests_until(NOON) == NOON + 90 * SECOND
    assert pace.room(NOON + 89 * SECOND, 0, MOST) == 0
    assert pace.room(NOON + 90 * SECOND, 0, MOST) > 0


def test_the_circuit_opens_lets_one_call_try_and_closes() -> None:
    pace = Pace(POLICY)
    for _ in range(POLICY.trip):
        assert not pace.is_open
        pace.failed(NOON, 1.0)
    assert pace.room(NOON, 0, MOST) == 0
    # What was under way when it opened changes nothing.
    pace.failed(NOON, 1.0)
    later = NOON + 10 * SECOND
    assert (pace.rests_until(NOON), pace.room(later, 0, MOST), pace.room(later, 1, MOST)) == (later, 1, 0)
    pace.failed(later, 1.0)
    assert pace.rests_until(later) == later + 20 * SECOND, "it rests longer each time"
    pace.answered(MOST)
    assert (pace.is_open, pace.room(later, 0, MOST)) == (False, 5)


def test_an_answer_between_failures_keeps_the_circuit_closed() -> None:
    pace = Pace(POLICY)
    for _ in range(50):
        pace.failed(NOON, 0.5)
        pace.failed(NOON, 0.5)
        pace.answered(MOST)
    assert not pace.is_open


def test_a_rate_is_told_by_enough_answers() -> None:
    paces = Paces()
    assert paces.of("account", "model") is paces.of("account", "model")
    paces.measured("account", "model", 3, 1.0)
    assert paces.rate("account", "model") is None
    paces.measured("account", "model", 50, 10.0)
    assert paces.rate("account", "model") == 5.0
