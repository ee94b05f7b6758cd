"""A partition that has no leader while a transaction ends: Kafka leaves its marker out, and tells nobody."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.publish.endings import Endings
from poller.publish.outbox import Outbox
from poller.publish.transactions import Transactions
from shared.lifecycle import State
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

    def sink(self, name: str) -> str:
        """A new topic, with its progress topic."""
        self._create(f"progress-{name}", [[1]] * SHARDS, {"cleanup.policy": "compact"})
        self._create(name, [[1], [2]], {})
        return name

    def lose(self, sink: str) -> None:
        """Kill the second, and wait until the first one knows."""
        self.second.kill()
        wait_until(lambda: self.admin.list_topics(sink, 5).topics[sink].partitions[1].leader == -1, 60, "no leader")

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


@pytest.mark.parametrize("by_another", [False, True])
def test_what_was_aborted_without_its_marker_does_not_come_out_with_the_next_commit(
    server: ProviderServer, pair: Pair, tmp_path: Path, topic_name: Callable[[str], str], by_another: bool
) -> None:
    with collected(server, pair.first, tmp_path, pair.sink(topic_name("sentiments")), kafka=QUICK) as back:
        back.make = aborting(back, pair, Endings)
        lost_and_back(back, pair, by_another=by_another)
        assert_each_once(back)


def test_it_comes_out_twice_where_the_coordinator_is_believed(
    server: ProviderServer, pair: Pair, tmp_path: Path, topic_name: Callable[[str], str]
) -> None:
    with collected(server, pair.first, tmp_path, pair.sink(topic_name("sentiments")), kafka=QUICK) as back:
        back.make = aborting(back, pair, Trusting)
        lost_and_back(back, pair)
        assert set(requests_of(back.outputs(at_least=RECORDS)).values()) == {1, 2}


def test_what_was_committed_without_its_marker_is_not_taken_back(
    server: ProviderServer, pair: Pair, tmp_path: Path, topic_name: Callable[[str], str]
) -> None:
    with collected(server, pair.first, tmp_path, pair.sink(topic_name("sentiments")), kafka=QUICK) as back:

        class Losing(Transactions):
            commits = 0

            def commit(self) -> None:
                Losing.commits += 1
                if Losing.commits == 2:
                    self.flush()
                    pair.lose(topic_of(back))
                super().commit()

        class Committing(Outbox):
            transactions = Losing

        back.make = Committing
        lost_and_back(back, pair)
        assert_each_once(back)
