"""Progress markers: kept while anything could be published again, tombstoned when nothing can."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.health import Watchdog
from poller.publish.archivist import MARKERS_KEPT, Archivist
from poller.publish.outbox import Outbox, Shard
from poller.publish.outboxes import Outboxes
from poller.register.sinks import SinkClusters
from poller.upkeep.janitor import Janitor
from shared.definition import Definition
from shared.kafka import KafkaClusters
from shared.lease import Keeper, this_process
from shared.lifecycle import State
from shared.store import Lease
from shared.store.terms import Stated
from tests.rig.fixtures import MakeTopic
from tests.rig.kafka import read_topic
from tests.rig.results import SHARDS, SINK_TOPIC, Back, sink
from tests.rig.stage import Stage

DAY = timedelta(days=1)
WEEK = 7 * DAY
RECORDS = 3


@pytest.fixture
def back(server: ProviderServer, broker: LocalBroker, make_topic: MakeTopic, tmp_path: Path) -> Iterator[Back]:
    topic = make_topic("sentiments", SINK_TOPIC)
    stage = Stage(server, tmp_path, sink=sink(broker, topic))
    yield Back(stage, broker, f"progress-{topic}")
    stage.close()


def published(back: Back) -> str:
    key = back.stage.submit(RECORDS)
    back.collect(key)
    back.publish(key)
    return key


def markers(back: Back) -> set[str]:
    """The batches whose newest word on the progress topic is no tombstone."""
    newest = {record.key or b"": record.value for record in read_topic(back.broker.bootstrap, back.progress)}
    return {key.decode() for key, value in newest.items() if value is not None}


def delete_data(back: Back, files: int = 1) -> None:
    stage = back.stage
    keeper = Keeper(stage.store, this_process())
    sweep = Janitor(stage.store, stage.spool, stage.models().provider_of, keeper, stage.clock, retention=WEEK)
    assert sweep.run_once()["deleted"] == files


class Refusing(Outboxes):
    """To the first shard the cluster gives no right."""

    def of(self, shard: Shard, definition: Definition, lease: Lease, waits: Callable[[str], None]) -> Outbox:
        if shard.number == 0:
            raise KafkaException(KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED))
        return super().of(shard, definition, lease, waits)


def forget(back: Back, retention: timedelta = WEEK, made: Outboxes | None = None) -> dict[str, int]:
    stage, outboxes = back.stage, made or back.outboxes()
    keeper, watchdog = Keeper(stage.store, this_process()), Watchdog(stage.store, this_process())
    definition_of = stage.models().definition
    duty = Archivist(
        stage.store, stage.spool, definition_of, outboxes, keeper, watchdog, stage.clock, retention=retention
    )
    try:
        return dict(duty.run_once())
    finally:
        outboxes.close()


def test_a_marker_is_tombstoned_once_its_data_are_deleted_and_its_days_are_over(back: Back) -> None:
    key = published(back)
    back.stage.ahead = MARKERS_KEPT - DAY
    delete_data(back)
    assert forget(back) == {}
    back.stage.ahead = MARKERS_KEPT + DAY
    assert forget(back, retention=2 * MARKERS_KEPT) == {}
    assert markers(back) == {key}
    assert forget(back) == {"forgotten": 1}
    assert markers(back) == set()
    assert forget(back) == {}


def test_a_marker_is_kept_as_long_as_its_pipeline_states_for_its_data(back: Back) -> None:
    key = published(back)
    back.stage.ahead = MARKERS_KEPT + DAY
    delete_data(back)
    back.stage.store.terms.state("pipe", Stated(retention=2 * MARKERS_KEPT))
    assert forget(back) == {}
    assert markers(back) == {key}
    back.stage.store.terms.state("pipe", Stated(retention=DAY))
    assert forget(back) == {"forgotten": 1}


def test_a_marker_is_kept_while_its_rows_are_there(back: Back) -> None:
    key = published(back)
    back.stage.ahead = 2 * MARKERS_KEPT
    assert forget(back) == {}
    assert markers(back) == {key}


def test_only_the_leaseholder_of_the_shard_forgets(back: Back) -> None:
    key = published(back)
    back.stage.ahead = MARKERS_KEPT + DAY
    delete_data(back)
    batch = back.stage.batch(key)
    with Keeper(back.stage.store, "another").hold(f"shard/{batch.sink_cluster}/{batch.shard}") as lease:
        assert lease is not None
        assert forget(back) == {"busy": 1}
    assert markers(back) == {key}
    assert forget(back) == {"forgotten": 1}


def test_a_shard_that_is_refused_keeps_no_other(back: Back) -> None:
    stage = back.stage
    keys = [stage.submit(RECORDS) for _ in range(2)]
    for number, key in enumerate(keys):
        back.collect(key)
        cluster = SinkClusters(KafkaClusters()).identify(stage.definition().sink)
        stage.store.shards.assign(key, cluster, SHARDS, known=number)
        back.publish(key)
    stage.ahead = MARKERS_KEPT + DAY
    delete_data(back, 2)
    installation = stage.store.shards.installation_id()
    refusing = Refusing(KafkaClusters(), installation, back.progress, shards=SHARDS, replication=1)
    assert forget(back, made=refusing) == {"faults": 1, "forgotten": 1}
    assert markers(back) == {keys[0]}


def test_an_older_copy_of_the_store_keeps_the_marker_and_publishes_nothing_again_without_it(back: Back) -> None:
    stage = back.stage
    key = stage.submit(RECORDS)
    back.collect(key)
    back.assign(key)
    older = stage.folder / "older.db"
    _copy(stage, older)
    back.publish(key)
    stage.ahead = MARKERS_KEPT + DAY
    delete_data(back)
    newer = stage.folder / "newer.db"
    _swap(stage, older, newer)
    assert stage.batch(key).state is State.COLLECTED
    assert forget(back) == {}, "as far as this store knows, its rows are not out"
    assert markers(back) == {key}
    _swap(stage, newer, older)
    assert forget(back) == {"forgotten": 1}
    _swap(stage, older, newer)
    batch = back.publish(key)
    assert (batch.state, batch.succeeded) == (State.PUBLISHED, RECORDS)
    assert len(back.outputs()) == RECORDS


def _copy(stage: Stage, target: Path) -> None:
    stage.store.close()
    shutil.copyfile(stage.folder / "state.db", target)
    stage.store = stage.store.open(stage.store_url, stage.clock)


def _swap(stage: Stage, source: Path, kept: Path) -> None:
    """Keep the store as it is, and go on with another copy."""
    _copy(stage, kept)
    stage.store.close()
    for name in ("state.db-wal", "state.db-shm"):
        (stage.folder / name).unlink(missing_ok=True)
    shutil.copyfile(source, stage.folder / "state.db")
    stage.store = stage.store.open(stage.store_url, stage.clock)
