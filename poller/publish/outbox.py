"""A shard's outbox: outputs go out in transactions that also carry the batch's progress marker.

Opening it fences whoever had the shard before, and reads what that one committed. A marker is the truth about a batch.
What an earlier transaction left open, though it was said to have ended, is aborted before the next one commits.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from confluent_kafka import KafkaException, Message

from poller.publish.doubts import Found, is_ahead, last_aborted, transaction_header
from poller.publish.endings import Endings, Place, Unended
from poller.publish.markers import Markers
from poller.publish.messages import Outgoing
from poller.publish.progress import replay
from poller.publish.transactions import Aborted, Transactions
from shared.errors import KafkaUnavailable
from shared.failpoints import Failpoint, reached
from shared.messages import ProgressMarker
from shared.telemetry import Action, log

_LOOK = 128
"""Messages between two looks at the clock and at the client's events."""
_TRIES = 3
"""Looks at what an earlier transaction has left open, before the cluster counts as away."""
_NOW, _FIRST = 0, 1
"""The client takes the timestamp 0 for none, and writes the time: the epoch itself goes as a millisecond later."""


@dataclass(frozen=True)
class Shard:
    """Where a batch is published, and by whom."""

    installation: str
    cluster: str
    number: int

    @property
    def transactional_id(self) -> str:
        return f"batchline-{self.installation}-{self.cluster}-{self.number}"

    @property
    def lease(self) -> str:
        return f"shard/{self.cluster}/{self.number}"


@dataclass(frozen=True)
class Bounds:
    """When a transaction has enough in it: whichever comes first."""

    records: int = 10_000
    bytes: int = 8 << 20
    seconds: float = 10.0


def producer_settings(client: Mapping[str, str], shard: Shard, batch_bytes: int) -> dict[str, Any]:
    """The producer's properties: the cluster's own win, save for those that the guarantee rests on."""
    ours = {
        "linger.ms": 5,
        "queue.buffering.max.kbytes": 32 << 10,
        # Each topic's own limit is checked before a message gets here.
        "message.max.bytes": 1_000_000_000,
        "transaction.timeout.ms": 60_000,
    }
    needed = {
        "batch.size": batch_bytes,
        "transactional.id": shard.transactional_id,
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
    }
    return {**ours, **client, **needed}


