"""Lets go of batches whose deadline nears: what the provider has finished is taken, the rest goes on another road."""

import logging
from collections import Counter

from poller.accounts import Keyless
from poller.ask.deadline import DeadlinePolicy, Step
from poller.ask.roads import Roads
from poller.duty import BUSY, CHECKED, FAULTS, WAITING, Counts
from poller.models import Models
from shared.clock import Clock
from shared.errors import (
    IllegalTransition,
    LeaseLost,
    MissingCredential,
    NotFound,
    ProviderError,
    Rejected,
    StaleState,
    StoreUnavailable,
)
from shared.failpoints import Failpoint, reached
from shared.hindsight import is_forgotten
from shared.lease import Keeper
from shared.lifecycle import Event, State
from shared.spool import Spool
from shared.store import Batch, Lease, Store
from shared.telemetry import Action, log

STATES = (State.SEALED, State.HELD, State.SUBMITTED, State.RUNNING)


class Harvester:
    """The duty `harvest`."""

    name = "harvest"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        models: Models,
        keeper: Keeper,
        roads: Roads,
        keyless: Keyless,
        clock: Clock,
        policy: DeadlinePolicy,
    ) -> None:
        self._store, self._spool, self._models, self._keeper = store, spool, models, keeper
        self._roads, self._keyless, self._clock, self._policy = roads, keyless, clock, policy

    def run_once(self) -> Counts:
        """Let go of every batch whose deadline is near. Raises StoreUnavailable."""
        counts: Counter[str] = Counter()
        now, without_key = self._clock(), self._keyless.accounts()
        for batch in self._store.batches.with_deadline(STATES):
            if self._policy.may_near(batch, now) and batch.account not in without_key:
                counts[self._isolated(batch)] += 1
        return counts

    def _isolated(self, seen: Batch) -> str:
        """One batch's turn, with every fault kept to it; gives the count that it falls under."""
        try:
            if self._step(seen) is Step.WAIT:
                return CHECKED
            with self._keeper.hold(f"batch/{seen.batch_key}") as lease:
                batch = self._store.batches.get(seen.batch_key) if lease else None
                if lease is None or batch is None:
                    return BUSY
                return self._let_go(batch, lease)
        except StoreUnavailable:
            raise
        except (LeaseLost, StaleState, IllegalTransition):
            return BUSY
        except MissingCredential as error:
            self._keyless.note(error)
            return WAITING
        except Exception as error:  # noqa: BLE001 one poisoned batch is isolated
            message = f"{type(error).__name__}: {error}"
            log(Action.BATCH_FAULT, logging.ERROR, batch=seen.batch_key, message=message)
            return FAULTS

    def _step(self, batch: Batch) -> Step:
        asks = self._roads.may_ask(batch, self._models.definition(batch))
        last = next(iter(self._store.attempts.of(batch.batch_key)), None)
        if batch.state is State.HELD and last is not None and last.outcome is None:
            # It waits for an operator's word on a create that may have been accepted.
            return Step.WAIT
        if last is not None and last.is_guess and batch.provider_batch_id is not None:
            # Only its results can prove that it is ours: another user's must not be cancelled.
            return Step.WAIT
        # The provider's clock may be another.
        sent_at = batch.submitted_at if last is None else last.started_at
        return self._policy.step(batch, self._clock(), sent_at, asks=asks, rate=self._roads.rate(batch))

    def _let_go(self, batch: Batch, lease: Lease) -> str:
        """As it stands now, under its lease: no submission is at work on it."""
        key, now = batch.batch_key, self._clock()
        step = self._step(batch)
        if step is Step.DIVERT:
            if is_forgotten(self._store, self._spool, batch):
                return CHECKED
            why = "its deadline nears, and nothing of it was sent: it is asked record by record"
            self._store.batches.apply(
                key, Event.DIVERT, lease=lease, expected=batch.state, harvested_at=now, next_check_at=None, error=why
            )
            log(Action.BATCH_DIVERTED, batch=key, deadline=batch.deadline_at)
            return "diverted"
        if step is Step.CANCEL and batch.provider_batch_id is not None:
            # First of all, so that what a cancel leaves unfinished is never taken for a fault of its own.
            self._store.batches.record(key, lease=lease, harvested_at=now)
            reached(Failpoint.END_NOTED)
            return self._cancel(batch, lease)
        return CHECKED

    def _cancel(self, batch: Batch, lease: Lease) -> str:
        try:
            self._models.provider_of(batch).cancel(batch.provider_batch_id or "")
        except (Rejected, NotFound) as error:
            # It has ended by itself, or does not show: whoever watches it finds out.
            log(Action.BATCH_HARVESTED, batch=batch.batch_key, provider_batch=batch.provider_batch_id, error=str(error))
        except MissingCredential:
            raise
        except ProviderError as error:
            log(Action.BATCH_FAULT, logging.WARNING, batch=batch.batch_key, message=f"cancel: {error}")
            return WAITING
        else:
            log(Action.BATCH_HARVESTED, batch=batch.batch_key, provider_batch=batch.provider_batch_id)
            reached(Failpoint.END_ASKED)
        self._store.batches.record(batch.batch_key, lease=lease, next_check_at=None)
        return "harvested"
