"""The provider's clock: the real time plus an offset, so that a test can jump over a day in no time."""

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since 1970, UTC."""

    def now(self) -> float: ...

    def advance(self, seconds: float) -> None: ...


class OffsetClock:
    """The real time, moved forward by what `advance` was given so far."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"the clock can't go back by {-seconds} s; advance it by a positive number")
        self._offset += seconds
