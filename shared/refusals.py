"""What follows from a call of a submission that certainly had no effect: one verdict for each failure, and its wait.

Nothing of this touches what was accepted, or may have been: that is shared.recovery's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from shared.clock import Clock
from shared.errors import AccountFault, EnqueuedLimit, NotFound, ProviderError, Rejected, Throttled
from shared.failpoints import Failpoint, reached
from shared.lifecycle import Event
from shared.standing import REST
from shared.store import Attempt, Batch, Lease, Store

FILE_GONE = "input file not found"
"""The note of an attempt whose uploaded file must not be named again."""


@dataclass(frozen=True)
class Backoff:
    """How long a batch is held after its `n`-th definite failure: doubling, with jitter, at most `most`."""

    least: timedelta = timedelta(seconds=5)
    most: timedelta = timedelta(minutes=5)

    def after(self, failures: int, random: Random) -> timedelta:
        """The wait after so many failures, from half of it to all of it."""
        wait: timedelta = min(self.least * (1 << min(failures, 16)), self.most)
        return wait * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Waits:
    """How long to wait, for what."""

    backoff: Backoff = Backoff()
    account: timedelta = REST
    busy: timedelta = timedelta(seconds=2)
    """While another create of the account is unresolved."""
    upload: timedelta = timedelta(seconds=1)
    """Before an upload is tried again, at first."""


WAITS = Waits()


class Refusals:
    """Holds batches, or ends them where the provider refused one for good."""

    def __init__(self, store: Store, clock: Clock, waits: Waits) -> None:
        self._store, self._clock, self._waits = store, clock, waits
        self._random = Random()  # noqa: S311 jitter, no cryptography

    def definite(
        self, batch: Batch, lease: Lease, error: ProviderError, *, tries: int, attempt: Attempt | None = None
    ) -> Batch:
        """The ladder: one verdict for each failure; `attempt` is the one that it ends, `tries` how many there were."""
        now = self._clock()
        again = now + self._waits.backoff.after(tries, self._random)
        match error:
            case AccountFault():
                paused = self._store.accounts.pause(batch.account, str(error), self._waits.account)
                reached(Failpoint.ACCOUNT_PAUSED)
                return self.hold(batch, lease, paused.reason, paused.until, attempt)
            case Throttled(retry_after=timedelta() as asked):
                return self.hold(batch, lease, f"throttled: {error}", now + asked, attempt)
            case EnqueuedLimit():
                wait = self._store.queues.refused(batch, error.limit, str(error))
                reached(Failpoint.LIMIT_LEARNED)
                return self.hold(batch, lease, wait.reason, wait.until, attempt)
            case Rejected() if attempt is not None:
                return self._store.attempts.resolve(
                    batch.batch_key, attempt.attempt, lease, Event.REJECT, error=str(error)
                )
            case NotFound():
                reason = f"the provider does not find the input file: {error}"
                return self.hold(batch, lease, reason, again, attempt, FILE_GONE)
            case _:
                return self.hold(batch, lease, str(error), again, attempt)

    def busy(self, batch: Batch, lease: Lease, reason: str) -> Batch:
        """Another has the account, or the room, for a moment."""
        return self.hold(batch, lease, reason, self._clock() + self._waits.busy)

    def hold(
        self,
        batch: Batch,
        lease: Lease,
        reason: str,
        until: datetime | None,
        attempt: Attempt | None = None,
        note: str | None = None,
    ) -> Batch:
        """Hold a batch, and end the attempt that came to nothing, if there was one."""
        if attempt is None:
            return self._store.batches.apply(
                batch.batch_key, Event.HOLD, lease=lease, held_reason=reason, held_until=until
            )
        return self._store.attempts.resolve(
            batch.batch_key, attempt.attempt, lease, Event.HOLD, note=note, held_reason=reason, held_until=until
        )
