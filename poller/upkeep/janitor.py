"""Deletes the data of sealed files whose every record is out and old enough, here and at the provider; rows stay.

A file is kept while a checkpoint that could be restored is older than its seal.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from poller.duty import BUSY, FAULTS, WAITING, Counts
from poller.upkeep.leftovers import ABANDONED, Leftovers
from poller.upkeep.retained import State, oldest, restorable
from shared.clock import Clock
from shared.closing import keep_closing
from shared.errors import LeaseLost, NotFound, ProviderError, StoreUnavailable
from shared.failpoints import Failpoint, reached
from shared.lease import Keeper
from shared.lifecycle import TERMINAL
from shared.providers.port import Provider
from shared.spool import KNOWN, REQUESTS, RESULTS, SealedFile, Spool
from shared.spool.scratch import remove_orphans
from shared.store import Batch, Store
from shared.telemetry import Action, log

_OLD = timedelta(days=7)


@dataclass(frozen=True)
class _Limits:
    """Which files of a pipeline may go."""

    old: datetime
    """What was out before is kept no longer."""
    restorable_since: datetime | None
    """What was planned later, a restored checkpoint would speak of; None without one."""


class Janitor:
    """The duty `janitor`."""

    name = "janitor"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        provider_of: Callable[[Batch], Provider],
        keeper: Keeper,
        clock: Clock,
        *,
        retention: timedelta,
    ) -> None:
        """`retention`: of pipelines that state none."""
        self._store, self._spool, self._provider_of = store, spool, provider_of
        self._keeper, self._clock, self._retention = keeper, clock, retention
        self._leftovers = Leftovers(store, spool)
        self._unseen: set[str] = set()

    def run_once(self) -> Counts:
        """Sweep once. Raises StoreUnavailable."""
        with self._keeper.hold("janitor") as lease:
            if lease is None:
                return {BUSY: 1}
            before = self._clock() - _OLD
            self._store.leases.sweep(before)
            self._store.health.forget(before)
            self._store.answers.forget()
            remove_orphans()
            retentions, counts = self._store.terms.retentions(), Counter[str]()
            for pipeline, statement in self._spool.statements():
                try:
                    counts += self._statement(pipeline, statement, retentions.get(pipeline, self._retention))
                except (StoreUnavailable, LeaseLost):
                    raise
                except Exception as error:  # noqa: BLE001 a statement that can't be swept must not keep the others
                    message = f"{type(error).__name__}: {error}"
                    log(Action.BATCH_FAULT, logging.WARNING, pipeline=pipeline, statement=statement, message=message)
                    counts[FAULTS] += 1
        del counts["kept"]
        return counts

    def _statement(self, pipeline: str, statement: str, retention: timedelta) -> Counter[str]:
        counts: Counter[str] = Counter()
        states = restorable(self._store, self._spool, pipeline)
        if states is None:
            self._tell_unseen(pipeline)
            return counts
        limits = _Limits(self._clock() - retention, oldest(states))
        for file in self._spool.sealed_files(pipeline, statement):
            counts[self._isolated(pipeline, statement, file, limits)] += 1
        self._sweep_abandoned(pipeline, statement, states, self._clock() - max(retention, ABANDONED))
        return counts

    def _tell_unseen(self, pipeline: str) -> None:
        if pipeline not in self._unseen:
            self._unseen.add(pipeline)
            message = "its checkpoints can't be seen from here: nothing of it is deleted by this poller"
            log(Action.BATCH_FAULT, logging.WARNING, pipeline=pipeline, message=message)

    def _isolated(self, pipeline: str, statement: str, file: SealedFile, limits: _Limits) -> str:
        """One file's turn, with every fault kept to it; gives the count that it falls under."""
        try:
            if not self._is_done(pipeline, statement, file, limits):
                return "kept"
            self._delete(pipeline, statement, file)
        except (StoreUnavailable, LeaseLost):
            raise
        except ProviderError as error:
            log(Action.BATCH_FAULT, logging.DEBUG, file=file.address, message=str(error))
            return WAITING
        except Exception as error:  # noqa: BLE001 one file that can't be deleted must not keep the others
            message = f"{type(error).__name__}: {error}"
            log(Action.BATCH_FAULT, logging.WARNING, file=file.address, message=message)
            return FAULTS
        log(Action.DATA_DELETED, file=file.address)
        return "deleted"

    def _is_done(self, pipeline: str, statement: str, file: SealedFile, limits: _Limits) -> bool:
        """Whether nobody will ever need the file again."""
        old, since = limits.old, limits.restorable_since
        # The checkpoint that led to its seal was completed before that, and still knows it; it was planned later.
        planned_at = self._store.plans.planned_at(file.address)
        if file.modified_at > old or planned_at is None or (since is not None and since < planned_at):
            return False
        batches = self._batches(pipeline, statement, file)
        return all(
            batch.state in TERMINAL and batch.published_at is not None and batch.published_at <= old
            for batch in batches
        )

    def _batches(self, pipeline: str, statement: str, file: SealedFile) -> list[Batch]:
        """The file's batches, and their children."""
        return self._store.batches.rows(pipeline=pipeline, statement=statement, sealed_file=file.address)

    def _delete(self, pipeline: str, statement: str, file: SealedFile) -> None:
        """The provider's copies first, the sealed file last: what is cut short is begun again."""
        batches = self._batches(pipeline, statement, file)
        for batch in batches:
            keep_closing(self._spool, batch)
            reached(Failpoint.CLOSING_WRITTEN)
        for batch in batches:
            self._delete_at_provider(batch)
        for batch in batches:
            folder = self._spool.batch(pipeline, statement, batch.batch_key)
            self._spool.files.delete(f"{folder}/{REQUESTS}")
            self._spool.files.delete(f"{folder}/{KNOWN}")
            reached(Failpoint.REQUESTS_REMOVED)
            self._spool.files.delete(f"{folder}/{RESULTS}")
            reached(Failpoint.RESULTS_REMOVED)
        self._spool.files.delete(file.address)
        reached(Failpoint.SEALED_REMOVED)

    def _delete_at_provider(self, batch: Batch) -> None:
        """Its input and its results; where a batch holds both, the batch."""
        attempts = self._store.attempts.of(batch.batch_key)
        provider = self._provider_of(batch)
        inputs = {attempt.input_file_id for attempt in attempts if attempt.input_file_id is not None}
        kept = set(inputs)
        if batch.provider_batch_id is not None:
            if provider.profile.has_files:
                kept |= _results(provider, batch.provider_batch_id)
            else:
                kept.add(batch.provider_batch_id)
        for name in sorted(kept):
            provider.delete(name)
            reached(Failpoint.INPUT_REMOVED)

    def _sweep_abandoned(self, pipeline: str, statement: str, states: list[State], until: datetime) -> None:
        """Files in progress that no process will finish, and attempts at plans that lost."""
        for file in self._leftovers.in_progress(pipeline, statement, states, until):
            self._spool.files.delete(file)
        for attempt in self._leftovers.attempts(pipeline, statement, until):
            self._spool.discard(attempt)


def _results(provider: Provider, provider_batch_id: str) -> set[str]:
    """The files of a batch's results; none of a batch that the provider has forgotten."""
    try:
        return set(provider.retrieve(provider_batch_id).results)
    except NotFound:
        return set()
