"""Batches that can't have their shards yet, and those of others behind them; no event comes meanwhile."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException
from sqlalchemy import create_engine, update

from deploy.sandbox.provider.server import ProviderServer
from poller.health import Watchdog
from poller.register.consumer import Events, Raw
from poller.register.registrar import Registering, Registrar
from poller.register.sinks import SinkClusters
from shared.errors import KafkaUnavailable
from shared.kafka import KafkaClusters
from shared.lifecycle import State
from shared.store.tables import definitions
from tests.rig.samples import EPOCH
from tests.rig.stage import Stage
from tests.rig.stores import plan, planned

PROCESSING_SECONDS = 0.3
SHARDS = 4
AWAY, HERE = "away:9092", "here:9092"
MANY = 1_100
"""More than a pass looks at, at once."""


class Silent:
    """A batches topic on which nothing is announced."""

    def take(self, most: int, wait: float) -> list[Raw]:  # noqa: ARG002 the port's
        return []

    def settle(self) -> None: ...

    def give_back(self) -> None: ...

    def is_drained(self) -> bool:
        return True

    def close(self) -> None: ...


@pytest.fixture
def stage(server: ProviderServer, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(server, tmp_path, sink={"bootstrap_servers": HERE})
    yield made
    made.close()


class BrokenOff(Silent):
    """A batches topic that fails when some of its events are taken, and not yet given out."""

    def __init__(self) -> None:
        self.taken = 3

    def take(self, most: int, wait: float) -> list[Raw]:  # noqa: ARG002 the port's
        raise KafkaUnavailable("the leader of a partition is gone")

    def give_back(self) -> None:
        self.taken = 0


def registrar(stage: Stage, away: Exception, events: Callable[[], Events] = Silent) -> Registrar:
    def ask(client: dict[str, str]) -> str:
        if client["bootstrap.servers"] == AWAY:
            raise away
        return "cluster-of-the-sink"

    return Registrar(
        stage.store,
        stage.spool,
        events,
        SinkClusters(KafkaClusters(), ask),
        stage.models().definition,
        Watchdog(stage.store, "test:1:x"),
        Registering(SHARDS, 0.0, os.environ),
    )


def test_however_many_wait_for_a_cluster_that_is_away_others_get_their_shards(stage: Stage) -> None:
    stage.sink = {"bootstrap_servers": AWAY}
    stated = stage.definition()
    stage.store.lineage.put_definition(stated)
    before = EPOCH - timedelta(days=1)
    waiting = [planned(f"{'a' * 26}-{n}", definition=stated.hash, sealed_at=before) for n in range(MANY)]
    assert stage.store.plans.commit(plan("file", waiting))
    stage.sink = {"bootstrap_servers": HERE}
    key = stage.plan()
    registrar(stage, KafkaUnavailable("away does not answer")).run_once()
    assert stage.batch(key).shard in range(SHARDS)
    assert stage.batch(waiting[0].batch_key).shard is None


def test_a_cluster_that_refuses_keeps_only_its_own_batches_waiting(stage: Stage) -> None:
    stage.sink = {"bootstrap_servers": AWAY}
    refused = stage.plan()
    stage.sink = {"bootstrap_servers": HERE}
    key = stage.plan()
    error = KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED))
    assert registrar(stage, error).run_once() == {"waiting": 1, "assigned": 1}
    assert stage.batch(refused).shard is None
    assert stage.batch(key).shard in range(SHARDS)


def test_events_that_were_taken_when_their_topic_failed_are_taken_again(stage: Stage) -> None:
    events = BrokenOff()
    with pytest.raises(KafkaUnavailable):
        registrar(stage, KafkaUnavailable(""), lambda: events).run_once()
    assert events.taken == 0, "the next ones that are settled would settle these with them"


def test_a_definition_of_another_version_keeps_only_its_own_batches_waiting(stage: Stage) -> None:
    """As after a newer version was tried, and taken back; of one account, so that they are watched together."""
    stage.server.clear_faults()
    stage.batch_options = {"max_requests": 10}
    newer = stage.submit()
    stage.batch_options = {}
    key = stage.submit()
    engine = create_engine(stage.store_url)
    with engine.begin() as connection:
        this = definitions.c.hash == stage.batch(newer).definition
        connection.execute(update(definitions).where(this).values(json='{"version": 99}'))
    engine.dispose()
    assert registrar(stage, KafkaUnavailable("")).run_once() == {"waiting": 1, "assigned": 1}
    stage.watch_until(key, State.ENDED)
    assert "another version" in (stage.batch(newer).error or "")
