"""What refusals teach of a queue's limit."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shared.lessons import IGNORANT, POLICY, Learned, Refusal

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KNOWN = Learned(100, NOON, NOON)


def test_a_message_that_tells_the_limit_is_a_lesson_and_no_reason_to_wait() -> None:
    assert IGNORANT.refused(Refusal(10, 0, 0, told=100, sent_at=NOON), NOON + SECOND) == Learned(
        100, NOON + SECOND, NOON + SECOND
    )


def test_without_a_number_the_limit_is_what_was_taken_in() -> None:
    assert IGNORANT.refused(Refusal(10, 80, 60, sent_at=NOON), NOON).limit == 60


def test_a_refusal_for_want_of_room_that_we_knew_of_only_confirms_the_limit() -> None:
    assert KNOWN.refused(Refusal(30, 80, 80, 100, NOON + SECOND), NOON + 2 * SECOND) == replace(
        KNOWN, confirmed_at=NOON + 2 * SECOND
    )


def test_others_batches_fill_the_queue() -> None:
    """Nothing is known that explains it: left alone, twice as long each time, until a later batch is taken in."""
    first = KNOWN.refused(Refusal(30, 0, 0, 100, NOON + SECOND), NOON + 2 * SECOND)
    assert (first.refusals, first.full_until) == (1, NOON + 2 * SECOND + POLICY.first_full)
    same_wave = first.refused(Refusal(30, 0, 0, 100, NOON + SECOND), NOON + 3 * SECOND)
    assert (same_wave.refusals, same_wave.full_until) == (1, first.full_until)
    again = first.refused(Refusal(30, 0, 0, 100, NOON + 3 * SECOND), NOON + 4 * SECOND)
    assert (again.refusals, again.full_until) == (2, NOON + 4 * SECOND + 2 * POLICY.first_full)
    assert again.left().full_until is None
    assert again.taken(30, NOON + 3 * SECOND, NOON + 5 * SECOND).refusals == 2, "it was sent before the queue was full"
    assert again.taken(30, NOON + 5 * SECOND, NOON + 5 * SECOND) == replace(KNOWN, confirmed_at=NOON + 4 * SECOND)


def test_a_batch_alone_that_is_refused_without_a_number_teaches_no_limit() -> None:
    alone = IGNORANT.refused(Refusal(30, 0, 0, sent_at=NOON), NOON + SECOND)
    assert alone.limit is None
    assert alone.refusals == 1


def test_the_longest_wait_is_bounded() -> None:
    learned = replace(KNOWN, full_at=NOON, refusals=40).refused(Refusal(1, 0, 0, 100, NOON + SECOND), NOON + SECOND)
    assert learned.full_until == NOON + SECOND + POLICY.most_full


def test_only_a_doubted_limit_is_raised_by_what_is_taken_in() -> None:
    later = NOON + POLICY.memory
    assert KNOWN.taken(130, NOON, NOON + SECOND).limit == 100
    assert KNOWN.taken(130, later, later).limit == 130
    assert KNOWN.taken(90, later, later).limit == 100
