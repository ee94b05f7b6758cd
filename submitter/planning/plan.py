"""Which rows are already paid for, and how runs of fates and offsets are kept. No I/O."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.manifest import Fate


@dataclass
class Fates:
    """The fates of a range of rows, as run lengths."""

    runs: list[tuple[int, Fate]] = field(default_factory=list)
    rows: int = 0
    _fate: Fate | None = None
    _since: int = 0

    def add(self, fate: Fate) -> None:
        """Say what becomes of the range's next row."""
        if fate is not self._fate:
            self._close()
            self._fate, self._since = fate, self.rows
        self.rows += 1

    def closed(self) -> tuple[tuple[int, Fate], ...]:
        """The runs up to now."""
        self._close()
        self._since = self.rows
        return tuple(self.runs)

    def _close(self) -> None:
        if self._fate is not None and self.rows > self._since:
            self.runs.append((self.rows - self._since, self._fate))


Touching = tuple[set[int], set[int]]
"""The last offset of each file before one, and the first of the file after it."""


class Offsets:
    """The offsets of one partition that one file holds: runs without gaps, less those that are already paid for.

    `paid` are ascending, disjoint half-open runs [start, end) from the ledger; `touching` is asked once such an
    offset comes.
    """

    def __init__(
        self, paid: Sequence[tuple[int, int]] = (), touching: Callable[[], Touching] = lambda: (set(), set())
    ) -> None:
        self._starts = [start for start, _ in paid]
        self._ends = [end for _, end in paid]
        self._taken: list[tuple[int, int]] = []
        self._start = self._end = self._high = -1
        self.last, self.is_new = -1, False
        """The offset that came last, and whether it was new."""
        self.continued: list[int] = []
        """Offsets that are paid for, of whose records this file holds more rows."""
        self.doubtful: int | None = None
        """The first offset, where it was skipped and is the last of a run that is paid for."""
        self._find_touching = touching
        self._touching: Touching | None = None

    def take(self, offset: int) -> bool:
        """Take a record's offset; False when it is paid for, or was taken before."""
        if self._starts:
            run = bisect_right(self._starts, offset) - 1
            if run >= 0 and offset < self._ends[run]:
                return self._goes_on(offset, self._ends[run])
        if offset == self._end and offset >= self._high:
            self._end += 1
            return True
        if self._end >= 0:
            self._taken.append((self._start, self._end))
            self._high = max(self._high, self._end)
        # A partition's offsets ascend within a file; only where they don't is a look back needed.
        if offset < self._high and any(start <= offset < end for start, end in self._taken):
            self._start, self._end = self._taken.pop()
            return False
        self._start, self._end = offset, offset + 1
        return True

    def _goes_on(self, offset: int, end: int) -> bool:
        """Whether an offset that is paid for is that of a record which the file before, or after, has rows of."""
        if self._touching is None:
            self._touching = self._find_touching()
        before, after = self._touching
        is_first = self.last < 0
        if (is_first and offset in before) or (offset in after and offset not in self.continued):
            self.continued.append(offset)
            return True
        if is_first and offset == end - 1:
            self.doubtful = offset
        return False

    def runs(self) -> list[tuple[int, int]]:
        """The runs taken, ascending and merged."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self._taken, (self._start, self._end)] if self._end >= 0 else []):
            if merged and merged[-1][1] == start:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((start, end))
        return merged
