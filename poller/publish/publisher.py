"""Publishes collected batches: shard by shard, each record once, as the progress markers on the sink's cluster say.

The store follows the markers: it is moved when the last transaction is committed, and again after a crash before that.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from random import Random

from poller.duty import BUSY, FAULTS, WAITING, Counts, side_by_side
from poller.health import Watchdog
from poller.publish.outbox import Shard
from poller.publish.outboxes import Outboxes
from poller.publish.publication import Publication
from poller.publish.transactions import Aborted
from poller.schedule import Backoff
from shared.clock import Clock
from shared.definition import Definition
from shared.errors import (
    IllegalTransition,
    KafkaUnavailable,
    LeaseLost,
    MustRestart,
    SpoolError,
    StaleState,
    StoreUnavailable,
)
from shared.lease import TTL, Keeper
from shared.lifecycle import State
from shared.spool import Spool
from shared.store import Batch, Lease, Store
from shared.telemetry import Action, log

_MOST = 200
BACKOFF = Backoff(timedelta(seconds=2), timedelta(minutes=5))
_CLUSTERS = 8
_TRIES = 3
"""Transactions of one batch that may be aborted in a row before the next batch has its turn."""


@dataclass
class _Away:
    """The ways to one cluster that lead nowhere in this pass, and the definitions that go by them.

    An address may be an old one, and a password wrong: who is reached by others is not kept waiting.
    """

    definitions: set[str] = field(default_factory=set)
    error: KafkaUnavailable | None = None
    _ways: set[tuple[str, str]] = field(default_factory=set)

    def note(self, definition: Definition, error: KafkaUnavailable) -> None:
        self._ways.add(_way(definition))
        self.definitions.add(definition.hash)
        self.error = error

    def has(self, definition: Definition) -> bool:
        if _way(definition) in self._ways:
            self.definitions.add(definition.hash)
        return definition.hash in self.definitions


def _way(definition: Definition) -> tuple[str, str]:
    return definition.sink.bootstrap_servers, str(sorted(definition.sink.kafka.items()))


class Publisher:
    """The duty `publish`."""

    name = "publish"

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
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._store, self._spool, self._definition_of, self._outboxes = store, spool, definition_of, outboxes
        self._keeper, self._watchdog, self._clock, self._backoff = keeper, watchdog, clock, backoff
        self._publication = Publication(store, spool, outboxes)
        self._random = Random()  # noqa: S311 jitter, no cryptography
        self._failures: Counter[str] = Counter()

    def run_once(self) -> Counts:
        """Publish every collected batch that is due. Raises StoreUnavailable, SpoolError, MustRestart."""
        waiting = self._store.shards.waiting()
        if not waiting:
            return {}
        self._spool.files.reach()
        clusters = [
            (cluster, [self._outboxes.shard(cluster, number) for _, number in shards])
            for cluster, shards in groupby(waiting, key=lambda place: place[0])
        ]
        return side_by_side(self.name, _CLUSTERS, clusters, lambda cluster: self._cluster(*cluster))

    def close(self) -> None:
        """Let the producers go."""
        self._outboxes.close()

    def _cluster(self, cluster: str, shards: list[Shard]) -> Counter[str]:
        """The turn of one sink cluster; while it is away, all of its batches wait."""
        counts: Counter[str] = Counter()
        away = _Away()
        for shard in shards:
            with self._keeper.hold(shard.lease) as lease:
                if lease is None:
                    counts[BUSY] += 1
                    continue
                self._shard(shard, lease, counts, away)
        if away.error is not None:
            self._watchdog.away(f"kafka {cluster}", str(away.error))
            counts[WAITING] += 1
        else:
            self._watchdog.back(f"kafka {cluster}")
        return counts

    def _shard(self, shard: Shard, lease: Lease, counts: Counter[str], away: "_Away") -> None:
        while True:
            known, now = len(away.definitions), self._clock()
            due = self._store.batches.due(
                (State.COLLECTED,),
                now,
                _MOST,
                but_not_by=away.definitions,
                sink_cluster=shard.cluster,
                shard=shard.number,
            )
            if not all(self._turn(batch, shard, lease, counts, away) for batch in due):
                return
            # However many wait for an address of the cluster, those behind them have their turn.
            if len(due) < _MOST or len(away.definitions) == known:
                return

    def _turn(self, batch: Batch, shard: Shard, lease: Lease, counts: Counter[str], away: "_Away") -> bool:
        """One batch's turn; whether the shard is ours still."""
        try:
            if not self._is_away(batch, away):
                counts[self._isolated(batch, shard, lease)] += 1
        except KafkaUnavailable as error:
            away.note(self._definition_of(batch), error)
        except LeaseLost:
            # Another has the shard: whatever this producer had begun is aborted by that one's.
            self._outboxes.drop(shard)
            counts[BUSY] += 1
            return False
        except MustRestart:
            self._outboxes.drop(shard)
            if not self._is_taken(lease):
                raise
            counts[BUSY] += 1
            return False
        return True

    def _is_away(self, batch: Batch, away: "_Away") -> bool:
        if away.error is None:
            return False
        with suppress(SpoolError):
            return away.has(self._definition_of(batch))
        return False

    def _isolated(self, batch: Batch, shard: Shard, lease: Lease) -> str:
        """One batch's turn, with every fault of its own kept to it; gives the count that it falls under."""
        try:
            published = self._persistent(batch, shard, lease)
        except (StoreUnavailable, KafkaUnavailable, LeaseLost, MustRestart):
            raise
        except (StaleState, IllegalTransition):
            return BUSY
        except Exception as error:  # noqa: BLE001 one poisoned batch is isolated
            message = f"{type(error).__name__}: {error}"
            log(Action.BATCH_FAULT, logging.ERROR, batch=batch.batch_key, message=message)
            self._postpone(batch, lease, message)
            return FAULTS
        self._failures.pop(batch.batch_key, None)
        log(
            Action.BATCH_PUBLISHED,
            batch=batch.batch_key,
            state=published.state,
            succeeded=published.succeeded,
            failed=published.failed or None,
            carried=published.carried or None,
        )
        return "published"

    def _persistent(self, batch: Batch, shard: Shard, lease: Lease) -> Batch:
        definition = self._definition_of(batch)
        for _ in range(_TRIES - 1):
            with suppress(Aborted):
                return self._publish(batch, definition, shard, lease)
            # A producer that was fenced must not fence the one that took the shard over.
            self._store.leases.renew(lease, TTL)
        return self._publish(batch, definition, shard, lease)

    def _publish(self, batch: Batch, definition: Definition, shard: Shard, lease: Lease) -> Batch:
        outbox = self._outboxes.of(shard, definition, lease, lambda why: self._waits(shard, why))
        return self._publication.publish(batch, definition, outbox, lease)

    def _waits(self, shard: Shard, why: str) -> None:
        self._watchdog.away(f"kafka {shard.cluster}", why)

    def _is_taken(self, lease: Lease) -> bool:
        try:
            self._store.leases.renew(lease, TTL)
        except LeaseLost:
            return True
        except StoreUnavailable:
            return False
        return False

    def _postpone(self, batch: Batch, lease: Lease, message: str) -> None:
        self._failures[batch.batch_key] += 1
        delay = self._backoff.delay(self._failures[batch.batch_key], self._random.random())
        told = f"it can't be published yet: {message}"[:1000]
        with suppress(StaleState):
            self._store.batches.record(batch.batch_key, lease=lease, next_check_at=self._clock() + delay, error=told)
