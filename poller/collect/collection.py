"""One batch's collection: its results are judged, the children written, the decision made, then one transaction."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from poller.ask.roads import Roads
from poller.collect.bisection import HALVING, Halving
from poller.collect.children import planned, write_children
from poller.collect.costs import costs
from poller.collect.decision import Decision, decide, read_decision
from poller.collect.judge import Judge
from poller.collect.keeping import keep_answers
from poller.collect.leavings import forget_downloads
from poller.collect.results import ANSWERS, INDEX
from poller.collect.usage import kept_usage
from poller.schedule import LOST_AFTER
from shared.clock import Clock
from shared.errors import SpoolError
from shared.failpoints import Failpoint, reached
from shared.lease import TTL
from shared.lifecycle import State
from shared.manifest import Manifest
from shared.providers.port import Provider
from shared.spool import RESULTS, Spool
from shared.store import Batch, Lease, Store


@dataclass(frozen=True)
class Collected:
    """A batch that was collected, and what its results looked like."""

    batch: Batch
    decision: Decision


class Collection:
    """Collects one batch at a time; the caller holds the batch's lease."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        roads: Roads,
        clock: Clock,
        patience: timedelta,
        halving: Halving = HALVING,
        lost_after: timedelta = LOST_AFTER,
    ) -> None:
        self._store, self._spool, self._clock = store, spool, clock
        self._judge = Judge(store, spool, roads, clock, patience, halving, lost_after)

    def collect(self, batch: Batch, provider: Provider, lease: Lease) -> Collected:
        """Collect a batch that has ended or is lost. Raises Undone, Early, or what kept it from it."""
        if batch.attempt_folder:
            self._spool.settle(batch.attempt_folder, batch.pipeline, batch.statement, batch.batch_key)
        manifest = self._spool.manifest(batch.pipeline, batch.statement, batch.batch_key)
        decision = read_decision(self._spool.files, self._folder(batch)) or self._decided(
            batch, manifest, provider, lease
        )
        return self._commit(batch, manifest, decision, lease)

    def _decided(self, batch: Batch, manifest: Manifest, provider: Provider, lease: Lease) -> Decision:
        """Read the results, and decide, unless somebody has meanwhile."""
        folder, name = self._folder(batch), uuid4().hex
        into = f"{folder}/{RESULTS}/{name}"
        # Before more is downloaded: a process that is killed at the same batch again and again leaves one at most.
        forget_downloads(self._spool.files, folder)
        attempt: str | None = None
        try:
            counts, refused, carries, unknown_calls = self._judge.judge(
                batch, manifest, provider, self._spool.files.work(into), lease
            )
            self._spool.files.keep(into, [ANSWERS, INDEX, *kept_usage(manifest.definition)])
            children: list[str] = []
            if carries:
                attempt = self._spool.new_attempt(batch.pipeline, batch.statement)
                children = write_children(self._spool, attempt, manifest, carries, provider)
            # Who was overtaken may have read what nobody can see any more.
            self._store.leases.renew(lease, TTL)
        except BaseException:
            self._drop(into, attempt)
            raise
        own = Decision(
            results=name,
            refused=refused,
            attempt=attempt,
            children=tuple(children),
            input_tokens=counts.input_tokens,
            output_tokens=counts.output_tokens,
            cached=counts.cached,
            duplicate_lines=counts.duplicates,
            unknown_lines=counts.unknown,
            malformed_lines=counts.malformed,
            unknown_calls=unknown_calls,
            odd=counts.odd,
        )
        stands = decide(self._spool.files, folder, own)
        reached(Failpoint.DECIDED)
        if stands != own:
            self._drop(into, attempt)
        elif counts.billed:
            self._store.queues.measure(batch, batch.bytes * counts.billed // batch.requests, counts.input_tokens)
            reached(Failpoint.MEASURED)
        return stands

    def _drop(self, results: str, attempt: str | None) -> None:
        """Remove what no decision names."""
        with suppress(SpoolError):
            self._spool.files.delete(results)
        if attempt is not None:
            self._spool.discard(attempt)

    def _folder(self, batch: Batch) -> str:
        return self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)

    def _commit(self, batch: Batch, manifest: Manifest, decision: Decision, lease: Lease) -> Collected:
        """Follow a decision: the children in their places, and the store told, once and for good."""
        forget_downloads(self._spool.files, self._folder(batch), decision)
        keep_answers(self._store, self._spool, manifest, decision, self._clock)
        children = []
        for key in decision.children:
            if decision.attempt:
                self._spool.settle(decision.attempt, batch.pipeline, batch.statement, key)
            children.append(planned(batch, self._spool.manifest(batch.pipeline, batch.statement, key)))
        changes = costs(manifest, decision)
        # An older copy of the store knows less of them; a decision of an earlier version says nothing of them.
        changes["unknown_calls"] = max(batch.unknown_calls, decision.unknown_calls)
        changes["carried"] = sum(child.records for child in children)
        if batch.state is State.ENDED and not decision.refused:
            # What kept it waiting is over.
            changes["error"] = None
        return Collected(
            self._store.batches.collect(batch.batch_key, lease=lease, children=children, **changes), decision
        )
