"""Opens outboxes and keeps them while their shards stay ours; knows the progress topics and what topics take."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from poller.publish.outbox import Bounds, Outbox, Shard
from shared.definition import Definition
from shared.errors import TopicMismatch
from shared.kafka import KafkaClusters
from shared.store import Lease
from shared.topic_limits import DEFAULT_BYTES, TopicLimits, limits_of
from shared.topics import ensure_topic

_FRESH = timedelta(minutes=5).total_seconds()
BOUNDS = Bounds()


class Outboxes:
    """The outboxes of this process. Each shard is asked for by one thread at a time."""

    def __init__(
        self,
        clusters: KafkaClusters,
        installation: str,
        progress_topic: str,
        *,
        shards: int,
        replication: int,
        bounds: Bounds = BOUNDS,
        make: type[Outbox] = Outbox,
    ) -> None:
        self._clusters, self._installation, self._topic = clusters, installation, progress_topic
        self._shards, self._replication, self._bounds, self._make = shards, replication, bounds, make
        self._partitions: dict[str, int] = {}
        self._kept: dict[Shard, tuple[Outbox, Mapping[str, str], int]] = {}
        self._limits: dict[tuple[str, str], tuple[float, TopicLimits]] = {}

    def shard(self, cluster: str, number: int) -> Shard:
        return Shard(self._installation, cluster, number)

    def of(self, shard: Shard, definition: Definition, lease: Lease, waits: Callable[[str], None]) -> Outbox:
        """The shard's outbox for a definition's sink, open. Raises KafkaUnavailable, TopicMismatch.

        One that is kept is good as long as nobody else has had the shard's lease in between.
        """
        client = self._clusters.client(definition.sink.bootstrap_servers, definition.sink.kafka)
        topics = _topics(definition)
        batch_bytes = min(DEFAULT_BYTES, *(self.limits(definition, topic).size for topic in topics))
        outbox, known, epoch = self._kept.get(shard, (None, None, 0))
        if outbox is not None:
            is_ours = epoch in (lease.epoch, lease.epoch - 1) and known == client and outbox.batch_bytes <= batch_bytes
            if is_ours and not outbox.is_dead:
                self._kept[shard] = (outbox, client, lease.epoch)
                outbox.topics = topics
                return outbox
            self.drop(shard)
        self._verify(shard, client)
        opened = self._make(client, shard, self._topic, waits, batch_bytes=batch_bytes, bounds=self._bounds)
        opened.topics = topics
        self._kept[shard] = (opened, client, lease.epoch)
        return opened

    def limits(self, definition: Definition, topic: str) -> TopicLimits:
        """What a topic takes of a message. Raises KafkaUnavailable, BatchlineError for no such topic."""
        servers = definition.sink.bootstrap_servers
        until, limits = self._limits.get((servers, topic), (0.0, TopicLimits()))
        if time.monotonic() >= until:
            limits = limits_of(self._clusters.client(servers, definition.sink.kafka), topic)
            self._limits[servers, topic] = (time.monotonic() + _FRESH, limits)
        return limits

    def drop(self, shard: Shard) -> None:
        """Close a shard's outbox, if there is one."""
        kept = self._kept.pop(shard, None)
        if kept is not None:
            kept[0].close()

    def close(self) -> None:
        for shard in list(self._kept):
            self.drop(shard)

    def _verify(self, shard: Shard, client: Mapping[str, str]) -> None:
        """See that the progress topic is as it must be, and has the shard's partition."""
        if shard.cluster not in self._partitions:
            self._partitions[shard.cluster] = ensure_topic(client, self._topic, self._shards, self._replication)
        partitions = self._partitions[shard.cluster]
        if shard.number >= partitions:
            del self._partitions[shard.cluster]
            raise TopicMismatch(
                f"topic {self._topic} at {client['bootstrap.servers']} has {partitions} partitions, and shard "
                f"{shard.number} needs its own; add some: kafka-topics.sh --alter --topic {self._topic} "
                f"--partitions {max(self._shards, shard.number + 1)}"
            )


def _topics(definition: Definition) -> list[str]:
    errors = definition.batch.error_topic
    return [definition.sink.topic, *([errors] if errors else [])]
