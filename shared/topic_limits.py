"""What a topic takes of a message: its size, whether it must have a key, and which timestamps of its own it may have.

A broker refuses the whole transaction for one message that it does not take.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from shared.errors import BatchlineError, KafkaUnavailable
from shared.kafka import LIBRDKAFKA, unavailable
from shared.topics import is_compacted

DEFAULT_BYTES = 1_000_000
"""Bytes of a message that every topic takes unless it was told otherwise."""
HOUR = 3_600_000
"""Milliseconds: how far ahead a timestamp may lie where nobody says otherwise."""
ALWAYS = 2**63 - 1
_SLACK = 60_000
"""Milliseconds between our clock and the broker's, and between the look at a message and the broker's."""
_TIMEOUT = 10.0
_REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


@dataclass(frozen=True)
class TopicLimits:
    """Of one topic; the defaults are Kafka 4's, and hold for a topic whose settings we may not see."""

    size: int = DEFAULT_BYTES
    """Bytes of a message."""
    needs_key: bool = False
    before: int = ALWAYS
    """Milliseconds that a timestamp may lie in the past."""
    after: int = HOUR
    """Milliseconds that it may lie in the future."""
    stamps: bool = False
    """The broker puts the time of its writing in place of any other."""

    def refusal(self, key: bytes | None, timestamp: int | None) -> str | None:
        """Why the topic takes no message with this key, or with this timestamp of its own."""
        if key is None and self.needs_key:
            return "the topic is compacted, and takes no message without a key"
        if timestamp is None:
            return None
        ahead = timestamp - int(time.time() * 1000)
        if ahead > _nearly(self.after):
            return f"the timestamp lies {ahead / 1000:,.0f} s ahead, and the topic takes {self.after / 1000:,.0f} s"
        if -ahead > _nearly(self.before):
            return f"the timestamp is {-ahead / 1000:,.0f} s old, and the topic takes {self.before / 1000:,.0f} s"
        return None

    def nearest(self, key: bytes | None, timestamp: int | None) -> tuple[bytes | None, int | None]:
        """The key and the timestamp of a message that has to be taken: an empty key, or the time of its writing."""
        taken = b"" if key is None and self.needs_key else key
        return taken, timestamp if self.refusal(taken, timestamp) is None else None


def limits_of(client: Mapping[str, str], topic: str) -> TopicLimits:
    """Ask a topic's cluster. Raises KafkaUnavailable, BatchlineError for no such topic."""
    servers = client["bootstrap.servers"]
    admin = AdminClient(dict(client), logger=LIBRDKAFKA)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        described = admin.describe_configs([resource], request_timeout=_TIMEOUT)[resource].result(_TIMEOUT)
    except KafkaException as error:
        code = error.args[0].code()
        if code in _REFUSED:
            return TopicLimits()
        if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise BatchlineError(f"topic {topic} does not exist at {servers}; create it") from error
        raise unavailable(error, f"topic {topic} is looked at", servers) from error
    except TimeoutError as error:
        raise KafkaUnavailable(f"Kafka at {servers} does not answer while topic {topic} is looked at") from error
    return read_limits({name: entry.value for name, entry in described.items()})


def read_limits(settings: Mapping[str, str | None]) -> TopicLimits:
    """The limits that a topic's settings say. Before Kafka 3.6 one setting holds for both directions of time."""

    def span(direction: str) -> int:
        names = (f"message.timestamp.{direction}.max.ms", "message.timestamp.difference.max.ms")
        return min(int(settings.get(name) or ALWAYS) for name in names)

    is_ours = settings.get("message.timestamp.type") != "LogAppendTime"
    return TopicLimits(
        size=int(settings["max.message.bytes"] or DEFAULT_BYTES),
        needs_key=is_compacted(settings.get("cleanup.policy")),
        before=span("before") if is_ours else ALWAYS,
        after=span("after") if is_ours else ALWAYS,
        stamps=not is_ours,
    )


def _nearly(limit: int) -> int:
    return limit - min(_SLACK, limit // 2)
