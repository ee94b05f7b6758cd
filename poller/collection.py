"""One batch's collection: results to disk, one scan, the verdicts, the children, and then one transaction."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path

from poller.children import write_children
from poller.demux import Scan, lines_of, scan
from poller.outcome import Carry, refuse, settle
from poller.results import ResultsWriter, Verdict
from shared.causes import Cause
from shared.clock import Clock
from shared.errors import BatchlineError, NotFound
from shared.lifecycle import State
from shared.manifest import Manifest
from shared.providers.port import LineError, Provider, RemoteBatch
from shared.providers.prices import cost
from shared.spool import RESULTS, Spool
from shared.store import Batch, Lease, Store
from shared.store.values import Changes
from shared.telemetry import Action, log

ACCOUNT_PAUSE = timedelta(minutes=5)
_DEEPEST = 6
"""Halvings after which a batch whose every part is refused is refused as a whole: 2 ** 7 creates."""


class Disproved(BatchlineError):
    """The results belong to another batch: what was adopted is not ours, and was disowned."""


class Early(BatchlineError):
    """Results are missing that may still show; read them again later."""


@dataclass(frozen=True)
class Collected:
    """A batch that was collected, and what its results looked like."""

    batch: Batch
    scan: Scan
    children: int


class Collection:
    """Collects one batch at a time; the caller holds the batch's lease."""

    def __init__(self, store: Store, spool: Spool, clock: Clock, patience: timedelta) -> None:
        self._store, self._spool, self._clock, self._patience = store, spool, clock, patience

    def collect(self, batch: Batch, provider: Provider, lease: Lease) -> Collected:
        """Collect a batch that has ended or is lost. Raises Disproved, Early, or what kept it from it."""
        if batch.attempt_folder:
            self._spool.settle(batch.attempt_folder, batch.pipeline, batch.statement, batch.batch_key)
        manifest = self._spool.manifest(batch.pipeline, batch.statement, batch.batch_key)
        folder = self._spool.path(self._spool.batch(batch.pipeline, batch.statement, batch.batch_key))
        with ResultsWriter(folder, manifest.requests) as results:
            remote = self._remote(batch, provider)
            if remote is None:
                counts, whole = Scan(), batch.state is not State.LOST
                carries = self._without_results(batch, manifest, results)
            elif remote.errors and not remote.results:
                counts, whole = Scan(), True
                carries = refuse(results, manifest, remote.errors, bisected=self._bisected(batch))
            else:
                whole = False
                counts = self._read(batch, remote, provider, folder / RESULTS, results)
                self._judge(batch, counts, results, provider, lease)
                carries = settle(results, manifest)
            if counts.account_fault:
                self._pause(batch.account, counts.account_fault)
            results.seal(whole=whole)
            return self._commit(batch, manifest, provider, counts, carries, lease)

    def _remote(self, batch: Batch, provider: Provider) -> RemoteBatch | None:
        """The provider's batch; None where there is none to ask for, or its results are deleted."""
        if batch.state is State.LOST or batch.provider_batch_id is None:
            return None
        try:
            return provider.retrieve(batch.provider_batch_id)
        except NotFound:
            if self._expired(batch):
                return None
            raise

    def _without_results(self, batch: Batch, manifest: Manifest, results: ResultsWriter) -> list[Carry]:
        if batch.provider_batch_id is None and batch.state is not State.LOST:
            errors = [LineError(None, None, batch.error or "the provider refused the batch")]
            return refuse(results, manifest, errors, bisected=self._bisected(batch))
        return settle(results, manifest, Cause.LOST)

    def _read(self, batch: Batch, remote: RemoteBatch, provider: Provider, into: Path, results: ResultsWriter) -> Scan:
        try:
            paths = provider.download(remote, into)
        except NotFound:
            if not self._expired(batch):
                raise
            paths = []
        return scan(chain.from_iterable(map(_lines, paths)), batch.batch_key, provider.answer, results)

    def _judge(self, batch: Batch, counts: Scan, results: ResultsWriter, provider: Provider, lease: Lease) -> None:
        """Whether the results are this batch's, and all there."""
        if counts.own == 0 and counts.foreign and not provider.profile.has_metadata:
            note = f"{batch.provider_batch_id} holds the results of another batch"
            last = self._store.attempts.of(batch.batch_key)[0]
            self._store.attempts.disown(batch.batch_key, last.attempt, lease, note=note)
            raise Disproved(note)
        missing = results.verdicts.count(Verdict.MISSING)
        ended = batch.ended_at or batch.updated_at
        if missing and self._clock() < ended + self._patience:
            raise Early(f"{missing} of {results.requests} results are missing")

    def _pause(self, account: str, said: str) -> None:
        """Before its child can be sent: what the account did to one batch it would do to the next."""
        until = self._clock() + ACCOUNT_PAUSE
        self._store.accounts.pause(account, f"account: {said}", until)
        log(Action.ACCOUNT_PAUSED, logging.WARNING, account=account, until=until, message=said)

    def _expired(self, batch: Batch) -> bool:
        return batch.results_expire_at is not None and self._clock() >= batch.results_expire_at

    def _bisected(self, batch: Batch) -> bool:
        """Whether halving was in vain: both halves were refused, again and again, at every step that led here."""
        key = batch.parent
        for _ in range(_DEEPEST):
            parent = self._store.batches.get(key) if key else None
            if parent is None or any(map(_was_accepted, self._store.batches.rows(parent=parent.batch_key))):
                return False
            key = parent.parent
        return True

    def _commit(
        self,
        batch: Batch,
        manifest: Manifest,
        provider: Provider,
        counts: Scan,
        carries: list[Carry],
        lease: Lease,
    ) -> Collected:
        changes = _changes(manifest, counts)
        if not carries:
            return Collected(self._store.batches.collect(batch.batch_key, lease=lease, **changes), counts, 0)
        attempt = self._spool.new_attempt(batch.pipeline, batch.statement)
        try:
            children = write_children(self._spool, attempt, batch, manifest, carries, provider.rename)
            changes["carried"] = sum(child.records for child in children)
            after = self._store.batches.collect(batch.batch_key, lease=lease, children=children, **changes)
        except BaseException:
            self._discard(attempt, batch)
            raise
        for child in children:
            self._spool.settle(attempt, child.pipeline, child.statement, child.batch_key)
        return Collected(after, counts, len(children))

    def _discard(self, attempt: str, batch: Batch) -> None:
        """Remove an attempt whose children are not in the store; an unknown commit keeps it for its finder."""
        if not self._store.batches.rows(parent=batch.batch_key):
            self._spool.discard(attempt)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", 1 << 20) as file:
        yield from lines_of(file)


def _was_accepted(batch: Batch) -> bool:
    return batch.provider_batch_id is not None or batch.error is None


def _changes(manifest: Manifest, counts: Scan) -> Changes:
    changes = Changes(
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        duplicate_lines=counts.duplicates,
        unknown_lines=counts.unknown,
        malformed_lines=counts.malformed,
        next_check_at=None,
    )
    model = manifest.definition.model
    price = cost(model.provider, model.model, counts.input_tokens, counts.output_tokens)
    if price is not None:
        changes |= Changes(cost_usd=price.batch_usd, sync_cost_usd=price.sync_usd)
    return changes
