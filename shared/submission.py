"""Submission: one batch from `sealed` to `submitted`, at most one create in flight, used by both stages.

Upload, intent, one POST, receipt. What is unknown afterwards goes to shared.recovery, never to another POST.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from shared.clock import Clock
from shared.definition import Model
from shared.errors import (
    AccountFault,
    EnqueuedLimit,
    NotFound,
    NotSent,
    ProviderError,
    Rejected,
    Throttled,
    Unknown,
)
from shared.intents import Intent, Receipt, write_intent, write_receipt
from shared.lease import Keeper
from shared.lifecycle import Event, State
from shared.manifest import Manifest
from shared.providers.port import Outgoing, Provider, RemoteBatch
from shared.recovery import Recovery
from shared.spool import REQUESTS, Spool
from shared.store import Attempt, Batch, Lease, Store

ACCOUNT_PAUSE = timedelta(minutes=5)
"""How long an account rests after a fault of its own, before one batch asks again."""


@dataclass(frozen=True)
class Backoff:
    """How long a batch is held after its `n`-th definite failure: doubling, with jitter, at most `most`."""

    least: timedelta = timedelta(seconds=5)
    most: timedelta = timedelta(minutes=5)

    def after(self, failures: int, random: Random) -> timedelta:
        """The wait after so many failures, from half of it to all of it."""
        wait = min(self.least * 2 ** min(failures, 16), self.most)
        return wait * random.uniform(0.5, 1.0)


class Submission:
    """Moves submittable batches on, one step a call; safe beside any number of others."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        provider_for: Callable[[Model], Provider],
        clock: Clock,
        holder: str,
        *,
        quarantine: timedelta,
        backoff: Backoff | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._store, self._spool, self._provider_for, self._clock = store, spool, provider_for, clock
        self._keeper = Keeper(store, holder, stop)
        self._recovery = Recovery(store, spool, clock, quarantine)
        self._backoff = backoff or Backoff()
        self._random = Random()  # noqa: S311 jitter, no cryptography

    def work(self, key: str) -> Batch | None:
        """Take a batch one step towards `submitted`. None when another works on it, or nothing is left to do."""
        with self._keeper.hold(f"batch/{key}") as lease:
            batch = self._store.batches.get(key) if lease else None
            if lease is None or batch is None:
                return None
            provider = self._provider(batch)
            if batch.state in (State.SUBMITTING, State.AMBIGUOUS):
                return self._recovery.look(batch, provider, lease)
            if batch.state in (State.SEALED, State.HELD):
                return self._submit(batch, provider, lease)
            return None

    def _provider(self, batch: Batch) -> Provider:
        return self._provider_for(self._manifest(batch).definition.model)

    def _manifest(self, batch: Batch) -> Manifest:
        if batch.attempt_folder:
            self._spool.settle(batch.attempt_folder, batch.pipeline, batch.statement, batch.batch_key)
        return self._spool.manifest(batch.pipeline, batch.statement, batch.batch_key)

    def _submit(self, batch: Batch, provider: Provider, lease: Lease) -> Batch | None:
        if batch.requests == 0:
            return self._store.batches.apply(batch.batch_key, Event.NOTHING_TO_SEND, lease=lease)
        paused = self._store.accounts.paused(batch.account)
        if paused and paused.until > self._clock():
            return self._hold(batch, lease, paused.reason, paused.until)
        manifest = self._manifest(batch)
        last = self._store.attempts.last(batch.batch_key)
        number = last.attempt + 1 if last else 1
        outgoing = Outgoing(
            manifest,
            self._spool.path(f"{self._folder(batch)}/{REQUESTS}"),
            number,
            {"batch_key": batch.batch_key, "attempt": str(number), "sha256": manifest.sha256},
            timedelta(seconds=manifest.definition.batch.request_timeout),
        )
        try:
            file_id = (last and last.reusable_file_id) or self._upload(provider, outgoing)
        except ProviderError as error:
            return self._definite(batch, lease, number, error)
        return self._create(batch, provider, lease, outgoing, file_id)

    def _upload(self, provider: Provider, outgoing: Outgoing) -> str | None:
        again = Retrying(
            retry=retry_if_exception_type((NotSent, Unknown)),
            stop=stop_after_attempt(3),
            wait=wait_exponential_jitter(initial=1, max=10),
            reraise=True,
        )
        return again(provider.upload, outgoing)

    def _create(
        self, batch: Batch, provider: Provider, lease: Lease, outgoing: Outgoing, file_id: str | None
    ) -> Batch | None:
        """Intent, one POST, and its verdict, under the account's lease."""
        outlives = outgoing.timeout + timedelta(seconds=30)
        with self._keeper.hold(f"account/{batch.account}", outlives, wait=outlives) as account:
            if account is None:
                return None
            attempt = self._intend(batch, provider, lease, outgoing, file_id)
            if attempt is None:
                return None
            try:
                remote = provider.create(outgoing, file_id)
            except Unknown as error:
                return self._store.attempts.resolve(attempt, Event.DOUBT, lease, error=str(error))
            except ProviderError as error:
                return self._definite(batch, lease, outgoing.attempt, error, attempt)
            return self._accept(batch, attempt, lease, remote)

    def _intend(
        self, batch: Batch, provider: Provider, lease: Lease, outgoing: Outgoing, file_id: str | None
    ) -> Attempt | None:
        """Commit the intent in the store and beside the manifest; None when no create may follow it now."""
        serial = not provider.profile.has_metadata
        attempt = self._store.attempts.intend(
            batch.batch_key, lease, number=outgoing.attempt, input_file_id=file_id, serial=serial
        )
        if attempt is None:
            return None
        intent = Intent(
            attempt=attempt.attempt,
            started_at=attempt.started_at,
            requests=batch.requests,
            bytes=batch.bytes,
            input_file_id=file_id,
        )
        if write_intent(self._spool, self._folder(batch), intent):
            return attempt
        # A store restored from an older copy forgot this attempt; the spool did not. It may have been accepted.
        self._store.attempts.resolve(attempt, Event.DOUBT, lease, error="an earlier intent stands beside the manifest")
        return None

    def _accept(self, batch: Batch, attempt: Attempt, lease: Lease, remote: RemoteBatch) -> Batch:
        receipt = Receipt(attempt=attempt.attempt, provider_batch_id=remote.id, created_at=remote.created_at)
        write_receipt(self._spool, self._folder(batch), receipt)
        return self._store.attempts.resolve(
            attempt, Event.ACCEPT, lease, provider_batch_id=remote.id, submitted_at=remote.created_at
        )

    def _definite(
        self, batch: Batch, lease: Lease, number: int, error: ProviderError, attempt: Attempt | None = None
    ) -> Batch:
        """The ladder: one verdict for each failure that is known to have had no effect."""
        now = self._clock()
        again = now + self._backoff.after(number, self._random)
        match error:
            case AccountFault():
                again = now + ACCOUNT_PAUSE
                self._store.accounts.pause(batch.account, f"account: {error}", again)
                return self._hold(batch, lease, f"account: {error}", again, attempt)
            case Throttled(retry_after=timedelta() as wait):
                return self._hold(batch, lease, f"throttled: {error}", now + wait, attempt)
            case EnqueuedLimit():
                return self._hold(batch, lease, f"enqueued limit: {error}", again, attempt)
            case Rejected() if attempt is not None:
                return self._store.attempts.resolve(attempt, Event.REJECT, lease, error=str(error))
            case NotFound():
                return self._hold(batch, lease, f"the input file is not there yet: {error}", again, attempt)
            case _:
                return self._hold(batch, lease, str(error), again, attempt)

    def _hold(self, batch: Batch, lease: Lease, reason: str, until: datetime, attempt: Attempt | None = None) -> Batch:
        if attempt is not None:
            return self._store.attempts.resolve(attempt, Event.HOLD, lease, held_reason=reason, held_until=until)
        return self._store.batches.apply(batch.batch_key, Event.HOLD, lease=lease, held_reason=reason, held_until=until)

    def _folder(self, batch: Batch) -> str:
        return self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
