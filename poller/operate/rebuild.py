"""`poller rebuild`: a lost state store, restored into an empty one from the spool, the batches topic and the providers.

Nothing is sent or published by it; the duties go on from what it puts back, by the receipts, decisions and markers.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from poller.models import Models
from poller.operate.charged import charged
from poller.operate.diagnosis import Odd
from poller.operate.examining import ProviderExamination
from poller.operate.mending import Mending
from poller.operate.remembrance import remembrance
from poller.register.history import announced
from poller.register.installations import installation_of
from poller.settings import PollerSettings
from shared.annals import Annals, EndRecord, PlanRecord, RunRecord
from shared.clock import Clock, system_clock
from shared.definition import Definition
from shared.errors import MissingCredential, ProviderError, SettingsError, SpoolAway, SpoolError
from shared.kafka import load_clusters
from shared.keys import is_batch_key
from shared.manifest import Manifest
from shared.messages import BatchEvent
from shared.providers.profiles import profile_for
from shared.spool import MANIFEST, Spool
from shared.store import Store
from shared.store.budgets import Limit
from shared.store.lineage import Owner
from shared.store.rebuilds import Known, Restored
from shared.trust import vouch, vouching

Say = Callable[[str], None]


@dataclass
class Found:
    """One pipeline, as its spool remembers it."""

    runs: list[tuple[RunRecord, EndRecord | None]]
    plans: list[PlanRecord]
    definitions: dict[str, Definition]
    batches: list[Known] = field(default_factory=list)

    @property
    def limits(self) -> list[Limit]:
        """What a day may cost, as its newest run said."""
        return self.runs[-1][0].days if self.runs else []

    @property
    def installation(self) -> str | None:
        """The store that its newest record is of."""
        records = [(run.started_at, run.installation) for run, _ in self.runs]
        records += [(plan.planned_at, plan.installation) for plan in self.plans]
        return max(records)[1] if records else None


class Rebuild:
    """One rebuild. Everything is read before anything is written, in one transaction."""

    def __init__(
        self,
        settings: PollerSettings,
        store: Store,
        say: Say,
        environ: Mapping[str, str] = os.environ,
        clock: Clock = system_clock,
        *,
        without: Iterable[str] = (),
    ) -> None:
        """`without`: keys of batches that are given up, because their folders are damaged."""
        self._settings, self._store, self._say, self._environ, self._clock = settings, store, say, environ, clock
        self._trusted = vouching(environ, settings.bootstrap_servers)
        self._without = frozenset(without)
        self._spool = Spool(settings.spool)
        self._client = load_clusters(settings.kafka_config, environ).client(settings.bootstrap_servers)

    def run(self, installation: str | None = None) -> None:
        """Rebuild; `installation` names the lost store where the spool has data of several.

        Raises SettingsError for a store that is not empty or for data of several; SpoolError for a damaged file, and
        for a definition that nobody vouches for; KafkaUnavailable, SpoolAway. Then nothing is written.
        """
        self._store.rebuilds.refuse_filled()
        self._spool.files.reach()
        events = announced(self._client, self._settings.batches_topic)
        pipelines = {name: self._found(name) for name in self._spool.pipelines()}
        chosen = installation or self._chosen(pipelines)
        mine = {name: found for name, found in pipelines.items() if found.installation in (chosen, None)}
        for name, found in mine.items():
            found.batches = self._batches(name, found, events)
        known = chosen or installation_of(self._client, self._settings.batches_topic)
        self._store.rebuilds.restore(_restored(mine, known, self._spool))
        self._tell(mine, known, events)
        self._look_at_providers()

    def _found(self, pipeline: str) -> Found:
        annals = Annals(self._spool, pipeline)
        definitions = list(annals.definitions())
        for each in definitions:
            vouch(self._store, each, self._trusted)
        return Found(annals.runs(), list(annals.plans()), {each.hash: each for each in definitions})

    def _chosen(self, pipelines: Mapping[str, Found]) -> str | None:
        ids = {found.installation for found in pipelines.values() if found.installation is not None}
        if len(ids) > 1:
            told = "; ".join(
                f"{each}: {', '.join(name for name, found in pipelines.items() if found.installation == each)}"
                for each in sorted(ids)
            )
            raise SettingsError(
                f"the spool {self._spool.address} has data of several stores; give --installation: {told}"
            )
        return next(iter(ids), None)

    def _batches(self, pipeline: str, found: Found, events: Mapping[str, BatchEvent]) -> list[Known]:
        """Every batch that stands in its place, or was committed to get it."""
        for plan in found.plans:
            for key in set(plan.batches) - self._without:
                if self._spool.files.size(f"{self._spool.batch(pipeline, plan.statement, key)}/{MANIFEST}") is None:
                    self._spool.settle(plan.attempt, pipeline, plan.statement, key)
        known = []
        for _, statement in self._spool.statements(pipeline):
            folder = f"{self._spool.statement(pipeline, statement)}/batches"
            names = {entry.name for entry in self._spool.files.entries(folder) if entry.is_folder} - self._without
            keys = sorted(filter(is_batch_key, names))
            known += [self._known(pipeline, statement, key, found, events) for key in keys]
        return known

    def _known(self, pipeline: str, statement: str, key: str, found: Found, events: Mapping[str, BatchEvent]) -> Known:
        try:
            manifest = self._spool.manifest(pipeline, statement, key)
            vouch(self._store, manifest.definition, self._trusted)
            found.definitions[manifest.definition.hash] = manifest.definition
            is_proved = profile_for(manifest.definition.model).is_identified
            event = _own(events.get(key), manifest)
            known = remembrance(self._spool, manifest, event, is_proved=is_proved, now=self._clock())
            return charged(self._spool, manifest, known)
        except SpoolAway:
            raise
        except SpoolError as error:
            raise SpoolError(
                f"batch {key}: {error}\nmend that, or give --without {key}: its records then never come out"
            ) from error

    def _tell(self, pipelines: Mapping[str, Found], installation: str | None, events: Mapping[str, BatchEvent]) -> None:
        for name, found in pipelines.items():
            states = Counter(str(known.state) for known in found.batches)
            counts = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items())) or "none"
            self._say(f"{name}: {len(found.runs):,} runs, {len(found.plans):,} planned files; batches: {counts}")
            planned = {plan.address for plan in found.plans}
            for known in found.batches:
                file = known.batch.sealed_file or ""
                if known.batch.generation == 0 and file not in planned and self._spool.files.size(file) is None:
                    self._say(
                        f"{name}: nobody knows which positions {file} paid for, and it is deleted: do not start the "
                        "pipeline without Flink state where its topic still has those records"
                    )
                    planned.add(file)
        keys = {known.batch.batch_key for found in pipelines.values() for known in found.batches}
        absent = len(events.keys() - keys)
        if absent:
            self._say(f"{absent:,} announced batches are not in this spool: another store's, or lost")
        if installation is None:
            self._say(
                "nothing tells the lost store's installation id; a new one is used: be sure that no poller of the old "
                "store lives, for its transactions could not be fenced off"
            )

    def _look_at_providers(self) -> None:
        """Second creates that only the lost store knew are counted again, where the provider can be asked."""
        models = Models(self._store, self._spool, self._environ)
        examination = ProviderExamination(self._store, self._spool, Mending(self._store, self._spool, self._trusted))
        samples = {batch.account: batch for batch in self._store.batches.samples()}
        for account, batch in sorted(samples.items()):
            try:
                provider = models.provider_of(batch)
                provider.connect()
                for case in examination.cases(account, provider, self._clock()):
                    if case.finding.kind is Odd.REMOTE_BATCH and case.mend is not None:
                        self._say(f"{case.finding.subject}: {case.mend()}")
            except (MissingCredential, ProviderError, SettingsError, SpoolError) as error:
                self._say(f"{account} was not looked at, `poller doctor` does it later: {error}")


def _own(event: BatchEvent | None, manifest: Manifest) -> BatchEvent | None:
    """An event of this very batch. Anyone can produce there."""
    is_own = event is not None and (event.pipeline, event.statement, event.account) == (
        manifest.pipeline,
        manifest.statement,
        manifest.definition.model.account,
    )
    return event if is_own else None


def _restored(pipelines: Mapping[str, Found], installation: str | None, spool: Spool) -> Restored:
    owners, runs = [], []
    for name, found in pipelines.items():
        if found.runs:
            first, last = found.runs[0][0], found.runs[-1][0]
            owners.append(Owner(name, last.file, spool.address, first.started_at))
        runs += [run.run(end) for run, end in found.runs]
    return Restored(
        installation=installation,
        owners=owners,
        runs=runs,
        definitions=[each for found in pipelines.values() for each in found.definitions.values()],
        plans=[plan.plan() for found in pipelines.values() for plan in found.plans],
        batches=[known for found in pipelines.values() for known in found.batches],
        limits={name: found.limits for name, found in pipelines.items()},
        terms={name: found.runs[-1][0].terms for name, found in pipelines.items() if found.runs},
    )
