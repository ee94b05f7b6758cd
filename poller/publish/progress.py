"""The progress topic: what its committed markers say of a shard's batches. One partition for each shard, compacted."""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from poller.publish.markers import Markers
from shared.errors import KafkaUnavailable
from shared.kafka import LIBRDKAFKA, is_away, unavailable

_PATIENCE = 60.0
"""Seconds without a message after which the cluster counts as away."""


def replay(client: Mapping[str, str], topic: str, shard: int) -> Markers:
    """Every batch's newest committed marker of a shard.

    To be called after init_transactions, which has ended our own open transaction: the end that a read_uncommitted
    reader sees is then fixed, and a read_committed one reaches it. Raises KafkaUnavailable.
    """
    # Markers are small; whatever else stands there is not to fill the memory.
    own = {
        "queued.max.messages.kbytes": 4096,
        "group.id": "batchline-progress",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
    }
    try:
        low, high = _ends({**client, **own, "isolation.level": "read_uncommitted"}, topic, shard)
        reader = Consumer(
            {**client, **own, "isolation.level": "read_committed", "enable.partition.eof": True}, logger=LIBRDKAFKA
        )
        try:
            reader.assign([TopicPartition(topic, shard, low)])
            return _read(reader, low, high, client["bootstrap.servers"])
        finally:
            reader.close()
    except KafkaException as error:
        raise unavailable(error, f"{topic} is replayed", client["bootstrap.servers"]) from error


def _ends(settings: dict[str, object], topic: str, shard: int) -> tuple[int, int]:
    consumer = Consumer(settings, logger=LIBRDKAFKA)
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, shard), timeout=10.0)
        return int(low), int(high)
    finally:
        consumer.close()


def _read(reader: Consumer, position: int, high: int, servers: str) -> Markers:
    markers = Markers()
    end, patience = -1, time.monotonic() + _PATIENCE
    while position < high:
        first = reader.poll(0.5)
        for message in [first, *reader.consume(1000, timeout=0)] if first is not None else []:
            error, offset = message.error(), message.offset() or 0
            if error is None:
                markers.take(message.key(), message.value())
                position, patience = offset + 1, time.monotonic() + _PATIENCE
            elif error.name() == "_PARTITION_EOF":
                # The end of what is committed: past control records, and past what was aborted.
                position = end = max(position, offset)
            elif not is_away(error):
                raise KafkaException(error)
        if time.monotonic() > patience:
            raise KafkaUnavailable(_stuck(servers, end, high))
    return markers


def _stuck(servers: str, end: int, high: int) -> str:
    if end < 0:
        return f"Kafka at {servers} gives no messages of the progress topic"
    return (
        f"Kafka at {servers} keeps a transaction open on the progress topic, at offset {end} of {high}, though its "
        "producer has ended: look with kafka-transactions.sh find-hanging, and abort it on each of its partitions; "
        "what it held is then published again"
    )