class Outbox:
    """One shard's transactions and markers."""

    transactions: ClassVar[type[Transactions]] = Transactions
    endings: ClassVar[type[Endings]] = Endings

    def __init__(
        self,
        client: Mapping[str, str],
        shard: Shard,
        progress_topic: str,
        waits: Callable[[str], None],
        *,
        batch_bytes: int,
        bounds: Bounds,
    ) -> None:
        """Fence the shard's former owner and read its markers. Raises KafkaUnavailable."""
        self.shard, self.batch_bytes = shard, batch_bytes
        self.topics: Collection[str] = ()
        """Those that the next messages may go to."""
        self._topic, self._bounds = progress_topic, bounds
        self._endings = self.endings(client)
        self._transactions = self.transactions(producer_settings(client, shard, batch_bytes), waits)
        reached(Failpoint.SHARD_FENCED)
        self._markers: Markers = replay(client, progress_topic, shard.number)

    @property
    def is_dead(self) -> bool:
        """Whether another has to be opened."""
        return self._transactions.is_dead

    def marker(self, batch_key: str) -> ProgressMarker:
        """How far a batch has come, as it is committed. Raises ForeignMarker."""
        return self._markers.of(batch_key)

    def send(self, batch_key: str, messages: Iterator[Outgoing]) -> ProgressMarker:
        """Commit the next messages of a batch in one transaction, with its marker: `done` when no more are left.

        Raises Aborted: `messages` must then be begun anew. Raises MustRestart when the outcome is unknown, and
        KafkaUnavailable.
        """
        transactions, before = self._transactions, self.marker(batch_key)
        self._begin(self.topics, batch_key, before.encode())
        reached(Failpoint.TRANSACTION_BEGUN)
        with self._aborting():
            marker = self._fill(before, messages)
            reached(Failpoint.TRANSACTION_FILLED)
            transactions.produce(self._topic, marker.encode(), batch_key, partition=self.shard.number)
            transactions.flush()
            # An abort without its markers is made good; what is committed without them, the next abort takes back.
            self._endings.see_leaders(self.topics, self._place)
        transactions.commit()
        reached(Failpoint.TRANSACTION_COMMITTED)
        self._markers[batch_key] = marker
        return marker

    def forget(self, batch_keys: Iterable[str]) -> None:
        """Tombstone the markers of batches, long after their publication, in one transaction. Raises as `send` does."""
        known = [key for key in batch_keys if key in self._markers]
        if known:
            self._begin((), known[0], None)
            for key in known[1:]:
                self._transactions.produce(self._topic, None, key, partition=self.shard.number)
            self._transactions.commit()
            for key in known:
                del self._markers[key]

    def close(self) -> None:
        self._transactions.close()

    @property
    def _place(self) -> Place:
        return self._topic, self.shard.number

    def _begin(self, topics: Collection[str], batch_key: str, first: bytes | None) -> None:
        """Begin a transaction that goes to `topics`, once every earlier one has ended there.

        Its first message goes to the shard's own place, so that whatever of it a broker forgets to end shows there.
        """
        for _ in range(_TRIES):
            have_ended = self._endings.have_come(topics, self._place)
            self._transactions.begin()
            self._transactions.produce(self._topic, first, batch_key, partition=self.shard.number)
            if have_ended or not self._is_left_open(topics):
                return
            self._abort_again(topics)
        raise KafkaUnavailable("Kafka loses the leaders of the sink's partitions again and again")

    def _is_left_open(self, topics: Collection[str]) -> bool:
        """Whether anything of an earlier transaction may be open; then the present one, of one message, is ended."""
        with self._aborting():
            # What is acknowledged here is so only after the coordinator has completed the transaction before.
            self._transactions.flush()
            own = [found for unended in self._endings.missing_at(self._place) for found in self._read(unended)]
            was_aborted = any(is_ahead(found, self._markers) for found in own)
        is_open = True
        try:
            is_open = bool(own) or bool(self._endings.missing(topics))
        finally:
            if was_aborted:
                self._abort("an earlier one left a marker open that was aborted")
            elif is_open:
                # As it was committed, so that a later abort does not take it back.
                self._transactions.commit()
        return is_open

    def _abort_again(self, topics: Collection[str]) -> None:
        """Abort what an earlier transaction left open, by one that writes to the same partitions."""
        aborted: list[tuple[Place, Found]] = []
        for unended in self._endings.missing(topics):
            found = last_aborted(self._read(unended), self.shard.number, self._markers)
            if found is not None:
                aborted.append((unended.place, found))
        if not aborted:
            self._endings.accept()
            return
        self._transactions.begin()
        for (topic, partition), message in aborted:
            log(Action.ABORT_REPEATED, logging.WARNING, topic=topic, partition=partition, offset=message.offset)
            self._send_again(topic, partition, message)
        self._transactions.flush()
        # It is refused where one before it was not delivered: then nothing is known to have been ended.
        self._send_again(topic, partition, message)
        self._endings.accept()
        self._abort("what an earlier one had left open is aborted with it")

    def _send_again(self, topic: str, partition: int, found: Found) -> None:
        self._transactions.produce(topic, found.value, found.key, [*found.headers.items()], 0, partition)

    def _read(self, unended: Unended) -> Iterator[Found]:
        return map(_found, self._endings.messages(unended))

    def _abort(self, why: str) -> None:
        aborted = self._transactions.abort(Aborted(why))
        if self.is_dead:
            raise aborted

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """Abort the transaction for a fault in the block: nothing of what went before it may be seen."""
        try:
            yield
        except Aborted:
            raise
        except BaseException as error:
            self._transactions.abort(error)
            raise

    def _fill(self, before: ProgressMarker, messages: Iterator[Outgoing]) -> ProgressMarker:
        """Fill one transaction; gives the marker that goes with it."""
        produce, most, most_bytes = self._transactions.produce_now, self._bounds.records, self._bounds.bytes
        mark = transaction_header(self.shard.number, before)
        end = time.monotonic() + self._bounds.seconds
        following, done = before.next, True
        count = succeeded = size = 0
        for ordinal, is_answered, topic, key, value, headers, timestamp in messages:
            headers.append(mark)
            sent = _NOW if timestamp is None else timestamp or _FIRST
            try:
                produce(topic, value, key, -1, None, None, sent, headers)
            except (BufferError, KafkaException):
                self._transactions.produce(topic, value, key, headers, sent)
            following = ordinal + 1
            count += 1
            succeeded += is_answered
            size += len(value) if value else 0
            if count >= most or size >= most_bytes:
                done = False
                break
            if count % _LOOK == 0:
                self._transactions.pause()
                if time.monotonic() >= end:
                    done = False
                    break
        return ProgressMarker(
            next=following,
            succeeded=before.succeeded + succeeded,
            failed=before.failed + count - succeeded,
            done=done,
        )


def _found(message: Message) -> Found:
    # The client's stubs say other types.
    offset: Any = message.offset()
    key: Any = message.key()
    value: Any = message.value()
    headers: Any = message.headers()
    return Found(offset, key, value, dict(headers or ()))
