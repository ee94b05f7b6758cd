"""Asks providers about batches that are due, account by account, and moves those on whose state has changed.

One list call stands for many retrieves. A fault of one batch postpones that batch; one of the account, its batches.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from poller.accounts import Keyless, pause_account
from poller.duty import BUSY, FAULTS, WAITING, Counts, side_by_side
from poller.health import Watchdog
from poller.schedule import Backoff, ListPolicy, by_account
from poller.watch.looks import Looks
from shared.clock import Clock
from shared.errors import (
    AccountFault,
    IllegalTransition,
    LeaseLost,
    MissingCredential,
    NotFound,
    NotSent,
    ProviderError,
    Rejected,
    SettingsError,
    SpoolError,
    StaleState,
    StoreUnavailable,
    Throttled,
    Unknown,
)
from shared.lease import Keeper
from shared.lifecycle import WATCHED
from shared.providers.port import Provider, RemoteBatch
from shared.store import Batch, Lease, Store
from shared.telemetry import Action, log

_MOST = 2000
"""Batches of a pass; the next one follows at once."""
_ACCOUNTS = 8
"""Accounts that are asked at the same time, so that a slow one delays no other."""
_ENOUGH_UNKNOWN = 3
"""Answers in a row that say nothing, after which it is the provider and not the batch."""


@dataclass(frozen=True)
class Watching:
    """How a provider is asked."""

    lists: ListPolicy = field(default_factory=ListPolicy)
    backoff: Backoff = field(default_factory=Backoff)


WATCHING = Watching()


class AccountAway(Exception):
    """The account can't be asked for now; `until` says when to try again."""

    def __init__(self, cause: Exception, until: datetime) -> None:
        super().__init__(str(cause))
        self.until = until


