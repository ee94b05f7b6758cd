"""One batch's collection: results to disk, one scan, the verdicts, the children, the decision, then one transaction."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path
from uuid import uuid4

from poller.accounts import pause_account
from poller.ask import journal
from poller.ask.roads import Roads
from poller.collect.bisection import HALVING, Bisection, Halving
from poller.collect.children import planned, without_unrenderable, write_children
from poller.collect.costs import costs
from poller.collect.decision import Decision, decide, read_decision
from poller.collect.demux import Scan, fail_spoilt, lines_of, scan
from poller.collect.keeping import keep_answers
from poller.collect.leavings import forget_downloads
from poller.collect.outcome import Carry, give_up, reason, refuse, requests_of, settle, settle_asked, together
from poller.collect.results import ANSWERS, INDEX, ResultsWriter, Verdict
from poller.collect.undone import Bounced, Disproved, Early
from poller.collect.unpacking import unpacker_of
from poller.collect.usage import kept_usage, usage_for
from poller.watch.looks import bounced
from poller.watch.verdict import GIVEN_UP
from shared.causes import Cause
from shared.clock import Clock
from shared.errors import NotFound, SpoolError
from shared.failpoints import Failpoint, reached
from shared.intents import Receipt, write_receipt
from shared.lease import TTL
from shared.lifecycle import Event, State
from shared.manifest import Manifest
from shared.providers.port import LineError, Provider, RemoteBatch
from shared.spool import RESULTS, Spool
from shared.store import Batch, Lease, Store
from shared.telemetry import Action, log


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
    ) -> None:
        self._store, self._spool, self._roads, self._clock, self._patience = store, spool, roads, clock, patience
        self._halving, self._bisection = halving, Bisection(store, spool, halving)

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
        attempt: str | None = None
        try:
            counts, refused, carries = self._judged(batch, manifest, provider, self._spool.files.work(into), lease)
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

    def _judged(
        self, batch: Batch, manifest: Manifest, provider: Provider, into: Path, lease: Lease
    ) -> tuple[Scan, bool, list[Carry]]:
        """What the results hold, whether the batch was refused as such, and what is to be carried."""
        with ResultsWriter(into, manifest.packing.records, usage_for(manifest, into)) as results:
            if batch.mode == "sync":
                counts, refused, carries = self._asked(batch, manifest, provider, results)
            else:
                counts, refused, carries = self._batched(batch, manifest, provider, into, results, lease)
                left = sum(1 for carry in carries for _ in requests_of(carry, manifest.packing))
                if self._roads.asks_rest(batch, manifest.definition, left):
                    carries = together(carries, "sync")
            carries = without_unrenderable(self._spool, manifest, carries, results)
            results.seal()
            reached(Failpoint.RESULTS_SEALED)
        return counts, refused, carries

    def _asked(
        self, batch: Batch, manifest: Manifest, provider: Provider, results: ResultsWriter
    ) -> tuple[Scan, bool, list[Carry]]:
        lines = journal.results(self._spool.files, self._folder(batch))
        unpack = unpacker_of(manifest.definition)
        counts = scan(lines, batch.batch_key, provider.answer, results, manifest.packing, unpack)
        return counts, False, settle_asked(results, manifest)

    def _batched(
        self,
        batch: Batch,
        manifest: Manifest,
        provider: Provider,
        into: Path,
        results: ResultsWriter,
        lease: Lease,
    ) -> tuple[Scan, bool, list[Carry]]:
        if batch.remote_status == GIVEN_UP:
            return Scan(), True, give_up(results, batch.error or "an operator gave the batch up")
        is_harvested = batch.harvested_at is not None
        remote = self._remote(batch, provider)
        if remote is None:
            refused = batch.provider_batch_id is None and batch.state is not State.LOST
            if refused and is_harvested:
                # Its deadline came near before anything of it was sent.
                return Scan(), False, settle(results, manifest, harvested=True)
            if not refused:
                return Scan(), False, settle(results, manifest, Cause.LOST)
            errors = [LineError(None, None, batch.error or "the provider refused the batch")]
            return Scan(), True, self._refused(batch, manifest, errors, results, lease)
        if remote.phase != "ended":
            raise Early(f"it is '{remote.status}' at the provider")
        if remote.errors and not remote.results:
            return Scan(), True, self._refused(batch, manifest, remote.errors, results, lease)
        counts = self._read(batch, manifest, remote, provider, into, results)
        self._judge(batch, counts, results, remote, provider, lease)
        fail_spoilt(results, counts, manifest.packing)
        if counts.account_fault:
            self._pause(batch, counts.account_fault, results, lease)
        return counts, False, settle(results, manifest, harvested=is_harvested)

    def _drop(self, results: str, attempt: str | None) -> None:
        """Remove what no decision names."""
        with suppress(SpoolError):
            self._spool.files.delete(results)
        if attempt is not None:
            self._spool.discard(attempt)

    def _folder(self, batch: Batch) -> str:
        return self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)

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

    def _refused(
        self, batch: Batch, manifest: Manifest, errors: Sequence[LineError], results: ResultsWriter, lease: Lease
    ) -> list[Carry]:
        verdict = reason(errors, manifest.requests)
        if verdict.kind == "unnamed" and self._bisection.must_rest(batch):
            until = self._clock() + self._halving.rest
            why = (
                f"all of it was refused so far, part by part, and no line named, as if the definition were at fault: "
                f"{verdict.message}; it is sent once more, and then halved on"
            )
            self._store.batches.apply(
                batch.batch_key, Event.BOUNCE, lease=lease, expected=State.ENDED, **bounced(why, until)
            )
            log(Action.BATCH_BOUNCED, logging.WARNING, batch=batch.batch_key, until=until, error=why)
            raise Bounced(why)
        return refuse(results, manifest, verdict)

    def _read(
        self,
        batch: Batch,
        manifest: Manifest,
        remote: RemoteBatch,
        provider: Provider,
        into: Path,
        results: ResultsWriter,
    ) -> Scan:
        try:
            paths = provider.download(remote, into)
        except NotFound:
            if not self._expired(batch):
                raise
            paths = []
        reached(Failpoint.DOWNLOADED)
        lines, unpack = chain.from_iterable(map(_lines, paths)), unpacker_of(manifest.definition)
        counts = scan(lines, batch.batch_key, provider.answer, results, manifest.packing, unpack)
        for path in paths:
            # All that counts of it is kept elsewhere, redacted: what a provider says of a failure may hold a key.
            path.unlink(missing_ok=True)
        return counts

    def _judge(
        self,
        batch: Batch,
        counts: Scan,
        results: ResultsWriter,
        remote: RemoteBatch,
        provider: Provider,
        lease: Lease,
    ) -> None:
        """Whether the results are this batch's, and all there."""
        last = next(iter(self._store.attempts.of(batch.batch_key)), None)
        is_guess = last is not None and last.is_guess
        if counts.own == 0 and (counts.foreign or (is_guess and counts.unknown)) and not provider.profile.has_metadata:
            note = f"{batch.provider_batch_id} holds the results of another batch"
            if last is None:
                raise Early(f"{note}, and nothing is known of a create of its own")
            self._store.attempts.disown(batch.batch_key, last.attempt, lease, note=note)
            raise Disproved(note)
        if last is not None and is_guess and counts.own:
            # What was a guess is proved: from here on also a store that forgets it knows it.
            receipt = Receipt(attempt=last.attempt, provider_batch_id=remote.id, created_at=remote.created_at)
            write_receipt(self._spool, self._folder(batch), receipt)
            reached(Failpoint.GUESS_PROVED)
        missing = results.verdicts.count(Verdict.MISSING)
        # By our own clock, as far as it is known: the provider's may run ahead.
        ended = batch.remote_since or batch.ended_at or batch.updated_at
        # A download that was cut in silence is not cut at the same place again: what is sent again is paid again.
        is_first_look = batch.next_check_at is None
        if missing and (is_first_look or self._clock() < ended + self._patience):
            raise Early(f"{missing} of {results.records} results are missing")

    def _pause(self, batch: Batch, said: str, results: ResultsWriter, lease: Lease) -> None:
        """Before anything can be sent again: what the account did to one batch it would do to the next."""
        paused = pause_account(self._store, batch.account, said, by_results=True)
        if results.verdicts.count(Verdict.ACCOUNT) == results.records:
            # No child: an account may lack credit for longer than there are generations.
            held = bounced(paused.reason, paused.until)
            self._store.batches.apply(batch.batch_key, Event.BOUNCE, lease=lease, expected=State.ENDED, **held)
            raise Bounced(paused.reason)

    def _expired(self, batch: Batch) -> bool:
        return batch.results_expire_at is not None and self._clock() >= batch.results_expire_at

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
        changes["carried"] = sum(child.records for child in children)
        if batch.state is State.ENDED and not decision.refused:
            # What kept it waiting is over.
            changes["error"] = None
        return Collected(
            self._store.batches.collect(batch.batch_key, lease=lease, children=children, **changes), decision
        )


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", 1 << 20) as file:
        yield from lines_of(file)
