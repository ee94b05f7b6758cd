"""What the results of one batch hold: downloaded, scanned once, and a verdict for each of its records."""

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import NamedTuple, NoReturn

from poller.accounts import pause_account
from poller.ask.journal import Results
from poller.ask.roads import Roads
from poller.collect.bisection import Bisection, Halving
from poller.collect.children import without_unrenderable
from poller.collect.demux import Scan, fail_spoilt, lines_of, scan
from poller.collect.outcome import Carry, give_up, reason, refuse, requests_of, settle, settle_asked, together
from poller.collect.results import ResultsWriter, Verdict
from poller.collect.undone import Bounced, Disproved, Early
from poller.collect.unpacking import unpacker_of
from poller.collect.usage import usage_for
from poller.watch.looks import bounced, disown
from poller.watch.verdict import GIVEN_UP
from shared.causes import Cause
from shared.clock import Clock
from shared.errors import NotFound
from shared.failpoints import Failpoint, reached
from shared.intents import Receipt, write_receipt
from shared.lifecycle import Event, State
from shared.manifest import Manifest
from shared.providers.port import LineError, Provider, RemoteBatch
from shared.spool import Spool
from shared.store import Attempt, Batch, Lease, Store
from shared.telemetry import SECRETS, Action, log


class Judged(NamedTuple):
    """What the results of a batch hold."""

    counts: Scan
    refused: bool
    """The provider, or an operator, refused the batch as a whole."""
    carries: list[Carry]
    """What goes on to children."""
    unknown_calls: int = 0
    """Of a batch that was asked record by record: calls whose answers nobody saw, and which were made again."""


