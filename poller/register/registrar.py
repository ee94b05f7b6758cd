"""Takes announced batches into the store, and gives every batch of the store its shard on its sink's cluster.

An event is a hint: it inserts a row that is absent, from the manifest in our own spool, and moves none back.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaException

from poller.duty import KNOWN, SKIPPED, WAITING, Counts
from poller.health import Watchdog
from poller.register.announced import Skip, contradicts, read_event
from poller.register.consumer import Events, Raw
from poller.register.place import read_place
from poller.register.sinks import SinkClusters
from poller.register.skips import Skips
from shared.definition import Definition, Sink
from shared.errors import KafkaUnavailable, SettingsError, SpoolAway, SpoolError, StoreUnavailable
from shared.estimate import estimate
from shared.failpoints import Failpoint, reached
from shared.intents import newest_receipt
from shared.manifest import Manifest
from shared.messages import BatchEvent
from shared.spool import Spool
from shared.store import Batch, PlannedBatch, Store
from shared.telemetry import Action, log
from shared.trust import Untrusted, vouch

_MOST = 500
"""Events between two commits of the offsets."""
_UNASSIGNED = 1000
_PATIENCE = 15.0
"""Seconds that a single pass gives a consumer group to form, and its events to come."""


@dataclass(frozen=True)
class Registering:
    """How registering goes on."""

    shards: int
    wait: float
    """Seconds that a pass waits for the first event."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """What vouches for the addresses that a manifest names."""


class Registrar:
    """The duty `register`."""

    name = "register"

    def __init__(
        self,
        store: Store,
        spool: Spool,
        events: Callable[[], Events],
        sinks: SinkClusters,
        definition_of: Callable[[Batch], Definition],
        watchdog: Watchdog,
        how: Registering,
    ) -> None:
        """`events` connects, at the first pass."""
        self._store, self._spool, self._open, self._sinks = store, spool, events, sinks
        self._definition_of, self._watchdog = definition_of, watchdog
        self._shards, self._wait, self._environ = how.shards, how.wait, how.environ
        self._events: Events | None = None
        self._skips = Skips()

    def run_once(self) -> Counts:
        """Register the next events, then give shards out. Raises StoreUnavailable, KafkaUnavailable, SpoolError."""
        counts = self._assign()
        events = self.connect()
        try:
            taken = events.take(_MOST, self._wait)
            for raw in taken:
                counts[self._register_safely(raw)] += 1
        except Exception:
            events.give_back()
            raise
        finally:
            self._skips.tell()
        if taken:
            reached(Failpoint.EVENTS_TAKEN)
            events.settle()
            reached(Failpoint.OFFSETS_COMMITTED)
            counts += self._assign()
        return counts

    def connect(self) -> Events:
        """The events, connected to once. Raises KafkaUnavailable, TopicMismatch."""
        if self._events is None:
            self._events = self._open()
        return self._events

    def is_drained(self) -> bool:
        """Whether all announced batches have been taken. Raises KafkaUnavailable."""
        return self._events is not None and self._events.is_drained()

    def close(self) -> None:
        """Leave the consumer group."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _register_safely(self, raw: Raw) -> str:
        """Register an event; one that breaks us is passed over, for it would stand before all others for ever.

        What is ours in it is not lost: the recaller finds every batch of the spool that the store lacks.
        """
        try:
            return self._register(raw)
        except Untrusted as error:
            self._skips.note(Skip.UNTRUSTED, raw.where, str(error))
        except (StoreUnavailable, KafkaUnavailable, SpoolAway):
            raise
        except Exception as error:  # noqa: BLE001 - nothing that anybody can write may stop the duty
            said = f"{type(error).__name__}: {error}"[:500]
            self._skips.note(Skip.BREAKING, raw.where, said)
        return SKIPPED

    def _register(self, raw: Raw) -> str:
        event = read_event(raw.key, raw.value)
        if isinstance(event, Skip):
            return self._skip(event, raw)
        if self._store.batches.get(event.batch_key) is not None:
            return KNOWN
        manifest = self._manifest(event)
        if manifest is None:
            return self._skip(Skip.NO_MANIFEST, raw)
        if contradicts(event, manifest) or not self._has_rows(manifest):
            return self._skip(Skip.CONTRADICTED, raw)
        folder = self._spool.batch(event.pipeline, event.statement, event.batch_key)
        receipt = newest_receipt(self._spool, folder, 1)
        if receipt is None or receipt.provider_batch_id != event.provider_batch_id:
            # Without a receipt the recaller looks the create up; nobody's word alone names a batch at the provider.
            return self._skip(Skip.CONTRADICTED, raw)
        vouch(self._store, manifest.definition, self._environ)
        self._store.lineage.put_definition(manifest.definition)
        is_new = self._store.batches.register(
            PlannedBatch.of(manifest), provider_batch_id=event.provider_batch_id, submitted_at=event.submitted_at
        )
        if is_new:
            log(Action.BATCH_REGISTERED, batch=event.batch_key, provider_batch=event.provider_batch_id)
        return "registered" if is_new else KNOWN

    def _skip(self, why: Skip, raw: Raw) -> str:
        self._skips.note(why, raw.where)
        return SKIPPED

    def _manifest(self, event: BatchEvent) -> Manifest | None:
        """Our own manifest of an announced batch; None when our spool has none that can be used."""
        self._spool.files.reach()
        try:
            return self._spool.manifest(event.pipeline, event.statement, event.batch_key)
        except SpoolAway:
            raise
        except SpoolError:
            return None

    def _has_rows(self, manifest: Manifest) -> bool:
        """Whether the rows that a manifest tells of stand in the spool; the recaller knows those that are deleted."""
        try:
            size = self._spool.files.size(manifest.sealed_file)
        except SpoolAway:
            raise
        except SpoolError:
            return False
        return size is not None and size >= manifest.end

    def _assign(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        waiting: set[str] = set()
        while True:
            known, found = len(waiting), self._store.shards.unassigned(_UNASSIGNED, but_not=waiting)
            for batch in found:
                counts[self._place(batch, waiting)] += 1
            # However many wait for one cluster, those behind them have their turn.
            if len(found) < _UNASSIGNED or len(waiting) == known:
                return counts

    def _place(self, batch: Batch, waiting: set[str]) -> str:
        """Give a batch its shard; `waiting` are the definitions whose sinks' clusters can't be found out now."""
        if batch.definition in waiting:
            return WAITING
        try:
            definition = self._definition_of(batch)
            cluster = self._cluster_of(definition.sink)
            if cluster is None:
                waiting.add(batch.definition)
                return WAITING
            folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
            place = read_place(self._spool.files, folder)
        except SpoolError as error:
            log(Action.BATCH_FAULT, logging.DEBUG, batch=batch.batch_key, message=str(error))
            return WAITING
        known = place.shard if place is not None and place.cluster == cluster else None
        self._store.shards.assign(batch.batch_key, cluster, self._shards, known=known)
        reached(Failpoint.SHARD_ASSIGNED)
        self._estimate(batch, definition)
        return "assigned"

    def _estimate(self, batch: Batch, definition: Definition) -> None:
        """A child has its share of its parent's."""
        if batch.estimated_cost_usd is None:
            rate = self._store.queues.rate(batch.provider, batch.model, batch.pipeline, batch.statement)
            usd = estimate(definition, batch, rate).usd
            if usd is not None:
                self._store.batches.record(batch.batch_key, estimated_cost_usd=usd)

    def _cluster_of(self, sink: Sink) -> str | None:
        """The sink's cluster; None while it can't be found out."""
        dependency = f"kafka {sink.bootstrap_servers}"
        try:
            cluster = self._sinks.identify(sink)
        except (KafkaUnavailable, KafkaException, SettingsError) as error:
            self._watchdog.away(dependency, str(error))
            return None
        self._watchdog.back(dependency)
        return cluster


class Drained:
    """The duty `register` for a single pass: it goes on until every announced batch is taken, or its patience ends."""

    name = Registrar.name

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    def run_once(self) -> Counts:
        """Register all that is announced. The store is the truth: what is missed now is only registered later."""
        counts: Counter[str] = Counter()
        end = time.monotonic() + _PATIENCE
        while True:
            counts.update(self._registrar.run_once())
            if self._registrar.is_drained() or time.monotonic() >= end:
                return counts
