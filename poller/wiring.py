"""Puts the poller together from its settings: the store, the spool, the clusters, and the duties in flow order."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from poller.accounts import Keyless
from poller.alarms import Limits
from poller.ask.asker import Asker
from poller.ask.harvester import Harvester
from poller.ask.pacing import Paces
from poller.ask.roads import Roads
from poller.collect.collector import Collector
from poller.daemon import Paced
from poller.health import Watchdog
from poller.models import Models
from poller.publish.archivist import Archivist
from poller.publish.outbox import Bounds
from poller.publish.outboxes import Outboxes
from poller.publish.publisher import Publisher
from poller.register.consumer import KafkaEvents
from poller.register.recaller import Recaller
from poller.register.registrar import Drained, Registering, Registrar
from poller.register.sinks import SinkClusters
from poller.schedule import Deadlines, PollPolicy
from poller.settings import PollerSettings, StatusSettings
from poller.tempo import TEMPO, Tempo
from poller.upkeep.auditor import Auditor
from poller.upkeep.janitor import Janitor
from poller.watch.looks import Looking, Looks
from poller.watch.rescuer import Rescuer
from poller.watch.watcher import Watcher
from shared.clock import Clock, system_clock
from shared.kafka import KafkaClusters, load_clusters
from shared.lease import Keeper, is_dead, this_process
from shared.spool import Spool
from shared.store import Store
from shared.submission import Submission
from shared.topics import BATCHES_PARTITIONS, ensure_topic
from shared.trust import vouching


@dataclass(frozen=True)
class Poller:
    """Everything that works, and what it stands on."""

    store: Store
    registrar: Registrar
    duties: tuple[Paced, ...]
    watchdog: Watchdog
    clock: Clock
    stop: threading.Event


@contextmanager
def assembled(
    settings: PollerSettings,
    store: Store,
    clock: Clock = system_clock,
    *,
    is_single_pass: bool = False,
    tempo: Tempo = TEMPO,
) -> Iterator[Poller]:
    """The poller over an open store. Raises SettingsError for a spool, an address or a file that can't be used."""
    ground = _ground(settings, store, clock, tempo, is_single_pass=is_single_pass)
    registrar = _registrar(ground)
    harvester, asker, collector = _asking_and_collecting(ground)
    publisher, archivist = _publishing(ground)
    duties = (
        Paced(Drained(registrar) if is_single_pass else registrar, 0.0),
        Paced(Recaller(store, ground.spool, clock, timedelta(seconds=tempo.recall), ground.trusted), tempo.recall),
        Paced(_rescuer(ground), tempo.rescue),
        Paced(harvester, tempo.harvest),
        Paced(_watcher(ground), min(settings.poll_interval, 5.0) / 2),
        Paced(asker, tempo.ask),
        Paced(collector, tempo.collect),
        Paced(publisher, tempo.publish),
        Paced(_auditor(ground), tempo.audit),
        Paced(_janitor(ground), tempo.janitor),
        Paced(archivist, tempo.janitor),
    )
    try:
        yield Poller(store, registrar, duties, ground.watchdog, clock, ground.stop)
    finally:
        publisher.close()
        registrar.close()


@dataclass(frozen=True)
class _Ground:
    """What the duties stand on."""

    settings: PollerSettings
    store: Store
    clock: Clock
    tempo: Tempo
    is_single_pass: bool
    holder: str
    stop: threading.Event
    spool: Spool
    clusters: KafkaClusters
    trusted: Mapping[str, str]
    watchdog: Watchdog
    keyless: Keyless
    keeper: Keeper
    models: Models

    @property
    def retention(self) -> timedelta:
        return timedelta(seconds=self.settings.retention)


def _ground(settings: PollerSettings, store: Store, clock: Clock, tempo: Tempo, *, is_single_pass: bool) -> _Ground:
    stop, spool = threading.Event(), Spool(settings.spool)
    clusters = load_clusters(settings.kafka_config, os.environ)
    trusted = vouching(os.environ, settings.bootstrap_servers)
    holder = this_process()
    store.leases.bury(is_dead)
    watchdog = Watchdog(store, f"{socket.gethostname()}:once" if is_single_pass else holder)
    return _Ground(
        settings,
        store,
        clock,
        tempo,
        is_single_pass,
        holder,
        stop,
        spool,
        clusters,
        trusted,
        watchdog,
        Keyless(watchdog, clock),
        Keeper(store, holder, stop),
        Models(store, spool, os.environ),
    )