class Judge:
    """Reads the results of one batch at a time; the caller holds the batch's lease."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        roads: Roads,
        clock: Clock,
        patience: timedelta,
        halving: Halving,
        lost_after: timedelta,
    ) -> None:
        """`patience`: how long after a batch's end its missing results may still show.

        `lost_after`: how long what was adopted by its size may be answered with 404 before it counts as another's.
        """
        self._store, self._spool, self._roads, self._clock, self._patience = store, spool, roads, clock, patience
        self._halving, self._bisection, self._lost_after = halving, Bisection(store, spool, halving), lost_after

    def judge(self, batch: Batch, manifest: Manifest, provider: Provider, into: Path, lease: Lease) -> Judged:
        """Write each record's verdict into the folder `into`. Raises Undone, Early, or what kept it from it."""
        with ResultsWriter(into, manifest.packing.records, usage_for(manifest, into)) as results:
            if batch.mode == "sync":
                judged = self._asked(batch, manifest, provider, results)
                carries = judged.carries
            else:
                judged = self._batched(batch, manifest, provider, into, results, lease)
                carries = judged.carries
                left = sum(1 for carry in carries for _ in requests_of(carry, manifest.packing))
                if self._roads.asks_rest(batch, manifest.definition, left):
                    carries = together(carries, "sync")
            carries = without_unrenderable(self._spool, manifest, carries, results)
            results.seal()
            reached(Failpoint.RESULTS_SEALED)
        return judged._replace(carries=carries)

    def _asked(self, batch: Batch, manifest: Manifest, provider: Provider, results: ResultsWriter) -> Judged:
        lines = Results(self._spool.files, self._spool.batch(batch.pipeline, batch.statement, batch.batch_key))
        unpack = unpacker_of(manifest.definition)
        counts = scan(lines, batch.batch_key, provider.answer, results, manifest.packing, unpack)
        return Judged(counts, False, settle_asked(results, manifest), lines.unknown_calls)

    def _batched(
        self,
        batch: Batch,
        manifest: Manifest,
        provider: Provider,
        into: Path,
        results: ResultsWriter,
        lease: Lease,
    ) -> Judged:
        if batch.remote_status == GIVEN_UP:
            return Judged(Scan(), True, give_up(results, batch.error or "an operator gave the batch up"))
        is_harvested = batch.harvested_at is not None
        remote = self._remote(batch, provider, lease)
        if remote is None:
            refused = batch.provider_batch_id is None and batch.state is not State.LOST
            if refused and is_harvested:
                # Its deadline came near before anything of it was sent.
                return Judged(Scan(), False, settle(results, manifest, harvested=True))
            if not refused:
                return Judged(Scan(), False, settle(results, manifest, Cause.LOST))
            errors = [LineError(None, None, batch.error or "the provider refused the batch")]
            return Judged(Scan(), True, self._refused(batch, manifest, errors, results, lease))
        if remote.phase != "ended":
            raise Early(f"it is '{remote.status}' at the provider")
        if remote.errors and not remote.results:
            return Judged(Scan(), True, self._refused(batch, manifest, remote.errors, results, lease))
        counts = self._read(batch, manifest, remote, provider, into, results)
        self._hold_against(batch, counts, results, remote, provider, lease)
        fail_spoilt(results, counts, manifest.packing)
        if counts.account_fault:
            self._pause(batch, counts.account_fault, results, lease)
        return Judged(counts, False, settle(results, manifest, harvested=is_harvested))

    def _remote(self, batch: Batch, provider: Provider, lease: Lease) -> RemoteBatch | None:
        """The provider's batch; None where there is none to ask for, or its results are deleted."""
        if batch.state is State.LOST or batch.provider_batch_id is None:
            return None
        try:
            remote = provider.retrieve(batch.provider_batch_id)
        except NotFound as error:
            if self._expired(batch):
                return None
            self._missing(batch, error, lease)
            raise
        if batch.missing_since is not None:
            self._store.batches.record(batch.batch_key, lease=lease, missing_since=None)
        return remote

    def _missing(self, batch: Batch, error: NotFound, lease: Lease) -> None:
        """Of what was adopted by its size, its owner may have deleted it, while our own create ran."""
        last = self._last(batch)
        if last is None or not last.is_guess:
            return
        now = self._clock()
        since = batch.missing_since or now
        if now - since >= self._lost_after:
            told = f"{batch.provider_batch_id} has been answered with 404 since {since:%Y-%m-%d %H:%M:%S} UTC: {error}"
            self._disown(batch, last, lease, SECRETS.redact(told), may_be_ours=True)
        self._store.batches.record(batch.batch_key, lease=lease, missing_since=since)

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

    def _hold_against(
        self,
        batch: Batch,
        counts: Scan,
        results: ResultsWriter,
        remote: RemoteBatch,
        provider: Provider,
        lease: Lease,
    ) -> None:
        """Whether the results are this batch's, and all there."""
        last = self._last(batch)
        is_guess = last is not None and last.is_guess
        has_metadata = provider.profile.has_metadata
        if counts.own == 0 and (counts.foreign or (is_guess and counts.unknown)) and not has_metadata:
            note = f"{batch.provider_batch_id} holds the results of another batch"
            if last is None:
                raise Early(f"{note}, and nothing is known of a create of its own")
            self._disown(batch, last, lease, note)
        if last is not None and is_guess and counts.own:
            # What was a guess is proved: from here on also a store that forgets it knows it.
            receipt = Receipt(attempt=last.attempt, provider_batch_id=remote.id, created_at=remote.created_at)
            write_receipt(self._spool, self._spool.batch(batch.pipeline, batch.statement, batch.batch_key), receipt)
            reached(Failpoint.GUESS_PROVED)
        missing = results.verdicts.count(Verdict.MISSING)
        # By our own clock, as far as it is known: the provider's may run ahead.
        ended = batch.remote_since or batch.ended_at or batch.updated_at
        # A download that was cut in silence is not cut at the same place again: what is sent again is paid again.
        is_first_look = batch.next_check_at is None
        if missing and (is_first_look or self._clock() < ended + self._patience):
            raise Early(f"{missing} of {results.records} results are missing")
        if last is not None and is_guess and not (counts.own or counts.spoilt or has_metadata):
            why = f"no line of the results of {batch.provider_batch_id} says whose it is"
            self._disown(batch, last, lease, why, may_be_ours=True)

    def _disown(self, batch: Batch, last: Attempt, lease: Lease, why: str, *, may_be_ours: bool = False) -> NoReturn:
        disown(self._store, batch, last, lease, why, may_be_ours=may_be_ours)
        raise Disproved(why)

    def _last(self, batch: Batch) -> Attempt | None:
        return next(iter(self._store.attempts.of(batch.batch_key)), None)

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


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", 1 << 20) as file:
        yield from lines_of(file)
