"""When a run has had enough, and when hours may pass in it: by its own time, which goes as the machine works."""

import os
import time
from collections.abc import Callable

from tests.chaos.census import Count

BOUND = 120.0
"""Seconds after the last fault within which everything has to end."""
HOURS = 48
"""That may pass after it meanwhile: what a provider's limit taught is doubted after a day."""
LULL = 3.0
"""Seconds in which nothing is written, after which an hour passes instead: whatever rests for minutes has rested.

Longer than any pace of the poller's in tests.chaos.roles: whoever has something to do has seen it by then.
"""
BUSY = 10
"""How much longer while somebody should be at work."""


def strain() -> float:
    """How many times longer everything takes than on a machine with two things to do for each processor."""
    return max(1.0, os.getloadavg()[0] / (2 * (os.cpu_count() or 1)))


class Patience:
    """Of one run, from its begin."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, strain: Callable[[], float] = strain) -> None:
        self._clock, self._strain = clock, strain
        self._turned = clock()
        self.elapsed = 0.0
        """Seconds of the run's own time."""
        self.hours = 0
        """That have passed since the last fault."""
        self._last = self._still = 0.0
        self._seen: Count | None = None

    def turn(self) -> None:
        """Look at the clock: to be called often, for the load changes."""
        now = self._clock()
        self.elapsed, self._turned = self.elapsed + (now - self._turned) / self._strain(), now

    def struck(self) -> None:
        """Something went wrong just now, or there is new work."""
        self._last, self.hours = self.elapsed, 0

    def is_over(self, bound: float) -> bool:
        return self.elapsed >= self._last + bound or self.hours >= HOURS

    def wants_an_hour(self, seen: Count | None, files: int) -> bool:
        """Whether nothing but waiting is left to do, by what stands in the store; the hour has passed then."""
        if seen != self._seen:
            self._seen, self._still = seen, self.elapsed
        is_resting = seen is not None and seen.due == 0 and seen.planned >= files
        waited = self.elapsed - max(self._last, self._still)
        if waited < (LULL if is_resting else LULL * BUSY):
            return False
        # The rest stands for the hour, and is none of the time in which everything has to end.
        self._last += waited if is_resting else 0.0
        self._still = self.elapsed
        self.hours += 1
        return True
