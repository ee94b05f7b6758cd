"""What an operator decides on a held batch: another attempt, its end, or what its create has made at the provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from poller.register.announced import is_provider_batch_id
from poller.watch.verdict import GIVEN_UP
from shared.clock import Clock
from shared.errors import SettingsError
from shared.failpoints import Failpoint, reached
from shared.keys import is_batch_key
from shared.lease import Keeper
from shared.lifecycle import Event, State
from shared.store import Attempt, Batch, Lease, Store

_WAIT = timedelta(seconds=30)
"""For the lease of a batch that somebody looks at just now."""


class Resolving:
    """Each verb says what it did. Raises SettingsError where there is nothing to decide, or nothing can be."""

    def __init__(self, store: Store, keeper: Keeper, clock: Clock) -> None:
        self._store, self._keeper, self._clock = store, keeper, clock

    def retry(self, key: str) -> str:
        """Let it be sent again: at once, or when a look-up of its last create is clean once more."""
        with self._taken(key) as (batch, attempt, lease):
            self._expect(batch, State.HELD)
            if attempt is None:
                self._store.batches.record(key, lease=lease, held_until=self._clock(), next_check_at=None)
                return "it is sent again"
            self._store.attempts.allow_another(key, attempt.attempt, lease)
            reached(Failpoint.ANOTHER_ALLOWED)
            self._store.batches.record(key, lease=lease, next_check_at=None)
            return "it is looked up once more, and sent again if its create still does not show"

    def fail(self, key: str) -> str:
        """Send it no more. A create that shows later is followed as a stray."""
        with self._taken(key) as (batch, attempt, lease):
            self._expect(batch, State.HELD)
            if batch.mode != "batch":
                raise SettingsError(f"batch {key} is asked record by record: its model's 'batch.deadline' ends it")
            error = f"given up by an operator; before that: {batch.held_reason or 'held'}"
            if attempt is None:
                self._store.batches.apply(
                    key, Event.GIVE_UP, lease=lease, remote_status=GIVEN_UP, error=error, next_check_at=None
                )
            else:
                self._store.attempts.resolve(
                    key,
                    attempt.attempt,
                    lease,
                    Event.GIVE_UP,
                    remote_status=GIVEN_UP,
                    error=error,
                    next_check_at=None,
                )
            return f"its {batch.records:,} records come out as errors"

    def adopt(self, key: str, provider_batch_id: str) -> str:
        """Take a batch at the provider for its create's; its metadata or its custom_ids must prove it all the same."""
        with self._taken(key) as (batch, attempt, lease):
            self._expect(batch, State.HELD, State.AMBIGUOUS)
            if attempt is None:
                raise SettingsError(f"no create of batch {key} is unknown: there is nothing to adopt")
            if not is_provider_batch_id(provider_batch_id):
                raise SettingsError(f"'{provider_batch_id}' is no id of a batch at a provider")
            if self._store.strays.is_known(provider_batch_id):
                raise SettingsError(f"{provider_batch_id} belongs to another batch of this store, or is a stray")
            self._store.attempts.resolve(
                key,
                attempt.attempt,
                lease,
                Event.ADOPT,
                provider_batch_id=provider_batch_id,
                next_check_at=None,
                error=None,
            )
            return f"{provider_batch_id} is watched, and must prove to be its"

    @contextmanager
    def _taken(self, key: str) -> Iterator[tuple[Batch, Attempt | None, Lease]]:
        """The batch as it stands, its unresolved attempt, and its lease."""
        if not is_batch_key(key):
            raise SettingsError(f"'{key}' is no batch key; `poller status` shows them")
        with self._keeper.hold(f"batch/{key}", wait=_WAIT) as lease:
            batch = self._store.batches.get(key)
            if lease is None:
                raise SettingsError(f"batch {key} is being worked on: try again")
            if batch is None:
                raise SettingsError(f"batch {key} is not in the store {self._store.address}")
            newest = next(iter(self._store.attempts.of(key)), None)
            yield batch, newest if newest is not None and newest.outcome is None else None, lease

    @staticmethod
    def _expect(batch: Batch, *states: State) -> None:
        if batch.state not in states:
            raise SettingsError(f"batch {batch.batch_key} is '{batch.state}': there is nothing to decide")
