"""What a pipeline states for itself, on both databases: the newest word holds, and says whose setting wins."""

from datetime import timedelta

from shared.store import Store
from shared.store.terms import Stated

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def test_a_pipeline_that_says_nothing_goes_by_each_processes_own_setting(store: Store) -> None:
    assert store.terms.of("pipe") == Stated()
    store.terms.state("pipe", Stated())
    assert store.terms.of("pipe") == Stated()
    assert store.terms.quarantine("pipe", MINUTE) == MINUTE
    assert store.terms.retentions() == {}


def test_the_newest_word_holds_and_takes_away_what_it_does_not_repeat(store: Store) -> None:
    store.terms.state("pipe", Stated(30 * DAY, HOUR))
    store.terms.state("other", Stated(quarantine=HOUR))
    assert store.terms.of("pipe") == Stated(30 * DAY, HOUR)
    assert store.terms.retentions() == {"pipe": 30 * DAY}
    store.terms.state("pipe", Stated(checkpoints="file:///elsewhere"))
    assert store.terms.of("pipe") == Stated(checkpoints="file:///elsewhere")
    store.terms.state("pipe", Stated(DAY))
    assert store.terms.of("pipe") == Stated(DAY)
    assert store.terms.of("other") == Stated(quarantine=HOUR)


def test_of_two_quarantines_the_longer_one_holds(store: Store) -> None:
    store.terms.state("pipe", Stated(quarantine=HOUR))
    assert store.terms.quarantine("pipe", MINUTE) == HOUR
    assert store.terms.quarantine("pipe", 2 * HOUR) == 2 * HOUR
