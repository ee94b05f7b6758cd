"""Reading a stretch of one partition, from one offset to another, whatever stands between them."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from shared.errors import BatchlineError
from shared.kafka import LIBRDKAFKA, is_away

Isolation = Literal["read_committed", "read_uncommitted"]
_PATIENCE = 60.0
"""Seconds without a message after which the end counts as out of reach."""


class NotReached(BatchlineError):
    """The reader does not come to the end: `at` is as far as it may read, None where it was given nothing."""

    def __init__(self, at: int | None) -> None:
        super().__init__(f"nothing more is given, at offset {at}")
        self.at = at


def consumer(client: Mapping[str, str], isolation: Isolation) -> Consumer:
    """A consumer in no group, which begins where it is told to, and tells of a partition's end."""
    own: dict[str, Any] = {
        # Whatever stands there is not to fill the memory.
        "queued.max.messages.kbytes": 4096,
        "group.id": "batchline-progress",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": isolation,
    }
    return Consumer({**client, **own}, logger=LIBRDKAFKA)


def read(
    client: Mapping[str, str], isolation: Isolation, topic: str, partition: int, first: int, end: int
) -> Iterator[Message]:
    """The messages from offset `first` up to `end`. Raises NotReached, KafkaException."""
    reader = consumer(client, isolation)
    try:
        reader.assign([TopicPartition(topic, partition, first)])
        yield from _read(reader, first, end)
    finally:
        reader.close()


def _read(reader: Consumer, position: int, end: int) -> Iterator[Message]:
    at, patience = None, time.monotonic() + _PATIENCE
    while position < end:
        found = reader.poll(0.5)
        for message in [found, *reader.consume(1000, timeout=0)] if found is not None else []:
            error, offset = message.error(), message.offset() or 0
            if error is None:
                position, patience = offset + 1, time.monotonic() + _PATIENCE
                if offset < end:
                    yield message
            elif error.name() == "_PARTITION_EOF":
                # The end of what may be read: past control records, and past what was aborted.
                position = at = max(position, offset)
            elif not is_away(error):
                raise KafkaException(error)
        if time.monotonic() > patience:
            raise NotReached(at)
