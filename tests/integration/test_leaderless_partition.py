"""A partition that has no leader while a transaction ends: Kafka leaves its marker out, and tells nobody."""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import PartitionMetadata
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.publish.endings import Endings, Place
from poller.publish.messages import Outgoing
from poller.publish.outbox import Outbox
from shared.lifecycle import State
from shared.messages import ProgressMarker
from shared.telemetry import Action
from tests.rig.kafka import Isolation, read_topic
from tests.rig.outages import RECORDS, assert_each_once, collected, disturbing, settled
from tests.rig.results import SHARDS, Back, requests_of
from tests.rig.waiting import wait_until

QUICK = {"message.timeout.ms": "2000"}


@dataclass(frozen=True)
class Pair:
    """A cluster of two brokers: the second has partition 1 of the sinks, and nothing else."""

    first: LocalBroker
    second: LocalBroker
    admin: AdminClient

    def sink(self, name: str, *, progress_on: int = 1, partitions: tuple[int, ...] = (1, 2)) -> str:
        """A new topic, each of its partitions on the broker told, with its progress topic."""
        self._create(f"progress-{name}", [[progress_on]] * SHARDS, {"cleanup.policy": "compact"})
        self._create(name, [[broker] for broker in partitions], {})
        return name

    def lose(self, topic: str) -> None:
        """Kill the second, and wait until the first one knows."""
        self.second.kill()
        wait_until(lambda: any(each.leader == -1 for each in self._partitions(topic)), 60, "a partition without leader")

    def limit(self, topic: str, size: int) -> None:
        """Let a topic take messages of so many bytes, and wait until its broker does."""
        entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(30)
        wait_until(lambda: self.admin.describe_configs([resource])[resource].result(30)[entry.name].value == str(size))

    def _partitions(self, topic: str) -> list[PartitionMetadata]:
        return list(self.admin.list_topics(topic, 5).topics[topic].partitions.values())

    def _create(self, name: str, replicas: list[list[int]], config: dict[str, str]) -> None:
        topic = NewTopic(name, num_partitions=len(replicas), replica_assignment=replicas, config=config)
        self.admin.create_topics([topic])[name].result(30)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with LocalBroker() as first:
        # So that the coordinator's own topic is there before the second is.
        Producer({"bootstrap.servers": first.bootstrap, "transactional.id": "any"}).init_transactions(30)
        with LocalBroker(joins=first) as second:
            yield Pair(first, second, AdminClient({"bootstrap.servers": first.bootstrap}))


class Trusting(Endings):
    """The weakened variant: what the coordinator calls complete is complete."""

    def have_come(self, *_: object) -> bool:
        return True

    def see_leaders(self, *_: object) -> None:
        pass


def on_second(back: Back, isolation: Isolation) -> int:
    return sum(record.partition == 1 for record in read_topic(back.broker.bootstrap, topic_of(back), isolation))


def topic_of(back: Back) -> str:
    return back.stage.definition().sink.topic


def lost_and_back(back: Back, pair: Pair, *, by_another: bool = False) -> None:
    """Publish with a broker that goes away on the way, and go on when it is back, in the same process or in another."""
    (batch,) = back.stage.store.batches.rows()
    publisher = back.publisher()
    publisher.run_once()
    now = back.stage.batch(batch.batch_key)
    assert (now.state, pair.second.running) == (State.COLLECTED, False)
    if by_another:
        publisher.close()
        publisher = back.publisher()
    pair.second.restart()
    back.publish(batch.batch_key, publisher)
    publisher.close()


def aborting(back: Back, pair: Pair, endings_: type[Endings]) -> type[Outbox]:
    """An outbox whose second transaction is aborted while a partition that it has written to has no leader."""

    def disturb() -> None:
        settled(back)
        committed = on_second(back, "read_committed")
        wait_until(lambda: on_second(back, "read_uncommitted") > committed, 30, "messages of the open transaction")
        pair.lose(topic_of(back))

    class Aborting(disturbing(disturb, 100)):  # type: ignore[misc]  # a class that is made for this test
        endings = endings_

    return Aborting


def losing(pair: Pair, topic: str, *, is_after: bool) -> type[Endings]:
    """In the second transaction a partition of the topic loses its leader: before the look for leaders, or after."""

    class Losing(Endings):
        looks = 0

        def see_leaders(self, topics: Collection[str], own: Place) -> None:
            Losing.looks += 1
            if not is_after and Losing.looks == 2:
                pair.lose(topic)
            super().see_leaders(topics, own)
            if is_after and Losing.looks == 2:
                pair.lose(topic)

    return Losing


class Faulty(Outbox):
    """The transaction after `armed` fails when it is filled, and all of it is delivered."""

    armed = False

    def _fill(self, before: ProgressMarker, messages: Iterator[Outgoing]) -> ProgressMarker:
        marker = super()._fill(before, messages)
        if type(self).armed:
            type(self).armed = False
            self._transactions.flush()
            raise OSError("the spool hiccups once")
        return marker


