"""Negative controls: the product's parts put together without one precaution each, which the harness must catch.

The product has no switch for any of it; a run names its weakness, and the lives of that run are put together by it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, TopicPartition

from poller.accounts import Keyless
from poller.daemon import Paced
from poller.duty import Duty
from poller.models import Models
from poller.publish.markers import Markers
from poller.publish.outbox import Bounds, Outbox, Shard, producer_settings
from poller.publish.outboxes import Outboxes
from poller.publish.publisher import Publisher
from poller.publish.transactions import Transactions
from poller.settings import PollerSettings
from poller.tempo import Tempo
from poller.watch.rescuer import Rescuer
from poller.wiring import Poller
from shared.clock import Clock
from shared.definition import Model
from shared.kafka import load_clusters
from shared.lease import Keeper, this_process
from shared.providers.openai import OpenAIProvider
from shared.providers.port import Provider
from shared.providers.profiles import profile_of
from shared.refusals import Waits
from shared.spool import Spool
from shared.store import Lease, Store
from shared.submission import Submission
from submitter.desk.desk import Hands
from submitter.desk.errand import Errand
from submitter.desk.hands import Workers
from tests.rig.publishing import sql_only

Reshape = Callable[[Poller, PollerSettings, Clock, Tempo], tuple[Paced, ...]]


class Hire(Protocol):
    """Gives the desk its hands."""

    def __call__(self, errand: Errand, store: Store, spool: Spool, clock: Clock, waits: Waits) -> Hands: ...


def _hire(errand: Errand, store: Store, spool: Spool, clock: Clock, waits: Waits) -> Hands:
    return Workers(errand, store, spool, clock, waits=waits)


def _duties(made: Poller, _settings: PollerSettings, _clock: Clock, _tempo: Tempo) -> tuple[Paced, ...]:
    return made.duties


def _instead(made: Poller, duty: Duty) -> tuple[Paced, ...]:
    """The poller's duties, with this one in the place of its namesake."""
    return tuple(replace(paced, duty=duty) if paced.duty.name == duty.name else paced for paced in made.duties)


