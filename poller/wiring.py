"""Puts the poller together from its settings: the store, the spool, the clusters, and the duties in flow order."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from poller.accounts import Keyless
from poller.alarms import Limits
from poller.ask.asker import PASS, Asker, Pass
from poller.ask.deadline import DEADLINE, DeadlinePolicy
from poller.ask.harvester import Harvester
from poller.ask.pacing import PACE, PacePolicy, Paces
from poller.ask.roads import Roads
from poller.collect.collector import COLLECTING, Collecting, Collector
from poller.daemon import Paced
from poller.health import Watchdog
from poller.models import Models
from poller.publish.archivist import Archivist
from poller.publish.outbox import Bounds
from poller.publish.outboxes import BOUNDS, Outboxes
from poller.publish.publisher import BACKOFF, Publisher
from poller.register.consumer import KafkaEvents
from poller.register.recaller import Recaller
from poller.register.registrar import Drained, Registering, Registrar
from poller.register.sinks import SinkClusters
from poller.schedule import Backoff, Deadlines, PollPolicy
from poller.settings import PollerSettings, StatusSettings
from poller.upkeep.auditor import Auditor
from poller.upkeep.janitor import Janitor
from poller.watch.looks import BOUNCE, Looking, Looks
from poller.watch.rescuer import Rescuer
from poller.watch.watcher import WATCHING, Watcher, Watching
from shared.clock import Clock, system_clock
from shared.kafka import KafkaClusters, load_clusters
from shared.lease import Keeper, is_dead, this_process
from shared.refusals import WAITS, Waits
from shared.spool import Spool
from shared.store import Store
from shared.submission import Submission
from shared.topics import BATCHES_PARTITIONS, ensure_topic
from shared.trust import vouching


@dataclass(frozen=True)
class Tempo:
    """Seconds after which a duty looks again when nobody has woken it; and how long what failed is left alone."""

    recall: float = 600.0
    rescue: float = 1.0
    harvest: float = 5.0
    ask: float = 1.0
    collect: float = 1.0
    publish: float = 1.0
    audit: float = 600.0
    janitor: float = 600.0
    listen: float = 1.0
    """That the registrar waits for an event: it is told of a stop between two waits."""
    waits: Waits = WAITS
    collecting: Collecting = COLLECTING
    watching: Watching = WATCHING
    publishing: Backoff = BACKOFF
    bounce: Backoff = BOUNCE
    bounds: Bounds = BOUNDS
    """Of a transaction."""
    deadline: DeadlinePolicy = DEADLINE
    pace: PacePolicy = PACE
    asking: Pass = PASS
    single_pass: float = 30.0
    """That a single pass asks record by record, at most; the next one goes on."""


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
    tempo: Tempo = Tempo(),
) -> Iterator[Poller]:
    """The poller over an open store. Raises SettingsError for a spool, an address or a file that can't be used."""
    stop = threading.Event()
    spool = Spool(settings.spool)
    clusters = load_clusters(settings.kafka_config, os.environ)
    trusted = vouching(os.environ, settings.bootstrap_servers)
    holder = this_process()
    store.leases.bury(is_dead)
    watchdog = Watchdog(store, f"{socket.gethostname()}:once" if is_single_pass else holder)
    keyless = Keyless(watchdog, clock)
    keeper = Keeper(store, holder, stop)
    models = Models(store, spool, os.environ)
    registrar = Registrar(
        store,
        spool,
        _events(settings, clusters, store),
        SinkClusters(clusters),
        models.definition,
        watchdog,
        Registering(settings.shards, 0.1 if is_single_pass else tempo.listen, trusted),
    )
    quarantine = timedelta(seconds=settings.create_quarantine)
    submission = Submission(
        store, spool, models.provider_for, clock, holder, quarantine=quarantine, waits=tempo.waits, stop=stop
    )
    looks = Looks(store, clock, replace(looking(settings), bounce=tempo.bounce))
    watcher = Watcher(
        store, models.provider_of, looks, keeper, watchdog, clock, watching=tempo.watching, keyless=keyless
    )
    paces = Paces(tempo.pace)
    roads = Roads(store, paces, clock, tempo.deadline)
    harvester = Harvester(store, spool, models, keeper, roads, keyless, clock, tempo.deadline)
    how = replace(tempo.asking, budget=tempo.single_pass if is_single_pass else None, stop=stop)
    asker = Asker(store, spool, models.provider_of, keeper, roads, keyless, clock, how)
    collecting = replace(tempo.collecting, deadline=tempo.deadline, paces=paces)
    collector = Collector(
        store, spool, models.provider_of, keeper, watchdog, clock, collecting=collecting, keyless=keyless
    )
    outboxes = _outboxes(settings, clusters, store, tempo.bounds)
    publisher = Publisher(store, spool, models.definition, outboxes, keeper, watchdog, clock, backoff=tempo.publishing)
    retention = timedelta(seconds=settings.retention)
    duties = (
        Paced(Drained(registrar) if is_single_pass else registrar, 0.0),
        Paced(Recaller(store, spool, clock, timedelta(seconds=tempo.recall), trusted), tempo.recall),
        Paced(Rescuer(store, submission.work, clock, keyless), tempo.rescue),
        Paced(harvester, tempo.harvest),
        Paced(watcher, min(settings.poll_interval, 5.0) / 2),
        Paced(asker, tempo.ask),
        Paced(collector, tempo.collect),
        Paced(publisher, tempo.publish),
        Paced(Auditor(store, models.provider_of, keeper, clock, exclusive=settings.exclusive_keys), tempo.audit),
        Paced(Janitor(store, spool, models.provider_of, keeper, clock, retention=retention), tempo.janitor),
        Paced(
            Archivist(store, spool, models.definition, outboxes, keeper, watchdog, clock, retention=retention),
            tempo.janitor,
        ),
    )
    try:
        yield Poller(store, registrar, duties, watchdog, clock, stop)
    finally:
        publisher.close()
        registrar.close()


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
