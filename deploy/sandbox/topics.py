"""Topics with explicit settings: nothing in the sandbox relies on what a broker would choose by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic


@dataclass(frozen=True)
class TopicSettings:
    """What a topic is created with. `config` takes any further topic setting of Kafka's, by its own name."""

    partitions: int = 1
    replication: int = 1
    cleanup: Literal["delete", "compact"] = "delete"
    config: Mapping[str, str] = field(default_factory=dict)


def create_topics(bootstrap: str, topics: Mapping[str, TopicSettings], *, deadline: float = 30.0) -> None:
    """Create `topics`; one that exists already is left as it is. Any other refusal is a KafkaException."""
    new = [
        NewTopic(
            name,
            num_partitions=settings.partitions,
            replication_factor=settings.replication,
            config={"cleanup.policy": settings.cleanup, **settings.config},
        )
        for name, settings in topics.items()
    ]
    if not new:
        return
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    for created in admin.create_topics(new, operation_timeout=deadline).values():
        try:
            created.result(deadline)
        except KafkaException as refused:
            if refused.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
