"""Where a Kafka table's own startup mode begins, as concrete offsets: asked of the broker before the job starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from shared.errors import SettingsError
from shared.kafka import LIBRDKAFKA, unavailable

_TIMEOUT = 10.0
_SPECIFIC = re.compile(r"partition:(\d+),offset:(\d+)")


@dataclass(frozen=True)
class Watermarks:
    """The offsets that a partition holds: [low, high)."""

    low: int
    high: int


class TopicOffsets:
    """One topic's partitions. Raises KafkaUnavailable when the cluster does not answer."""

    def __init__(self, client: Mapping[str, str], topic: str, options: Mapping[str, str]) -> None:
        """`client`: librdkafka's properties; `options`: the Flink table's."""
        self._topic, self._options = topic, options
        self._servers = client["bootstrap.servers"]
        group = options.get("properties.group.id", "batchline")
        own: dict[str, Any] = {"group.id": group, "enable.auto.commit": False, "logger": LIBRDKAFKA}
        self._consumer = Consumer({**client, **own})

    def watermarks(self) -> dict[int, Watermarks]:
        """By partition."""
        try:
            metadata = self._consumer.list_topics(self._topic, _TIMEOUT).topics[self._topic]
            return {
                partition: Watermarks(
                    *self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), _TIMEOUT)
                )
                for partition in metadata.partitions
            }
        except KafkaException as error:
            raise unavailable(error, f"the offsets of topic {self._topic} are asked for", self._servers) from error

    def startup(self, marks: Mapping[int, Watermarks]) -> dict[int, int]:
        """Where the table's `scan.startup.mode` begins, by partition.

        Raises SettingsError where it begins nowhere: group offsets that were never committed, and no reset.
        """
        mode = self._options.get("scan.startup.mode", "group-offsets")
        match mode:
            case "earliest-offset":
                return {partition: mark.low for partition, mark in marks.items()}
            case "latest-offset":
                return {partition: mark.high for partition, mark in marks.items()}
            case "timestamp":
                return self._at_timestamp(marks)
            case "specific-offsets":
                text = self._options.get("scan.startup.specific-offsets", "")
                chosen = {int(partition): int(offset) for partition, offset in _SPECIFIC.findall(text)}
                return {partition: chosen.get(partition, mark.low) for partition, mark in marks.items()}
            case _:
                return self._committed(marks)

    def close(self) -> None:
        self._consumer.close()

    def _at_timestamp(self, marks: Mapping[int, Watermarks]) -> dict[int, int]:
        moment = int(self._options["scan.startup.timestamp-millis"])
        asked = [TopicPartition(self._topic, partition, moment) for partition in marks]
        try:
            found = self._consumer.offsets_for_times(asked, _TIMEOUT)
        except KafkaException as error:
            raise unavailable(error, f"topic {self._topic} is asked for a time", self._servers) from error
        return {each.partition: each.offset if each.offset >= 0 else marks[each.partition].high for each in found}

    def _committed(self, marks: Mapping[int, Watermarks]) -> dict[int, int]:
        try:
            found = self._consumer.committed([TopicPartition(self._topic, partition) for partition in marks], _TIMEOUT)
        except KafkaException as error:
            raise unavailable(error, "committed offsets are asked for", self._servers) from error
        return {
            each.partition: each.offset if each.offset >= 0 else self._reset(marks[each.partition]) for each in found
        }

    def _reset(self, mark: Watermarks) -> int:
        match self._options.get("properties.auto.offset.reset", "none"):
            case "earliest":
                return mark.low
            case "latest":
                return mark.high
            case _:
                raise SettingsError(
                    f"topic {self._topic} starts from its group's offsets, and the group has none: "
                    "add 'scan.startup.mode' = 'earliest-offset' (or 'latest-offset') to the table's options"
                )
