"""Our own topics: created compacted, with explicit partitions and replication, verified; and a cluster's identity."""

from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from shared.errors import KafkaUnavailable, TopicMismatch
from shared.kafka import LIBRDKAFKA, is_away, unavailable, usable
from shared.telemetry import Action, log

_TIMEOUT = 10.0
_REACH = 5.0
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's only way to it
BATCHES_PARTITIONS = 4
"""Of a batches topic that we create: pollers of one store share them out."""


def ensure_topic(client: Mapping[str, str], name: str, partitions: int, replication: int) -> int:
    """See that a compacted topic exists with at least `partitions`; gives how many it has.

    A topic that exists keeps its settings, but may grow. Raises TopicMismatch for a cleanup.policy that forgets,
    KafkaUnavailable when the cluster does not answer, SettingsError for a property that can't be used.
    """
    servers = client["bootstrap.servers"]
    with usable(servers):
        admin = AdminClient(dict(client), logger=LIBRDKAFKA)
    # A topic that was just created, here or by another, is unknown to some broker for a moment.
    settles = Retrying(
        retry=retry_if_exception(_is_unsettled), stop=stop_after_delay(_REACH), wait=wait_fixed(0.1), reraise=True
    )
    try:
        found = _partitions(admin, name)
        if not found:
            _create(admin, name, partitions, replication)
        settles(_verify, admin, name, servers)
        if not found:
            found = settles(_led_partitions, admin, name)
    except KafkaException as error:
        raise unavailable(error, f"topic {name} is verified", servers) from error
    except TimeoutError as error:
        raise KafkaUnavailable(f"Kafka at {servers} does not answer while topic {name} is verified") from error
    return found


def cluster_id(client: Mapping[str, str]) -> str:
    """The identity of a cluster, which does not change with its addresses. Raises KafkaUnavailable, SettingsError."""
    servers = client["bootstrap.servers"]
    with usable(servers):
        # Kept until the answer is here: a client that is collected breaks off its calls.
        admin = AdminClient(dict(client), logger=LIBRDKAFKA)
    try:
        described = admin.describe_cluster(request_timeout=_REACH).result(_REACH)
    except KafkaException as error:
        raise unavailable(error, "its cluster id is asked for", servers) from error
    except TimeoutError as error:
        raise KafkaUnavailable(f"Kafka at {servers} does not answer while its cluster id is asked for") from error
    return str(described.cluster_id)


def is_compacted(policy: str | None) -> bool:
    """Whether a topic of this cleanup.policy keeps the newest message of each key, and takes none without one."""
    return "compact" in (policy or "").split(",")


def _partitions(admin: AdminClient, name: str) -> int:
    metadata = admin.list_topics(timeout=_REACH).topics
    return len(metadata[name].partitions) if name in metadata else 0


def _led_partitions(admin: AdminClient, name: str) -> int:
    """As `_partitions`, of a topic that is there. Raises KafkaException while its brokers do not know it is theirs."""
    found = _partitions(admin, name)
    if not found:
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    asked = {TopicPartition(name, number): LATEST for number in range(found)}
    for answer in admin.list_offsets(asked, request_timeout=_REACH).values():
        answer.result(_REACH)
    return found


def _is_unsettled(error: BaseException) -> bool:
    if not isinstance(error, KafkaException):
        return False
    cause = error.args[0]
    return cause.code() == KafkaError.UNKNOWN_TOPIC_OR_PART or is_away(cause)


def _create(admin: AdminClient, name: str, partitions: int, replication: int) -> None:
    """Create a topic, unless another has created it meanwhile."""
    topic = NewTopic(
        name, num_partitions=partitions, replication_factor=replication, config={"cleanup.policy": "compact"}
    )
    try:
        admin.create_topics([topic], operation_timeout=_TIMEOUT)[name].result(_TIMEOUT)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    else:
        log(Action.TOPIC_CREATED, topic=name, partitions=partitions, replication=replication)


def _verify(admin: AdminClient, name: str, servers: str) -> None:
    resource = ConfigResource(ResourceType.TOPIC, name)
    policy = admin.describe_configs([resource])[resource].result(_TIMEOUT)["cleanup.policy"].value
    if policy != "compact":
        raise TopicMismatch(
            f"topic {name} at {servers} has cleanup.policy={policy}, which forgets what must be kept; "
            f"set it: kafka-configs.sh --alter --entity-type topics --entity-name {name} "
            "--add-config cleanup.policy=compact"
        )