@dataclass(frozen=True)
class Weakness:
    """How the lives of a run are put together; what is not named is as the product has it."""

    hire: Hire = _hire
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the poller that differ."""
    duties: Reshape = _duties


def weakness(name: str | None) -> Weakness:
    """The weakness of a run; None is the product itself."""
    return WEAKNESSES[name] if name else Weakness()


# Another adapter in the place of the product's: at the desk, and where the poller sends.


def _hire_with(
    adapter: type[OpenAIProvider], errand: Errand, store: Store, spool: Spool, clock: Clock, waits: Waits
) -> Hands:
    class _Adapted(Workers):
        def _provider(self, model: Model) -> Provider:
            return adapter(model, os.environ, profile_of(model.provider), self._clock)

    return _Adapted(errand, store, spool, clock, waits=waits)


def _rescue_with(
    adapter: type[OpenAIProvider], made: Poller, settings: PollerSettings, clock: Clock, tempo: Tempo
) -> tuple[Paced, ...]:
    """The poller's own creates, as weak as the desk's: either may be the first to come to a batch."""

    def make(model: Model, environ: Mapping[str, str]) -> Provider:
        return adapter(model, environ, profile_of(model.provider), clock)

    spool = Spool(settings.spool)
    models = Models(made.store, spool, os.environ, make)
    quarantine = timedelta(seconds=settings.create_quarantine)
    submission = Submission(
        made.store, spool, models.provider_for, clock, this_process(), quarantine=quarantine, waits=tempo.waits
    )
    return _instead(made, Rescuer(made.store, submission.work, clock, Keyless(made.watchdog, clock)))


def _adapted(adapter: type[OpenAIProvider]) -> Weakness:
    return Weakness(hire=partial(_hire_with, adapter), duties=partial(_rescue_with, adapter))


# The SDK repeats a create by itself.


class _Retrying(OpenAIProvider):
    """An adapter whose SDK has its default retries."""

    @cached_property
    def _session(self) -> Any:
        own = super()._session
        return replace(own, client=own.client.with_options(max_retries=2))


# What the provider says back of the key is believed to be no secret.


class _Telling(OpenAIProvider):
    """An adapter that does not know which key its provider may say back."""

    @cached_property
    def _session(self) -> Any:
        return replace(super()._session, secret="")


# A create that does not show at once is made again.


def _hire_impatient(errand: Errand, store: Store, spool: Spool, clock: Clock, waits: Waits) -> Hands:
    return Workers(errand.model_copy(update={"quarantine": 0.0}), store, spool, clock, waits=waits)


# How far a batch is published stands in the store alone.


def _publish_by_sql(made: Poller, settings: PollerSettings, clock: Clock, tempo: Tempo) -> tuple[Paced, ...]:
    store, spool = made.store, Spool(settings.spool)
    outboxes = Outboxes(
        load_clusters(settings.kafka_config, os.environ),
        store.shards.installation_id(),
        settings.progress_topic,
        shards=settings.shards,
        replication=settings.replication,
        bounds=tempo.bounds,
        make=sql_only(store, Transactions),
    )
    definition_of, keeper = Models(store, spool, os.environ).definition, Keeper(store, this_process())
    publisher = Publisher(store, spool, definition_of, outboxes, keeper, made.watchdog, clock, backoff=tempo.publishing)
    return _instead(made, publisher)


WEAKNESSES: dict[str, Weakness] = {
    "sdk-retries": _adapted(_Retrying),
    "key-said-back": _adapted(_Telling),
    "no-quarantine": Weakness(hire=_hire_impatient, settings={"create_quarantine": 1e-6}),
    "progress-in-sql": Weakness(duties=_publish_by_sql),
    "404-is-absence": Weakness(settings={"lost_after": 1e-6}),
}
"""By name. The other controls need a moment that only one process can know: see below."""


# All shards share one progress partition.


class SharedPartition(Outbox):
    """An outbox whose markers stand on partition 0, whatever its shard: it reads what is committed of it."""

    def __init__(
        self,
        client: Mapping[str, str],
        shard: Shard,
        progress_topic: str,
        waits: Callable[[str], None],
        *,
        batch_bytes: int,
        bounds: Bounds,
    ) -> None:
        self.shard, self.batch_bytes = replace(shard, number=0), batch_bytes
        self._topic, self._bounds = progress_topic, bounds
        self.topics, self._endings = (), self.endings(client)
        self._transactions = self.transactions(producer_settings(client, shard, batch_bytes), waits)
        self._markers = _committed(client, progress_topic)


def _committed(client: Mapping[str, str], topic: str) -> Markers:
    """The markers of partition 0, up to the first transaction that is open."""
    own = {"group.id": "shared", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**client, **own, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    markers = Markers()
    while True:
        for message in consumer.consume(100, timeout=1.0):
            error, value = message.error(), message.value()
            # The client's stubs say str; it gives bytes.
            key: Any = message.key()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                consumer.close()
                return markers
            assert error is None, error
            markers.take(key, value)


# A lease is asked for, and then believed for ever.


class _Believed:
    """A group of the store's verbs that look at no lease."""

    def __init__(self, verbs: object) -> None:
        self._verbs = verbs

    def __getattr__(self, name: str) -> Any:
        return partial(_unfenced, getattr(self._verbs, name))


def _unfenced(verb: Callable[..., Any], *given: Any, **named: Any) -> Any:
    without = {name: None if isinstance(value, Lease) else value for name, value in named.items()}
    return verb(*(None if isinstance(value, Lease) else value for value in given), **without)


def without_epochs(store: Store) -> Store:
    """The store, with writes that no lease fences."""
    for group in ("batches", "attempts"):
        setattr(store, group, _Believed(getattr(store, group)))
    return store
