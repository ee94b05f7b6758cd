"""The batches topic, read in a consumer group whose offsets are committed only when the rows are durable."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shared.errors import KafkaUnavailable
from shared.kafka import LIBRDKAFKA, unavailable

_PROBE = 5.0
_OURS = {
    # Events are small; the queue would otherwise take up to 64 MB.
    "queued.max.messages.kbytes": 4096,
    "session.timeout.ms": 30000,
}
_NEEDED = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
}


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it came, trusted in nothing."""

    key: bytes | None
    value: bytes | None
    where: str
    """topic/partition/offset."""


class Events(Protocol):
    """Where batch events come from."""

    def take(self, most: int, wait: float) -> list[Raw]:
        """Up to `most` events, waiting up to `wait` seconds for the first. Raises KafkaUnavailable."""
        ...

    def settle(self) -> None:
        """Everything taken so far is durable: don't give it to this group again. Raises KafkaUnavailable."""
        ...

    def give_back(self) -> None:
        """What was taken and not settled is to be taken again. Raises KafkaUnavailable."""
        ...

    def is_drained(self) -> bool:
        """Whether the group is joined, and all that was there has been taken."""
        ...

    def close(self) -> None: ...


class KafkaEvents:
    """Batch events of a topic, shared out among the pollers of one store."""

    def __init__(self, client: Mapping[str, str], topic: str, group: str) -> None:
        self._servers, self._topic = client["bootstrap.servers"], topic
        self._down: KafkaError | None = None
        self._assigned: list[TopicPartition] | None = None
        self._first: dict[tuple[str, int], int] = {}
        self._next: dict[tuple[str, int], int] = {}
        config: dict[str, Any] = {**_OURS, **client, **_NEEDED, "group.id": group, "error_cb": self._on_error}
        self._consumer = Consumer(config, logger=LIBRDKAFKA)
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke)

    def take(self, most: int, wait: float) -> list[Raw]:
        """Up to `most` events, waiting up to `wait` seconds for the first. Raises KafkaUnavailable."""
        try:
            first = self._consumer.poll(wait)
            messages = [first, *self._consumer.consume(most - 1, 0)] if first is not None and most > 1 else [first]
        except KafkaException as error:
            raise unavailable(error, f"topic {self._topic} is read", self._servers) from error
        raws = []
        for message in messages:
            if message is None:
                continue
            fault = message.error()
            if fault is not None:
                self._raise(fault)
                continue
            topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            self._first.setdefault((topic, partition), offset)
            self._next[topic, partition] = offset + 1
            raws.append(Raw(_bytes(message.key()), _bytes(message.value()), f"{topic}/{partition}/{offset}"))
        if not raws:
            self._probe()
        return raws

    def settle(self) -> None:
        """Commit the offsets of all that was taken. A partition that has gone to another poller is its own."""
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._next.items()]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID):
                raise unavailable(error, f"offsets of {self._topic} are committed", self._servers) from error
        self._forget()

    def give_back(self) -> None:
        """Go back to the first event that is not settled. Raises KafkaUnavailable."""
        mine = {(partition.topic, partition.partition) for partition in self._assigned or ()}
        try:
            for (topic, partition), offset in self._first.items():
                if (topic, partition) in mine:
                    self._consumer.seek(TopicPartition(topic, partition, offset))
        except KafkaException as error:
            raise unavailable(error, f"topic {self._topic} is read again", self._servers) from error
        self._forget()

    def is_drained(self) -> bool:
        """Whether the group is joined, and every assigned partition is read to its end."""
        if self._assigned is None:
            return False
        try:
            return all(self._at_end(partition) for partition in self._assigned)
        except KafkaException as error:
            raise unavailable(error, f"the end of {self._topic} is asked for", self._servers) from error

    def close(self) -> None:
        """Leave the group, so that another poller gets the partitions at once."""
        self._consumer.close()

    def _forget(self) -> None:
        self._first.clear()
        self._next.clear()

    def _at_end(self, partition: TopicPartition) -> bool:
        _, high = self._consumer.get_watermark_offsets(partition, timeout=_PROBE)
        position = self._consumer.position([partition])[0].offset
        if position < 0:
            position = self._consumer.committed([partition], timeout=_PROBE)[0].offset
        return high == 0 or position >= high

    def _probe(self) -> None:
        """After an error of the connection, find out whether it has passed: an idle topic and a dead one look alike."""
        if self._down is None:
            return
        try:
            self._consumer.list_topics(self._topic, timeout=_PROBE)
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka at {self._servers} does not answer: {self._down.str()}") from error
        self._down = None

    def _raise(self, fault: KafkaError) -> None:
        if fault.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise KafkaUnavailable(f"topic {self._topic} does not exist at {self._servers}")
        error = unavailable(KafkaException(fault), f"topic {self._topic} is read", self._servers)
        raise error

    def _on_error(self, error: KafkaError) -> None:
        self._down = error

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = partitions

    def _on_revoke(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        # Whoever has the partitions next starts at what is committed.
        self._forget()
        self._assigned = None


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
