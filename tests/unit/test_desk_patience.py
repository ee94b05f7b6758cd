"""How long something that failed is left alone."""

from datetime import UTC, datetime, timedelta

from submitter.desk.patience import FIRST, LONGEST, Patience


class Watch:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_what_never_failed_may_be_tried() -> None:
    assert Patience(Watch()).may("x")


def test_the_pause_doubles_up_to_its_bound_and_ends_with_success() -> None:
    watch = Watch()
    patience = Patience(watch)
    pauses = []
    for _ in range(12):
        patience.failed("x")
        began = watch.now
        while not patience.may("x"):
            watch.now += timedelta(seconds=1)
        pauses.append(watch.now - began)
    assert pauses[:3] == [FIRST, FIRST * 2, FIRST * 4]
    assert pauses[-1] == LONGEST
    patience.forget("x")
    patience.failed("x")
    watch.now += FIRST
    assert patience.may("x")


def test_one_failure_is_no_other_s() -> None:
    patience = Patience(Watch())
    patience.failed("x")
    assert patience.may("y")
