"""The daemon's loop over duties that do no I/O: a duty is a port, these are its smallest implementations."""

import threading
from collections import deque
from datetime import timedelta
from pathlib import Path

import pytest

from poller.daemon import Daemon, Paced, once
from poller.duty import Counts
from poller.health import Watchdog
from shared.clock import system_clock
from shared.errors import KafkaUnavailable, MustRestart, SpoolError, StoreUnavailable
from shared.store import Store
from tests.rig.waiting import wait_until


class Scripted:
    """A duty that does what it was told, one step a pass, and then finds nothing to do."""

    def __init__(self, name: str, *steps: Counts | Exception, diary: list[str] | None = None) -> None:
        self.name = name
        self.steps = deque(steps)
        self.diary = [] if diary is None else diary
        self.passes = 0

    def run_once(self) -> Counts:
        self.passes += 1
        self.diary.append(self.name)
        step = self.steps.popleft() if self.steps else {}
        if isinstance(step, Exception):
            raise step
        return step


@pytest.fixture
def watchdog(tmp_path: Path) -> Watchdog:
    return Watchdog(Store.open(f"sqlite:///{tmp_path / 'state.db'}"), "test:1:x")


def run(duties: list[Paced], watchdog: Watchdog) -> tuple[threading.Thread, Daemon]:
    daemon = Daemon(duties, watchdog, system_clock, threading.Event())
    thread = threading.Thread(target=daemon.run, args=(lambda: False,))
    thread.start()
    return thread, daemon


def test_what_one_duty_moves_wakes_the_next_at_once(watchdog: Watchdog) -> None:
    first, second = Scripted("first", {}, {"moved": 1}), Scripted("second")
    thread, daemon = run([Paced(first, 0.3), Paced(second, 3600)], watchdog)
    wait_until(lambda: second.passes >= 2, 10)
    daemon.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_duty_that_only_waits_is_not_spun(watchdog: Watchdog) -> None:
    idle = Scripted("idle", *[{"waiting": 3, "faults": 1, "busy": 2, "checked": 9}] * 100)
    marker = Scripted("marker", {"moved": 1}, {"moved": 1})
    thread, daemon = run([Paced(idle, 3600), Paced(marker, 3600)], watchdog)
    wait_until(lambda: marker.passes >= 3, 10)
    daemon.stop()
    thread.join(5)
    assert idle.passes <= 4


@pytest.mark.parametrize(
    "fault", [StoreUnavailable("no store"), KafkaUnavailable("no broker"), SpoolError("no disk"), ValueError("a bug")]
)
def test_nothing_that_is_away_ends_the_daemon_or_its_other_duties(watchdog: Watchdog, fault: Exception) -> None:
    troubled, other = Scripted("troubled", fault, fault), Scripted("other", *[{"moved": 1}] * 5)
    thread, daemon = run([Paced(troubled, 0.05), Paced(other, 0.05)], watchdog)
    wait_until(lambda: troubled.passes >= 3 and other.passes >= 6, 20)
    assert thread.is_alive()
    daemon.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_fatal_transaction_ends_the_process(watchdog: Watchdog) -> None:
    daemon = Daemon(
        [Paced(Scripted("calm"), 3600), Paced(Scripted("publish", MustRestart("indefinite")), 3600)],
        watchdog,
        system_clock,
        threading.Event(),
    )
    with pytest.raises(MustRestart, match="indefinite"):
        daemon.run(lambda: False)


def test_a_stop_is_heeded_while_a_dependency_is_waited_for(watchdog: Watchdog) -> None:
    troubled = Scripted("troubled", *[KafkaUnavailable("no broker")] * 50)
    asked = threading.Event()
    daemon = Daemon([Paced(troubled, 3600)], watchdog, system_clock, threading.Event())
    thread = threading.Thread(target=daemon.run, args=(asked.is_set,))
    thread.start()
    wait_until(lambda: troubled.passes >= 2, 10)
    asked.set()
    thread.join(3)
    assert not thread.is_alive()


def test_a_single_pass_goes_round_in_flow_order_until_nothing_moves(watchdog: Watchdog) -> None:
    diary: list[str] = []
    register = Scripted("register", {"registered": 2}, diary=diary)
    publish = Scripted("publish", {}, {"published": 1}, {"waiting": 4}, diary=diary)
    once([register, publish], watchdog, system_clock)
    assert diary == ["register", "publish"] * 3
    assert not watchdog.has_seen_away


def test_a_single_pass_goes_on_beside_what_is_away_and_tells_of_it(watchdog: Watchdog) -> None:
    register, watch = Scripted("register", KafkaUnavailable("no broker")), Scripted("watch", {"ended": 1})
    once([register, watch], watchdog, system_clock)
    assert watch.passes == 2
    assert watchdog.has_seen_away


def test_a_fault_of_ours_is_no_dependency(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'state.db'}") as store:
        watchdog = Watchdog(store, "host:once")
        once([Scripted("watch", ValueError("a bug"))], watchdog, system_clock)
        assert not watchdog.has_seen_away
        (word,) = store.health.all(system_clock() - timedelta(minutes=1))
        assert (word.dependency, word.message) == ("duty watch", "ValueError: a bug")
        later = Watchdog(store, "host:once")
        later.settle()
        assert store.health.all(system_clock() - timedelta(minutes=1)) == []


def test_a_single_pass_ends_when_the_store_is_away(watchdog: Watchdog) -> None:
    register, watch = Scripted("register", StoreUnavailable("no store")), Scripted("watch")
    once([register, watch], watchdog, system_clock)
    assert watch.passes == 0
    assert watchdog.has_seen_away
