"""The daemon: a thread for each duty, with its own pace; what one moves on wakes the next. Nothing but a stop ends it.

A dependency that is away is waited for with backoff. MustRestart ends the process, which recovers when it is started.
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from poller.duty import Duty, moved
from poller.health import FAULT, Watchdog
from poller.schedule import Backoff
from shared.clock import Clock
from shared.errors import (
    KafkaUnavailable,
    LeaseLost,
    MustRestart,
    SettingsError,
    SpoolError,
    StoreUnavailable,
    TopicMismatch,
)
from shared.telemetry import Action, log, raised_at

WAITS = Backoff(first=timedelta(seconds=0.5), most=timedelta(seconds=30))
_HEED = 0.2
_MOST_ROUNDS = 10_000
_JOIN = 8.0
"""Seconds that a duty has to finish what it is at; what it leaves behind, the next process takes up."""


@dataclass(frozen=True)
class Paced:
    """A duty, and the seconds after which it looks again when nobody has woken it."""

    duty: Duty
    pace: float


@dataclass(frozen=True)
class Outcome:
    """How a pass ended: what it moved, or the dependency that kept it from it."""

    moved: int = 0
    away: str | None = None
    message: str = ""
    is_setting: bool = False
    """It does not pass by itself: a setting, or a topic's."""


def attempt(duty: Duty) -> Outcome:
    """One pass, with every fault but MustRestart told as an outcome."""
    try:
        counts = duty.run_once()
    except MustRestart:
        raise
    except Exception as error:  # noqa: BLE001 a fault in one duty must not end the others
        return _fault(duty, error)
    seen = {name: number for name, number in counts.items() if number}
    if seen:
        log(Action.DUTY_PASSED, logging.DEBUG, duty=duty.name, **seen)
    return Outcome(moved(counts))


def _fault(duty: Duty, error: Exception) -> Outcome:
    """The ladder: one verdict for each fault that ends a pass."""
    match error:
        case LeaseLost():
            log(Action.LEASE_LOST, logging.WARNING, duty=duty.name, message=str(error))
            return Outcome()
        case StoreUnavailable():
            return Outcome(away="store", message=str(error))
        case KafkaUnavailable():
            return Outcome(away=f"kafka ({duty.name})", message=str(error))
        case SpoolError():
            return Outcome(away=f"spool ({duty.name})", message=str(error))
        case SettingsError() | TopicMismatch():
            return Outcome(away=f"{FAULT}{duty.name}", message=str(error), is_setting=True)
    message = f"{type(error).__name__}: {error}"
    log(Action.DUTY_FAILED, logging.ERROR, duty=duty.name, message=message, at=raised_at(error))
    return Outcome(away=f"{FAULT}{duty.name}", message=message)


class Daemon:
    """The duties in flow order, each on its thread, until `stop`."""

    def __init__(self, duties: Sequence[Paced], watchdog: Watchdog, clock: Clock, stopping: threading.Event) -> None:
        """`stopping` is set when the daemon stops, for those who wait for something else meanwhile."""
        self._watchdog, self._clock, self._stopping = watchdog, clock, stopping
        self._fatal: MustRestart | None = None
        self._wakes = [threading.Event() for _ in duties]
        self._threads = [
            threading.Thread(target=self._serve, args=(number, paced), name=paced.duty.name, daemon=True)
            for number, paced in enumerate(duties)
        ]

    def run(self, is_asked_to_stop: Callable[[], bool]) -> None:
        """Work until `stop` is called or asked for. Raises MustRestart when a duty says so."""
        log(Action.DAEMON_STARTED, duties=",".join(thread.name for thread in self._threads))
        for thread in self._threads:
            thread.start()
        # Asked, not told: a signal handler that took the event's lock could meet the very thread that holds it.
        while not self._stopping.wait(_HEED) and not is_asked_to_stop():
            pass
        log(Action.DAEMON_STOPPING)
        self.stop()
        left = _join(self._threads, _JOIN)
        log(Action.DAEMON_STOPPED, unfinished=",".join(left) or None)
        if self._fatal is not None:
            raise self._fatal

    def stop(self) -> None:
        """Let every duty finish what it is at. For any thread, but no signal handler."""
        self._stopping.set()
        for wake in self._wakes:
            wake.set()

    def _serve(self, number: int, paced: Paced) -> None:
        faults = 0
        away: str | None = None
        while True:
            # In this order, so that no stop is overlooked.
            self._wakes[number].clear()
            if self._stopping.is_set():
                return
            try:
                outcome = attempt(paced.duty)
            except MustRestart as fatal:
                log(Action.DAEMON_FATAL, logging.ERROR, duty=paced.duty.name, message=str(fatal))
                self._fatal = fatal
                self.stop()
                return
            if away is not None and away != outcome.away:
                self._watchdog.back(away)
            away = outcome.away
            if away is not None:
                faults += 1
                self._wait(away, outcome.message, faults)
                continue
            faults = 0
            self._hand_on(number, paced, outcome)

    def _wait(self, away: str, message: str, faults: int) -> None:
        delay = WAITS.delay(faults, random.random())  # noqa: S311 jitter
        self._watchdog.away(away, message, self._clock() + delay)
        self._stopping.wait(delay.total_seconds())

    def _hand_on(self, number: int, paced: Paced, outcome: Outcome) -> None:
        """What moved may be work for any later duty, and (a child) for an earlier one; then there may be more here."""
        if outcome.moved:
            for other, wake in enumerate(self._wakes):
                if other != number:
                    wake.set()
            return
        self._wakes[number].wait(paced.pace)


def once(
    duties: Sequence[Duty], watchdog: Watchdog, clock: Clock, is_asked_to_stop: Callable[[], bool] = lambda: False
) -> None:
    """The duties in flow order, round after round, until a round moves nothing.

    A duty whose dependency is away has no second turn. Raises MustRestart; SettingsError for what has to be corrected.
    """
    absent: set[str] = set()
    for _ in range(_MOST_ROUNDS):
        moves = 0
        for duty in duties:
            if duty.name in absent:
                continue
            if is_asked_to_stop():
                return
            outcome = attempt(duty)
            moves += outcome.moved
            if outcome.is_setting:
                raise SettingsError(outcome.message)
            if outcome.away is not None:
                absent.add(duty.name)
                watchdog.away(outcome.away, outcome.message, clock())
            if outcome.away == "store":
                return
        if moves == 0:
            return


def _join(threads: Sequence[threading.Thread], seconds: float) -> list[str]:
    """Wait for threads, all together for so long; the names of those that did not end."""
    patience = threading.Event()
    timer = threading.Timer(seconds, patience.set)
    timer.daemon = True
    timer.start()
    for thread in threads:
        while thread.is_alive() and not patience.is_set():
            thread.join(0.05)
    timer.cancel()
    return [thread.name for thread in threads if thread.is_alive()]
