"""Reading a topic to its end, and filling one: what a test needs to count records."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

Isolation = Literal["read_committed", "read_uncommitted"]
LOCAL_QUEUE = 50_000


@dataclass(frozen=True)
class Record:
    """A message as it lies in a topic; `timestamp` in milliseconds since the epoch."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]
    timestamp: int

    def json(self) -> Any:
        """The value, parsed."""
        assert self.value is not None, f"a tombstone at partition {self.partition}, offset {self.offset}"
        return json.loads(self.value)


def read_topic(
    bootstrap: str,
    topic: str,
    isolation: Isolation = "read_committed",
    *,
    at_least: int = 0,
    deadline: float = 60.0,
) -> list[Record]:
    """Every record of the topic by partition and offset, up to the end of each partition.

    With `at_least` it waits for that many first (a commit shows a moment after its producer was told so), and still
    reads to the end, so that surplus records are seen too. After `deadline` seconds it is a TimeoutError.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "read-topic",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "fetch.wait.max.ms": 50,
            "fetch.error.backoff.ms": 50,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found = _read(consumer, len(partitions), at_least, time.monotonic() + deadline)
    finally:
        consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _read(consumer: Consumer, partitions: int, at_least: int, end: float) -> list[Record]:
    found: list[Record] = []
    ended: set[int] = set()
    while len(ended) < partitions or len(found) < at_least:
        if time.monotonic() > end:
            raise TimeoutError(f"{len(found)} records, {len(ended)} of {partitions} partitions read to their ends")
        for message in consumer.consume(1000, timeout=0.1):
            partition, error = message.partition(), message.error()
            assert partition is not None
            if error is None:
                ended.discard(partition)
                found.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(partition)
            elif not error.retriable():
                raise KafkaException(error)
    return found


def _record(message: Message) -> Record:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    headers: dict[str, bytes | None] = {}
    pairs = message.headers() or []
    for name, value in pairs.items() if isinstance(pairs, dict) else pairs:
        headers[name] = value.encode() if isinstance(value, str) else value
    return Record(partition, offset, message.key(), message.value(), headers, message.timestamp()[1])


def fill_topic(bootstrap: str, topic: str, values: Iterable[Any], *, key: Callable[[Any], bytes] | None = None) -> int:
    """Produce `values` (bytes as they are, None as a tombstone, anything else as JSON); how many there were.

    `key` makes a record's key from its value; without it records are spread over the partitions.
    """
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True})
    outcomes: list[KafkaError | None] = []
    for value in values:
        body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        while len(producer) >= LOCAL_QUEUE:
            producer.poll(0.1)
        producer.produce(topic, body, key(value) if key else None, on_delivery=lambda error, _: outcomes.append(error))
        producer.poll(0)
    assert producer.flush(60) == 0, f"{topic} did not take every record within 60 s"
    failed = [error for error in outcomes if error]
    assert not failed, failed[0]
    return len(outcomes)
