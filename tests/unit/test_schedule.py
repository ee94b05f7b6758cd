from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from poller.schedule import Backoff, Deadlines, ListPolicy, PollPolicy, by_account

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ROLLS = st.floats(0, 1, exclude_max=True)


def test_a_young_batch_is_looked_at_fast_and_an_old_one_slowly() -> None:
    policy = PollPolicy()
    assert policy.interval(timedelta()) == 15 * SECOND
    assert policy.interval(timedelta(minutes=30)) == 90 * SECOND
    assert policy.interval(timedelta(hours=20)) == 300 * SECOND


@given(age=st.floats(0, 1e6), roll=ROLLS)
def test_no_look_is_earlier_than_the_fastest_or_later_than_the_slowest(age: float, roll: float) -> None:
    policy = PollPolicy(timedelta(seconds=0.2), timedelta(seconds=3.5))
    wait = policy.next_look(NOON, NOON - timedelta(seconds=age), roll) - NOON
    assert policy.fastest <= wait <= policy.slowest


def test_looks_never_become_more_frequent_with_age() -> None:
    intervals = [PollPolicy().interval(timedelta(minutes=minute)) for minute in range(200)]
    assert intervals == sorted(intervals)


def test_a_batch_whose_clock_is_ahead_of_ours_is_young() -> None:
    assert PollPolicy().next_look(NOON, NOON + timedelta(minutes=5), 0) == NOON + 15 * SECOND


@given(failures=st.integers(1, 10_000), roll=ROLLS)
def test_backoff_doubles_with_jitter_up_to_its_most(failures: int, roll: float) -> None:
    wait = Backoff().delay(failures, roll)
    doubled = min(2 ** min(failures - 1, 20), 300) * SECOND
    assert doubled / 2 <= wait <= doubled


@given(asked=st.floats(0, 21_600), failures=st.integers(1, 20), roll=ROLLS)
def test_retry_after_is_honoured_up_to_hours(asked: float, failures: int, roll: float) -> None:
    wanted = timedelta(seconds=asked)
    assert wanted <= Backoff().delay(failures, roll, wanted) <= max(wanted * 1.1, 300 * SECOND) + SECOND


def test_an_absurd_retry_after_is_cut() -> None:
    assert Backoff().delay(1, 0, timedelta(days=400)) == timedelta(hours=6)


def test_each_state_has_a_deadline_of_its_own() -> None:
    deadlines = Deadlines()
    assert deadlines.stuck_at("validating", NOON, NOON + timedelta(hours=24)) == NOON + timedelta(hours=3)
    assert deadlines.stuck_at("paused", NOON, None) == NOON + timedelta(hours=3)
    assert deadlines.stuck_at("in_progress", NOON, None) == NOON + timedelta(hours=26)
    assert deadlines.stuck_at("in_progress", NOON, NOON + timedelta(hours=24)) == NOON + timedelta(hours=25)


def test_a_404_is_transient_until_its_deadline() -> None:
    deadlines = Deadlines(missing=timedelta(hours=2))
    assert not deadlines.is_lost(NOON, NOON + timedelta(minutes=119))
    assert deadlines.is_lost(NOON, NOON + timedelta(hours=2))


def test_a_list_replaces_retrieves_when_many_are_due() -> None:
    policy = ListPolicy()
    assert [policy.lists(due) for due in (1, 3, 4, 1000)] == [False, False, True, True]
    assert policy.created_after([NOON, NOON - timedelta(days=1)]) == NOON - timedelta(days=1, minutes=10)
    assert policy.is_enough(seen=5, wanted=0)
    assert not policy.is_enough(seen=999, wanted=1)
    assert policy.is_enough(seen=1000, wanted=1)


class _Batch:
    def __init__(self, account: str, key: str) -> None:
        self.account = account
        self.key = key


def test_batches_are_grouped_by_account_in_their_order() -> None:
    grouped = by_account([_Batch("b", "1"), _Batch("a", "2"), _Batch("b", "3")])
    assert {account: [batch.key for batch in batches] for account, batches in grouped.items()} == {
        "a": ["2"],
        "b": ["1", "3"],
    }
