"""When to ask a provider again, how long to wait after a fault, and how long a batch may stand still. Pure: no clock.

Every function takes the time, or a roll in [0, 1), as an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol, TypeVar

_AGE_PER_LOOK = 20
"""A batch is looked at again after a twentieth of the time for which it has not changed."""
_SPREAD = 0.1
LOST_AFTER = timedelta(hours=6)
"""How long a provider may answer 404 for a batch that exists."""


class Due(Protocol):
    """What of a batch decides with whom it is asked for."""

    @property
    def account(self) -> str: ...


Grouped = TypeVar("Grouped", bound=Due)


@dataclass(frozen=True)
class PollPolicy:
    """The pace of looks at a batch: `fastest` at first, then slower as it ages, never slower than `slowest`."""

    fastest: timedelta = timedelta(seconds=15)
    slowest: timedelta = timedelta(seconds=300)

    def interval(self, unchanged_for: timedelta) -> timedelta:
        """The time between two looks at a batch that has stood in its provider's state for so long."""
        return min(max(unchanged_for / _AGE_PER_LOOK, self.fastest), self.slowest)

    def next_look(self, now: datetime, since: datetime, roll: float) -> datetime:
        """When to look again; `roll` spreads the looks of batches that were made together, never beyond `slowest`."""
        interval = self.interval(now - since)
        return now + min(interval * (1 + _SPREAD * roll), self.slowest)


@dataclass(frozen=True)
class Backoff:
    """Waiting after faults: doubled each time, with jitter; the other side's own word on it goes first."""

    first: timedelta = timedelta(seconds=1)
    most: timedelta = timedelta(seconds=300)
    longest_asked: timedelta = timedelta(hours=6)
    """A Retry-After beyond this is cut to it."""

    def delay(self, failures: int, roll: float, asked: timedelta | None = None) -> timedelta:
        """The wait after the `failures`-th fault in a row (from 1): between half and all of the doubled time.

        It is never shorter than what was asked for by a Retry-After, and a little longer, so that not all come at once.
        """
        doubled = min(self.first * 2.0 ** min(failures - 1, 30), self.most)
        own = doubled * (0.5 + 0.5 * roll)
        if asked is None:
            return own
        return max(min(asked, self.longest_asked) * (1 + _SPREAD * roll), own)


@dataclass(frozen=True)
class Deadlines:
    """How long a batch may stand in a state of its provider before it is said aloud; nothing is downloaded early."""

    short: timedelta = timedelta(hours=3)
    """For states that a provider leaves within minutes: validating, finalizing, cancelling, and unknown ones."""
    working: timedelta = timedelta(hours=26)
    """For a provider's long state; a batch that tells its own expiry has that and `grace`."""
    grace: timedelta = timedelta(hours=1)
    missing: timedelta = LOST_AFTER
    """For a batch that exists and is answered with 404."""
    long_states: frozenset[str] = field(default=frozenset({"in_progress"}))

    def stuck_at(self, status: str, since: datetime, expires_at: datetime | None) -> datetime:
        """When a batch that has shown `status` since then is overdue."""
        if status not in self.long_states:
            return since + self.short
        return expires_at + self.grace if expires_at is not None else since + self.working

    def is_lost(self, missing_since: datetime, now: datetime) -> bool:
        """Whether a batch has been answered with 404 for too long."""
        return now - missing_since >= self.missing


@dataclass(frozen=True)
class ListPolicy:
    """When one list call replaces many retrieves."""

    at_least: int = 4
    most_pages: int = 10
    page: int = 100
    slack: timedelta = timedelta(minutes=10)
    """Between our clock and the provider's."""

    def lists(self, due: int) -> bool:
        """Whether so many due batches of an account are worth a list."""
        return due >= self.at_least

    def created_after(self, submitted: Sequence[datetime]) -> datetime:
        """How far back the list has to go."""
        return min(submitted) - self.slack

    def is_enough(self, seen: int, wanted: int) -> bool:
        """Whether to stop paging: all were found, or the rest is cheaper to retrieve one by one."""
        return wanted == 0 or seen >= self.most_pages * self.page


def by_account(batches: Sequence[Grouped]) -> dict[str, list[Grouped]]:
    """Batches grouped by account; the order within an account stays."""
    ordered = sorted(batches, key=lambda batch: batch.account)
    return {account: list(group) for account, group in groupby(ordered, key=lambda batch: batch.account)}
