"""A topic that is deleted and created again: the same name, another id, offsets from 0 on."""

from contextlib import suppress

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from deploy.sandbox.broker import LocalBroker
from deploy.sandbox.topics import TopicSettings
from tests.rig.waiting import wait_until


def recreate_topic(broker: LocalBroker, topic: str) -> None:
    """Return when every client sees the new one."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 30, f"{topic} to be gone")
    broker.create_topics({topic: TopicSettings()})

    def is_there() -> bool:
        # One that was just created is unknown to the broker for a moment.
        with suppress(KafkaException):
            return bool(admin.describe_topics(TopicCollection([topic]))[topic].result(30))
        return False

    wait_until(is_there, 30, f"{topic} to be there again")
