"""Recovery of a create whose outcome is unknown: look it up and adopt it, or wait out the quarantine. It never creates.

A 404, an empty list or a failed look-up proves nothing; only look-ups that stay clean through the whole quarantine
allow another attempt.
"""

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.definition import OnAmbiguous
from shared.errors import AccountFault, ProviderError, SpoolError
from shared.failpoints import Failpoint, reached
from shared.intents import Intent, Receipt, newest_receipt, read_intent, write_receipt
from shared.lifecycle import Event, State
from shared.providers.port import Provider, RemoteBatch
from shared.spool import Spool
from shared.store import Attempt, Batch, Lease, Store
from shared.store.creates import ALLOWED, PROVEN
from shared.telemetry import Action, log

QUARANTINE = timedelta(minutes=15)
"""Where nobody says another one."""
SLACK = timedelta(minutes=5)
"""How far the provider's clock may differ from ours."""
WIDE = timedelta(days=1)
"""How much further back the last look goes before another attempt, where a batch says itself whose it is: no clock, not
even one that is hours ahead, may hide what was accepted.
"""
DECIDE = "an operator must decide"
"""How the reason of a hold begins that nothing but a person's word ends."""
LOOKUPS = 20
"""Look-ups in a quarantine, between half a second and half a minute apart."""


@dataclass(frozen=True)
class Trail:
    """What is known of a create whose outcome is not: by the store, and by the intent beside the manifest.

    A store that was restored from an older copy begins the attempt anew; the intent still says when it really began.
    """

    batch: Batch
    attempt: Attempt
    since: datetime
    input_files: frozenset[str]

    @classmethod
    def of(cls, batch: Batch, attempt: Attempt, intent: Intent | None) -> "Trail":
        """The trail of a batch's newest attempt; `intent` is None where it was cut short before it was written."""
        begun = min(attempt.started_at, intent.started_at) if intent else attempt.started_at
        files = (attempt.input_file_id, intent.input_file_id if intent else None)
        return cls(batch, attempt, begun - SLACK, frozenset(file for file in files if file is not None))


@dataclass(frozen=True)
class Found:
    """What a look-up saw."""

    candidates: list[RemoteBatch]
    in_doubt: bool = False
    """Whether a batch that may be ours has no results yet, or is another batch's until they prove whose it is."""


def candidates(
    remotes: Iterable[RemoteBatch], trail: Trail, others: Collection[str], *, is_identified: bool
) -> list[RemoteBatch]:
    """The provider's batches that this attempt, or one that was given up, may have created; the likeliest first.

    By metadata or their input file they say so themselves. Without either, it is those as large as ours; their
    custom_ids must prove them before publication. `others` are known to come from other creates.
    """
    known = {*others, *trail.attempt.disowned}
    found = [
        remote
        for remote in remotes
        if remote.id not in known
        and (
            remote.metadata.get("batch_key") == trail.batch.batch_key or remote.input_file_id in trail.input_files
            if is_identified
            else remote.total == trail.batch.requests
        )
    ]
    own = str(trail.attempt.attempt)
    return sorted(found, key=lambda remote: (remote.metadata.get("attempt", own) != own, remote.created_at, remote.id))


def absent(attempt: Attempt, now: datetime, quarantine: timedelta) -> bool:
    """Whether every look-up was clean for a whole quarantine, the last one just now."""
    return attempt.clean_since is not None and now - attempt.clean_since >= quarantine