def faulty(endings_: type[Endings]) -> type[Faulty]:
    class Once(Faulty):
        endings = endings_

    return Once


@pytest.mark.parametrize("by_another", [False, True])
def test_what_was_aborted_without_its_marker_does_not_come_out_with_the_next_commit(
    server: ProviderServer,
    pair: Pair,
    tmp_path: Path,
    topic_name: Callable[[str], str],
    by_another: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with collected(server, pair.first, tmp_path, pair.sink(topic_name("sentiments")), kafka=QUICK) as back:
        back.make = aborting(back, pair, Endings)
        with caplog.at_level(logging.WARNING):
            lost_and_back(back, pair, by_another=by_another)
        assert Action.ABORT_REPEATED in caplog.text
        assert_each_once(back)


def test_it_comes_out_twice_where_the_coordinator_is_believed(
    server: ProviderServer, pair: Pair, tmp_path: Path, topic_name: Callable[[str], str]
) -> None:
    with collected(server, pair.first, tmp_path, pair.sink(topic_name("sentiments")), kafka=QUICK) as back:
        back.make = aborting(back, pair, Trusting)
        lost_and_back(back, pair)
        assert set(requests_of(back.outputs(at_least=RECORDS)).values()) == {1, 2}


def test_nothing_is_committed_while_a_partition_has_no_leader(
    server: ProviderServer, pair: Pair, tmp_path: Path, topic_name: Callable[[str], str]
) -> None:
    """What would be committed without its marker is lost by the next abort; here the next transaction is one."""
    topic = pair.sink(topic_name("sentiments"))
    with collected(server, pair.first, tmp_path, topic, kafka=QUICK) as back:
        back.make = outbox = faulty(losing(pair, topic, is_after=False))
        (batch,) = back.stage.store.batches.rows()
        publisher = back.publisher()
        publisher.run_once()
        assert back.stage.batch(batch.batch_key).succeeded < RECORDS
        outbox.armed = True
        pair.second.restart()
        back.publish(batch.batch_key, publisher)
        publisher.close()
        assert not outbox.armed
        assert_each_once(back)


def test_what_was_committed_without_its_marker_comes_out_with_the_next_commit(
    server: ProviderServer, pair: Pair, tmp_path: Path, topic_name: Callable[[str], str]
) -> None:
    """Its leader went just after the look; and another shard has written to the partition since."""
    topic = pair.sink(topic_name("sentiments"))
    with collected(server, pair.first, tmp_path, topic, kafka=QUICK) as back:
        back.make = faulty(losing(pair, topic, is_after=True))
        (first,) = back.stage.store.batches.rows()
        publisher = back.publisher()
        publisher.run_once()
        pair.second.restart()
        key = back.stage.submit(RECORDS)
        back.collect(key)
        shard = 1 - (first.shard or 0)
        assert back.stage.store.shards.assign(key, first.sink_cluster or "", SHARDS, known=shard) == shard
        other = back.publisher()
        back.publish(key, other)
        other.close()
        back.publish(first.batch_key, publisher)
        publisher.close()
        counts = requests_of(back.outputs(at_least=2 * RECORDS))
        assert counts == {f"{name}-{number}": 1 for name in (first.batch_key, key) for number in range(RECORDS)}


def test_a_marker_that_was_committed_without_its_end_is_not_taken_back(
    server: ProviderServer,
    pair: Pair,
    tmp_path: Path,
    topic_name: Callable[[str], str],
) -> None:
    """The shard's own partition has no leader; the next transaction is aborted, and then another process reads it."""
    topic = pair.sink(topic_name("sentiments"), progress_on=2, partitions=(1, 1))
    with collected(server, pair.first, tmp_path, topic, kafka=QUICK) as back:
        progress = f"progress-{topic}"
        back.make = outbox = faulty(losing(pair, progress, is_after=True))
        (batch,) = back.stage.store.batches.rows()
        publisher = back.publisher()
        publisher.run_once()
        outbox.armed = True
        pair.second.restart()
        publisher.run_once()
        publisher.close()
        assert not outbox.armed
        publisher = back.publisher()
        back.publish(batch.batch_key, publisher)
        publisher.close()
        assert_each_once(back)


def test_an_abort_counts_only_when_what_it_is_to_end_was_delivered(
    server: ProviderServer, pair: Pair, tmp_path: Path, topic_name: Callable[[str], str]
) -> None:
    """For a while the progress topic takes no message: the transaction that would abort once more holds nothing."""
    topic = pair.sink(topic_name("sentiments"))
    with collected(server, pair.first, tmp_path, topic, kafka=QUICK) as back:
        back.make = aborting(back, pair, Endings)
        (batch,) = back.stage.store.batches.rows()
        publisher = back.publisher()
        publisher.run_once()
        pair.second.restart()
        pair.limit(back.progress, 100)
        publisher.run_once()
        assert "was aborted" in (back.stage.batch(batch.batch_key).error or "")
        pair.limit(back.progress, 1_000_000)
        back.publish(batch.batch_key, publisher)
        publisher.close()
        assert_each_once(back)
