"""Reads topics of a run to their ends with one consumer that lives as long as its slot: as a read_committed reader."""

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.chaos.patience import strain

_PATIENCE = 15.0
_LATE = 2.0


def read_to_the_end(consumer: Consumer, topics: Mapping[str, int], *, at_least: Mapping[str, int]) -> list[Message]:
    """Every committed message of these topics (name to partitions).

    A commit shows a moment after its producer was told so: `at_least` so many messages of a topic are waited for, for
    a while, and what comes then is read all the same.
    """
    consumer.assign([TopicPartition(topic, each, 0) for topic, count in topics.items() for each in range(count)])
    found: list[Message] = []
    open_ = {(topic, each) for topic, count in topics.items() for each in range(count)}
    missing = dict(at_least)
    end = time.monotonic() + _PATIENCE * strain()
    while (open_ or any(count > 0 for count in missing.values())) and time.monotonic() < end:
        first = consumer.poll(0.2)
        for message in [] if first is None else [first, *consumer.consume(1000, 0)]:
            place, error = (str(message.topic()), int(message.partition() or 0)), message.error()
            if error is None:
                found.append(message)
                missing[place[0]] = missing.get(place[0], 0) - 1
            elif error.code() == KafkaError._PARTITION_EOF:
                open_.discard(place)
                if missing.get(place[0], 0) > 0:
                    # What was committed last may not show yet, for a moment.
                    end = min(end, time.monotonic() + _LATE * strain())
            elif not error.retriable():
                raise KafkaException(error)
    consumer.unassign()
    return found
