"""What a look at a provider's batch does to ours: one meaning, one event, in one write under the lease."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from poller.accounts import pause_account
from poller.duty import CHECKED, FAULTS, WAITING
from poller.schedule import Backoff, Deadlines, PollPolicy
from poller.watch.verdict import Kind, Meaning, judge
from shared.clock import Clock
from shared.errors import StaleState
from shared.failpoints import Failpoint, reached
from shared.lifecycle import Event, State
from shared.providers.port import Profile, RemoteBatch
from shared.store import Attempt, Batch, Lease, Store
from shared.store.values import Changes
from shared.telemetry import SECRETS, Action, log

_MOST_BOUNCES = 5
"""Uploads that a provider may lose before the batch counts as failed there."""
BOUNCE = Backoff(timedelta(seconds=15), timedelta(minutes=15))
"""How long a batch waits that its provider sent back."""


@dataclass(frozen=True)
class Looking:
    """The pace of looks, and when standing still is worth an alarm."""

    pace: PollPolicy = field(default_factory=PollPolicy)
    deadlines: Deadlines = field(default_factory=Deadlines)
    bounce: Backoff = BOUNCE


def bounced(reason: str, until: datetime) -> Changes:
    """What Event.BOUNCE brings: the batch is held, and what its provider said of the old create is forgotten."""
    return Changes(
        held_reason=SECRETS.redact(reason),
        held_until=until,
        provider_batch_id=None,
        expires_at=None,
        results_expire_at=None,
        remote_status=None,
        remote_since=None,
        next_check_at=None,
    )


def disown(store: Store, batch: Batch, last: Attempt, lease: Lease, why: str, *, may_be_ours: bool = False) -> str:
    """What the batch's last attempt has adopted counts as another's, and is looked for again. Raises LeaseLost."""
    store.attempts.disown(batch.batch_key, last.attempt, lease, note=why, may_be_ours=may_be_ours)
    log(
        Action.BATCH_DISOWNED,
        logging.ERROR,
        batch=batch.batch_key,
        provider_batch=batch.provider_batch_id,
        error=why,
    )
    return "disowned"


class Looks:
    """Writes down what was seen of one batch. Every verb gives the name of the count that it falls under."""

    def __init__(self, store: Store, clock: Clock, looking: Looking = Looking()) -> None:
        self._store, self._clock, self._how = store, clock, looking
        self._random = Random()  # noqa: S311 jitter, no cryptography
        self._unreadable: Counter[str] = Counter()
        self._verbs: dict[Kind, Callable[[Batch, RemoteBatch, Meaning, Changes, Lease], str]] = {
            Kind.RUNNING: self._running,
            Kind.UNKNOWN: self._running,
            Kind.ENDED: self._ended,
            Kind.QUEUE_FULL: self._bounced,
            Kind.ACCOUNT: self._bounced,
            Kind.FILE_GONE: self._bounced,
            Kind.FOREIGN: self._disowned,
        }

    def seen(self, batch: Batch, remote: RemoteBatch, profile: Profile, lease: Lease) -> str:
        """The provider described the batch."""
        self._unreadable.pop(batch.batch_key, None)
        # Any word of a provider's, a status or a reason, may hold the key that it was asked with.
        remote = replace(remote, status=SECRETS.redact(remote.status))
        meaning = judge(remote, batch.batch_key, has_metadata=profile.has_metadata)
        if meaning.error is not None:
            meaning = replace(meaning, error=SECRETS.redact(meaning.error))
        is_as_before = batch.remote_status == remote.status and batch.remote_since is not None
        learned = Changes(
            remote_status=remote.status,
            remote_since=batch.remote_since if is_as_before else self._clock(),
            missing_since=None,
            expires_at=remote.expires_at or batch.expires_at,
            results_expire_at=remote.created_at + profile.results_kept,
            error=meaning.error,
        )
        return self._verbs[meaning.kind](batch, remote, meaning, learned, lease)

    def missing(self, batch: Batch, error: Exception, lease: Lease) -> str:
        """The provider answered 404: transient until its deadline; only then lost, or not what was taken for ours."""
        now = self._clock()
        since = batch.missing_since or now
        told = SECRETS.redact(f"the provider has answered 404 since {since:%Y-%m-%d %H:%M:%S} UTC: {error}")
        if self._how.deadlines.is_lost(since, now):
            last = self._last(batch)
            if last is not None and last.is_guess:
                # Its owner may have deleted it, while our own create runs.
                return disown(self._store, batch, last, lease, told, may_be_ours=True)
            self._store.batches.apply(
                batch.batch_key, Event.LOSE, lease=lease, expected=batch.state, missing_since=since, error=told
            )
            log(Action.BATCH_LOST, logging.ERROR, batch=batch.batch_key, provider_batch=batch.provider_batch_id)
            return "lost"
        if batch.missing_since is None:
            log(Action.BATCH_MISSING, logging.WARNING, batch=batch.batch_key, provider_batch=batch.provider_batch_id)
        again = self._how.pace.next_look(now, since, self._random.random())
        self._store.batches.record(batch.batch_key, lease=lease, missing_since=since, next_check_at=again, error=told)
        return WAITING

    def unreadable(self, batch: Batch, error: Exception, lease: Lease) -> str:
        """What came can't be read, or was refused: this batch waits, longer each time; the others go on."""
        self._unreadable[batch.batch_key] += 1
        failures = self._unreadable[batch.batch_key]
        told = f"its provider's answer can't be used: {SECRETS.redact(str(error)) or type(error).__name__}"[:1000]
        if failures == 1:
            log(Action.BATCH_FAULT, logging.WARNING, batch=batch.batch_key, message=told)
        longest = Backoff(self._how.pace.fastest, self._how.pace.slowest)
        again = self._clock() + longest.delay(failures, self._random.random())
        self._store.batches.record(batch.batch_key, lease=lease, next_check_at=again, error=told)
        return FAULTS

    def _running(self, batch: Batch, remote: RemoteBatch, meaning: Meaning, learned: Changes, lease: Lease) -> str:
        now = self._clock()
        since = learned["remote_since"] or now
        if meaning.kind is Kind.UNKNOWN and batch.remote_status != remote.status:
            log(Action.STATUS_UNKNOWN, logging.WARNING, batch=batch.batch_key, status=remote.status)
        self._warn_when_stuck(batch, remote, since, now)
        learned["next_check_at"] = self._how.pace.next_look(now, since, self._random.random())
        if batch.state is State.RUNNING:
            self._store.batches.record(batch.batch_key, lease=lease, **learned)
            return CHECKED
        self._store.batches.apply(batch.batch_key, Event.PROGRESS, lease=lease, expected=batch.state, **learned)
        log(Action.BATCH_RUNNING, batch=batch.batch_key, provider_batch=remote.id, status=remote.status)
        return "running"

    def _ended(self, batch: Batch, remote: RemoteBatch, meaning: Meaning, learned: Changes, lease: Lease) -> str:
        learned["ended_at"] = remote.ended_at or self._clock()
        learned["next_check_at"] = None
        self._store.batches.apply(batch.batch_key, Event.END, lease=lease, expected=batch.state, **learned)
        log(
            Action.BATCH_ENDED,
            batch=batch.batch_key,
            provider_batch=remote.id,
            status=remote.status,
            error=meaning.error,
        )
        return "ended"

    def _bounced(self, batch: Batch, remote: RemoteBatch, meaning: Meaning, learned: Changes, lease: Lease) -> str:
        """Rejected for a reason that is not in its data: held, and sent again later."""
        tries = max(len(self._store.attempts.of(batch.batch_key)), 1)
        if meaning.kind is Kind.FILE_GONE and tries >= _MOST_BOUNCES:
            return self._ended(batch, remote, meaning, learned, lease)
        reason, until = self._told(batch, meaning, tries)
        learned |= bounced(reason, until)
        self._store.batches.apply(batch.batch_key, Event.BOUNCE, lease=lease, expected=batch.state, **learned)
        log(Action.BATCH_BOUNCED, logging.WARNING, batch=batch.batch_key, until=until, error=meaning.error)
        return "bounced"

    def _told(self, batch: Batch, meaning: Meaning, tries: int) -> tuple[str, datetime]:
        """Why a batch is held that was taken and is given back, and until when: told to those whom it concerns."""
        said = meaning.error or "no reason given"
        if meaning.kind is Kind.ACCOUNT:
            paused = pause_account(self._store, batch.account, said, by_results=True)
            return paused.reason, paused.until
        if meaning.kind is Kind.QUEUE_FULL:
            wait = self._store.queues.refused(batch, meaning.limit, said)
            reached(Failpoint.LIMIT_LEARNED)
            return wait.reason, wait.until
        until = self._clock() + self._how.bounce.delay(tries, self._random.random())
        return f"the provider lost its input file: {said}", until

    def _disowned(self, batch: Batch, remote: RemoteBatch, meaning: Meaning, learned: Changes, lease: Lease) -> str:
        del remote, learned
        last = self._last(batch)
        if last is None:
            # Its row was rebuilt from an event: nothing is known of a create but that this one is not ours.
            raise StaleState(f"batch {batch.batch_key} has no attempt, and {meaning.error}")
        return disown(self._store, batch, last, lease, meaning.error or "another's")

    def _last(self, batch: Batch) -> Attempt | None:
        return next(iter(self._store.attempts.of(batch.batch_key)), None)

    def _warn_when_stuck(self, batch: Batch, remote: RemoteBatch, since: datetime, now: datetime) -> None:
        """Said once: when the deadline lies between the last look and this one."""
        stuck_at = self._how.deadlines.stuck_at(remote.status, since, remote.expires_at)
        if (batch.next_check_at or since) <= stuck_at <= now:
            log(Action.BATCH_OVERDUE, logging.WARNING, batch=batch.batch_key, status=remote.status, since=since)
