"""Batches that have ended at the fake provider, to be collected and published; and the same by a bare producer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confluent_kafka import Producer

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.provider.server import ProviderServer
from poller.publish.outbox import Bounds
from shared.lifecycle import State
from tests.rig.kafka import Record
from tests.rig.results import SINK_TOPIC, Back, sink
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

SINK, BARE = "sentiments", "bare"
_PATIENCE = 300.0
Plain = tuple[Any, Any, list[tuple[str, Any]]]
"""Key, value and headers, ready for the client."""


@dataclass
class Bench:
    """A stage with its way back, and a bare producer beside it."""

    back: Back
    bare: Producer

    def ended(self, records: int) -> str:
        """A batch that has ended at the provider, with its shard; its key."""
        stage = self.back.stage
        key = stage.submit(records)
        watcher = stage.watcher()

        def has_ended() -> bool:
            watcher.run_once()
            return stage.batch(key).state is State.ENDED

        wait_until(has_ended, _PATIENCE, lambda: f"{key} to end, it is {stage.batch(key)}")
        self.back.assign(key)
        return key

    def send(self, messages: list[Plain]) -> None:
        """Send them as plainly as a transactional producer can: nothing is made, or thrown away, meanwhile."""
        size = Bounds().records
        for start in range(0, len(messages), size):
            self.bare.begin_transaction()
            for key, value, headers in messages[start : start + size]:
                self._produce(key, value, headers)
            self.bare.commit_transaction(30)

    def _produce(self, key: Any, value: Any, headers: Any) -> None:
        while True:
            try:
                self.bare.produce(BARE, value, key, headers=headers)
            except BufferError:
                self.bare.poll(0.01)
            else:
                return


def plain(records: list[Record]) -> list[Plain]:
    """The same messages as they were read, to be sent again."""
    return [(record.key, record.value, list(record.headers.items())) for record in records]


@contextmanager
def bench() -> Iterator[Bench]:
    """Broker, provider, store and spool, all warm: one small batch has gone the whole way."""
    with (
        TemporaryDirectory(prefix="batchline-bench-") as folder,
        LocalBroker() as broker,
        ProviderServer(Path(folder, "provider"), processing_seconds=0.0) as server,
    ):
        broker.create_topics({SINK: SINK_TOPIC, BARE: SINK_TOPIC})
        stage = Stage(server, Path(folder, "stage"), sink=sink(broker, SINK))
        yield Bench(Back(stage, broker, "batchline.progress"), _bare(broker))
        stage.close()


def _bare(broker: LocalBroker) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap,
            "transactional.id": "bare",
            "partitioner": "murmur2_random",
            "linger.ms": 5,
        }
    )
    producer.init_transactions(30)
    return producer
