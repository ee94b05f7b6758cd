"""The poller's second half on a stage: collect and publish a batch, and count what came out of the sink."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.topics import TopicSettings
from poller.collect.collector import Collecting, Collector
from poller.health import Watchdog
from poller.publish.outbox import Bounds, Outbox
from poller.publish.outboxes import Outboxes
from poller.publish.publisher import Publisher
from poller.register.sinks import SinkClusters
from poller.schedule import Backoff
from shared.kafka import KafkaClusters
from shared.lease import Keeper, this_process
from shared.lifecycle import SUBMITTABLE, TERMINAL, State
from shared.messages import Header
from shared.store import Batch
from tests.rig.kafka import Record, read_topic
from tests.rig.stage import Stage
from tests.rig.waiting import wait_until

SHARDS = 2
QUICK = Backoff(timedelta(milliseconds=50), timedelta(milliseconds=200))


@dataclass
class Back:
    """The way back of a stage's batches, to topics on one broker."""

    stage: Stage
    broker: LocalBroker
    progress: str
    bounds: Bounds = field(default_factory=Bounds)
    patience: timedelta = timedelta()
    holder: str = field(default_factory=this_process)
    make: type[Outbox] = Outbox

    def collector(self) -> Collector:
        stage, keeper = self.stage, Keeper(self.stage.store, self.holder)
        watchdog = Watchdog(stage.store, self.holder)
        how = Collecting(self.patience, QUICK)
        return Collector(
            stage.store, stage.spool, stage.models().provider_of, keeper, watchdog, stage.clock, collecting=how
        )

    def outboxes(self) -> Outboxes:
        store = self.stage.store
        return Outboxes(
            KafkaClusters(),
            store.shards.installation_id(),
            self.progress,
            shards=SHARDS,
            replication=1,
            bounds=self.bounds,
            make=self.make,
        )

    def publisher(self) -> Publisher:
        stage, store, outboxes = self.stage, self.stage.store, self.outboxes()
        keeper, watchdog = Keeper(store, self.holder), Watchdog(store, self.holder)
        definition_of = stage.models().definition
        return Publisher(store, stage.spool, definition_of, outboxes, keeper, watchdog, stage.clock, backoff=QUICK)

    def assign(self, *keys: str) -> None:
        """Give batches their shards, as the registrar does."""
        for key in keys:
            sink = self.stage.models().definition(self.stage.batch(key)).sink
            cluster = SinkClusters(KafkaClusters()).identify(sink)
            self.stage.store.shards.assign(key, cluster, SHARDS)

    def collect(self, key: str) -> Batch:
        """Collect until the batch is collected."""
        self.stage.watch_until(key, State.ENDED, State.LOST, State.COLLECTED)
        return self._until(self.collector(), key, State.COLLECTED)

    def publish(self, key: str, publisher: Publisher | None = None) -> Batch:
        """Publish until the batch is out."""
        self.assign(key)
        publishing = publisher or self.publisher()
        try:
            return self._until(publishing, key, State.PUBLISHED, State.FAILED)
        finally:
            if publisher is None:
                publishing.close()

    def finish(self, key: str) -> list[Batch]:
        """Work on a batch and all that comes of it until everything is out; every batch of the family."""
        collector, publisher, watcher = self.collector(), self.publisher(), self.stage.watcher()
        submission = self.stage.submission()

        def is_out() -> bool:
            for batch in self.family(key):
                if batch.state in SUBMITTABLE:
                    submission.work(batch.batch_key)
                if batch.shard is None:
                    self.assign(batch.batch_key)
            for duty in (watcher, collector, publisher):
                duty.run_once()
            return all(batch.state in TERMINAL for batch in self.family(key))

        try:
            wait_until(is_out, 90, lambda: f"the family to be out, it is {self.family(key)}")
        finally:
            publisher.close()
        return self.family(key)

    def family(self, key: str) -> list[Batch]:
        """A batch, its children, theirs and so on."""
        return [self.stage.batch(key), *(each for child in self.children(key) for each in self.family(child.batch_key))]

    def children(self, key: str) -> list[Batch]:
        return self.stage.store.batches.rows(parent=key)

    def outputs(self, topic: str | None = None, at_least: int = 0) -> list[Record]:
        """What a read_committed consumer sees in the sink's topic."""
        return read_topic(self.broker.bootstrap, topic or self.stage.definition().sink.topic, at_least=at_least)

    def _until(self, duty: Collector | Publisher, key: str, *states: State) -> Batch:
        def there() -> Batch | None:
            duty.run_once()
            batch = self.stage.batch(key)
            return batch if batch.state in states else None

        return wait_until(there, 60, lambda: f"{key} to be {states}, it is {self.stage.batch(key)}")


def requests_of(records: list[Record]) -> Counter[str]:
    """How often each request id came out."""
    return Counter((record.headers[Header.REQUEST] or b"").decode() for record in records)


def sink(broker: LocalBroker, topic: str, **more: Any) -> dict[str, Any]:
    """A sink's values for `Stage`."""
    return {"bootstrap_servers": broker.bootstrap, "topic": topic, **more}


SINK_TOPIC = TopicSettings(partitions=2)
