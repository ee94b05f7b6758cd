"""Whether the earlier transactions of a producer have ended on every partition that its next one may write to.

When a transaction is committed or aborted, Kafka 4's coordinator leaves out the markers of partitions that have no
leader, and calls it complete (KAFKA-20734; seen with 4.3.1). The next marker of the same producer there then ends both
transactions: what was aborted comes out with the next commit, and what was committed is taken back by the next abort.

Where the last stable offset is the partition's end, nothing is open. Where it is not, somebody's transaction is, maybe
another producer's; then a leader epoch that has not changed since all was well says that no leader was missing.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import IsolationLevel, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from poller.publish.reading import NotReached, read
from shared.errors import KafkaUnavailable
from shared.kafka import LIBRDKAFKA, unavailable
from shared.topics import LATEST

_TIMEOUT = 10.0
_MOMENT = 0.1
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
        if soon(self._open, self._ends(topics, own)):
            return False
        self.accept()
        return True

    def missing(self, topics: Collection[str], own: Place) -> list[Unended]:
        """Where an earlier transaction may be open still, though its coordinator calls it complete.

        To be asked once the present transaction has a message at `own`, which is acknowledged and not counted.
        """
        ends = self._ends(topics, own)
        ends[own] -= 1
        return [each for each in self._open(ends) if self._known.get(each.place) != self._seen[each.place]]

    def accept(self) -> None:
        """Count the earlier transactions as ended, as of the last look."""
        self._known |= self._seen

    def messages(self, unended: Unended) -> Iterator[Message]:
        """What stands there, whatever becomes of it."""
        try:
            yield from read(self._client, "read_uncommitted", *unended.place, unended.first, unended.end)
        except NotReached as error:
            raise KafkaUnavailable(f"Kafka at {self._servers} gives no messages of topic {unended.place[0]}") from error
        except KafkaException as error:
            raise unavailable(error, f"topic {unended.place[0]} is read", self._servers) from error

    def _ends(self, topics: Collection[str], own: Place) -> dict[Place, int]:
        try:
            known = {topic: self._admin.list_topics(topic, _TIMEOUT).topics[topic].partitions for topic in topics}
        except KafkaException as error:
            raise unavailable(error, "the partitions of its topics are asked for", self._servers) from error
        places = [own, *((topic, number) for topic, numbers in known.items() for number in numbers)]
        found = self._offsets(places, IsolationLevel.READ_UNCOMMITTED)
        self._seen = {place: epoch for place, (_, epoch) in found.items()}
        return {place: offset for place, (offset, _) in found.items()}

    def _open(self, ends: Mapping[Place, int]) -> list[Unended]:
        stable = self._offsets(ends, IsolationLevel.READ_COMMITTED)
        return [Unended(place, stable[place][0], end) for place, end in ends.items() if stable[place][0] < end]

    def _offsets(self, places: Collection[Place], isolation: IsolationLevel) -> dict[Place, tuple[int, int]]:
        """The end of each place, and its leader's epoch."""
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
        return {place: (result.offset, result.leader_epoch or 0) for place, result in results.items()}