class Recovery:
    """Finds out what became of a create. The caller holds the batch's lease.

    `quarantine` is this process's own; a pipeline that states a longer one has that.
    """

    def __init__(self, store: Store, spool: Spool, clock: Clock, quarantine: timedelta) -> None:
        self._store, self._spool, self._clock, self._own = store, spool, clock, quarantine

    def look(self, batch: Batch, provider: Provider, lease: Lease, on_ambiguous: OnAmbiguous = "quarantine") -> Batch:
        """Look once: the batch is adopted, cleared for another attempt, lost, or looked up again later.

        With `hold` it is held after its quarantine, and still looked up, until an operator decides.
        """
        attempt = self._store.attempts.of(batch.batch_key)[0]
        may_clear = on_ambiguous == "quarantine" or attempt.note == ALLOWED
        folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
        receipt = newest_receipt(self._spool, folder, attempt.attempt)
        if receipt is not None:
            event = Event.ACCEPT if batch.state is State.SUBMITTING else Event.ADOPT
            return self._found(attempt, event, lease, receipt.provider_batch_id, receipt.created_at, is_proven=True)
        if batch.state is State.SUBMITTING:
            error = "its create was cut short; being looked up"
            batch = self._store.batches.apply(batch.batch_key, Event.DOUBT, lease=lease, error=error)
        trail = Trail.of(batch, attempt, read_intent(self._spool, folder, attempt.attempt))
        try:
            found = self._search(trail, provider)
            is_absent = found == Found([]) and absent(attempt, self._clock(), self._quarantine(batch))
            if is_absent:
                found = self._last(trail, provider, may_clear=may_clear)
        except ProviderError as error:
            return self._unclean(batch, attempt, lease, error)
        if found.candidates:
            return self._adopt(batch, attempt, provider, lease, found.candidates)
        if found.in_doubt:
            why = "a batch of its size runs, or is held by another batch: its results must prove whose it is"
            return self._again(batch, attempt, lease, clean=False, error=why)
        if not is_absent:
            return self._again(batch, attempt, lease, clean=True)
        return self._clear(batch, attempt, lease) if may_clear else self._wait(batch, attempt, lease)

    def _quarantine(self, batch: Batch) -> timedelta:
        return self._store.terms.quarantine(batch.pipeline, self._own)

    def _last(self, trail: Trail, provider: Provider, *, may_clear: bool) -> Found:
        """Look once more after a whole quarantine; before another attempt, what it could still run on is deleted."""
        found = Found([])
        if provider.profile.is_identified:
            trail = replace(trail, since=trail.since - WIDE)
            found = self._search(trail, provider)
        if found.candidates or not may_clear or not trail.input_files:
            return found
        # Without its input file a create that arrives after all can't run; one that just has shows itself now.
        for file in sorted(trail.input_files):
            provider.delete(file)
            reached(Failpoint.INPUT_DELETED)
        return self._search(trail, provider)

    def _search(self, trail: Trail, provider: Provider) -> Found:
        """Look once at all that the provider has since the attempt began."""
        batch, is_identified = trail.batch, provider.profile.is_identified
        remotes = list(provider.created_since(trail.since))
        others = {each.provider_batch_id for each in self._store.attempts.of(batch.batch_key) if each.provider_batch_id}
        if is_identified:
            return Found(candidates(remotes, trail, others, is_identified=True))
        # Of every account: several keys may share a workspace.
        others |= self._store.batches.provider_batches(trail.since)
        others |= self._store.strays.proved(but_of=batch.batch_key)
        found = candidates(remotes, trail, others, is_identified=False)
        # A look-up that went before ours may have adopted what we have made.
        doubtful = self._store.attempts.on_trial(trail.attempt.started_at)
        may_come = candidates(remotes, trail, others - doubtful, is_identified=False)
        # Another's is known by its results: what still runs was denied, and may be ours all the same.
        still_runs = any(remote.id in trail.attempt.disowned and remote.phase != "ended" for remote in remotes)
        return Found(found, not found and (bool(may_come) or still_runs))

    def _adopt(
        self, batch: Batch, attempt: Attempt, provider: Provider, lease: Lease, found: list[RemoteBatch]
    ) -> Batch:
        kept, *strays = found
        if provider.profile.is_identified:
            for stray in strays:
                self._store.strays.note(batch.batch_key, batch.account, stray.id, created_at=stray.created_at)
                # One that can't be cancelled now stays in the store as a stray, and is shown.
                with suppress(ProviderError):
                    provider.cancel(stray.id)
                    reached(Failpoint.STRAY_CANCELLED)
                    self._store.strays.cancelled(stray.id)
            # Without it only a store that forgets this would have to look again.
            with suppress(SpoolError):
                folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
                receipt = Receipt(attempt=attempt.attempt, provider_batch_id=kept.id, created_at=kept.created_at)
                write_receipt(self._spool, folder, receipt)
            reached(Failpoint.ADOPTION_WRITTEN)
        return self._found(
            attempt, Event.ADOPT, lease, kept.id, kept.created_at, is_proven=provider.profile.is_identified
        )

    def _unclean(self, batch: Batch, attempt: Attempt, lease: Lease, error: ProviderError) -> Batch:
        if isinstance(error, AccountFault):
            self._store.accounts.pause(batch.account, str(error))
            reached(Failpoint.LOOK_REFUSED)
        return self._again(batch, attempt, lease, clean=False, error=f"its look-up failed: {error}")

    def _clear(self, batch: Batch, attempt: Attempt, lease: Lease) -> Batch:
        """Another create may follow. Where one that may have been ours has ended, its requests go on in a child."""
        if attempt.may_have_run:
            error = f"no create of its own showed for {self._quarantine(batch)}, but for what left no results"
            log(Action.BATCH_LOST, logging.ERROR, batch=batch.batch_key, error=error)
            return self._store.attempts.resolve(
                attempt.batch_key, attempt.attempt, lease, Event.LOSE, next_check_at=None, error=error
            )
        reason = f"its create did not show for {self._quarantine(batch)}; it is tried again"
        return self._store.attempts.resolve(
            attempt.batch_key,
            attempt.attempt,
            lease,
            Event.CLEAR,
            held_reason=reason,
            held_until=self._clock(),
            next_check_at=None,
            error=None,
        )

    def _wait(self, batch: Batch, attempt: Attempt, lease: Lease) -> Batch:
        self._store.attempts.record_lookup(attempt.batch_key, attempt.attempt, lease, clean=True)
        reached(Failpoint.LAST_LOOKED)
        quarantine = self._quarantine(batch)
        key, next_check = batch.batch_key, self._clock() + quarantine
        if batch.state is State.HELD:
            return self._store.batches.record(key, lease=lease, next_check_at=next_check, error=None)
        reason = (
            f"{DECIDE}: its create did not show for {quarantine}, and may have been accepted all the same; "
            f"poller resolve {key} --retry, --fail or --adopt ID (until then it is looked up)"
        )
        return self._store.batches.apply(
            key, Event.HOLD, lease=lease, held_reason=reason, held_until=None, next_check_at=next_check, error=None
        )

    def _again(self, batch: Batch, attempt: Attempt, lease: Lease, *, clean: bool, error: str | None = None) -> Batch:
        self._store.attempts.record_lookup(attempt.batch_key, attempt.attempt, lease, clean=clean)
        reached(Failpoint.LOOKED)
        pause = min(max(self._quarantine(batch) / LOOKUPS, timedelta(seconds=0.5)), timedelta(seconds=30))
        next_check = self._clock() + pause
        return self._store.batches.record(
            batch.batch_key, lease=lease, next_check_at=next_check, error=error or batch.error
        )

    def _found(
        self,
        attempt: Attempt,
        event: Event,
        lease: Lease,
        provider_batch: str,
        created: datetime,
        *,
        is_proven: bool = False,
    ) -> Batch:
        return self._store.attempts.resolve(
            attempt.batch_key,
            attempt.attempt,
            lease,
            event,
            note=PROVEN if is_proven else None,
            provider_batch_id=provider_batch,
            submitted_at=created,
            next_check_at=None,
            error=None,
        )
