"""The provider's clock: the real time plus an offset, so that a test can jump over a day in no time."""

import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Seconds since 1970, UTC."""

    def now(self) -> float: ...

    def advance(self, seconds: float) -> None: ...


class OffsetClock:
    """The real time, moved forward by what `advance` was given so far; the offset is kept in a file, if one is named.

    A restarted provider must not find its own batches in the future.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._offset = float(path.read_text()) if path is not None and path.exists() else 0.0

    def now(self) -> float:
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Move on; ValueError for a negative number."""
        if seconds < 0:
            raise ValueError(f"the clock can't go back by {-seconds} s; advance it by a positive number")
        self._offset += seconds
        if self._path is not None:
            self._path.write_text(str(self._offset))
