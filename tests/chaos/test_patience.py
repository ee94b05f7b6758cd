"""A run is judged by its own time: a machine that does other things as well is no reason to end it."""

from tests.chaos.census import Count
from tests.chaos.patience import BOUND, BUSY, HOURS, LULL, Patience

IDLE = Count(planned=1, batches=2, open=1, due=0)
DUE = Count(planned=1, batches=2, open=1, due=1)


class Machine:
    """A clock and a load."""

    def __init__(self) -> None:
        self.now, self.strain = 100.0, 1.0
        self.patience = Patience(lambda: self.now, lambda: self.strain)

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.patience.turn()


def test_a_strained_machine_has_as_many_times_longer() -> None:
    machine = Machine()
    machine.strain = 3.0
    machine.work(BOUND * 2.9)
    assert not machine.patience.is_over(BOUND)
    machine.work(BOUND * 0.2)
    assert machine.patience.is_over(BOUND)


def test_the_bound_counts_from_the_last_fault() -> None:
    machine = Machine()
    machine.work(BOUND - 1)
    machine.patience.struck()
    machine.work(BOUND - 1)
    assert not machine.patience.is_over(BOUND)


def test_rest_is_none_of_the_bound_but_ends_after_two_days() -> None:
    machine = Machine()
    for hour in range(HOURS):
        assert not machine.patience.is_over(BOUND), hour
        assert not machine.patience.wants_an_hour(IDLE, 1)
        machine.work(LULL)
        assert machine.patience.wants_an_hour(IDLE, 1)
    assert machine.patience.is_over(BOUND)


def test_whoever_should_be_at_work_has_longer_and_it_counts() -> None:
    machine = Machine()
    assert not machine.patience.wants_an_hour(DUE, 1)
    machine.work(LULL)
    assert not machine.patience.wants_an_hour(DUE, 1)
    machine.work(LULL * BUSY)
    assert machine.patience.wants_an_hour(DUE, 1)
    machine.work(BOUND)
    assert machine.patience.is_over(BOUND)
