"""Whether the earlier transactions of a producer have ended on every partition that its next one may write to.

When a transaction is committed or aborted, Kafka 4's coordinator leaves out the markers of partitions that have no
leader, and calls it complete (KAFKA-20734; seen with 4.3.1). The next marker of the same producer there then ends both
transactions: what was aborted comes out with the next commit, and what was committed is taken back by the next abort.

Where the last stable offset is the partition's end, nothing is open. Where it is not, somebody's transaction is, maybe
another producer's; then a leader epoch that has not changed since all was well says that no leader was missing.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from poller.publish.reading import NotReached, read
from shared.errors import BatchlineError, KafkaUnavailable
from shared.kafka import LIBRDKAFKA, unavailable
from shared.topics import LATEST

_TIMEOUT = 10.0
_MOMENT = 0.02
"""Seconds in which the markers of a transaction that has just ended are written."""
_SOON = 0.002
Place = tuple[str, int]
"""A topic and a partition of it."""


@dataclass(frozen=True)
class Unended:
    """The messages of a place that no read_committed reader is given: from the first open transaction's on."""

    place: Place
    first: int
    end: int


class Endings:
    """What one producer knows of the places that it writes to. All methods raise KafkaUnavailable."""

    def __init__(self, client: Mapping[str, str]) -> None:
        self._client = client
        self._admin = AdminClient(dict(client), logger=LIBRDKAFKA)
        self._servers = client["bootstrap.servers"]
        self._known: dict[Place, int] = {}
        """The leader epochs of the last time that every earlier transaction was known to have ended."""
        self._seen: dict[Place, int] = {}

    def have_come(self, topics: Collection[str], own: Place) -> bool:
        """Whether nothing is open in `topics`, nor at `own`; or soon is not. To be asked between transactions."""
        soon = Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_delay(_MOMENT),
            wait=wait_fixed(_SOON),
            retry_error_callback=lambda _: True,
        )
        if soon(self._open, self._ends(self._everywhere(topics, own))):
            return False
        self.accept()
        return True

    def missing(self, topics: Collection[str]) -> list[Unended]:
        """Where in `topics` an earlier transaction may be open still, though its coordinator calls it complete.

        It does so once a message of a later one is acknowledged. None of that one may have been sent to `topics`.
        """
        return self._doubtful(self._ends(self._places(topics)))

    def missing_at(self, own: Place) -> list[Unended]:
        """As `missing`, at a place where the present transaction has one message, and nobody else has any."""
        return self._doubtful({place: end - 1 for place, end in self._ends([own]).items()})

    def accept(self) -> None:
        """Count the earlier transactions as ended, as of the last look at each place."""
        self._known |= self._seen

    def see_leaders(self, topics: Collection[str], own: Place) -> None:
        """Return if each place has a leader: what ends now has its markers everywhere."""
        self._offsets(self._everywhere(topics, own), IsolationLevel.READ_UNCOMMITTED)

    def messages(self, unended: Unended) -> Iterator[Message]:
        """What stands there, whatever becomes of it. Raises BatchlineError where it may not be read."""
        topic, _ = unended.place
        try:
            yield from read(self._client, "read_uncommitted", *unended.place, unended.first, unended.end)
        except NotReached as error:
            raise KafkaUnavailable(f"Kafka at {self._servers} gives no messages of topic {topic}") from error
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise BatchlineError(
                    f"topic {topic} at {self._servers} has a transaction open, and may not be read to see whose it is: "
                    f"grant READ on it to the poller's user (kafka-acls.sh --add --operation Read --topic {topic})"
                ) from error
            raise unavailable(error, f"topic {topic} is read", self._servers) from error

    def _doubtful(self, ends: Mapping[Place, int]) -> list[Unended]:
        def is_led_as_before(place: Place) -> bool:
            return self._seen[place] >= 0 and self._known.get(place) == self._seen[place]

        return [each for each in self._open(ends) if not is_led_as_before(each.place)]

    def _everywhere(self, topics: Collection[str], own: Place) -> list[Place]:
        return [*self._places(topics), *(place for place in self._places([own[0]]) if place == own)]

    def _places(self, topics: Collection[str]) -> list[Place]:
        """Their partitions; asked for anew each time, or the client would take former leaders for theirs."""
        doing = "the partitions of its topics are asked for"
        try:
            known = {topic: self._admin.list_topics(topic, _TIMEOUT).topics[topic] for topic in topics}
        except KafkaException as error:
            raise unavailable(error, doing, self._servers) from error
        for metadata in known.values():
            if metadata.error is not None:
                raise unavailable(KafkaException(metadata.error), doing, self._servers)
        return [(topic, number) for topic, metadata in known.items() for number in metadata.partitions]

    def _ends(self, places: Collection[Place]) -> dict[Place, int]:
        found = self._offsets(places, IsolationLevel.READ_UNCOMMITTED)
        self._seen |= {place: epoch for place, (_, epoch) in found.items()}
        return {place: offset for place, (offset, _) in found.items()}

    def _open(self, ends: Mapping[Place, int]) -> list[Unended]:
        stable = self._offsets(ends, IsolationLevel.READ_COMMITTED)
        return [Unended(place, stable[place][0], end) for place, end in ends.items() if stable[place][0] < end]

    def _offsets(self, places: Collection[Place], isolation: IsolationLevel) -> dict[Place, tuple[int, int]]:
        """The end of each place, and its leader's epoch; -1 where that is not told."""
        asked = {TopicPartition(*place): LATEST for place in places}
        try:
            answers = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=_TIMEOUT)
            results = {(at.topic, at.partition): answer.result(_TIMEOUT) for at, answer in answers.items()}
        except KafkaException as error:
            raise unavailable(error, "the ends of its partitions are asked for", self._servers) from error
        except TimeoutError as error:
            raise KafkaUnavailable(
                f"Kafka at {self._servers} does not answer while the ends of its partitions are asked for"
            ) from error
        return {
            place: (result.offset, -1 if result.leader_epoch is None else result.leader_epoch)
            for place, result in results.items()
        }
