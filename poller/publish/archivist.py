"""Tombstones the progress markers of batches that are long out, shard by shard, under the shard's lease.

A marker may go once nobody could publish its batch again: its rows are deleted, and what became of it stands beside
its manifest.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from poller.duty import BUSY, FAULTS, WAITING, Counts
from poller.health import Watchdog
from poller.publish.outbox import Shard
from poller.publish.outboxes import Outboxes
from poller.publish.transactions import Aborted
from shared.clock import Clock
from shared.closing import read_closing
from shared.definition import Definition
from shared.errors import (
    BatchlineError,
    KafkaUnavailable,
    LeaseLost,
    MustRestart,
    SpoolAway,
    SpoolError,
    StoreUnavailable,
)
from shared.failpoints import Failpoint, reached
from shared.lease import Keeper
from shared.spool import Spool
from shared.store import Batch, Lease, Store
from shared.telemetry import Action, log

MARKERS_KEPT = timedelta(days=30)
"""After publication, or as long as the pipeline's data where that is longer."""
_MOST = 10_000
_AT_ONCE = 1000
"""Tombstones in a transaction."""


class Archivist:
    """The duty `forget`."""

    name = "forget"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        definition_of: Callable[[Batch], Definition],
        outboxes: Outboxes,
        keeper: Keeper,
        watchdog: Watchdog,
        clock: Clock,
        *,
        retention: timedelta,
    ) -> None:
        self._store, self._spool, self._definition_of, self._outboxes = store, spool, definition_of, outboxes
        self._keeper, self._watchdog, self._clock = keeper, watchdog, clock
        self._retention = retention

    def run_once(self) -> Counts:
        """Forget every marker that is due. Raises StoreUnavailable, SpoolAway, MustRestart."""
        counts: Counter[str] = Counter()
        own = {name: self._until(retention) for name, retention in self._store.terms.retentions().items()}
        due = [
            (self._outboxes.shard(batch.sink_cluster, batch.shard), batch)
            for batch in self._store.shards.remembered(self._until(self._retention), _MOST, own)
            if batch.sink_cluster is not None and batch.shard is not None and self._is_closed(batch)
        ]
        due.sort(key=lambda pair: (pair[0].cluster, pair[0].number))
        for shard, pairs in groupby(due, key=lambda pair: pair[0]):
            with self._keeper.hold(shard.lease) as lease:
                if lease is None:
                    counts[BUSY] += 1
                    continue
                counts.update(self._isolated(shard, [batch for _, batch in pairs], lease))
        return counts

    def _until(self, retention: timedelta) -> datetime:
        """Before which a batch must have come out."""
        return self._clock() - max(MARKERS_KEPT, retention)

    def _is_closed(self, batch: Batch) -> bool:
        """Whether the rows that a publication would need are deleted; the janitor writes before what became of them."""
        try:
            folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
            is_gone = batch.sealed_file is not None and self._spool.files.size(batch.sealed_file) is None
            return is_gone and read_closing(self._spool, folder) is not None
        except SpoolAway:
            raise
        except SpoolError:
            return False

    def _isolated(self, shard: Shard, batches: Sequence[Batch], lease: Lease) -> Counts:
        """One shard's turn, with every fault kept to it; gives the counts that it falls under."""
        try:
            self._forget(shard, batches, lease)
        except (StoreUnavailable, LeaseLost):
            raise
        except MustRestart:
            self._outboxes.drop(shard)
            raise
        except KafkaUnavailable as error:
            self._watchdog.away(f"kafka {shard.cluster}", str(error))
            return {WAITING: 1}
        except Aborted:
            return {WAITING: 1}
        except Exception as error:  # noqa: BLE001 a shard that is refused keeps no other
            message = str(error) if isinstance(error, BatchlineError) else f"{type(error).__name__}: {error}"
            log(Action.BATCH_FAULT, logging.ERROR, batch=batches[-1].batch_key, message=message)
            return {FAULTS: 1}
        self._watchdog.back(f"kafka {shard.cluster}")
        return {"forgotten": len(batches)}

    def _forget(self, shard: Shard, batches: Sequence[Batch], lease: Lease) -> None:
        """Tombstones first: what the store still counts as remembered is only forgotten once more."""
        # The newest one's: what was published before may name an address that nobody answers by now.
        definition = self._definition_of(batches[-1])
        outbox = self._outboxes.of(shard, definition, lease, lambda why: self._waits(shard, why))
        for start in range(0, len(batches), _AT_ONCE):
            keys = [batch.batch_key for batch in batches[start : start + _AT_ONCE]]
            outbox.forget(keys)
            reached(Failpoint.MARKERS_REMOVED)
            self._store.shards.forgot(keys, lease)

    def _waits(self, shard: Shard, why: str) -> None:
        self._watchdog.away(f"kafka {shard.cluster}", why)
