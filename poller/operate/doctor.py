"""`poller doctor`: what is stuck and why, in one screen, from the store, the spool, the providers and the clusters."""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from poller.alarms import Kind
from poller.models import Models
from poller.operate.diagnosis import Absence, Diagnosis, Finding, Odd
from poller.operate.examining import Case, ProviderExamination, SpoolExamination
from poller.operate.mending import Mending
from poller.operate.status import Report, report
from poller.register.sinks import SinkClusters
from poller.settings import PollerSettings
from poller.wiring import limits
from shared.clock import Clock, system_clock
from shared.errors import (
    BatchlineError,
    KafkaUnavailable,
    MissingCredential,
    ProviderError,
    SettingsError,
    SpoolAway,
    SpoolError,
)
from shared.kafka import load_clusters
from shared.spool import Spool
from shared.store import Attempt, Batch, Store
from shared.telemetry import SECRETS
from shared.topics import cluster_id
from shared.trust import vouching

_REPLACED = frozenset({Kind.CREATE_UNKNOWN, Kind.STRAY})
"""Kinds of which the doctor says more than the status."""


class Doctor:
    """Looks at everything once. What does not answer is said, and the rest looked at all the same."""

    def __init__(
        self,
        settings: PollerSettings,
        store: Store,
        environ: Mapping[str, str] = os.environ,
        clock: Clock = system_clock,
    ) -> None:
        self._settings, self._store, self._clock = settings, store, clock
        self._spool = Spool(settings.spool)
        self._clusters = load_clusters(settings.kafka_config, environ)
        self._models = Models(store, self._spool, environ)
        self._trusted = vouching(environ, settings.bootstrap_servers)
        self._away: list[Absence] = []

    def examine(self, *, fix: bool = False) -> Diagnosis:
        """The diagnosis; with `fix`, what can be mended safely is. Raises StoreUnavailable."""
        now = self._clock()
        self._away = []
        cases = [*self._of_store(now), *self._of_spool(now), *self._of_providers(now)]
        self._of_clusters()
        findings = [_told(_mended(case) if fix else case.finding) for case in cases]
        healthy = not self._away and not any(finding.is_open for finding in findings)
        return Diagnosis(at=now, healthy=healthy, away=self._away, findings=findings)

    def _of_store(self, now: datetime) -> Iterator[Case]:
        state = report(self._store, lambda: now, limits(self._settings))
        for each in state.attention:
            if each.kind not in _REPLACED:
                yield Case(Finding(kind=each.kind, subject=each.subject, since=each.since, message=each.message))
        own = timedelta(seconds=self._settings.create_quarantine)
        for attempt in self._store.attempts.open():
            batch = self._store.batches.get(attempt.batch_key)
            quarantine = self._store.terms.quarantine(batch.pipeline, own) if batch else own
            yield Case(
                Finding(
                    kind=Kind.CREATE_UNKNOWN,
                    subject=attempt.batch_key,
                    since=attempt.started_at,
                    message=_looked(attempt, quarantine),
                )
            )
        yield from _of_duplicates(state, self._store)
        for row in state.pipelines:
            if row["skipped_as_paid"]:
                message = f"{row['skipped_as_paid']:,} rows came again, and were not sent: they were paid for"
                yield Case(Finding(kind=Odd.SKIPPED, subject=row["pipeline"], message=message))

    def _of_spool(self, now: datetime) -> Iterator[Case]:
        mending = Mending(self._store, self._spool, self._trusted)
        retention = timedelta(seconds=self._settings.retention)
        try:
            self._spool.files.reach()
            yield from SpoolExamination(self._store, self._spool, mending, retention).cases(now)
        except SpoolAway as error:
            self._absent("spool", error)
        except SpoolError as error:
            yield Case(Finding(kind=Odd.UNREADABLE, subject=self._spool.address, message=str(error)))

    def _of_providers(self, now: datetime) -> Iterator[Case]:
        mending = Mending(self._store, self._spool, self._trusted)
        examination = ProviderExamination(self._store, self._spool, mending, self._settings.exclusive_keys)
        samples = {batch.account: batch for batch in self._store.batches.samples()}
        for account, batch in sorted(samples.items()):
            try:
                provider = self._models.provider_of(batch)
                provider.connect()
                yield from examination.cases(account, provider, now)
            except MissingCredential as error:
                yield Case(Finding(kind=Odd.NO_KEY, subject=account, message=f"not looked at: {error}"))
            except (ProviderError, SettingsError) as error:
                self._absent(f"provider {account}", error)
            except SpoolError as error:
                yield Case(Finding(kind=Odd.UNREADABLE, subject=batch.batch_key, message=str(error)))

    def _of_clusters(self) -> None:
        servers = self._settings.bootstrap_servers
        try:
            cluster_id(self._clusters.client(servers))
        except (KafkaUnavailable, SettingsError) as error:
            self._absent(f"kafka {servers}", error)
        sinks = SinkClusters(self._clusters)
        for batch in self._store.batches.samples():
            self._of_sink(batch, sinks)

    def _of_sink(self, batch: Batch, sinks: SinkClusters) -> None:
        try:
            sink = self._models.definition(batch).sink
        except SpoolError:
            # Said where the batch itself is looked at.
            return
        try:
            sinks.identify(sink)
        except (KafkaUnavailable, SettingsError) as error:
            self._absent(f"kafka {sink.bootstrap_servers}", error)

    def _absent(self, dependency: str, error: BatchlineError) -> None:
        if dependency not in {absence.dependency for absence in self._away}:
            self._away.append(Absence(dependency=dependency, message=SECRETS.redact(str(error))))


def _of_duplicates(state: Report, store: Store) -> Iterator[Case]:
    for row in state.duplicates:
        cost = "no known price" if row["cost_usd"] is None else f"${row['cost_usd']:,.4f}"
        tokens = f"{row['input_tokens']:,} and {row['output_tokens']:,} tokens"
        end = f"it cost {cost} ({tokens})" if row["settled_at"] else "its end is awaited"
        was = "cancelled" if row["cancelled_at"] else "not cancelled"
        message = f"a second batch of {row['batch_key']}, {was}; {end}"
        yield Case(
            Finding(kind=Odd.DUPLICATE, subject=row["provider_batch_id"], since=row["found_at"], message=message)
        )
    for stray in store.strays.open():
        message = f"it may be a second batch of {stray.batch_key}, or another user's: that shows when it has ended"
        if stray.whose == "unknown":
            yield Case(Finding(kind=Kind.STRAY, subject=stray.provider_batch_id, since=stray.found_at, message=message))


def _looked(attempt: Attempt, quarantine: timedelta) -> str:
    """How far the look-ups of a create have come."""
    last = f", the last at {attempt.last_lookup_at:%Y-%m-%d %H:%M:%S} UTC" if attempt.last_lookup_at else ""
    clean = f"clean since {attempt.clean_since:%Y-%m-%d %H:%M:%S} UTC" if attempt.clean_since else "none clean yet"
    return f"attempt {attempt.attempt} is looked up: {attempt.lookups} times so far{last}, {clean} of {quarantine}"


def _mended(case: Case) -> Finding:
    if case.mend is None:
        return case.finding
    try:
        return case.finding.model_copy(update={"fixed": case.mend()})
    except (ProviderError, SpoolError, SettingsError) as error:
        return case.finding.model_copy(update={"message": f"{case.finding.message}; it could not be mended: {error}"})


def _told(finding: Finding) -> Finding:
    return finding.model_copy(update={"message": SECRETS.redact(finding.message)})
