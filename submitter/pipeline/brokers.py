"""What a file needs of its Kafka clusters: that they answer, that the topics are there, and which topics they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from shared.definition import Source
from shared.errors import BatchlineError, KafkaUnavailable
from shared.kafka import LIBRDKAFKA, KafkaClusters, unavailable
from shared.topic_limits import TopicLimits, limits_of
from shared.topics import cluster_id
from submitter.pipeline.references import referenced

_TIMEOUT = 5.0
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
"""The id of a topic on a broker that gives none."""


@dataclass
class Brokers:
    """Asks clusters; one that does not answer, or refuses, is asked and told once only."""

    clusters: KafkaClusters
    _told: set[str] = field(default_factory=set)
    """The clusters, and the ways to them, of which it was said that they can't be asked."""

    def source(self, declared: Mapping[str, str], topics: Sequence[str]) -> tuple[Source | None, list[str]]:
        """The identity of an input's topics, and what is wrong with them."""
        client = self._client(declared, topics)
        if client is None:
            return None, []
        ids, wrong = self._ids(client, topics)
        if wrong:
            return None, wrong
        return Source(cluster_id=self._cluster_id(client), topics=tuple((topic, ids[topic]) for topic in topics)), []

    def missing(self, declared: Mapping[str, str], topics: Sequence[str]) -> list[str]:
        """What is wrong with topics that are to be written."""
        client = self._client(declared, topics)
        if client is None:
            return []
        _, wrong = self._ids(client, topics)
        return [each for each in wrong if "has no id" not in each]

    def limits(self, declared: Mapping[str, str], topic: str) -> TopicLimits | None:
        """What a topic takes of a message; None where it can't be asked, which was told already.

        Raises KafkaUnavailable, BatchlineError for no such topic.
        """
        client = self._client(declared, [topic])
        return limits_of(client, topic) if client else None

    def batches_topic(self, declared: Mapping[str, str], topic: str) -> list[str]:
        """What is wrong with the batches topic; one that isn't there yet will be created."""
        client = self._client(declared, [topic])
        if client is None:
            return []
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            admin = _let_in(client)
            if topic not in admin.list_topics(timeout=_TIMEOUT).topics:
                return []
            found = admin.describe_configs([resource])[resource].result(_TIMEOUT)["cleanup.policy"].value
        except KafkaException as error:
            raise self._gone(client, error) from error
        except TimeoutError as error:
            raise self._silent(client) from error
        if found == "compact":
            return []
        message = (
            f"topic {topic} at {client['bootstrap.servers']} has cleanup.policy={found}, which forgets what must be "
            f"kept; set it: kafka-configs.sh --alter --entity-type topics --entity-name {topic} "
            "--add-config cleanup.policy=compact"
        )
        return [message]

    def _client(self, declared: Mapping[str, str], topics: Sequence[str]) -> dict[str, str] | None:
        """The properties of a client; None where what stands in the way was told already.

        A variable that is not set, for one, was told where the file refers to it.
        """
        names = {name for value in (*declared.values(), *topics) for name in referenced(value)}
        if not names <= self.clusters.environ.keys():
            return None
        client = self.clusters.client(declared["bootstrap.servers"], declared)
        return None if {client["bootstrap.servers"], _way(client)} & self._told else client

    def _cluster_id(self, client: Mapping[str, str]) -> str:
        try:
            return cluster_id(client)
        except KafkaUnavailable:
            self._told.add(client["bootstrap.servers"])
            raise

    def _ids(self, client: Mapping[str, str], topics: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """The id of each topic, and what is wrong with the others."""
        servers = client["bootstrap.servers"]
        try:
            admin = _let_in(client)
            futures = admin.describe_topics(TopicCollection(list(topics)), request_timeout=_TIMEOUT)
        except KafkaException as error:
            raise self._gone(client, error) from error
        ids, wrong = dict[str, str](), list[str]()
        for topic, future in futures.items():
            try:
                found = str(future.result(_TIMEOUT).topic_id)
            except TimeoutError as error:
                raise self._silent(client) from error
            except KafkaException as error:
                wrong.append(_topic_fault(topic, servers, error))
                continue
            if found == _NO_ID:
                wrong.append(f"topic {topic} at {servers} has no id: its brokers are older than Kafka 2.8")
            ids[topic] = found
        return ids, wrong

    def _gone(self, client: Mapping[str, str], error: KafkaException) -> BatchlineError:
        servers = client["bootstrap.servers"]
        known = unavailable(error, "its topics are looked up", servers)
        if isinstance(known, BatchlineError):
            self._told.add(servers)
            return known
        self._told.add(_way(client))
        return BatchlineError(f"Kafka at {servers} refuses: {_said(error)}")

    def _silent(self, client: Mapping[str, str]) -> BatchlineError:
        servers = client["bootstrap.servers"]
        self._told.add(servers)
        return KafkaUnavailable(f"Kafka at {servers} does not answer while its topics are looked up")


def _let_in(client: Mapping[str, str]) -> AdminClient:
    """A client that the cluster has answered. Raises KafkaException, with the reason of one that keeps it out.

    librdkafka tells of a wrong password or certificate beside the call, which itself only times out; and its time-out
    is kept also where no broker answers at all, unlike that of other calls.
    """
    heard: list[KafkaError] = []
    settings: dict[str, Any] = {**client, "error_cb": heard.append}
    admin = AdminClient(settings, logger=LIBRDKAFKA)
    try:
        admin.list_topics(timeout=_TIMEOUT)
    except KafkaException as error:
        admin.poll(0)
        kept_out = (each for each in heard if each.name() in ("_AUTHENTICATION", "_SSL") or " SSL " in each.str())
        reason = next(kept_out, None)
        raise (error if reason is None else KafkaException(reason)) from error
    return admin


def _way(client: Mapping[str, str]) -> str:
    """A cluster with all that a client says to it; others may be let in."""
    return repr(sorted(client.items()))


def _topic_fault(topic: str, servers: str, error: KafkaException) -> str:
    code = error.args[0].code() if error.args and isinstance(error.args[0], KafkaError) else None
    if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return (
            f"there is no topic {topic} at {servers}: create it, such as with "
            f"kafka-topics.sh --create --topic {topic} --bootstrap-server {servers}"
        )
    return f"topic {topic} at {servers} can't be looked up: {_said(error)}"


def _said(error: KafkaException) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