def _registrar(on: _Ground) -> Registrar:
    listen = 0.1 if on.is_single_pass else on.tempo.listen
    return Registrar(
        on.store,
        on.spool,
        _events(on.settings, on.clusters, on.store),
        SinkClusters(on.clusters),
        on.models.definition,
        on.watchdog,
        Registering(on.settings.shards, listen, on.trusted),
    )


def _rescuer(on: _Ground) -> Rescuer:
    quarantine, waits = timedelta(seconds=on.settings.create_quarantine), on.tempo.waits
    submission = Submission(
        on.store,
        on.spool,
        on.models.provider_for,
        on.clock,
        on.holder,
        quarantine=quarantine,
        waits=waits,
        stop=on.stop,
    )
    return Rescuer(on.store, submission.work, on.clock, on.keyless)


def _watcher(on: _Ground) -> Watcher:
    looks = Looks(on.store, on.clock, replace(looking(on.settings), bounce=on.tempo.bounce))
    provider_of, watching = on.models.provider_of, on.tempo.watching
    return Watcher(
        on.store, provider_of, looks, on.keeper, on.watchdog, on.clock, watching=watching, keyless=on.keyless
    )


def _asking_and_collecting(on: _Ground) -> tuple[Harvester, Asker, Collector]:
    """They share what is known of how fast a service answers."""
    tempo, models, paces = on.tempo, on.models, Paces(on.tempo.pace)
    roads = Roads(on.store, paces, on.clock, tempo.deadline)
    how = replace(tempo.asking, budget=tempo.single_pass if on.is_single_pass else None, stop=on.stop)
    lost_after = timedelta(seconds=on.settings.lost_after)
    collecting = replace(tempo.collecting, deadline=tempo.deadline, paces=paces, lost_after=lost_after)
    where, known = (on.store, on.spool, models.provider_of, on.keeper), on.keyless
    return (
        Harvester(on.store, on.spool, models, on.keeper, roads, known, on.clock, tempo.deadline),
        Asker(*where, roads, known, on.clock, how),
        Collector(*where, on.watchdog, on.clock, collecting=collecting, keyless=known),
    )


def _publishing(on: _Ground) -> tuple[Publisher, Archivist]:
    """They share the outboxes."""
    outboxes = _outboxes(on.settings, on.clusters, on.store, on.tempo.bounds)
    common = (on.store, on.spool, on.models.definition, outboxes, on.keeper, on.watchdog, on.clock)
    return Publisher(*common, backoff=on.tempo.publishing), Archivist(*common, retention=on.retention)


def _auditor(on: _Ground) -> Auditor:
    return Auditor(on.store, on.spool, on.models.provider_of, on.keeper, on.clock, exclusive=on.settings.exclusive_keys)


def _janitor(on: _Ground) -> Janitor:
    return Janitor(on.store, on.spool, on.models.provider_of, on.keeper, on.clock, retention=on.retention)


def looking(settings: PollerSettings) -> Looking:
    """The pace and the deadlines of looks."""
    return Looking(
        PollPolicy(timedelta(seconds=settings.poll_interval), timedelta(seconds=settings.poll_max_interval)),
        deadlines(settings),
    )


def deadlines(settings: StatusSettings) -> Deadlines:
    """How long a batch may stand still."""
    return Deadlines(short=timedelta(seconds=settings.stuck_after), missing=timedelta(seconds=settings.lost_after))


def limits(settings: StatusSettings) -> Limits:
    """When something is an alarm."""
    return Limits(deadlines=deadlines(settings))


def _outboxes(settings: PollerSettings, clusters: KafkaClusters, store: Store, bounds: Bounds) -> Outboxes:
    return Outboxes(
        clusters,
        store.shards.installation_id(),
        settings.progress_topic,
        shards=settings.shards,
        replication=settings.replication,
        bounds=bounds,
    )


def _events(settings: PollerSettings, clusters: KafkaClusters, store: Store) -> Callable[[], KafkaEvents]:
    def connect() -> KafkaEvents:
        client = clusters.client(settings.bootstrap_servers)
        ensure_topic(client, settings.batches_topic, BATCHES_PARTITIONS, settings.replication)
        return KafkaEvents(client, settings.batches_topic, f"batchline-{store.shards.installation_id()}")

    return connect
