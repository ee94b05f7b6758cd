"""Which installation read the batches topic: its consumer group is named by it, and outlives the state store."""

import re
from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from shared.errors import KafkaUnavailable
from shared.kafka import LIBRDKAFKA, unavailable

_GROUP = re.compile(r"batchline-([0-9a-f]{32})")
_TIMEOUT = 10.0


def installation_of(client: Mapping[str, str], topic: str) -> str | None:
    """The one installation that has read a topic; None where none or several have. Raises KafkaUnavailable."""
    servers = client["bootstrap.servers"]
    admin = AdminClient(dict(client), logger=LIBRDKAFKA)
    try:
        groups = admin.list_consumer_groups(request_timeout=_TIMEOUT).result(_TIMEOUT).valid
        named = [match[1] for match in (_GROUP.fullmatch(group.group_id) for group in groups) if match]
        found = [name for name in named if _has_read(admin, f"batchline-{name}", topic)]
    except KafkaException as error:
        raise unavailable(error, "consumer groups are listed", servers) from error
    except TimeoutError as error:
        raise KafkaUnavailable(f"Kafka at {servers} does not answer while consumer groups are listed") from error
    return found[0] if len(found) == 1 else None


def _has_read(admin: AdminClient, group: str, topic: str) -> bool:
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=_TIMEOUT)
    partitions = asked[group].result(_TIMEOUT).topic_partitions or []
    return any(partition.topic == topic and partition.offset >= 0 for partition in partitions)
