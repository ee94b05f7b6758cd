"""How many synchronous calls may be under way at an account. Pure: the time, and a roll in [0, 1), are arguments.

More while it answers, fewer when it throttles, none while it fails.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from poller.schedule import Backoff

_ENOUGH = 20
"""Answers from which a rate can be told."""


@dataclass(frozen=True)
class PacePolicy:
    """Additive increase, multiplicative decrease; and a circuit breaker."""

    first: int = 4
    """Calls under way at the beginning."""
    settle: timedelta = timedelta(seconds=1)
    """After a decrease, calls that were under way then don't decrease it again."""
    throttled: Backoff = field(default_factory=lambda: Backoff(timedelta(seconds=1), timedelta(minutes=1)))
    trip: int = 5
    """Failures in a row that open the circuit."""
    rest: Backoff = field(default_factory=lambda: Backoff(timedelta(seconds=5), timedelta(minutes=5)))
    """How long it stays open, doubled each time that the one call which then tries fails."""


PACE = PacePolicy()


class Pace:
    """The calls of one account and model, as they went. Its user has a thread of its own, or a lock."""

    def __init__(self, policy: PacePolicy) -> None:
        self._policy = policy
        self._limit = float(policy.first)
        self._cut_at: datetime | None = None
        self._throttles = self._failures = self._trips = 0
        self._resting_until: datetime | None = None
        self._open_until: datetime | None = None

    @property
    def limit(self) -> int:
        """Calls that may be under way at once while nothing is wrong."""
        return int(self._limit)

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open, or waits for the call that tries."""
        return self._open_until is not None

    def rests_until(self, now: datetime) -> datetime | None:
        """When the next call may be made; None: now."""
        later = [moment for moment in (self._resting_until, self._open_until) if moment is not None and moment > now]
        return max(later, default=None)

    def room(self, now: datetime, under_way: int, most: int) -> int:
        """How many calls may be begun now, with so many under way."""
        if self.rests_until(now) is not None:
            return 0
        limit = 1 if self._open_until is not None else min(self.limit, most)
        return max(limit - under_way, 0)

    def answered(self, most: int) -> None:
        """A call was answered: one more at once after each round of them. A closed circuit stays so."""
        self._throttles = self._failures = self._trips = 0
        self._open_until = None
        # Until it was once too much, each round may be twice as large as the last.
        more = 1.0 if self._cut_at is None else 1 / self._limit
        self._limit = min(self._limit + more, float(most))

    def throttled(self, now: datetime, roll: float, asked: timedelta | None = None) -> None:
        """The provider said that it is too much; `asked` is its own word on how long to wait. It says nothing else."""
        if self._cut_at is None or now >= self._cut_at + self._policy.settle:
            self._limit = max(self._limit / 2, 1.0)
            self._cut_at = now
            self._throttles += 1
        elif asked is None:
            return
        rest = now + self._policy.throttled.delay(max(self._throttles, 1), roll, asked)
        self._resting_until = max(self._resting_until or rest, rest)

    def failed(self, now: datetime, roll: float) -> None:
        """The provider failed, or was not there."""
        if self._open_until is not None and now < self._open_until:
            # It was under way when the circuit opened.
            return
        self._failures += 1
        if self._failures >= self._policy.trip or self._open_until is not None:
            self._trips += 1
            self._open_until = now + self._policy.rest.delay(self._trips, roll)


class Paces:
    """The pace of each account and model, and the answers a second that it was last seen to give. Threads share it."""

    def __init__(self, policy: PacePolicy = PACE) -> None:
        self._policy = policy
        self._paces: dict[tuple[str, str], Pace] = {}
        self._rates: dict[tuple[str, str], float] = {}

    def of(self, account: str, model: str) -> Pace:
        return self._paces.setdefault((account, model), Pace(self._policy))

    def rate(self, account: str, model: str) -> float | None:
        """Answers a second; None until it was measured."""
        return self._rates.get((account, model))

    def measured(self, account: str, model: str, answers: int, seconds: float) -> None:
        """So many answers came in a stretch; too few say nothing."""
        if answers >= _ENOUGH and seconds > 0:
            self._rates[account, model] = answers / seconds
