"""Submission: one batch from `sealed` to `submitted`, at most one create in flight, used by both stages.

Upload, intent, one POST, receipt. What is unknown afterwards goes to shared.recovery, never to another POST.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from shared.clock import Clock
from shared.definition import Model
from shared.errors import (
    AccountBusy,
    MissingCredential,
    NoRoom,
    NotSent,
    ProviderError,
    SpoolError,
    Unknown,
)
from shared.estimate import estimate
from shared.failpoints import Failpoint, reached
from shared.hindsight import Hindsight
from shared.intents import Intent, Receipt, write_intent, write_receipt
from shared.lease import Keeper
from shared.lifecycle import SUBMITTABLE, Event, State
from shared.manifest import Manifest
from shared.providers.port import Outgoing, Provider, RemoteBatch
from shared.recovery import Recovery
from shared.refusals import FILE_GONE, WAITS, Refusals, Waits
from shared.spool import REQUESTS, Spool
from shared.store import Attempt, Batch, Lease, Store


@dataclass(frozen=True)
class _Turn:
    """One batch in one worker's hands."""

    batch: Batch
    lease: Lease
    provider: Provider
    outgoing: Outgoing
    folder: str


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
        waits: Waits = WAITS,
        stop: threading.Event | None = None,
    ) -> None:
        self._store, self._spool, self._provider_for, self._clock = store, spool, provider_for, clock
        self._keeper = Keeper(store, holder, stop)
        self._recovery = Recovery(store, spool, clock, quarantine)
        self._hindsight = Hindsight(store, spool, clock)
        self._refusals = Refusals(store, clock, waits)
        self._first_wait = waits.upload

    def work(self, key: str) -> Batch | None:
        """Take a batch one step towards `submitted`. None when another works on it, or nothing is left to do.

        Raises MissingCredential where this process has no key for its account: another one may have it.
        """
        with self._keeper.hold(f"batch/{key}") as lease:
            batch = self._store.batches.get(key) if lease else None
            if lease is None or batch is None or batch.mode == "sync":
                return None
            reached(Failpoint.BATCH_TAKEN)
            if batch.state not in SUBMITTABLE:
                return None
            attempts = self._store.attempts.of(key)
            if batch.state in (State.SUBMITTING, State.AMBIGUOUS) or (attempts and attempts[0].outcome is None):
                return self._look(batch, lease)
            number = attempts[0].attempt + 1 if attempts else 1
            return self._hindsight.known(batch, number, lease) or self._submit(batch, attempts, lease)

    def _look(self, batch: Batch, lease: Lease) -> Batch:
        definition = self._manifest(batch).definition
        provider = self._provider_for(definition.model)
        provider.connect()
        return self._recovery.look(batch, provider, lease, definition.batch.on_ambiguous)

    def _manifest(self, batch: Batch) -> Manifest:
        if batch.attempt_folder:
            self._spool.settle(batch.attempt_folder, batch.pipeline, batch.statement, batch.batch_key)
        manifest = self._spool.manifest(batch.pipeline, batch.statement, batch.batch_key)
        if manifest.definition.hash != batch.definition:
            # The key goes where the definition says: that is the store's word, not whoever's can write to the spool.
            raise SpoolError(
                f"the manifest of batch {batch.batch_key} has another definition than the store ({batch.definition}): "
                "restore it; nothing is sent"
            )
        return manifest

    def _submit(self, batch: Batch, attempts: Sequence[Attempt], lease: Lease) -> Batch | None:
        manifest = self._manifest(batch)
        if batch.requests == 0:
            return self._store.batches.apply(batch.batch_key, Event.NOTHING_TO_SEND, lease=lease)
        provider = self._provider_for(manifest.definition.model)
        try:
            provider.connect()
        except MissingCredential as error:
            if batch.state is State.SEALED:
                self._refusals.hold(batch, lease, f"credential: {error}", None)
            raise
        stated, per_hour = provider.profile.stated(manifest.definition.batch), provider.profile.creates_per_hour
        self._estimate(batch, manifest, lease)
        admitted = self._store.queues.admit(batch.batch_key, lease, stated=stated, per_hour=per_hour)
        reached(Failpoint.ADMITTED)
        if admitted.state is State.HELD and not admitted.is_admitted:
            return admitted
        number = attempts[0].attempt + 1 if attempts else 1
        folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
        with self._spool.files.local(f"{folder}/{REQUESTS}") as requests:
            turn = _Turn(batch, lease, provider, _outgoing(manifest, requests, number), folder)
            try:
                file_id = _reusable(attempts) or _upload(turn, self._first_wait)
            except ProviderError as error:
                return self._refused(turn, error)
            reached(Failpoint.UPLOADED)
            return self._create(turn, file_id)

    def _estimate(self, batch: Batch, manifest: Manifest, lease: Lease) -> None:
        """A batch that came back to the store may lack its estimate, which is reserved where money is limited."""
        if batch.estimated_cost_usd is None:
            rate = self._store.queues.rate(batch.provider, batch.model, batch.pipeline, batch.statement)
            usd = estimate(manifest.definition, batch, rate).usd
            if usd is not None:
                self._store.batches.record(batch.batch_key, lease=lease, estimated_cost_usd=usd)

    def _create(self, turn: _Turn, file_id: str | None) -> Batch | None:
        """Intent, one POST, and its verdict, under the account's lease."""
        outlives = turn.outgoing.timeout + timedelta(seconds=30)
        with self._keeper.hold(f"account/{turn.batch.account}", outlives, wait=outlives) as account:
            reached(Failpoint.ACCOUNT_TAKEN)
            attempt = self._intend(turn, file_id) if account else None
            if attempt is None:
                return None
            if self._clock() - attempt.started_at > outlives:
                # Stopped for so long, it may have been given up, and made again, by another.
                error = "its create was not sent in time; being looked up"
                return self._store.batches.apply(turn.batch.batch_key, Event.DOUBT, lease=turn.lease, error=error)
            try:
                remote = turn.provider.create(turn.outgoing, file_id)
            except Unknown as error:
                return self._store.batches.apply(turn.batch.batch_key, Event.DOUBT, lease=turn.lease, error=str(error))
            except ProviderError as error:
                return self._refused(turn, error, attempt)
            return self._accept(turn, attempt, remote)

    def _intend(self, turn: _Turn, file_id: str | None) -> Attempt | None:
        """Commit the intent in the store and beside the manifest; None when no create may follow it now."""
        batch, lease = turn.batch, turn.lease
        try:
            attempt = self._store.attempts.intend(
                batch.batch_key,
                lease,
                account=batch.account,
                requests=batch.requests,
                bytes=batch.bytes,
                input_file_id=file_id,
                serial=not turn.provider.profile.is_identified,
                per_hour=turn.provider.profile.creates_per_hour,
            )
        except (AccountBusy, NoRoom) as busy:
            self._refusals.busy(batch, lease, str(busy))
            return None
        intent = Intent(
            attempt=attempt.attempt,
            started_at=attempt.started_at,
            requests=batch.requests,
            bytes=batch.bytes,
            input_file_id=file_id,
        )
        if write_intent(self._spool, turn.folder, intent):
            reached(Failpoint.INTENT_WRITTEN)
            return attempt
        # A store restored from an older copy forgot this attempt; the spool did not. It may have been accepted.
        error = "an intent of this attempt, which the store does not remember, stands beside the manifest"
        self._store.batches.apply(batch.batch_key, Event.DOUBT, lease=lease, error=error)
        return None

    def _accept(self, turn: _Turn, attempt: Attempt, remote: RemoteBatch) -> Batch:
        reached(Failpoint.CREATED)
        receipt = Receipt(attempt=attempt.attempt, provider_batch_id=remote.id, created_at=remote.created_at)
        # Without it only an older copy of the store would forget the id; the store itself is told below.
        with suppress(SpoolError):
            write_receipt(self._spool, turn.folder, receipt)
        reached(Failpoint.RECEIPT_WRITTEN)
        return self._store.attempts.resolve(
            turn.batch.batch_key,
            attempt.attempt,
            turn.lease,
            Event.ACCEPT,
            provider_batch_id=remote.id,
            submitted_at=remote.created_at,
            expires_at=remote.expires_at,
            next_check_at=None,
            error=None,
        )

    def _refused(self, turn: _Turn, error: ProviderError, attempt: Attempt | None = None) -> Batch:
        return self._refusals.definite(turn.batch, turn.lease, error, tries=turn.outgoing.attempt, attempt=attempt)


