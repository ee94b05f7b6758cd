"""One batch's publication: from its marker to the end of its rows, transaction by transaction, then the store."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

from poller.collect.decision import read_decision, results_in
from poller.collect.results import ANSWERS, INDEX, Results
from poller.collect.usage import is_kept, kept_usage
from poller.publish.markers import check_marker
from poller.publish.messages import Messages, Outgoing
from poller.publish.outbox import Shard
from poller.register.place import Place, keep_place
from shared.closing import read_closing
from shared.definition import Definition
from shared.errors import SpoolError
from shared.failpoints import Failpoint, reached
from shared.lifecycle import Event, State
from shared.manifest import Manifest
from shared.messages import ProgressMarker
from shared.spool import DECISION, KNOWN, Spool
from shared.store import Batch, Lease, Store
from shared.topic_limits import TopicLimits

_READ = 1 << 20
_DEFINITIONS = 64
_TELL = 2.0
"""Seconds between two words to the store on how far a batch has come."""


class Shelf(Protocol):
    """Where a batch's messages go, and how far they have come."""

    @property
    def shard(self) -> Shard: ...

    def marker(self, batch_key: str) -> ProgressMarker: ...

    def send(self, batch_key: str, messages: Iterator[Outgoing]) -> ProgressMarker: ...


class Topics(Protocol):
    """What tells which messages a topic takes."""

    def limits(self, definition: Definition, topic: str) -> TopicLimits: ...


class Publication:
    """Publishes one batch at a time for each shard; the caller holds the shard's lease."""

    def __init__(self, store: Store, spool: Spool, topics: Topics) -> None:
        self._store, self._spool, self._topics = store, spool, topics
        self._messages = lru_cache(_DEFINITIONS)(self._made)
        self._known: dict[str, Definition] = {}

    def publish(self, batch: Batch, definition: Definition, outbox: Shelf, lease: Lease) -> Batch:
        """Send what is not yet out, then move the batch.

        Raises Aborted, MustRestart, LeaseLost, SpoolError, ForeignMarker.
        """
        marker = outbox.marker(batch.batch_key)
        if batch.attempt_folder:
            self._spool.settle(batch.attempt_folder, batch.pipeline, batch.statement, batch.batch_key)
        manifest = self._spool.manifest(batch.pipeline, batch.statement, batch.batch_key)
        folder = self._address(batch)
        keep_place(self._spool.files, folder, Place(cluster=outbox.shard.cluster, shard=outbox.shard.number))
        reached(Failpoint.PLACE_KEPT)
        decision = read_decision(self._spool.files, folder)
        if not marker.done and (closing := read_closing(self._spool, self._address(batch))) is not None:
            # An older copy of the store: the batch is out for so long that its marker is gone too.
            marker = ProgressMarker(next=0, succeeded=closing.succeeded, failed=closing.failed, done=True)
        else:
            check_marker(marker, manifest, carried=batch.carried, told=batch.succeeded + batch.failed)
        if not marker.done:
            if decision is None and manifest.requests:
                raise SpoolError(f"{folder}/{DECISION} is not there, though the batch is collected: restore it")
            answers = results_in(folder, decision) if decision else None
            marker = self._send(batch, manifest, definition, outbox, lease, answers)
        return self._settle(batch, marker, lease, refused=decision is not None and decision.refused)

    def _send(
        self,
        batch: Batch,
        manifest: Manifest,
        definition: Definition,
        outbox: Shelf,
        lease: Lease,
        answers: str | None,
    ) -> ProgressMarker:
        self._known[batch.definition] = definition
        marker = outbox.marker(batch.batch_key)
        with ExitStack() as open_:
            local = self._spool.files.local
            names = (INDEX, ANSWERS, *kept_usage(definition)) if answers else ()
            kept = [open_.enter_context(local(f"{answers}/{name}")) for name in names]
            folder = kept[0].parent if kept else Path()
            used_by = manifest.requests if is_kept(definition) else None
            results = open_.enter_context(Results(folder, manifest.packing.records, used_by=used_by))
            rows = open_.enter_context(open_.enter_context(local(manifest.sealed_file)).open("rb", _READ))
            rows.seek(manifest.start)
            known: BinaryIO | None = None
            if manifest.known:
                known = open_.enter_context(open_.enter_context(local(f"{self._address(batch)}/{KNOWN}")).open("rb"))
            messages = self._messages(batch.definition).of(
                manifest, batch.provider_batch_id, rows, results, marker.next, known or ()
            )
            told = time.monotonic()
            while not marker.done:
                marker = outbox.send(batch.batch_key, messages)
                if not marker.done and time.monotonic() >= told + _TELL:
                    self._store.batches.tally(
                        batch.batch_key, lease=lease, succeeded=marker.succeeded, failed=marker.failed
                    )
                    told = time.monotonic()
            return marker

    def _address(self, batch: Batch) -> str:
        return self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)

    def _settle(self, batch: Batch, marker: ProgressMarker, lease: Lease, *, refused: bool) -> Batch:
        """The store's last word; it refuses counts that don't add up to the batch's records."""
        failed_as_such = refused and marker.succeeded == 0 and batch.carried == 0 and batch.records > 0
        return self._store.batches.apply(
            batch.batch_key,
            Event.FAIL if failed_as_such else Event.PUBLISH,
            lease=lease,
            expected=State.COLLECTED,
            succeeded=marker.succeeded,
            failed=marker.failed,
            next_check_at=None,
        )

    def _made(self, definition_hash: str) -> Messages:
        definition = self._known[definition_hash]
        return Messages(definition, lambda topic: self._topics.limits(definition, topic))
