"""Collects batches that have ended: downloads and checks their results, and plans children for what is to be carried.

Everything is written to the spool first; one transaction then moves the batch to `collected`, with its children.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from poller.accounts import Keyless, pause_account
from poller.ask.deadline import DEADLINE, DeadlinePolicy
from poller.ask.pacing import Paces
from poller.ask.roads import Roads
from poller.collect.bisection import HALVING, Halving
from poller.collect.collection import Collected, Collection
from poller.collect.undone import Early, Undone
from poller.duty import BUSY, FAULTS, WAITING, Counts, side_by_side
from poller.health import Watchdog
from poller.schedule import LOST_AFTER, Backoff, by_account
from shared.clock import Clock
from shared.errors import (
    AccountFault,
    IllegalTransition,
    LeaseLost,
    MissingCredential,
    NotSent,
    ProviderError,
    SettingsError,
    StaleState,
    StoreUnavailable,
    Throttled,
)
from shared.lease import Keeper
from shared.lifecycle import COLLECTABLE
from shared.providers.port import Provider
from shared.spool import Spool
from shared.store import Batch, Lease, Store
from shared.telemetry import SECRETS, Action, log

_MOST = 500
_ACCOUNTS = 4


@dataclass(frozen=True)
class Collecting:
    """How patiently results are read."""

    patience: timedelta = timedelta(minutes=1)
    """How long after its end a batch's missing results may still show before their requests are carried."""
    backoff: Backoff = field(default_factory=lambda: Backoff(timedelta(seconds=2), timedelta(minutes=5)))
    deadline: DeadlinePolicy = DEADLINE
    """When what is carried is asked record by record."""
    paces: Paces = field(default_factory=Paces)
    halving: Halving = HALVING
    lost_after: timedelta = LOST_AFTER
    """How long what was adopted by its size may be answered with 404 before it counts as another's."""


COLLECTING = Collecting()


class Collector:
    """The duty `collect`."""

    name = "collect"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        provider_of: Callable[[Batch], Provider],
        keeper: Keeper,
        watchdog: Watchdog,
        clock: Clock,
        *,
        collecting: Collecting = COLLECTING,
        keyless: Keyless | None = None,
    ) -> None:
        self._store, self._spool, self._provider_of = store, spool, provider_of
        self._keeper, self._watchdog, self._clock, self._how = keeper, watchdog, clock, collecting
        self._keyless = keyless or Keyless(watchdog, clock)
        roads = Roads(store, collecting.paces, clock, collecting.deadline)
        self._collection = Collection(
            store, spool, roads, clock, collecting.patience, collecting.halving, collecting.lost_after
        )
        self._random = Random()  # noqa: S311 jitter, no cryptography
        self._failures: Counter[str] = Counter()

    def run_once(self) -> Counts:
        """Collect every batch that is due. Raises StoreUnavailable, SpoolAway when the spool is not there."""
        due = by_account(self._store.batches.due(COLLECTABLE, self._clock(), _MOST, but_not=self._keyless.accounts()))
        if not due:
            return {}
        self._spool.files.reach()
        return side_by_side(self.name, _ACCOUNTS, due.values(), self._account)

    def _account(self, batches: Sequence[Batch]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for batch in batches:
            with self._keeper.hold(f"batch/{batch.batch_key}") as lease:
                counts[self._isolated(batch, lease) if lease else BUSY] += 1
        return counts

    def _isolated(self, seen: Batch, lease: Lease) -> str:
        """One batch's turn, with every fault kept to it; gives the count that it falls under."""
        batch = self._store.batches.get(seen.batch_key)
        if batch is None or batch.state not in COLLECTABLE:
            return BUSY
        try:
            outcome = self._collection.collect(batch, self._provider_of(batch), lease)
        except StoreUnavailable:
            raise
        except (LeaseLost, StaleState, IllegalTransition):
            return BUSY
        except Undone as undone:
            return undone.count
        except (Early, ProviderError, SettingsError) as error:
            return self._wait(batch, lease, error)
        except Exception as error:  # noqa: BLE001 one poisoned batch is isolated
            log(Action.BATCH_FAULT, logging.ERROR, batch=batch.batch_key, message=f"{type(error).__name__}: {error}")
            return self._postpone(batch, lease, error, FAULTS)
        self._failures.pop(batch.batch_key, None)
        self._watchdog.back(f"provider {batch.account}")
        _tell(outcome)
        return "collected"

    def _wait(self, batch: Batch, lease: Lease, error: Exception) -> str:
        """Say what keeps more than this batch waiting, and let it wait; not for a key that only this process lacks."""
        if isinstance(error, MissingCredential):
            self._keyless.note(error)
            return WAITING
        if isinstance(error, AccountFault):
            pause_account(self._store, batch.account, str(error))
        if isinstance(error, AccountFault | Throttled | NotSent | SettingsError):
            self._watchdog.away(f"provider {batch.account}", str(error))
        return self._postpone(batch, lease, error, WAITING)

    def _postpone(self, batch: Batch, lease: Lease, error: Exception, count: str) -> str:
        self._failures[batch.batch_key] += 1
        asked = error.retry_after if isinstance(error, ProviderError) else None
        delay = self._how.backoff.delay(self._failures[batch.batch_key], self._random.random(), asked)
        again: datetime = self._clock() + delay
        told = SECRETS.redact(f"its results can't be collected yet: {str(error) or type(error).__name__}")[:1000]
        try:
            self._store.batches.record(batch.batch_key, lease=lease, next_check_at=again, error=told)
        except (LeaseLost, StaleState):
            return BUSY
        return count


def _tell(collected: Collected) -> None:
    batch, decision = collected.batch, collected.decision
    log(
        Action.BATCH_COLLECTED,
        batch=batch.batch_key,
        records=batch.records,
        carried=batch.carried or None,
        children=len(decision.children) or None,
    )
    if decision.duplicate_lines or decision.unknown_lines or decision.malformed_lines:
        log(
            Action.ALARM_RAISED,
            logging.WARNING,
            batch=batch.batch_key,
            duplicate_lines=decision.duplicate_lines,
            unknown_lines=decision.unknown_lines,
            malformed_lines=decision.malformed_lines,
        )
    if any(decision.odd):
        log(
            Action.ALARM_RAISED,
            logging.WARNING,
            batch=batch.batch_key,
            duplicate_entries=decision.odd.duplicates,
            unknown_entries=decision.odd.unknown,
            forgiven_answers=decision.odd.forgiven,
            unreadable_answers=decision.odd.unreadable,
        )
