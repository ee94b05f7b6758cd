"""Recovery of a create whose outcome is unknown: look it up and adopt it, or wait out the quarantine. It never creates.

A 404, an empty list or a failed look-up proves nothing; only look-ups that stay clean through the whole quarantine
allow another attempt.
"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.errors import AccountFault, ProviderError
from shared.intents import read_receipt
from shared.lifecycle import Event, State
from shared.providers.port import Provider, RemoteBatch
from shared.spool import Spool
from shared.store import Attempt, Batch, Lease, Store

SLACK = timedelta(minutes=5)
"""How far the provider's clock may differ from ours."""
LOOKUPS = 20
"""Look-ups in a quarantine, between half a second and half a minute apart."""


def candidates(
    remotes: Iterable[RemoteBatch], batch: Batch, attempt: Attempt, taken: Collection[str], *, has_metadata: bool
) -> list[RemoteBatch]:
    """The provider's batches that this attempt, or an earlier one, may have created; oldest first.

    With metadata they say so themselves. Without, it is those as large as ours, created since the attempt, that no
    other batch of the store has `taken`; their custom_ids must prove them before publication.
    """
    found = [
        remote
        for remote in remotes
        if remote.id not in attempt.disowned
        and (
            remote.metadata.get("batch_key") == batch.batch_key
            or (attempt.input_file_id is not None and remote.input_file_id == attempt.input_file_id)
            if has_metadata
            else remote.total == batch.requests and remote.id not in taken
        )
    ]
    return sorted(found, key=lambda remote: (remote.created_at, remote.id))


def absent(attempt: Attempt, now: datetime, quarantine: timedelta) -> bool:
    """Whether every look-up was clean for a whole quarantine, the last one just now."""
    return attempt.clean_since is not None and now - attempt.clean_since >= quarantine


class Recovery:
    """Finds out what became of a create. The caller holds the batch's lease."""

    def __init__(self, store: Store, spool: Spool, clock: Clock, quarantine: timedelta) -> None:
        self._store, self._spool, self._clock, self._quarantine = store, spool, clock, quarantine
        self._pause = min(max(quarantine / LOOKUPS, timedelta(seconds=0.5)), timedelta(seconds=30))

    def look(self, batch: Batch, provider: Provider, lease: Lease) -> Batch:
        """Look once: the batch is adopted, cleared for another attempt, or stays ambiguous until the next look."""
        attempt = self._store.attempts.of(batch.batch_key)[0]
        folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
        receipt = read_receipt(self._spool, folder, attempt.attempt)
        if receipt is not None:
            event = Event.ACCEPT if batch.state is State.SUBMITTING else Event.ADOPT
            return self._found(attempt, event, lease, receipt.provider_batch_id, receipt.created_at)
        if batch.state is State.SUBMITTING:
            error = "its create was cut short; being looked up"
            batch = self._store.batches.apply(batch.batch_key, Event.DOUBT, lease=lease, error=error)
        try:
            since = attempt.started_at - SLACK
            remotes = list(provider.created_since(since))
        except ProviderError as error:
            return self._unclean(batch, attempt, lease, error)
        profile = provider.profile
        taken = self._store.batches.provider_batches(batch.account, since)
        found = candidates(remotes, batch, attempt, taken, has_metadata=profile.has_metadata)
        if found:
            return self._adopt(batch, attempt, provider, lease, found)
        return self._clean(batch, attempt, provider, lease)

    def _adopt(
        self, batch: Batch, attempt: Attempt, provider: Provider, lease: Lease, found: list[RemoteBatch]
    ) -> Batch:
        kept, *strays = found
        if provider.profile.has_metadata:
            for stray in strays:
                self._store.attempts.stray(batch.batch_key, batch.account, stray.id, cancelled=False)
                # One that can't be cancelled now stays in the store as a stray, and is shown.
                with suppress(ProviderError):
                    provider.cancel(stray.id)
                    self._store.attempts.stray(batch.batch_key, batch.account, stray.id, cancelled=True)
        return self._found(attempt, Event.ADOPT, lease, kept.id, kept.created_at)

    def _unclean(self, batch: Batch, attempt: Attempt, lease: Lease, error: ProviderError) -> Batch:
        now = self._clock()
        if isinstance(error, AccountFault):
            self._store.accounts.pause(batch.account, f"account: {error}", now + SLACK)
        return self._again(batch, attempt, lease, clean=False, error=f"its look-up failed: {error}")

    def _clean(self, batch: Batch, attempt: Attempt, provider: Provider, lease: Lease) -> Batch:
        now = self._clock()
        if not absent(attempt, now, self._quarantine):
            return self._again(batch, attempt, lease, clean=True, error=batch.error)
        if attempt.input_file_id is not None:
            # Without its input file a create that arrives after all can't run.
            try:
                provider.delete(attempt.input_file_id)
            except ProviderError as error:
                return self._unclean(batch, attempt, lease, error)
        reason = f"its create did not show for {self._quarantine}; it is tried again"
        return self._store.attempts.resolve(
            attempt.batch_key, attempt.attempt, lease, Event.CLEAR, held_reason=reason, held_until=now
        )

    def _again(self, batch: Batch, attempt: Attempt, lease: Lease, *, clean: bool, error: str | None) -> Batch:
        self._store.attempts.record_lookup(attempt.batch_key, attempt.attempt, lease, clean=clean)
        next_check = self._clock() + self._pause
        return self._store.batches.record(batch.batch_key, lease=lease, next_check_at=next_check, error=error)

    def _found(self, attempt: Attempt, event: Event, lease: Lease, provider_batch: str, created: datetime) -> Batch:
        return self._store.attempts.resolve(
            attempt.batch_key,
            attempt.attempt,
            lease,
            event,
            provider_batch_id=provider_batch,
            submitted_at=created,
            next_check_at=None,
            error=None,
        )
