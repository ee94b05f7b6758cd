"""What was ever announced: the batches topic, read from its beginning to its end, without a consumer group's memory."""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from poller.register.announced import read_event
from shared.errors import KafkaUnavailable
from shared.kafka import LIBRDKAFKA, is_away, unavailable, usable
from shared.messages import BatchEvent

_TIMEOUT = 10.0
_PATIENCE = 60.0
"""Seconds without a message after which the cluster counts as away."""


def announced(client: Mapping[str, str], topic: str) -> dict[str, BatchEvent]:
    """The newest event of each batch that has one of ours; {} where there is no such topic. Raises KafkaUnavailable."""
    servers = client["bootstrap.servers"]
    own = {"group.id": "batchline-history", "enable.auto.commit": False, "auto.offset.reset": "error"}
    with usable(servers):
        consumer = Consumer({**client, **own}, logger=LIBRDKAFKA)
    try:
        found = consumer.list_topics(timeout=_TIMEOUT).topics.get(topic)
        partitions = list(found.partitions) if found is not None else []
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=_TIMEOUT) for p in partitions}
        begun = [TopicPartition(topic, p, low) for p, (low, high) in ends.items() if low < high]
        return _read(consumer, begun, {p: high for p, (_, high) in ends.items()}, servers) if begun else {}
    except KafkaException as error:
        raise unavailable(error, f"topic {topic} is read from its beginning", servers) from error
    finally:
        consumer.close()


def _read(consumer: Consumer, begun: list[TopicPartition], ends: dict[int, int], servers: str) -> dict[str, BatchEvent]:
    events: dict[str, BatchEvent] = {}
    consumer.assign(begun)
    patience = time.monotonic() + _PATIENCE
    while any(position.offset < ends[position.partition] for position in _positions(consumer, begun)):
        for message in consumer.consume(1000, timeout=0.5):
            fault = message.error()
            if fault is not None:
                if not is_away(fault):
                    raise KafkaException(fault)
                continue
            patience = time.monotonic() + _PATIENCE
            event = read_event(_bytes(message.key()), _bytes(message.value()))
            if isinstance(event, BatchEvent):
                events[event.batch_key] = event
        if time.monotonic() > patience:
            raise KafkaUnavailable(f"Kafka at {servers} gives no messages of the batches topic")
    return events


def _positions(consumer: Consumer, begun: list[TopicPartition]) -> list[TopicPartition]:
    """Where each partition is read on; before its first message that is where it begins."""
    starts = {start.partition: start for start in begun}
    asked = consumer.position([TopicPartition(start.topic, start.partition) for start in begun])
    return [each if each.offset >= 0 else starts[each.partition] for each in asked]


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
