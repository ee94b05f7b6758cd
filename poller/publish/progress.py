"""The progress topic: what its committed markers say of a shard's batches. One partition for each shard, compacted."""

from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicPartition

from poller.publish.markers import Markers
from poller.publish.reading import NotReached, consumer, read
from shared.errors import KafkaUnavailable
from shared.kafka import unavailable


def replay(client: Mapping[str, str], topic: str, shard: int) -> Markers:
    """Every batch's newest committed marker of a shard.

    To be called after init_transactions, which has ended our own open transaction: the end that a read_uncommitted
    reader sees is then fixed, and a read_committed one reaches it. Raises KafkaUnavailable.
    """
    markers, servers = Markers(), client["bootstrap.servers"]
    high = 0
    try:
        low, high = _ends(client, topic, shard)
        for message in read(client, "read_committed", topic, shard, low, high):
            markers.take(message.key(), message.value())
    except NotReached as stuck:
        raise KafkaUnavailable(_stuck(servers, stuck.at, high)) from stuck
    except KafkaException as error:
        raise unavailable(error, f"{topic} is replayed", servers) from error
    return markers


def _ends(client: Mapping[str, str], topic: str, shard: int) -> tuple[int, int]:
    reader = consumer(client, "read_uncommitted")
    try:
        low, high = reader.get_watermark_offsets(TopicPartition(topic, shard), timeout=10.0)
        return int(low), int(high)
    finally:
        reader.close()


def _stuck(servers: str, end: int | None, high: int) -> str:
    if end is None:
        return f"Kafka at {servers} gives no messages of the progress topic"
    return (
        f"Kafka at {servers} keeps a transaction open on the progress topic, at offset {end} of {high}, though its "
        "producer has ended: look with kafka-transactions.sh find-hanging. If its outputs can't be read in the sink, "
        "abort it on each of its partitions, and they are published again; if they can, abort it here alone, and "
        "produce the last marker that stands there once more"
    )
