"""What the spool knows of a batch that the store takes for unsent: a store restored from an older copy learns it here.

What was accepted is adopted, and what was refused or given up is over, before a request is read or sent again.
"""

from collections.abc import Sequence
from datetime import timedelta

from shared.attempted import attempted
from shared.clock import Clock
from shared.closing import Closing, read_closing
from shared.intents import Receipt, newest_intent, newest_receipt
from shared.lifecycle import Event
from shared.recovery import DECIDE
from shared.spool import DECISION, REQUESTS, Spool
from shared.store import Attempt, Batch, Lease, Store

_LOOK_AGAIN = timedelta(hours=1)
"""Whether the requests that are gone have been restored."""


class Hindsight:
    """Asked before every submission, whose lease the caller holds. Batches without a row are shared.recall's matter."""

    def __init__(self, store: Store, spool: Spool, clock: Clock) -> None:
        self._store, self._spool, self._clock = store, spool, clock

    def known(self, batch: Batch, number: int, lease: Lease) -> Batch | None:
        """The batch, moved by what its attempt `number` or a later one came to; None where nothing is known of one.

        A batch whose requests are gone, and of which nothing else is known, is held until somebody decides.
        """
        if batch.requests == 0:
            return None
        folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
        receipt = newest_receipt(self._spool, folder, number)
        if receipt is not None:
            return self._accepted(batch, receipt, self._forgotten(batch, folder, number, receipt.attempt), lease)
        if self._spool.files.size(f"{folder}/{DECISION}") is not None:
            return self._over(batch, read_closing(self._spool, folder), number, lease)
        if self._is_there(batch, folder):
            return None
        made = self._forgotten(batch, folder, number, number)
        if made:
            error = "the store has forgotten its create, and its requests are gone: being looked up"
            return self._store.attempts.remember(batch.batch_key, lease, made, Event.DOUBT, error=error)
        return self._lost(batch, f"{folder}/{REQUESTS}", lease)

    def _forgotten(self, batch: Batch, folder: str, first: int, last: int) -> list[Attempt]:
        return [each for each in attempted(self._spool, folder, batch) if first <= each.attempt <= last]

    def _is_there(self, batch: Batch, folder: str) -> bool:
        """Whether its requests are; those of a batch that is not in its place yet are where it was planned."""
        # In the order in which they move: one that is on its way is found where it came from, or where it has come to.
        places = (f"{batch.attempt_folder}/{batch.batch_key}" if batch.attempt_folder else folder, folder)
        return any(self._spool.files.size(f"{place}/{REQUESTS}") is not None for place in places)

    def _accepted(self, batch: Batch, receipt: Receipt, made: Sequence[Attempt], lease: Lease) -> Batch:
        return self._store.attempts.remember(
            batch.batch_key,
            lease,
            made,
            Event.ACCEPT,
            provider_batch_id=receipt.provider_batch_id,
            submitted_at=receipt.created_at,
            next_check_at=None,
            error=None,
        )

    def _over(self, batch: Batch, closing: Closing | None, number: int, lease: Lease) -> Batch:
        """It was refused as such, or given up: what becomes of its records is decided for good."""
        attempt = Attempt(
            batch_key=batch.batch_key,
            attempt=number,
            account=batch.account,
            started_at=self._clock(),
            requests=batch.requests,
            bytes=batch.bytes,
            input_file_id=None,
        )
        note = "the store has forgotten it; nothing was sent"
        error = closing.error if closing else None
        return self._store.attempts.remember(
            batch.batch_key, lease, [attempt], Event.REJECT, note=note, error=error, next_check_at=None
        )

    def _lost(self, batch: Batch, requests: str, lease: Lease) -> Batch:
        reason = (
            f"{DECIDE}: {requests} is gone, and nothing says that it was ever sent: restore it, or let its records "
            f"come out as errors (poller resolve {batch.batch_key} --fail)"
        )
        until = self._clock() + _LOOK_AGAIN
        return self._store.batches.apply(
            batch.batch_key, Event.HOLD, lease=lease, held_reason=reason, held_until=until, error=None
        )


def is_forgotten(store: Store, spool: Spool, batch: Batch) -> bool:
    """Whether the spool knows of a create that the store, an older copy, does not: it is to be looked up."""
    last = newest_intent(spool, spool.batch(batch.pipeline, batch.statement, batch.batch_key))
    known = max((attempt.attempt for attempt in store.attempts.of(batch.batch_key)), default=0)
    return last is not None and last.attempt > known