def _outgoing(manifest: Manifest, requests: Path, number: int) -> Outgoing:
    # Found out before the intent: a create that can't be sent must not block its account.
    if requests.stat().st_size != manifest.bytes:
        raise SpoolError(f"{requests} has not the {manifest.bytes} bytes of its manifest: restore it")
    metadata = {"batch_key": manifest.batch_key, "attempt": str(number), "sha256": manifest.sha256}
    timeout = timedelta(seconds=manifest.definition.batch.request_timeout)
    return Outgoing(manifest, requests, number, metadata, timeout)


def _upload(turn: _Turn, first: timedelta) -> str | None:
    """Upload, a few times if need be: a file that nobody names does nothing, and expires."""
    again = Retrying(
        retry=retry_if_exception_type((NotSent, Unknown)),
        stop=stop_after_attempt(3),
        wait=wait_exponential_jitter(initial=first.total_seconds(), max=10, jitter=first.total_seconds()),
        reraise=True,
    )
    return again(turn.provider.upload, turn.outgoing)


def _reusable(attempts: Sequence[Attempt]) -> str | None:
    """The file that the last attempt uploaded, when its create certainly had no effect and the file is there."""
    last = attempts[0] if attempts else None
    return last.input_file_id if last and last.outcome == "not sent" and last.note != FILE_GONE else None