class Watcher:
    """The duty `watch`."""

    name = "watch"

    def __init__(
        self,
        store: Store,
        provider_of: Callable[[Batch], Provider],
        looks: Looks,
        keeper: Keeper,
        watchdog: Watchdog,
        clock: Clock,
        *,
        watching: Watching = WATCHING,
        keyless: Keyless | None = None,
    ) -> None:
        self._store, self._provider_of, self._looks = store, provider_of, looks
        self._keeper, self._watchdog, self._clock, self._how = keeper, watchdog, clock, watching
        self._keyless = keyless or Keyless(watchdog, clock)
        self._random = Random()  # noqa: S311 jitter, no cryptography
        self._failures: Counter[str] = Counter()

    def run_once(self) -> Counts:
        """Ask about every batch that is due. Raises StoreUnavailable."""
        due = by_account(
            self._store.batches.due(WATCHED, self._clock(), _MOST, mode="batch", but_not=self._keyless.accounts())
        )
        if not due:
            return {}
        return side_by_side(self.name, _ACCOUNTS, due.items(), lambda pair: self._account(*pair))

    def _account(self, account: str, batches: Sequence[Batch]) -> Counter[str]:
        """The account's turn, unless another poller has it."""
        counts: Counter[str] = Counter()
        with self._keeper.hold(f"watch/{account}") as lease:
            if lease is None:
                return Counter({BUSY: len(batches)})
            # What another has done since, a word on an older batch at the provider must not undo.
            batches = self._store.batches.due(WATCHED, self._clock(), _MOST, mode="batch", account=account)
            waiting = {batch.batch_key: batch for batch in batches}
            try:
                for batch, answer in self._ask(account, batches):
                    counts[self._take(batch, answer, lease)] += 1
                    waiting.pop(batch.batch_key)
            except AccountAway as away:
                self._watchdog.away(f"provider {account}", str(away), away.until)
                for key in waiting:
                    self._postpone(key, lease, away.until)
                counts[WAITING] += len(waiting)
            except MissingCredential as error:
                self._keyless.note(error)
                counts[WAITING] += len(waiting)
            except LeaseLost:
                counts[BUSY] += len(waiting)
            else:
                self._failures.pop(account, None)
                self._watchdog.back(f"provider {account}")
        return counts

    def _ask(self, account: str, batches: Sequence[Batch]) -> Iterator[tuple[Batch, RemoteBatch | Exception]]:
        """Each batch with the provider's word on it, or the fault that is its own. Raises AccountAway."""
        providers: dict[str, Provider] = {}
        for batch in batches:
            try:
                providers[batch.batch_key] = self._provider_of(batch)
            except (SettingsError, AccountFault) as error:
                raise self._away(account, error) from error
            except SpoolError as error:
                yield batch, error
        known = [batch for batch in batches if batch.batch_key in providers]
        listed = self._listed(account, providers[known[0].batch_key], known) if known else {}
        unknown = 0
        for batch in known:
            if batch.provider_batch_id in listed:
                yield batch, listed[batch.provider_batch_id]
                continue
            try:
                answer: RemoteBatch | Exception = providers[batch.batch_key].retrieve(batch.provider_batch_id or "")
                unknown = 0
            except MissingCredential:
                raise
            except (AccountFault, Throttled, NotSent) as error:
                raise self._away(account, error) from error
            except Exception as error:
                unknown += isinstance(error, Unknown)
                if unknown >= _ENOUGH_UNKNOWN:
                    raise self._away(account, error) from error
                answer = error
            yield batch, answer

    def _listed(self, account: str, provider: Provider, batches: Sequence[Batch]) -> dict[str, RemoteBatch]:
        """What one walk through the provider's list says of the batches; {} where it is not worth it, or failed."""
        policy = self._how.lists
        if not policy.lists(len(batches)):
            return {}
        wanted = {batch.provider_batch_id for batch in batches}
        found: dict[str, RemoteBatch] = {}
        try:
            since = policy.created_after([batch.submitted_at or batch.sealed_at for batch in batches])
            for seen, remote in enumerate(provider.created_since(since), start=1):
                if remote.id in wanted:
                    found[remote.id] = remote
                if policy.is_enough(seen, len(wanted) - len(found)):
                    break
        except (AccountFault, Throttled, NotSent) as error:
            raise self._away(account, error) from error
        except (NotFound, Rejected, Unknown) as error:
            log(Action.BATCH_FAULT, logging.WARNING, account=account, message=f"list: {error}")
        return found

    def _take(self, batch: Batch, answer: RemoteBatch | Exception, lease: Lease) -> str:
        """Write down what was learned of one batch; gives the count that it falls under."""
        try:
            if isinstance(answer, RemoteBatch):
                profile = self._provider_of(batch).profile
                return self._looks.seen(batch, answer, profile, lease)
            if isinstance(answer, NotFound):
                return self._looks.missing(batch, answer, lease)
            return self._looks.unreadable(batch, answer, lease)
        except (StaleState, IllegalTransition):
            return BUSY
        except (StoreUnavailable, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001 one poisoned batch is isolated
            log(Action.BATCH_FAULT, logging.ERROR, batch=batch.batch_key, message=f"{type(error).__name__}: {error}")
            return FAULTS

    def _away(self, account: str, error: Exception) -> AccountAway:
        """How long to leave the account alone. A fault of its own pauses it for everybody."""
        self._failures[account] += 1
        asked = error.retry_after if isinstance(error, ProviderError) else None
        roll = self._random.random()
        until = self._clock() + self._how.backoff.delay(self._failures[account], roll, asked)
        if isinstance(error, AccountFault):
            until = pause_account(self._store, account, str(error)).until
        elif not isinstance(error, ProviderError):
            until = self._clock() + self._how.backoff.most
        return AccountAway(error, until)

    def _postpone(self, key: str, lease: Lease, until: datetime) -> None:
        try:
            self._store.batches.record(key, lease=lease, next_check_at=until)
        except StaleState:
            return
