"""How long to leave alone what has just failed: twice as long each time, within bounds. No I/O."""

import threading
from datetime import datetime, timedelta

from shared.clock import Clock

FIRST, LONGEST = timedelta(seconds=2), timedelta(minutes=5)


class Patience:
    """Remembers failures by name; threads may share it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._resting: dict[str, tuple[datetime, timedelta]] = {}
        self._lock = threading.Lock()

    def may(self, name: str) -> bool:
        """Whether it is time to try again."""
        with self._lock:
            until, _ = self._resting.get(name, (None, FIRST))
        return until is None or until <= self._clock()

    @property
    def resting(self) -> int:
        """How many have failed, and not succeeded since."""
        with self._lock:
            return len(self._resting)

    def failed(self, name: str) -> None:
        """Leave it alone for a while."""
        with self._lock:
            _, last = self._resting.get(name, (None, FIRST / 2))
            delay = min(last * 2, LONGEST)
            self._resting[name] = (self._clock() + delay, delay)

    def forget(self, name: str) -> None:
        """It has succeeded."""
        with self._lock:
            self._resting.pop(name, None)
