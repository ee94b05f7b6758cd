"""What is left over and known to nobody, in the spool and at the providers; each with the safe way to mend it."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from poller.operate.diagnosis import Finding, Odd
from poller.operate.mending import Mend, Mending
from poller.upkeep.leftovers import ABANDONED, Leftovers
from poller.upkeep.retained import restorable
from shared.errors import SpoolAway, SpoolError
from shared.hindsight import is_forgotten
from shared.keys import is_batch_key
from shared.providers.port import Provider, RemoteBatch, RemoteFile
from shared.recall import Belonging, belonging
from shared.recovery import SLACK
from shared.spool import Spool
from shared.store import Batch, Store

_UPLOAD = re.compile(r"(.+)-[0-9]+\.jsonl")
_MOST = 10_000
"""Batches and files of an account that are looked at, the newest."""
_FORGOTTEN = (
    "its intent stands in the spool, and the store does not know it: restored from an older copy; it is looked up and "
    "adopted when the batch is sent"
)


@dataclass(frozen=True)
class Case:
    """A finding, and what mends it; None where nothing is safe."""

    finding: Finding
    mend: Mend | None = None


class SpoolExamination:
    """Raises SpoolAway, StoreUnavailable."""

    def __init__(self, store: Store, spool: Spool, mending: Mending, retention: timedelta) -> None:
        self._store, self._spool, self._mending = store, spool, mending
        self._retention, self._retentions = retention, store.terms.retentions()
        self._leftovers = Leftovers(store, spool)

    def cases(self, now: datetime) -> Iterator[Case]:
        """Pipeline by pipeline, statement by statement."""
        for pipeline in self._spool.pipelines():
            try:
                found = belonging(self._store, self._spool, pipeline)
            except SpoolAway:
                raise
            except SpoolError as error:
                yield Case(Finding(kind=Odd.UNREADABLE, subject=pipeline, message=str(error)))
                continue
            if found is not Belonging.OURS:
                yield self._unknown(pipeline, found)
            for _, statement in self._spool.statements(pipeline):
                if found in (Belonging.OURS, Belonging.FORGOTTEN):
                    yield from self._rowless(pipeline, statement)
                if found is Belonging.OURS:
                    yield from self._in_progress(pipeline, statement, now)
                    yield from self._attempts(pipeline, statement, now)

    def _unknown(self, pipeline: str, found: Belonging) -> Case:
        """A pipeline of which the store knows nothing."""
        if found is Belonging.FORGOTTEN:
            message = "its runs stand in the spool, and the store knows none: restored from an older copy?"
            finding = Finding(kind=Odd.FORGOTTEN, subject=pipeline, message=message, fix="take it back into the store")
            return Case(finding, self._mending.take_back_pipeline(pipeline))
        if found is Belonging.ANOTHERS:
            message = "its newest run was another store's, which shares the spool: nothing of it is looked at here"
            return Case(Finding(kind=Odd.ANOTHERS, subject=pipeline, message=message))
        message = (
            "no run of it is on record, and the store does not know it: nobody can tell whose it is, and nothing of it "
            "comes out here; if it is this store's, `submitter run` with its file makes it known again"
        )
        return Case(Finding(kind=Odd.UNTOLD, subject=pipeline, message=message))

    def _rowless(self, pipeline: str, statement: str) -> Iterator[Case]:
        for key in self._leftovers.rowless(pipeline, statement):
            try:
                is_child = self._spool.manifest(pipeline, statement, key).parent is not None
            except SpoolAway:
                raise
            except SpoolError as error:
                yield Case(Finding(kind=Odd.UNREADABLE, subject=key, message=str(error)))
                continue
            if not is_child:
                message = "it stands in the spool, and the store does not know it: restored from an older copy?"
                finding = Finding(kind=Odd.ROWLESS, subject=key, message=message, fix="take it back into the store")
                yield Case(finding, self._mending.take_back(pipeline, statement, key))

    def _in_progress(self, pipeline: str, statement: str, now: datetime) -> Iterator[Case]:
        states = restorable(self._store, self._spool, pipeline)
        if states is None:
            return
        old = set(self._leftovers.in_progress(pipeline, statement, states, self._until(pipeline, now)))
        for address in self._leftovers.in_progress(pipeline, statement, states, now - ABANDONED):
            message = "a file in progress that no restorable checkpoint goes on with: left by a killed job"
            yield self._deletable(Odd.IN_PROGRESS, address, message, self._mending.delete(address), address in old)

    def _attempts(self, pipeline: str, statement: str, now: datetime) -> Iterator[Case]:
        old = set(self._leftovers.attempts(pipeline, statement, self._until(pipeline, now)))
        for address in self._leftovers.attempts(pipeline, statement, now - ABANDONED):
            message = "a plan's folder of which no batch is wanted: left by a killed planner"
            yield self._deletable(Odd.ATTEMPT, address, message, self._mending.discard(address), address in old)

    def _until(self, pipeline: str, now: datetime) -> datetime:
        """What the janitor would delete has not been touched since."""
        return now - max(self._retentions.get(pipeline, self._retention), ABANDONED)

    def _deletable(self, kind: Odd, address: str, message: str, mend: Mend, is_old: bool) -> Case:  # noqa: FBT001 a fact, beside four others
        """Before the janitor would delete it, somebody may still restore a state of their own."""
        if is_old:
            return Case(Finding(kind=kind, subject=address, message=message, fix="delete it"), mend)
        return Case(Finding(kind=kind, subject=address, message=f"{message}; it goes when `retention` is over"))


class ProviderExamination:
    """Ours at a provider, by the metadata and names that they carry, or because nobody else uses the workspace.

    Raises ProviderError, StoreUnavailable, SpoolError where intents can't be read.
    """

    def __init__(self, store: Store, spool: Spool, mending: Mending, exclusive: Collection[str] = ()) -> None:
        """`exclusive`: the names of keys whose workspaces are this store's alone."""
        self._store, self._spool, self._mending, self._exclusive = store, spool, mending, exclusive

    def cases(self, account: str, provider: Provider, now: datetime) -> Iterator[Case]:
        """One walk through an account's batches, and one through its files."""
        since = now - provider.profile.results_kept
        if not provider.profile.is_identified:
            if account.partition(":")[2].partition("@")[0] in self._exclusive:
                yield from self._nameless(account, islice(provider.created_since(since), _MOST))
                return
            # Only their results say whose they are: the auditor's matter.
            next(provider.created_since(now - ABANDONED), None)
            return
        yield from self._batches(islice(provider.created_since(since), _MOST))
        yield from self._files(account, islice(provider.uploads(), _MOST), now, provider.delete)

    def _batches(self, remotes: Iterable[RemoteBatch]) -> Iterator[Case]:
        wanted = {attempt.batch_key for attempt in self._store.attempts.open()}
        for remote in remotes:
            key = remote.metadata.get("batch_key", "")
            if not is_batch_key(key) or key in wanted or self._store.strays.is_known(remote.id):
                continue
            batch = self._store.batches.get(key)
            if batch is None:
                message = f"'{remote.status}', of batch {key}, which this store does not know: another store's?"
                yield Case(Finding(kind=Odd.REMOTE_BATCH, subject=remote.id, since=remote.created_at, message=message))
                continue
            if is_forgotten(self._store, self._spool, batch):
                message = f"'{remote.status}', of batch {key}: {_FORGOTTEN}"
                yield Case(Finding(kind=Odd.REMOTE_BATCH, subject=remote.id, since=remote.created_at, message=message))
                continue
            finding = Finding(
                kind=Odd.REMOTE_BATCH,
                subject=remote.id,
                since=remote.created_at,
                message=f"'{remote.status}', a second create of batch {key} that no attempt knows",
                fix="count it as a duplicate: it is cancelled, and its cost is read",
            )
            yield Case(finding, self._mending.note_stray(batch, remote))

    def _nameless(self, account: str, remotes: Iterable[RemoteBatch]) -> Iterator[Case]:
        """Batches that say nothing of whose they are, where all should be this store's."""
        wanted = [attempt for attempt in self._store.attempts.open() if attempt.account == account]
        for remote in remotes:
            if self._store.strays.is_known(remote.id) or any(
                attempt.requests == remote.total and attempt.started_at - SLACK <= remote.created_at
                for attempt in wanted
            ):
                continue
            message = (
                f"'{remote.status}', {remote.total:,} requests, which this store does not know, though the workspace "
                "is said to be its alone: another program's, or a store's that was lost?"
            )
            yield Case(Finding(kind=Odd.REMOTE_BATCH, subject=remote.id, since=remote.created_at, message=message))

    def _files(
        self, account: str, files: Iterable[RemoteFile], now: datetime, delete: Callable[[str], None]
    ) -> Iterator[Case]:
        for file in files:
            batch = self._owner(file)
            is_young = file.created_at > now - ABANDONED
            if batch is None or is_young or self._store.attempts.names_file(account, file.id):
                continue
            if is_forgotten(self._store, self._spool, batch):
                message = f"{file.name}: {_FORGOTTEN}"
                yield Case(Finding(kind=Odd.REMOTE_FILE, subject=file.id, since=file.created_at, message=message))
                continue
            finding = Finding(
                kind=Odd.REMOTE_FILE,
                subject=file.id,
                since=file.created_at,
                message=f"{file.name}: uploaded, and named by no create: its process died",
                fix="delete it at the provider",
            )
            yield Case(finding, self._mending.delete_upload(file.id, delete))

    def _owner(self, file: RemoteFile) -> Batch | None:
        named = _UPLOAD.fullmatch(file.name)
        return self._store.batches.get(named[1]) if named and is_batch_key(named[1]) else None
